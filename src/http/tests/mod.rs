//! Stories through the front door: a real store and real logs in a temporary folder, requests as
//! clients send them.

mod badge;
mod builds;
mod configuration;
mod github;
mod health;
mod history;
mod legacy;
mod live;
mod log_search;
mod repositories;
mod routes;
mod service;
mod session;
mod webhook;

use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use warp::filters::BoxedFilter;
use warp::http::Response as HttpResponse;

use super::{LiveTimes, Web, routes};
use crate::actors::Projects;
use crate::config::ServiceConfig;
use crate::config::secret::Secret;
use crate::domain::build::{Artifact, Build, Cause, State, Work};
use crate::domain::mask::Masker;
use crate::domain::names::{BuildId, CommitSha};
use crate::domain::push::{Commit, Push};
use crate::domain::recipe::{Catalog, Recipe};
use crate::domain::token::TokenHash;
use crate::log::LogWriter;
use crate::service::DataDirectory;
use crate::service::quiet::Inputs;
use crate::store::{BuildFilter, Facts, NewBuilds, Store, Transition};

pub const TOKEN: &str = "open sesame";

/// A service without anyone who builds: states and logs change as the test says.
pub struct Fixture {
    pub web: Arc<Web>,
    pub routes: BoxedFilter<(super::Response,)>,
    pub inputs: Inputs,
    pub folder: TempDir,
}

impl Fixture {
    pub fn new() -> Self {
        Self::patient(LiveTimes::default())
    }

    pub fn patient(live_times: LiveTimes) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::open(folder.path(), &folder.path().join("tmp")).unwrap();
        let config = ServiceConfig {
            api_token: Some(TokenHash::of(TOKEN)),
            ..ServiceConfig::default()
        };
        let inputs = Inputs::new(config, catalog());
        let store = Store::open(&directory.database()).unwrap();
        let service = inputs.service(directory, store, &origin(folder.path()));
        let web = Arc::new(Web::new(Arc::new(service), Projects::absent(), live_times));
        Self {
            routes: routes(&web),
            web,
            inputs,
            folder,
        }
    }

    pub fn store(&self) -> &Store {
        &self.web.service.store
    }

    pub fn configure(&self, change: impl FnOnce(&mut ServiceConfig)) {
        self.inputs
            .config
            .send_modify(|config| change(Arc::make_mut(config)));
    }

    /// Every build there is, newest first.
    pub async fn all(&self) -> Vec<Build> {
        let everything = BuildFilter::default();
        self.store().builds(everything, 1000).await.unwrap().builds
    }

    /// The builds of a push to main, one for each of its scripts.
    pub async fn push(&self, after: char) -> Vec<BuildId> {
        let new = new_build(after);
        self.store().hear_push(None, new).await.unwrap().builds
    }

    pub async fn advance(&self, build: &BuildId, states: &[State]) -> Build {
        let mut last = None;
        for &to in states {
            last = Some(self.transition(build, to, Facts::default()).await);
        }
        last.unwrap()
    }

    pub async fn transition(&self, build: &BuildId, to: State, known: Facts) -> Build {
        let transition = Transition {
            build: build.clone(),
            to,
            reason: None,
            known,
        };
        self.store().transition(transition).await.unwrap()
    }

    /// Begins the build's log.
    pub async fn log(&self, build: &BuildId) -> LogWriter {
        let build = self.store().build(build.clone()).await.unwrap();
        self.web.service.logs.write(&build, Masker::none()).unwrap()
    }

    /// A build of a new push that has succeeded, with this log.
    pub async fn built(&self, after: char, log: &[u8]) -> BuildId {
        let build = self.push(after).await.remove(0);
        self.transition(&build, State::Preparing, Facts::default())
            .await;
        let mut writer = self.log(&build).await;
        writer.append(1_000, 0, log).unwrap();
        writer.finish().unwrap();
        let mark = *writer.watermark().borrow();
        self.web.service.logs.closed(&build);
        self.advance(
            &build,
            &[State::Building, State::Collecting, State::Publishing],
        )
        .await;
        let known = Facts {
            log: Some((mark.bytes, mark.lines, writer.tail())),
            ..Facts::default()
        };
        self.transition(&build, State::Succeeded, known).await;
        build
    }

    pub async fn get(&self, path: &str) -> HttpResponse<bytes::Bytes> {
        warp::test::request().path(path).reply(&self.routes).await
    }

    pub async fn post(&self, path: &str, body: Value) -> HttpResponse<bytes::Bytes> {
        warp::test::request()
            .method("POST")
            .path(path)
            .header("authorization", format!("Bearer {TOKEN}"))
            .json(&body)
            .reply(&self.routes)
            .await
    }
}

/// Serves a fixture's service until told to stop; can be done again, as a restart does.
pub fn serve_at(listener: TcpListener, fixture: &Fixture) -> (oneshot::Sender<()>, JoinHandle<()>) {
    let service = Arc::clone(&fixture.web.service);
    let web = Arc::new(Web::new(
        service,
        Projects::absent(),
        fixture.web.live_times,
    ));
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(super::server::serve_web(listener, web, async {
        let _ = stopped.await;
    }));
    (stop, served)
}

pub fn json(response: &HttpResponse<bytes::Bytes>) -> Value {
    assert_eq!(response.headers()["content-type"], "application/json");
    serde_json::from_slice(response.body()).unwrap()
}

/// An error's status, sentence and hint.
pub fn failure(response: &HttpResponse<bytes::Bytes>) -> String {
    let json = json(response);
    let (error, hint) = (
        json["error"].as_str().unwrap(),
        json["hint"].as_str().unwrap(),
    );
    format!("{}: {error}; {hint}", response.status().as_u16())
}

/// The folder of repositories that stands for GitHub.
fn origin(folder: &Path) -> String {
    folder.join("origin").to_str().unwrap().to_owned()
}

pub fn sha(digit: char) -> CommitSha {
    digit.to_string().repeat(40).parse().unwrap()
}

/// `acme/app` builds two scripts on main and one on feature/x.
fn catalog() -> Catalog {
    let mut catalog = Catalog::default();
    let recipes = [
        (
            "main",
            vec![Recipe::of_script("build.sh"), Recipe::of_script("test.sh")],
        ),
        ("feature/x", vec![Recipe::of_script("build.sh")]),
    ];
    for (branch, recipes) in recipes {
        catalog.insert(
            "acme/app".parse().unwrap(),
            branch.parse().unwrap(),
            recipes,
        );
    }
    catalog
}

pub fn new_build(after: char) -> NewBuilds {
    NewBuilds {
        push: Push {
            repository: "acme/app".parse().unwrap(),
            reference: "refs/heads/main".parse().unwrap(),
            before: None,
            after: sha(after),
            forced: false,
            pusher: Some("ada".into()),
            default_branch: None,
            commits: vec![Commit {
                id: sha(after),
                message: format!("change {after}"),
                author: "Ada".into(),
                url: None,
            }],
        },
        work: [Recipe::of_script("build.sh"), Recipe::of_script("test.sh")]
            .map(Work::from)
            .to_vec(),
        dependents: Vec::new(),
        cause: Cause::Push {
            pusher: Some("ada".into()),
            forced: false,
        },
    }
}

pub fn artifact(content: &[u8]) -> Artifact {
    use sha2::{Digest, Sha256};
    Artifact {
        name: "result.tar.gz".parse().unwrap(),
        size: content.len() as u64,
        sha256: hex::encode(Sha256::digest(content)),
    }
}
