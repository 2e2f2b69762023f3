//! Grows the tree after the log and signs its head. Whoever writes entries pays nothing: one node follows, once a second.

use std::sync::PoisonError;
use std::time::Duration;

use nexusmon_shared::trust::checkpoint::{Checkpoint, origin};
use nexusmon_shared::trust::merkle::Frontier;
use nexusmon_store::{CheckpointRow, Connection, LOWEST_STORED, NodeRow};

use super::Log;
use crate::app::App;
use crate::error::{Error, Result};

const DUTY: &str = "audit";
/// Leaves added in one unit of work.
const BATCH: u32 = 20_000;
/// Checkpoints are kept in full for this long.
const FULL: Duration = Duration::from_hours(24);

impl Log {
    pub(super) fn newest(&self) -> Option<CheckpointRow> {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn size(&self) -> i64 {
        self.newest.read().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(0, |newest| newest.size)
    }

    fn show(&self, newest: CheckpointRow) {
        *self.newest.write().unwrap_or_else(PoisonError::into_inner) = Some(newest);
    }
}

/// Idempotent: signs a head over every entry there is by now, here or on the node whose duty it is, and knows it.
pub async fn publish(app: &App) -> Result<()> {
    if app.log.size() >= app.store.seq() {
        return Ok(());
    }
    let _growing = app.log.growing.lock().await;
    match app.store.on_duty(DUTY, grow(app)).await? {
        Some(grown) => grown?,
        // Another node's duty: what it has shown.
        None => {
            if let Some(newest) = app.store.read().await?.newest_checkpoint().await? {
                app.log.show(newest);
            }
        }
    }
    Ok(())
}

async fn grow(app: &App) -> Result<()> {
    let mut read = app.store.read().await?;
    let newest = read.newest_checkpoint().await?;
    let mut frontier = read.audit_frontier().await?;
    loop {
        let from = frontier.size();
        let (nodes, more) = append(&mut read, &mut frontier).await?;
        let size = i64::try_from(frontier.size()).map_err(Error::internal)?;
        if newest.as_ref().is_some_and(|newest| newest.size >= size) || size == 0 {
            if let Some(newest) = newest {
                app.log.show(newest);
            }
            return Ok(());
        }
        let head = (!more).then(|| sign(app, &frontier, size));
        let kept = (from, frontier.clone(), nodes, head.clone());
        let grown = app.store.write_with("audit.grow", kept, |tx, (from, frontier, nodes, head)| {
            Box::pin(async move {
                // Whoever was quicker has signed a head of his own.
                if tx.audit_frontier().await?.size() != *from {
                    return Ok::<_, Error>(false);
                }
                tx.keep_audit_tree(frontier, nodes).await?;
                if let Some(head) = head {
                    tx.insert_checkpoint(head).await?;
                }
                Ok(true)
            })
        });
        if !grown.await? {
            return Ok(());
        }
        if let Some(head) = head {
            app.log.show(head);
            return Ok(());
        }
    }
}

/// Adds a batch of leaves. Gives the completed subtrees that are stored, and whether there is more.
async fn append(read: &mut Connection, frontier: &mut Frontier) -> Result<(Vec<NodeRow>, bool)> {
    let leaves = read.audit_leaves(frontier.size(), BATCH).await?;
    let more = leaves.len() == BATCH as usize;
    let mut nodes = Vec::new();
    for leaf in leaves {
        let expected = i64::try_from(frontier.size() + 1).map_err(Error::internal)?;
        if leaf.seq != expected {
            let reason = format!("the audit log has no entry {expected}: {} comes next", leaf.seq);
            return Err(Error::internal(reason));
        }
        for (node, hash) in frontier.append(leaf.hash()) {
            if node.level >= LOWEST_STORED {
                let place = i64::try_from(node.index).map_err(Error::internal)?;
                nodes.push(NodeRow { height: i64::from(node.level), place, hash });
            }
        }
    }
    Ok((nodes, more))
}

fn sign(app: &App, frontier: &Frontier, size: i64) -> CheckpointRow {
    let (root, epoch) = (frontier.root(), app.epoch);
    let head = Checkpoint { origin: origin(app.organism, epoch), size: frontier.size(), root };
    let note = head.sign(&app.keyring.checkpoint_key).to_string();
    CheckpointRow { size, epoch, root, note, at: app.clock.now() }
}

/// Of old checkpoints keeps one an hour.
pub async fn thin(app: &App) -> Result<u64> {
    let before = app.clock.now() - FULL;
    app.store
        .write("audit.thin", move |tx| Box::pin(async move { Ok(tx.thin_checkpoints(before).await?) }))
        .await
}
