//! The n-th statement, commit, write, sync and rename fails, with a full disk or a broken one, while work goes through.
//! What was acknowledged must still be there, and written down, once the disk is well again.

mod torn;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nexusmon_shared::time::{Clock as _, SystemClock};
use rand::RngExt as _;

use super::world::{World, feed};
use super::{Case, Findings, KEPT, Run, Tier, at_least, none, since};
use crate::cluster::Options;
pub(super) use torn::catches;

const AGENTS: usize = 2;
/// Asked for at a time, and in all.
const TASKS: usize = 20;
const MOST_TASKS: usize = 240;
/// Failures a case waits for before the disk is well again, and how long it waits at most.
const POINTS: u64 = 100;
const SICK: Duration = Duration::from_secs(25);

pub(super) const RUN: Run = Run {
    name: "faults",
    what: "n-th failure of statements, commits, writes, syncs and renames; journals torn at every byte",
    cases: (4, 20),
    at_once: 1,
    patience_seconds: 1_200,
    case: |case| Box::pin(carry_out(case)),
    targets: &[KEPT, &[at_least("points", 200, 2_000), none("journal_entries_lost")]],
};

async fn carry_out(case: Case) -> Result<Findings> {
    if case.number % 4 == 3 {
        return tokio::task::spawn_blocking(move || torn::carry_out(&case)).await?;
    }
    sick(case).await
}

/// A cluster whose coordinator or agents fail every few operations, then a cluster that is well again.
async fn sick(case: Case) -> Result<Findings> {
    let postgres = case.number % 4 == 1;
    let options = Options { postgres, agents: AGENTS, slots: 8, planted: case.planted, ..Options::default() };
    let mut world = World::start(options, case.seed).await?;
    let log = world.cluster.path().join("faults.log");
    let every = |rng: &mut rand::rngs::StdRng, from: u32, to: u32| rng.random_range(from..to);
    let faults = match case.number % 4 {
        // An agent stops at its first error: then it is started again, and so on.
        2 => {
            let rng = &mut world.rng;
            let (write, sync) = (every(rng, 4, 10), every(rng, 3, 7));
            format!("journal.write={write},journal.sync={sync},journal.rename=7")
        }
        _ => {
            let rng = &mut world.rng;
            let (statement, commit) = (every(rng, 40, 90), every(rng, 4, 9));
            let (write, sync, rename) = (every(rng, 4, 9), every(rng, 4, 9), every(rng, 4, 9));
            let folder = every(rng, 4, 9);
            format!(
                "store.statement={statement},store.commit={commit},blob.write={write},blob.sync={sync},\
                 blob.rename={rename},blob.sync_folder={folder}"
            )
        }
    };
    world.findings.parameter("database", if postgres { "postgres" } else { "sqlite" });
    world.findings.parameter("faults", faults.clone());
    let environment = [("NEXUSMON_FAULTS", faults), ("NEXUSMON_FAULTS_LOG", log.display().to_string())];
    let on_agents = case.number % 4 == 2;
    if on_agents {
        for agent in &mut world.cluster.agents {
            agent.kill().await?;
            world.harm.extend([super::world::Harm { agent: agent.id.clone(), at: SystemClock.now() }]);
            agent.set_environment(&environment);
            agent.start()?;
        }
    } else {
        world.cluster.kill_coordinator().await?;
        world.cluster.set_environment(&environment);
        start_stubborn(&mut world).await?;
    }
    work_while_sick(&mut world, &log, case.tier).await?;
    world.findings.count("points", points(&log));
    world.settle().await?;
    world.verdict().await
}

async fn work_while_sick(world: &mut World, log: &Path, tier: Tier) -> Result<()> {
    let begun = SystemClock.boot();
    let enough = if tier == Tier::Small { POINTS } else { POINTS * 2 };
    let mut pace = tokio::time::interval(Duration::from_millis(200));
    let mut left = MOST_TASKS;
    loop {
        let missions = world.missions(TASKS.min(left), 0.3);
        left -= TASKS.min(left);
        let mut feeding = Box::pin(feed(Arc::clone(&world.api), missions));
        let accepted = loop {
            tokio::select! {
                accepted = &mut feeding => break accepted?,
                _ = pace.tick() => revive(world).await?,
            }
            if since(begun) > SICK {
                // Whatever is still being asked for is answered once all is well.
                well_again(world).await?;
                break feeding.await?;
            }
        };
        world.accepted.extend(accepted);
        if since(begun) > SICK || points(log) >= enough || left == 0 {
            return well_again(world).await;
        }
    }
}

/// Everybody begins anew, on a disk that is well.
async fn well_again(world: &mut World) -> Result<()> {
    world.cluster.set_environment(&[]);
    // It may have ended by itself.
    let _ = world.cluster.kill_coordinator().await;
    world.cluster.start_coordinator().await?;
    for which in 0..world.cluster.agents.len() {
        let id = world.cluster.agents[which].id.clone();
        world.harmed(&id);
        world.cluster.agents[which].set_environment(&[]);
        let _ = world.cluster.agents[which].kill().await;
        world.harmed(&id);
        world.cluster.agents[which].start()?;
    }
    Ok(())
}

/// Who could not go on is started again.
async fn revive(world: &mut World) -> Result<()> {
    if world.cluster.coordinator_has_ended()? {
        world.findings.count("coordinator_gave_up", 1);
        start_stubborn(world).await?;
    }
    for which in 0..world.cluster.agents.len() {
        if world.cluster.agents[which].has_ended()? {
            world.findings.count("agent_gave_up", 1);
            let id = world.cluster.agents[which].id.clone();
            world.harmed(&id);
            world.cluster.agents[which].start()?;
        }
    }
    Ok(())
}

/// A start on a sick disk may fail; another one gets further.
async fn start_stubborn(world: &mut World) -> Result<()> {
    for _ in 0..20 {
        match world.cluster.start_coordinator().await {
            Ok(()) => return Ok(()),
            Err(_) => world.findings.count("starts_failed", 1),
        }
    }
    world.cluster.start_coordinator().await.context("twenty starts failed")
}

fn points(log: &Path) -> u64 {
    std::fs::read_to_string(log).unwrap_or_default().lines().count() as u64
}
