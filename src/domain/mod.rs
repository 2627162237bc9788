//! Pure values and rules. Nothing here does I/O, waits, or knows a library that does:
//! what a push, a recipe and a build are, which transitions a build may take, which names
//! an artifact gets. Everything from outside is parsed into these types at the edge and
//! trusted from there on.

pub mod admission;
pub mod app_key;
pub mod build;
pub mod delivery;
pub mod images;
pub mod kernel;
pub mod mask;
pub mod names;
pub mod panic;
pub mod paths;
pub mod publication;
pub mod push;
pub mod recipe;
pub mod restart;
pub mod room;
pub mod time;
pub mod token;
pub mod tracking;
pub mod webhooks;
