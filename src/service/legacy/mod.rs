//! The service that this one replaces, in its own words: builds in its shapes, and what happens as
//! the messages that its browser page and its gateway know. docs/legacy.md describes them.
//!
//! Translation only: everything is read from the store and the logs at the moment somebody asks.
//! What is kept is one picture of the present, so that many who ask at once cost one look.

mod feed;
mod picture;
mod shape;

pub use feed::{Event, Feed};
pub use picture::{Legacy, status};
pub use shape::{OldBuild, joined};

/// The old service kept this many builds in its short history.
pub const HISTORY: usize = 25;
