//! `autobuilder import`: takes the history and the logs of the service before this one into ours,
//! while no service runs on them.
//!
//! Row by row, so that neither the length of the history nor that of a log matters. A log is in
//! its place before its build's row is stored: what is cut short is simply imported again.

mod old;

use std::collections::HashSet;
use std::fs::{self, File, FileTimes};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use anyhow::Context;

use self::old::OldBuild;
use crate::config::ServiceConfig;
use crate::domain::build::Cause;
use crate::domain::mask::Masker;
use crate::domain::time::Timestamp;
use crate::log::{self, LogWriter};
use crate::service::{DataDirectory, Logs};
use crate::store::{ImportedBuild, ImportedLog, OldHistory, OldRow, Store};

/// Rows in memory, and in one transaction.
const AT_ONCE: usize = 100;

const BLOCK: usize = 64 * 1024;

/// What is imported.
pub struct Source {
    /// `history.sqlite`.
    pub file: PathBuf,
    /// The folder with a file for each build.
    pub logs: PathBuf,
}

/// What became of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Summary {
    pub rows: u64,
    pub imported: u64,
    /// There already, from an earlier import.
    pub known: u64,
    /// Rows that could not be read.
    pub skipped: u64,
    pub logs: u64,
    pub log_bytes: u64,
    /// Builds without a log.
    pub missing_logs: u64,
}

/// What is told on the way.
pub enum News<'a> {
    Progress {
        done: u64,
        rows: u64,
    },
    /// What is wrong with a row.
    Problem {
        row: i64,
        reason: &'a str,
    },
}

