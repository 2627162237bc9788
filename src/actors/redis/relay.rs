//! Tells Redis of every change of a build and of every byte of its log, as docs/redis.md describes.
//!
//! Redis itself remembers how far it was told: entries of its streams have ids that follow from what
//! is in them, a build's revision or a place in a log. So there is nothing to keep here, and after
//! whatever happened to Redis or to the service the rest is told, in order and once.

use std::collections::HashSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::task::AbortOnDropHandle;

use super::log;
use super::{Feed, PING_EVERY, feed};
use crate::actors::supervision::{self, Task};
use crate::adapters::redis::{EntryId, Keep, Redis, RedisError};
use crate::config;
use crate::domain::build::{Build, State};
use crate::domain::names::BuildId;
use crate::domain::time::Timestamp;
use crate::service::Service;
use crate::service::view::{BuildView, views};
use crate::store;

pub struct Relay;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    /// The task that tells came to an end, which it does only by a fault.
    Ended(String),
}

/// Of the shapes of docs/redis.md.
const VERSION: u32 = 1;

/// Each change, for whoever listens at that moment.
const EVENTS: &str = "autobuilder:events";
/// The newest changes, for whoever comes later or comes back.
const CHANGES: &str = "autobuilder:changes";
const CHANGES_KEPT: i64 = 2000;
/// There while the service is.
const SERVICE: &str = "autobuilder:service";
const SERVICE_LASTS: Duration = Duration::from_secs(15);

/// Builds that are read at a time, with all their commits.
const BATCH: usize = 16;

/// Pieces of logs on their way to Redis at the same time, over all builds.
const PIECES: usize = 32;

/// After the database could not be read.
const STORE_PAUSE: Duration = Duration::from_secs(1);

impl Actor for Relay {
    type Msg = Message;
    /// Ends with the actor.
    type State = AbortOnDropHandle<()>;
    type Arguments = (Arc<Service>, config::Redis);

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (service, settings): Self::Arguments,
    ) -> Result<Self::State, ActorProcessingErr> {
        let builds = Builds {
            service: Arc::clone(&service),
            settings: settings.clone(),
        };
        let relay = async move { match feed(&service, &settings.url, builds).await {} };
        let task = Task::RelayToRedis;
        Ok(supervision::run(task, &myself, relay, Message::Ended))
    }

    async fn handle(
        &self,
        _myself: ActorRef<Message>,
        Message::Ended(why): Message,
        _state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        Err(why.into())
    }
}

/// What is in [`EVENTS`] and [`CHANGES`].
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum Event<'a> {
    Build {
        v: u32,
        instance: &'a str,
        revision: i64,
        build: &'a BuildView,
    },
}

/// What is in [`SERVICE`].
#[derive(Serialize)]
struct Presence<'a> {
    v: u32,
    instance: &'a str,
    version: &'a str,
    url: &'a str,
}

struct Builds {
    service: Arc<Service>,
    settings: config::Redis,
}

impl Feed for Builds {
    const NAME: &str = "builds and their logs";
    const LABEL: &str = "builds";

    async fn tell(&mut self, redis: &Redis) -> Result<Infallible, RedisError> {
        let pieces = Semaphore::new(PIECES);
        let mut session = Session {
            service: &self.service,
            redis,
            settings: &self.settings,
            pieces: &pieces,
            told: 0,
            logs: FuturesUnordered::new(),
            followed: HashSet::new(),
        };
        tokio::select! {
            ended = session.tell() => ended,
            ended = self.be_there(redis) => ended,
        }
    }
}

impl Builds {
    async fn be_there(&self, redis: &Redis) -> Result<Infallible, RedisError> {
        let mut ticks = interval(PING_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let config = Arc::clone(&self.service.config.borrow());
            let presence = json(&Presence {
                v: VERSION,
                instance: self.service.store.instance(),
                version: env!("CARGO_PKG_VERSION"),
                url: config.public_url.as_str(),
            });
            redis.set(SERVICE, presence, SERVICE_LASTS).await?;
        }
    }
}

type LogFuture<'a> = BoxFuture<'a, Result<BuildId, RedisError>>;

/// One connection's.
struct Session<'a> {
    service: &'a Arc<Service>,
    redis: &'a Redis,
    settings: &'a config::Redis,
    pieces: &'a Semaphore,
    /// Up to this revision everything was told.
    told: i64,
    /// Of builds that have not ended, or whose end is about to be told.
    logs: FuturesUnordered<LogFuture<'a>>,
    followed: HashSet<BuildId>,
}

