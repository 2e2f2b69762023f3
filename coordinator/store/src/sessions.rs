//! Agents' sessions: one row per agent, whose number every Hello raises. Leases hang on it.

use nexusmon_shared::id::{AgentId, JournalId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::{args, record};
use crate::transaction::Tx;

record! {
    pub struct AgentSessionRow {
        pub agent: AgentId,
        pub session: u64,
        /// The coordinator that holds the stream.
        pub node: String,
        pub journal: JournalId,
        pub connected: bool,
        /// The newest heartbeat that was counted.
        pub heartbeat: u64,
        pub renewed_at: Timestamp,
        pub opened_at: Timestamp,
        pub closed_at: Option<Timestamp>,
    }

    /// A heartbeat to count.
    pub struct Renewal {
        pub agent: AgentId,
        pub session: u64,
        pub heartbeat: u64,
        pub at: Timestamp,
    }
}

/// A session just opened, and what the one before left.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenedSession {
    pub session: u64,
    pub previous: Option<AgentSessionRow>,
}

impl Connection {
    pub async fn agent_session(&mut self, agent: AgentId) -> Result<Option<AgentSessionRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM agent_sessions WHERE agent = $1", AgentSessionRow),
            args![agent],
        )
        .await
    }

    pub async fn agent_sessions(&mut self) -> Result<Vec<AgentSessionRow>, StoreError> {
        self.fetch(sql!("SELECT [columns] FROM agent_sessions ORDER BY agent", AgentSessionRow), args![])
            .await
    }

    /// Sessions last renewed before `before` whose agents still hold leases: candidates for expiry. Whether a lease
    /// has ended is decided with what the observer saw on its own clock.
    pub async fn stale_sessions(
        &mut self,
        before: Timestamp,
        limit: u32,
    ) -> Result<Vec<AgentSessionRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM agent_sessions WHERE renewed_at < $1 AND EXISTS (\
                 SELECT 1 FROM tasks WHERE tasks.agent = agent_sessions.agent \
                 AND tasks.state IN ('leased', 'running')) ORDER BY renewed_at LIMIT $2",
                AgentSessionRow
            ),
            args![before, limit],
        )
        .await
    }
}

impl Tx {
    /// Raises the agent's session number: grants to the number before end here.
    pub async fn open_session(
        &mut self,
        agent: AgentId,
        node: &str,
        journal: JournalId,
        now: Timestamp,
    ) -> Result<OpenedSession, StoreError> {
        let previous: Option<AgentSessionRow> = self
            .fetch_optional(
                sql!(
                    "SELECT [columns] FROM agent_sessions WHERE agent = $1 /*pg FOR UPDATE*/",
                    AgentSessionRow
                ),
                args![agent],
            )
            .await?;
        let session = self
            .value(
                sql!(
                    "INSERT INTO agent_sessions (agent, session, node, journal, connected, heartbeat, renewed_at, \
                     opened_at, closed_at) VALUES ($1, 1, $2, $3, $4, 0, $5, $5, NULL) \
                     ON CONFLICT (agent) DO UPDATE SET session = agent_sessions.session + 1, \
                     node = excluded.node, journal = excluded.journal, connected = excluded.connected, \
                     heartbeat = 0, renewed_at = excluded.renewed_at, opened_at = excluded.opened_at, \
                     closed_at = NULL RETURNING session AS value"
                ),
                args![agent, node, journal, true, now],
            )
            .await?;
        let session =
            session.ok_or_else(|| StoreError::NotFound { entity: "agent", id: agent.to_string() })?;
        Ok(OpenedSession { session, previous })
    }

    /// Counts heartbeats of sessions that are still current; gives the agents for which it held.
    pub async fn renew_sessions(&mut self, renewals: &[Renewal]) -> Result<Vec<AgentId>, StoreError> {
        let mut sorted = renewals.to_vec();
        sorted.sort_by_key(|renewal| renewal.agent);
        let sql = sql!(
            "UPDATE agent_sessions SET heartbeat = r.heartbeat, renewed_at = r.at FROM [rows] \
             WHERE agent_sessions.agent = r.agent AND agent_sessions.session = r.session \
             AND agent_sessions.connected AND agent_sessions.heartbeat < r.heartbeat \
             RETURNING agent_sessions.agent AS value",
            Renewal
        );
        let agents: Vec<crate::record::Value<AgentId>> = self.fetch_batch(sql, &sorted, args![]).await?;
        Ok(agents.into_iter().map(|value| value.0).collect())
    }

    /// The stream is gone. Its number stays, so that leases can be found again; nothing more is granted to it.
    pub async fn close_session(
        &mut self,
        agent: AgentId,
        session: u64,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                sql!(
                    "UPDATE agent_sessions SET connected = $4, closed_at = $3 \
                     WHERE agent = $1 AND session = $2 AND connected"
                ),
                args![agent, session, now, false],
            )
            .await?;
        Ok(changed == 1)
    }

    /// Nothing more is granted to the agent's session, whatever node holds it: grants that are under way come before
    /// this, later ones see it.
    pub async fn shut_session(&mut self, agent: AgentId, now: Timestamp) -> Result<(), StoreError> {
        self.execute(
            sql!("UPDATE agent_sessions SET connected = $3, closed_at = $2 WHERE agent = $1 AND connected"),
            args![agent, now, false],
        )
        .await
        .map(drop)
    }

    /// After a start: streams this node held before are gone.
    pub async fn close_sessions_of(&mut self, node: &str, now: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            sql!("UPDATE agent_sessions SET connected = $3, closed_at = $2 WHERE node = $1 AND connected"),
            args![node, now, false],
        )
        .await
    }
}
