//! What the service counts, in Prometheus' text format.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::build::State;

/// From a build that only echoes to one that takes a night; seconds.
const DURATIONS: [f64; 12] = [
    1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 900.0, 2700.0, 7200.0, 28800.0,
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByState {
    state: StateLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StateLabel(State);

impl EncodeLabelValue for StateLabel {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOperation {
    operation: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByActor {
    actor: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByFeed {
    feed: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByFolder {
    folder: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByOutcome {
    outcome: &'static str,
}

/// What is counted by the caller at the moment when `/metrics` is asked for.
#[derive(Debug, Default)]
pub struct Moment {
    /// Builds in each state that is not an end.
    pub unfinished: Vec<(State, u64)>,
    pub statuses_waiting: u64,
    /// How long the status that waits longest does; seconds, zero where none waits.
    pub oldest_status: f64,
    /// Bytes that each folder has left.
    pub free_disk: Vec<(&'static str, u64)>,
    /// Repositories whose queue is left alone.
    pub standing_still: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByRequest {
    kind: &'static str,
    status: String,
}

/// Requests to GitHub. Clones count together.
#[derive(Clone, Default)]
pub struct GithubMetrics {
    requests: Family<ByRequest, Counter>,
    remaining: Gauge<u64, AtomicU64>,
}

impl GithubMetrics {
    /// `status` is `None` where there was no answer; `remaining` is what GitHub still allows.
    pub fn asked(&self, kind: &'static str, status: Option<u16>, remaining: Option<u64>) {
        let status = status.map_or_else(|| "none".to_owned(), |status| status.to_string());
        self.requests
            .get_or_create(&ByRequest { kind, status })
            .inc();
        if let Some(remaining) = remaining {
            self.remaining.set(remaining);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByTry {
    operation: &'static str,
    result: &'static str,
}

/// Requests to the hub and the bootstrap server. Clones count together.
#[derive(Clone, Default)]
pub struct HubMetrics {
    requests: Family<ByTry, Counter>,
    uploaded: Counter,
}

impl HubMetrics {
    /// `bytes`: what was sent of a file.
    pub fn tried(&self, operation: &'static str, result: &'static str, bytes: u64) {
        let tried = ByTry { operation, result };
        self.requests.get_or_create(&tried).inc();
        self.uploaded.inc_by(bytes);
    }
}

pub struct Metrics {
    registry: Registry,
    builds_waiting: Gauge<u64, AtomicU64>,
    builds_running: Gauge<u64, AtomicU64>,
    build_seconds: Family<ByState, Histogram>,
    docker_errors: Family<ByOperation, Counter>,
    actor_restarts: Family<ByActor, Counter>,
    deliveries: Family<ByOutcome, Counter>,
    statuses: Family<ByOutcome, Counter>,
    standing_still: Gauge<u64, AtomicU64>,
    statuses_waiting: Gauge<u64, AtomicU64>,
    oldest_status: Gauge<f64, AtomicU64>,
    free_disk: Family<ByFolder, Gauge<u64, AtomicU64>>,
    pub status_corrections: Counter,
    pub log_bytes: Counter,
    pub live_clients: Gauge,
    pub connections: Gauge,
    /// Those of addresses that had as many as one may have.
    pub connections_refused: Counter,
    redis_connected: Family<ByFeed, Gauge>,
    redis_messages: Family<ByFeed, Counter>,
    pub github: GithubMetrics,
    pub hub: HubMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("autobuilder");
        let metrics = Self {
            builds_waiting: Gauge::default(),
            builds_running: Gauge::default(),
            build_seconds: Family::new_with_constructor(|| Histogram::new(DURATIONS)),
            docker_errors: Family::default(),
            actor_restarts: Family::default(),
            deliveries: Family::default(),
            statuses: Family::default(),
            standing_still: Gauge::default(),
            statuses_waiting: Gauge::default(),
            oldest_status: Gauge::default(),
            free_disk: Family::default(),
            status_corrections: Counter::default(),
            log_bytes: Counter::default(),
            live_clients: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            redis_connected: Family::default(),
            redis_messages: Family::default(),
            github: GithubMetrics::default(),
            hub: HubMetrics::default(),
            registry: Registry::default(),
        };
        registry.register(
            "builds_queued",
            "Builds that wait",
            metrics.builds_waiting.clone(),
        );
        registry.register(
            "builds_running",
            "Builds between queue and end",
            metrics.builds_running.clone(),
        );
        registry.register_with_unit(
            "build_duration",
            "From leaving the queue to the end, by how it ended",
            Unit::Seconds,
            metrics.build_seconds.clone(),
        );
        registry.register_with_unit(
            "log_written",
            "Bytes of build logs written",
            Unit::Bytes,
            metrics.log_bytes.clone(),
        );
        registry.register(
            "live_clients",
            "Open WebSocket connections",
            metrics.live_clients.clone(),
        );
        registry.register(
            "connections",
            "Open connections of clients, WebSockets among them",
            metrics.connections.clone(),
        );
        registry.register(
            "connections_refused",
            "Connections of clients that had as many as one address may have",
            metrics.connections_refused.clone(),
        );
        registry.register(
            "redis_connected",
            "1 while Redis takes what it is fed, else 0",
            metrics.redis_connected.clone(),
        );
        registry.register(
            "redis_messages",
            "Messages that Redis took",
            metrics.redis_messages.clone(),
        );
        registry.register(
            "docker_errors",
            "Requests to Docker that failed, by what was tried",
            metrics.docker_errors.clone(),
        );
        registry.register(
            "github_requests",
            "Requests to GitHub's API, by what for and the status of the answer",
            metrics.github.requests.clone(),
        );
        registry.register(
            "github_rate_limit_remaining",
            "Requests that GitHub still allowed at its last answer",
            metrics.github.remaining.clone(),
        );
        registry.register_with_unit(
            "disk_free",
            "What is left where builds write, by folder",
            Unit::Bytes,
            metrics.free_disk.clone(),
        );
        registry.register(
            "hub_requests",
            "Requests to the hub and the bootstrap server, by what for and what became of them",
            metrics.hub.requests.clone(),
        );
        registry.register_with_unit(
            "hub_uploaded",
            "Bytes of files sent to the hub and the bootstrap server",
            Unit::Bytes,
            metrics.hub.uploaded.clone(),
        );
        registry.register(
            "actor_restarts",
            "Actors that failed and were started again",
            metrics.actor_restarts.clone(),
        );
        registry.register(
            "repositories_standing_still",
            "Repositories whose queue failed again and again and is left alone for a while",
            metrics.standing_still.clone(),
        );
        registry.register(
            "webhook_deliveries",
            "Webhooks, by what became of them",
            metrics.deliveries.clone(),
        );
        metrics.register_statuses(&mut registry);
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    fn register_statuses(&self, registry: &mut Registry) {
        registry.register(
            "statuses_waiting",
            "Commit statuses that GitHub has not been told of yet",
            self.statuses_waiting.clone(),
        );
        registry.register_with_unit(
            "statuses_oldest_waiting",
            "For how long the commit status that waits longest has waited",
            Unit::Seconds,
            self.oldest_status.clone(),
        );
        registry.register(
            "statuses",
            "Tries to send a commit status, by what became of them",
            self.statuses.clone(),
        );
        registry.register(
            "status_corrections",
            "Commit statuses that GitHub showed otherwise and that were sent again",
            self.status_corrections.clone(),
        );
    }

    /// The text of `/metrics`.
    pub fn encode(&self, moment: &Moment) -> String {
        let count = |wanted: fn(State) -> bool| {
            moment
                .unfinished
                .iter()
                .filter(|(state, _)| wanted(*state))
                .map(|(_, count)| count)
                .sum()
        };
        self.builds_waiting
            .set(count(|state| state == State::Queued));
        self.builds_running.set(count(State::is_running));
        self.statuses_waiting.set(moment.statuses_waiting);
        self.oldest_status.set(moment.oldest_status);
        self.standing_still.set(moment.standing_still);
        for &(folder, free) in &moment.free_disk {
            self.free_disk.get_or_create(&ByFolder { folder }).set(free);
        }
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string cannot fail");
        text
    }

    pub fn build_ended(&self, state: State, seconds: f64) {
        self.build_seconds
            .get_or_create(&ByState {
                state: StateLabel(state),
            })
            .observe(seconds);
    }

    pub fn docker_failed(&self, operation: &'static str) {
        self.docker_errors
            .get_or_create(&ByOperation { operation })
            .inc();
    }

    /// 1 while Redis takes what this feed tells it.
    pub fn redis_connected(&self, feed: &'static str) -> Gauge {
        self.redis_connected.get_or_create_owned(&ByFeed { feed })
    }

    pub fn redis_message(&self, feed: &'static str) {
        self.redis_messages.get_or_create(&ByFeed { feed }).inc();
    }

    pub fn actor_restarted(&self, actor: &'static str) {
        self.actor_restarts.get_or_create(&ByActor { actor }).inc();
    }

    /// `outcome`: `reported`, `failed` (it is tried again) or `given_up`.
    pub fn status_tried(&self, outcome: &'static str) {
        self.statuses.get_or_create(&ByOutcome { outcome }).inc();
    }

    /// `outcome`: `built`, `known`, `ignored`, `malformed`, `unsigned`, `limited` or
    /// `failed`.
    pub fn delivered(&self, outcome: &'static str) {
        self.deliveries.get_or_create(&ByOutcome { outcome }).inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_holds_what_was_counted() {
        let metrics = Metrics::default();
        metrics.build_ended(State::TimedOut, 3.0);
        metrics.docker_failed("create");
        metrics.github.asked("set_status", Some(201), Some(4999));
        metrics.github.asked("set_status", None, None);
        metrics.status_tried("reported");
        metrics.hub.tried("upload", "unavailable", 5);
        metrics.hub.tried("upload", "success", 7);
        let text = metrics.encode(&Moment {
            unfinished: vec![
                (State::Queued, 5),
                (State::Building, 1),
                (State::Publishing, 1),
            ],
            statuses_waiting: 2,
            oldest_status: 1.5,
            standing_still: 1,
            free_disk: vec![("data_directory", 7)],
        });
        for line in [
            "autobuilder_statuses_waiting 2\n",
            "autobuilder_repositories_standing_still 1\n",
            "autobuilder_statuses_oldest_waiting_seconds 1.5\n",
            "autobuilder_statuses_total{outcome=\"reported\"} 1\n",
            "autobuilder_status_corrections_total 0\n",
            "autobuilder_disk_free_bytes{folder=\"data_directory\"} 7\n",
            "autobuilder_github_requests_total{kind=\"set_status\",status=\"201\"} 1\n",
            "autobuilder_github_requests_total{kind=\"set_status\",status=\"none\"} 1\n",
            "autobuilder_github_rate_limit_remaining 4999\n",
            "autobuilder_hub_requests_total{operation=\"upload\",result=\"unavailable\"} 1\n",
            "autobuilder_hub_uploaded_bytes_total 12\n",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        assert!(text.contains("autobuilder_builds_queued 5\n"), "{text}");
        assert!(text.contains("autobuilder_builds_running 2\n"), "{text}");
        assert!(
            text.contains("autobuilder_build_duration_seconds_count{state=\"timed_out\"} 1\n"),
            "{text}"
        );
        assert!(
            text.contains("autobuilder_docker_errors_total{operation=\"create\"} 1\n"),
            "{text}"
        );
    }
}
