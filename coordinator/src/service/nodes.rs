//! Several coordinators on one database: what the others did is noticed here, and what is meant for an agent of
//! another one is left for it.
//!
//! Wake-ups make it prompt, a look every second makes it certain. Alone on a SQLite file nothing of this runs.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::message::{CoordinatorMessage, GoodbyeCode, SUSPECT_AFTER};
use nexusmon_store::{AgentState, NoticeKind, NoticeRow, Topic, Tx};
use tokio::sync::watch;

use super::unit::After;
use super::{agents, authorities, dispatch, evolution, flags, halt, policies, secrets, standing};
use crate::app::App;
use crate::error::{Error, Result};

/// What a lost wake-up costs at most.
const LOOK: Duration = Duration::from_secs(1);
/// Between two readings of the same thing, however many wake-ups come.
const GATHER: Duration = Duration::from_millis(20);
/// The whole fleet is read anew for other nodes' changes at most this often, and never for more than a tenth of the
/// time.
const FLEET_PAUSE: Duration = Duration::from_millis(250);
/// ... and at least this often, whoever forgot to say so.
const FLEET_LOOK: Duration = Duration::from_secs(5);

/// Sessions of agents revoked longer ago have been cut long ago.
const REVOKED_LATELY: Duration = Duration::from_hours(24);

/// Follows the other coordinators until shutdown; the process runs it once.
pub async fn follow(app: App) -> Result<()> {
    if app.store.is_single_node() {
        return Ok(());
    }
    let soft = app.lifecycle.soft();
    let mut heard = Heard::new(&app);
    let mut fleet = FleetWatch { wanted: true, next: Duration::ZERO, read: Duration::ZERO };
    loop {
        if let Err(error) = look(&app, &mut heard, &mut fleet).await {
            let error = chain(&error);
            tracing::warn!(error, "what other coordinators did could not be read; trying again");
        }
        let pause = if fleet.wanted { fleet.next.saturating_sub(app.clock.boot()).max(GATHER) } else { LOOK };
        tokio::select! {
            () = soft.cancelled() => return Ok(()),
            () = heard.anything() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(pause.min(LOOK)) => heard.all(),
        }
    }
}

/// Wake-ups of other nodes, by what they ask for.
struct Heard {
    ready: watch::Receiver<u64>,
    fleet: watch::Receiver<u64>,
    missions: watch::Receiver<u64>,
    notices: watch::Receiver<u64>,
    governance: watch::Receiver<u64>,
    /// Standing approvals whose end agents here have heard of.
    revoked: BTreeSet<Digest>,
}

impl Heard {
    fn new(app: &App) -> Self {
        let mut heard = Self {
            ready: app.store.heard(Topic::Ready),
            fleet: app.store.heard(Topic::Fleet),
            missions: app.store.heard(Topic::Missions),
            notices: app.store.heard(Topic::Notices),
            governance: app.store.heard(Topic::Governance),
            revoked: BTreeSet::new(),
        };
        heard.all();
        heard
    }

    async fn anything(&mut self) {
        // The sender lives as long as the store, which `app` holds.
        let _ = tokio::select! {
            heard = self.ready.changed() => heard.map(|()| self.ready.mark_changed()),
            heard = self.fleet.changed() => heard.map(|()| self.fleet.mark_changed()),
            heard = self.missions.changed() => heard.map(|()| self.missions.mark_changed()),
            heard = self.notices.changed() => heard.map(|()| self.notices.mark_changed()),
            heard = self.governance.changed() => heard.map(|()| self.governance.mark_changed()),
        };
    }

    /// Looks at everything, as polling behind lost wake-ups.
    fn all(&mut self) {
        self.notices.mark_changed();
        self.ready.mark_changed();
        self.governance.mark_changed();
    }
}

fn taken(receiver: &mut watch::Receiver<u64>) -> bool {
    let changed = receiver.has_changed().unwrap_or(false);
    receiver.mark_unchanged();
    changed
}

/// When the fleet is to be read again, on the boot clock.
struct FleetWatch {
    wanted: bool,
    next: Duration,
    read: Duration,
}

async fn look(app: &App, heard: &mut Heard, fleet: &mut FleetWatch) -> Result<()> {
    if taken(&mut heard.governance) {
        halt::load(app).await?;
        flags::load(app).await?;
        policies::load(app).await?;
        secrets::load(app).await?;
        authorities::refresh(app).await?;
        standing::follow_revoked(app, &mut heard.revoked).await?;
    }
    if taken(&mut heard.ready) {
        dispatch::refresh(app).await?;
        dispatch::wake(app);
    }
    if taken(&mut heard.notices) {
        deliver(app).await?;
    }
    if taken(&mut heard.missions) {
        // Missions may have ended elsewhere; whoever is on duty judges them.
        evolution::judge_soon(app);
    }
    if taken(&mut heard.fleet) {
        fleet.wanted = true;
        super::roster::refresh(app).await?;
        shut_out(app).await?;
    }
    let begun = app.clock.boot();
    if (fleet.wanted && begun >= fleet.next) || begun.saturating_sub(fleet.read) >= FLEET_LOOK {
        fleet.wanted = false;
        read_fleet(app).await?;
        fleet.read = app.clock.boot();
        let took = fleet.read.saturating_sub(begun);
        fleet.next = fleet.read + FLEET_PAUSE.max(took * 10);
    } else if begun >= fleet.next {
        see_elsewhere(app).await?;
    }
    Ok(())
}

