//! Runs the runner a second time, beside the script.

use std::pin::Pin;

use autobuilder_runner::protocol::PROGRAM;
use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::{Stream, StreamExt};

use super::STALL;
use super::connection::Docker;
use super::error::{DockerError, one_line, within};

/// An answer of the runner is a number or twenty names.
const MOST_ANSWER: usize = 64 * 1024;

/// How much is read from the engine at once. Docker cuts an exec's output at 32 KiB.
const READ_AT_ONCE: usize = 128 * 1024;

pub type Output = Pin<Box<dyn Stream<Item = Result<LogOutput, EngineError>> + Send>>;

impl Docker {
    /// Starts `runner <arguments>`. Returns the exec's id and its output.
    pub(super) async fn exec(
        &self,
        id: &str,
        arguments: &[&str],
    ) -> Result<(String, Output), DockerError> {
        let engine = self.engine()?;
        let command = std::iter::once(PROGRAM)
            .chain(arguments.iter().copied())
            .map(str::to_owned);
        let config = ExecConfig {
            cmd: Some(command.collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            ..Default::default()
        };
        let exec = engine.create_exec(id, config).await?.id;
        let options = StartExecOptions {
            output_capacity: Some(READ_AT_ONCE),
            ..Default::default()
        };
        match engine.start_exec(&exec, Some(options)).await? {
            StartExecResults::Attached { output, .. } => Ok((exec, output)),
            StartExecResults::Detached => {
                Err(DockerError::Nonsense("an exec without output".to_owned()))
            }
        }
    }

    /// The exit code of an exec that has ended.
    pub(super) async fn exec_exit_code(&self, exec: &str) -> Option<i64> {
        self.engine().ok()?.inspect_exec(exec).await.ok()?.exit_code
    }

    /// Runs `runner <arguments>` to its end. Returns what it wrote to stdout.
    pub(super) async fn ask_runner(
        &self,
        id: &str,
        arguments: &[&str],
    ) -> Result<Vec<u8>, DockerError> {
        let (exec, mut output) = self.exec(id, arguments).await?;
        let mut answer = Vec::new();
        let mut complaint = Vec::new();
        loop {
            let next = within(STALL, "the runner was asked", output.next()).await?;
            let into = match &next {
                Some(Ok(LogOutput::StdErr { .. })) => &mut complaint,
                _ => &mut answer,
            };
            let Some(piece) = next else { break };
            into.extend_from_slice(piece?.as_ref());
            if answer.len() + complaint.len() > MOST_ANSWER {
                return Err(DockerError::Nonsense(
                    "the runner's answer is too long".to_owned(),
                ));
            }
        }
        match self.exec_exit_code(&exec).await {
            Some(0) => Ok(answer),
            _ => Err(DockerError::Refused {
                status: 200,
                message: one_line(&String::from_utf8_lossy(&complaint)),
            }),
        }
    }
}
