//! What answers rest on, as links; and outside text, made harmless to read.

use nexusmon_shared::id::{ApprovalId, MissionId, TaskId};
use serde_json::Value;

use super::super::audit::AuditView;
use super::super::memory::MemoryView;
use super::super::missions::{MissionSummary, TaskView};
use super::super::vault::ArtifactView;
use super::Citation;

/// Characters of outside text in a sentence.
const MOST: usize = 100;

/// Outside text within a sentence of ours: one line, cut, and marked as a quotation.
pub(super) fn quoted(text: &str) -> String {
    format!("“{}”", plain(text))
}

pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    for letter in text.chars().take(MOST) {
        // What turns the direction of text around, or is not seen, says something else than it shows.
        let hidden = letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        out.push(match letter {
            _ if hidden => ' ',
            '“' | '”' => '"',
            other => other,
        });
    }
    if text.chars().count() > MOST {
        out.push('…');
    }
    out.trim().to_owned()
}

pub(super) fn mission(one: &MissionSummary) -> Citation {
    Citation {
        kind: "mission",
        id: one.id.to_string(),
        title: plain(&one.goal),
        href: format!("/organism/missions/{}", one.id),
    }
}

pub(super) fn task(one: &TaskView) -> Citation {
    task_of(one.mission, one.task_id, &one.id)
}

pub(super) fn task_of(mission: MissionId, id: TaskId, key: &str) -> Citation {
    Citation {
        kind: "task",
        id: id.to_string(),
        title: plain(key),
        href: format!("/organism/missions/{mission}?task={id}"),
    }
}

pub(super) fn approval(id: ApprovalId, goal: &str) -> Citation {
    Citation {
        kind: "approval",
        id: id.to_string(),
        title: plain(goal),
        href: format!("/organism/approvals/{id}"),
    }
}

pub(super) fn artifact(one: &ArtifactView) -> Citation {
    Citation {
        kind: "artifact",
        id: one.id.to_string(),
        title: plain(&one.name),
        href: format!("/organism/vault/{}", one.id),
    }
}

/// The mission that a memory is of.
pub(super) fn remembered(one: &MemoryView) -> Option<Citation> {
    one.mission.map(|id| Citation {
        kind: "mission",
        id: id.to_string(),
        title: plain(&one.title),
        href: format!("/organism/missions/{id}"),
    })
}

pub(super) fn entry(one: &AuditView) -> Citation {
    Citation {
        kind: "audit",
        id: one.seq.to_string(),
        title: format!("{} {}", plain(&one.action), plain(&one.subject)),
        href: format!("/organism/audit?subject={}", one.subject),
    }
}

/// A word of ours inside JSON, such as a cause: the first text that says what it is.
pub(super) fn cause(value: &Value) -> String {
    let kind = value["kind"].as_str().or_else(|| value.as_str()).unwrap_or("unknown").replace('_', " ");
    let about = ["code", "signal", "detail", "budget", "reason", "comment"]
        .iter()
        .find_map(|key| value.get(key))
        .map(|about| about.as_str().map_or_else(|| about.to_string(), quoted));
    match about {
        Some(about) => format!("{} ({about})", plain(&kind)),
        None => plain(&kind),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn outside_text_is_a_quotation_of_one_line() {
        assert_eq!(quoted("a”\n\u{202e}b\u{7}"), "“a\"  b”");
        assert_eq!(plain(&"x".repeat(500)).chars().count(), MOST + 1);
    }

    #[test]
    fn a_cause_is_named_with_what_it_is_about() {
        assert_eq!(cause(&json!({"kind": "exit_status", "code": 3})), "exit status (3)");
        assert_eq!(cause(&json!({"kind": "plugin_error", "detail": "no\nsuch"})), "plugin error (“no such”)");
        assert_eq!(cause(&json!("lost_agent")), "lost agent");
    }
}
