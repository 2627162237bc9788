//! Runs the runner a second time, beside the script.

use std::pin::Pin;
use std::time::Duration;

use autobuilder_runner::protocol::RUNNING;
use bollard::container::LogOutput;
use bollard::errors::Error as EngineError;
use bollard::exec::{StartExecOptions, StartExecResults};
use bollard::models::ExecConfig;
use futures_util::{Stream, StreamExt};

use super::connection::Docker;
use super::error::{DockerError, in_time, one_line};

/// An answer of the runner is a number or twenty names.
const MOST_ANSWER: usize = 64 * 1024;

/// Why it could not be asked is told in a sentence.
const MOST_WORDS: usize = 1024;

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
        let command = std::iter::once(RUNNING)
            .chain(arguments.iter().copied())
            .map(str::to_owned);
        let config = ExecConfig {
            cmd: Some(command.collect()),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            tty: Some(false),
            ..Default::default()
        };
        let created = engine.create_exec(id, config);
        let exec = self.answer("prepare a command", created).await?.id;
        let options = StartExecOptions {
            output_capacity: Some(READ_AT_ONCE),
            ..Default::default()
        };
        let started = engine.start_exec(&exec, Some(options));
        match self.answer("start a command", started).await? {
            StartExecResults::Attached { output, .. } => Ok((exec, output)),
            StartExecResults::Detached => {
                Err(DockerError::Nonsense("an exec without output".to_owned()))
            }
        }
    }

    /// The exit code of an exec that has ended.
    pub(super) async fn exec_exit_code(&self, exec: &str) -> Option<i64> {
        let engine = self.engine().ok()?;
        let inspected = engine.inspect_exec(exec);
        let inspected = self.answer("tell how a command ended", inspected).await;
        inspected.ok()?.exit_code
    }

    /// Runs `runner <arguments>` to its end, for `limit` at most. Returns what it wrote to stdout.
    pub(super) async fn ask_runner(
        &self,
        id: &str,
        arguments: &[&str],
        limit: Duration,
    ) -> Result<Vec<u8>, DockerError> {
        let (exec, output) = self.exec(id, arguments).await?;
        let said = read_to_end(output, limit).await?;
        match self.exec_exit_code(&exec).await {
            Some(0) => Ok(said.answer),
            _ => {
                // An engine that cannot start it says why in the place of its answer.
                let mut words = match said.complaint.is_empty() {
                    true => said.answer,
                    false => said.complaint,
                };
                words.truncate(MOST_WORDS);
                Err(DockerError::Refused {
                    status: 200,
                    message: one_line(&String::from_utf8_lossy(&words)),
                })
            }
        }
    }
}

#[derive(Default)]
struct Said {
    answer: Vec<u8>,
    complaint: Vec<u8>,
}

/// Reads all that the runner says: no more than an answer of its can hold, and no longer than `limit`,
/// however often a little comes.
async fn read_to_end(mut output: Output, limit: Duration) -> Result<Said, DockerError> {
    let mut said = Said::default();
    let reading = async {
        while let Some(piece) = output.next().await {
            let piece = piece?;
            let into = match piece {
                LogOutput::StdErr { .. } => &mut said.complaint,
                _ => &mut said.answer,
            };
            into.extend_from_slice(piece.as_ref());
            if said.answer.len() + said.complaint.len() > MOST_ANSWER {
                return Err(DockerError::Nonsense(
                    "the runner's answer is too long".to_owned(),
                ));
            }
        }
        Ok(())
    };
    in_time(limit, "pass on what the runner says", reading).await??;
    Ok(said)
}

#[cfg(test)]
mod unit {
    use super::*;
    use futures_util::stream;

    fn endless(piece: &'static [u8]) -> Output {
        Box::pin(stream::unfold((), move |()| async move {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let message = piece.into();
            Some((Ok(LogOutput::StdOut { message }), ()))
        }))
    }

    #[tokio::test]
    async fn an_answer_that_does_not_end_is_given_up() {
        let limit = Duration::from_millis(50);
        let error = read_to_end(endless(b"1"), limit).await.err();
        assert!(matches!(error, Some(DockerError::Late { .. })), "{error:?}");
        let limit = Duration::from_secs(60);
        let error = read_to_end(endless(&[b'1'; 8192]), limit).await.err();
        assert!(matches!(error, Some(DockerError::Nonsense(_))), "{error:?}");
    }
}
