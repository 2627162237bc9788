//! The log of one load, written where blocking is allowed.

use std::io;
use std::sync::Arc;

use crate::actors::build::plan;
use crate::domain::build::Build;
use crate::domain::time::Timestamp;
use crate::log::LogWriter;
use crate::service::Service;
use crate::store::Facts;

pub struct Log {
    /// `None` while a blocking thread writes.
    writer: Option<LogWriter>,
}

impl Log {
    /// Begins the log, or goes on with it after a restart.
    pub async fn open(service: &Arc<Service>, build: &Build) -> anyhow::Result<Self> {
        let (service, build) = (Arc::clone(service), build.clone());
        let writer = tokio::task::spawn_blocking(move || {
            let masker = plan::masker(&service.config.borrow());
            service.logs.write(&build, masker)
        });
        Ok(Self {
            writer: Some(writer.await??),
        })
    }

    pub fn is_empty(&self) -> bool {
        self.length().0 == 0
    }

    /// A line of the service's own.
    pub async fn note(&mut self, line: impl Into<String>) -> anyhow::Result<()> {
        let line = line.into();
        self.write(move |writer| writer.note(&line)).await
    }

    /// What the load is about: the part of the log that a script's output is for other builds.
    pub async fn append(&mut self, text: String) -> anyhow::Result<()> {
        self.write(move |writer| {
            let now = u64::try_from(Timestamp::now().as_millis()).unwrap_or(0);
            writer.append(now, writer.spool_offset(), text.as_bytes())
        })
        .await
    }

    pub async fn finish(&mut self) -> anyhow::Result<()> {
        self.write(LogWriter::finish).await
    }

    /// What the store keeps of it.
    pub fn facts(&self) -> Facts {
        let (bytes, lines) = self.length();
        let tail = self.writer.as_ref().map(LogWriter::tail);
        Facts {
            log: Some((bytes, lines, tail.unwrap_or_default())),
            ..Facts::default()
        }
    }

    fn length(&self) -> (u64, u64) {
        self.writer.as_ref().map_or((0, 0), |writer| {
            let watermark = *writer.watermark().borrow();
            (watermark.bytes, watermark.lines)
        })
    }

    async fn write(
        &mut self,
        write: impl FnOnce(&mut LogWriter) -> io::Result<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let Some(mut writer) = self.writer.take() else {
            anyhow::bail!("the log is closed")
        };
        let (writer, result) = tokio::task::spawn_blocking(move || {
            let result = write(&mut writer);
            (writer, result)
        })
        .await?;
        self.writer = Some(writer);
        result.map_err(|error| anyhow::anyhow!("cannot write the log: {error}"))
    }
}
