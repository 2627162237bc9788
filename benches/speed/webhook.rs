//! How fast a push is acknowledged, which is after it is on disk.

use std::time::Duration;

use anyhow::ensure;
use futures_util::future::try_join_all;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::Measure;
use super::figures::{Figure, row, table};
use super::repository::Delivery;
use super::stage::{HOLD, Service, Stage, WAITING};

const RATE: u64 = 200;

const AT_ONCE: u64 = 1000;

pub async fn run(stage: &Stage, measure: &Measure) -> anyhow::Result<()> {
    let service = stage.start().await?;
    // The one place is taken, so that the others wait and Docker has nothing to do.
    let held = service.push(&stage.emitters.push(HOLD)?).await?.build;
    service
        .until(&held, |build| build["state"] == "building")
        .await?;

    let mut pushes = Pushes {
        stage,
        before: "1".repeat(40),
        number: 0,
    };
    let mut steady = Vec::new();
    for _ in 0..RATE * measure.webhook_seconds {
        steady.push(pushes.next());
    }
    let processor_time = service.process.processor_time()?;
    let answered = at_rate(stage, &service, steady).await?;
    let processor_time = service.process.processor_time()? - processor_time;

    let burst: Vec<Delivery> = (0..AT_ONCE).map(|_| pushes.next()).collect();
    let begun = Instant::now();
    let times = try_join_all(burst.iter().map(async |delivery| {
        deliver(stage, &service, delivery).await?;
        anyhow::Ok(begun.elapsed().as_secs_f64() * 1e3)
    }));
    let burst: Figure = times.await?.into_iter().collect();
    let stored = stored(stage)?;
    let sent = pushes.number + 1;
    service.stop()?;

    let mut rows = vec![row(["", "p50, ms", "p99, ms", "most, ms"])];
    for (name, figure) in [
        (
            format!("{RATE} a second, {} of them", answered.runs()),
            answered,
        ),
        (format!("{AT_ONCE} at once"), burst),
    ] {
        let mut cells = vec![name];
        for share in [0.5, 0.99, 1.0] {
            cells.push(format!("{:.1}", figure.quantile(share)));
        }
        rows.push(cells);
    }
    let title = format!(
        "Webhook: from the moment a request is due to its 202, bodies of 8 KB, signed; \
         {stored} of {sent} pushes in the database; processor time of the service at {RATE}/s {processor_time:.1} s"
    );
    println!("{}", table(&title, &rows));
    ensure!(stored == sent, "pushes are missing");
    Ok(())
}

/// Sends each request when it is due, however long the others take. In milliseconds since then.
async fn at_rate(
    stage: &Stage,
    service: &Service<'_>,
    deliveries: Vec<Delivery>,
) -> anyhow::Result<Figure> {
    let mut waiting = JoinSet::new();
    let begun = Instant::now();
    for (number, delivery) in (0..).zip(deliveries) {
        let due = begun + Duration::from_nanos(number * 1_000_000_000 / RATE);
        sleep_until(due).await;
        let request = delivery.request(&stage.http, &service.hook());
        waiting.spawn(async move {
            let status = request.send().await?.status();
            ensure!(status == 202, "a push was answered with {status}");
            Ok(due.elapsed().as_secs_f64() * 1e3)
        });
    }
    waiting.join_all().await.into_iter().collect()
}

async fn deliver(stage: &Stage, service: &Service<'_>, delivery: &Delivery) -> anyhow::Result<()> {
    let request = delivery.request(&stage.http, &service.hook());
    let status = request.send().await?.status();
    ensure!(status == 202, "a push was answered with {status}");
    Ok(())
}

/// One push after another to a branch whose builds only wait.
struct Pushes<'a> {
    stage: &'a Stage,
    before: String,
    number: u64,
}

impl Pushes<'_> {
    fn next(&mut self) -> Delivery {
        self.number += 1;
        let after = format!("{:040x}", self.number);
        let emitters = &self.stage.emitters;
        let delivery = emitters.invented_push(WAITING, &self.before, &after);
        self.before = after;
        delivery
    }
}

/// Deliveries in the database that have a build, the one that holds the place among them.
fn stored(stage: &Stage) -> anyhow::Result<u64> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = rusqlite::Connection::open_with_flags(stage.database(), flags)?;
    let query = "SELECT count(*) FROM deliveries JOIN builds USING (push) \
                 WHERE branch IN (?1, ?2)";
    let count = database.query_row(query, [HOLD, WAITING], |row| row.get(0))?;
    Ok(count)
}
