//! A unit of work: what it changes, what it writes down and whom it wakes commit together or not at all.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use nexusmon_shared::id::AuditId;
use nexusmon_shared::time::{SharedClock, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::audit::{AuditEntry, WaitingAuditRow};
use crate::connection::{Connection, Link};
use crate::error::StoreError;
use crate::openings::OpeningRow;
use crate::rider::Rider;
use crate::topic::{Topic, Topics};

/// A connection inside a unit of work. Reading methods come from [`Connection`].
///
/// Any error of a statement ends the unit: return it. PostgreSQL refuses everything after one anyway.
#[derive(Debug)]
pub struct Tx {
    pub(crate) connection: Connection,
    clock: SharedClock,
    ids: Arc<AuditIds>,
    audit: Vec<WaitingAuditRow>,
    openings: Vec<OpeningRow>,
    topics: Topics,
    /// This unit has seen that nothing is halted, and holds it so.
    pub(crate) unhalted: bool,
}

/// What a unit of work leaves behind beside its rows.
#[derive(Debug, Default)]
pub(crate) struct Collected {
    pub(crate) audit: Vec<WaitingAuditRow>,
    /// Of these entries.
    pub(crate) openings: Vec<OpeningRow>,
    pub(crate) topics: Topics,
}

impl Collected {
    pub(crate) fn append(&mut self, mut other: Self) {
        self.audit.append(&mut other.audit);
        self.openings.append(&mut other.openings);
        self.topics = self.topics.union(other.topics);
    }
}

impl Tx {
    pub(crate) fn new(link: Link, name: &'static str, clock: SharedClock, ids: Arc<AuditIds>) -> Self {
        let connection = Connection::new(link, name);
        let (audit, openings, topics) = (Vec::new(), Vec::new(), Topics::default());
        Self { connection, clock, ids, audit, openings, topics, unhalted: false }
    }

    /// Takes what was collected, so that the next unit on the same connection starts clean.
    pub(crate) fn take_collected(&mut self) -> Collected {
        self.unhalted = false;
        Collected {
            audit: std::mem::take(&mut self.audit),
            openings: std::mem::take(&mut self.openings),
            topics: std::mem::take(&mut self.topics),
        }
    }

    /// Writes entries down: committed with this unit, numbered in the order given.
    pub fn audit(&mut self, entries: impl IntoIterator<Item = AuditEntry>) -> Result<(), StoreError> {
        for entry in entries {
            let id = self.ids.next(entry.at);
            let (row, mut openings) = entry.seal(id)?;
            self.audit.push(row);
            self.openings.append(&mut openings);
        }
        Ok(())
    }

    /// Takes an idempotency key along, if this unit has written anything down.
    pub(crate) async fn board(&mut self, rider: &Rider) -> Result<bool, StoreError> {
        let audit = std::mem::take(&mut self.audit);
        let rode = rider.board(self, &audit).await;
        self.audit = audit;
        rode
    }

    /// Marks a place inside this unit that [`Self::back_to`] returns to.
    pub async fn savepoint(&mut self, name: &'static str) -> Result<(), StoreError> {
        self.connection.script(&format!("SAVEPOINT {name}")).await
    }

    /// What was written since the savepoint stays part of this unit.
    pub async fn release(&mut self, name: &'static str) -> Result<(), StoreError> {
        self.connection.script(&format!("RELEASE SAVEPOINT {name}")).await
    }

    /// What was written since the savepoint is undone, a failed statement included; entries given to [`Self::audit`]
    /// are not.
    pub async fn back_to(&mut self, name: &'static str) -> Result<(), StoreError> {
        self.connection.mend();
        // What was locked since is not any longer.
        self.unhalted = false;
        self.connection.script(&format!("ROLLBACK TO SAVEPOINT {name}; RELEASE SAVEPOINT {name}")).await
    }

    /// Fires `topic` once this unit has committed.
    pub fn wake(&mut self, topic: Topic) {
        self.topics.add(topic);
    }

    /// The coordinator's time.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

impl Deref for Tx {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}

/// Audit ids: always growing within a process (RFC 9562, 6.2: the random part counts up within a millisecond).
#[derive(Debug)]
pub(crate) struct AuditIds(Mutex<(StdRng, u128)>);

impl AuditIds {
    pub(crate) fn new(seed: [u8; 32]) -> Self {
        Self(Mutex::new((StdRng::from_seed(seed), 0)))
    }

    fn next(&self, at: Timestamp) -> AuditId {
        let mut state = self.0.lock().expect("no holder of this lock panics");
        let (rng, last) = &mut *state;
        let fresh = AuditId::new(at, rng).to_bits();
        *last = fresh.max(*last + 1);
        AuditId::from_bits(*last)
    }
}
