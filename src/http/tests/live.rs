//! Live connections over a real socket: what a client gets, joined, is what was written.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;

/// Long enough for any machine; nothing waits for it to pass.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct Served {
    pub fixture: Fixture,
    pub address: SocketAddr,
    pub stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

pub async fn serve(fixture: Fixture) -> Served {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, served) = serve_at(listener, &fixture);
    Served {
        fixture,
        address,
        stop,
        served,
    }
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

#[derive(Debug, PartialEq)]
enum Got {
    Text(Value),
    Log {
        channel: u32,
        offset: u64,
        bytes: Vec<u8>,
    },
}

impl Client {
    /// Connected, and greeted.
    async fn connect(address: SocketAddr) -> (Self, Value) {
        Self::connect_with(address, &[]).await
    }

    async fn connect_with(address: SocketAddr, headers: &[(&'static str, &str)]) -> (Self, Value) {
        let url = format!("ws://{address}/api/v1/live");
        let mut request = url.into_client_request().unwrap();
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().unwrap());
        }
        let (socket, _) = connect_async(request).await.unwrap();
        let mut client = Self(socket);
        let hello = client.text().await;
        assert_eq!(hello["type"], "hello");
        (client, hello)
    }

    async fn say(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    async fn frame(&mut self) -> Option<Result<Message, Error>> {
        timeout(DEADLINE, self.0.next())
            .await
            .expect("the server says something")
    }

    async fn next(&mut self) -> Got {
        loop {
            match self.frame().await.unwrap().unwrap() {
                Message::Text(text) => return Got::Text(serde_json::from_str(&text).unwrap()),
                Message::Binary(frame) => {
                    return Got::Log {
                        channel: u32::from_be_bytes(frame[..4].try_into().unwrap()),
                        offset: u64::from_be_bytes(frame[4..12].try_into().unwrap()),
                        bytes: frame[12..].to_vec(),
                    };
                }
                _ => {}
            }
        }
    }

    async fn text(&mut self) -> Value {
        match self.next().await {
            Got::Text(text) => text,
            got => panic!("{got:?}"),
        }
    }

    async fn follow(&mut self, build: &BuildId, field: &str, value: u64) -> Value {
        self.say(json!({"type": "follow", "build": build, field: value}))
            .await;
        self.text().await
    }

    /// The bytes of one channel until `length` of them came, or until its end.
    async fn log(&mut self, from: u64, length: Option<usize>) -> Vec<u8> {
        let mut log = Vec::new();
        while length.is_none_or(|length| log.len() < length) {
            match self.next().await {
                Got::Log { offset, bytes, .. } => {
                    assert_eq!(offset, from + log.len() as u64);
                    log.extend(bytes);
                }
                Got::Text(text) if text["type"] == "end" => {
                    assert_eq!(text["offset"], from + log.len() as u64);
                    break;
                }
                Got::Text(text) => panic!("{text}"),
            }
        }
        log
    }
}

fn varied(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| {
            if at % 83 == 82 {
                b'\n'
            } else {
                (at * 7 % 251) as u8
            }
        })
        .collect()
}

#[tokio::test]
async fn a_log_arrives_as_it_is_written_and_ends_with_its_build() {
    let served = serve(Fixture::new()).await;
    let fixture = &served.fixture;
    let id = fixture.push('a').await.remove(0);
    let (mut client, _) = Client::connect(served.address).await;
    let following = client.follow(&id, "offset", 0).await;
    assert_eq!(
        following,
        json!({"type": "following", "build": id, "channel": 1, "offset": 0, "line": 1})
    );

    fixture.advance(&id, &[State::Preparing]).await;
    // Later than the transition, as the actor does it: the client must hear of it all the same.
    let mut writer = fixture.log(&id).await;
    let mut offset = 0;
    for number in 0..100 {
        let line = format!("line {number}\n");
        writer.append(1_000, offset, line.as_bytes()).unwrap();
        assert_eq!(client.log(offset, Some(line.len())).await, line.as_bytes());
        offset += line.len() as u64;
    }
    writer.finish().unwrap();
    fixture.web.service.logs.closed(&id);
    fixture
        .advance(&id, &[State::Building, State::Failed])
        .await;
    let end = client.text().await;
    assert_eq!(
        end,
        json!({"type": "end", "build": id, "channel": 1, "offset": offset})
    );
}

