//! What models cost. The most that a question may cost is written down before it is asked and taken back where its answer
//! is booked: whatever ends a coordinator in between, nothing is spent that does not count.

use nexusmon_shared::id::{MissionId, ModelCallId};
use nexusmon_shared::mission::MissionState;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{MissionRow, ModelCallRow, PlanningOutcome, PlanningRow, PlanningSpent, Tx};

use super::{Kind, PROMPT, keep, work};
use crate::app::App;
use crate::error::{Error, Result};
use crate::models::{Ask, Model, Spent};

const DAY_MICROS: i64 = 24 * 3600 * 1_000_000;

/// What a question is asked for, and how long whoever asks is waited for.
pub(super) struct Purpose {
    pub(super) mission: MissionId,
    pub(super) prompt: &'static str,
    pub(super) until: Timestamp,
}

impl Purpose {
    /// A plan for this mission.
    pub(super) fn plan(app: &App, row: &MissionRow) -> Self {
        let until = match &*row.state {
            MissionState::Planning { deadline, .. } => *deadline,
            _ => app.clock.now() + work::lease(app),
        };
        Self { mission: row.id, prompt: PROMPT, until }
    }

    /// A question that states no goal, under an id of its own.
    pub(super) fn aside(app: &App, mission: MissionId, prompt: &'static str) -> Self {
        Self { mission, prompt, until: app.clock.now() + work::lease(app) }
    }
}

/// A budget that a question would go over.
#[derive(Debug)]
pub(super) struct Over {
    pub(super) said: String,
    /// What would help.
    pub(super) help: &'static str,
}

/// What a question may cost beside what was spent, in tokens and micro-dollars.
struct Limits {
    /// Of what they are, as in "a day".
    per: &'static str,
    help: &'static str,
    tokens: Option<u64>,
    cost: Option<u64>,
}

/// Sets aside what a question may cost; the inner `Err` says which budget it would go over.
pub(super) async fn set_aside(
    app: &App,
    model: &Model,
    ask: &Ask<'_>,
    of: Purpose,
) -> Result<std::result::Result<ModelCallId, Over>> {
    let now = app.clock.now();
    let most = model.at_most(ask);
    let row = ModelCallRow {
        id: app.rng.with(|rng| ModelCallId::new(now, rng)),
        mission: of.mission,
        model: model.label(),
        prompt: of.prompt.to_owned(),
        tokens_in: keep::number(most.tokens_in),
        tokens_out: keep::number(most.tokens_out),
        cost: keep::number(most.cost),
        at: now,
        until: of.until,
    };
    let of_day = Limits {
        per: "a day",
        help: "raise model.daily_tokens or model.daily_usd, or wait until midnight UTC",
        tokens: Some(model.config.daily_tokens),
        cost: Some(model.config.daily_cost),
    };
    // A question that states no goal has none to count for.
    let of_goal = (of.prompt == PROMPT).then_some(Limits {
        per: "a goal",
        help: "raise model.goal_tokens or model.goal_usd, or give it a plan yourself",
        tokens: model.config.goal_tokens,
        cost: model.config.goal_cost,
    });
    let limits = (of_day, of_goal);
    app.store
        .write_with("planning.set_aside", (row, limits), move |tx, (row, (of_day, of_goal))| {
            Box::pin(async move {
                tx.lock_model_budget().await?;
                let midnight = row.at.as_micros().div_euclid(DAY_MICROS) * DAY_MICROS;
                let spent = tx.planning_spent(Timestamp::from_micros(midnight)).await?;
                if let Some(why) = of_day.over(&spent, most) {
                    return Ok::<_, Error>(Err(why));
                }
                if let Some(of_goal) = of_goal {
                    let spent = tx.planning_spent_on(row.mission).await?;
                    if let Some(why) = of_goal.over(&spent, most) {
                        return Ok(Err(why));
                    }
                }
                tx.insert_model_call(row).await?;
                Ok(Ok(row.id))
            })
        })
        .await
}

impl Limits {
    /// What does not hold this much more.
    fn over(&self, spent: &PlanningSpent, most: Spent) -> Option<Over> {
        let Self { per, help, .. } = *self;
        let (tokens, cost) = (count(spent.tokens), count(spent.cost));
        let said = match (self.tokens, self.cost) {
            (Some(limit), _) if tokens.saturating_add(most.tokens()) > limit => format!(
                "asking would go over the budget of {limit} tokens {per} ({tokens} are spent or set aside)"
            ),
            (_, Some(paid)) if cost.saturating_add(most.cost) > paid => {
                let usd = |micro: u64| micro as f64 / 1e6;
                format!(
                    "asking would go over the budget of ${:.2} {per} (${:.4} are spent or set aside)",
                    usd(paid),
                    usd(cost)
                )
            }
            _ => return None,
        };
        Some(Over { said, help })
    }
}

/// Whoever asked for this mission is gone: what was set aside is spent, for all we know.
pub(super) async fn book_abandoned(tx: &mut Tx, mission: Option<MissionId>) -> Result<()> {
    let now = tx.now();
    for call in tx.take_model_calls(mission, now).await? {
        // Rows of a mission are numbered one after the other.
        tx.lock_mission(call.mission).await?;
        tx.insert_plannings(&[abandoned(call)]).await?;
    }
    Ok(())
}

fn abandoned(call: ModelCallRow) -> PlanningRow {
    let ModelCallRow { id: _, mission, model, prompt, tokens_in, tokens_out, cost, at, until: _ } = call;
    let kind = if prompt == PROMPT { Kind::Model } else { Kind::Companion };
    let said =
        "the coordinator ended while the model was asked; what that may have cost at most counts as spent";
    PlanningRow {
        mission,
        number: 0,
        planner: kind.as_str().to_owned(),
        outcome: PlanningOutcome::Failed,
        said: said.to_owned(),
        detail: "{}".to_owned(),
        model: Some(model),
        prompt: Some(prompt),
        calls: 1,
        tokens_in,
        tokens_out,
        cost,
        cached: 0,
        at,
        took_ms: 0,
    }
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
