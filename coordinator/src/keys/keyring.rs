//! The organism's keys, opened: made once, kept wrapped, the same on every node.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{ChannelId, OrganismId, TriggerId};
use nexusmon_shared::name::Name;
use nexusmon_shared::pki::{Authority, PkiError};
use nexusmon_shared::time::{SharedClock, Timestamp};
use nexusmon_shared::trust::ed25519::SigningKey;
use nexusmon_store::{KeyRow, Store, StoreError};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use zeroize::Zeroizing;

use super::authorities::{self, AUTHORITY, Authorities, InForce, NEXT};
use super::envelope::{self, Label, Sealed};
use super::master::{MasterKey, MasterKeyError, MasterKeySources};
use super::vapid::VapidKey;
use crate::config::Config;

const TOKEN: &str = "token";
const CHECKPOINT: &str = "checkpoint";
const VAPID: &str = "vapid";
/// What a passphrase is stretched with; no secret, and not wrapped.
const SALT: &str = "passphrase-salt";
/// Everything of the table that lies under the master key.
pub(super) const WRAPPED: [&str; 5] = [AUTHORITY, NEXT, TOKEN, CHECKPOINT, VAPID];

/// Why the keys cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    #[error(transparent)]
    Master(#[from] MasterKeyError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the organism's certificate authority cannot be used")]
    Authority(#[from] PkiError),
    #[error("the key `{0}` in the database is damaged; restore a backup")]
    Damaged(&'static str),
}

/// Open keys. Shows nothing of them.
pub struct Keyring {
    /// Wraps what else is secret, invites for example.
    pub master: MasterKey,
    pub organism: OrganismId,
    /// Issue agents' certificates.
    pub authorities: Authorities,
    /// Signs access tokens; at least 32 bytes.
    pub token_key: Zeroizing<Vec<u8>>,
    /// Signs the heads of the audit log; the same over restores.
    pub checkpoint_key: SigningKey,
    /// Who sends, to the push services of browsers; the same over restores, or they would all have to subscribe anew.
    pub vapid: VapidKey,
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring").field("organism", &self.organism).finish_non_exhaustive()
    }
}

impl Keyring {
    /// Opens what is in the store; at the first start makes organism, authority, token and checkpoint key.
    pub async fn open(
        store: &Store,
        config: &Config,
        clock: &SharedClock,
        mut rng: StdRng,
    ) -> Result<Self, KeyringError> {
        let known = store.read().await?.keys().await?;
        let may_create = !known.iter().any(|row| WRAPPED.contains(&row.name.as_str()));
        let mut sources = sources(config, &known);
        if sources.wants_salt() && may_create {
            sources.salt = Some(make_salt(store, clock, &mut rng).await?);
        }
        let mut key_rng = StdRng::from_rng(&mut rng);
        let loaded = tokio::task::spawn_blocking(move || MasterKey::load(&sources, may_create, &mut key_rng));
        let master = loaded.await.map_err(|_| MasterKeyError::Missing)??;

        let now = clock.now();
        let fresh = OrganismId::new(now, &mut rng);
        let organism = store
            .write("make the organism", move |tx| {
                Box::pin(async move { tx.init_organism(fresh, now).await.map(|organism| organism.id) })
            })
            .await?;

        let new = Authority::generate(organism, now)?;
        let mut token = Zeroizing::new(vec![0_u8; 32]);
        rng.fill_bytes(&mut token);
        let mut checkpoint = Zeroizing::new([0_u8; 32]);
        rng.fill_bytes(checkpoint.as_mut_slice());
        let vapid = VapidKey::generate().ok_or(KeyringError::Damaged(VAPID))?;
        let mut wrap = |name: &str, secret: &[u8]| KeyRow {
            name: name.to_owned(),
            wrapped: STANDARD.encode(master.wrap(&context(name, organism), secret, &mut rng)),
            public: None,
            created_at: now,
        };
        let token = wrap(TOKEN, &token);
        let checkpoint = wrap(CHECKPOINT, checkpoint.as_slice());
        let vapid = wrap(VAPID, vapid.private());
        let authority = authorities::row(&master, AUTHORITY, &new, now, &mut rng);
        // Another node may have been quicker; what is kept is what counts.
        let fresh = [authority, token, checkpoint, vapid];
        let kept: Vec<KeyRow> = store
            .write("keep the organism's keys", move |tx| {
                let fresh = fresh.clone();
                Box::pin(async move {
                    let mut kept = Vec::with_capacity(fresh.len());
                    for key in &fresh {
                        kept.push(tx.put_key_once(key).await?);
                    }
                    // There while one authority takes the place of another.
                    kept.extend(tx.keys().await?.into_iter().filter(|row| row.name == NEXT));
                    Ok::<_, StoreError>(kept)
                })
            })
            .await?;
        let authorities = Authorities::new(InForce::read(&master, organism, &kept, now)?);
        let [_, token, checkpoint, vapid, ..] = kept.as_slice() else {
            return Err(KeyringError::Damaged(AUTHORITY));
        };
        let token_key = match &config.jwt_secret {
            Some(given) => Zeroizing::new(given.expose().as_bytes().to_vec()),
            None => unwrap(&master, TOKEN, organism, token)?,
        };
        let secret = unwrap(&master, CHECKPOINT, organism, checkpoint)?;
        let secret: &[u8; 32] =
            secret.as_slice().try_into().map_err(|_| KeyringError::Damaged(CHECKPOINT))?;
        let checkpoint_key = SigningKey::from_bytes(secret);
        let vapid = VapidKey::read(&unwrap(&master, VAPID, organism, vapid)?);
        let vapid = vapid.ok_or(KeyringError::Damaged(VAPID))?;
        Ok(Self { master, organism, authorities, token_key, checkpoint_key, vapid })
    }
}

impl Keyring {
    /// Seals a secret's value; gives its wrapped key and the sealed value.
    pub fn seal_secret(
        &self,
        (name, version, scope): (&Name, i64, &str),
        value: &[u8],
        rng: &mut impl rand::CryptoRng,
    ) -> (String, String) {
        let label = Label { organism: self.organism, name, version, scope };
        let Sealed { key_wrapped, value } = envelope::seal(&self.master, &label, value, rng);
        (key_wrapped, value)
    }

    /// Opens what [`Self::seal_secret`] gave.
    pub fn open_secret(
        &self,
        (name, version, scope): (&Name, i64, &str),
        key_wrapped: &str,
        value: &str,
    ) -> Result<Zeroizing<Vec<u8>>, MasterKeyError> {
        let label = Label { organism: self.organism, name, version, scope };
        let sealed = Sealed { key_wrapped: key_wrapped.to_owned(), value: value.to_owned() };
        envelope::open(&self.master, &label, &sealed)
    }
}

impl Keyring {
    /// The row of a new authority that is to take the place of the current one.
    pub fn next_authority(
        &self,
        now: Timestamp,
        rng: &mut impl rand::CryptoRng,
    ) -> Result<(Digest, KeyRow), KeyringError> {
        let next = Authority::generate(self.organism, now)?;
        Ok((next.pin(), authorities::row(&self.master, NEXT, &next, now, rng)))
    }

    /// What is to be written where the next authority takes over, by rows read in the same unit: its row in its new place,
    /// and the name of the row that goes. `None`: there is none.
    pub fn taken_over(
        &self,
        rows: &[KeyRow],
        now: Timestamp,
        rng: &mut impl rand::CryptoRng,
    ) -> Result<Option<(InForce, KeyRow, &'static str)>, KeyringError> {
        let in_force = InForce::read(&self.master, self.organism, rows, now)?;
        let Some(next) = &in_force.next else { return Ok(None) };
        let row = authorities::row(&self.master, AUTHORITY, &next.authority, next.begun_at, rng);
        Ok(Some((in_force, row, NEXT)))
    }

    /// Brings what is in force in line with the table. True if it was something else before.
    pub fn follow(&self, rows: &[KeyRow], now: Timestamp) -> Result<bool, KeyringError> {
        if self.authorities.is_of(rows) {
            return Ok(false);
        }
        Ok(self.authorities.put(InForce::read(&self.master, self.organism, rows, now)?))
    }
}

/// What the key of a webhook is sealed for, beside the webhook's own id.
const WEBHOOK: &str = "webhook";

/// The name under which the key of a webhook is sealed.
pub(super) fn webhook_name(id: TriggerId) -> Name {
    id.to_string().parse().expect("an id is a name")
}

/// What the key of a webhook is, and whose.
pub(super) const fn webhook_label(organism: OrganismId, name: &Name) -> Label<'_> {
    Label { organism, name, version: 1, scope: WEBHOOK }
}

