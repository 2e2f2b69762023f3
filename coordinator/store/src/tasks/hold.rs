//! Whole missions at once: holding, releasing, and what of them lives.

use nexusmon_shared::id::{AgentId, MissionId, TaskId};

use super::TaskRow;
use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::record::args;
use crate::transaction::Tx;

impl Connection {
    /// Tasks leased to or running on an agent.
    pub async fn leases_of(&mut self, agent: AgentId) -> Result<Vec<TaskRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM tasks WHERE agent = $1 AND state IN ('leased', 'running') ORDER BY id",
                TaskRow
            ),
            args![agent],
        )
        .await
    }

    /// Tasks leased or running, of one mission.
    pub async fn leases_in(&mut self, mission: MissionId) -> Result<Vec<TaskRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM tasks WHERE mission = $1 AND state IN ('leased', 'running') ORDER BY id",
                TaskRow
            ),
            args![mission],
        )
        .await
    }

    /// Every live lease, after `after`: what a starting node or a kill switch has to look at.
    pub async fn live_leases(
        &mut self,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<TaskRow>, StoreError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        self.fetch(
            sql!(
                "SELECT [columns] FROM tasks WHERE state IN ('leased', 'running') AND agent IS NOT NULL \
                 AND id > $1 ORDER BY id LIMIT $2",
                TaskRow
            ),
            args![after, limit],
        )
        .await
    }

    /// Tasks of a mission that are not terminal, after `after`, in id order.
    pub async fn open_tasks(
        &mut self,
        mission: MissionId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<TaskRow>, StoreError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        self.fetch(
            sql!(
                "SELECT [columns] FROM tasks WHERE mission = $1 AND id > $2 \
                 AND state NOT IN ('succeeded', 'failed', 'skipped', 'cancelled') ORDER BY id LIMIT $3",
                TaskRow
            ),
            args![mission, after, limit],
        )
        .await
    }

    /// The tasks of a mission that no need holds back: what starts first.
    pub async fn roots(
        &mut self,
        mission: MissionId,
        after: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<TaskId>, StoreError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        self.values(
            sql!(
                "SELECT id AS value FROM tasks WHERE mission = $1 AND id > $2 AND state = 'pending' \
                 AND needs_open = 0 ORDER BY id LIMIT $3"
            ),
            args![mission, after, limit],
        )
        .await
    }
}

impl Tx {
    /// Holds or frees every task of a mission that is not terminal. Gives how many changed.
    pub async fn set_held(&mut self, mission: MissionId, held: bool) -> Result<u64, StoreError> {
        self.execute(
            sql!(
                "UPDATE tasks SET held = $2 WHERE mission = $1 AND held <> $2 \
                 AND state NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')"
            ),
            args![mission, held],
        )
        .await
    }

    /// Changes the priority of a mission's tasks that are not terminal.
    pub async fn set_priority(&mut self, mission: MissionId, priority: i64) -> Result<u64, StoreError> {
        self.execute(
            sql!(
                "UPDATE tasks SET priority = $2 WHERE mission = $1 \
                 AND state NOT IN ('succeeded', 'failed', 'skipped', 'cancelled')"
            ),
            args![mission, priority],
        )
        .await
    }

    /// Tasks in backoff whose time has come, locked; others' are passed over.
    pub async fn backoff_due(
        &mut self,
        now: nexusmon_shared::time::Timestamp,
        limit: u32,
    ) -> Result<Vec<TaskRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM tasks WHERE state = 'backoff' AND not_before <= $1 \
                 ORDER BY not_before LIMIT $2 /*pg FOR UPDATE SKIP LOCKED*/",
                TaskRow
            ),
            args![now, limit],
        )
        .await
    }

    /// Tasks in backoff that began it after `latest`, locked; others' are passed over. Looks along all that are in backoff:
    /// for whoever knows that the clock was set back.
    pub async fn backoff_ahead(
        &mut self,
        latest: nexusmon_shared::time::Timestamp,
        limit: u32,
    ) -> Result<Vec<TaskRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM tasks WHERE state = 'backoff' AND since > $1 \
                 ORDER BY not_before LIMIT $2 /*pg FOR UPDATE SKIP LOCKED*/",
                TaskRow
            ),
            args![latest, limit],
        )
        .await
    }
}
