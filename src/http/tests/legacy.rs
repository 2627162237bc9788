//! The addresses of the service before this one.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::live::{DEADLINE, Served, serve};
use super::*;

/// Every field that the old service's clients read, and what kind it is of.
fn check_shape(build: &Value) {
    let is_text_or_null = |field: &str| build[field].is_string() || build[field].is_null();
    let fields = build.as_object().unwrap();
    for field in ["ended", "error", "artifact", "tag", "baseimage"] {
        assert!(fields.contains_key(field), "{field} is missing in {build}");
    }
    for field in ["id", "status", "name", "monitor", "docker"] {
        assert!(build[field].is_string(), "{field} of {build}");
    }
    for field in ["error", "artifact", "tag", "baseimage"] {
        assert!(is_text_or_null(field), "{field} of {build}");
    }
    assert!(build["started"].as_i64().unwrap() > 1_700_000_000);
    assert!(build["ended"].is_null() || build["ended"].as_i64().unwrap() > 1_700_000_000);
    for commit in build["commits"].as_array().unwrap() {
        for field in ["/id", "/message", "/url", "/author/name"] {
            assert!(
                commit.pointer(field).unwrap().is_string(),
                "{field} of {commit}"
            );
        }
    }
}

fn lines(range: std::ops::RangeInclusive<u32>) -> String {
    range.map(|number| format!("line {number}\n")).collect()
}

#[tokio::test]
async fn the_old_services_clients_find_its_shapes() {
    let fixture = Fixture::new();
    let done = fixture.built('a', lines(1..=30).as_bytes()).await;
    let running = fixture.push('b').await.remove(1);
    let known = Facts {
        container: Some("0123456789abcdef".into()),
        image: Some("debian:12".into()),
        ..Facts::default()
    };
    fixture.transition(&running, State::Preparing, known).await;
    let mut writer = fixture.log(&running).await;
    let text = format!("{}and a line that is not", lines(1..=30));
    writer.append(1_000, 0, text.as_bytes()).unwrap();

    let status = json(&fixture.get("/build/status").await);
    assert_eq!(status.as_object().unwrap().len(), 3, "two of them wait");
    status.as_object().unwrap().values().for_each(check_shape);
    let mut old = status[running.as_str()].clone();
    assert_eq!(old["id"], running.as_str());
    old["started"] = "…".into();
    old["id"] = "…".into();
    assert_eq!(old["monitor"], lines(11..=30));
    old["monitor"] = "…".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&old).unwrap(), @r###"
    {
      "artifact": null,
      "baseimage": "debian:12",
      "branch": "main",
      "commits": [
        {
          "author": {
            "name": "Ada"
          },
          "id": "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
          "message": "change b",
          "url": ""
        }
      ],
      "docker": "0123456789",
      "ended": null,
      "error": null,
      "id": "…",
      "monitor": "…",
      "name": "acme/app/main",
      "repository": "acme/app",
      "started": "…",
      "status": "initializing",
      "tag": null
    }
    "###);

    let history = json(&fixture.get("/build/history").await);
    assert_eq!(history.as_array().unwrap().len(), 1);
    check_shape(&history[0]);
    assert_eq!(history[0]["id"], done.as_str());
    assert_eq!(history[0]["status"], "success");
    assert_eq!(history[0]["monitor"], lines(11..=30));
    assert_eq!(
        history[0]["artifact"],
        "binary/acme-app-main-aaaaaaaaaa.tar.gz"
    );

    assert_eq!(
        fixture.get(&format!("/report/{done}")).await.body(),
        lines(1..=30).as_str()
    );
    assert_eq!(fixture.get("/report/../etc").await.status(), 404);
}

