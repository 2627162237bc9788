//! Whether a recipe is for the push that caused its build: `paths` and `paths_ignore`.

use std::sync::Arc;

use crate::adapters::git::ChangedFiles;
use crate::domain::build::Build;
use crate::domain::names::GitRef;
use crate::domain::paths::Decision;
use crate::service::Service;

/// Decides for a build that [is filtered](Build::is_filtered): asks git which files its push
/// changed. Where that cannot be told the build is made: one too many costs time, one too few is
/// missed.
pub async fn decide(service: Arc<Service>, build: Build) -> Decision {
    let files = match changed_files(&service, &build).await {
        Ok(files) => files,
        Err(why) => return not_applied(why),
    };
    let id = build.id.clone();
    let decided = tokio::task::spawn_blocking(move || {
        let filter = build.recipe()?.path_filter.as_ref()?;
        Some(filter.decide(&files))
    });
    match decided.await {
        Ok(Some(decision)) => decision,
        Ok(None) => not_applied("there is none".to_owned()),
        Err(error) => {
            tracing::error!(build = %id, %error, "a path filter failed");
            not_applied("an internal error".to_owned())
        }
    }
}

/// What cannot be told is built.
pub fn not_applied(why: String) -> Decision {
    Decision::Build(format!("not applied: {why}"))
}

/// The files, or why any file may have changed.
async fn changed_files(service: &Service, build: &Build) -> Result<Vec<String>, String> {
    // As GitHub has it: <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#onpushpull_requestpull_request_targetpathspaths-ignore>.
    if matches!(build.reference, GitRef::Tag(_)) {
        return Err("a tag was pushed".to_owned());
    }
    if build.push_forced {
        return Err("a forced push may change any file".to_owned());
    }
    let before = service.store.comparable_with(build.push).await;
    let before = before
        .map_err(|error| {
            tracing::warn!(build = %build.id, %error, "cannot read a push");
            error.to_string()
        })?
        .ok_or("the branch is new here, or a push before this one was missed")?;
    let changed = service
        .git
        .changed_files(&build.repository, &before, &build.commit)
        .await;
    match changed {
        Ok(ChangedFiles::These(files)) => Ok(files),
        Ok(ChangedFiles::Any(why)) => Err(why.to_owned()),
        Err(error) => {
            tracing::warn!(build = %build.id, %error, "cannot tell which files a push changed");
            Err(format!("git cannot tell which files changed: {error}"))
        }
    }
}
