//! A running service, and what a story can do with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::SOON;
use super::containers;
use super::nest::Nest;
use super::process::{self, Output, Process};
use super::repository::Repository;
use super::watch::{self, Watch};
use super::within;

pub const TOKEN: &str = "a-token-for-changes";
pub const WEBHOOK_SECRET: &str = "a-secret-shared-with-github";

/// How long the containers of ended builds may stay: the service removes them at once, and looks
/// again from time to time.
const CONTAINERS_GONE: Duration = Duration::from_secs(30);

/// For an answer, which may be the log of a build that still runs.
const ANSWER_LIMIT: Duration = Duration::from_secs(180);

/// The service closes connections that idle for 30 s, which may cross with a request.
const IDLE_LIMIT: Duration = Duration::from_secs(5);

pub struct Service {
    folder: TempDir,
    settings: Value,
    /// Where it runs, if not on this machine itself.
    nest: Option<Nest>,
    /// How many files it may have open, if fewer than this test.
    files: Option<u64>,
    process: Option<Process>,
    instance: String,
    /// Texts of errors that this story's service may log.
    expected: Vec<&'static str>,
    pub(super) http: reqwest::Client,
    _watch: Watch,
}

impl Service {
    pub fn start() -> Self {
        Self::start_with(json!({}))
    }

    /// Starts a service whose file differs from that of other stories in these keys.
    pub fn start_with(changes: Value) -> Self {
        Self::start_in(story_folder(), changes)
    }

    /// The same in a folder in which somebody else is already.
    pub fn start_in(folder: TempDir, changes: Value) -> Self {
        Self::start_at(folder, None, None, changes)
    }

    /// Starts a service that may have this many files and connections open.
    pub fn start_with_files(files: u64, changes: Value) -> Self {
        Self::start_at(story_folder(), None, Some(files), changes)
    }

    /// The same in a container, with the service file that is made for one.
    pub fn start_nested(folder: TempDir, nest: Nest, changes: Value) -> Self {
        let mut settings = nest.settings();
        merge(&mut settings, changes);
        Self::start_at(folder, Some(nest), None, settings)
    }

    fn start_at(folder: TempDir, nest: Option<Nest>, files: Option<u64>, changes: Value) -> Self {
        let mut settings = json!({
            "listen": "127.0.0.1:0",
            "data_directory": "./data",
            "api_token": TOKEN,
            "shutdown_grace": "2s",
            "configuration": {"path": "./configuration"},
            "github": {
                "webhook_secret": WEBHOOK_SECRET,
                "git_url": folder.path().join("git"),
                "manage_webhooks": false,
                "first_sight": "record",
            },
            "docker": {
                "container_prefix": container_prefix(&folder),
                "default_image": "autobuilder/busybox:test",
                "memory": "256MiB",
                "pids": 200,
            },
            "artifacts": {"binaries": "./binaries"},
        });
        merge(&mut settings, changes);
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut service = Self {
            _watch: Watch::over(folder.path(), watch::LIMIT),
            folder,
            settings,
            nest,
            files,
            process: None,
            instance: String::new(),
            expected: Vec::new(),
            http: reqwest::Client::builder()
                .no_proxy()
                .timeout(ANSWER_LIMIT)
                .pool_idle_timeout(IDLE_LIMIT)
                .build()
                .unwrap(),
        };
        service.write_service_file();
        service.start_again();
        service
    }

    // ---- Its process

