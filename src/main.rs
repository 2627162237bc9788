//! autobuilder: a push comes in, a container builds it, people watch the log live.

#[allow(dead_code, unused_imports)] // until the actors call them
mod adapters;
mod domain;
#[allow(dead_code, unused_imports)] // until the actors and the HTTP side call it
mod log;

fn main() {}
