//! The first planner: a playbook that says in its own words what the goal asks for.

use futures::future::BoxFuture;
use nexusmon_core::planning::{Gap, Match, MissionDraft, Playbook, PlaybookRef, match_playbook};
use nexusmon_store::{PlanningOutcome, PlaybookRow};
use serde_json::{Map, Value};

use super::reading::Reading;
use super::{Answer, Answered, Help, Kind, Planner, Proposed, Rejected, Wanted};
use crate::error::Result;

#[derive(Debug)]
pub(super) struct Playbooks;

impl Planner for Playbooks {
    fn kind(&self) -> Kind {
        Kind::Playbook
    }

    fn plan<'a>(
        &'a self,
        wanted: &'a Wanted<'a>,
        rejected: Option<&'a Rejected>,
    ) -> BoxFuture<'a, Result<Answered>> {
        Box::pin(async move {
            if let Some(rejected) = rejected {
                // It says the same every time.
                return Ok(Answered::plain(Answer::Invalid(rejected.errors.clone())));
            }
            look(wanted).await.map(Answered::plain)
        })
    }
}

async fn look(wanted: &Wanted<'_>) -> Result<Answer> {
    let (known, more) = wanted.reading.playbooks().await?;
    let offered: Vec<Playbook> = known.iter().map(|(_, playbook)| playbook.clone()).collect();
    let said = match known.len() {
        many if more => {
            format!("none of the first {many} playbooks by name says this, and no more are looked at")
        }
        0 => "there is no playbook yet".to_owned(),
        1 => "the one playbook there is says something else".to_owned(),
        many => format!("none of {many} playbooks says this"),
    };
    match match_playbook(&wanted.row.goal, &offered) {
        Match::None => Ok(Answer::none(PlanningOutcome::Passed, said, vec![Help::playbook()])),
        Match::Ambiguous { places } => {
            let names: Vec<String> = places.iter().map(|place| known[*place].0.name.to_string()).collect();
            let said = format!("these playbooks fit alike: {}", names.join(", "));
            let help = names
                .iter()
                .take(5)
                .map(|name| {
                    Help::new("playbook", name, format!("say which: a mission with `playbook: {name}`"))
                })
                .collect();
            Ok(Answer::none(PlanningOutcome::Asked, said, help))
        }
        Match::Missing { place, inputs, missing } => Ok(asked(&known[place].0, &inputs, &missing)),
        Match::Bound { place, inputs, whole } => {
            let row = &known[place].0;
            let proposed = made(wanted, row, inputs.clone()).await?;
            let how = if whole { "the goal reads as its own" } else { "the goal names it" };
            let said = match inputs.len() {
                0 => format!("playbook {}@{}: {how}", row.name, row.version),
                _ => format!("playbook {}@{}: {how}, with {}", row.name, row.version, shown(&inputs)),
            };
            Ok(Answer::Plan(Box::new(Proposed { said, ..proposed })))
        }
    }
}

/// What the playbook makes of these inputs, under the mission's own rank and budget.
pub(super) async fn made(
    wanted: &Wanted<'_>,
    row: &PlaybookRow,
    inputs: Map<String, Value>,
) -> Result<Proposed> {
    let version = u32::try_from(row.version).ok();
    let draft = MissionDraft {
        tasks: None,
        playbook: Some(PlaybookRef { name: row.name.clone(), version }),
        inputs,
        ..Reading::draft(wanted.row, Vec::new())
    };
    let (draft, made_of) = wanted.reading.resolve(draft).await?;
    Ok(Proposed {
        draft,
        made_of,
        said: String::new(),
        source: Some(format!("playbook {}@{}", row.name, row.version)),
        differs: Vec::new(),
        memory: None,
    })
}

fn asked(row: &PlaybookRow, inputs: &Map<String, Value>, missing: &[Gap]) -> Answer {
    let names: Vec<&str> = missing.iter().map(|gap| gap.name.as_str()).collect();
    let said = format!("playbook {}@{} fits, and needs to know: {}", row.name, row.version, names.join(", "));
    let known = if inputs.is_empty() { String::new() } else { format!(" (known: {})", shown(inputs)) };
    let help = missing
        .iter()
        .map(|gap| {
            let text = format!(
                "say `{}` in the goal, or make a mission with `playbook: {}` and `inputs`{known}; it is {}",
                gap.name, row.name, gap.text
            );
            Help::new("input", &gap.name, text)
        })
        .collect();
    Answer::none(PlanningOutcome::Asked, said, help)
}

pub(super) fn shown(inputs: &Map<String, Value>) -> String {
    let text = inputs.iter().map(|(name, value)| format!("{name} = {value}")).collect::<Vec<_>>().join(", ");
    text.chars().take(300).collect()
}
