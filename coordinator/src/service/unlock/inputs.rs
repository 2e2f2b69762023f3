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
    let mut resolved = BTreeMap::new();
    for (decision, spec, _) in wanting {
        let mut answer = Ok(Vec::new());
        for input in &spec.inputs {
            let found = match input {
                Input::FromTask(from) => decision
                    .sources
                    .iter()
                    .find(|source| source.key == from.task)
                    .and_then(|source| outputs.get(&(source.id, from.artifact.clone())).cloned())
                    .ok_or_else(|| missing(format!("`{}` left no artifact `{}`", from.task, from.artifact))),
                Input::FromVault(from) => match unit.tx.version(from.version).await? {
                    Some(VersionRow { status: VersionStatus::Purged, .. }) => {
                        Err(missing(format!("{} was purged by retention", from.version)))
                    }
                    Some(VersionRow { status: VersionStatus::Withheld, .. }) => {
                        Err(missing(format!("{} is withheld: a secret was found in it", from.version)))
                    }
                    Some(row) => {
                        Ok(OrderInput { name: from.name.clone(), digest: row.digest, size: size(row.size) })
                    }
                    None => Err(missing(format!("there is no artifact version {}", from.version))),
                },
            };
            match (&mut answer, found) {
                (Ok(inputs), Ok(input)) => inputs.push(input),
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

fn missing(detail: String) -> Cause {
    Cause::ArtifactFailed { detail }
}

fn size(bytes: i64) -> u64 {
    u64::try_from(bytes).unwrap_or(0)
}
