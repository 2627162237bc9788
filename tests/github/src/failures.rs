//! What shall go wrong: said by a story beforehand, used up by the requests that it matches.

use std::time::Duration;

use serde_json::json;

use crate::reply::Reply;

/// How often a failure happens.
#[derive(Clone, Copy, Debug)]
pub enum Times {
    Next(usize),
    UntilLifted,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    Any,
    /// Setting statuses, and reading them.
    Statuses,
    /// Everything below `/repos/{owner}/{repo}/hooks`.
    Hooks,
    /// Fetching an installation's token.
    Tokens,
    /// Git's own protocol.
    Git,
    /// Whatever else there is.
    Other,
}

/// Which requests fail: those of a route, perhaps of one repository or method only.
#[derive(Clone, Debug)]
pub struct Requests {
    route: Route,
    repository: Option<String>,
    method: Option<&'static str>,
}

/// What a failing request gets.
#[derive(Clone, Debug)]
pub struct Answer {
    /// None: the true answer.
    pub(crate) instead: Option<Instead>,
    /// Whether the request does what it asks for all the same.
    pub(crate) applied: bool,
    pub(crate) delay: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(crate) enum Instead {
    Reply(Reply),
    /// The connection ends without an answer.
    Cut,
}

/// Names a failure that shall be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureId(u64);

#[derive(Default)]
pub(crate) struct Failures {
    rules: Vec<Rule>,
    last_id: u64,
}

struct Rule {
    id: FailureId,
    times: Times,
    requests: Requests,
    answer: Answer,
}

/// What a failure is matched with. Names of repositories are those that the request used.
pub(crate) struct Asked {
    pub route: Route,
    pub repository: Option<String>,
    pub method: String,
}

impl Route {
    /// Only requests about this repository.
    pub fn of(self, repository: &str) -> Requests {
        Requests::from(self).of(repository)
    }

    /// Only requests with this method.
    pub fn by(self, method: &'static str) -> Requests {
        Requests::from(self).by(method)
    }
}

impl From<Route> for Requests {
    fn from(route: Route) -> Self {
        Self {
            route,
            repository: None,
            method: None,
        }
    }
}

impl Requests {
    pub fn of(mut self, repository: &str) -> Self {
        self.repository = Some(repository.to_owned());
        self
    }

    pub fn by(mut self, method: &'static str) -> Self {
        self.method = Some(method);
        self
    }

    pub(crate) fn matches(&self, asked: &Asked) -> bool {
        let route = self.route == Route::Any || self.route == asked.route;
        let method = self.method.is_none_or(|method| method == asked.method);
        let repository = self.repository.as_ref().is_none_or(|wanted| {
            let name = asked.repository.as_ref();
            name.is_some_and(|name| name.eq_ignore_ascii_case(wanted))
        });
        route && method && repository
    }
}

impl Answer {
    /// This status with GitHub's form of a message, and nothing done.
    pub fn status(status: u16) -> Self {
        Self::instead(Instead::Reply(Reply::message(
            status,
            "The model fails this",
        )))
    }

    /// The true answer, but late.
    pub fn late(delay: Duration) -> Self {
        Self {
            instead: None,
            applied: true,
            delay: Some(delay),
        }
    }

    /// The connection is closed without an answer, and nothing done.
    pub fn cut() -> Self {
        Self::instead(Instead::Cut)
    }

    /// Done, and the answer lost: the connection is closed without one.
    pub fn lost() -> Self {
        Self::cut().applied()
    }

    /// Nothing done, and a page of HTML with status 200, as a proxy in between would give.
    pub fn garbage() -> Self {
        let page = b"<html><body>one moment, please</body></html>";
        Self::instead(Instead::Reply(Reply {
            status: 200,
            headers: vec![("content-type".to_owned(), "text/html".to_owned())],
            body: page.to_vec(),
        }))
    }

    /// The secondary rate limit, whose rules are not told; sometimes with `Retry-After`.
    /// Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits>.
    pub fn secondary_limit(retry_after: Option<Duration>) -> Self {
        let message = "You have exceeded a secondary rate limit. \
                       Please wait a few minutes before you try again.";
        let reply = Reply::message(403, message);
        Self::instead(Instead::Reply(match retry_after {
            Some(wait) => reply.with("retry-after", wait.as_secs()),
            None => reply,
        }))
    }

