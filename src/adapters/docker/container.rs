//! One build's container: made, started, looked at, ended.

use std::collections::{BTreeMap, HashMap};

use autobuilder_runner::protocol::{FOLDER, PROGRAM};
use bollard::models::{
    ContainerCreateBody, HealthConfig, HostConfig, HostConfigLogConfig, Mount, MountType,
    MountVolumeOptions,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptions, ListContainersOptionsBuilder,
    RemoveContainerOptionsBuilder,
};

use super::connection::Docker;
use super::error::DockerError;

/// The build that a container belongs to.
pub const LABEL_BUILD: &str = "autobuilder.build";
/// The data directory whose service made it.
pub const LABEL_INSTANCE: &str = "autobuilder.instance";
/// Which try of the build it is, from 1.
pub const LABEL_ATTEMPT: &str = "autobuilder.attempt";

/// What a build's container is to be. Sizes are bytes.
#[derive(Debug, Clone, Default)]
pub struct ContainerSpec {
    pub name: String,
    pub image: String,
    pub labels: BTreeMap<String, String>,
    /// The most memory, swap included.
    pub memory: Option<u64>,
    /// How many processors' worth of time.
    pub cpus: Option<f64>,
    pub pids: Option<u32>,
    pub cap_add: Vec<String>,
    /// Of Docker's own. One that is in `cap_add` too stays.
    pub cap_drop: Vec<String>,
    /// Host name → address, for /etc/hosts.
    pub extra_hosts: BTreeMap<String, String>,
    /// Name or id.
    pub network: String,
    /// The most that the container's own layer may grow to, where the storage driver can hold it.
    pub disk: Option<u64>,
    /// The folder that artifacts are left in: a volume, empty at the start.
    pub archives: String,
}

/// A container that was made.
#[derive(Debug, Clone)]
pub struct Created {
    pub id: String,
    /// Whether Docker holds `disk`. It never does for volumes, so [`Docker::disk_usage`] is to be
    /// watched in any case.
    pub disk_enforced: bool,
    /// What Docker could not do as told, like limiting swap.
    pub warnings: Vec<String>,
}

/// A container, as it is now.
#[derive(Debug, Clone)]
pub struct ContainerState {
    pub id: String,
    pub running: bool,
    /// Of PID 1, the runner: not the script's. None while it runs or before it was started.
    pub exit_code: Option<i64>,
}

/// One of this instance's containers, as a list shows it.
#[derive(Debug, Clone)]
pub struct OurContainer {
    pub id: String,
    pub name: String,
    pub build: Option<String>,
    pub attempt: Option<u32>,
    pub running: bool,
}

impl Docker {
    /// Makes a container, which does not run yet. Its PID 1 will be the runner, whatever the image
    /// wants to start; it never sees a folder of the host.
    ///
    /// # Errors
    /// `NameTaken` by a left-over; `NotFound` if image or network are gone; `Refused` for a limit
    /// that Docker cannot hold; `Unreachable`, `Late`.
    pub async fn create(&self, spec: &ContainerSpec) -> Result<Created, DockerError> {
        let limited = self.create_with(spec, spec.disk).await;
        match limited {
            Err(DockerError::Refused { message, .. })
                if spec.disk.is_some() && is_about_storage(&message) =>
            {
                let mut created = self.create_with(spec, None).await?;
                created.disk_enforced = false;
                Ok(created)
            }
            other => other,
        }
    }

    async fn create_with(
        &self,
        spec: &ContainerSpec,
        disk: Option<u64>,
    ) -> Result<Created, DockerError> {
        let options = CreateContainerOptionsBuilder::new()
            .name(&spec.name)
            .build();
        let engine = self.engine()?;
        let created = engine.create_container(Some(options), body(spec, disk));
        match self.answer("create a container", created).await {
            Ok(answer) => Ok(Created {
                id: answer.id,
                disk_enforced: disk.is_some(),
                warnings: answer.warnings,
            }),
            Err(DockerError::Conflict(message)) => match self.inspect(&spec.name).await? {
                Some(other) => Err(DockerError::NameTaken {
                    name: spec.name.clone(),
                    by: other.id,
                }),
                None => Err(DockerError::Conflict(message)),
            },
            Err(error) => Err(error),
        }
    }

