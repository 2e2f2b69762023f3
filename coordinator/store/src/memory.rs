//! What the organism remembers: found by its words, followed along the audit log, gone where the operator said so.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MemoryId, MissionId};
use nexusmon_shared::time::Timestamp;

use crate::connection::Connection;
use crate::dialect::{Sql, insert, sql};
use crate::error::StoreError;
use crate::record::{Fields as _, Value, args, record, words};
use crate::search::any_word_query;
use crate::transaction::Tx;

words! {
    /// What a memory is of.
    pub enum MemoryKind {
        Mission = "mission",
        Artifact = "artifact",
        Review = "review",
    }
}

record! {
    /// A memory as it is learned. Unique by (kind, subject).
    pub struct MemoryRow {
        pub id: MemoryId,
        pub kind: MemoryKind,
        pub subject: String,
        pub mission: Option<MissionId>,
        /// Of a verified mission: what its plan has in common with others like it.
        pub skeleton: Option<Digest>,
        pub title: String,
        pub body: String,
        /// How the mission behind it came out; more is better.
        pub quality: i64,
        pub runs: i64,
        pub verified: i64,
        pub succeeded: i64,
        pub failed: i64,
        pub recalled: i64,
        pub used: i64,
        pub at: Timestamp,
        pub forgotten_at: Option<Timestamp>,
    }

    /// One that was found; `body` is its beginning.
    pub struct FoundMemory {
        pub id: MemoryId,
        pub kind: MemoryKind,
        pub mission: Option<MissionId>,
        pub title: String,
        pub body: String,
        pub quality: i64,
        pub runs: i64,
        pub verified: i64,
        pub succeeded: i64,
        pub failed: i64,
        pub recalled: i64,
        pub used: i64,
        pub at: Timestamp,
        /// How well its text fits, by the database's own measure: more is better, 0 where nothing was looked for.
        pub fit: f64,
    }

    /// An entry of the audit log that moves a memory.
    pub struct MovedRow {
        pub seq: i64,
        pub mission: MissionId,
    }

    /// What a mission left that can be read.
    pub struct LeftRow {
        pub mission: MissionId,
        pub name: String,
        pub digest: Digest,
        pub size: i64,
        pub media_type: String,
        pub rejected: bool,
    }

    /// A person's word about a mission or what it left.
    pub struct SaidRow {
        pub mission: MissionId,
        pub id: String,
        pub verdict: String,
        pub comment: String,
        pub at: Timestamp,
    }

    /// How often memory was asked on one day, and how often it had something to say.
    pub struct MemoryUse {
        pub day: i64,
        /// `planning`, `answer` or `search`.
        pub purpose: String,
        pub asked: i64,
        pub hits: i64,
        pub used: i64,
    }

    pub struct MemoryCount {
        pub kind: MemoryKind,
        pub kept: i64,
        pub forgotten: i64,
    }

    /// Bytes that a mission left.
    struct LeftBytes {
        pub mission: MissionId,
        pub digest: Digest,
    }

    struct Numbered {
        pub number: i64,
        pub subject: String,
    }

    struct MissionOf {
        pub mission: MissionId,
        pub memory: i64,
        pub quality: i64,
    }

    struct Moved {
        pub number: i64,
        pub runs: i64,
        pub verified: i64,
        pub succeeded: i64,
        pub failed: i64,
    }
}

/// Least `quality` of a mission that counts as verified, and as succeeded; what failed has that one exactly.
pub const VERIFIED: i64 = 4;
pub const SUCCEEDED: i64 = 3;
pub const FAILED: i64 = 2;

/// Characters of a text that come back with it.
const BEGINNING: u32 = 4_000;

