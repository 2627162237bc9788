//! What happens in the model, told as it happens: one line each for a person who watches.

use std::fmt;

#[derive(Clone, Debug)]
pub enum Event {
    StatusSet {
        repository: String,
        commit: String,
        context: String,
        state: String,
        description: Option<String>,
        target_url: Option<String>,
    },
    HookCreated {
        repository: String,
        hook: u64,
        url: String,
    },
    HookChanged {
        repository: String,
        hook: u64,
        url: String,
    },
    HookDeleted {
        repository: String,
        hook: u64,
        url: String,
    },
    /// A ref of a bare repository is not what it was.
    RefChanged {
        repository: String,
        reference: String,
        before: String,
        after: String,
    },
    /// A webhook was sent, or should have been; `outcome` says how that ended.
    Delivered {
        repository: String,
        event: String,
        url: String,
        outcome: String,
    },
    /// A request that was not granted.
    Refused {
        method: String,
        path: String,
        status: Option<u16>,
        message: String,
    },
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StatusSet {
                repository,
                commit,
                context,
                state,
                description,
                target_url,
            } => {
                let commit = short(commit);
                write!(
                    formatter,
                    "status    {repository} {commit} {context}: {state}"
                )?;
                if let Some(description) = description {
                    write!(formatter, ", {description:?}")?;
                }
                match target_url {
                    Some(url) => write!(formatter, " {url}"),
                    None => Ok(()),
                }
            }
            Self::HookCreated {
                repository,
                hook,
                url,
            } => write!(formatter, "hook      {repository} {hook} created: {url}"),
            Self::HookChanged {
                repository,
                hook,
                url,
            } => write!(formatter, "hook      {repository} {hook} changed: {url}"),
            Self::HookDeleted {
                repository,
                hook,
                url,
            } => write!(formatter, "hook      {repository} {hook} deleted: {url}"),
            Self::RefChanged {
                repository,
                reference,
                before,
                after,
            } => {
                let (before, after) = (short(before), short(after));
                write!(
                    formatter,
                    "push      {repository} {reference} {before} → {after}"
                )
            }
            Self::Delivered {
                repository,
                event,
                url,
                outcome,
            } => write!(
                formatter,
                "delivery  {repository} {event} to {url}: {outcome}"
            ),
            Self::Refused {
                method,
                path,
                status,
                message,
            } => match status {
                Some(status) => {
                    write!(formatter, "refused   {method} {path}: {status} {message}")
                }
                None => write!(formatter, "refused   {method} {path}: no answer"),
            },
        }
    }
}

fn short(commit: &str) -> &str {
    commit.get(..10).unwrap_or(commit)
}
