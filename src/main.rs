//! autobuilder: a push comes in, a container builds it, people watch the log live.

mod domain;
#[allow(dead_code, unused_imports)] // until the actors and the HTTP side call it
mod log;

fn main() {}
