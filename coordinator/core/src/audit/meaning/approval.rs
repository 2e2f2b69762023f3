//! Approvals: who was asked about what, and whether enough people agreed.

use std::collections::{BTreeMap, BTreeSet};

use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::TaskId;
use serde::Deserialize;

use super::super::bad::Bad;

#[derive(Deserialize)]
pub(super) struct Requested {
    subject_kind: String,
    subject: String,
    digest: Digest,
    #[serde(default = "one")]
    needed: u32,
}

const fn one() -> u32 {
    1
}

#[derive(Deserialize)]
pub(super) struct Decision {
    verdict: String,
    digest: Digest,
}

#[derive(Debug)]
pub(super) struct Approval {
    /// Of an instance approval.
    task: Option<TaskId>,
    digest: Digest,
    needed: u32,
    by: BTreeSet<String>,
    rejected: bool,
}

impl Approval {
    pub(super) fn requested(requested: Requested) -> Self {
        let Requested { subject_kind, subject, digest, needed } = requested;
        let task = (subject_kind == "task_instance").then(|| subject.parse().ok()).flatten();
        Self { task, digest, needed, by: BTreeSet::new(), rejected: false }
    }

    fn is_given(&self) -> bool {
        !self.rejected && self.by.len() >= self.needed as usize
    }
}

/// Of one mission.
#[derive(Debug, Default)]
pub(super) struct Approvals(BTreeMap<String, Approval>);

impl Approvals {
    pub(super) fn add(&mut self, id: String, approval: Approval) {
        self.0.insert(id, approval);
    }

    pub(super) fn decide(&mut self, id: &str, actor: &str, decision: &Decision) -> Result<(), Bad> {
        let Some(approval) = self.0.get_mut(id) else {
            return Err(Bad::new("approval", format!("a decision on {id}, which was not asked for")));
        };
        if approval.digest != decision.digest {
            return Err(Bad::new(
                "approval",
                format!("a decision over {}, asked was {}", decision.digest, approval.digest),
            ));
        }
        if decision.verdict == "approve" {
            if !approval.by.insert(actor.to_owned()) {
                return Err(Bad::new("approval", format!("{actor} approves twice")));
            }
        } else {
            approval.rejected = true;
        }
        Ok(())
    }

    /// Whether this approval over this digest was given by as many as it needs.
    pub(super) fn enough(&self, id: &str, digest: &Digest) -> Result<(), Bad> {
        match self.0.get(id) {
            Some(approval) if approval.digest == *digest && approval.is_given() => Ok(()),
            Some(approval) => {
                let (found, needed) = (approval.by.len(), approval.needed);
                Err(Bad::new("approval", format!("{id} has {found} of {needed} approvals over {digest}")))
            }
            None => Err(Bad::new("approval", format!("nobody was asked for {id}"))),
        }
    }

    /// Whether this approval was given at all.
    pub(super) fn given(&self, id: &str) -> Result<(), Bad> {
        match self.0.get(id) {
            Some(approval) if approval.is_given() => Ok(()),
            Some(_) => Err(Bad::new("approval", format!("an act rests on {id}, which was not given"))),
            None => Err(Bad::new("approval", format!("an act rests on {id}, which nobody was asked for"))),
        }
    }

    /// A task whose run-time values wait for approval is not dispatched before.
    pub(super) fn instance_allows(&self, task: TaskId) -> Result<(), Bad> {
        // Asked again once signatures had ended, the newest counts; ids grow with time.
        let newest = self.0.values().rfind(|approval| approval.task == Some(task));
        match newest.filter(|approval| !approval.is_given()) {
            Some(_) => Err(Bad::new("approval", "a dispatch before the values of this task were approved")),
            None => Ok(()),
        }
    }
}
