//! What the coordinator does: core's decisions, applied.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use nexusmon_shared::mission::{MissionFailure, MissionStatus};
use nexusmon_shared::outcome::{Ending, Report};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{Level, Profile};
use nexusmon_shared::selector::Selector;
use nexusmon_shared::task::{Outputs, TaskState, TaskStatus};
use rand::RngExt as _;

use super::{Message, Violation, World};
use crate::lease;
use crate::mission::{MissionCommand, MissionEffect, TaskCounts, apply};
use crate::needs::{Condition, Need, decide};
use crate::schedule::{
    AgentView, Availability, Candidate, ClassId, DemandClass, Dynamic, Offer, Snapshot, plan,
};
use crate::sim::strategies::apply_grants;
use crate::task::{self, Cancelled, MissionMood, Resolution, Settled};

impl World {
    fn mood(&self, task: usize) -> MissionMood {
        match self.missions[self.tasks[task].mission].state.status() {
            MissionStatus::Cancelling | MissionStatus::Cancelled => MissionMood::Cancelling,
            _ => MissionMood::Alive,
        }
    }

    pub(super) fn schedule(&mut self) -> Result<(), Violation> {
        let snapshot = self.snapshot();
        let answer = plan(&snapshot);
        if answer != plan(&snapshot) {
            return Err(self.violation("the same snapshot gave two plans".to_owned()));
        }
        if !plan(&apply_grants(&snapshot, &answer)).grants.is_empty() {
            return Err(self.violation("planning again after applying a plan granted more".to_owned()));
        }
        for grant in &answer.grants {
            let Some(at) = self.tasks.iter().position(|task| task.id == grant.task) else { continue };
            let Some(agent) = self.agents.iter().position(|agent| agent.id == grant.agent) else { continue };
            if self.tasks[at].task.state.live_lease().is_some() {
                return Err(self.violation(format!("{} was leased twice", grant.task)));
            }
            let rules = &self.tasks[at].rules;
            let offline = lease::offline_until(rules.idempotent, lease::DEFAULT_OFFLINE, self.now);
            let granted = task::grant(&self.tasks[at].task, grant.agent, grant.session, offline, 1);
            let Ok((task, lease)) = granted else {
                return Err(self.violation(format!("{} was planned but is not ready", grant.task)));
            };
            self.tasks[at].task = task;
            if !self.tasks[at].granted.insert(lease.fence) {
                return Err(self.violation(format!("{} was granted twice under {}", grant.task, lease.fence)));
            }
            self.note(format!("grant {} {} {}", grant.task, grant.agent, lease.fence));
            self.network.push_back(Message::Order {
                agent,
                session: grant.session,
                task: at,
                fence: lease.fence,
            });
        }
        Ok(())
    }

    fn snapshot(&self) -> Snapshot {
        let class = |rank| DemandClass {
            capability: "shell.run".parse().expect("a capability"),
            plugin: None,
            selector: Selector::default(),
            profile: Profile::Strict,
            rank,
            requires_approval: false,
            prefetch: false,
            limits: BTreeMap::new(),
            dynamic: Dynamic::None,
        };
        let ready = self.tasks.iter().filter(|task| {
            task.task.state == TaskState::Ready
                && self.missions[task.mission].state.status() == MissionStatus::Running
        });
        let agents = self.agents.iter().map(|agent| {
            let live = self.tasks.iter().filter_map(|task| task.task.state.live_lease());
            let used = live.filter(|lease| lease.agent == agent.id).count();
            AgentView {
                id: agent.id,
                offer: Arc::new(Offer {
                    name: agent.id.to_string(),
                    capabilities: BTreeMap::from([(
                        "shell.run".parse().expect("a capability"),
                        "1".to_owned(),
                    )]),
                    labels: BTreeMap::new(),
                    slots: agent.slots,
                    levels: BTreeSet::from([Level::L3]),
                    max_rank: Rank::B,
                    allowed: None,
                    consents: false,
                    spawns: false,
                }),
                session: agent.session,
                availability: if agent.connected { Availability::Live } else { Availability::Offline },
                free_slots: agent.slots.saturating_sub(u32::try_from(used).unwrap_or(u32::MAX)),
                prefetch: 0,
                barred: BTreeSet::new(),
                disabled: BTreeSet::new(),
                rate: None,
            }
        });
        Snapshot {
            candidates: ready
                .map(|task| Candidate {
                    task: task.id,
                    mission: self.missions[task.mission].id,
                    class: ClassId(i64::from(task.rules.rank.level())),
                    approved: self.missions[task.mission].approved,
                    budget_left: 1_000,
                })
                .collect(),
            classes: Rank::ALL
                .into_iter()
                .map(|rank| (ClassId(i64::from(rank.level())), class(rank)))
                .collect(),
            agents: agents.collect(),
            limits: BTreeMap::new(),
            rates: BTreeMap::new(),
            disabled: HashSet::new(),
            bands: BTreeMap::new(),
            halted: false,
        }
    }

