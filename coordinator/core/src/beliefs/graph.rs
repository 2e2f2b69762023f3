//! What rests on what: a belief that fell takes the ground from everything above it, and a belief may not rest on itself.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use nexusmon_shared::id::BeliefId;

/// Edges: (belief, what it rests on).
pub type Edge = (BeliefId, BeliefId);

/// Everything that rests on a fallen belief, however far away, each with the fallen one nearest to it.
pub fn doubted(fallen: &BTreeSet<BeliefId>, edges: &[Edge]) -> BTreeMap<BeliefId, BeliefId> {
    let mut above: BTreeMap<BeliefId, Vec<BeliefId>> = BTreeMap::new();
    for (belief, rests_on) in edges {
        above.entry(*rests_on).or_default().push(*belief);
    }
    let mut marked = BTreeMap::new();
    // Breadth first from all of them at once: what is reached first is nearest.
    let mut waiting: VecDeque<(BeliefId, BeliefId)> = fallen.iter().map(|one| (*one, *one)).collect();
    while let Some((at, because)) = waiting.pop_front() {
        for next in above.get(&at).into_iter().flatten() {
            if !fallen.contains(next) && !marked.contains_key(next) {
                marked.insert(*next, because);
                waiting.push_back((*next, because));
            }
        }
    }
    marked
}

/// Whether `belief` would come to rest on itself with these edges added.
pub fn circular(belief: BeliefId, rests_on: &[BeliefId], edges: &[Edge]) -> bool {
    let mut below: BTreeMap<BeliefId, Vec<BeliefId>> = BTreeMap::new();
    for (above, ground) in edges {
        below.entry(*above).or_default().push(*ground);
    }
    let mut seen = BTreeSet::new();
    let mut waiting: Vec<BeliefId> = rests_on.to_vec();
    while let Some(at) = waiting.pop() {
        if at == belief {
            return true;
        }
        if seen.insert(at) {
            waiting.extend(below.get(&at).into_iter().flatten());
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id(number: u128) -> BeliefId {
        BeliefId::from_bits(number)
    }

    #[test]
    fn the_nearest_fallen_one_is_named() {
        // 3 rests on 2 rests on 1; 5 rests on 4 and 1.
        let edges = [(id(3), id(2)), (id(2), id(1)), (id(5), id(4)), (id(5), id(1))];
        let marked = doubted(&BTreeSet::from([id(1)]), &edges);
        assert_eq!(marked, BTreeMap::from([(id(2), id(1)), (id(3), id(1)), (id(5), id(1))]));
        let marked = doubted(&BTreeSet::from([id(1), id(2)]), &edges);
        assert_eq!(marked.get(&id(3)), Some(&id(2)));
        assert!(!marked.contains_key(&id(2)), "what fell itself is not in doubt");
        assert!(circular(id(1), &[id(3)], &edges) && circular(id(7), &[id(7)], &[]));
        assert!(!circular(id(6), &[id(3), id(5)], &edges));
    }

    proptest! {
        #[test]
        fn exactly_what_reaches_a_fallen_one_is_marked(
            edges in prop::collection::vec((0_u128..12, 0_u128..12), 0..40),
            fallen in prop::collection::btree_set(0_u128..12, 0..4),
        ) {
            let edges: Vec<Edge> = edges.into_iter().map(|(a, b)| (id(a), id(b))).collect();
            let fallen: BTreeSet<_> = fallen.into_iter().map(id).collect();
            let marked = doubted(&fallen, &edges);
            for number in 0..12 {
                let reaches = fallen.iter().any(|one| {
                    let grounds: Vec<_> = edges.iter().filter(|(a, _)| *a == id(number)).map(|(_, b)| *b).collect();
                    circular(*one, &grounds, &edges)
                });
                prop_assert_eq!(marked.contains_key(&id(number)), reaches && !fallen.contains(&id(number)));
            }
        }
    }
}
