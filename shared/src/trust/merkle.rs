//! Merkle trees of RFC 9162 (section 2.1): leaf hashes are prefixed with 0, inner ones with 1.
//!
//! [`Tree`] holds a whole one in memory: a plan. A log grows by [`Frontier`] and proves from [`stored`] nodes.

mod consistency;
mod frontier;
pub mod stored;

pub use consistency::verify_consistency;
pub use frontier::{Frontier, FrontierError};

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

/// The hash of a leaf.
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(leaf);
    Digest::from_bytes(hasher.finalize().into())
}

fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([1]);
    hasher.update(left.as_bytes());
    hasher.update(right.as_bytes());
    Digest::from_bytes(hasher.finalize().into())
}

/// A whole tree in memory, so that a proof costs the height only: 64 bytes a leaf.
#[derive(Debug, Clone)]
pub struct Tree {
    /// `levels[0]` are the leaf hashes; an odd last node moves up unchanged.
    levels: Vec<Vec<Digest>>,
}

impl Tree {
    pub fn new(leaf_hashes: Vec<Digest>) -> Self {
        let mut levels = vec![leaf_hashes];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below
                .chunks(2)
                .map(|pair| match pair {
                    [left, right] => node_hash(left, right),
                    rest => rest[0],
                })
                .collect();
            levels.push(above);
        }
        Self { levels }
    }

    pub fn len(&self) -> usize {
        self.levels[0].len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The root; that of an empty tree is the hash of nothing.
    pub fn root(&self) -> Digest {
        self.levels.last().and_then(|level| level.first()).copied().unwrap_or_else(|| Digest::of(b""))
    }

    /// The audit path of leaf `index`, from the leaf upwards; `None` if there is no such leaf.
    pub fn proof(&self, index: usize) -> Option<Vec<Digest>> {
        if index >= self.len() {
            return None;
        }
        let mut path = Vec::new();
        let mut place = index;
        for level in &self.levels {
            if let Some(sibling) = level.get(place ^ 1) {
                path.push(*sibling);
            }
            place /= 2;
        }
        Some(path)
    }
}

/// Whether `path` proves that `leaf` is leaf number `index` of the tree with `size` leaves and this `root`
/// (RFC 9162, 2.1.3.2).
pub fn verify_inclusion(leaf: &Digest, index: u64, size: u64, path: &[Digest], root: &Digest) -> bool {
    if index >= size {
        return false;
    }
    let (mut place, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            hash = node_hash(sibling, &hash);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

#[cfg(test)]
mod log_tests;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(count: usize) -> Vec<Digest> {
        (0..count).map(|i| leaf_hash(&i.to_be_bytes())).collect()
    }

    /// The definition of RFC 9162 2.1.1, word for word.
    fn root_by_definition(leaves: &[Digest]) -> Digest {
        match leaves.len() {
            0 => Digest::of(b""),
            1 => leaves[0],
            n => {
                let split = n.next_power_of_two() / 2;
                node_hash(&root_by_definition(&leaves[..split]), &root_by_definition(&leaves[split..]))
            }
        }
    }

    proptest! {
        #[test]
        fn the_tree_is_the_rfcs(count in 0_usize..200) {
            prop_assert_eq!(Tree::new(leaves(count)).root(), root_by_definition(&leaves(count)));
        }

        #[test]
        fn every_leaf_is_proved_and_nothing_else(count in 1_usize..130, pick: prop::sample::Index, other: prop::sample::Index) {
            let tree = Tree::new(leaves(count));
            let index = pick.index(count);
            let wrong = other.index(count);
            let path = tree.proof(index).unwrap();
            let leaf = leaves(count)[index];
            prop_assert!(verify_inclusion(&leaf, index as u64, count as u64, &path, &tree.root()));
            if wrong != index {
                prop_assert!(!verify_inclusion(&leaves(count)[wrong], index as u64, count as u64, &path, &tree.root()));
                prop_assert!(!verify_inclusion(&leaf, wrong as u64, count as u64, &path, &tree.root()));
            }
        }

        #[test]
        fn foreign_paths_are_refused(count in 1_u64..1000, index in 0_u64..2000, path in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
            let path: Vec<_> = path.into_iter().map(Digest::from_bytes).collect();
            prop_assert!(!verify_inclusion(&leaf_hash(b"x"), index, count, &path, &Digest::of(b"root")));
        }
    }
}
