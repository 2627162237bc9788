//! A caller of the model, somebody's clone, and a receiver of webhooks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use github_model::Model;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tempfile::TempDir;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers};

pub const TOKEN: &str = "a-token";

/// A model with the repository `acme/app` and a token that may everything.
pub struct World {
    pub github: Model,
    folder: TempDir,
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Value,
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let github = Model::start(&folder.path().join("git")).await;
        github.repository("acme/app").await;
        github.token(TOKEN).all();
        Self { github, folder }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &Value::Null).await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, body).await.unwrap()
    }

    pub async fn ask(&self, method: &str, path: &str, body: &Value) -> Option<Answer> {
        self.ask_as(&format!("Bearer {TOKEN}"), method, path, body, &[])
            .await
    }

    /// None if no answer came.
    pub async fn ask_as(
        &self,
        authorization: &str,
        method: &str,
        path: &str,
        body: &Value,
        headers: &[(&str, &str)],
    ) -> Option<Answer> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.github.url()))
            .header("user-agent", "a test");
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let request = request.body(Full::new(body)).unwrap();
        let client = Client::builder(TokioExecutor::new()).build_http();
        let response = client.request(request).await.ok()?;
        let (head, body) = response.into_parts();
        let headers = head.headers.iter().map(|(name, value)| {
            let value = value.to_str().unwrap().to_owned();
            (name.as_str().to_owned(), value)
        });
        let body = body.collect().await.ok()?.to_bytes();
        Some(Answer {
            status: head.status.as_u16(),
            headers: headers.collect(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    }

    /// Somebody's clone of a repository.
    pub fn clone_of(&self, name: &str) -> Clone {
        let folder = self.folder.path().join("clones").join(name);
        fs::create_dir_all(&folder).unwrap();
        let clone = Clone(folder);
        clone.git(&["init", "--quiet", "--initial-branch=main"]);
        let bare = self.github.folder().join(name);
        clone.git(&["remote", "add", "origin", bare.to_str().unwrap()]);
        clone
    }

    /// Pushes one commit to `main` of `acme/app`; returns its id.
    pub fn commit(&self) -> String {
        let clone = self.clone_of("acme/app");
        let commit = clone.commit("A change", &[("file", "text")]);
        clone.git(&["push", "--quiet", "origin", "HEAD:refs/heads/main"]);
        commit
    }
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// GitHub's sentence, and the reason within it.
    pub fn message(&self) -> String {
        let reason = self.body["errors"][0]["message"].as_str();
        let message = self.body["message"].as_str().unwrap_or_default();
        reason.map_or(message.to_owned(), |reason| format!("{message}: {reason}"))
    }
}

pub struct Clone(PathBuf);

impl Clone {
    pub fn git(&self, arguments: &[&str]) -> String {
        git(&self.0, arguments)
    }

    pub fn commit(&self, message: &str, files: &[(&str, &str)]) -> String {
        for (path, content) in files {
            fs::write(self.0.join(path), content).unwrap();
        }
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", message]);
        self.git(&["rev-parse", "HEAD"])
    }

    pub fn remove(&self, path: &str) {
        fs::remove_file(self.0.join(path)).unwrap();
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(["-c", "user.name=Ada", "-c", "user.email=ada@example.org"])
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Something that answers every webhook with this status.
pub async fn receiver(status: u16) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(matchers::any())
        .respond_with(ResponseTemplate::new(status))
        .mount(&server)
        .await;
    server
}

pub async fn until(what: &str, mut look: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !look() {
        assert!(begun.elapsed() < Duration::from_secs(20), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}
