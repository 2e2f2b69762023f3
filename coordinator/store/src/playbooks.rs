//! Playbooks, a row per version, and what missions were made of them.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId, StandingId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;

use crate::chains::Follows;
use crate::connection::Connection;
use crate::dialect::{insert, sql};
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{Value, args, record};
use crate::transaction::Tx;

record! {
    pub struct PlaybookRow {
        pub name: Name,
        pub version: i64,
        pub digest: Digest,
        /// JSON, as it was written.
        pub body: String,
        pub created_by: PrincipalId,
        pub created_at: Timestamp,
        pub retired_at: Option<Timestamp>,
    }

    /// What a mission was made of.
    pub struct MissionInputsRow {
        pub mission: MissionId,
        pub playbook: Name,
        pub version: i64,
        /// Canonical JSON object, defaults included.
        pub inputs: String,
        pub inputs_digest: Digest,
        pub shape: Digest,
        /// JSON list of open leaves in plan order.
        pub leaves: String,
        /// The standing approval that let it begin.
        pub standing: Option<StandingId>,
        /// Where the playbook says what follows.
        pub follows: Option<Follows>,
    }
}

impl Connection {
    /// A version, or the newest that is not retired.
    pub async fn playbook(
        &mut self,
        name: &Name,
        version: Option<i64>,
    ) -> Result<Option<PlaybookRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM playbooks WHERE name = $1 AND (version = $2 OR ($2 = 0 AND retired_at IS NULL)) \
                 ORDER BY version DESC LIMIT 1",
                PlaybookRow
            ),
            args![*name, version.unwrap_or(0)],
        )
        .await
    }

    /// Every version, newest first.
    pub async fn playbook_versions(&mut self, name: &Name) -> Result<Vec<PlaybookRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM playbooks WHERE name = $1 ORDER BY version DESC LIMIT 1000",
                PlaybookRow
            ),
            args![*name],
        )
        .await
    }

    /// The newest version of each that is not retired, by name.
    pub async fn playbook_list(&mut self, page: &PageRequest) -> Result<Page<PlaybookRow>, StoreError> {
        let mut list = Filter::over::<PlaybookRow>(
            "(SELECT * FROM playbooks AS p WHERE p.retired_at IS NULL AND p.version = (SELECT MAX(version) \
             FROM playbooks AS newer WHERE newer.name = p.name)) AS playbooks",
        );
        list.in_order("name", page);
        list.page(self, page, |row: &PlaybookRow| row.name.to_string()).await
    }

    /// Of those missions that were made from playbooks.
    pub async fn mission_inputs(
        &mut self,
        missions: &[MissionId],
    ) -> Result<Vec<MissionInputsRow>, StoreError> {
        let sql = sql!(
            "SELECT mission_inputs.* FROM [rows] JOIN mission_inputs ON mission_inputs.mission = r.value",
            Value<MissionId>
        );
        self.fetch_by(sql, missions, args![]).await
    }
}

impl Tx {
    /// Adds a version; one that is there already is `Unique`.
    pub async fn insert_playbook(&mut self, row: &PlaybookRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("playbooks", PlaybookRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    /// No mission is made from it any more, unless it gets another version. False if it was so already.
    pub async fn retire_playbook(&mut self, name: &Name, now: Timestamp) -> Result<bool, StoreError> {
        let changed = self
            .execute(
                sql!("UPDATE playbooks SET retired_at = $2 WHERE name = $1 AND retired_at IS NULL"),
                args![*name, now],
            )
            .await?;
        Ok(changed > 0)
    }

    pub async fn insert_mission_inputs(&mut self, rows: &[MissionInputsRow]) -> Result<(), StoreError> {
        self.execute_batch(insert!("mission_inputs", MissionInputsRow), rows, args![]).await.map(drop)
    }

    /// The mission has a plan of its own by now.
    pub async fn forget_mission_inputs(&mut self, mission: MissionId) -> Result<(), StoreError> {
        self.execute(sql!("DELETE FROM mission_inputs WHERE mission = $1"), args![mission]).await.map(drop)
    }
}
