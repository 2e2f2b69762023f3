//! Cuts, stalls, resets and pauses between agents and coordinator, with agents that insist on reports nobody wants any
//! more: they send every report twice, and those of lost leases too.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt as _;
use rustix::process::{Pid, Signal, kill_process};

use super::namespace::Namespace;
use super::proxy::{Flow, Proxy};
use super::world::{INSISTING, World, feed, pass};
use super::{Case, Findings, KEPT, Run, Tier, at_least, none};
use crate::cluster::Options;

const AGENTS: usize = 2;
/// Of one case; one of them lasts longer than a lease.
const FAULTS: u32 = 10;
/// Longer than it takes until a silence is watched, a lease, and what its observer waits beyond it.
const BEYOND_A_LEASE: Duration = Duration::from_secs(47);
/// Tasks more for the one that lasts so long.
const AT_STAKE: usize = 40;

pub(super) const RUN: Run = Run {
    name: "chaos",
    what: "cuts both ways and one way, stalls, delays, resets, half-closes, SIGSTOP; agents that insist",
    cases: (2, 50),
    at_once: 2,
    patience_seconds: 1_200,
    case: |case| Box::pin(carry_out(case)),
    targets: &[
        KEPT,
        &[
            at_least("faults", 20, 500),
            at_least("stale_reports", 100, 2_500),
            at_least("stale_of_older_fences", 10, 500),
            none("stale_accepted"),
        ],
    ],
};

/// What is done to the line of one agent, or to a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Cut,
    CutUp,
    CutDown,
    Late,
    Trickle,
    Reset,
    HalfClose,
    PauseAgent,
    PauseCoordinator,
}

const FAULTS_KNOWN: [Fault; 9] = [
    Fault::Cut,
    Fault::CutUp,
    Fault::CutDown,
    Fault::Late,
    Fault::Trickle,
    Fault::Reset,
    Fault::HalfClose,
    Fault::PauseAgent,
    Fault::PauseCoordinator,
];

async fn carry_out(case: Case) -> Result<Findings> {
    if case.tier == Tier::Full && case.number % 5 == 4 {
        match Namespace::make(u8::try_from(case.number % 200).unwrap_or(0) + 1) {
            Ok(namespace) => return in_namespace(case, namespace).await,
            Err(reason) => eprintln!("chaos {}: through the proxy, not a namespace: {reason}", case.number),
        }
    }
    let planted = match case.planted {
        Some(bug) => bug,
        None => INSISTING,
    };
    let tasks: usize = if case.tier == Tier::Small { 240 } else { 200 };
    let options = Options {
        postgres: case.is_on_postgres(),
        agents: 0,
        slots: 16,
        planted: Some(planted),
        ..Options::default()
    };
    let mut world = World::start(options, case.seed).await?;
    let mut proxies = Vec::new();
    for number in 1..=AGENTS {
        let proxy = Proxy::start(world.cluster.grpc().parse()?).await?;
        world.cluster.add_agent_behind(&format!("agent-{number}"), &[], Some(proxy.address)).await?;
        proxies.push(proxy);
    }
    let long = world.rng.random_range(0..FAULTS);
    world.findings.parameter("database", if options.postgres { "postgres" } else { "sqlite" });
    world.findings.parameter("agents", AGENTS);
    let mut left = tasks;
    for round in 0..FAULTS {
        let share = left.div_ceil((FAULTS - round) as usize);
        left -= share;
        let missions = world.missions(share + if round == long { AT_STAKE } else { 0 }, 1.5);
        let accepted = feed(Arc::clone(&world.api), missions).await?;
        world.accepted.extend(accepted);
        let which = world.rng.random_range(0..AGENTS);
        let (fault, lasting) = if round == long {
            // Both kinds of silence that outlast a lease, in turn.
            let fault = [Fault::Cut, Fault::CutUp, Fault::PauseAgent, Fault::PauseCoordinator];
            (fault[case.number as usize % fault.len()], BEYOND_A_LEASE)
        } else {
            let fault = FAULTS_KNOWN[world.rng.random_range(0..FAULTS_KNOWN.len())];
            (fault, Duration::from_millis(world.rng.random_range(200..3_000)))
        };
        let before = Duration::from_millis(world.rng.random_range(0..400));
        pass(before).await;
        inflict(&mut world, &proxies[which], which, fault, lasting).await?;
        world.findings.count("faults", 1);
        world.decide().await?;
    }
    world.settle().await?;
    world.verdict().await
}