#[tokio::test]
async fn the_end_waits_for_the_builds_own_end() {
    let served = serve(Fixture::new()).await;
    let fixture = &served.fixture;
    let id = fixture.push('a').await.remove(0);
    fixture.advance(&id, &[State::Preparing]).await;
    let mut writer = fixture.log(&id).await;
    writer.append(1_000, 0, b"all\n").unwrap();
    let (mut client, _) = Client::connect(served.address).await;
    client.follow(&id, "offset", 0).await;
    assert_eq!(client.log(0, Some(4)).await, b"all\n");
    writer.finish().unwrap();
    // Attempt 1 is over; the build goes on in the same log.
    fixture
        .advance(&id, &[State::Queued, State::Preparing])
        .await;
    fixture.web.service.logs.closed(&id);
    client.say(json!({"type": "builds"})).await;
    fixture
        .advance(&id, &[State::Building, State::Failed])
        .await;
    loop {
        match client.text().await {
            text if text["type"] == "end" => break,
            text => assert_eq!(text["type"], "build"),
        }
    }
    let state = fixture.store().build(id).await.unwrap().state;
    assert_eq!(state, State::Failed);
}

#[tokio::test]
async fn a_client_that_comes_back_gets_every_byte_once() {
    let served = serve(Fixture::new()).await;
    let log = varied(3_000_000);
    let id = served.fixture.built('a', &log).await;
    let mut got = Vec::new();
    let mut connections = 0;
    while got.len() < log.len() {
        let (mut client, _) = Client::connect(served.address).await;
        let from = got.len() as u64;
        let following = client.follow(&id, "offset", from).await;
        assert_eq!(following["offset"], from);
        // Each connection is lost somewhere within the log.
        got.extend(client.log(from, Some(700_001)).await);
        connections += 1;
    }
    assert_eq!(got, log);
    assert!(connections > 3);
}

#[tokio::test]
async fn a_log_can_begin_at_a_line_or_near_its_end() {
    let served = serve(Fixture::new()).await;
    let id = served.fixture.built('a', b"one\ntwo\nthree\nfour").await;
    let (mut client, _) = Client::connect(served.address).await;
    let following = client.follow(&id, "line", 3).await;
    assert_eq!(
        (&following["offset"], &following["line"]),
        (&json!(8), &json!(3))
    );
    assert_eq!(client.log(8, None).await, b"three\nfour");
    let following = client.follow(&id, "tail", 2).await;
    assert_eq!(
        (&following["offset"], &following["line"]),
        (&json!(8), &json!(3))
    );
    assert_eq!(following["channel"], 2);
    assert_eq!(client.log(8, None).await, b"three\nfour");
    let following = client.follow(&id, "offset", 18).await;
    assert_eq!(
        (&following["offset"], &following["line"]),
        (&json!(18), &json!(4))
    );
    assert_eq!(client.log(18, None).await, b"");
    for (field, value) in [("offset", 19), ("line", 6), ("line", 0)] {
        let error = client.follow(&id, field, value).await;
        assert_eq!(
            (&error["type"], &error["build"]),
            (&json!("error"), &json!(id)),
            "{field} {value}"
        );
    }
}

#[tokio::test]
async fn every_change_comes_and_a_client_that_was_away_catches_up() {
    let served = serve(Fixture::new()).await;
    let fixture = &served.fixture;
    let (mut client, hello) = Client::connect(served.address).await;
    assert_eq!(hello["revision"], 0);
    assert_eq!(hello["instance"], fixture.store().instance());
    client.say(json!({"type": "builds", "since": 0})).await;
    let builds = fixture.push('a').await;
    for id in &builds {
        let change = client.text().await;
        assert_eq!(
            (&change["type"], &change["build"]["id"]),
            (&json!("build"), &json!(id))
        );
    }
    let mut revision = 2;
    for state in [State::Preparing, State::Building, State::Failed] {
        fixture.advance(&builds[0], &[state]).await;
        let change = client.text().await;
        revision += 1;
        assert_eq!(
            (&change["revision"], &change["build"]["state"]),
            (&json!(revision), &json!(state))
        );
    }
    drop(client);
    for after in 'b'..='f' {
        fixture.push(after).await;
    }
    let (mut client, hello) = Client::connect(served.address).await;
    assert_eq!(hello["revision"], revision + 10);
    client
        .say(json!({"type": "builds", "since": revision}))
        .await;
    for expected in revision + 1..=revision + 10 {
        assert_eq!(client.text().await["revision"], expected);
    }
}

