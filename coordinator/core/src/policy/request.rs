//! What policies see beside the assessment.

use std::collections::BTreeMap;
use std::str::FromStr;

use cedar_policy::{Context, EntityId, EntityTypeName, EntityUid, RestrictedExpression};
use nexusmon_shared::capability::Capability;
use nexusmon_shared::effects::Effects;
use nexusmon_shared::plan::Author;
use nexusmon_shared::rank::Rank;

use super::Circumstances;
use crate::risk::Assessment;

/// Whose text a plan is, as policies see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AuthorKind {
    Person,
    Token,
    Planner,
    Trigger,
    /// A client of the system's MCP server.
    Mcp,
}

impl AuthorKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Token => "token",
            Self::Planner => "planner",
            Self::Trigger => "trigger",
            Self::Mcp => "mcp",
        }
    }

    pub const fn of(author: &Author) -> Self {
        match author {
            Author::Person(_) => Self::Person,
            Author::Token(_) => Self::Token,
            Author::Planner(_) => Self::Planner,
            Author::Trigger(_) => Self::Trigger,
        }
    }
}

/// What is predicted of a plan, and how far predictions came true: for gates that want both. In coarse steps, so that
/// questions repeat. What says nothing yet says the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Foresight {
    /// Percent, in steps of five.
    pub predicted_success: u32,
    /// Predictions scored in the last thirty days: 0, 10, 20 … 100, which is "or more".
    pub predictions_scored: u32,
    /// Their Brier score in thousandths, in steps of ten; 1000 where nothing is scored.
    pub brier: u32,
}

impl Default for Foresight {
    fn default() -> Self {
        Self { predicted_success: 0, predictions_scored: 0, brier: 1000 }
    }
}

impl Foresight {
    /// Of scored predictions; what one plan's is comes with [`Self::of_plan`].
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 1000")]
    pub fn of(scored: u64, brier: Option<f64>) -> Self {
        let scored = u32::try_from(scored.min(100)).unwrap_or(100) / 10 * 10;
        let brier = brier.map_or(1000, |brier| (brier.clamp(0.0, 1.0) * 100.0).ceil() as u32 * 10);
        Self { predicted_success: 0, predictions_scored: scored, brier }
    }

    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 and 100")]
    pub fn of_plan(self, success: f64) -> Self {
        Self { predicted_success: (success.clamp(0.0, 1.0) * 20.0).floor() as u32 * 5, ..self }
    }

    fn says_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Circumstances of a mission.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct PolicyContext {
    pub author: AuthorKind,
    /// The principal that submits, as text.
    pub principal: String,
    /// A token's rank ceiling; above it is held.
    pub ceiling: Option<Rank>,
    /// Verified runs of the same shape so far; plans by machines are held at C and B below three.
    pub verified_runs: u32,
    /// People who may approve, less the author (the author where nobody else may).
    pub eligible: u32,
    /// Absent in questions that were asked before there was any.
    #[serde(default, skip_serializing_if = "Foresight::says_nothing")]
    pub foresight: Foresight,
    /// Likewise.
    #[serde(default, skip_serializing_if = "Circumstances::says_nothing")]
    pub circumstances: Circumstances,
}

impl PolicyContext {
    /// A person without a ceiling, the only one who may approve.
    pub fn of_person(principal: &impl ToString) -> Self {
        Self {
            author: AuthorKind::Person,
            principal: principal.to_string(),
            ceiling: None,
            verified_runs: 0,
            eligible: 1,
            foresight: Foresight::default(),
            circumstances: Circumstances::default(),
        }
    }
}

/// Everything a decision hangs on. The audit trail records it, so that anybody can ask again.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Question {
    #[serde(flatten)]
    pub about: PolicyContext,
    /// As assessed.
    pub rank: Rank,
    pub requested: Rank,
    pub requires_approval: bool,
    pub effects: Effects,
    pub unconfined: u32,
    pub tasks: u32,
    /// Sorted.
    pub capabilities: Vec<Capability>,
}

impl Question {
    pub fn of(assessment: &Assessment, about: &PolicyContext) -> Self {
        Self {
            about: about.clone(),
            rank: assessment.rank,
            requested: assessment.requested,
            requires_approval: assessment.requires_approval,
            effects: assessment.effects,
            unconfined: assessment.blast_radius.unconfined,
            tasks: assessment.blast_radius.tasks,
            capabilities: assessment.capabilities.keys().cloned().collect(),
        }
    }
}

pub(super) fn principal(id: &str) -> Option<EntityUid> {
    let kind = EntityTypeName::from_str("Principal").ok()?;
    Some(EntityUid::from_type_name_and_id(kind, EntityId::new(id)))
}

pub(super) fn context(asked: &Question) -> Option<Context> {
    let long = |number: u32| RestrictedExpression::new_long(i64::from(number));
    let rank = |rank: Rank| RestrictedExpression::new_long(i64::from(rank.level()));
    let size = |number: u64| RestrictedExpression::new_long(i64::try_from(number).unwrap_or(i64::MAX));
    let (about, effects) = (&asked.about, asked.effects);
    let circumstances = &about.circumstances;
    let capabilities = asked.capabilities.iter();
    let fields: BTreeMap<&str, RestrictedExpression> = BTreeMap::from([
        ("rank", rank(asked.rank)),
        ("requested", rank(asked.requested)),
        ("requires_approval", RestrictedExpression::new_bool(asked.requires_approval)),
        ("reads", RestrictedExpression::new_bool(effects.reads)),
        ("writes", RestrictedExpression::new_bool(effects.writes)),
        ("network", RestrictedExpression::new_bool(effects.network)),
        ("spends", RestrictedExpression::new_bool(effects.spends)),
        ("irreversible", RestrictedExpression::new_bool(effects.irreversible)),
        ("unconfined", long(asked.unconfined)),
        ("tasks", long(asked.tasks)),
        (
            "capabilities",
            RestrictedExpression::new_set(
                capabilities.map(|name| RestrictedExpression::new_string(name.to_string())),
            ),
        ),
        ("author", RestrictedExpression::new_string(about.author.as_str().to_owned())),
        ("ceiling", rank(about.ceiling.unwrap_or(Rank::S))),
        ("verified_runs", long(about.verified_runs)),
        ("predicted_success", long(about.foresight.predicted_success)),
        ("predictions_scored", long(about.foresight.predictions_scored)),
        ("brier", long(about.foresight.brier)),
        ("origin", RestrictedExpression::new_string(circumstances.origin.clone())),
        ("hour", long(circumstances.hour)),
        ("weekday", long(circumstances.weekday)),
        ("budget_tasks", long(circumstances.budget_tasks)),
        ("budget_attempts", long(circumstances.budget_attempts)),
        ("budget_seconds", size(circumstances.budget_seconds)),
        ("budget_artifact_bytes", size(circumstances.budget_artifact_bytes)),
    ]);
    Context::from_pairs(fields.into_iter().map(|(name, value)| (name.to_owned(), value))).ok()
}
