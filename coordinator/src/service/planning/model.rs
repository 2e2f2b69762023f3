//! The last planner: a language model, where one is configured. Its answer is read in a narrower language than people
//! have, tried once more with its mistakes, and then judged like any other plan.

use futures::future::BoxFuture;
use nexusmon_core::planning::{Offer, Playbook, Proposal, answer_schema, parse_answer};
use nexusmon_shared::plan::TaskDraft;
use nexusmon_store::{PlanningOutcome, PlaybookRow};
use serde_json::Value;

use super::reading::{Reading, TOLD_PLAYBOOKS, Unasked};
use super::{Answer, Answered, Help, Kind, Planner, Proposed, Rejected, Wanted, playbook, prompt};
use crate::error::{Error, FieldError, Result};
use crate::models::{Ask, Fault, Model, Said, Spent};

/// Version of the prompt.
pub const PROMPT: &str = prompt::PLAN.0;

#[derive(Debug)]
pub(super) struct Models;

impl Planner for Models {
    fn kind(&self) -> Kind {
        Kind::Model
    }

    fn plan<'a>(
        &'a self,
        wanted: &'a Wanted<'a>,
        rejected: Option<&'a Rejected>,
    ) -> BoxFuture<'a, Result<Answered>> {
        Box::pin(async move {
            let Some(model) = wanted.reading.model() else {
                let none = Answer::none(PlanningOutcome::Barred, "no model is configured", vec![Help::key()]);
                return Ok(Answered::plain(none));
            };
            ask(wanted, model, rejected).await
        })
    }
}

async fn ask(wanted: &Wanted<'_>, model: &Model, rejected: Option<&Rejected>) -> Result<Answered> {
    let offers = wanted.reading.offers();
    let (mut known, _) = wanted.reading.playbooks().await?;
    known.truncate(TOLD_PLAYBOOKS);
    let answered = |answer, spent, call| Answered {
        answer,
        model: Some(model.label()),
        prompt: Some(PROMPT),
        spent,
        cached: false,
        question: None,
        raw: None,
        call,
    };
    if offers.is_empty() {
        let text = "connect a machine: nexusmon agent invite";
        let help = vec![Help::new("capability", "", text)];
        let said = "no machine is connected, so there is nothing to plan with";
        return Ok(answered(Answer::none(PlanningOutcome::Passed, said, help), Spent::default(), None));
    }
    let playbooks: Vec<Playbook> = known.iter().map(|(_, playbook)| playbook.clone()).collect();
    let names: Vec<&str> = playbooks.iter().map(|playbook| playbook.name.as_str()).collect();
    let schema = answer_schema(&offers, &names);
    let recalled = super::memory::recalled(wanted).await?;
    let mut turns = vec![prompt::asked(&wanted.row.goal, &offers, &playbooks, &recalled)];
    if let Some(rejected) = rejected {
        let before = rejected.answer.as_ref().map_or_else(|| "{}".to_owned(), Value::to_string);
        turns.extend([before, prompt::repair(rejected)]);
    }
    let ask = Ask { system: prompt::PLAN.1, turns: &turns, schema: &schema, name: "plan" };
    let (said, call) = wanted.reading.ask(model, &ask, wanted.reading.plan_of(wanted.row)).await?;
    let said = match said {
        Ok(said) => said,
        Err(why) => {
            let (answer, spent) = unasked(why);
            return Ok(answered(answer, spent, call));
        }
    };
    let Said { value, spent, cached, question } = said;
    let read = match parse_answer(&value) {
        Ok(Proposal::Plan { tasks, .. }) if !unoffered(&tasks, &offers).is_empty() => {
            Ok(Answer::Invalid(unoffered(&tasks, &offers)))
        }
        Ok(proposal) => proposed(wanted, model, proposal, &known).await,
        Err(errors) => Err(errors.into()),
    };
    // It is paid, whatever becomes of it from here on.
    let answer = read.unwrap_or_else(Answer::of);
    Ok(Answered { cached, question: Some(question), raw: Some(value), ..answered(answer, spent, call) })
}

/// Capabilities that exist, perhaps, but that nobody offered.
fn unoffered(tasks: &[TaskDraft], offers: &[Offer]) -> Vec<FieldError> {
    let known = |task: &TaskDraft| offers.iter().any(|offer| offer.name == task.uses.as_str());
    let wrong = tasks.iter().enumerate().filter(|(_, task)| !known(task));
    wrong
        .map(|(index, task)| {
            let message = format!("`{}` is not among the capabilities", task.uses);
            FieldError::new(format!("/tasks/{index}/uses"), "unknown_capability", message)
        })
        .collect()
}

async fn proposed(
    wanted: &Wanted<'_>,
    model: &Model,
    proposal: Proposal,
    known: &[(PlaybookRow, Playbook)],
) -> Result<Answer> {
    match proposal {
        Proposal::Plan { summary, tasks } => Ok(Answer::Plan(Box::new(Proposed {
            draft: Reading::draft(wanted.row, tasks).into(),
            made_of: None,
            said: format!("{}: {summary}", model.label()),
            source: None,
            differs: Vec::new(),
            memory: None,
        }))),
        Proposal::Playbook { name, inputs, summary } => {
            let Some((row, _)) = known.iter().find(|(row, _)| row.name.as_str() == name) else {
                let message = format!("there is no playbook `{name}`");
                return Err(Error::field("/playbook", "unknown_playbook", message));
            };
            let shown = playbook::shown(&inputs);
            let proposed = playbook::made(wanted, row, inputs).await?;
            let said = format!(
                "{} chose playbook {}@{} with {shown}: {summary}",
                model.label(),
                row.name,
                row.version
            );
            Ok(Answer::Plan(Box::new(Proposed { said, ..proposed })))
        }
        Proposal::Lacking(lacking) => {
            let said = lacking.iter().map(|one| one.why.as_str()).collect::<Vec<_>>().join("; ");
            let help = lacking
                .iter()
                .map(|one| {
                    let (kind, text) = match one.kind.as_str() {
                        "capability" => ("capability", format!("an agent that offers it: {}", one.why)),
                        "input" => ("input", format!("say it in the goal: {}", one.why)),
                        _ => ("clarity", format!("say it more clearly: {}", one.why)),
                    };
                    Help::new(kind, &one.name, text)
                })
                .collect();
            let said = format!("{} has no plan: {said}", model.label());
            Ok(Answer::none(PlanningOutcome::Asked, said, help))
        }
    }
}

fn unasked(why: Unasked) -> (Answer, Spent) {
    match why {
        Unasked::Budget(over) => {
            let help = vec![Help::new("budget", "model", over.help)];
            (Answer::none(PlanningOutcome::Barred, over.said, help), Spent::default())
        }
        Unasked::NoAnswer(no) => {
            let (outcome, what) = match no.fault {
                Fault::Open => {
                    (PlanningOutcome::Barred, "look after the endpoint, then run the mission again")
                }
                Fault::Away => {
                    (PlanningOutcome::Failed, "look after the endpoint, then run the mission again")
                }
                Fault::Refused => {
                    (PlanningOutcome::Failed, "check the key, the model's name and its address")
                }
                Fault::Nonsense => (PlanningOutcome::Failed, "try another model, or run the mission again"),
            };
            (Answer::none(outcome, no.text, vec![Help::new("endpoint", "", what)]), no.spent)
        }
    }
}
