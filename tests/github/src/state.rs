//! All that GitHub knows. One value behind one lock: handlers read and change it, one at a time.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;

use crate::credentials::{App, Installation, Token};
use crate::deliveries::{Delivery, Post};
use crate::events::Event;
use crate::exchange::Seen;
use crate::failures::{Failures, Times};
use crate::git::Bare;
use crate::limits::Limits;
use crate::routes::hooks::Hook;
use crate::routes::statuses::Status;

pub(crate) struct State {
    /// Holds the bare repositories, as `<owner>/<name>`.
    pub folder: PathBuf,
    /// Where the model is reached.
    pub url: String,
    pub repositories: Vec<Repository>,
    pub tokens: BTreeMap<String, Token>,
    pub app: Option<App>,
    pub limits: Limits,
    pub failures: Failures,
    pub requests: Vec<Seen>,
    pub deliveries: Vec<Delivery>,
    /// What happens to the next deliveries of pushes.
    pub posts: VecDeque<(Times, Post)>,
    /// Deliveries that a request has caused, by id; sent once it is answered.
    pub outbox: Vec<u64>,
    pub listeners: Vec<UnboundedSender<Event>>,
    last_id: u64,
}

pub(crate) struct Repository {
    pub id: u64,
    pub name: String,
    pub former_names: Vec<String>,
    pub bare: Bare,
    pub private: bool,
    pub archived: bool,
    pub created: SystemTime,
    /// In the order in which they were set.
    pub statuses: Vec<Status>,
    pub hooks: Vec<Hook>,
    /// The refs that somebody was told of last.
    pub refs: BTreeMap<String, String>,
}

/// Where a name leads.
pub(crate) enum Found {
    Here(usize),
    /// The repository has another name by now.
    Moved(usize),
    Nowhere,
}

/// A repository as it is, to look at.
#[derive(Clone, Debug)]
pub struct RepositoryView {
    pub name: String,
    pub private: bool,
    pub archived: bool,
    pub default_branch: String,
    /// Newest first, of all branches.
    pub commits: Vec<CommitView>,
    pub hooks: Vec<Hook>,
    /// Newest last.
    pub deliveries: Vec<Delivery>,
}

#[derive(Clone, Debug)]
pub struct CommitView {
    pub id: String,
    pub subject: String,
    /// Branches and tags that point to it.
    pub refs: Vec<String>,
    /// The newest status of each context.
    pub statuses: Vec<Status>,
}

impl State {
    pub fn new(folder: PathBuf, url: String) -> Self {
        Self {
            folder,
            url,
            repositories: Vec::new(),
            tokens: BTreeMap::new(),
            app: None,
            limits: Limits::new(),
            failures: Failures::default(),
            requests: Vec::new(),
            deliveries: Vec::new(),
            posts: VecDeque::new(),
            outbox: Vec::new(),
            listeners: Vec::new(),
            last_id: 1000,
        }
    }

    pub fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Seconds since 1970.
    pub fn now(&self) -> u64 {
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("the clock is past 1970")
            .as_secs()
    }

    /// Names of GitHub are not case-sensitive.
    pub fn find(&self, name: &str) -> Found {
        let is = |known: &String| known.eq_ignore_ascii_case(name);
        let mut repositories = self.repositories.iter();
        if let Some(index) = repositories.position(|repository| is(&repository.name)) {
            return Found::Here(index);
        }
        let mut repositories = self.repositories.iter();
        match repositories.position(|repository| repository.former_names.iter().any(is)) {
            Some(index) => Found::Moved(index),
            None => Found::Nowhere,
        }
    }

    /// The repository that a story names, by its name or a former one.
    pub fn repository(&self, name: &str) -> &Repository {
        let index = self.index(name);
        &self.repositories[index]
    }

    pub fn repository_mut(&mut self, name: &str) -> &mut Repository {
        let index = self.index(name);
        &mut self.repositories[index]
    }

    /// Its place in the list of repositories.
    pub fn index(&self, name: &str) -> usize {
        match self.find(name) {
            Found::Here(index) | Found::Moved(index) => index,
            Found::Nowhere => panic!("the model has no repository {name}"),
        }
    }

    pub fn installation(&self, id: u64) -> Option<&Installation> {
        let app = self.app.as_ref()?;
        app.installations
            .iter()
            .find(|installation| installation.id == id)
    }

    /// Tells everyone who listens.
    pub fn tell(&mut self, event: &Event) {
        self.listeners
            .retain(|listener| listener.send(event.clone()).is_ok());
    }
}

impl Repository {
    pub fn new(id: u64, name: &str, bare: Bare) -> Self {
        Self {
            id,
            name: name.to_owned(),
            former_names: Vec::new(),
            refs: bare.refs(),
            bare,
            private: false,
            archived: false,
            created: SystemTime::now(),
            statuses: Vec::new(),
            hooks: Vec::new(),
        }
    }

    pub fn owner(&self) -> &str {
        self.name.split('/').next().unwrap_or_default()
    }

    pub fn short_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or_default()
    }

    /// What others look at. Only the newest commits are in it.
    pub fn view(&self, commits: usize, deliveries: Vec<Delivery>) -> RepositoryView {
        let refs = self.bare.commits_of_refs();
        let commits = self
            .bare
            .newest(commits)
            .into_iter()
            .map(|(id, subject)| CommitView {
                refs: refs
                    .iter()
                    .filter(|(_, commit)| *commit == id)
                    .map(|(name, _)| name.clone())
                    .collect(),
                statuses: crate::routes::statuses::newest(&self.statuses, &id),
                id,
                subject,
            })
            .collect();
        RepositoryView {
            name: self.name.clone(),
            private: self.private,
            archived: self.archived,
            default_branch: self.bare.default_branch(),
            commits,
            hooks: self.hooks.clone(),
            deliveries,
        }
    }
}
