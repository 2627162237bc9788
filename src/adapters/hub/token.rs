//! The hub's token. One that is a JWT can expire: it is renewed before it is used, and the new one
//! kept on disk, since the old one may be good for nothing from then on.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use reqwest::Method;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, MutexGuard};
use url::Url;

use super::error::Kind;
use super::exchange::{Answer, Authority, Request};
use super::{Hub, HubError, HubSettings, Listener};
use crate::domain::time::Timestamp;

/// No token is longer.
const LONGEST_TOKEN: usize = 16 * 1024;

/// What a server is shown; in no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    fn is_jwt(&self) -> bool {
        self.0.contains('.')
    }

    /// When a JWT ends, in its own words, in seconds since 1970.
    /// Source: <https://www.rfc-editor.org/rfc/rfc7519#section-4.1.4>.
    fn expires(&self) -> Option<f64> {
        #[derive(Deserialize)]
        struct Claims {
            exp: f64,
        }
        let claims = self.0.split('.').nth(1)?.trim_end_matches('=');
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        let Claims { exp } = serde_json::from_slice(&claims).ok()?;
        Some(exp)
    }

    fn holds(&self) -> bool {
        let now = Timestamp::now().as_millis() as f64 / 1000.0;
        self.expires().is_some_and(|expires| expires > now)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

/// Keeps the newest token, in memory and in a file. Whoever holds the lock renews it, and the others
/// wait for that.
pub(super) struct Keeper {
    file: PathBuf,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    kept: Option<Kept>,
    renewed: Option<Instant>,
    /// The last try, if it was in vain.
    failed: Option<(Instant, HubError)>,
}

/// As it stands in the file.
#[derive(Clone, Serialize, Deserialize)]
struct Kept {
    /// SHA-256 of the configured token that this one comes from: with another one configured, it is
    /// worth nothing.
    configured: String,
    token: String,
}

impl Keeper {
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            memory: Mutex::default(),
        }
    }

    /// The newest token that comes from the configured one, which may be that itself.
    fn newest(
        &self,
        memory: &mut MutexGuard<'_, Memory>,
        configured: &Token,
        listener: Listener<'_>,
    ) -> Token {
        let digest = digest(configured);
        if memory.kept.is_none() {
            memory.kept = match read(&self.file) {
                Ok(kept) => kept,
                Err(error) => {
                    let file = self.file.display();
                    listener(format!(
                        "cannot read {file} ({error}): the configured token is used"
                    ));
                    None
                }
            };
        }
        match &memory.kept {
            Some(kept) if kept.configured == digest => Token::new(kept.token.clone()),
            _ => {
                // That of another configured token says nothing about this one.
                **memory = Memory {
                    kept: Some(Kept {
                        configured: digest,
                        token: configured.0.clone(),
                    }),
                    ..Memory::default()
                };
                configured.clone()
            }
        }
    }

    fn keep(
        &self,
        memory: &mut MutexGuard<'_, Memory>,
        configured: &Token,
        token: &Token,
    ) -> io::Result<()> {
        let kept = Kept {
            configured: digest(configured),
            token: token.0.clone(),
        };
        let written = write(&self.file, &kept);
        **memory = Memory {
            kept: Some(kept),
            renewed: Some(Instant::now()),
            failed: None,
        };
        written
    }
}

