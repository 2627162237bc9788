//! A push, as GitHub tells of it.
//!
//! Source: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#push>.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::git::{Bare, Commit};
use crate::state::Repository;

/// What stands for a commit where there is none: before a ref is created, after it is deleted.
pub const NO_COMMIT: &str = "0000000000000000000000000000000000000000";

/// "Events will not be created if more than three tags are pushed at once."
const MOST_TAGS: usize = 3;

/// One ref that does not point where it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub reference: String,
    pub before: String,
    pub after: String,
}

impl Change {
    pub fn is_tag(&self) -> bool {
        self.reference.starts_with("refs/tags/")
    }
}

/// What lies between two looks at a repository's refs.
pub(crate) fn changes(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<Change> {
    let id = |refs: &BTreeMap<String, String>, name: &String| {
        let id = refs.get(name).cloned();
        id.unwrap_or_else(|| NO_COMMIT.to_owned())
    };
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .map(|name| Change {
            reference: name.clone(),
            before: id(before, name),
            after: id(after, name),
        })
        .filter(|change| change.before != change.after)
        .collect()
}

/// The changes of one push that GitHub tells of.
pub(crate) fn told(mut changes: Vec<Change>) -> Vec<Change> {
    let tags = changes.iter().filter(|change| change.is_tag()).count();
    if tags > MOST_TAGS {
        changes.retain(|change| !change.is_tag());
    }
    changes
}

/// The body of the event. `known` is what the refs were before the push.
pub(crate) fn payload(
    repository: &Repository,
    change: &Change,
    known: &BTreeMap<String, String>,
) -> Value {
    let bare = &repository.bare;
    let created = change.before == NO_COMMIT;
    let deleted = change.after == NO_COMMIT;
    let forced = !created && !deleted && !bare.is_ancestor(&change.before, &change.after);
    let commits = match (change.is_tag() || deleted, created) {
        (true, _) => Vec::new(),
        (false, true) => bare.commits(&change.after, &branches(known)),
        (false, false) => bare.commits(&change.after, std::slice::from_ref(&change.before)),
    };
    let shown = |commit: &Commit| commit_json(&repository.name, commit);
    let head_commit = match deleted {
        true => None,
        false => bare.commit(&change.after),
    };
    json!({
        "ref": change.reference,
        "before": change.before,
        "after": change.after,
        "base_ref": base_ref(bare, change, created),
        "created": created,
        "deleted": deleted,
        "forced": forced,
        "compare": format!(
            "https://github.com/{}/compare/{}...{}",
            repository.name, change.before, change.after
        ),
        "commits": commits.iter().map(shown).collect::<Vec<_>>(),
        "head_commit": head_commit.as_ref().map(shown),
        "repository": repository_json(repository),
        "pusher": {"name": "ada", "email": "ada@example.org"},
        "sender": {"login": "ada", "id": 1, "type": "User"},
    })
}

/// The repository as events show it: here times are numbers.
pub(crate) fn repository_json(repository: &Repository) -> Value {
    let owner = repository.owner();
    let branch = repository.bare.default_branch();
    json!({
        "id": repository.id,
        "name": repository.short_name(),
        "full_name": repository.name,
        "private": repository.private,
        "archived": repository.archived,
        "owner": {"name": owner, "login": owner, "email": null},
        "html_url": format!("https://github.com/{}", repository.name),
        "url": format!("https://github.com/{}", repository.name),
        "clone_url": format!("https://github.com/{}.git", repository.name),
        "created_at": seconds(repository.created),
        "pushed_at": seconds(SystemTime::now()),
        "default_branch": branch,
        "master_branch": branch,
    })
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn branches(refs: &BTreeMap<String, String>) -> Vec<String> {
    let mut commits: Vec<String> = refs
        .iter()
        .filter(|(name, _)| name.starts_with("refs/heads/"))
        .map(|(_, commit)| commit.clone())
        .collect();
    commits.sort();
    commits.dedup();
    commits
}

/// A new ref stands on a branch that points to the same commit, if there is one.
fn base_ref(bare: &Bare, change: &Change, created: bool) -> Option<String> {
    let commit = created.then(|| bare.commit_of(&change.after)).flatten()?;
    let mut refs = bare.refs().into_iter();
    let on_it = |(name, id): &(String, String)| {
        name.starts_with("refs/heads/") && *name != change.reference && *id == commit
    };
    refs.find(on_it).map(|(name, _)| name)
}

fn commit_json(repository: &str, commit: &Commit) -> Value {
    let person = |(name, email): &(String, String)| json!({"name": name, "email": email});
    json!({
        "id": commit.id,
        "tree_id": commit.tree,
        "distinct": true,
        "message": commit.message,
        "timestamp": commit.time,
        "url": format!("https://github.com/{repository}/commit/{}", commit.id),
        "author": person(&commit.author),
        "committer": person(&commit.committer),
        "added": commit.added,
        "removed": commit.removed,
        "modified": commit.modified,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refs(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs
            .iter()
            .map(|(name, id)| ((*name).to_owned(), (*id).to_owned()))
            .collect()
    }

    #[test]
    fn what_came_went_or_moved_is_a_change() {
        let before = refs(&[("refs/heads/gone", "1"), ("refs/heads/main", "2")]);
        let after = refs(&[("refs/heads/main", "3"), ("refs/heads/new", "2")]);
        let changes: Vec<_> = changes(&before, &after)
            .into_iter()
            .map(|change| (change.reference, change.before, change.after))
            .collect();
        let change = |name: &str, before: &str, after: &str| {
            (
                format!("refs/heads/{name}"),
                before.to_owned(),
                after.to_owned(),
            )
        };
        assert_eq!(
            changes,
            [
                change("gone", "1", NO_COMMIT),
                change("main", "2", "3"),
                change("new", NO_COMMIT, "2"),
            ]
        );
        assert!(super::changes(&after, &after).is_empty());
    }

    #[test]
    fn nobody_hears_of_more_than_three_tags_at_once() {
        let with_tags = |count: usize| {
            let mut after = refs(&[("refs/heads/main", "1")]);
            after.extend((0..count).map(|tag| (format!("refs/tags/v{tag}"), "1".to_owned())));
            told(changes(&BTreeMap::new(), &after))
        };
        assert_eq!(with_tags(3).len(), 4);
        let told = with_tags(4);
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].reference, "refs/heads/main");
    }
}
