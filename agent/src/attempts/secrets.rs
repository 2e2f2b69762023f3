//! Secrets of an attempt that is about to start: asked for once, opened here, never kept.

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::message::SecretAnswer;
use nexusmon_shared::outcome::{Cause, Ending};
use tokio::sync::oneshot;

use super::Keys;
use super::supervisor::Supervisor;
use crate::run::{Job, JobSecret};
use crate::worker::CancelToken;

/// What the coordinator answered; `None`: the line was cut meanwhile, and it does not answer twice.
pub(super) type Handed = Option<SecretAnswer>;

impl Supervisor {
    /// The job starts once this is answered; `None` where it needs no secrets.
    pub(super) fn ask_for_secrets(
        &mut self,
        attempt: AttemptRef,
        job: &Job,
    ) -> Option<oneshot::Receiver<Handed>> {
        if job.spec.secrets.is_empty() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        self.live.get_mut(&attempt)?.secrets = Some(sender);
        self.round.secrets.push(attempt);
        Some(receiver)
    }

    pub(super) fn handed(&mut self, answer: SecretAnswer) {
        let waiting = self.live.get_mut(&answer.attempt).and_then(|live| live.secrets.take());
        if let Some(waiting) = waiting {
            let _ = waiting.send(Some(answer));
        }
    }

    /// A new session: whether what was asked for in the one before was handed over nobody here knows. Under another fence
    /// it can be asked for again.
    pub(super) fn unanswered(&mut self) {
        for waiting in self.live.values_mut().filter_map(|live| live.secrets.take()) {
            let _ = waiting.send(None);
        }
    }
}

/// Waits for the answer and puts what it holds into the job. An error is how the attempt ends: it never started.
pub(super) async fn wait(
    asked: oneshot::Receiver<Handed>,
    token: &mut CancelToken,
    keys: &dyn Keys,
    job: &mut Job,
) -> Result<(), Ending> {
    let answer = tokio::select! {
        answer = asked => answer.ok().flatten(),
        _ = token.cancelled() => None,
    };
    let answer = answer.ok_or(Ending::Returned)?;
    take(&answer, keys, job).map_err(|detail| {
        tracing::warn!(task = %job.attempt.task, %detail, "secrets were not handed over");
        Ending::Failed { cause: Cause::PluginError { detail } }
    })
}

fn take(answer: &SecretAnswer, keys: &dyn Keys, job: &mut Job) -> Result<(), String> {
    if !answer.refused.is_empty() {
        return Err(format!("its secrets were not handed over: {}", answer.refused));
    }
    let wanted = &job.spec.secrets;
    let agrees = answer.secrets.len() == wanted.len()
        && answer.secrets.iter().zip(wanted).all(|(found, wanted)| found.name == wanted.name);
    if !agrees {
        return Err("other secrets were handed over than its leaf names".to_owned());
    }
    for (found, wanted) in answer.secrets.iter().zip(wanted) {
        let value = keys.open(job.attempt, found).map_err(|error| format!("`{}`: {error}", found.name))?;
        job.secrets.push(JobSecret { name: wanted.name.clone(), env: wanted.env.clone(), value });
    }
    Ok(())
}