    /// Starts a container. One that runs already is no error.
    ///
    /// # Errors
    /// `NotFound`; `Refused` with what the runtime said; `Unreachable`, `Late`.
    pub async fn start(&self, id: &str) -> Result<(), DockerError> {
        let engine = self.engine()?;
        let started = engine.start_container(id, None);
        self.answer("start a container", started).await
    }

    /// Kills everything in a container. One that does not run is no error.
    ///
    /// # Errors
    /// `NotFound`, `Unreachable`, `Late`, `Refused`.
    pub async fn kill(&self, id: &str) -> Result<(), DockerError> {
        let engine = self.engine()?;
        let killed = engine.kill_container(id, None::<KillContainerOptions>);
        match self.answer("kill a container", killed).await {
            Err(DockerError::NotRunning(_)) => Ok(()),
            other => other,
        }
    }

    /// Removes a container and its volumes, running or not. One that is not there, or is being
    /// removed by somebody else, is no error.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`.
    pub async fn remove(&self, id: &str) -> Result<(), DockerError> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let engine = self.engine()?;
        let removed = engine.remove_container(id, Some(options));
        match self.answer("remove a container", removed).await {
            Err(DockerError::NotFound(_)) => Ok(()),
            Err(DockerError::Conflict(message)) if message.contains("already in progress") => {
                Ok(())
            }
            other => other,
        }
    }

    /// Looks at one container, by name or id. `None`: there is none.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`.
    pub async fn inspect(&self, name_or_id: &str) -> Result<Option<ContainerState>, DockerError> {
        let engine = self.engine()?;
        let inspected = engine.inspect_container(name_or_id, None);
        let answer = match self.answer("tell of a container", inspected).await {
            Ok(answer) => answer,
            Err(DockerError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some(id) = answer.id else {
            return Err(DockerError::Nonsense(
                "a container without an id".to_owned(),
            ));
        };
        let state = answer.state.unwrap_or_default();
        let running = state.running.unwrap_or(false);
        // Docker says 0001-01-01 of what did not happen, and exit code 0 before a container ran.
        let was_started = state.started_at.is_some_and(|at| !at.starts_with("0001-"));
        Ok(Some(ContainerState {
            id,
            running,
            exit_code: state.exit_code.filter(|_| was_started && !running),
        }))
    }

    /// All containers of one instance, running or not. Only those that carry its label: nothing
    /// else on that engine is ours.
    ///
    /// # Errors
    /// `Unreachable`, `Late`, `Refused`.
    pub async fn list_ours(&self, instance: &str) -> Result<Vec<OurContainer>, DockerError> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_INSTANCE}={instance}")])]);
        let filters: HashMap<String, Vec<String>> = filters
            .into_iter()
            .map(|(name, values)| (name.to_owned(), values))
            .collect();
        let options = ListContainersOptionsBuilder::new()
            .all(true)
            .filters(&filters)
            .build();
        let engine = self.engine()?;
        let containers = engine.list_containers(Some(options));
        let containers = self.answer("list containers", containers).await?;
        let ours = containers.into_iter().filter_map(|container| {
            let labels = container.labels.unwrap_or_default();
            let name = container
                .names
                .unwrap_or_default()
                .into_iter()
                .next()
                .unwrap_or_default();
            Some(OurContainer {
                id: container.id?,
                name: name.trim_start_matches('/').to_owned(),
                build: labels.get(LABEL_BUILD).cloned(),
                attempt: labels
                    .get(LABEL_ATTEMPT)
                    .and_then(|attempt| attempt.parse().ok()),
                running: container
                    .state
                    .is_some_and(|state| state.to_string() == "running"),
            })
        });
        Ok(ours.collect())
    }
}

