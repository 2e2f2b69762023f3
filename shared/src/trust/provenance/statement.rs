//! The JSON of in-toto and SLSA, and nothing else: names and nesting are theirs.

use serde::{Deserialize, Serialize};

use super::{ApprovalUsed, MAX_LIST, Material, Provenance, ProvenanceError};
use crate::attempt::{AttemptRef, Fence};
use crate::digest::Digest;
use crate::id::{AgentId, MissionId, OrganismId, TaskId};
use crate::time::Timestamp;

const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
const BUILD_TYPE: &str = "urn:nexusmon:task:v1";
const LOG: &str = "log";

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Resource>,
    predicate_type: String,
    predicate: Predicate,
}

#[derive(Serialize, Deserialize)]
struct Resource {
    name: String,
    digest: Sha256,
}

#[derive(Serialize, Deserialize)]
struct Sha256 {
    sha256: Digest,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Predicate {
    build_definition: BuildDefinition,
    run_details: RunDetails,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct BuildDefinition {
    build_type: String,
    external_parameters: External,
    internal_parameters: Internal,
    #[serde(default)]
    resolved_dependencies: Vec<Resource>,
}

/// What the operator decides: the plan.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct External {
    organism: OrganismId,
    mission: MissionId,
    plan_digest: Digest,
    task: crate::name::Name,
    item_index: Option<u32>,
    capability: crate::capability::Capability,
    parameters_digest: Digest,
}

/// What the organism decides: who, when, how confined, by whose leave.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Internal {
    task_id: TaskId,
    fence: String,
    plugin_version: String,
    rank: crate::rank::Rank,
    sandbox: SandboxUsed,
    approvals: Vec<ApprovalUsed>,
}

#[derive(Serialize, Deserialize)]
struct SandboxUsed {
    profile: crate::sandbox::Profile,
    level: crate::sandbox::Level,
}

#[derive(Serialize, Deserialize)]
struct RunDetails {
    builder: Builder,
    metadata: Metadata,
    #[serde(default)]
    byproducts: Vec<Resource>,
}

#[derive(Serialize, Deserialize)]
struct Builder {
    id: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    invocation_id: String,
    started_on: Timestamp,
    finished_on: Timestamp,
}

fn builder(organism: OrganismId, agent: AgentId) -> String {
    format!("spiffe://{organism}/agent/{agent}")
}

fn invocation(attempt: AttemptRef) -> String {
    format!("{}/{}", attempt.task, attempt.fence)
}

fn resource(material: &Material) -> Resource {
    Resource { name: material.name.clone(), digest: Sha256 { sha256: material.digest } }
}

fn material(resource: Resource) -> Material {
    Material { name: resource.name, digest: resource.digest.sha256 }
}

pub(super) fn write(provenance: &Provenance) -> Statement {
    let p = provenance.clone();
    let external_parameters = External {
        organism: p.organism,
        mission: p.mission,
        plan_digest: p.plan_digest,
        task: p.task,
        item_index: p.item_index,
        capability: p.capability,
        parameters_digest: p.parameters,
    };
    let internal_parameters = Internal {
        task_id: p.attempt.task,
        fence: p.attempt.fence.to_string(),
        plugin_version: p.plugin_version,
        rank: p.rank,
        sandbox: SandboxUsed { profile: p.profile, level: p.level },
        approvals: p.approvals,
    };
    let log = p.log.map(|digest| Resource { name: LOG.to_owned(), digest: Sha256 { sha256: digest } });
    Statement {
        kind: STATEMENT_TYPE.to_owned(),
        subject: p.artifacts.iter().map(resource).collect(),
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: Predicate {
            build_definition: BuildDefinition {
                build_type: BUILD_TYPE.to_owned(),
                external_parameters,
                internal_parameters,
                resolved_dependencies: p.inputs.iter().map(resource).collect(),
            },
            run_details: RunDetails {
                builder: Builder { id: builder(p.organism, p.agent) },
                metadata: Metadata {
                    invocation_id: invocation(p.attempt),
                    started_on: p.started_at,
                    finished_on: p.finished_at,
                },
                byproducts: log.into_iter().collect(),
            },
        },
    }
}

/// Reads what [`write()`] writes. Unknown fields are skipped, as the specifications ask.
pub(super) fn read(payload: &[u8]) -> Result<Provenance, ProvenanceError> {
    let Statement { kind, subject, predicate_type, predicate } =
        serde_json::from_slice(payload).map_err(ProvenanceError::Statement)?;
    let Predicate { build_definition: build, run_details: run } = predicate;
    for (found, wanted) in
        [(kind, STATEMENT_TYPE), (predicate_type, PREDICATE_TYPE), (build.build_type, BUILD_TYPE)]
    {
        if found != wanted {
            return Err(ProvenanceError::OtherKind(wanted));
        }
    }
    let (external, internal) = (build.external_parameters, build.internal_parameters);
    let lists = [subject.len(), build.resolved_dependencies.len(), internal.approvals.len()];
    if lists.iter().any(|length| *length > MAX_LIST) || run.byproducts.len() > 1 {
        return Err(ProvenanceError::Value("a list that is too long"));
    }
    let agent = run.builder.id.rsplit_once('/').and_then(|(_, agent)| agent.parse().ok());
    let agent: AgentId = agent.ok_or(ProvenanceError::Value("builder.id"))?;
    if run.builder.id != builder(external.organism, agent) {
        return Err(ProvenanceError::Value("builder.id"));
    }
    let attempt = AttemptRef { task: internal.task_id, fence: fence(&internal.fence)? };
    if run.metadata.invocation_id != invocation(attempt) {
        return Err(ProvenanceError::Value("invocationId"));
    }
    let log = run.byproducts.into_iter().next();
    if log.as_ref().is_some_and(|log| log.name != LOG) {
        return Err(ProvenanceError::Value("byproducts"));
    }
    Ok(Provenance {
        organism: external.organism,
        agent,
        mission: external.mission,
        plan_digest: external.plan_digest,
        task: external.task,
        attempt,
        item_index: external.item_index,
        capability: external.capability,
        plugin_version: internal.plugin_version,
        rank: internal.rank,
        profile: internal.sandbox.profile,
        level: internal.sandbox.level,
        parameters: external.parameters_digest,
        inputs: build.resolved_dependencies.into_iter().map(material).collect(),
        approvals: internal.approvals,
        artifacts: subject.into_iter().map(material).collect(),
        log: log.map(|log| log.digest.sha256),
        started_at: run.metadata.started_on,
        finished_at: run.metadata.finished_on,
    })
}

fn fence(text: &str) -> Result<Fence, ProvenanceError> {
    let read = text
        .split_once('.')
        .and_then(|(epoch, number)| Some(Fence { epoch: epoch.parse().ok()?, number: number.parse().ok()? }));
    // Text, for a number of 64 bits has no exact form in JSON.
    read.filter(|fence| fence.to_string() == text).ok_or(ProvenanceError::Value("fence"))
}
