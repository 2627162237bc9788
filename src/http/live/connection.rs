//! One client: what it asked for, and the loop that sends it.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::{FutureExt, select_all};
use tokio::sync::watch;
use tokio::time::{Instant, Interval, sleep_until};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use super::channel::Channel;
use super::protocol::{self, ClientMessage, Place, ServerMessage};
use crate::domain::names::BuildId;
use crate::http::Web;
use crate::http::access::Pass;
use crate::http::failure::Failure;
use crate::http::websocket::{self, Gone, Socket, every};
use crate::service::follow::{Moment, Next};

/// Logs that one client may follow at once.
const CHANNELS: usize = 64;

/// After changes were sent, those that follow gather for so long: of a build that hurries through
/// its states, a client sees a few and not each.
const CHANGES_PAUSE: Duration = Duration::from_millis(25);

pub struct Connection {
    web: Arc<Web>,
    socket: Socket,
    /// The newest revision of the store, and how many logs were begun.
    revision: watch::Receiver<i64>,
    begun: watch::Receiver<u64>,
    /// The revision up to which the client has all changes; `None`: it asked for none.
    since: Option<i64>,
    changes_from: Instant,
    channels: Vec<Channel>,
    last_channel: u32,
    ping: Interval,
    pass: Pass,
    check_at: Instant,
    /// A page that hears nothing by then is told that the connection stands.
    alive_at: Instant,
}

impl Connection {
    pub fn new(web: Arc<Web>, socket: Socket, pass: Pass) -> Self {
        let ping = every(web.live_times.ping_every);
        let now = Instant::now();
        Self {
            socket,
            pass,
            check_at: now + web.live_times.check_every,
            alive_at: now + web.live_times.alive_every,
            revision: web.service.store.revision(),
            begun: web.service.logs.begun(),
            since: None,
            changes_from: Instant::now(),
            channels: Vec::new(),
            last_channel: 0,
            ping,
            web,
        }
    }

    pub async fn run(mut self) {
        let web = Arc::clone(&self.web);
        web.service.metrics.live_clients.inc();
        let gone = match self.converse().await {
            Ok(never) => match never {},
            Err(gone) => gone,
        };
        web.service.metrics.live_clients.dec();
        tracing::debug!(?gone, "a live connection ended");
        websocket::part(self.socket, gone).await;
    }

    async fn converse(&mut self) -> Result<std::convert::Infallible, Gone> {
        let web = Arc::clone(&self.web);
        let revision = *self.revision.borrow();
        self.say(&ServerMessage::Hello {
            version: env!("CARGO_PKG_VERSION"),
            instance: web.service.store.instance(),
            revision,
        })
        .await?;
        loop {
            // The client first: an unfollow must not wait behind a long log.
            while let Some(heard) = self.socket.next().now_or_never() {
                self.hear(heard).await?;
            }
            self.keep().await?;
            let changed = self.send_changes().await?;
            let logged = self.send_logs().await?;
            if !changed && !logged {
                self.wait().await?;
            }
        }
    }

    /// What is due by the clock, however much there is to send.
    async fn keep(&mut self) -> Result<(), Gone> {
        let now = Instant::now();
        if now >= self.check_at {
            self.check_at = now + self.web.live_times.check_every;
            websocket::check(&self.web, &self.pass)?;
        }
        match now >= self.alive_at {
            true => self.say(&ServerMessage::Alive).await,
            false => Ok(()),
        }
    }

    /// Until there may be something to send. What a client says is answered here too.
    async fn wait(&mut self) -> Result<(), Gone> {
        let newest = *self.revision.borrow();
        let has_changes = self.since.is_some_and(|since| newest > since);
        let waits_for_log = self
            .channels
            .iter()
            .any(|channel| channel.log.waits_for_change());
        let waits_for_change = waits_for_log || self.since.is_some();
        let changes_from = self.changes_from;
        let due = self.check_at.min(self.alive_at);
        let web = Arc::clone(&self.web);
        let heard = {
            let mut more: Vec<_> = self
                .channels
                .iter_mut()
                .map(|channel| Box::pin(channel.log.more()))
                .collect();
            let any_log = async {
                match more.is_empty() {
                    true => pending().await,
                    false => drop(select_all(more.iter_mut()).await),
                }
            };
            tokio::select! {
                heard = self.socket.next() => Some(heard),
                () = any_log => None,
                _ = self.revision.changed(), if waits_for_change => None,
                _ = self.begun.changed(), if waits_for_log => None,
                () = sleep_until(changes_from), if has_changes => None,
                () = sleep_until(due) => None,
                _ = self.ping.tick() => {
                    drop(more);
                    return self.send(Message::Ping(Bytes::new())).await;
                }
                () = web.closing.cancelled() => return Err(Gone::Closing),
            }
        };
        match heard {
            Some(heard) => self.hear(heard).await,
            None => Ok(()),
        }
    }

