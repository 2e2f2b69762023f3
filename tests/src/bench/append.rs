//! What the audit log costs: the two entries of a task's life, written in the commits that carry them anyway, as a share of
//! the time a task takes in W1.

use anyhow::{Context as _, Result};
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::time::{Clock as _, SystemClock};
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{AuditEntry, Store};
use serde_json::json;

use super::measure::Watch;
use super::{Row, workloads};

/// As many reports and grants share a commit under load.
const TASKS: u32 = 200;
const ROUNDS: u32 = 100;
/// What is promised, in percent of task throughput.
const PROMISED: f64 = 10.0;

pub(super) async fn run() -> Result<Vec<Row>> {
    let database = TestDatabase::sqlite()?;
    let opened = database.open().await?;
    // In turn, so that both see the same machine.
    let (mut with, mut without) = (0.0, 0.0);
    for round in 0..ROUNDS {
        without += commit(&opened.store, round, Vec::new()).await?;
        with += commit(&opened.store, round, entries(round)).await?;
    }
    opened.close().await;
    let each = ((with - without) / f64::from(ROUNDS * TASKS)).max(0.0);
    let bulk = workloads::bulk().await?.pop().context("W1 gives a row")?;
    let what = format!("two audit entries, {TASKS} tasks a commit");
    let share = each * bulk.value * 100.0;
    Ok(vec![
        Row::figure("W14", what, each * 1_000_000.0, "µs a task"),
        bulk,
        Row::figure("W14", "of W1's time spent on appending", share, "%").against(PROMISED, "at most"),
    ])
}

/// Seconds of one commit that writes something else, too.
async fn commit(store: &Store, round: u32, entries: Vec<AuditEntry>) -> Result<f64> {
    let watch = Watch::start();
    store
        .write_with("bench.append", entries, move |tx, entries| {
            Box::pin(async move {
                tx.audit(entries.iter().cloned())?;
                tx.put_setting("bench", &round.to_string(), SystemClock.now()).await
            })
        })
        .await?;
    Ok(watch.elapsed().as_secs_f64())
}

/// As a grant and a settlement are told.
fn entries(round: u32) -> Vec<AuditEntry> {
    let mut entries = Vec::new();
    let agent = AgentId::from_bits(1);
    for number in 0..TASKS {
        let task = TaskId::from_bits(u128::from(round * TASKS + number));
        let plan = "00".repeat(32);
        let granted = json!({"fence": "1.1", "agent": agent, "rank": "E", "plan_digest": plan, "attempt": 1});
        let settled = json!({"fence": "1.1", "agent": agent, "status": "succeeded", "ending": "succeeded",
            "attempt": 1, "outputs": plan});
        for (actor, action, body) in
            [("nexusmon".to_owned(), "task.granted", granted), (agent.to_string(), "task.settled", settled)]
        {
            entries.push(AuditEntry {
                at: SystemClock.now(),
                actor: actor.into(),
                action: action.into(),
                subject_kind: "task".into(),
                subject: task.to_string(),
                mission: Some(MissionId::from_bits(u128::from(round))),
                body: body.into(),
            });
        }
    }
    entries
}
