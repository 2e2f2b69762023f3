//! Missions within missions: what a task that starts one says in its `with`, how high the mission may rank and what is
//! left for it of its parent's budget. The coordinator carries these tasks out itself; no agent ever sees one.

use std::time::Duration;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::name::Name;
use nexusmon_shared::plan::{Budget, DEFAULT_TIMEOUT, TaskDraft};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Sandbox;
use nexusmon_shared::time::{Span, Timestamp};
use serde_json::{Map, Value, json};

use crate::budget::Spent;
use crate::planning::Invalid;

/// The capability of such a task.
pub const CAPABILITY: &str = "core.mission";
/// How deep missions may lie in each other.
pub const DEEPEST: u32 = 4;
/// The rank up to which the mission starts with its parent, where the task does not say.
const CEILING: Rank = Rank::D;
/// A and S never start this way without an approval of their own.
const HIGHEST: Rank = Rank::B;

pub fn is_sub_mission(uses: &Capability) -> bool {
    uses.as_str() == CAPABILITY
}

/// JSON Schema of `with`.
pub fn parameters() -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["playbook"],
        "properties": {
            "playbook": {"type": "string", "minLength": 1},
            "inputs": {"type": "object"},
            "max_rank": {"type": "string", "enum": ["E", "D", "C", "B"]},
            "budget": {"type": "object"},
        },
    })
}

/// The rank up to which the mission may start without being asked about: what the task itself ranks as.
pub fn ceiling(with: &Map<String, Value>) -> Rank {
    let said = with.get("max_rank").and_then(|value| serde_json::from_value::<Rank>(value.clone()).ok());
    said.unwrap_or(CEILING).min(HIGHEST)
}

/// Checks what is known of such a task when its plan is made.
pub(crate) fn check(index: usize, draft: &TaskDraft, errors: &mut Vec<Invalid>) {
    if !is_sub_mission(&draft.uses) {
        return;
    }
    let mut refuse = |place: &str, code: &'static str, message: String| {
        errors.push(Invalid::new(format!("/tasks/{index}/{place}"), code, message));
    };
    if let Some(playbook) = draft.with.get("playbook")
        && let Err(message) = pinned(playbook)
    {
        refuse("with/playbook", "bad_parameters", message);
    }
    let open = |key: &str| draft.with.get(key).is_some_and(nexusmon_shared::expression::is_open);
    if open("max_rank") {
        refuse(
            "with/max_rank",
            "bad_parameters",
            "the highest rank is decided with the plan: E, D, C or B".to_owned(),
        );
    } else if let Some(said) = draft.with.get("max_rank")
        && !["E", "D", "C", "B"].iter().any(|rank| said == rank)
    {
        let message = "the mission may rank E, D, C or B; A and S work asks for an approval of its own";
        refuse("with/max_rank", "bad_parameters", message.to_owned());
    }
    if open("budget") {
        refuse(
            "with/budget",
            "bad_parameters",
            "a budget is decided with the plan: it takes no expressions".to_owned(),
        );
    } else if let Some(budget) = draft.with.get("budget")
        && let Err(error) = serde_json::from_value::<Budget>(budget.clone())
    {
        refuse("with/budget", "bad_parameters", format!("this is no budget: {error}"));
    }
    let given = [
        // A plan that is made anew from its leaves spells its defaults out.
        ("timeout", draft.timeout.is_some_and(|span| span != DEFAULT_TIMEOUT)),
        ("retry", draft.retry.as_ref().is_some_and(|retry| retry.max.unwrap_or(0) > 0)),
        ("offline", draft.offline.is_some_and(|span| !span.0.is_zero())),
        ("sandbox", draft.sandbox.as_ref().is_some_and(|sandbox| *sandbox != Sandbox::default())),
        ("secrets", !draft.secrets.is_empty()),
        ("inputs", !draft.inputs.is_empty()),
        ("artifacts", !draft.artifacts.is_empty()),
        ("limits", !draft.limits.is_empty()),
        ("accept", draft.accept.is_some()),
        ("on", !draft.on.is_anywhere()),
        ("for_each/concurrency", draft.for_each.as_ref().is_some_and(|list| list.concurrency.is_some())),
    ];
    for (place, _) in given.into_iter().filter(|(_, given)| *given) {
        let message = format!("`{CAPABILITY}` runs on no machine: say this of the tasks in its playbook");
        refuse(place, "not_applicable", message);
    }
}