    /// Starts it on the same data directory.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it runs already");
        match self.try_start_again() {
            Ok(()) => {}
            Err(said) => panic!("the service did not start:\n{said}"),
        }
    }

    /// # Errors
    /// What it said, when it would not start.
    pub fn try_start_again(&mut self) -> Result<(), String> {
        let log = process::log_file(self.folder());
        let process = match &self.nest {
            Some(nest) => Process::start_nested(nest, &log)?,
            None => Process::start(&self.service_file(), &log, self.files)?,
        };
        self.instance.clone_from(&process.instance);
        self.process = Some(process);
        Ok(())
    }

    /// Starts it, and kills it before it can be ready.
    pub fn start_and_kill(&mut self, after: Duration) {
        assert!(self.process.is_none(), "it runs already");
        Process::start_and_kill(
            &self.service_file(),
            &process::log_file(self.folder()),
            after,
        );
    }

    /// Ends it as a power failure would: SIGKILL.
    pub fn kill(&mut self) {
        self.process.take().expect("it runs").kill();
    }

    /// Ends it as an operator would: SIGTERM.
    pub fn terminate(&mut self) -> ExitStatus {
        self.process.take().expect("it runs").terminate()
    }

    /// Lets a long story take so long.
    pub fn takes_at_most(&mut self, limit: Duration) {
        self._watch = Watch::over(self.folder.path(), limit);
    }

    /// Waits until it has ended by itself.
    pub async fn wait_for_end(&mut self, limit: Duration) -> ExitStatus {
        let process = self.process.as_mut().expect("it runs");
        let ended = within(limit, "the service ends by itself", async || {
            process.ended()
        })
        .await;
        self.process = None;
        ended
    }

    pub fn is_running(&mut self) -> bool {
        let process = self.process.as_mut();
        process.is_some_and(|process| process.ended().is_none())
    }

    /// Errors with any of these texts are part of the story, and so are panics.
    pub fn expect_errors(&mut self, texts: &[&'static str]) {
        self.expected.extend(texts);
    }

    /// Kills it as soon as the store says that a build is in this state. False when the build had
    /// passed it by then.
    pub fn kill_in(&mut self, state: &str, build: &str) -> bool {
        self.catch_in(state, build);
        self.kill();
        self.stored_state(build).0 == state
    }

    /// Waits until the store says that a build is in this state, or has ended. The database is
    /// looked at directly, because a state may last only milliseconds.
    pub fn catch_in(&self, state: &str, build: &str) {
        let begun = Instant::now();
        loop {
            let (found, ended) = self.stored_state(build);
            if found == state || ended {
                return;
            }
            assert!(begun.elapsed() < SOON, "the build is still {found}");
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    /// Waits until a query about a build finds a row in the store, and says so. False when the
    /// build has ended before.
    pub fn catch(&self, query: &str, build: &str) -> bool {
        let begun = Instant::now();
        while !self.finds(query, build) {
            if self.stored_state(build).1 {
                return false;
            }
            assert!(begun.elapsed() < SOON, "in vain: {query}");
            std::thread::sleep(Duration::from_micros(500));
        }
        true
    }

    /// Whether a query with one parameter finds a row in the store.
    pub fn finds(&self, query: &str, parameter: &str) -> bool {
        let database = self.database();
        let mut statement = database.prepare(query).unwrap();
        statement.exists([parameter]).unwrap()
    }

    /// What a query counts in the store.
    pub fn count(&self, query: &str) -> u64 {
        let database = self.database();
        database.query_row(query, [], |row| row.get(0)).unwrap()
    }

    fn stored_state(&self, build: &str) -> (String, bool) {
        let look = "SELECT state, ended IS NOT NULL FROM builds WHERE id = ?1";
        let database = self.database();
        database
            .query_row(look, [build], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    }

    /// Whether it knows where the branch `main` of a repository stands.
    pub fn knows_head_of(&self, repository: &Repository) -> bool {
        let count = "SELECT count(*) FROM heads WHERE repository = ?1 AND sha = ?2";
        let known = (repository.name.as_str(), repository.head());
        self.database()
            .query_row(count, known, |row| row.get::<_, u64>(0))
            .unwrap()
            > 0
    }

    /// Whether it has looked at all refs of a repository.
    pub fn has_seen(&self, repository: &Repository) -> bool {
        let count = "SELECT count(*) FROM seen_repositories WHERE repository = ?1";
        self.database()
            .query_row(count, [&repository.name], |row| row.get::<_, u64>(0))
            .unwrap()
            > 0
    }

    /// What SQLite says of its database.
    pub fn integrity(&self) -> String {
        let check = "PRAGMA integrity_check";
        self.database()
            .query_row(check, [], |row| row.get(0))
            .unwrap()
    }

    /// Reads only, so that what a crash has left is repaired by the service alone.
    fn database(&self) -> rusqlite::Connection {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let path = self.path("data/autobuilder.sqlite");
        let database = rusqlite::Connection::open_with_flags(path, flags).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        database
    }

    pub fn process_id(&self) -> u32 {
        self.process.as_ref().expect("it runs").id()
    }

    pub fn url(&self, path: &str) -> String {
        format!(
            "http://{}{path}",
            self.process.as_ref().expect("it runs").address
        )
    }

    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The service's own log, of all its processes.
    pub fn own_log(&self) -> String {
        let log = fs::read(process::log_file(self.folder())).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    // ---- Its files

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    /// What is on its way, and what a git leaves that was killed: neither is there once all is done.
    pub fn left_over(&self) -> Vec<PathBuf> {
        let mut left = files_below(&self.path("data/tmp"));
        let is_stale = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_string_lossy();
            let is_in_mirror = path
                .components()
                .any(|part| part.as_os_str().to_string_lossy().ends_with(".git"));
            // Beside the mirrors stand locks of ours, which are free.
            is_in_mirror
                && (name.ends_with(".lock")
                    || name == "gc.pid"
                    || name.starts_with("tmp_")
                    || name.starts_with(".tmp-"))
        };
        let in_mirrors = files_below(&self.path("data/mirrors"));
        left.extend(in_mirrors.into_iter().filter(is_stale));
        left
    }

    pub fn service_file(&self) -> PathBuf {
        self.path("config.yaml")
    }

    /// Changes keys of the service file, whether it runs or not.
    pub fn change_settings(&mut self, changes: Value) {
        merge(&mut self.settings, changes);
        self.write_service_file();
    }

    fn write_service_file(&self) {
        fs::write(
            self.service_file(),
            serde_yaml::to_string(&self.settings).unwrap(),
        )
        .unwrap();
    }

    pub fn container_prefix(&self) -> &str {
        self.settings["docker"]["container_prefix"]
            .as_str()
            .unwrap()
    }

    /// The container of a build, as Docker calls it.
    pub fn container_of(&self, build: &str) -> String {
        format!("{}{build}", self.container_prefix())
    }

    /// An empty repository, with no recipe yet.
    pub fn repository(&self, name: &str) -> Repository {
        Repository::create(self.folder(), name)
    }

    /// Writes the file of one branch into the configuration, as an editor would: the new file
    /// takes the old one's place in one step.
    pub fn write_configuration(&self, name: &str, branch: &str, text: &str) {
        let path = self
            .path("configuration")
            .join(name)
            .join(format!("{branch}.yaml"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let fresh = self.path("fresh.yaml");
        fs::write(&fresh, text).unwrap();
        fs::rename(&fresh, &path).unwrap();
    }

    pub fn remove_configuration(&self, name: &str, branch: &str) {
        let path = self
            .path("configuration")
            .join(name)
            .join(format!("{branch}.yaml"));
        fs::remove_file(path).unwrap();
    }

    // ---- Commands

    /// Runs a command of the program against this service.
    pub fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = self.cli_command();
        command.args(arguments);
        process::run(command)
    }

    /// Runs a command of the program that is told of the service file only: the service need not
    /// run.
    pub fn cli_with_file(&self, arguments: &[&str]) -> Output {
        let mut command = process::command();
        command.current_dir(self.path("git"));
        command
            .arg("--config")
            .arg(self.service_file())
            .args(arguments);
        process::run(command)
    }

    /// The program, told where this service is; in an empty folder, so that it finds no file.
    pub fn cli_command(&self) -> std::process::Command {
        let mut command = process::command();
        command.current_dir(self.path("git"));
        command
            .env("AUTOBUILDER_URL", self.url(""))
            .env("AUTOBUILDER_TOKEN", TOKEN);
        command
    }

    /// The program beside the service file.
    pub fn offline_command(&self) -> std::process::Command {
        let mut command = process::command();
        command.current_dir(self.folder());
        command
    }

    // ---- The end

    /// What the service should not have left behind while it ran, and did not by itself remove.
    fn left_on_docker(&self) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let mut left = containers::of_instance(&self.instance);
            left.extend(containers::volumes_of_instance(&self.instance));
            if left.is_empty() || begun.elapsed() > CONTAINERS_GONE {
                return left;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => files.extend(files_below(&path)),
            false => files.push(path),
        }
    }
    files
}

/// Everything of a story: what the service takes for GitHub, its configuration, its data.
pub fn story_folder() -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("autobuilder-story-")
        .tempdir()
        .unwrap();
    for name in ["git", "configuration"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    folder
}

/// What the containers of a story's builds are called.
pub fn container_prefix(folder: &TempDir) -> String {
    let unique = folder.path().file_name().unwrap().to_str().unwrap();
    // A container's name takes only part of what a folder's may hold.
    format!("{}-", unique.to_lowercase().replace('.', ""))
}

impl Drop for Service {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        let mut problems = Vec::new();
        if !failed && self.process.is_some() {
            let left = self.left_on_docker();
            if !left.is_empty() {
                problems.push(format!("containers or volumes were left behind: {left:?}"));
            }
        }
        if let Some(process) = self.process.take() {
            let status = process.terminate();
            if !status.success() {
                problems.push(format!("it ended with {status} after SIGTERM"));
            }
        }
        if !self.instance.is_empty() {
            containers::remove_all_of(&self.instance);
        }
        let log = self.own_log();
        problems.extend(process::complaints(&log, &self.expected));
        if failed || !problems.is_empty() {
            eprintln!("---- the service's log\n{log}----");
        }
        if !failed {
            assert!(
                problems.is_empty(),
                "the service misbehaved:\n{}",
                problems.join("\n")
            );
        }
    }
}

/// Puts the keys of `changes` into `settings`, section by section. Those that are null there are
/// left out.
pub fn merge(settings: &mut Value, changes: Value) {
    match (settings, changes) {
        (Value::Object(settings), Value::Object(changes)) => {
            for (key, change) in changes {
                if change.is_null() {
                    settings.remove(&key);
                } else {
                    merge(settings.entry(key).or_insert(Value::Null), change);
                }
            }
        }
        (setting, change) => *setting = change,
    }
}
