//! Carries out the cases of a run: which ones, for how long, and what is written down of each.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use futures::StreamExt as _;
use nexusmon_shared::time::{Clock as _, SystemClock};

use super::evidence::{self, Commit, Line, Verdict};
use super::summary::Summary;
use super::{Bound, Case, Findings, Run, Tier, since};

/// What to carry out.
#[derive(Debug, Clone)]
pub struct Order {
    pub tier: Tier,
    /// This part of so many: cases are dealt out in turn.
    pub shard: (u32, u32),
    /// Cases that held on this commit are not repeated.
    pub resume: bool,
    /// No case is begun after this.
    pub most: Duration,
    /// Added to each case's number.
    pub seed: u64,
    /// One case alone, to look at a failure again.
    pub only: Option<u32>,
    pub evidence: PathBuf,
}

/// Carries out one run and says what came of it.
pub async fn carry_out(run: &'static Run, order: &Order) -> Result<Summary> {
    let commit = Commit::current();
    let known = if order.resume { evidence::read(&order.evidence)? } else { Vec::new() };
    let mut summary = Summary::new(run, order.tier);
    let begun = SystemClock.boot();
    let mut wanted = Vec::new();
    for number in 0..run.cases_of(order.tier) {
        let seed = seed_of(order.seed, number);
        let same = |line: &&Line| {
            line.run == run.name && line.tier == order.tier && line.commit == commit.id && line.seed == seed
        };
        let (part, parts) = order.shard;
        if let Some(line) = known.iter().filter(same).find(|line| line.verdict == Verdict::Held) {
            summary.add(line);
        } else if number % parts == part && order.only.is_none_or(|only| only == number) {
            wanted.push(Case { number, seed, tier: order.tier, planted: None });
        }
    }
    let cases = wanted.into_iter().map(|case| {
        let commit = &commit;
        async move {
            // Asked when its turn comes.
            let late = since(begun) > order.most;
            if late { None } else { Some(one(run, case, commit).await) }
        }
    });
    let mut lines = futures::stream::iter(cases).buffer_unordered(run.at_once);
    while let Some(line) = lines.next().await {
        let Some(line) = line else { continue };
        eprintln!("{} {}: {:?} in {:.0} s", run.name, line.case, line.verdict, line.seconds);
        for detail in line.details.iter().take(5) {
            eprintln!("    {detail}");
        }
        evidence::append(&order.evidence, &line)?;
        summary.add(&line);
    }
    Ok(summary)
}

/// Carries out one case, bounded in time.
pub async fn one(run: &'static Run, case: Case, commit: &Commit) -> Line {
    let (number, seed, tier) = (case.number, case.seed, case.tier);
    let begun = SystemClock.boot();
    let at = SystemClock.now().to_string();
    let patience = Duration::from_secs(run.patience_seconds);
    let (findings, broken) = match tokio::time::timeout(patience, (run.case)(case)).await {
        Ok(Ok(findings)) => (findings, false),
        Ok(Err(error)) => {
            let details = vec![format!("broken: {error:#}")];
            (Findings { details, ..Findings::default() }, true)
        }
        Err(_) => {
            let mut findings = Findings::default();
            findings.violation("stuck", format!("the case did not end within {patience:?}"));
            (findings, false)
        }
    };
    let verdict = match (broken, violated(run, &findings)) {
        (true, _) => Verdict::Broken,
        (false, true) => Verdict::Violated,
        (false, false) => Verdict::Held,
    };
    Line {
        run: run.name.to_owned(),
        case: number,
        seed,
        tier,
        commit: commit.id.clone(),
        changed: commit.changed,
        at,
        seconds: since(begun).as_secs_f64(),
        parameters: findings.parameters,
        measured: findings.measured,
        target: evidence::targets(run),
        verdict,
        details: findings.details,
    }
}

/// Whether anything that must never be was. A measure without a target is information, but for `stuck`.
pub fn violated(run: &Run, findings: &Findings) -> bool {
    let never = |name: &str| {
        name == "stuck" || run.targets().any(|target| target.measure == name && target.bound == Bound::None)
    };
    findings.measured.iter().any(|(name, value)| *value > 0 && never(name))
}

/// Far apart for neighbours, and the same on every machine.
fn seed_of(base: u64, number: u32) -> u64 {
    base.wrapping_mul(1_000_003).wrapping_add(u64::from(number) + 1)
}
