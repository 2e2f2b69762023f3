//! Enrolled machines, the invites that let them in, and classes they refused.

use nexusmon_shared::id::{AgentId, InviteId, PrincipalId};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::Timestamp;

use crate::classes::ClassId;
use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Json, Value, args, record, words};
use crate::transaction::Tx;

words! {
    /// What the operator made of an agent. Whether it is connected is its session's matter.
    pub enum AgentState {
        /// Enrolled, waits for a person's confirmation.
        Pending = "pending",
        Active = "active",
        Draining = "draining",
        Paused = "paused",
        Quarantined = "quarantined",
        Revoked = "revoked",
    }
}

record! {
    pub struct InviteRow {
        pub id: InviteId,
        pub name: String,
        pub labels: Json<Labels>,
        pub max_rank: Rank,
        /// The HMAC key, wrapped by the master key.
        pub key_wrapped: String,
        pub created_by: PrincipalId,
        pub created_at: Timestamp,
        pub expires_at: Timestamp,
        pub used_at: Option<Timestamp>,
        pub used_by: Option<AgentId>,
        pub revoked_at: Option<Timestamp>,
    }

    pub struct AgentRow {
        pub id: AgentId,
        pub name: String,
        pub state: AgentState,
        pub labels: Json<Labels>,
        pub max_rank: Rank,
        /// Hexadecimal.
        pub identity_key: String,
        pub sealing_key: String,
        /// Grows with each certificate issued.
        pub join_counter: u64,
        /// JSON object as text.
        pub facts: String,
        /// The newest Hello, as JSON of the caller's making.
        pub hello: Option<String>,
        pub invite: Option<InviteId>,
        pub certificate_until: Option<Timestamp>,
        pub created_at: Timestamp,
        pub revoked_at: Option<Timestamp>,
        pub version: i64,
        /// What a person has to compare before it is trusted with rank B and above.
        pub words: Option<String>,
        pub confirmed_at: Option<Timestamp>,
        pub confirmed_by: Option<PrincipalId>,
    }

    struct ShutOut {
        pub id: AgentId,
        pub state: AgentState,
    }

    /// A class an agent refused by local policy.
    pub struct BarRow {
        pub agent: AgentId,
        pub class: ClassId,
        pub reason: String,
        pub at: Timestamp,
    }
}

/// What a list of agents may be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct AgentFilter {
    pub states: Vec<AgentState>,
}

impl Connection {
    pub async fn agent(&mut self, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM agents WHERE id = $1", AgentRow), args![id]).await
    }

    /// The agent of that name that is not revoked.
    pub async fn agent_named(&mut self, name: &str) -> Result<Option<AgentRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM agents WHERE name = $1 AND revoked_at IS NULL", AgentRow),
            args![name],
        )
        .await
    }

    pub async fn agents_by_id(&mut self, ids: &[AgentId]) -> Result<Vec<AgentRow>, StoreError> {
        let sql = sql!("SELECT agents.* FROM [rows] JOIN agents ON agents.id = r.value", Value<AgentId>);
        self.fetch_by(sql, ids, args![]).await
    }

    /// Every agent that is not revoked.
    pub async fn live_agents(&mut self) -> Result<Vec<AgentRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM agents WHERE revoked_at IS NULL ORDER BY id", AgentRow),
            args![],
        )
        .await
    }

    /// Agents that may not speak: quarantined, or revoked since `since`.
    pub async fn agents_shut_out(
        &mut self,
        since: Timestamp,
    ) -> Result<Vec<(AgentId, AgentState)>, StoreError> {
        let rows: Vec<ShutOut> = self
            .fetch(
                sql!("SELECT [columns] FROM agents WHERE state = 'quarantined' OR revoked_at > $1", ShutOut),
                args![since],
            )
            .await?;
        Ok(rows.into_iter().map(|row| (row.id, row.state)).collect())
    }

    pub async fn agent_list(
        &mut self,
        filter: &AgentFilter,
        page: &PageRequest,
    ) -> Result<Page<AgentRow>, StoreError> {
        let mut list = Filter::over::<AgentRow>("agents");
        list.among("state", &filter.states);
        list.newest_first("id", page);
        list.page(self, page, |row: &AgentRow| row.id.to_string()).await
    }

    pub async fn invite(&mut self, id: InviteId) -> Result<Option<InviteRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM invites WHERE id = $1", InviteRow), args![id]).await
    }

    pub async fn invite_list(&mut self, page: &PageRequest) -> Result<Page<InviteRow>, StoreError> {
        let mut list = Filter::over::<InviteRow>("invites");
        list.newest_first("id", page);
        list.page(self, page, |row: &InviteRow| row.id.to_string()).await
    }

    pub async fn bars(&mut self) -> Result<Vec<BarRow>, StoreError> {
        self.fetch(sql!("SELECT [columns] FROM bars ORDER BY agent, class", BarRow), args![]).await
    }
}

