//! Whether the process lives, is ready and how it fares; for orchestrators, scrapers and `doctor`.

#![expect(clippy::struct_field_names, reason = "they are the names of the API")]

use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{Method, StatusCode, header};
use nexusmon_shared::metrics::{CONTENT_TYPE, Counter, Family, Gauge, Histogram, Labels, Registry};

use super::Web;
use super::problem::Problem;
use crate::service::{self, house, missions};

/// Counts of answered requests, and what is measured when somebody looks.
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    missions: Family<Labels, Gauge>,
    tasks: Family<Labels, Gauge>,
    waiting: Family<Labels, Gauge>,
    ready: Gauge,
    leases: Gauge,
    agents: Gauge,
    listeners: Gauge,
    database: Gauge,
    database_free: Gauge,
    database_log: Gauge,
    blobs: Gauge,
    session_bytes: Gauge,
    log_bytes: Gauge,
    store_queue: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::default();
        Self {
            requests: registry.counters("http_requests", "Answered requests"),
            seconds: registry.histogram("http_request_seconds", "Time to the head of an answer"),
            missions: registry.gauges("missions", "Missions by status"),
            tasks: registry.gauges("tasks", "Tasks by status"),
            waiting: registry.gauges("tasks_waiting", "Ready tasks by why they wait"),
            ready: registry.gauge("ready_tasks", "Tasks that could start"),
            leases: registry.gauge("live_leases", "Attempts under way"),
            agents: registry.gauge("agents_online", "Agents with a live session"),
            listeners: registry.gauge("event_listeners", "Open event streams"),
            database: registry.gauge("database_bytes", "The database, without its write-ahead log"),
            database_free: registry.gauge("database_free_bytes", "Pages of the database that hold nothing"),
            database_log: registry.gauge("database_log_bytes", "The write-ahead log of SQLite"),
            blobs: registry.gauge("blob_bytes", "Artifacts and segments of logs"),
            session_bytes: registry.gauge("session_queue_bytes", "Messages that wait for agents to read"),
            log_bytes: registry.gauge("log_buffer_bytes", "Logs in memory that are not stored yet"),
            store_queue: registry.gauge("store_queue", "Units of work that wait for the writer of SQLite"),
            registry,
        }
    }
}

impl Metrics {
    /// One answer; `route` is the template, so that the number of series stays bounded.
    pub(super) fn answered(&self, route: &str, method: &Method, status: StatusCode, elapsed: Duration) {
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                method.as_str()
            }
            _ => "other",
        };
        let labels = vec![
            ("route", route.to_owned()),
            ("method", method.to_owned()),
            ("status", status.as_str().to_owned()),
        ];
        self.requests.get_or_create(&labels).inc();
        self.seconds.observe(elapsed.as_secs_f64());
    }

    fn measured(&self, stats: &missions::EngineStats, listeners: usize) {
        let families = [
            (&self.missions, "status", &stats.missions_by_status),
            (&self.tasks, "status", &stats.tasks_by_status),
            (&self.waiting, "reason", &stats.waiting_by_reason),
        ];
        for (family, label, counts) in families {
            family.clear();
            for (word, count) in counts {
                family.get_or_create(&vec![(label, word.clone())]).set(whole(*count));
            }
        }
        self.ready.set(whole(stats.ready_tasks));
        self.leases.set(whole(stats.live_leases));
        self.agents.set(whole(stats.agents_online));
        self.listeners.set(whole(listeners as u64));
    }

    fn sized(&self, figures: &house::Figures) {
        self.database.set(whole(figures.database));
        self.database_free.set(whole(figures.database_free));
        self.database_log.set(whole(figures.database_log));
        self.blobs.set(whole(figures.blob_bytes));
        self.session_bytes.set(whole(figures.session_queue_bytes));
        self.log_bytes.set(whole(figures.log_buffer_bytes));
        self.store_queue.set(whole(figures.store_queue));
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    status: &'static str,
}

/// The process answers
#[utoipa::path(get, path = "/healthz", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn live() -> Answer<Health> {
    Answer(Health { status: "ok" })
}

/// The process takes work: its database answers and it is not stopping
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Health)))]
pub(super) async fn ready(State(web): State<Web>) -> Result<Answer<Health>, Problem> {
    service::health::ready(&web.app).await?;
    Ok(Answer(Health { status: "ready" }))
}

/// Measurements as `OpenMetrics` text
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(State(web): State<Web>) -> Result<impl IntoResponse, Problem> {
    let stats = missions::stats(&web.app).await?;
    web.metrics.measured(&stats, web.app.events.listeners());
    web.metrics.sized(&house::figures(&web.app).await?);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], web.metrics.registry.render()))
}

#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
#[schema(as = CoordinatorVersion)]
pub(super) struct Version {
    name: &'static str,
    version: &'static str,
    /// The coordinator's clock.
    time: String,
}

/// Which version answers
#[utoipa::path(get, path = "/v1/version", tag = "health", responses((status = 200, body = Version)))]
pub(super) async fn version(State(web): State<Web>) -> Answer<Version> {
    let time = web.app.clock.now().to_string();
    Answer(Version { name: "nexusmon", version: env!("CARGO_PKG_VERSION"), time })
}