impl Session<'_> {
    async fn tell(&mut self) -> Result<Infallible, RedisError> {
        let mut revision = self.service.store.revision();
        self.begin().await?;
        loop {
            let newest = *revision.borrow_and_update();
            self.tell_changes(newest).await?;
            tokio::select! {
                _ = revision.changed() => {}
                Some(ended) = self.logs.next() => drop(self.followed.remove(&ended?)),
            }
        }
    }

    /// Finds out where Redis stands. What is older than what is kept there is not told again, but
    /// for builds that have not ended.
    async fn begin(&mut self) -> Result<(), RedisError> {
        let newest = *self.service.store.revision().borrow();
        let mut known = self.redis.newest(CHANGES).await?;
        if known.is_some_and(|known| known.0.cast_signed() > newest) {
            tracing::warn!(
                "redis knows changes that this database does not, which was another or was restored: they are dropped there"
            );
            self.redis.delete(CHANGES).await?;
            known = None;
        }
        let known = known.map_or(0, |known| known.0.cast_signed());
        self.told = known.max(newest - CHANGES_KEPT);
        let unfinished = with_patience(|| self.service.store.unfinished()).await;
        for build in &unfinished {
            self.follow(build);
        }
        let not_known = |build: &Build| (known + 1..=self.told).contains(&build.revision);
        let mut missing: Vec<Build> = unfinished.into_iter().filter(not_known).collect();
        missing.sort_by_key(|build| build.revision);
        for builds in missing.chunks(BATCH) {
            self.tell_of(builds.to_vec()).await?;
        }
        Ok(())
    }

    async fn tell_changes(&mut self, newest: i64) -> Result<(), RedisError> {
        while self.told < newest {
            let told = self.told;
            let builds = with_patience(|| self.service.store.changed_since(told, BATCH)).await;
            self.told = match builds.last() {
                Some(last) if builds.len() == BATCH => last.revision,
                // Beyond the last there may be revisions of builds that were removed since.
                last => last.map_or(newest, |last| last.revision.max(newest)),
            };
            self.tell_of(builds).await?;
        }
        Ok(())
    }

    /// Tells of builds, in the order of their changes: of one that has ended, once its log is there.
    async fn tell_of(&mut self, builds: Vec<Build>) -> Result<(), RedisError> {
        for build in &builds {
            self.follow(build);
        }
        let ended: Vec<bool> = builds.iter().map(|build| build.state.is_end()).collect();
        let revisions: Vec<i64> = builds.iter().map(|build| build.revision).collect();
        let ids: Vec<BuildId> = builds.iter().map(|build| build.id.clone()).collect();
        let views = with_patience(|| views(self.service, builds.clone())).await;
        for (((view, revision), build), ended) in views.iter().zip(revisions).zip(ids).zip(ended) {
            if ended {
                self.log_is_there(&build).await?;
            }
            let event = Event::Build {
                v: VERSION,
                instance: self.service.store.instance(),
                revision,
                build: view,
            };
            let event = json(&event);
            let id = EntryId(revision.cast_unsigned(), 0);
            self.redis.publish(EVENTS, event.clone()).await?;
            let fields = vec![("event", event)];
            let keep = Keep::Newest(CHANGES_KEPT);
            self.redis.append(CHANGES, id, fields, keep).await?;
            self.service.metrics.redis_message(Builds::LABEL);
        }
        Ok(())
    }

    /// Sees that a build's log is told, from where Redis has it.
    fn follow(&mut self, build: &Build) {
        let is_worth = match build.ended {
            None => build.state != State::Queued || build.attempt > 1,
            // What would have been there and gone is not told any more.
            Some(ended) => Timestamp::now().since(ended) < self.settings.log_expiry,
        };
        if is_worth && self.followed.insert(build.id.clone()) {
            let log = log::tell(
                self.service,
                self.redis,
                self.settings,
                self.pieces,
                build.clone(),
            );
            self.logs.push(log.boxed());
        }
    }

    async fn log_is_there(&mut self, build: &BuildId) -> Result<(), RedisError> {
        while self.followed.contains(build)
            && let Some(ended) = self.logs.next().await
        {
            self.followed.remove(&ended?);
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(value);
    json.expect("it is made of strings, numbers and lists")
        .into()
}

/// The database answers, sooner or later; Redis can wait so long.
async fn with_patience<T, F: Future<Output = store::Result<T>>>(read: impl Fn() -> F) -> T {
    loop {
        match read().await {
            Ok(answer) => return answer,
            Err(error) => tracing::warn!(%error, "what happens could not be read for redis"),
        }
        sleep(STORE_PAUSE).await;
    }
}
