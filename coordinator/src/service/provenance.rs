//! Where artifacts came from: what their agent signed, checked when it arrives, kept, and shown.

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::{AgentId, ArtifactId, OrganismId, VersionId};
use nexusmon_shared::outcome::Report;
use nexusmon_shared::plan::PlanHeader;
use nexusmon_shared::trust::dsse::Envelope;
use nexusmon_shared::trust::ed25519::PublicKey;
use nexusmon_shared::trust::provenance::{Provenance, ProvenanceError};
use nexusmon_store::Connection;
use serde_json::Value;

use super::vault;
use crate::app::App;
use crate::error::{Error, Result};

/// Of one version.
#[derive(Debug, Clone)]
pub struct ProvenanceView {
    pub version: VersionId,
    pub digest: nexusmon_shared::digest::Digest,
    pub agent: AgentId,
    /// As enrolled; whoever verifies takes it from a roster, or from the machine itself.
    pub identity_key: PublicKey,
    /// DSSE.
    pub envelope: Value,
}

/// A report whose provenance is not what it should be.
#[derive(Debug, Clone)]
pub(crate) struct Doubtful {
    pub attempt: AttemptRef,
    pub why: String,
}

/// Looks at what came with reports, before they are settled. What does not hold is taken out, and the artifacts are
/// withheld: whoever forged one thing may have forged the other.
pub(super) async fn check(app: &App, agent: AgentId, reports: &mut [Report]) -> Result<Vec<Doubtful>> {
    if reports.iter().all(|report| report.provenance.is_none()) {
        return Ok(Vec::new());
    }
    let mut read = app.store.read().await?;
    let row = read.agent(agent).await?.ok_or_else(|| Error::not_found("agent", agent))?;
    let key = identity(&row.identity_key)?;
    let mut doubtful = Vec::new();
    for report in reports {
        let Some(text) = &report.provenance else { continue };
        let said = opened(text, app.organism, agent, key, report);
        let why = match said {
            Ok(said) => differs(&mut read, &said).await?,
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            tracing::error!(%agent, task = %report.attempt.task, %why, "a provenance that does not hold");
            report.provenance = None;
            for artifact in &mut report.artifacts {
                artifact.withheld = true;
            }
            doubtful.push(Doubtful { attempt: report.attempt, why });
        }
    }
    Ok(doubtful)
}

pub(super) fn identity(text: &str) -> Result<PublicKey> {
    let bytes: Option<[u8; 32]> = hex::decode(text).ok().and_then(|bytes| bytes.try_into().ok());
    let bytes = bytes.ok_or_else(|| Error::internal("an agent without an identity key"))?;
    PublicKey::from_bytes(bytes).map_err(Error::internal)
}

/// What the agent says, if it is this agent who says it, of this attempt and these artifacts.
fn opened(
    text: &str,
    organism: OrganismId,
    agent: AgentId,
    key: PublicKey,
    report: &Report,
) -> std::result::Result<Provenance, String> {
    let envelope = Envelope::read(text.as_bytes()).map_err(|error| error.to_string())?;
    let said = Provenance::open(&envelope, |named| (named == agent).then_some(key));
    let said = said.map_err(|error| match error {
        ProvenanceError::UnknownAgent(other) => format!("it is said to be by {other}"),
        other => other.to_string(),
    })?;
    if said.organism != organism || said.attempt != report.attempt {
        return Err("it is about another attempt".to_owned());
    }
    let named = |artifact: &&nexusmon_shared::outcome::ProducedArtifact| {
        said.artifacts.iter().any(|one| one.name == artifact.name && one.digest == artifact.digest)
    };
    match report.artifacts.iter().find(|artifact| !named(artifact)) {
        Some(artifact) => Err(format!("it does not name `{}`", artifact.name)),
        None => Ok(said),
    }
}

/// What of it is not as this coordinator knows it.
async fn differs(read: &mut Connection, said: &Provenance) -> Result<Option<String>> {
    // One of a task that is gone changes nothing anyway.
    let Some(row) = read.task(said.attempt.task).await? else { return Ok(None) };
    if row.mission != said.mission || row.key != said.task || row.item_index != said.item_index {
        return Ok(Some("it is about another task".to_owned()));
    }
    let Some(plan) = read.plan(row.mission).await? else { return Ok(None) };
    if plan.digest != said.plan_digest {
        return Ok(Some("it is about another plan".to_owned()));
    }
    Ok(serde_json::from_str::<PlanHeader>(&plan.header).err().map(|error| error.to_string()))
}

/// What was signed about a version, the newest if `number` is absent.
pub async fn of_version(app: &App, id: ArtifactId, number: Option<u32>) -> Result<ProvenanceView> {
    let mut read = app.store.read().await?;
    let version = vault::version_row(&mut read, id, number).await?;
    let attempt = version.task.zip(version.fence_epoch.zip(version.fence_number));
    let row = match attempt {
        Some((task, (epoch, fence))) => read.provenance(task, epoch, fence).await?,
        None => None,
    };
    let row = row.ok_or_else(|| Error::not_found("provenance of", version.id))?;
    let agent = read.agent(row.agent).await?.ok_or_else(|| Error::not_found("agent", row.agent))?;
    Ok(ProvenanceView {
        version: version.id,
        digest: version.digest,
        agent: row.agent,
        identity_key: identity(&agent.identity_key)?,
        envelope: serde_json::from_str(&row.envelope).map_err(Error::internal)?,
    })
}
