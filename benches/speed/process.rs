//! The service's process, seen from outside.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The program that was built together with this benchmark, and like it for speed.
const PROGRAM: &str = env!("CARGO_BIN_EXE_autobuilder");

const START_LIMIT: Duration = Duration::from_secs(30);
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// Ends with SIGKILL when dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    pub instance: String,
}

impl Process {
    /// Returns when the service is ready. Its log is appended to `log`.
    pub fn start(service_file: &Path, log: &Path) -> anyhow::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let said_before = usize::try_from(output.metadata()?.len())?;
        let mut child = Command::new(PROGRAM)
            .args(["serve", "--log-format", "json", "--config"])
            .arg(service_file)
            .env_remove("RUST_LOG")
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .with_context(|| format!("{PROGRAM} cannot be run"))?;
        let begun = Instant::now();
        loop {
            let ended = child.try_wait()?.is_some();
            let said = fs::read(log)?.split_off(said_before);
            let said = String::from_utf8_lossy(&said);
            if let Some((address, instance)) = said.lines().find_map(ready) {
                return Ok(Self {
                    child,
                    address,
                    instance,
                });
            }
            if ended || begun.elapsed() > START_LIMIT {
                let _ = child.kill();
                let _ = child.wait();
                bail!("the service did not start:\n{said}");
            }
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// SIGTERM; SIGKILL if that does not help.
    pub fn stop(mut self) -> anyhow::Result<()> {
        let id = Pid::from_raw(i32::try_from(self.child.id())?).context("a process has an id")?;
        kill_process(id, Signal::TERM)?;
        let begun = Instant::now();
        while begun.elapsed() < STOP_LIMIT {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("the service did not end within {STOP_LIMIT:?} after SIGTERM")
    }

    /// The most memory that it ever had resident, in bytes.
    pub fn peak(&self) -> anyhow::Result<u64> {
        status(self.child.id(), "VmHWM")
    }

    pub fn resident(&self) -> anyhow::Result<u64> {
        status(self.child.id(), "VmRSS")
    }

    /// Of that, what is not the program itself and other files.
    pub fn anonymous(&self) -> anyhow::Result<u64> {
        status(self.child.id(), "RssAnon")
    }

    /// Time on a processor so far, in seconds.
    pub fn processor_time(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold anything; user and system time are fields 14 and 15.
        let (_, fields) = stat.rsplit_once(')').context("stat without a name")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let ticks: u64 = fields[11].parse::<u64>()? + fields[12].parse::<u64>()?;
        // Linux counts in hundredths here on every machine (USER_HZ).
        Ok(ticks as f64 / 100.0)
    }

    /// Looks at its memory all the time until the sampler is asked.
    pub fn sample(&self) -> Sampler {
        let (id, stop, most) = (self.child.id(), Arc::default(), Arc::default());
        let (stopped, largest): (Arc<AtomicBool>, Arc<AtomicU64>) =
            (Arc::clone(&stop), Arc::clone(&most));
        let thread = thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(now) = status(id, "RssAnon") {
                    largest.fetch_max(now, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(20));
            }
        });
        Sampler {
            stop,
            most,
            thread: Some(thread),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub struct Sampler {
    stop: Arc<AtomicBool>,
    most: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Sampler {
    /// The most anonymous memory that was seen, in bytes.
    pub fn most(&self) -> u64 {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A size of /proc/<id>/status, in bytes.
fn status(id: u32, name: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let size = status.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        let kib = value.trim().strip_suffix("kB")?;
        (key == name).then(|| kib.trim().parse::<u64>().ok())?
    });
    Ok(size.with_context(|| format!("no {name} in /proc/{id}/status"))? * 1024)
}

/// The address and the instance, from the line that says that all is ready.
fn ready(line: &str) -> Option<(SocketAddr, String)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields")?;
    if fields["message"] != "ready" {
        return None;
    }
    let address = fields["address"].as_str()?.parse().ok()?;
    Some((address, fields["instance"].as_str()?.to_owned()))
}