fn found(number: &str) -> String {
    FoundMemory::COLUMNS
        .iter()
        .map(|(name, _)| match *name {
            "body" => format!("substr(m.body, 1, {BEGINNING}) AS body"),
            "fit" => format!("{number} AS fit"),
            name => format!("m.{name}"),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

impl Connection {
    /// Memories with any word of `text`, those whose text fits best first.
    pub async fn memories_about(
        &mut self,
        text: &str,
        kind: Option<MemoryKind>,
        limit: u32,
    ) -> Result<Vec<FoundMemory>, StoreError> {
        let query = any_word_query(text, self.is_postgres());
        let narrowed = "m.forgotten_at IS NULL AND (CAST($2 AS TEXT) IS NULL OR m.kind = $2)";
        let text = if self.is_postgres() {
            let columns = found("CAST(ts_rank(m.words, query) AS DOUBLE PRECISION)");
            format!(
                "SELECT {columns} FROM memories AS m, to_tsquery('simple', $1) AS query \
                 WHERE m.words @@ query AND {narrowed} ORDER BY fit DESC, m.number DESC LIMIT $3"
            )
        } else {
            let columns = found("-bm25(memories_text, 4.0, 1.0)");
            format!(
                "SELECT {columns} FROM memories_text JOIN memories AS m ON m.number = memories_text.rowid \
                 WHERE memories_text MATCH $1 AND {narrowed} ORDER BY fit DESC, m.number DESC LIMIT $3"
            )
        };
        self.fetch(&Sql::new(&text, &[]), args![query, kind, limit]).await
    }

    /// The newest memories.
    pub async fn newest_memories(
        &mut self,
        kind: Option<MemoryKind>,
        limit: u32,
    ) -> Result<Vec<FoundMemory>, StoreError> {
        let text = format!(
            "SELECT {} FROM memories AS m WHERE m.forgotten_at IS NULL AND (CAST($1 AS TEXT) IS NULL OR m.kind = $1) \
             ORDER BY m.at DESC, m.number DESC LIMIT $2",
            found("0.0 /*pg ::DOUBLE PRECISION*/")
        );
        self.fetch(&Sql::new(&text, &[]), args![kind, limit]).await
    }

    pub async fn memory(&mut self, id: MemoryId) -> Result<Option<MemoryRow>, StoreError> {
        self.fetch_optional(sql!("SELECT [columns] FROM memories WHERE id = $1", MemoryRow), args![id]).await
    }

    /// Entries after `seq` and up to `through` that tell how a mission came out, or what people think of it.
    pub async fn missions_moved(
        &mut self,
        seq: i64,
        through: i64,
        limit: u32,
    ) -> Result<Vec<MovedRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT seq, mission FROM audit WHERE seq > $1 AND seq <= $2 AND mission IS NOT NULL \
                 AND action IN ('mission.completed', 'mission.cancelled', 'mission.rejected', 'mission.expired', \
                 'evolution.verified', 'evolution.taken_back', 'review.decided', 'artifact.reviewed') \
                 ORDER BY seq LIMIT $3"
            ),
            args![seq, through, limit],
        )
        .await
    }

    /// The first leaves of a plan.
    pub async fn first_leaves(&mut self, mission: MissionId, limit: u32) -> Result<Vec<String>, StoreError> {
        self.values(
            sql!(
                "SELECT spec AS value FROM tasks WHERE mission = $1 AND COALESCE(item_index, -1) = -1 \
                 ORDER BY leaf_index LIMIT $2"
            ),
            args![mission, limit],
        )
        .await
    }

    /// What a mission left beside its logs, newest first. What is withheld or gone is not among it.
    pub async fn left_by(&mut self, mission: MissionId, limit: u32) -> Result<Vec<LeftRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT v.mission, a.name, v.digest, v.size, v.media_type, v.status = 'rejected' AS rejected \
                 FROM artifact_versions AS v JOIN artifacts AS a ON a.id = v.artifact \
                 WHERE v.mission = $1 AND v.kind = 'output' AND v.status IN ('active', 'rejected') \
                 ORDER BY v.id DESC LIMIT $2"
            ),
            args![mission, limit],
        )
        .await
    }

    /// What people said about a mission and about what it left.
    pub async fn said_about(&mut self, mission: MissionId, limit: u32) -> Result<Vec<SaidRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT mission, id, state AS verdict, comment, decided_at AS at FROM reviews \
                 WHERE mission = $1 AND comment IS NOT NULL AND decided_at IS NOT NULL \
                 UNION ALL SELECT v.mission, r.id, r.verdict, r.comment, r.at FROM artifact_versions AS v \
                 JOIN artifact_reviews AS r ON r.version = v.id WHERE v.mission = $1 AND r.comment IS NOT NULL \
                 LIMIT $2"
            ),
            args![mission, limit],
        )
        .await
    }

    pub async fn memory_counts(&mut self) -> Result<Vec<MemoryCount>, StoreError> {
        self.fetch(
            sql!(
                "SELECT kind, COUNT(*) - COUNT(forgotten_at) AS kept, COUNT(forgotten_at) AS forgotten \
                 FROM memories GROUP BY kind ORDER BY kind"
            ),
            args![],
        )
        .await
    }

    /// How memory was used since a day.
    pub async fn memory_uses(&mut self, since_day: i64) -> Result<Vec<MemoryUse>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM memory_uses WHERE day >= $1 ORDER BY day, purpose", MemoryUse),
            args![since_day],
        )
        .await
    }
}

