//! Statuses of commits.
//!
//! Source: <https://docs.github.com/en/rest/commits/statuses>.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{page, time, with_links};
use crate::credentials::{Caller, May};
use crate::events::Event;
use crate::exchange::Call;
use crate::pages::Page;
use crate::reply::Reply;
use crate::state::State;

/// "There is a limit of 1000 statuses per sha and context within a repository."
const MOST_OF_A_CONTEXT: usize = 1000;
/// The documentation does not say so; GitHub refuses a longer one.
const LONGEST_DESCRIPTION: usize = 140;

/// One status that was set. None is ever taken away again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Grows in the order in which statuses are set, across all repositories.
    pub id: u64,
    pub commit: String,
    pub context: String,
    /// `error`, `failure`, `pending` or `success`.
    pub state: String,
    pub description: Option<String>,
    pub target_url: Option<String>,
    /// The credential, as in the record of requests.
    pub creator: String,
    pub at: SystemTime,
}

/// The newest status of each context of a commit, by context.
pub(crate) fn newest(statuses: &[Status], commit: &str) -> Vec<Status> {
    let mut newest: Vec<Status> = Vec::new();
    let of_commit = |status: &&Status| status.commit == commit;
    for status in statuses.iter().rev().filter(of_commit) {
        if newest.iter().all(|known| known.context != status.context) {
            newest.push(status.clone());
        }
    }
    newest.sort_by(|one, other| one.context.cmp(&other.context));
    newest
}

pub(super) fn create(
    state: &mut State,
    call: &Call,
    caller: &Caller,
    index: usize,
    commit: &str,
) -> Reply {
    let repository = &state.repositories[index];
    if !caller.may(state, repository, May::Statuses) {
        return caller.not_accessible();
    }
    if repository.archived {
        return Reply::message(403, "Repository was archived so is read-only.");
    }
    let body = match call.json() {
        Ok(body) => body,
        Err(refusal) => return refusal,
    };
    let commit = commit.to_ascii_lowercase();
    if !repository.bare.has_commit(&commit) {
        return Reply::message(422, &format!("No commit found for SHA: {commit}"));
    }
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let context = text("context").unwrap_or_else(|| "default".to_owned());
    let status_state = text("state").unwrap_or_default();
    if !["error", "failure", "pending", "success"].contains(&status_state.as_str()) {
        return Reply::invalid("Status", "state is not included in the list");
    }
    let description = text("description");
    let length = description.as_ref().map_or(0, |text| text.chars().count());
    if length > LONGEST_DESCRIPTION {
        let message = "description is too long (maximum is 140 characters)";
        return Reply::invalid("Status", message);
    }
    let target_url = text("target_url").filter(|url| !url.is_empty());
    let is_web = |url: &String| url.starts_with("http://") || url.starts_with("https://");
    if !target_url.as_ref().is_none_or(is_web) {
        return Reply::invalid("Status", "target_url must use http(s) scheme");
    }
    let same = |status: &&Status| status.commit == commit && status.context == context;
    if repository.statuses.iter().filter(same).count() >= MOST_OF_A_CONTEXT {
        let message = "This SHA and context has reached the maximum number of statuses.";
        return Reply::invalid("Status", message);
    }

    let status = Status {
        id: state.next_id(),
        commit,
        context,
        state: status_state,
        description,
        target_url,
        creator: caller.name(state),
        at: SystemTime::now(),
    };
    let repository = &mut state.repositories[index];
    repository.statuses.push(status.clone());
    let event = Event::StatusSet {
        repository: repository.name.clone(),
        commit: status.commit.clone(),
        context: status.context.clone(),
        state: status.state.clone(),
        description: status.description.clone(),
        target_url: status.target_url.clone(),
    };
    state.tell(&event);
    Reply::json(201, &shown(state, index, &status))
}

/// The newest status of each context, and what they come to together.
pub(super) fn combined(state: &State, call: &Call, index: usize, reference: &str) -> Reply {
    let repository = &state.repositories[index];
    let Some(commit) = repository.bare.commit_of(reference) else {
        return Reply::not_found();
    };
    let newest = newest(&repository.statuses, &commit);
    let any = |wanted: &str| newest.iter().any(|status| status.state == wanted);
    let verdict = if any("error") || any("failure") {
        "failure"
    } else if newest.is_empty() || any("pending") {
        "pending"
    } else {
        "success"
    };
    let page = Page::of(&call.query);
    let statuses: Vec<Value> = page
        .cut(&newest)
        .iter()
        .map(|status| shown(state, index, status))
        .collect();
    let body = json!({
        "state": verdict,
        "statuses": statuses,
        "sha": commit,
        "total_count": newest.len(),
        "repository": super::repository(state, repository),
        "commit_url": format!("{}/repos/{}/commits/{commit}", state.url, repository.name),
        "url": format!("{}/repos/{}/commits/{commit}/status", state.url, repository.name),
    });
    with_links(state, call, &page, newest.len(), Reply::json(200, &body))
}

/// Every status of a commit, newest first.
pub(super) fn all(state: &State, call: &Call, index: usize, reference: &str) -> Reply {
    let repository = &state.repositories[index];
    let Some(commit) = repository.bare.commit_of(reference) else {
        return Reply::not_found();
    };
    let statuses: Vec<Value> = repository
        .statuses
        .iter()
        .rev()
        .filter(|status| status.commit == commit)
        .map(|status| shown(state, index, status))
        .collect();
    page(state, call, &statuses)
}

fn shown(state: &State, index: usize, status: &Status) -> Value {
    let repository = &state.repositories[index].name;
    json!({
        "url": format!("{}/repos/{repository}/statuses/{}", state.url, status.commit),
        "id": status.id,
        "node_id": format!("SC_{}", status.id),
        "avatar_url": null,
        "state": status.state,
        "description": status.description,
        "target_url": status.target_url,
        "context": status.context,
        "created_at": time(status.at),
        "updated_at": time(status.at),
    })
}
