//! The work itself: planners asked one after the other, their answers put to the test; at once where that is quick, in
//! the background where a model is asked.

use std::sync::Arc;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use nexusmon_core::mission::MissionCommand;
use nexusmon_core::policy::{Verdict, access};
use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::{MissionState, MissionStatus};
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{MissionRow, PlanningOutcome, PrincipalKind};
use serde_json::json;

use super::super::missions::{self, Judged, Under};
use super::super::{Caller, Origin, Role};
use super::keep::{self, Made, as_state};
use super::memory::Memory;
use super::model::Models;
use super::playbook::Playbooks;
use super::reading::Reading;
use super::{Answer, Answered, Help, Kind, Planner, Proposed, Rejected, Step, Wanted, help};
use crate::app::App;
use crate::error::{Error, FieldError, Result};
use crate::models::{self, Spent};

/// Goals that are planned at the same time on one node.
const AT_ONCE: usize = 4;
/// Waiting goals that are looked at.
const MOST: u32 = 200;
/// Times an answer may be mended.
const REPAIRS: u32 = 1;

/// How long a goal is one planner's before another may take it.
pub(in crate::service) fn lease(app: &App) -> std::time::Duration {
    match &app.model {
        Some(model) => models::longest(&model.config, 1 + REPAIRS),
        None => std::time::Duration::from_mins(1),
    }
}

/// A mission that was just created from a goal alone: what is quick is done now; a model is asked in the background.
pub(in crate::service) async fn first_look(app: &App, caller: &Caller, row: &MissionRow) -> Result<()> {
    let quick: [&dyn Planner; 2] = [&Playbooks, &Memory];
    let all: [&dyn Planner; 3] = [&Playbooks, &Memory, &Models];
    let planners: &[&dyn Planner] = if app.model.is_some() { &quick } else { &all };
    let (made, steps) = ask(app, caller, row, planners, false).await;
    let settled = made.is_some() || steps.last().is_some_and(Step::settles);
    if settled || app.model.is_none() {
        keep::keep(app, row, made, steps).await?;
        return Ok(());
    }
    keep::lease(app, row, as_state("", app.clock.now())).await?;
    app.planning.wake.notify_one();
    Ok(())
}

/// The planners are asked again for a mission that needs a plan: as whoever stated the goal, whoever asks them to.
pub async fn again(app: &App, caller: &Caller, id: MissionId) -> Result<()> {
    let state = as_state(&app.config.node, app.clock.now() + lease(app));
    let MissionState::Planning { owner, deadline } = state else { return Ok(()) };
    let command = MissionCommand::Plan { owner, deadline };
    let (row, _) = missions::act(app, caller, id, command, ("mission.plan_again", json!({})), None).await?;
    match requester(app, &row).await? {
        Ok(stated) => first_look(app, &stated, &row).await,
        Err(why) => keep::withdrawn(app, &row, why).await.map(drop),
    }
}

/// Plans what waits, a few at a time, until nothing does. Idempotent; a crash leaves goals for whoever comes after their
/// lease.
pub async fn work(app: &App) -> Result<()> {
    let stopping = app.lifecycle.soft();
    keep::book(app).await;
    let mut under_way = FuturesUnordered::new();
    loop {
        while under_way.len() < AT_ONCE {
            match take(app).await {
                Ok(Some(row)) => under_way.push(one(app, row)),
                Ok(None) => break,
                Err(error) if under_way.is_empty() => return Err(error),
                Err(error) => {
                    tracing::warn!(?error, "the next goal could not be taken; those under way go on");
                    break;
                }
            }
        }
        if under_way.is_empty() {
            return Ok(());
        }
        tokio::select! {
            () = stopping.cancelled() => return Ok(()),
            Some(()) = under_way.next() => {}
            () = app.planning.wake.notified() => {}
        }
    }
}

/// Resolves when a goal waits.
pub(crate) async fn woken(app: &App) {
    app.planning.wake.notified().await;
}

