//! Webhooks: calls from outside that make missions. A call proves by its signature that it comes from where it should;
//! its body is data and nothing else, and each delivery counts once.

mod verify;

#[cfg(feature = "fuzzing")]
pub mod fuzzing;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use nexusmon_core::mission::Start;
use nexusmon_core::trigger::{Format, HookRule, NewWebhook, echoed, parse_webhook};
use nexusmon_shared::id::{MissionId, PrincipalId, TriggerId};
use nexusmon_shared::name::Name;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{TriggerKind, TriggerRow, TriggerState};
use rand::Rng as _;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::super::chains;
use super::super::missions::no_nul;
use super::fire::{self, Chained, Fired, Occasion};
use super::keep::{self, Acts};
use super::limits::Bounds;
use super::{Caller, FiringView, Page, PageRequest, known};
use crate::app::App;
use crate::error::{Error, Result};
use verify::{Distrust, PREFIX, check};

const KIND: TriggerKind = TriggerKind::Webhook;
const ACTS: Acts = Acts { kind: KIND, created: "webhook.created", removed: "webhook.removed" };
/// A webhook as people see it; its key is not shown.
#[derive(Debug, Clone)]
pub struct WebhookView {
    pub id: TriggerId,
    pub name: Name,
    pub state: TriggerState,
    /// Why the system paused it.
    pub reason: Option<String>,
    pub rule: HookRule,
    /// A mission's body.
    pub work: Map<String, Value>,
    pub owner: PrincipalId,
    pub created_at: Timestamp,
    pub changed_at: Timestamp,
    pub last_mission: Option<MissionId>,
    pub version: u64,
}

/// One with a key that was made just now: the only time it is shown.
#[derive(Debug)]
pub struct NewlyKeyed {
    pub webhook: WebhookView,
    pub secret: Zeroizing<String>,
}

fn view(row: TriggerRow) -> Result<WebhookView> {
    Ok(WebhookView {
        id: row.id,
        name: row.name,
        state: row.state,
        reason: row.reason,
        rule: serde_json::from_str(&row.rule).map_err(Error::internal)?,
        work: serde_json::from_str(&row.work).map_err(Error::internal)?,
        owner: row.owner,
        created_at: row.created_at,
        changed_at: row.changed_at,
        last_mission: row.last_mission,
        version: u64::try_from(row.version).unwrap_or(0),
    })
}

/// Newest first.
pub async fn list(app: &App, page: PageRequest) -> Result<Page<WebhookView>> {
    let found = app.store.read().await?.trigger_list(KIND, &page.store()?).await?;
    let items = found.items.into_iter().map(view).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: found.next_cursor })
}

pub async fn get(app: &App, id: TriggerId) -> Result<WebhookView> {
    view(known(app.store.read().await?.trigger(id).await?, KIND, id)?)
}

/// What it has fired for, newest first.
pub async fn firings(app: &App, id: TriggerId, page: PageRequest) -> Result<Page<FiringView>> {
    super::firings(app, KIND, id, page).await
}

/// Keeps a new webhook, with a key of its own.
pub async fn create(app: &App, caller: &Caller, body: &Value) -> Result<NewlyKeyed> {
    let new = read(app, body).await?;
    let now = app.clock.now();
    let id = app.rng.with(|rng| TriggerId::new(now, rng));
    let (secret, sealed) = make_key(app, id);
    let row = TriggerRow { sealed: Some(sealed), keyed_at: Some(now), ..row_of(id, &new, caller, now)? };
    let row = keep::create(app, caller, ACTS, row).await?;
    Ok(NewlyKeyed { webhook: view(row)?, secret })
}

/// Gives it another key; the one before opens nothing from then on. Who has the key says what is made, so its missions are
/// the caller's from then on.
pub async fn rotate(app: &App, caller: &Caller, id: TriggerId) -> Result<NewlyKeyed> {
    let (secret, sealed) = make_key(app, id);
    let (principal, now) = (caller.principal, app.clock.now());
    let row = keep::edit(app, caller, KIND, id, None, "webhook.rotated", move |row| {
        row.sealed = Some(sealed.clone());
        row.keyed_at = Some(now);
        row.owner = principal;
        Ok(())
    })
    .await?;
    Ok(NewlyKeyed { webhook: view(row)?, secret })
}

