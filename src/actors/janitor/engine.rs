//! What is left on the Docker host. Only what bears this data directory's label is looked at; of
//! images only those that a kernel's container became.

use std::sync::Arc;

use super::gc::{Found, Kept, Leftover, Thing};
use crate::actors::build::plan;
use crate::adapters::docker::{LabelledImage, OurContainer};
use crate::domain::build::State;
use crate::domain::kernel::{LABEL_BUILD, LABEL_REF, LABEL_REPOSITORY};
use crate::domain::names::{BuildId, GitRef, RepositoryName};
use crate::service::Service;

/// Containers of builds that neither wait nor run.
pub async fn containers(service: &Arc<Service>) -> anyhow::Result<Found> {
    let containers = service.docker.list_ours(service.store.instance()).await?;
    let of_build = |container: &OurContainer| container.build.clone();
    let over = over(service, containers, of_build).await?;
    let leftovers = over.into_iter().map(|(build, container)| Leftover {
        bytes: None,
        reason: format!(
            "build {build} neither waits nor runs (attempt {}, {})",
            container.attempt.unwrap_or(1),
            if container.running {
                "running"
            } else {
                "stopped"
            },
        ),
        name: container.name,
        thing: Thing::Container { id: container.id },
    });
    Ok(leftovers.collect::<Vec<_>>().into())
}

/// A container takes its volumes along. These lost theirs otherwise, or never got it.
pub async fn volumes(service: &Arc<Service>) -> anyhow::Result<Found> {
    let instance = service.store.instance();
    let volumes = service.docker.unused_volumes(instance).await?;
    let over = over(service, volumes, |volume| volume.build.clone()).await?;
    let leftovers = over.into_iter().map(|(build, volume)| Leftover {
        name: volume.name.clone(),
        bytes: None,
        reason: format!("no container has it, and build {build} neither waits nor runs"),
        thing: Thing::Volume { name: volume.name },
    });
    Ok(leftovers.collect::<Vec<_>>().into())
}

/// Those of what is labelled with a build's id whose build neither waits nor runs.
async fn over<T>(
    service: &Service,
    labelled: Vec<T>,
    build: impl Fn(&T) -> Option<String>,
) -> anyhow::Result<Vec<(BuildId, T)>> {
    let of_builds: Vec<(BuildId, T)> = labelled
        .into_iter()
        // Only we set our labels; what has no build's id is none of ours after all.
        .filter_map(|thing| Some((build(&thing)?.parse().ok()?, thing)))
        .collect();
    let builds = of_builds.iter().map(|(build, _)| build.clone()).collect();
    let over = service.store.not_unfinished(builds).await?;
    let of_over = of_builds.into_iter();
    Ok(of_over.filter(|(build, _)| over.contains(build)).collect())
}

/// Networks that were made for builds before `docker.network` or `docker.container_prefix` changed.
pub async fn networks(service: &Arc<Service>) -> anyhow::Result<Found> {
    let instance = service.store.instance();
    let unused = service.docker.unused_networks(instance).await?;
    let wanted = {
        let config = service.config.borrow();
        let own = plan::own_network(&config, instance);
        config.docker.network.clone().unwrap_or(own)
    };
    let others = unused.into_iter().filter(|network| network.name != wanted);
    let leftovers: Vec<Leftover> = others
        .map(|network| Leftover {
            name: network.name,
            bytes: None,
            reason: format!("no container is on it, and builds are on {wanted} now"),
            thing: Thing::Network { id: network.id },
        })
        .collect();
    unless_chosen(service, leftovers).await
}

/// Images of base kernels that a newer one has taken the name of. One that has a name stays for
/// good, as builds may start from it.
pub async fn images(service: &Arc<Service>) -> anyhow::Result<Found> {
    let images = service.docker.images_labelled(LABEL_BUILD).await?;
    let (named, dangling): (Vec<_>, Vec<_>) = images
        .into_iter()
        .partition(|image| !image.names.is_empty());
    let unused = dangling.into_iter().filter(|image| !image.is_used);
    let leftovers: Vec<Leftover> = unused
        .map(|image| Leftover {
            name: image.id.clone(),
            bytes: image.bytes,
            reason: "it has no name any more, and nothing is made of it".to_owned(),
            thing: Thing::Image { id: image.id },
        })
        .collect();
    let mut found = unless_chosen(service, leftovers).await?;
    for image in named {
        if is_of_gone_branch(service, &image).await? {
            found.kept.push(Kept {
                kind: "image",
                name: image.names.join(", "),
                reason: "its branch is gone from GitHub; remove it with `docker rmi` if no branch \
                         is to be built upon it"
                    .to_owned(),
            });
        }
    }
    Ok(found)
}

/// A build that is being prepared may have chosen a network or an image and not use it yet. What is
/// left over is still there at the next look.
async fn unless_chosen(service: &Service, leftovers: Vec<Leftover>) -> anyhow::Result<Found> {
    let unfinished = service.store.unfinished_counts().await?;
    let is_preparing = unfinished
        .into_iter()
        .any(|(state, count)| state == State::Preparing && count > 0);
    Ok(match is_preparing {
        true => Found::default(),
        false => leftovers.into(),
    })
}

/// Of repositories that are looked at: of others it is not known which branches there are.
async fn is_of_gone_branch(service: &Service, image: &LabelledImage) -> anyhow::Result<bool> {
    let label = |name: &str| image.labels.get(name).map(String::as_str).unwrap_or("");
    let repository = label(LABEL_REPOSITORY).parse::<RepositoryName>();
    let reference = label(LABEL_REF).parse::<GitRef>();
    let (Ok(repository), Ok(reference)) = (repository, reference) else {
        return Ok(false);
    };
    let known = service.store.known_heads(repository).await?;
    Ok(known.seen && !known.heads.contains_key(&reference))
}
