//! Whether the process lives, is ready and how it fares; for orchestrators, scrapers and `doctor`.

#![expect(clippy::struct_field_names, reason = "they are the names of the API")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use axum::Json as Answer;
use axum::extract::State;
use axum::response::IntoResponse;
use http::{Method, StatusCode, header};

use super::Web;
use super::problem::Problem;
use crate::service::{self, missions};

/// Upper bounds of the duration histogram, in seconds.
const BOUNDS: [f64; 8] = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

/// Counts of answered requests.
#[derive(Debug, Default)]
pub(super) struct Metrics(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: BTreeMap<(String, String, u16), u64>,
    durations: [u64; BOUNDS.len()],
    count: u64,
    seconds: f64,
}

impl Metrics {
    /// One answer; `route` is the template, so that the number of labels stays bounded.
    pub(super) fn answered(&self, route: &str, method: &Method, status: StatusCode, elapsed: Duration) {
        let method = match *method {
            Method::GET | Method::HEAD | Method::POST | Method::PUT | Method::PATCH | Method::DELETE => {
                method.as_str()
            }
            _ => "other",
        };
        let mut counts = self.0.lock().expect("no holder panics");
        *counts.requests.entry((route.to_owned(), method.to_owned(), status.as_u16())).or_default() += 1;
        let seconds = elapsed.as_secs_f64();
        counts.count += 1;
        counts.seconds += seconds;
        for (bucket, bound) in counts.durations.iter_mut().zip(BOUNDS) {
            *bucket += u64::from(seconds <= bound);
        }
    }

    fn render(&self) -> String {
        let counts = self.0.lock().expect("no holder panics");
        let mut text = "# HELP nexusmon_http_requests_total Answered requests.\n\
                        # TYPE nexusmon_http_requests_total counter\n"
            .to_owned();
        for ((route, method, status), count) in &counts.requests {
            let _ = writeln!(
                text,
                "nexusmon_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{status}\"}} {count}"
            );
        }
        text.push_str(
            "# HELP nexusmon_http_request_seconds Time to the answer's head.\n\
             # TYPE nexusmon_http_request_seconds histogram\n",
        );
        for (bound, count) in BOUNDS.iter().zip(counts.durations) {
            let _ = writeln!(text, "nexusmon_http_request_seconds_bucket{{le=\"{bound}\"}} {count}");
        }
        let Counts { count, seconds, .. } = &*counts;
        let _ = writeln!(text, "nexusmon_http_request_seconds_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(text, "nexusmon_http_request_seconds_sum {seconds}");
        let _ = writeln!(text, "nexusmon_http_request_seconds_count {count}");
        text
    }
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

/// Measurements in the Prometheus text format
#[utoipa::path(
    get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain")),
)]
pub(super) async fn metrics(State(web): State<Web>) -> Result<impl IntoResponse, Problem> {
    let mut text = web.metrics.render();
    let stats = missions::stats(&web.app).await?;
    for (name, help, by) in [
        ("nexusmon_missions", "Missions by status.", &stats.missions_by_status),
        ("nexusmon_tasks", "Tasks by status.", &stats.tasks_by_status),
        ("nexusmon_tasks_waiting", "Ready tasks by why they wait.", &stats.waiting_by_reason),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (kind, count) in by {
            let _ = writeln!(text, "{name}{{kind=\"{kind}\"}} {count}");
        }
    }
    for (name, help, value) in [
        ("nexusmon_ready_tasks", "Tasks that could start.", stats.ready_tasks),
        ("nexusmon_live_leases", "Attempts under way.", stats.live_leases),
        ("nexusmon_agents_online", "Agents with a live session.", stats.agents_online),
    ] {
        let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
    }
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text))
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
