//! The model as stories hold it: set up, told what shall fail, and asked what it knows.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use wiremock::MockServer;

use crate::credentials::{App, AppSettings, TokenSettings};
use crate::deliveries::{self, Delivery, Post};
use crate::events::Event;
use crate::exchange::{Seen, Shared};
use crate::failures::{Answer, Asked, FailureId, Requests, Times};
use crate::git::Bare;
use crate::push::Change;
use crate::routes::hooks::Hook;
use crate::routes::statuses::{self, Status};
use crate::state::{Found, Repository, RepositoryView, State};
use crate::watch;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// A closed server's thread needs a moment to let go of its port.
const LONGEST_CLOSE: Duration = Duration::from_secs(10);

/// A whole GitHub, on a port of this machine. Everything in it ends when it is dropped, but the bare
/// repositories.
pub struct Model {
    shared: Arc<Shared>,
    address: SocketAddr,
    folder: PathBuf,
    server: Mutex<Server>,
    /// Sends webhooks and watches refs, however busy the story's own runtime is. Always there, but
    /// while the model is dropped.
    runtime: Option<Runtime>,
}

enum Server {
    /// It serves until it is dropped.
    Up(MockServer),
    /// Holds the port and refuses connections.
    Down(TcpSocket),
    Changing,
}

/// A repository that a story sets up.
pub struct RepositorySettings<'a> {
    model: &'a Model,
    name: String,
}