    /// With this header. Only for answers that have one.
    pub fn header(mut self, name: &str, value: impl ToString) -> Self {
        if let Some(Instead::Reply(reply)) = &mut self.instead {
            reply
                .headers
                .retain(|(key, _)| !key.eq_ignore_ascii_case(name));
            *reply = reply.clone().with(name, value);
        }
        self
    }

    /// With this sentence as GitHub's message.
    pub fn message(mut self, message: &str) -> Self {
        if let Some(Instead::Reply(reply)) = &mut self.instead {
            reply.body = json!({"message": message}).to_string().into_bytes();
        }
        self
    }

    /// With exactly this body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        if let Some(Instead::Reply(reply)) = &mut self.instead {
            reply.body = body.into();
        }
        self
    }

    /// The request does what it asks for; only the answer is this one.
    pub fn applied(mut self) -> Self {
        self.applied = true;
        self
    }

    /// Given after so long.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = Some(delay);
        self
    }

    fn instead(instead: Instead) -> Self {
        Self {
            instead: Some(instead),
            applied: false,
            delay: None,
        }
    }
}

impl Failures {
    pub fn add(&mut self, times: Times, requests: Requests, answer: Answer) -> FailureId {
        self.last_id += 1;
        let id = FailureId(self.last_id);
        if matches!(times, Times::Next(0)) {
            return id;
        }
        self.rules.push(Rule {
            id,
            times,
            requests,
            answer,
        });
        id
    }

    pub fn lift(&mut self, id: FailureId) {
        self.rules.retain(|rule| rule.id != id);
    }

    pub fn lift_all(&mut self) {
        self.rules.clear();
    }

    /// Whether the next such request is left without an answer.
    pub fn cuts(&self, asked: &Asked) -> bool {
        let rule = self.rules.iter().find(|rule| rule.requests.matches(asked));
        rule.is_some_and(|rule| matches!(rule.answer.instead, Some(Instead::Cut)))
    }

    /// The oldest failure that this request meets, which is used up by that.
    pub fn take(&mut self, asked: &Asked) -> Option<Answer> {
        let position = self
            .rules
            .iter()
            .position(|rule| rule.requests.matches(asked))?;
        let rule = &mut self.rules[position];
        let answer = rule.answer.clone();
        if let Times::Next(left) = &mut rule.times {
            *left = left.saturating_sub(1);
            if *left == 0 {
                self.rules.remove(position);
            }
        }
        Some(answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status_of(repository: &str, method: &str) -> Asked {
        Asked {
            route: Route::Statuses,
            repository: Some(repository.to_owned()),
            method: method.to_owned(),
        }
    }

    #[test]
    fn failures_are_used_up_one_after_the_other() {
        let mut failures = Failures::default();
        failures.add(Times::Next(2), Route::Statuses.into(), Answer::status(502));
        let lasting = failures.add(Times::UntilLifted, Route::Any.into(), Answer::cut());
        for _ in 0..2 {
            assert!(!failures.cuts(&status_of("a/b", "POST")));
            assert!(failures.take(&status_of("a/b", "POST")).is_some());
        }
        for _ in 0..3 {
            assert!(failures.cuts(&status_of("a/b", "POST")));
            assert!(failures.take(&status_of("a/b", "POST")).is_some());
        }
        failures.lift(lasting);
        assert!(failures.take(&status_of("a/b", "POST")).is_none());
    }

    #[test]
    fn a_failure_meets_only_the_requests_it_names() {
        let mut failures = Failures::default();
        let requests = Route::Statuses.of("acme/app").by("POST");
        failures.add(Times::Next(1), requests, Answer::status(500));
        assert!(failures.take(&status_of("acme/other", "POST")).is_none());
        assert!(failures.take(&status_of("acme/app", "GET")).is_none());
        let hook = Asked {
            route: Route::Hooks,
            ..status_of("acme/app", "POST")
        };
        assert!(failures.take(&hook).is_none());
        assert!(failures.take(&status_of("Acme/App", "POST")).is_some());
    }
}
