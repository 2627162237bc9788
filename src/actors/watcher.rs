//! One repository's heads: what git says, compared with what was last heard of. A push whose
//! webhook was lost is found here and built like any other; one that was heard of is not built
//! again.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::{Semaphore, watch};
use tokio_util::task::AbortOnDropHandle;

use super::projects;
use crate::config::FirstSight;
use crate::domain::build::{Cause, Work};
use crate::domain::names::{CommitSha, GitRef, RepositoryName};
use crate::domain::push::{Commit, MAX_COMMITS, Push};
use crate::service::Service;
use crate::store::NewBuilds;

pub struct Watcher;

pub enum Message {
    Compare,
    Compared,
}

pub struct Arguments {
    pub service: Arc<Service>,
    pub repository: RepositoryName,
    pub projects: watch::Receiver<Option<ActorRef<projects::Message>>>,
    pub turns: Arc<Semaphore>,
}

pub struct State {
    arguments: Arc<Arguments>,
    comparison: Option<AbortOnDropHandle<()>>,
    next: Option<AbortOnDropHandle<()>>,
}

impl Actor for Watcher {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        arguments: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(Message::Compare)?;
        Ok(State {
            arguments: Arc::new(arguments),
            comparison: None,
            next: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            // One that runs already looks at the newest catalog when its turn comes.
            Message::Compare if state.comparison.is_some() => {}
            Message::Compare => {
                let (arguments, myself) = (Arc::clone(&state.arguments), myself.clone());
                state.comparison = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                    compare(&arguments).await;
                    let _ = myself.cast(Message::Compared);
                })));
            }
            Message::Compared => {
                state.comparison = None;
                let pause = state
                    .arguments
                    .service
                    .config
                    .borrow()
                    .github
                    .reconcile_every;
                state.next = Some(AbortOnDropHandle::new(tokio::spawn(async move {
                    tokio::time::sleep(pause).await;
                    let _ = myself.cast(Message::Compare);
                })));
            }
        }
        Ok(())
    }
}

async fn compare(arguments: &Arguments) {
    let Arguments {
        service,
        repository,
        turns,
        ..
    } = arguments;
    let Ok(_turn) = turns.acquire().await else {
        return;
    };
    let heads = match service.git.heads(repository).await {
        Ok(heads) => heads,
        Err(error) => {
            tracing::warn!(%repository, %error, "cannot ask for heads");
            return;
        }
    };
    for head in heads {
        if let Err(error) = compare_head(arguments, head.git_ref, head.commit).await {
            tracing::error!(%repository, %error, "cannot record a head");
        }
    }
}

async fn compare_head(
    arguments: &Arguments,
    reference: GitRef,
    commit: CommitSha,
) -> anyhow::Result<()> {
    let Arguments {
        service,
        repository,
        projects,
        ..
    } = arguments;
    let catalog = Arc::clone(&service.catalog.borrow());
    let Some(recipes) = catalog.recipes(repository, reference.short_name()) else {
        return Ok(());
    };
    let before = service
        .store
        .head(repository.clone(), reference.clone())
        .await?;
    if before.as_ref() == Some(&commit) {
        return Ok(());
    }
    let first_sight = service.config.borrow().github.first_sight;
    if before.is_none() && first_sight == FirstSight::Record {
        return Ok(service
            .store
            .record_head(repository.clone(), reference, commit)
            .await?);
    }
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
    tracing::info!(%repository, %reference, sha = %commit, "a push was found that no webhook told of");
    let push = Push {
        repository: repository.clone(),
        reference,
        before,
        after: commit,
        forced,
        pusher: None,
        default_branch: None,
        commits,
    };
    let new = NewBuilds {
        push,
        work: recipes.iter().cloned().map(Work::from).collect(),
        cause: Cause::Reconcile,
    };
    service.store.hear_push(None, new).await?;
    if let Some(projects) = projects.borrow().as_ref() {
        let _ = projects.cast(projects::Message::Heard(repository.clone()));
    }
    Ok(())
}