impl Tx {
    pub async fn insert_invite(&mut self, row: &InviteRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("invites", InviteRow), std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// Uses an invite up, if it is unused, unrevoked and unexpired: of many that race, one gets the row.
    pub async fn consume_invite(
        &mut self,
        id: InviteId,
        agent: AgentId,
        now: Timestamp,
    ) -> Result<Option<InviteRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "UPDATE invites SET used_at = $2, used_by = $3 WHERE id = $1 AND used_at IS NULL \
                 AND revoked_at IS NULL AND expires_at > $2 RETURNING [columns]",
                InviteRow
            ),
            args![id, now, agent],
        )
        .await
    }

    /// False if it was used or revoked already.
    pub async fn revoke_invite(&mut self, id: InviteId, now: Timestamp) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                sql!("UPDATE invites SET revoked_at = $2 WHERE id = $1 AND used_at IS NULL AND revoked_at IS NULL"),
                args![id, now],
            )
            .await?;
        Ok(changed == 1)
    }

    pub async fn insert_agent(&mut self, row: &AgentRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("agents", AgentRow), std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// The agent, locked until this unit ends.
    pub async fn lock_agent(&mut self, id: AgentId) -> Result<Option<AgentRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM agents WHERE id = $1 /*pg FOR UPDATE*/", AgentRow),
            args![id],
        )
        .await
    }

    /// Changes an agent if its version is still `row.version`; the version grows.
    pub async fn update_agent(&mut self, row: &AgentRow) -> Result<(), StoreError> {
        let mut next = row.clone();
        next.version += 1;
        let sql = sql!(
            "UPDATE agents SET [set] FROM [rows] WHERE agents.id = r.id AND agents.version = r.version - 1",
            AgentRow
        );
        if self.execute_batch(sql, &[next], args![]).await? == 1 {
            return Ok(());
        }
        let version =
            self.value(sql!("SELECT version AS value FROM agents WHERE id = $1"), args![row.id]).await?;
        Err(StoreError::Conflict { entity: "agent", id: row.id.to_string(), version })
    }

    /// Takes the next certificate number, if the agent's last was `expected`. `None`: it was not (a clone).
    pub async fn raise_join_counter(
        &mut self,
        id: AgentId,
        expected: u64,
        certificate_until: Timestamp,
    ) -> Result<Option<u64>, StoreError> {
        self.value(
            sql!(
                "UPDATE agents SET join_counter = join_counter + 1, certificate_until = $3 \
                 WHERE id = $1 AND join_counter = $2 RETURNING join_counter AS value"
            ),
            args![id, expected, certificate_until],
        )
        .await
    }

    pub async fn insert_bars(&mut self, rows: &[BarRow]) -> Result<(), StoreError> {
        let insert = insert!("bars", BarRow, "ON CONFLICT (agent, class) DO NOTHING");
        self.execute_batch(insert, rows, args![]).await.map(drop)
    }

    /// An agent's manifest, configuration or labels changed: everything may be offered again.
    pub async fn clear_bars(&mut self, agent: AgentId) -> Result<u64, StoreError> {
        self.execute(sql!("DELETE FROM bars WHERE agent = $1"), args![agent]).await
    }
}