impl Tx {
    /// Remembers missions, each once: what was said of one before is replaced. What was forgotten stays so.
    pub async fn remember_missions(&mut self, rows: &[MemoryRow]) -> Result<(), StoreError> {
        let mut first: BTreeMap<&str, MemoryRow> = BTreeMap::new();
        for row in rows {
            first.entry(&row.subject).or_insert_with(|| row.clone());
        }
        let first: Vec<_> = first.into_values().collect();
        let insert = insert!("memories", MemoryRow, "ON CONFLICT (kind, subject) DO NOTHING");
        self.execute_batch(insert, &first, args![]).await?;
        let subjects: Vec<_> = first.iter().map(|row| row.subject.clone()).collect();
        let known: Vec<Numbered> = self
            .fetch_by(
                sql!(
                    "SELECT memories.number, memories.subject FROM [rows] JOIN memories \
                     ON memories.kind = 'mission' AND memories.subject = r.value",
                    Value<String>
                ),
                &subjects,
                args![],
            )
            .await?;
        let known: BTreeMap<String, i64> = known.into_iter().map(|one| (one.subject, one.number)).collect();
        let mut now: BTreeMap<MissionId, MissionOf> = BTreeMap::new();
        for row in rows {
            if let (Some(mission), Some(memory)) = (row.mission, known.get(&row.subject)) {
                now.insert(mission, MissionOf { mission, memory: *memory, quality: row.quality });
            }
        }
        self.count(now.into_values().collect()).await?;
        // The text is that of the mission that stands for it.
        let sql = sql!(
            "UPDATE memories SET title = r.title, body = r.body, at = r.at, \
             skeleton = COALESCE(r.skeleton, memories.skeleton) FROM [rows] \
             WHERE memories.kind = 'mission' AND memories.subject = r.subject AND memories.mission = r.mission \
             AND memories.forgotten_at IS NULL AND (memories.title <> r.title OR memories.body <> r.body \
             OR memories.at <> r.at OR (r.skeleton IS NOT NULL AND memories.skeleton IS DISTINCT FROM r.skeleton))",
            MemoryRow
        );
        self.execute_batch(sql, rows, args![]).await.map(drop)
    }

    /// Moves the counts of memories to how these missions stand now; those that stand as before move nothing.
    async fn count(&mut self, now: Vec<MissionOf>) -> Result<(), StoreError> {
        let ids: Vec<_> = now.iter().map(|one| one.mission).collect();
        let known: Vec<MissionOf> = self
            .fetch_by(
                sql!(
                    "SELECT m.mission, m.memory, m.quality FROM [rows] JOIN memory_missions AS m ON m.mission = r.value",
                    Value<MissionId>
                ),
                &ids,
                args![],
            )
            .await?;
        let known: BTreeMap<MissionId, MissionOf> = known.into_iter().map(|one| (one.mission, one)).collect();
        let now: Vec<_> = now.into_iter().filter(|one| known.get(&one.mission) != Some(one)).collect();
        let before = now.iter().filter_map(|one| known.get(&one.mission));
        let mut moved: BTreeMap<i64, Moved> = BTreeMap::new();
        for (one, sign) in before.map(|one| (one, -1)).chain(now.iter().map(|one| (one, 1))) {
            let row = moved.entry(one.memory).or_insert(Moved {
                number: one.memory,
                runs: 0,
                verified: 0,
                succeeded: 0,
                failed: 0,
            });
            row.runs += sign;
            row.verified += if one.quality >= VERIFIED { sign } else { 0 };
            row.succeeded += if one.quality >= SUCCEEDED { sign } else { 0 };
            row.failed += if one.quality == FAILED { sign } else { 0 };
        }
        let insert = insert!(
            "memory_missions",
            MissionOf,
            "ON CONFLICT (mission) DO UPDATE SET memory = excluded.memory, quality = excluded.quality"
        );
        self.execute_batch(insert, &now, args![]).await?;
        let moved: Vec<_> = moved.into_values().collect();
        let sql = sql!(
            "UPDATE memories SET runs = memories.runs + r.runs, verified = memories.verified + r.verified, \
             succeeded = memories.succeeded + r.succeeded, failed = memories.failed + r.failed FROM [rows] \
             WHERE memories.number = r.number",
            Moved
        );
        self.execute_batch(sql, &moved, args![]).await?;
        let numbers: Vec<_> = moved.iter().map(|row| row.number).collect();
        self.elect(&numbers).await
    }

