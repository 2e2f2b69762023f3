//! Lists of missions, and what is due.

use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;

use super::MissionRow;
use crate::connection::Connection;
use crate::dialect::sql;
use crate::error::StoreError;
use crate::page::{Filter, Page, PageRequest};
use crate::record::{args, record};
use crate::search::words_query;

/// What a list of missions may be narrowed to.
#[derive(Debug, Clone, Default)]
pub struct MissionFilter {
    pub statuses: Vec<MissionStatus>,
    pub rank: Option<Rank>,
    /// Every one must be carried; the value `*` accepts any.
    pub labels: Vec<(String, String)>,
    /// Words of the goal.
    pub q: Option<String>,
    pub since: Option<Timestamp>,
    pub rerun_of: Option<MissionId>,
}

record! {
    pub struct StatusCount {
        pub status: MissionStatus,
        pub count: i64,
    }

    /// Missions at which time has to act.
    pub struct MissionsDue {
        pub id: MissionId,
        pub status: MissionStatus,
        pub start_at: Option<Timestamp>,
        pub deadline: Option<Timestamp>,
        pub decide_by: Option<Timestamp>,
    }
}

impl Connection {
    /// Missions, newest first.
    pub async fn mission_list(
        &mut self,
        filter: &MissionFilter,
        page: &PageRequest,
    ) -> Result<Page<MissionRow>, StoreError> {
        let mut list = Filter::over::<MissionRow>("missions");
        list.among("status", &filter.statuses);
        list.equals("rank", filter.rank.as_ref());
        list.equals("rerun_of", filter.rerun_of.as_ref());
        list.at_least("created_at", filter.since.as_ref());
        for (key, value) in &filter.labels {
            list.with_label(key, value);
        }
        if let Some(q) = filter.q.as_ref() {
            let words = words_query(q, self.is_postgres());
            list.with(
                if self.is_postgres() {
                    "id IN (SELECT subject FROM documents WHERE kind = 'mission' AND words @@ to_tsquery('simple', ?))"
                } else {
                    "id IN (SELECT subject FROM documents WHERE kind = 'mission' AND number IN \
                     (SELECT rowid FROM documents_text WHERE documents_text MATCH ?))"
                },
                &words,
            );
        }
        list.newest_first("id", page);
        list.page(self, page, |row: &MissionRow| row.id.to_string()).await
    }

    /// How many missions are in each status.
    pub async fn mission_counts(&mut self) -> Result<Vec<StatusCount>, StoreError> {
        self.fetch(sql!("SELECT status, COUNT(*) AS count FROM missions GROUP BY status"), args![]).await
    }

    /// Missions whose start, deadline or decision is due by `now`.
    pub async fn missions_due(&mut self, now: Timestamp, limit: u32) -> Result<Vec<MissionsDue>, StoreError> {
        self.fetch(
            sql!(
                "SELECT id, status, start_at, deadline, decide_by FROM missions WHERE id IN (\
                 SELECT id FROM missions WHERE start_at IS NOT NULL AND started_at IS NULL AND finished_at IS NULL AND start_at <= $1 \
                 UNION SELECT id FROM missions WHERE deadline IS NOT NULL AND finished_at IS NULL AND deadline <= $1 \
                 UNION SELECT id FROM missions WHERE decide_by IS NOT NULL AND decide_by <= $1) \
                 ORDER BY id LIMIT $2"
            ),
            args![now, limit],
        )
        .await
    }

    /// Missions of these statuses, oldest first, after `after`: for start-up and background sweeps.
    pub async fn missions_in(
        &mut self,
        status: MissionStatus,
        after: Option<MissionId>,
        limit: u32,
    ) -> Result<Vec<MissionRow>, StoreError> {
        let after = after.map_or_else(String::new, |id| id.to_string());
        self.fetch(
            sql!(
                "SELECT [columns] FROM missions WHERE status = $1 AND id > $2 ORDER BY id LIMIT $3",
                MissionRow
            ),
            args![status, after, limit],
        )
        .await
    }
}

impl Filter {
    fn with_label(&mut self, key: &str, value: &str) {
        if value == "*" {
            self.with("id IN (SELECT mission FROM mission_labels WHERE key = ?)", key);
        } else {
            // Two conditions on one subquery: the key is bound first.
            self.with_two(
                "id IN (SELECT mission FROM mission_labels WHERE key = ? AND value = ?)",
                key,
                value,
            );
        }
    }
}
