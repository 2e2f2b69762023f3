//! Cedar: compiled once, asked three questions in turn.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cedar_policy::{
    Authorizer, Decision as Answer, Entities, EntityUid, PolicyId, Request, Schema, ValidationMode, Validator,
};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::canonical;

use super::request::{Question, context, principal};
use super::{Decision, PolicyContext, Verdict, approvals_needed};
use crate::risk::Assessment;

const SHIPPED: &str = include_str!("shipped.cedar");
const SCHEMA: &str = include_str!("shipped.cedarschema");
/// The longest policy text that is read.
pub(super) const MAX_POLICY_BYTES: usize = 256 * 1024;

/// Why a text is not a policy set.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    #[error("the policies are {0} bytes, more than {MAX_POLICY_BYTES}")]
    TooLong(usize),
    #[error("the policies cannot be read: {0}")]
    Parse(String),
    #[error("the policies do not fit the schema: {0}")]
    Schema(String),
    #[error("policy {0} has no `@id(\"…\")`, or one that another has already")]
    Unnamed(String),
}

/// A compiled, versioned set of policies. Cheap to clone. A question takes Cedar some microseconds; answers are
/// remembered, since missions of one kind ask the same again and again.
#[derive(Debug, Clone)]
pub struct PolicySet {
    policies: Arc<cedar_policy::PolicySet>,
    digest: Digest,
    text: Arc<str>,
    answers: Arc<Mutex<HashMap<Question, Decision>>>,
}

/// Answers remembered before they are all forgotten.
const MAX_ANSWERS: usize = 1024;

static SHIPPED_SET: LazyLock<PolicySet> =
    LazyLock::new(|| PolicySet::parse(SHIPPED).expect("the shipped policies are tested"));

static SCHEMA_READ: LazyLock<Result<Schema, String>> = LazyLock::new(|| {
    Schema::from_cedarschema_str(SCHEMA).map(|(schema, _)| schema).map_err(|e| e.to_string())
});

/// The questions in the order they are asked.
static QUESTIONS: LazyLock<[EntityUid; 3]> = LazyLock::new(|| {
    ["run_unattended", "run_flagged", "run_with_approval"].map(|action| {
        EntityUid::from_str(&format!("Action::\"{action}\"")).expect("a plain word is an entity id")
    })
});

static AUTHORIZER: LazyLock<Authorizer> = LazyLock::new(Authorizer::new);

static MISSION: LazyLock<EntityUid> =
    LazyLock::new(|| EntityUid::from_str("Mission::\"mission\"").expect("a plain word is an entity id"));

impl PolicySet {
    /// The rank table and the guardrails.
    pub fn shipped() -> Self {
        SHIPPED_SET.clone()
    }

    /// Reads and validates a set; every policy needs an `@id` of its own. Templates are not taken.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            return Err(PolicyError::TooLong(text.len()));
        }
        let read =
            cedar_policy::PolicySet::from_str(text).map_err(|error| PolicyError::Parse(error.to_string()))?;
        if let Some(template) = read.templates().next() {
            return Err(PolicyError::Parse(format!("{} is a template", template.id())));
        }
        let mut canonical_form = BTreeMap::new();
        let mut named = Vec::new();
        for policy in read.policies() {
            let unnamed = || PolicyError::Unnamed(policy.id().to_string());
            let id = policy.annotation("id").filter(|id| !id.is_empty()).ok_or_else(unnamed)?;
            let json = policy.to_json().map_err(|error| PolicyError::Parse(error.to_string()))?;
            if canonical_form.insert(id.to_owned(), json).is_some() {
                return Err(unnamed());
            }
            named.push(policy.new_id(PolicyId::new(id)));
        }
        let policies = cedar_policy::PolicySet::from_policies(named)
            .map_err(|error| PolicyError::Parse(error.to_string()))?;
        let schema = SCHEMA_READ.as_ref().map_err(|error| PolicyError::Schema(error.clone()))?;
        let checked = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if let Some(error) = checked.validation_errors().next() {
            return Err(PolicyError::Schema(error.to_string()));
        }
        let digest =
            canonical::digest(&canonical_form).map_err(|error| PolicyError::Parse(error.to_string()))?;
        Ok(Self { policies: Arc::new(policies), digest, text: Arc::from(text), answers: Arc::default() })
    }

    /// Over the canonical form of the set: sorted by id, without comments or layout.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Asks whether the work may run unattended, flagged, or with approval, in that order; else it is denied. The
    /// policies named are the one that permitted and those that forbade what was asked before.
    pub fn evaluate(&self, assessment: &Assessment, about: &PolicyContext) -> Decision {
        self.answer(&Question::of(assessment, about))
    }

    /// As [`Self::evaluate`], of a question put together already.
    pub fn answer(&self, asked: &Question) -> Decision {
        let answers = || self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = answers().get(asked) {
            return known.clone();
        }
        let decision = self.ask(asked);
        let mut answers = answers();
        if answers.len() >= MAX_ANSWERS {
            answers.clear();
        }
        answers.insert(asked.clone(), decision.clone());
        decision
    }

    fn ask(&self, asked: &Question) -> Decision {
        let mut policies = Vec::new();
        let put = principal(&asked.about.principal).zip(context(asked));
        for (place, question) in QUESTIONS.iter().enumerate() {
            let Some((principal, context)) = put.clone() else { break };
            let request = Request::new(principal, question.clone(), MISSION.clone(), context, None);
            let Ok(request) = request else { break };
            let response = AUTHORIZER.is_authorized(&request, &self.policies, &Entities::empty());
            policies.extend(response.diagnostics().reason().map(ToString::to_string));
            if response.decision() == Answer::Allow {
                let verdict = match place {
                    0 => Verdict::Allow,
                    1 => Verdict::Flag,
                    _ => Verdict::Hold { needed: approvals_needed(asked.rank, asked.about.eligible) },
                };
                return decided(verdict, policies, asked.rank);
            }
        }
        decided(Verdict::Deny, policies, asked.rank)
    }
}

fn decided(verdict: Verdict, mut policies: Vec<String>, rank: Rank) -> Decision {
    policies.sort_unstable();
    policies.dedup();
    let reason = match verdict {
        Verdict::Allow => format!("rank {rank} starts at once"),
        Verdict::Flag => format!("rank {rank} starts at once, is logged and opens a review"),
        Verdict::Hold { needed } => {
            let people = if needed == 1 { "one approval".to_owned() } else { format!("{needed} approvals") };
            let guards: Vec<&str> =
                policies.iter().filter(|id| id.starts_with("guard-")).map(String::as_str).collect();
            let why = if guards.is_empty() { String::new() } else { format!(" ({})", guards.join(", ")) };
            format!("rank {rank} waits for {people}{why}")
        }
        Verdict::Deny => format!("policy denies this rank {rank} mission"),
    };
    Decision { verdict, policies, reason }
}
