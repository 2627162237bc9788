//! The world outside: each library that speaks to it is imported here and nowhere else.

pub mod docker;
pub mod git;
pub mod github;
mod http;
pub mod hub;
pub mod redis;
