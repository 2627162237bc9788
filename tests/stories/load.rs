//! More than usual of everything that comes from outside: pushes, watchers, output. Whatever there
//! is of it, the service answers, holds little, and loses nothing.
//!
//! `AUTOBUILDER_FULL_LOAD=1` tells each story at its full size: `make chaos`.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::{
    Delivery, Follower, HOLD, Push, RECIPE, RESULT, Repository, SOON, Service, builds_in, in_full,
    notes, script_output, story_folder, until, within,
};

// ---- Pushes

/// Repositories that are one on the disk: what is pushed to the first is pushed to all of them.
struct Many {
    upstream: Repository,
    names: Vec<String>,
}

const SCRIPT: &str =
    "#!/bin/sh\necho built $AUTOBUILDER_COMMIT\necho done > /target/result.tar.gz\n";

impl Many {
    /// In the folder of a service that is yet to be started, and in its configuration.
    fn create(folder: &TempDir, count: usize) -> Self {
        let upstream = Repository::create(folder.path(), "upstream/app");
        upstream.commit(&[("build.sh", SCRIPT)]);
        upstream.push("main");
        let names: Vec<String> = (0..count)
            .map(|number| format!("acme/app-{number}"))
            .collect();
        std::fs::create_dir(folder.path().join("git/acme")).unwrap();
        for name in &names {
            let there = folder.path().join("git").join(name);
            std::os::unix::fs::symlink(&upstream.bare, there).unwrap();
            let configuration = folder.path().join("configuration").join(name);
            std::fs::create_dir_all(&configuration).unwrap();
            std::fs::write(configuration.join("main.yaml"), RECIPE).unwrap();
        }
        Self { upstream, names }
    }

    /// So many more commits, each pushed alone.
    fn push(&self, count: usize) -> Vec<Push> {
        let pushes = (0..count).map(|number| {
            self.upstream
                .commit(&[("number", number.to_string().as_str())]);
            self.upstream.push("main")
        });
        pushes.collect()
    }
}

/// What GitHub tells of this push to a repository that has the same commits.
fn told_of(name: &str, push: &Push) -> Delivery {
    let mut push = push.clone();
    let (owner, short) = name.split_once('/').unwrap();
    push.payload["repository"]["name"] = short.into();
    push.payload["repository"]["full_name"] = name.into();
    push.payload["repository"]["owner"] = json!({"login": owner, "name": owner});
    Delivery::of(&push)
}

/// All builds, by their ids.
async fn all_builds(service: &Service) -> HashMap<String, Value> {
    let mut all = HashMap::new();
    let mut before = String::new();
    loop {
        let path = format!("/api/v1/builds?limit=200{before}");
        let page = service.get(&path).await.json();
        for build in page["builds"].as_array().unwrap() {
            all.insert(build["id"].as_str().unwrap().to_owned(), build.clone());
        }
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return all,
        }
    }
}

const UNFINISHED: &str = "SELECT count(*) FROM builds WHERE ended IS NULL";

async fn everything_over(service: &Service, limit: Duration) {
    within(limit, "everything is over", async || {
        // Seldom: it is a question about thousands of builds.
        tokio::time::sleep(Duration::from_millis(200)).await;
        (service.count(UNFINISHED) == 0).then_some(())
    })
    .await;
}