#[tokio::test]
async fn each_state_has_one_of_the_old_words() {
    let fixture = Fixture::new();
    let id = fixture.push('a').await.remove(0);
    let mut words = Vec::new();
    let ways = [
        State::Preparing,
        State::Building,
        State::Collecting,
        State::Publishing,
    ];
    for state in ways {
        let status = json(&fixture.get("/build/status").await);
        words.push(status[id.as_str()]["status"].as_str().unwrap().to_owned());
        fixture.advance(&id, &[state]).await;
    }
    let status = json(&fixture.get("/build/status").await);
    words.push(status[id.as_str()]["status"].as_str().unwrap().to_owned());
    assert_eq!(
        words,
        [
            "creating",
            "initializing",
            "building",
            "committing",
            "committing"
        ]
    );

    let ends = [
        State::Failed,
        State::Errored,
        State::TimedOut,
        State::Cancelled,
        State::Superseded,
    ];
    for (after, end) in ('b'..='f').zip(ends) {
        let id = fixture.push(after).await.remove(0);
        fixture.advance(&id, &[State::Preparing, end]).await;
        let history = json(&fixture.get("/build/history").await);
        check_shape(&history[0]);
        assert_eq!(history[0]["status"], "error", "{end}");
        assert_eq!(history[0]["error"], end.as_str());
    }
    let id = fixture.push('9').await.remove(0);
    fixture.advance(&id, &[State::Skipped]).await;
    let history = json(&fixture.get("/build/history").await);
    assert_eq!(
        (&history[0]["status"], &history[0]["error"]),
        (&"success".into(), &Value::Null)
    );
}

