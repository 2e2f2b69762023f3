//! What would help where nobody has a plan.

use crate::error::FieldError;

/// One thing that would help.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Help {
    /// `capability`, `playbook`, `key`, `input`, `trait`, `budget`, `endpoint`, `policy`, `clarity`, `plan`.
    pub kind: String,
    /// Of what is missing, where it has a name.
    #[serde(default)]
    pub name: String,
    /// What to do, for people.
    pub text: String,
}

impl Help {
    pub(super) fn new(kind: &str, name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { kind: kind.to_owned(), name: name.into(), text: text.into() }
    }

    pub(super) fn key() -> Self {
        let text =
            "let a model be asked: set ANTHROPIC_API_KEY, or NEXUSMON_MODEL_KIND with a model of your own";
        Self::new("key", "ANTHROPIC_API_KEY", text)
    }

    pub(super) fn playbook() -> Self {
        let text =
            "keep a playbook whose name or goal says this in the words of the goal: nexusmon playbook put";
        Self::new("playbook", "", text)
    }

    pub(super) fn plan() -> Self {
        Self::new(
            "plan",
            "",
            "give it a plan yourself: PUT /v1/engine/missions/{id}/plan, or a mission with `tasks`",
        )
    }
}

/// What errors of a plan say about what is missing.
pub(super) fn of_errors(errors: &[FieldError]) -> Vec<Help> {
    let mut found: Vec<Help> = Vec::new();
    for error in errors.iter().filter(|error| error.code == "unknown_capability") {
        let name = error.message.split('`').nth(1).unwrap_or_default();
        let text =
            format!("an agent that offers `{name}`: a plugin on a machine of yours provides capabilities");
        found.push(Help::new("capability", name, text));
    }
    found.dedup();
    found.truncate(5);
    found
}

/// The first few errors, in a line.
pub(super) fn listed(errors: &[FieldError]) -> String {
    let shown: Vec<String> =
        errors.iter().take(3).map(|error| format!("{}: {}", error.pointer, error.message)).collect();
    let more = errors.len().saturating_sub(shown.len());
    if more == 0 { shown.join("; ") } else { format!("{} (and {more} more)", shown.join("; ")) }
}
