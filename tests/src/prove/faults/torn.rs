//! The agent's journal, cut off at every byte and with every byte spoilt: what was synced before is there, or the journal
//! says that it is damaged and takes a new id, so that nothing is taken for "never started".

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use nexusmon_agent::journal::{Journal, Kept, Opened, Stage};
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::{JournalId, TaskId};
use nexusmon_shared::outcome::{Ending, Report};
use nexusmon_shared::time::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::{Case, Findings, Tier};

const FIRST: u128 = 1;
const FRESH: u128 = 2;

/// What is on disk after each step, and what it says.
struct Step {
    length: usize,
    held: Vec<(AttemptRef, u8)>,
}

/// Received, started, exited.
const fn rank(stage: &Stage) -> u8 {
    match stage {
        Stage::Received => 0,
        Stage::Starting { .. } => 1,
        Stage::Exited(_) => 2,
    }
}

pub(super) fn carry_out(case: &Case) -> Result<Findings> {
    let mut findings = Findings::default();
    findings.parameter("journal", "torn and spoilt");
    let mut rng = StdRng::seed_from_u64(case.seed);
    let folder = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let steps = runtime.block_on(write(folder.path(), &mut rng))?;
    let bytes = std::fs::read(folder.path().join("journal"))?;
    let stride = if case.tier == Tier::Small { 3 } else { 1 };
    for cut in (0..bytes.len()).step_by(stride) {
        let broken = &bytes[..cut];
        if case.planted.is_some() && !findings.details.is_empty() {
            return Ok(findings);
        }
        look(broken, cut, &steps, &mut findings)?;
    }
    for _ in 0..bytes.len() / stride {
        let place = rng.random_range(0..bytes.len());
        if case.planted.is_some() && !findings.details.is_empty() {
            break;
        }
        let mut broken = bytes.clone();
        broken[place] ^= 1 << rng.random_range(0..8);
        look(&broken, place, &steps, &mut findings)?;
    }
    Ok(findings)
}

/// A life of an agent: attempts come, start, end and are acknowledged, each step synced.
async fn write(folder: &Path, rng: &mut StdRng) -> Result<Vec<Step>> {
    let Opened { journal, writer, .. } = Journal::open(folder, JournalId::from_bits(FIRST))?;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let path = folder.join("journal");
    let living = async {
        let mut steps = Vec::new();
        for number in 0..60_u64 {
            let task = TaskId::from_bits(u128::from(number % 20));
            let attempt = AttemptRef { task, fence: Fence { epoch: 1, number: number + 1 } };
            match rng.random_range(0..4) {
                0 => journal.received(attempt),
                1 => drop(journal.starting(attempt, false, None)),
                2 => {
                    journal.starting(attempt, false, None);
                    journal.exited(kept(attempt));
                }
                _ => {
                    let held: Vec<_> = journal.held().into_keys().collect();
                    journal.acknowledged(held.into_iter().take(2));
                }
            }
            journal.flush().await?;
            let length = usize::try_from(std::fs::metadata(&path)?.len())?;
            steps.push(Step { length, held: held(&journal) });
        }
        let _ = stop.send(());
        anyhow::Ok(steps)
    };
    let writing = writer.run(async {
        let _ = stopped.await;
    });
    let (steps, written) = tokio::join!(living, writing);
    written?;
    steps
}

/// Opens what is left of a journal whose first `good` bytes are as they were written.
fn look(broken: &[u8], good: usize, steps: &[Step], findings: &mut Findings) -> Result<()> {
    let folder = scratch()?;
    std::fs::write(folder.path().join("journal"), broken)?;
    findings.count("points", 1);
    let opened = Journal::open(folder.path(), JournalId::from_bits(FRESH)).context("a torn journal opens");
    let Opened { journal, .. } = match opened {
        Ok(opened) => opened,
        // A spoilt format number looks like a newer program's journal; refusing to guess is right.
        Err(_) if broken.len() > good => return Ok(()),
        Err(error) => return Err(error),
    };
    // The new id is how the coordinator learns that entries may be missing.
    if journal.id() == JournalId::from_bits(FRESH) {
        return Ok(());
    }
    let whole = broken.len() <= good;
    // Cut between two steps, or spoilt and believed all the same: it must say exactly what one of the steps said.
    let said = held(&journal);
    let exact = if whole { steps.iter().find(|step| step.length == good) } else { steps.last() };
    if let Some(step) = exact.filter(|step| step.held != said) {
        let detail =
            format!("at byte {good}: {} attempts held, {} written down", step.held.len(), said.len());
        findings.violation("journal_entries_lost", detail);
    }
    Ok(())
}

/// In memory where there is such a place: what is looked at is what was written, not whether it was synced.
fn scratch() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

fn held(journal: &Journal) -> Vec<(AttemptRef, u8)> {
    journal.held().into_iter().map(|(attempt, stage)| (attempt, rank(&stage))).collect()
}

fn kept(attempt: AttemptRef) -> Arc<Kept> {
    let report = Report {
        attempt,
        ending: Ending::Succeeded { outputs: serde_json::Map::new() },
        started_at: Some(Timestamp::from_micros(1)),
        finished_at: Timestamp::from_micros(2),
        artifacts: Vec::new(),
        log_bytes: 0,
        sandbox_level: None,
        provenance: None,
    };
    Arc::new(Kept { report, collected: Vec::new(), idempotent: false })
}

/// Whether a journal that loses what it was told, or believes what is damaged, is noticed.
pub(in super::super) fn catches(bug: &'static str) -> Option<String> {
    let case = Case { number: 3, seed: 7, tier: Tier::Small, planted: Some(bug) };
    let found = nexusmon_shared::planted::with(bug, || carry_out(&case)).ok()?;
    found.details.first().cloned()
}
