//! The kill switch: what was pulled and released, and what agents answered. What grants look at is `organism.halt`.

use nexusmon_shared::id::{AgentId, PrincipalId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::organism::{Halt, Organism};
use crate::record::{args, record};
use crate::transaction::Tx;

record! {
    /// A pull or a release.
    pub struct HaltRow {
        pub number: i64,
        pub level: Halt,
        pub reason: Option<String>,
        pub by_principal: PrincipalId,
        pub at: Timestamp,
    }

    /// The newest answer of an agent.
    pub struct HaltAckRow {
        pub agent: AgentId,
        pub number: i64,
        pub level: Halt,
        pub running: i64,
        pub at: Timestamp,
    }

    /// Live leases of one agent.
    pub struct HeldLeases {
        pub agent: AgentId,
        pub leases: i64,
        /// The longest an attempt may go on behind the newest renewal, in microseconds; 0 where all end with the lease.
        pub allowance: i64,
    }
}

impl Connection {
    /// What was pulled or released last.
    pub async fn newest_halt(&mut self) -> Result<Option<HaltRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM halts ORDER BY number DESC LIMIT 1", HaltRow),
            args![],
        )
        .await
    }

    /// Agents that have answered this pull or release.
    pub async fn halt_acks(&mut self, number: i64) -> Result<Vec<HaltAckRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM halt_acks WHERE number = $1 ORDER BY agent", HaltAckRow),
            args![number],
        )
        .await
    }

    /// Agents that hold leases.
    pub async fn held_leases(&mut self) -> Result<Vec<HeldLeases>, StoreError> {
        self.fetch(
            sql!(
                "SELECT agent, COUNT(*) AS leases, MAX(COALESCE(offline_until - granted_at, 0)) AS allowance \
                 FROM tasks WHERE state IN ('leased', 'running') GROUP BY agent ORDER BY agent",
                HeldLeases
            ),
            args![],
        )
        .await
    }
}

impl Tx {
    /// The organism, which nobody else changes until this unit is over; grants under way come before it.
    pub async fn lock_organism(&mut self) -> Result<Option<Organism>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM organism LIMIT 1 /*pg FOR UPDATE*/", Organism),
            args![],
        )
        .await
    }

    /// Writes a pull or release down and lets grants see it; gives its number.
    pub async fn insert_halt(
        &mut self,
        level: Halt,
        reason: Option<&str>,
        by: PrincipalId,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        self.set_halt(level).await?;
        let number = self
            .value(
                sql!(
                    "INSERT INTO halts (level, reason, by_principal, at) VALUES ($1, $2, $3, $4) \
                     RETURNING number AS value"
                ),
                args![level, reason.map(str::to_owned), by, now],
            )
            .await?;
        number.ok_or_else(|| StoreError::NotFound { entity: "halt", id: String::new() })
    }

    /// Keeps an answer, unless a newer one is there.
    pub async fn put_halt_ack(&mut self, row: &HaltAckRow) -> Result<(), StoreError> {
        let insert = insert!(
            "halt_acks",
            HaltAckRow,
            "ON CONFLICT (agent) DO UPDATE SET number = excluded.number, level = excluded.level, \
             running = excluded.running, at = excluded.at WHERE halt_acks.number <= excluded.number"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }
}
