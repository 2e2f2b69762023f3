//! Verifying an export of a million entries, by the program an auditor runs.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nexusmon_core::audit::sample;

use super::Row;
use super::measure::{Watch, cpu_seconds};
use crate::binaries;

const ENTRIES: u64 = 1_000_000;
/// Under load a head is signed every second.
const EVERY: u64 = 10_000;
/// What is promised, on two cores.
const PROMISED_SECONDS: f64 = 30.0;

pub(super) async fn run() -> Result<Vec<Row>> {
    tokio::task::spawn_blocking(measure).await?
}

fn measure() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("export.ndjson");
    let mut file = BufWriter::new(File::create(&path)?);
    let mut broken = None;
    let entries = sample::write(1, ENTRIES, EVERY, &mut |line| {
        if let Err(error) = file.write_all(line.as_bytes()) {
            broken.get_or_insert(error);
        }
    });
    file.flush()?;
    broken.map_or(Ok(()), Err).context("writing the export")?;
    let mebibytes = std::fs::metadata(&path)?.len() as f64 / 1024.0 / 1024.0;
    let key = sample::verifier_key(&sample::log_key()).to_string();
    let cpu = cpu_seconds(&[std::process::id()]);
    let watch = Watch::start();
    let verified = Command::new(binaries::path("nexusmon"))
        .args(["--json", "audit", "verify", "--key", &key])
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .output()?;
    let seconds = watch.elapsed().as_secs_f64();
    let cpu = cpu_seconds(&[std::process::id()]) - cpu;
    ensure!(
        verified.status.success(),
        "the export does not hold: {}",
        String::from_utf8_lossy(&verified.stdout)
    );
    let answer: serde_json::Value = serde_json::from_slice(&verified.stdout)?;
    ensure!(answer["entries"] == entries, "verified {} of {entries} entries", answer["entries"]);
    let what = format!("audit verify, {entries} entries, {mebibytes:.0} MiB");
    let mut row = Row::figure("W13", what, seconds, "s").against(PROMISED_SECONDS, "at most");
    row.cpu_seconds_per_thousand = Some(cpu / entries as f64 * 1000.0);
    Ok(vec![row])
}
