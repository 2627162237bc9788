//! The messages of docs/live-protocol.md as types.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use utoipa::openapi::schema::{Object, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::domain::names::BuildId;
use crate::http::failure::Failure;
use crate::service::view::BuildView;

/// Log bytes in one frame. The protocol allows 64 KiB; this is what a client that does not read
/// may cost, and larger frames were no faster.
pub const LARGEST_PIECE: usize = 32 * 1024;

/// What a client may send on a live connection.
#[derive(Debug, PartialEq, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ClientMessage {
    /// Send every change of a build after this revision.
    Builds {
        /// Left out or null: from now on.
        #[serde(default)]
        since: Option<i64>,
    },
    /// Send this build's log from this place.
    Follow {
        #[schema(value_type = String)]
        build: BuildId,
        #[serde(flatten)]
        place: PlaceFields,
    },
    /// Stop that.
    Unfollow {
        #[schema(value_type = String)]
        build: BuildId,
    },
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub struct PlaceFields {
    offset: Option<u64>,
    line: Option<u64>,
    tail: Option<u64>,
}

impl ToSchema for PlaceFields {}

impl PartialSchema for PlaceFields {
    fn schema() -> RefOr<Schema> {
        let places = [
            ("offset", "The first byte; the log begins with 0."),
            ("line", "The first line; the log begins with 1."),
            ("tail", "So many of the last lines."),
        ];
        let place = |(name, description): (&str, &str)| -> Object {
            let number = ObjectBuilder::new()
                .schema_type(Type::Integer)
                .description(Some(description))
                .minimum(Some(0));
            let object = ObjectBuilder::new().property(name, number);
            object.required(name).into()
        };
        let one_of = OneOfBuilder::new().description(Some("Where in a log to begin."));
        let one_of = places
            .into_iter()
            .map(place)
            .fold(one_of, OneOfBuilder::item);
        one_of.into()
    }
}

/// Where in a log to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    Offset(u64),
    /// From 1.
    Line(u64),
    /// So many lines before the end.
    Tail(u64),
}

impl PlaceFields {
    /// Without any, the beginning.
    pub fn place(&self) -> Result<Place, Failure> {
        match (self.offset, self.line, self.tail) {
            (None, None, None) => Ok(Place::Offset(0)),
            (Some(offset), None, None) => Ok(Place::Offset(offset)),
            (None, Some(line), None) => Ok(Place::Line(line)),
            (None, None, Some(lines)) => Ok(Place::Tail(lines)),
            _ => Err(Failure::bad_request(
                "more than one place to begin was given",
                "give one of offset, line and tail",
            )),
        }
    }
}

pub fn parse(text: &str) -> Result<ClientMessage, Failure> {
    serde_json::from_str(text).map_err(|error| {
        Failure::bad_request(
            format!("the message cannot be read: {error}"),
            "messages are described in docs/live-protocol.md",
        )
    })
}

/// The text that the service sends on a live connection.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServerMessage<'a> {
    /// Once, first.
    Hello {
        version: &'a str,
        /// Id of the data directory.
        instance: &'a str,
        /// Of the newest change.
        revision: i64,
    },
    /// A build was created or changed.
    Build {
        revision: i64,
        build: Box<BuildView>,
    },
    /// The log comes on this channel.
    Following {
        #[schema(value_type = String)]
        build: &'a BuildId,
        channel: u32,
        /// Of the first byte that will be sent.
        offset: u64,
        /// The line it is in.
        line: u64,
    },
    /// The build has ended, and every byte of its log was sent.
    End {
        #[schema(value_type = String)]
        build: &'a BuildId,
        channel: u32,
        /// The log's length.
        offset: u64,
    },
    /// Nothing else was sent for a while, and the connection stands.
    Alive,
    /// A message could not be carried out; the connection stays.
    Error {
        #[schema(value_type = Option<String>)]
        build: Option<&'a BuildId>,
        error: &'a str,
        hint: &'a str,
    },
}

pub fn text(message: &ServerMessage<'_>) -> Utf8Bytes {
    let text = serde_json::to_string(message);
    text.expect("a message is made of strings, numbers and lists")
        .into()
}

/// Channel, offset, bytes.
pub fn log_frame(channel: u32, offset: u64, bytes: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(12 + bytes.len());
    frame.put_u32(channel);
    frame.put_u64(offset);
    frame.put_slice(bytes);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> BuildId {
        "0123456789ab".parse().unwrap()
    }

    #[test]
    fn the_documented_messages_are_read() {
        let builds = |since| ClientMessage::Builds { since };
        assert_eq!(
            parse(r#"{"type": "builds", "since": 4711}"#),
            Ok(builds(Some(4711)))
        );
        assert_eq!(
            parse(r#"{"type": "builds", "since": null}"#),
            Ok(builds(None))
        );
        assert_eq!(parse(r#"{"type": "builds"}"#), Ok(builds(None)));
        assert_eq!(
            parse(r#"{"type": "unfollow", "build": "0123456789ab"}"#),
            Ok(ClientMessage::Unfollow { build: id() })
        );
        let place = |field: &str| {
            let text = format!(r#"{{"type": "follow", "build": "0123456789ab"{field}}}"#);
            match parse(&text).unwrap() {
                ClientMessage::Follow { place, .. } => place.place(),
                message => panic!("{message:?}"),
            }
        };
        assert_eq!(place(""), Ok(Place::Offset(0)));
        assert_eq!(place(r#", "offset": 7"#), Ok(Place::Offset(7)));
        assert_eq!(place(r#", "line": 120"#), Ok(Place::Line(120)));
        assert_eq!(place(r#", "tail": 100"#), Ok(Place::Tail(100)));
        assert!(place(r#", "tail": 100, "line": 1"#).is_err());
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"type": "dance"}"#,
            r#"{"type": "follow"}"#,
            r#"{"type": "follow", "build": "../x"}"#,
            r#"{"type": "follow", "build": "0123456789ab", "offset": -1}"#,
            r#"{"type": "builds", "since": "x"}"#,
        ] {
            let failure = parse(text).unwrap_err();
            assert!(
                failure.error.starts_with("the message cannot be read: "),
                "{text}"
            );
        }
    }

    #[test]
    fn a_frame_has_its_place_in_front() {
        let frame = log_frame(3, 8192, b"ab");
        assert_eq!(&frame[..], b"\0\0\0\x03\0\0\0\0\0\0\x20\0ab");
    }
}