async fn inflict(
    world: &mut World,
    proxy: &Proxy,
    which: usize,
    fault: Fault,
    lasting: Duration,
) -> Result<()> {
    match fault {
        Fault::Cut => proxy.change(|weather| (weather.up, weather.down) = (Flow::Stalled, Flow::Stalled)),
        Fault::CutUp => proxy.change(|weather| weather.up = Flow::Stalled),
        Fault::CutDown => proxy.change(|weather| weather.down = Flow::Stalled),
        Fault::Late => {
            let by = Duration::from_millis(world.rng.random_range(20..400));
            proxy.change(|weather| (weather.up, weather.down) = (Flow::Late(by), Flow::Late(by)));
        }
        Fault::Trickle => proxy.change(|weather| (weather.up, weather.down) = (Flow::Trickle, Flow::Trickle)),
        Fault::Reset => proxy.change(|weather| (weather.resets, weather.open) = (weather.resets + 1, false)),
        Fault::HalfClose => proxy.change(|weather| weather.half_closes += 1),
        Fault::PauseAgent => {
            let agent = world.cluster.agents[which].process_id().context("the agent runs")?;
            return pause(agent, lasting).await;
        }
        Fault::PauseCoordinator => {
            let coordinator = world.cluster.coordinator_id().context("the coordinator runs")?;
            return pause(coordinator, lasting).await;
        }
    }
    pass(lasting).await;
    proxy.calm();
    Ok(())
}

async fn pause(process: u32, lasting: Duration) -> Result<()> {
    let process = Pid::from_raw(i32::try_from(process)?).context("a process id is not zero")?;
    kill_process(process, Signal::STOP)?;
    pass(lasting).await;
    kill_process(process, Signal::CONT)?;
    Ok(())
}

/// Reports on their way when the line breaks, a few times over; for planted bugs.
pub(super) async fn short(case: Case) -> Result<Findings> {
    let options = Options { agents: 0, slots: 8, planted: case.planted, ..Options::default() };
    let mut world = World::start(options, case.seed).await?;
    let proxy = Proxy::start(world.cluster.grpc().parse()?).await?;
    world.cluster.add_agent_behind("agent-1", &[], Some(proxy.address)).await?;
    for _ in 0..4 {
        let missions = world.missions(12, 1.2);
        let accepted = feed(Arc::clone(&world.api), missions).await?;
        world.accepted.extend(accepted);
        proxy.change(|weather| weather.up = Flow::Stalled);
        let lasting = Duration::from_millis(world.rng.random_range(300..1_200));
        pass(lasting).await;
        proxy.change(|weather| weather.resets += 1);
        proxy.calm();
    }
    world.settle().await?;
    world.verdict().await
}

/// The agents live where packets are really lost.
async fn in_namespace(case: Case, namespace: Namespace) -> Result<Findings> {
    let planted = Some(case.planted.unwrap_or(INSISTING));
    let listen = namespace.host().parse()?;
    let options = Options { agents: 0, slots: 16, planted, listen, ..Options::default() };
    let mut world = World::start(options, case.seed).await?;
    for number in 1..=AGENTS {
        let name = format!("agent-{number}");
        world.cluster.add_agent_within(&name, &[], None, namespace.wrapper()).await?;
    }
    world.findings.parameter("database", "sqlite");
    world.findings.parameter("network", "namespace");
    let long = world.rng.random_range(0..FAULTS);
    for round in 0..FAULTS {
        let missions = world.missions(20, 1.5);
        let accepted = feed(Arc::clone(&world.api), missions).await?;
        world.accepted.extend(accepted);
        match world.rng.random_range(0..3) {
            0 => namespace.cut()?,
            1 => namespace.cut_outward()?,
            _ => namespace.narrow()?,
        }
        let lasting = Duration::from_millis(world.rng.random_range(300..6_000));
        pass(if round == long { BEYOND_A_LEASE } else { lasting }).await;
        namespace.heal()?;
        world.findings.count("faults", 1);
        world.decide().await?;
    }
    world.settle().await?;
    let findings = world.verdict().await;
    drop(namespace);
    findings
}
