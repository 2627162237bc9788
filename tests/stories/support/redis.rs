//! A real Redis of a story's own, and a subscriber such as the old service's gateway.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fred::prelude::{Client, ClientLike, Config};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use super::{SOON, keep_port};

pub const PASSWORD: &str = "hunter2-of-redis";

/// Ends with its owner.
pub struct Redis {
    address: SocketAddr,
    _port: TcpSocket,
    server: Option<Child>,
}

impl Redis {
    /// An address at which nobody listens yet.
    pub fn absent() -> Self {
        let port = keep_port();
        Self {
            address: port.local_addr().unwrap(),
            _port: port,
            server: None,
        }
    }

    pub fn start() -> Self {
        let mut redis = Self::absent();
        redis.come();
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://:{PASSWORD}@{}", self.address)
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn come(&mut self) {
        let server = Command::new("redis-server")
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--requirepass",
                PASSWORD,
                "--port",
            ])
            .arg(self.address.port().to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server can be run: scripts/setup redis");
        self.server = Some(server);
        let begun = Instant::now();
        while std::net::TcpStream::connect(self.address).is_err() {
            assert!(begun.elapsed() < SOON, "redis-server does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn go(&mut self) {
        let mut server = self.server.take().expect("it runs");
        server.kill().unwrap();
        server.wait().unwrap();
    }

    /// Stops in its tracks, with its connections open, or goes on.
    pub fn freeze(&self, freeze: bool) {
        use rustix::process::{Pid, Signal, kill_process};
        let signal = if freeze { Signal::STOP } else { Signal::CONT };
        kill_process(Pid::from_child(self.server.as_ref().unwrap()), signal).unwrap();
    }

    /// A client that asks it anything.
    pub async fn client(&self) -> Client {
        let config = Config::from_url(&self.url()).unwrap();
        let client = Client::new(config, None, None, None);
        client.init().await.unwrap();
        client
    }

    /// Subscribed to the four topics of the older service.
    pub async fn subscribe(&self) -> Subscriber {
        self.subscribe_to(
            "autobuilder-current autobuilder-history autobuilder-update autobuilder-current-update",
        )
        .await
    }

    pub async fn subscribe_to(&self, topics: &str) -> Subscriber {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let mut subscriber = Subscriber(BufReader::new(stream));
        subscriber.say(&format!("AUTH {PASSWORD}")).await;
        assert_eq!(subscriber.line().await, "+OK");
        subscriber.say(&format!("SUBSCRIBE {topics}")).await;
        for _ in topics.split(' ') {
            assert_eq!(subscriber.array().await[0], "subscribe");
        }
        subscriber
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Speaks Redis' protocol, RESP2, as far as a subscriber has to.
pub struct Subscriber(BufReader<TcpStream>);

impl Subscriber {
    async fn say(&mut self, command: &str) {
        self.0
            .write_all(format!("{command}\r\n").as_bytes())
            .await
            .unwrap();
    }

    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = timeout(SOON, self.0.read_line(&mut line)).await;
        assert!(
            read.expect("redis says something").unwrap() > 0,
            "redis has gone"
        );
        line.trim_end().to_owned()
    }

    async fn array(&mut self) -> Vec<String> {
        let length: usize = self
            .line()
            .await
            .strip_prefix('*')
            .unwrap()
            .parse()
            .unwrap();
        let mut items = Vec::new();
        for _ in 0..length {
            let head = self.line().await;
            match head.split_at(1) {
                ("$", length) => {
                    let mut item = vec![0; length.parse::<usize>().unwrap() + 2];
                    let read = timeout(SOON, self.0.read_exact(&mut item)).await;
                    read.expect("redis says it whole").unwrap();
                    item.truncate(item.len() - 2);
                    items.push(String::from_utf8(item).unwrap());
                }
                (":", number) => items.push(number.to_owned()),
                _ => panic!("{head}"),
            }
        }
        items
    }

    /// Topic and payload of the next message.
    pub async fn next(&mut self) -> (String, Value) {
        let [kind, topic, payload]: [String; 3] = self.array().await.try_into().unwrap();
        assert_eq!(kind, "message");
        (topic, serde_json::from_str(&payload).unwrap())
    }

    /// What comes up to the first message that is wanted, with it.
    pub async fn until(&mut self, wanted: impl Fn(&str, &Value) -> bool) -> Vec<(String, Value)> {
        let begun = Instant::now();
        let mut messages = Vec::new();
        loop {
            assert!(begun.elapsed() < SOON, "{SOON:?} without it: {messages:?}");
            let (topic, payload) = self.next().await;
            let is_wanted = wanted(&topic, &payload);
            messages.push((topic, payload));
            if is_wanted {
                return messages;
            }
        }
    }
}
