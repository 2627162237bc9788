//! One repository's queue: builds of one lane (ref, script and tag) run one after another in the
//! order of their pushes, a newer push takes the place of older ones, and each build that has
//! been given a place runs as an actor below this one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort, SupervisionEvent};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::build::{self, BuildActor, Interruption};
use super::projects::{self, CancelError};
use super::supervision::{self, Task, failure};
use super::{filter, log};
use crate::domain::build::{Build, Cause, State as BuildState};
use crate::domain::names::{BuildId, RepositoryName};
use crate::domain::paths::Decision;
use crate::domain::recipe::Supersede;
use crate::service::Service;
use crate::store::{Facts, StoreError, Transition};

pub struct Project;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    /// The store holds builds that this project may not know.
    Look,
    /// A place was given to this build.
    Admitted(BuildId),
    Cancel(BuildId, RpcReplyPort<Result<(), CancelError>>),
    CatalogChanged,
    /// Whether the build's recipe is for the files that its push changed.
    Decided(BuildId, Decision),
    /// Git has compared two builds, or could not.
    Compared {
        newer: BuildId,
        older: BuildId,
        is_newer: bool,
    },
    /// A build that one of these waits for has left: it has ended, or is built once more.
    AwaitedLeft(BuildId),
    /// From a build's actor: it has reached an end, or waits again as its second attempt.
    Left(Box<Build>),
    /// The same of one whose actor failed; or why that could not be stored.
    GivenUp(Result<Box<Build>, String>),
}

pub struct Arguments {
    pub service: Arc<Service>,
    pub repository: RepositoryName,
    pub projects: ActorRef<projects::Message>,
    /// Who asks git about builds that wait takes one.
    pub questions: Arc<Semaphore>,
}

pub struct State {
    service: Arc<Service>,
    repository: RepositoryName,
    projects: ActorRef<projects::Message>,
    questions: Questions,
    /// Unfinished builds by their place in the order of creation.
    builds: BTreeMap<i64, Entry>,
    /// Every build up to this place is known.
    looked_up_to: i64,
    /// Two builds that git compares.
    comparing: Option<AbortOnDropHandle<()>>,
}

/// Turns of asking git: one at a time of this repository, whose questions wait for the same mirror,
/// and then one of the few that all repositories share.
#[derive(Clone)]
struct Questions {
    own: Arc<Semaphore>,
    shared: Arc<Semaphore>,
}

impl Questions {
    fn of(shared: Arc<Semaphore>) -> Self {
        let own = Arc::new(Semaphore::new(1));
        Self { own, shared }
    }

    /// Held until what is returned is dropped.
    async fn turn(&self) -> impl Sized + use<> {
        let own = Arc::clone(&self.own).acquire_owned().await;
        (own, Arc::clone(&self.shared).acquire_owned().await)
    }
}

struct Entry {
    build: Build,
    stage: Stage,
    /// What its log is to say first.
    note: Option<String>,
    /// Builds that it may supersede and was not compared with yet, oldest first.
    compare_with: Vec<i64>,
}

