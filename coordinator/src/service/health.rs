//! Whether this node can serve, and how it fares.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nexusmon_core::schedule::Availability;

use super::dispatch::offline_views;
use crate::app::App;
use crate::error::{Error, Result};

/// The database answers and nothing is shutting down.
pub async fn ready(app: &App) -> Result<()> {
    if app.lifecycle.is_stopping() {
        return Err(Error::unavailable("the coordinator is shutting down"));
    }
    Ok(app.store.ping().await?)
}

/// What an operator watches, beside the engine's own numbers.
#[derive(Debug)]
pub struct Vitals {
    /// Enrolled agents by what can be had of them.
    pub agents: BTreeMap<&'static str, u64>,
    pub queued: Vec<(&'static str, u64)>,
    /// Sizes of files, and of the room left.
    pub bytes: Vec<(&'static str, u64)>,
    pub background: Vec<Activity>,
    pub audit_seq: i64,
    /// 0 nothing, 1 halted, 2 stopped.
    pub halt_level: i64,
    pub events_behind: i64,
    pub listeners: u64,
    pub resident_bytes: u64,
    pub descriptors: u64,
    pub uptime: Duration,
}

/// One background activity.
#[derive(Debug)]
pub struct Activity {
    pub name: &'static str,
    /// The newest run.
    pub failing: bool,
    pub since_end: Duration,
}

/// Looks. Costs one statement and a few looks at files.
pub async fn vitals(app: &App) -> Result<Vitals> {
    let audit_seq = app.store.read().await?.newest_seq().await?;
    let mut agents = BTreeMap::new();
    for view in offline_views(app) {
        *agents.entry(word(view.availability)).or_default() += 1;
    }
    let batchers = app.batchers();
    let now = app.clock.now();
    let background = match app.background() {
        Some(background) => background.status(),
        None => Vec::new(),
    };
    Ok(Vitals {
        agents,
        queued: vec![
            ("mission_create", batchers.create.waiting() as u64),
            ("task_report", batchers.report.waiting() as u64),
        ],
        bytes: sizes(app),
        background: background
            .into_iter()
            .map(|status| Activity {
                name: status.name,
                failing: status.last_error.is_some(),
                since_end: now.since(status.last_end.unwrap_or(app.started_at)),
            })
            .collect(),
        audit_seq,
        halt_level: app.switch.get().level as i64,
        events_behind: audit_seq.saturating_sub(app.store.seq()).max(0),
        listeners: app.events.listeners() as u64,
        resident_bytes: resident(),
        descriptors: std::fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        uptime: app.clock.boot().saturating_sub(app.started_boot),
    })
}

const fn word(availability: Availability) -> &'static str {
    match availability {
        Availability::Live => "online",
        Availability::Away { .. } => "away",
        Availability::Offline => "offline",
        Availability::Paused => "paused",
        Availability::Draining => "draining",
        Availability::Quarantined => "quarantined",
        Availability::Pending => "pending",
        Availability::Revoked => "revoked",
    }
}

fn sizes(app: &App) -> Vec<(&'static str, u64)> {
    let mut sizes = Vec::new();
    if let Some(path) = app.config.database_url.strip_prefix("sqlite://") {
        let length = |path: &str| std::fs::metadata(path).map_or(0, |found| found.len());
        sizes.push(("database", length(path)));
        sizes.push(("wal", length(&format!("{path}-wal"))));
    }
    if let Some((free, total)) = room(&app.config.data_dir) {
        sizes.extend([("data_free", free), ("data_total", total)]);
    }
    if let Some((free, total)) =
        app.config.blobs_url.strip_prefix("file://").and_then(|path| room(Path::new(path)))
    {
        sizes.extend([("blobs_free", free), ("blobs_total", total)]);
    }
    sizes
}

fn room(folder: &Path) -> Option<(u64, u64)> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some((found.f_bavail.saturating_mul(found.f_frsize), found.f_blocks.saturating_mul(found.f_frsize)))
}

fn resident() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse().ok());
    pages.unwrap_or(0_u64).saturating_mul(rustix::param::page_size() as u64)
}
