//! From a mission as asked for to everything that will be committed: checked, ranked, sealed, judged. All of it happens
//! before the writer, so that a batch costs the database only its rows.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use nexusmon_core::mission::{self, Gate, MissionEffect, Start};
use nexusmon_core::planning::{
    BoundPlan, BoundTask, MissionDraft, PlanFacts, PlanRequest, bind, open_leaves,
};
use nexusmon_core::policy::{
    AuthorKind, Circumstances, Decision, PolicyContext, Question, Verdict, decide_within,
};
use nexusmon_core::prediction::{Expected, Prediction, predict};
use nexusmon_core::schedule::{AgentView, DemandClass, Dynamic};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ApprovalId, MissionId, PredictionId, ReviewId, TaskId};
use nexusmon_shared::mission::MissionState;
use nexusmon_shared::plan::{Author, Plan, PlanHeader, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Profile;
use nexusmon_shared::selector::Selector;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval;
use nexusmon_shared::trust::plan_digest::seal;
use serde_json::{Value, json};

use super::super::planning;
use super::super::playbooks::MadeOf;
use super::super::{Caller, Origin, Role};
use crate::app::App;
use crate::app::fleet::Fleet;
use crate::app::plans::SealedPlan;
use crate::error::{Error, Result};

/// Above this many tasks the work leaves the async threads.
const SMALL: usize = 64;

/// A plan that was bound, sealed and judged.
#[derive(Debug)]
pub(in crate::service) struct Judged {
    pub bound: BoundPlan,
    pub sealed: Arc<SealedPlan>,
    /// Canonical leaves in plan order.
    pub leaves: Vec<String>,
    pub question: Question,
    pub decision: Decision,
    /// Of the set that decided.
    pub policy_digest: Digest,
    pub prediction: Prediction,
    /// What identical runs have in common, whatever their inputs and machines.
    pub shape: Digest,
    /// The leaves with the inputs of their playbook open again; empty without one.
    pub open: Vec<TaskSpec>,
    /// By leaf; what is known only at run time (`same_as`, a bound over children) comes later.
    pub classes: Vec<DemandClass>,
}

/// Whose text the plan is.
pub(in crate::service) fn author_of(caller: &Caller) -> Author {
    // Who has no session came with a token; a trigger acts as whoever set it up.
    let token = caller.session.is_none() && caller.origin != Origin::System && !caller.origin.is_trigger();
    match caller.role {
        Role::Service => Author::Token(caller.principal),
        _ if token => Author::Token(caller.principal),
        _ => Author::Person(caller.principal),
    }
}

/// Whose text a plan made of this playbook is. Where a trigger asked for the very mission, nobody read the playbook again:
/// it is the text of whoever wrote that version.
pub(in crate::service) fn author_of_made(caller: &Caller, made_of: Option<&MadeOf>) -> Author {
    match (author_of(caller), made_of.and_then(|made| made.writer)) {
        (Author::Person(_), Some(writer)) if caller.origin.is_trigger() => Author::Person(writer),
        (author, _) => author,
    }
}

/// What a plan is made of, and for.
#[derive(Debug, Clone, Default)]
pub(in crate::service) struct Under {
    pub made_of: Option<Arc<MadeOf>>,
    /// Only these machines, which a standing approval names.
    pub only: Option<Selector>,
    /// Of this shape so far; only plans by machines hang on it.
    pub verified_runs: u32,
    /// Found by this planner: policies see a plan by a machine, whoever its author is.
    pub planner: Option<planning::Kind>,
}

/// Binds, ranks, seals and judges a plan.
pub(in crate::service) async fn judge(
    app: &App,
    caller: &Caller,
    mission: MissionId,
    author: Author,
    draft: Arc<MissionDraft>,
    under: Under,
) -> Result<Judged> {
    let fleet = app.fleet.get();
    let small = draft.tasks.as_ref().is_none_or(|tasks| tasks.len() <= SMALL);
    let (app, caller) = (app.clone(), caller.clone());
    let work = move || judge_now(&app, &caller, mission, author, &draft, &fleet, &under);
    if small { work() } else { tokio::task::spawn_blocking(work).await.map_err(Error::internal)? }
}

fn judge_now(
    app: &App,
    caller: &Caller,
    mission: MissionId,
    author: Author,
    draft: &MissionDraft,
    fleet: &Fleet,
    under: &Under,
) -> Result<Judged> {
    let drafts = draft.tasks.as_deref().unwrap_or_default();
    let request = PlanRequest { drafts, requested: draft.rank, budget: &draft.budget };
    let narrowed: Option<HashMap<_, _>> = under.only.as_ref().map(|only| {
        let fits = |view: &AgentView| only.matches(view.id, &view.offer.labels);
        fleet.views.iter().filter(|(_, view)| fits(view)).map(|(id, view)| (*id, view.clone())).collect()
    });
    let views = narrowed.as_ref().unwrap_or(&fleet.views);
    let secrets = app.secrets.get();
    let playbook = under.made_of.as_ref().map(|made| made.reference());
    let facts = PlanFacts {
        catalog: &fleet.catalog,
        agents: &fleet.by_name,
        fleet: views,
        secrets: &secrets,
        playbook: playbook.as_deref(),
    };
    let bound = bind(&request, &facts)?;
    let policy = app.policy.get();
    let header = PlanHeader {
        mission,
        goal: draft.goal.clone(),
        author: author.clone(),
        input_digests: under.made_of.iter().map(|made| made.inputs_digest).collect(),
        playbook,
        policy_digest: policy.set.digest(),
        plugins: bound.plugins.clone(),
        budget: draft.budget,
    };
    let plan = Plan { header, tasks: bound.specs() };
    let sealed = seal(&plan).map_err(Error::internal)?;
    let expected: Vec<_> = bound
        .tasks
        .iter()
        .map(|task| Expected {
            capability: &task.spec.uses,
            needs: &task.needs,
            retries: task.spec.retry.max,
        })
        .collect();
    let open = under.made_of.as_ref().map_or_else(Vec::new, |made| open_leaves(&bound, &made.open));
    let named = bound.tasks.iter().any(|task| !task.spec.on.agents.is_empty());
    let shape = match (open.is_empty(), named) {
        (true, false) => sealed.tasks_root,
        (true, true) => {
            approval::shape(bound.tasks.iter().map(|task| &task.spec)).map_err(Error::internal)?.root()
        }
        (false, _) => approval::shape(&open).map_err(Error::internal)?.root(),
    };
    let prediction = predict(&expected, &app.history.of_capabilities());
    let prediction = app.history.of_shape(&shape).unwrap_or(prediction);
    let context = PolicyContext {
        author: under.planner.map_or_else(|| AuthorKind::of(&author), |_| AuthorKind::Planner),
        principal: caller.principal.to_string(),
        ceiling: lower(caller.rank_ceiling, under.made_of.as_ref().and_then(|made| made.ceiling)),
        verified_runs: under.verified_runs,
        eligible: eligible(app, &author),
        foresight: app.beliefs.foresight().of_plan(prediction.success),
        circumstances: Circumstances::of(caller.origin.as_str(), app.clock.now(), &draft.budget),
    };
    let question = Question::of(&bound.assessment, &context);
    let decision = policy.set.answer(&question);
    let leaves = sealed
        .leaves
        .into_iter()
        .map(|leaf| String::from_utf8(leaf).map_err(Error::internal))
        .collect::<Result<_>>()?;
    let classes = bound.tasks.iter().map(class_of).collect();
    let sealed = SealedPlan {
        digest: sealed.digest,
        header: Bytes::from(sealed.header),
        tasks_root: sealed.tasks_root,
        tree: sealed.tree,
    };
    let policy_digest = policy.set.digest();
    Ok(Judged {
        policy_digest,
        shape,
        open,
        classes,
        sealed: Arc::new(sealed),
        leaves,
        question,
        decision,
        prediction,
        bound,
    })
}

/// Of two ceilings; `None` is none.
fn lower(one: Option<Rank>, other: Option<Rank>) -> Option<Rank> {
    one.into_iter().chain(other).min()
}

/// What a task demands of an agent.
pub(in crate::service) fn class_of(task: &BoundTask) -> DemandClass {
    // What starts no process needs no confinement for one.
    let processless = task.spec.uses.plugin() == "core";
    let profile = if processless { Profile::None } else { task.spec.sandbox.profile };
    let mut limits: std::collections::BTreeMap<String, u32> =
        task.spec.limits.iter().map(|(key, max)| (key.to_string(), *max)).collect();
    // A bound over children is a key of its own, named where the mission is known (`unlock`).
    limits.retain(|_, max| *max > 0);
    DemandClass {
        capability: task.spec.uses.clone(),
        plugin: task.plugin.clone(),
        selector: task.selector.clone(),
        profile,
        rank: task.rank,
        requires_approval: task.requires_approval,
        prefetch: task.spec.idempotent && limits.is_empty(),
        limits,
        dynamic: if task.spec.spawn.is_some() { Dynamic::Adds } else { Dynamic::None },
    }
}

/// What the mission begins with, as governance decided.
///
/// What a standing approval covers was approved ahead of time: it begins like work that is flagged.
pub(in crate::service) fn gate(judged: &Judged, start: Start, covered: bool) -> Gate {
    Gate {
        digest: judged.sealed.digest,
        verdict: if covered { Verdict::Flag } else { judged.decision.verdict },
        decide_within: decide_within(judged.bound.assessment.rank),
        start,
    }
}

/// How many people may approve what this author wrote. Without a roster nobody can sign, and the owner is the one who may
/// approve what needs no signature.
pub(in crate::service) fn eligible(app: &App, author: &Author) -> u32 {
    let known = app.roster.get();
    known.map_or(1, |known| u32::try_from(known.roster.eligible(author).len()).unwrap_or(u32::MAX))
}

/// The decision as the audit trail keeps it: with its question, so that anybody can ask again.
pub(in crate::service) fn recorded(judged: &Judged) -> Value {
    json!({"policy_set": judged.policy_digest, "question": judged.question, "answer": judged.decision.verdict})
}

/// The first state, refused where policy denies it.
pub(in crate::service) fn first_state(
    judged: &Judged,
    start: Start,
    covered: bool,
    now: Timestamp,
) -> Result<(MissionState, Vec<MissionEffect>)> {
    let transition =
        mission::create(gate(judged, start, covered), now).map_err(|refused| match refused.code {
            "denied_by_policy" => Error::Forbidden {
                code: "denied_by_policy",
                detail: format!(
                    "{} (policies: {})",
                    judged.decision.reason,
                    judged.decision.policies.join(", ")
                ),
            },
            _ => refused.into(),
        })?;
    Ok((transition.state, transition.effects))
}

/// Fresh ids, drawn together.
pub(in crate::service) struct Ids {
    pub tasks: Vec<TaskId>,
    pub approval: ApprovalId,
    pub review: ReviewId,
    pub prediction: PredictionId,
}

pub(in crate::service) fn draw(app: &App, tasks: usize, now: Timestamp) -> Ids {
    app.rng.with(|rng| Ids {
        tasks: (0..tasks).map(|_| TaskId::new(now, rng)).collect(),
        approval: ApprovalId::new(now, rng),
        review: ReviewId::new(now, rng),
        prediction: PredictionId::new(now, rng),
    })
}

/// The highest rank that may be granted in this mission once it runs.
pub(in crate::service) fn rank(judged: &Judged) -> Rank {
    judged.bound.assessment.rank
}
