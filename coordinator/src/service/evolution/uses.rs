//! Uses of traits: asked for and written down where the system acts, judged by what came of them. A trait that fails too
//! often is suspended, and what it began is held in the same unit.

use nexusmon_core::evolution::{Came, Entry, REJECTED_WITHIN, Trait, USES, Use as Past, came_of, suspension};
use nexusmon_core::mission::MissionCommand;
use nexusmon_shared::id::MissionId;
use nexusmon_shared::mission::{MissionFailure, MissionState, MissionStatus};
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{Connection, EndedUse, NewTraitUse, Topic, UseDecision, UseOutcome};
use serde_json::{Value, json};

use super::super::transition;
use super::super::unit::{Actor, SYSTEM, Unit};
use super::{may, organism, traits};
use crate::app::App;
use crate::error::Result;

/// Uses judged in one unit.
const BATCH: u32 = 500;

/// What a trait is used for.
#[derive(Debug, Clone)]
pub(in crate::service) struct Use {
    kind: &'static str,
    subject: String,
    mission: Option<MissionId>,
    queued: bool,
}

impl Use {
    /// The mission is the system's own doing: its end and its review speak for the trait, and it is held when the trait
    /// is taken away.
    pub(in crate::service) fn start(mission: MissionId) -> Self {
        Self { kind: "mission", subject: mission.to_string(), mission: Some(mission), queued: true }
    }

    /// It helped with a mission that somebody wanted: its end speaks for the trait, and it is not held.
    pub(in crate::service) fn help(mission: MissionId) -> Self {
        Self { queued: false, ..Self::start(mission) }
    }
}

/// Whether the system may use a trait now; if so it does, and that is written down in the unit that acts. Every act of
/// the system's own accord comes through here, or through [`may`] where it only reads.
pub(in crate::service) async fn used(unit: &mut Unit<'_>, wanted: Trait, what: Use) -> Result<bool> {
    if !may(unit.app, unit.tx, wanted, unit.now).await? {
        return Ok(false);
    }
    let Use { kind, subject, mission, queued } = what;
    let row = NewTraitUse {
        name: wanted.name().to_owned(),
        subject_kind: kind.to_owned(),
        subject: subject.clone(),
        mission,
        queued,
        at: unit.now,
    };
    if unit.tx.insert_trait_use(row).await? {
        let body = json!({"subject_kind": kind, "subject": subject});
        unit.audit(SYSTEM, "trait.used", ("trait", wanted.name().to_owned()), mission, body);
    }
    Ok(true)
}

/// Judges uses whose missions are over, and holds what has lost its trait meanwhile (a grant ended); an idempotent
/// activation.
pub async fn watch(app: &App) -> Result<()> {
    loop {
        let ended = app.store.read().await?.ended_uses(BATCH).await?;
        if ended.is_empty() {
            break;
        }
        in_unit(app, "judging uses of traits", ended).await?;
    }
    let mut read = app.store.read().await?;
    if read.queued_traits().await?.is_empty() {
        return Ok(());
    }
    if lost(app, &mut read, app.clock.now()).await?.is_empty() {
        return Ok(());
    }
    drop(read);
    in_unit(app, "holding what has lost its trait", Vec::new()).await
}

