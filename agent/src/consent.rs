//! Whether this machine does what an order says. Pure: the same order and the same standing give the same answer.
//!
//! The agent believes nothing it can compute: that the task belongs to the plan, that the parameters are the planned
//! ones, how much harm the work could do. What the journal remembers (fences, starts) is the supervisor's to ask.

mod added;
mod approved;
mod catalogue;
mod floor;
mod standing;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::egress::Neighbour;
use nexusmon_shared::expression;
use nexusmon_shared::id::{AgentId, OrganismId};
use nexusmon_shared::message::{LocalPolicy, Order, PlanNotice};
use nexusmon_shared::name::Name;
use nexusmon_shared::outcome::Refusal;
use nexusmon_shared::plan::{MAX_SECRETS, PlanHeader, TaskSpec, is_variable};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::sandbox::{self, Level};
use nexusmon_shared::selector::{Labels, On};
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::SignedDecision;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::plan_digest::{self, ProofError};
use nexusmon_shared::trust::provenance::{ApprovalUsed, Material, Provenance};
use nexusmon_shared::trust::roster::Roster;
use serde_json::{Map, Value};

use approved::{Approved, Wanted};
pub use catalogue::{Catalogue, Offered};
pub use floor::rank_floor;

use crate::run::Job;

/// What this agent is, may and can: everything an order is held against.
#[derive(Debug, Clone)]
pub struct Standing {
    pub organism: OrganismId,
    pub agent: AgentId,
    /// This machine's own: what it signed itself it believes without a roster.
    pub identity: PublicKey,
    pub name: Name,
    /// As last received from the coordinator.
    pub labels: Labels,
    /// The most this agent was enrolled for.
    pub ceiling: Rank,
    pub policy: LocalPolicy,
    pub levels: BTreeSet<Level>,
    /// What of the neighbourhood this machine's admin opens to tasks that list it.
    pub allow_private: Vec<Neighbour>,
    pub catalogue: Arc<Catalogue>,
    /// Forbidden fleet-wide.
    pub disabled: BTreeSet<Capability>,
    /// The least rank that needs signatures here; never above A.
    pub signed_from: Rank,
    /// Passkeys do not count here.
    pub cli_keys_only: bool,
    /// Who may sign, as this machine itself has verified; without it A and S are refused.
    pub roster: Option<Arc<Roster>>,
    /// Standing approvals that were taken back, by the digests of their documents.
    pub revoked: Arc<BTreeSet<Digest>>,
}

/// A plan whose header has been checked against its digest.
#[derive(Debug)]
pub struct KnownPlan {
    digest: Digest,
    header: PlanHeader,
    tasks_root: Digest,
    size: u64,
    /// On the plan as a whole; not verified before they are needed.
    decisions: Vec<SignedDecision>,
    /// The last leaf read: the children of a `for_each` share one.
    last: Option<(u64, bytes::Bytes, Arc<TaskSpec>)>,
}

/// A plan the agent does not believe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("plan {digest} is not what its digest says")]
pub struct PlanError {
    pub digest: Digest,
    #[source]
    pub source: ProofError,
}

/// An order this agent agrees to.
#[derive(Debug, Clone)]
pub struct Consented {
    /// Without inputs: they are fetched first.
    pub job: Job,
    /// What starts of A and S work are counted by, and how many there may be.
    pub instance: Option<(Digest, u32)>,
}

/// An order this agent does not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub reason: Refusal,
    pub detail: String,
}

fn refused<T>(reason: Refusal, detail: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { reason, detail: detail.into() })
}

impl KnownPlan {
    /// Checks a plan's header and root against its digest.
    pub fn open(notice: &PlanNotice) -> Result<Self, PlanError> {
        let header = plan_digest::open_header(&notice.header, &notice.tasks_root, &notice.digest)
            .map_err(|source| PlanError { digest: notice.digest, source })?;
        let (tasks_root, size) = (notice.tasks_root, notice.size);
        let decisions = approved::read(&notice.decisions);
        Ok(Self { digest: notice.digest, header, tasks_root, size, decisions, last: None })
    }

    pub fn digest(&self) -> Digest {
        self.digest
    }

    pub fn header(&self) -> &PlanHeader {
        &self.header
    }

    fn leaf(&mut self, order: &Order) -> Result<Arc<TaskSpec>, Refused> {
        if let Some((index, leaf, spec)) = &self.last
            && *index == order.leaf_index
            && *leaf == order.leaf
        {
            return Ok(Arc::clone(spec));
        }
        let opened =
            plan_digest::open_leaf(&order.leaf, order.leaf_index, self.size, &order.proof, &self.tasks_root);
        match opened {
            Ok(spec) => {
                let spec = Arc::new(spec);
                self.last = Some((order.leaf_index, order.leaf.clone(), Arc::clone(&spec)));
                Ok(spec)
            }
            Err(error) => refused(Refusal::BadProof, error.to_string()),
        }
    }
}

