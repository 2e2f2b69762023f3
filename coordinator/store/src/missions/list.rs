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

    /// A mission by its words.
    struct Found {
        pub number: i64,
        pub subject: MissionId,
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
        if let Some(q) = filter.q.as_ref() {
            return self.mission_search(q, filter, page).await;
        }
        let mut list = Filter::over::<MissionRow>("missions");
        // Few missions are under way, and many are over: what is rare leads, and the rest is looked up.
        let few = !filter.statuses.is_empty() && filter.statuses.iter().all(|status| !status.is_terminal());
        let exact = filter.labels.iter().position(|(_, value)| value != "*").filter(|_| !few);
        let mut order = "id";
        if let Some(place) = exact {
            let (key, value) = &filter.labels[place];
            list.through(THROUGH_LABEL);
            list.require("missions.id = of_label.mission");
            list.with_two("of_label.key = ? AND of_label.value = ?", key.as_str(), value.as_str());
            order = "of_label.mission";
            list.among("status", &filter.statuses);
        }
        list.narrow(filter, exact);
        if exact.is_none() {
            list.each_of("status", &filter.statuses);
        }
        list.newest_first(order, page);
        list.page(self, page, |row: &MissionRow| row.id.to_string()).await
    }

    /// Missions whose goal has the words, newest first: in the order in which they were indexed, which the full-text
    /// index gives without sorting its matches.
    async fn mission_search(
        &mut self,
        q: &str,
        filter: &MissionFilter,
        page: &PageRequest,
    ) -> Result<Page<MissionRow>, StoreError> {
        let words =
            if self.is_postgres() { words_query(q, true) } else { self.words_query_by_age(q).await? };
        let mut list = Filter::over::<Found>(if self.is_postgres() { FOUND_POSTGRES } else { FOUND_SQLITE });
        if self.is_postgres() {
            list.with("words @@ to_tsquery('simple', ?)", &words);
        } else {
            list.with("documents_text MATCH ?", &words);
            list.require("documents.number = documents_text.rowid");
        }
        list.require("documents.kind = 'mission' AND missions.id = documents.subject");
        list.among("status", &filter.statuses);
        list.narrow(filter, None);
        let number = if self.is_postgres() { "number" } else { "documents_text.rowid" };
        list.newest_first_by_number(number, page)?;
        let found = list.page(self, page, |found: &Found| found.number.to_string()).await?;
        let ids: Vec<_> = found.items.iter().map(|found| found.subject).collect();
        let mut rows = self.missions(&ids).await?;
        rows.sort_by_key(|row| ids.iter().position(|id| *id == row.id));
        Ok(Page { items: rows, next_cursor: found.next_cursor })
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

/// The label leads and each mission is looked up, in both databases.
const THROUGH_LABEL: &str = "mission_labels AS of_label CROSS JOIN missions";
const FOUND_SQLITE: &str = "documents_text CROSS JOIN documents CROSS JOIN missions";
const FOUND_POSTGRES: &str = "documents CROSS JOIN missions";

impl Filter {
    /// Everything but statuses and words; the label at `but` is dealt with elsewhere.
    fn narrow(&mut self, filter: &MissionFilter, but: Option<usize>) {
        self.equals("missions.rank", filter.rank.as_ref());
        self.equals("missions.rerun_of", filter.rerun_of.as_ref());
        if let Some(since) = &filter.since {
            // Ids sort by time, so the list ends there.
            let millis = u128::try_from(since.as_micros() / 1000).unwrap_or(0).min((1 << 48) - 1);
            self.with("missions.id >= ?", &MissionId::from_bits(millis << 80));
            self.at_least("missions.created_at", Some(since));
        }
        let others = filter.labels.iter().enumerate().filter(|(place, _)| Some(*place) != but);
        for (_, (key, value)) in others {
            self.with_label(key, value);
        }
    }

    fn with_label(&mut self, key: &str, value: &str) {
        if value == "*" {
            self.with("missions.id IN (SELECT mission FROM mission_labels WHERE key = ?)", key);
        } else {
            // Two conditions on one subquery: the key is bound first.
            self.with_two(
                "EXISTS (SELECT 1 FROM mission_labels WHERE key = ? AND value = ? AND mission = missions.id)",
                key,
                value,
            );
        }
    }
}