#[tokio::test]
async fn logs_take_turns_and_a_long_one_does_not_hold_up_a_short_one() {
    let served = serve(Fixture::new()).await;
    let long = served.fixture.built('a', &varied(20_000_000)).await;
    let short = served.fixture.built('b', b"short\n").await;
    let (mut client, _) = Client::connect(served.address).await;
    client
        .say(json!({"type": "follow", "build": long, "offset": 0}))
        .await;
    client
        .say(json!({"type": "follow", "build": short, "offset": 0}))
        .await;
    let mut before_short = 0;
    loop {
        match client.next().await {
            Got::Log {
                channel: 1, bytes, ..
            } => before_short += bytes.len(),
            Got::Text(text) if text["type"] == "end" => {
                assert_eq!(text["build"], json!(short));
                break;
            }
            _ => {}
        }
    }
    assert!(before_short < 2_000_000, "{before_short} bytes came first");
    client.say(json!({"type": "unfollow", "build": long})).await;
    client.say(json!({"type": "dance"})).await;
    loop {
        if let Got::Text(text) = client.next().await {
            assert_eq!(
                (&text["type"], &text["build"]),
                (&json!("error"), &Value::Null)
            );
            break;
        }
    }
    served.fixture.push('c').await;
    client.say(json!({"type": "builds", "since": 0})).await;
    assert_eq!(
        client.text().await["type"],
        "build",
        "nothing of the long log follows"
    );
}

#[tokio::test]
async fn a_client_that_never_reads_is_dropped_and_others_are_not_held_up() {
    let impatient = LiveTimes {
        send_timeout: Duration::from_millis(300),
        ..LiveTimes::default()
    };
    let served = serve(Fixture::patient(impatient)).await;
    let log = varied(40_000_000);
    let id = served.fixture.built('a', &log).await;
    let (mut deaf, _) = Client::connect(served.address).await;
    deaf.say(json!({"type": "follow", "build": id, "offset": 0}))
        .await;
    let (mut client, _) = Client::connect(served.address).await;
    client.follow(&id, "offset", 0).await;
    assert!(client.log(0, None).await == log);
    let clients = async {
        while served.fixture.web.service.metrics.live_clients.get() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, clients)
        .await
        .expect("the deaf client is dropped");
    // What it finds when it reads at last: a part of the log, then the end of the connection.
    let mut taken = 0;
    while let Some(Ok(message)) = deaf.frame().await {
        taken += message.len();
    }
    assert!(taken < log.len(), "{taken}");
}

#[tokio::test]
async fn what_clients_may_not_do() {
    let served = serve(Fixture::new()).await;
    let (mut client, _) = Client::connect(served.address).await;
    client.0.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    assert_eq!(client.text().await["type"], "error");
    let unknown: BuildId = "0123456789ab".parse().unwrap();
    assert_eq!(
        client.follow(&unknown, "offset", 0).await["error"],
        "there is no build 0123456789ab"
    );
    client
        .0
        .send(Message::text("x".repeat(5000)))
        .await
        .unwrap();
    match client.frame().await.unwrap().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1009),
        message => panic!("{message:?}"),
    }
}

#[tokio::test]
async fn more_than_64_logs_at_once_are_refused() {
    let served = serve(Fixture::new()).await;
    let (mut client, _) = Client::connect(served.address).await;
    let mut answers = Vec::new();
    for _ in 0..33 {
        let reference = format!("refs/heads/b{}", answers.len());
        let mut new = new_build('a');
        new.push.reference = reference.parse().unwrap();
        for id in served
            .fixture
            .store()
            .hear_push(None, new)
            .await
            .unwrap()
            .builds
        {
            answers.push(client.follow(&id, "offset", 0).await["type"].clone());
        }
    }
    assert_eq!(
        answers
            .iter()
            .filter(|answer| *answer == "following")
            .count(),
        64
    );
    assert_eq!(answers[64], "error");
}