impl Keyring {
    /// Seals the key of a webhook, as it lies in the row.
    pub fn seal_webhook_key(&self, id: TriggerId, key: &[u8], rng: &mut impl rand::CryptoRng) -> String {
        let name = webhook_name(id);
        let sealed = envelope::seal(&self.master, &webhook_label(self.organism, &name), key, rng);
        serde_json::to_string(&sealed).expect("two texts are JSON")
    }

    /// Opens what [`Self::seal_webhook_key`] gave.
    pub fn open_webhook_key(&self, id: TriggerId, sealed: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let sealed = serde_json::from_str(sealed).map_err(|_| KeyringError::Damaged(WEBHOOK))?;
        let name = webhook_name(id);
        Ok(envelope::open(&self.master, &webhook_label(self.organism, &name), &sealed)?)
    }
}

/// What the address of a channel is sealed for, beside the channel's own id.
const CHANNEL: &str = "notification channel";

/// The name under which the address of a channel is sealed.
pub(super) fn channel_name(id: ChannelId) -> Name {
    id.to_string().parse().expect("an id is a name")
}

/// What the address of a channel is, and whose.
pub(super) const fn channel_label(organism: OrganismId, name: &Name) -> Label<'_> {
    Label { organism, name, version: 1, scope: CHANNEL }
}

