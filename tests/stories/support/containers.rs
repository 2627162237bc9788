//! Docker as an onlooker sees it, by its own command line.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::process::output;

/// Runs `docker`, which has to succeed, and returns what it prints.
pub fn docker(arguments: &[&str]) -> String {
    match try_docker(arguments) {
        Ok(output) => output,
        Err(error) => panic!("docker {arguments:?}: {error}"),
    }
}

/// Lets go a script that waits for `/released`. A build is told to be building just before its
/// container starts.
pub fn release(container: &str) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        match try_docker(&["exec", container, "touch", "/released"]) {
            Ok(_) => return,
            Err(error) if error.contains("is not running") && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(50));
            }
            Err(error) => panic!("cannot release {container}: {error}"),
        }
    }
}

/// Whether a `docker` command succeeds.
pub fn docker_answers(arguments: &[&str]) -> bool {
    try_docker(arguments).is_ok()
}

fn try_docker(arguments: &[&str]) -> Result<String, String> {
    let output = output(Command::new("docker").args(arguments));
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// All that Docker tells of a container.
pub fn inspect(container: &str) -> Value {
    let told: Value = serde_json::from_str(&docker(&["inspect", container])).unwrap();
    told[0].clone()
}

/// Ids of the containers, running or not, of one data directory.
pub fn of_instance(instance: &str) -> Vec<String> {
    ids(&["ps", "--all", "--quiet", "--filter", &label(instance)])
}

/// Names of the volumes, of containers or not, of one data directory.
pub fn volumes_of_instance(instance: &str) -> Vec<String> {
    ids(&["volume", "ls", "--quiet", "--filter", &label(instance)])
}

/// Removes everything that carries this data directory's label: containers with their volumes,
/// then networks and volumes that no container has.
pub fn remove_all_of(instance: &str) {
    for container in of_instance(instance) {
        // One that is being removed by somebody else at this moment is as good as removed.
        let _ = try_docker(&["rm", "--force", "--volumes", &container]);
    }
    for network in ids(&["network", "ls", "--quiet", "--filter", &label(instance)]) {
        let _ = try_docker(&["network", "rm", &network]);
    }
    for volume in volumes_of_instance(instance) {
        let _ = try_docker(&["volume", "rm", &volume]);
    }
}

fn label(instance: &str) -> String {
    format!("label=autobuilder.instance={instance}")
}

fn ids(arguments: &[&str]) -> Vec<String> {
    docker(arguments).lines().map(str::to_owned).collect()
}

/// Counts the containers made for each build, from when it is created. Docker itself remembers
/// only its last few events, so somebody has to listen.
pub struct Creations {
    listener: Child,
    builds: Arc<Mutex<Vec<String>>>,
}

impl Creations {
    pub fn of_instance(instance: &str) -> Self {
        let mut listener = Command::new("docker")
            .args(["events", "--filter", "event=create", "--filter", &label(instance)])
            .args(["--format", r#"{{index .Actor.Attributes "autobuilder.build"}}"#])
            // Docker then tells first what has just been, so nothing falls between.
            .args(["--since", "1s"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("docker can be run");
        let builds = Arc::new(Mutex::new(Vec::new()));
        let (lines, heard) = (listener.stdout.take().unwrap(), Arc::clone(&builds));
        std::thread::spawn(move || {
            for line in BufReader::new(lines).lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        Self { listener, builds }
    }

    /// How many containers were made for this build so far.
    pub fn of(&self, build: &str) -> usize {
        self.builds
            .lock()
            .unwrap()
            .iter()
            .filter(|heard| *heard == build)
            .count()
    }
}

impl Drop for Creations {
    fn drop(&mut self) {
        let _ = self.listener.kill();
        let _ = self.listener.wait();
    }
}
