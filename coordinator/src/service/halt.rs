//! The kill switch. Who operates pulls it. Releasing it is a rank A act, with a reason that is written down: where people
//! sign it waits for their approval, else it is the owner's after a fresh log-in.
//!
//! Grants read the row in their own unit, so none is made on any node once a pull is committed. Agents are told by
//! whichever node holds their session, after each Welcome too, and answer.

mod standing;

use nexusmon_core::halt::may_be_pulled;
use nexusmon_shared::id::{AgentId, ApprovalId, PrincipalId};
use nexusmon_shared::message::{CoordinatorMessage, HaltAck, HaltLevel, HaltNotice};
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::approval::Act;
use nexusmon_store::{ApprovalSubject, Halt, HaltAckRow, HaltRow, Topic, pressing};
use serde_json::json;

use super::unit::{Actor, Unit};
use super::{Caller, agents, approvals, auth, consent, dispatch};
use crate::app::App;
use crate::app::sessions::Live;
use crate::error::{Error, Result};

/// Longest reason that is kept.
const MAX_REASON_BYTES: usize = 1000;

/// The switch, and how far each agent is.
#[derive(Debug, Clone)]
pub struct HaltView {
    pub level: HaltLevel,
    /// Grows with every pull and release; 0 if it was never pulled.
    pub number: u64,
    pub since: Option<Timestamp>,
    pub by: Option<PrincipalId>,
    pub reason: Option<String>,
    /// The approval that its release waits for.
    pub release: Option<ApprovalId>,
    pub acknowledged: u64,
    pub waiting: u64,
    pub unreachable: u64,
    /// At most two hundred; those that matter first. Empty unless something is halted.
    pub agents: Vec<AgentHalt>,
}

/// One agent under a halt.
#[derive(Debug, Clone)]
pub struct AgentHalt {
    pub id: AgentId,
    pub name: String,
    /// `unreachable`, `waiting`, `acknowledged`, `clear`.
    pub state: &'static str,
    /// Of an unreachable one: it stops by itself then.
    pub may_run_until: Option<Timestamp>,
    pub acknowledged_at: Option<Timestamp>,
    /// Attempts that still ran there when it answered last.
    pub running: Option<u64>,
    /// Live leases, as the database has them.
    pub leases: u64,
}

/// Reads what holds; at start, before any listener opens, and when another node changed it.
pub(super) async fn load(app: &App) -> Result<()> {
    let newest = app.store.read().await?.newest_halt().await?;
    if newest.is_some_and(|row| app.switch.learn(notice(&row))) {
        spread(app);
    }
    Ok(())
}

fn notice(row: &HaltRow) -> HaltNotice {
    HaltNotice { level: level(row.level), number: u64::try_from(row.number).unwrap_or(0) }
}

const fn level(halt: Halt) -> HaltLevel {
    match halt {
        Halt::None => HaltLevel::None,
        Halt::Halt => HaltLevel::Halt,
        Halt::Stop => HaltLevel::Stop,
    }
}

const fn stored(level: HaltLevel) -> Halt {
    match level {
        HaltLevel::None => Halt::None,
        HaltLevel::Halt => Halt::Halt,
        HaltLevel::Stop => Halt::Stop,
    }
}

/// Tells every agent of this node what holds.
fn spread(app: &App) {
    let notice = app.switch.get();
    for live in app.sessions.all() {
        live.offer(CoordinatorMessage::Halt(notice));
    }
    dispatch::wake(app);
}

/// A session has opened: its Welcome forgot what held before. Called once the session is registered, so that a pull at
/// the same moment is told here or by [`spread`].
pub(super) fn greet(app: &App, live: &Live) {
    if app.switch.is_pulled() {
        live.offer(CoordinatorMessage::Halt(app.switch.get()));
    }
}

/// Pulls the switch. The same level again changes nothing; a lower one is a release.
pub async fn pull(app: &App, caller: &Caller, wanted: HaltLevel, reason: Option<String>) -> Result<HaltView> {
    if wanted == HaltLevel::None {
        return Err(Error::field("/level", "unknown_value", "must be `halt` or `stop`; `resume` releases"));
    }
    check_reason("/reason", reason.as_deref())?;
    let pulled = change(app, caller, "halt.pulled", reason, move |now| {
        if now == wanted {
            return Ok(None);
        }
        if !may_be_pulled(now, wanted) {
            let detail = "everything is stopped already, which is more than halted; `resume` releases it";
            return Err(Error::conflict("stopped", detail));
        }
        Ok(Some(wanted))
    });
    pressing(pulled).await?;
    view(app).await
}

/// Releases the switch, or, where there is a roster, asks those who sign for it: then the second part is true.
pub async fn release(app: &App, caller: &Caller, comment: String) -> Result<(HaltView, bool)> {
    if comment.trim().is_empty() {
        return Err(Error::field("/comment", "required", "say why it is safe to go on"));
    }
    check_reason("/comment", Some(&comment))?;
    let signed = consent::roster(&mut app.store.read().await?, app.clock.now()).await?.is_some();
    if signed {
        let held = view(app).await?;
        if held.level == HaltLevel::None {
            return Err(Error::conflict("not_halted", "nothing is halted"));
        }
        if held.release.is_some() {
            return Ok((held, true));
        }
        let act = Act::HaltRelease { number: held.number };
        approvals::propose(app, caller, act, Rank::A, comment).await?;
        return Ok((view(app).await?, true));
    }
    auth::require_fresh(app, caller).await?;
    change(app, caller, "halt.released", Some(comment), |now| {
        if now == HaltLevel::None {
            return Err(Error::conflict("not_halted", "nothing is halted"));
        }
        Ok(Some(HaltLevel::None))
    })
    .await?;
    dispatch::refresh(app).await?;
    dispatch::wake(app);
    Ok((view(app).await?, false))
}

