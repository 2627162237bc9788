//! Redis, to publish: one connection, each call waits for its answer, nothing is queued and nothing
//! sent again. When something fails the connection is of no more use; whoever has it makes another.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use fred::prelude::{
    Builder, Client, ClientLike, Config, KeysInterface, PubsubInterface, StreamsInterface,
};
use fred::types::streams::{XCap, XCapKind, XCapTrim};
use fred::types::{Expiration, Value};
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

    /// Sets a key for a time.
    pub async fn set(&self, key: &str, value: Bytes, time: Duration) -> Result<(), RedisError> {
        let value = Value::Bytes(value);
        let time = Some(Expiration::EX(seconds(time)));
        within(self.client.set(key, value, time, None, false)).await
    }

    /// A key goes after a time.
    pub async fn expire(&self, key: &str, time: Duration) -> Result<(), RedisError> {
        within(self.client.expire(key, seconds(time), None)).await
    }

    pub async fn delete(&self, key: &str) -> Result<(), RedisError> {
        within(self.client.del(key)).await
    }

    /// Appends an entry to a stream. Where the stream has one of this id or a later one, it is there
    /// already, and nothing changes.
    pub async fn append(
        &self,
        stream: &str,
        id: EntryId,
        fields: Vec<(&'static str, Bytes)>,
        keep: Keep,
    ) -> Result<(), RedisError> {
        let fields: Vec<(&str, Value)> = fields
            .into_iter()
            .map(|(name, value)| (name, Value::Bytes(value)))
            .collect();
        let cap = keep.cap()?;
        let sent =
            self.client
                .xadd::<String, _, _, _, _>(stream, false, cap, id.to_string(), fields);
        match within(sent).await {
            Err(RedisError::Refused(why)) if why.contains("equal or smaller") => Ok(()),
            sent => sent.map(drop),
        }
    }

    /// The id of a stream's newest entry; `None` where there is none.
    pub async fn newest(&self, stream: &str) -> Result<Option<EntryId>, RedisError> {
        let asked = self
            .client
            .xrevrange_values::<String, String, Value, _, _, _>(stream, "+", "-", Some(1));
        let entries = within(asked).await?;
        let parse = |(id, _): &(String, _)| {
            id.parse()
                .map_err(|()| RedisError::Refused(format!("`{id}` is no id of a stream's entry")))
        };
        entries.first().map(parse).transpose()
    }

    pub async fn ping(&self) -> Result<(), RedisError> {
        within(self.client.ping(None)).await
    }
}

fn seconds(time: Duration) -> i64 {
    time.as_secs().max(1).cast_signed()
}

/// The id of an entry, as we give them: a number of our own that grows, and another that orders
/// entries of the same number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(pub u64, pub u64);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl FromStr for EntryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, second) = text.split_once('-').ok_or(())?;
        let number = |text: &str| text.parse().map_err(drop);
        Ok(Self(number(first)?, number(second)?))
    }
}

/// Which entries of a stream are kept, roughly: Redis lets go of them by blocks.
#[derive(Debug, Clone, Copy)]
pub enum Keep {
    /// The newest so many.
    Newest(i64),
    /// Those from this number on.
    From(u64),
}

impl Keep {
    fn cap(self) -> Result<XCap, fred::error::Error> {
        match self {
            Self::Newest(count) => (XCapKind::MaxLen, XCapTrim::AlmostExact, count).try_into(),
            Self::From(number) => {
                let id = EntryId(number, 0).to_string();
                (XCapKind::MinID, XCapTrim::AlmostExact, id).try_into()
            }
        }
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
