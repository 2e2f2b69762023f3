//! What can be said of an added task before the writer: its signature, its envelope, its rank, what policies say.

use nexusmon_core::planning::{BoundTask, PlanFacts, bind_spawned};
use nexusmon_core::policy::{AuthorKind, Circumstances, Decision, PolicyContext, Question, Verdict};
use nexusmon_core::prediction::{Expected, predict};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::Spawn;
use nexusmon_shared::plan::{PlanHeader, TaskSpec};
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::spawned::SignedSpawned;
use nexusmon_store::{Connection, MissionRow};

use super::Refused;
use crate::app::App;
use crate::error::{Error, Result};
use crate::service::{missions, provenance};

/// Leaves above it with more than this many are ranked off the async threads.
const SMALL: usize = 64;

pub(super) enum Checked {
    /// It was added before.
    Known,
    New(Box<New>),
}

/// A task that may be added, as far as that hangs on nothing that changes.
pub(super) struct New {
    pub signed: SignedSpawned,
    /// The same as text.
    pub text: String,
    /// Its canonical leaf.
    pub leaf: String,
    /// The leaf of the task that adds it.
    pub parent: TaskSpec,
    pub bound: BoundTask,
    /// Its agent's key stands in the roster, so that other machines can check it.
    pub vouched: bool,
    pub question: Question,
    pub decision: Decision,
    pub policy_set: Digest,
}

type Answer<T> = Result<std::result::Result<T, Refused>>;

fn forged<T>(why: impl Into<String>) -> std::result::Result<T, Refused> {
    Err(Refused::Forged(why.into()))
}

fn no<T>(why: impl Into<String>) -> std::result::Result<T, Refused> {
    Err(Refused::No(why.into()))
}

pub(super) async fn check(app: &App, agent: AgentId, given: &Spawn) -> Answer<Checked> {
    let signed = match SignedSpawned::read(&given.signed) {
        Ok(signed) => signed,
        Err(error) => return Ok(forged(error.to_string())),
    };
    let document = &signed.document;
    if document.task() != given.task || document.agent != agent || document.organism != app.organism {
        return Ok(forged("it was signed as another task, by another agent or for another coordinator"));
    }
    let mut read = app.store.read().await?;
    let row = read.agent(agent).await?.ok_or_else(|| Error::not_found("agent", agent))?;
    let key = provenance::identity(&row.identity_key)?;
    if !signed.is_signed_by(&key) {
        return Ok(forged("its signature is not by the identity key of its agent"));
    }
    if !read.spawned(&[given.task]).await?.is_empty() {
        return Ok(Ok(Checked::Known));
    }
    let Some(parent) = read.task(document.parent.task).await? else {
        return Ok(no("the task that adds it is not there any more"));
    };
    let mission = read.mission(parent.mission).await?;
    let mission = mission.ok_or_else(|| Error::not_found("mission", parent.mission))?;
    if mission.plan_digest != Some(document.plan_digest) {
        return Ok(no("it was added to another plan than its mission's"));
    }
    if read.is_planned(mission.id, &document.leaf.id).await? {
        return Ok(no(format!("`id`: a task of the plan is called `{}`", document.leaf.id)));
    }
    if parent.item_index.is_some() || parent.spawned_by.is_some() {
        return Ok(no("the task that adds it has no `spawn` of its own"));
    }
    let above = leaves_above(&mut read, &mission, parent.leaf_index).await?;
    let plan = read.plan(mission.id).await?.ok_or_else(|| Error::not_found("plan", mission.id))?;
    drop(read);
    let vouched = app.roster.get().is_some_and(|known| known.roster.agents.get(&agent) == Some(&key));
    let header: PlanHeader = serde_json::from_str(&plan.header).map_err(Error::internal)?;
    let small = above.len() <= SMALL;
    let (app, bytes) = (app.clone(), given.signed.clone());
    let work = move || judge(&app, &mission, &header, &above, signed, &bytes, vouched);
    if small { work() } else { tokio::task::spawn_blocking(work).await.map_err(Error::internal)? }
}

async fn leaves_above(read: &mut Connection, mission: &MissionRow, leaf: u32) -> Result<Vec<TaskSpec>> {
    let leaves = read.leaves_above(mission.id, leaf).await?;
    leaves.iter().map(|leaf| serde_json::from_str(leaf).map_err(Error::internal)).collect()
}

fn judge(
    app: &App,
    mission: &MissionRow,
    header: &PlanHeader,
    above: &[TaskSpec],
    signed: SignedSpawned,
    bytes: &[u8],
    vouched: bool,
) -> Answer<Checked> {
    let document = &signed.document;
    let fleet = app.fleet.get();
    let secrets = app.secrets.get();
    let playbook = header.playbook.as_deref().map(|text| text.split('@').next().unwrap_or(text));
    let facts = PlanFacts {
        catalog: &fleet.catalog,
        agents: &fleet.by_name,
        fleet: &fleet.views,
        secrets: &secrets,
        playbook,
    };
    let (bound, assessment) = match bind_spawned(above, &document.leaf, document.number, &facts) {
        Ok(bound) => bound,
        Err(errors) => {
            let one = |error: &nexusmon_core::planning::Invalid| match error.pointer.as_str() {
                "" => error.message.clone(),
                pointer => format!("{pointer}: {}", error.message),
            };
            return Ok(no(errors.iter().take(3).map(one).collect::<Vec<_>>().join("; ")));
        }
    };
    let parent = above.last().ok_or_else(|| Error::internal("a task without a leaf"))?.clone();
    let expected = [Expected { capability: &bound.spec.uses, needs: &[], retries: bound.spec.retry.max }];
    let success = predict(&expected, &app.history.of_capabilities()).success;
    let context = PolicyContext {
        author: AuthorKind::of(&mission.author.0),
        principal: mission.created_by.to_string(),
        // What these say of was decided with the plan, whose rank is no lower.
        ceiling: None,
        verified_runs: u32::MAX,
        eligible: missions::eligible(app, &mission.author.0),
        foresight: app.beliefs.foresight().of_plan(success),
        circumstances: Circumstances::of(&mission.origin, app.clock.now(), &mission.budget.0),
    };
    let policy = app.policy.get();
    let question = Question::of(&assessment, &context);
    let decision = policy.set.answer(&question);
    if !matches!(decision.verdict, Verdict::Allow | Verdict::Flag) {
        let (reason, policies) = (&decision.reason, decision.policies.join(", "));
        return Ok(no(format!("{reason} (policies: {policies}); nobody is asked about an added task")));
    }
    let leaf = canonical::of(&document.leaf).map_err(Error::internal)?;
    let text = String::from_utf8(bytes.to_vec()).map_err(Error::internal)?;
    let policy_set = policy.set.digest();
    let new = New { signed, text, leaf, parent, bound, vouched, question, decision, policy_set };
    Ok(Ok(Checked::New(Box::new(new))))
}
