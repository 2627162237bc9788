//! What the service owes everybody while somebody keeps it busy: an answer at once, and no more
//! memory than it has promised.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::in_full;
use super::service::Service;

const EVERY: Duration = Duration::from_millis(100);

/// After which an answer counts as none.
const PATIENCE: Duration = Duration::from_secs(30);

/// What one answer in a hundred may take. `make chaos` alone holds the service to it: where other
/// stories run beside, all that can be asked is that it never hangs.
const P99: Duration = Duration::from_millis(100);
const HANGS: Duration = Duration::from_secs(10);

const MIB: u64 = 1024 * 1024;

/// The aim of docs/performance.md, however much is written, and however many look on.
const MEMORY: u64 = 64 * MIB;

const REQUEST: &[u8] = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";

/// Asks `/healthz` again and again, by a new connection each time, and looks at the process. In a
/// thread of its own: what the story does must not look like the service's delay.
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<io::Result<Samples>>>,
}

struct Samples {
    answers: Vec<Duration>,
    /// The most of its own memory that was seen, in bytes.
    anonymous: u64,
    /// The same with the pages of files that it maps, its program among them, as the system counts.
    peak: u64,
}

impl Service {
    /// Looks at it until the sampler is asked what it saw.
    pub fn sample(&self) -> Sampler {
        let address = self.url("")["http://".len()..].parse().unwrap();
        let id = self.process_id();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        Sampler {
            thread: Some(thread::spawn(move || sample(address, id, &stopped))),
            stop,
        }
    }
}

impl Sampler {
    /// Fails the story if the service answered late or held too much.
    pub fn hold(self, what: &str) {
        self.hold_within(MEMORY, what);
    }

    /// The same of one that has a thousand repositories, and thousands of builds that wait.
    pub fn hold_with_a_queue(self, what: &str) {
        self.hold_within(96 * MIB, what);
    }

    fn hold_within(mut self, memory: u64, what: &str) {
        self.stop.store(true, Ordering::Relaxed);
        let samples = self.thread.take().unwrap().join().unwrap();
        let samples = samples.unwrap_or_else(|error| panic!("{what}: /healthz: {error}"));
        let (p50, p99, worst) = (samples.at(0.5), samples.at(0.99), samples.at(1.0));
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        println!(
            "{what}: /healthz {} times, p50 {p50:.1?}, p99 {p99:.1?}, most {worst:.1?}; memory {:.1} MiB of its own, {:.1} with its files",
            samples.answers.len(),
            mib(samples.anonymous),
            mib(samples.peak)
        );
        assert!(worst < HANGS, "{what}: an answer took {worst:?}");
        assert!(
            !in_full() || p99 < P99,
            "{what}: one answer in a hundred took {p99:?}"
        );
        let held = mib(samples.anonymous);
        assert!(samples.anonymous < memory, "{what}: {held} MiB");
    }
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Samples {
    /// The answer that took longer than this share of them.
    fn at(&self, share: f64) -> Duration {
        let last = self.answers.len() - 1;
        self.answers[(last as f64 * share) as usize]
    }
}

fn sample(address: SocketAddr, id: u32, stop: &AtomicBool) -> io::Result<Samples> {
    let mut answers = Vec::new();
    let (mut anonymous, mut peak) = (0, 0);
    while !stop.load(Ordering::Relaxed) || answers.is_empty() {
        let asked = Instant::now();
        ask(address)?;
        answers.push(asked.elapsed());
        anonymous = anonymous.max(status(id, "RssAnon")?);
        peak = peak.max(status(id, "VmHWM")?);
        thread::sleep(EVERY.saturating_sub(asked.elapsed()));
    }
    answers.sort();
    Ok(Samples {
        answers,
        anonymous,
        peak,
    })
}

fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(REQUEST)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.starts_with("HTTP/1.1 200 ") {
        true => Ok(()),
        false => Err(io::Error::other(format!("it answered {answer:?}"))),
    }
}

/// A size that the system shows of a process, in bytes.
fn status(id: u32, name: &str) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{id}/status"))?;
    let size = status.lines().find_map(|line| {
        let size = line.strip_prefix(name)?.strip_prefix(':')?;
        size.trim().strip_suffix(" kB")?.parse::<u64>().ok()
    });
    let size = size.ok_or_else(|| io::Error::other(format!("no {name} of process {id}")))?;
    Ok(size * 1024)
}
