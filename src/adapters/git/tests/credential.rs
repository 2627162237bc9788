//! Who is shown the credential, and who is not.

use wiremock::matchers::{method, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;

const INFO: &str = "/acme/app/info/refs";

const COMMIT: &str = "0123456789012345678901234567890123456789";

/// Answers every request for credentials like this, and counts them.
fn provider(
    answer: Result<Option<Credential>, NoCredential>,
) -> (CredentialProvider, Arc<Mutex<Vec<RepositoryName>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&asked);
    let provider: CredentialProvider = Box::new(move |repository, _| {
        noted.lock().unwrap().push(repository);
        let answer = answer.clone();
        Box::pin(async move { answer })
    });
    (provider, asked)
}

fn down() -> NoCredential {
    NoCredential {
        reason: "GitHub is down".to_owned(),
        may_pass: true,
    }
}

fn token() -> Credential {
    Credential::basic("x-access-token", "t0ken")
}

fn world(url: &str, answer: Result<Option<Credential>, NoCredential>) -> (Git, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(url, folder.path().join("mirrors"));
    settings.retry_after = Duration::from_millis(1);
    let git = Git::with_provider(settings, Some(provider(answer).0)).unwrap();
    (git, folder)
}

fn app() -> RepositoryName {
    "acme/app".parse().unwrap()
}

fn line(text: &str) -> String {
    format!("{:04x}{text}\n", text.len() + 5)
}

/// A server with one branch: it speaks git's protocol, version 2, which asks in two requests.
/// Source: <https://git-scm.com/docs/protocol-v2>.
async fn repository(server: &MockServer) {
    let capabilities = [line("version 2"), line("ls-refs")].concat();
    let advertisement = format!(
        "{}0000{capabilities}0000",
        line("# service=git-upload-pack")
    );
    let refs = format!("{}0000", line(&format!("{COMMIT} refs/heads/master")));
    for (verb, place, body, of) in [
        ("GET", INFO, advertisement, "advertisement"),
        ("POST", "/acme/app/git-upload-pack", refs, "result"),
    ] {
        let kind = format!("application/x-git-upload-pack-{of}");
        let answer = ResponseTemplate::new(200).set_body_raw(body, &kind);
        let mock = Mock::given(method(verb)).and(path(place));
        mock.respond_with(answer).mount(server).await;
    }
}

/// A server that sends on to the same path elsewhere.
async fn redirecting(to: &MockServer) -> MockServer {
    let server = MockServer::start().await;
    let location = format!("{}{INFO}?service=git-upload-pack", to.uri());
    let answer = ResponseTemplate::new(301).insert_header("location", location.as_str());
    let mock = Mock::given(path(INFO)).respond_with(answer);
    mock.with_priority(9).mount(&server).await;
    server
}

/// For each request to a server: whether it came with a credential.
async fn shown(server: &MockServer) -> Vec<bool> {
    let requests = server.received_requests().await.unwrap();
    requests
        .iter()
        .map(|request| request.headers.contains_key("authorization"))
        .collect()
}

#[tokio::test]
async fn the_provider_is_asked_for_each_command_and_each_repository() {
    let server = MockServer::start().await;
    repository(&server).await;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(server.uri(), folder.path().join("mirrors"));
    let (provider, asked) = provider(Ok(Some(token())));
    let git = Git::with_provider(settings, Some(provider)).unwrap();
    assert_eq!(
        git.refs(&app()).await.unwrap().heads[0].commit.as_str(),
        COMMIT
    );
    git.refs(&app()).await.unwrap();
    assert_eq!(shown(&server).await, [true; 4]);
    assert_eq!(*asked.lock().unwrap(), [app(), app()]);
}

#[tokio::test]
async fn another_server_is_not_shown_the_credential() {
    let other = MockServer::start().await;
    repository(&other).await;
    let server = redirecting(&other).await;
    let (git, _folder) = world(&server.uri(), Ok(Some(token())));
    assert_eq!(
        git.refs(&app()).await.unwrap().heads[0].commit.as_str(),
        COMMIT
    );
    assert_eq!(shown(&other).await, [false, false]);
    // With it at first, and again without, as only then a redirect is followed.
    assert_eq!(shown(&server).await, [true, false]);
}

#[tokio::test]
async fn a_private_repository_that_moved_is_told_so() {
    let other = MockServer::start().await;
    let server = redirecting(&other).await;
    let refusal = ResponseTemplate::new(404);
    let private = Mock::given(path(INFO))
        .and(|request: &wiremock::Request| !request.headers.contains_key("authorization"));
    private.respond_with(refusal).mount(&server).await;
    let (git, _folder) = world(&server.uri(), Ok(Some(token())));
    let error = git.refs(&app()).await.unwrap_err().to_string();
    assert!(
        error.contains("if the repository was renamed, use its new name"),
        "{error}"
    );
    assert!(!error.contains("t0ken"));
    assert!(shown(&other).await.is_empty());
}

#[tokio::test]
async fn a_public_repository_is_read_when_there_is_no_credential_for_it() {
    let server = MockServer::start().await;
    repository(&server).await;
    let (git, _folder) = world(&server.uri(), Err(down()));
    assert_eq!(git.refs(&app()).await.unwrap().heads.len(), 1);
    assert_eq!(shown(&server).await, [false, false]);
}

