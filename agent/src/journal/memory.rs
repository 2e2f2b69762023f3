//! What the records add up to: held attempts, newest fences, starts counted. A fold, without files.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TaskId;

use super::record::{Kept, Record};

/// Fences are kept for this many tasks at least, and twice as many at most. An order under a fence forgotten long ago is
/// still stopped by its session number.
const FENCES: usize = 100_000;

/// How far an attempt that is not acknowledged has come.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    Received,
    Starting { idempotent: bool },
    Exited(Arc<Kept>),
}

/// The journal's content.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    held: BTreeMap<AttemptRef, Stage>,
    young: HashMap<TaskId, Fence>,
    old: HashMap<TaskId, Fence>,
    starts: BTreeMap<Digest, u32>,
    spawns: Vec<(TaskId, AttemptRef, Bytes)>,
}

impl Memory {
    pub(crate) fn held(&self) -> &BTreeMap<AttemptRef, Stage> {
        &self.held
    }

    pub(crate) fn spawns(&self) -> &[(TaskId, AttemptRef, Bytes)] {
        &self.spawns
    }

    /// The newest fence seen of `task`, if it is remembered.
    pub(crate) fn fence(&self, task: TaskId) -> Option<Fence> {
        self.young.get(&task).or_else(|| self.old.get(&task)).copied()
    }

    pub(crate) fn starts(&self, instance: &Digest) -> u32 {
        self.starts.get(instance).copied().unwrap_or(0)
    }

    /// Remembers that an order under this fence was seen; fences only grow.
    pub(crate) fn see(&mut self, attempt: AttemptRef) {
        let fence = self.fence(attempt.task).map_or(attempt.fence, |known| known.max(attempt.fence));
        self.young.insert(attempt.task, fence);
        if self.young.len() >= FENCES {
            self.old = std::mem::take(&mut self.young);
        }
    }

    pub(crate) fn exited(&mut self, kept: Arc<Kept>) {
        self.see(kept.report.attempt);
        self.held.insert(kept.report.attempt, Stage::Exited(kept));
    }

    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::Header { .. } => {}
            Record::Received { attempt } => {
                self.see(attempt);
                self.held.entry(attempt).or_insert(Stage::Received);
            }
            Record::Starting { attempt, idempotent, instance } => {
                self.see(attempt);
                self.held.insert(attempt, Stage::Starting { idempotent });
                if let Some(instance) = instance {
                    *self.starts.entry(instance).or_default() += 1;
                }
            }
            Record::Exited { kept } => self.exited(Arc::new(*kept)),
            Record::Acknowledged { attempt } => {
                self.held.remove(&attempt);
                self.spawns.retain(|(_, of, _)| *of != attempt);
            }
            Record::Seen { attempt } => self.see(attempt),
            Record::Started { instance, count } => {
                let known = self.starts.entry(instance).or_default();
                *known = count.max(*known);
            }
            Record::Spawned { attempt, task, signed } => {
                self.spawns.push((task, attempt, signed));
            }
            Record::SpawnAnswered { task } => {
                self.spawns.retain(|(known, ..)| *known != task);
            }
        }
    }

    /// The fewest records that give this memory again.
    pub(crate) fn snapshot(&self) -> Vec<Record> {
        let fences = self.old.keys().chain(self.young.keys()).map(|task| AttemptRef {
            task: *task,
            fence: self.fence(*task).expect("the task is in one of the maps"),
        });
        let seen = fences.map(|attempt| Record::Seen { attempt });
        let starts = self
            .starts
            .iter()
            .map(|(instance, count)| Record::Started { instance: *instance, count: *count });
        let held = self.held.iter().map(|(attempt, stage)| match stage {
            Stage::Received => Record::Received { attempt: *attempt },
            Stage::Starting { idempotent } => {
                Record::Starting { attempt: *attempt, idempotent: *idempotent, instance: None }
            }
            Stage::Exited(kept) => Record::Exited { kept: Box::new(Kept::clone(kept)) },
        });
        let spawns = self.spawns.iter().map(|(task, attempt, signed)| Record::Spawned {
            attempt: *attempt,
            task: *task,
            signed: signed.clone(),
        });
        seen.chain(starts).chain(held).chain(spawns).collect()
    }
}
