//! Playbooks: missions with their inputs left open, kept in versions; and what a mission is made of.

use std::sync::Arc;

pub use nexusmon_core::planning::PlaybookRef;
use nexusmon_core::planning::{MissionDraft, Playbook, complete_inputs, fill, parse_playbook};
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MissionId, PrincipalId, StandingId};
use nexusmon_shared::name::Name;
use nexusmon_shared::plan::Budget;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::time::Timestamp;
use nexusmon_shared::trust::canonical;
use nexusmon_store::{Follows, MissionInputsRow, PlaybookRow, PrincipalKind, StoreError, Topic};
use serde_json::{Map, Value, json};

use super::missions::{Judged, no_nul};
use super::unit::{Actor, Unit};
use super::{Caller, Page, PageRequest};
use crate::app::App;
use crate::error::{Error, Result};

/// A body as it is kept.
pub const MAX_PLAYBOOK_BYTES: usize = 1024 * 1024;

/// A playbook as people see it.
#[derive(Debug, Clone)]
pub struct PlaybookView {
    pub name: Name,
    pub version: i64,
    pub digest: Digest,
    /// As it was written.
    pub body: Value,
    pub created_by: PrincipalId,
    pub created_at: Timestamp,
    /// No mission is made from it any more.
    pub retired_at: Option<Timestamp>,
}

fn view(row: PlaybookRow) -> Result<PlaybookView> {
    let PlaybookRow { name, version, digest, body, created_by, created_at, retired_at } = row;
    let body = serde_json::from_str(&body).map_err(Error::internal)?;
    Ok(PlaybookView { name, version, digest, body, created_by, created_at, retired_at })
}

/// By name: the newest version of each.
pub async fn list(app: &App, page: PageRequest) -> Result<Page<PlaybookView>> {
    let found = app.store.read().await?.playbook_list(&page.store()?).await?;
    let items = found.items.into_iter().map(view).collect::<Result<_>>()?;
    Ok(Page { items, next_cursor: found.next_cursor })
}

/// A version, or the newest one that may be used.
pub async fn get(app: &App, name: &Name, version: Option<u32>) -> Result<PlaybookView> {
    let row = app.store.read().await?.playbook(name, version.map(i64::from)).await?;
    view(row.ok_or_else(|| Error::not_found("playbook", name))?)
}

/// Every version, newest first.
pub async fn versions(app: &App, name: &Name) -> Result<Vec<PlaybookView>> {
    let rows = app.store.read().await?.playbook_versions(name).await?;
    if rows.is_empty() {
        return Err(Error::not_found("playbook", name));
    }
    rows.into_iter().map(view).collect()
}

/// Keeps the first version of a playbook.
pub async fn create(app: &App, caller: &Caller, body: Value) -> Result<PlaybookView> {
    put(app, caller, None, body, None).await
}

/// Keeps another version. `if_match` guards against one in between.
pub async fn change(
    app: &App,
    caller: &Caller,
    name: &Name,
    mut body: Value,
    if_match: Option<u64>,
) -> Result<PlaybookView> {
    if let Some(fields) = body.as_object_mut() {
        match fields.get("name") {
            Some(Value::String(given)) if given != name.as_str() => {
                let message = "a playbook keeps its name; make another one";
                return Err(Error::field("/name", "unexpected", message));
            }
            Some(_) => {}
            None => drop(fields.insert("name".to_owned(), json!(name))),
        }
    }
    put(app, caller, Some(name), body, if_match).await
}

