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
mod serve;
mod service;
mod store;

use std::path::PathBuf;

use clap::Parser;

#[derive(Parser)]
enum Command {
    Serve {
        #[arg(long, default_value = "config.yaml")]
        config: PathBuf,
        #[arg(long, default_value = "text")]
        log_format: String,
    },
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    rustls::crypto::ring::default_provider()
        .install_default()
        .ok();
    let Command::Serve { config, log_format } = Command::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info,ractor=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if log_format == "json" {
        builder.json().init()
    } else {
        builder.init()
    }
    serve::serve(&config).await
}
