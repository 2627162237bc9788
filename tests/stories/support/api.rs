//! The service's HTTP side, as any client uses it.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};

use super::repository::Repository;
use super::service::{Service, TOKEN};
use super::{SOON, containers, docker_answers, until, within};

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub bytes: Vec<u8>,
    pub text: String,
}

impl Answer {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.expect("the service answers");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let bytes = response
            .bytes()
            .await
            .expect("the answer is whole")
            .to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Self {
            status,
            headers,
            bytes,
            text,
        }
    }

    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.text) {
            Ok(json) => json,
            Err(error) => panic!("{} is not JSON ({error}): {}", self.status, self.text),
        }
    }

    /// An error as all of them look: its sentence. There is a hint, and no trace of code.
    pub fn error(&self) -> String {
        let json = self.json();
        assert!(json["hint"].is_string(), "{}", self.text);
        json["error"].as_str().expect("a sentence").to_owned()
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Service {
    pub async fn get(&self, path: &str) -> Answer {
        Answer::of(self.http.get(self.url(path))).await
    }

    /// For a request that needs more than an address.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, self.url(path))
    }

    /// Something that changes state, with the token for it.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        Answer::of(
            self.request(Method::POST, path)
                .bearer_auth(TOKEN)
                .json(&body),
        )
        .await
    }

    pub async fn build(&self, build: &str) -> Value {
        let answer = self.get(&format!("/api/v1/builds/{build}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.json()
    }

    pub async fn state(&self, build: &str) -> String {
        self.build(build).await["state"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    /// Newest first.
    pub async fn builds(&self) -> Vec<Value> {
        let answer = self.get("/api/v1/builds").await.json();
        answer["builds"].as_array().unwrap().clone()
    }

    pub async fn log(&self, build: &str) -> String {
        let answer = self.get(&format!("/api/v1/builds/{build}/log")).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer.text
    }

    /// Waits for a state, and fails at once when the build ends in another.
    pub async fn wait_for(&self, build: &str, state: &str) -> Value {
        self.wait_at_most(SOON, build, state).await
    }

    pub async fn wait_at_most(&self, limit: Duration, build: &str, state: &str) -> Value {
        let what = format!("build {build} becomes {state}");
        within(limit, &what, async || {
            let now = self.build(build).await;
            if now["state"] == state {
                return Some(now);
            }
            if now["ended"].is_string() {
                let log = self.log(build).await;
                panic!(
                    "build {build} should have become {state}: {now:#}\n---- its log\n{log}----"
                );
            }
            None
        })
        .await
    }

    /// Waits until a build's script runs, or has run.
    pub async fn wait_for_start(&self, build: &str) {
        until(&format!("build {build} is building"), async || {
            let state = self.state(build).await;
            (!matches!(state.as_str(), "queued" | "preparing")).then_some(())
        })
        .await;
    }

    /// Waits until a build's log holds a text.
    pub async fn wait_for_log(&self, build: &str, text: &str) {
        until(&format!("the log of {build} holds {text:?}"), async || {
            // A build that has just begun has no log yet.
            let answer = self.get(&format!("/api/v1/builds/{build}/log")).await;
            answer.text.contains(text).then_some(())
        })
        .await;
    }

    pub async fn cancel(&self, build: &str) -> Answer {
        self.post(&format!("/api/v1/builds/{build}/cancel"), json!({}))
            .await
    }

    /// Asks for a build once more, and returns the new one.
    pub async fn rebuild(&self, build: &str) -> String {
        let answer = self
            .post(&format!("/api/v1/builds/{build}/rebuild"), json!({}))
            .await;
        assert_eq!(answer.status, 202, "{}", answer.text);
        let builds = super::webhook::builds_in(&answer);
        assert_eq!(builds.len(), 1);
        builds[0].clone()
    }

    /// A number that `/metrics` shows.
    pub async fn metric(&self, name: &str) -> u64 {
        let metrics = self.get("/metrics").await.text;
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.unwrap_or_else(|| panic!("{name} is not in\n{metrics}"));
        value.parse().unwrap()
    }

    /// A connection from any address in 127.0.0.0/8, all of which are this machine.
    pub async fn connect_from(&self, address: Ipv4Addr) -> TcpStream {
        self.connect_by(TcpSocket::new_v4().unwrap(), address).await
    }

    /// The same by a socket that may be prepared.
    pub async fn connect_by(&self, socket: TcpSocket, address: Ipv4Addr) -> TcpStream {
        let to: SocketAddr = self.url("")["http://".len()..].parse().unwrap();
        socket.set_reuseaddr(true).unwrap();
        socket.bind((address, 0).into()).unwrap();
        socket.connect(to).await.unwrap()
    }

    // ---- The shortest ways to a build

    /// A repository whose branch `main` runs `build.sh`, and leaves `result.tar.gz`. Each push of
    /// any of its branches is then built, as far as the branch is configured.
    pub async fn tracked(&self, name: &str) -> Repository {
        let repository = self.repository(name);
        self.configure(name, "main", RECIPE).await;
        repository
    }

    /// Writes the file of one branch and waits until it is in force.
    pub async fn configure(&self, name: &str, branch: &str, text: &str) {
        let loads = self.configurations_loaded();
        self.write_configuration(name, branch, text);
        until("the configuration is loaded", async || {
            (self.configurations_loaded() > loads).then_some(())
        })
        .await;
    }

    /// How often the service has said that another configuration is in force.
    pub fn configurations_loaded(&self) -> usize {
        self.own_log().matches("configuration loaded").count()
    }

    /// Pushes a script as the next commit of `main`, and returns its build.
    pub async fn push_script(&self, repository: &Repository, script: &str) -> String {
        repository.commit(&[("build.sh", script)]);
        self.pushed(&repository.push("main")).await
    }

    /// Lets a script go on that waits in [`HOLD`]. Docker alone does it: the service may be down.
    pub fn release(&self, build: &str) {
        containers::release(&self.container_of(build));
    }

    /// The same of one that may have ended.
    pub fn try_release(&self, build: &str) {
        docker_answers(&["exec", &self.container_of(build), "touch", "/released"]);
    }
}

/// The recipe of [`Service::tracked`].
pub const RECIPE: &str = "
buildscripts: [build.sh]
build.sh:
  artifact: result.tar.gz
";

/// In a script: says so, and waits until the story lets it go on.
pub const HOLD: &str = "echo holding; until [ -e /released ]; do sleep 0.05; done\n";

/// In a script: leaves the artifact of [`RECIPE`].
pub const RESULT: &str = "echo done > /target/result.tar.gz\n";
