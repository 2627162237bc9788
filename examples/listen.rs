//! Prints what happens to builds, or the log of one as it comes: docs/redis.md in a few lines.
//!
//!     cargo run --example listen -- redis://127.0.0.1:6379 [BUILD]

use std::collections::HashMap;
use std::error::Error;
use std::io::Write;

use bytes::Bytes;
use fred::prelude::{Builder, Client, ClientLike, Config, StreamsInterface};

type Entry = (String, HashMap<String, Bytes>);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let url = arguments.next().ok_or("usage: listen URL [BUILD]")?;
    let client = Builder::from_config(Config::from_url(&url)?).build()?;
    let _connection = client.init().await?;
    match arguments.next() {
        Some(build) => log(&client, &build).await,
        None => changes(&client).await,
    }
}

/// The entries after this one; waits for some.
async fn after(client: &Client, stream: &str, id: &str) -> Result<Vec<Entry>, fred::error::Error> {
    let block = Some(0);
    let mut answer: HashMap<String, Vec<Entry>> =
        client.xread_map(Some(100), block, stream, id).await?;
    Ok(answer.remove(stream).unwrap_or_default())
}

async fn changes(client: &Client) -> Result<(), Box<dyn Error>> {
    let mut last = "0-0".to_owned();
    loop {
        for (id, fields) in after(client, "autobuilder:changes", &last).await? {
            let event: serde_json::Value = serde_json::from_slice(&fields["event"])?;
            let build = &event["build"];
            let text = |field: &str| build[field].as_str().unwrap_or("–").to_owned();
            println!(
                "{} {} {} {}",
                text("id"),
                text("repository"),
                text("branch"),
                text("state")
            );
            last = id;
        }
    }
}

async fn log(client: &Client, build: &str) -> Result<(), Box<dyn Error>> {
    let stream = format!("autobuilder:log:{build}");
    let mut last = "0-0".to_owned();
    let mut out = std::io::stdout();
    loop {
        for (id, fields) in after(client, &stream, &last).await? {
            match fields.get("data") {
                Some(data) => out.write_all(data)?,
                None => return Ok(()),
            }
            last = id;
        }
        out.flush()?;
    }
}
