//! The operator key: hashed with Argon2id (RFC 9106), verified off the async threads, a few at a time.

use std::net::IpAddr;

use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Argon2, PasswordHash};
use nexusmon_shared::id::PrincipalId;
use nexusmon_store::{PrincipalKind, PrincipalRow, Role};
use rand::Rng as _;
use rand::rngs::StdRng;
use serde_json::json;

use crate::app::App;
use crate::config::Secret;
use crate::error::{Error, Result};
use crate::service::unit::{SYSTEM, Unit};

/// Letters and digits that are not mistaken for one another.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// Nobody's is longer.
const MAX_SECRET_BYTES: usize = 1024;

/// See [`super::prepare`].
pub(super) async fn prepare(app: &App) -> Result<Option<Secret>> {
    if app.store.read().await?.owner().await?.is_some() {
        return Ok(None);
    }
    let made_up = app.config.operator_key.is_none();
    let key = match &app.config.operator_key {
        Some(key) => key.clone(),
        None => Secret::new(random_key(app)),
    };
    let hash = hash(app, key.expose().to_owned()).await?;
    let now = app.clock.now();
    let row = PrincipalRow {
        id: app.rng.with(|rng| PrincipalId::new(now, rng)),
        kind: PrincipalKind::Person,
        name: "owner".to_owned(),
        role: Role::Owner,
        secret_hash: Some(hash),
        rank_ceiling: None,
        created_by: None,
        created_at: now,
        expires_at: None,
        revoked_at: None,
        version: 1,
    };
    let unit_app = app.clone();
    let made = app
        .store
        .write_with("auth.owner", row, move |tx, row| {
            let app = unit_app.clone();
            Box::pin(async move {
                // Another node may have been faster.
                tx.one_node_at_a_time().await?;
                if tx.owner().await?.is_some() {
                    return Ok::<_, Error>(false);
                }
                let mut unit = Unit::new(&app, tx);
                unit.tx.insert_principal(row).await?;
                let body = json!({"name": row.name, "role": "owner"});
                unit.audit(SYSTEM, "principal.created", ("principal", row.id.to_string()), None, body);
                unit.finish().await?;
                Ok(true)
            })
        })
        .await?;
    Ok((made && made_up).then_some(key))
}

pub(in crate::service) fn random_key(app: &App) -> String {
    app.rng.with(made_up)
}

/// Thirty-two letters and digits, some 158 bits.
fn made_up(rng: &mut StdRng) -> String {
    let mut key = String::new();
    for place in 0..32 {
        if place > 0 && place % 4 == 0 {
            key.push('-');
        }
        // Rejection keeps every letter as likely as any other.
        let letter = loop {
            let mut byte = [0_u8];
            rng.fill_bytes(&mut byte);
            let place = usize::from(byte[0] & 31);
            if let Some(letter) = ALPHABET.get(place) {
                break *letter;
            }
        };
        key.push(char::from(letter));
    }
    key
}

/// A new operator key, and what is kept of it: for whoever has the host.
pub(super) async fn another(mut rng: StdRng) -> Result<(Secret, String)> {
    let key = made_up(&mut rng);
    let mut salt = [0_u8; 16];
    rng.fill_bytes(&mut salt);
    let hash = hashed(key.clone(), salt).await?;
    Ok((Secret::new(key), hash))
}

pub(in crate::service) async fn hash(app: &App, secret: String) -> Result<String> {
    let mut salt = [0_u8; 16];
    app.rng.with(|rng| rng.fill_bytes(&mut salt));
    let _turn = app.auth.hashing.acquire().await.map_err(Error::internal)?;
    hashed(secret, salt).await
}

async fn hashed(secret: String, salt: [u8; 16]) -> Result<String> {
    tokio::task::spawn_blocking(move || {
        Argon2::default()
            .hash_password_with_salt(secret.as_bytes(), &salt)
            .map(|hash| hash.to_string())
            .map_err(|error| Error::internal(error.to_string()))
    })
    .await
    .map_err(Error::internal)?
}

/// Compares what somebody says; without a hash, works as long and says no. A miss is counted before the next one has
/// its turn, and whoever has to slow down by then is turned away: guesses that come together are slowed down like
/// others.
pub(super) async fn verify(
    app: &App,
    (name, network): (&str, IpAddr),
    secret: String,
    hash: Option<String>,
) -> Result<bool> {
    let _place = app.auth.enter(network)?;
    let _turn = app.auth.hashing.acquire().await.map_err(Error::internal)?;
    app.auth.check(name, network, app.clock.boot())?;
    let good = secret.len() <= MAX_SECRET_BYTES && matches(secret, hash).await?;
    if !good {
        app.auth.failed(name, network, app.clock.boot());
    }
    Ok(good)
}

async fn matches(secret: String, hash: Option<String>) -> Result<bool> {
    tokio::task::spawn_blocking(move || {
        if let Some(hash) = hash {
            PasswordHash::new(&hash)
                .is_ok_and(|hash| Argon2::default().verify_password(secret.as_bytes(), &hash).is_ok())
        } else {
            let _ = Argon2::default().hash_password_with_salt(secret.as_bytes(), &[7; 16]);
            false
        }
    })
    .await
    .map_err(Error::internal)
}
