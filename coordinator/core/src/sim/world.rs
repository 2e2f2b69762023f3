//! The simulated world: its state, one step at a time, and what must hold after each.

mod agents;
mod coordinator;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use nexusmon_shared::attempt::Fence;
use nexusmon_shared::id::{AgentId, MissionId, PrincipalId, TaskId};
use nexusmon_shared::mission::{MissionState, MissionStatus};
use nexusmon_shared::outcome::Report;
use nexusmon_shared::plan::Retry;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::{Task, TaskState, TaskStatus};
use nexusmon_shared::time::{Span, Timestamp};
use rand::RngExt as _;
use rand::rngs::StdRng;

use crate::task::{TaskRules, fresh};

/// What the world is made of.
#[derive(Debug, Clone, Copy)]
pub struct WorldConfig {
    pub missions: u32,
    pub tasks_per_mission: u32,
    pub agents: u32,
    /// Steps with faults before the world is left to finish in peace.
    pub steps: u32,
    /// Deliberate mistake, to see that the invariants catch it: skip the fence check.
    pub ignore_fences: bool,
}

impl Default for WorldConfig {
    fn default() -> Self {
        Self { missions: 3, tasks_per_mission: 6, agents: 3, steps: 400, ignore_fences: false }
    }
}

/// One thing that happened; the trace of a world is a list of these.
#[derive(Debug, Clone, PartialEq)]
pub struct Event(pub String);

/// A broken invariant, with the seed's trace up to it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{rule} after {} events; last: {:?}", trace.len(), trace.last())]
pub struct Violation {
    pub rule: String,
    pub trace: Vec<Event>,
}

pub(super) struct SimTask {
    pub(super) id: TaskId,
    pub(super) mission: usize,
    pub(super) task: Task,
    pub(super) rules: TaskRules,
    /// Places of tasks of the same mission.
    pub(super) needs: Vec<usize>,
    /// Times any process of it really began.
    pub(super) began: u32,
    /// Times a person said "again".
    pub(super) again: u32,
    /// Known to have succeeded, by an applied report.
    pub(super) succeeded: bool,
    /// Fences it was ever granted under.
    pub(super) granted: BTreeSet<Fence>,
    /// Fences whose failure was counted.
    pub(super) failed: BTreeSet<Fence>,
}

pub(super) struct SimMission {
    pub(super) id: MissionId,
    pub(super) state: MissionState,
    /// The rank it was approved up to.
    pub(super) approved: Rank,
}

/// An attempt as its agent holds it.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) task: usize,
    pub(super) fence: Fence,
    pub(super) started: bool,
    /// Exited, waiting for the acknowledgement.
    pub(super) report: Option<Report>,
}

pub(super) struct SimAgent {
    pub(super) id: AgentId,
    pub(super) session: u64,
    pub(super) connected: bool,
    pub(super) slots: u32,
    pub(super) held: Vec<Held>,
    /// Newest fence seen per task: older orders are refused.
    pub(super) seen: BTreeMap<usize, Fence>,
}

/// On its way.
#[derive(Debug, Clone)]
pub(super) enum Message {
    Order { agent: usize, session: u64, task: usize, fence: Fence },
    Started { agent: usize, task: usize, fence: Fence },
    Finished { agent: usize, task: usize, report: Report },
}

/// Coordinator, network and agents in one deterministic machine.
pub struct World {
    pub(super) config: WorldConfig,
    pub(super) rng: StdRng,
    pub(super) now: Timestamp,
    pub(super) missions: Vec<SimMission>,
    pub(super) tasks: Vec<SimTask>,
    pub(super) agents: Vec<SimAgent>,
    pub(super) network: VecDeque<Message>,
    pub(super) trace: Vec<Event>,
    /// Reports answered with stale.
    pub stale: u32,
    /// Reports applied.
    pub applied: u32,
}

impl World {
    /// A world of missions whose tasks need earlier ones at random.
    pub fn new(config: WorldConfig, mut rng: StdRng) -> Self {
        let start = Timestamp::from_micros(1_000_000);
        let mut tasks = Vec::new();
        for mission in 0..config.missions as usize {
            let first = tasks.len();
            for place in 0..config.tasks_per_mission as usize {
                let needs = (first..first + place).filter(|_| rng.random_ratio(1, 3)).collect();
                let id = TaskId::from_bits(tasks.len() as u128);
                let rules = TaskRules {
                    idempotent: rng.random_bool(0.5),
                    retry: Retry {
                        max: rng.random_range(0..3),
                        backoff: Span::from_secs(5),
                        jitter: 0.2,
                        on: vec![],
                    },
                    rank: if rng.random_ratio(1, 8) { Rank::B } else { Rank::E },
                };
                let task = fresh(1);
                tasks.push(SimTask {
                    id,
                    mission,
                    task,
                    rules,
                    needs,
                    began: 0,
                    again: 0,
                    succeeded: false,
                    granted: BTreeSet::new(),
                    failed: BTreeSet::new(),
                });
            }
        }
        let missions = (0..config.missions)
            .map(|n| SimMission {
                id: MissionId::from_bits(u128::from(n)),
                state: MissionState::Running { since: start },
                // A person approves the rest later.
                approved: if rng.random_ratio(1, 3) { Rank::E } else { Rank::B },
            })
            .collect();
        let agents = (0..config.agents)
            .map(|n| SimAgent {
                id: AgentId::from_bits(u128::from(n)),
                session: 1,
                connected: true,
                slots: 2,
                held: Vec::new(),
                seen: BTreeMap::new(),
            })
            .collect();
        Self {
            config,
            rng,
            now: start,
            missions,
            tasks,
            agents,
            network: VecDeque::new(),
            trace: Vec::new(),
            stale: 0,
            applied: 0,
        }
    }

