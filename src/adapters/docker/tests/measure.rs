//! Measurements, printed: cargo test --release adapters::docker::tests::measure -- --ignored --nocapture

use super::*;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

const LINES: usize = 1_000_000;
const ROUNDS: usize = 5;

fn lines() -> String {
    format!("yes {} | head -n {LINES}", "x".repeat(99))
}

/// The same by a shell that writes each line by itself.
const SLOW_LINES: usize = 200_000;
fn slow_lines() -> String {
    let line = "x".repeat(99);
    format!("i=0; while [ $i -lt {SLOW_LINES} ]; do echo {line}; i=$((i+1)); done")
}

/// Seconds that a plain exec takes, of which nothing is kept.
async fn raw(script: &str) -> f64 {
    use bollard::exec::{StartExecOptions, StartExecResults};
    let container = Container::of("sleep 1000").await;
    let engine = container.docker.engine().unwrap();
    let begun = Instant::now();
    let config = bollard::models::ExecConfig {
        cmd: Some(["sh", "-c", script].map(str::to_owned).to_vec()),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        ..Default::default()
    };
    let exec = engine.create_exec(&container.id, config).await.unwrap();
    let started = engine
        .start_exec(&exec.id, None::<StartExecOptions>)
        .await
        .unwrap();
    let StartExecResults::Attached { mut output, .. } = started else {
        panic!("no output")
    };
    let mut bytes = 0;
    while let Some(piece) = output.next().await {
        bytes += piece.unwrap().as_ref().len();
    }
    assert_eq!(bytes % 100, 0);
    begun.elapsed().as_secs_f64()
}

/// Seconds from the script's start to the last byte, and of the script alone.
async fn spooled(script: &str) -> (f64, f64) {
    let container = Container::of(script).await;
    let mut frames = container.docker.follow(&container.id, 0);
    while let Some(frame) = frames.next().await {
        if let Frame::End(outcome) = frame.unwrap() {
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_millis() as u64;
            let seconds = |from: u64, to: u64| (to - from) as f64 / 1000.0;
            return (
                seconds(outcome.started, now),
                seconds(outcome.started, outcome.ended),
            );
        }
    }
    panic!("no end")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn throughput() {
    for (what, script, count) in [
        ("large writes", lines(), LINES),
        ("a write a line", slow_lines(), SLOW_LINES),
    ] {
        let (mut raws, mut whole, mut alone) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            raws.push(raw(&script).await);
            let (all, script) = spooled(&script).await;
            whole.push(all);
            alone.push(script);
        }
        println!("{what}, {count} lines of 100 bytes, seconds, each of {ROUNDS} rounds:");
        println!(
            "  raw exec        {raws:.3?}  median {:.3}",
            median(raws.clone())
        );
        println!(
            "  spool + follow  {whole:.3?}  median {:.3}",
            median(whole.clone())
        );
        println!(
            "  script alone    {alone:.3?}  median {:.3}",
            median(alone.clone())
        );
        println!("  raw / spooled   {:.2}", median(raws) / median(whole));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn latency() {
    // Each line says when it was written, in seconds since 1970. A read that times out is bash's
    // own way to sleep; with the rest of a round it makes about a thousand a second.
    let script = "exec 3<> <(:); i=0; \
        while ((i++ < 5000)); do echo $EPOCHREALTIME; read -t 0.0009 -u 3; done; true";
    let debian = ContainerSpec {
        image: "autobuilder/debian:12".to_owned(),
        ..spec()
    };
    let mut job = job(script);
    job.arguments[0] = "/bin/bash".to_owned();
    let container = Container::start(&debian, &job).await;
    let mut frames = container.docker.follow(&container.id, 0);
    let (mut delays, mut seconds) = (Vec::new(), 0.0);
    while let Some(frame) = frames.next().await {
        let bytes = match frame.unwrap() {
            Frame::Chunk { bytes, .. } => bytes,
            Frame::End(outcome) => {
                seconds = (outcome.ended - outcome.started) as f64 / 1000.0;
                continue;
            }
            Frame::Limit => panic!("a short log"),
        };
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_secs_f64();
        let text = String::from_utf8_lossy(&bytes);
        delays.extend(
            text.lines()
                .filter_map(|line| line.parse::<f64>().ok())
                .map(|written| (now - written) * 1e3),
        );
    }
    // The first lines were written before we were there.
    let mut delays = delays.split_off(delays.len() / 5);
    delays.sort_by(f64::total_cmp);
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    println!(
        "{} lines in {:.1} s, ms: p50 {:.2}, p99 {:.2}, most {:.2}",
        delays.len(),
        seconds,
        at(0.5),
        at(0.99),
        at(1.0)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn idle() {
    let container = Container::of("echo begun; sleep 1000").await;
    let mut frames = container.docker.follow(&container.id, 0);
    frames.next().await.unwrap().unwrap();
    let ticks = || {
        let stat = container.exec("for p in /proc/[0-9]*; do grep runner $p/stat; done");
        stat.lines()
            .map(|line| {
                let fields: Vec<&str> = line.rsplit(") ").next().unwrap().split(' ').collect();
                fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
            })
            .sum::<u64>()
    };
    let before = ticks();
    let seconds = 60;
    let _ = tokio::time::timeout(Duration::from_secs(seconds), frames.next()).await;
    println!(
        "runner and follower, idle: {} ms of processor time in {seconds} s",
        (ticks() - before) * 10
    );
}

/// What a build can dial: each port of its gateway, which is the host, has a server of this test.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_what_a_container_reaches() {
    let docker = docker().await;
    let name = new_name();
    let network = docker.ensure_network(&name, "tests").await.unwrap();
    let inspected = docker_command(&[
        "network",
        "inspect",
        "--format",
        "{{(index .IPAM.Config 0).Gateway}}",
        &name,
    ]);
    let gateway = inspected.trim().to_owned();
    let mut to_dial = Vec::new();
    for (port, what) in [
        (22, "the host, as ssh"),
        (2375, "the host, as dockerd"),
        (5560, "the host, as this service"),
        (6379, "the host, as Redis"),
    ] {
        // A port that is taken has a server already.
        if let Ok(listener) = tokio::net::TcpListener::bind((gateway.as_str(), port)).await {
            tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        }
        to_dial.push((gateway.clone(), port, what));
    }
    for (address, what) in [
        (
            "169.254.169.254",
            "metadata of AWS, Azure, Google, OpenStack",
        ),
        ("fd00:ec2::254", "metadata of AWS by IPv6"),
        ("100.100.100.200", "metadata of Alibaba"),
        ("192.0.2.1", "an address that nobody has"),
    ] {
        to_dial.push((address.to_owned(), 80, what));
    }
    let dials: String = to_dial
        .iter()
        .map(|(address, port, _)| {
            format!(
                "if nc -w 3 {address} {port} </dev/null >/dev/null 2>/tmp/why; then echo reached; \
                 else echo \"no: $(tail -n 1 /tmp/why)\"; fi\n"
            )
        })
        .collect();
    let spec = ContainerSpec {
        network: network.clone(),
        cap_drop: vec!["NET_RAW".to_owned()],
        ..spec()
    };
    let log = Container::start(&spec, &job(&dials)).await.log().await;
    docker_command(&["network", "rm", &name]);
    let answers = log.text();
    assert_eq!(answers.lines().count(), to_dial.len(), "{answers}");
    for ((address, port, what), answer) in to_dial.iter().zip(answers.lines()) {
        println!("{address:>15} {port:>5}  {answer:<60} {what}");
    }
}
