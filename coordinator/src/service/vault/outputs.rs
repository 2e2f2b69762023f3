//! What attempts produced, written with their settlement.

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{AgentId, ArtifactId, VersionId};
use nexusmon_shared::message::OrderInput;
use nexusmon_shared::outcome::{ProducedArtifact, Report};
use nexusmon_store::{
    ArtifactKind, ArtifactRow, DocumentRow, Json, NewVersion, ProvenanceRow, TaskRow, VersionRow,
    VersionStatus,
};

use super::super::unit::Unit;
use crate::error::Result;

/// Artifacts of one report.
pub(in crate::service) struct ProducedBy {
    row: TaskRow,
    attempt: AttemptRef,
    agent: AgentId,
    artifacts: Vec<ProducedArtifact>,
    /// Checked.
    provenance: Option<String>,
}

impl ProducedBy {
    pub(in crate::service) fn new(row: &TaskRow, agent: AgentId, report: &Report) -> Self {
        let (artifacts, provenance) = (report.artifacts.clone(), report.provenance.clone());
        Self { row: row.clone(), attempt: report.attempt, agent, artifacts, provenance }
    }
}

/// Versions for a batch of reports. Bytes that never arrived leave no version: rows refer to finished blobs only.
pub(in crate::service) async fn record_outputs(unit: &mut Unit<'_>, produced: &[ProducedBy]) -> Result<()> {
    let digests: Vec<Digest> =
        produced.iter().flat_map(|one| one.artifacts.iter().map(|artifact| artifact.digest)).collect();
    let known: std::collections::HashSet<Digest> =
        unit.tx.known_blobs(&digests).await?.into_iter().map(|blob| blob.digest).collect();
    let now = unit.now;
    let mut versions = Vec::new();
    let mut documents = Vec::new();
    for one in produced {
        let inputs: Vec<OrderInput> =
            one.row.inputs.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let inputs: Vec<Digest> = inputs.into_iter().map(|input| input.digest).collect();
        for artifact in &one.artifacts {
            if !known.contains(&artifact.digest) {
                tracing::warn!(task = %one.row.id, name = artifact.name, "an artifact was reported but never uploaded");
                continue;
            }
            let (series, id) = unit.app.rng.with(|rng| (ArtifactId::new(now, rng), VersionId::new(now, rng)));
            documents.push(DocumentRow {
                kind: "artifact".to_owned(),
                subject: series.to_string(),
                mission: Some(one.row.mission),
                title: artifact.name.clone(),
                body: one.row.key.to_string(),
                at: now,
            });
            versions.push(NewVersion {
                series: ArtifactRow {
                    id: series,
                    scope: one.row.mission.to_string(),
                    mission: Some(one.row.mission),
                    task_key: one.row.key.to_string(),
                    name: artifact.name.clone(),
                    kind: ArtifactKind::Output,
                    labels: Json(nexusmon_shared::selector::Labels::new()),
                    latest: 0,
                    created_at: now,
                    updated_at: now,
                },
                version: VersionRow {
                    id,
                    artifact: series,
                    number: 0,
                    digest: artifact.digest,
                    size: i64::try_from(artifact.size).unwrap_or(i64::MAX),
                    media_type: artifact.media_type.clone(),
                    kind: ArtifactKind::Output,
                    mission: Some(one.row.mission),
                    task: Some(one.row.id),
                    attempt: Some(one.row.attempt),
                    fence_epoch: Some(one.attempt.fence.epoch),
                    fence_number: Some(one.attempt.fence.number),
                    agent: Some(one.agent),
                    plugin: None,
                    principal: None,
                    inputs: Json(inputs.clone()),
                    status: if artifact.withheld { VersionStatus::Withheld } else { VersionStatus::Active },
                    purged_by: None,
                    created_at: now,
                    version: 1,
                },
            });
        }
    }
    let signed = produced.iter().filter_map(|one| {
        Some(ProvenanceRow {
            task: one.attempt.task,
            fence_epoch: one.attempt.fence.epoch,
            fence_number: one.attempt.fence.number,
            agent: one.agent,
            envelope: one.provenance.clone()?,
            at: now,
        })
    });
    let signed: Vec<_> = signed.collect();
    if !signed.is_empty() {
        unit.tx.put_provenances(&signed).await?;
    }
    let stored = unit.tx.add_versions(&versions).await?;
    // A series that was there keeps its id, and its document.
    for (document, version) in documents.iter_mut().zip(&stored) {
        document.subject = version.artifact.to_string();
    }
    unit.tx.index_documents(&documents).await?;
    unit.tx.wake(nexusmon_store::Topic::Vault);
    Ok(())
}
