//! autobuilder: a push comes in, a container builds it, people watch the log live.

mod domain;

fn main() {}