async fn put(
    app: &App,
    caller: &Caller,
    known: Option<&Name>,
    body: Value,
    if_match: Option<u64>,
) -> Result<PlaybookView> {
    let row = read(app, caller, &body)?;
    let name = row.name.clone();
    let unit_app = app.clone();
    let (first, bounded) = (known.is_none(), caller.rank_ceiling.is_some());
    let input = (row, Actor::from(caller));
    let after = app
        .store
        .write_with("playbooks.put", input, move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                unit.tx.lock_organism().await?;
                let newest = unit.tx.playbook_versions(&row.name).await?.into_iter().next();
                check(newest.as_ref(), row, first, if_match)?;
                own(newest.as_ref(), row.created_by, bounded)?;
                add(&mut unit, actor, row, newest.as_ref()).await?;
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    get(app, &name, None).await
}

/// A playbook's row, read and checked as far as that goes without those there are.
pub(super) fn read(app: &App, caller: &Caller, body: &Value) -> Result<PlaybookRow> {
    let playbook = parse_playbook(body)?;
    let text = body.to_string();
    if text.len() > MAX_PLAYBOOK_BYTES {
        return Err(Error::TooLarge { what: "the playbook", limit: MAX_PLAYBOOK_BYTES as u64 });
    }
    no_nul(&text.replace("\\u0000", "\0"), "")?;
    let digest =
        canonical::digest(body).map_err(|error| Error::field("", "not_canonical", error.to_string()))?;
    Ok(PlaybookRow {
        name: playbook.name,
        version: 0,
        digest,
        body: text,
        created_by: caller.principal,
        created_at: app.clock.now(),
        retired_at: None,
    })
}

/// Keeps the first version of a playbook, in a unit that holds the organism; gives its number.
pub(super) async fn begin(unit: &mut Unit<'_>, actor: &Actor, row: &PlaybookRow) -> Result<i64> {
    let newest = unit.tx.playbook_versions(&row.name).await?.into_iter().next();
    check(newest.as_ref(), row, true, None)?;
    add(unit, actor, row, None).await
}

async fn add(
    unit: &mut Unit<'_>,
    actor: &Actor,
    row: &PlaybookRow,
    newest: Option<&PlaybookRow>,
) -> Result<i64> {
    let mut row = row.clone();
    row.version = newest.map_or(1, |newest| newest.version + 1);
    row.created_at = unit.now;
    unit.tx.insert_playbook(&row).await.map_err(|error| match error {
        StoreError::Unique { .. } => Error::conflict("changed", "it was changed meanwhile: try again"),
        other => other.into(),
    })?;
    let body = json!({"version": row.version, "digest": row.digest});
    unit.audit(actor.0.clone(), "playbook.changed", ("playbook", row.name.to_string()), None, body);
    unit.tx.wake(Topic::Missions);
    Ok(row.version)
}

fn check(newest: Option<&PlaybookRow>, row: &PlaybookRow, first: bool, if_match: Option<u64>) -> Result<()> {
    match newest {
        Some(newest) if first => {
            let detail = format!(
                "there is a playbook `{}` in version {} already: PUT makes another version",
                row.name, newest.version
            );
            Err(Error::conflict("exists", detail))
        }
        None if !first => Err(Error::not_found("playbook", &row.name)),
        Some(newest) if if_match.is_some_and(|wanted| i64::try_from(wanted) != Ok(newest.version)) => {
            Err(Error::PreconditionFailed { current: newest.version.to_string() })
        }
        Some(newest) if newest.digest == row.digest && newest.retired_at.is_none() => {
            Err(Error::conflict("unchanged", "this is what the newest version says already"))
        }
        _ => Ok(()),
    }
}

/// Whoever names a playbook without a version gets the newest, under rights of their own: who may do less than they
/// puts nothing in its place.
fn own(newest: Option<&PlaybookRow>, caller: PrincipalId, bounded: bool) -> Result<()> {
    match newest {
        Some(newest) if bounded && newest.created_by != caller => {
            let detail = format!(
                "a token changes only what it wrote itself, and version {} of `{}` is somebody else's",
                newest.version, newest.name
            );
            Err(Error::Forbidden { code: "not_the_writer", detail })
        }
        _ => Ok(()),
    }
}

/// No mission is made from it any more; its versions stay readable, and another version revives it.
pub async fn retire(app: &App, caller: &Caller, name: &Name) -> Result<()> {
    let unit_app = app.clone();
    let input = (name.clone(), Actor::from(caller), caller.principal, caller.rank_ceiling.is_some());
    let after = app
        .store
        .write_with("playbooks.retire", input, move |tx, (name, actor, by, bounded)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let now = unit.now;
                unit.tx.lock_organism().await?;
                let newest = unit.tx.playbook_versions(name).await?.into_iter().next();
                own(newest.as_ref(), *by, *bounded)?;
                if !unit.tx.retire_playbook(name, now).await? {
                    return Err(Error::not_found("playbook", &*name));
                }
                unit.audit(
                    actor.0.clone(),
                    "playbook.retired",
                    ("playbook", name.to_string()),
                    None,
                    json!({}),
                );
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}

/// A version that may be used, read.
pub(super) async fn usable(app: &App, wanted: &PlaybookRef) -> Result<(PlaybookRow, Playbook)> {
    let row = app.store.read().await?.playbook(&wanted.name, wanted.version.map(i64::from)).await?;
    let row = row.ok_or_else(|| {
        let message = match wanted.version {
            Some(version) => format!("there is no playbook `{}` in version {version}", wanted.name),
            None => format!("there is no playbook `{}`", wanted.name),
        };
        Error::field("/playbook", "unknown_playbook", message)
    })?;
    if row.retired_at.is_some() {
        let message = format!("version {} of playbook `{}` is retired", row.version, row.name);
        return Err(Error::field("/playbook", "retired", message));
    }
    let body: Value = serde_json::from_str(&row.body).map_err(Error::internal)?;
    let playbook = parse_playbook(&body)?;
    Ok((row, playbook))
}

/// The playbook of a mission, and what was put in.
#[derive(Debug)]
pub(in crate::service) struct MadeOf {
    pub name: Name,
    pub version: i64,
    /// Of whoever wrote this version: what it says is done under the lower of theirs and the caller's.
    pub ceiling: Option<Rank>,
    /// Who wrote it, where that is a person.
    pub writer: Option<PrincipalId>,
    /// The system wrote it, unasked.
    pub evolved: bool,
    pub inputs: Map<String, Value>,
    pub inputs_digest: Digest,
    /// With its inputs open.
    pub open: MissionDraft,
    /// It says what follows.
    pub follows: bool,
}

impl MadeOf {
    /// As plan headers name it.
    pub(in crate::service) fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    pub(in crate::service) fn row(
        &self,
        mission: MissionId,
        judged: &Judged,
        standing: Option<StandingId>,
    ) -> Result<MissionInputsRow> {
        Ok(MissionInputsRow {
            mission,
            playbook: self.name.clone(),
            version: self.version,
            inputs: canonical::of(&self.inputs).map_err(Error::internal)?,
            inputs_digest: self.inputs_digest,
            shape: judged.shape,
            leaves: canonical::of(&judged.open).map_err(Error::internal)?,
            standing,
            follows: self.follows.then_some(Follows::Open),
        })
    }
}

/// A mission's draft with the playbook it names, if it names one, put in its place.
pub(in crate::service) async fn resolve(
    app: &App,
    draft: Arc<MissionDraft>,
) -> Result<(Arc<MissionDraft>, Option<Arc<MadeOf>>)> {
    let Some(wanted) = &draft.playbook else { return Ok((draft, None)) };
    let (row, playbook) = usable(app, wanted).await?;
    let inputs = complete_inputs(&playbook.input_schema, &draft.inputs)?;
    let (goal, tasks) = fill(&playbook.mission, &inputs)?;
    let open = playbook.mission;
    let given = (*draft).clone();
    let mut labels = open.labels.clone();
    labels.extend(given.labels);
    let mut metadata = open.metadata.clone();
    metadata.extend(given.metadata);
    let made = MissionDraft {
        // Without a goal of its own it is named after the playbook.
        goal: if given.goal == wanted.name.as_str() { goal } else { given.goal },
        tasks: Some(tasks),
        rank: given.rank.max(open.rank),
        start: given.start,
        priority: if given.priority == 0 { open.priority } else { given.priority },
        budget: if given.budget == Budget::default() { open.budget } else { given.budget },
        labels,
        metadata,
        playbook: None,
        inputs: Map::new(),
    };
    let inputs_digest = canonical::digest(&inputs)
        .map_err(|error| Error::field("/inputs", "not_canonical", error.to_string()))?;
    let follows = !playbook.then.is_empty();
    let writer = app.store.read().await?.principal(row.created_by).await?;
    let ceiling = writer.as_ref().and_then(|writer| writer.rank_ceiling);
    let writer = writer.filter(|writer| writer.kind == PrincipalKind::Person).map(|writer| writer.id);
    let evolved = row.created_by == app.system;
    let PlaybookRow { name, version, .. } = row;
    let made_of = MadeOf { name, version, ceiling, writer, evolved, inputs, inputs_digest, open, follows };
    Ok((Arc::new(made), Some(Arc::new(made_of))))
}
