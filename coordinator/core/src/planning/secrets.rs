//! The secrets a task names: they exist, and there is something they can be handed to.

use std::collections::BTreeSet;

use nexusmon_shared::binding::Bindings;
use nexusmon_shared::plan::{MAX_SECRETS, TaskDraft, is_variable};

use super::Invalid;

/// What starts a process that a secret can be handed to as a file.
const PROCESSES: [&str; 2] = ["shell.run", "script.run"];

pub(super) fn check(index: usize, draft: &TaskDraft, known: &Bindings, errors: &mut Vec<Invalid>) {
    if draft.secrets.is_empty() {
        return;
    }
    let mut refuse = |place: String, code: &'static str, message: String| {
        errors.push(Invalid::new(format!("/tasks/{index}/secrets{place}"), code, message));
    };
    if !PROCESSES.contains(&draft.uses.as_str()) {
        let message = format!("`{}` cannot be handed secrets: use shell.run or script.run", draft.uses);
        refuse(String::new(), "no_process", message);
    }
    if draft.secrets.len() > MAX_SECRETS {
        let message = format!("{} secrets are more than {MAX_SECRETS}", draft.secrets.len());
        refuse(String::new(), "too_many", message);
    }
    let (mut names, mut variables) = (BTreeSet::new(), BTreeSet::new());
    for (at, one) in draft.secrets.iter().enumerate().take(MAX_SECRETS) {
        if !known.contains_key(&one.name) {
            let message =
                format!("there is no secret `{0}`: set it with `nexusmon secret set {0}`", one.name);
            refuse(format!("/{at}"), "unknown_secret", message);
        }
        if !names.insert(&one.name) {
            refuse(format!("/{at}"), "duplicate_secret", format!("`{}` is named twice", one.name));
        }
        let Some(variable) = &one.env else { continue };
        if !is_variable(variable) {
            let shown: String = variable.chars().take(40).collect();
            let message = format!("`{}` cannot be a secret's environment variable", shown.escape_default());
            refuse(format!("/{at}/env"), "bad_variable", message);
        }
        if !variables.insert(variable) {
            refuse(format!("/{at}/env"), "duplicate_variable", format!("`{variable}` is given twice"));
        }
    }
}
