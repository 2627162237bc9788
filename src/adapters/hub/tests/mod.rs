//! Single uploads and links against the model of both servers, rightly and wrongly answered.

mod archive;
mod bootstrap;
mod retries;
mod token;
mod words;

use std::io::Write;
use std::sync::Mutex;

use hub_model::{Model, Route, Wrong};
use tempfile::TempDir;

use super::*;

const USER: &str = "acme-org";
const TOKEN: &str = "opensesame";
const NAME: &str = "acme-app-master-0123456789.tar.gz";
const STORED: &str = "acme-app-master-0123456789.flist";
const LINK: &str = "acme-app-master.flist";

/// Both servers, and a client with a file to upload. It is as patient as a test can afford; of the
/// limits only those are short that a test waits for.
struct World {
    model: Model,
    hub: Hub,
    settings: HubSettings,
    folder: TempDir,
    lines: Mutex<Vec<String>>,
    tried: Arc<Mutex<Vec<Tried>>>,
}

fn patience() -> Patience {
    Patience {
        pauses: vec![Duration::from_millis(1); 3],
        ..Patience::default()
    }
}

impl World {
    fn new() -> Self {
        Self::with(patience(), TOKEN)
    }

    fn with(patience: Patience, token: &str) -> Self {
        let model = Model::start();
        model.accept(token);
        let folder = tempfile::tempdir().unwrap();
        let settings = HubSettings {
            url: model.url(),
            username: USER.to_owned(),
            token: Token::new(token),
            refresh_url: Some(model.refresh_url()),
        };
        let tried = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&tried);
        let observer: Observer = Arc::new(move |one| seen.lock().unwrap().push(one));
        let world = Self {
            hub: Hub::with_patience(folder.path().join("hub-token"), observer, patience),
            model,
            settings,
            folder,
            lines: Mutex::default(),
            tried,
        };
        world.write(&archive(3000));
        world
    }

    /// What is to be uploaded.
    fn write(&self, content: &[u8]) {
        let mut file = std::fs::File::create(self.path()).unwrap();
        file.write_all(content).unwrap();
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("artifact")
    }

    fn token_file(&self) -> PathBuf {
        self.folder.path().join("hub-token")
    }

    fn listen(&self, line: String) {
        self.lines.lock().unwrap().push(line);
    }

    async fn upload(&self) -> Result<Option<String>, HubError> {
        let path = self.path();
        let local = Local {
            path: &path,
            name: NAME,
        };
        let listener = |line| self.listen(line);
        self.hub.upload(&self.settings, local, &listener).await
    }

    async fn link(&self, target: &str, link: &str) -> Result<(), HubError> {
        let listener = |line| self.listen(line);
        self.hub.link(&self.settings, target, link, &listener).await
    }

    fn lines(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    /// Operation and result of each try.
    fn results(&self) -> Vec<(&'static str, &'static str)> {
        let tried = self.tried.lock().unwrap();
        tried
            .iter()
            .map(|one| (one.operation, one.result))
            .collect()
    }

    fn stored(&self) -> Option<Vec<u8>> {
        let archive = self.model.archive(USER, STORED)?;
        Some(archive.to_vec())
    }
}

/// What the model takes for an archive: it looks no further than the first bytes.
fn archive(size: usize) -> Vec<u8> {
    let content = (0..size).map(|at| (at * 31 % 251) as u8);
    [0x1f, 0x8b].into_iter().chain(content).collect()
}

#[tokio::test]
async fn an_archive_arrives_byte_for_byte_and_is_linked() {
    let world = World::new();
    // What looks like the end of a form is content like any other.
    let mut content = archive(200_000);
    content.extend_from_slice(b"\r\n--boundary--\r\n");
    world.write(&content);
    assert_eq!(world.upload().await.unwrap().as_deref(), Some(STORED));
    assert_eq!(world.stored().unwrap(), content);
    world.link(STORED, LINK).await.unwrap();
    assert_eq!(world.model.link(USER, LINK).as_deref(), Some(STORED));
    assert_eq!(
        world.results(),
        [("upload", "success"), ("link", "success")]
    );
    assert_eq!(world.tried.lock().unwrap()[0].bytes, content.len() as u64);
    // A token without dots does not expire.
    assert!(world.model.requests(Route::Refresh).is_empty());
}

#[tokio::test]
async fn the_log_tells_how_large_how_fast_and_what_the_hub_found() {
    let world = World::new();
    world.upload().await.unwrap();
    let lines = world.lines();
    let lines: Vec<&str> = lines.lines().collect();
    assert_eq!(lines[0], format!("uploading {NAME}: 2.9 KiB"));
    assert!(lines[1].starts_with("uploaded 2.9 KiB ("), "{lines:?}");
    assert!(lines[1].contains("/s) in "), "{lines:?}");
    assert_eq!(lines[2], "the hub counts directory 3, regular 12");
    assert_eq!(lines.len(), 3);
}

#[tokio::test]
async fn names_that_mean_something_in_addresses_stay_names() {
    let world = World::new();
    let strange = "acme-app-feature#1?%2e&é \".flist";
    world
        .model
        .next(Route::Upload, Wrong::StoredAs(strange.to_owned()));
    assert_eq!(world.upload().await.unwrap().as_deref(), Some(strange));
    world.link(strange, "link#2.flist").await.unwrap();
    assert_eq!(
        world.model.link(USER, "link#2.flist").as_deref(),
        Some(strange)
    );
}

#[tokio::test]
async fn a_name_that_leads_elsewhere_is_not_believed() {
    let world = World::new();
    for name in ["../../other/flist", "..", "", "a\nb"] {
        world
            .model
            .next(Route::Upload, Wrong::StoredAs(name.to_owned()));
        let error = world.upload().await.unwrap_err().to_string();
        assert!(error.contains("not that of a file"), "{name:?}: {error}");
    }
    world.model.next(
        Route::Upload,
        Wrong::answer(200, r#"{"status": "success"}"#),
    );
    assert_eq!(world.upload().await, Ok(None));
}

#[tokio::test]
async fn a_file_that_is_gone_is_an_error_without_a_request() {
    let world = World::new();
    std::fs::remove_file(world.path()).unwrap();
    let error = world.upload().await.unwrap_err().to_string();
    assert!(error.contains("artifact: No such file"), "{error}");
    assert!(world.model.requests(Route::Upload).is_empty());
    assert_eq!(world.results(), [("upload", "local")]);
}