    async fn hear(&mut self, heard: Option<Result<Message, SocketError>>) -> Result<(), Gone> {
        let message = match heard {
            None => return Err(Gone::Left),
            Some(Err(SocketError::Capacity(_))) => {
                return Err(Gone::Refused(
                    CloseCode::Size,
                    "a message is at most 4096 bytes",
                ));
            }
            Some(Err(SocketError::Protocol(_) | SocketError::Utf8(_))) => {
                return Err(Gone::Refused(CloseCode::Protocol, "this is not RFC 6455"));
            }
            Some(Err(_)) => return Err(Gone::Left),
            Some(Ok(message)) => message,
        };
        let text = match &message {
            Message::Text(text) => text.as_str(),
            Message::Close(_) => return Err(Gone::Closed),
            Message::Binary(_) => {
                let failure = Failure::bad_request(
                    "binary messages are not understood",
                    "send JSON in text frames",
                );
                return self.say_failure(None, &failure).await;
            }
            // Pings are answered by the library.
            _ => return Ok(()),
        };
        match protocol::parse(text) {
            Ok(ClientMessage::Builds { since }) => {
                self.since = Some(since.unwrap_or(*self.revision.borrow()));
                Ok(())
            }
            Ok(ClientMessage::Follow { build, place }) => {
                let followed = match place.place() {
                    Ok(place) => self.follow(&build, place).await,
                    Err(failure) => Err(failure),
                };
                match followed {
                    Ok(()) => self.say_following().await,
                    Err(failure) => self.say_failure(Some(&build), &failure).await,
                }
            }
            Ok(ClientMessage::Unfollow { build }) => {
                self.channels.retain(|channel| channel.log.build != build);
                Ok(())
            }
            Err(failure) => self.say_failure(None, &failure).await,
        }
    }

    /// Begins a channel at the end of the list.
    async fn follow(&mut self, id: &BuildId, place: Place) -> Result<(), Failure> {
        let build = self.web.service.store.build(id.clone()).await?;
        let number = self.last_channel + 1;
        let channel = Channel::begin(&self.web, number, &build, place).await?;
        self.channels.retain(|channel| channel.log.build != *id);
        if self.channels.len() >= CHANNELS {
            return Err(Failure::bad_request(
                format!("{CHANNELS} builds are followed already"),
                "unfollow one, or open another connection",
            ));
        }
        self.last_channel = number;
        self.channels.push(channel);
        Ok(())
    }

    async fn say_following(&mut self) -> Result<(), Gone> {
        let Some(channel) = self.channels.last() else {
            return Ok(());
        };
        let text = json(&ServerMessage::Following {
            build: &channel.log.build,
            channel: channel.number,
            offset: channel.log.offset,
            line: channel.first_line,
        });
        self.send(text).await
    }

    /// Sends some builds that changed, if there are any and it is time. Whether it did.
    async fn send_changes(&mut self) -> Result<bool, Gone> {
        let Some(since) = self.since else {
            return Ok(false);
        };
        let newest = *self.revision.borrow_and_update();
        if newest <= since || Instant::now() < self.changes_from {
            return Ok(false);
        }
        let web = Arc::clone(&self.web);
        let piece = match web.changes.since(&web.service, since).await {
            Ok(piece) => piece,
            Err(failure) => {
                self.say_failure(None, &failure).await?;
                return Err(Gone::Refused(CloseCode::Error, "an internal error"));
            }
        };
        for message in piece.messages {
            self.send(Message::Text(message)).await?;
        }
        self.since = Some(piece.upto);
        if piece.upto >= newest {
            self.changes_from = Instant::now() + CHANGES_PAUSE;
        }
        Ok(true)
    }

    /// Sends the next piece of each log that has one: by turns, so that a long log does not hold
    /// up a short one. Whether there was any.
    async fn send_logs(&mut self) -> Result<bool, Gone> {
        let now = Moment {
            revision: *self.revision.borrow_and_update(),
            begun: *self.begun.borrow_and_update(),
        };
        let mut any = false;
        let mut index = 0;
        while let Some(channel) = self.channels.get_mut(index) {
            let number = channel.number;
            match channel.log.next(&self.web.service, now).await {
                Ok(Next::Nothing) => index += 1,
                Ok(Next::Piece { offset, bytes }) => {
                    let frame = protocol::log_frame(number, offset, &bytes);
                    // Not held twice while the client takes its time.
                    drop(bytes);
                    self.send(Message::Binary(frame)).await?;
                    any = true;
                    index += 1;
                }
                Ok(Next::End) => {
                    let channel = self.channels.remove(index);
                    self.say(&ServerMessage::End {
                        build: &channel.log.build,
                        channel: number,
                        offset: channel.log.offset,
                    })
                    .await?;
                    any = true;
                }
                Err(error) => {
                    let channel = self.channels.remove(index);
                    let build = Some(&channel.log.build);
                    self.say_failure(build, &Failure::from(error)).await?;
                    any = true;
                }
            }
        }
        Ok(any)
    }

    async fn say_failure(
        &mut self,
        build: Option<&BuildId>,
        failure: &Failure,
    ) -> Result<(), Gone> {
        self.say(&ServerMessage::Error {
            build,
            error: &failure.error,
            hint: &failure.hint,
        })
        .await
    }

    async fn say(&mut self, message: &ServerMessage<'_>) -> Result<(), Gone> {
        self.send(json(message)).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Gone> {
        // Which a page does not see.
        let is_ping = message.is_ping();
        websocket::send(&self.web, &mut self.socket, message).await?;
        if !is_ping {
            self.alive_at = Instant::now() + self.web.live_times.alive_every;
        }
        Ok(())
    }
}

fn json(message: &ServerMessage<'_>) -> Message {
    Message::Text(protocol::text(message))
}
