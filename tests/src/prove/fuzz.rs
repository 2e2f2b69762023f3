//! Every parser of bytes from outside, fed with spoilt versions of good bytes; on the stable compiler, in this process.

mod mutate;
mod targets;

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use nexusmon_shared::time::{Clock as _, SystemClock};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{Case, Findings, Run, Tier, at_least, none, since};
use targets::{COSTLY, COUNT, TARGETS};

/// Of one target in the small tier, of one that is costly; as long as this in the full one.
const SMALL: u64 = 20_000;
const SMALL_OF_COSTLY: u64 = 500;
const FULL: Duration = Duration::from_secs(60);
const ENOUGH: u64 = SMALL * (COUNT as u64 - COSTLY.len() as u64) + SMALL_OF_COSTLY * COSTLY.len() as u64;
/// Nothing from outside may keep a thread busy for longer.
const SLOW: Duration = Duration::from_secs(2);
/// Inputs remembered to be spoilt further.
const POOL: usize = 512;

pub(super) const RUN: Run = Run {
    name: "fuzz",
    what: "parsers of outside bytes, fed with spoilt versions of good ones",
    cases: (COUNT, COUNT * 4),
    at_once: 1,
    patience_seconds: 1_200,
    case: |case| Box::pin(async move { tokio::task::spawn_blocking(move || carry_out(&case)).await? }),
    targets: &[&[at_least("executions", ENOUGH, 120_000_000), none("panics"), none("slow")]],
};

fn carry_out(case: &Case) -> Result<Findings> {
    let target = &TARGETS[case.number as usize % TARGETS.len()];
    let mut findings = Findings::default();
    findings.parameter("target", target.name);
    let mut rng = StdRng::seed_from_u64(case.seed);
    let mut pool = (target.seeds)();
    pool.extend(corpus(target.name)?);
    let begun = SystemClock.boot();
    let mut executions = 0_u64;
    for input in &pool {
        execute(target, input, &mut findings);
        executions += 1;
    }
    let original = pool.len();
    let small = if COSTLY.contains(&target.name) { SMALL_OF_COSTLY } else { SMALL };
    loop {
        let over = match case.tier {
            Tier::Small => executions >= small,
            Tier::Full => since(begun) >= FULL,
        };
        if over || findings.details.len() > 20 {
            break;
        }
        let input = mutate::spoil(&pool, &mut rng);
        let accepted = execute(target, &input, &mut findings);
        executions += 1;
        // What was taken, though spoilt, is worth spoiling further.
        if accepted && input.len() < 16 * 1024 {
            if pool.len() < POOL {
                pool.push(input);
            } else {
                let place = rng.random_range(original..POOL);
                pool[place] = input;
            }
        }
    }
    findings.count("executions", executions);
    Ok(findings)
}

/// One input; a panic or a long time is a finding, and the input is kept.
fn execute(target: &targets::Target, input: &[u8], findings: &mut Findings) -> bool {
    let begun = busy();
    let done = std::panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    let lasted = busy().saturating_sub(begun);
    if done.is_err() {
        findings.violation("panics", format!("{}: {}", target.name, keep(target.name, input)));
    } else if lasted > SLOW {
        findings.violation("slow", format!("{}: {lasted:?}: {}", target.name, keep(target.name, input)));
    }
    done.unwrap_or(false)
}

/// What this thread has worked: a busy machine makes nobody slow.
fn busy() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a thread does not work for less than nothing")
}

/// Writes an input down; once understood it belongs into the corpus.
fn keep(target: &str, input: &[u8]) -> String {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../test-results/fuzz")).join(target);
    let path = folder.join(nexusmon_shared::digest::Digest::of(input).to_string());
    let written = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    match written {
        Ok(()) => path.display().to_string(),
        Err(_) => input.escape_ascii().to_string(),
    }
}

/// Inputs that once broke something, or reach far.
fn corpus(target: &str) -> Result<Vec<Vec<u8>>> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/corpora")).join(target);
    let mut inputs = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        inputs.push(std::fs::read(entry?.path())?);
    }
    Ok(inputs)
}
