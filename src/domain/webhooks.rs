//! A repository's webhooks as they should be, against those there are.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use url::Url;

use super::names::RepositoryName;

/// The names below `/hook/` at which the service that this one replaces heard of pushes.
pub const OLD_NAMES: [&str; 3] = ["kernel", "monitor-update", "monitor-watch"];

/// What one of our webhooks has to say.
pub const EVENT: &str = "push";
pub const CONTENT_TYPE: &str = "json";

/// A webhook as GitHub lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    pub id: u64,
    pub url: String,
    pub content_type: String,
    /// Whether GitHub does not look at our certificate.
    pub insecure_ssl: bool,
    pub events: Vec<String>,
    pub active: bool,
    /// Whether there is a secret; GitHub never tells which.
    pub has_secret: bool,
}

/// The one webhook that a repository should have.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Where this service is reached from outside, without a slash at its end.
    base: String,
    /// The last part of the repository's name, which GitHub's settings then show.
    name: String,
    has_secret: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Create,
    Correct(u64),
    Remove(u64),
}

impl Wanted {
    pub fn new(public_url: &str, repository: &RepositoryName, has_secret: bool) -> Self {
        Self {
            base: public_url.trim_end_matches('/').to_owned(),
            name: repository.name().to_owned(),
            has_secret,
        }
    }

    /// Where GitHub is to send pushes.
    pub fn url(&self) -> String {
        format!("{}/build/{}/hook", self.base, self.name)
    }

    /// What is to be done, in this order. `carries_secret` says whether this service itself gave
    /// a webhook the secret of today.
    pub fn steps(&self, hooks: &[Hook], carries_secret: impl Fn(u64) -> bool) -> Vec<Step> {
        let mut ours: Vec<&Hook> = hooks.iter().filter(|hook| self.is_ours(hook)).collect();
        let is_right = |hook: &Hook| {
            hook.url == self.url()
                && hook.active
                && !hook.insecure_ssl
                && hook.content_type == CONTENT_TYPE
                && hook.events == [EVENT]
                && hook.has_secret == self.has_secret
                && (!self.has_secret || carries_secret(hook.id))
        };
        // The one that needs the least; of those, the oldest.
        ours.sort_by_key(|hook| (!is_right(hook), hook.url != self.url(), hook.id));
        let Some((kept, others)) = ours.split_first() else {
            return vec![Step::Create];
        };
        // GitHub refuses two webhooks of one address: what is in the way goes before what is
        // corrected, and one that works stays until then.
        let others = others.iter().map(|hook| Step::Remove(hook.id));
        let correction = (!is_right(kept)).then_some(Step::Correct(kept.id));
        others.chain(correction).collect()
    }

    /// Whether a webhook leads to this service: to its address, and there to a place where pushes
    /// are, or were, heard.
    fn is_ours(&self, hook: &Hook) -> bool {
        let (Ok(url), Ok(base)) = (Url::parse(&hook.url), Url::parse(&self.base)) else {
            return false;
        };
        let Some(path) = url.path().strip_prefix(base.path().trim_end_matches('/')) else {
            return false;
        };
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let is_place = match parts[..] {
            ["build", name, "hook"] => !name.is_empty(),
            ["hook", name] => OLD_NAMES.contains(&name),
            _ => false,
        };
        is_place && is_same_host(&url, &base)
    }
}

/// By name and port, where plain and encrypted HTTP at their own ports are one: a service that was
/// moved behind TLS is still this one.
fn is_same_host(one: &Url, other: &Url) -> bool {
    let port = |url: &Url| match (url.scheme(), url.port_or_known_default()) {
        ("http", Some(80)) => Some(443),
        (_, port) => port,
    };
    one.host() == other.host() && port(one) == port(other)
}

