//! What GitHub is shown: a token, or the tokens of a GitHub App.
//!
//! An App signs a short-lived token of its own with its private key; with that it asks which
//! installation a repository belongs to, and gets a token of that installation, which lasts an
//! hour and which everything else uses. Octocrab can do this too, but asks once for each request
//! that comes while a token is fetched, does not say to git when a token ends, and shows it to no
//! other host than api.github.com, so not to GitHub Enterprise on further pages.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use serde::Deserialize;

use super::GithubError;
use super::error::clock;
use super::request::{Answer, Connection, Request};
use crate::domain::app_key::AppKey;
use crate::domain::names::RepositoryName;
use crate::domain::time::Timestamp;

/// A token, which is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    pub fn new(token: impl Into<String>) -> Self {
        Self(token.into())
    }

    /// The token itself, for the one it is for.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Token(…)")
    }
}

/// As the operator gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credential {
    None,
    Token(Token),
    App { id: u64, private_key: AppKey },
}

/// Which of them it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialKind {
    None,
    Token,
    App,
}

/// What shares a rate limit and a credential: everything under a token, an owner under an App.
/// Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scope(Option<String>);

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            None => formatter.write_str("the credential"),
            Some(owner) => write!(formatter, "the App's installation of {owner}"),
        }
    }
}

impl Credential {
    pub fn kind(&self) -> CredentialKind {
        match self {
            Self::None => CredentialKind::None,
            Self::Token(_) => CredentialKind::Token,
            Self::App { .. } => CredentialKind::App,
        }
    }

    pub(super) fn scope(&self, repository: &RepositoryName) -> Scope {
        match self {
            Self::App { .. } => Scope(Some(owner_key(repository.owner()))),
            Self::None | Self::Token(_) => Scope(None),
        }
    }
}

/// GitHub's names differ in more than case.
fn owner_key(owner: &str) -> String {
    owner.to_ascii_lowercase()
}

/// A token of an installation is renewed when it has less left than this: a fetch that begins
/// with it may take ten minutes.
const RENEW_BEFORE_END: Duration = Duration::from_secs(15 * 60);

/// How long it is believed that the App is not installed for a repository, as the watchers of a
/// thousand repositories would ask again and again.
const ABSENCE: Duration = Duration::from_secs(5 * 60);

/// An App's own token is dated back, against clocks that differ, and may last ten minutes.
/// Source: <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-a-json-web-token-jwt-for-a-github-app>.
const ISSUED_BEFORE: i64 = 60;
const LASTS: i64 = 9 * 60;

/// A difference between our clock and GitHub's that makes an App's own token useless.
const CLOCK_DIFFERENCE: i64 = 30;

/// The installations of an App and their tokens.
#[derive(Default)]
pub(super) struct Installations {
    by_owner: Mutex<HashMap<String, Arc<Installation>>>,
    /// Repositories that GitHub answered for under another owner: they were moved there.
    moved: Mutex<HashMap<RepositoryName, String>>,
    /// Those for which the App is not installed, and since when that is known.
    absent: Mutex<HashMap<RepositoryName, Instant>>,
    /// Seconds by which GitHub's clock is ahead of ours.
    clock_ahead: Mutex<i64>,
}

/// One caller at a time asks for what is missing, the others wait for what it gets.
type Installation = tokio::sync::Mutex<Known>;

#[derive(Default)]
struct Known {
    id: Option<u64>,
    token: Option<Token>,
    /// When the token is renewed.
    renew_at: Option<Instant>,
    /// What was wrong last, for those who already waited then.
    failure: Option<(Instant, GithubError)>,
}

/// Source: <https://docs.github.com/en/rest/apps/apps#get-a-repository-installation-for-the-authenticated-app>.
#[derive(Deserialize)]
struct FoundInstallation {
    id: u64,
    account: Account,
}

#[derive(Deserialize)]
struct Account {
    login: String,
}

/// Source: <https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app>.
#[derive(Deserialize)]
struct NewToken {
    token: String,
    expires_at: Timestamp,
}

impl Connection {
    /// The token with which to ask for this repository.
    pub(super) async fn token(&self, repository: &RepositoryName) -> Result<Token, GithubError> {
        match &self.settings.credential {
            Credential::None => Err(GithubError::NoCredential),
            Credential::Token(token) => Ok(token.clone()),
            Credential::App { .. } => self.installation_token(repository).await,
        }
    }