enum Stage {
    /// Which files its push changed is being found out; nothing of its lane overtakes it.
    Undecided(#[expect(dead_code, reason = "held to be aborted")] AbortOnDropHandle<()>),
    /// Behind another build of its lane.
    Behind,
    /// Until another repository's build has made what this one needs.
    Awaits(BuildId),
    /// Waits for a place.
    Ready,
    Running(ActorRef<build::Message>),
    /// Its actor failed, and what that left is being cleared away.
    Leaving(#[expect(dead_code, reason = "held to be aborted")] AbortOnDropHandle<()>),
}

impl Actor for Project {
    type Msg = Message;
    type State = State;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        _: ActorRef<Message>,
        Arguments {
            service,
            repository,
            projects,
            questions,
        }: Arguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            service,
            repository,
            projects,
            questions: Questions::of(questions),
            builds: BTreeMap::new(),
            looked_up_to: 0,
            comparing: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Message>,
        message: Message,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        // Large, and a thousand of them have nothing to do.
        Box::pin(state.handle(&myself, message)).await
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Message>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let Some((who, why)) = failure(&event) else {
            return Ok(());
        };
        let lost = state.builds.values_mut().find(
            |entry| matches!(&entry.stage, Stage::Running(actor) if actor.get_id() == who.get_id()),
        );
        let Some(lost) = lost else { return Ok(()) };
        let (service, build) = (Arc::clone(&state.service), lost.build.id.clone());
        tracing::error!(%build, reason = why, "a build's actor failed");
        service.metrics.actor_restarted("build");
        let work = async move {
            let how = "an internal error ended it";
            let given_up = build::give_up_attempt(&service, &build, how).await;
            let build = given_up.map(Box::new);
            Message::GivenUp(build.map_err(|error| error.to_string()))
        };
        let panicked = |why| Message::GivenUp(Err(why));
        let task = supervision::run(Task::GiveUpAttempt, &myself, work, panicked);
        lost.stage = Stage::Leaving(task);
        Ok(())
    }
}

impl State {
    async fn handle(
        &mut self,
        myself: &ActorRef<Message>,
        message: Message,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Message::Look => self.look(myself).await?,
            Message::Admitted(build) => self.start(myself, &build).await?,
            Message::Cancel(build, reply) => self.cancel(myself, &build, reply).await?,
            Message::CatalogChanged => self.drop_untracked().await?,
            Message::Decided(build, decision) => {
                self.decided(&build, decision).await?;
            }
            Message::Compared {
                newer,
                older,
                is_newer,
            } => {
                self.comparing = None;
                if is_newer {
                    self.supersede(&newer, &older).await?;
                }
            }
            Message::AwaitedLeft(build) => self.look_at_awaited(&build).await?,
            Message::Left(build) => self.left(*build).await?,
            Message::GivenUp(Ok(build)) => {
                let entry = self.builds.get(&build.sequence);
                // It may have been cancelled meanwhile.
                if entry.is_some_and(|entry| matches!(entry.stage, Stage::Leaving(_))) {
                    self.left(*build).await?;
                }
            }
            Message::GivenUp(Err(why)) => return Err(why.into()),
        }
        self.compare_next(myself);
        self.offer_first_of_each_lane();
        Ok(())
    }

    /// Takes in builds from the store that are not known yet: new ones, or, after a restart, all.
    async fn look(&mut self, myself: &ActorRef<Message>) -> Result<(), ActorProcessingErr> {
        let repository = self.repository.clone();
        let store = &self.service.store;
        let found = store
            .unfinished_after(repository, self.looked_up_to)
            .await?;
        if self.looked_up_to == 0 {
            let running = found.iter().filter(|build| build.state.is_running());
            let running = running.map(|build| build.id.clone()).collect();
            let repository = self.repository.clone();
            self.projects
                .cast(projects::Message::TakenOver(repository, running))?;
        }
        for build in found {
            let sequence = build.sequence;
            self.looked_up_to = sequence;
            if build.state.is_running() {
                let note = (build.state == BuildState::Preparing)
                    .then(|| "the service was restarted: preparing from the beginning".to_owned());
                self.run(myself, build, note).await?;
            } else if build.waits_for.is_some() {
                self.wait(build).await?;
            } else if let Some(mark) = build.skip_mark() {
                let reason = format!("the commit's message says {mark}");
                self.end_without_actor(sequence, &build.id, BuildState::Skipped, reason)
                    .await?;
            } else {
                let is_filtered = build.is_filtered();
                let stage = match is_filtered {
                    true => self.decide(myself, &build),
                    false => Stage::Behind,
                };
                let entry = Entry {
                    build,
                    stage,
                    note: None,
                    compare_with: Vec::new(),
                };
                self.builds.insert(sequence, entry);
                if !is_filtered {
                    self.supersede_older(sequence).await?;
                }
            }
        }
        Ok(())
    }

    /// Finds out, beside the queue, whether the recipe is for what the push changed. Nothing is
    /// stored until that is known: after a restart it is found out again.
    fn decide(&self, myself: &ActorRef<Message>, build: &Build) -> Stage {
        let (service, build) = (Arc::clone(&self.service), build.clone());
        let (id, same) = (build.id.clone(), build.id.clone());
        let questions = self.questions.clone();
        let work = async move {
            let _turn = questions.turn().await;
            // Large, and a thousand others may wait for their turn.
            Message::Decided(id, Box::pin(filter::decide(service, build)).await)
        };
        let panicked = |why| Message::Decided(same, filter::not_applied(why));
        Stage::Undecided(supervision::run(Task::Decide, myself, work, panicked))
    }

