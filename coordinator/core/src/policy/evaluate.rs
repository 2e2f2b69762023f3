//! Cedar: compiled once, asked three questions in turn.

use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use cedar_policy::{
    Authorizer, Decision as Answer, Entities, EntityUid, Policy, PolicyId, Request, Schema, ValidationMode,
    Validator,
};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::trust::canonical;

use super::place::{self, PolicyError};
use super::request::{Question, context, principal};
use super::{Decision, PolicyContext, Verdict, approvals_needed};
use crate::risk::Assessment;

const SHIPPED: &str = include_str!("shipped.cedar");
const GUARDRAILS: &str = include_str!("guardrails.cedar");
const SCHEMA: &str = include_str!("shipped.cedarschema");
/// What ids of guardrails begin with.
const GUARD: &str = "guard-";
/// The longest policy text that is read.
pub(super) const MAX_POLICY_BYTES: usize = 256 * 1024;

/// A compiled, versioned set of policies. Cheap to clone. A question takes Cedar some microseconds; answers are
/// remembered, since missions of one kind ask the same again and again.
#[derive(Debug, Clone)]
pub struct PolicySet {
    policies: Arc<cedar_policy::PolicySet>,
    digest: Digest,
    text: Arc<str>,
    answers: Arc<Mutex<HashMap<Question, Decision>>>,
}

/// Every policy of a text, by its own id.
fn read(text: &str) -> Result<BTreeMap<String, Policy>, PolicyError> {
    let set = cedar_policy::PolicySet::from_str(text).map_err(|errors| place::of_parse(text, &errors))?;
    if let Some(template) = set.templates().next() {
        let reason = "it is a template, which are not taken: name principal and resource".to_owned();
        let named = template.annotation("id").map(str::to_owned);
        return Err(PolicyError { policy: named, place: None, reason });
    }
    let mut found = BTreeMap::new();
    // In the order of the text, so that an error names the first.
    let mut policies: Vec<&Policy> = set.policies().collect();
    policies.sort_by_key(|policy| place::number(policy.id().as_ref()));
    for policy in policies {
        let ordinal = place::number(policy.id().as_ref()) + 1;
        let unnamed = |reason: &str| PolicyError {
            policy: policy.annotation("id").map(str::to_owned),
            place: None,
            reason: format!("policy number {ordinal} {reason}"),
        };
        let id = policy.annotation("id").filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| unnamed("has no `@id(\"…\")`: every policy needs one of its own"))?;
        if found.insert(id.to_owned(), policy.new_id(PolicyId::new(id))).is_some() {
            return Err(unnamed("has an `@id` that another has already"));
        }
    }
    Ok(found)
}

/// Answers remembered before they are all forgotten.
const MAX_ANSWERS: usize = 1024;

static GUARDRAILS_READ: LazyLock<BTreeMap<String, Policy>> =
    LazyLock::new(|| read(GUARDRAILS).expect("the guardrails are tested"));

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

    /// Reads and validates a set, and puts the guardrails under it. Every policy needs an `@id` of its own; ids that begin
    /// with `guard-` are the guardrails'. Templates are not taken.
    pub fn parse(text: &str) -> Result<Self, PolicyError> {
        if text.len() > MAX_POLICY_BYTES {
            let reason = format!("the policies are {} bytes, more than {MAX_POLICY_BYTES}", text.len());
            return Err(PolicyError { policy: None, place: None, reason });
        }
        let mut read = read(text)?;
        if let Some(id) = read.keys().find(|id| id.starts_with(GUARD)) {
            let reason = format!(
                "ids that begin with `{GUARD}` are the guardrails', which every set has; choose another"
            );
            return Err(PolicyError { policy: Some(id.clone()), place: None, reason });
        }
        read.extend(GUARDRAILS_READ.clone());
        let unreadable = |reason: String| PolicyError { policy: None, place: None, reason };
        let mut canonical_form = BTreeMap::new();
        for (id, policy) in &read {
            canonical_form
                .insert(id.clone(), policy.to_json().map_err(|error| unreadable(error.to_string()))?);
        }
        let policies = cedar_policy::PolicySet::from_policies(read.into_values())
            .map_err(|error| unreadable(error.to_string()))?;
        let schema = SCHEMA_READ.as_ref().map_err(|error| unreadable(error.clone()))?;
        let checked = Validator::new(schema.clone()).validate(&policies, ValidationMode::Strict);
        if let Some(error) = checked.validation_errors().next() {
            return Err(place::of_schema(text, error));
        }
        let digest = canonical::digest(&canonical_form).map_err(|error| unreadable(error.to_string()))?;
        Ok(Self { policies: Arc::new(policies), digest, text: Arc::from(text), answers: Arc::default() })
    }

    /// Over the canonical form of the set: sorted by id, without comments or layout.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// As it was written, without the guardrails.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What is part of every set.
    pub const fn guardrails() -> &'static str {
        GUARDRAILS
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
