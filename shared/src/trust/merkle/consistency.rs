//! Whether a tree only grew: consistency proofs of RFC 9162, section 2.1.4.2.

use super::node_hash;
use crate::digest::Digest;

/// Whether `proof` shows that the tree of `from` leaves with root `old` is the beginning of the tree of `to` leaves
/// with root `new`. Every tree begins with the empty one, which takes no proof.
pub fn verify_consistency(from: u64, to: u64, old: &Digest, new: &Digest, proof: &[Digest]) -> bool {
    if from > to {
        return false;
    }
    if from == to {
        return proof.is_empty() && old == new;
    }
    if from == 0 {
        return proof.is_empty() && *old == Digest::of(b"");
    }
    // A complete old tree is a node of the new one, so its root is not repeated in the proof.
    let (path, start) = match proof.split_first() {
        _ if from.is_power_of_two() => (proof.iter(), *old),
        Some((first, rest)) => (rest.iter(), *first),
        None => return false,
    };
    let (mut place, mut last) = (from - 1, to - 1);
    let levels = place.trailing_ones();
    // All ones can only be 2^64 - 1 leaves, and then `to` cannot be more.
    (place, last) = (place.checked_shr(levels).unwrap_or(0), last.checked_shr(levels).unwrap_or(0));
    let (mut before, mut after) = (start, start);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if place & 1 == 1 || place == last {
            before = node_hash(sibling, &before);
            after = node_hash(sibling, &after);
            while place & 1 == 0 && place != 0 {
                place >>= 1;
                last >>= 1;
            }
        } else {
            after = node_hash(&after, sibling);
        }
        place >>= 1;
        last >>= 1;
    }
    last == 0 && before == *old && after == *new
}
