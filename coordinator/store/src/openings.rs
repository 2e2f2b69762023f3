//! What opens the words that entries of the audit log sealed, until it is erased. Written with its entries.

use nexusmon_shared::id::{AuditId, MissionId};

use crate::audit::AuditRow;
use crate::connection::Connection;
use crate::dialect::{each, insert, sql};
use crate::error::StoreError;
use crate::record::{Value, args, record};
use crate::transaction::Tx;

/// What stands beside an entry, as the caller gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// In the entry's body.
    pub place: String,
    /// 32 bytes, hexadecimal.
    pub key: String,
    /// Canonical JSON.
    pub value: String,
}

record! {
    pub struct OpeningRow {
        pub entry: AuditId,
        pub place: String,
        pub mission: Option<MissionId>,
        /// The entry's subject, of an artifact with the version.
        pub about: String,
        pub key: String,
        pub value: String,
    }

    struct Opened {
        pub entry: AuditId,
        pub place: String,
    }
}

impl Connection {
    pub(crate) async fn append_openings(&mut self, rows: &[OpeningRow]) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        self.execute_batch(insert!("audit_openings", OpeningRow), rows, args![]).await.map(drop)
    }

    /// Of those of these entries that `sealed` says have any. No statement where none has.
    pub async fn openings_of(
        &mut self,
        rows: &[AuditRow],
        sealed: impl Fn(&str) -> bool,
    ) -> Result<Vec<OpeningRow>, StoreError> {
        let ids: Vec<AuditId> = rows.iter().filter(|row| sealed(&row.body)).map(|row| row.id).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let sql = each!(
            "SELECT entry, place, mission, about, key, value FROM audit_openings WHERE entry = [?]",
            "SELECT [audit_openings.out] FROM [rows] JOIN audit_openings ON audit_openings.entry = r.value",
            Value<AuditId>,
            OpeningRow
        );
        self.fetch_by(sql, &ids, args![]).await
    }

    /// Words in entries of one mission.
    pub async fn openings_of_mission(&mut self, mission: MissionId) -> Result<Vec<OpeningRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM audit_openings WHERE mission = $1 ORDER BY entry, place", OpeningRow),
            args![mission],
        )
        .await
    }

    /// Words in entries about one thing.
    pub async fn openings_about(&mut self, about: &str) -> Result<Vec<OpeningRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM audit_openings WHERE about = $1 ORDER BY entry, place", OpeningRow),
            args![about],
        )
        .await
    }
}

impl Tx {
    /// Erases words for good; their entries stay. Gives how many there were.
    pub async fn erase_openings(&mut self, rows: &[OpeningRow]) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        let rows: Vec<Opened> =
            rows.iter().map(|row| Opened { entry: row.entry, place: row.place.clone() }).collect();
        let sql = each!(
            "DELETE FROM audit_openings WHERE entry = [?entry] AND place = [?place]",
            "DELETE FROM audit_openings WHERE (entry, place) IN (SELECT r.entry, r.place FROM [rows])",
            Opened
        );
        self.execute_batch(sql, &rows, args![]).await
    }

    /// Erases all words in entries of these missions.
    pub async fn erase_openings_of(&mut self, missions: &[MissionId]) -> Result<u64, StoreError> {
        let sql =
            sql!("DELETE FROM audit_openings WHERE mission IN (SELECT value FROM [rows])", Value<MissionId>);
        self.execute_by(sql, missions, args![]).await
    }
}
