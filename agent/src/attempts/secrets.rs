//! Secrets of an attempt that is about to start: asked for once, opened here, never kept.

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::binding::{Binding, Using};
use nexusmon_shared::message::SecretAnswer;
use nexusmon_shared::outcome::{Cause, Ending};
use nexusmon_shared::sandbox::Profile;
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
        belongs(&found.scope, job).map_err(|why| format!("`{}` does not belong here: {why}", found.name))?;
        let value = keys.open(job.attempt, found).map_err(|error| format!("`{}`: {error}", found.name))?;
        job.secrets.push(JobSecret { name: wanted.name.clone(), env: wanted.env.clone(), value });
    }
    Ok(())
}

/// What ranks below A lies within what the secret is bound to; above, people signed for exactly this. The coordinator says
/// the same: here it is asked by the machine that hands the value on.
fn belongs(scope: &str, job: &Job) -> Result<(), String> {
    if job.rank.needs_approval() {
        return Ok(());
    }
    let binding =
        Binding::read(scope).map_err(|error| format!("what it is bound to cannot be read: {error}"))?;
    let sandbox = &job.spec.sandbox;
    let network = sandbox.profile != Profile::Strict;
    let using = Using { playbook: job.playbook.as_deref(), agent: Some(job.agent), sandbox, network };
    binding.outside(&using).map_or(Ok(()), Err)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use nexusmon_shared::attempt::Fence;
    use nexusmon_shared::id::{AgentId, MissionId, TaskId};
    use nexusmon_shared::message::SealedSecret;
    use nexusmon_shared::rank::Rank;
    use nexusmon_shared::trust::provenance::Provenance;
    use nexusmon_shared::trust::sealed::SealError;
    use nexusmon_shared::trust::spawned::{SignedSpawned, Spawned};
    use serde_json::{Map, Value, json};
    use zeroize::Zeroizing;

    use super::*;

    struct Opens;

    impl Keys for Opens {
        fn open(&self, _: AttemptRef, _: &SealedSecret) -> Result<Zeroizing<Vec<u8>>, SealError> {
            Ok(Zeroizing::new(b"value".to_vec()))
        }

        fn attest(&self, _: &Provenance) -> Option<String> {
            None
        }

        fn sign_spawned(&self, _: Spawned) -> Option<SignedSpawned> {
            None
        }
    }

    fn job(rank: Rank, sandbox: &Value) -> Job {
        let spec = json!({
            "id": "a", "uses": "shell.run", "with": {}, "needs": [], "if": null, "for_each": null, "on": {},
            "timeout": "20s", "retry": {"max": 0, "backoff": "1s", "jitter": 0.0, "on": []}, "idempotent": true,
            "offline": "0s", "sandbox": sandbox, "inputs": [], "artifacts": [], "verify": null, "effects": {},
            "limits": {}, "secrets": ["token"]});
        Job {
            attempt: AttemptRef { task: TaskId::from_bits(1), fence: Fence { epoch: 1, number: 1 } },
            attempt_number: 1,
            mission: MissionId::from_bits(1),
            spec: Arc::new(serde_json::from_value(spec).unwrap()),
            item_index: None,
            rank,
            agent: AgentId::from_bits(1),
            playbook: Some("deploy".to_owned()),
            parameters: Map::new(),
            inputs: Vec::new(),
            timeout: Duration::from_secs(1),
            offline: Duration::ZERO,
            idempotency_key: String::new(),
            traceparent: None,
            secrets: Vec::new(),
            provenance: None,
        }
    }

    fn handed(job: &mut Job, scope: &str) -> Result<(), String> {
        let name = "token".parse().unwrap();
        let one = SealedSecret { name, version: 1, scope: scope.to_owned(), sealed: Vec::new().into() };
        let answer = SecretAnswer { attempt: job.attempt, secrets: vec![one], refused: String::new() };
        take(&answer, &Opens, job)
    }

    #[test]
    fn a_secret_is_held_against_its_hosts_here_too() {
        let bound = |value: Value| serde_json::from_value::<Binding>(value).unwrap().scope();
        let hosts = bound(json!({"hosts": ["api.example.org", "b.example.org"]}));
        let to = |hosts: &[&str]| json!({"profile": "network", "network": hosts});
        for sandbox in [json!("strict"), to(&["api.example.org"]), to(&["api.example.org", "b.example.org"])]
        {
            let mut job = job(Rank::C, &sandbox);
            handed(&mut job, &hosts).unwrap();
            assert_eq!(job.secrets.len(), 1, "{sandbox}");
        }
        for sandbox in [to(&["api.example.org", "c.example.org"]), to(&[]), json!("user"), json!("none")] {
            let mut lower = job(Rank::B, &sandbox);
            let refused = handed(&mut lower, &hosts).unwrap_err();
            assert!(refused.contains("may only be sent to"), "{sandbox}: {refused}");
            assert!(lower.secrets.is_empty());
            // Signed for, as a whole.
            handed(&mut job(Rank::A, &sandbox), &hosts).unwrap();
        }
        for (scope, fits) in [
            (bound(json!({"agents": [AgentId::from_bits(1)]})), true),
            (bound(json!({"agents": [AgentId::from_bits(2)]})), false),
            (bound(json!({"playbooks": ["deploy"]})), true),
            (bound(json!({"playbooks": ["other"]})), false),
            (bound(json!({})), false),
            ("{\"hosts\":7}".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(handed(&mut job(Rank::C, &json!("strict")), &scope).is_ok(), fits, "{scope}");
        }
    }
}
