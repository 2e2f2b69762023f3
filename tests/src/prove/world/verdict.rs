//! What must hold in the end: the system's word, its audit trail and the ledger of effects tell the same story.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use nexusmon_core::audit::{Trusted, Verifier};
use nexusmon_shared::time::{Clock as _, SystemClock};
use serde_json::Value;

use super::super::since;
use super::{AGAIN, Decided, SHOWN_WITHIN, World};

/// Nothing new for so long: all there is has been shown.
const QUIET: Duration = Duration::from_millis(1_500);

/// What the audit trail says of one task.
#[derive(Debug, Default)]
struct Trail {
    grants: u64,
    settled: u64,
    successes: u64,
    resolved: u64,
    stale: u64,
    /// Of an older fence than the task's.
    older: u64,
    /// Reports that settled under an older fence than the newest grant.
    accepted: u64,
}

pub(super) async fn judge(world: &mut World) -> Result<()> {
    let trails = all_trails(world).await?;
    let effects = world.ledger.read()?;
    let missions = world.api.list("/v1/engine/missions").await?;
    let asked = world.asked as usize;
    if missions.len() > asked {
        let detail = format!("{} missions exist, {asked} were asked for", missions.len());
        world.findings.violation("missions_doubled", detail);
    }
    world.findings.count("tasks", world.accepted.iter().map(|(_, size)| *size as u64).sum());
    for (mission, size) in world.accepted.clone() {
        let Ok(state) = world.api.get(&format!("/v1/engine/missions/{mission}")).await else {
            world.findings.violation("lost", format!("mission {mission} was accepted and is gone"));
            continue;
        };
        let tasks = state["tasks"].as_array().cloned().unwrap_or_default();
        if tasks.len() != size {
            world.findings.violation("lost", format!("{mission} has {} of {size} tasks", tasks.len()));
        }
        let succeeded = state["task_counts"]["succeeded"].as_u64().unwrap_or(0);
        let counted = tasks.iter().filter(|task| task["status"] == "succeeded").count() as u64;
        if succeeded != counted {
            let detail = format!("{mission} counts {succeeded} successes and has {counted}");
            world.findings.violation("miscounted", detail);
        }
        for task in &tasks {
            task_holds(world, task, &trails, &effects);
        }
    }
    audit_holds(world).await?;
    world.findings.count("stale_reports", trails.values().map(|trail| trail.stale).sum());
    world.findings.count("stale_of_older_fences", trails.values().map(|trail| trail.older).sum());
    for (task, trail) in trails.iter().filter(|(_, trail)| trail.accepted > 0) {
        world
            .findings
            .violation("stale_accepted", format!("{task}: {} reports of older fences", trail.accepted));
    }
    Ok(())
}

/// Whatever was done to the cluster, an export of its log holds, also for what the entries mean.
async fn audit_holds(world: &mut World) -> Result<()> {
    let export = world.api.bytes("/v1/governance/audit/export", "application/x-ndjson").await?;
    let verify = move || {
        let mut verifier = Verifier::new(Trusted::default());
        let mut lines = export.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines.try_for_each(|line| verifier.line(line))?;
        verifier.finish()
    };
    match tokio::task::spawn_blocking(verify).await? {
        Ok(verified) => world.findings.count("audit_entries_verified", verified.entries),
        Err(bad) => world.findings.violation("audit_broken", bad.to_string()),
    }
    Ok(())
}

fn task_holds(
    world: &mut World,
    task: &Value,
    trails: &BTreeMap<String, Trail>,
    effects: &BTreeMap<String, super::super::ledger::Effects>,
) {
    let id = task["task_id"].as_str().unwrap_or_default().to_owned();
    let nothing = Trail::default();
    let trail = trails.get(&id).unwrap_or(&nothing);
    let effects = effects.get(&id).cloned().unwrap_or_default();
    let decided = world.decided.get(&id).cloned().unwrap_or_default();
    let by_hand = decided.contains(&Decided::Succeeded);
    let findings = &mut world.findings;
    if task["status"] != "succeeded" {
        findings.violation("lost", format!("{id} is {} in the end: {}", task["status"], task["cause"]));
    } else if effects.ended == 0 && !by_hand {
        findings.violation("lost", format!("{id} succeeded, they say, and left no trace of its end"));
    }
    if trail.successes > 1 {
        findings.violation("double_completed", format!("{id} succeeded {} times", trail.successes));
    }
    let idempotent = task["id"].as_str().is_some_and(|name| name.starts_with(AGAIN));
    if !idempotent && effects.begun > 1 {
        findings.violation("effects_repeated", format!("{id} began {} times", effects.begun));
    }
    if effects.ended > 0 && world.unfinished.contains(&id) && !decided.contains(&Decided::Again) {
        findings.violation("effects_after_end", format!("{id} went on after it was known to have ended"));
    }
    let attempts = task["attempt"].as_u64().unwrap_or(0);
    if trail.grants != attempts {
        let detail = format!("{id} had {attempts} attempts, {} grants are written down", trail.grants);
        findings.violation("unaudited", detail);
    }
    if trail.successes + trail.resolved == 0 {
        findings.violation("unaudited", format!("nothing is written down of the end of {id}"));
    }
}

/// On PostgreSQL entries are numbered, and so shown, a moment after they are committed.
async fn all_trails(world: &World) -> Result<BTreeMap<String, Trail>> {
    let begun = SystemClock.boot();
    let mut before = 0;
    let mut pace = tokio::time::interval(QUIET);
    loop {
        pace.tick().await;
        let trails = trails(world).await?;
        let seen = trails.values().map(|trail| trail.grants + trail.settled + trail.resolved).sum();
        let over = trails.values().filter(|trail| trail.successes + trail.resolved > 0).count();
        let complete = seen == before && over >= world.accepted.iter().map(|(_, size)| size).sum::<usize>();
        if complete || since(begun) > SHOWN_WITHIN {
            return Ok(trails);
        }
        before = seen;
    }
}

async fn trails(world: &World) -> Result<BTreeMap<String, Trail>> {
    let mut entries = Vec::new();
    for action in ["task.granted", "task.settled", "task.resolved", "task.stale_report"] {
        entries.extend(world.api.list(&format!("/v1/governance/audit?action={action}")).await?);
    }
    entries.sort_by_key(|entry| entry["seq"].as_i64());
    let mut trails: BTreeMap<String, Trail> = BTreeMap::new();
    let mut granted: BTreeMap<String, Fence> = BTreeMap::new();
    for entry in entries {
        let task = entry["subject"].as_str().unwrap_or_default().to_owned();
        let fence = fence(&entry["body"]["fence"]);
        let trail = trails.entry(task.clone()).or_default();
        match entry["action"].as_str().unwrap_or_default() {
            "task.granted" => {
                trail.grants += 1;
                granted.insert(task, fence);
            }
            "task.settled" => {
                trail.settled += 1;
                trail.successes += u64::from(entry["body"]["status"] == "succeeded");
                trail.accepted += u64::from(granted.get(&task).is_some_and(|newest| fence < *newest));
            }
            "task.resolved" => trail.resolved += 1,
            _ => {
                trail.stale += 1;
                trail.older += u64::from(fence < self::fence(&entry["body"]["current_fence"]));
            }
        }
    }
    Ok(trails)
}

type Fence = (u64, u64);

/// `epoch.number`.
fn fence(value: &Value) -> Fence {
    let parts = value.as_str().and_then(|text| text.split_once('.'));
    parts.and_then(|(epoch, number)| Some((epoch.parse().ok()?, number.parse().ok()?))).unwrap_or_default()
}
