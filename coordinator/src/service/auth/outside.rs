//! Logging in at an OpenID provider: the code flow with PKCE, and who its people are here.
//!
//! Nothing is kept while somebody is away: state, nonce and verifier follow from a ticket in their browser and the token
//! key, so that any coordinator can go on. A role follows from what the provider says each time.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::PrincipalId;
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{OutsideIdentityRow, PrincipalKind, PrincipalRow, Role};
use rand::Rng as _;
use serde_json::json;
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{LoggedIn, Opening, SessionKind};
use crate::app::App;
use crate::error::{Error, Result};
use crate::provider::{Ask, Exchange, Identity, Provider};
use crate::service::unit::{SYSTEM, Unit};

/// To find one's phone, type a password, and come back.
pub const LIFE: Duration = Duration::from_mins(10);
/// Of a ticket.
const LONGEST: usize = 1024;

/// A browser on its way to the provider.
#[derive(Debug)]
pub struct Away {
    pub address: String,
    /// Comes back in a cookie.
    pub ticket: String,
}

/// A browser that came back.
#[derive(Debug)]
pub struct Back {
    pub code: String,
    pub state: String,
    pub ticket: String,
    pub redirect: String,
    pub replaces: Option<String>,
}

/// What the button says, where there is a provider.
pub fn name(app: &App) -> Option<String> {
    app.provider.as_ref().map(|provider| provider.config.name.clone())
}

fn provider(app: &App) -> Result<&Provider> {
    let detail = "no OpenID provider is configured here".to_owned();
    app.provider.as_ref().ok_or(Error::Conflict {
        code: "no_provider",
        detail,
        extra: serde_json::Map::new(),
    })
}

/// Sends a browser away. `to` is where it wants to be afterwards.
pub async fn start(app: &App, redirect: &str, to: &str, anew: bool) -> Result<Away> {
    let mut nonce = [0_u8; 16];
    app.rng.with(|rng| rng.fill_bytes(&mut nonce));
    let until = app.expiry_clock.now() + LIFE;
    let to = URL_SAFE_NO_PAD.encode(to.chars().take(400).collect::<String>());
    let anew_word = if anew { "anew" } else { "any" };
    let ticket = format!("{}.{}.{anew_word}.{to}", until.as_micros(), hex::encode(nonce));
    let verifier = derived(app, "verifier", &ticket);
    let ask = Ask {
        redirect,
        state: &derived(app, "state", &ticket),
        nonce: &derived(app, "nonce", &ticket),
        challenge: &URL_SAFE_NO_PAD.encode(Digest::of(verifier.as_bytes()).as_bytes()),
        anew,
    };
    let address = provider(app)?.address(&ask).await?;
    Ok(Away { address, ticket })
}

/// Where a ticket wants to go, if its time is not over; and whether the person had to prove themselves anew.
fn read_ticket(app: &App, ticket: &str) -> Option<(String, bool)> {
    if ticket.len() > LONGEST {
        return None;
    }
    let mut parts = ticket.split('.');
    let until = Timestamp::from_micros(parts.next()?.parse().ok()?);
    let _nonce = parts.next()?;
    let anew = parts.next()? == "anew";
    let to = String::from_utf8(URL_SAFE_NO_PAD.decode(parts.next()?).ok()?).ok()?;
    let now = app.expiry_clock.now();
    (parts.next().is_none() && until > now && until.since(now) <= LIFE).then_some((to, anew))
}

/// 256 bits that only coordinators can make from a ticket, as text.
fn derived(app: &App, what: &str, ticket: &str) -> String {
    let mut hmac =
        Hmac::<Sha256>::new_from_slice(&app.keyring.token_key).expect("HMAC takes keys of any length");
    hmac.update(format!("nexusmon/oidc/v1\n{what}\n{ticket}").as_bytes());
    URL_SAFE_NO_PAD.encode(hmac.finalize().into_bytes())
}

