//! What the coordinator grants: a plan's header once per session, then orders under it.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::attempt::AttemptRef;
use crate::digest::Digest;
use crate::plan::MAX_PARAMETER_BYTES;
use crate::rank::Rank;

/// Sent before the first order of that plan in a session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanNotice {
    pub digest: Digest,
    /// Canonical JSON; see `trust::plan_digest::open_header`.
    pub header: Bytes,
    pub tasks_root: Digest,
    /// Number of leaves.
    pub size: u64,
    /// Signed decisions on the plan, each as JSON (`trust::approval::SignedDecision`). Sent again when there are others.
    pub decisions: Vec<Bytes>,
}

/// One grant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    pub attempt: AttemptRef,
    /// Counts grants of the task, from 1.
    pub attempt_number: u32,
    pub plan_digest: Digest,
    /// Canonical JSON of the task spec; see `trust::plan_digest::open_leaf`.
    pub leaf: Bytes,
    pub leaf_index: u64,
    pub proof: Vec<Digest>,
    /// Of a `for_each` child.
    pub item_index: Option<u32>,
    /// Evaluated `with` as a JSON object; absent when the leaf's holds no expression.
    pub parameters: Option<Bytes>,
    pub inputs: Vec<OrderInput>,
    pub rank: Rank,
    /// W3C trace context; empty when the mission is not traced.
    pub traceparent: String,
    /// The same for every attempt of the task.
    pub idempotency_key: String,
    /// Signed decisions on this instance, each as JSON.
    pub decisions: Vec<Bytes>,
    /// What it rests on instead, where that is a standing approval.
    pub standing: Option<Box<StandingUse>>,
    /// Of a task that was added: by whom. Its leaf is in no plan, and `proof` is empty.
    pub spawned: Option<Box<SpawnedUse>>,
}

/// What a task that was added rests on: the signature of the agent that added it, and the leaf that let it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SpawnedUse {
    /// Canonical JSON; see `trust::spawned::SignedSpawned`.
    pub signed: Bytes,
    /// Canonical JSON of the leaf of the task that added it, which is in the plan.
    pub parent_leaf: Bytes,
    pub parent_index: u64,
    pub parent_proof: Vec<Digest>,
}

/// A standing approval, and how this work falls under it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StandingUse {
    /// Canonical JSON; see `trust::approval::StandingApproval`.
    pub standing: Bytes,
    /// Signed decisions on it, each as JSON.
    pub decisions: Vec<Bytes>,
    /// Canonical JSON of the open leaf at the order's place.
    pub open_leaf: Bytes,
    /// Leaves of the shape.
    pub size: u64,
    pub proof: Vec<Digest>,
    /// A JSON object.
    pub inputs: Bytes,
}

/// Why evaluated parameters cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParametersError {
    #[error("the evaluated parameters are {0} bytes, more than {MAX_PARAMETER_BYTES}")]
    TooLarge(usize),
    #[error("the evaluated parameters are not a JSON object")]
    NotAnObject(#[source] serde_json::Error),
}

impl Order {
    /// The evaluated `with`, where there is one.
    pub fn evaluated_parameters(&self) -> Result<Option<Map<String, Value>>, ParametersError> {
        let Some(bytes) = &self.parameters else { return Ok(None) };
        if bytes.len() > MAX_PARAMETER_BYTES {
            return Err(ParametersError::TooLarge(bytes.len()));
        }
        serde_json::from_slice(bytes).map(Some).map_err(ParametersError::NotAnObject)
    }

    /// Close to the encoded size, from above; for cutting batches without encoding twice.
    pub fn size_hint(&self) -> usize {
        let inputs: usize = self.inputs.iter().map(|input| input.name.len() + 56).sum();
        let parameters = self.parameters.as_ref().map_or(0, Bytes::len);
        let texts = self.traceparent.len() + self.idempotency_key.len();
        let decisions: usize = self.decisions.iter().map(|decision| decision.len() + 4).sum();
        let standing = self.standing.as_ref().map_or(0, |each| {
            let decisions: usize = each.decisions.iter().map(|decision| decision.len() + 4).sum();
            64 + decisions
                + each.standing.len()
                + each.open_leaf.len()
                + each.inputs.len()
                + each.proof.len() * 34
        });
        let spawned = self
            .spawned
            .as_ref()
            .map_or(0, |each| 64 + each.signed.len() + each.parent_leaf.len() + each.parent_proof.len() * 34);
        160 + spawned
            + standing
            + decisions
            + self.leaf.len()
            + parameters
            + self.proof.len() * 34
            + inputs
            + texts
    }
}

/// A blob to fetch before the start.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct OrderInput {
    /// File name in the inputs folder.
    pub name: String,
    pub digest: Digest,
    pub size: u64,
}

/// A batch of grants to one session.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Orders {
    /// The newest heartbeat the coordinator has handled; the leases count from when the agent sent that one.
    pub heartbeat_number: u64,
    /// Orders of another session are dropped.
    pub session: u64,
    pub orders: Vec<Order>,
}