impl Hub {
    /// The token to be shown now.
    pub(super) async fn token(
        &self,
        settings: &HubSettings,
        listener: Listener<'_>,
    ) -> Result<Token, HubError> {
        let configured = &settings.token;
        let refresh_url = settings.refresh_url.as_ref();
        let Some(refresh_url) = refresh_url.filter(|_| configured.is_jwt()) else {
            return Ok(configured.clone());
        };
        let asked = Instant::now();
        let mut memory = self.keeper.memory.lock().await;
        let newest = self.keeper.newest(&mut memory, configured, listener);
        if memory
            .renewed
            .is_some_and(|renewed| renewed.elapsed() < self.patience.fresh)
        {
            return Ok(newest);
        }
        // Whoever held the lock meanwhile has tried for this caller as well.
        let tried = memory.failed.as_ref().filter(|(at, _)| *at >= asked);
        let renewed = match tried {
            Some((_, error)) => Err(error.clone()),
            None => self.renew(settings, refresh_url, &newest, listener).await,
        };
        match renewed {
            Ok(token) => {
                if let Err(error) = self.keeper.keep(&mut memory, configured, &token) {
                    let file = self.keeper.file.display();
                    listener(format!(
                        "the renewed token cannot be kept in {file}, and is lost with a restart: {error}"
                    ));
                }
                Ok(token)
            }
            Err(error) => {
                memory.failed = Some((Instant::now(), error.clone()));
                if !newest.holds() {
                    return Err(error);
                }
                listener(format!("{error}; the token that there is still holds"));
                Ok(newest)
            }
        }
    }

    /// What has taken the place of this token, if anything has.
    pub(super) async fn newer_token(&self, settings: &HubSettings, token: &Token) -> Option<Token> {
        let memory = self.keeper.memory.lock().await;
        let kept = memory.kept.as_ref()?;
        let is_newer = kept.configured == digest(&settings.token) && kept.token != token.0;
        is_newer.then(|| Token::new(kept.token.clone()))
    }

    async fn renew(
        &self,
        settings: &HubSettings,
        refresh_url: &str,
        token: &Token,
        listener: Listener<'_>,
    ) -> Result<Token, HubError> {
        let failed = |error: HubError| {
            HubError::new(error.kind, format!("cannot renew the hub's token: {error}"))
        };
        let url = Url::parse(refresh_url);
        let url = url.map_err(|error| HubError::new(Kind::Local, error.to_string()));
        let request = Request {
            operation: "refresh",
            what: "renewing the hub's token",
            method: Method::GET,
            url: url.map_err(failed)?,
            upload: None,
            answer_within: self.patience.answer,
        };
        let secrets = vec![settings.token.clone(), token.clone()];
        let authority = Authority::new("the server of hub.refresh_url", secrets);
        let authority = authority.bearer(token).map_err(failed)?;
        // With a token that holds, nothing is worth waiting for.
        let renewed = match token.holds() {
            true => self.try_once(&request, &authority, listener, renewed).await,
            false => self.ask_for(&request, &authority, listener, renewed).await,
        };
        renewed.map_err(failed)
    }
}

/// The body is the new token. What is not may hold one, and is not shown.
fn renewed(answer: Answer<'_>) -> Result<Token, HubError> {
    let is_success = answer.status.is_success();
    let token = std::str::from_utf8(&answer.body).unwrap_or_default().trim();
    let is_token = |c: u8| c.is_ascii_alphanumeric() || b"-._~+/=".contains(&c);
    let is_whole = (1..=LONGEST_TOKEN).contains(&token.len()) && token.bytes().all(is_token);
    match is_success && is_whole {
        true => Ok(Token::new(token)),
        false => Err(answer.not_understood(!is_success)),
    }
}

fn digest(token: &Token) -> String {
    hex::encode(Sha256::digest(&token.0))
}

fn read(file: &Path) -> io::Result<Option<Kept>> {
    match fs::read(file) {
        Ok(text) => {
            let kept = serde_json::from_slice(&text);
            // Serde's own words would repeat the token.
            kept.map_err(|_| io::Error::other("it is not whole"))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// For this user only, and whole or not at all.
fn write(file: &Path, kept: &Kept) -> io::Result<()> {
    let fresh = file.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = File::options();
    let mut writer = options
        .create_new(true)
        .write(true)
        .mode(0o600)
        .open(&fresh)?;
    writer.write_all(&serde_json::to_vec(kept)?)?;
    writer.sync_all()?;
    fs::rename(&fresh, file)?;
    File::open(file.parent().unwrap_or(Path::new(".")))?.sync_all()
}
