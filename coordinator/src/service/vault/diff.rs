//! The difference of two versions: unified for text, by pointer for JSON.

use nexusmon_shared::id::ArtifactId;
use serde_json::Value;

use super::{Difference, read};
use crate::app::App;
use crate::error::{Error, Result};

/// Larger versions are compared by what is known of them.
const MOST_BYTES: u64 = 1024 * 1024;
/// Lines of both sides together.
const MOST_LINES: usize = 20_000;
/// Lines shown around a change.
const CONTEXT: usize = 3;
/// Edits looked for before a file counts as rewritten.
const MOST_EDITS: usize = 2_000;

pub(super) async fn diff(app: &App, id: ArtifactId, number: Option<u32>, with: u32) -> Result<Difference> {
    let mut connection = app.store.read().await?;
    read::artifact(&mut connection, id).await?;
    let before = read::version(&mut connection, id, Some(with)).await?;
    let after = read::version(&mut connection, id, number).await?;
    drop(connection);
    read::not_purged(&before)?;
    read::not_purged(&after)?;
    let large = [&before, &after].iter().any(|row| u64::try_from(row.size).unwrap_or(u64::MAX) > MOST_BYTES);
    let metadata = || Difference::Metadata {
        before: Box::new(read::version_view(&before, 0)),
        after: Box::new(read::version_view(&after, 0)),
    };
    if large {
        return Ok(metadata());
    }
    let old = app.blobs.read(&before.digest, None).await?;
    let new = app.blobs.read(&after.digest, None).await?;
    let (Ok(old), Ok(new)) = (String::from_utf8(old.to_vec()), String::from_utf8(new.to_vec())) else {
        return Ok(metadata());
    };
    let names = (format!("version {}", before.number), format!("version {}", after.number));
    let json = before.media_type.contains("json") && after.media_type.contains("json");
    tokio::task::spawn_blocking(move || {
        if json {
            let parsed = (serde_json::from_str::<Value>(&old), serde_json::from_str::<Value>(&new));
            if let (Ok(old), Ok(new)) = parsed {
                let mut changes = Vec::new();
                json_changes("", &old, &new, &mut changes);
                return Difference::Json(changes);
            }
        }
        Difference::Text(unified(&names.0, &names.1, &old, &new))
    })
    .await
    .map_err(Error::internal)
}

/// One change: pointer, before, after.
type Change = (String, Option<Value>, Option<Value>);

fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn json_changes(pointer: &str, old: &Value, new: &Value, changes: &mut Vec<Change>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in old {
                let pointer = format!("{pointer}/{}", escape(key));
                match new.get(key) {
                    Some(other) => json_changes(&pointer, value, other, changes),
                    None => changes.push((pointer, Some(value.clone()), None)),
                }
            }
            for (key, value) in new.iter().filter(|(key, _)| !old.contains_key(*key)) {
                changes.push((format!("{pointer}/{}", escape(key)), None, Some(value.clone())));
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                let pointer = format!("{pointer}/{index}");
                match (old.get(index), new.get(index)) {
                    (Some(old), Some(new)) => json_changes(&pointer, old, new, changes),
                    (old, new) => changes.push((pointer, old.cloned(), new.cloned())),
                }
            }
        }
        (old, new) if old == new => {}
        (old, new) => changes.push((pointer.to_owned(), Some(old.clone()), Some(new.clone()))),
    }
}

/// One line of an edit script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Edit {
    Keep,
    Delete,
    Insert,
}

pub(in crate::service) fn unified(old_name: &str, new_name: &str, old: &str, new: &str) -> String {
    let old: Vec<&str> = old.lines().collect();
    let new: Vec<&str> = new.lines().collect();
    let script = if old.len() + new.len() > MOST_LINES { None } else { edits(&old, &new) };
    let script = script.unwrap_or_else(|| {
        std::iter::repeat_n(Edit::Delete, old.len())
            .chain(std::iter::repeat_n(Edit::Insert, new.len()))
            .collect()
    });
    if script.iter().all(|edit| *edit == Edit::Keep) {
        return String::new();
    }
    let mut out = format!("--- {old_name}\n+++ {new_name}\n");
    let (mut at, mut old_at, mut new_at) = (0, 0, 0);
    while at < script.len() {
        if script[at] == Edit::Keep {
            (at, old_at, new_at) = (at + 1, old_at + 1, new_at + 1);
            continue;
        }
        // A hunk begins some lines before its first change and ends after its last.
        let before = CONTEXT.min(old_at).min(new_at);
        let start = at - before;
        let mut end = at;
        let mut kept = 0;
        while end < script.len() && kept <= 2 * CONTEXT {
            kept = if script[end] == Edit::Keep { kept + 1 } else { 0 };
            end += 1;
        }
        end -= kept.saturating_sub(CONTEXT).min(end - at);
        let hunk = &script[start..end];
        let olds = hunk.iter().filter(|edit| **edit != Edit::Insert).count();
        let news = hunk.iter().filter(|edit| **edit != Edit::Delete).count();
        let (mut o, mut n) = (old_at - before, new_at - before);
        out.push_str(&format!("@@ -{},{olds} +{},{news} @@\n", o + 1, n + 1));
        for edit in hunk {
            let line = match edit {
                Edit::Keep => format!(" {}\n", old[o]),
                Edit::Delete => format!("-{}\n", old[o]),
                Edit::Insert => format!("+{}\n", new[n]),
            };
            out.push_str(&line);
            o += usize::from(*edit != Edit::Insert);
            n += usize::from(*edit != Edit::Delete);
        }
        (at, old_at, new_at) = (end, o, n);
    }
    out
}