/// Takes the oldest goal that is nobody's.
async fn take(app: &App) -> Result<Option<MissionRow>> {
    let now = app.clock.now();
    let waiting = app.store.read().await?.missions_in(MissionStatus::Planning, None, MOST).await?;
    for row in waiting {
        let free = match &row.state.0 {
            MissionState::Planning { owner, deadline } => {
                // On a database of its own, whoever else began is gone with its process.
                let gone = app.store.is_single_node() && *owner != app.config.node;
                owner.is_empty() || gone || *deadline <= now
            }
            _ => false,
        };
        if free
            && let Some(row) = keep::lease(app, &row, as_state(&app.config.node, now + lease(app))).await?
        {
            return Ok(Some(row));
        }
    }
    Ok(None)
}

/// Trouble with one goal is its own: it is planned again once its lease is over.
async fn one(app: &App, row: MissionRow) {
    if let Err(error) = planned(app, &row).await {
        tracing::warn!(mission = %row.id, ?error, "a goal could not be planned; it is tried again later");
    }
}

async fn planned(app: &App, row: &MissionRow) -> Result<()> {
    let all: [&dyn Planner; 3] = [&Playbooks, &Memory, &Models];
    match requester(app, row).await? {
        Ok(caller) => {
            // Whoever created it has had a first look.
            let (made, steps) = ask(app, &caller, row, &all, true).await;
            keep::keep(app, row, made, steps).await.map(drop)
        }
        Err(why) => keep::withdrawn(app, row, why).await.map(drop),
    }
}

pub(super) fn begun(planner: Kind, at: Timestamp) -> Step {
    Step {
        planner,
        outcome: PlanningOutcome::Failed,
        said: String::new(),
        help: Vec::new(),
        source: None,
        differs: Vec::new(),
        model: None,
        prompt: None,
        spent: Spent::default(),
        cached: false,
        calls: Vec::new(),
        broke: false,
        at,
        took: std::time::Duration::ZERO,
    }
}

/// Whoever stated the goal, as they are now: a plan never has more rights than they.
async fn requester(app: &App, row: &MissionRow) -> Result<std::result::Result<Caller, String>> {
    let found = app.store.read().await?.principal(row.created_by).await?;
    let now = app.expiry_clock.now();
    let live = found.filter(|one| one.revoked_at.is_none() && one.expires_at.is_none_or(|until| until > now));
    let Some(one) = live else {
        return Ok(Err("whoever stated the goal may not act here any more".to_owned()));
    };
    if one.kind != PrincipalKind::System && !access::permits(one.role.as_str(), "mission.create") {
        return Ok(Err(format!("{} stated the goal, and may not create missions any more", one.name)));
    }
    let role = match one.kind {
        PrincipalKind::Token => Role::Service,
        _ => Role::parse(one.role.as_str()).unwrap_or(Role::Service),
    };
    Ok(Ok(Caller {
        principal: one.id,
        name: one.name,
        role,
        session: None,
        rank_ceiling: one.rank_ceiling,
        origin: Origin::System,
    }))
}

/// Asks them in order until one has a plan that stands the test, or a question. `again`: quick ones were asked before.
async fn ask(
    app: &App,
    caller: &Caller,
    row: &MissionRow,
    planners: &[&dyn Planner],
    again: bool,
) -> (Option<Made>, Vec<Step>) {
    let wanted = Wanted { row, caller, reading: Reading::of(app, again) };
    let mut steps = Vec::new();
    for planner in planners {
        let (step, made) = consult(app, &wanted, *planner).await;
        let settled = made.is_some() || step.settles();
        steps.push(step);
        if settled {
            return (made, steps);
        }
    }
    (None, steps)
}

