//! Other words beside an entry than those it sealed: no hash and no signature is over them.

use nexusmon_shared::digest::Digest;
use rand::RngExt as _;
use rand::rngs::StdRng;
use serde_json::json;

use super::parts::Parts;

/// The entry that is spoilt then. `place` is one to put something beside.
pub(super) fn spoil(kind: &'static str, parts: &mut Parts, place: usize, rng: &mut StdRng) -> Option<usize> {
    let open: Vec<usize> =
        (0..parts.entries()).filter(|place| !parts.entry(*place).openings.is_empty()).collect();
    if open.is_empty() {
        return None;
    }
    let at = open[rng.random_range(0..open.len())];
    match kind {
        "opening_altered" => {
            let opening = parts.entry_mut(at).openings.values_mut().next()?;
            opening.value = json!(format!("{} and more", opening.value));
        }
        "opening_under_another_key" => {
            let opening = parts.entry_mut(at).openings.values_mut().next()?;
            opening.key = Digest::from_bytes(rng.random());
        }
        "opening_of_another_entry" => {
            let other = open[rng.random_range(0..open.len())];
            if other == at {
                return None;
            }
            parts.entry_mut(at).openings = parts.entry(other).openings.clone();
        }
        _ => {
            if !parts.entry(place).openings.is_empty() {
                return None;
            }
            parts.entry_mut(place).openings = parts.entry(at).openings.clone();
            return Some(place);
        }
    }
    Some(at)
}
