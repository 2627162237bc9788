//! An engine that begins to answer, or does not, and then says nothing more.

use super::*;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How an engine hangs.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Hangs {
    AtOnce,
    AmidTheAnswer,
}

/// The patience that a case is about.
const SHORT: Duration = Duration::from_secs(2);

/// All other patience, and more than any case takes: what has to come, comes on the busiest machine.
const LONG: Duration = Duration::from_secs(3600);

/// So much longer than it should take, on the busiest machine.
const TOO_LONG: Duration = Duration::from_secs(60);

/// Makes short what a case is about.
type Short = fn(&mut Patience);

const HEALTH: Short = |patience| patience.health = SHORT;
const ANSWER: Short = |patience| patience.answer = SHORT;
const STALL: Short = |patience| patience.stall = SHORT;
const LABOUR: Short = |patience| patience.labour = SHORT;
const PULL: Short = |patience| patience.pull_stall = SHORT;
/// Two of it hang, the second for a ping.
const PULL_AND_HEALTH: Short = |patience| (patience.pull_stall, patience.health) = (SHORT, SHORT);
const STALL_AND_HEALTH: Short = |patience| (patience.stall, patience.health) = (SHORT, SHORT);
/// Pings that are answered let it go on for longer than it may stand still.
const LABOUR_BEYOND_STALL: Short =
    |patience| (patience.stall, patience.labour) = (SHORT, 3 * SHORT);

/// An engine that hangs where a request begins like this, and answers all others.
async fn engine(request: &'static str, hangs: Hangs, short: Short) -> Docker {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = Some(format!("tcp://{}", listener.local_addr().unwrap()));
    tokio::spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection, request, hangs));
        }
    });
    let mut patience = Patience {
        health: LONG,
        answer: LONG,
        stall: LONG,
        pull_stall: LONG,
        labour: LONG,
    };
    short(&mut patience);
    let settings = DockerSettings {
        host,
        certificates: None,
    };
    Docker::with_patience(&settings, patience).unwrap()
}

async fn serve(mut connection: TcpStream, hanging: &str, hangs: Hangs) {
    let mut said = Vec::new();
    loop {
        if connection.read_buf(&mut said).await.unwrap_or(0) == 0 {
            return;
        }
        let words = String::from_utf8_lossy(&said).into_owned();
        let Some((head, body)) = words.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().unwrap());
        let is_hanging = hanging
            .split(" and ")
            .any(|beginning| head.starts_with(beginning));
        if is_hanging {
            if hangs == Hangs::AmidTheAnswer {
                let half = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                            Content-Length: 1000\r\n\r\n{";
                // Such an answer is over with its headers.
                let is_short = head.starts_with("HEAD ") || head.contains("/exec/");
                let length = if is_short { 20 } else { half.len() };
                connection
                    .write_all(&half.as_bytes()[..length])
                    .await
                    .unwrap();
            }
            return std::future::pending().await;
        }
        if body.len() < length {
            continue;
        }
        let answer = match head.lines().next().unwrap().split('?').next().unwrap() {
            line if line.starts_with("GET /_ping") => "OK",
            line if line.starts_with("GET /containers/x/json") => r#"{"Id": "x", "Image": "i"}"#,
            line if line.starts_with("POST /containers/x/exec") => r#"{"Id": "e"}"#,
            line if line.starts_with("GET /images/json") => "[]",
            line if line.starts_with("GET /networks") => "[]",
            _ => "{}",
        };
        let length = answer.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{answer}"
        );
        connection.write_all(answer.as_bytes()).await.unwrap();
        said.clear();
    }
}

type Call = fn(Docker) -> BoxFuture<'static, Result<(), DockerError>>;

macro_rules! call {
    (|$docker:ident| $call:expr) => {
        |$docker| Box::pin(async move { $call.await.map(drop).map_err(DockerError::from) })
    };
}

