//! Whether enough persons agreed to what an order wants: the roster's word against the coordinator's.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::message::Order;
use nexusmon_shared::outcome::Refusal;
use nexusmon_shared::plan::{Input, TaskSpec};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::{
    Claim, Counted, Evidence, Instance, MAX_DECISIONS, SignedDecision, Signers, SubjectKind, enough_by,
    rounds_by,
};
use nexusmon_shared::trust::merkle::leaf_hash;
use nexusmon_shared::trust::provenance::ApprovalUsed;
use serde_json::{Map, Value};

use super::{KnownPlan, Offered, Refused, Standing, refused};

/// The work as this agent understood it.
pub(super) struct Wanted<'a> {
    pub(super) order: &'a Order,
    pub(super) plan: &'a KnownPlan,
    pub(super) spec: &'a TaskSpec,
    pub(super) parameters: &'a Map<String, Value>,
    /// The higher of what was stated and what was computed here.
    pub(super) rank: Rank,
}

/// That the work may run, and by whose leave.
#[derive(Default)]
pub(super) struct Approved {
    /// What starts are counted by, and how many the approvals cover, where signatures are needed.
    pub(super) instance: Option<(Digest, u32)>,
    pub(super) approvals: Vec<ApprovalUsed>,
}

/// The signatures that counted, as provenance names them.
pub(super) fn used(evidence: &Evidence, subject: SubjectKind, digest: Digest) -> Vec<ApprovalUsed> {
    let used = |one: &Counted| {
        let Counted { person, key, nonce, .. } = *one;
        ApprovalUsed { subject, digest, person, key, nonce }
    };
    evidence.counted.iter().map(used).collect()
}

/// What can be read of what was sent; the rest would not have counted.
pub(super) fn read(decisions: &[bytes::Bytes]) -> Vec<SignedDecision> {
    decisions.iter().take(MAX_DECISIONS).filter_map(|bytes| SignedDecision::read(bytes).ok()).collect()
}

impl Standing {
    pub(super) fn check_approved(
        &self,
        wanted: &Wanted<'_>,
        offered: &Offered,
        now: Timestamp,
    ) -> Result<Approved, Refused> {
        let grave = wanted.rank.needs_approval() || offered.spec.requires_approval;
        if !grave && wanted.rank < self.signed_from {
            return Ok(Approved::default());
        }
        let once = wanted.spec.retry.max.saturating_add(1);
        if self.policy.unsigned_consent {
            let instance = Some((counted_by(wanted.order), once));
            return Ok(Approved { instance, approvals: Vec::new() });
        }
        if grave {
            self.check_named(wanted.spec)?;
        }
        check_shape(wanted)?;
        let Some(roster) = &self.roster else {
            let detail = format!(
                "rank {} work needs signatures, and this agent holds no roster to check them with: make a key \
                 with `nexusmon key make`; where the agent joined before that, name the key to it with \
                 `nexusmon-agent roster reset --owner-key …`",
                wanted.rank
            );
            return refused(Refusal::MissingConsent, detail);
        };
        if let Some(given) = &wanted.order.standing {
            return self.check_standing(wanted, given, roster, now);
        }
        let header = wanted.plan.header();
        // What the leaf admits was approved with the plan.
        let open = wanted.spec.admits(wanted.parameters, &wanted.order.inputs).is_err();
        let (subject, digest) = if open {
            (SubjectKind::TaskInstance, instance(wanted)?)
        } else {
            (SubjectKind::MissionPlan, wanted.plan.digest())
        };
        let own = if open { read(&wanted.order.decisions) } else { Vec::new() };
        let decisions = if open { &own } else { &wanted.plan.decisions };
        if !grave && decisions.is_empty() {
            // The coordinator asks nobody about such work: another machine may do it as it is.
            let (least, rank) = (self.signed_from, wanted.rank);
            let detail = format!(
                "this machine wants signatures from rank {least} on, and nobody signed for this {rank}"
            );
            return refused(Refusal::MissingConsent, detail);
        }
        let claim = Claim {
            organism: self.organism,
            subject,
            digest,
            mission: Some(header.mission),
            rank: wanted.rank,
            author: &header.author,
        };
        let signers = self.signers();
        let evidence = match enough_by(roster, decisions, &claim, now, signers) {
            Ok(evidence) => evidence,
            Err(refusal) => return refused(Refusal::BadSignature, refusal.to_string()),
        };
        let starts = once.saturating_mul(rounds_by(roster, decisions, &claim, signers));
        let approvals = used(&evidence, subject, digest);
        Ok(Approved { instance: Some((counted_by(wanted.order), starts)), approvals })
    }

    /// Whose signatures count here.
    pub(super) fn signers(&self) -> Signers {
        if self.cli_keys_only { Signers::CliOnly } else { Signers::Any }
    }

    /// A and S work was approved for machines by their ids: labels are the coordinator's to give.
    fn check_named(&self, spec: &TaskSpec) -> Result<(), Refused> {
        if spec.on.agents.contains(&self.agent) {
            return Ok(());
        }
        let detail = "the plan does not name this agent among the machines this work is for";
        refused(Refusal::SelectorDiffers, detail)
    }
}

/// What an order adds to its leaf must be what the leaf leaves open.
fn check_shape(wanted: &Wanted<'_>) -> Result<(), Refused> {
    let Wanted { order, spec, .. } = wanted;
    // A task that ran once per element of a list brings a file for each.
    let many = spec.inputs.iter().any(|input| matches!(input, Input::FromTask(_)));
    let (found, planned) = (order.inputs.len(), spec.inputs.len());
    let agrees = (found == planned || (many && found > planned))
        && match (&spec.for_each, order.item_index) {
            (None, None) => true,
            (Some(list), Some(index)) => index < list.max,
            _ => false,
        };
    if agrees {
        return Ok(());
    }
    refused(
        Refusal::ParametersDiffer,
        "the order has other inputs or another place in the list than its leaf",
    )
}

fn instance(wanted: &Wanted<'_>) -> Result<Digest, Refused> {
    let Wanted { order, plan, parameters, .. } = wanted;
    let inputs: Vec<Digest> = order.inputs.iter().map(|input| input.digest).collect();
    let Ok(leaf_index) = u32::try_from(order.leaf_index) else {
        return refused(Refusal::BadProof, "no plan has so many tasks");
    };
    let instance = Instance {
        plan_digest: plan.digest(),
        leaf_index,
        leaf: leaf_hash(&order.leaf),
        item_index: order.item_index,
        parameters,
        inputs: &inputs,
    };
    instance.subject().or_else(|inexact| refused(Refusal::ParametersInvalid, inexact.to_string()))
}

/// The leaf's place in its plan, and the element of its list.
fn counted_by(order: &Order) -> Digest {
    let mut bytes = b"nexusmon/instance/v1\n".to_vec();
    bytes.extend_from_slice(order.plan_digest.as_bytes());
    bytes.extend_from_slice(&order.leaf_index.to_be_bytes());
    bytes.extend_from_slice(&order.item_index.map_or(u64::MAX, u64::from).to_be_bytes());
    Digest::of(&bytes)
}
