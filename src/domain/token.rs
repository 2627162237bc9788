//! The API token, of which the service keeps the hash and no more.
//!
//! One round of SHA-256 without a salt is enough for it. Passwords need more, because people think
//! them up and others can guess them; a token is long and random (one that the service makes has
//! 192 bits), and nobody finds it by trying, however fast that is.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// What a hash begins with wherever it may stand in the token's place.
pub const PREFIX: &str = "sha256:";

#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    pub fn of(token: &str) -> Self {
        Self(Sha256::digest(token).into())
    }

    /// Whether this is the token. It takes the same time wherever two tokens differ, and however
    /// long they are.
    pub fn is_of(&self, given: &str) -> bool {
        Self::of(given).0.ct_eq(&self.0).into()
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// As it is written in the service file.
impl fmt::Display for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{PREFIX}{}", hex::encode(self.0))
    }
}

/// Not shown: with it, a token that is short can be found by trying.
impl fmt::Debug for TokenHash {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[hash of a token]")
    }
}

impl FromStr for TokenHash {
    type Err = String;

    /// What is wrong with it is told without showing it: it may be the token itself.
    fn from_str(text: &str) -> Result<Self, String> {
        let found = match text.strip_prefix(PREFIX) {
            Some(digits) => match hex::decode(digits).map(<[u8; 32]>::try_from) {
                Ok(Ok(hash)) => return Ok(Self(hash)),
                _ if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                    format!("{} hexadecimal digits after `{PREFIX}`", digits.len())
                }
                _ => format!("something else than hexadecimal digits after `{PREFIX}`"),
            },
            None => format!("no `{PREFIX}` at its beginning"),
        };
        Err(format!("found {found}; expected the 64 of a SHA-256"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By sha256sum.
    const OF_ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_token_is_known_by_its_hash_and_the_hash_is_no_token() {
        let hash: TokenHash = OF_ABC.parse().unwrap();
        assert_eq!(hash, TokenHash::of("abc"));
        assert_eq!(hash.to_string(), OF_ABC);
        assert!(hash.is_of("abc"));
        for other in ["", "ab", "abd", "abcd", OF_ABC, &OF_ABC[PREFIX.len()..]] {
            assert!(!hash.is_of(other), "{other}");
        }
        let in_capitals = OF_ABC.to_uppercase().replace("SHA256", "sha256");
        assert_eq!(in_capitals.parse(), Ok(hash));
        assert_eq!(format!("{hash:?}"), "[hash of a token]");
    }

    #[test]
    fn what_is_no_hash_is_not_shown() {
        for (text, found) in [
            ("sha256:", "0 hexadecimal digits after `sha256:`"),
            (&OF_ABC[..70], "63 hexadecimal digits after `sha256:`"),
            (
                &format!("{OF_ABC}00"),
                "66 hexadecimal digits after `sha256:`",
            ),
            (
                "sha256:hunter2",
                "something else than hexadecimal digits after `sha256:`",
            ),
            (&OF_ABC[7..], "no `sha256:` at its beginning"),
        ] {
            let told = text.parse::<TokenHash>().unwrap_err();
            assert_eq!(told, format!("found {found}; expected the 64 of a SHA-256"));
        }
    }
}