#[tokio::test]
async fn pages_of_other_sites_and_plain_requests_are_turned_away() {
    let served = serve(Fixture::new()).await;
    let url = format!("ws://{}/api/v1/live", served.address);
    let with_origin = async |origin: String| {
        let mut request = url.as_str().into_client_request().unwrap();
        request
            .headers_mut()
            .insert("origin", origin.parse().unwrap());
        match connect_async(request).await {
            Ok(_) => 101,
            Err(Error::Http(response)) => response.status().as_u16(),
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(with_origin("https://evil.example.org".into()).await, 403);
    assert_eq!(with_origin(format!("http://{}", served.address)).await, 101);
    assert_eq!(
        with_origin("http://127.0.0.1:5560".into()).await,
        101,
        "the public address"
    );
    let plain = served.fixture.get("/api/v1/live").await;
    insta::assert_snapshot!(failure(&plain), @"426: this address speaks WebSocket; connect with a WebSocket client of version 13; see docs/live-protocol.md");
}

#[tokio::test]
async fn a_service_that_stops_says_goodbye_and_finishes_what_it_was_asked() {
    let served = serve(Fixture::new()).await;
    let (mut client, _) = Client::connect(served.address).await;
    served.stop.send(()).unwrap();
    match client.frame().await.unwrap().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1001),
        message => panic!("{message:?}"),
    }
    assert!(client.frame().await.is_none());
    timeout(DEADLINE, served.served)
        .await
        .expect("it stops")
        .unwrap();
    assert!(TcpStream::connect(served.address).await.is_err());
}

#[tokio::test]
async fn idle_clients_are_pinged() {
    let lively = LiveTimes {
        ping_every: Duration::from_millis(20),
        ..LiveTimes::default()
    };
    let served = serve(Fixture::patient(lively)).await;
    let (mut client, _) = Client::connect(served.address).await;
    for _ in 0..3 {
        assert!(client.frame().await.unwrap().unwrap().is_ping());
    }
}

#[tokio::test]
async fn a_page_sees_that_a_connection_without_news_stands() {
    let lively = LiveTimes {
        alive_every: Duration::from_millis(20),
        ..LiveTimes::default()
    };
    let served = serve(Fixture::patient(lively)).await;
    let (mut client, _) = Client::connect(served.address).await;
    for _ in 0..3 {
        assert_eq!(client.text().await, json!({"type": "alive"}));
    }
}

fn watchful() -> Fixture {
    let fixture = Fixture::patient(LiveTimes {
        check_every: Duration::from_millis(20),
        alive_every: Duration::from_millis(100),
        ..LiveTimes::default()
    });
    fixture.configure(|config| config.monitor.private = true);
    fixture
}

/// The code with which the server ends a connection, before any log has ended.
async fn refused(client: &mut Client) -> u16 {
    loop {
        match client.frame().await.unwrap().unwrap() {
            Message::Close(Some(frame)) => return frame.code.into(),
            Message::Close(None) => panic!("it says why"),
            Message::Text(text) => assert!(!text.contains(r#""type":"end""#)),
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_connection_ends_with_the_token_it_was_opened_with() {
    let served = serve(watchful()).await;
    let bearer = format!("Bearer {TOKEN}");
    let session = super::session::cookie_of(&served.fixture).await;
    let (mut by_token, _) =
        Client::connect_with(served.address, &[("authorization", &bearer)]).await;
    let (mut by_session, _) = Client::connect_with(served.address, &[("cookie", &session)]).await;
    for client in [&mut by_token, &mut by_session] {
        // By then it was looked at some times.
        assert_eq!(client.text().await["type"], "alive");
    }
    served
        .fixture
        .configure(|config| config.api_token = Some(TokenHash::of("another")));
    for client in [&mut by_token, &mut by_session] {
        assert_eq!(refused(client).await, 1008);
    }
}

/// Also in the middle of a log that takes its time.
#[tokio::test]
async fn strangers_connections_end_when_the_service_becomes_private() {
    let fixture = watchful();
    fixture.configure(|config| config.monitor.private = false);
    let served = serve(fixture).await;
    let id = served.fixture.built('a', &varied(40_000_000)).await;
    let (mut idle, _) = Client::connect(served.address).await;
    let (mut busy, _) = Client::connect(served.address).await;
    busy.follow(&id, "offset", 0).await;
    served
        .fixture
        .configure(|config| config.monitor.private = true);
    assert_eq!(refused(&mut idle).await, 1008);
    assert_eq!(refused(&mut busy).await, 1008);
}
