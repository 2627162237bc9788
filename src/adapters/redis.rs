//! Redis, to publish: one connection, one message at a time, nothing queued and nothing sent again.
//! When something fails the connection is of no more use; whoever has it makes another.

use std::time::Duration;

use bytes::Bytes;
use fred::prelude::{Builder, Client, ClientLike, Config, PubsubInterface};
use fred::types::Value;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// For whatever is asked. Redis answers in milliseconds, or is in trouble.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Redis {
    client: Client,
    /// Ends with its owner.
    _connection: AbortOnDropHandle<Result<(), fred::error::Error>>,
}

/// Never with an address or a password in it.
#[derive(Debug, thiserror::Error)]
pub enum RedisError {
    #[error("{0}")]
    Refused(String),
    #[error("it does not answer within {} s", PATIENCE.as_secs())]
    Silent,
}

impl From<fred::error::Error> for RedisError {
    fn from(error: fred::error::Error) -> Self {
        let details = error.details().trim().to_owned();
        match details.is_empty() {
            true => Self::Refused(error.kind().to_str().to_owned()),
            false => Self::Refused(details),
        }
    }
}

impl Redis {
    /// `url`: `redis://`, `rediss://` (TLS), with `-sentinel` or `-cluster`; with user and password.
    pub async fn connect(url: &str) -> Result<Self, RedisError> {
        // What a parser says of an address may repeat it.
        let unreadable = |_| RedisError::Refused("its address cannot be read".to_owned());
        let config = Config::from_url(url).map_err(unreadable)?;
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = PATIENCE;
                connection.internal_command_timeout = PATIENCE;
                // What was sent when the connection broke is not sent again.
                connection.max_command_attempts = 1;
            })
            .build()?;
        let connection = AbortOnDropHandle::new(within(client.init()).await?);
        Ok(Self {
            client,
            _connection: connection,
        })
    }

    /// Returns when Redis has it, as it says by a number.
    pub async fn publish(&self, topic: &'static str, message: Bytes) -> Result<(), RedisError> {
        let heard = self
            .client
            .publish::<u64, _, _>(topic, Value::Bytes(message));
        within(heard).await.map(drop)
    }

    pub async fn ping(&self) -> Result<(), RedisError> {
        within(self.client.ping(None)).await
    }
}

async fn within<T>(
    answer: impl Future<Output = Result<T, fred::error::Error>>,
) -> Result<T, RedisError> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => Ok(answer?),
        Err(_) => Err(RedisError::Silent),
    }
}
