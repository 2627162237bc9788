//! The body of a `push` event → a push.
//!
//! Source of its fields: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>.
//! Only what is used is read, and each name is checked by the domain's type for it.

use std::collections::VecDeque;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, SeqAccess, Visitor};

use crate::domain::names::{CommitSha, GitRef, NameError, RepositoryName};
use crate::domain::push::{Commit, MAX_COMMITS, Push};

/// A commit message, a name and an address are kept up to this many bytes: enough for any that a
/// person wrote.
const LONGEST_MESSAGE: usize = 8 * 1024;
const LONGEST_NAME: usize = 200;
const LONGEST_URL: usize = 1000;

/// What a push event asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Told {
    Push(Push),
    /// The ref is gone; there is nothing to build.
    Deletion(RepositoryName, GitRef),
}

#[derive(Debug, thiserror::Error)]
pub enum PayloadError {
    #[error("the payload is not what GitHub sends for a push: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the payload's {field}: {error}")]
    Name {
        field: &'static str,
        error: NameError,
    },
}

#[derive(Deserialize)]
struct Payload {
    #[serde(rename = "ref")]
    reference: String,
    before: String,
    after: String,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    forced: bool,
    repository: PayloadRepository,
    pusher: Option<Person>,
    #[serde(default)]
    commits: Newest,
    head_commit: Option<PayloadCommit>,
}

/// The newest commits, which come last; of the others none is kept while they are read.
#[derive(Default)]
struct Newest(VecDeque<PayloadCommit>);

impl<'de> Deserialize<'de> for Newest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(NewestVisitor)
    }
}

struct NewestVisitor;

impl<'de> Visitor<'de> for NewestVisitor {
    type Value = Newest;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a sequence")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Newest, A::Error> {
        let mut newest = VecDeque::with_capacity(MAX_COMMITS);
        while let Some(commit) = sequence.next_element()? {
            if newest.len() == MAX_COMMITS {
                newest.pop_front();
            }
            newest.push_back(commit);
        }
        Ok(Newest(newest))
    }
}

#[derive(Deserialize)]
struct PayloadRepository {
    full_name: String,
    default_branch: Option<String>,
}

#[derive(Deserialize)]
struct PayloadCommit {
    id: String,
    message: String,
    author: Option<Person>,
    url: Option<String>,
}

#[derive(Deserialize)]
struct Person {
    name: Option<String>,
    username: Option<String>,
}

pub fn parse(json: &[u8]) -> Result<Told, PayloadError> {
    let payload: Payload = serde_json::from_slice(json)?;
    let reference: GitRef = checked("ref", &payload.reference)?;
    let repository: RepositoryName =
        checked("repository.full_name", &payload.repository.full_name)?;
    if payload.deleted || is_zero(&payload.after) {
        return Ok(Told::Deletion(repository, reference));
    }
    let before = match is_zero(&payload.before) {
        true => None,
        false => Some(checked("before", &payload.before)?),
    };
    // Of an annotated tag `after` is the tag's own object; what is built, and gets the status, is
    // the commit, as a comparison of heads finds it too.
    let after: CommitSha = match (&reference, &payload.head_commit) {
        (GitRef::Tag(_), Some(head)) => checked("head_commit.id", &head.id)?,
        _ => checked("after", &payload.after)?,
    };
    let default_branch = payload.repository.default_branch;
    // A new branch or a tag brings no commit of its own; people want to see where it stands.
    let Newest(mut commits) = payload.commits;
    if commits.is_empty() {
        commits.extend(payload.head_commit);
    }
    let commits = commits.into_iter().map(commit).collect::<Result<_, _>>()?;
    Ok(Told::Push(Push {
        repository,
        reference,
        before,
        after,
        forced: payload.forced,
        pusher: payload.pusher.and_then(name_of),
        default_branch: default_branch.and_then(|branch| branch.parse().ok()),
        commits,
    }))
}

/// An id of zeros, of whatever length, stands for "no commit".
fn is_zero(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|digit| digit == b'0')
}

