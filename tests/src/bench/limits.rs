//! What this machine can do at best, measured in the same run as our own figures.

use std::fs::File;
use std::io::{Read, Write};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use sqlx::Executor;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use super::measure::{Watch, cpu_seconds};

async fn sqlite(folder: &std::path::Path) -> Result<sqlx::SqlitePool> {
    let options = SqliteConnectOptions::new()
        .filename(folder.join("limit.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
    pool.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, state INTEGER NOT NULL, body TEXT NOT NULL) STRICT")
        .await?;
    Ok(pool)
}

/// Tasks per second when insert, claim and finish are three fully synced transactions over 100 bare rows.
pub(super) async fn sqlite_batches() -> Result<f64> {
    const BATCH: i64 = 100;
    const ROUNDS: i64 = 150;
    let folder = tempfile::tempdir()?;
    let pool = sqlite(folder.path()).await?;
    let watch = Watch::start();
    for round in 0..ROUNDS {
        let first = round * BATCH;
        sqlx::query(
            "WITH RECURSIVE n(i) AS (SELECT $1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < $1 + $2) \
             INSERT INTO t SELECT i, 0, '{\"uses\":\"core.noop\"}' FROM n",
        )
        .bind(first)
        .bind(BATCH)
        .execute(&pool)
        .await?;
        for state in [1, 2] {
            sqlx::query("UPDATE t SET state = $1 WHERE id >= $2 AND id < $2 + $3")
                .bind(state)
                .bind(first)
                .bind(BATCH)
                .execute(&pool)
                .await?;
        }
    }
    Ok((ROUNDS * BATCH) as f64 / watch.elapsed().as_secs_f64())
}

/// Fully synced transactions of one row per second.
pub(super) async fn sqlite_singles() -> Result<f64> {
    const ROWS: i64 = 2000;
    let folder = tempfile::tempdir()?;
    let pool = sqlite(folder.path()).await?;
    let watch = Watch::start();
    for row in 0..ROWS {
        sqlx::query("INSERT INTO t VALUES ($1, 0, '{}')").bind(row).execute(&pool).await?;
    }
    Ok(ROWS as f64 / watch.elapsed().as_secs_f64())
}

/// What starting processes costs at least.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spawns {
    pub(super) per_second: f64,
    pub(super) cpu_seconds_per_thousand: f64,
}

/// Bare processes with piped output, 16 at once.
pub(super) fn spawns() -> Result<Spawns> {
    started(&["/bin/true"], 2000)
}

/// The same within the least bubblewrap that gives a process a world of its own.
pub(super) fn bubblewraps() -> Result<Spawns> {
    let words = "bwrap --unshare-user --unshare-pid --unshare-net --unshare-ipc --unshare-uts --die-with-parent \
                 --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --symlink usr/bin /bin \
                 --proc /proc --dev /dev --tmpfs /tmp -- /bin/true";
    started(&words.split_ascii_whitespace().collect::<Vec<_>>(), 640)
}

fn started(words: &[&str], count: usize) -> Result<Spawns> {
    const THREADS: usize = 16;
    let cpu = cpu_seconds(&[std::process::id()]);
    let watch = Watch::start();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| -> Result<()> {
                    for _ in 0..count / THREADS {
                        let output = Command::new(words[0])
                            .args(&words[1..])
                            .stdin(Stdio::null())
                            .stdout(Stdio::piped())
                            .stderr(Stdio::piped())
                            .output()?;
                        anyhow::ensure!(
                            output.status.success(),
                            "{} failed: {}",
                            words[0],
                            String::from_utf8_lossy(&output.stderr)
                        );
                    }
                    Ok(())
                })
            })
            .collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("a spawning thread does not panic"))
    })?;
    Ok(Spawns {
        per_second: count as f64 / watch.elapsed().as_secs_f64(),
        cpu_seconds_per_thousand: (cpu_seconds(&[std::process::id()]) - cpu) / count as f64 * 1000.0,
    })
}

/// Milliseconds of the median append of 4 KiB with fdatasync.
pub(super) fn fdatasync_ms() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("sync"))?;
    let block = [7_u8; 4096];
    let mut times = Vec::new();
    for _ in 0..200 {
        let watch = Watch::start();
        file.write_all(&block)?;
        file.sync_data()?;
        times.push(watch.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}

/// Megabytes per second of a pipe read in 64 KiB blocks into a file.
pub(super) fn pipe_to_file() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = File::create(folder.path().join("log"))?;
    let watch = Watch::start();
    let mut child = Command::new("sh")
        .args(["-c", super::workloads::PRINTER])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut pipe = child.stdout.take().context("standard output is a pipe")?;
    let mut block = vec![0_u8; 64 * 1024];
    let mut total = 0;
    loop {
        let read = pipe.read(&mut block)?;
        if read == 0 {
            break;
        }
        file.write_all(&block[..read])?;
        total += read;
    }
    child.wait()?;
    Ok(total as f64 / 1e6 / watch.elapsed().as_secs_f64())
}
