//! Demand classes by number, through the cache. A number made in a unit of work is remembered once that is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use nexusmon_core::schedule::{ClassId, DemandClass};

use super::unit::Unit;
use crate::app::App;
use crate::error::{Error, Result};

/// Numbers for keys, inside a unit of work.
pub(super) async fn intern(
    unit: &mut Unit<'_>,
    keys: &BTreeSet<String>,
) -> Result<BTreeMap<String, ClassId>> {
    let mut found = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for key in keys {
        match unit.app.classes.id(key) {
            Some(id) => drop(found.insert(key.clone(), id)),
            None => drop(missing.insert(key.clone())),
        }
    }
    if !missing.is_empty() {
        for row in unit.tx.intern_classes(&missing).await? {
            found.insert(row.key.clone(), ClassId(row.id.0));
            unit.after.learned.push(row);
        }
    }
    Ok(found)
}

/// Numbers for classes ahead of the unit that uses them; a unit of its own, which is rare: classes are few.
pub(super) async fn ensure(app: &App, keys: BTreeSet<String>) -> Result<BTreeMap<String, ClassId>> {
    let mut found = BTreeMap::new();
    let mut missing = BTreeSet::new();
    for key in keys {
        match app.classes.id(&key) {
            Some(id) => drop(found.insert(key, id)),
            None => drop(missing.insert(key)),
        }
    }
    if missing.is_empty() {
        return Ok(found);
    }
    let missing = Arc::new(missing);
    let rows = app
        .store
        .write("classes.intern", move |tx| {
            let missing = Arc::clone(&missing);
            Box::pin(async move { tx.intern_classes(&missing).await.map_err(Error::from) })
        })
        .await?;
    for row in rows {
        app.classes.learn(ClassId(row.id.0), &row.key);
        found.insert(row.key, ClassId(row.id.0));
    }
    Ok(found)
}

/// A class by number.
pub(super) async fn by_id(unit: &mut Unit<'_>, id: ClassId) -> Result<(ClassId, Arc<DemandClass>)> {
    if let Some(class) = unit.app.classes.class(id) {
        return Ok((id, class));
    }
    if let Some(row) = unit.after.learned.iter().find(|row| row.id.0 == id.0) {
        return Ok((id, Arc::new(serde_json::from_str(&row.key).map_err(Error::internal)?)));
    }
    let rows = unit.tx.classes_by_id(&[nexusmon_store::ClassId(id.0)]).await?;
    let row = rows.into_iter().next().ok_or_else(|| Error::internal(format!("no demand class {}", id.0)))?;
    // Committed long ago: it may be remembered at once.
    unit.app.classes.learn(id, &row.key);
    Ok((id, Arc::new(serde_json::from_str(&row.key).map_err(Error::internal)?)))
}
