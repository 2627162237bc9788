//! A watcher: a client of the live WebSocket that follows one log.

use std::net::SocketAddr;

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::figures::now;

/// Channel and offset, before the bytes.
const HEAD: usize = 12;

/// Said where there is nothing else to say.
const ALIVE: &str = r#"{"type":"alive"}"#;

pub struct Watcher {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// A piece of a log, when it came.
pub struct Piece<'a> {
    /// Nanoseconds since 1970.
    pub came: i64,
    pub offset: u64,
    pub bytes: &'a [u8],
}

impl Watcher {
    pub async fn connect(service: SocketAddr) -> anyhow::Result<Self> {
        let (socket, _) = connect_async(format!("ws://{service}/api/v1/live")).await?;
        let mut watcher = Self { socket };
        let hello = watcher.next().await?;
        ensure!(matches!(hello, Message::Text(_)), "no hello: {hello}");
        Ok(watcher)
    }

    pub async fn follow(&mut self, build: &str, offset: u64) -> anyhow::Result<()> {
        let follow = json!({"type": "follow", "build": build, "offset": offset});
        self.socket.send(Message::text(follow.to_string())).await?;
        let answer = self.next().await?;
        let text: Value = serde_json::from_str(answer.to_text()?)?;
        ensure!(text["type"] == "following", "{text}");
        Ok(())
    }

    /// Takes one message, whatever it is.
    pub async fn take(&mut self) -> anyhow::Result<()> {
        self.next().await.map(drop)
    }

    /// Reads on to the end of the log.
    pub async fn watch(mut self, mut read: impl FnMut(Piece<'_>)) -> anyhow::Result<()> {
        let mut next = None;
        loop {
            match self.next().await? {
                Message::Binary(frame) => {
                    let came = now();
                    let (head, bytes) = frame.split_at_checked(HEAD).context("a short frame")?;
                    let offset = u64::from_be_bytes(head[4..].try_into()?);
                    ensure!(
                        next.is_none_or(|next| next == offset),
                        "a gap or an overlap at {offset}"
                    );
                    next = Some(offset + bytes.len() as u64);
                    read(Piece {
                        came,
                        offset,
                        bytes,
                    });
                }
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text)?;
                    ensure!(message["type"] == "end", "{message}");
                    ensure!(
                        next.is_none() || message["offset"].as_u64() == next,
                        "not every byte came"
                    );
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    async fn next(&mut self) -> anyhow::Result<Message> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) if text.as_str() == ALIVE => {}
                Some(message) => return Ok(message?),
                None => bail!("the service closed the connection"),
            }
        }
    }
}