impl Keyring {
    /// Seals where a channel leads, as it lies in the row.
    pub fn seal_channel(&self, id: ChannelId, address: &[u8], rng: &mut impl rand::CryptoRng) -> String {
        let name = channel_name(id);
        let sealed = envelope::seal(&self.master, &channel_label(self.organism, &name), address, rng);
        serde_json::to_string(&sealed).expect("two texts are JSON")
    }

    /// Opens what [`Self::seal_channel`] gave.
    pub fn open_channel(&self, id: ChannelId, sealed: &str) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let sealed = serde_json::from_str(sealed).map_err(|_| KeyringError::Damaged(CHANNEL))?;
        let name = channel_name(id);
        Ok(envelope::open(&self.master, &channel_label(self.organism, &name), &sealed)?)
    }
}

/// Whether the master key that `config` and the environment give opens these keys. Makes nothing. Blocks.
pub fn check(config: &Config, organism: OrganismId, keys: &[KeyRow]) -> Result<(), KeyringError> {
    let mut unused = StdRng::seed_from_u64(0);
    let master = MasterKey::load(&sources(config, keys), false, &mut unused)?;
    for name in WRAPPED {
        if let Some(row) = keys.iter().find(|row| row.name == name) {
            unwrap(&master, name, organism, row)?;
        }
    }
    Ok(())
}

/// What a wrapped key is and whose, so that one cannot stand in for another.
pub(super) fn context(name: &str, organism: OrganismId) -> String {
    format!("nexusmon/key/v1 {name} of {organism}")
}

pub(super) fn unwrap(
    master: &MasterKey,
    name: &'static str,
    organism: OrganismId,
    row: &KeyRow,
) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
    let wrapped = STANDARD.decode(&row.wrapped).map_err(|_| KeyringError::Damaged(name))?;
    Ok(master.unwrap(&context(name, organism), &wrapped)?)
}

/// The master key that opens what is in the store. Makes nothing. Blocks.
pub(super) fn open_master(config: &Config, keys: &[KeyRow]) -> Result<MasterKey, MasterKeyError> {
    let mut unused = StdRng::seed_from_u64(0);
    MasterKey::load(&sources(config, keys), false, &mut unused)
}

/// At the first start with a passphrase. Another node may have been quicker; what is kept is what counts.
async fn make_salt(store: &Store, clock: &SharedClock, rng: &mut StdRng) -> Result<[u8; 16], KeyringError> {
    let mut salt = [0_u8; 16];
    rng.fill_bytes(&mut salt);
    let row = KeyRow {
        name: SALT.to_owned(),
        wrapped: String::new(),
        public: Some(STANDARD.encode(salt)),
        created_at: clock.now(),
    };
    let kept = store
        .write("keep the passphrase's salt", move |tx| {
            let row = row.clone();
            Box::pin(async move { tx.put_key_once(&row).await })
        })
        .await?;
    salt_of(&kept).ok_or(KeyringError::Damaged(SALT))
}

fn salt_of(row: &KeyRow) -> Option<[u8; 16]> {
    STANDARD.decode(row.public.as_ref()?).ok()?.try_into().ok()
}

fn sources(config: &Config, keys: &[KeyRow]) -> MasterKeySources {
    let environment = MasterKeySources::from_environment();
    MasterKeySources {
        credentials: environment.credentials,
        value: config.master_key.as_ref().map(|key| Zeroizing::new(key.expose().to_owned())),
        file: config.master_key_file.clone(),
        passphrase: config.master_passphrase.as_ref().map(|text| Zeroizing::new(text.expose().to_owned())),
        salt: keys.iter().find(|row| row.name == SALT).and_then(salt_of),
        default_file: environment.default_file,
    }
}