fn checked<T: std::str::FromStr<Err = NameError>>(
    field: &'static str,
    text: &str,
) -> Result<T, PayloadError> {
    text.parse()
        .map_err(|error| PayloadError::Name { field, error })
}

fn commit(commit: PayloadCommit) -> Result<Commit, PayloadError> {
    // Shown as a link: nothing but the web's own schemes may be behind it.
    let is_link = |url: &String| {
        url.len() <= LONGEST_URL && (url.starts_with("https://") || url.starts_with("http://"))
    };
    Ok(Commit {
        id: checked("commits.id", &commit.id)?,
        message: shortened(commit.message, LONGEST_MESSAGE),
        author: commit.author.and_then(name_of).unwrap_or_default(),
        url: commit.url.filter(is_link),
    })
}

fn name_of(person: Person) -> Option<String> {
    let name = person.name.filter(|name| !name.is_empty());
    name.or(person.username)
        .map(|name| shortened(name, LONGEST_NAME))
}

fn shortened(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|&end| text.is_char_boundary(end));
        text.truncate(end.unwrap_or(0));
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(change: impl FnOnce(&mut serde_json::Value)) -> Vec<u8> {
        let mut payload = serde_json::json!({
            "ref": "refs/heads/feature/x",
            "before": "a".repeat(40),
            "after": "b".repeat(40),
            "created": false,
            "deleted": false,
            "forced": true,
            "repository": {"full_name": "acme/app", "default_branch": "main"},
            "pusher": {"name": "ada", "email": "ada@example.org"},
            "commits": [{
                "id": "b".repeat(40),
                "message": "fix <b>it</b>",
                "author": {"name": "Ada", "username": "ada"},
                "url": "https://github.com/acme/app/commit/bbbb"
            }],
            "head_commit": null
        });
        change(&mut payload);
        serde_json::to_vec(&payload).unwrap()
    }

    fn push(change: impl FnOnce(&mut serde_json::Value)) -> Push {
        match parse(&payload(change)).unwrap() {
            Told::Push(push) => push,
            told => panic!("{told:?}"),
        }
    }

    #[test]
    fn a_push_is_read_whole() {
        let push = push(|_| ());
        insta::assert_debug_snapshot!(push, @r###"
        Push {
            repository: RepositoryName(
                "acme/app",
            ),
            reference: Branch(
                BranchName(
                    "feature/x",
                ),
            ),
            before: Some(
                CommitSha(
                    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
                ),
            ),
            after: CommitSha(
                "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
            ),
            forced: true,
            pusher: Some(
                "ada",
            ),
            default_branch: Some(
                BranchName(
                    "main",
                ),
            ),
            commits: [
                Commit {
                    id: CommitSha(
                        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
                    ),
                    message: "fix <b>it</b>",
                    author: "Ada",
                    url: Some(
                        "https://github.com/acme/app/commit/bbbb",
                    ),
                },
            ],
        }
        "###);
    }

    #[test]
    fn a_new_branch_has_no_before_and_shows_where_it_stands() {
        let push = push(|payload| {
            payload["before"] = "0".repeat(40).into();
            payload["head_commit"] = payload["commits"][0].clone();
            payload["commits"] = serde_json::json!([]);
        });
        assert_eq!(push.before, None);
        assert_eq!(push.commits.len(), 1);
    }

    #[test]
    fn an_annotated_tag_stands_for_its_commit() {
        let push = push(|payload| {
            payload["ref"] = "refs/tags/v1".into();
            payload["after"] = "c".repeat(40).into();
            payload["head_commit"] = payload["commits"][0].clone();
        });
        assert_eq!(push.after.as_str(), "b".repeat(40));
    }

    #[test]
    fn a_deletion_is_told_from_a_push() {
        let gone = payload(|payload| {
            payload["ref"] = "refs/tags/v1".into();
            payload["deleted"] = true.into();
            payload["after"] = "0".repeat(40).into();
        });
        let reference = "refs/tags/v1".parse().unwrap();
        assert_eq!(
            parse(&gone).unwrap(),
            Told::Deletion("acme/app".parse().unwrap(), reference)
        );
    }

    #[test]
    fn only_the_newest_commits_are_kept() {
        let push = push(|payload| {
            let commit = payload["commits"][0].clone();
            let commits = (0..2048).map(|number| {
                let mut commit = commit.clone();
                commit["message"] = format!("change {number}").into();
                commit
            });
            payload["commits"] = commits.collect();
        });
        assert_eq!(push.commits.len(), MAX_COMMITS);
        assert_eq!(push.commits[MAX_COMMITS - 1].message, "change 2047");
    }

    const COMMITS: &str = "AUTOBUILDER_TEST_COMMITS";

    #[test]
    fn commits_that_are_not_kept_take_no_memory() {
        let peak = |commits: usize| -> usize {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args([
                    "http::webhook::payload::tests::one_push_of_many_commits",
                    "--exact",
                    "--ignored",
                    "--nocapture",
                ])
                .env(COMMITS, commits.to_string())
                .output()
                .unwrap();
            let text = String::from_utf8(output.stdout).unwrap();
            let mut lines = text.lines();
            let peak = lines.find_map(|line| line.strip_prefix("peak KiB: "));
            let peak = peak.unwrap_or_else(|| panic!("{text}"));
            peak.parse().unwrap()
        };
        // The payload itself is there once.
        let payload = 1_000_000 * SMALLEST_COMMIT.len() / 1024;
        let (few, many) = (peak(1), peak(1_000_000));
        assert!(many < few + payload + 4096, "{few} and {many} KiB");
    }

    const SMALLEST_COMMIT: &str = r#"{"id":"","message":""},"#;

    #[test]
    #[ignore = "run in a process of its own by commits_that_are_not_kept_take_no_memory"]
    fn one_push_of_many_commits() {
        let count: usize = std::env::var(COMMITS).unwrap().parse().unwrap();
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        let begin = format!(
            r#"{{"ref":"refs/heads/main","before":"{a}","after":"{b}","repository":{{"full_name":"acme/app"}},"commits":["#
        );
        let end = r#"{"id":"","message":""}]}"#;
        let length = begin.len() + count * SMALLEST_COMMIT.len() + end.len();
        let mut json = Vec::with_capacity(length);
        json.extend_from_slice(begin.as_bytes());
        for _ in 0..count {
            json.extend_from_slice(SMALLEST_COMMIT.as_bytes());
        }
        json.extend_from_slice(end.as_bytes());
        // It is read to its end before what it says of a commit is looked at.
        let error = parse(&json).unwrap_err().to_string();
        assert!(error.starts_with("the payload's commits.id"), "{error}");
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix(" kB"))
            .unwrap();
        println!("\npeak KiB: {}", peak.trim());
    }

    #[test]
    fn what_is_shown_is_short_and_links_go_to_the_web() {
        let push = push(|payload| {
            payload["commits"][0]["message"] = "ü".repeat(100_000).into();
            payload["commits"][0]["url"] = "javascript:alert(1)".into();
        });
        assert!(push.commits[0].message.len() < LONGEST_MESSAGE + 5);
        assert_eq!(push.commits[0].url, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error =
            |change: fn(&mut serde_json::Value)| parse(&payload(change)).unwrap_err().to_string();
        insta::assert_snapshot!(error(|payload| payload["ref"] = "refs/heads/../x".into()), @r#"the payload's ref: "../x" is not a branch name: it holds .. or @{, is @, or ends in a dot"#);
        insta::assert_snapshot!(error(|payload| payload["repository"]["full_name"] = "acme".into()), @r#"the payload's repository.full_name: "acme" is not a repository (owner/name): there is no slash in it"#);
        insta::assert_snapshot!(error(|payload| payload["after"] = "HEAD".into()), @r#"the payload's after: "HEAD" is not a commit id (40 hexadecimal digits): it is not 40 characters long"#);
        insta::assert_snapshot!(error(|payload| payload["commits"] = 7.into()), @"the payload is not what GitHub sends for a push: invalid type: integer `7`, expected a sequence at line 1 column 115");
        insta::assert_snapshot!(parse(b"{").unwrap_err(), @"the payload is not what GitHub sends for a push: EOF while parsing an object at line 1 column 1");
    }
}
