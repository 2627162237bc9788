//! From refs that have changed to the hooks that hear of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::deliveries::{self, Delivery, Outcome, Post};
use crate::events::Event;
use crate::exchange::Shared;
use crate::git::Bare;
use crate::push::{self, Change};
use crate::routes::hooks::Hook;
use crate::state::{Found, Repository, State};

/// Looks at a repository's refs, and tells its hooks of what has changed, as of one push.
pub(crate) async fn notice(shared: &Arc<Shared>, name: &str) -> Vec<Delivery> {
    let prepared = look(&mut shared.state(), name);
    deliver(shared, prepared).await
}

/// Tells a repository's hooks of one change.
pub(crate) async fn tell(shared: &Arc<Shared>, name: &str, change: Change) -> Vec<Delivery> {
    let prepared = {
        let mut state = shared.state();
        let known = state.repository(name).bare.refs();
        prepare(&mut state, name, vec![change], &known)
    };
    deliver(shared, prepared).await
}

/// Looks at all repositories again and again, and at the folder for new ones.
pub(crate) async fn forever(shared: Arc<Shared>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        adopt(&shared);
        for name in names(&shared) {
            let prepared = {
                let mut state = shared.state();
                // Who removes the bare repository deletes it on GitHub.
                state.repositories.retain(|known| !known.bare.is_gone());
                match state.find(&name) {
                    Found::Here(_) => look(&mut state, &name),
                    Found::Moved(_) | Found::Nowhere => continue,
                }
            };
            let shared = Arc::clone(&shared);
            // A slow hook holds up no other repository.
            tokio::spawn(async move { deliver(&shared, prepared).await });
        }
    }
}

/// Takes every bare repository that lies in the folder and is not known yet for a public one.
pub(crate) fn adopt(shared: &Arc<Shared>) -> Vec<String> {
    let mut state = shared.state();
    let mut adopted = Vec::new();
    for name in lying_in(&state.folder) {
        if !matches!(state.find(&name), Found::Nowhere) {
            continue;
        }
        if let Some(bare) = Bare::adopt(state.folder.join(&name)) {
            let id = state.next_id();
            state.repositories.push(Repository::new(id, &name, bare));
            adopted.push(name);
        }
    }
    adopted
}

fn names(shared: &Shared) -> Vec<String> {
    let state = shared.state();
    let repositories = state.repositories.iter();
    repositories
        .map(|repository| repository.name.clone())
        .collect()
}

fn look(state: &mut State, name: &str) -> Vec<u64> {
    let repository = state.repository_mut(name);
    let refs = repository.bare.refs();
    let known = std::mem::replace(&mut repository.refs, refs);
    let changes = push::changes(&known, &repository.refs);
    let full_name = repository.name.clone();
    for change in &changes {
        state.tell(&Event::RefChanged {
            repository: full_name.clone(),
            reference: change.reference.clone(),
            before: change.before.clone(),
            after: change.after.clone(),
        });
    }
    prepare(state, name, push::told(changes), &known)
}

/// Notes the deliveries that hooks are due, by change and by hook.
fn prepare(
    state: &mut State,
    name: &str,
    changes: Vec<Change>,
    known: &BTreeMap<String, String>,
) -> Vec<u64> {
    let index = state.index(name);
    let hooks: Vec<Hook> = state.repositories[index]
        .hooks
        .iter()
        .filter(|hook| hook.active && hook.hears("push"))
        .cloned()
        .collect();
    let mut prepared = Vec::new();
    if hooks.is_empty() {
        return prepared;
    }
    for change in changes {
        let payload = push::payload(&state.repositories[index], &change, known);
        for hook in &hooks {
            let delivery = deliveries::prepare(state, index, hook, "push", payload.clone());
            prepared.push(delivery);
        }
    }
    prepared
}

/// Sends deliveries one after the other, each as the story wants it. Returns them as they then are;
/// what is delayed is not waited for.
async fn deliver(shared: &Arc<Shared>, prepared: Vec<u64>) -> Vec<Delivery> {
    let mut sent = Vec::new();
    for id in prepared {
        sent.push(id);
        let post = deliveries::next_post(&mut shared.state());
        match post {
            None => deliveries::send(Arc::clone(shared), id).await,
            Some(Post::Drop) => deliveries::finish(&mut shared.state(), id, Outcome::Dropped),
            Some(Post::Hold) => deliveries::finish(&mut shared.state(), id, Outcome::Held),
            Some(Post::Delay(delay)) => {
                let shared = Arc::clone(shared);
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    deliveries::send(shared, id).await;
                });
            }
            Some(Post::Twice) => {
                deliveries::send(Arc::clone(shared), id).await;
                let again = deliveries::again(&mut shared.state(), id);
                deliveries::send(Arc::clone(shared), again).await;
                sent.push(again);
            }
        }
    }
    let mut state = shared.state();
    sent.into_iter()
        .map(|id| deliveries::find(&mut state, id).clone())
        .collect()
}

/// The bare repositories in a folder, as `<owner>/<name>`.
fn lying_in(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for owner in folders(folder) {
        for path in folders(&owner) {
            let is_link = path.is_symlink();
            let name = path.strip_prefix(folder).ok().and_then(Path::to_str);
            if let (Some(name), false, true) = (name, is_link, path.join("HEAD").is_file()) {
                names.push(name.to_owned());
            }
        }
    }
    names.sort();
    names
}

fn folders(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect()
}
