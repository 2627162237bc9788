//! A build that echoes one line: what a build takes beyond the container it needs anyway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use bollard::query_parameters::EventsOptionsBuilder;
use bytes::Bytes;
use futures_util::StreamExt;
use serde_json::Value;
use tokio_util::task::AbortOnDropHandle;

use super::Measure;
use super::figures::{Figure, milliseconds, now, row, table};
use super::raw::Container;
use super::stage::{ECHO, Pushed, Service, Stage, moment};

/// How long a container may take to go.
const REMOVAL: Duration = Duration::from_secs(30);

pub async fn run(stage: &Stage, measure: &Measure) -> anyhow::Result<()> {
    let source = source(stage)?;
    let service = stage.start().await?;
    let events = Events::of(stage);
    let mut raw = Raw::default();
    let mut ours = Ours::default();
    // The first of each fetches the mirror, makes the network and fills caches.
    for number in 0..=measure.small_builds {
        let mut warm_up = (Raw::default(), Ours::default());
        let (raw, ours) = match number {
            0 => (&mut warm_up.0, &mut warm_up.1),
            _ => (&mut raw, &mut ours),
        };
        raw.measure(stage, source.clone()).await?;
        ours.measure(stage, &service, &events).await?;
    }
    service.stop()?;

    let mut rows = vec![row(["", "ms"])];
    let mut line = |name: &str, figure: &Figure| rows.push(vec![name.to_owned(), figure.show(0)]);
    line("raw: create", &raw.created);
    line("raw: upload the source", &raw.uploaded);
    line("raw: start", &raw.started);
    line("raw: exec, and its output read", &raw.executed);
    line("raw: together, the result known", &raw.known);
    line("raw: remove", &raw.removed);
    line("raw: all", &raw.all);
    line("autobuilder: webhook sent to end state", &ours.ended);
    line(
        "autobuilder: webhook sent to container removed",
        &ours.removed,
    );
    rows.push(vec![
        "added until the result is known".to_owned(),
        format!("{:.0}", ours.ended.median() - raw.known.median()),
    ]);
    rows.push(vec![
        "added over all".to_owned(),
        format!("{:.0}", ours.removed.median() - raw.all.median()),
    ]);
    let title = format!(
        "A build that echoes one line; median (least–most) of {} runs",
        raw.all.runs()
    );
    println!("{}", table(&title, &rows));

    let mut rows = vec![row(["from … to …", "ms"])];
    for (name, figure) in &ours.parts {
        rows.push(vec![(*name).to_owned(), figure.show(0)]);
    }
    println!("{}", table("Where a build's time goes", &rows));
    Ok(())
}

/// What the raw client uploads: the repository, as the service does.
fn source(stage: &Stage) -> anyhow::Result<Bytes> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("echo", stage.echoes.folder())?;
    Ok(tar.into_inner()?.into())
}

#[derive(Default)]
struct Raw {
    created: Figure,
    uploaded: Figure,
    started: Figure,
    executed: Figure,
    known: Figure,
    removed: Figure,
    all: Figure,
}

impl Raw {
    async fn measure(&mut self, stage: &Stage, source: Bytes) -> anyhow::Result<()> {
        let begun = now();
        let mut last = begun;
        let mut lap = || {
            let took = milliseconds(now() - last);
            last = now();
            took
        };
        let container = Container::create(stage).await?;
        self.created.add(lap());
        container.upload(source).await?;
        self.uploaded.add(lap());
        container.start().await?;
        self.started.add(lap());
        let mut output = Vec::new();
        let read = |bytes: &[u8]| output.extend_from_slice(bytes);
        container.exec(&["sh", "/echo/build"], &[], read).await?;
        ensure!(output == b"hello\n", "the raw exec did not echo");
        self.executed.add(lap());
        self.known.add(milliseconds(now() - begun));
        container.remove().await?;
        self.removed.add(lap());
        self.all.add(milliseconds(now() - begun));
        Ok(())
    }
}

