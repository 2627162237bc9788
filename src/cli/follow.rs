//! A log as it is written: the client's side of docs/live-protocol.md. A lost connection is made
//! again, and the log goes on at the byte where it stopped, also across a restart of the service.

use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::header::AUTHORIZATION;
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::client::Client;
use super::output::{Problem, say};

/// Where in the log to begin.
#[derive(Debug, Clone, Copy)]
pub enum From {
    Offset(u64),
    Line(u64),
    Tail(u64),
}

impl From {
    fn message(self, build: &str) -> Value {
        let (field, value) = match self {
            Self::Offset(offset) => ("offset", offset),
            Self::Line(line) => ("line", line),
            Self::Tail(lines) => ("tail", lines),
        };
        json!({"type": "follow", "build": build, field: value})
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A service that restarts is back long before this; whoever runs unattended must not hang.
const GIVE_UP_AFTER: Duration = Duration::from_secs(15 * 60);

/// The server pings every 20 seconds: silence beyond this is a connection that is gone.
const SILENCE: Duration = Duration::from_secs(60);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Said {
    Hello {
        instance: String,
    },
    Following {
        channel: u32,
        offset: u64,
    },
    End {
        channel: u32,
    },
    Error {
        build: Option<String>,
        error: String,
        hint: String,
    },
    #[serde(other)]
    Other,
}

/// Hands over the log's bytes in their order, each once, until the build has ended.
pub async fn follow(
    client: &Client,
    build: &str,
    from: From,
    write: &mut (dyn FnMut(&[u8]) -> Result<(), Problem> + Send),
) -> Result<(), Problem> {
    let mut follower = Follower {
        build,
        from,
        instance: None,
        write,
    };
    let mut socket = connect(client).await?;
    loop {
        match follower.listen(&mut socket).await? {
            Listened::Ended => return Ok(()),
            Listened::Lost => {
                say("the connection was lost; trying again");
                socket = connect_again(client).await?;
            }
        }
    }
}

struct Follower<'a> {
    build: &'a str,
    /// Where to go on.
    from: From,
    /// Of the data directory: another one has other builds.
    instance: Option<String>,
    write: &'a mut (dyn FnMut(&[u8]) -> Result<(), Problem> + Send),
}

enum Listened {
    Ended,
    Lost,
}

impl Follower<'_> {
    async fn listen(&mut self, socket: &mut Socket) -> Result<Listened, Problem> {
        let follow = Message::text(self.from.message(self.build).to_string());
        if socket.send(follow).await.is_err() {
            return Ok(Listened::Lost);
        }
        let mut channel = None;
        loop {
            let heard = tokio::time::timeout(SILENCE, socket.next()).await;
            let Ok(Some(Ok(message))) = heard else {
                return Ok(Listened::Lost);
            };
            match message {
                Message::Binary(frame) => self.take(&frame, channel)?,
                Message::Text(text) => match serde_json::from_str(&text).unwrap_or(Said::Other) {
                    Said::Hello { instance } => self.greeted(instance)?,
                    Said::Following {
                        channel: number,
                        offset,
                    } => {
                        channel = Some(number);
                        self.from = From::Offset(offset);
                    }
                    Said::End { channel: number } if channel == Some(number) => {
                        let _ = socket.close(None).await;
                        return Ok(Listened::Ended);
                    }
                    Said::Error { build, error, hint } if build.as_deref() == Some(self.build) => {
                        return Err(Problem::new(error, hint));
                    }
                    _ => {}
                },
                Message::Close(_) => return Ok(Listened::Lost),
                _ => {}
            }
        }
    }

    fn greeted(&mut self, instance: String) -> Result<(), Problem> {
        match &self.instance {
            Some(known) if *known != instance => Err(Problem::new(
                "the service has another data directory now, without this build",
                "see `autobuilder list`",
            )),
            _ => {
                self.instance = Some(instance);
                Ok(())
            }
        }
    }

    fn take(&mut self, frame: &[u8], followed: Option<u32>) -> Result<(), Problem> {
        let damaged = || {
            Problem::new(
                "the service sent a frame that cannot be",
                "this is a fault; please report it",
            )
        };
        let (head, bytes) = frame.split_at_checked(12).ok_or_else(damaged)?;
        let (channel, offset) = head.split_at(4);
        let channel = u32::from_be_bytes(channel.try_into().expect("four bytes"));
        let offset = u64::from_be_bytes(offset.try_into().expect("eight bytes"));
        match (self.from, followed) {
            (From::Offset(expected), Some(followed))
                if followed == channel && expected == offset =>
            {
                (self.write)(bytes)?;
                self.from = From::Offset(offset + bytes.len() as u64);
                Ok(())
            }
            _ => Err(damaged()),
        }
    }
}

/// Why there is no connection.
enum NoConnection {
    /// Trying again changes nothing.
    Refused(Problem),
    Unreachable(Problem),
}

impl std::convert::From<NoConnection> for Problem {
    fn from(reason: NoConnection) -> Self {
        match reason {
            NoConnection::Refused(problem) | NoConnection::Unreachable(problem) => problem,
        }
    }
}

async fn connect(client: &Client) -> Result<Socket, NoConnection> {
    let mut url = client.api(&["live"]).map_err(NoConnection::Refused)?;
    let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
    // Both pairs are special schemes to the URL standard, between which a change is allowed.
    let _ = url.set_scheme(scheme);
    let unreachable = |error: tungstenite::Error| {
        NoConnection::Unreachable(Problem::new(
            format!("no service answers at {url}: {error}"),
            "start it with `autobuilder serve`, or set AUTOBUILDER_URL",
        ))
    };
    let mut request = url.as_str().into_client_request().map_err(unreachable)?;
    if let Some(token) = client.token() {
        let bearer = HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
            NoConnection::Refused(Problem::new(
                "the API token cannot be sent: it is more than one line of text",
                "see AUTOBUILDER_TOKEN",
            ))
        })?;
        request.headers_mut().insert(AUTHORIZATION, bearer);
    }
    match connect_async(request).await {
        Ok((socket, _)) => Ok(socket),
        Err(tungstenite::Error::Http(response)) => match response.status() {
            StatusCode::UNAUTHORIZED => Err(NoConnection::Refused(client.unauthorized())),
            status => Err(NoConnection::Unreachable(Problem::new(
                format!("{url} answered {status}"),
                "see whether AUTOBUILDER_URL is the service's address, and what stands before it \
                 lets WebSockets through",
            ))),
        },
        Err(error) => Err(unreachable(error)),
    }
}

async fn connect_again(client: &Client) -> Result<Socket, Problem> {
    let lost = Instant::now();
    let mut pause = FIRST_PAUSE;
    loop {
        tokio::time::sleep(pause).await;
        match connect(client).await {
            Ok(socket) => return Ok(socket),
            Err(NoConnection::Refused(problem)) => return Err(problem),
            Err(NoConnection::Unreachable(problem)) if lost.elapsed() > GIVE_UP_AFTER => {
                return Err(problem);
            }
            Err(NoConnection::Unreachable(_)) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}
