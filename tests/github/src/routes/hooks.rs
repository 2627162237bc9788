//! Webhooks of a repository.
//!
//! Source: <https://docs.github.com/en/rest/repos/webhooks>.

use std::time::SystemTime;

use serde_json::{Map, Value, json};

use super::{page, time};
use crate::credentials::{Caller, May};
use crate::deliveries;
use crate::events::Event;
use crate::exchange::Call;
use crate::reply::Reply;
use crate::state::{Repository, State};

/// "You can create up to 20 webhooks for each event."
/// Source: <https://docs.github.com/en/webhooks/types-of-webhooks#repository-webhooks>.
const MOST_OF_AN_EVENT: usize = 20;

/// What is shown instead of a secret.
const HIDDEN: &str = "********";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    pub id: u64,
    pub url: String,
    /// `json` or `form`.
    pub content_type: String,
    pub insecure_ssl: String,
    pub secret: Option<String>,
    pub events: Vec<String>,
    pub active: bool,
    /// The status of the last delivery's answer, what kind of answer that is, and its sentence.
    pub last_response: (Option<u16>, String, Option<String>),
    pub created: SystemTime,
    pub updated: SystemTime,
}

impl Hook {
    /// A hook as GitHub makes it when nothing but the address is given.
    pub fn new(url: &str) -> Self {
        let now = SystemTime::now();
        Self {
            id: 0,
            url: url.to_owned(),
            content_type: "form".to_owned(),
            insecure_ssl: "0".to_owned(),
            secret: None,
            events: vec!["push".to_owned()],
            active: true,
            last_response: (None, "unused".to_owned(), None),
            created: now,
            updated: now,
        }
    }

    pub fn hears(&self, event: &str) -> bool {
        self.events
            .iter()
            .any(|wanted| wanted == event || wanted == "*")
    }

    /// Takes `config` as a whole: what it does not say is as if it had never been said, the secret
    /// too.
    fn configure(&mut self, config: &Map<String, Value>) -> Result<(), Reply> {
        let text = |key: &str| match &config.get(key) {
            Some(Value::String(text)) => Some(text.clone()),
            Some(Value::Number(number)) => Some(number.to_string()),
            _ => None,
        };
        let Some(url) = text("url").filter(|url| !url.is_empty()) else {
            return Err(Reply::invalid(
                "Hook",
                "Config must contain URL for webhooks",
            ));
        };
        if !(url.starts_with("http://") || url.starts_with("https://")) {
            return Err(Reply::invalid("Hook", "url is not a valid URL"));
        }
        self.url = url;
        self.content_type = text("content_type").unwrap_or_else(|| "form".to_owned());
        self.insecure_ssl = text("insecure_ssl").unwrap_or_else(|| "0".to_owned());
        self.secret = text("secret").filter(|secret| !secret.is_empty());
        Ok(())
    }

    /// Whether GitHub takes one for a copy of the other: hooks may share a config only if they have
    /// no event in common.
    fn repeats(&self, other: &Self) -> bool {
        let config = |hook: &Self| {
            (
                hook.url.clone(),
                hook.content_type.clone(),
                hook.insecure_ssl.clone(),
                hook.secret.clone(),
            )
        };
        let shares_event = self.events.iter().any(|event| other.events.contains(event));
        self.id != other.id && config(self) == config(other) && shares_event
    }
}

pub(super) fn answer(
    state: &mut State,
    call: &Call,
    caller: &Caller,
    index: usize,
    rest: &[&str],
) -> Reply {
    let repository = &state.repositories[index];
    if !caller.may(state, repository, May::Hooks) {
        return match caller {
            Caller::Installation(_) => caller.not_accessible(),
            // A person who is no administrator does not hear that there are hooks.
            _ => Reply::not_found(),
        };
    }
    if repository.archived && call.method != "GET" {
        return Reply::message(403, "Repository was archived so is read-only.");
    }
    let result = match (call.method.as_str(), rest) {
        ("GET", []) => {
            let hooks: Vec<Value> = repository
                .hooks
                .iter()
                .map(|hook| shown(state, repository, hook))
                .collect();
            return page(state, call, &hooks);
        }
        ("POST", []) => create(state, call, index),
        (method, [id, rest @ ..]) => {
            let mut hooks = repository.hooks.iter();
            match hooks.position(|hook| hook.id.to_string() == *id) {
                Some(position) => of_one(state, call, index, position, method, rest),
                None => Err(Reply::not_found()),
            }
        }
        _ => Err(Reply::not_found()),
    };
    result.unwrap_or_else(|refusal| refusal)
}

