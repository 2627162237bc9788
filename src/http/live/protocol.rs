//! The messages of docs/live-protocol.md as types.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};
use tokio_tungstenite::tungstenite::Utf8Bytes;

use crate::domain::names::BuildId;
use crate::http::failure::Failure;
use crate::http::view::BuildView;

/// Log bytes in one frame. The protocol allows 64 KiB; this is what a client that does not read
/// may cost, and larger frames were no faster.
pub const LARGEST_PIECE: usize = 32 * 1024;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ClientMessage {
    Builds {
        #[serde(default)]
        since: Option<i64>,
    },
    Follow {
        build: BuildId,
        #[serde(flatten)]
        place: PlaceFields,
    },
    Unfollow {
        build: BuildId,
    },
}

#[derive(Debug, Default, PartialEq, Deserialize)]
pub struct PlaceFields {
    offset: Option<u64>,
    line: Option<u64>,
    tail: Option<u64>,
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

#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum ServerMessage<'a> {
    Hello {
        version: &'a str,
        instance: &'a str,
        revision: i64,
    },
    Build {
        revision: i64,
        build: Box<BuildView>,
    },
    Following {
        build: &'a BuildId,
        channel: u32,
        offset: u64,
        line: u64,
    },
    End {
        build: &'a BuildId,
        channel: u32,
        offset: u64,
    },
    Error {
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
