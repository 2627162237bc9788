//! autobuilder: a push comes in, a container builds it, people watch the log live.
#![allow(dead_code, unused_imports)]

mod actors;
mod adapters;
mod cli;
mod config;
mod domain;
mod http;
mod log;
mod metrics;
mod service;
mod store;

fn main() {}
