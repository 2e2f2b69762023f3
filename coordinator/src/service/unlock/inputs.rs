//! Which bytes a task will be given: its `inputs`, resolved to digests once they exist.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::id::TaskId;
use nexusmon_shared::message::OrderInput;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::Input;
use nexusmon_store::{VersionRow, VersionStatus};

use super::Judged;
use super::decide::Outcome;
use crate::error::{Error, Result};
use crate::service::unit::Unit;

/// Files of one list; more than the protocol carries in one order.
const MAX_FILES: usize = 1000;

/// By task with inputs: their JSON, or why one is missing.
pub(super) async fn resolve(
    unit: &mut Unit<'_>,
    judged: &[Judged],
) -> Result<BTreeMap<TaskId, Result<String, Cause>>> {
    let wanting: Vec<_> = judged
        .iter()
        .filter(|(_, spec, outcome)| {
            !spec.inputs.is_empty() && matches!(outcome, Outcome::Ready(_) | Outcome::Children(_))
        })
        .collect();
    if wanting.is_empty() {
        return Ok(BTreeMap::new());
    }
    let sources: BTreeSet<TaskId> =
        wanting.iter().flat_map(|(decision, ..)| decision.sources.iter().map(|source| source.id)).collect();
    let sources: Vec<_> = sources.into_iter().collect();
    let mut outputs = BTreeMap::<(TaskId, String), OrderInput>::new();
    for row in unit.tx.outputs_of_tasks(&sources).await? {
        if !matches!(row.status, VersionStatus::Purged | VersionStatus::Withheld) {
            let input = OrderInput { name: row.name.clone(), digest: row.digest, size: size(row.size) };
            outputs.insert((row.task, row.name), input);
        }
    }
    let children = match missing_of(&wanting, &outputs) {
        parents if parents.is_empty() => BTreeMap::new(),
        parents => of_children(unit, &parents).await?,
    };
    let mut resolved = BTreeMap::new();
    for (decision, spec, _) in wanting {
        let mut answer = Ok(Vec::new());
        for input in &spec.inputs {
            let found = match input {
                Input::FromTask(from) => decision
                    .sources
                    .iter()
                    .find(|source| source.key == from.task)
                    .and_then(|source| {
                        let wanted = (source.id, from.artifact.clone());
                        let own = outputs.get(&wanted).map(|one| vec![one.clone()]);
                        own.or_else(|| children.get(&wanted).cloned())
                    })
                    .ok_or_else(|| missing(format!("`{}` left no artifact `{}`", from.task, from.artifact)))
                    .and_then(|found| {
                        let fits = found.len() <= MAX_FILES;
                        let why = || missing(format!("`{}` left more than {MAX_FILES} of them", from.task));
                        if fits { Ok(found) } else { Err(why()) }
                    }),
                Input::FromVault(from) => match unit.tx.version(from.version).await? {
                    Some(VersionRow { status: VersionStatus::Purged, .. }) => {
                        Err(missing(format!("{} was purged by retention", from.version)))
                    }
                    Some(VersionRow { status: VersionStatus::Withheld, .. }) => {
                        Err(missing(format!("{} is withheld: a secret was found in it", from.version)))
                    }
                    Some(row) => {
                        let (digest, size) = (row.digest, size(row.size));
                        Ok(vec![OrderInput { name: from.name.clone(), digest, size }])
                    }
                    None => Err(missing(format!("there is no artifact version {}", from.version))),
                },
            };
            match (&mut answer, found) {
                (Ok(inputs), Ok(found)) => inputs.extend(found),
                (Ok(_), Err(cause)) => answer = Err(cause),
                (Err(_), _) => {}
            }
        }
        let answer = match answer {
            Ok(inputs) => Ok(serde_json::to_string(&inputs).map_err(Error::internal)?),
            Err(cause) => Err(cause),
        };
        resolved.insert(decision.task.id, answer);
    }
    Ok(resolved)
}

/// Sources that left nothing of their own that an input asks for: their children may have.
fn missing_of(wanting: &[&Judged], outputs: &BTreeMap<(TaskId, String), OrderInput>) -> Vec<TaskId> {
    let mut parents = BTreeSet::new();
    for (decision, spec, _) in wanting {
        for input in &spec.inputs {
            let Input::FromTask(from) = input else { continue };
            let source = decision.sources.iter().find(|source| source.key == from.task);
            parents.extend(
                source
                    .map(|source| source.id)
                    .filter(|id| !outputs.contains_key(&(*id, from.artifact.clone()))),
            );
        }
    }
    parents.into_iter().collect()
}

/// Of a `for_each`, each element's file comes under its place in the list: `0-out.csv`, `1-out.csv`.
async fn of_children(
    unit: &mut Unit<'_>,
    parents: &[TaskId],
) -> Result<BTreeMap<(TaskId, String), Vec<OrderInput>>> {
    let mut found = BTreeMap::<_, Vec<_>>::new();
    for row in unit.tx.outputs_of_children(parents).await? {
        if row.status != VersionStatus::Purged {
            let name = format!("{}-{}", row.item_index, row.name);
            let input = OrderInput { name, digest: row.digest, size: size(row.size) };
            found.entry((row.parent, row.name)).or_default().push(input);
        }
    }
    Ok(found)
}

fn missing(detail: String) -> Cause {
    Cause::ArtifactFailed { detail }
}

fn size(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
