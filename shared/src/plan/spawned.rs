//! A task that a running task adds, from what its process wrote to a leaf.

use super::{DEFAULT_BACKOFF, DEFAULT_JITTER, DEFAULT_TIMEOUT, Retry, RetryDraft, TaskDraft, TaskSpec};
use crate::name::Name;
use crate::sandbox::{Profile, Sandbox};
use crate::time::Span;

/// What stands in a leaf where its draft says nothing, as far as it hangs on the capability.
#[derive(Debug, Clone, Copy)]
pub struct Usual {
    pub idempotent: bool,
    pub profile: Profile,
    /// Of work that is not idempotent.
    pub offline: Span,
}

impl TaskDraft {
    /// The leaf of this draft, added by the task `parent`; every default is written out, so that it can be signed.
    pub fn added_by(self, parent: &Name, usual: Usual) -> TaskSpec {
        let retry = self.retry.unwrap_or_default();
        let idempotent = self.idempotent.unwrap_or(usual.idempotent);
        let offline = if idempotent { Span::default() } else { self.offline.unwrap_or(usual.offline) };
        TaskSpec {
            id: self.id,
            uses: self.uses,
            with: self.with,
            needs: if self.needs.is_empty() { vec![parent.clone()] } else { self.needs },
            condition: self.condition,
            for_each: self.for_each,
            on: self.on,
            timeout: self.timeout.unwrap_or(DEFAULT_TIMEOUT),
            retry: Retry {
                max: retry.max.unwrap_or(0),
                backoff: retry.backoff.unwrap_or(DEFAULT_BACKOFF),
                jitter: retry.jitter.unwrap_or(DEFAULT_JITTER),
                on: retry.on.unwrap_or_default(),
            },
            idempotent,
            offline,
            sandbox: self.sandbox.unwrap_or(Sandbox { profile: usual.profile, ..Sandbox::default() }),
            secrets: self.secrets,
            inputs: self.inputs,
            artifacts: self.artifacts,
            verify: self.verify,
            effects: self.effects,
            limits: self.limits,
            accept: self.accept,
            spawn: self.spawn,
        }
    }
}

impl From<TaskSpec> for TaskDraft {
    /// Everything as it stands in the leaf.
    fn from(leaf: TaskSpec) -> Self {
        let TaskSpec {
            id,
            uses,
            with,
            needs,
            condition,
            for_each,
            on,
            timeout,
            retry,
            idempotent,
            offline,
            sandbox,
            secrets,
            inputs,
            artifacts,
            verify,
            effects,
            limits,
            accept,
            spawn,
        } = leaf;
        let Retry { max, backoff, jitter, on: causes } = retry;
        let causes = (!causes.is_empty()).then_some(causes);
        let retry = RetryDraft { max: Some(max), backoff: Some(backoff), jitter: Some(jitter), on: causes };
        Self {
            id,
            uses,
            with,
            needs,
            condition,
            for_each,
            on,
            timeout: Some(timeout),
            retry: Some(retry),
            idempotent: Some(idempotent),
            offline: Some(offline),
            sandbox: Some(sandbox),
            secrets,
            inputs,
            artifacts,
            verify,
            effects,
            limits,
            accept,
            spawn,
        }
    }
}