impl Standing {
    /// Agrees to an order or says why not.
    pub fn consider(
        &self,
        order: &Order,
        plan: &mut KnownPlan,
        now: Timestamp,
    ) -> Result<Consented, Refused> {
        if order.plan_digest != plan.digest {
            return refused(Refusal::BadProof, "the order names another plan than the one announced");
        }
        let added = order.spawned.as_ref().map(|used| self.added(order, used, plan)).transpose()?;
        let spec = match &added {
            Some(added) => Arc::clone(&added.spec),
            None => plan.leaf(order)?,
        };
        self.check_selector(&spec.on)?;
        let offered = self.check_capability(&spec, plan)?;
        self.check_sandbox(&spec, offered)?;
        check_secrets(&spec)?;
        let parameters = check_parameters(order, &spec, offered)?;
        check_inputs(order)?;
        let rank = order.rank.max(rank_floor(&spec, &offered.spec, &self.levels, &self.allow_private));
        self.check_rank(rank)?;
        if let Some(added) = &added {
            self.check_added_rank(order.rank, added, offered)?;
        }
        let wanted = Wanted { order, plan, spec: &spec, parameters: &parameters, rank };
        let Approved { instance, approvals } = self.check_approved(&wanted, offered, now)?;
        // A plugin may name artifacts that its task did not.
        let makes_artifacts =
            !(spec.artifacts.is_empty() && (is_code(&spec.uses) || spec.uses.plugin() == "core"));
        let provenance = makes_artifacts.then(|| Box::new(self.provenance(&wanted, offered, approvals)));
        let offline = if spec.idempotent { Duration::ZERO } else { spec.offline.0 };
        let job = Job {
            attempt: order.attempt,
            attempt_number: order.attempt_number,
            mission: plan.header.mission,
            item_index: order.item_index,
            rank,
            agent: self.agent,
            playbook: plan
                .header
                .playbook
                .as_deref()
                .map(|text| text.split('@').next().unwrap_or(text).to_owned()),
            parameters,
            inputs: Vec::new(),
            timeout: spec.timeout.0,
            offline,
            idempotency_key: order.idempotency_key.clone(),
            traceparent: (!order.traceparent.is_empty()).then(|| order.traceparent.clone()),
            secrets: Vec::new(),
            provenance,
            spec,
        };
        Ok(Consented { job, instance })
    }

    /// What can be said of the artifacts before there are any.
    fn provenance(&self, wanted: &Wanted<'_>, offered: &Offered, approvals: Vec<ApprovalUsed>) -> Provenance {
        let Wanted { order, plan, spec, parameters, rank } = wanted;
        let inputs = order.inputs.iter();
        let begun = Timestamp::from_micros(0);
        Provenance {
            organism: self.organism,
            agent: self.agent,
            mission: plan.header.mission,
            plan_digest: plan.digest,
            task: spec.id.clone(),
            attempt: order.attempt,
            item_index: order.item_index,
            capability: spec.uses.clone(),
            plugin_version: offered.version.clone(),
            rank: *rank,
            profile: spec.sandbox.profile,
            level: Level::L0,
            parameters: parameters_digest(parameters),
            inputs: inputs.map(|input| Material { name: input.name.clone(), digest: input.digest }).collect(),
            approvals,
            artifacts: Vec::new(),
            log: None,
            started_at: begun,
            finished_at: begun,
        }
    }

    fn check_selector(&self, on: &On) -> Result<(), Refused> {
        let here = |wanted: &str| wanted == self.name.as_str() || wanted == self.agent.to_string();
        if let Some(wanted) = &on.agent
            && !here(wanted)
        {
            return refused(Refusal::SelectorDiffers, format!("the task is meant for agent {wanted}"));
        }
        for (key, value) in &on.labels {
            if self.labels.get(key).is_none_or(|found| value != "*" && found != value) {
                let detail = format!("the task wants label {key}={value}, which this agent does not carry");
                return refused(Refusal::SelectorDiffers, detail);
            }
        }
        Ok(())
    }

    fn check_capability(&self, spec: &TaskSpec, plan: &KnownPlan) -> Result<&Offered, Refused> {
        let uses = &spec.uses;
        let Some(offered) = self.catalogue.get(uses) else {
            return refused(Refusal::UnknownCapability, format!("nothing here provides {uses}"));
        };
        if let Some(pinned) = plan.header.plugins.get(offered.plugin.as_str())
            && *pinned != offered.version
        {
            let (plugin, version) = (&offered.plugin, &offered.version);
            let detail = format!("the plan pins {plugin} {pinned}, here it is {version}");
            return refused(Refusal::UnknownCapability, detail);
        }
        if self.disabled.contains(uses) {
            return refused(Refusal::LocalPolicy, format!("{uses} is disabled for the fleet"));
        }
        if !self.policy.capabilities.is_empty() && !self.policy.capabilities.contains(uses) {
            let detail = format!("{uses} is not among `capabilities` in this agent's configuration");
            return refused(Refusal::LocalPolicy, detail);
        }
        Ok(offered)
    }

