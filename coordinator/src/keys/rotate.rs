//! Another master key: everything the old one wraps is wrapped anew, in one unit of work. What is inside is not touched.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexusmon_shared::id::OrganismId;
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::SharedClock;
use nexusmon_store::{ChannelRow, KeyRow, SecretRow, Store, StoreConfig, TriggerRow};
use rand::rngs::{StdRng, SysRng};
use rand::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use crate::config::Config;

use super::envelope::{Label, Sealed, rewrap};
use super::keyring::{
    KeyringError, WRAPPED, channel_label, channel_name, context, open_master, webhook_label, webhook_name,
};
use super::master::{MasterKey, MasterKeyError};

/// What was wrapped anew.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub struct Rotated {
    pub keys: usize,
    pub secrets: usize,
    /// Invites nobody has used: they are void, make them again.
    pub invites: u64,
}

/// Makes the key in the file `to` the one that counts, in a database that nothing else uses meanwhile.
pub async fn rotate(config: Config, to: PathBuf, clock: SharedClock) -> Result<Rotated, KeyringError> {
    let lifecycle = Lifecycle::new();
    let settings = StoreConfig { alone: true, ..StoreConfig::new(config.database_url.clone(), "rotating") };
    let store = Store::open(&settings, clock, &lifecycle).await?;
    let known = store.read().await?.keys().await?;
    let keys = tokio::task::spawn_blocking(move || {
        let old = open_master(&config, &known)?;
        let mut rng = StdRng::try_from_rng(&mut SysRng).map_err(|_| MasterKeyError::Randomness)?;
        let new = MasterKey::read_or_create(&to, &mut rng)?;
        Ok::<_, MasterKeyError>((old, new, rng))
    });
    let (old, new, rng) = keys.await.map_err(|_| MasterKeyError::Missing)??;
    let rotated = wrap_anew(&store, old, new, rng).await;
    drop(store);
    lifecycle.shutdown(Duration::from_secs(10)).await;
    rotated
}

/// Either all of it is under the new key afterwards, or nothing.
async fn wrap_anew(
    store: &Store,
    old: MasterKey,
    new: MasterKey,
    mut rng: StdRng,
) -> Result<Rotated, KeyringError> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    rng.fill_bytes(seed.as_mut_slice());
    store
        // A unit of work may run again.
        .write("keys.rotate", move |tx| {
            let (old, new, mut rng) = (old.clone(), new.clone(), StdRng::from_seed(*seed));
            Box::pin(async move {
                let organism = tx.organism().await?.ok_or(KeyringError::Master(MasterKeyError::Missing))?.id;
                let keys = tx.keys().await?;
                let mut rotated = Rotated { keys: 0, secrets: 0, invites: 0 };
                for row in keys.into_iter().filter(|row| WRAPPED.contains(&row.name.as_str())) {
                    let wrapped = again(&old, &new, organism, &row, &mut rng)?;
                    tx.replace_key(&KeyRow { wrapped, ..row }).await?;
                    rotated.keys += 1;
                }
                for row in tx.secrets().await? {
                    let row = sealed_again(&old, &new, organism, row, &mut rng)?;
                    tx.put_secret(&row).await?;
                    rotated.secrets += 1;
                }
                for row in tx.sealed_triggers().await? {
                    let row = key_again(&old, &new, organism, row, &mut rng)?;
                    tx.update_trigger(&row).await?;
                    rotated.secrets += 1;
                }
                for row in tx.channels(None).await? {
                    let row = channel_again(&old, &new, organism, row, &mut rng)?;
                    tx.update_channel(&row).await?;
                    rotated.secrets += 1;
                }
                rotated.invites = tx.void_invites().await?;
                Ok(rotated)
            })
        })
        .await
}

fn again(
    old: &MasterKey,
    new: &MasterKey,
    organism: OrganismId,
    row: &KeyRow,
    rng: &mut StdRng,
) -> Result<String, KeyringError> {
    let context = context(&row.name, organism);
    let wrapped = STANDARD.decode(&row.wrapped).unwrap_or_default();
    let inside = old.unwrap(&context, &wrapped)?;
    Ok(STANDARD.encode(new.wrap(&context, &inside, rng)))
}

fn sealed_again(
    old: &MasterKey,
    new: &MasterKey,
    organism: OrganismId,
    row: SecretRow,
    rng: &mut StdRng,
) -> Result<SecretRow, KeyringError> {
    let label = Label { organism, name: &row.name, version: row.version, scope: &row.binding };
    let (Some(key_wrapped), Some(value)) = (&row.key_wrapped, &row.sealed) else { return Ok(row) };
    let sealed = Sealed { key_wrapped: key_wrapped.clone(), value: value.clone() };
    let sealed = rewrap(old, new, &label, &sealed, rng)?;
    Ok(SecretRow { key_wrapped: Some(sealed.key_wrapped), sealed: Some(sealed.value), ..row })
}

/// The key of a webhook.
fn key_again(
    old: &MasterKey,
    new: &MasterKey,
    organism: OrganismId,
    row: TriggerRow,
    rng: &mut StdRng,
) -> Result<TriggerRow, KeyringError> {
    let damaged = KeyringError::Damaged("webhook");
    let Some(Ok(sealed)) = row.sealed.as_deref().map(serde_json::from_str::<Sealed>) else {
        return Err(damaged);
    };
    let name = webhook_name(row.id);
    let sealed = rewrap(old, new, &webhook_label(organism, &name), &sealed, rng)?;
    let sealed = serde_json::to_string(&sealed).map_err(|_| damaged)?;
    Ok(TriggerRow { sealed: Some(sealed), ..row })
}

/// Where a notification channel leads.
fn channel_again(
    old: &MasterKey,
    new: &MasterKey,
    organism: OrganismId,
    row: ChannelRow,
    rng: &mut StdRng,
) -> Result<ChannelRow, KeyringError> {
    let damaged = KeyringError::Damaged("notification channel");
    let Ok(sealed) = serde_json::from_str::<Sealed>(&row.sealed) else { return Err(damaged) };
    let name = channel_name(row.id);
    let sealed = rewrap(old, new, &channel_label(organism, &name), &sealed, rng)?;
    let sealed = serde_json::to_string(&sealed).map_err(|_| damaged)?;
    Ok(ChannelRow { sealed, ..row })
}
