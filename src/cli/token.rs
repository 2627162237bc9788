//! `autobuilder token`: a new API token, and what the service file needs to know of it.

use std::process::ExitCode;

use serde_json::json;

use super::output::{self, Problem, say};
use crate::domain::token::TokenHash;
use crate::service::directory::random_token;

pub fn run(json: bool) -> ExitCode {
    match print(json) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => output::report(problem, json),
    }
}

fn print(json: bool) -> Result<(), Problem> {
    let token = random_token()
        .map_err(|error| Problem::new(format!("there are no random numbers: {error}"), ""))?;
    let api_token = TokenHash::of(&token).to_string();
    if json {
        return output::json(&json!({"token": token, "api_token": api_token}));
    }
    output::line(&format!("AUTOBUILDER_TOKEN={token}"))?;
    output::line(&format!("api_token: {api_token}"))?;
    say(
        "the first line is for who signs in and for the command line, the second for the service file; \
         the token is kept nowhere",
    );
    Ok(())
}
