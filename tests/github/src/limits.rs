//! Rate limits: how many requests each credential has left in its hour.
//!
//! Source: <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::reply::Reply;

const WINDOW_SECONDS: u64 = 3600;
const OF_A_CREDENTIAL: u64 = 5000;
const OF_NOBODY: u64 = 60;

pub(crate) struct Limits {
    budgets: BTreeMap<String, Budget>,
    /// What a used-up budget is answered with: GitHub documents 403 and 429.
    pub refusal: u16,
}

#[derive(Clone, Copy)]
struct Budget {
    limit: u64,
    used: u64,
    reset: u64,
}

impl Limits {
    pub fn new() -> Self {
        Self {
            budgets: BTreeMap::new(),
            refusal: 403,
        }
    }

    /// Leaves `remaining` of `limit` requests until `reset`, in seconds since 1970.
    pub fn set(&mut self, credential: &str, limit: u64, remaining: u64, reset: u64) {
        let used = limit.saturating_sub(remaining);
        self.budgets
            .insert(credential.to_owned(), Budget { limit, used, reset });
    }

    /// Counts one request; the refusal if there is none left.
    pub fn take(&mut self, credential: &str, now: u64) -> Result<(), Reply> {
        let refusal = self.refusal;
        let budget = self.budget(credential, now);
        if budget.used >= budget.limit {
            return Err(Reply::message(refusal, "API rate limit exceeded"));
        }
        budget.used += 1;
        Ok(())
    }

    /// Undoes [`Limits::take`]: an answer "not modified" costs nothing.
    pub fn give_back(&mut self, credential: &str, now: u64) {
        let budget = self.budget(credential, now);
        budget.used = budget.used.saturating_sub(1);
    }

    pub fn headers(&mut self, credential: &str, now: u64) -> [(&'static str, String); 5] {
        let budget = *self.budget(credential, now);
        [
            ("x-ratelimit-limit", budget.limit.to_string()),
            ("x-ratelimit-remaining", budget.remaining().to_string()),
            ("x-ratelimit-used", budget.used.to_string()),
            ("x-ratelimit-reset", budget.reset.to_string()),
            ("x-ratelimit-resource", "core".to_owned()),
        ]
    }

    /// The answer of `GET /rate_limit`.
    pub fn overview(&mut self, credential: &str, now: u64) -> Value {
        let budget = *self.budget(credential, now);
        let core = json!({
            "limit": budget.limit,
            "used": budget.used,
            "remaining": budget.remaining(),
            "reset": budget.reset,
        });
        json!({"resources": {"core": core}, "rate": core})
    }

    fn budget(&mut self, credential: &str, now: u64) -> &mut Budget {
        let limit = if credential == crate::credentials::NOBODY {
            OF_NOBODY
        } else {
            OF_A_CREDENTIAL
        };
        let fresh = Budget {
            limit,
            used: 0,
            reset: now + WINDOW_SECONDS,
        };
        let budget = self.budgets.entry(credential.to_owned()).or_insert(fresh);
        if budget.reset <= now {
            budget.used = 0;
            budget.reset = now + WINDOW_SECONDS;
        }
        budget
    }
}

impl Budget {
    fn remaining(&self) -> u64 {
        self.limit.saturating_sub(self.used)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_used_up_and_comes_back_at_its_reset() {
        let mut limits = Limits::new();
        limits.set("someone", 100, 2, 1_060);
        assert!(limits.take("someone", 1_000).is_ok());
        limits.give_back("someone", 1_000);
        assert!(limits.take("someone", 1_000).is_ok());
        assert!(limits.take("someone", 1_000).is_ok());
        assert_eq!(limits.take("someone", 1_059).unwrap_err().status, 403);
        assert!(limits.take("another", 1_059).is_ok());
        let headers = limits.headers("someone", 1_059);
        assert!(headers.contains(&("x-ratelimit-remaining", "0".to_owned())));
        assert!(headers.contains(&("x-ratelimit-reset", "1060".to_owned())));
        assert!(limits.take("someone", 1_060).is_ok());
        assert_eq!(limits.overview("someone", 1_060)["rate"]["remaining"], 99);
    }
}
