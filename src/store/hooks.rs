//! Which webhooks were given which secret: GitHub shows none.

use std::collections::HashMap;

use rusqlite::params;

use super::{Result, Store};
use crate::domain::names::RepositoryName;

impl Store {
    /// By the webhook's id, the digest of the secret that it was given.
    pub async fn hook_digests(&self, repository: RepositoryName) -> Result<HashMap<u64, String>> {
        self.read(move |connection| {
            let digests = connection
                .prepare_cached("SELECT id, digest FROM hooks WHERE repository = ?1")?
                .query_map([repository.as_str()], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<rusqlite::Result<_>>()?;
            Ok(digests)
        })
        .await
    }

    /// `None`: it has none, or is gone.
    pub async fn set_hook_digest(
        &self,
        repository: RepositoryName,
        hook: u64,
        digest: Option<String>,
    ) -> Result<()> {
        self.write(move |connection| {
            match &digest {
                Some(digest) => connection
                    .prepare_cached(
                        "INSERT OR REPLACE INTO hooks (repository, id, digest) VALUES (?1, ?2, ?3)",
                    )?
                    .execute(params![repository.as_str(), hook, digest])?,
                None => connection
                    .prepare_cached("DELETE FROM hooks WHERE repository = ?1 AND id = ?2")?
                    .execute(params![repository.as_str(), hook])?,
            };
            Ok(())
        })
        .await
    }
}
