//! The signed statement by which an App says who it is.
//!
//! Source: <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rsa::KeyPair;
use ring::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde_json::Value;

use crate::credentials::{APP_PRIVATE_KEY, App};
use crate::reply::Reply;

const LONGEST_SECONDS: u64 = 600;

/// The App's id, if the statement is signed by its key, is about it, and is of now.
pub(crate) fn check(app: Option<&App>, token: &str, now: u64) -> Result<u64, Reply> {
    let undecodable = || Reply::message(401, "A JSON web token could not be decoded");
    let (signed, signature) = token.rsplit_once('.').ok_or_else(undecodable)?;
    let (header, claims) = signed.split_once('.').ok_or_else(undecodable)?;
    let (header, claims) = (json(header), json(claims));
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| undecodable())?;
    if header["alg"] != "RS256" {
        return Err(undecodable());
    }
    let app = app.ok_or_else(|| Reply::message(404, "Integration not found"))?;
    let key_pair = key_pair();
    UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key_pair.public_key().as_ref())
        .verify(signed.as_bytes(), &signature)
        .map_err(|_| undecodable())?;

    let issuer = match &claims["iss"] {
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    if issuer != Some(app.id) {
        return Err(Reply::message(404, "Integration not found"));
    }
    let (Some(issued), Some(expires)) = (claims["iat"].as_u64(), claims["exp"].as_u64()) else {
        return Err(undecodable());
    };
    if issued > now {
        let message = "'Issued at' claim ('iat') must be an Integer representing the time that \
                       the assertion was issued";
        return Err(Reply::message(401, message));
    }
    if expires <= now {
        let message = "'Expiration time' claim ('exp') must be a numeric value representing the \
                       future time at which the assertion expires";
        return Err(Reply::message(401, message));
    }
    if expires > now + LONGEST_SECONDS {
        let message = "'Expiration time' claim ('exp') is too far in the future";
        return Err(Reply::message(401, message));
    }
    Ok(app.id)
}

fn json(part: &str) -> Value {
    URL_SAFE_NO_PAD
        .decode(part)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .unwrap_or_default()
}

fn key_pair() -> KeyPair {
    let text: String = APP_PRIVATE_KEY
        .lines()
        .filter(|line| !line.starts_with("-----"))
        .collect();
    let der = STANDARD.decode(text).expect("the key file is PEM");
    KeyPair::from_der(&der).expect("the key file holds an RSA key")
}

#[cfg(test)]
pub(crate) fn signed(claims: &Value) -> String {
    use ring::rand::SystemRandom;
    use ring::signature::RSA_PKCS1_SHA256;

    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = serde_json::json!({"alg": "RS256", "typ": "JWT"});
    let text = format!("{}.{}", part(&header), part(claims));
    let pair = key_pair();
    let mut signature = vec![0; pair.public().modulus_len()];
    pair.sign(
        &RSA_PKCS1_SHA256,
        &SystemRandom::new(),
        text.as_bytes(),
        &mut signature,
    )
    .unwrap();
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn refusal(claims: &Value) -> String {
        let reply = check(Some(&App::new(7)), &signed(claims), NOW).unwrap_err();
        String::from_utf8(reply.body).unwrap()
    }

    #[test]
    fn a_statement_by_the_app_about_now_is_believed() {
        for issuer in [json!(7), json!("7")] {
            let claims = json!({"iss": issuer, "iat": NOW - 60, "exp": NOW + 540});
            assert_eq!(check(Some(&App::new(7)), &signed(&claims), NOW).unwrap(), 7);
        }
    }

    #[test]
    fn other_statements_are_not() {
        let late = refusal(&json!({"iss": 7, "iat": NOW - 60, "exp": NOW + 601}));
        assert!(late.contains("too far in the future"), "{late}");
        let over = refusal(&json!({"iss": 7, "iat": NOW - 60, "exp": NOW}));
        assert!(over.contains("at which the assertion expires"), "{over}");
        let early = refusal(&json!({"iss": 7, "iat": NOW + 1, "exp": NOW + 60}));
        assert!(early.contains("was issued"), "{early}");
        let other = refusal(&json!({"iss": 8, "iat": NOW, "exp": NOW + 60}));
        assert!(other.contains("Integration not found"), "{other}");

        let good = signed(&json!({"iss": 7, "iat": NOW, "exp": NOW + 60}));
        let forged = signed(&json!({"iss": 7, "iat": NOW, "exp": NOW + 61}));
        let (claims, _) = forged.rsplit_once('.').unwrap();
        let (_, signature) = good.rsplit_once('.').unwrap();
        let forged = format!("{claims}.{signature}");
        assert_eq!(
            check(Some(&App::new(7)), &forged, NOW).unwrap_err().status,
            401
        );
    }
}
