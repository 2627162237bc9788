//! Servers that answer, that do not, and what they are asked.

use super::*;
use bytesize::ByteSize;
use faulty::{Fault, Faulty};

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_and_no_process_stays() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for scheme in ["git", "http"] {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("{scheme}://127.0.0.1:{port}");
        let mut settings = Settings::new(&url, folder.path().join("mirrors"));
        settings.network_timeout = Duration::from_millis(500);
        settings.retry_after = Duration::from_millis(1);
        settings.attempts = 2;
        let git = Git::new(settings).unwrap();
        let app: RepositoryName = "acme/app".parse().unwrap();
        let since = Instant::now();
        let lines = Mutex::new(Vec::new());
        let progress = |line: &str| lines.lock().unwrap().push(line.to_owned());
        let error = git.update(&app, &progress).await.unwrap_err();
        let given_up = format!("git fetch of {url}/acme/app took longer than 0.5 s");
        assert_eq!(error.to_string(), given_up);
        assert!(since.elapsed() < Duration::from_secs(10));
        assert_eq!(
            *lines.lock().unwrap(),
            [format!("{given_up}; trying again in 0.001 s")]
        );
        wait_until_nobody_mentions(&url).await;

        // Nobody waits for it any more.
        let waiting = tokio::time::timeout(Duration::from_millis(200), git.refs(&app));
        assert!(waiting.await.is_err());
        wait_until_nobody_mentions(&url).await;
    }
}

/// Waits until no process has this text among its arguments.
async fn wait_until_nobody_mentions(text: &str) {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let found = fs::read_dir("/proc").unwrap().flatten().any(|entry| {
            fs::read(entry.path().join("cmdline"))
                .is_ok_and(|arguments| String::from_utf8_lossy(&arguments).contains(text))
        });
        if !found {
            return;
        }
        assert!(Instant::now() < deadline, "a process is left");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn few_processes_ask_a_server_at_once_and_what_needs_none_does_not_wait_for_them() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let url = format!("git://{}", listener.local_addr().unwrap());
    let mut settings = Settings::new(&url, folder.path().join("mirrors"));
    settings.attempts = 1;
    let git = Git::new(settings).unwrap();
    let questions = (0..3 * MOST_AT_ONCE).map(|number| {
        let git = git.clone();
        let repository: RepositoryName = format!("acme/app-{number}").parse().unwrap();
        tokio::spawn(async move { git.refs(&repository).await })
    });
    let questions: Vec<_> = questions.collect();
    for _ in 0..3 {
        let mut asking = Vec::new();
        for _ in 0..MOST_AT_ONCE {
            asking.push(listener.accept().await.unwrap());
        }
        let another = tokio::time::timeout(Duration::from_millis(300), listener.accept()).await;
        assert!(another.is_err(), "more than {MOST_AT_ONCE} at once");
        git.local("version").run().await.unwrap();
    }
    for question in questions {
        question.await.unwrap().unwrap_err();
    }
}

/// Asks a server that fails in this way for the refs of `acme/app`.
async fn refs_from(fault: Fault) -> (String, GitError) {
    let server = Faulty::alone();
    server.fail(fault);
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(server.url(), folder.path().join("mirrors"));
    settings.stall = Duration::from_secs(1);
    settings.most_memory = ByteSize::mib(200);
    settings.attempts = 1;
    let git = Git::new(settings).unwrap();
    let asked = git.refs(&"acme/app".parse().unwrap()).await;
    assert!(server.met() > 0);
    wait_until_nobody_mentions(&server.url()).await;
    (format!("{}/acme/app", server.url()), asked.unwrap_err())
}

const ADVERTISEMENT: &str = "application/x-git-upload-pack-advertisement";

#[tokio::test]
async fn a_server_that_stops_amid_its_answer_is_given_up_long_before_the_whole_question() {
    for fault in [Fault::silent(), Fault::begins(ADVERTISEMENT, "001e#")] {
        let begun = Instant::now();
        let (url, error) = refs_from(fault.clone()).await;
        assert!(error.is_transient(), "{fault:?}: {error}");
        assert!(
            error
                .to_string()
                .starts_with(&format!("{url} cannot be reached: ")),
            "{fault:?}: {error}"
        );
        assert!(begun.elapsed() < Duration::from_secs(20), "{fault:?}");
    }
}

#[tokio::test]
async fn a_server_without_an_end_is_given_up_before_it_fills_the_memory() {
    let commit = "0123456789012345678901234567890123456789";
    let line = format!("003d{commit} refs/heads/a\n");
    let (url, error) = refs_from(Fault::endless(ADVERTISEMENT, line)).await;
    assert_eq!(
        error.to_string(),
        format!("{url} cannot be read: it sends more than fits into 200.0 MiB of memory")
    );
    assert!(!error.is_transient());
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unreachable() {
    let folder = tempfile::tempdir().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = World::with_url(folder, &url);
    let error = world
        .git
        .update(&"acme/app".parse().unwrap(), SILENT)
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Unreachable { .. }), "{error:?}");
    assert!(error.is_transient());
}

