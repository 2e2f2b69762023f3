//! A new operator key: for an owner who lost the old one, or fears that somebody else has it. Whoever has the host and the
//! database may; nobody can over the network.

use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::SharedClock;
use nexusmon_store::{AuditEntry, PrincipalRow, Store, StoreConfig, StoreError};
use rand::rngs::StdRng;
use serde_json::json;

use super::error::OpsError;
use crate::service::auth;

/// Puts another key in the old one's place and ends every session of the owner's. Gives it, to be shown once.
pub async fn rotate_operator_key(
    database_url: &str,
    clock: SharedClock,
    rng: StdRng,
) -> Result<String, OpsError> {
    let made = auth::another_operator_key(rng).await;
    let (key, hash) = made.map_err(|error| OpsError::Refused(error.to_string()))?;
    let now = clock.now();
    let lifecycle = Lifecycle::new();
    let config = StoreConfig { alone: true, ..StoreConfig::new(database_url, "operator-key") };
    let store = Store::open(&config, clock, &lifecycle).await.map_err(|error| match error {
        StoreError::Alone { .. } => StoreError::InUse,
        other => other,
    })?;
    let done: Result<bool, StoreError> = store
        .write("rotating the operator key", move |tx| {
            let hash = hash.clone();
            Box::pin(async move {
                let Some(owner) = tx.owner().await? else { return Ok(false) };
                let id = owner.id;
                tx.update_principal(&PrincipalRow { secret_hash: Some(hash), ..owner }).await?;
                let ended = tx.revoke_login_sessions_of(id, now).await?;
                let entry = AuditEntry {
                    at: now,
                    actor: "nexusmon".into(),
                    action: "operator_key.rotated".into(),
                    subject_kind: "principal".into(),
                    subject: id.to_string(),
                    mission: None,
                    body: json!({"by": "whoever has the host", "sessions_ended": ended}).into(),
                };
                tx.audit([entry])?;
                Ok(true)
            })
        })
        .await;
    drop(store);
    lifecycle.shutdown(std::time::Duration::from_secs(10)).await;
    if done? {
        return Ok(key.expose().to_owned());
    }
    let none = "there is no owner yet: the first start of the coordinator makes one, with its key";
    Err(OpsError::Refused(none.to_owned()))
}