    /// Only what is to be built takes the place of older builds.
    async fn decided(
        &mut self,
        id: &BuildId,
        decision: Decision,
    ) -> Result<(), ActorProcessingErr> {
        let mut entries = self.builds.values_mut();
        let undecided = entries
            .find(|entry| entry.build.id == *id && matches!(entry.stage, Stage::Undecided(_)));
        // It may have been cancelled while git was asked.
        let Some(entry) = undecided else {
            return Ok(());
        };
        let sequence = entry.build.sequence;
        match decision {
            Decision::Build(why) => {
                entry.stage = Stage::Behind;
                entry.note = Some(format!("path filter: {why}"));
                self.supersede_older(sequence).await?;
            }
            Decision::Skip(reason) => {
                self.end_without_actor(sequence, id, BuildState::Skipped, reason)
                    .await?;
            }
        }
        Ok(())
    }

    /// Ends older builds of a new one's lane, if a push caused it. A forced push is newer than all of
    /// them. Any other is newer than the build of the commit that it began at, as was said with it,
    /// and so on backward from that one; of the rest git has to say.
    async fn supersede_older(&mut self, sequence: i64) -> Result<(), ActorProcessingErr> {
        let Some(newer) = self.builds.get(&sequence).map(|entry| &entry.build) else {
            return Ok(());
        };
        let told_by_a_push = matches!(newer.cause, Cause::Push { .. } | Cause::Reconcile);
        if !told_by_a_push || self.supersede_rule(newer) == Supersede::None {
            return Ok(());
        }
        let (lane, id, forced) = (newer.lane(), newer.id.clone(), newer.push_forced);
        let before = self.builds.range(..sequence).map(|(_, entry)| &entry.build);
        let older = before.filter(|older| older.lane() == lane && older.push < newer.push);
        let mut began = newer.push_before.as_ref();
        let (mut to_end, mut to_compare) = (Vec::new(), Vec::new());
        for older in older.rev() {
            let follows = began == Some(&older.commit);
            if follows {
                began = older.push_before.as_ref().filter(|_| !older.push_forced);
            }
            match follows || forced {
                true => to_end.push(older.id.clone()),
                false => to_compare.push(older.sequence),
            }
        }
        to_compare.reverse();
        if let Some(entry) = self.builds.get_mut(&sequence) {
            entry.compare_with = to_compare;
        }
        for older in to_end {
            self.supersede(&id, &older).await?;
        }
        Ok(())
    }

    /// Asks git, beside the queue, about the next two builds: one question at a time, as all of them
    /// wait for the same mirror.
    fn compare_next(&mut self, myself: &ActorRef<Message>) {
        if self.comparing.is_some() {
            return;
        }
        let Some((newer, older)) = next_pair(&mut self.builds) else {
            return;
        };
        let compared = {
            let (newer, older) = (newer.id.clone(), older.id.clone());
            move |is_newer| Message::Compared {
                newer,
                older,
                is_newer,
            }
        };
        let (service, panicked) = (Arc::clone(&self.service), compared.clone());
        let questions = self.questions.clone();
        let ask = async move {
            let _turn = questions.turn().await;
            compared(Box::pin(is_newer(&service, &newer, &older)).await)
        };
        self.comparing = Some(supervision::run(Task::CompareCommits, myself, ask, |_| {
            panicked(false)
        }));
    }

    fn supersede_rule(&self, build: &Build) -> Supersede {
        build
            .recipe()
            .and_then(|recipe| recipe.supersede)
            .unwrap_or(self.service.config.borrow().builds.supersede)
    }

    async fn supersede(
        &mut self,
        newer: &BuildId,
        older: &BuildId,
    ) -> Result<(), ActorProcessingErr> {
        let Some(newer) = self.entry(newer).map(|entry| entry.build.clone()) else {
            return Ok(());
        };
        let reason = format!("a newer push replaced it: {}", newer.commit.short());
        let Some(older) = self.entry(older) else {
            return Ok(());
        };
        let (id, sequence) = (older.build.id.clone(), older.build.sequence);
        match &older.stage {
            Stage::Running(actor) => {
                if self.supersede_rule(&newer) == Supersede::All {
                    let interruption = Interruption {
                        state: BuildState::Superseded,
                        reason,
                        reply: None,
                    };
                    let _ = actor.cast(build::Message::Interrupt(interruption));
                }
                Ok(())
            }
            Stage::Undecided(_)
            | Stage::Behind
            | Stage::Awaits(_)
            | Stage::Ready
            | Stage::Leaving(_) => self
                .end_without_actor(sequence, &id, BuildState::Superseded, reason)
                .await
                .map(|_| ()),
        }
    }