/// What is approved must not change: the version is named.
fn pinned(playbook: &Value) -> Result<(Name, u32), String> {
    let expected = || "name a playbook with its version, as in `tidy-up@3`, without expressions".to_owned();
    let (name, version) = playbook.as_str().and_then(|text| text.split_once('@')).ok_or_else(expected)?;
    let version = version.parse().ok().filter(|version: &u32| *version > 0).ok_or_else(expected)?;
    Ok((name.parse().map_err(|_| expected())?, version))
}

/// An evaluated `with`.
#[derive(Debug, Clone, PartialEq)]
pub struct SubMission {
    pub playbook: Name,
    pub version: u32,
    pub inputs: Map<String, Value>,
    pub ceiling: Rank,
    pub budget: Option<Budget>,
}

impl SubMission {
    pub fn read(with: &Map<String, Value>) -> Result<Self, String> {
        let (playbook, version) = pinned(with.get("playbook").unwrap_or(&Value::Null))?;
        let inputs = match with.get("inputs") {
            None => Map::new(),
            Some(Value::Object(inputs)) => inputs.clone(),
            Some(_) => return Err("`inputs` is not an object".to_owned()),
        };
        let budget = with.get("budget").map(|budget| serde_json::from_value(budget.clone()));
        let budget = budget.transpose().map_err(|error| format!("`budget`: {error}"))?;
        Ok(Self { playbook, version, inputs, ceiling: ceiling(with), budget })
    }
}

/// What a mission may still spend, less what its sub-missions hold. `Err` names what is used up.
pub fn remaining(
    budget: &Budget,
    spent: &Spent,
    held: &Spent,
    deadline: Option<Timestamp>,
    now: Timestamp,
) -> Result<Budget, &'static str> {
    let count = |limit: u32, own: u32, theirs: u32| limit.saturating_sub(own).saturating_sub(theirs);
    let bytes = |limit: u64, own: u64, theirs: u64| limit.saturating_sub(own).saturating_sub(theirs);
    let duration = deadline.map_or(budget.duration.0, |deadline| deadline.since(now));
    let left = Budget {
        tasks: count(budget.tasks, spent.tasks, held.tasks),
        attempts: count(budget.attempts, spent.attempts, held.attempts),
        duration: Span(duration),
        artifact_bytes: bytes(budget.artifact_bytes, spent.artifact_bytes, held.artifact_bytes),
        log_bytes: bytes(budget.log_bytes, spent.log_bytes, held.log_bytes),
    };
    match left {
        Budget { tasks: 0, .. } => Err("tasks"),
        Budget { attempts: 0, .. } => Err("attempts"),
        Budget { duration: Span(Duration::ZERO), .. } => Err("duration"),
        left => Ok(left),
    }
}

/// What is left, in equal parts for so many that are still to begin; enough for one attempt at each of `tasks`, as far as
/// there is that much. Time passes for all of them at once.
pub fn part(left: &Budget, parts: u32, tasks: u32) -> Budget {
    let parts = parts.max(1);
    Budget {
        tasks: (left.tasks / parts).max(tasks).min(left.tasks),
        attempts: (left.attempts / parts).max(tasks).min(left.attempts),
        artifact_bytes: left.artifact_bytes / u64::from(parts),
        log_bytes: left.log_bytes / u64::from(parts),
        ..*left
    }
}

