//! The service is killed at random moments over a stream of pushes, and has to keep every promise
//! that its 202 gave.
//!
//! `AUTOBUILDER_CHAOS_SEED` and `AUTOBUILDER_CHAOS_KILLS` tell the story of another seed, or for
//! longer: `make chaos`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{
    Answer, Delivery, GITHUB_TOKEN, Repository, Service, script_output, until, with_github, within,
};

/// Enough to meet each state of a build a few times.
const KILLS: u64 = 12;

/// Two scripts each; the artifact of one of them is published under a stable name.
const RECIPES: &str = "
buildscripts: [build.sh, check.sh]
build.sh: {artifact: program, format: binary}
check.sh: {artifact: report.tar.gz, tag: checks}
";
const CONTEXTS: [(&str, &str); 2] = [
    ("build.sh", "autobuilder/build.sh"),
    ("check.sh", "autobuilder/check.sh (checks)"),
];
const REPOSITORIES: [&str; 3] = ["acme/app", "acme/lib", "acme/tool"];

/// Numbers that are the same for one seed: SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn moment(&mut self, longest: u64) -> Duration {
        Duration::from_millis(self.below(longest))
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty())?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

/// What was pushed, and what its scripts write.
struct Pushed {
    repository: usize,
    commit: String,
    number: u64,
    lines: u64,
}

impl Pushed {
    fn script(&self, name: &str, result: &str) -> String {
        let Self { number, lines, .. } = self;
        format!(
            "#!/bin/sh
i=0; while [ $i -lt {lines} ]; do i=$((i+1)); echo {name} of {number}, line $i; [ $((i % 400)) != 0 ] || sleep 0.1; done
echo {number} > /target/{result}
"
        )
    }

    fn output(&self, name: &str) -> String {
        (1..=self.lines)
            .map(|line| format!("{name} of {}, line {line}\n", self.number))
            .collect()
    }
}

#[tokio::test]
async fn killed_at_random_moments_each_push_that_was_taken_is_built_once_and_whole() {
    let seed = setting("AUTOBUILDER_CHAOS_SEED").unwrap_or_else(|| getrandom::u64().unwrap());
    let kills = setting("AUTOBUILDER_CHAOS_KILLS").unwrap_or(KILLS);
    println!("AUTOBUILDER_CHAOS_SEED={seed}");
    let mut random = Random(seed);
    let settings = json!({"builds": {"supersede": false, "concurrency": 3}});
    let (github, mut service) = with_github(settings).await;
    // Two hundred starts in a few minutes, each of which compares what GitHub shows, are more than
    // GitHub allows in an hour.
    github.limit(GITHUB_TOKEN, 1_000_000, Duration::from_secs(24 * 3600));
    let mut repositories: Vec<Repository> = Vec::new();
    for name in REPOSITORIES {
        repositories.push(service.repository(name));
        service.configure(name, "main", RECIPES).await;
        github.repository(name).await;
    }

    let mut pushes = Vec::new();
    for number in 0..kills {
        let mut pushed = Pushed {
            repository: random.below(REPOSITORIES.len() as u64) as usize,
            commit: String::new(),
            number,
            lines: random.below(4000),
        };
        let repository = &repositories[pushed.repository];
        let files = [
            ("build.sh", pushed.script("build", "program")),
            ("check.sh", pushed.script("check", "report.tar.gz")),
        ];
        pushed.commit =
            repository.commit(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
        let delivery = Delivery::of(&repository.push("main"));
        pushes.push(pushed);

        // Killed while it hears of the push, or some time later.
        let request = service.delivery_request(&delivery);
        let heard = match random.below(3) {
            0 => {
                let answer = tokio::spawn(request.send());
                tokio::time::sleep(random.moment(15)).await;
                service.kill();
                let answer = answer.await.unwrap();
                answer.is_ok_and(|answer| answer.status() == 202)
            }
            _ => {
                assert_eq!(Answer::of(request).await.status, 202);
                tokio::time::sleep(random.moment(1500)).await;
                service.kill();
                true
            }
        };
        // Killed again before it is ready.
        if random.below(4) == 0 {
            service.start_and_kill(random.moment(60));
        }
        service.start_again();
        if !heard {
            // Which it may have been all the same.
            let status = service.deliver(&delivery).await.status;
            assert!(matches!(status, 200 | 202), "{status}");
        }
    }

    let all = everything_over(&service, kills).await;
    for pushed in &pushes {
        let name = REPOSITORIES[pushed.repository];
        for (script, context) in CONTEXTS {
            let key = (name.to_owned(), pushed.commit.clone(), script.to_owned());
            let built = all.get(&key).map_or(&[][..], Vec::as_slice);
            assert_eq!(built.len(), 1, "{key:?} in {built:?}");
            assert_eq!(built[0]["state"], "succeeded", "{}", built[0]);
            assert_eq!(built[0]["attempt"], 1, "{}", built[0]);
            let id = built[0]["id"].as_str().unwrap();
            let (what, _) = script.split_once('.').unwrap();
            let log = service.log(id).await;
            assert!(
                script_output(&log) == pushed.output(what),
                "the log of {id} is not what its script wrote:\n{log}"
            );
            until(&format!("GitHub shows success for {key:?}"), async || {
                let shown = github.status(name, &pushed.commit, context)?;
                (shown.state == "success").then_some(())
            })
            .await;
        }
    }
    assert_eq!(all.len() as u64, 2 * kills, "and nothing else was built");
    for (at, name) in REPOSITORIES.iter().enumerate() {
        if let Some(newest) = pushes.iter().rfind(|pushed| pushed.repository == at) {
            let stable = format!("binaries/{}-main.flist", name.replace('/', "-"));
            let published = std::fs::read_to_string(service.path(&stable)).unwrap();
            assert_eq!(published, format!("{}\n", newest.number), "{stable}");
        }
    }
    assert_eq!(service.integrity(), "ok");
    assert_eq!(service.left_over(), Vec::<PathBuf>::new());
}

type Key = (String, String, String);

/// All builds, once none of them waits or runs.
async fn everything_over(service: &Service, kills: u64) -> HashMap<Key, Vec<Value>> {
    let limit = Duration::from_secs(60 + 5 * kills);
    within(limit, "everything is over", async || {
        let mut all: HashMap<Key, Vec<Value>> = HashMap::new();
        let mut before = String::new();
        loop {
            let page = service
                .get(&format!("/api/v1/builds?limit=200{before}"))
                .await;
            let page = page.json();
            for build in page["builds"].as_array().unwrap() {
                if build["ended"].is_null() {
                    return None;
                }
                let text = |key: &str| build[key].as_str().unwrap().to_owned();
                let key = (text("repository"), text("commit"), text("script"));
                all.entry(key).or_default().push(build.clone());
            }
            match page["next"].as_str() {
                Some(next) => before = format!("&before={next}"),
                None => return Some(all),
            }
        }
    })
    .await
}
