//! Who asks, and what they may: tokens of people, and an App with its installations.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::exchange::Call;
use crate::jwt;
use crate::model::Model;
use crate::reply::Reply;
use crate::state::{Repository, State};

/// The private key of every App in every model, as GitHub hands such keys out. It was made for this
/// file, is known to the world, and protects nothing.
pub const APP_PRIVATE_KEY: &str = include_str!("app-key.pem");

/// The credential of requests without one, in the record of requests and in rate limits.
pub(crate) const NOBODY: &str = "nobody";

/// What GitHub documents for an installation's token.
/// Source: <https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app/generating-an-installation-access-token-for-a-github-app>.
const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);

/// One permission in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum May {
    /// See a private repository. Public ones are seen by everyone.
    Read,
    /// Set statuses.
    Statuses,
    /// See and change webhooks.
    Hooks,
}

const EVERYTHING: [May; 3] = [May::Read, May::Statuses, May::Hooks];

#[derive(Default)]
pub(crate) struct Token {
    everywhere: Vec<May>,
    /// By the repository's id.
    in_repository: BTreeMap<u64, Vec<May>>,
}

pub(crate) struct App {
    pub id: u64,
    pub installations: Vec<Installation>,
    pub token_lifetime: Duration,
    pub tokens: BTreeMap<String, InstallationToken>,
}

#[derive(Clone)]
pub(crate) struct Installation {
    pub id: u64,
    pub owner: String,
    pub may: Vec<May>,
    /// The owner's repositories that were not selected, by id.
    pub without: Vec<u64>,
}

impl Installation {
    pub fn covers(&self, repository: &Repository) -> bool {
        let is_owner = self.owner.eq_ignore_ascii_case(repository.owner());
        is_owner && !self.without.contains(&repository.id)
    }
}

pub(crate) struct InstallationToken {
    pub installation: u64,
    pub expires: SystemTime,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    Nobody,
    Token(String),
    /// By the installation's id.
    Installation(u64),
    /// The App itself, by a JWT: for the routes below `/app` and those that find installations.
    App(u64),
}

impl Caller {
    /// Who sent the request.
    /// Source: <https://docs.github.com/en/rest/authentication/authenticating-to-the-rest-api>.
    pub fn of(state: &State, call: &Call) -> Result<Self, Reply> {
        let Some(header) = call.header("authorization") else {
            return Ok(Self::Nobody);
        };
        let (scheme, secret) = header.split_once(' ').unwrap_or((header, ""));
        let known = ["bearer", "token", "basic"]
            .iter()
            .any(|known| scheme.eq_ignore_ascii_case(known));
        let secret = secret.trim();
        if !known {
            return Err(Reply::message(401, "Bad credentials"));
        }
        // Git shows a token as somebody's password.
        let password = match scheme.eq_ignore_ascii_case("basic") {
            true => password(secret),
            false => None,
        };
        let secret = password.as_deref().unwrap_or(secret);
        if secret.split('.').count() == 3 {
            return jwt::check(state.app.as_ref(), secret, state.now()).map(Self::App);
        }
        if state.tokens.contains_key(secret) {
            return Ok(Self::Token(secret.to_owned()));
        }
        state
            .app
            .as_ref()
            .and_then(|app| app.tokens.get(secret))
            .filter(|token| token.expires > SystemTime::now())
            .map(|token| Self::Installation(token.installation))
            .ok_or_else(|| Reply::message(401, "Bad credentials"))
    }

    /// The name that this caller has in the record of requests, and whose requests are counted
    /// together: all tokens of one installation share one rate limit.
    pub fn name(&self, state: &State) -> String {
        match self {
            Self::Nobody => NOBODY.to_owned(),
            Self::Token(token) => token.clone(),
            Self::App(id) => format!("app {id}"),
            Self::Installation(id) => match state.installation(*id) {
                Some(installation) => format!("installation {}", installation.owner),
                None => format!("installation {id}"),
            },
        }
    }

    pub fn may(&self, state: &State, repository: &Repository, what: May) -> bool {
        if what == May::Read && !repository.private {
            return true;
        }
        match self {
            Self::Nobody | Self::App(_) => false,
            Self::Token(token) => state
                .tokens
                .get(token)
                .is_some_and(|token| token.may(repository.id, what)),
            Self::Installation(id) => state.installation(*id).is_some_and(|installation| {
                installation.covers(repository) && installation.may.contains(&what)
            }),
        }
    }

