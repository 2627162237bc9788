//! Git's heads against the known ones. A push that no webhook told of is stored as one that was
//! found, and built like any other; one that was heard of is not built again.

use std::sync::Arc;

use super::{Arguments, root};
use crate::adapters::git::{Head, Refs};
use crate::config::FirstSight;
use crate::domain::build::{Cause, Kind, Work};
use crate::domain::names::{BranchName, CommitSha, GitRef};
use crate::domain::push::{Commit, MAX_COMMITS, Push};
use crate::domain::tracking::Dependent;
use crate::store::{HeadNote, Heard, KnownHead, KnownHeads, NewBuilds};

/// What kept them from being compared.
pub async fn compare(arguments: &Arguments) -> Option<String> {
    // A mirror may be tidied for long, and one after the other.
    arguments.service.git.idle(&arguments.repository).await;
    let _turn = arguments.turns.heads.acquire().await.ok()?;
    // Large, and a thousand others may wait for their turn.
    let compared = Box::pin(Comparison::run(arguments)).await;
    compared.err().map(|error| format!("{error:#}"))
}

struct Comparison<'a> {
    arguments: &'a Arguments,
    default_branch: Option<BranchName>,
    dependents: Vec<Dependent>,
    first_sight: FirstSight,
    /// All refs of this repository were looked at before.
    seen: bool,
    notes: Vec<HeadNote>,
}

impl<'a> Comparison<'a> {
    async fn run(arguments: &'a Arguments) -> anyhow::Result<()> {
        let Arguments {
            service,
            repository,
            ..
        } = arguments;
        // Before git is asked: whatever is heard meanwhile is not overruled by an older answer.
        let KnownHeads { seen, mut heads } = service.store.known_heads(repository.clone()).await?;
        let Refs {
            default_branch,
            heads: found,
        } = service.git.refs(repository).await?;
        let config = Arc::clone(&service.config.borrow());
        let dependents = {
            let catalog = service.catalog.borrow();
            config.tracking(&catalog).dependents(repository)
        };
        let branch = config.configuration.branch();
        let configuration = branch
            .filter(|branch| branch.repository == *repository)
            .and_then(|branch| {
                let reference = GitRef::Branch(branch.branch.clone());
                let mut heads = found.iter();
                let head = heads.find(|head| head.git_ref == reference)?;
                Some((branch.branch.clone(), head.commit.clone()))
            });
        let mut failures = Vec::new();
        let mut comparison = Self {
            arguments,
            default_branch,
            dependents,
            first_sight: config.github.first_sight,
            seen,
            notes: Vec::new(),
        };
        for Head {
            git_ref, commit, ..
        } in found
        {
            let known = heads.remove(&git_ref);
            if let Err(error) = comparison.look(&git_ref, commit, known).await {
                failures.push(format!("{git_ref}: {error:#}"));
            }
        }
        // What is left was known, and is gone.
        comparison
            .notes
            .extend(heads.into_iter().map(|(reference, known)| HeadNote {
                reference,
                before: Some(known.commit),
                now: None,
                decided: false,
            }));
        if !comparison.notes.is_empty() || !seen {
            let notes = std::mem::take(&mut comparison.notes);
            let (store, all_seen) = (&service.store, failures.is_empty());
            store
                .note_heads(repository.clone(), notes, all_seen)
                .await?;
        }
        if let Some((branch, commit)) = configuration {
            comparison.ask_for_load(branch, commit).await?;
        }
        match failures.first() {
            Some(first) => anyhow::bail!(
                "what was pushed cannot be told of {} of its refs, first {first}",
                failures.len()
            ),
            None => Ok(()),
        }
    }