/// The lower of two ceilings, each by itself.
pub fn least(one: &Budget, other: &Budget) -> Budget {
    Budget {
        tasks: one.tasks.min(other.tasks),
        attempts: one.attempts.min(other.attempts),
        duration: Span(one.duration.0.min(other.duration.0)),
        artifact_bytes: one.artifact_bytes.min(other.artifact_bytes),
        log_bytes: one.log_bytes.min(other.log_bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn errors(task: Value) -> Vec<String> {
        let draft: TaskDraft = serde_json::from_value(task).unwrap();
        let mut errors = Vec::new();
        check(0, &draft, &mut errors);
        errors.into_iter().map(|error| error.pointer).collect()
    }

    #[test]
    fn what_is_approved_cannot_change_later() {
        let task = |with: Value| json!({"id": "s", "uses": "core.mission", "with": with});
        let all = json!({"playbook": "tidy@3", "inputs": {"n": "${{ tasks.a.outputs.n }}"}, "max_rank": "C",
            "budget": {"attempts": 3}});
        assert!(errors(task(all)).is_empty());
        for (with, place) in [
            (json!({"playbook": "tidy"}), "/tasks/0/with/playbook"),
            (json!({"playbook": "${{ tasks.a.outputs.p }}"}), "/tasks/0/with/playbook"),
            (json!({"playbook": "tidy@1", "max_rank": "A"}), "/tasks/0/with/max_rank"),
            (json!({"playbook": "tidy@1", "max_rank": "${{ mission.rank }}"}), "/tasks/0/with/max_rank"),
            (json!({"playbook": "tidy@1", "budget": {"coins": 3}}), "/tasks/0/with/budget"),
            (json!({"playbook": "tidy@1", "budget": "${{ 1 }}"}), "/tasks/0/with/budget"),
        ] {
            assert_eq!(errors(task(with.clone())), [place], "{with}");
        }
        let mut placed = task(json!({"playbook": "tidy@1"}));
        placed["timeout"] = json!("5s");
        placed["sandbox"] = json!({"profile": "user"});
        assert_eq!(errors(placed), ["/tasks/0/timeout", "/tasks/0/sandbox"]);
    }

    #[test]
    fn the_ceiling_is_never_a() {
        let with = |rank: &str| json!({"max_rank": rank}).as_object().unwrap().clone();
        assert_eq!(ceiling(&Map::new()), Rank::D);
        assert_eq!(
            (ceiling(&with("B")), ceiling(&with("S")), ceiling(&with("x"))),
            (Rank::B, Rank::B, Rank::D)
        );
    }

    #[test]
    fn parts_are_fair_and_enough_for_one_attempt() {
        let left = Budget { tasks: 10, attempts: 7, ..Budget::default() };
        let of = |parts, tasks| (part(&left, parts, tasks).tasks, part(&left, parts, tasks).attempts);
        assert_eq!((of(1, 1), of(3, 1), of(5, 4), of(5, 9)), ((10, 7), (3, 2), (4, 4), (9, 7)));
        assert_eq!(part(&left, 0, 1), left);
        assert_eq!(part(&left, 2, 1).log_bytes, left.log_bytes / 2);
    }

    proptest! {
        #[test]
        fn nothing_is_given_that_is_not_there(limit in 1_u32..50, own in 0_u32..50, theirs in 0_u32..50) {
            let budget = Budget { attempts: limit, ..Budget::default() };
            let spent = |attempts| Spent { attempts, ..Spent::default() };
            match remaining(&budget, &spent(own), &spent(theirs), None, Timestamp::from_micros(0)) {
                Ok(left) => prop_assert_eq!(left.attempts + own + theirs, limit),
                Err(what) => {
                    prop_assert_eq!(what, "attempts");
                    prop_assert!(own + theirs >= limit);
                }
            }
            let other = Budget { attempts: own, ..Budget::default() };
            prop_assert_eq!(least(&budget, &other).attempts, limit.min(own));
        }
    }
}
