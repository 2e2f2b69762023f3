//! Tasks: fences only grow, and what is reported was granted to who reports it.

use std::borrow::Cow;
use std::collections::HashMap;

use nexusmon_shared::attempt::Fence;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, TaskId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::TaskStatus;
use serde::Deserialize;

use super::super::bad::Bad;

#[derive(Deserialize)]
pub(super) struct Granted<'a> {
    #[serde(borrow)]
    fence: Cow<'a, str>,
    agent: AgentId,
    pub(super) rank: Rank,
    pub(super) plan_digest: Digest,
    /// The standing approval it rests on, and which use of it this is.
    #[serde(borrow, default)]
    pub(super) standing: Option<Cow<'a, str>>,
    #[serde(rename = "use", default)]
    pub(super) number: Option<u64>,
}

#[derive(Deserialize)]
pub(super) struct Settled<'a> {
    #[serde(borrow)]
    status: Cow<'a, str>,
    #[serde(borrow)]
    fence: Cow<'a, str>,
    #[serde(borrow, default)]
    ending: Option<Cow<'a, str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Somebody may report.
    Granted,
    /// Nobody knows what became of it; its agent may still say.
    Uncertain,
    /// Waits for the next grant. A late report under the same fence is the truth all the same.
    Between,
    /// Reported under this fence.
    Reported,
    Ended,
}

#[derive(Debug, Clone, Copy)]
struct Task {
    fence: Fence,
    agent: AgentId,
    phase: Phase,
}

/// Of one mission: those that were granted once.
#[derive(Debug, Default)]
pub(super) struct Tasks(HashMap<TaskId, Task>);

impl Tasks {
    pub(super) fn granted(&mut self, id: TaskId, granted: &Granted<'_>) -> Result<(), Bad> {
        let fence = fence(&granted.fence)?;
        if let Some(before) = self.0.get(&id) {
            if fence <= before.fence {
                let reason = format!("a dispatch under fence {fence}, which is not above {}", before.fence);
                return Err(Bad::new("fence", reason));
            }
            let free = match before.phase {
                Phase::Granted => Some("is still granted"),
                Phase::Ended => Some("has ended"),
                _ => None,
            };
            if let Some(why) = free {
                return Err(Bad::new(
                    "fence",
                    format!("a dispatch of a task that {why} under fence {}", before.fence),
                ));
            }
        }
        self.0.insert(id, Task { fence, agent: granted.agent, phase: Phase::Granted });
        Ok(())
    }

    /// Whether it was a report.
    pub(super) fn settled(&mut self, id: TaskId, actor: &str, settled: &Settled<'_>) -> Result<bool, Bad> {
        let Some(status) = TaskStatus::parse(&settled.status) else {
            return Err(Bad::new("body", format!("`{}` is no status of a task", settled.status)));
        };
        if let Some(ending) = &settled.ending {
            self.report(id, actor, &settled.fence, ending)?;
        } else if actor != "nexusmon" {
            return Err(Bad::new("fence", format!("{actor} ends a task without a report")));
        }
        if let Some(task) = self.0.get_mut(&id) {
            if settled.ending.is_none() && task.phase == Phase::Granted && status == TaskStatus::Succeeded {
                return Err(Bad::new("fence", "a task succeeds that was dispatched and not reported"));
            }
            task.phase = match status {
                status if status.is_terminal() => Phase::Ended,
                TaskStatus::Uncertain => Phase::Uncertain,
                _ if settled.ending.is_some() => Phase::Reported,
                _ => Phase::Between,
            };
        }
        Ok(settled.ending.is_some())
    }

    fn report(&self, id: TaskId, actor: &str, under: &str, ending: &str) -> Result<(), Bad> {
        let under = fence(under)?;
        let Some(task) = self.0.get(&id) else {
            return Err(Bad::new(
                "fence",
                format!("`{ending}` is reported of a task that was never dispatched"),
            ));
        };
        if under != task.fence {
            let reason =
                format!("`{ending}` is reported under fence {under}; the current one is {}", task.fence);
            return Err(Bad::new("fence", reason));
        }
        if actor != task.agent.to_string() {
            let reason =
                format!("`{ending}` is reported by {actor}; fence {under} was given to {}", task.agent);
            return Err(Bad::new("fence", reason));
        }
        match task.phase {
            Phase::Granted | Phase::Uncertain | Phase::Between => Ok(()),
            Phase::Reported | Phase::Ended => {
                Err(Bad::new("fence", format!("a second report is counted under fence {under}")))
            }
        }
    }

    /// A person has decided: the fence is above what was given to the agent.
    pub(super) fn resolved(&mut self, id: TaskId) {
        if let Some(task) = self.0.get_mut(&id) {
            task.fence.number += 1;
            task.phase = Phase::Reported;
        }
    }
}

fn fence(text: &str) -> Result<Fence, Bad> {
    let read = || {
        let (epoch, number) = text.split_once('.')?;
        Some(Fence { epoch: epoch.parse().ok()?, number: number.parse().ok()? })
    };
    read().ok_or_else(|| Bad::new("body", format!("`{text}` is not a fence")))
}