#[derive(Default)]
struct Ours {
    ended: Figure,
    removed: Figure,
    parts: Vec<(&'static str, Figure)>,
}

impl Ours {
    async fn measure(
        &mut self,
        stage: &Stage,
        service: &Service<'_>,
        events: &Events,
    ) -> anyhow::Result<()> {
        let delivery = stage.echoes.push(ECHO)?;
        let pushed = service.push(&delivery).await?;
        let build = service.until_succeeded(&pushed.build).await?;
        let removed = events.until(&pushed.build, "destroy").await?;
        let ended = moment(&build["ended"])?;
        self.ended.add(milliseconds(ended - pushed.sent));
        self.removed.add(milliseconds(removed - pushed.sent));
        self.add_parts(&pushed, &build, events)
    }

    /// By the steps of the API, which know milliseconds, and by what Docker tells of the container.
    fn add_parts(&mut self, pushed: &Pushed, build: &Value, events: &Events) -> anyhow::Result<()> {
        let step = |name: &str, edge: &str| {
            let steps = build["steps"].as_array().context("steps")?;
            let step = steps.iter().find(|step| step["name"] == name);
            moment(&step.with_context(|| format!("no step {name}"))?[edge])
        };
        let event = |action| events.first(&pushed.build, action);
        let moments = [
            ("", pushed.sent),
            ("webhook sent → answered", pushed.answered),
            ("answered → preparing", step("preparing", "started")?),
            (
                "preparing: → container created (fetch, check out, image)",
                event("create")?,
            ),
            (
                "preparing: → building (upload)",
                step("building", "started")?,
            ),
            ("building: → container started", event("start")?),
            ("building: → follower started", event("exec_start")?),
            (
                "building: → collecting (script, end heard)",
                step("collecting", "started")?,
            ),
            (
                "collecting → publishing (artifact)",
                step("publishing", "started")?,
            ),
            ("publishing → ended (log synced)", moment(&build["ended"])?),
            ("ended → container removed", event("destroy")?),
        ];
        if self.parts.is_empty() {
            let names = moments.iter().skip(1).map(|(name, _)| *name);
            self.parts = names.map(|name| (name, Figure::default())).collect();
        }
        for (part, pair) in self.parts.iter_mut().zip(moments.windows(2)) {
            part.1.add(milliseconds(pair[1].1 - pair[0].1));
        }
        Ok(())
    }
}

/// What Docker tells of the service's containers, by build and action; when first.
struct Events {
    heard: Arc<Mutex<HashMap<(String, String), i64>>>,
    _listener: AbortOnDropHandle<()>,
}

impl Events {
    fn of(stage: &Stage) -> Self {
        let docker = stage.docker.clone();
        let heard: Arc<Mutex<HashMap<_, _>>> = Arc::default();
        let sink = Arc::clone(&heard);
        let listener = tokio::spawn(async move {
            let filters = HashMap::from([("label", vec!["autobuilder.build"])]);
            let options = EventsOptionsBuilder::new().filters(&filters).build();
            let mut events = std::pin::pin!(docker.events(Some(options)));
            while let Some(Ok(event)) = events.next().await {
                let attributes = event.actor.and_then(|actor| actor.attributes);
                let build = attributes.and_then(|mut all| all.remove("autobuilder.build"));
                let (Some(build), Some(action), Some(time)) =
                    (build, event.action, event.time_nano)
                else {
                    continue;
                };
                // An exec's action goes on with its command.
                let action = action.split(':').next().unwrap_or_default().to_owned();
                let mut heard = sink.lock().unwrap_or_else(PoisonError::into_inner);
                heard.entry((build, action)).or_insert(time);
            }
        });
        Self {
            heard,
            _listener: AbortOnDropHandle::new(listener),
        }
    }

    fn first(&self, build: &str, action: &str) -> anyhow::Result<i64> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let time = heard.get(&(build.to_owned(), action.to_owned()));
        time.copied()
            .with_context(|| format!("Docker told of no {action} for build {build}"))
    }

    async fn until(&self, build: &str, action: &str) -> anyhow::Result<i64> {
        let arrival = async {
            loop {
                if let Ok(time) = self.first(build, action) {
                    return time;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let arrived = tokio::time::timeout(REMOVAL, arrival).await;
        arrived.with_context(|| format!("no {action} of build {build}"))
    }
}
