//! The Merkle tree over the audit log, as it lies in tables: its right edge, complete subtrees, signed checkpoints, and
//! what agents have cosigned.
//!
//! Signs nothing and decides nothing; `service::audit` grows the tree.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::merkle::Frontier;

use crate::connection::Connection;
use crate::dialect::{each, insert, sql};
use crate::error::StoreError;
use crate::record::{args, record};
use crate::transaction::Tx;

/// Subtrees below this height are made from the entries' digests: two rows for 256 entries instead of five hundred.
pub const LOWEST_STORED: u8 = 8;

/// Leaves read at once when the tree is looked at as a whole.
const BATCH: u32 = 10_000;

record! {
    /// What a leaf is made of.
    pub struct LeafRow {
        pub seq: i64,
        pub digest: Digest,
    }

    pub struct NodeKey {
        pub height: i64,
        pub place: i64,
    }

    /// The root of a complete subtree.
    pub struct NodeRow {
        pub height: i64,
        pub place: i64,
        pub hash: Digest,
    }

    /// A signed head of the log.
    pub struct CheckpointRow {
        /// Entries it covers.
        pub size: i64,
        pub epoch: u32,
        pub root: Digest,
        /// C2SP signed note.
        pub note: String,
        pub at: Timestamp,
    }

    /// The newest head an agent has cosigned.
    pub struct WitnessRow {
        pub agent: AgentId,
        pub size: i64,
        /// C2SP cosignature line.
        pub line: String,
        /// Not on a coordinator's own host.
        pub apart: bool,
        pub at: Timestamp,
    }

    struct TreeRow {
        pub id: i64,
        pub size: i64,
        pub frontier: String,
    }
}

impl Connection {
    /// The right edge of the tree as far as it has been kept.
    pub async fn audit_frontier(&mut self) -> Result<Frontier, StoreError> {
        let kept: Option<TreeRow> = self
            .fetch_optional(sql!("SELECT [columns] FROM audit_tree WHERE id = 1", TreeRow), args![])
            .await?;
        let Some(kept) = kept else { return Ok(Frontier::default()) };
        let corrupt =
            |reason: String| StoreError::Corrupt { column: "audit_tree.frontier".to_owned(), reason };
        let bytes = hex::decode(&kept.frontier).map_err(|error| corrupt(error.to_string()))?;
        let frontier = Frontier::from_bytes(&bytes).map_err(|error| corrupt(error.to_string()))?;
        if i64::try_from(frontier.size()) == Ok(kept.size) {
            Ok(frontier)
        } else {
            Err(corrupt(format!("is of {} leaves, the row says {}", frontier.size(), kept.size)))
        }
    }

    /// The tree over every entry there is, also those it has not been kept for yet.
    pub async fn audit_tree_now(&mut self) -> Result<Frontier, StoreError> {
        let mut frontier = self.audit_frontier().await?;
        loop {
            let leaves = self.audit_leaves(frontier.size(), BATCH).await?;
            if leaves.is_empty() {
                return Ok(frontier);
            }
            for leaf in leaves {
                frontier.append(leaf.hash());
            }
        }
    }

    /// Digests of entries after the first `size`, oldest first.
    pub async fn audit_leaves(&mut self, size: u64, limit: u32) -> Result<Vec<LeafRow>, StoreError> {
        let after = i64::try_from(size).unwrap_or(i64::MAX);
        self.fetch(
            sql!("SELECT [columns] FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2", LeafRow),
            args![after, limit],
        )
        .await
    }

    /// Stored subtrees; those that are not there are left out.
    pub async fn audit_nodes(&mut self, keys: &[NodeKey]) -> Result<Vec<NodeRow>, StoreError> {
        let sql = each!(
            "SELECT height, place, hash FROM audit_nodes WHERE height = [?height] AND place = [?place]",
            "SELECT [audit_nodes.out] FROM [rows] \
             JOIN audit_nodes ON audit_nodes.height = r.height AND audit_nodes.place = r.place",
            NodeKey,
            NodeRow
        );
        self.fetch_batch(sql, keys, args![]).await
    }

