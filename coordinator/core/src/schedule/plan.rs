//! The greedy assignment.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use nexusmon_shared::id::{AgentId, MissionId};

use crate::beliefs::Beta;

use super::explain::explain_class;
use super::limits::Limits;
use super::matching::{Fit, fits};
use super::{AgentView, Candidate, ClassId, DemandClass, Grant, LimitUse, Reason, SchedulePlan, Snapshot};

/// Decides grants and reasons. Deterministic, and greedy in the candidates' order: each task goes to the fitting agent
/// with the better record, where beliefs are used, then with the most free slots (ties by id), so work spreads. Every agent is matched to a class once; the rest costs the
/// logarithm of the number of agents per task.
pub fn plan(snapshot: &Snapshot) -> SchedulePlan {
    let mut answer = SchedulePlan::default();
    let mut round = Round::new(snapshot);
    for candidate in &snapshot.candidates {
        match round.place(candidate) {
            Ok(grant) => answer.grants.push(grant),
            Err(reason) => answer.waiting.push((candidate.task, reason)),
        }
    }
    answer
}

/// Room on one agent: a free slot before one that may only be sent ahead, then the better band, then more room, then the
/// lower id.
type Room = (u8, u8, u32, u32, Reverse<AgentId>, Reverse<usize>);

struct Round<'s> {
    snapshot: &'s Snapshot,
    /// Free slots and prefetch left, by place in `snapshot.agents`.
    room: Vec<(u32, u32)>,
    /// Agents that fit each class met so far. An entry may say more room than there is left; it is corrected when it
    /// comes up.
    fitting: HashMap<ClassId, BinaryHeap<Room>>,
    limits: Limits,
    budgets: HashMap<MissionId, u32>,
    /// Why a class waits, once it does for good in this round.
    reasons: HashMap<ClassId, Reason>,
}

impl<'s> Round<'s> {
    fn new(snapshot: &'s Snapshot) -> Self {
        Self {
            snapshot,
            room: snapshot.agents.iter().map(room).collect(),
            fitting: HashMap::new(),
            limits: Limits::new(snapshot),
            budgets: HashMap::new(),
            reasons: HashMap::new(),
        }
    }

    fn place(&mut self, candidate: &Candidate) -> Result<Grant, Reason> {
        if self.snapshot.halted {
            return Err(Reason::Halted);
        }
        let Some(class) = self.snapshot.classes.get(&candidate.class) else {
            return Err(Reason::Queued);
        };
        if class.rank > candidate.approved && !nexusmon_shared::planted::planted("approval-not-asked") {
            return Err(Reason::AboveApprovedRank { rank: class.rank, approved: candidate.approved });
        }
        if self.snapshot.disabled.contains(&class.capability) {
            return Err(Reason::CapabilityDisabled { capability: class.capability.clone() });
        }
        if let Some(reason) = self.reasons.get(&candidate.class) {
            return Err(reason.clone());
        }
        let left = *self.budgets.get(&candidate.mission).unwrap_or(&candidate.budget_left);
        if left == 0 {
            return Err(Reason::BudgetSpent);
        }
        self.limits.check(class)?;
        let Some(agent) = self.take_agent(candidate.class, class) else {
            let reason = self.no_agent(candidate.class, class);
            self.reasons.insert(candidate.class, reason.clone());
            return Err(reason);
        };
        self.limits.take(class);
        self.budgets.insert(candidate.mission, left - 1);
        Ok(Grant {
            task: candidate.task,
            mission: candidate.mission,
            agent: agent.id,
            session: agent.session,
        })
    }

    /// The fitting agent with the most room, one of whose places is then taken.
    fn take_agent(&mut self, id: ClassId, class: &DemandClass) -> Option<&'s AgentView> {
        let (snapshot, room) = (self.snapshot, &mut self.room);
        let heap = self.fitting.entry(id).or_insert_with(|| {
            let agents = snapshot.agents.iter().enumerate();
            let fitting = agents.filter(|(_, agent)| fits(id, class, agent) == Fit::Fits);
            fitting.map(|(at, agent)| entry(room[at], band(snapshot, id, agent), agent, at)).collect()
        });
        loop {
            let (_, band, slots, prefetch, _, Reverse(at)) = *heap.peek()?;
            let agent = snapshot.agents.get(at)?;
            let (free, ahead) = room.get_mut(at)?;
            if (slots, prefetch) != (*free, *ahead) {
                // Another class took room here since: put the entry where it belongs now.
                heap.pop();
                heap.push(entry((*free, *ahead), band, agent, at));
                continue;
            }
            match (*free, *ahead) {
                (1.., _) => *free -= 1,
                (0, 1..) if class.prefetch => *ahead -= 1,
                // The agent with the most room has none.
                _ => return None,
            }
            let left = (*free, *ahead);
            heap.pop();
            heap.push(entry(left, band, agent, at));
            return Some(agent);
        }
    }

    fn no_agent(&self, id: ClassId, class: &DemandClass) -> Reason {
        match explain_class(id, class, &self.snapshot.agents, &BTreeMap::new()) {
            // Its slots were free in the snapshot and have been given away in this round.
            Reason::Queued => Reason::AgentsBusy {
                agents: self.fitting.get(&id).map_or(0, |heap| u32::try_from(heap.len()).unwrap_or(u32::MAX)),
            },
            reason => reason,
        }
    }
}

/// Free slots and prefetch, as far as the agent's own rate goes.
fn room(agent: &AgentView) -> (u32, u32) {
    let left = agent.rate.and_then(LimitUse::left).unwrap_or(u32::MAX);
    let slots = agent.free_slots.min(left);
    (slots, agent.prefetch.min(left - slots))
}

fn band(snapshot: &Snapshot, class: ClassId, agent: &AgentView) -> u8 {
    snapshot.bands.get(&class).and_then(|bands| bands.get(&agent.id)).copied().unwrap_or(Beta::BEST_BAND)
}

fn entry((slots, prefetch): (u32, u32), band: u8, agent: &AgentView, at: usize) -> Room {
    let kind = if slots > 0 { 2 } else { u8::from(prefetch > 0) };
    (kind, band, slots, prefetch, Reverse(agent.id), Reverse(at))
}