#[tokio::test]
async fn a_repository_that_is_not_found_without_its_credential_says_why() {
    let server = MockServer::start().await;
    let (git, _folder) = world(&server.uri(), Err(down()));
    let url = format!("{}/acme/app", server.uri());
    for error in [
        git.refs(&app()).await.unwrap_err(),
        git.update(&app(), SILENT).await.unwrap_err(),
    ] {
        assert_eq!(
            error.to_string(),
            format!(
                "repository acme/app does not exist at {url}, or may not be read from here; it \
                 was asked for without a credential, because GitHub is down"
            )
        );
    }
}

/// A git that is let in with the token only, and whose provider has it after so many failures like
/// this one. How the first fetch ends, and how often the provider was asked.
async fn fetch_after(failures: usize, failure: NoCredential) -> (GitError, usize) {
    let server = MockServer::start().await;
    let let_in = Mock::given(path(INFO))
        .and(|request: &wiremock::Request| request.headers.contains_key("authorization"));
    let_in
        .respond_with(ResponseTemplate::new(500))
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let mut settings = Settings::new(server.uri(), folder.path().join("mirrors"));
    settings.retry_after = Duration::from_millis(1);
    settings.attempts = 2;
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let provider: CredentialProvider = Box::new(move |_, _| {
        let mut count = counted.lock().unwrap();
        *count += 1;
        let answer = match *count > failures {
            true => Ok(Some(token())),
            false => Err(failure.clone()),
        };
        Box::pin(async move { answer })
    });
    let git = Git::with_provider(settings, Some(provider)).unwrap();
    let error = git.update(&app(), SILENT).await.unwrap_err();
    let asked = *asked.lock().unwrap();
    (error, asked)
}

#[tokio::test]
async fn a_credential_that_is_missing_for_a_while_is_waited_for() {
    // In the end it is let in, to a server that is no repository.
    let (error, asked) = fetch_after(6, down()).await;
    assert!(matches!(error, GitError::Unreachable { .. }), "{error}");
    assert_eq!(asked, 8, "the last two for the server");
    let (error, asked) = fetch_after(100, down()).await;
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error}"
    );
    assert_eq!(asked, 8);
}

#[tokio::test]
async fn a_credential_that_will_not_come_is_not_waited_for() {
    let not_installed = NoCredential {
        may_pass: false,
        ..down()
    };
    let (error, asked) = fetch_after(6, not_installed).await;
    assert!(
        matches!(error, GitError::RepositoryNotFound { .. }),
        "{error}"
    );
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn what_stands_in_git_url_is_shown_where_the_provider_has_nothing() {
    let server = MockServer::start().await;
    repository(&server).await;
    let fixed = Credential::basic("user", "pass");
    let url = server.uri().replace("http://", "http://user:pass@");
    for (answer, expected) in [
        (Ok(None), &fixed),
        (Err(down()), &fixed),
        (Ok(Some(token())), &token()),
    ] {
        let (git, _folder) = world(&url, answer);
        git.refs(&app()).await.unwrap();
        let (_, value) = expected.header.split_once(": ").unwrap();
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.last().unwrap().headers["authorization"], value);
        assert!(!format!("{git:?}").contains("pass"));
    }
}

#[tokio::test]
async fn where_the_server_is_a_path_nobody_is_asked_for_a_credential() {
    let folder = tempfile::tempdir().unwrap();
    let url = folder.path().join("server");
    let mut settings = Settings::new(url.to_str().unwrap(), folder.path().join("mirrors"));
    settings.attempts = 1;
    let (provider, asked) = provider(Ok(Some(token())));
    let git = Git::with_provider(settings, Some(provider)).unwrap();
    git.refs(&app()).await.unwrap_err();
    assert!(asked.lock().unwrap().is_empty());
}

/// As a submodule's URL may be any.
#[tokio::test]
async fn a_submodule_on_another_server_does_not_get_the_credential() {
    let other = MockServer::start().await;
    repository(&other).await;
    let (git, _folder) = world("http://127.0.0.1:9", Ok(Some(token())));
    let access = git.access(&app(), None).await;
    assert!(access.credential.is_some());
    let command = git
        .remote("ls-remote", access)
        .arg(format!("{}/acme/app", other.uri()));
    command.run().await.unwrap();
    assert_eq!(shown(&other).await, [false, false]);
}