    pub async fn newest_checkpoint(&mut self) -> Result<Option<CheckpointRow>, StoreError> {
        self.fetch_optional(
            sql!("SELECT [columns] FROM audit_checkpoints ORDER BY size DESC LIMIT 1", CheckpointRow),
            args![],
        )
        .await
    }

    /// The smallest checkpoint that covers at least `size` entries.
    pub async fn checkpoint_over(&mut self, size: i64) -> Result<Option<CheckpointRow>, StoreError> {
        self.fetch_optional(
            sql!(
                "SELECT [columns] FROM audit_checkpoints WHERE size >= $1 ORDER BY size LIMIT 1",
                CheckpointRow
            ),
            args![size],
        )
        .await
    }

    /// Checkpoints over more than `size` entries, smallest first.
    pub async fn checkpoints_after(
        &mut self,
        size: i64,
        limit: u32,
    ) -> Result<Vec<CheckpointRow>, StoreError> {
        self.fetch(
            sql!(
                "SELECT [columns] FROM audit_checkpoints WHERE size > $1 ORDER BY size LIMIT $2",
                CheckpointRow
            ),
            args![size, limit],
        )
        .await
    }

    /// What each agent has cosigned, the largest heads first.
    pub async fn audit_witnesses(&mut self) -> Result<Vec<WitnessRow>, StoreError> {
        self.fetch(
            sql!("SELECT [columns] FROM audit_witnesses ORDER BY size DESC, agent", WitnessRow),
            args![],
        )
        .await
    }
}

impl Tx {
    /// Keeps the tree as it has grown, with the subtrees that were completed.
    pub async fn keep_audit_tree(
        &mut self,
        frontier: &Frontier,
        nodes: &[NodeRow],
    ) -> Result<(), StoreError> {
        let size = i64::try_from(frontier.size()).unwrap_or(i64::MAX);
        let row = TreeRow { id: 1, size, frontier: hex::encode(frontier.to_bytes()) };
        let upsert = insert!(
            "audit_tree",
            TreeRow,
            "ON CONFLICT (id) DO UPDATE SET size = excluded.size, frontier = excluded.frontier"
        );
        self.execute_batch(upsert, std::slice::from_ref(&row), args![]).await?;
        if !nodes.is_empty() {
            self.execute_batch(insert!("audit_nodes", NodeRow), nodes, args![]).await?;
        }
        Ok(())
    }

    pub async fn insert_checkpoint(&mut self, row: &CheckpointRow) -> Result<(), StoreError> {
        self.execute_batch(insert!("audit_checkpoints", CheckpointRow), std::slice::from_ref(row), args![])
            .await
            .map(drop)
    }

    pub async fn put_witnesses(&mut self, rows: &[WitnessRow]) -> Result<(), StoreError> {
        let upsert = insert!(
            "audit_witnesses",
            WitnessRow,
            "ON CONFLICT (agent) DO UPDATE SET size = excluded.size, line = excluded.line, \
             apart = excluded.apart, at = excluded.at"
        );
        self.execute_batch(upsert, rows, args![]).await.map(drop)
    }

    /// Of checkpoints older than this, keeps the last one of every hour.
    pub async fn thin_checkpoints(&mut self, before: Timestamp) -> Result<u64, StoreError> {
        self.execute(
            sql!(
                "DELETE FROM audit_checkpoints WHERE at < $1 AND size NOT IN \
                 (SELECT MAX(size) FROM audit_checkpoints WHERE at < $1 GROUP BY at / 3600000000)"
            ),
            args![before],
        )
        .await
    }
}

impl LeafRow {
    /// The leaf of the tree.
    pub fn hash(&self) -> Digest {
        nexusmon_shared::trust::merkle::leaf_hash(self.digest.as_bytes())
    }
}
