//! The model itself, asked over HTTP as the service asks it.

mod apps;
mod deliveries;
mod failures;
mod hooks;
mod limits;
mod statuses;
mod support;
