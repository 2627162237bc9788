//! autobuilder: a push comes in, a container builds it, people watch the log live.
#![allow(dead_code, unused_imports)]

mod adapters;
mod config;
mod domain;
mod log;
mod metrics;
mod store;

fn main() {}
