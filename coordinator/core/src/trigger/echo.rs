//! Calls that our own notifications make: what they tell of led to them. Other systems that pass something on say nothing
//! of where it came from, and cannot be known by what they send.

use std::collections::BTreeSet;

use nexusmon_shared::id::{MissionId, OrganismId};
use serde_json::Value;

/// More than any message of ours names.
const MOST: usize = 100;

/// The missions that a message of ours tells of; `None` where it is none of this organism's.
pub fn echoed(body: &Value, organism: OrganismId) -> Option<BTreeSet<MissionId>> {
    let of_ours = |place: &str| body.get(place).and_then(Value::as_str);
    let ours = of_ours("type") == Some("notification")
        && of_ours("organism").and_then(|text| text.parse().ok()) == Some(organism);
    let items = body.get("items").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mission = |item: &Value| item.get("mission")?.as_str()?.parse().ok();
    ours.then(|| items.iter().take(MOST).filter_map(mission).collect())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_messages_of_this_organism_are_known() {
        let (us, them) = (OrganismId::from_bits(1), OrganismId::from_bits(2));
        let mission = MissionId::from_bits(7);
        let body = json!({"type": "notification", "organism": us, "count": 3, "items": [
            {"kind": "failure", "mission": mission}, {"kind": "agent_lost", "mission": null}, {"mission": 3}, "x"]});
        assert_eq!(echoed(&body, us), Some(BTreeSet::from([mission])));
        assert_eq!(echoed(&body, them), None);
        for other in [
            json!({"type": "test", "organism": us}),
            json!({"type": "notification", "organism": "x"}),
            json!({"type": ["notification"], "organism": us, "items": 1}),
            json!([]),
            json!(null),
        ] {
            assert_eq!(echoed(&other, us), None, "{other}");
        }
        let none = json!({"type": "notification", "organism": us, "items": {}});
        assert_eq!(echoed(&none, us), Some(BTreeSet::new()), "it tells of no mission");
    }
}