/// Agents that another node put out lose their session here at once.
async fn shut_out(app: &App) -> Result<()> {
    let out = app.store.read().await?.agents_shut_out(app.clock.now() - REVOKED_LATELY).await?;
    let known = app.fleet.get();
    if out.iter().any(|(agent, _)| known.admitted.contains(agent)) {
        agents::refresh_fleet(app).await?;
    }
    for (agent, state) in out {
        let (code, why) = match state {
            AgentState::Quarantined => (GoodbyeCode::Quarantined, "an operator quarantined this agent"),
            _ => (GoodbyeCode::Revoked, "an operator revoked this agent"),
        };
        app.sessions.cut(agent, code, why);
    }
    Ok(())
}

/// Reads the fleet anew and brings the sessions of this node in line with it.
async fn read_fleet(app: &App) -> Result<()> {
    shut_out(app).await?;
    agents::refresh_fleet(app).await?;
    // Tags are given by every node: one that grants nothing must not lag behind and let its missions jump the queue.
    if let Some(tag) = app.store.read().await?.least_ready_tag().await? {
        app.advance_virtual_time(u64::try_from(tag).unwrap_or(0));
    }
    let live = app.sessions.all();
    let ids: Vec<_> = live.iter().map(|live| live.agent).collect();
    let mut read = app.store.read().await?;
    let sessions: HashMap<_, _> =
        read.sessions_of(&ids).await?.into_iter().map(|row| (row.agent, row.session)).collect();
    let rows: HashMap<_, _> = read.agents_by_id(&ids).await?.into_iter().map(|row| (row.id, row)).collect();
    drop(read);
    let mut changed = false;
    for live in live {
        if sessions.get(&live.agent).is_some_and(|newest| *newest > live.session) {
            live.cut(GoodbyeCode::Superseded, "the same agent has opened a newer session");
            continue;
        }
        let Some(row) = rows.get(&live.agent) else { continue };
        let fresh = agents::profile_of(row);
        let known = live.profile();
        if fresh.version <= known.version {
            continue;
        }
        changed = true;
        if fresh.closed != known.closed {
            live.offer(CoordinatorMessage::Drain { on: fresh.closed });
            if fresh.closed {
                live.offer(CoordinatorMessage::Recall(Vec::new()));
            }
        }
        app.barred.clear(live.agent);
        live.change_profile(|place| {
            if place.version < fresh.version {
                *place = fresh;
            }
        });
        flags::tell(app, &live);
    }
    if changed {
        dispatch::wake(app);
    }
    see_elsewhere(app).await
}

async fn see_elsewhere(app: &App) -> Result<()> {
    let after = app.clock.now() - SUSPECT_AFTER;
    let rows = app.store.read().await?.sessions_elsewhere(&app.config.node, after).await?;
    app.elsewhere.set(rows.into_iter().map(|row| (row.agent, row.renewed_at)).collect());
    Ok(())
}

/// Sends on what other nodes left for agents of this one.
async fn deliver(app: &App) -> Result<()> {
    let node = app.config.node.clone();
    if !app.store.read().await?.has_notices(&node).await? {
        return Ok(());
    }
    let notices = app
        .store
        .write_with("nodes.deliver", node, |tx, node| {
            Box::pin(async move { Ok::<_, Error>(tx.take_notices(node).await?) })
        })
        .await?;
    let mut after = After::default();
    let mut at_once = After { at_once: true, ..After::default() };
    for notice in notices {
        let place = match notice.kind {
            NoticeKind::Cancel => &mut after.cancel,
            NoticeKind::Kill => &mut at_once.cancel,
            NoticeKind::Recall => &mut after.recall,
        };
        place.push((notice.agent, notice.attempt()));
    }
    after.run(app);
    at_once.run(app);
    Ok(())
}

/// Leaves for other nodes what agents without a current session here are to be told; part of the unit that decided it.
///
/// A Hello that comes at the same time waits for this unit's tasks, and then sees by itself what was decided.
pub(super) async fn leave(
    app: &App,
    tx: &mut Tx,
    (how, cancel): (NoticeKind, &[(AgentId, AttemptRef)]),
    recall: &[(AgentId, AttemptRef)],
) -> Result<()> {
    if app.store.is_single_node() || (cancel.is_empty() && recall.is_empty()) {
        return Ok(());
    }
    let ids: BTreeSet<_> = cancel.iter().chain(recall).map(|(agent, _)| *agent).collect();
    let ids: Vec<_> = ids.into_iter().collect();
    let here: BTreeSet<_> = tx
        .sessions_of(&ids)
        .await?
        .into_iter()
        .filter(|row| app.sessions.get(row.agent).is_some_and(|live| live.session == row.session))
        .map(|row| row.agent)
        .collect();
    let now = tx.now();
    let rows: Vec<_> = [(how, cancel), (NoticeKind::Recall, recall)]
        .into_iter()
        .flat_map(|(kind, attempts)| attempts.iter().map(move |one| (kind, *one)))
        .filter(|(_, (agent, _))| !here.contains(agent))
        .map(|(kind, (agent, attempt))| NoticeRow::new(agent, kind, attempt, now))
        .collect();
    if !rows.is_empty() {
        tx.leave_notices(&rows).await?;
        tx.wake(Topic::Notices);
    }
    Ok(())
}