    /// A report arrives. Acknowledged in every case: applied or recorded as stale.
    pub(super) fn report(&mut self, at: usize, mut report: Report) -> Result<(), Violation> {
        let mood = self.mood(at);
        if self.config.ignore_fences {
            report.attempt.fence = self.tasks[at].task.fence;
        }
        let task = &self.tasks[at];
        match task::settle(&task.task, &task.rules, &report, mood, self.now, &mut self.rng) {
            Settled::Stale => self.stale += 1,
            Settled::Applied(settlement) => {
                self.applied += 1;
                let succeeded = settlement.task.state.status() == TaskStatus::Succeeded;
                self.note(format!("settle {} {}", task.id, settlement.task.state.status().as_str()));
                let task = &mut self.tasks[at];
                task.succeeded |= succeeded;
                task.task = settlement.task;
                let failed = matches!(report.ending, Ending::Failed { .. });
                if failed && !task.failed.insert(report.attempt.fence) {
                    let id = task.id;
                    return Err(self.violation(format!("one failure of {id} was counted twice")));
                }
            }
        }
        Ok(())
    }

    /// Leases whose agents' sessions are gone end.
    pub(super) fn leases(&mut self) {
        for at in 0..self.tasks.len() {
            let Some(lease) = self.tasks[at].task.state.live_lease().copied() else { continue };
            let Some(agent) = self.agents.iter().find(|agent| agent.id == lease.agent) else { continue };
            let same_session = agent.connected && agent.session == lease.session;
            let holds = agent.held.iter().any(|held| held.task == at && held.fence == lease.fence);
            let ended = match (agent.connected, same_session, holds) {
                // Hello under the same journal lacks it, and orders of the old session are dropped.
                (true, false, false) => task::Ended::NeverStarted,
                // Held under a newer session: re-adopted.
                (true, _, true) | (true, true, false) => continue,
                (false, _, _) if lease::is_away(lease.offline_until, self.now) => continue,
                (false, _, _) => task::Ended::Unreported,
            };
            let ended = if ended == task::Ended::NeverStarted && self.lost_journal(at) {
                task::Ended::Unreported
            } else {
                ended
            };
            let mood = self.mood(at);
            let task = &self.tasks[at];
            let (now, rng) = (self.now, &mut self.rng);
            if let Ok(settlement) = task::lease_ended(&task.task, &task.rules, ended, mood, now, rng) {
                self.note(format!("lease ended {} {ended:?}", self.tasks[at].id));
                self.tasks[at].task = settlement.task;
            }
        }
    }

    /// The agent came back without its memory, or the attempt began and is gone: it counts as started.
    fn lost_journal(&self, at: usize) -> bool {
        let task = &self.tasks[at];
        task.began > 0 || matches!(task.task.state, TaskState::Running { .. })
    }

    pub(super) fn decide_needs(&mut self) {
        for at in 0..self.tasks.len() {
            let task = &self.tasks[at];
            let running = self.missions[task.mission].state.status() == MissionStatus::Running;
            if task.task.state != TaskState::Pending || !running {
                continue;
            }
            let needs = task.needs.iter().map(|need| Need::of(&self.tasks[*need].task.state));
            let decision = decide(needs, Condition::None);
            if let Ok(settlement) = task::needs_decided(&task.task, &decision) {
                self.tasks[at].task = settlement.task;
            }
        }
    }

    pub(super) fn resolve_uncertain(&mut self) {
        for at in 0..self.tasks.len() {
            let resolution = match self.rng.random_range(0..3_u32) {
                0 => Resolution::Succeeded { outputs: Outputs::new() },
                1 => Resolution::Failed { comment: "gone".to_owned() },
                _ => Resolution::Retry,
            };
            let again = resolution == Resolution::Retry;
            if let Ok(settlement) = task::resolve(&self.tasks[at].task, resolution, 1) {
                self.tasks[at].again += u32::from(again);
                self.tasks[at].task = settlement.task;
                self.note(format!("resolve {}", self.tasks[at].id));
            }
        }
    }

    /// The operator pauses, resumes or cancels a mission.
    pub(super) fn operate(&mut self) {
        let at = self.rng.random_range(0..self.missions.len());
        let by = Self::operator();
        let command = match self.rng.random_range(0..8_u32) {
            0..3 => MissionCommand::Pause { by },
            3..7 => MissionCommand::Resume,
            _ => MissionCommand::Cancel { by },
        };
        self.command(at, command);
    }

    pub(super) fn command(&mut self, at: usize, command: MissionCommand) {
        let Ok(transition) = apply(&self.missions[at].state, command, self.now) else { return };
        self.missions[at].state = transition.state;
        if transition.effects.contains(&MissionEffect::CancelWaitingTasks) {
            for task in self.tasks.iter_mut().filter(|task| task.mission == at) {
                if let Cancelled::Now(cancelled) = task::cancel(&task.task, 1) {
                    task.task = cancelled;
                }
            }
        }
        self.note(format!("mission {at} {}", self.missions[at].state.status().as_str()));
    }

    pub(super) fn settle_missions(&mut self) {
        for at in 0..self.missions.len() {
            let of_mission = || self.tasks.iter().filter(|task| task.mission == at);
            let counts: TaskCounts = of_mission().map(|task| task.task.state.status()).collect();
            let failure = of_mission().find_map(|task| match &task.task.state {
                TaskState::Failed { cause } => {
                    Some(MissionFailure::Task { task: task.id.to_string(), cause: cause.clone() })
                }
                _ => None,
            });
            let command = MissionCommand::Settle { counts, failure };
            if let Ok(transition) = apply(&self.missions[at].state, command, self.now) {
                self.missions[at].state = transition.state;
            }
        }
    }
}