#[tokio::test]
async fn the_full_history_is_all_of_it_and_the_short_one_the_newest_25() {
    let fixture = Fixture::new();
    assert_eq!(
        json(&fixture.get("/build/history/full").await),
        Value::Array(Vec::new())
    );
    let mut ended = Vec::new();
    for number in 0..120 {
        let mut new = new_build('a');
        new.push.reference = format!("refs/heads/b{number}").parse().unwrap();
        new.work.truncate(1);
        let id = fixture
            .store()
            .hear_push(None, new)
            .await
            .unwrap()
            .builds
            .remove(0);
        fixture
            .advance(&id, &[State::Preparing, State::Failed])
            .await;
        ended.insert(0, id.to_string());
    }
    let ids = async |path: &str| -> Vec<String> {
        let builds = json(&fixture.get(path).await);
        let builds = builds.as_array().unwrap();
        builds
            .iter()
            .map(|build| build["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("/build/history/full").await, ended);
    assert_eq!(ids("/build/history").await, ended[..25]);
    // A whole number of pages.
    fixture
        .store()
        .forget_builds(ended[100..].iter().map(|id| id.parse().unwrap()).collect())
        .await
        .unwrap();
    assert_eq!(ids("/build/history/full").await, ended[..100]);
}

#[tokio::test]
async fn a_branchs_log_is_that_of_its_newest_build() {
    let fixture = Fixture::new();
    let mut new = new_build('a');
    new.push.reference = "refs/heads/feature/x#1".parse().unwrap();
    let builds = fixture.store().hear_push(None, new).await.unwrap().builds;
    for id in &builds {
        fixture.advance(id, &[State::Preparing]).await;
        fixture
            .log(id)
            .await
            .append(1_000, 0, id.as_str().as_bytes())
            .unwrap();
    }
    let log = async |path: &str| {
        let response = fixture.get(path).await;
        (
            response.status().as_u16(),
            String::from_utf8_lossy(response.body()).into_owned(),
        )
    };
    assert_eq!(
        log("/build/logs/acme/app/feature/x%231").await,
        (200, builds[1].to_string())
    );
    assert_eq!(
        log("/build/logs/acme/app/feature/x%231?script=build.sh").await,
        (200, builds[0].to_string())
    );
    assert_eq!(
        log("/build/logs/acme/app/feature/x%231?script=other.sh")
            .await
            .0,
        404
    );
    assert_eq!(log("/build/logs/acme/app/other").await.0, 404);
    assert_eq!(log("/build/logs/acme/app/").await.0, 404);
    assert_eq!(log("/build/logs/acme/app/..%2f..%2fx").await.0, 404);
}

/// A client of `/buildio`.
struct Listener(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Listener {
    async fn connect(served: &Served) -> Self {
        let (socket, _) = connect_async(format!("ws://{}/buildio", served.address))
            .await
            .unwrap();
        Self(socket)
    }

    async fn frame(&mut self) -> Option<Result<Message, Error>> {
        timeout(DEADLINE, self.0.next())
            .await
            .expect("the server says something")
    }

    /// Event and payload of the next message.
    async fn next(&mut self) -> (String, Value) {
        loop {
            if let Message::Text(text) = self.frame().await.unwrap().unwrap() {
                let message: Value = serde_json::from_str(&text).unwrap();
                assert_eq!(message.as_object().unwrap().len(), 2, "{message}");
                return (
                    message["event"].as_str().unwrap().to_owned(),
                    message["payload"].clone(),
                );
            }
        }
    }

    /// The next payload of an event; what comes before is passed over.
    async fn next_of(&mut self, wanted: &str) -> Value {
        loop {
            let (event, payload) = self.next().await;
            if event == wanted {
                return payload;
            }
        }
    }

    /// What comes until a status is as wanted, and that status.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> (Vec<(String, Value)>, Value) {
        let mut before = Vec::new();
        loop {
            let (event, payload) = self.next().await;
            if event == "status" && wanted(&payload) {
                return (before, payload);
            }
            before.push((event, payload));
        }
    }
}

/// The output of a build in updates, joined.
fn output(messages: &[(String, Value)], build: &BuildId) -> String {
    let updates = messages
        .iter()
        .filter(|(event, update)| event == "update" && update["id"] == build.as_str());
    updates
        .map(|(_, update)| update["line"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn a_listener_is_told_the_present_then_what_happens() {
    let served = serve(Fixture::new()).await;
    let fixture = &served.fixture;
    let done = fixture.built('a', b"done\n").await;
    let mut listener = Listener::connect(&served).await;
    let (event, history) = listener.next().await;
    assert_eq!(event, "history");
    check_shape(&history[0]);
    assert_eq!(history[0]["id"], done.as_str());
    let (event, status) = listener.next().await;
    assert_eq!(
        (event.as_str(), status.as_object().unwrap().len()),
        ("status", 1)
    );

    let id = fixture.push('b').await.remove(0);
    fixture.advance(&id, &[State::Preparing]).await;
    let mut writer = fixture.log(&id).await;
    writer
        .append(1_000, 0, b"one\ntwo; with a mark\nhalf a li")
        .unwrap();
    let (mut heard, status) = listener
        .until(|status| status[id.as_str()]["status"] == "initializing")
        .await;
    status.as_object().unwrap().values().for_each(check_shape);
    while output(&heard, &id).is_empty() {
        heard.push(listener.next().await);
    }
    let (_, first) = heard.iter().find(|(event, _)| event == "update").unwrap();
    let whole_lines = "one\ntwo; with a mark\n";
    assert_eq!(*first, serde_json::json!({"id": id, "line": whole_lines}));
    let rest = b"ne\nand no end";
    writer.append(1_000, writer.spool_offset(), rest).unwrap();
    assert_eq!(listener.next_of("update").await["line"], "half a line\n");
    writer.finish().unwrap();
    fixture
        .advance(&id, &[State::Building, State::Failed])
        .await;
    fixture.web.service.logs.closed(&id);
    let (before, _) = listener
        .until(|status| status.get(id.as_str()).is_none())
        .await;
    assert_eq!(
        output(&before, &id),
        "and no end",
        "told before the status without it"
    );
    let (_, history) = before
        .iter()
        .rfind(|(event, _)| event == "history")
        .unwrap();
    assert_eq!(
        (&history[0]["id"], &history[0]["status"]),
        (&id.as_str().into(), &"error".into())
    );
}

#[tokio::test]
async fn what_a_status_shows_and_the_updates_after_it_are_the_log_once() {
    let served = serve(Fixture::new()).await;
    let fixture = &served.fixture;
    let id = fixture.push('a').await.remove(0);
    fixture.advance(&id, &[State::Preparing]).await;
    let mut writer = fixture.log(&id).await;
    let before = lines(1..=15);
    writer.append(1_000, 0, before.as_bytes()).unwrap();
    let mut listener = Listener::connect(&served).await;
    let status = listener.next_of("status").await;
    let mut told = status[id.as_str()]["monitor"].as_str().unwrap().to_owned();
    assert_eq!(told, before);

    // It writes on while its neighbours' states change, so that statuses come between its lines.
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let writing = std::thread::spawn(move || {
        let mut written = before;
        for number in 16.. {
            let line = lines(number..=number);
            let offset = writer.spool_offset();
            writer.append(1_000, offset, line.as_bytes()).unwrap();
            written.push_str(&line);
            if stopped.recv_timeout(Duration::from_millis(1)).is_ok() {
                break;
            }
        }
        (written, writer)
    });
    for round in 1..=4_u32 {
        fixture.push(char::from_digit(round, 10).unwrap()).await;
        let builds = 2 * (round as usize + 1);
        let (heard, status) = listener
            .until(|status| status.as_object().unwrap().len() == builds)
            .await;
        told.push_str(&output(&heard, &id));
        let monitor = status[id.as_str()]["monitor"].as_str().unwrap();
        assert!(
            told.ends_with(monitor),
            "it shows other lines than the updates before it"
        );
    }
    stop.send(()).unwrap();
    let (written, _writer) = writing.join().unwrap();
    while told.len() < written.len() {
        let update = listener.next_of("update").await;
        told.push_str(update["line"].as_str().unwrap());
    }
    assert_eq!(told, written);
}

#[tokio::test]
async fn a_sync_tells_listeners_the_present_again() {
    let served = serve(Fixture::new()).await;
    let mut listener = Listener::connect(&served).await;
    listener.next_of("status").await;
    let answer = served.fixture.get("/build/sync").await;
    let again = served.fixture.get("/build/sync").await;
    assert_eq!(
        failure(&again),
        "429: everybody was told just now; try again in 5 seconds"
    );
    assert_eq!(
        (answer.status().as_u16(), &answer.body()[..]),
        (200, &b"OK"[..])
    );
    assert_eq!(listener.next().await.0, "history");
    assert_eq!(listener.next().await.0, "status");
}

#[tokio::test]
async fn a_listener_that_never_reads_is_dropped_and_others_hear_everything() {
    let impatient = LiveTimes {
        send_timeout: Duration::from_millis(300),
        ..LiveTimes::default()
    };
    let served = serve(Fixture::patient(impatient)).await;
    let fixture = &served.fixture;
    let id = fixture.push('a').await.remove(0);
    fixture.advance(&id, &[State::Preparing]).await;
    let mut writer = fixture.log(&id).await;
    let mut deaf = Listener::connect(&served).await;
    deaf.next_of("status").await;
    let mut listener = Listener::connect(&served).await;
    listener.next_of("status").await;
    let (block, blocks) = (format!("{}\n", "x".repeat(999)).repeat(1000), 30);
    for _ in 0..blocks {
        writer
            .append(1_000, writer.spool_offset(), block.as_bytes())
            .unwrap();
    }
    let mut heard = 0;
    while heard < block.len() * blocks {
        heard += listener.next_of("update").await["line"]
            .as_str()
            .unwrap()
            .len();
    }
    let dropped = async {
        while fixture.web.service.metrics.live_clients.get() > 1 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(DEADLINE, dropped)
        .await
        .expect("the deaf listener is dropped");
    let mut taken = 0;
    while let Some(Ok(message)) = deaf.frame().await {
        taken += message.len();
    }
    assert!(taken < block.len() * blocks, "{taken}");
}

#[tokio::test]
async fn listeners_come_by_the_same_rules_as_live_ones() {
    use tokio_tungstenite::tungstenite::client::IntoClientRequest;
    let served = serve(Fixture::new()).await;
    let url = format!("ws://{}/buildio", served.address);
    let mut request = url.into_client_request().unwrap();
    let elsewhere = "https://evil.example.org".parse().unwrap();
    request.headers_mut().insert("origin", elsewhere);
    match connect_async(request).await {
        Err(Error::Http(response)) => assert_eq!(response.status(), 403),
        _ => panic!("a page of another site was let in"),
    }
    assert_eq!(served.fixture.get("/buildio").await.status(), 426);
    let mut listener = Listener::connect(&served).await;
    listener.next_of("status").await;
    served.stop.send(()).unwrap();
    match listener.frame().await.unwrap().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1001),
        message => panic!("{message:?}"),
    }
}

#[tokio::test]
async fn a_listener_without_a_token_leaves_a_service_that_becomes_private() {
    let watchful = LiveTimes {
        check_every: Duration::from_millis(20),
        ..LiveTimes::default()
    };
    let served = serve(Fixture::patient(watchful)).await;
    let mut listener = Listener::connect(&served).await;
    listener.next_of("status").await;
    served
        .fixture
        .configure(|config| config.monitor.private = true);
    match listener.frame().await.unwrap().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(u16::from(frame.code), 1008),
        message => panic!("{message:?}"),
    }
}
