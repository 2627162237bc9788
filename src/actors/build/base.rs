//! The image that an incremental kernel is built in: the one of a base kernel that its branch's name
//! matches best.

use super::Failure;
use super::prepare::Obstacle;
use crate::adapters::docker::TaggedImage;
use crate::domain::build::Build;
use crate::domain::kernel::{
    Base, ImageName, LABEL_COMMIT, LABEL_REF, LABEL_REPOSITORY, Match, choose_base,
    image_repository,
};
use crate::domain::names::{BranchName, GitRef, RepositoryName};
use crate::service::Service;
use crate::store::{KnownHeads, Place, Published};

/// A base that was built, and whose image is no longer on the Docker host.
#[derive(Debug)]
pub struct Missing {
    pub repository: RepositoryName,
    pub reference: GitRef,
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
        .map_err(|error| {
            service.metrics.docker_failed("image");
            Failure::errored(error)
        })?
        .into_iter()
        .filter_map(|image| {
            let branch = branch_of(repository, &image)?;
            Some(Candidate { branch, image })
        })
        .collect();
    let gone = gone(service, repository, &here).await?;

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
    let lost = gone
        .iter()
        .find(|(reference, _)| reference.short_name() == branch);
    Err(match lost {
        Some((reference, published)) => Obstacle::NoBase(Missing {
            repository: repository.clone(),
            reference: reference.clone(),
            problem: format!(
                "the image {} that build {} made of {} at {} is no longer on the Docker host",
                published.name,
                published.build,
                repository,
                published.commit.short()
            ),
        }),
        None => nothing_to_build_upon(repository, build.branch(), &here).into(),
    })
}

/// Bases that were published, whose branch is still there and whose image is not.
async fn gone(
    service: &Service,
    repository: &RepositoryName,
    here: &[Candidate],
) -> Result<Vec<(GitRef, Published)>, Failure> {
    let store = &service.store;
    let published = store.published_by(Place::Images, repository.clone()).await;
    let KnownHeads { heads, .. } = store
        .known_heads(repository.clone())
        .await
        .map_err(Failure::errored)?;
    let published = published.map_err(Failure::errored)?;
    let gone = published.into_iter().filter_map(|published| {
        let reference = published.reference.clone()?;
        let is_here = here
            .iter()
            .any(|candidate| candidate.branch == *reference.short_name());
        (heads.contains_key(&reference) && !is_here).then_some((reference, published))
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
        false => format!("there are {}", there.join(", ")),
    };
    Failure::errored(format!(
        "no image of {repository} fits branch {branch}, and there is none of master: {there}; \
         push to {repository}, or ask for a build of it, to make one"
    ))
}
