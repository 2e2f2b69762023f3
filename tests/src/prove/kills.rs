//! kill -9 at random moments: of the coordinator, of an agent, of an agent's spawner, while tasks run and missions come in.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt as _;
use rustix::process::{Pid, Signal, kill_process};

use super::world::{World, feed, pass};
use super::{Case, Findings, KEPT, Run, Tier, at_least};
use crate::cluster::Options;

const AGENTS: usize = 3;
/// Of one case.
const KILLS: u32 = 20;

pub(super) const RUN: Run = Run {
    name: "kills",
    what: "kill -9 at random moments while tasks run, effects counted by the tasks themselves",
    cases: (3, 50),
    at_once: 1,
    patience_seconds: 1_200,
    case: |case| Box::pin(carry_out(case)),
    targets: &[KEPT, &[at_least("kills", 60, 1_000), at_least("tasks", 1_000, 10_000)]],
};

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Coordinator,
    Agent(usize),
    Spawner(usize),
}

async fn carry_out(case: Case) -> Result<Findings> {
    let postgres = case.is_on_postgres();
    let tasks = if case.tier == Tier::Small { 335 } else { 200 };
    rounds(case, postgres, KILLS, tasks).await
}

/// A cluster through so many kills, each while its share of the tasks comes in and runs.
pub(super) async fn rounds(case: Case, postgres: bool, kills: u32, tasks: usize) -> Result<Findings> {
    let options = Options { postgres, agents: AGENTS, slots: 8, planted: case.planted, ..Options::default() };
    let mut world = World::start(options, case.seed).await?;
    world.findings.parameter("database", if postgres { "postgres" } else { "sqlite" });
    world.findings.parameter("agents", AGENTS);
    let mut left = tasks;
    for round in 0..kills {
        let share = left.div_ceil((kills - round) as usize);
        left -= share;
        // A planted bug may show only while something still runs.
        let missions = world.missions(share, if options.planted.is_some() { 3.0 } else { 1.2 });
        let feeding = feed(Arc::clone(&world.api), missions);
        let victim = match world.rng.random_range(0..10) {
            0..4 => Victim::Coordinator,
            4..8 => Victim::Agent(world.rng.random_range(0..AGENTS)),
            _ => Victim::Spawner(world.rng.random_range(0..AGENTS)),
        };
        let after = Duration::from_millis(world.rng.random_range(0..700));
        let down = Duration::from_millis(world.rng.random_range(0..600));
        let (fed, killed) = tokio::join!(feeding, strike(&mut world, victim, after, down));
        killed?;
        let fed = fed?;
        world.accepted.extend(fed);
        world.decide().await?;
    }
    world.settle().await?;
    world.verdict().await
}

async fn strike(world: &mut World, victim: Victim, after: Duration, down: Duration) -> Result<()> {
    pass(after).await;
    match victim {
        Victim::Coordinator => {
            world.cluster.kill_coordinator().await?;
            world.findings.count("kills_of_coordinator", 1);
            pass(down).await;
            world.cluster.start_coordinator().await?;
        }
        Victim::Agent(which) => {
            let id = world.cluster.agents[which].id.clone();
            world.harmed(&id);
            world.cluster.agents[which].kill().await?;
            world.findings.count("kills_of_agents", 1);
            world.harmed(&id);
            pass(down).await;
            world.cluster.agents[which].start()?;
        }
        Victim::Spawner(which) => {
            let id = world.cluster.agents[which].id.clone();
            let spawners = spawners(&world.cluster.agents[which].folder)?;
            for pid in spawners {
                // Between two lives of an agent there is none.
                let _ = kill_process(pid, Signal::KILL);
            }
            world.findings.count("kills_of_spawners", 1);
            world.harmed(&id);
        }
    }
    world.findings.count("kills", 1);
    Ok(())
}

/// The spawner of the agent whose folder this is, as the agent wrote it down.
fn spawners(folder: &std::path::Path) -> Result<Vec<Pid>> {
    let Ok(text) = std::fs::read(folder.join("spawner.json")) else { return Ok(Vec::new()) };
    let mark: serde_json::Value = serde_json::from_slice(&text).context("spawner.json is JSON")?;
    let processes = mark["processes"].as_array().cloned().unwrap_or_default();
    Ok(processes
        .iter()
        .filter_map(|process| Some((process[0].as_i64()?, process[1].as_u64()?)))
        .filter(|(pid, started)| is_still(*pid, *started))
        .filter_map(|(pid, _)| Pid::from_raw(i32::try_from(pid).ok()?))
        .collect())
}

/// Whether the process of this number is the one that began then: numbers are used again.
fn is_still(pid: i64, started: u64) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // The name, in parentheses, may hold anything; after it the start time is the 20th field.
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().nth(19).and_then(|field| field.parse().ok()) == Some(started)
}
