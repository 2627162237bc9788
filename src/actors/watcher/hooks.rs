//! A repository's webhooks, kept as they should be: one of ours, which GitHub sends pushes to.

use std::time::Duration;

use super::Arguments;
use crate::adapters::github::{CredentialKind, Github, GithubError, List, Token, WantedHook};
use crate::config::secret::Secret;
use crate::config::{GithubApp, ServiceConfig};
use crate::domain::delivery::Backoff;
use crate::domain::names::RepositoryName;
use crate::domain::webhooks::{Hook, Step, Wanted, secret_digest};

/// How often webhooks are looked at that were right. GitHub answers that nothing has changed
/// without counting the request.
pub const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// … and when GitHub could not say. Pushes are found by comparison meanwhile.
const TRY_AGAIN: Backoff = Backoff {
    first: Duration::from_secs(60),
    longest: LOOK_EVERY,
};

/// What the last look left for the next.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    /// The settings that were looked for, and GitHub's mark of the list in which they were found.
    right: Option<(HookSettings, String)>,
    problem: Option<String>,
    /// Looks in a row that failed.
    failures: u32,
}

/// What of the service file decides how a webhook should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSettings {
    public_url: String,
    secret: Option<Secret>,
    /// Another credential may be allowed more.
    token: Option<Secret>,
    app: Option<GithubApp>,
}

/// `None`: webhooks are not this service's to set.
pub fn settings(config: &ServiceConfig, github: &Github) -> Option<HookSettings> {
    let is_managed = config.github.manage_webhooks
        && github.credential() != CredentialKind::None
        && !config.is_out_of_reach();
    is_managed.then(|| HookSettings {
        public_url: config.public_url.as_str().to_owned(),
        secret: config.github.webhook_secret.clone(),
        token: config.github.token.clone(),
        app: config.github.app.clone(),
    })
}

/// Looks, puts right what is wrong, and says when to look again.
pub async fn look(arguments: &Arguments, memory: Memory) -> (Memory, Duration) {
    let Arguments {
        service,
        repository,
        turns,
        ..
    } = arguments;
    let Ok(_turn) = turns.hooks.acquire().await else {
        return (memory, LOOK_EVERY);
    };
    let settings = settings(&service.config.borrow(), &service.github);
    let Some(settings) = settings else {
        service.webhooks.forget(repository);
        return (Memory::default(), LOOK_EVERY);
    };
    let etag = memory
        .right
        .as_ref()
        .filter(|(found_with, _)| *found_with == settings)
        .map(|(_, etag)| etag.clone());
    // Large, and a thousand others may wait for their turn.
    match Box::pin(put_right(arguments, &settings, etag.as_deref())).await {
        Ok(etag) => {
            if memory.problem.is_some() {
                tracing::info!(%repository, "its webhook is there");
            }
            service.webhooks.set(repository, None);
            let right = etag.map(|etag| (settings, etag));
            let memory = Memory {
                right,
                ..Memory::default()
            };
            (memory, LOOK_EVERY)
        }
        Err(error) => {
            let failures = memory.failures.saturating_add(1);
            let pause = pause_after(&error, failures, chance());
            let problem = in_words(&error, service.github.credential());
            // Said once, and again when it is another problem.
            if memory.problem.as_ref() != Some(&problem) {
                tracing::warn!(%repository, "no webhook: {problem}");
            }
            service.webhooks.set(repository, Some(problem.clone()));
            let memory = Memory {
                problem: Some(problem),
                failures,
                ..memory
            };
            (memory, pause)
        }
    }
}