/// Ten thousand in a minute to a thousand repositories, at two places; or as fast for two seconds.
#[tokio::test]
async fn a_flood_of_pushes_is_taken_and_the_newest_of_each_repository_is_built() {
    let (repositories, drained_within) = match in_full() {
        true => (1000, Duration::from_secs(40 * 60)),
        false => (16, 3 * SOON),
    };
    const PUSHES: usize = 10;
    const GAP: Duration = Duration::from_millis(6);

    let folder = story_folder();
    let many = Many::create(&folder, repositories);
    let begun = Instant::now();
    // As many builds as there are stay in the list, so that they can be counted.
    let settings = json!({"builds": {"concurrency": 2}, "retention": {"builds": 1_000_000}});
    let mut service = Service::start_in(folder, settings);
    println!(
        "ready with {repositories} repositories after {:.1?}",
        begun.elapsed()
    );
    service.takes_at_most(2 * drained_within);
    within(2 * SOON, "all repositories were looked at", async || {
        let seen = service.count("SELECT count(*) FROM seen_repositories");
        (seen == repositories as u64).then_some(())
    })
    .await;
    let pushes = many.push(PUSHES);

    let sampler = service.sample();
    let start = tokio::time::Instant::now();
    // Fewer than one address may have connections.
    let places = Semaphore::new(200);
    let tell = async |at: usize, name: &str| {
        let mut told = Vec::new();
        for (round, push) in pushes.iter().enumerate() {
            let delivery = told_of(name, push);
            let due = start + GAP * (round * repositories + at) as u32;
            tokio::time::sleep_until(due).await;
            let _place = places.acquire().await.unwrap();
            let answer = service.deliver(&delivery).await;
            assert_eq!(answer.status, 202, "{}", answer.text);
            let builds = builds_in(&answer);
            assert_eq!(builds.len(), 1, "{}", answer.text);
            told.push((builds[0].clone(), due.elapsed()));
        }
        told
    };
    let tellers = many.names.iter().enumerate();
    let told = join_all(tellers.map(|(at, name)| tell(at, name))).await;
    let mut times: Vec<Duration> = told.iter().flatten().map(|(_, time)| *time).collect();
    let took = start.elapsed();
    times.sort();
    println!(
        "{} pushes answered in {took:.1?}: p50 {:.1?}, p99 {:.1?}, most {:.1?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() * 99 / 100],
        times[times.len() - 1]
    );
    sampler.hold_with_a_queue("a flood of pushes");
    println!("{} builds wait", service.count(UNFINISHED));

    // With all of it in the queue.
    assert!(service.terminate().success());
    let begun = Instant::now();
    service.start_again();
    println!("ready again after {:.1?}", begun.elapsed());
    let sampler = service.sample();
    let begun = Instant::now();
    everything_over(&service, drained_within).await;
    println!("drained in {:.1?}", begun.elapsed());
    sampler.hold_with_a_queue("draining the queue");

    let all = all_builds(&service).await;
    assert_eq!(all.len(), PUSHES * repositories, "one build for each push");
    let newest = &pushes[PUSHES - 1].commit;
    for (name, told) in many.names.iter().zip(&told) {
        let (last, others) = told.split_last().unwrap();
        for (build, _) in others {
            let (state, attempt) = (&all[build]["state"], &all[build]["attempt"]);
            assert!(
                *state == "succeeded" || *state == "superseded",
                "{}",
                all[build]
            );
            assert_eq!(*attempt, 1, "{}", all[build]);
        }
        let last = &all[&last.0];
        assert_eq!(last["repository"], name.as_str());
        assert_eq!(
            (&last["state"], &last["commit"], &last["attempt"]),
            (&json!("succeeded"), &json!(newest), &json!(1)),
            "{last}"
        );
    }
    let log = service.log(&told[0][PUSHES - 1].0).await;
    assert_eq!(script_output(&log), format!("built {newest}\n"));
    assert_eq!(service.integrity(), "ok");
}

// ---- Watchers

/// A line that is written again and again, without pause.
struct Endless {
    line: &'static str,
    /// So often that any piece of a log is within.
    often: Vec<u8>,
}

const LONGEST_PIECE: usize = 1024 * 1024;

impl Endless {
    fn new(line: &'static str) -> Self {
        let often = line.repeat(LONGEST_PIECE / line.len() + 2).into_bytes();
        Self { line, often }
    }

    /// A command that writes so many bytes of it.
    fn command(&self, bytes: u64) -> String {
        let line = self.line.trim_end();
        format!("yes '{line}' | head -c {bytes}\n")
    }

    /// Whether these are its bytes from this one on.
    fn has(&self, from: u64, bytes: &[u8]) -> bool {
        let mut from = (from % self.line.len() as u64) as usize;
        bytes.chunks(LONGEST_PIECE).all(|piece| {
            let is_it = self.often[from..].starts_with(piece);
            from = (from + piece.len()) % self.line.len();
            is_it
        })
    }
}

/// What is read of a stream of output, of which nothing is kept but what is not as expected.
struct Reading<'a> {
    endless: &'a Endless,
    /// How much of the endless line comes.
    length: u64,
    read: u64,
    /// What comes after it.
    rest: Vec<u8>,
}

impl<'a> Reading<'a> {
    fn of(endless: &'a Endless, length: u64) -> Self {
        Self {
            endless,
            length,
            read: 0,
            rest: Vec::new(),
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let left = usize::try_from(self.length - self.read).unwrap();
        let (expected, rest) = bytes.split_at(bytes.len().min(left));
        assert!(
            self.endless.has(self.read, expected),
            "after {} bytes",
            self.read
        );
        self.read += expected.len() as u64;
        self.rest.extend_from_slice(rest);
    }

    /// What came after it, which came whole.
    fn rest(self) -> String {
        assert_eq!(self.read, self.length);
        String::from_utf8(self.rest).unwrap()
    }
}

/// Each hundred come from an address of their own, as one may not have more than a few hundred
/// connections.
fn address_of(number: usize) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 1, 1 + (number / 100) as u8)
}

