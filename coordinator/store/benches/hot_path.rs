//! What a task's life costs in the store: created, granted, settled, with an audit entry each, three commits per batch;
//! beside it, in the same run, the same rows written by bare statements on the same disk.
//!
//! `cargo bench -p nexusmon-store --features testing`; a number as argument sets the tasks per case, a database's
//! name keeps to that one.

#![expect(clippy::unwrap_used, reason = "a measurement that cannot go on is over")]

#[path = "../tests/store/fixtures.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod fixtures;

use std::time::Duration;

use fixtures::{NOW, class, enrol, entry, grant_row, insert, mission_id, organism, ready_mission, write};
use nexusmon_shared::task::TaskState;
use nexusmon_shared::time::{Clock as _, SystemClock};
use nexusmon_store::testing::TestDatabase;
use nexusmon_store::{ClassId, GrantedTask, MissionDelta, Store, StoreError};
use sqlx::{Connection as _, Executor as _};

/// CPU seconds of this process.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn per_second(count: u32, spent: Duration) -> f64 {
    f64::from(count) / spent.as_secs_f64()
}

async fn settle(store: &Store, granted: Vec<GrantedTask>) {
    store
        .write_with("settling", granted, |tx, granted| {
            Box::pin(async move {
                let ids: Vec<_> = granted.iter().map(|one| one.task.id).collect();
                let mut rows = tx.load_for_report(&ids).await?;
                for row in &mut rows {
                    let mut task = row.task()?;
                    task.state = TaskState::Succeeded { outputs: serde_json::Map::new() };
                    row.put(&task, NOW);
                }
                tx.settle(&rows.iter().map(Into::into).collect::<Vec<_>>()).await?;
                let deltas: Vec<_> = rows
                    .iter()
                    .map(|row| MissionDelta {
                        open: -1,
                        succeeded: 1,
                        leased: -1,
                        ..MissionDelta::of(row.mission)
                    })
                    .collect();
                tx.finish_counters(&deltas).await?;
                tx.audit(rows.iter().map(|row| entry(row.id.to_string())))
            })
        })
        .await
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
}

async fn batch(store: &Store, n: u128, size: u32, class: ClassId, session: u64) {
    insert(store, vec![ready_mission(n, size, class)]).await;
    let granted = store
        .write("granting", move |tx| {
            Box::pin(async move {
                let found = tx.claim_candidates(&[(class, size)]).await?;
                let rows: Vec<_> = found.iter().map(|task| grant_row(task, 1, session)).collect();
                let granted = tx.grant(&rows, found).await?;
                let delta = MissionDelta {
                    leased: i64::from(size),
                    attempts: i64::from(size),
                    ..MissionDelta::of(mission_id(n))
                };
                tx.finish_counters(&[delta]).await?;
                tx.audit(granted.iter().map(|one| entry(one.task.id.to_string())))?;
                Ok::<_, StoreError>(granted)
            })
        })
        .await
        .unwrap();
    assert_eq!(granted.len(), size as usize);
    settle(store, granted).await;
}

/// One row per transaction as fast as the disk takes it: the limit of single commits.
async fn limit(database: &TestDatabase) -> f64 {
    let path = format!("{}-limit", database.url());
    let options: sqlx::sqlite::SqliteConnectOptions = path.parse().unwrap();
    let options = options
        .create_if_missing(true)
        .journal_mode(sqlx::sqlite::SqliteJournalMode::Wal)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Full);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body TEXT) STRICT").await.unwrap();
    let begun = SystemClock.boot();
    let count = 2_000;
    for n in 0..count {
        sqlx::query("INSERT INTO rows (id, body) VALUES ($1, 'x')")
            .bind(n)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    per_second(2_000, SystemClock.boot().saturating_sub(begun))
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let total: u32 = std::env::args().find_map(|arg| arg.parse().ok()).unwrap_or(20_000);
    for database in nexusmon_store::testing::databases().await.unwrap() {
        let kind = if database.is_postgres() { "postgres" } else { "sqlite" };
        if std::env::args().any(|arg| (arg == "sqlite" || arg == "postgres") && arg != kind) {
            continue;
        }
        let opened = database.open().await.unwrap();
        let store = &opened.store;
        organism(store).await;
        let class = class(store, "{}").await;
        let session = enrol(store, 1).await;
        let mut n = 1;
        for size in [1, 100, 500] {
            let tasks = if size == 1 { total / 40 } else { total };
            let (begun, cpu_begun) = (SystemClock.boot(), cpu());
            for _ in 0..tasks / size {
                n += 1;
                batch(store, n, size, class, session).await;
            }
            let spent = SystemClock.boot().saturating_sub(begun);
            let cpu = (cpu() - cpu_begun) / f64::from(tasks) * 1_000.0;
            println!(
                "{kind}: batches of {size}: {:.0} tasks/s, {cpu:.4} CPU-s per 1,000",
                per_second(tasks, spent)
            );
        }
        let (begun, cpu_begun, creates) = (SystemClock.boot(), cpu(), 4_000_u32);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..16_u32 {
            let store = store.clone();
            writers.spawn(async move {
                for one in 0..creates / 16 {
                    let n = 1_000_000 + u128::from(writer * 10_000 + one);
                    write(&store, move |tx| {
                        Box::pin(async move {
                            tx.insert_missions(&[ready_mission(n, 1, class)]).await?;
                            tx.audit([entry(n.to_string())])
                        })
                    })
                    .await
                    .unwrap();
                }
            });
        }
        while let Some(done) = writers.join_next().await {
            done.unwrap();
        }
        let spent = SystemClock.boot().saturating_sub(begun);
        let cpu = (cpu() - cpu_begun) / f64::from(creates) * 1_000.0;
        println!(
            "{kind}: units of one mission, 16 in flight: {:.0}/s, {cpu:.4} CPU-s per 1,000",
            per_second(creates, spent)
        );
        if !database.is_postgres() {
            println!("{kind}: limit here, one row per commit: {:.0}/s", limit(&database).await);
        }
        opened.close().await;
    }
}