/// Docker's words where a storage driver cannot limit a layer: overlay2 on ext4 says `--storage-opt
/// is supported only for overlay over xfs with 'pquota' mount option`, vfs and others that they do
/// not support it.
fn is_about_storage(message: &str) -> bool {
    ["storage-opt", "storage opt", "StorageOpt", "pquota"]
        .iter()
        .any(|word| message.contains(word))
}

fn body(spec: &ContainerSpec, disk: Option<u64>) -> ContainerCreateBody {
    let bytes = |size: u64| i64::try_from(size).unwrap_or(i64::MAX);
    let host = HostConfig {
        memory: spec.memory.map(bytes),
        // Equal: no swap beyond it. Left out, Docker grants as much swap again.
        memory_swap: spec.memory.map(bytes),
        nano_cpus: spec.cpus.map(|cpus| (cpus * 1e9) as i64),
        pids_limit: spec.pids.map(i64::from),
        cap_add: Some(spec.cap_add.clone()),
        cap_drop: Some(spec.cap_drop.clone()),
        extra_hosts: Some(
            spec.extra_hosts
                .iter()
                .map(|(name, address)| format!("{name}:{address}"))
                .collect(),
        ),
        network_mode: Some(spec.network.clone()),
        storage_opt: disk.map(|size| HashMap::from([("size".to_owned(), size.to_string())])),
        mounts: Some(vec![volume(&spec.archives, spec), volume(FOLDER, spec)]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        // The spool is the log; Docker's own copy would only cost time and disk.
        log_config: Some(HostConfigLogConfig {
            typ: Some("none".to_owned()),
            config: None,
        }),
        privileged: Some(false),
        // An engine's `--init` would put another PID 1 before the runner.
        init: Some(false),
        ..Default::default()
    };
    ContainerCreateBody {
        image: Some(spec.image.clone()),
        labels: Some(spec.labels.clone().into_iter().collect()),
        user: Some("0:0".to_owned()),
        working_dir: Some("/".to_owned()),
        // An entrypoint of our own also puts the image's command aside.
        entrypoint: Some(vec![PROGRAM.to_owned()]),
        healthcheck: Some(HealthConfig {
            test: Some(vec!["NONE".to_owned()]),
            ..Default::default()
        }),
        tty: Some(false),
        host_config: Some(host),
        ..Default::default()
    }
}

/// An anonymous volume that starts empty. Never `Config.Volumes`: that copies the image's own files
/// into it. The container's labels tell whose it is, should it outlive the container.
fn volume(target: &str, spec: &ContainerSpec) -> Mount {
    Mount {
        target: Some(target.to_owned()),
        typ: Some(MountType::VOLUME),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(spec.labels.clone().into_iter().collect()),
            ..Default::default()
        }),
        ..Default::default()
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn a_container_sees_no_folder_of_the_host_and_has_no_rights_beyond_its_list() {
        let spec = ContainerSpec {
            cap_add: vec!["SYS_ADMIN".to_owned()],
            memory: Some(64 << 20),
            archives: "/target".to_owned(),
            labels: BTreeMap::from([(LABEL_INSTANCE.to_owned(), "ours".to_owned())]),
            ..Default::default()
        };
        let host = body(&spec, None).host_config.unwrap();
        assert_eq!(host.privileged, Some(false));
        assert_eq!(
            (host.binds, host.volumes_from, host.devices),
            (None, None, None)
        );
        assert_eq!(host.memory, host.memory_swap);
        assert_eq!(host.cap_add.unwrap(), ["SYS_ADMIN"]);
        for mount in host.mounts.unwrap() {
            assert_eq!((mount.typ, mount.source), (Some(MountType::VOLUME), None));
            let options = mount.volume_options.unwrap();
            assert_eq!(options.no_copy, Some(true));
            assert_eq!(options.labels.unwrap()[LABEL_INSTANCE], "ours");
        }
    }

    #[test]
    fn the_ways_in_which_a_driver_cannot_limit_are_known() {
        for message in [
            "--storage-opt is supported only for overlay over xfs with 'pquota' mount option",
            "--storage-opt is not supported for vfs",
        ] {
            assert!(is_about_storage(message), "{message}");
        }
        assert!(!is_about_storage("no space left on device"));
    }
}
