//! What the servers know.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use crate::failures::{Failures, Route};

#[derive(Default)]
pub(crate) struct State {
    pub tokens: BTreeSet<String>,
    /// By user and name.
    pub archives: BTreeMap<(String, String), Bytes>,
    pub links: BTreeMap<(String, String), String>,
    pub kernels: BTreeMap<String, Bytes>,
    pub symlinks: BTreeMap<String, String>,
    pub failures: Failures,
    pub requests: Vec<Seen>,
}

/// A request that was made.
#[derive(Clone, Debug)]
pub struct Seen {
    pub route: Route,
    pub method: String,
    pub path: String,
    /// By name in small letters.
    pub headers: BTreeMap<String, String>,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// What follows `bearer` in the header of that purpose.
    pub fn bearer(&self) -> &str {
        let authorization = self.header("authorization");
        authorization.strip_prefix("bearer ").unwrap_or_default()
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.header("cookie").split("; ");
        let mut pairs = cookies.filter_map(|cookie| cookie.split_once('='));
        pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
    }
}
