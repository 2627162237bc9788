//! The same work by a Docker client alone, as little as it takes.

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig};
use bollard::query_parameters::{
    CreateContainerOptions, RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::StreamExt;

use anyhow::{Context, bail, ensure};

use super::figures::now;
use super::stage::{IMAGE, RAW_LABEL, Stage};

/// As much at once as the service reads; bollard's own 8 KiB are slower.
const READ_AT_ONCE: usize = 128 * 1024;

/// A container in which nothing happens by itself.
pub struct Container<'a> {
    docker: &'a Docker,
    id: String,
}

impl<'a> Container<'a> {
    pub async fn create(stage: &'a Stage) -> anyhow::Result<Self> {
        let labels = [(RAW_LABEL.to_owned(), stage.name())];
        let host = HostConfig {
            network_mode: Some(stage.name()),
            ..Default::default()
        };
        let body = ContainerCreateBody {
            image: Some(IMAGE.to_owned()),
            entrypoint: Some(vec!["sleep".to_owned(), "3600".to_owned()]),
            labels: Some(labels.into()),
            host_config: Some(host),
            ..Default::default()
        };
        let docker = &stage.docker;
        let created = docker
            .create_container(None::<CreateContainerOptions>, body)
            .await?;
        Ok(Self {
            docker,
            id: created.id,
        })
    }

    pub async fn start(&self) -> anyhow::Result<()> {
        Ok(self.docker.start_container(&self.id, None).await?)
    }

    pub async fn upload(&self, tar: Bytes) -> anyhow::Result<()> {
        let options = UploadToContainerOptionsBuilder::new().path("/").build();
        let body = bollard::body_full(tar);
        let uploaded = self
            .docker
            .upload_to_container(&self.id, Some(options), body);
        Ok(uploaded.await?)
    }

    /// Runs a command to its end; `read` is given its stdout. Returns what it wrote to stderr, and
    /// when its last byte came.
    pub async fn exec(
        &self,
        command: &[&str],
        environment: &[String],
        mut read: impl FnMut(&[u8]),
    ) -> anyhow::Result<(String, i64)> {
        let config = ExecConfig {
            cmd: Some(command.iter().map(|&word| word.to_owned()).collect()),
            env: Some(environment.to_vec()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            ..Default::default()
        };
        let exec = self.docker.create_exec(&self.id, config).await?.id;
        let options = StartExecOptions {
            output_capacity: Some(READ_AT_ONCE),
            ..Default::default()
        };
        let started = self.docker.start_exec(&exec, Some(options)).await?;
        let StartExecResults::Attached { mut output, .. } = started else {
            bail!("an exec without output")
        };
        let (mut errors, mut last) = (Vec::new(), now());
        while let Some(piece) = output.next().await {
            match piece? {
                LogOutput::StdErr { message } => errors.extend_from_slice(&message),
                piece => {
                    read(piece.as_ref());
                    last = now();
                }
            }
        }
        Ok((String::from_utf8(errors)?, last))
    }

    pub async fn remove(self) -> anyhow::Result<()> {
        let options = RemoveContainerOptionsBuilder::new()
            .force(true)
            .v(true)
            .build();
        let removed = self.docker.remove_container(&self.id, Some(options));
        Ok(removed.await?)
    }
}

/// A container in which the emitter waits to be run.
pub async fn with_emitter(stage: &Stage) -> anyhow::Result<Container<'_>> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o755);
    header.set_size(stage.emitter.len() as u64);
    tar.append_data(&mut header, "emitter", &stage.emitter[..])?;
    let container = Container::create(stage).await?;
    container.upload(tar.into_inner()?.into()).await?;
    container.start().await?;
    Ok(container)
}

/// Runs the emitter; returns its times and when its last byte came.
pub async fn emit(
    container: &Container<'_>,
    lines: u64,
    block: u64,
    rate: u64,
    mut read: impl FnMut(&[u8]),
) -> anyhow::Result<(super::emitter::Times, i64)> {
    let environment = [
        format!("EMITTER_LINES={lines}"),
        format!("EMITTER_BLOCK={block}"),
        format!("EMITTER_RATE={rate}"),
    ];
    let mut bytes = 0;
    let counted = |piece: &[u8]| {
        bytes += piece.len() as u64;
        read(piece);
    };
    let (times, last) = container.exec(&["/emitter"], &environment, counted).await?;
    let times = super::emitter::Times::parse(&times).context("the raw exec")?;
    ensure!(
        bytes == lines * super::emitter::LINE,
        "the raw exec gave {bytes} bytes"
    );
    Ok((times, last))
}