    /// The oldest build of each lane that waits behind nothing asks for a place.
    fn offer_first_of_each_lane(&mut self) {
        let mut taken = HashSet::new();
        for entry in self.builds.values_mut() {
            let lane = entry.build.lane();
            if !taken.insert(lane) {
                continue;
            }
            if matches!(entry.stage, Stage::Behind) {
                entry.stage = Stage::Ready;
                let ready =
                    projects::Message::Ready(self.repository.clone(), entry.build.id.clone());
                let _ = self.projects.cast(ready);
            }
        }
    }

    async fn start(
        &mut self,
        myself: &ActorRef<Message>,
        id: &BuildId,
    ) -> Result<(), ActorProcessingErr> {
        let waiting = self
            .entry(id)
            .filter(|entry| matches!(entry.stage, Stage::Ready));
        let Some(entry) = waiting else {
            // It was cancelled while the place was on its way.
            self.projects
                .cast(projects::Message::Gone(self.repository.clone(), id.clone()))?;
            return Ok(());
        };
        let (build, note) = (entry.build.clone(), entry.note.clone());
        if self.is_untracked(&build) {
            return self.drop_build(build.sequence, id).await;
        }
        let transition = Transition {
            build: id.clone(),
            to: BuildState::Preparing,
            reason: None,
            known: Facts::default(),
        };
        let build = match self.service.store.transition(transition).await {
            Ok(changed) => changed,
            Err(error) => return Err(format!("build {}: {error}", build.id).into()),
        };
        self.run(myself, build, note).await
    }

    /// A build that cannot even start (its log cannot be opened, for one) ends here, alone.
    async fn run(
        &mut self,
        myself: &ActorRef<Message>,
        build: Build,
        note: Option<String>,
    ) -> Result<(), ActorProcessingErr> {
        let arguments = build::Arguments {
            service: Arc::clone(&self.service),
            build: build.clone(),
            note,
            project: myself.clone(),
        };
        match supervision::spawn(BuildActor, arguments, myself.get_cell()).await {
            Ok(actor) => {
                self.builds.insert(
                    build.sequence,
                    Entry {
                        build,
                        stage: Stage::Running(actor),
                        note: None,
                        // It is the first of its lane.
                        compare_with: Vec::new(),
                    },
                );
                Ok(())
            }
            Err(error) => {
                tracing::error!(build = %build.id, %error, "a build's actor could not start");
                let reason = format!("it could not start: {error}");
                self.end_without_actor(build.sequence, &build.id, BuildState::Errored, reason)
                    .await?;
                Ok(())
            }
        }
    }

    async fn cancel(
        &mut self,
        myself: &ActorRef<Message>,
        id: &BuildId,
        reply: RpcReplyPort<Result<(), CancelError>>,
    ) -> Result<(), ActorProcessingErr> {
        let reason = "cancelled by hand".to_owned();
        // The word that it was stored may still be on its way: it takes a longer one.
        if self.entry(id).is_none() {
            self.look(myself).await?;
        }
        let Some(entry) = self.entry(id) else {
            let _ = reply.send(Err(CancelError::NotUnfinished(id.clone())));
            return Ok(());
        };
        if let Stage::Running(actor) = &entry.stage {
            let interruption = Interruption {
                state: BuildState::Cancelled,
                reason,
                reply: Some(reply),
            };
            let _ = actor.cast(build::Message::Interrupt(interruption));
            return Ok(());
        }
        let sequence = entry.build.sequence;
        let ended = self
            .end_without_actor(sequence, id, BuildState::Cancelled, reason)
            .await?;
        let _ = reply.send(if ended {
            Ok(())
        } else {
            Err(CancelError::NotUnfinished(id.clone()))
        });
        Ok(())
    }

    async fn drop_untracked(&mut self) -> Result<(), ActorProcessingErr> {
        let untracked: Vec<(i64, BuildId)> = self
            .builds
            .values()
            .filter(|entry| !matches!(entry.stage, Stage::Running(_)))
            .filter(|entry| self.is_untracked(&entry.build))
            .map(|entry| (entry.build.sequence, entry.build.id.clone()))
            .collect();
        for (sequence, id) in untracked {
            self.drop_build(sequence, &id).await?;
        }
        Ok(())
    }

