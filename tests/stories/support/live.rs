//! A client of the live WebSocket. It holds the service to what docs/live-protocol.md promises:
//! frames of a channel follow each other without gap or overlap.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, client_async, connect_async};

use super::SOON;
use super::service::Service;

const ALIVE: &str = r#"{"type":"alive"}"#;

pub struct Live {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub hello: Value,
    followed: HashMap<String, Followed>,
    channels: HashMap<u64, String>,
    /// Changes of builds, as they came.
    pub changes: Vec<Value>,
    pub errors: Vec<Value>,
}

/// A log, as far as it has come.
#[derive(Clone, Default)]
pub struct Followed {
    /// Where the first byte is in the log, and its line.
    pub offset: u64,
    pub line: u64,
    pub bytes: Vec<u8>,
    pub ended: bool,
}

impl Followed {
    /// The offset after the last byte.
    pub fn next_offset(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Where in a log to begin.
#[derive(Clone, Copy)]
pub enum From {
    Offset(u64),
    Line(u64),
    Tail(u64),
}

impl Service {
    pub async fn live(&self) -> Live {
        let url = self.url("/api/v1/live").replace("http://", "ws://");
        let (socket, _) = connect_async(url).await.expect("the service upgrades");
        let mut live = Live {
            socket,
            hello: Value::Null,
            followed: HashMap::new(),
            channels: HashMap::new(),
            changes: Vec::new(),
            errors: Vec::new(),
        };
        while live.hello.is_null() {
            assert!(live.take().await, "the service closed the connection");
        }
        live
    }
}

/// A client that follows one log and keeps nothing of it, so that there can be hundreds.
pub struct Follower {
    socket: WebSocketStream<TcpStream>,
    offset: u64,
}

impl Service {
    /// Follows a log from an offset on.
    pub async fn follower(&self, from: Ipv4Addr, build: &str, offset: u64) -> Follower {
        let socket = TcpSocket::new_v4().unwrap();
        self.follow_by(socket, from, build, offset).await
    }

    /// The same by somebody who is to read nothing of it: his socket is full soon.
    pub async fn sleeper(&self, from: Ipv4Addr, build: &str, offset: u64) -> Follower {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        self.follow_by(socket, from, build, offset).await
    }

    async fn follow_by(
        &self,
        socket: TcpSocket,
        from: Ipv4Addr,
        build: &str,
        offset: u64,
    ) -> Follower {
        let stream = self.connect_by(socket, from).await;
        let url = self.url("/api/v1/live").replace("http://", "ws://");
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        let follow = json!({"type": "follow", "build": build, "offset": offset});
        socket
            .send(Message::text(follow.to_string()))
            .await
            .unwrap();
        Follower { socket, offset }
    }
}

impl Follower {
    /// The next bytes; `None` at the log's end.
    pub async fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            let message = tokio::time::timeout(SOON, self.socket.next()).await;
            let message = message.expect("something comes").expect("it is not closed");
            match message.expect("it is whole") {
                Message::Binary(frame) => {
                    let (offset, bytes) = frame[4..].split_at(8);
                    let offset = u64::from_be_bytes(offset.try_into().unwrap());
                    assert_eq!(offset, self.offset, "a gap or an overlap");
                    self.offset += bytes.len() as u64;
                    return Some(bytes.to_vec());
                }
                Message::Text(text) if text.contains(r#""type":"end""#) => return None,
                _ => {}
            }
        }
    }

    /// Reads what comes next. False once the service has gone.
    pub async fn next_or_gone(&mut self) -> bool {
        let message = tokio::time::timeout(SOON, self.socket.next()).await;
        let message = message.expect("something comes");
        !matches!(message, None | Some(Err(_) | Ok(Message::Close(_))))
    }

    /// Its connection, with what was not read of it.
    pub fn into_stream(self) -> TcpStream {
        self.socket.into_inner()
    }
}

impl Live {
    pub async fn send(&mut self, message: Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    pub async fn follow(&mut self, build: &str, from: From) {
        let mut message = json!({"type": "follow", "build": build});
        match from {
            From::Offset(offset) => message["offset"] = offset.into(),
            From::Line(line) => message["line"] = line.into(),
            From::Tail(lines) => message["tail"] = lines.into(),
        }
        self.send(message).await;
    }

    /// Every change of a build after this revision.
    pub async fn builds_since(&mut self, revision: Option<u64>) {
        self.send(json!({"type": "builds", "since": revision}))
            .await;
    }

    pub fn followed(&self, build: &str) -> Followed {
        self.followed.get(build).cloned().unwrap_or_default()
    }

    /// Takes messages until the log of a build has ended.
    pub async fn until_the_end_of(&mut self, build: &str) -> Followed {
        self.take_until("the end of the log", |live| live.followed(build).ended)
            .await;
        self.followed(build)
    }

    /// Takes messages until a condition holds.
    pub async fn take_until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            assert!(
                self.take().await,
                "the connection was closed before: {what}"
            );
        }
    }

    /// The next message. False when the service has gone.
    async fn take(&mut self) -> bool {
        let message = match tokio::time::timeout(SOON, self.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(_) => return false,
            Err(_) => panic!("nothing came for {SOON:?}; errors: {:?}", self.errors),
        };
        match message {
            Message::Text(text) => self.take_text(&serde_json::from_str(&text).unwrap()),
            Message::Binary(bytes) => self.take_bytes(&bytes),
            _ => return false,
        }
        true
    }

    fn take_text(&mut self, message: &Value) {
        let build = || message["build"].as_str().unwrap().to_owned();
        match message["type"].as_str().unwrap() {
            "hello" => self.hello = message.clone(),
            "build" => self.changes.push(message.clone()),
            "error" => self.errors.push(message.clone()),
            "following" => {
                let channel = message["channel"].as_u64().unwrap();
                assert!(
                    self.channels.insert(channel, build()).is_none(),
                    "channel {channel} was used before"
                );
                let (offset, line) = (message["offset"].as_u64(), message["line"].as_u64());
                let followed = Followed {
                    offset: offset.unwrap(),
                    line: line.unwrap(),
                    ..Followed::default()
                };
                self.followed.insert(build(), followed);
            }
            "end" => {
                let followed = self.followed.get_mut(&build()).expect("it is followed");
                assert_eq!(
                    message["offset"].as_u64(),
                    Some(followed.next_offset()),
                    "the log's length"
                );
                followed.ended = true;
            }
            other => panic!("the protocol knows no message {other}"),
        }
    }

    fn take_bytes(&mut self, frame: &[u8]) {
        let (channel, rest) = frame.split_at(4);
        let (offset, bytes) = rest.split_at(8);
        let channel = u64::from(u32::from_be_bytes(channel.try_into().unwrap()));
        let build = self
            .channels
            .get(&channel)
            .expect("a channel that was announced");
        let followed = self.followed.get_mut(build).unwrap();
        let offset = u64::from_be_bytes(offset.try_into().unwrap());
        assert_eq!(offset, followed.next_offset(), "a gap or an overlap");
        assert!(
            !bytes.is_empty() && bytes.len() <= 64 * 1024,
            "{} bytes",
            bytes.len()
        );
        followed.bytes.extend_from_slice(bytes);
    }

    /// Whether anything comes within this time.
    pub async fn is_silent_for(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_err()
    }

    /// The next frame that says more than that the connection stands: only by these does a story
    /// go on.
    async fn next(&mut self) -> Option<Result<Message, Error>> {
        loop {
            match self.socket.next().await {
                Some(Ok(Message::Text(text))) if text.as_str() == ALIVE => {}
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                next => return next,
            }
        }
    }
}
