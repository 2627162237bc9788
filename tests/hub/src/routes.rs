//! What the servers do with a request, once all of it has come.

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::failures::{Route, Wrong};
use crate::multipart;
use crate::state::{Seen, State};

/// Status and body.
pub(crate) type Answer = (u16, String);

/// How a file that is compressed by gzip begins.
const GZIP: [u8; 2] = [0x1f, 0x8b];

pub(crate) fn route(method: &str, path: &str) -> Route {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (method, segments.as_slice()) {
        ("POST", ["api", "flist", "me", "upload"]) => Route::Upload,
        ("GET", ["api", "flist", "me", _, "link", _]) => Route::Link,
        ("POST", ["api", "kernel"]) => Route::Kernel,
        ("GET", ["api", "symlink", _, _]) => Route::Symlink,
        ("GET", ["refresh"]) => Route::Refresh,
        _ => Route::Unknown,
    }
}

pub(crate) fn answer(
    state: &mut State,
    seen: &Seen,
    body: &Bytes,
    wrong: Option<&Wrong>,
) -> Answer {
    match wrong {
        Some(Wrong::Error(message)) => return error(200, message),
        Some(Wrong::Answer { status, body, .. }) => return (*status, body.clone()),
        _ => {}
    }
    let done = match seen.route {
        Route::Upload => upload(state, seen, body, wrong),
        Route::Link => link(state, seen),
        Route::Kernel => kernel(state, seen, body),
        Route::Symlink => symlink(state, seen),
        Route::Refresh => return refresh(state, seen),
        Route::Unknown => Err((404, "no such address".to_owned())),
    };
    match done {
        Ok(payload) => (
            200,
            json!({"status": "success", "payload": payload}).to_string(),
        ),
        Err((status, message)) => error(status, &message),
    }
}

fn error(status: u16, message: &str) -> Answer {
    let body = json!({"status": "error", "message": message});
    (status, body.to_string())
}

type Done = Result<serde_json::Value, (u16, String)>;

/// Whose flists the request is about.
fn user(state: &State, seen: &Seen) -> Result<String, (u16, String)> {
    let token = seen.bearer();
    if !state.tokens.contains(token) {
        // As careless as a server can be.
        return Err((
            401,
            format!("the token {token} is not valid or has expired"),
        ));
    }
    if seen.cookie("caddyoauth") != Some(token) {
        return Err((401, "the cookie caddyoauth is not the token".to_owned()));
    }
    let user = seen.cookie("active-user").map(str::to_owned);
    user.ok_or((401, "there is no cookie active-user".to_owned()))
}

fn upload(state: &mut State, seen: &Seen, body: &Bytes, wrong: Option<&Wrong>) -> Done {
    let user = user(state, seen)?;
    let file = file(seen, body, "file")?;
    let stem = file.name.strip_suffix(".tar.gz");
    let stem = stem.ok_or((200, format!("{} is no .tar.gz", file.name)))?;
    if !file.content.starts_with(&GZIP) {
        return Err((200, format!("{} cannot be extracted", file.name)));
    }
    let name = match wrong {
        Some(Wrong::StoredAs(name)) => name.clone(),
        _ => format!("{stem}.flist"),
    };
    state.archives.insert((user, name.clone()), file.content);
    Ok(json!({"name": name, "files": {"regular": 12, "directory": 3}}))
}

fn link(state: &mut State, seen: &Seen) -> Done {
    let user = user(state, seen)?;
    let (target, name) = (segment(seen, 3), segment(seen, 5));
    if !state.archives.contains_key(&(user.clone(), target.clone())) {
        return Err((404, format!("{target} not found")));
    }
    state.links.insert((user, name), target);
    Ok(serde_json::Value::Null)
}

fn is_booter(state: &State, seen: &Seen) -> Result<(), (u16, String)> {
    // This server knows no other status.
    match seen.cookie("token") {
        Some(token) if state.tokens.contains(token) => Ok(()),
        _ => Err((200, "access denied".to_owned())),
    }
}

fn kernel(state: &mut State, seen: &Seen, body: &Bytes) -> Done {
    is_booter(state, seen)?;
    let file = file(seen, body, "kernel")?;
    state.kernels.insert(file.name, file.content);
    Ok(serde_json::Value::Null)
}

fn symlink(state: &mut State, seen: &Seen) -> Done {
    is_booter(state, seen)?;
    let (name, target) = (segment(seen, 2), segment(seen, 3));
    if !state.kernels.contains_key(&target) {
        return Err((200, format!("no kernel {target}")));
    }
    state.symlinks.insert(name, target);
    Ok(serde_json::Value::Null)
}

/// A new token for an old one, which is good for nothing from then on.
fn refresh(state: &mut State, seen: &Seen) -> Answer {
    if !state.tokens.remove(seen.bearer()) {
        return (401, "the token has expired".to_owned());
    }
    let renewed = state
        .requests
        .iter()
        .filter(|seen| seen.route == Route::Refresh);
    let token = crate::jwt(&format!("renewed {}", renewed.count()), i64::from(i32::MAX));
    state.tokens.insert(token.clone());
    (200, format!("{token}\n"))
}

fn file(seen: &Seen, body: &Bytes, field: &str) -> Result<multipart::File, (u16, String)> {
    let bad = |problem: String| (400, format!("bad upload: {problem}"));
    if seen.header("content-length") != body.len().to_string() {
        return Err(bad("its length was not said before".to_owned()));
    }
    let file = multipart::only_file(seen.header("content-type"), body).map_err(bad)?;
    match file.field == field {
        true => Ok(file),
        false => Err(bad(format!("the field is {}", file.field))),
    }
}

fn segment(seen: &Seen, index: usize) -> String {
    let segment = seen.path.split('/').skip(1).nth(index).unwrap_or_default();
    percent_decode_str(segment).decode_utf8_lossy().into_owned()
}