    /// Whether a build is of a branch, or of a script of it, that the configuration no longer
    /// names. What a person asked for is built all the same.
    ///
    /// Asked when the configuration changes, and again before a build starts: its push may have
    /// been stored after that change, or a restart has come between. While nothing is known of the
    /// configuration, nothing was removed.
    fn is_untracked(&self, build: &Build) -> bool {
        let is_asked = matches!(
            build.cause,
            Cause::Manual | Cause::Rebuild { .. } | Cause::Base { .. }
        );
        let (catalog, config) = (self.service.catalog.borrow(), self.service.config.borrow());
        !is_asked
            && self.service.loaded.borrow().is_some()
            && !config
                .tracking(&catalog)
                .has(&self.repository, &build.reference, build.script())
    }

    async fn drop_build(&mut self, sequence: i64, id: &BuildId) -> Result<(), ActorProcessingErr> {
        let reason = "the configuration no longer names it".to_owned();
        self.end_without_actor(sequence, id, BuildState::Cancelled, reason)
            .await?;
        Ok(())
    }

    /// Ends a build that has no actor. False where somebody else ended it first.
    async fn end_without_actor(
        &mut self,
        sequence: i64,
        id: &BuildId,
        to: BuildState,
        reason: String,
    ) -> Result<bool, ActorProcessingErr> {
        let build = self.service.store.build(id.clone()).await.ok();
        if let Some(entry) = self.builds.get_mut(&sequence) {
            let may_become = |build: &Build| build.state.may_become(to);
            if matches!(entry.stage, Stage::Leaving(_)) && !build.as_ref().is_some_and(may_become) {
                // Whoever clears it away ends it.
                return Ok(false);
            }
            // What still works for it is stopped.
            entry.stage = Stage::Behind;
        }
        // One that could not start, or waits for its second attempt, has a log.
        let log = match &build {
            Some(build) => log::leave(&self.service, build, to, Some(&reason)).await,
            None => None,
        };
        let transition = Transition {
            build: id.clone(),
            to,
            reason: Some(reason),
            known: Facts {
                log,
                ..Facts::default()
            },
        };
        let ended = match self.service.store.transition(transition).await {
            Ok(_) => true,
            Err(StoreError::Refused { .. } | StoreError::NoBuild(_)) => false,
            Err(error) => return Err(error.into()),
        };
        self.service.logs.closed(id);
        self.builds.remove(&sequence);
        self.projects
            .cast(projects::Message::Gone(self.repository.clone(), id.clone()))?;
        Ok(ended)
    }

    async fn left(&mut self, build: Build) -> Result<(), ActorProcessingErr> {
        self.builds.remove(&build.sequence);
        self.projects.cast(projects::Message::Gone(
            self.repository.clone(),
            build.id.clone(),
        ))?;
        if build.state == BuildState::Queued {
            self.wait(build).await?;
        }
        Ok(())
    }

    /// A build that was under way is in the queue again.
    async fn wait(&mut self, build: Build) -> Result<(), ActorProcessingErr> {
        let awaited = build.waits_for.clone();
        let entry = Entry {
            stage: awaited.clone().map_or(Stage::Behind, Stage::Awaits),
            build,
            note: None,
            compare_with: Vec::new(),
        };
        self.builds.insert(entry.build.sequence, entry);
        match awaited {
            Some(awaited) => self.look_at_awaited(&awaited).await,
            None => Ok(()),
        }
    }

