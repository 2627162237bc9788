//! What goes wrong, said beforehand.

use std::collections::VecDeque;
use std::time::Duration;

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// To the hub.
    Upload,
    Link,
    /// To the bootstrap server.
    Kernel,
    Symlink,
    /// To what renews tokens.
    Refresh,
    Unknown,
}

#[derive(Clone, Debug)]
pub enum Wrong {
    /// `{"status": "error"}` with this message, and HTTP's status 200.
    Error(String),
    /// Exactly this, and nothing is done.
    Answer {
        status: u16,
        headers: Vec<(String, String)>,
        body: String,
    },
    /// The connection is closed once so much of the request's body has come.
    CutAfter(usize),
    /// From then on nothing is read, and nothing answered.
    SilentAfter(usize),
    /// Nothing is read until [`Model::release`](crate::Model::release).
    Held,
    /// All is done, and answered only after a while.
    Late(Duration),
    /// All is done, and the upload stored under this name.
    StoredAs(String),
}

impl Wrong {
    pub fn answer(status: u16, body: &str) -> Self {
        Self::Answer {
            status,
            headers: Vec::new(),
            body: body.to_owned(),
        }
    }

    /// With this header. Only for an answer.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        if let Self::Answer { headers, .. } = &mut self {
            headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }
}

#[derive(Default)]
pub(crate) struct Failures(VecDeque<(Route, Wrong)>);

impl Failures {
    pub fn push(&mut self, route: Route, wrong: Wrong) {
        self.0.push_back((route, wrong));
    }

    /// What is to go wrong with this request; used up by that.
    pub fn take(&mut self, route: Route) -> Option<Wrong> {
        let position = self.0.iter().position(|(of, _)| *of == route)?;
        self.0.remove(position).map(|(_, wrong)| wrong)
    }
}