/// Logs in who came back, and says where they wanted to go.
pub async fn finish(app: &App, back: Back) -> Result<(LoggedIn, String)> {
    let Back { code, state, ticket, redirect, replaces } = back;
    let provider = provider(app)?;
    let stale = || Error::Unauthenticated {
        code: "stale",
        detail: "this log-in was begun elsewhere or too long ago: begin again".to_owned(),
    };
    let (to, anew) = read_ticket(app, &ticket).ok_or_else(stale)?;
    let expected = derived(app, "state", &ticket);
    if !bool::from(expected.as_bytes().ct_eq(state.as_bytes())) {
        return Err(stale());
    }
    let now = app.expiry_clock.now();
    let exchange = Exchange {
        code: &code,
        verifier: &derived(app, "verifier", &ticket),
        nonce: &derived(app, "nonce", &ticket),
        redirect: &redirect,
        now: now.as_micros().div_euclid(1_000_000),
    };
    let identity = provider.identity(&exchange).await?;
    let role = provider.config.role(&identity.groups).and_then(Role::parse).ok_or_else(|| {
        tracing::info!(subject = identity.subject, "the OpenID provider gives somebody no role");
        Error::Forbidden { code: "no_role", detail: "the provider gives you no role here".to_owned() }
    })?;
    // Asked to have them prove it anew, it must say when they did.
    let proved_at =
        identity.proved_at.map(|seconds| Timestamp::from_micros(seconds.saturating_mul(1_000_000)));
    if anew && proved_at.is_none() {
        tracing::warn!("the OpenID provider does not say when somebody last proved who they are");
    }
    let person = person(app, &identity, role).await?;
    let opening = Opening {
        kind: SessionKind::Cookie,
        method: "oidc",
        replaces,
        answered: None,
        // Without its word a log-in there may be days old.
        proved_at: Some(proved_at.map_or(Timestamp::from_micros(0), |at| at.min(now))),
    };
    Ok((super::open_session(app, &person, opening).await?, to))
}

/// Who the identity is here: made at the first log-in, given the role the provider says at every one.
async fn person(app: &App, identity: &Identity, role: Role) -> Result<PrincipalRow> {
    let unit_app = app.clone();
    let input = (identity.clone(), role);
    let (person, after) = app
        .store
        .write_with("auth.outside", input, move |tx, (identity, role)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                // Two first log-ins at once are one person.
                unit.tx.one_node_at_a_time().await?;
                let person = found_or_made(&mut unit, identity, *role).await?;
                Ok::<_, Error>((person, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(person)
}

async fn found_or_made(unit: &mut Unit<'_>, identity: &Identity, role: Role) -> Result<PrincipalRow> {
    let known = unit.tx.outside_identity(&identity.issuer, &identity.subject).await?;
    let Some(known) = known else { return make(unit, identity, role).await };
    let found = unit.tx.principal(known.principal).await?;
    let mut row = found.ok_or_else(|| Error::internal("an identity without its person"))?;
    if row.revoked_at.is_some() {
        let detail = "the owner has taken your access away".to_owned();
        return Err(Error::Forbidden { code: "revoked", detail });
    }
    if row.role != role {
        let body = json!({"from": row.role.as_str(), "to": role.as_str(), "by": identity.issuer});
        row.role = role;
        unit.tx.update_principal(&row).await?;
        row.version += 1;
        unit.audit(SYSTEM, "principal.changed", ("principal", row.id.to_string()), None, body);
    }
    Ok(row)
}

async fn make(unit: &mut Unit<'_>, identity: &Identity, role: Role) -> Result<PrincipalRow> {
    let name = free_name(unit, identity).await?;
    let row = PrincipalRow {
        id: PrincipalId::new(unit.now, &mut unit.rng),
        kind: PrincipalKind::Person,
        name,
        role,
        // There is no password here that would fit.
        secret_hash: None,
        rank_ceiling: None,
        created_by: None,
        created_at: unit.now,
        expires_at: None,
        revoked_at: None,
        version: 1,
    };
    unit.tx.insert_principal(&row).await?;
    let outside = OutsideIdentityRow {
        issuer: identity.issuer.clone(),
        subject: identity.subject.clone(),
        principal: row.id,
        created_at: unit.now,
    };
    unit.tx.insert_outside_identity(&outside).await?;
    let body = json!({"name": row.name, "kind": "person", "role": role.as_str(), "issuer": identity.issuer,
        "outside_subject": identity.subject});
    unit.audit(SYSTEM, "principal.created", ("principal", row.id.to_string()), None, body);
    Ok(row)
}

/// A name nobody has: what the provider calls them, else that with a few digits. A name is never anybody's proof.
async fn free_name(unit: &mut Unit<'_>, identity: &Identity) -> Result<String> {
    let digest = Digest::of(format!("{}\n{}", identity.issuer, identity.subject).as_bytes()).to_string();
    let called = identity.names.iter().find_map(|name| plain(name)).unwrap_or_else(|| "person".to_owned());
    for name in [called.clone(), format!("{called}-{}", &digest[..6]), format!("person-{}", &digest[..24])] {
        if unit.tx.principal_named(&name).await?.is_none() {
            return Ok(name);
        }
    }
    Err(Error::conflict("name_taken", "somebody else is called like this person"))
}

/// As a name may be: its letters and digits, at most forty.
fn plain(text: &str) -> Option<String> {
    let kept: String = text
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || "_-.".contains(letter) { letter } else { '-' })
        .take(40)
        .collect();
    let kept = kept.trim_matches(['-', '.', '_']);
    kept.parse::<Name>().ok().map(|name| name.to_string())
}