    /// Lets go on what waited for this build, if that has ended.
    async fn look_at_awaited(&mut self, awaited: &BuildId) -> Result<(), ActorProcessingErr> {
        // Before the store is asked: if the build ends after the answer, this is told.
        self.projects.cast(projects::Message::Awaits(
            awaited.clone(),
            self.repository.clone(),
        ))?;
        let outcome = match self.service.store.build(awaited.clone()).await {
            Ok(build) if !build.state.is_end() => {
                // It may be new.
                let heard = projects::Message::Heard(build.repository);
                self.projects.cast(heard)?;
                return Ok(());
            }
            // Replaced, or left out, it says nothing about the base: it is asked for anew, each time
            // after another push. Cancelled, it is not wanted.
            Ok(build)
                if matches!(
                    build.state,
                    BuildState::Succeeded | BuildState::Superseded | BuildState::Skipped
                ) =>
            {
                Ok(format!(
                    "build {awaited} of the base ended as {}: preparing again",
                    build.state
                ))
            }
            Ok(build) => {
                let reason = build.reason.map(|reason| format!(": {reason}"));
                Err(format!("{}{}", build.state, reason.unwrap_or_default()))
            }
            Err(StoreError::NoBuild(_)) => Err("is no longer known".to_owned()),
            Err(error) => return Err(error.into()),
        };
        let waiting = self
            .builds
            .values_mut()
            .filter(|entry| matches!(&entry.stage, Stage::Awaits(build) if build == awaited));
        let mut lost = Vec::new();
        for entry in waiting {
            match &outcome {
                Ok(note) => {
                    entry.stage = Stage::Behind;
                    entry.note = Some(note.clone());
                }
                Err(how) => lost.push((entry.build.sequence, entry.build.id.clone(), how)),
            }
        }
        for (sequence, id, how) in lost {
            let reason = format!("build {awaited}, which was to make its base, {how}");
            self.end_without_actor(sequence, &id, BuildState::Errored, reason)
                .await?;
        }
        Ok(())
    }

    fn entry(&self, id: &BuildId) -> Option<&Entry> {
        self.builds.values().find(|entry| entry.build.id == *id)
    }
}

/// The next two builds to compare, newer and older, which count as compared from then on. The newest
/// build comes first, and the newest of those before it: what it supersedes has nothing more to ask,
/// so that a burst of pushes costs about one question each.
fn next_pair(builds: &mut BTreeMap<i64, Entry>) -> Option<(Build, Build)> {
    let newest_first: Vec<i64> = builds.keys().rev().copied().collect();
    for newer in newest_first {
        while let Some(older) = builds.get_mut(&newer)?.compare_with.pop() {
            if let Some(older) = builds.get(&older) {
                return Some((builds[&newer].build.clone(), older.build.clone()));
            }
        }
    }
    None
}