    /// Runs with faults, then without until every mission is over. The trace on success.
    pub fn run(mut self) -> Result<Self, Violation> {
        for _ in 0..self.config.steps {
            self.step(true)?;
        }
        for _ in 0..20_000 {
            if self.missions.iter().all(|mission| mission.state.status().is_terminal()) {
                return Ok(self);
            }
            self.step(false)?;
        }
        let open: Vec<_> = self
            .tasks
            .iter()
            .filter(|task| !task.task.state.status().is_terminal())
            .map(|task| (task.mission, task.task.state.status()))
            .collect();
        Err(self.violation(format!("left alone, missions never end: {open:?}")))
    }

    pub fn trace(&self) -> &[Event] {
        &self.trace
    }

    fn step(&mut self, faults: bool) -> Result<(), Violation> {
        let before: Vec<(Fence, TaskStatus)> =
            self.tasks.iter().map(|task| (task.task.fence, task.task.state.status())).collect();
        let ended: Vec<MissionStatus> = self.missions.iter().map(|mission| mission.state.status()).collect();
        match self.rng.random_range(0..100_u32) {
            0..20 => self.schedule()?,
            20..45 => self.deliver(faults)?,
            45..60 => self.agent_works(faults)?,
            60..68 => self.leases(),
            68..76 => self.time_passes(),
            76..84 => self.decide_needs(),
            84..88 => self.resolve_uncertain(),
            88..90 if faults => self.crash(),
            90..92 if faults => self.cut(),
            92..93 if faults => self.operate(),
            93..94 if faults => self.restart(),
            _ => self.heal(),
        }
        self.settle_missions();
        self.check(&before, &ended)
    }

    fn check(&self, before: &[(Fence, TaskStatus)], ended: &[MissionStatus]) -> Result<(), Violation> {
        for (task, (fence, status)) in self.tasks.iter().zip(before) {
            let id = task.id;
            if task.task.fence < *fence {
                return Err(self.violation(format!("the fence of {id} fell")));
            }
            if status.is_terminal() && task.task.state.status() != *status {
                return Err(self.violation(format!("{id} left a terminal state")));
            }
            if task.succeeded && task.task.state.status() != TaskStatus::Succeeded {
                return Err(self.violation(format!("the success of {id} was lost")));
            }
            if task.task.state.live_lease().is_some_and(|lease| lease.fence != task.task.fence) {
                return Err(self.violation(format!("{id} holds a lease under another fence than its own")));
            }
            // No leaf here names a cause under which started work may be repeated.
            let allowed = 1 + task.again;
            if !task.rules.idempotent && task.began > allowed {
                return Err(self.violation(format!("{id} is not idempotent and began {} times", task.began)));
            }
            if matches!(task.task.state, TaskState::Leased { .. } | TaskState::Running { .. })
                && task.rules.rank > self.missions[task.mission].approved
            {
                return Err(self.violation(format!("{id} was granted above the approved rank")));
            }
        }
        for (place, mission) in self.missions.iter().enumerate() {
            let over = matches!(mission.state.status(), MissionStatus::Succeeded | MissionStatus::Failed);
            let open = |task: &&SimTask| task.mission == place && !task.task.state.status().is_terminal();
            if over && let Some(task) = self.tasks.iter().find(open) {
                return Err(self.violation(format!("{} is over while {} is open", mission.id, task.id)));
            }
        }
        for (mission, status) in self.missions.iter().zip(ended) {
            if status.is_terminal() && mission.state.status() != *status {
                return Err(self.violation(format!("{} left a terminal state", mission.id)));
            }
        }
        Ok(())
    }

    pub(super) fn violation(&self, rule: String) -> Violation {
        Violation { rule, trace: self.trace.clone() }
    }

    pub(super) fn note(&mut self, event: String) {
        self.trace.push(Event(event));
    }

    fn time_passes(&mut self) {
        let seconds = self.rng.random_range(1..20);
        self.now = self.now + Duration::from_secs(seconds);
        for task in &mut self.tasks {
            if let Some(due) = crate::task::backoff_due(&task.task, None, self.now) {
                task.task = due;
            }
        }
    }

    /// The operator, for commands of the world.
    pub(super) const fn operator() -> PrincipalId {
        PrincipalId::from_bits(1)
    }
}
