//! `/metrics`: counts of answered requests, and what is measured when somebody looks. `docs/operations.md` lists them.

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use http::{Method, StatusCode, header};
use nexusmon_shared::metrics::{CONTENT_TYPE, Counter, Family, Gauge, Histogram, Labels, Registry};

use super::Web;
use super::problem::Problem;
use crate::app::App;
use crate::service::health::{self, Vitals};
use crate::service::{house, missions};

pub(super) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    seconds: Histogram,
    missions: Family<Labels, Gauge>,
    tasks: Family<Labels, Gauge>,
    waiting: Family<Labels, Gauge>,
    ready: Gauge,
    oldest: Gauge,
    leases: Gauge,
    online: Gauge,
    agents: Family<Labels, Gauge>,
    listeners: Gauge,
    queued: Family<Labels, Gauge>,
    failing: Family<Labels, Gauge>,
    late: Family<Labels, Gauge>,
    audit: Gauge,
    halt: Gauge,
    behind: Gauge,
    bytes: Family<Labels, Gauge>,
    resident: Gauge,
    descriptors: Gauge,
    uptime: Gauge,
    database: Gauge,
    database_free: Gauge,
    database_log: Gauge,
    blobs: Gauge,
    session_bytes: Gauge,
    log_bytes: Gauge,
    store_queue: Gauge,
}

impl Metrics {
    pub(super) fn new(app: &App) -> Self {
        let registry = app.meters.registry.clone();
        let build = vec![
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("database", if app.store.is_single_node() { "sqlite" } else { "postgres" }.to_owned()),
        ];
        registry.gauges("build", "What runs here; always 1").get_or_create(&build).set(1);
        Self {
            requests: registry.counters("http_requests", "Answered requests"),
            seconds: registry.histogram("http_request_seconds", "Time to the head of an answer"),
            missions: registry.gauges("missions", "Missions by status"),
            tasks: registry.gauges("tasks", "Tasks of live missions by status"),
            waiting: registry.gauges("tasks_waiting", "Ready tasks by why they wait"),
            ready: registry.gauge("ready_tasks", "Tasks that could start"),
            oldest: registry.gauge("oldest_ready_seconds", "How long the oldest ready task has waited"),
            leases: registry.gauge("live_leases", "Attempts under way"),
            online: registry.gauge("agents_online", "Agents with a live session on this node"),
            agents: registry.gauges("agents", "Enrolled agents by availability, as this node sees them"),
            listeners: registry.gauge("event_listeners", "Open event streams"),
            queued: registry.gauges("queued", "Items that wait in memory, by queue"),
            failing: registry.gauges("background_failing", "1: the newest run of an activity failed"),
            late: registry.gauges("background_age_seconds", "Since the newest run of an activity ended"),
            halt: registry.gauge("halt_level", "The kill switch: 0 nothing, 1 halted, 2 stopped"),
            audit: registry.gauge("audit_seq", "Number of the newest audit entry"),
            behind: registry
                .gauge("events_behind", "Audit entries event streams of this node have not seen yet"),
            bytes: registry.gauges("bytes", "Sizes of files and of the room left, by what"),
            resident: registry.gauge("resident_bytes", "Memory of this process"),
            descriptors: registry.gauge("open_descriptors", "Open files and sockets of this process"),
            uptime: registry.gauge("uptime_seconds", "Since this process started"),
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

    fn engine(&self, stats: &missions::EngineStats) {
        let families = [
            (&self.missions, "status", &stats.missions_by_status),
            (&self.tasks, "status", &stats.tasks_by_status),
            (&self.waiting, "reason", &stats.waiting_by_reason),
        ];
        for (family, label, counts) in families {
            fill(family, label, counts.iter().map(|(word, count)| (word.as_str(), *count)));
        }
        self.ready.set(whole(stats.ready_tasks));
        self.oldest.set(whole(stats.oldest_ready.map_or(0, |age| age.as_secs())));
        self.leases.set(whole(stats.live_leases));
        self.online.set(whole(stats.agents_online));
    }

    fn process(&self, vitals: &Vitals) {
        fill(&self.agents, "availability", vitals.agents.iter().map(|(word, count)| (*word, *count)));
        fill(&self.queued, "queue", vitals.queued.iter().copied());
        fill(&self.bytes, "what", vitals.bytes.iter().copied());
        let now = |each: &health::Activity| u64::from(each.failing);
        fill(&self.failing, "activity", vitals.background.iter().map(|each| (each.name, now(each))));
        fill(
            &self.late,
            "activity",
            vitals.background.iter().map(|each| (each.name, each.since_end.as_secs())),
        );
        self.halt.set(vitals.halt_level);
        self.audit.set(vitals.audit_seq);
        self.behind.set(vitals.events_behind);
        self.listeners.set(whole(vitals.listeners));
        self.resident.set(whole(vitals.resident_bytes));
        self.descriptors.set(whole(vitals.descriptors));
        self.uptime.set(whole(vitals.uptime.as_secs()));
    }

    fn house(&self, figures: &house::Figures) {
        self.database.set(whole(figures.database));
        self.database_free.set(whole(figures.database_free));
        self.database_log.set(whole(figures.database_log));
        self.blobs.set(whole(figures.blob_bytes));
        self.session_bytes.set(whole(figures.session_queue_bytes));
        self.log_bytes.set(whole(figures.log_buffer_bytes));
        self.store_queue.set(whole(figures.store_queue));
    }
}

/// The whole family anew: what is no longer there is gone.
fn fill<'a>(
    family: &Family<Labels, Gauge>,
    label: &'static str,
    counts: impl Iterator<Item = (&'a str, u64)>,
) {
    family.clear();
    for (word, count) in counts {
        family.get_or_create(&vec![(label, word.to_owned())]).set(whole(count));
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// Measurements as `OpenMetrics` text
#[utoipa::path(
    get, path = "/metrics", tag = "health", operation_id = "metrics",
    responses((status = 200, body = String, content_type = "text/plain")),
)]
pub(super) async fn get(State(web): State<Web>) -> Result<impl IntoResponse, Problem> {
    let stats = missions::stats(&web.app).await?;
    web.metrics.engine(&stats);
    web.metrics.process(&health::vitals(&web.app).await?);
    web.metrics.house(&house::figures(&web.app).await?);
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], web.metrics.registry.render()))
}
