//! Plans and orders: the hot direction. Large byte strings are passed on, never copied.

use super::field::{self, Arena, Read, WireError};
use super::proto;
use super::report::attempt;
use crate::digest::Digest;
use crate::message::{
    MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Order, OrderInput, Orders, PlanNotice, SpawnedUse, StandingUse,
};
use crate::plan::MAX_PARAMETER_BYTES;
use crate::trust::approval::{MAX_DECISION_BYTES, MAX_DECISIONS, MAX_STANDING_BYTES};
use crate::trust::spawned::MAX_SPAWNED_BYTES;

/// Depth of a tree over as many leaves as a `u64` can count.
const MAX_PROOF: usize = 64;
const MAX_INPUTS: usize = 1024;
const MAX_INPUT_NAME_BYTES: usize = 255;
const MAX_TRACEPARENT_BYTES: usize = 128;
const MAX_IDEMPOTENCY_KEY_BYTES: usize = 256;

impl TryFrom<proto::Plan> for PlanNotice {
    type Error = WireError;

    fn try_from(plan: proto::Plan) -> Read<Self> {
        let proto::Plan { digest, header, tasks_root, size, decisions } = plan;
        Ok(Self {
            decisions: read_decisions(decisions)?,
            digest: field::digest("digest", &digest)?,
            header: field::blob("header", header, MAX_BATCH_BYTES)?,
            tasks_root: field::digest("tasks_root", &tasks_root)?,
            size,
        })
    }
}

impl From<PlanNotice> for proto::Plan {
    fn from(plan: PlanNotice) -> Self {
        let PlanNotice { digest, header, tasks_root, size, decisions } = plan;
        Self {
            digest: field::digest_bytes(&digest),
            header,
            tasks_root: field::digest_bytes(&tasks_root),
            size,
            decisions,
        }
    }
}

/// What they say is for whoever verifies them.
fn read_decisions(decisions: Vec<bytes::Bytes>) -> Read<Vec<bytes::Bytes>> {
    field::bounded("decisions", decisions.len(), MAX_DECISIONS)?;
    for decision in &decisions {
        field::bounded("decisions", decision.len(), MAX_DECISION_BYTES)?;
    }
    Ok(decisions)
}

impl TryFrom<proto::Orders> for Orders {
    type Error = WireError;

    fn try_from(batch: proto::Orders) -> Read<Self> {
        let proto::Orders { heartbeat_number, orders, session } = batch;
        Ok(Self { heartbeat_number, session, orders: field::list("orders", orders, MAX_BATCH_ITEMS)? })
    }
}

impl From<Orders> for proto::Orders {
    fn from(batch: Orders) -> Self {
        let Orders { heartbeat_number, session, orders } = batch;
        let digests: usize = orders.iter().map(|order| 1 + order.proof.len() + order.inputs.len()).sum();
        let mut arena = Arena::new(orders.len() * 16 + digests * 32);
        Self {
            heartbeat_number,
            session,
            orders: orders.into_iter().map(|each| order(each, &mut arena)).collect(),
        }
    }
}

impl TryFrom<proto::Order> for Order {
    type Error = WireError;

    fn try_from(order: proto::Order) -> Read<Self> {
        let proto::Order {
            attempt,
            attempt_number,
            plan_digest,
            leaf,
            leaf_index,
            proof,
            item_index,
            parameters,
            inputs,
            rank,
            traceparent,
            idempotency_key,
            decisions,
            standing,
            spawned,
        } = order;
        field::bounded("proof", proof.len(), MAX_PROOF)?;
        let proof: Vec<Digest> =
            proof.iter().map(|hash| field::digest("proof", hash)).collect::<Result<_, _>>()?;
        if let Some(parameters) = &parameters {
            field::bounded("parameters", parameters.len(), MAX_PARAMETER_BYTES)?;
        }
        Ok(Self {
            attempt: field::required("attempt", attempt)?,
            attempt_number,
            plan_digest: field::digest("plan_digest", &plan_digest)?,
            leaf: field::blob("leaf", leaf, MAX_BATCH_BYTES)?,
            leaf_index,
            proof,
            item_index,
            parameters,
            inputs: field::list("inputs", inputs, MAX_INPUTS)?,
            rank: field::parse("rank", &rank)?,
            traceparent: field::text("traceparent", traceparent, MAX_TRACEPARENT_BYTES)?,
            idempotency_key: field::text("idempotency_key", idempotency_key, MAX_IDEMPOTENCY_KEY_BYTES)?,
            decisions: read_decisions(decisions)?,
            standing: standing.map(|each| StandingUse::try_from(each).map(Box::new)).transpose()?,
            spawned: spawned.map(|each| SpawnedUse::try_from(each).map(Box::new)).transpose()?,
        })
    }
}