    async fn installation_token(&self, repository: &RepositoryName) -> Result<Token, GithubError> {
        let asked = Instant::now();
        let mut owner = self.installations.owner_of(repository);
        loop {
            let installation = self.installations.of(&owner);
            let mut known = installation.lock().await;
            if let Some(token) = known.fresh_token() {
                return Ok(token);
            }
            if let Some(error) = known.failure_since(asked) {
                return Err(error);
            }
            let result = self.renew(repository, &owner, &mut known).await;
            match result {
                Ok(Renewed::Token(token)) => return Ok(token),
                Ok(Renewed::BelongsTo(other)) => owner = other,
                Err(error) => {
                    // That a repository is not covered says nothing of its owner's others.
                    if !matches!(error, GithubError::NotInstalled { .. }) {
                        known.failure = Some((Instant::now(), error.clone()));
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn renew(
        &self,
        repository: &RepositoryName,
        owner: &str,
        known: &mut Known,
    ) -> Result<Renewed, GithubError> {
        let id = match known.id {
            Some(id) => id,
            None => {
                let found = self.find_installation(repository).await?;
                let login = owner_key(&found.account.login);
                if login != owner {
                    self.installations.set_moved(repository, &login);
                    return Ok(Renewed::BelongsTo(login));
                }
                found.id
            }
        };
        known.id = Some(id);
        let path = format!("/app/installations/{id}/access_tokens");
        let request = Request::new("installation_token", Method::POST, path);
        let answer = match self.ask_as_app(&request).await {
            // It was removed since; there may be another now.
            Err(GithubError::NotFound) => {
                *known = Known::default();
                return Err(not_installed(repository));
            }
            answer => answer?,
        };
        let new: NewToken = answer.json()?;
        let token = Token::new(new.token);
        known.renew_at = Some(Instant::now() + usable_for(new.expires_at, &answer));
        known.token = Some(token.clone());
        known.failure = None;
        Ok(Renewed::Token(token))
    }

    async fn find_installation(
        &self,
        repository: &RepositoryName,
    ) -> Result<FoundInstallation, GithubError> {
        if self.installations.is_absent(repository) {
            return Err(not_installed(repository));
        }
        let path = format!("/repos/{repository}/installation");
        let request = Request::new("installation", Method::GET, path);
        match self.ask_as_app(&request).await {
            Ok(answer) => answer.json(),
            Err(GithubError::NotFound) => {
                self.installations.set_absent(repository);
                Err(not_installed(repository))
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets a token that GitHub refused, unless another has taken its place already.
    pub(super) async fn forget(&self, repository: &RepositoryName, refused: &Token) {
        let owner = self.installations.owner_of(repository);
        let installation = self.installations.of(&owner);
        let mut known = installation.lock().await;
        if known.token.as_ref() == Some(refused) {
            known.token = None;
        }
    }

    /// Asks as the App itself. Where GitHub refuses that and its clock turns out to differ from
    /// ours, asks again by GitHub's.
    pub(super) async fn ask_as_app(&self, request: &Request) -> Result<Answer, GithubError> {
        let Credential::App { id, private_key } = &self.settings.credential else {
            return Err(GithubError::NoCredential);
        };
        let ahead = self.installations.clock_ahead();
        let token = app_token(*id, private_key, ahead);
        let mut answer = self.exchange(request, &token).await?;
        if let Some(now) = self.installations.learn_clock(&answer)
            && answer.status == reqwest::StatusCode::UNAUTHORIZED
            && (now - ahead).abs() >= CLOCK_DIFFERENCE
        {
            let token = app_token(*id, private_key, now);
            answer = self.exchange(request, &token).await?;
        }
        answer.succeeded()
    }
}

enum Renewed {
    Token(Token),
    /// The repository was moved to this owner.
    BelongsTo(String),
}

fn not_installed(repository: &RepositoryName) -> GithubError {
    GithubError::NotInstalled {
        owner: repository.owner().to_owned(),
    }
}

/// How long a token is used; by GitHub's clock, as ours may be wrong.
fn usable_for(expires_at: Timestamp, answer: &Answer) -> Duration {
    let now = clock(&answer.headers).unwrap_or_else(Timestamp::now);
    expires_at.since(now).saturating_sub(RENEW_BEFORE_END)
}

/// The token by which an App shows who it is: a JSON Web Token.
fn app_token(id: u64, private_key: &AppKey, clock_ahead: i64) -> Token {
    let now = Timestamp::now().as_millis() / 1000 + clock_ahead;
    let claims = serde_json::json!({
        "iss": id.to_string(),
        "iat": now - ISSUED_BEFORE,
        "exp": now + LASTS,
    });
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
    let signed = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(private_key.sign(signed.as_bytes()));
    Token::new(format!("{signed}.{signature}"))
}

impl Known {
    fn fresh_token(&self) -> Option<Token> {
        let is_fresh = self.renew_at.is_some_and(|end| Instant::now() < end);
        self.token.clone().filter(|_| is_fresh)
    }

    fn failure_since(&self, asked: Instant) -> Option<GithubError> {
        let (at, error) = self.failure.as_ref()?;
        (*at >= asked).then(|| error.clone())
    }
}

impl Installations {
    fn of(&self, owner: &str) -> Arc<Installation> {
        let mut by_owner = locked(&self.by_owner);
        Arc::clone(by_owner.entry(owner.to_owned()).or_default())
    }

    fn owner_of(&self, repository: &RepositoryName) -> String {
        let moved = locked(&self.moved).get(repository).cloned();
        moved.unwrap_or_else(|| owner_key(repository.owner()))
    }

    fn set_moved(&self, repository: &RepositoryName, owner: &str) {
        locked(&self.moved).insert(repository.clone(), owner.to_owned());
    }

    fn is_absent(&self, repository: &RepositoryName) -> bool {
        let mut absent = locked(&self.absent);
        absent.retain(|_, since| since.elapsed() < ABSENCE);
        absent.contains_key(repository)
    }

    fn set_absent(&self, repository: &RepositoryName) {
        locked(&self.absent).insert(repository.clone(), Instant::now());
    }

    fn clock_ahead(&self) -> i64 {
        *locked(&self.clock_ahead)
    }

    /// Seconds by which GitHub's clock is ahead, where the answer says what time it is.
    fn learn_clock(&self, answer: &Answer) -> Option<i64> {
        let ahead = (clock(&answer.headers)?.as_millis() - Timestamp::now().as_millis()) / 1000;
        *locked(&self.clock_ahead) = ahead;
        Some(ahead)
    }
}

/// None of these locks is held where something could fail halfway.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
