//! `GET /api/v1/configuration`: which configuration is in force, and what is wrong with it.

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use warp::Filter;
use warp::filters::BoxedFilter;
use warp::http::StatusCode;

use super::answer::{self, Response};
use super::{Web, filters};
use crate::config::{Configuration, FileOutcome, FileState, Finding};
use crate::domain::time::Timestamp;
use crate::domain::tracking::ConfigurationBranch;
use crate::service::{LoadedConfiguration, Source};

pub fn routes(web: &Arc<Web>) -> BoxedFilter<(Response,)> {
    warp::path!("api" / "v1" / "configuration")
        .and(filters::reading("GET, HEAD"))
        .and(filters::given(web))
        .map(|web: Arc<Web>| configuration(&web))
        .boxed()
}

/// The configuration that is in force, as it was loaded last.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "Configuration")]
pub struct ConfigurationView {
    /// Where it was read from; where nothing was read yet, where it is to be read from.
    pub source: SourceView,
    /// Of a repository: the commit that is in force.
    #[schema(example = "6113728f27ae82c7b1a177c8d03f9e96e0adf246")]
    pub commit: Option<String>,
    /// Of a repository: the id of the load, which is a build.
    #[schema(example = "0v3c5k2m9x1a")]
    pub build: Option<String>,
    /// Null: not yet.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub loaded: Option<Timestamp>,
    /// By path; files that are ignored are left out.
    pub files: Vec<FileView>,
    /// What is wrong, by path and line: as `autobuilder check --json` prints it.
    pub findings: Vec<Finding>,
}

/// A local directory, or a branch of a repository.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ConfigurationSource")]
#[serde(untagged)]
pub enum SourceView {
    Directory {
        path: String,
    },
    Repository {
        #[schema(example = "acme/configuration")]
        repository: String,
        #[schema(example = "master")]
        branch: String,
    },
}

/// The file of one branch.
#[derive(Debug, Serialize, ToSchema)]
#[schema(title = "ConfigurationFile")]
pub struct FileView {
    #[schema(example = "acme/hello/main.yaml")]
    pub path: String,
    /// What the load made of it.
    pub state: FileStateView,
    /// Whether a version of it is in force; of a broken file the last good one.
    pub in_force: bool,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[schema(title = "ConfigurationFileState")]
#[serde(rename_all = "snake_case")]
pub enum FileStateView {
    /// New or changed.
    Tracked,
    Unchanged,
    Broken,
    Removed,
}

/// The configuration in force: where from, each file, and what is wrong.
#[utoipa::path(
    get,
    path = "/api/v1/configuration",
    tag = "configuration",
    responses((status = 200, description = "as it was loaded last", body = ConfigurationView))
)]
fn configuration(web: &Web) -> Response {
    let loaded = web.service.loaded.borrow().clone();
    let view = match loaded {
        Some(loaded) => ConfigurationView::of(&loaded),
        None => ConfigurationView::not_yet(&web.service.config.borrow().configuration),
    };
    answer::json(StatusCode::OK, &view)
}

impl ConfigurationView {
    fn of(loaded: &LoadedConfiguration) -> Self {
        let (source, commit, build) = match &loaded.source {
            Source::Directory { path } => {
                (SourceView::Directory { path: path.clone() }, None, None)
            }
            Source::Commit {
                repository,
                branch,
                commit,
                build,
            } => (
                SourceView::Repository {
                    repository: repository.to_string(),
                    branch: branch.to_string(),
                },
                Some(commit.to_string()),
                Some(build.to_string()),
            ),
        };
        Self {
            source,
            commit,
            build,
            loaded: Some(loaded.loaded),
            files: loaded.files.iter().filter_map(FileView::of).collect(),
            findings: loaded.findings.iter().cloned().collect(),
        }
    }

    fn not_yet(wanted: &Configuration) -> Self {
        let source = match wanted {
            Configuration::Directory(path) => SourceView::Directory {
                path: path.display().to_string(),
            },
            Configuration::Repository(ConfigurationBranch { repository, branch }) => {
                SourceView::Repository {
                    repository: repository.to_string(),
                    branch: branch.to_string(),
                }
            }
        };
        Self {
            source,
            commit: None,
            build: None,
            loaded: None,
            files: Vec::new(),
            findings: Vec::new(),
        }
    }
}

impl FileView {
    fn of(file: &FileOutcome) -> Option<Self> {
        let state = match file.state {
            FileState::Tracked => FileStateView::Tracked,
            FileState::Unchanged => FileStateView::Unchanged,
            FileState::Broken { .. } => FileStateView::Broken,
            FileState::Removed => FileStateView::Removed,
            FileState::Ignored => return None,
        };
        Some(Self {
            path: file.path.clone(),
            state,
            in_force: file.state.is_in_force(),
        })
    }
}
