//! What is asked: from the path of a request to the part of the model that answers it.

pub mod apps;
pub mod hooks;
pub mod statuses;

use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::credentials::{Caller, May};
use crate::exchange::Call;
use crate::pages::Page;
use crate::reply::Reply;
use crate::state::{Found, Repository, State};

pub(crate) fn answer(state: &mut State, call: &Call, caller: &Caller) -> Reply {
    match (call.method.as_str(), call.parts().as_slice()) {
        (_, ["repos", owner, name, rest @ ..]) => match state.find(&format!("{owner}/{name}")) {
            Found::Here(index) => in_repository(state, call, caller, index, rest),
            Found::Moved(index) => moved(state, call, caller, index, rest),
            Found::Nowhere => Reply::not_found(),
        },
        (_, ["repositories", id, rest @ ..]) => {
            let mut repositories = state.repositories.iter();
            match repositories.position(|repository| repository.id.to_string() == *id) {
                Some(index) => in_repository(state, call, caller, index, rest),
                None => Reply::not_found(),
            }
        }
        ("GET", ["app"]) => apps::the_app(state, caller),
        ("GET", ["app", "installations"]) => apps::installations(state, call, caller),
        ("GET", ["orgs" | "users", owner, "installation"]) => {
            apps::installation_at(state, caller, owner)
        }
        ("POST", ["app", "installations", id, "access_tokens"]) => {
            apps::create_token(state, caller, id)
        }
        _ => Reply::not_found(),
    }
}

fn in_repository(
    state: &mut State,
    call: &Call,
    caller: &Caller,
    index: usize,
    rest: &[&str],
) -> Reply {
    if call.method == "GET" && rest == ["installation"] {
        return apps::installation_for(state, caller, &state.repositories[index]);
    }
    // Who may not see a repository does not hear that it is there.
    if !caller.may(state, &state.repositories[index], May::Read) {
        return Reply::not_found();
    }
    match (call.method.as_str(), rest) {
        ("GET", []) => Reply::json(200, &repository(state, &state.repositories[index])),
        ("POST", ["statuses", commit]) => statuses::create(state, call, caller, index, commit),
        ("GET", ["commits", reference @ .., "status"]) => {
            statuses::combined(state, call, index, &reference.join("/"))
        }
        ("GET", ["commits", reference @ .., "statuses"]) => {
            statuses::all(state, call, index, &reference.join("/"))
        }
        (_, ["hooks", rest @ ..]) => hooks::answer(state, call, caller, index, rest),
        _ => Reply::not_found(),
    }
}

/// A repository that was renamed is reached at an address that never changes.
/// Source: <https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects>.
fn moved(state: &State, call: &Call, caller: &Caller, index: usize, rest: &[&str]) -> Reply {
    let repository = &state.repositories[index];
    let sees = caller.may(state, repository, May::Read) || matches!(caller, Caller::App(_));
    if !sees {
        return Reply::not_found();
    }
    let mut location = format!("{}/repositories/{}", state.url, repository.id);
    for part in rest {
        location.push('/');
        location.push_str(part);
    }
    if let Some((_, query)) = call.full_path().split_once('?') {
        location.push('?');
        location.push_str(query);
    }
    let (status, message) = match call.method.as_str() {
        "GET" => (301, "Moved Permanently"),
        _ => (307, "Temporary Redirect"),
    };
    let body = json!({"message": message, "url": location});
    Reply::json(status, &body).with("location", location)
}

fn repository(state: &State, repository: &Repository) -> Value {
    json!({
        "id": repository.id,
        "name": repository.short_name(),
        "full_name": repository.name,
        "owner": {"login": repository.owner()},
        "private": repository.private,
        "archived": repository.archived,
        "default_branch": repository.bare.default_branch(),
        "url": format!("{}/repos/{}", state.url, repository.name),
    })
}

/// One page of a list, and the header that leads on.
fn page(state: &State, call: &Call, all: &[Value]) -> Reply {
    let page = Page::of(&call.query);
    let reply = Reply::json(200, &Value::from(page.cut(all)));
    with_links(state, call, &page, all.len(), reply)
}

fn with_links(state: &State, call: &Call, page: &Page, total: usize, reply: Reply) -> Reply {
    let address = format!("{}{}", state.url, call.path);
    match page.links(total, &address, &call.query) {
        Some(links) => reply.with("link", links),
        None => reply,
    }
}

/// As GitHub writes times: in UTC, to the second.
fn time(time: SystemTime) -> String {
    let time = Timestamp::try_from(time).expect("a time of this age");
    let seconds = Timestamp::from_second(time.as_second()).expect("a time of this age");
    seconds.to_string()
}