fn of_one(
    state: &mut State,
    call: &Call,
    index: usize,
    position: usize,
    method: &str,
    rest: &[&str],
) -> Result<Reply, Reply> {
    match (method, rest) {
        ("GET", []) => {
            let repository = &state.repositories[index];
            let hook = &repository.hooks[position];
            Ok(Reply::json(200, &shown(state, repository, hook)))
        }
        ("PATCH", []) => update(state, call, index, position),
        ("DELETE", []) => {
            let repository = &mut state.repositories[index];
            let hook = repository.hooks.remove(position);
            let event = Event::HookDeleted {
                repository: repository.name.clone(),
                hook: hook.id,
                url: hook.url,
            };
            state.tell(&event);
            Ok(Reply::empty(204))
        }
        ("POST", ["pings"]) => {
            deliveries::ping(state, index, position);
            Ok(Reply::empty(204))
        }
        _ => Err(Reply::not_found()),
    }
}

fn create(state: &mut State, call: &Call, index: usize) -> Result<Reply, Reply> {
    let body = call.json()?;
    let mut hook = Hook::new("");
    let nothing = Map::new();
    hook.configure(body["config"].as_object().unwrap_or(&nothing))?;
    if let Some(events) = texts(&body["events"]) {
        hook.events = events;
    }
    hook.active = body["active"].as_bool().unwrap_or(true);
    check(&state.repositories[index], &hook)?;
    hook.id = state.next_id();

    let repository = &mut state.repositories[index];
    repository.hooks.push(hook.clone());
    let position = repository.hooks.len() - 1;
    let event = Event::HookCreated {
        repository: repository.name.clone(),
        hook: hook.id,
        url: hook.url.clone(),
    };
    state.tell(&event);
    // Source: <https://docs.github.com/en/webhooks/webhook-events-and-payloads#ping>.
    deliveries::ping(state, index, position);
    let shown = shown(state, &state.repositories[index], &hook);
    Ok(Reply::json(201, &shown))
}

fn update(state: &mut State, call: &Call, index: usize, position: usize) -> Result<Reply, Reply> {
    let body = call.json()?;
    let mut hook = state.repositories[index].hooks[position].clone();
    if let Some(config) = body["config"].as_object() {
        hook.configure(config)?;
    }
    if let Some(events) = texts(&body["events"]) {
        hook.events = events;
    }
    for event in texts(&body["add_events"]).unwrap_or_default() {
        if !hook.events.contains(&event) {
            hook.events.push(event);
        }
    }
    let removed = texts(&body["remove_events"]).unwrap_or_default();
    hook.events.retain(|event| !removed.contains(event));
    if let Some(active) = body["active"].as_bool() {
        hook.active = active;
    }
    check(&state.repositories[index], &hook)?;
    hook.updated = SystemTime::now();

    let repository = &mut state.repositories[index];
    repository.hooks[position] = hook.clone();
    let event = Event::HookChanged {
        repository: repository.name.clone(),
        hook: hook.id,
        url: hook.url.clone(),
    };
    state.tell(&event);
    Ok(Reply::json(
        200,
        &shown(state, &state.repositories[index], &hook),
    ))
}

fn check(repository: &Repository, hook: &Hook) -> Result<(), Reply> {
    if repository.hooks.iter().any(|known| hook.repeats(known)) {
        return Err(Reply::invalid(
            "Hook",
            "Hook already exists on this repository",
        ));
    }
    for event in &hook.events {
        let with_it = |known: &&Hook| known.id != hook.id && known.events.contains(event);
        if repository.hooks.iter().filter(with_it).count() >= MOST_OF_AN_EVENT {
            let message = format!("The \"{event}\" event cannot have more than 20 hooks");
            return Err(Reply::invalid("Hook", &message));
        }
    }
    Ok(())
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let items = value.as_array()?.iter();
    Some(
        items
            .filter_map(|item| item.as_str().map(str::to_owned))
            .collect(),
    )
}

fn shown(state: &State, repository: &Repository, hook: &Hook) -> Value {
    let mut config = json!({
        "content_type": hook.content_type,
        "insecure_ssl": hook.insecure_ssl,
        "url": hook.url,
    });
    if hook.secret.is_some() {
        config["secret"] = HIDDEN.into();
    }
    let (code, kind, message) = &hook.last_response;
    let url = format!("{}/repos/{}/hooks/{}", state.url, repository.name, hook.id);
    json!({
        "type": "Repository",
        "id": hook.id,
        "name": "web",
        "active": hook.active,
        "events": hook.events,
        "config": config,
        "created_at": time(hook.created),
        "updated_at": time(hook.updated),
        "url": url,
        "test_url": format!("{url}/test"),
        "ping_url": format!("{url}/pings"),
        "deliveries_url": format!("{url}/deliveries"),
        "last_response": {"code": code, "status": kind, "message": message},
    })
}