/// Five hundred watchers of one build, of which every other one reads nothing of what it asks for.
#[tokio::test]
async fn hundreds_of_watchers_of_whom_half_never_read() {
    let (watchers, length) = match in_full() {
        true => (500, 20_000_000),
        false => (60, 4_000_000),
    };
    let endless = Endless::new("a line for everybody who reads, and for those who do not\n");
    let service = Service::start();
    let app = service.tracked("acme/app").await;
    let write = endless.command(length);
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{HOLD}{write}{RESULT}"))
        .await;
    service.wait_for_log(&build, "holding").await;
    let begin = service.log(&build).await.len() as u64;

    let (mut sleepers, mut readers) = (Vec::new(), Vec::new());
    for number in 0..watchers {
        let address = address_of(number);
        match number % 2 {
            0 => sleepers.push(service.sleeper(address, &build, begin).await),
            _ => readers.push(service.follower(address, &build, begin).await),
        }
    }
    let sampler = service.sample();
    let begun = Instant::now();
    service.release(&build);
    let read = async |mut follower: Follower| {
        let mut reading = Reading::of(&endless, length);
        while let Some(bytes) = follower.next().await {
            reading.take(&bytes);
        }
        (reading.rest(), begun.elapsed())
    };
    let read = join_all(readers.into_iter().map(read)).await;
    service.wait_for(&build, "succeeded").await;
    let last = read.iter().map(|(_, took)| *took).max().unwrap();
    println!(
        "{} readers had all {length} bytes after {last:.1?}",
        read.len()
    );
    sampler.hold("hundreds of watchers");
    let end = format!("/api/v1/builds/{build}/log?offset={}", begin + length);
    let rest = service.get(&end).await.text;
    assert!(rest.contains("==> "), "{rest}");
    for (told, _) in &read {
        assert_eq!(*told, rest);
    }

    // Who takes nothing is let go in the end, which takes its time.
    if !in_full() {
        return;
    }
    until("the sleepers are gone", async || {
        (service.metric("autobuilder_live_clients").await == 0).then_some(())
    })
    .await;
    drop(sleepers);
}

// ---- Output

/// Reads a log's bytes from an offset on, without holding them.
async fn read_log(service: &Service, build: &str, offset: u64, reading: &mut Reading<'_>) {
    let path = format!("/api/v1/builds/{build}/log?offset={offset}");
    let mut answer = service.request(Method::GET, &path).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    while let Some(piece) = answer.chunk().await.unwrap() {
        reading.take(&piece);
    }
}

/// Where the script's output begins: after the service's own lines.
async fn output_begins(service: &Service, build: &str) -> u64 {
    let path = format!("/api/v1/builds/{build}/log?limit=100000");
    let beginning = service.get(&path).await.text;
    let notes = beginning.split_inclusive('\n');
    let notes = notes.take_while(|line| line.starts_with("==> "));
    notes.map(|line| line.len() as u64).sum()
}

/// As fast as it can, and all of it is kept.
#[tokio::test]
async fn output_without_pause_is_kept_whole() {
    let length: u64 = if in_full() { 4 << 30 } else { 100 << 20 };
    let endless = Endless::new("a line of a script that never pauses, not even for a moment\n");
    let mut service = Service::start_with(json!({"builds": {"max_log": "8GiB"}}));
    service.takes_at_most(Duration::from_secs(1800));
    let app = service.tracked("acme/app").await;
    let sampler = service.sample();
    let begun = Instant::now();
    let write = endless.command(length);
    let build = service
        .push_script(&app, &format!("#!/bin/sh\n{write}{RESULT}"))
        .await;
    let ended = service.wait_at_most(10 * SOON, &build, "succeeded").await;
    println!("{length} bytes in the log after {:.1?}", begun.elapsed());
    let begin = output_begins(&service, &build).await;
    let mut reading = Reading::of(&endless, length);
    read_log(&service, &build, begin, &mut reading).await;
    let rest = reading.rest();
    // The last line was cut where its bytes came to their end.
    let notes = rest.strip_prefix('\n').unwrap();
    assert!(notes.lines().all(|line| line.starts_with("==> ")), "{rest}");
    let bytes = ended["log"]["bytes"].as_u64().unwrap();
    assert_eq!(bytes, begin + length + rest.len() as u64);
    sampler.hold("output without pause");
}

