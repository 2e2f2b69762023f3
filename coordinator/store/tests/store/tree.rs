//! The tree over the log, as it is kept.

use nexusmon_shared::trust::merkle::stored::{self, Node};
use nexusmon_shared::trust::merkle::{Frontier, Tree};
use nexusmon_store::{CheckpointRow, LOWEST_STORED, NodeKey, NodeRow, WitnessRow, on_both};

use crate::fixtures::*;

async fn entries(store: &nexusmon_store::Store, count: usize) {
    let before = usize::try_from(store.seq()).unwrap();
    write(store, move |tx| {
        Box::pin(async move { tx.audit((0..count).map(|place| entry(format!("{before}/{place}")))) })
    })
    .await
    .unwrap();
    let all = i64::try_from(before + count).unwrap();
    store.watch_seq().wait_for(|seq| *seq >= all).await.unwrap();
}

fn head(frontier: &Frontier, at_seconds: i64) -> CheckpointRow {
    let size = i64::try_from(frontier.size()).unwrap();
    CheckpointRow { size, epoch: 1, root: frontier.root(), note: format!("note {size}"), at: at(at_seconds) }
}

on_both! {
    async fn a_tree_that_is_kept_goes_on_where_it_was(store: Store) {
        entries(&store, 300).await;
        let mut read = store.read().await.unwrap();
        let mut frontier = read.audit_frontier().await.unwrap();
        assert_eq!(frontier, Frontier::default());
        let leaves = read.audit_leaves(0, 1_000).await.unwrap();
        let mut nodes = Vec::new();
        for leaf in &leaves {
            for (node, hash) in frontier.append(leaf.hash()) {
                if node.level >= LOWEST_STORED {
                    let place = i64::try_from(node.index).unwrap();
                    nodes.push(NodeRow { height: i64::from(node.level), place, hash });
                }
            }
        }
        assert_eq!(nodes.len(), 1, "one subtree of 256");
        let kept = shared((frontier.clone(), nodes.clone(), head(&frontier, 1)));
        write(&store, move |tx| {
            let kept = kept.clone();
            Box::pin(async move {
                tx.keep_audit_tree(&kept.0, &kept.1).await?;
                tx.insert_checkpoint(&kept.2).await
            })
        }).await.unwrap();
        assert_eq!(read.audit_frontier().await.unwrap(), frontier);
        let keys = [NodeKey { height: 8, place: 0 }, NodeKey { height: 9, place: 0 }];
        assert_eq!(read.audit_nodes(&keys).await.unwrap(), nodes);
        // What is not kept yet is part of the whole all the same.
        entries(&store, 7).await;
        let whole = read.audit_tree_now().await.unwrap();
        let all = read.audit_leaves(0, 1_000).await.unwrap();
        assert_eq!(whole.size(), 307);
        assert_eq!(whole.root(), Tree::new(all.iter().map(nexusmon_store::LeafRow::hash).collect()).root());
        assert!(stored::consistency_nodes(300, 307).contains(&Node { level: 2, index: 74 }));
    }
}

on_both! {
    async fn heads_and_cosignatures_are_found_and_old_heads_are_thinned(store: Store) {
        let heads: Vec<CheckpointRow> = (1..=10_i64)
            .map(|size| CheckpointRow {
                size, epoch: 1, root: nexusmon_shared::digest::Digest::of(&size.to_be_bytes()),
                note: format!("note {size}"), at: at(size * 1_200),
            })
            .collect();
        let rows = shared(heads);
        let witness = |size: i64, seconds: i64| WitnessRow {
            agent: agent_id(5), size, line: format!("line {size}"), apart: size > 3, at: at(seconds),
        };
        let witnesses = shared((witness(3, 10), witness(4, 20)));
        write(&store, move |tx| {
            let (rows, witnesses) = (rows.clone(), witnesses.clone());
            Box::pin(async move {
                for row in rows.iter() {
                    tx.insert_checkpoint(row).await?;
                }
                tx.put_witnesses(std::slice::from_ref(&witnesses.0)).await?;
                tx.put_witnesses(std::slice::from_ref(&witnesses.1)).await
            })
        }).await.unwrap();
        let mut read = store.read().await.unwrap();
        assert_eq!(read.newest_checkpoint().await.unwrap().unwrap().size, 10);
        assert_eq!(read.checkpoint_over(4).await.unwrap().unwrap().size, 4);
        assert!(read.checkpoint_over(11).await.unwrap().is_none());
        assert_eq!(read.audit_witnesses().await.unwrap(), vec![witness(4, 20)]);
        let thinned: u64 = store
            .write("testing", |tx| Box::pin(async move { tx.thin_checkpoints(at(9 * 1_200)).await }))
            .await
            .unwrap();
        let left: Vec<i64> = read.checkpoints_after(0, 100).await.unwrap().into_iter().map(|row| row.size).collect();
        assert!(thinned > 0 && left.ends_with(&[9, 10]), "{left:?}");
        assert_eq!(left.len() as u64 + thinned, 10);
        // One an hour, and there are three of them in each.
        assert!((3..=6).contains(&left.len()), "{left:?}");
    }
}
