//! Words in entries: put beside them when they are written, back into them when they are shown, and erased.

use std::collections::HashMap;

use nexusmon_core::audit::{Openings, Unsealed, is_sealed, seal, unseal};
use nexusmon_shared::id::AuditId;
use nexusmon_shared::trust::canonical;
use nexusmon_shared::trust::opening::Opening;
use nexusmon_store::{AuditRow, Beside, Body, Connection, OpeningRow};
use rand::rngs::StdRng;
use serde_json::Value;

use crate::error::{Error, Result};

/// A body as it is shown.
#[derive(Debug, Clone, Default)]
pub(in crate::service) struct Shown {
    pub body: Value,
    pub unsealed: Unsealed,
}

/// Puts the words of an entry beside it.
pub(in crate::service) fn part(actor: &str, subject: (&str, &str), body: Body, rng: &mut StdRng) -> Body {
    let Body::Tree(mut tree) = body else { return body };
    let openings = seal(actor, &mut tree, rng);
    if openings.is_empty() {
        return Body::Tree(tree);
    }
    let about = match (subject, tree["version"].as_u64()) {
        (("artifact", id), Some(version)) => version_of(id, version),
        ((_, subject), _) => subject.to_owned(),
    };
    let beside = openings.into_iter().filter_map(|(place, Opening { key, value })| {
        // What has a commitment has a canonical form.
        Some(Beside { place, key: key.to_string(), value: canonical::of_value(&value).ok()? })
    });
    Body::Parted { tree, about, beside: beside.collect() }
}

/// What words about one version of an artifact go with.
pub(in crate::service) fn version_of(artifact: &str, version: u64) -> String {
    format!("{artifact}@{version}")
}

/// What there still is beside these entries.
pub(in crate::service) async fn beside(
    read: &mut Connection,
    rows: &[AuditRow],
) -> Result<HashMap<AuditId, Openings>> {
    let mut found = HashMap::<AuditId, Openings>::new();
    for row in read.openings_of(rows, is_sealed).await? {
        let opening = Opening {
            key: row
                .key
                .parse()
                .map_err(|_| Error::internal(format!("{} has an unreadable key", row.entry)))?,
            value: serde_json::from_str(&row.value).map_err(Error::internal)?,
        };
        found.entry(row.entry).or_default().insert(row.place, opening);
    }
    Ok(found)
}

/// The bodies of entries, words and all.
pub(in crate::service) async fn shown(read: &mut Connection, rows: &[AuditRow]) -> Result<Vec<Shown>> {
    let mut beside = beside(read, rows).await?;
    let shown = rows.iter().map(|row| {
        let mut body: Value = serde_json::from_str(&row.body).map_err(Error::internal)?;
        let openings = beside.remove(&row.id).unwrap_or_default();
        let unsealed = if is_sealed(&row.body) { unseal(&mut body, &openings) } else { Unsealed::default() };
        Ok(Shown { body, unsealed })
    });
    shown.collect()
}

/// Of words, those that are one of these.
pub(in crate::service) fn among(openings: Vec<OpeningRow>, texts: &[&str]) -> Vec<OpeningRow> {
    let is = |row: &OpeningRow| {
        let words: Option<String> = serde_json::from_str(&row.value).ok();
        words.is_some_and(|words| texts.contains(&words.as_str()))
    };
    openings.into_iter().filter(is).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn words_go_with_their_subject_and_of_artifacts_with_the_version() {
        let mut rng = StdRng::seed_from_u64(1);
        let mut about = |kind, body: Value| match part("prn_1", (kind, "x_1"), body.into(), &mut rng) {
            Body::Parted { about, beside, .. } => (about, beside.len()),
            other => panic!("{other:?}"),
        };
        assert_eq!(about("artifact", json!({"version": 3, "name": "n"})), ("x_1@3".to_owned(), 1));
        assert_eq!(
            about("review", json!({"version": 3, "comment": "c", "name": "n"})),
            ("x_1".to_owned(), 2)
        );
        // What is written twice for every task pays nothing.
        let canonical = Body::Canonical("{\"goal\":\"g\"}".to_owned());
        assert_eq!(part("prn_1", ("task", "tsk_1"), canonical.clone(), &mut rng), canonical);
    }
}