/// Tells later whether a webhook was given this secret, without keeping the secret.
pub fn secret_digest(secret: &str, repository: &RepositoryName, hook: u64) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(format!("{repository}#{hook}").as_bytes());
    hex::encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app() -> RepositoryName {
        "acme/app".parse().unwrap()
    }

    fn wanted() -> Wanted {
        Wanted::new("https://ci.example.org", &app(), true)
    }

    fn hook(id: u64, url: &str) -> Hook {
        Hook {
            id,
            url: url.to_owned(),
            content_type: "json".to_owned(),
            insecure_ssl: false,
            events: vec!["push".to_owned()],
            active: true,
            has_secret: true,
        }
    }

    const RIGHT: &str = "https://ci.example.org/build/app/hook";

    fn steps(hooks: &[Hook]) -> Vec<Step> {
        wanted().steps(hooks, |_| true)
    }

    #[test]
    fn a_right_one_is_left_alone_and_a_missing_one_created() {
        assert_eq!(steps(&[hook(1, RIGHT)]), []);
        assert_eq!(steps(&[]), [Step::Create]);
    }

    #[test]
    fn whatever_differs_is_corrected() {
        let wrong: [fn(&mut Hook); 7] = [
            |hook| hook.insecure_ssl = true,
            |hook| hook.active = false,
            |hook| hook.content_type = "form".to_owned(),
            |hook| hook.events = vec!["push".to_owned(), "issues".to_owned()],
            |hook| hook.events = Vec::new(),
            |hook| hook.has_secret = false,
            |hook| hook.url = "https://ci.example.org/build/other/hook".to_owned(),
        ];
        for change in wrong {
            let mut hook = hook(1, RIGHT);
            change(&mut hook);
            assert_eq!(steps(&[hook.clone()]), [Step::Correct(1)], "{hook:?}");
        }
        // A secret that we did not set may be another.
        assert_eq!(
            wanted().steps(&[hook(1, RIGHT)], |_| false),
            [Step::Correct(1)]
        );
    }

    #[test]
    fn without_a_secret_of_ours_none_is_right() {
        let wanted = Wanted::new("https://ci.example.org", &app(), false);
        let mut plain = hook(1, RIGHT);
        assert_eq!(
            wanted.steps(&[plain.clone()], |_| false),
            [Step::Correct(1)]
        );
        plain.has_secret = false;
        assert_eq!(wanted.steps(&[plain], |_| false), []);
    }

    #[test]
    fn of_several_the_best_stays() {
        let mut inactive = hook(1, RIGHT);
        inactive.active = false;
        let old = hook(2, "http://ci.example.org/hook/monitor-update");
        let right = hook(3, RIGHT);
        let copy = hook(4, RIGHT);
        assert_eq!(
            steps(&[inactive.clone(), old.clone(), right, copy]),
            [Step::Remove(4), Step::Remove(1), Step::Remove(2)]
        );
        assert_eq!(steps(&[old, inactive]), [Step::Remove(2), Step::Correct(1)]);
    }

    #[test]
    fn the_old_services_addresses_are_ours_and_others_are_not() {
        for ours in [
            "http://ci.example.org/hook/kernel",
            "https://ci.example.org:443/hook/monitor-watch",
            "http://ci.example.org/build/app/hook?x=1",
        ] {
            assert_eq!(steps(&[hook(1, ours)]), [Step::Correct(1)], "{ours}");
        }
        for other in [
            "https://ci.example.org/hook/other",
            "https://ci.example.org/build/app/hook/more",
            "https://ci.example.org:8443/build/app/hook",
            "https://ci.example.org.evil.test/build/app/hook",
            "https://jenkins.example.org/build/app/hook",
            "not an address",
        ] {
            assert_eq!(steps(&[hook(1, other)]), [Step::Create], "{other}");
        }
    }

    #[test]
    fn a_service_below_a_path_has_its_webhooks_there() {
        let wanted = Wanted::new("https://example.org/ci/", &app(), true);
        assert_eq!(wanted.url(), "https://example.org/ci/build/app/hook");
        let there = hook(1, "https://example.org/ci/hook/kernel");
        let elsewhere = hook(2, "https://example.org/hook/kernel");
        assert_eq!(
            wanted.steps(&[there, elsewhere], |_| true),
            [Step::Correct(1)]
        );
    }

    #[test]
    fn a_digest_tells_secrets_repositories_and_webhooks_apart() {
        let digest = secret_digest("one", &app(), 1);
        assert_eq!(digest, secret_digest("one", &app(), 1));
        let other: RepositoryName = "acme/lib".parse().unwrap();
        for different in [
            secret_digest("two", &app(), 1),
            secret_digest("one", &other, 1),
            secret_digest("one", &app(), 2),
        ] {
            assert_ne!(digest, different);
        }
    }
}
