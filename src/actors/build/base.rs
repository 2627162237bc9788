//! The image that an incremental kernel is built in: the one of a base kernel that its branch's name
//! matches best.

use super::Failure;
use super::prepare::{Obstacle, docker_failed};
use crate::adapters::docker::TaggedImage;
use crate::domain::build::Build;
use crate::domain::kernel::{
    Base, ImageName, LABEL_COMMIT, LABEL_REF, LABEL_REPOSITORY, Match, choose_base,
    image_repository,
};
use crate::domain::names::{BranchName, CommitSha, GitRef, RepositoryName};
use crate::service::Service;
use crate::store::{Place, Published};

/// A base that was built, and whose image is no longer on the Docker host.
#[derive(Debug)]
pub struct Missing {
    pub repository: RepositoryName,
    pub reference: GitRef,
    /// Where it is now.
    pub commit: CommitSha,
    /// One sentence that says so.
    pub problem: String,
}

/// An image that a kernel can be built upon.
struct Candidate {
    branch: BranchName,
    image: TaggedImage,
}

/// Returns the base and its image's id.
pub async fn choose(
    service: &Service,
    build: &Build,
    repository: &RepositoryName,
) -> Result<(Base, String), Obstacle> {
    let here: Vec<Candidate> = service
        .docker
        .images_of(&image_repository(repository))
        .await
        .map_err(|error| docker_failed(service, "image", &error))?
        .into_iter()
        .filter_map(|image| {
            let branch = branch_of(repository, &image)?;
            Some(Candidate { branch, image })
        })
        .collect();
    let mut gone = gone(service, repository, &here).await?;
    loop {
        let branches = here.iter().map(|candidate| &candidate.branch);
        let of_gone = gone.iter().map(|(reference, _)| reference.short_name());
        let chosen = choose_base(build.branch(), branches.chain(of_gone));
        let Some((branch, how)) = chosen else {
            return Err(nothing_to_build_upon(repository, build.branch(), &here).into());
        };
        if let Some(candidate) = here.iter().find(|candidate| candidate.branch == *branch) {
            let base = base(repository, candidate, how);
            return Ok((base, candidate.image.id.clone()));
        }
        let branch = branch.clone();
        let is_chosen = |(reference, _): &(GitRef, _)| *reference.short_name() == branch;
        let place = gone.iter().position(is_chosen);
        let (reference, published) = gone.remove(place.expect("it was chosen from both"));
        let head = service.git.head_of(repository, &reference).await;
        // A branch that is gone itself is not missed.
        if let Some(commit) = head.map_err(Failure::errored)? {
            return Err(Obstacle::NoBase(Missing {
                problem: format!(
                    "the image {} that build {} made of {repository} at {} is no longer on the Docker host",
                    published.name,
                    published.build,
                    published.commit.short()
                ),
                repository: repository.clone(),
                reference,
                commit,
            }));
        }
    }
}

/// Bases that were published, and whose image is not here.
async fn gone(
    service: &Service,
    repository: &RepositoryName,
    here: &[Candidate],
) -> Result<Vec<(GitRef, Published)>, Failure> {
    let published = service
        .store
        .published_by(Place::Images, repository.clone())
        .await
        .map_err(Failure::errored)?;
    let gone = published.into_iter().filter_map(|published| {
        let reference = published.reference.clone()?;
        let is_here = here
            .iter()
            .any(|candidate| candidate.branch == *reference.short_name());
        (!is_here).then_some((reference, published))
    });
    Ok(gone.collect())
}

/// As our label says, if the image still has the name that we gave it; else as its tag says, like
/// the images that the older service made.
fn branch_of(repository: &RepositoryName, image: &TaggedImage) -> Option<BranchName> {
    let label = |name: &str| image.labels.get(name).map(String::as_str);
    let is_ours = label(LABEL_REPOSITORY) == Some(repository.as_str());
    let reference = label(LABEL_REF).filter(|_| is_ours);
    let reference: Option<GitRef> = reference.and_then(|reference| reference.parse().ok());
    let branch = reference.map(|reference| reference.short_name().clone());
    branch
        .filter(|branch| ImageName::of_base(repository, branch).tag == image.tag)
        .or_else(|| image.tag.parse().ok())
}

fn base(repository: &RepositoryName, candidate: &Candidate, how: Match) -> Base {
    let Candidate { branch, image } = candidate;
    let commit = image.labels.get(LABEL_COMMIT);
    Base {
        image: format!("{}:{}", image_repository(repository), image.tag),
        branch: branch.clone(),
        commit: commit.and_then(|commit| commit.parse().ok()),
        how,
    }
}

fn nothing_to_build_upon(
    repository: &RepositoryName,
    branch: &BranchName,
    here: &[Candidate],
) -> Failure {
    let mut there: Vec<&str> = here
        .iter()
        .map(|candidate| candidate.branch.as_str())
        .collect();
    there.sort_unstable();
    let there = match there.is_empty() {
        true => "there is none at all".to_owned(),
        false => format!("there are {}, and none of master", there.join(", ")),
    };
    Failure::errored(format!(
        "no image of {repository} fits branch {branch}: {there}; push to {repository}, or ask for a \
         build of it, to make one"
    ))
}
