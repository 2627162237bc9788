//! The private key of a GitHub App, and the signatures it makes.

use std::fmt;
use std::sync::Arc;

use ring::rand::SystemRandom;
use ring::signature::{self, RsaKeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;

/// An RSA key, read from PEM. Cheap to clone, and never shown.
#[derive(Clone)]
pub struct AppKey(Arc<RsaKeyPair>);

/// Why a text is no such key. Nothing of the text is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AppKeyError {
    #[error("this is not a private key in PEM form")]
    NotPem,
    #[error("this private key is not an RSA key, which is what GitHub makes for an App")]
    NotRsa,
    #[error("this RSA key is damaged, or has fewer than 2048 bits")]
    Damaged,
}

impl AppKey {
    /// Reads the file that GitHub offers when a key is made for an App (PKCS #1), or the same
    /// key as PKCS #8.
    ///
    /// # Errors
    ///
    /// What is wrong with the text.
    pub fn from_pem(text: &str) -> Result<Self, AppKeyError> {
        let key =
            PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| AppKeyError::NotPem)?;
        let pair = match &key {
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
            _ => return Err(AppKeyError::NotRsa),
        };
        match pair {
            Ok(pair) => Ok(Self(Arc::new(pair))),
            // Of a key of another kind in PKCS #8, ring says just this.
            Err(reason) if reason.to_string() == "WrongAlgorithm" => Err(AppKeyError::NotRsa),
            Err(_) => Err(AppKeyError::Damaged),
        }
    }

    /// The signature of a message as RS256 has it: PKCS #1 v1.5 with SHA-256.
    /// Source: <https://www.rfc-editor.org/rfc/rfc7518#section-3.3>.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let mut signature = vec![0; self.0.public().modulus_len()];
        self.0
            .sign(
                &signature::RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                message,
                &mut signature,
            )
            .expect("the signature is as long as the modulus, and the system has random bits");
        signature
    }
}

impl PartialEq for AppKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.public().as_ref() == other.0.public().as_ref()
    }
}

impl Eq for AppKey {}

impl fmt::Debug for AppKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AppKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use rustls::pki_types::SubjectPublicKeyInfoDer;

    use super::*;

    const KEY: &str = include_str!("../../tests/keys/app.pem");

    #[test]
    fn what_it_signs_is_verified_with_the_public_key() {
        let public = include_bytes!("../../tests/keys/app.pub.pem");
        let public = SubjectPublicKeyInfoDer::from_pem_slice(public).unwrap();
        for form in [KEY, include_str!("../../tests/keys/app.pkcs8.pem")] {
            let signature = AppKey::from_pem(form).unwrap().sign(b"a message");
            // ring wants the RSA key within.
            let rsa = &public[public.len() - 270..];
            let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, rsa);
            assert_eq!(public.verify(b"a message", &signature), Ok(()));
            assert!(public.verify(b"another", &signature).is_err());
        }
    }

    #[test]
    fn what_is_no_such_key_is_refused_and_not_repeated() {
        let cut: String = KEY.lines().take(5).collect::<Vec<_>>().join("\n");
        let damaged = KEY.replacen("MII", "MIA", 1);
        let other = include_str!("../../tests/keys/ec.pem");
        let cases = [
            ("", AppKeyError::NotPem),
            ("hunter2", AppKeyError::NotPem),
            (&cut, AppKeyError::NotPem),
            (&damaged, AppKeyError::Damaged),
            (other, AppKeyError::NotRsa),
        ];
        for (text, expected) in cases {
            assert_eq!(AppKey::from_pem(text).unwrap_err(), expected, "{text}");
        }
        let key = AppKey::from_pem(KEY).unwrap();
        assert_eq!(format!("{key:?}"), "AppKey(…)");
        assert_eq!(key, AppKey::from_pem(KEY).unwrap());
    }
}