impl TryFrom<proto::StandingUse> for StandingUse {
    type Error = WireError;

    fn try_from(each: proto::StandingUse) -> Read<Self> {
        let proto::StandingUse { standing, decisions, open_leaf, size, proof, inputs } = each;
        field::bounded("proof", proof.len(), MAX_PROOF)?;
        Ok(Self {
            standing: field::blob("standing", standing, MAX_STANDING_BYTES)?,
            decisions: read_decisions(decisions)?,
            open_leaf: field::blob("open_leaf", open_leaf, MAX_BATCH_BYTES)?,
            size,
            proof: proof.iter().map(|hash| field::digest("proof", hash)).collect::<Result<_, _>>()?,
            inputs: field::blob("inputs", inputs, MAX_PARAMETER_BYTES)?,
        })
    }
}

impl From<StandingUse> for proto::StandingUse {
    fn from(each: StandingUse) -> Self {
        let StandingUse { standing, decisions, open_leaf, size, proof, inputs } = each;
        let proof = proof.iter().map(field::digest_bytes).collect();
        Self { standing, decisions, open_leaf, size, proof, inputs }
    }
}

impl TryFrom<proto::SpawnedUse> for SpawnedUse {
    type Error = WireError;

    fn try_from(each: proto::SpawnedUse) -> Read<Self> {
        let proto::SpawnedUse { signed, parent_leaf, parent_index, parent_proof } = each;
        field::bounded("parent_proof", parent_proof.len(), MAX_PROOF)?;
        let proof = parent_proof.iter().map(|hash| field::digest("parent_proof", hash));
        Ok(Self {
            signed: field::blob("signed", signed, MAX_SPAWNED_BYTES)?,
            parent_leaf: field::blob("parent_leaf", parent_leaf, MAX_BATCH_BYTES)?,
            parent_index,
            parent_proof: proof.collect::<Result<_, _>>()?,
        })
    }
}

impl From<SpawnedUse> for proto::SpawnedUse {
    fn from(each: SpawnedUse) -> Self {
        let SpawnedUse { signed, parent_leaf, parent_index, parent_proof } = each;
        let parent_proof = parent_proof.iter().map(field::digest_bytes).collect();
        Self { signed, parent_leaf, parent_index, parent_proof }
    }
}

impl From<Order> for proto::Order {
    fn from(each: Order) -> Self {
        let mut arena = Arena::new(16 + 32 * (1 + each.proof.len() + each.inputs.len()));
        order(each, &mut arena)
    }
}

fn order(order: Order, arena: &mut Arena) -> proto::Order {
    let Order {
        attempt: reference,
        attempt_number,
        plan_digest,
        leaf,
        leaf_index,
        proof,
        item_index,
        parameters,
        inputs,
        rank,
        traceparent,
        idempotency_key,
        decisions,
        standing,
        spawned,
    } = order;
    proto::Order {
        attempt: Some(attempt(reference, arena)),
        attempt_number,
        plan_digest: arena.digest(&plan_digest),
        leaf,
        leaf_index,
        proof: proof.iter().map(|hash| arena.digest(hash)).collect(),
        item_index,
        parameters,
        inputs: inputs
            .into_iter()
            .map(|OrderInput { name, digest, size }| proto::OrderInput {
                name,
                digest: arena.digest(&digest),
                size,
            })
            .collect(),
        rank: rank.letter().to_owned(),
        traceparent,
        idempotency_key,
        decisions,
        standing: standing.map(|each| (*each).into()),
        spawned: spawned.map(|each| (*each).into()),
    }
}

impl TryFrom<proto::OrderInput> for OrderInput {
    type Error = WireError;

    fn try_from(input: proto::OrderInput) -> Read<Self> {
        let proto::OrderInput { name, digest, size } = input;
        let name = field::text("name", name, MAX_INPUT_NAME_BYTES)?;
        // It becomes a file's name on the agent.
        if name.is_empty() || name == "." || name == ".." || name.contains(['/', '\\', '\0']) {
            return Err(WireError::invalid("name", "is not a plain file name"));
        }
        Ok(Self { name, digest: field::digest("digest", &digest)?, size })
    }
}