/// The shortest edit script (Myers 1986, "An O(ND) Difference Algorithm"); `None` beyond [`MOST_EDITS`].
fn edits(old: &[&str], new: &[&str]) -> Option<Vec<Edit>> {
    let (n, m) = (isize::try_from(old.len()).ok()?, isize::try_from(new.len()).ok()?);
    let most = MOST_EDITS.min(old.len() + new.len());
    let reach = isize::try_from(most).ok()?;
    let place = |k: isize| usize::try_from(k + reach + 1).expect("k is within reach");
    let mut furthest = vec![0_isize; 2 * most + 3];
    let mut trace: Vec<Vec<isize>> = Vec::new();
    for d in 0..=reach {
        trace.push(furthest.clone());
        for k in (-d..=d).step_by(2) {
            let down = k == -d || (k != d && furthest[place(k - 1)] < furthest[place(k + 1)]);
            let mut x = if down { furthest[place(k + 1)] } else { furthest[place(k - 1)] + 1 };
            let mut y = x - k;
            while x < n && y < m && old[usize::try_from(x).ok()?] == new[usize::try_from(y).ok()?] {
                (x, y) = (x + 1, y + 1);
            }
            furthest[place(k)] = x;
            if x >= n && y >= m {
                return Some(backtrack(&trace, d, n, m, place));
            }
        }
    }
    None
}

fn backtrack(
    trace: &[Vec<isize>],
    steps: isize,
    n: isize,
    m: isize,
    place: impl Fn(isize) -> usize,
) -> Vec<Edit> {
    let (mut x, mut y) = (n, m);
    let mut script = Vec::new();
    for d in (0..=steps).rev() {
        let furthest = &trace[usize::try_from(d).expect("steps are counted from 0")];
        let k = x - y;
        let down = k == -d || (k != d && furthest[place(k - 1)] < furthest[place(k + 1)]);
        let before = if down { k + 1 } else { k - 1 };
        let (start_x, start_y) =
            if d == 0 { (0, 0) } else { (furthest[place(before)], furthest[place(before)] - before) };
        while x > start_x && y > start_y && (d == 0 || x - y == k) {
            let at_edit = d > 0
                && ((down && y == start_y + 1 && x == start_x)
                    || (!down && x == start_x + 1 && y == start_y));
            if at_edit {
                break;
            }
            script.push(Edit::Keep);
            (x, y) = (x - 1, y - 1);
        }
        if d > 0 {
            script.push(if down { Edit::Insert } else { Edit::Delete });
            (x, y) = (start_x, start_y);
        }
    }
    script.reverse();
    script
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn apply(old: &[&str], new: &[&str], script: &[Edit]) -> (Vec<String>, Vec<String>) {
        let (mut o, mut n) = (0, 0);
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for edit in script {
            match edit {
                Edit::Keep => {
                    assert_eq!(old[o], new[n]);
                    left.push(old[o].to_owned());
                    right.push(new[n].to_owned());
                    (o, n) = (o + 1, n + 1);
                }
                Edit::Delete => {
                    left.push(old[o].to_owned());
                    o += 1;
                }
                Edit::Insert => {
                    right.push(new[n].to_owned());
                    n += 1;
                }
            }
        }
        (left, right)
    }

    proptest! {
        #[test]
        fn a_script_leads_from_old_to_new(
            old in prop::collection::vec("[abc]", 0..30), new in prop::collection::vec("[abc]", 0..30)
        ) {
            let old: Vec<&str> = old.iter().map(String::as_str).collect();
            let new: Vec<&str> = new.iter().map(String::as_str).collect();
            let script = edits(&old, &new).unwrap();
            let (left, right) = apply(&old, &new, &script);
            prop_assert_eq!(left, old);
            prop_assert_eq!(right, new);
        }
    }

    #[test]
    fn a_change_is_shown_in_its_context() {
        let old: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
        let mut new = old.clone();
        new[9] = "ten".to_owned();
        let text = unified("a", "b", &old.join("\n"), &new.join("\n"));
        assert_eq!(text, "--- a\n+++ b\n@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n");
        assert_eq!(unified("a", "b", "same", "same"), "");
    }

    #[test]
    fn json_changes_are_named_by_pointer() {
        let mut changes = Vec::new();
        let old = serde_json::json!({"a": 1, "b": [1, 2], "c/d": true});
        let new = serde_json::json!({"a": 2, "b": [1], "e": null});
        json_changes("", &old, &new, &mut changes);
        let pointers: Vec<_> = changes.iter().map(|(pointer, ..)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/a", "/b/1", "/c~1d", "/e"]);
    }
}
