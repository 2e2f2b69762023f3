//! The second planner: the plan of the most similar mission that was verified, with what differs. It reads memory only
//! under RECALL.

use futures::future::BoxFuture;
use nexusmon_core::evolution::Trait;
use nexusmon_core::planning::{Change, changes, rebind, rebind_inputs};
use nexusmon_shared::plan::TaskDraft;
use nexusmon_store::PlanningOutcome;
use serde_json::{Value, json};

use super::super::memory::Recalled;
use super::reading::Reading;
use super::{Answer, Answered, Help, Kind, Planner, Proposed, Rejected, Wanted, playbook};
use crate::error::Result;

/// Shown to a model.
const SHOWN: usize = 3;
/// Goals less alike are no guide.
const ALIKE: f64 = 0.5;
/// Tasks of a plan that is shown to a model.
const MOST_TASKS: usize = 20;

#[derive(Debug)]
pub(super) struct Memory;

impl Planner for Memory {
    fn kind(&self) -> Kind {
        Kind::Memory
    }

    fn plan<'a>(
        &'a self,
        wanted: &'a Wanted<'a>,
        rejected: Option<&'a Rejected>,
    ) -> BoxFuture<'a, Result<Answered>> {
        Box::pin(async move {
            if let Some(rejected) = rejected {
                return Ok(Answered::plain(Answer::Invalid(rejected.errors.clone())));
            }
            look(wanted).await.map(Answered::plain)
        })
    }
}

async fn look(wanted: &Wanted<'_>) -> Result<Answer> {
    if !wanted.reading.may(Trait::Recall).await? {
        let text = "memory is read once RECALL is earned by a first verified mission, or granted";
        let help = vec![Help::new("trait", Trait::Recall.name(), text)];
        return Ok(Answer::none(PlanningOutcome::Barred, "memory may not be read: RECALL is closed", help));
    }
    let mut found = wanted.reading.similar(&wanted.row.goal).await?;
    found.retain(|one| one.is_verified() && one.likeness >= ALIKE && !one.plan.is_empty());
    let Some(nearest) = found.first() else {
        let said = "memory has no verified mission like this";
        return Ok(Answer::none(PlanningOutcome::Passed, said, Vec::new()));
    };
    let mut why = None;
    for one in &found {
        match bound(wanted, one).await? {
            Ok(proposed) => return Ok(Answer::Plan(Box::new(proposed))),
            Err(text) => {
                why.get_or_insert(text);
            }
        }
    }
    let said = format!(
        "memory has {} ({:.0} % alike), and {}",
        nearest.mission,
        nearest.likeness * 100.0,
        why.unwrap_or_default()
    );
    let text = format!("rerun {} if that is what is wanted", nearest.mission);
    let help = vec![Help::new("plan", nearest.mission.to_string(), text)];
    Ok(Answer::none(PlanningOutcome::Passed, said, help))
}

/// The plan made to fit; `Err` says why it is other work.
async fn bound(wanted: &Wanted<'_>, one: &Recalled) -> Result<std::result::Result<Proposed, String>> {
    let changes: Vec<Change> = match changes(&one.goal, &wanted.row.goal) {
        Ok(changes) => changes,
        Err(why) => return Ok(Err(why)),
    };
    let about = |mut differs: Vec<String>| {
        if differs.is_empty() {
            differs.push("nothing: the goals mean the same words".to_owned());
        }
        let said = format!(
            "{} did the like ({:.0} % alike, {} of {} runs verified)",
            one.mission,
            one.likeness * 100.0,
            one.verified,
            one.runs
        );
        (said, differs)
    };
    if let Some((name, version, inputs)) = &one.playbook {
        let (inputs, differs) = match rebind_inputs(inputs, &changes) {
            Ok(bound) => bound,
            Err(why) => return Ok(Err(why)),
        };
        let Some(row) = wanted.reading.playbook(name, *version).await? else {
            return Ok(Err(format!("its playbook {name}@{version} is retired")));
        };
        let made = match playbook::made(wanted, &row, inputs).await {
            Ok(made) => made,
            Err(error) if error.status() < 500 => return Ok(Err(format!("its playbook refuses: {error}"))),
            Err(error) => return Err(error),
        };
        let (said, differs) = about(differs);
        let source = Some(one.mission.to_string());
        return Ok(Ok(Proposed { said, source, differs, memory: Some(one.memory), ..made }));
    }
    let plan: Vec<TaskDraft> = one.plan.iter().cloned().map(TaskDraft::from).collect();
    Ok(rebind(&plan, &changes).map(|(tasks, differs)| {
        let (said, differs) = about(differs);
        Proposed {
            draft: Reading::draft(wanted.row, tasks).into(),
            made_of: None,
            said,
            source: Some(one.mission.to_string()),
            differs,
            memory: Some(one.memory),
        }
    }))
}

/// Plans that did well, for a model: as data, and only under RECALL.
pub(super) async fn recalled(wanted: &Wanted<'_>) -> Result<Vec<Value>> {
    let mut found = wanted.reading.similar(&wanted.row.goal).await?;
    found.retain(|one| one.is_verified() && one.plan.len() <= MOST_TASKS);
    let shown = found.iter().take(SHOWN).map(|one| {
        let tasks: Vec<Value> = one
            .plan
            .iter()
            .map(|spec| {
                json!({"id": spec.id, "uses": spec.uses, "with": spec.with, "needs": spec.needs,
                    "if": spec.condition, "artifacts": spec.artifacts, "sandbox": spec.sandbox})
            })
            .collect();
        json!({"goal": one.goal, "likeness": one.likeness, "tasks": tasks})
    });
    Ok(shown.collect())
}