/// What keeps a webhook from being right.
#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error(transparent)]
    Github(#[from] GithubError),
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// After so many failures in a row. `chance`, from 0 to 1, keeps the watchers of a thousand
/// repositories from coming back at one moment.
fn pause_after(error: &HookError, failures: u32, chance: f64) -> Duration {
    use GithubError::{Malformed, NotInstalled, RateLimited, Unavailable};
    match error {
        HookError::Github(RateLimited {
            wait,
            is_stated: true,
        }) => *wait,
        HookError::Github(
            RateLimited { .. } | Unavailable { .. } | Malformed { .. } | NotInstalled { .. },
        )
        | HookError::Store(_) => TRY_AGAIN.pause(failures).mul_f64(1.0 + chance / 2.0),
        HookError::Github(_) => LOOK_EVERY,
    }
}

/// From 0 to 1.
fn chance() -> f64 {
    let bits = getrandom::u32().unwrap_or(u32::MAX);
    f64::from(bits) / f64::from(u32::MAX)
}

/// One sentence that says what to do, where somebody has to.
fn in_words(error: &HookError, credential: CredentialKind) -> String {
    let what_to_do = match error {
        // GitHub says one or the other, depending on what it was asked before.
        HookError::Github(GithubError::NotFound | GithubError::NotInstalled { .. })
            if credential == CredentialKind::App =>
        {
            return "there is no such repository, or the GitHub App is not installed for it; install the App \
                    there with access to this repository, until then pushes are found every \
                    github.reconcile_every"
                .to_owned();
        }
        HookError::Github(GithubError::NotFound | GithubError::Forbidden { .. }) => {
            "give the credential access to this repository and the right to administer its webhooks, or add \
             the webhook by hand and set github.manage_webhooks to false; until then pushes are found every \
             github.reconcile_every"
        }
        HookError::Github(GithubError::Unauthorized { .. }) => "give a new one in the service file",
        // Without the seconds, which would make it another problem each time.
        HookError::Github(GithubError::RateLimited { .. }) => {
            return "GitHub's rate limit is reached; it is tried again when GitHub allows it"
                .to_owned();
        }
        _ => return error.to_string(),
    };
    format!("{error}; {what_to_do}")
}

/// GitHub's mark of the list, where all was right and it gave one.
async fn put_right(
    arguments: &Arguments,
    settings: &HookSettings,
    etag: Option<&str>,
) -> Result<Option<String>, HookError> {
    let Arguments {
        service,
        repository,
        ..
    } = arguments;
    let Some(List { items: hooks, etag }) = service.github.hooks(repository, etag).await? else {
        return Ok(etag.map(str::to_owned));
    };
    let wanted = Wanted::new(&settings.public_url, repository, settings.secret.is_some());
    let digests = service.store.hook_digests(repository.clone()).await?;
    let digest = |hook| {
        let secret = settings.secret.as_ref()?;
        Some(secret_digest(secret.expose(), repository, hook))
    };
    let steps = wanted.steps(&hooks, |hook| digests.get(&hook) == digest(hook).as_ref());
    let is_right = steps.is_empty();
    for step in steps {
        let set = take(&service.github, repository, settings, &wanted, step).await?;
        match (step, set) {
            (Step::Remove(hook), _) => {
                service
                    .store
                    .set_hook_digest(repository.clone(), hook, None)
                    .await?;
            }
            (_, Some(hook)) => {
                let digest = digest(hook.id);
                service
                    .store
                    .set_hook_digest(repository.clone(), hook.id, digest)
                    .await?;
            }
            (_, None) => {}
        }
    }
    Ok(etag.filter(|_| is_right))
}

async fn take(
    github: &Github,
    repository: &RepositoryName,
    settings: &HookSettings,
    wanted: &Wanted,
    step: Step,
) -> Result<Option<Hook>, GithubError> {
    let hook = WantedHook {
        url: wanted.url(),
        secret: settings
            .secret
            .as_ref()
            .map(|secret| Token::new(secret.expose())),
    };
    match step {
        Step::Create => {
            let created = github.create_hook(repository, &hook).await?;
            tracing::info!(%repository, hook = created.id, url = hook.url, "webhook created");
            Ok(Some(created))
        }
        Step::Correct(id) => {
            let corrected = github.update_hook(repository, id, &hook).await?;
            tracing::info!(%repository, hook = id, url = hook.url, "webhook corrected");
            Ok(Some(corrected))
        }
        Step::Remove(id) => {
            match github.delete_hook(repository, id).await {
                Ok(()) => tracing::info!(%repository, hook = id, "second webhook removed"),
                // Somebody was first.
                Err(GithubError::NotFound) => {}
                Err(error) => return Err(error),
            }
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds after the first failures in a row.
    fn pauses(error: GithubError, count: u32, chance: f64) -> Vec<u64> {
        let error = HookError::Github(error);
        (1..=count)
            .map(|failures| pause_after(&error, failures, chance).as_secs())
            .collect()
    }

    fn limit(is_stated: bool) -> GithubError {
        let wait = Duration::from_secs(7);
        GithubError::RateLimited { wait, is_stated }
    }

    #[test]
    fn what_may_pass_is_tried_again_after_longer_and_longer() {
        let doubling = [60, 120, 240, 480, 960, 1920, 3600, 3600];
        let reason = "503".to_owned();
        for error in [
            limit(false),
            GithubError::Unavailable {
                reason: reason.clone(),
            },
            GithubError::Malformed { reason },
            GithubError::NotInstalled {
                owner: "acme".to_owned(),
            },
        ] {
            assert_eq!(pauses(error, 8, 0.0), doubling);
        }
        assert_eq!(pauses(limit(false), 2, 1.0), [90, 180]);
        let store = HookError::Store(crate::store::StoreError::Value("x".to_owned()));
        assert_eq!(pause_after(&store, 2, 0.0), Duration::from_secs(120));
    }

    #[test]
    fn where_the_app_is_not_installed_is_one_problem_however_github_says_it() {
        let words = |error| in_words(&HookError::Github(error), CredentialKind::App);
        let owner = "acme".to_owned();
        let not_installed = words(GithubError::NotInstalled { owner });
        assert!(not_installed.contains("install the App there"));
        assert_eq!(words(GithubError::NotFound), not_installed);
    }

    #[test]
    fn a_stated_wait_is_kept_and_a_refusal_asked_about_with_the_next_look() {
        assert_eq!(pauses(limit(true), 3, 1.0), [7, 7, 7]);
        assert_eq!(pauses(GithubError::NotFound, 2, 1.0), [3600, 3600]);
    }
}