/// For ten minutes, of which the log has room for the first second.
#[tokio::test]
async fn output_without_pause_beyond_the_log_s_limit_is_counted_and_holds_up_nobody() {
    let seconds = if in_full() { 600 } else { 3 };
    const LIMIT: u64 = 32 << 20;
    const BLOCK: u64 = 50_000_000;
    let endless = Endless::new("a line of a script that never pauses, and is not heard either\n");
    let mut service = Service::start_with(json!({"builds": {"max_log": LIMIT}}));
    service.takes_at_most(Duration::from_secs(1800));
    let app = service.tracked("acme/app").await;
    let other = service.tracked("acme/other").await;
    let sampler = service.sample();
    let block = endless.command(BLOCK);
    let script = format!(
        "#!/bin/sh
end=$(($(date +%s) + {seconds})); blocks=0
until [ -e /released ] && [ $(date +%s) -ge $end ]; do {block}blocks=$((blocks+1)); done
echo $blocks > /target/result.tar.gz
"
    );
    let build = service.push_script(&app, &script).await;
    until("the log is full", async || {
        let bytes = service.build(&build).await["log"]["bytes"].as_u64()?;
        (bytes > LIMIT).then_some(())
    })
    .await;
    // Somebody else's build is as fast as ever.
    let quick = service
        .push_script(&other, &format!("#!/bin/sh\necho quick\n{RESULT}"))
        .await;
    service.wait_for(&quick, "succeeded").await;
    assert_eq!(service.state(&build).await, "building");
    service.release(&build);
    let limit = Duration::from_secs(seconds) + SOON;
    service.wait_at_most(limit, &build, "succeeded").await;

    let begin = output_begins(&service, &build).await;
    // What is kept is the beginning, up to the limit; the cut line is ended.
    let kept = LIMIT;
    let mut reading = Reading::of(&endless, kept);
    read_log(&service, &build, begin, &mut reading).await;
    let rest = reading.rest();
    let path = format!("/api/v1/builds/{build}/artifacts/result.tar.gz");
    let blocks: u64 = service.get(&path).await.text.trim().parse().unwrap();
    println!("{blocks} blocks of {BLOCK} bytes were written; {rest}");
    let dropped = bytesize::ByteSize(blocks * BLOCK - kept).to_string();
    let mut notes = notes(&rest).into_iter();
    assert!(
        notes.any(|note| note.contains(&dropped)),
        "{dropped} were dropped: {rest}"
    );
    sampler.hold("output beyond the log's limit");
}

/// A gigabyte without a newline, which nobody has to hold.
#[tokio::test]
async fn a_line_without_end_is_kept_whole_and_never_held() {
    let length: u64 = if in_full() { 1 << 30 } else { 16 << 20 };
    let endless = Endless::new("x");
    let mut service = Service::start_with(json!({"builds": {"max_log": "2GiB"}}));
    service.takes_at_most(Duration::from_secs(1800));
    let app = service.tracked("acme/app").await;
    let sampler = service.sample();
    let script = format!(
        "#!/bin/sh
{HOLD}head -c {length} /dev/zero | tr '\\0' x
echo needle
echo after
{RESULT}"
    );
    let build = service.push_script(&app, &script).await;
    service.wait_for_log(&build, "holding").await;
    let begin = service.log(&build).await.len() as u64;
    let mut follower = service.follower(Ipv4Addr::LOCALHOST, &build, begin).await;
    service.release(&build);
    let mut followed = Reading::of(&endless, length);
    while let Some(bytes) = follower.next().await {
        followed.take(&bytes);
    }
    let rest = followed.rest();
    assert!(rest.starts_with("needle\nafter\n==> "), "{rest}");
    let ended = service.wait_for(&build, "succeeded").await;
    let mut whole = Reading::of(&endless, length);
    read_log(&service, &build, begin, &mut whole).await;
    assert_eq!(whole.rest(), rest);

    let log = format!("/api/v1/builds/{build}/log");
    // Any piece of it.
    let middle = format!("{log}?offset={}&limit=100", begin + length / 2);
    assert_eq!(service.get(&middle).await.text, "x".repeat(100));
    let lines = ended["log"]["lines"].as_u64().unwrap();
    let after = lines - notes(&rest).len() as u64;
    assert_eq!(
        service
            .get(&format!("{log}?line={after}&lines=1"))
            .await
            .text,
        "after\n"
    );
    // As a line it is cut.
    let line = after - 1;
    let cut = service.get(&format!("{log}?line={line}&lines=10")).await;
    assert_eq!(cut.text.len(), 1 << 20);
    // What stands at its end is found there, at once or by going on.
    let found = service
        .get(&format!("{log}/search?q=needle&from={line}"))
        .await;
    let found = &found.json()["matches"][0];
    assert_eq!(
        (&found["line"], &found["column"]),
        (&json!(line), &json!(length + 1)),
        "{found}"
    );
    let before = service
        .get(&format!("{log}/search?q=needle&before={lines}"))
        .await;
    assert_eq!(before.json()["matches"][0], *found);
    let marks = service.get(&format!("{log}/search/marks?q=needle")).await;
    assert_eq!(marks.json()["matches"], 1);
    sampler.hold("a line without end");
}