/// No error leaves it: what was spent until then is in the step.
async fn consult(app: &App, wanted: &Wanted<'_>, planner: &dyn Planner) -> (Step, Option<Made>) {
    let (kind, began) = (planner.kind(), app.clock.boot());
    let mut step = begun(kind, app.clock.now());
    let mut rejected: Option<Rejected> = None;
    let mut rounds = 0;
    let made = loop {
        let answered = planner.plan(wanted, rejected.as_ref()).await;
        let answered = answered.unwrap_or_else(|error| Answered::plain(Answer::of(error)));
        let Answered { answer, model, prompt, spent, cached, question, raw, call } = answered;
        step.spent.add(spent);
        step.calls.extend(call);
        step.cached |= cached;
        step.model = model.or(step.model);
        step.prompt = prompt.or(step.prompt);
        let errors = match answer {
            Answer::None { outcome, said, help } => {
                // What an endpoint failed at the second time is not what was wrong the first time: both are said.
                let before = rejected.as_ref().map(|one| help::listed(&one.errors));
                step.said = before.map_or_else(|| said.clone(), |before| format!("{said}, after {before}"));
                step.outcome = outcome;
                step.help = help;
                break None;
            }
            Answer::Plan(proposed) => match test(app, wanted, kind, *proposed, &mut step).await {
                Ok(Ok(made)) => break made,
                Ok(Err(errors)) => errors,
                Err(error) => {
                    tracing::warn!(mission = %wanted.row.id, ?error, "a plan could not be judged");
                    step.breaks(&error.to_string());
                    break None;
                }
            },
            Answer::Invalid(errors) => errors,
            Answer::Broken(what) => {
                step.breaks(&what);
                break None;
            }
        };
        // Read or judged, it did not stand the test: whoever asks again gets another answer.
        if let (Some(model), Some(question)) = (&app.model, question) {
            model.unfit(&question);
        }
        rounds += 1;
        if rounds > REPAIRS {
            step.outcome = PlanningOutcome::Failed;
            step.said = format!("its plan cannot be used: {}", help::listed(&errors));
            step.help = help::of_errors(&errors);
            break None;
        }
        rejected = Some(Rejected { answer: raw, errors });
    };
    step.took = app.clock.boot().saturating_sub(began);
    (step, made)
}

/// Whose text a plan is. A model's own is nobody's else; what people wrote, once or in a playbook, counts as theirs who
/// now wants it done: they do not approve it while somebody else can.
fn author(kind: Kind, of_playbook: bool, wanted: &Wanted<'_>) -> Author {
    if kind == Kind::Model && !of_playbook {
        return Author::Planner(kind.as_str().to_owned());
    }
    match &wanted.row.author.0 {
        stated @ (Author::Person(_) | Author::Token(_)) => stated.clone(),
        // A goal in a plan of a model, or of a trigger: of whoever these act for.
        Author::Planner(_) | Author::Trigger(_) => missions::author_of(wanted.caller),
    }
}

type Tested = std::result::Result<Option<Made>, Vec<FieldError>>;

/// Binds, ranks and judges a plan as anybody's, under the rights of whoever stated the goal.
async fn test(
    app: &App,
    wanted: &Wanted<'_>,
    kind: Kind,
    proposed: Proposed,
    step: &mut Step,
) -> Result<Tested> {
    let Proposed { draft, made_of, said, source, differs, memory } = proposed;
    let budget = draft.budget;
    let author = author(kind, made_of.is_some(), wanted);
    let under = Under { made_of: made_of.clone(), planner: Some(kind), ..Under::default() };
    let judge =
        |under| missions::judge(app, wanted.caller, wanted.row.id, author.clone(), Arc::clone(&draft), under);
    let judged = match judge(under.clone()).await {
        Ok(judged) => judged,
        Err(Error::Invalid(errors)) => return Ok(Err(errors)),
        Err(error) if error.status() < 500 => {
            return Ok(Err(vec![FieldError::new("", error.code(), error.to_string())]));
        }
        Err(error) => return Err(error),
    };
    let judged = match proven(app, &judged).await? {
        0 => judged,
        verified_runs => judge(Under { verified_runs, ..under }).await?,
    };
    step.said = said;
    step.source.clone_from(&source);
    step.differs = differs;
    if judged.decision.verdict == Verdict::Deny {
        step.outcome = PlanningOutcome::Failed;
        step.said = format!("policy denies its plan: {}", judged.decision.reason);
        step.help = vec![Help::new(
            "policy",
            judged.decision.policies.join(", "),
            "ask for less, or change the policy",
        )];
        return Ok(Ok(None));
    }
    step.outcome = PlanningOutcome::Planned;
    Ok(Ok(Some(Made { judged: Arc::new(judged), playbook: made_of, budget, kind, author, source, memory })))
}

/// Verified runs of the shape, where the verdict hangs on them.
async fn proven(app: &App, judged: &Judged) -> Result<u32> {
    let hangs = matches!(judged.decision.verdict, Verdict::Hold { .. })
        && matches!(judged.bound.assessment.rank, Rank::C | Rank::B);
    if !hangs {
        return Ok(0);
    }
    let count = app.store.read().await?.verified_runs(judged.shape).await?;
    Ok(u32::try_from(count).unwrap_or(0))
}
