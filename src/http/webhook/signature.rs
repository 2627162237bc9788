//! Whether a delivery comes from whom we share the secret with.
//!
//! GitHub sends `X-Hub-Signature-256: sha256=<hex>`, the HMAC-SHA256 of the body as it was sent.
//! Source: <https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries>.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Why a signature was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("the delivery is not signed")]
    Missing,
    #[error("the signature is not of the form sha256=<64 hexadecimal digits>")]
    Malformed,
    #[error("the signature does not fit the body and the secret")]
    Wrong,
}

/// Compares in constant time.
pub fn verify(secret: &[u8], body: &[u8], header: Option<&str>) -> Result<(), SignatureError> {
    let digits = header
        .ok_or(SignatureError::Missing)?
        .strip_prefix("sha256=")
        .ok_or(SignatureError::Malformed)?;
    let given = hex::decode(digits).map_err(|_| SignatureError::Malformed)?;
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(body);
    mac.verify_slice(&given).map_err(|_| SignatureError::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of GitHub's documentation.
    const SECRET: &[u8] = b"It's a Secret to Everybody";
    const BODY: &[u8] = b"Hello, World!";
    const SIGNATURE: &str =
        "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";

    #[test]
    fn githubs_own_example_passes() {
        assert_eq!(verify(SECRET, BODY, Some(SIGNATURE)), Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        let check = |body, header| verify(SECRET, body, header);
        assert_eq!(check(BODY, None), Err(SignatureError::Missing));
        assert_eq!(
            check(b"Hello, World", Some(SIGNATURE)),
            Err(SignatureError::Wrong)
        );
        assert_eq!(
            check(BODY, Some(&SIGNATURE[..70])),
            Err(SignatureError::Malformed)
        );
        assert_eq!(
            check(BODY, Some(&SIGNATURE[..69])),
            Err(SignatureError::Wrong)
        );
        assert_eq!(check(BODY, Some("sha256=")), Err(SignatureError::Wrong));
        assert_eq!(check(BODY, Some("sha1=00")), Err(SignatureError::Malformed));
        assert_eq!(
            verify(b"", BODY, Some(SIGNATURE)),
            Err(SignatureError::Wrong)
        );
    }
}
