//! What the audit log costs: the two entries of a task's life, written in the commits that carry them anyway, as a share of
//! the time a task takes in W1.

use anyhow::{Context as _, Result};
use nexusmon_shared::id::{AgentId, MissionId, TaskId};
use nexusmon_shared::time::{Clock as _, SystemClock};
use nexusmon_shared::trust::canonical::Object;
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{AuditEntry, Store};

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
        without += commit(&opened.store, round, 0).await?;
        with += commit(&opened.store, round, TASKS).await?;
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

/// Seconds of one commit that writes something else, too. The entries are made in it, as those of tasks are.
async fn commit(store: &Store, round: u32, tasks: u32) -> Result<f64> {
    let watch = Watch::start();
    store
        .write("bench.append", move |tx| {
            Box::pin(async move {
                tx.audit(entries(round, tasks))?;
                tx.put_setting("bench", &round.to_string(), SystemClock.now()).await
            })
        })
        .await?;
    Ok(watch.elapsed().as_secs_f64())
}

/// As a grant and a settlement are told.
fn entries(round: u32, tasks: u32) -> Vec<AuditEntry> {
    let mut entries = Vec::new();
    let agent = AgentId::from_bits(1);
    let plan = "00".repeat(32);
    for number in 0..tasks {
        let task = TaskId::from_bits(u128::from(round * TASKS + number));
        let at = SystemClock.now();
        let granted = Object::new()
            .plain("agent", agent)
            .number("attempt", 1)
            .plain("fence", "1.1")
            .plain("plan_digest", &plan)
            .plain("rank", "E");
        let settled = Object::new()
            .plain("agent", agent)
            .number("attempt", 1)
            .plain("ending", "succeeded")
            .plain("fence", "1.1")
            .plain("finished_at", at)
            .number("log_bytes", 0)
            .plain("outputs_digest", &plan)
            .plain("sandbox_level", "l0")
            .plain("started_at", at)
            .plain("status", "succeeded")
            .text("task", "a");
        for (actor, action, body) in [
            ("nexusmon".into(), "task.granted", granted),
            (agent.to_string().into(), "task.settled", settled),
        ] {
            entries.push(AuditEntry {
                at,
                actor,
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