async fn in_unit(app: &App, name: &'static str, ended: Vec<EndedUse>) -> Result<()> {
    let unit_app = app.clone();
    let after = app
        .store
        .write_with(name, ended, move |tx, ended| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                decide(&mut unit, ended).await?;
                hold_lost(&mut unit).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

async fn decide(unit: &mut Unit<'_>, ended: &[EndedUse]) -> Result<()> {
    let mut decisions = Vec::new();
    for one in ended {
        let outcome = match came_of(&one.state) {
            None => continue,
            Some(Came::Succeeded) => UseOutcome::Succeeded,
            Some(Came::Failed) => UseOutcome::Failed,
            Some(Came::Void) => UseOutcome::Void,
        };
        let cause = match &*one.state {
            MissionState::Failed { cause: MissionFailure::Task { cause, .. } } => {
                Some(cause.kind().to_owned())
            }
            MissionState::Failed { .. } => Some("budget".to_owned()),
            _ => None,
        };
        decisions.push(UseDecision { number: one.number, outcome, cause, decided_at: unit.now });
    }
    unit.tx.decide_uses(&decisions).await?;
    let failed = |one: &&EndedUse| came_of(&one.state) == Some(Came::Failed);
    let names: std::collections::BTreeSet<&str> =
        ended.iter().filter(failed).map(|one| one.name.as_str()).collect();
    for wanted in names.into_iter().filter_map(Trait::parse) {
        weigh(unit, wanted).await?;
    }
    Ok(())
}

/// A person rejected the work of a mission: it speaks against the traits that mission is owed to.
pub(in crate::service) async fn rejected(unit: &mut Unit<'_>, mission: MissionId) -> Result<()> {
    let names = unit.tx.traits_of(mission).await?;
    if !names.is_empty() {
        unit.tx.reject_uses(mission, unit.now).await?;
        for wanted in names.iter().filter_map(|name| Trait::parse(name)) {
            weigh(unit, wanted).await?;
        }
    }
    // The experience that went back may have been what a stage stood on.
    hold_lost(unit).await
}

/// Suspends a trait where its last uses speak against it.
async fn weigh(unit: &mut Unit<'_>, wanted: Trait) -> Result<()> {
    // Of two that weigh at once, the second sees what the first decided.
    unit.tx.lock_organism().await?;
    if !may(unit.app, unit.tx, wanted, unit.now).await? {
        return Ok(());
    }
    let name = wanted.name();
    let since = unit.tx.last_suspension(name).await?.unwrap_or(Timestamp::from_micros(0));
    let past: Vec<Past> = recent(unit.tx, name, since).await?;
    let rejected = unit.tx.rejected_uses(name, since, unit.now - REJECTED_WITHIN).await?;
    match suspension(&past, &rejected) {
        Some(evidence) => suspend(unit, wanted, evidence).await,
        None => Ok(()),
    }
}

async fn recent(read: &mut Connection, name: &str, since: Timestamp) -> Result<Vec<Past>> {
    let rows = read.decided_uses(name, since, u32::try_from(USES).unwrap_or(u32::MAX)).await?;
    let past = rows.into_iter().map(|row| Past {
        came: match row.outcome {
            Some(UseOutcome::Succeeded) => Came::Succeeded,
            Some(UseOutcome::Failed) => Came::Failed,
            Some(UseOutcome::Void) | None => Came::Void,
        },
        subject: row.subject,
        cause: row.cause,
    });
    Ok(past.collect())
}

/// How the last uses of a trait came out, for people.
pub(super) async fn tally(read: &mut Connection, wanted: Trait) -> Result<Option<Value>> {
    let past = recent(read, wanted.name(), Timestamp::from_micros(0)).await?;
    if past.is_empty() {
        return Ok(None);
    }
    let count = |came| past.iter().filter(|one| one.came == came).count();
    Ok(Some(json!({
        "looked_at": past.len(), "succeeded": count(Came::Succeeded),
        "failed": count(Came::Failed), "void": count(Came::Void),
    })))
}

/// Takes a trait away until a week has passed and enough was earned since, and holds what it began.
pub(in crate::service) async fn suspend(unit: &mut Unit<'_>, wanted: Trait, evidence: String) -> Result<()> {
    let body = json!({"evidence": evidence});
    traits::append(unit, "suspended", wanted, &Entry::Suspended { r#trait: wanted, evidence }).await?;
    unit.audit(SYSTEM, "trait.suspended", ("trait", wanted.name().to_owned()), None, body);
    unit.tx.wake(Topic::Governance);
    hold_lost(unit).await
}

/// Traits with work queued that may not be used.
async fn lost(app: &App, read: &mut Connection, now: Timestamp) -> Result<Vec<Trait>> {
    let names = read.queued_traits().await?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let organism = organism(app, read, now).await?;
    Ok(names.iter().filter_map(|name| Trait::parse(name)).filter(|held| !organism.may(*held)).collect())
}

/// Holds the missions that go on by a trait the system has no longer: what runs may finish, nothing else starts until a
/// person says so.
pub(in crate::service) async fn hold_lost(unit: &mut Unit<'_>) -> Result<()> {
    for wanted in lost(unit.app, unit.tx, unit.now).await? {
        let missions = unit.tx.queued_uses(wanted.name()).await?;
        // One that is not there yet is made in this very unit: it is held at the next look.
        let held: Vec<MissionId> = unit.tx.lock_missions(&missions).await?.iter().map(|row| row.id).collect();
        for id in &held {
            // Read again: what held one before may have held this one along with it.
            let Some(mut row) = unit.tx.lock_mission(*id).await? else { continue };
            // Whatever else it may be waits for people already.
            if !matches!(row.status, MissionStatus::Running | MissionStatus::Ready) {
                continue;
            }
            let text = format!("{} is not the system's to use any more", wanted.name());
            let why = json!({"reason": "trait", "trait": wanted.name(), "text": text});
            let command = MissionCommand::Pause { by: unit.app.system };
            transition::apply(unit, &Actor::system(), &mut row, command, "mission.paused", why).await?;
        }
        unit.tx.hold_uses(wanted.name(), &held, unit.now).await?;
    }
    Ok(())
}
