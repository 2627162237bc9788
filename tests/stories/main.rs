//! Stories of autobuilder, told through its front door: webhooks, HTTP, the command line, files.
//! Docker and git are real. One program, because each that is linked costs time.

mod support;

mod abuse;
mod app;
mod chaos;
mod cli;
mod clock;
mod configuration;
mod configuration_repository;
mod container;
mod dependencies;
mod engine;
mod failures;
#[cfg(feature = "faults")]
mod faults;
mod full;
mod history;
mod hogs;
mod hooks;
mod hostile_names;
mod hub;
mod import;
mod kernels;
mod legacy;
mod live;
mod load;
mod log;
mod maintenance;
mod nested;
mod openapi;
mod operations;
mod outside;
mod paths;
mod publication;
mod push;
mod queue;
mod reconcile;
mod redis;
mod releases;
mod restart;
mod secrets;
mod session;
mod statuses;
mod tcp;
mod webhook;
