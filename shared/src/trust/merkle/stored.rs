//! Proofs from stored nodes: any tree up to the stored size, touching a few dozen hashes (RFC 9162, sections 2.1.3.1
//! and 2.1.4.1).
//!
//! Only complete subtrees are stored, for those never change. Which nodes a proof touches depends on numbers alone: a
//! caller with a database asks for the list first and fetches it at once.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::ops::Range;

use super::node_hash;
use crate::digest::Digest;

/// The root of a complete subtree: of the leaves `index << level` to `(index + 1) << level`, without the last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Node {
    pub level: u8,
    pub index: u64,
}

/// Where the hashes of complete subtrees are found.
pub trait Nodes {
    type Error;

    fn node(&self, node: Node) -> Result<Digest, Self::Error>;
}

/// The root of the first `size` leaves.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Digest, N::Error> {
    if size == 0 { Ok(Digest::of(b"")) } else { subtree(nodes, 0..size) }
}

/// The audit path of leaf `index` in the tree of `size` leaves, from the leaf upwards; `None` if there is no such leaf.
pub fn inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Option<Vec<Digest>>, N::Error> {
    if index >= size {
        return Ok(None);
    }
    let mut siblings = Vec::new();
    let mut range = 0..size;
    while range.end - range.start > 1 {
        let (left, right) = split(&range);
        let (here, sibling) = if index < left.end { (left, right) } else { (right, left) };
        siblings.push(sibling);
        range = here;
    }
    siblings.into_iter().rev().map(|range| subtree(nodes, range)).collect::<Result<_, _>>().map(Some)
}

/// The consistency proof from the tree of `from` leaves to that of `to`; `None` if it would have to shrink.
pub fn consistency<N: Nodes>(nodes: &N, from: u64, to: u64) -> Result<Option<Vec<Digest>>, N::Error> {
    if from > to {
        return Ok(None);
    }
    if from == 0 || from == to {
        return Ok(Some(Vec::new()));
    }
    let mut parts = Vec::new();
    let mut range = 0..to;
    while range.end > from {
        let (left, right) = split(&range);
        let (here, sibling) = if from <= left.end { (left, right) } else { (right, left) };
        parts.push(sibling);
        range = here;
    }
    // Now the range ends where the old tree does. Its hash is known to whoever knows the old root.
    if range.start > 0 {
        parts.push(range);
    }
    parts.into_iter().rev().map(|range| subtree(nodes, range)).collect::<Result<_, _>>().map(Some)
}

/// The nodes that [`inclusion`] asks for.
pub fn inclusion_nodes(index: u64, size: u64) -> Vec<Node> {
    touched(|nodes| inclusion(nodes, index, size).map(|_| ()))
}

/// The nodes that [`consistency`] asks for.
pub fn consistency_nodes(from: u64, to: u64) -> Vec<Node> {
    touched(|nodes| consistency(nodes, from, to).map(|_| ()))
}

fn touched(ask: impl FnOnce(&Recorder) -> Result<(), Infallible>) -> Vec<Node> {
    let recorder = Recorder::default();
    let Ok(()) = ask(&recorder);
    recorder.0.into_inner().into_iter().collect()
}

#[derive(Default)]
struct Recorder(RefCell<BTreeSet<Node>>);

impl Nodes for Recorder {
    type Error = Infallible;

    fn node(&self, node: Node) -> Result<Digest, Infallible> {
        self.0.borrow_mut().insert(node);
        Ok(Digest::from_bytes([0; 32]))
    }
}

/// At the largest power of two below the length.
fn split(range: &Range<u64>) -> (Range<u64>, Range<u64>) {
    let length = range.end - range.start;
    debug_assert!(length > 1, "a leaf is not split");
    let middle = range.start + (1 << (length - 1).ilog2());
    (range.start..middle, middle..range.end)
}

/// Every range that comes from splitting begins at a multiple of the power of two above its length.
fn subtree<N: Nodes>(nodes: &N, range: Range<u64>) -> Result<Digest, N::Error> {
    let length = range.end - range.start;
    if length.is_power_of_two() {
        let level = length.trailing_zeros();
        let index = range.start >> level;
        return nodes.node(Node { level: u8::try_from(level).expect("below 64"), index });
    }
    let (left, right) = split(&range);
    Ok(node_hash(&subtree(nodes, left)?, &subtree(nodes, right)?))
}