    /// Of the missions behind each memory the newest that came out best stands for it.
    async fn elect(&mut self, numbers: &[i64]) -> Result<(), StoreError> {
        let best = sql!(
            "UPDATE memories SET mission = (SELECT b.mission FROM memory_missions AS b \
             WHERE b.memory = memories.number ORDER BY b.quality DESC, b.mission DESC LIMIT 1), \
             quality = COALESCE((SELECT b.quality FROM memory_missions AS b \
             WHERE b.memory = memories.number ORDER BY b.quality DESC, b.mission DESC LIMIT 1), 0) \
             FROM [rows] WHERE memories.number = r.value AND memories.forgotten_at IS NULL",
            Value<i64>
        );
        self.execute_by(best, numbers, args![]).await.map(drop)
    }

    /// Missions that retention takes: a memory with no mission left behind it goes along.
    pub(crate) async fn unremember(&mut self, ids: &[MissionId]) -> Result<(), StoreError> {
        let behind = sql!(
            "SELECT DISTINCT m.memory AS value FROM [rows] JOIN memory_missions AS m ON m.mission = r.value",
            Value<MissionId>
        );
        let numbers: Vec<Value<i64>> = self.fetch_by(behind, ids, args![]).await?;
        let numbers: Vec<_> = numbers.into_iter().map(|number| number.0).collect();
        let behind =
            sql!("DELETE FROM memory_missions WHERE mission IN (SELECT value FROM [rows])", Value<MissionId>);
        self.execute_by(behind, ids, args![]).await?;
        let said = sql!(
            "DELETE FROM memories WHERE kind = 'review' AND forgotten_at IS NULL AND mission IN (SELECT value FROM [rows])",
            Value<MissionId>
        );
        self.execute_by(said, ids, args![]).await?;
        let empty = sql!(
            "DELETE FROM memories WHERE number IN (SELECT value FROM [rows]) AND forgotten_at IS NULL \
             AND NOT EXISTS (SELECT 1 FROM memory_missions AS left_over WHERE left_over.memory = memories.number)",
            Value<i64>
        );
        self.execute_by(empty, &numbers, args![]).await?;
        self.elect(&numbers).await
    }