/// Releases the switch in the unit of the last decision on it.
pub(super) async fn carry_out(
    unit: &mut Unit<'_>,
    actor: &Actor,
    by: PrincipalId,
    number: u64,
    comment: String,
    approval: ApprovalId,
) -> Result<()> {
    let organism = unit.tx.lock_organism().await?;
    let now = organism.map_or(HaltLevel::None, |organism| level(organism.halt));
    let newest = unit.tx.newest_halt().await?;
    if now == HaltLevel::None || newest.is_none_or(|row| u64::try_from(row.number) != Ok(number)) {
        let detail = "the switch was pulled or released since this was asked for: ask again";
        return Err(Error::conflict("digest_changed", detail));
    }
    let step = Step { action: "halt.released", from: now, to: HaltLevel::None, by, approval: Some(approval) };
    write(unit, actor, step, Some(&comment)).await.map(drop)
}

/// One change of the switch.
struct Step {
    action: &'static str,
    from: HaltLevel,
    to: HaltLevel,
    by: PrincipalId,
    approval: Option<ApprovalId>,
}

async fn write(unit: &mut Unit<'_>, actor: &Actor, step: Step, reason: Option<&str>) -> Result<HaltNotice> {
    let Step { action, from, to, by, approval } = step;
    let at = unit.now;
    let number = unit.tx.insert_halt(stored(to), reason, by, at).await?;
    // Whoever asked for a release asked for that of another pull.
    unit.tx.void_pending(ApprovalSubject::Release, None, at).await?;
    let mut body = json!({"from": from.as_str(), "to": to.as_str(), "number": number, "reason": reason});
    if let (Some(approval), Some(body)) = (approval, body.as_object_mut()) {
        body.insert("approval".to_owned(), json!(approval));
    }
    let organism = unit.app.organism.to_string();
    unit.audit(actor.0.clone(), action, ("organism", organism), None, body);
    unit.tx.wake(Topic::Governance);
    unit.tx.wake(Topic::Ready);
    Ok(HaltNotice { level: to, number: u64::try_from(number).unwrap_or(0) })
}

fn check_reason(pointer: &str, reason: Option<&str>) -> Result<()> {
    if reason.is_some_and(|reason| reason.len() > MAX_REASON_BYTES) {
        return Err(Error::field(pointer, "too_long", format!("must be at most {MAX_REASON_BYTES} bytes")));
    }
    Ok(())
}

/// One change of the switch: decided on what holds when its unit has the row, committed, told.
async fn change(
    app: &App,
    caller: &Caller,
    action: &'static str,
    reason: Option<String>,
    decide: impl Fn(HaltLevel) -> Result<Option<HaltLevel>> + Send + Sync + 'static,
) -> Result<()> {
    let unit_app = app.clone();
    let by = caller.principal;
    let input = (Actor::from(caller), reason, decide);
    let (notice, after) = app
        .store
        .write_with("halt.change", input, move |tx, (actor, reason, decide)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let organism = unit.tx.lock_organism().await?;
                let now = organism.map_or(HaltLevel::None, |organism| level(organism.halt));
                let Some(wanted) = decide(now)? else { return Ok((None, unit.finish().await?)) };
                let step = Step { action, from: now, to: wanted, by, approval: None };
                let notice = write(&mut unit, actor, step, reason.as_deref()).await?;
                Ok::<_, Error>((Some(notice), unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    if let Some(notice) = notice
        && app.switch.learn(notice)
    {
        tracing::warn!(level = notice.level.as_str(), number = notice.number, "the kill switch has changed");
        spread(app);
    }
    Ok(())
}

/// An agent says that the level holds on its machine.
pub async fn acknowledged(app: &App, live: &Live, ack: HaltAck) -> Result<()> {
    let HaltAck { level, number, running } = ack;
    // What is answered without having been said is nobody's business.
    let Ok(numbered) = i64::try_from(number) else { return Ok(()) };
    if number == 0 || number > app.switch.get().number {
        return Ok(());
    }
    let row = HaltAckRow {
        agent: live.agent(),
        number: numbered,
        level: stored(level),
        running: i64::from(running),
        at: app.clock.now(),
    };
    app.store
        .write_with("halt.acknowledged", row, |tx, row| {
            Box::pin(async move { Ok::<_, Error>(tx.put_halt_ack(row).await?) })
        })
        .await?;
    let body = json!({"level": level.as_str(), "number": number, "running": running});
    agents::tell(app, "agent.halt_acknowledged", live.agent(), body);
    Ok(())
}

/// The switch and every agent under it.
pub async fn view(app: &App) -> Result<HaltView> {
    standing::view(app).await
}