fn make_key(app: &App, id: TriggerId) -> (Zeroizing<String>, String) {
    app.rng.with(|rng| {
        let mut bytes = Zeroizing::new([0_u8; 32]);
        rng.fill_bytes(bytes.as_mut_slice());
        let secret = Zeroizing::new(format!("{PREFIX}{}", STANDARD.encode(*bytes)));
        let sealed = app.keyring.seal_webhook_key(id, secret.as_bytes(), rng);
        (secret, sealed)
    })
}

fn open_key(app: &App, row: &TriggerRow) -> Result<Zeroizing<String>> {
    let sealed = row.sealed.as_deref().ok_or_else(|| Error::internal("a webhook without a key"))?;
    let opened = app.keyring.open_webhook_key(row.id, sealed).map_err(Error::internal)?;
    Ok(Zeroizing::new(String::from_utf8(opened.to_vec()).map_err(Error::internal)?))
}

async fn read(app: &App, body: &Value) -> Result<NewWebhook> {
    let new = parse_webhook(body)?;
    no_nul(&body.to_string().replace("\\u0000", "\0"), "")?;
    keep::check_inputs(app, &new.work).await?;
    Ok(new)
}

fn row_of(id: TriggerId, new: &NewWebhook, caller: &Caller, now: Timestamp) -> Result<TriggerRow> {
    Ok(TriggerRow {
        id,
        kind: KIND,
        name: new.name.clone(),
        state: if new.paused { TriggerState::Paused } else { TriggerState::Active },
        reason: None,
        rule: serde_json::to_string(&new.rule).map_err(Error::internal)?,
        work: Value::Object(new.work.0.clone()).to_string(),
        owner: caller.principal,
        created_at: now,
        changed_at: now,
        decided_through: now,
        next_at: None,
        last_mission: None,
        sealed: None,
        version: 1,
        since: 0,
        keyed_at: None,
    })
}

/// Changes a webhook as a whole, but for its key; from now on it acts in the caller's name.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: TriggerId,
    body: &Value,
    if_match: Option<u64>,
) -> Result<WebhookView> {
    let next = row_of(id, &read(app, body).await?, caller, app.clock.now())?;
    let row = keep::edit(app, caller, KIND, id, if_match, "webhook.changed", move |row| {
        *row = TriggerRow {
            created_at: row.created_at,
            last_mission: row.last_mission,
            sealed: row.sealed.take(),
            keyed_at: row.keyed_at,
            version: row.version,
            ..next.clone()
        };
        Ok(())
    });
    view(row.await?)
}

/// Calls are answered and make nothing.
pub async fn pause(app: &App, caller: &Caller, id: TriggerId) -> Result<WebhookView> {
    view(keep::edit(app, caller, KIND, id, None, "webhook.paused", keep::paused).await?)
}

pub async fn resume(app: &App, caller: &Caller, id: TriggerId) -> Result<WebhookView> {
    let person = caller.clone();
    let row = keep::edit(app, caller, KIND, id, None, "webhook.resumed", move |row| {
        super::within_reach(&person, row)?;
        keep::resumed(row)
    });
    view(row.await?)
}

pub async fn remove(app: &App, caller: &Caller, id: TriggerId) -> Result<()> {
    keep::remove(app, caller, ACTS, id).await
}

/// What came of a call; no more than this is told to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A mission was made.
    Fired,
    /// This delivery counted before.
    Already,
    /// It is paused, or does not listen to such events.
    Ignored,
    /// No mission could be made of it; the reason is with the webhook's firings.
    Failed,
}

impl Received {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "fired",
            Self::Already => "already",
            Self::Ignored => "ignored",
            Self::Failed => "failed",
        }
    }
}

