//! Values that must never be shown.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::values::VariableName;
use crate::domain::token::{self, TokenHash};

/// A token, password or key: never empty, and shown by no `Debug` or `Display`. In a file, a
/// secret `x` may be given as `x_file: PATH`.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Secret(#[serde(deserialize_with = "not_empty")] String);

impl Secret {
    #[cfg(test)]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, to be sent to the one it is for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// The API token as a service file gives it: itself, or its hash. A token that looks like a hash
/// is taken for one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename = "Secret")]
pub struct ApiToken(#[serde(deserialize_with = "token_or_hash")] Given);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Given {
    Token(Secret),
    Hash(TokenHash),
}

impl ApiToken {
    /// The token itself, where the file holds it.
    pub fn token(&self) -> Option<&str> {
        match &self.0 {
            Given::Token(token) => Some(token.expose()),
            Given::Hash(_) => None,
        }
    }
}

impl From<ApiToken> for TokenHash {
    fn from(token: ApiToken) -> Self {
        match token.0 {
            Given::Token(token) => Self::of(token.expose()),
            Given::Hash(hash) => hash,
        }
    }
}

fn token_or_hash<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Given, D::Error> {
    let value = not_empty(deserializer)?;
    match value.starts_with(token::PREFIX) {
        true => value.parse().map(Given::Hash).map_err(D::Error::custom),
        false => Ok(Given::Token(Secret(value))),
    }
}

/// Variables of builds whose values are masked in logs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Secrets(BTreeMap<VariableName, Secret>);

impl Secrets {
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.0.iter().map(|(name, secret)| (name.as_str(), secret))
    }
}

// An empty token is a mistake in the environment or the file, and would be found out only when
// GitHub refuses it.
fn not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let value = String::deserialize(deserializer)?;
    match value.is_empty() {
        true => Err(D::Error::custom("the secret is empty")),
        false => Ok(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_shown() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {:?}", Some(&secret)), {
            "[secret] [secret] Some([secret])"
        });
        assert_eq!(secret.expose(), "hunter2");
    }
}