    fn check_sandbox(&self, spec: &TaskSpec, offered: &Offered) -> Result<(), Refused> {
        let profile = spec.sandbox.profile;
        if let Err(error) = spec.sandbox.hosts() {
            return refused(Refusal::ParametersInvalid, format!("sandbox.network: {error}"));
        }
        if let Some(least) = offered.spec.sandbox
            && profile > least
        {
            let (uses, least, profile) = (&spec.uses, least.as_str(), profile.as_str());
            let detail = format!("{uses} runs in profile `{least}` or a stricter one, not in `{profile}`");
            return refused(Refusal::SandboxUnavailable, detail);
        }
        if !sandbox::provides(&self.levels, profile) {
            let detail = format!("this machine cannot give the profile `{}`", profile.as_str());
            return refused(Refusal::SandboxUnavailable, detail);
        }
        Ok(())
    }

    fn check_rank(&self, rank: Rank) -> Result<(), Refused> {
        if rank > self.policy.max_rank {
            let most = self.policy.max_rank;
            let detail = format!("the work is rank {rank}; this agent's configuration allows up to {most}");
            return refused(Refusal::LocalPolicy, detail);
        }
        if rank > self.ceiling {
            let ceiling = self.ceiling;
            let detail = format!("the work is rank {rank}; this agent was enrolled for up to {ceiling}");
            return refused(Refusal::LocalPolicy, detail);
        }
        Ok(())
    }
}

fn check_parameters(
    order: &Order,
    spec: &TaskSpec,
    offered: &Offered,
) -> Result<Map<String, Value>, Refused> {
    let evaluated = match order.evaluated_parameters() {
        Ok(evaluated) => evaluated,
        Err(error) => return refused(Refusal::ParametersInvalid, error.to_string()),
    };
    // Code is never spliced together, whatever a plan says.
    for key in ["script", "source", "interpreter"] {
        if spec.with.get(key).is_some_and(expression::is_open) && is_code(&spec.uses) {
            let detail = format!("`{key}` of {} holds an expression", spec.uses);
            return refused(Refusal::ParametersInvalid, detail);
        }
    }
    let parameters = match evaluated {
        None if spec.with.values().any(expression::is_open) => {
            return refused(
                Refusal::ParametersDiffer,
                "the plan leaves parameters open and the order gives none",
            );
        }
        None => spec.with.clone(),
        Some(found) => {
            let agree = spec.with.len() == found.len()
                && spec.with.iter().all(|(key, planned)| {
                    found.get(key).is_some_and(|value| expression::agrees(planned, value))
                });
            if !agree {
                let detail = "the parameters differ from the plan outside its expressions";
                return refused(Refusal::ParametersDiffer, detail);
            }
            found
        }
    };
    offered.accepts(parameters).map_err(|detail| Refused { reason: Refusal::ParametersInvalid, detail })
}

/// Secrets go to processes, under names and variables that can be theirs.
fn check_secrets(spec: &TaskSpec) -> Result<(), Refused> {
    if spec.secrets.is_empty() {
        return Ok(());
    }
    if !is_code(&spec.uses) || spec.secrets.len() > MAX_SECRETS {
        let detail = format!("{} cannot be handed {} secrets here", spec.uses, spec.secrets.len());
        return refused(Refusal::ParametersInvalid, detail);
    }
    for variable in spec.secrets.iter().filter_map(|one| one.env.as_deref()) {
        if !is_variable(variable) {
            let detail = format!("`{}` cannot be a secret's variable", variable.escape_default());
            return refused(Refusal::ParametersInvalid, detail);
        }
    }
    Ok(())
}

/// Of their canonical form; numbers that have no exact one count as they are written.
fn parameters_digest(parameters: &Map<String, Value>) -> Digest {
    let plain = || serde_json::to_vec(parameters).unwrap_or_default();
    Digest::of(&canonical::to_bytes(parameters).unwrap_or_else(|_| plain()))
}

fn is_code(uses: &Capability) -> bool {
    matches!(uses.as_str(), "shell.run" | "script.run")
}

fn check_inputs(order: &Order) -> Result<(), Refused> {
    let mut names = BTreeSet::new();
    for input in &order.inputs {
        let name = input.name.as_str();
        let good = (1..=255).contains(&name.len())
            && !matches!(name, "." | "..")
            && !name.contains(['/', '\\', '\0'])
            && names.insert(name);
        if !good {
            let detail = format!("`{}` cannot be the name of an input", name.escape_default());
            return refused(Refusal::ParametersInvalid, detail);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