// ---- The end

/// Numbers its lines until the story lets it go, and says last how many there were.
const STREAM: &str = "#!/bin/sh
i=0; until [ -e /released ]; do i=$((i+1)); echo line $i; done; echo $i lines
echo done > /target/result.tar.gz
";

fn assert_stream_is_whole(log: &str) {
    let output = script_output(log);
    let (lines, last) = output.trim_end().rsplit_once('\n').unwrap();
    let mut count = 0;
    for (line, number) in lines.lines().zip(1..) {
        assert_eq!(line, format!("line {number}"));
        count = number;
    }
    assert_eq!(last, format!("{count} lines"));
}

/// SIGTERM while builds print, others wait, clients follow, and GitHub tells of more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_under_load_it_keeps_what_it_has_answered() {
    let pushed_to = if in_full() { 200 } else { 16 };
    let folder = story_folder();
    let many = Many::create(&folder, pushed_to);
    let mut service = Service::start_in(folder, json!({"builds": {"concurrency": 2}}));
    service.takes_at_most(20 * SOON);
    let push = &many.push(1)[0];
    let mut streams = Vec::new();
    for name in ["stream/one", "stream/other"] {
        let repository = service.tracked(name).await;
        let build = service.push_script(&repository, STREAM).await;
        service.wait_for_log(&build, "line 1000").await;
        streams.push(build);
    }
    let mut followers = JoinSet::new();
    let mut sleepers = Vec::new();
    for number in 0..20 {
        let build = &streams[number % 2];
        if number < 4 {
            sleepers.push(service.sleeper(address_of(number), build, 0).await);
            continue;
        }
        let mut follower = service.follower(address_of(number), build, 0).await;
        followers.spawn(async move { while follower.next_or_gone().await {} });
    }

    // One after the other, whether there is an answer or not; and again, until it has ended.
    let told = Arc::new(Mutex::new(BTreeSet::new()));
    let has_ended = Arc::new(AtomicBool::new(false));
    let requests: Vec<_> = many
        .names
        .iter()
        .map(|name| service.delivery_request(&told_of(name, push)))
        .collect();
    let (keep, ended) = (Arc::clone(&told), Arc::clone(&has_ended));
    let teller = tokio::spawn(async move {
        let mut tellers = JoinSet::new();
        for request in requests.iter().cycle() {
            if ended.load(Ordering::Relaxed) {
                break;
            }
            let (request, told) = (request.try_clone().unwrap(), Arc::clone(&keep));
            tellers.spawn(async move {
                if let Ok(answer) = request.send().await
                    && answer.status() == 202
                    && let Ok(answer) = answer.json::<Value>().await
                    && let Some(build) = answer["builds"][0]["id"].as_str()
                {
                    told.lock().unwrap().insert(build.to_owned());
                }
            });
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        tellers.join_all().await;
    });
    until("some of it was told", async || {
        (told.lock().unwrap().len() > pushed_to / 3).then_some(())
    })
    .await;
    let begun = Instant::now();
    let status = service.terminate();
    let took = begun.elapsed();
    has_ended.store(true, Ordering::Relaxed);
    println!(
        "it ended after {took:.1?}, with {} pushes answered",
        told.lock().unwrap().len()
    );
    // Of itself: SIGKILL comes where it takes too long.
    assert!(status.success(), "{status}");
    // All clients were left.
    while followers.join_next().await.is_some() {}
    teller.await.unwrap();
    drop(sleepers);

    service.start_again();
    for build in &streams {
        service.release(build);
    }
    let told = told.lock().unwrap().clone();
    everything_over(&service, 10 * SOON).await;
    for build in streams.iter().chain(&told) {
        let ended = service.wait_for(build, "succeeded").await;
        assert_eq!(ended["attempt"], 1);
    }
    for build in &streams {
        assert_stream_is_whole(&service.log(build).await);
    }
}
