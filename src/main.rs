//! autobuilder: a push comes in, a container builds it, people watch the log live.

#[allow(dead_code, unused_imports, reason = "nothing calls it yet")]
mod adapters;
mod domain;

fn main() {}
