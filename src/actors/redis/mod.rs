//! What is told to Redis: each feed by a task of its own, over a connection of its own, at the pace
//! at which Redis takes it. Nothing waits for Redis.

pub mod legacy_topics;
mod log;
pub mod relay;

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::adapters::redis::{Redis, RedisError};
use crate::config::secret::Secret;
use crate::service::Service;

/// Between two tries to connect: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How soon it is noticed that Redis has gone while there is nothing to tell.
const PING_EVERY: Duration = Duration::from_secs(5);

trait Feed: Send {
    /// What is fed, in the service's log.
    const NAME: &str;
    /// The same in its metrics.
    const LABEL: &str;

    /// Tells what happens, from the present on or from where Redis says that it stands, until Redis
    /// fails.
    fn tell(
        &mut self,
        redis: &Redis,
    ) -> impl Future<Output = Result<Infallible, RedisError>> + Send;
}

/// Feeds Redis for ever, over one connection after the other.
async fn feed<F: Feed>(service: &Service, url: &Secret, mut feed: F) -> Infallible {
    let connected = service.metrics.redis_connected(F::LABEL);
    let (mut pause, mut is_away) = (FIRST_PAUSE, false);
    loop {
        let error = match Redis::connect(url.expose()).await {
            Ok(redis) => {
                tracing::info!("redis takes {}", F::NAME);
                is_away = false;
                connected.set(1);
                let begun = Instant::now();
                let Err(error) = feed.tell(&redis).await;
                connected.set(0);
                if begun.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                error
            }
            Err(error) => error,
        };
        if !is_away {
            tracing::warn!(
                %error,
                "redis does not take {}, and is tried again and again; nothing waits for it", F::NAME
            );
            is_away = true;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
