//! Publishes what happens on the old service's four topics of Redis, for its WebSocket gateway.
//!
//! One task at its own pace: what Redis does not take in time is missed, and nothing waits for it.
//! After a pause the connection is made again, and the present is told once more.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::{Feed, PING_EVERY, feed};
use crate::actors::supervision::{self, Task};
use crate::adapters::redis::{Redis, RedisError};
use crate::config::secret::Secret;
use crate::service::legacy::Event;
use crate::service::{self, Service};

pub struct LegacyTopics;

#[cfg_attr(feature = "faults", derive(strum::IntoStaticStr, strum::VariantNames))]
pub enum Message {
    /// The task that publishes came to an end, which it does only by a fault.
    Ended(String),
}

const STATUS: &str = "autobuilder-current";
const HISTORY: &str = "autobuilder-history";
const UPDATE: &str = "autobuilder-update";
/// The status once more while builds write; the old service told it after each line.
const STATUS_WITH_OUTPUT: &str = "autobuilder-current-update";

/// [`STATUS_WITH_OUTPUT`] is told at most so often.
const OUTPUT_PAUSE: Duration = Duration::from_millis(500);

struct Topics(Arc<Service>);

impl Actor for LegacyTopics {
    type Msg = Message;
    /// Ends with the actor.
    type State = AbortOnDropHandle<()>;
    type Arguments = (Arc<Service>, Secret);

    async fn pre_start(
        &self,
        myself: ActorRef<Message>,
        (service, url): (Arc<Service>, Secret),
    ) -> Result<Self::State, ActorProcessingErr> {
        let topics = Topics(Arc::clone(&service));
        let publish = async move { match feed(&service, &url, topics).await {} };
        let task = Task::PublishToRedis;
        Ok(supervision::run(task, &myself, publish, Message::Ended))
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

impl Feed for Topics {
    const NAME: &str = "the legacy topics";
    const LABEL: &str = "legacy_topics";

    async fn tell(&mut self, redis: &Redis) -> Result<Infallible, RedisError> {
        let Self(service) = self;
        let mut feed = service::legacy::Feed::new(service);
        let mut ping = interval(PING_EVERY);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut has_output = false;
        let mut output_from = Instant::now();
        loop {
            if has_output && Instant::now() >= output_from {
                has_output = false;
                output_from = Instant::now() + OUTPUT_PAUSE;
                match service.legacy.picture(service).await {
                    Ok(picture) => {
                        send(service, redis, STATUS_WITH_OUTPUT, picture.status.payload()).await?;
                    }
                    Err(error) => tracing::warn!(%error, "the status could not be read for redis"),
                }
            }
            let (topic, message) = match feed.next().await {
                Ok(Some(Event::History(message))) => (HISTORY, message),
                Ok(Some(Event::Status(message))) => (STATUS, message),
                Ok(Some(Event::Update(message))) => {
                    has_output = true;
                    (UPDATE, message)
                }
                Ok(None) => {
                    tokio::select! {
                        () = feed.changed() => {}
                        () = sleep_until(output_from), if has_output => {}
                        _ = ping.tick() => redis.ping().await?,
                    }
                    continue;
                }
                Err(error) => {
                    tracing::warn!(%error, "what happens could not be read for redis");
                    sleep(OUTPUT_PAUSE).await;
                    continue;
                }
            };
            send(service, redis, topic, message.payload()).await?;
        }
    }
}

async fn send(
    service: &Service,
    redis: &Redis,
    topic: &'static str,
    message: bytes::Bytes,
) -> Result<(), RedisError> {
    redis.publish(topic, message).await?;
    service.metrics.redis_message(Topics::LABEL);
    Ok(())
}
