//! autobuilder: a push comes in, a container builds it, people watch the log live.
#![allow(dead_code)]

mod domain;
#[allow(unused_imports)] // until the actors and the HTTP side call it
mod log;
mod store;

fn main() {}
