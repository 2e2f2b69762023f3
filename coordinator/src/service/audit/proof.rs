//! Proofs from the stored tree: that an entry is in the log, that the log only grew (RFC 9162, section 2.1).

use std::collections::{BTreeSet, HashMap};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::trust::merkle::stored::{self, Node, Nodes};
use nexusmon_shared::trust::merkle::{Frontier, leaf_hash};
use nexusmon_store::{Connection, LOWEST_STORED, NodeKey};

use super::publish;
use crate::app::App;
use crate::error::{Error, Result};

/// That an entry is in the log.
#[derive(Debug, Clone)]
pub struct InclusionView {
    pub seq: u64,
    /// SHA-256 of the entry's canonical form: what the leaf is made of.
    pub digest: Digest,
    pub leaf: Digest,
    /// Of the tree the proof leads to.
    pub size: u64,
    pub root: Digest,
    pub proof: Vec<Digest>,
    /// The signed head of that tree; none if its size was asked for and no head of it is kept.
    pub note: Option<String>,
}

/// That a log only grew.
#[derive(Debug, Clone)]
pub struct ConsistencyView {
    pub from: u64,
    pub from_root: Digest,
    pub size: u64,
    pub root: Digest,
    pub proof: Vec<Digest>,
    pub note: Option<String>,
}

/// In the tree of `size` entries, or the newest that is signed.
pub async fn inclusion(app: &App, seq: u64, size: Option<u64>) -> Result<InclusionView> {
    let (size, note) = tree(app, size).await?;
    if seq == 0 || seq > size {
        let reason = format!("there are entries 1 to {size} in this tree");
        return Err(Error::field("?seq", "out_of_range", reason));
    }
    let mut read = app.store.read().await?;
    let index = seq - 1;
    let mut wanted = stored::inclusion_nodes(index, size);
    wanted.push(Node { level: 0, index });
    let found = fetch(&mut read, wanted).await?;
    let leaf = found.node(Node { level: 0, index })?;
    let digest = read.audit_leaves(index, 1).await?.pop().map(|leaf| leaf.digest);
    let digest = digest.ok_or_else(|| Error::internal(format!("entry {seq} is missing")))?;
    let proof = stored::inclusion(&found, index, size)?.unwrap_or_default();
    Ok(InclusionView { seq, digest, leaf, size, root: root(&mut read, size).await?, proof, note })
}

/// From the tree of `from` entries to that of `size`, or the newest that is signed.
pub async fn consistency(app: &App, from: u64, size: Option<u64>) -> Result<ConsistencyView> {
    let (size, note) = tree(app, size).await?;
    if from > size {
        let reason = format!("the tree has {size} entries, and cannot have grown from more");
        return Err(Error::field("?from", "out_of_range", reason));
    }
    let mut read = app.store.read().await?;
    let proof = path(&mut read, from, size).await?;
    let (from_root, root) = (root(&mut read, from).await?, root(&mut read, size).await?);
    Ok(ConsistencyView { from, from_root, size, root, proof, note })
}

/// The bare proof from `from` to `size` entries.
pub(super) async fn path(read: &mut Connection, from: u64, size: u64) -> Result<Vec<Digest>> {
    let found = fetch(read, stored::consistency_nodes(from, size)).await?;
    Ok(stored::consistency(&found, from, size)?.unwrap_or_default())
}

/// Which tree is meant, and its head if one is kept.
async fn tree(app: &App, size: Option<u64>) -> Result<(u64, Option<String>)> {
    publish(app).await?;
    let newest = app.store.read().await?.newest_checkpoint().await?;
    let newest = newest.ok_or_else(|| Error::unavailable("the audit log has no signed head yet"))?;
    let last = u64::try_from(newest.size).unwrap_or(0);
    match size {
        None => Ok((last, Some(newest.note))),
        Some(size) if size == 0 || size > last => {
            Err(Error::field("?size", "out_of_range", format!("there are trees of 1 to {last} entries")))
        }
        Some(size) => {
            let wanted = i64::try_from(size).map_err(Error::internal)?;
            let kept = app.store.read().await?.checkpoint_over(wanted).await?;
            Ok((size, kept.filter(|kept| kept.size == wanted).map(|kept| kept.note)))
        }
    }
}

async fn root(read: &mut Connection, size: u64) -> Result<Digest> {
    // One complete subtree for each one bit of the size.
    let mut wanted = Vec::new();
    let mut start = 0;
    for level in (0..64_u8).rev().filter(|level| size >> level & 1 == 1) {
        wanted.push(Node { level, index: start >> level });
        start += 1 << level;
    }
    stored::root(&fetch(read, wanted).await?, size)
}

/// Hashes that were fetched.
struct Fetched(HashMap<Node, Digest>);

impl Nodes for Fetched {
    type Error = Error;

    fn node(&self, node: Node) -> Result<Digest> {
        let missing =
            || Error::internal(format!("the audit tree lacks node {} of level {}", node.index, node.level));
        self.0.get(&node).copied().ok_or_else(missing)
    }
}

/// Large subtrees are stored; small ones are made from the entries of their block.
async fn fetch(read: &mut Connection, wanted: Vec<Node>) -> Result<Fetched> {
    let (high, low): (Vec<Node>, Vec<Node>) =
        wanted.into_iter().partition(|node| node.level >= LOWEST_STORED);
    let mut found = HashMap::new();
    let key = |node: &Node| -> Result<NodeKey> {
        Ok(NodeKey {
            height: i64::from(node.level),
            place: i64::try_from(node.index).map_err(Error::internal)?,
        })
    };
    let keys = high.iter().map(key).collect::<Result<Vec<_>>>()?;
    for row in read.audit_nodes(&keys).await? {
        let (level, index) = (u8::try_from(row.height), u64::try_from(row.place));
        let (level, index) = (level.map_err(Error::internal)?, index.map_err(Error::internal)?);
        found.insert(Node { level, index }, row.hash);
    }
    let blocks: BTreeSet<u64> = low.iter().map(|node| (node.index << node.level) >> LOWEST_STORED).collect();
    for block in blocks {
        let first = block << LOWEST_STORED;
        let leaves = read.audit_leaves(first, 1 << LOWEST_STORED).await?;
        let mut frontier = Frontier::default();
        for leaf in leaves {
            for (node, hash) in frontier.append(leaf_hash(leaf.digest.as_bytes())) {
                // The block is a subtree of its own: its nodes only lie further to the right.
                found.insert(Node { level: node.level, index: node.index + (first >> node.level) }, hash);
            }
        }
    }
    Ok(Fetched(found))
}
