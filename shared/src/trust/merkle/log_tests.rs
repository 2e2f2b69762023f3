//! Growing trees: the frontier, stored nodes and consistency, against the tree in memory and the vectors of the
//! Certificate Transparency reference implementation.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::stored::{self, Node, Nodes};
use super::*;

#[derive(Default)]
struct Log {
    frontier: Frontier,
    nodes: BTreeMap<Node, Digest>,
    leaves: Vec<Digest>,
}

impl Log {
    fn of(leaves: impl IntoIterator<Item = Digest>) -> Self {
        let mut log = Self::default();
        for leaf in leaves {
            log.nodes.extend(log.frontier.append(leaf));
            log.leaves.push(leaf);
        }
        log
    }

    fn numbered(size: u64) -> Self {
        Self::of((0..size).map(|number| leaf_hash(&number.to_be_bytes())))
    }

    fn root_at(&self, size: u64) -> Digest {
        Tree::new(self.leaves[..usize::try_from(size).unwrap()].to_vec()).root()
    }
}

#[derive(Debug)]
struct Missing(#[expect(dead_code, reason = "shown when a test fails")] Node);

impl Nodes for Log {
    type Error = Missing;

    fn node(&self, node: Node) -> Result<Digest, Missing> {
        self.nodes.get(&node).copied().ok_or(Missing(node))
    }
}

/// The leaves and roots that the reference implementation of RFC 6962 tests itself with.
#[test]
fn the_reference_vectors_hold() {
    let leaves =
        ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    let mut frontier = Frontier::default();
    assert_eq!(
        frontier.root().to_string(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    for (leaf, root) in leaves.iter().zip(roots) {
        frontier.append(leaf_hash(&hex::decode(leaf).unwrap()));
        assert_eq!(frontier.root().to_string(), root);
    }
    let log = Log::of(leaves.iter().map(|leaf| leaf_hash(&hex::decode(leaf).unwrap())));
    let shown =
        |proof: Option<Vec<Digest>>| proof.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        shown(stored::consistency(&log, 6, 8).unwrap()),
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ]
    );
    assert_eq!(
        shown(stored::consistency(&log, 2, 5).unwrap()),
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ]
    );
}

#[test]
fn every_size_up_to_two_hundred_is_consistent_with_every_later_one() {
    let log = Log::numbered(200);
    let roots: Vec<_> = (0..=200).map(|size| log.root_at(size)).collect();
    for to in 0..=200_u64 {
        let new = roots[usize::try_from(to).unwrap()];
        assert_eq!(stored::root(&log, to).unwrap(), new);
        for from in 0..=to {
            let old = roots[usize::try_from(from).unwrap()];
            let proof = stored::consistency(&log, from, to).unwrap().unwrap();
            assert!(verify_consistency(from, to, &old, &new, &proof), "{from} to {to}");
            // No other old size goes with this proof, unless both are without one.
            for wrong in [from.wrapping_sub(1), from + 1] {
                if wrong <= to && wrong != 0 && (wrong, from) != (to, 0) {
                    let old = roots[usize::try_from(wrong).unwrap()];
                    let agrees = verify_consistency(wrong, to, &old, &new, &proof);
                    assert!(!agrees, "{wrong} for {from} to {to}");
                }
            }
        }
        assert!(stored::consistency(&log, to + 1, to).unwrap().is_none());
    }
}

#[test]
fn stored_inclusion_is_that_of_the_tree_in_memory() {
    for size in 1..=130_u64 {
        let log = Log::numbered(size);
        let tree = Tree::new(log.leaves.clone());
        assert_eq!(log.frontier.root(), tree.root());
        for index in 0..size {
            let path = stored::inclusion(&log, index, size).unwrap();
            assert_eq!(path, tree.proof(usize::try_from(index).unwrap()));
        }
        assert!(stored::inclusion(&log, size, size).unwrap().is_none());
    }
}

#[test]
fn proofs_of_large_trees_touch_few_nodes() {
    let size = 1_000_000_007;
    for nodes in [stored::inclusion_nodes(999_999_999, size), stored::consistency_nodes(123_456_789, size)] {
        assert!(nodes.len() <= 64, "{}", nodes.len());
        assert!(nodes.iter().all(|node| (node.index + 1) << node.level <= size), "only complete subtrees");
    }
    assert!(!stored::consistency_nodes(u64::MAX - 1, u64::MAX).is_empty());
    assert!(!stored::inclusion_nodes(u64::MAX - 1, u64::MAX).is_empty());
}

proptest! {
    #[test]
    fn a_changed_consistency_proof_is_refused(from in 1_u64..200, more in 1_u64..200, bit in 0_usize..100_000) {
        let log = Log::numbered(from + more);
        let (old, new) = (log.root_at(from), log.root_at(from + more));
        let proof = stored::consistency(&log, from, from + more).unwrap().unwrap();
        let mut bytes: Vec<u8> = [&old, &new].into_iter().chain(&proof).flat_map(|hash| *hash.as_bytes()).collect();
        let place = bit % (bytes.len() * 8);
        bytes[place / 8] ^= 1 << (place % 8);
        let changed: Vec<_> = bytes.chunks(32).map(|hash| Digest::try_from(hash).unwrap()).collect();
        prop_assert!(!verify_consistency(from, from + more, &changed[0], &changed[1], &changed[2..]));
        prop_assert!(!verify_consistency(from, from + more, &old, &new, &proof[..proof.len() - 1]));
    }

    #[test]
    fn outside_consistency_proofs_never_panic(from: u64, to: u64, near in 0_u64..3, proof in prop::collection::vec(any::<[u8; 32]>(), 0..70)) {
        let proof: Vec<_> = proof.into_iter().map(Digest::from_bytes).collect();
        let (old, new) = (Digest::of(b"old"), Digest::of(b"new"));
        prop_assert!(!verify_consistency(from, to, &old, &new, &proof));
        prop_assert!(!verify_consistency(u64::MAX - near, u64::MAX, &old, &new, &proof));
    }

    #[test]
    fn a_frontier_survives_being_stored(size in 0_u64..300) {
        let log = Log::numbered(size);
        let mut read = Frontier::from_bytes(&log.frontier.to_bytes()).unwrap();
        prop_assert_eq!(&read, &log.frontier);
        let mut kept = log.frontier.clone();
        prop_assert_eq!(read.append(leaf_hash(b"x")), kept.append(leaf_hash(b"x")));
        prop_assert_eq!(read.root(), kept.root());
    }

    #[test]
    fn outside_bytes_are_no_frontier(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(frontier) = Frontier::from_bytes(&bytes) {
            prop_assert_eq!(frontier.to_bytes(), bytes);
            let _ = frontier.root();
        }
    }
}