/// What a server was asked for a submodule of acme/app at this URL, and whether with the
/// credential.
async fn asked_for_submodule(submodules: Submodules, url: &str) -> Vec<(String, bool)> {
    let server = MockServer::start().await;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings {
        submodules,
        retry_after: Duration::from_millis(1),
        ..Settings::new(server.uri(), folder.path().join("mirrors"))
    };
    let git_of_service = Git::with_provider(settings, Some(provider(Ok(Some(token()))).0)).unwrap();
    let checkout = folder.path().join("checkout");
    fs::create_dir(&checkout).unwrap();
    let url = url.replace("SERVER", &server.uri());
    let modules = format!("[submodule \"x\"]\n\tpath = x\n\turl = {url}\n");
    fs::write(checkout.join(".gitmodules"), modules).unwrap();
    let link = format!("160000,{COMMIT},x");
    let origin = git_of_service.url(&app());
    for arguments in [
        ["init", "--quiet"].as_slice(),
        &["config", "remote.origin.url", &origin],
        &["update-index", "--add", "--cacheinfo", &link],
    ] {
        git(&checkout, arguments);
    }
    let app = app();
    let updated = git_of_service.update_submodules(&app, &checkout, SILENT);
    updated.await.unwrap_err();
    let requests = server.received_requests().await.unwrap();
    let asked = requests.iter().map(|request| {
        let path = request.url.path().strip_suffix("/info/refs");
        let path = path.unwrap_or(request.url.path()).to_owned();
        (path, request.headers.contains_key("authorization"))
    });
    asked.collect()
}

#[tokio::test]
async fn only_submodules_of_the_same_owner_get_the_credential_unless_all_may() {
    use Submodules::{All, None, Owner};
    for (submodules, url, path, shown) in [
        (Owner, "../library", "/acme/library", true),
        (Owner, "SERVER/acme/library.git", "/acme/library.git", true),
        (Owner, "../../other/secret", "/other/secret", false),
        (Owner, "SERVER/other/secret", "/other/secret", false),
        (Owner, "SERVER/acme-evil/secret", "/acme-evil/secret", false),
        (Owner, "SERVER/acme/../other/secret", "/other/secret", false),
        (
            Owner,
            "SERVER/acme/%2e%2e/other/secret",
            "/other/secret",
            false,
        ),
        (
            Owner,
            "SERVER/acme/.%2E/other/secret",
            "/other/secret",
            false,
        ),
        (
            Owner,
            "SERVER//acme/../other/secret",
            "/other/secret",
            false,
        ),
        (All, "SERVER/other/secret", "/other/secret", true),
        (None, "../library", "/acme/library", false),
    ] {
        let asked = asked_for_submodule(submodules, url).await;
        assert!(!asked.is_empty(), "{submodules:?}, {url}: nothing");
        for (asked, with_credential) in &asked {
            // However a server reads an address, the credential stays with the owner.
            let normal = asked.trim_start_matches('/') == path.trim_start_matches('/');
            assert!(normal || !with_credential, "{submodules:?}, {url}: {asked}");
            assert_eq!(*with_credential, shown, "{submodules:?}, {url}: {asked}");
        }
    }
}

#[tokio::test]
async fn no_submodule_is_fetched_over_ssh() {
    for url in [
        "ssh://git@127.0.0.1:9/acme/library",
        "git@127.0.0.1:acme/library",
    ] {
        assert_eq!(asked_for_submodule(Submodules::All, url).await, []);
    }
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new("https://git.invalid", folder.path().join("mirrors"));
    let git = Git::new(settings).unwrap();
    let ssh = git
        .remote("ls-remote", Access::default())
        .arg("ssh://git@127.0.0.1:9/x");
    let error = ssh.run().await.unwrap_err().to_string();
    assert!(error.contains("transport 'ssh' not allowed"), "{error}");
}

/// A git that lets nobody in, and what it was shown.
async fn closed_to(answers: [&'static str; 2]) -> (GitError, Vec<String>) {
    let server = MockServer::start().await;
    let refusal = ResponseTemplate::new(401).insert_header("www-authenticate", "Basic realm=\"x\"");
    Mock::given(path(INFO))
        .respond_with(refusal)
        .mount(&server)
        .await;
    let folder = tempfile::tempdir().unwrap();
    let settings = Settings::new(server.uri(), folder.path().join("mirrors"));
    let [first, then] = answers.map(|token| Credential::basic("x-access-token", token));
    let is_refused = Arc::new(Mutex::new(false));
    let provider: CredentialProvider = Box::new(move |_, refused| {
        let mut is_refused = is_refused.lock().unwrap();
        *is_refused |= refused == Some(first.clone());
        let answer = if *is_refused { &then } else { &first }.clone();
        Box::pin(async move { Ok(Some(answer)) })
    });
    let git = Git::with_provider(settings, Some(provider)).unwrap();
    let error = git.refs(&app()).await.unwrap_err();
    let requests = server.received_requests().await.unwrap();
    let shown = requests
        .iter()
        .map(|request| request.headers["authorization"].to_str().unwrap());
    (error, shown.map(str::to_owned).collect())
}

#[tokio::test]
async fn another_credential_is_asked_for_once_where_one_is_refused() {
    let value = |token| {
        let header = Credential::basic("x-access-token", token).header;
        header.split_once(": ").unwrap().1.to_owned()
    };
    let (error, shown) = closed_to(["revoked", "fresh"]).await;
    assert_eq!(shown, [value("revoked"), value("fresh")]);
    assert!(
        matches!(error, GitError::CredentialRefused { .. }),
        "{error}"
    );
    // Where there is no other, the server is left alone.
    let (_, shown) = closed_to(["the only one", "the only one"]).await;
    assert_eq!(shown, [value("the only one")]);
}