    /// Of texts gathered before this unit those that may be remembered still: their bytes are there, and nobody has
    /// forgotten the mission they came from. Whoever purges or forgets at this moment waits for this unit.
    pub async fn still_told<'r>(&mut self, rows: &'r [MemoryRow]) -> Result<Vec<&'r MemoryRow>, StoreError> {
        let mut missions = BTreeSet::new();
        let mut left = Vec::new();
        for row in rows {
            let Some(mission) = row.mission else { continue };
            missions.insert(mission);
            if row.kind == MemoryKind::Artifact
                && let Ok(digest) = row.subject.parse()
            {
                left.push(LeftBytes { mission, digest });
            }
        }
        let bytes = sql!(
            "SELECT v.mission, v.digest FROM [rows] JOIN artifact_versions AS v ON v.mission = r.mission \
             AND v.digest = r.digest WHERE v.kind = 'output' AND v.status IN ('active', 'rejected') \
             /*pg FOR SHARE OF v*/",
            LeftBytes
        );
        let there: Vec<LeftBytes> = self.fetch_batch(bytes, &left, args![]).await?;
        let there: BTreeSet<(MissionId, String)> =
            there.into_iter().map(|one| (one.mission, one.digest.to_string())).collect();
        let forgotten = sql!(
            "SELECT b.mission AS value FROM [rows] JOIN memory_missions AS b ON b.mission = r.value \
             JOIN memories AS m ON m.number = b.memory WHERE m.forgotten_at IS NOT NULL",
            Value<MissionId>
        );
        let missions: Vec<_> = missions.into_iter().collect();
        self.hold_memories_of(&missions).await?;
        let forgotten: Vec<Value<MissionId>> = self.fetch_by(forgotten, &missions, args![]).await?;
        let forgotten: BTreeSet<MissionId> = forgotten.into_iter().map(|one| one.0).collect();
        Ok(rows
            .iter()
            .filter(|row| {
                let Some(mission) = row.mission else { return true };
                let gone =
                    row.kind == MemoryKind::Artifact && !there.contains(&(mission, row.subject.clone()));
                !gone && !forgotten.contains(&mission)
            })
            .collect())
    }

    /// Nobody forgets these missions before this unit has ended.
    async fn hold_memories_of(&mut self, missions: &[MissionId]) -> Result<(), StoreError> {
        if !self.is_postgres() {
            return Ok(());
        }
        let sql = sql!(
            "SELECT m.number AS value FROM [rows] JOIN memory_missions AS b ON b.mission = r.value \
             JOIN memories AS m ON m.number = b.memory /*pg FOR SHARE OF m*/",
            Value<MissionId>
        );
        let _: Vec<Value<i64>> = self.fetch_by(sql, missions, args![]).await?;
        Ok(())
    }

    /// Remembers texts and what people said; one of the same kind and subject is replaced where it differs, unless it was
    /// forgotten.
    pub async fn remember_texts(&mut self, rows: &[&MemoryRow]) -> Result<(), StoreError> {
        let mut last: BTreeMap<(MemoryKind, &str), &MemoryRow> = BTreeMap::new();
        for row in rows {
            last.insert((row.kind, row.subject.as_str()), *row);
        }
        let rows: Vec<_> = last.into_values().collect();
        let insert = insert!(
            "memories",
            MemoryRow,
            "ON CONFLICT (kind, subject) DO UPDATE SET title = excluded.title, body = excluded.body, \
             mission = excluded.mission, quality = excluded.quality, at = excluded.at \
             WHERE memories.forgotten_at IS NULL AND (memories.title <> excluded.title \
             OR memories.body <> excluded.body OR memories.mission IS DISTINCT FROM excluded.mission \
             OR memories.quality <> excluded.quality OR memories.at <> excluded.at)"
        );
        self.execute_batch(insert, &rows, args![]).await.map(drop)
    }

    /// Takes a memory's text away for good, with what else is remembered of the missions behind it; gives how many
    /// memories that were. 0: there is none, or it was so already.
    pub async fn forget_memory(&mut self, id: MemoryId, now: Timestamp) -> Result<u64, StoreError> {
        // Whoever learns of those missions comes before the statement below, or after this unit.
        let _: Option<String> = self
            .value(sql!("SELECT id AS value FROM memories WHERE id = $1 /*pg FOR UPDATE*/"), args![id])
            .await?;
        self.execute(
            sql!(
                "UPDATE memories SET title = '', body = '', forgotten_at = $2 WHERE forgotten_at IS NULL AND (id = $1 \
                 OR (kind <> 'mission' AND mission IN (SELECT behind.mission FROM memory_missions AS behind \
                 WHERE behind.memory = (SELECT named.number FROM memories AS named WHERE named.id = $1 \
                 AND named.kind = 'mission'))))"
            ),
            args![id, now],
        )
        .await
    }

    /// What purged bytes said is not remembered either; a later run may bring it back.
    pub async fn forget_bytes(&mut self, digests: &[Digest]) -> Result<(), StoreError> {
        let sql = sql!(
            "DELETE FROM memories WHERE kind = 'artifact' AND forgotten_at IS NULL AND subject IN (SELECT value FROM [rows])",
            Value<Digest>
        );
        self.execute_by(sql, digests, args![]).await.map(drop)
    }

    /// Memory was asked: so often, with so many answers that fitted, so many of them used.
    pub async fn count_memory_use(&mut self, row: &MemoryUse) -> Result<(), StoreError> {
        let insert = insert!(
            "memory_uses",
            MemoryUse,
            "ON CONFLICT (day, purpose) DO UPDATE SET asked = memory_uses.asked + excluded.asked, \
             hits = memory_uses.hits + excluded.hits, used = memory_uses.used + excluded.used"
        );
        self.execute_batch(insert, std::slice::from_ref(row), args![]).await.map(drop)
    }

    /// These came up, or were used.
    pub async fn memories_recalled(&mut self, ids: &[MemoryId], used: bool) -> Result<(), StoreError> {
        let sql = if used {
            sql!(
                "UPDATE memories SET used = used + 1 FROM [rows] WHERE memories.id = r.value",
                Value<MemoryId>
            )
        } else {
            sql!(
                "UPDATE memories SET recalled = recalled + 1 FROM [rows] WHERE memories.id = r.value",
                Value<MemoryId>
            )
        };
        self.execute_by(sql, ids, args![]).await.map(drop)
    }
}
