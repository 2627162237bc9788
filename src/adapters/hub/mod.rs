//! The hub that keeps flists, and the bootstrap server that machines boot from: files go up to both
//! as multipart forms, and then a stable name is made to point to one.
//!
//! - Both judge in JSON: `status` counts, and not HTTP's, which may be 200 for an error.
//! - Both requests can be repeated without harm, so whatever may work later is tried again here,
//!   with longer and longer pauses. What a server refuses in its own words is final.
//! - A large file takes its time: an upload is given up when it has stood still, however long it
//!   has gone on.
//! - A token goes to no other server, and into no text.

mod archive;
mod bootstrap;
mod error;
mod exchange;
mod token;
mod upload;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;

pub use archive::pack_kernel;
pub use bootstrap::BootstrapSettings;
pub use error::HubError;
pub use token::Token;

use super::http;
use error::Kind;
use exchange::{Answer, Authority, Request, Words, endpoint};
use token::Keeper;
use upload::Upload;

/// Where the hub is, and what it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Without a slash at its end.
    pub url: String,
    /// Whose flists they are.
    pub username: String,
    pub token: Token,
    /// Where a token that is a JWT is renewed.
    pub refresh_url: Option<String>,
}

/// How long a server may take, and what it gave holds.
#[derive(Debug, Clone)]
pub struct Patience {
    /// To be connected.
    pub connect: Duration,
    /// An upload that has not moved for so long is given up.
    pub stall: Duration,
    /// For the answer to an upload, from its last byte on: the hub takes the archive apart and
    /// stores each file of it. It is not asked again after that.
    pub conversion: Duration,
    /// For any other answer.
    pub answer: Duration,
    /// Between tries; with none left, the last problem is the answer.
    pub pauses: Vec<Duration>,
    /// Between two lines about an upload that goes on.
    pub progress: Duration,
    /// A token that was renewed so recently is not renewed again.
    pub fresh: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            stall: Duration::from_secs(60),
            conversion: Duration::from_secs(30 * 60),
            answer: Duration::from_secs(60),
            pauses: [2, 5, 10, 20, 40, 60].map(Duration::from_secs).into(),
            progress: Duration::from_secs(5),
            fresh: Duration::from_secs(60),
        }
    }
}

/// One try, for who counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// `upload`, `link`, `refresh`, `bootstrap_upload` or `bootstrap_link`.
    pub operation: &'static str,
    /// `success`, `refused`, `unavailable`, `malformed` or `local`.
    pub result: &'static str,
    /// What was sent of a file.
    pub bytes: u64,
}

pub type Observer = Arc<dyn Fn(Tried) + Send + Sync>;

/// Who is told, in lines for a build's log, how it goes.
pub type Listener<'a> = &'a (dyn Fn(String) + Send + Sync);

/// A file that is to be uploaded, and the name it shall have there.
#[derive(Debug, Clone, Copy)]
pub struct Local<'a> {
    pub path: &'a Path,
    pub name: &'a str,
}

/// A client of both servers.
pub struct Hub {
    /// Or why there is none: a machine without certificates, say.
    client: Result<reqwest::Client, String>,
    keeper: Keeper,
    observer: Observer,
    patience: Patience,
}

impl Hub {
    /// Sends nothing. `token_file` is where a token that was renewed is kept.
    pub fn new(token_file: PathBuf, observer: Observer) -> Self {
        Self::with_patience(token_file, observer, Patience::default())
    }

    pub fn with_patience(token_file: PathBuf, observer: Observer, patience: Patience) -> Self {
        Self {
            client: http::client(patience.connect),
            keeper: Keeper::new(token_file),
            observer,
            patience,
        }
    }