/// Looks through everything and changes nothing.
pub fn rehearse(source: &Source, tell: &mut dyn FnMut(News<'_>)) -> anyhow::Result<Summary> {
    let mut history = History::open(source)?;
    let mut seen = HashSet::new();
    while let Some(builds) = history.next(tell)? {
        for build in builds {
            if !seen.insert(build.id.clone()) {
                history.summary.known += 1;
                continue;
            }
            history.summary.imported += 1;
            match length(&source.logs.join(&build.old_id)) {
                0 => history.summary.missing_logs += 1,
                bytes => {
                    history.summary.logs += 1;
                    history.summary.log_bytes += bytes;
                }
            }
        }
    }
    Ok(history.summary)
}

/// Imports into the data directory of a service that does not run.
pub async fn import(
    source: &Source,
    config: &ServiceConfig,
    tell: &mut dyn FnMut(News<'_>),
) -> anyhow::Result<Summary> {
    let mut history = History::open(source)?;
    let directory = DataDirectory::open(&config.data_directory, &config.temp_directory())?;
    let store = Store::open(&directory.database())?;
    let secrets = config.builds.secrets.iter();
    let target = Target {
        logs: Logs::new(directory.builds()),
        masker: Masker::new(secrets.map(|(name, value)| (name, value.expose())), &[]),
        now: Timestamp::now(),
    };
    while let Some(builds) = history.next(tell)? {
        let ids = builds.iter().map(|build| build.id.clone()).collect();
        let mut known = store.with_logs(ids).await?;
        let mut batch = Vec::new();
        for build in builds {
            let path = source.logs.join(&build.old_id);
            let has_log = known.get(&build.id).copied();
            let is_log_there = length(&path) > 0;
            if has_log.is_some_and(|has_log| has_log || !is_log_there) {
                history.summary.known += 1;
                continue;
            }
            known.insert(build.id.clone(), is_log_there);
            let log = match is_log_there {
                true => target.take_log(&build, &path),
                false => Ok(None),
            };
            let log =
                log.with_context(|| format!("cannot take over the log {}", path.display()))?;
            history.summary.imported += 1;
            match &log {
                None => history.summary.missing_logs += 1,
                Some(log) => {
                    history.summary.logs += 1;
                    history.summary.log_bytes += log.bytes;
                }
            }
            batch.push(target.row(build, log));
        }
        store.import(batch).await?;
    }
    Ok(history.summary)
}

/// The old history, read from its beginning.
struct History {
    old: OldHistory,
    summary: Summary,
    rows: u64,
    last: i64,
}

impl History {
    fn open(source: &Source) -> anyhow::Result<Self> {
        let what = || format!("cannot read the history {}", source.file.display());
        let old = OldHistory::open(&source.file).with_context(what)?;
        let rows = old.count().with_context(what)?;
        Ok(Self {
            old,
            rows,
            summary: Summary::default(),
            last: i64::MIN,
        })
    }

    /// The next builds; what cannot be read is told and left out.
    fn next(&mut self, tell: &mut dyn FnMut(News<'_>)) -> anyhow::Result<Option<Vec<OldBuild>>> {
        let rows = self.old.rows(self.last, AT_ONCE)?;
        tell(News::Progress {
            done: self.summary.rows,
            rows: self.rows,
        });
        let Some(OldRow { row: last, .. }) = rows.last() else {
            return Ok(None);
        };
        self.last = *last;
        self.summary.rows += rows.len() as u64;
        let mut builds = Vec::with_capacity(rows.len());
        for row in &rows {
            match OldBuild::read(row) {
                Ok(build) => builds.push(build),
                Err(reason) => {
                    self.summary.skipped += 1;
                    let reason = reason.as_str();
                    tell(News::Problem {
                        row: row.row,
                        reason,
                    });
                }
            }
        }
        Ok(Some(builds))
    }
}

/// Bytes of a log; zero where there is none. No link is followed.
fn length(path: &Path) -> u64 {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        _ => 0,
    }
}

/// Where it goes.
struct Target {
    logs: Logs,
    masker: Masker,
    now: Timestamp,
}

impl Target {
    /// Writes a log as a build of ours would have, finished and compressed.
    fn take_log(&self, build: &OldBuild, path: &Path) -> io::Result<Option<ImportedLog>> {
        let folder = self.logs.folder(&build.id);
        // Left by an import that was cut short.
        if let Err(error) = fs::remove_dir_all(&folder)
            && error.kind() != io::ErrorKind::NotFound
        {
            return Err(error);
        }
        let mut old = File::open(path)?;
        let mut writer = LogWriter::create(&folder, self.masker.clone())?;
        let ended = u64::try_from(build.ended.as_millis()).unwrap_or(0);
        let mut block = vec![0; BLOCK];
        let mut offset = 0;
        loop {
            let length = old.read(&mut block)?;
            if length == 0 {
                break;
            }
            writer.append(ended, offset, &block[..length])?;
            offset += length as u64;
        }
        writer.finish()?;
        let mark = *writer.watermark().borrow();
        let tail = writer.tail();
        drop(writer);
        log::compress(&folder)?;
        set_times(&folder, ended)?;
        Ok(Some(ImportedLog {
            bytes: mark.bytes,
            lines: mark.lines,
            tail,
        }))
    }

    fn row(&self, build: OldBuild, log: Option<ImportedLog>) -> ImportedBuild {
        let log = log.unwrap_or(ImportedLog {
            tail: build.monitor,
            ..ImportedLog::default()
        });
        ImportedBuild {
            id: build.id,
            row: build.row,
            repository: build.repository,
            reference: build.reference,
            commit: build.commit,
            work: build.work,
            cause: Cause::Imported {
                id: build.old_id,
                artifact: build.artifact,
                imported: self.now,
            },
            commits: build.commits,
            state: build.state,
            reason: build.reason,
            started: build.started,
            ended: build.ended,
            image: build.image,
            container: build.container,
            log,
        }
    }
}

/// Its files are as old as the build.
fn set_times(folder: &Path, ended: u64) -> io::Result<()> {
    let time = UNIX_EPOCH + Duration::from_millis(ended);
    for entry in fs::read_dir(folder)? {
        let file = File::options().write(true).open(entry?.path())?;
        file.set_times(FileTimes::new().set_modified(time))?;
    }
    Ok(())
}
