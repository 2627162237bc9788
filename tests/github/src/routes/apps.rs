//! What an App asks about itself: where it is installed, and a token for there.
//!
//! Source: <https://docs.github.com/en/rest/apps/apps>.

use std::time::SystemTime;

use serde_json::{Value, json};

use super::{page, time};
use crate::credentials::{App, Caller, Installation, InstallationToken, May};
use crate::exchange::Call;
use crate::reply::Reply;
use crate::state::{Repository, State};

pub(super) fn the_app(state: &State, caller: &Caller) -> Reply {
    match of_caller(state, caller) {
        Ok(app) => Reply::json(
            200,
            &json!({
                "id": app.id,
                "slug": format!("app-{}", app.id),
                "client_id": format!("Iv1.{}", app.id),
                "name": format!("App {}", app.id),
                "events": [],
                "installations_count": app.installations.len(),
            }),
        ),
        Err(refusal) => refusal,
    }
}

pub(super) fn installations(state: &State, call: &Call, caller: &Caller) -> Reply {
    match of_caller(state, caller) {
        Ok(app) => {
            let installations = app.installations.iter();
            let all: Vec<Value> = installations
                .map(|installation| shown(state, app, installation))
                .collect();
            page(state, call, &all)
        }
        Err(refusal) => refusal,
    }
}

pub(super) fn installation_at(state: &State, caller: &Caller, owner: &str) -> Reply {
    match of_caller(state, caller) {
        Ok(app) => match app.installed_at(owner) {
            Some(installation) => Reply::json(200, &shown(state, app, installation)),
            None => Reply::not_found(),
        },
        Err(refusal) => refusal,
    }
}

pub(super) fn installation_for(state: &State, caller: &Caller, repository: &Repository) -> Reply {
    match of_caller(state, caller) {
        Ok(app) => match app.installed_at(repository.owner()) {
            Some(found) if found.covers(repository) => Reply::json(200, &shown(state, app, found)),
            _ => Reply::not_found(),
        },
        Err(refusal) => refusal,
    }
}

pub(super) fn create_token(state: &mut State, caller: &Caller, id: &str) -> Reply {
    if let Err(refusal) = of_caller(state, caller) {
        return refusal;
    }
    let number = state.next_id();
    let app = state.app.as_mut().expect("its caller was recognised");
    let mut installations = app.installations.iter();
    let Some(installation) = installations.find(|known| known.id.to_string() == id) else {
        return Reply::not_found();
    };
    let random = getrandom::u64().expect("random bits");
    // Source: <https://docs.github.com/en/authentication/keeping-your-account-and-data-secure/about-authentication-to-github#githubs-token-formats>.
    let token = format!("ghs_model{number:08}{random:016x}");
    let expires = SystemTime::now() + app.token_lifetime;
    let body = json!({
        "token": token,
        "expires_at": time(expires),
        "permissions": permissions(installation),
        "repository_selection": "all",
    });
    let installation = installation.id;
    app.tokens.insert(
        token,
        InstallationToken {
            installation,
            expires,
        },
    );
    Reply::json(201, &body)
}

fn of_caller<'a>(state: &'a State, caller: &Caller) -> Result<&'a App, Reply> {
    match (caller, &state.app) {
        (Caller::App(id), Some(app)) if app.id == *id => Ok(app),
        _ => Err(Reply::message(401, "A JSON web token could not be decoded")),
    }
}

fn shown(state: &State, app: &App, installation: &Installation) -> Value {
    json!({
        "id": installation.id,
        "app_id": app.id,
        "app_slug": format!("app-{}", app.id),
        "account": {"login": installation.owner, "type": "Organization"},
        "target_type": "Organization",
        "repository_selection": "all",
        "permissions": permissions(installation),
        "events": [],
        "access_tokens_url": format!(
            "{}/app/installations/{}/access_tokens",
            state.url, installation.id
        ),
        "repositories_url": format!("{}/installation/repositories", state.url),
        "suspended_at": null,
    })
}

fn permissions(installation: &Installation) -> Value {
    let mut permissions = json!({"metadata": "read"});
    for may in &installation.may {
        match may {
            May::Read => permissions["contents"] = "read".into(),
            May::Statuses => permissions["statuses"] = "write".into(),
            May::Hooks => permissions["repository_hooks"] = "write".into(),
        }
    }
    permissions
}
