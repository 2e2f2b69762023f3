//! Why a text is not a policy set, with the policy and the place in the text.

use cedar_policy::{ParseErrors, ValidationError};
use miette::Diagnostic;

/// A refused text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.words())]
pub struct PolicyError {
    /// By its `@id`, where it is known.
    pub policy: Option<String>,
    /// Line and column, from 1.
    pub place: Option<(usize, usize)>,
    pub reason: String,
}

impl PolicyError {
    fn words(&self) -> String {
        let policy = self.policy.as_ref().map(|id| format!("policy `{id}`"));
        let place = self.place.map(|(line, column)| format!("line {line}, column {column}"));
        let lead: Vec<String> = policy.into_iter().chain(place).collect();
        if lead.is_empty() { self.reason.clone() } else { format!("{}: {}", lead.join(", "), self.reason) }
    }
}

pub(super) fn of_parse(text: &str, errors: &ParseErrors) -> PolicyError {
    let Some(error) = errors.iter().next() else {
        return PolicyError { policy: None, place: None, reason: "it cannot be read".to_owned() };
    };
    PolicyError { policy: None, place: place(text, error), reason: bounded(error) }
}

pub(super) fn of_schema(text: &str, error: &ValidationError) -> PolicyError {
    let id = error.policy_id().to_string();
    // The message repeats the id it was given.
    let reason = bounded(error);
    let reason = reason.strip_prefix(&format!("for policy `{id}`, ")).map_or(reason.clone(), str::to_owned);
    PolicyError { policy: Some(id), place: place(text, error), reason }
}

/// The message, its help, and no more of it than a person reads.
fn bounded(error: &dyn Diagnostic) -> String {
    let help = error.help().map(|help| format!(" ({help})")).unwrap_or_default();
    format!("{error}{help}").chars().take(600).collect()
}

fn place(text: &str, error: &dyn Diagnostic) -> Option<(usize, usize)> {
    let offset = error.labels()?.next()?.offset();
    let before = text.get(..offset)?;
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    Some((line, column))
}

/// The place of a policy among those of its text: Cedar calls them `policy0`, `policy1`, …
pub(super) fn number(id: &str) -> usize {
    id.strip_prefix("policy").and_then(|number| number.parse().ok()).unwrap_or(usize::MAX - 1)
}
