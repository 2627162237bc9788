//! autobuilder: a push comes in, a container builds it, people watch the log live.
#![allow(dead_code)]

mod domain;
mod store;

fn main() {}
