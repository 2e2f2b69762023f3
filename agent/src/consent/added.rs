//! A task that was added while its mission ran: its leaf is in no plan. What stands for it is the signature of the agent
//! that added it and the envelope of the task it came from, which is in the plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use nexusmon_shared::message::{Order, SpawnedUse};
use nexusmon_shared::outcome::Refusal;
use nexusmon_shared::plan::TaskSpec;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::plan_digest;
use nexusmon_shared::trust::spawned::SignedSpawned;

use super::{KnownPlan, Offered, Refused, Standing, rank_floor, refused};

/// The leaf to run, and the one that let it be added.
#[derive(Debug, Clone)]
pub(super) struct Added {
    pub spec: Arc<TaskSpec>,
    pub parent: TaskSpec,
}

impl Standing {
    /// Believes an added task, or says why not.
    pub(super) fn added(&self, order: &Order, used: &SpawnedUse, plan: &KnownPlan) -> Result<Added, Refused> {
        let signed = match SignedSpawned::read(&used.signed) {
            Ok(signed) => signed,
            Err(error) => return refused(Refusal::BadProof, format!("who added the task: {error}")),
        };
        let document = &signed.document;
        if document.organism != self.organism
            || document.plan_digest != plan.digest
            || document.task() != order.attempt.task
        {
            return refused(Refusal::BadProof, "another task was added, or to another plan");
        }
        if order.item_index.is_some() || order.parameters.is_some() || order.standing.is_some() {
            return refused(Refusal::BadProof, "an added task comes as it was signed, and with nothing more");
        }
        let listed = || self.roster.as_ref().and_then(|roster| roster.agents.get(&document.agent));
        let key = if document.agent == self.agent { Some(&self.identity) } else { listed() };
        let Some(key) = key else {
            let detail = format!("it was added by {}, whose key no roster here names", document.agent);
            return refused(Refusal::MissingConsent, detail);
        };
        if !signed.is_signed_by(key) {
            let detail = format!("{} did not sign that it added this task", document.agent);
            return refused(Refusal::BadSignature, detail);
        }
        if canonical::to_bytes(&document.leaf).ok().as_deref() != Some(&order.leaf[..]) {
            return refused(Refusal::BadProof, "the leaf is not the one that was signed");
        }
        let SpawnedUse { parent_leaf, parent_index, parent_proof, .. } = used;
        let parent =
            plan_digest::open_leaf(parent_leaf, *parent_index, plan.size, parent_proof, &plan.tasks_root);
        let parent = match parent {
            Ok(parent) => parent,
            Err(error) => return refused(Refusal::BadProof, format!("the task that added it: {error}")),
        };
        match parent.may_spawn(&document.leaf, document.number) {
            Ok(()) => Ok(Added { spec: Arc::new(signed.document.leaf), parent }),
            Err(error) => refused(Refusal::BadProof, format!("it lies outside what may be added: {error}")),
        }
    }

    /// Whether it ranks no higher than what may be added: by what is said of it, and by what it is.
    pub(super) fn check_added_rank(
        &self,
        stated: Rank,
        added: &Added,
        offered: &Offered,
    ) -> Result<(), Refused> {
        // What this machine lacks says nothing about the work.
        let levels = BTreeSet::from([Level::L3]);
        let rank = stated.max(rank_floor(&added.spec, &offered.spec, &levels, &self.allow_private));
        match added.parent.may_spawn_rank(rank) {
            Ok(()) => Ok(()),
            Err(error) => refused(Refusal::BadProof, format!("it lies outside what may be added: {error}")),
        }
    }
}