    /// Uploads an archive, which the hub turns into a flist; returns the name that the hub gave it,
    /// if it says one.
    pub async fn upload(
        &self,
        settings: &HubSettings,
        local: Local<'_>,
        listener: Listener<'_>,
    ) -> Result<Option<String>, HubError> {
        let request = Request {
            operation: "upload",
            what: "the upload to the hub",
            method: Method::POST,
            url: endpoint(&settings.url, &["api", "flist", "me", "upload"])?,
            upload: Some(Upload {
                local,
                field: "file",
            }),
            answer_within: self.patience.conversion,
        };
        let words = self.ask_hub(settings, &request, listener).await?;
        let payload = words.payload.unwrap_or_default();
        if let Some(counts) = counts(&payload) {
            listener(format!("the hub counts {counts}"));
        }
        match payload.get("name").and_then(|name| name.as_str()) {
            None => Ok(None),
            Some(name) if is_file_name(name) => Ok(Some(name.to_owned())),
            Some(_) => Err(HubError::new(
                Kind::Malformed,
                "the hub's answer is not understood: the name it gave is not that of a file",
            )),
        }
    }

    /// Makes a name of the user's point to one of the user's flists.
    pub async fn link(
        &self,
        settings: &HubSettings,
        target: &str,
        link: &str,
        listener: Listener<'_>,
    ) -> Result<(), HubError> {
        let path = ["api", "flist", "me", target, "link", link];
        let request = Request {
            operation: "link",
            what: "the link on the hub",
            method: Method::GET,
            url: endpoint(&settings.url, &path)?,
            upload: None,
            answer_within: self.patience.answer,
        };
        self.ask_hub(settings, &request, listener).await?;
        Ok(())
    }

    /// Asks with the token that is the newest at each try. Another build may renew it at any moment,
    /// that of a long upload amid it, and the hub then refuses the old one.
    async fn ask_hub(
        &self,
        settings: &HubSettings,
        request: &Request<'_>,
        listener: Listener<'_>,
    ) -> Result<Words, HubError> {
        let mut tries = self.tries(request, listener);
        loop {
            let token = self.token(settings, listener).await?;
            let mut result = self.show(&token, settings, request, listener).await;
            if let Err(error) = &result
                && error.kind == Kind::Refused
                && let Some(newer) = self.newer_token(settings, &token).await
            {
                let what = request.what;
                listener(format!(
                    "{what} failed: {error}; it is tried again with the token that was renewed meanwhile"
                ));
                result = self.show(&newer, settings, request, listener).await;
            }
            if let Some(last) = tries.last(result).await {
                return last;
            }
        }
    }

    /// Hubs take the token as a bearer, older ones as a cookie; both find the user in a cookie.
    async fn show(
        &self,
        token: &Token,
        settings: &HubSettings,
        request: &Request<'_>,
        listener: Listener<'_>,
    ) -> Result<Words, HubError> {
        let cookies = format!(
            "caddyoauth={}; active-user={}",
            token.expose(),
            settings.username
        );
        let secrets = vec![settings.token.clone(), token.clone()];
        let authority = Authority::new("the hub", secrets)
            .bearer(token)?
            .cookies(&cookies)?;
        self.try_once(request, &authority, listener, Answer::words)
            .await
    }
}

/// What the hub says of the files it found: `regular 12, directory 3`.
fn counts(payload: &serde_json::Value) -> Option<String> {
    let files = payload.get("files")?.as_object()?;
    let counts: Vec<String> = files
        .iter()
        .filter(|(kind, _)| kind.chars().all(|c| c.is_ascii_alphabetic()))
        .filter_map(|(kind, count)| Some(format!("{kind} {}", count.as_u64()?)))
        .take(8)
        .collect();
    (!counts.is_empty()).then(|| counts.join(", "))
}

/// What can be a part of an address without leading elsewhere.
fn is_file_name(name: &str) -> bool {
    let is_plain = |c: char| !c.is_control() && c != '/' && c != '\\';
    !matches!(name, "" | "." | "..") && name.len() <= 255 && name.chars().all(is_plain)
}
