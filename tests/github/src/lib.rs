//! GitHub as a model: its state in memory, real git behind it, and as much of its REST API and
//! webhooks as this service speaks, answered over HTTP.
//!
//! A story sets up what GitHub knows (repositories, tokens, an App, hooks), lets the service talk to
//! [`Model::url`], and then looks at what GitHub knows now. What fails, is late or gets lost is said
//! beforehand with [`Model::fail`] and [`Model::post`].
//!
//! ```no_run
//! # async fn story(folder: &std::path::Path, commit: &str) {
//! use github_model::{Answer, Model, Route, Times::Next};
//!
//! let github = Model::start(folder).await;
//! github.repository("acme/app").await;
//! github.token("a-token").all();
//! github.fail(Next(3), Route::Statuses, Answer::status(502));
//! // … the service runs against github.url() and clones from `folder` …
//! assert_eq!(github.statuses("acme/app", commit, "autobuilder/build.sh").len(), 2);
//! # }
//! ```
//!
//! What the model says is what GitHub's documentation says; where that is silent, what GitHub is
//! seen to answer. The sources stand where the rules are. Any number of models run side by side.

mod credentials;
mod deliveries;
mod events;
mod exchange;
mod failures;
mod fetch;
mod git;
mod jwt;
mod limits;
mod model;
mod pages;
mod push;
mod reply;
mod routes;
mod state;
mod watch;

pub use credentials::{APP_PRIVATE_KEY, AppSettings, May, TokenSettings};
pub use deliveries::{Delivery, Outcome, Post};
pub use events::Event;
pub use exchange::Seen;
pub use failures::{Answer, FailureId, Requests, Route, Times};
pub use model::{Model, RepositorySettings};
pub use push::NO_COMMIT;
pub use routes::hooks::Hook;
pub use routes::statuses::Status;
pub use state::{CommitView, RepositoryView};
