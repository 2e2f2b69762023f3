//! A mission's plan in full: what is approved.

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::MissionId;
use serde_json::Value;

use crate::app::App;
use crate::error::{Error, Result};

/// Header and leaves as JSON.
#[derive(Debug, Clone)]
pub struct WholePlan {
    pub digest: Digest,
    pub revision: u32,
    pub header: Value,
    pub leaves: Vec<Value>,
}

/// The plan as it is now.
pub async fn whole_plan(app: &App, id: MissionId) -> Result<WholePlan> {
    let mut read = app.store.read().await?;
    read.mission(id).await?.ok_or_else(|| Error::not_found("mission", id))?;
    let plan = read.plan(id).await?.ok_or_else(|| Error::not_found("plan", id))?;
    let leaves = read.leaves(id).await?;
    drop(read);
    let read = |text: &str| serde_json::from_str(text).map_err(Error::internal);
    Ok(WholePlan {
        digest: plan.digest,
        revision: plan.revision,
        header: read(&plan.header)?,
        leaves: leaves.iter().map(|leaf| read(leaf)).collect::<Result<_>>()?,
    })
}