    async fn look(
        &mut self,
        reference: &GitRef,
        commit: CommitSha,
        known: Option<KnownHead>,
    ) -> anyhow::Result<()> {
        let work = self.work(reference);
        let has_work = !work.is_empty();
        let is_there = known.as_ref().is_some_and(|known| known.commit == commit);
        // One that appeared since the last look was pushed. Of any other it is not known when it
        // came there.
        let has_moved = !is_there && (known.is_some() || self.seen);
        let is_decided = known.as_ref().map_or(self.seen, |known| known.decided);
        let is_due = |work: &Work| match is_decided {
            true => has_moved,
            // A kernel repository may have hundreds of branches and tags, each hours of work.
            false => self.first_sight == FirstSight::Build && work.kind() != Kind::Kernel,
        };
        let work: Vec<Work> = work.into_iter().filter(is_due).collect();
        // At first sight nothing is new to dependents: they have a first sight of their own.
        let dependents = match has_moved && self.is_followed(reference) {
            true => self.dependents.clone(),
            false => Vec::new(),
        };
        if work.is_empty() && dependents.is_empty() {
            if !is_there || has_work && !is_decided {
                self.note(reference, known, commit, has_work);
            }
            return Ok(());
        }
        let before = known
            .filter(|known| known.decided || work.is_empty())
            .map(|known| known.commit);
        let push = self.push(reference, before, commit).await?;
        self.found(NewBuilds {
            push,
            work,
            dependents,
            cause: Cause::Reconcile,
        })
        .await
    }

    fn note(
        &mut self,
        reference: &GitRef,
        known: Option<KnownHead>,
        commit: CommitSha,
        decided: bool,
    ) {
        self.notes.push(HeadNote {
            reference: reference.clone(),
            before: known.map(|known| known.commit),
            now: Some(commit),
            decided,
        });
    }

    /// As the catalog says now.
    fn work(&self, reference: &GitRef) -> Vec<Work> {
        let Arguments {
            service,
            repository,
            ..
        } = self.arguments;
        let (catalog, config) = (service.catalog.borrow(), service.config.borrow());
        config.tracking(&catalog).work(repository, reference)
    }

    /// Whether scripts elsewhere depend on this branch.
    fn is_followed(&self, reference: &GitRef) -> bool {
        let GitRef::Branch(branch) = reference else {
            return false;
        };
        let mut dependents = self.dependents.iter();
        !self.dependents.is_empty() && self.default_branch.as_ref() == Some(branch)
            || dependents.any(|dependent| dependent.branch == *branch)
    }

    /// The push that brought a ref there, as git's history tells of it.
    async fn push(
        &self,
        reference: &GitRef,
        before: Option<CommitSha>,
        commit: CommitSha,
    ) -> anyhow::Result<Push> {
        let Arguments {
            service,
            repository,
            ..
        } = self.arguments;
        let mut commits: Vec<Commit> = service
            .git
            .commits(repository, before.as_ref(), &commit, MAX_COMMITS)
            .await?
            .into_iter()
            .map(|commit| Commit {
                id: commit.id,
                message: commit.message,
                author: commit.author_name,
                url: None,
            })
            .collect();
        commits.reverse();
        let forced = match &before {
            // A head that went back, or elsewhere, was forced there.
            Some(before) => !service
                .git
                .is_ancestor(repository, before, &commit)
                .await
                .unwrap_or(false),
            None => false,
        };
        Ok(Push {
            repository: repository.clone(),
            reference: reference.clone(),
            before,
            after: commit,
            forced,
            pusher: None,
            default_branch: self.default_branch.clone(),
            commits,
        })
    }

    async fn found(&self, new: NewBuilds) -> anyhow::Result<()> {
        let Arguments {
            service,
            repository,
            root,
            ..
        } = self.arguments;
        let (reference, commit) = (new.push.reference.clone(), new.push.after.clone());
        let heard = service.store.hear_push(None, new).await?;
        if !heard.known {
            tracing::info!(%repository, %reference, sha = %commit, "a push was found that no webhook told of");
            let _ = root.cast(root::Message::Heard(repository.clone(), heard));
        }
        Ok(())
    }

    /// The configuration is read from where its branch stands; after loads that errored, when the
    /// store says that it is time.
    async fn ask_for_load(&self, branch: BranchName, commit: CommitSha) -> anyhow::Result<()> {
        let Arguments {
            service,
            repository,
            root,
            ..
        } = self.arguments;
        let is_in_force = service
            .loaded
            .borrow()
            .as_ref()
            .is_some_and(|loaded| loaded.commit_of(repository, &branch) == Some(&commit));
        if is_in_force {
            return Ok(());
        }
        let interval = service.config.borrow().github.reconcile_every;
        let asked = service
            .store
            .ask_for_load(repository.clone(), branch, commit, interval)
            .await?;
        if asked.is_some() {
            let heard = Heard {
                load: true,
                ..Heard::default()
            };
            let _ = root.cast(root::Message::Heard(repository.clone(), heard));
        }
        Ok(())
    }
}