/// A commit that is part of the other's history is not newer. Where git cannot tell, nothing is
/// superseded: both are built, in order.
async fn is_newer(service: &Service, newer: &Build, older: &Build) -> bool {
    if newer.commit == older.commit {
        return false;
    }
    match service
        .git
        .is_ancestor(&newer.repository, &newer.commit, &older.commit)
        .await
    {
        Ok(is_older) => !is_older,
        Err(error) => {
            tracing::warn!(build = %newer.id, %error, "cannot compare with the older build's commit");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ServiceConfig;
    use crate::domain::build::Work;
    use crate::domain::push::Push;
    use crate::domain::recipe::{Catalog, Recipe};
    use crate::service::DataDirectory;
    use crate::service::quiet::Inputs;
    use crate::store::{NewBuilds, Store};

    /// Somewhere a project whose git can answer nothing, and that is given no place.
    struct Scene {
        service: Arc<Service>,
        repository: RepositoryName,
        project: ActorRef<Message>,
        _folder: tempfile::TempDir,
    }

    impl Scene {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let directory = DataDirectory::open(folder.path(), &folder.path().join("tmp")).unwrap();
            let store = Store::open(&folder.path().join("test.sqlite")).unwrap();
            let mut config = ServiceConfig::default();
            config.builds.concurrency = 0;
            let inputs = Inputs::new(config, Catalog::default());
            let service = Arc::new(inputs.service(directory, store, "/nonexistent"));
            let (projects, _) =
                projects::Projects::spawn(None, projects::Projects, service.clone())
                    .await
                    .unwrap();
            let repository: RepositoryName = "acme/app".parse().unwrap();
            let arguments = Arguments {
                service: service.clone(),
                repository: repository.clone(),
                projects,
                questions: Arc::new(Semaphore::new(1)),
            };
            let (project, _) = Project::spawn(None, Project, arguments).await.unwrap();
            Self {
                service,
                repository,
                project,
                _folder: folder,
            }
        }

        fn builds(&self, before: Option<&str>, after: &str, cause: Cause) -> NewBuilds {
            let push = Push {
                before: before.map(|before| before.parse().unwrap()),
                ..Push::unheard(
                    self.repository.clone(),
                    "refs/heads/main".parse().unwrap(),
                    after.parse().unwrap(),
                )
            };
            NewBuilds {
                push,
                work: vec![Work::from(Recipe::of_script("build.sh"))],
                cause,
                dependents: Vec::new(),
            }
        }

        async fn cancel(&self, build: &BuildId) -> Result<(), CancelError> {
            let cancel = |reply| Message::Cancel(build.clone(), reply);
            self.project.call(cancel, None).await.unwrap().unwrap()
        }

        async fn state(&self, build: &BuildId) -> BuildState {
            let build = self.service.store.build(build.clone()).await;
            build.unwrap().state
        }
    }

    #[tokio::test]
    async fn a_build_can_be_cancelled_before_the_word_that_it_was_stored_arrives() {
        let scene = Scene::new().await;
        let commit = "6113728f27ae82c7b1a177c8d03f9e96e0adf246";
        let new = scene.builds(None, commit, Cause::Manual);
        let build = scene.service.store.ask_for_builds(new).await.unwrap();
        assert_eq!(scene.cancel(&build[0]).await, Ok(()));
        assert_eq!(scene.state(&build[0]).await, BuildState::Cancelled);
    }

    #[tokio::test]
    async fn of_pushes_that_follow_each_other_the_newest_replaces_the_rest_without_a_question() {
        let scene = Scene::new().await;
        let commits: Vec<String> = (0..20).map(|number| format!("{number:040x}")).collect();
        let mut builds = Vec::new();
        for pair in commits.windows(2) {
            // Of one in the middle nobody has told.
            if pair[0] == commits[9] {
                continue;
            }
            let cause = Cause::Push {
                pusher: None,
                forced: false,
            };
            let new = scene.builds(Some(&pair[0]), &pair[1], cause);
            let heard = scene.service.store.hear_push(None, new).await.unwrap();
            builds.extend(heard.builds);
        }
        // By which all are looked at.
        let replaced = CancelError::NotUnfinished(builds[0].clone());
        assert_eq!(scene.cancel(&builds[0]).await, Err(replaced));
        let mut waiting = Vec::new();
        for (number, build) in builds.iter().enumerate() {
            match scene.state(build).await {
                BuildState::Queued => waiting.push(number),
                state => assert_eq!(state, BuildState::Superseded),
            }
        }
        // Whether the last before the gap is older, git would have to say.
        assert_eq!(waiting, [8, 17]);
    }

    #[tokio::test]
    async fn a_burst_of_pushes_costs_one_question_each() {
        const PUSHES: usize = 60;
        let scratch = tempfile::tempdir().unwrap();
        let store = Store::open(&scratch.path().join("test.sqlite")).unwrap();
        let repository: RepositoryName = "acme/app".parse().unwrap();
        for number in 0..PUSHES {
            let after = format!("{number:040x}").parse().unwrap();
            let reference = "refs/heads/main".parse().unwrap();
            let new = NewBuilds {
                push: Push::unheard(repository.clone(), reference, after),
                work: vec![Work::from(Recipe::of_script("build.sh"))],
                cause: Cause::Reconcile,
                dependents: Vec::new(),
            };
            store.ask_for_builds(new).await.unwrap();
        }
        let mut builds = BTreeMap::new();
        for build in store.unfinished_after(repository, 0).await.unwrap() {
            let entry = Entry {
                stage: Stage::Behind,
                note: None,
                compare_with: builds.keys().copied().collect(),
                build,
            };
            builds.insert(entry.build.sequence, entry);
        }
        assert_eq!(builds.len(), PUSHES);
        let newest = *builds.keys().next_back().unwrap();
        let mut questions = 0;
        while let Some((newer, older)) = next_pair(&mut builds) {
            questions += 1;
            assert_eq!(newer.sequence, newest);
            builds.remove(&older.sequence);
        }
        assert_eq!((questions, builds.len()), (PUSHES - 1, 1));

        // Where nothing is superseded, each two are compared once.
        let mut kept: BTreeMap<i64, Entry> = BTreeMap::new();
        for number in 0..4 {
            let entry = Entry {
                stage: Stage::Behind,
                note: None,
                compare_with: kept.keys().copied().collect(),
                build: builds[&newest].build.clone(),
            };
            kept.insert(number, entry);
        }
        assert_eq!(std::iter::from_fn(|| next_pair(&mut kept)).count(), 6);
    }
}