#[tokio::test]
async fn the_server_is_shown_the_credential_and_nobody_else() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let world = World::with_url(
        tempfile::tempdir().unwrap(),
        &format!("http://user:pass@{address}/base/"),
    );
    let app: RepositoryName = "acme/app".parse().unwrap();
    assert_eq!(
        world.git.url(&app),
        format!("http://{address}/base/acme/app")
    );
    assert!(!format!("{:?}", world.git).contains("pass"));

    let server = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = vec![0; 4096];
        let length = connection.read(&mut request).await.unwrap();
        connection
            .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            .await
            .unwrap();
        String::from_utf8_lossy(&request[..length]).into_owned()
    };
    let (request, result) = tokio::join!(server, world.git.refs(&app));
    assert!(
        request.contains(&Credential::basic("user", "pass").header),
        "{request}"
    );
    let error = result.unwrap_err();
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error:?}"
    );
    assert!(!error.to_string().contains("pass"));
}

#[tokio::test]
async fn heads_and_the_default_branch_are_read_from_the_server() {
    let world = World::new();
    let app = world.repository("acme/app");
    assert_eq!(world.git.refs(&app).await.unwrap().heads, []);
    let commit = world.commit(&app, "one", "1");
    let server = world.server(&app);
    git(&server, &["tag", "--annotate", "--message=x", "v1"]);
    git(&server, &["branch", "x/master"]);
    let object: CommitSha = git(&server, &["rev-parse", "v1"]).parse().unwrap();
    let head = |git_ref, object: &CommitSha| Head {
        git_ref,
        object: object.clone(),
        commit: commit.clone(),
    };
    assert_eq!(
        world.git.refs(&app).await.unwrap().heads,
        [
            head(branch("master"), &commit),
            head(branch("x/master"), &commit),
            head(tag("v1"), &object)
        ]
    );
    for (git_ref, expected) in [
        (branch("master"), Some(&commit)),
        (tag("v1"), Some(&commit)),
        (branch("none"), None),
        // A tag is no branch, nor the other way round.
        (branch("v1"), None),
        (tag("master"), None),
    ] {
        let found = world.git.head_of(&app, &git_ref).await.unwrap();
        assert_eq!(found.as_ref(), expected, "{git_ref}");
    }
}

#[tokio::test]
async fn ancestry_and_history_are_known() {
    let world = World::new();
    let app = world.repository("acme/app");
    let first = world.commit(&app, "one", "1");
    let second = world.commit(&app, "two", "2");
    let third = world.commit(&app, "three", "3");
    let server = world.server(&app);
    git(
        &server,
        &["checkout", "--quiet", "-b", "side", first.as_str()],
    );
    let side = world.commit(&app, "side", "s");

    let is_ancestor =
        async |a: &CommitSha, b: &CommitSha| world.git.is_ancestor(&app, a, b).await.unwrap();
    assert!(is_ancestor(&first, &third).await);
    assert!(is_ancestor(&third, &third).await);
    assert!(!is_ancestor(&third, &first).await);
    assert!(!is_ancestor(&side, &third).await);

    let beginning = async |digits: &str| world.git.commit_beginning(&app, digits).await.unwrap();
    let fourth = world.commit(&app, "four", "4");
    assert_eq!(beginning(fourth.short()).await, Some(fourth));
    assert_eq!(beginning("0123456789").await, None);
    git(&server, &["branch", "0123456789"]);
    assert_eq!(beginning("0123456789").await, None, "that is a branch");

    let ids = async |before: Option<&CommitSha>, max| -> Vec<CommitSha> {
        let commits = world.git.commits(&app, before, &third, max).await.unwrap();
        commits.into_iter().map(|commit| commit.id).collect()
    };
    assert_eq!(ids(Some(&first), 10).await, [third.clone(), second.clone()]);
    assert_eq!(ids(Some(&side), 10).await, [third.clone(), second.clone()]);
    assert_eq!(ids(None, 2).await, [third.clone(), second.clone()]);
    let unknown: CommitSha = "0123456789012345678901234567890123456789".parse().unwrap();
    assert_eq!(ids(Some(&unknown), 1).await, std::slice::from_ref(&third));
    let commits = world.git.commits(&app, None, &third, 1).await.unwrap();
    assert_eq!(commits[0].author_name, "A Developer");
    assert_eq!(commits[0].author_email, "dev@example.org");
    assert_eq!(commits[0].message, "add three");
}

#[test]
fn the_reason_is_found_in_what_git_says() {
    assert_eq!(
        command::gist("Cloning…\nfatal: no such thing\nfatal: giving up\n"),
        "no such thing"
    );
    assert_eq!(command::gist("warning: x\nsomething\n\n"), "something");
    assert_eq!(command::gist(""), "it gave no reason");
}