    /// What GitHub says to someone who sees a repository but may not do this in it.
    /// Source: <https://docs.github.com/en/rest/using-the-rest-api/troubleshooting-the-rest-api#resource-not-accessible>.
    pub fn not_accessible(&self) -> Reply {
        match self {
            Self::Nobody => Reply::message(401, "Requires authentication"),
            Self::Token(_) => {
                Reply::message(403, "Resource not accessible by personal access token")
            }
            Self::Installation(_) | Self::App(_) => {
                Reply::message(403, "Resource not accessible by integration")
            }
        }
    }
}

fn password(encoded: &str) -> Option<String> {
    let decoded = STANDARD.decode(encoded).ok()?;
    let (_, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some(password.to_owned())
}

impl Token {
    fn may(&self, repository: u64, what: May) -> bool {
        let here = self.in_repository.get(&repository);
        self.everywhere.contains(&what) || here.is_some_and(|may| may.contains(&what))
    }
}

impl App {
    pub fn new(id: u64) -> Self {
        Self {
            id,
            installations: Vec::new(),
            token_lifetime: TOKEN_LIFETIME,
            tokens: BTreeMap::new(),
        }
    }

    pub fn installed_at(&self, owner: &str) -> Option<&Installation> {
        self.installations
            .iter()
            .find(|installation| installation.owner.eq_ignore_ascii_case(owner))
    }
}

/// A token that a story gives out. Without more it is known, and may do nothing but look at what is
/// public.
pub struct TokenSettings<'a> {
    pub(crate) model: &'a Model,
    pub(crate) token: String,
}

impl TokenSettings<'_> {
    /// May everything everywhere.
    pub fn all(self) -> Self {
        self.may(&EVERYTHING)
    }

    /// May this in every repository, and no longer what it might everywhere before.
    pub fn may(self, what: &[May]) -> Self {
        self.change(|token, _| token.everywhere = what.to_vec())
    }

    /// May this in one repository, and no longer what it might there before.
    pub fn may_in(self, repository: &str, what: &[May]) -> Self {
        self.change(|token, state| {
            let id = state.repository(repository).id;
            token.in_repository.insert(id, what.to_vec());
        })
    }

    fn change(self, change: impl FnOnce(&mut Token, &State)) -> Self {
        let mut state = self.model.state();
        let mut token = state.tokens.remove(&self.token).unwrap_or_default();
        change(&mut token, &state);
        state.tokens.insert(self.token.clone(), token);
        drop(state);
        self
    }
}

/// The App that a story registers. Its private key is [`APP_PRIVATE_KEY`].
pub struct AppSettings<'a> {
    pub(crate) model: &'a Model,
}

impl AppSettings<'_> {
    /// Installed at this user or organisation, in all of its repositories, with all permissions.
    pub fn installed(self, owner: &str) -> Self {
        self.installed_with(owner, &EVERYTHING)
    }

    /// Installed, with these permissions only.
    pub fn installed_with(self, owner: &str, may: &[May]) -> Self {
        let mut state = self.model.state();
        let id = state.next_id();
        let app = state.app.as_mut().expect("an App");
        app.installations.retain(|known| known.owner != owner);
        app.installations.push(Installation {
            id,
            owner: owner.to_owned(),
            may: may.to_vec(),
            without: Vec::new(),
        });
        drop(state);
        self
    }

    /// Installed at this repository's owner, but not for this one.
    pub fn without(self, repository: &str) -> Self {
        let mut state = self.model.state();
        let (id, owner) = {
            let repository = state.repository(repository);
            (repository.id, repository.owner().to_owned())
        };
        let app = state.app.as_mut().expect("an App");
        let mut installations = app.installations.iter_mut();
        let installation = installations.find(|known| known.owner == owner);
        installation
            .expect("it is installed there")
            .without
            .push(id);
        drop(state);
        self
    }

    /// How long tokens that are fetched from now on are good for.
    pub fn tokens_last(self, lifetime: Duration) -> Self {
        let mut state = self.model.state();
        state.app.as_mut().expect("an App").token_lifetime = lifetime;
        drop(state);
        self
    }
}
