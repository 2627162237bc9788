//! What is outside: each module is the only place that speaks to one thing.

pub mod docker;