/// A call. `header` gives the value of a header by its lower-case name; `body` is JSON as it came; `spend` says whether
/// one more may come of those whose signature holds.
pub async fn receive<'h>(
    app: &App,
    id: TriggerId,
    header: &(dyn Fn(&str) -> Option<&'h str> + Sync),
    body: &[u8],
    spend: impl FnOnce() -> bool,
) -> Result<Received> {
    let row = app.store.read().await?.trigger(id).await?.filter(|row| row.kind == KIND);
    // One that is not there is refused like one whose key is another.
    let (rule, secret) = match &row {
        Some(row) => {
            let rule: HookRule = serde_json::from_str(&row.rule).map_err(Error::internal)?;
            (rule, open_key(app, row)?)
        }
        None => (HookRule::of(Format::Generic), make_key(app, id).0),
    };
    let checked = check(rule.format, &secret, &|name| header(name), body, app.clock.now());
    let (checked, row) = match (checked, row) {
        (Ok(checked), Some(row)) => (checked, row),
        (Err(Distrust::Time), Some(_)) => {
            let detail = "the time that was signed lies more than five minutes from now: check the clocks";
            return Err(Error::Unauthenticated { code: "too_old", detail: detail.to_owned() });
        }
        _ => {
            let detail = "there is no such webhook, or its signature does not hold";
            return Err(Error::Unauthenticated { code: "signature_refused", detail: detail.to_owned() });
        }
    };
    if !spend() {
        return Err(Error::RateLimited { retry_after: std::time::Duration::from_secs(1) });
    }
    if row.state != TriggerState::Active || !rule.takes(checked.event.as_deref()) {
        return Ok(Received::Ignored);
    }
    let body: Value = serde_json::from_slice(body)
        .map_err(|error| Error::field("", "not_json", format!("the body is not JSON: {error}")))?;
    let chained = chained(app, &rule, &body).await?;
    let occasion = Occasion {
        name: checked.occasion,
        due: None,
        context: json!({"body": body, "event": checked.event, "delivery": checked.delivery, "name": row.name}),
        start: Start::Auto,
        by_hand: false,
        skip_while_running: false,
        step: None,
        passed_over: 0,
        of_event: None,
        chained: Some(chained),
    };
    // A mission's preparation is not free: one that counted before costs no more than a look.
    // One that made nothing may be sent again, once the reason is out of the way.
    let known = app.store.read().await?.firing(id, &occasion.name).await?;
    if known.is_some_and(|firing| firing.mission.is_some()) {
        return Ok(Received::Already);
    }
    match fire::fire(app, row, occasion).await? {
        Fired::Mission(_) => Ok(Received::Fired),
        Fired::Already => Ok(Received::Already),
        Fired::Failed(_) | Fired::Skipped(_) => Ok(Received::Failed),
        Fired::Changed => Err(Error::unavailable("the webhook was changed just now: send it again")),
    }
}

/// A call that tells of our own missions is one that they led to, however it came here: what is signed as a whole says so
/// by itself, the other formats are not those of our notifications.
async fn chained(app: &App, rule: &HookRule, body: &Value) -> Result<Chained> {
    let told = if rule.format == Format::Generic { echoed(body, app.organism) } else { None };
    let (ours, told) = (told.is_some(), told.unwrap_or_default());
    let mut parent = None;
    if !told.is_empty() {
        let mut read = app.store.read().await?;
        let told: Vec<MissionId> = told.into_iter().collect();
        for row in read.missions(&told).await? {
            let depth = chains::depth_after(&mut read, row.id).await?;
            // Of several the deepest.
            if parent.is_none_or(|(deepest, _)| depth > deepest) {
                parent = Some((depth, row.id));
            }
        }
    }
    let why = if ours { "our own notification called" } else { "called from outside" };
    Ok(Chained { bounds: Bounds::of_call(rule, ours), parent: parent.map(|(_, id)| id), why: why.to_owned() })
}
