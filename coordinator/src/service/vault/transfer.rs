//! Bytes from and to agents: every one checked against a lease.

use bytes::Bytes;
use futures::StreamExt as _;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::{Offer, OfferAnswer, OrderInput, UploadDone, UploadStart};
use nexusmon_store::TaskRow;

use super::{Body, Receiving};
use crate::app::App;
use crate::blobs::{StagingKey, Stored};
use crate::error::{Error, Result};

/// The task, if this agent may speak for this attempt: the fence is the current one and nothing has settled it.
pub(in crate::service) async fn leased(app: &App, agent: AgentId, attempt: AttemptRef) -> Result<TaskRow> {
    let row = app.store.read().await?.task(attempt.task).await?;
    row.filter(|row| row.agent == Some(agent) && row.fence() == attempt.fence && !row.state.is_terminal())
        .ok_or_else(|| Error::Forbidden {
            code: "no_lease",
            detail: "this agent holds no lease of that attempt".to_owned(),
        })
}

pub(super) async fn offer(app: &App, agent: AgentId, offer: Offer) -> Result<Vec<OfferAnswer>> {
    let row = leased(app, agent, offer.attempt).await?;
    let mission = app.store.read().await?.mission(row.mission).await?;
    let mut budget = mission.map_or(0, |mission| {
        mission.budget.artifact_bytes.saturating_sub(u64::try_from(mission.artifact_bytes).unwrap_or(0))
    });
    let mut answers = Vec::with_capacity(offer.items.len());
    let mut present = Vec::new();
    for item in offer.items {
        if item.size > app.config.max_artifact_bytes {
            let limit = app.config.max_artifact_bytes;
            answers.push(OfferAnswer::Refused { reason: format!("larger than the {limit} bytes allowed") });
            continue;
        }
        let Some(left) = budget.checked_sub(item.size) else {
            answers.push(OfferAnswer::Refused {
                reason: "the mission's budget of artifact bytes is spent".to_owned(),
            });
            continue;
        };
        budget = left;
        if app.blobs.size(&item.digest).await? == Some(item.size) {
            present.push((item.digest, i64::try_from(item.size).unwrap_or(i64::MAX)));
            answers.push(OfferAnswer::Present);
        } else {
            let key = StagingKey::new(&agent.to_string(), &item.digest);
            answers.push(OfferAnswer::Send { offset: app.blobs.staged(&key).await?.min(item.size) });
        }
    }
    if !present.is_empty() {
        // A hit pins the blob: sweeping waits from now on.
        note(app, present).await?;
    }
    Ok(answers)
}

/// Notes durable blobs that no version refers to yet.
pub(super) async fn note(app: &App, blobs: Vec<(Digest, i64)>) -> Result<()> {
    app.store
        .write_with("vault.blobs", blobs, |tx, blobs| {
            Box::pin(async move {
                let now = tx.now();
                Ok::<_, Error>(tx.put_blobs(blobs, now).await?)
            })
        })
        .await
}

pub(super) async fn receive(app: &App, agent: AgentId, start: UploadStart) -> Result<Receiving> {
    leased(app, agent, start.attempt).await?;
    if start.size > app.config.max_artifact_bytes {
        return Err(Error::TooLarge { what: "the artifact", limit: app.config.max_artifact_bytes });
    }
    let key = StagingKey::new(&agent.to_string(), &start.digest);
    let declared = Stored { digest: start.digest, size: start.size };
    let writer = app.blobs.resume(&key, declared, start.offset).await?;
    Ok(Receiving { app: app.clone(), writer })
}

impl Receiving {
    /// The next bytes, in order.
    pub async fn write(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.writer.write(bytes).await?)
    }

    /// All bytes are written: checks size and digest, makes them durable.
    pub async fn finish(self) -> Result<UploadDone> {
        let stored = self.writer.finish().await?;
        note(&self.app, vec![(stored.digest, i64::try_from(stored.size).unwrap_or(i64::MAX))]).await?;
        Ok(UploadDone { digest: stored.digest, size: stored.size })
    }
}

pub(super) async fn download(
    app: &App,
    agent: AgentId,
    attempt: AttemptRef,
    digest: Digest,
    offset: u64,
) -> Result<(u64, Body)> {
    let row = leased(app, agent, attempt).await?;
    let inputs: Vec<OrderInput> =
        row.inputs.as_deref().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    if !inputs.iter().any(|input| input.digest == digest) {
        return Err(Error::Forbidden {
            code: "not_an_input",
            detail: "the attempt's inputs do not name this blob".to_owned(),
        });
    }
    let (size, stream) = app.blobs.stream(&digest, Some(offset..u64::MAX)).await?;
    Ok((size, stream.map(|piece| piece.map_err(Error::from)).boxed()))
}
