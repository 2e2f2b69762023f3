//! Filters that people keep under a name: each their own, for a list of the console.

use std::collections::BTreeMap;

use nexusmon_shared::id::FilterId;
use nexusmon_shared::time::Timestamp;
use nexusmon_store::{FilterRow, FilteredList, Json, StoreError};
use serde_json::json;

use super::Caller;
use super::unit::{Actor, Unit};
use crate::app::App;
use crate::error::{Error, Result};

/// Of one person, over all lists.
const MOST: usize = 100;
/// Characters of a name.
const NAME: usize = 60;
/// Characters of a parameter.
const VALUE: usize = 500;

#[derive(Debug, Clone)]
pub struct FilterView {
    pub id: FilterId,
    /// `missions`, `audit`, `artifacts`.
    pub list: &'static str,
    pub name: String,
    /// By parameter of the list.
    pub query: BTreeMap<String, String>,
    pub created_at: Timestamp,
    pub version: u64,
}

#[derive(Debug, Clone)]
pub struct NewFilter {
    pub list: String,
    pub name: String,
    pub query: BTreeMap<String, String>,
}

/// What may stand in the address of a list.
const fn parameters(list: FilteredList) -> &'static [&'static str] {
    match list {
        FilteredList::Missions => &["status", "rank", "label", "q", "since"],
        FilteredList::Audit => &["action", "actor", "subject", "mission", "since"],
        FilteredList::Artifacts => &["kind", "mission", "name", "q", "status"],
    }
}

impl From<FilterRow> for FilterView {
    fn from(row: FilterRow) -> Self {
        let FilterRow { id, principal: _, list, name, query, created_at, version } = row;
        let version = u64::try_from(version).unwrap_or(0);
        Self { id, list: list.as_str(), name, query: query.0, created_at, version }
    }
}

fn named(name: &str) -> Result<String> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME || name.chars().any(char::is_control) {
        let message = format!("must be 1 to {NAME} characters of plain text");
        return Err(Error::field("/name", "invalid_value", message));
    }
    Ok(name.to_owned())
}

fn checked(list: FilteredList, query: BTreeMap<String, String>) -> Result<BTreeMap<String, String>> {
    if query.is_empty() {
        let message = format!("filters nothing: give at least one of {}", parameters(list).join(", "));
        return Err(Error::field("/query", "required", message));
    }
    for (name, value) in &query {
        // The name is bounded before it becomes part of an answer.
        let shown: String = name.chars().take(40).collect();
        if !parameters(list).contains(&name.as_str()) {
            let known = parameters(list).join(", ");
            let message = format!("`{shown}` is no parameter of this list; it has {known}");
            return Err(Error::field("/query", "unknown_parameter", message));
        }
        if value.is_empty() || value.chars().count() > VALUE || value.chars().any(char::is_control) {
            let message =
                format!("must be 1 to {VALUE} characters of plain text; leave out what filters nothing");
            return Err(Error::field(format!("/query/{shown}"), "invalid_value", message));
        }
    }
    Ok(query)
}

fn taken(error: StoreError) -> Error {
    match error {
        StoreError::Unique { .. } => {
            Error::conflict("name_taken", "you have a filter of that name for this list; change that one")
        }
        other => other.into(),
    }
}

/// The caller's, by list and name.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<FilterView>> {
    let rows = app.store.read().await?.filters_of(caller.principal).await?;
    Ok(rows.into_iter().map(Into::into).collect())
}

pub async fn create(app: &App, caller: &Caller, new: NewFilter) -> Result<FilterView> {
    let list = FilteredList::parse(&new.list)
        .ok_or_else(|| Error::field("/list", "unknown_value", "must be one of missions, audit, artifacts"))?;
    let now = app.clock.now();
    let row = FilterRow {
        id: app.rng.with(|rng| FilterId::new(now, rng)),
        principal: caller.principal,
        list,
        name: named(&new.name)?,
        query: Json(checked(list, new.query)?),
        created_at: now,
        version: 1,
    };
    let unit_app = app.clone();
    let (row, after) = app
        .store
        .write_with("filters.create", (row, Actor::from(caller)), move |tx, (row, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                if unit.tx.filters_of(row.principal).await?.len() >= MOST {
                    let detail = format!("you keep {MOST} filters; remove one first");
                    return Err(Error::conflict("too_many_filters", detail));
                }
                unit.tx.insert_filter(row).await.map_err(taken)?;
                note(&mut unit, actor, "filter.saved", row);
                Ok((row.clone(), unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(row.into())
}

/// What is filtered for is the person's own business: only which list is written down.
fn note(unit: &mut Unit<'_>, actor: &Actor, action: &'static str, row: &FilterRow) {
    let body = json!({"filter": row.id, "list": row.list.as_str()});
    unit.audit(actor.0.clone(), action, ("principal", row.principal.to_string()), None, body);
}

/// Another name, another query, or both.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: FilterId,
    name: Option<String>,
    query: Option<BTreeMap<String, String>>,
    if_match: Option<u64>,
) -> Result<FilterView> {
    let name = name.as_deref().map(named).transpose()?;
    let (principal, unit_app) = (caller.principal, app.clone());
    let (row, after) = app
        .store
        .write_with("filters.change", (name, query, Actor::from(caller)), move |tx, (name, query, actor)| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mine = unit.tx.filters_of(principal).await?;
                let found = mine.into_iter().find(|row| row.id == id);
                let mut row = found.ok_or_else(|| Error::not_found("filter", id))?;
                let current = u64::try_from(row.version).unwrap_or(0);
                if if_match.is_some_and(|wanted| wanted != current) {
                    return Err(Error::PreconditionFailed { current: current.to_string() });
                }
                if let Some(name) = name {
                    row.name.clone_from(name);
                }
                if let Some(query) = query {
                    row.query = Json(checked(row.list, query.clone())?);
                }
                row.version += 1;
                if !unit.tx.update_filter(&row).await.map_err(taken)? {
                    return Err(Error::not_found("filter", id));
                }
                note(&mut unit, actor, "filter.saved", &row);
                Ok((row, unit.finish().await?))
            })
        })
        .await?;
    after.run(app);
    Ok(row.into())
}

pub async fn remove(app: &App, caller: &Caller, id: FilterId) -> Result<()> {
    let (principal, unit_app) = (caller.principal, app.clone());
    let after = app
        .store
        .write_with("filters.remove", Actor::from(caller), move |tx, actor| {
            let app = unit_app.clone();
            Box::pin(async move {
                let mut unit = Unit::new(&app, tx);
                let mine = unit.tx.filters_of(principal).await?;
                let row = mine.into_iter().find(|row| row.id == id);
                let row = row.ok_or_else(|| Error::not_found("filter", id))?;
                unit.tx.delete_filter(principal, id).await?;
                note(&mut unit, actor, "filter.removed", &row);
                unit.finish().await
            })
        })
        .await?;
    after.run(app);
    Ok(())
}