impl Model {
    /// GitHub without anything in it, on a free port. Its repositories are bare ones in `folder`, as
    /// `<owner>/<name>`.
    pub async fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        Self::serve(listener, folder).await
    }

    /// The same on a port that the caller chose.
    pub async fn serve(listener: TcpListener, folder: &Path) -> Self {
        let address = listener.local_addr().expect("the listener's address");
        let folder = std::path::absolute(folder).expect("a path");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime for webhooks");
        let state = State::new(folder.clone(), format!("http://{address}"));
        let shared = Shared::new(state, runtime.handle().clone());
        let server = serve_on(&shared, listener).await;
        Self {
            shared,
            address,
            folder,
            server: Mutex::new(Server::Up(server)),
            runtime: Some(runtime),
        }
    }

    /// The service's `github.api_url`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The service's `github.git_url`, where nobody is asked who they are. [`Model::url`] is another,
    /// by HTTP and with the same credentials as the API.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    // What there is.

    /// A public repository; its bare one is made unless it is there. What its refs point to now
    /// nobody will be told of.
    pub async fn repository(&self, name: &str) -> RepositorySettings<'_> {
        let path = self.folder.join(name);
        let bare = tokio::task::spawn_blocking(move || Bare::open(path)).await;
        let bare = bare.expect("git makes a repository");
        let mut state = self.state();
        if let Found::Nowhere = state.find(name) {
            let id = state.next_id();
            state.repositories.push(Repository::new(id, name, bare));
        }
        RepositorySettings {
            model: self,
            name: name.to_owned(),
        }
    }

    /// Adopts every bare repository that lies in the folder and is not known yet; returns their names.
    pub fn adopt(&self) -> Vec<String> {
        watch::adopt(&self.shared)
    }

    /// A token of a person, which is known from now on.
    pub fn token(&self, token: &str) -> TokenSettings<'_> {
        let known = token.to_owned();
        self.state().tokens.entry(known).or_default();
        TokenSettings {
            model: self,
            token: token.to_owned(),
        }
    }

    /// A token that was revoked: unknown from now on.
    pub fn revoke(&self, token: &str) {
        self.state().tokens.remove(token);
    }

    /// Registers the App with this id, or gives the one there is.
    pub fn app(&self, id: u64) -> AppSettings<'_> {
        let mut state = self.state();
        if state.app.as_ref().is_none_or(|app| app.id != id) {
            state.app = Some(App::new(id));
        }
        AppSettings { model: self }
    }

    /// Removes the App from a user or organisation; its tokens for there are good for nothing.
    pub fn uninstall(&self, owner: &str) {
        self.expire_tokens(owner);
        if let Some(app) = &mut self.state().app {
            app.installations
                .retain(|installation| installation.owner != owner);
        }
    }

    /// Ends all tokens of the App's installation at an owner, before their time.
    pub fn expire_tokens(&self, owner: &str) {
        let mut state = self.state();
        let app = state.app.as_mut().expect("an App");
        let installation = app.installed_at(owner).map(|installation| installation.id);
        for token in app.tokens.values_mut() {
            if Some(token.installation) == installation {
                token.expires = SystemTime::UNIX_EPOCH;
            }
        }
    }

    /// Every token that was given out for the App's installations.
    pub fn app_tokens(&self) -> Vec<String> {
        let state = self.state();
        let apps = state.app.iter();
        apps.flat_map(|app| app.tokens.keys().cloned()).collect()
    }

    /// Puts a hook in, whatever GitHub would say to it. Its id is chosen here, and returned.
    pub fn hook(&self, repository: &str, hook: Hook) -> u64 {
        let mut state = self.state();
        let id = state.next_id();
        let hooks = &mut state.repository_mut(repository).hooks;
        hooks.push(Hook { id, ..hook });
        id
    }

    /// Leaves a credential (named as in [`Seen::credential`]) so many requests until its limit is
    /// reset. GitHub counts that in whole seconds; here the reset is never before the time given.
    pub fn limit(&self, credential: &str, remaining: u64, resets_in: Duration) {
        let mut state = self.state();
        let reset = SystemTime::now() + resets_in;
        let since = reset.duration_since(SystemTime::UNIX_EPOCH);
        let since = since.expect("a time past 1970");
        let seconds = since.as_secs() + u64::from(since.subsec_nanos() > 0);
        let limit = remaining.max(5000);
        state.limits.set(credential, limit, remaining, seconds);
    }

    /// With which status a used-up rate limit is answered: 403, unless this says 429.
    pub fn limit_answers(&self, status: u16) {
        self.state().limits.refusal = status;
    }

    // What goes wrong.

    /// Has requests fail. Those said first are used up first.
    pub fn fail(&self, times: Times, requests: impl Into<Requests>, answer: Answer) -> FailureId {
        self.state().failures.add(times, requests.into(), answer)
    }

    pub fn lift(&self, failure: FailureId) {
        self.state().failures.lift(failure);
    }

    /// Nothing fails any more.
    pub fn lift_all(&self) {
        self.state().failures.lift_all();
    }

    /// Says what happens to the next deliveries of pushes.
    pub fn post(&self, times: Times, post: Post) {
        self.state().posts.push_back((times, post));
    }

    /// Deliveries arrive as they should again.
    pub fn post_again(&self) {
        self.state().posts.clear();
    }

    /// Ends the server: open connections break, and new ones are refused until [`Model::up`].
    pub async fn down(&self) {
        let mut server = self.server.lock().await;
        if let Server::Up(serving) = std::mem::replace(&mut *server, Server::Changing) {
            drop(serving);
            *server = Server::Down(reserve(self.address).await);
        }
    }

    /// Serves again, at the same address and with the same state.
    pub async fn up(&self) {
        let mut server = self.server.lock().await;
        if let Server::Down(socket) = std::mem::replace(&mut *server, Server::Changing) {
            let listener = socket.listen(BACKLOG).expect("the port was kept");
            let listener = listener.into_std().expect("a listener of std");
            *server = Server::Up(serve_on(&self.shared, listener).await);
        }
    }

    // What it knows.

    /// What was ever set for a context of a commit, oldest first.
    pub fn statuses(&self, repository: &str, commit: &str, context: &str) -> Vec<Status> {
        let mut statuses = self.all_statuses(repository);
        statuses.retain(|status| status.commit == commit && status.context == context);
        statuses
    }

    /// What GitHub shows for a context of a commit.
    pub fn status(&self, repository: &str, commit: &str, context: &str) -> Option<Status> {
        self.statuses(repository, commit, context).pop()
    }

    /// What GitHub shows for a commit: the newest of each context, by context.
    pub fn shown(&self, repository: &str, commit: &str) -> Vec<Status> {
        statuses::newest(&self.state().repository(repository).statuses, commit)
    }

    /// Every status of a repository, oldest first.
    pub fn all_statuses(&self, repository: &str) -> Vec<Status> {
        self.state().repository(repository).statuses.clone()
    }

    pub fn hooks(&self, repository: &str) -> Vec<Hook> {
        self.state().repository(repository).hooks.clone()
    }

    /// Every request so far, oldest first.
    pub fn requests(&self) -> Vec<Seen> {
        self.state().requests.clone()
    }

    /// The requests that a failure of these would have met.
    pub fn requests_to(&self, requests: impl Into<Requests>) -> Vec<Seen> {
        let requests = requests.into();
        let matches = |seen: &Seen| {
            requests.matches(&Asked {
                route: seen.route,
                repository: seen.repository.clone(),
                method: seen.method.clone(),
            })
        };
        let mut seen = self.requests();
        seen.retain(matches);
        seen
    }

    /// Webhooks of a repository, oldest first.
    pub fn deliveries(&self, repository: &str) -> Vec<Delivery> {
        let state = self.state();
        let id = state.repository(repository).id;
        let deliveries = state.deliveries.iter();
        deliveries
            .filter(|delivery| delivery.repository_id == id)
            .cloned()
            .collect()
    }

    /// All repositories with their newest commits.
    pub fn view(&self) -> Vec<RepositoryView> {
        self.shared.view()
    }

    /// What happens from now on.
    pub fn events(&self) -> UnboundedReceiver<Event> {
        let (sender, receiver) = unbounded_channel();
        self.state().listeners.push(sender);
        receiver
    }

    /// Shows this to people at `GET /`.
    pub fn page(&self, page: impl Fn(&[RepositoryView]) -> String + Send + 'static) {
        *self.shared.page.lock().expect("no page panicked") = Some(Box::new(page));
    }

    // Webhooks.

    /// Looks at a repository's refs, and tells its hooks of what has changed, as of one push. Returns
    /// the deliveries once they are answered, or were kept from it.
    pub async fn notice(&self, repository: &str) -> Vec<Delivery> {
        let (shared, name) = (Arc::clone(&self.shared), repository.to_owned());
        self.on_runtime(async move { watch::notice(&shared, &name).await })
            .await
    }

    /// Tells the hooks of one change of a ref, whether or not it has changed just so; for an order
    /// of events that git alone would not give.
    pub async fn tell(
        &self,
        repository: &str,
        reference: &str,
        before: &str,
        after: &str,
    ) -> Vec<Delivery> {
        let change = Change {
            reference: reference.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        };
        let shared = Arc::clone(&self.shared);
        let repository = repository.to_owned();
        self.on_runtime(async move { watch::tell(&shared, &repository, change).await })
            .await
    }

    /// Looks at all repositories again and again, and at the folder for new ones.
    pub fn watch(&self, every: Duration) {
        let watching = watch::forever(Arc::clone(&self.shared), every);
        self.shared.runtime.spawn(watching);
    }

    /// Sends a delivery once more, with the same `X-GitHub-Delivery`.
    pub async fn redeliver(&self, delivery: u64) -> Delivery {
        let id = deliveries::again(&mut self.state(), delivery);
        self.release(id).await
    }

    /// Sends a delivery that was held back.
    pub async fn release(&self, delivery: u64) -> Delivery {
        self.on_runtime(deliveries::send(Arc::clone(&self.shared), delivery))
            .await;
        deliveries::find(&mut self.state(), delivery).clone()
    }

    async fn on_runtime<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.shared.runtime.spawn(work).await.expect("no panic")
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        // A runtime must not wait for its tasks where another one runs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl RepositorySettings<'_> {
    /// Seen only by who may read it.
    pub fn private(self) -> Self {
        self.change(|repository| repository.private = true)
    }

    /// Nothing in it may be changed any more.
    pub fn archived(self) -> Self {
        self.change(|repository| repository.archived = true)
    }

    pub fn default_branch(self, branch: &str) -> Self {
        self.change(|repository| repository.bare.set_default_branch(branch))
    }

    /// Has another name from now on, and the old one leads to it: on the API by redirects, for git
    /// by a link.
    pub fn renamed(mut self, name: &str) -> Self {
        let new = self.model.folder.join(name);
        let parent = new.parent().expect("a folder of the owner");
        std::fs::create_dir_all(parent).expect("a folder of the owner");
        let former = self.name.clone();
        self = self.change(|repository| {
            let old = std::mem::replace(&mut repository.bare.0, new.clone());
            std::fs::rename(&old, &new).expect("the repository can be moved");
            std::os::unix::fs::symlink(&new, &old).expect("a link from the old name");
            repository.name = name.to_owned();
            repository.former_names.push(former);
        });
        name.clone_into(&mut self.name);
        self
    }

    fn change(self, change: impl FnOnce(&mut Repository)) -> Self {
        change(self.model.state().repository_mut(&self.name));
        self
    }
}

async fn serve_on(shared: &Arc<Shared>, listener: TcpListener) -> MockServer {
    let server = MockServer::builder()
        .listener(listener)
        .disable_request_recording()
        .start()
        .await;
    shared.mount(&server).await;
    server
}

/// Binds the port of a server that is ending, without listening: nobody else gets it, and who
/// connects is refused.
async fn reserve(address: SocketAddr) -> TcpSocket {
    let begun = Instant::now();
    loop {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_reuseaddr(true).expect("an option of sockets");
        match socket.bind(address) {
            Ok(()) => return socket,
            Err(error) => assert!(begun.elapsed() < LONGEST_CLOSE, "{address}: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
