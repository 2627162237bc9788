//! Git's own protocol over HTTP, for those who may read a repository: as on GitHub, a token is the
//! password of whatever user.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::credentials::{Caller, May};
use crate::exchange::Call;
use crate::git::Bare;
use crate::reply::Reply;
use crate::state::{Found, State};

pub(crate) fn answer(state: &State, call: &Call, caller: &Caller) -> Reply {
    let name = call.repository().unwrap_or_default();
    let found = match state.find(&name) {
        Found::Here(index) | Found::Moved(index) => Some(&state.repositories[index]),
        Found::Nowhere => None,
    };
    let repository = found.filter(|repository| caller.may(state, repository, May::Read));
    match (repository, caller) {
        (Some(repository), _) if repository.name.eq_ignore_ascii_case(&name) => {
            over_http(&repository.bare, call)
        }
        (Some(repository), _) => {
            let rest = call.full_path().replacen(&name, &repository.name, 1);
            Reply::empty(301).with("location", format!("{}{rest}", state.url))
        }
        // Who shows nothing is asked for a credential, whether or not there is such a repository.
        (None, Caller::Nobody) => {
            Reply::empty(401).with("www-authenticate", "Basic realm=\"GitHub\"")
        }
        (None, _) => Reply::empty(404),
    }
}

/// As git's own program for web servers answers.
/// Source: <https://git-scm.com/docs/git-http-backend>.
fn over_http(bare: &Bare, call: &Call) -> Reply {
    let header = |name| call.header(name).unwrap_or_default();
    let parts = call.parts();
    let (_, query) = call.full_path().split_once('?').unwrap_or_default();
    let mut child = Command::new("git")
        .arg("http-backend")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_PROJECT_ROOT", &bare.0)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("PATH_INFO", format!("/{}", parts[2..].join("/")))
        .env("REQUEST_METHOD", &call.method)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type"))
        .env("CONTENT_LENGTH", call.body.len().to_string())
        .env("HTTP_CONTENT_ENCODING", header("content-encoding"))
        .env("GIT_PROTOCOL", header("git-protocol"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("git can be run");
    let mut input = child.stdin.take().expect("its input is a pipe");
    let body = call.body.clone();
    // Git may answer before it has read everything. What it does not want, it does not read.
    let writer = std::thread::spawn(move || drop(input.write_all(&body)));
    let output = child.wait_with_output().expect("git answers");
    writer.join().expect("no panic");
    reply(&output.stdout)
}

/// Headers and body, as such programs write them.
fn reply(output: &[u8]) -> Reply {
    let end = output.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.expect("git ends its headers");
    let mut reply = Reply::empty(200);
    for line in String::from_utf8_lossy(&output[..end]).lines() {
        match line.split_once(": ") {
            Some(("Status", status)) => {
                let number = status
                    .split(' ')
                    .next()
                    .and_then(|number| number.parse().ok());
                reply.status = number.expect("a status");
            }
            Some((name, value)) => reply = reply.with(name, value),
            None => {}
        }
    }
    reply.body = output[end + 4..].to_vec();
    reply
}
