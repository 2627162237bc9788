//! The service's process and its log.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{self, Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::SOON;
use super::containers::docker;
use super::nest::Nest;

/// The program that these tests were built with.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_autobuilder");

/// For a start with a database that has to be recovered, on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(30);

/// For a command of any program: Docker's take their time where other stories keep it busy.
const COMMAND_LIMIT: Duration = Duration::from_secs(300);

pub struct Process {
    child: Child,
    /// In which it runs; the child then only stands for it.
    container: Option<String>,
    pub address: SocketAddr,
    pub instance: String,
}

impl Process {
    /// Starts the service on this machine, with at most `files` open where that is said.
    ///
    /// # Errors
    /// Like [`Self::wait_for_ready`].
    pub fn start(service_file: &Path, log: &Path, files: Option<u64>) -> Result<Self, String> {
        let serve = serve(service_file);
        let command = match files {
            Some(files) => with_files(files, &serve),
            None => serve,
        };
        Self::wait_for_ready(command, log, None)
    }

    /// Starts the service on this machine, and sends SIGKILL after this time.
    pub fn start_and_kill(service_file: &Path, log: &Path, after: Duration) {
        let output = File::options().create(true).append(true).open(log).unwrap();
        let mut command = serve(service_file);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("the program can be run");
        std::thread::sleep(after);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts the service in a container.
    ///
    /// # Errors
    /// Like [`Self::wait_for_ready`].
    pub fn start_nested(nest: &Nest, log: &Path) -> Result<Self, String> {
        let container = nest.container.clone();
        let mut process = Self::wait_for_ready(nest.command(), log, Some(container))?;
        if process.address.ip().is_unspecified() {
            process.address = docker(&["port", &nest.container, "5560"]).parse().unwrap();
        }
        Ok(process)
    }

    /// Runs a command that is the service, until it says that it is ready. Its log is appended to
    /// `log`.
    ///
    /// # Errors
    /// What it said, when it ended instead.
    fn wait_for_ready(
        mut command: Command,
        log: &Path,
        container: Option<String>,
    ) -> Result<Self, String> {
        let output = File::options().create(true).append(true).open(log).unwrap();
        // What earlier processes wrote is not this one's.
        let said_before = output.metadata().unwrap().len() as usize;
        let mut child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("the program can be run");
        let begun = Instant::now();
        loop {
            let ended = child.try_wait().unwrap();
            let said = fs::read(log).unwrap().split_off(said_before);
            let said = String::from_utf8_lossy(&said);
            if let Some((address, instance)) = said.lines().find_map(ready) {
                return Ok(Self {
                    child,
                    container,
                    address,
                    instance,
                });
            }
            if ended.is_some() {
                return Err(said.into_owned());
            }
            if begun.elapsed() > START_LIMIT {
                let _ = child.kill();
                panic!("the service was not ready within {START_LIMIT:?}:\n{said}");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGKILL.
    pub fn kill(mut self) {
        match &self.container {
            Some(container) => drop(docker(&["kill", container])),
            None => self.child.kill().unwrap(),
        }
        end(&mut self.child, SOON);
    }

    /// SIGTERM, and the end; SIGKILL when that does not come.
    pub fn terminate(mut self) -> ExitStatus {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        end(&mut self.child, Duration::from_secs(15))
    }

    /// How it has ended, if it has.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

fn serve(service_file: &Path) -> Command {
    let mut command = command();
    command
        .args(["serve", "--log-format", "json", "--config"])
        .arg(service_file)
        .env("RUST_LOG", "info,autobuilder=debug");
    super::clock::give(&mut command, service_file);
    let faults = service_file.with_file_name("faults");
    if faults.exists() {
        command.env("AUTOBUILDER_FAULTS", faults);
    }
    command
}

/// The same by a shell that lowers how many files may be open, for good.
fn with_files(files: u64, command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "ulimit -n \"$0\" && exec \"$@\""])
        .arg(files.to_string())
        .arg(command.get_program())
        .args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// A command of the program under test, which finds no configuration but what it is given.
pub fn command() -> Command {
    let mut command = Command::new(PROGRAM);
    for name in [
        "AUTOBUILDER_URL",
        "AUTOBUILDER_TOKEN",
        "RUST_LOG",
        "NO_COLOR",
    ] {
        command.env_remove(name);
    }
    command
}

/// Runs a command of the program under test to its end.
pub fn run(mut command: Command) -> Output {
    let output = output(&mut command);
    Output {
        code: output.status.code().expect("it was not killed"),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A command of root, who this may be already.
pub fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("sudo");
    command.args(["--non-interactive", program]);
    command
}

/// Runs any command to its end, which has to come.
pub fn output(command: &mut Command) -> process::Output {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{error}: {command:?}"));
    let id = Pid::from_child(&child);
    let (sender, ended) = mpsc::channel();
    std::thread::spawn(move || sender.send(child.wait_with_output()));
    let Ok(output) = ended.recv_timeout(COMMAND_LIMIT) else {
        let _ = kill_process(id, Signal::KILL);
        panic!("it did not end within {COMMAND_LIMIT:?}: {command:?}");
    };
    output.unwrap()
}

/// Waits for the end of a child; SIGKILL when that does not come.
pub fn end(child: &mut Child, limit: Duration) -> ExitStatus {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    child.wait().unwrap()
}

/// The arguments of a process and of all that come from it, by what the system shows to anyone.
pub fn command_lines(of: u32) -> Vec<String> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let id: Option<u32> = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let (Some(id), Ok(stat)) = (id, fs::read_to_string(entry.path().join("stat"))) else {
            continue;
        };
        // After the name, which is in brackets and may be anything: the state, then the parent.
        let (_, rest) = stat.rsplit_once(") ").unwrap();
        let parent: u32 = rest.split(' ').nth(1).unwrap().parse().unwrap();
        parents.push((id, parent));
    }
    let mut family: Vec<u32> = vec![of];
    let mut at = 0;
    while let Some(&process) = family.get(at) {
        let children = parents.iter().filter(|(_, parent)| *parent == process);
        family.extend(children.map(|(id, _)| *id));
        at += 1;
    }
    family
        .iter()
        .filter_map(|id| fs::read(format!("/proc/{id}/cmdline")).ok())
        .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
        .collect()
}

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Output {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// The address and the instance, from the line that says that all is ready.
fn ready(line: &str) -> Option<(SocketAddr, String)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields").unwrap_or(&line);
    if fields["message"] != "ready" {
        return None;
    }
    let address = fields["address"].as_str()?.parse().ok()?;
    Some((address, fields["instance"].as_str()?.to_owned()))
}

/// Lines of a service's log that should not be there: panics and errors. Whatever a build or an
/// outsider does wrong is no error of the service. Some stories expect errors, and name a text of each.
pub fn complaints(log: &str, expected: &[&str]) -> Vec<String> {
    let is_complaint = |line: &str| {
        let level = serde_json::from_str::<Value>(line)
            .ok()
            .map(|line| line["level"].clone());
        // What a panic said follows in the next line.
        let has_panicked = expected.is_empty() && line.contains("panicked at");
        level.is_some_and(|level| level == "ERROR") || has_panicked
    };
    log.lines()
        .filter(|line| is_complaint(line))
        .filter(|line| !expected.iter().any(|text| line.contains(text)))
        .map(str::to_owned)
        .collect()
}

/// Where a service in this folder writes its log.
pub fn log_file(folder: &Path) -> PathBuf {
    folder.join("service.log")
}
