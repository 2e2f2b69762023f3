//! W9: artifacts, one large and many small, up and down through the API and up from a task.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::Row;
use super::measure::Watch;
use super::workloads::Cost;
use crate::{Cluster, Options};

const MIB: usize = 1024 * 1024;
const LARGE: usize = 1024 * MIB;
const SMALL: usize = 10_000;
const SMALL_BYTES: usize = 4096;
const IN_FLIGHT: usize = 32;
/// No more small ones are begun after this.
const BOUND: Duration = Duration::from_secs(20);

/// Megabytes per second of SHA-256 in one thread.
fn hashing() -> f64 {
    let block = vec![7_u8; MIB];
    let watch = Watch::start();
    let mut hasher = Sha256::new();
    for _ in 0..LARGE / MIB {
        hasher.update(&block);
    }
    std::hint::black_box(hasher.finalize());
    LARGE as f64 / 1e6 / watch.elapsed().as_secs_f64()
}

/// Megabytes per second of a file written in blocks of a mebibyte and synced once.
fn writing() -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let mut file = std::fs::File::create(folder.path().join("large"))?;
    let block = vec![7_u8; MIB];
    let watch = Watch::start();
    for _ in 0..LARGE / MIB {
        file.write_all(&block)?;
    }
    file.sync_data()?;
    Ok(LARGE as f64 / 1e6 / watch.elapsed().as_secs_f64())
}

/// Small files per second, each written, synced and renamed, one after another.
fn small_files() -> Result<f64> {
    const FILES: usize = 500;
    let folder = tempfile::tempdir()?;
    let block = vec![7_u8; SMALL_BYTES];
    let watch = Watch::start();
    for number in 0..FILES {
        let staged = folder.path().join("staged");
        let mut file = std::fs::File::create(&staged)?;
        file.write_all(&block)?;
        file.sync_data()?;
        std::fs::rename(&staged, folder.path().join(number.to_string()))?;
    }
    Ok(FILES as f64 / watch.elapsed().as_secs_f64())
}

pub(super) async fn run() -> Result<Vec<Row>> {
    let limit = hashing().min(writing()?);
    let limit_is = "the slower of SHA-256 in one thread and a synced write of 1 GiB";
    let cluster = Cluster::start(Options { agents: 1, ..Options::default() }).await?;
    let mut rows = Vec::new();

    let megabytes = LARGE as f64 / 1e6;
    let rate = |cost: &Cost, what: &str| {
        let mut row = cost.row("W9", what, 1, None, "");
        row.value = megabytes / cost.elapsed().as_secs_f64();
        row.unit = "MB/s";
        row.cpu_seconds_per_thousand = None;
        row.what = format!("{what} ({:.2} CPU-s)", cost.cpu());
        row.against(limit, limit_is)
    };
    let cost = Cost::start(&cluster);
    let blocks = stream::iter((0..LARGE / MIB).map(|number| {
        let mut block = vec![7_u8; MIB];
        block[..8].copy_from_slice(&(number as u64).to_be_bytes());
        Ok::<_, std::io::Error>(block)
    }));
    let body = reqwest::Body::wrap_stream(blocks);
    let large = cluster.api.upload("large", body).await?;
    rows.push(rate(&cost, "1 GiB up"));
    let id = large["id"].as_str().context("an artifact has an id")?.to_owned();

    let cost = Cost::start(&cluster);
    let received = cluster.api.download(&format!("/v1/vault/artifacts/{id}/content")).await?;
    ensure!(received == LARGE as u64, "{received} bytes came back");
    rows.push(rate(&cost, "1 GiB down"));

    let cost = Cost::start(&cluster);
    let script = format!("head -c {LARGE} /dev/zero > large");
    let task = json!({"id": "a", "uses": "shell.run", "with": {"script": script}, "artifacts": ["large"]});
    let mission = cluster.api.create(json!({"goal": "a large artifact", "tasks": [task]})).await?;
    let done = cluster.api.finished(&mission).await?;
    ensure!(done["status"] == "succeeded", "{done:#}");
    rows.push(rate(&cost, "1 GiB made by a task, collected and stored"));

    let limit = small_files()?;
    let limit_is = "files of 4 KiB written, synced and renamed one after another";
    let watch = Watch::start();
    let cost = Cost::start(&cluster);
    let ids: Vec<String> = stream::iter(0..SMALL)
        .take_while(|_| std::future::ready(watch.elapsed() < BOUND))
        .map(|number| {
            let mut bytes = vec![7_u8; SMALL_BYTES];
            bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let api = &cluster.api;
            async move {
                let stored = api.upload(&format!("small-{number}"), bytes.into()).await?;
                anyhow::Ok(stored["id"].as_str().context("an artifact has an id")?.to_owned())
            }
        })
        .buffer_unordered(IN_FLIGHT)
        .try_collect()
        .await?;
    rows.push(cost.row("W9", &format!("{} of 4 KiB up", ids.len()), ids.len(), Some(limit), limit_is));

    let cost = Cost::start(&cluster);
    let api = &cluster.api;
    let mut read = stream::iter(&ids)
        .map(|id| async move { api.download(&format!("/v1/vault/artifacts/{id}/content")).await })
        .buffer_unordered(IN_FLIGHT);
    while let Some(bytes) = read.next().await {
        ensure!(bytes? == SMALL_BYTES as u64, "a small artifact comes back whole");
    }
    rows.push(cost.row("W9", &format!("{} of 4 KiB down", ids.len()), ids.len(), None, ""));
    Ok(rows)
}