/// The request with which it hangs, what is called, the patience that ends, and how its error begins.
const CALLS: [(&str, Call, Short, &str); 26] = [
    (
        "GET /version",
        call!(|docker| docker.version()),
        HEALTH,
        "docker did not say its version",
    ),
    (
        "GET /info",
        call!(|docker| docker.has_seccomp()),
        HEALTH,
        "docker did not tell about itself",
    ),
    (
        "GET /_ping",
        call!(|docker| docker.ping()),
        HEALTH,
        "docker did not answer a ping",
    ),
    (
        "POST /containers/create",
        call!(|docker| docker.create(&spec())),
        ANSWER,
        "docker did not create a container",
    ),
    (
        "POST /containers/x/start",
        call!(|docker| docker.start("x")),
        ANSWER,
        "docker did not start a container",
    ),
    (
        "POST /containers/x/kill",
        call!(|docker| docker.kill("x")),
        ANSWER,
        "docker did not kill a container",
    ),
    (
        "DELETE /containers/x",
        call!(|docker| docker.remove("x")),
        ANSWER,
        "docker did not remove a container",
    ),
    (
        "GET /containers/x/json",
        call!(|docker| docker.inspect("x")),
        ANSWER,
        "docker did not tell of a container",
    ),
    (
        "GET /containers/json",
        call!(|docker| docker.list_ours("tests")),
        ANSWER,
        "docker did not list containers",
    ),
    (
        "GET /containers/x/json",
        call!(|docker| docker.disk_usage("x")),
        ANSWER,
        "docker did not measure a container",
    ),
    (
        "HEAD /containers/x/archive",
        call!(|docker| fetch(docker)),
        ANSWER,
        "docker did not tell of a file in a container",
    ),
    (
        "GET /containers/x/archive",
        call!(|docker| spool(docker)),
        STALL,
        "docker stood still for 2 seconds when it was to send a file",
    ),
    (
        "PUT /containers/x/archive",
        call!(|docker| docker.upload("x", vec![Upload::Job(job("true"))])),
        STALL,
        "docker stood still for 2 seconds when it was to take an upload",
    ),
    (
        "POST /containers/x/exec",
        call!(|docker| ask(docker)),
        ANSWER,
        "docker did not prepare a command",
    ),
    (
        "POST /exec/e/start",
        call!(|docker| ask(docker)),
        ANSWER,
        "docker did not start a command",
    ),
    (
        "GET /images/",
        call!(|docker| image(docker)),
        ANSWER,
        "docker did not tell of an image",
    ),
    (
        "POST /images/create and GET /_ping",
        call!(|docker| image(docker)),
        PULL_AND_HEALTH,
        "docker stood still for 2 seconds when it was to pull an image",
    ),
    (
        "POST /images/create",
        call!(|docker| image(docker)),
        PULL,
        "image i:latest: docker.io cannot be reached: the pull has stood still for 2 seconds",
    ),
    (
        "POST /commit",
        call!(|docker| commit(docker)),
        LABOUR_BEYOND_STALL,
        "docker did not commit a container within 6 seconds",
    ),
    (
        "POST /commit and GET /_ping",
        call!(|docker| commit(docker)),
        STALL_AND_HEALTH,
        "docker stood still for 2 seconds when it was to commit a container",
    ),
    (
        "GET /images/json",
        call!(|docker| docker.images_of("tests")),
        ANSWER,
        "docker did not list images",
    ),
    (
        "POST /images/prune",
        call!(|docker| docker.remove_dangling_images()),
        LABOUR,
        "docker did not remove images without a name",
    ),
    (
        "DELETE /images/",
        call!(|docker| docker.remove_image("i")),
        LABOUR,
        "docker did not remove an image",
    ),
    (
        "GET /volumes",
        call!(|docker| docker.unused_volumes("tests")),
        ANSWER,
        "docker did not list volumes",
    ),
    (
        "POST /networks/create",
        call!(|docker| docker.ensure_network("n", "tests")),
        ANSWER,
        "docker did not create a network",
    ),
    (
        "GET /networks",
        call!(|docker| docker.unused_networks("tests")),
        ANSWER,
        "docker did not list networks",
    ),
];

async fn fetch(docker: Docker) -> Result<(), DockerError> {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("file");
    let fetched = docker.fetch_artifact("x", "/target", "file", &into, 1000);
    match fetched.await.unwrap_err() {
        ArtifactError::Docker(error) => Err(error),
        other => panic!("{other}"),
    }
}

async fn spool(docker: Docker) -> Result<(), DockerError> {
    Log::read(docker.spool_of_stopped("x", 0, MAX_LOG))
        .await
        .map(drop)
}

async fn ask(docker: Docker) -> Result<(), DockerError> {
    docker
        .ask_runner("x", &["list", "/target"], LONG)
        .await
        .map(drop)
}

async fn image(docker: Docker) -> Result<(), DockerError> {
    let pull = Pull::Always;
    docker
        .ensure_image("i", pull, &BTreeMap::new(), |_| ())
        .await
        .map(drop)
}

async fn commit(docker: Docker) -> Result<(), DockerError> {
    docker
        .commit("x", "tests", "tag", BTreeMap::new())
        .await
        .map(drop)
}

#[tokio::test]
async fn an_engine_that_hangs_is_given_up_and_the_error_says_with_what() {
    let calls = CALLS.iter().flat_map(|call| {
        [Hangs::AtOnce, Hangs::AmidTheAnswer].map(|hangs| async move {
            let &(request, call, short, expected) = call;
            let what = format!("{request}, {hangs:?}");
            let called = call(engine(request, hangs, short).await);
            let ended = tokio::time::timeout(TOO_LONG, called).await;
            match ended.expect(&what) {
                Err(error) => {
                    assert!(error.to_string().starts_with(expected), "{what}: {error}");
                    // A registry that hangs is no engine that does.
                    let is_of_the_engine = expected.starts_with("docker ");
                    assert_eq!(error.is_away(), is_of_the_engine, "{what}: {error}");
                }
                // Its status is all that is wanted of it.
                Ok(()) => assert_eq!(hangs, Hangs::AmidTheAnswer, "{what}"),
            }
        })
    });
    futures_util::future::join_all(calls).await;
}

/// Something else at the engine's address, as a proxy is.
#[tokio::test]
async fn a_page_is_no_engine() {
    let server = wiremock::MockServer::start().await;
    let page = "<html>one moment, please</html> ".repeat(1000);
    let page = wiremock::ResponseTemplate::new(200).set_body_string(page);
    let anything = wiremock::Mock::given(wiremock::matchers::any()).respond_with(page);
    anything.mount(&server).await;
    let settings = DockerSettings {
        host: Some(server.uri()),
        certificates: None,
    };
    let docker = Docker::connect(&settings).unwrap();
    for error in [
        docker.ping().await.unwrap_err(),
        docker.version().await.map(drop).unwrap_err(),
        docker.inspect("x").await.map(drop).unwrap_err(),
    ] {
        assert!(matches!(error, DockerError::Nonsense(_)), "{error}");
        assert!(error.to_string().len() < 2000, "{error}");
    }
}
