//! Handing secrets over: once per fence, to the agent whose lease it is, after `running` under that fence and the record
//! of it are committed; sealed to that agent's own key.

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::binding::Using;
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::{SealedSecret, SecretAnswer};
use nexusmon_shared::name::Name;
use nexusmon_shared::plan::{PlanHeader, TaskSpec};
use nexusmon_shared::sandbox::Profile;
use nexusmon_shared::task::TaskStatus;
use nexusmon_shared::trust::sealed::{Binding as SealedFor, seal};
use nexusmon_store::{DeliveryRow, SecretRow, StartedRow, TaskRow};
use serde_json::json;

use super::super::unit::{Unit, task_subject};
use super::read_binding;
use crate::app::App;
use crate::app::sessions::Live;
use crate::error::{Error, Result};

/// What is to be sealed once the record of it is committed.
struct Granted {
    sealing_key: [u8; 32],
    secrets: Vec<SecretRow>,
}

/// Answers an agent that is about to start a task with secrets. A refusal is an answer too: the task does not start.
pub async fn deliver(app: &App, live: &Live, attempt: AttemptRef) -> Result<SecretAnswer> {
    let (agent, session) = (live.agent(), live.session());
    let unit_app = app.clone();
    let granted = app
        .store
        .write("secrets.deliver", move |tx| {
            let app = unit_app.clone();
            Box::pin(async move { grant(&app, tx, agent, session, attempt).await })
        })
        .await;
    let refuse = |refused: String| SecretAnswer { attempt, secrets: Vec::new(), refused };
    match granted {
        Ok(granted) => Ok(seal_all(app, agent, attempt, &granted).map_or_else(
            |error| {
                tracing::error!(%error, task = %attempt.task, "a secret could not be sealed");
                refuse("the coordinator could not open or seal it; its log has the details".to_owned())
            },
            |secrets| SecretAnswer { attempt, secrets, refused: String::new() },
        )),
        Err(Error::Forbidden { detail, .. } | Error::Conflict { detail, .. }) => {
            tracing::warn!(%agent, task = %attempt.task, %detail, "secrets were not handed over");
            Ok(refuse(detail))
        }
        Err(error) => Err(error),
    }
}

fn forbidden<T>(code: &'static str, detail: impl Into<String>) -> Result<T> {
    Err(Error::Forbidden { code, detail: detail.into() })
}

async fn grant(
    app: &App,
    tx: &mut nexusmon_store::Tx,
    agent: AgentId,
    session: u64,
    attempt: AttemptRef,
) -> Result<Granted> {
    let mut unit = Unit::new(app, tx);
    let row = unit.tx.lock_tasks(&[attempt.task]).await?.pop();
    let leased = row.filter(|row| {
        row.agent == Some(agent)
            && row.session == Some(session)
            && row.fence() == attempt.fence
            && matches!(row.state, TaskStatus::Leased | TaskStatus::Running)
    });
    let Some(row) = leased else {
        return forbidden("no_lease", "this session holds no lease of that attempt");
    };
    if unit.tx.was_delivered(row.id, row.fence_epoch, row.fence_number).await? {
        return forbidden("delivered", "the secrets of this attempt were handed over before");
    }
    let spec = unit.tx.specs_of(&[row.id]).await?.pop();
    let spec = spec.ok_or_else(|| Error::internal(format!("{} has no leaf", row.id)))?.spec;
    let spec: TaskSpec = serde_json::from_str(&spec).map_err(Error::internal)?;
    let mut secrets = Vec::with_capacity(spec.secrets.len());
    for name in spec.secrets.iter().map(|one| &one.name) {
        let secret = unit.tx.secret(name).await?.filter(|secret| secret.sealed.is_some());
        let Some(secret) = secret else {
            return forbidden("gone", format!("there is no secret `{name}` any more"));
        };
        secrets.push(secret);
    }
    within(&mut unit, &row, &spec, agent, &secrets).await?;
    let known = unit.tx.agent(agent).await?.ok_or_else(|| Error::not_found("agent", agent))?;
    let sealing_key = hex::decode(&known.sealing_key).ok().and_then(|key| key.try_into().ok());
    let sealing_key = sealing_key.ok_or_else(|| Error::internal("an agent without a sealing key"))?;

    let started =
        StartedRow { id: row.id, fence_epoch: row.fence_epoch, fence_number: row.fence_number, at: unit.now };
    unit.tx.mark_running(&[started]).await?;
    let deliveries: Vec<DeliveryRow> = secrets
        .iter()
        .map(|secret| DeliveryRow {
            name: secret.name.clone(),
            task: row.id,
            fence_epoch: row.fence_epoch,
            fence_number: row.fence_number,
            version: secret.version,
            agent,
            at: unit.now,
        })
        .collect();
    unit.tx.insert_deliveries(&deliveries).await?;
    let listed: Vec<_> =
        secrets.iter().map(|secret| json!({"name": secret.name, "version": secret.version})).collect();
    let body = json!({"task": row.key, "fence": row.fence().to_string(), "agent": agent, "secrets": listed});
    unit.audit(agent.to_string(), "secret.delivered", task_subject(row.id), Some(row.mission), body);
    unit.finish().await?;
    Ok(Granted { sealing_key, secrets })
}

/// What ranks below A was ranked as lying within the bindings: it must still.
async fn within(
    unit: &mut Unit<'_>,
    row: &TaskRow,
    spec: &TaskSpec,
    agent: AgentId,
    secrets: &[SecretRow],
) -> Result<()> {
    if row.rank.needs_approval() {
        return Ok(());
    }
    let plan = unit.tx.plan(row.mission).await?;
    let plan = plan.ok_or_else(|| Error::internal(format!("{} has no plan", row.mission)))?;
    let header: PlanHeader = serde_json::from_str(&plan.header).map_err(Error::internal)?;
    let network = spec.sandbox.profile != Profile::Strict || spec.effects.network;
    let playbook = header.playbook.as_deref();
    let using = Using { playbook, agent: Some(agent), sandbox: &spec.sandbox, network };
    for secret in secrets {
        if let Some(why) = read_binding(&secret.binding)?.outside(&using) {
            return forbidden("outside", format!("`{}` does not belong there: {why}", secret.name));
        }
    }
    Ok(())
}

fn seal_all(app: &App, agent: AgentId, attempt: AttemptRef, granted: &Granted) -> Result<Vec<SealedSecret>> {
    let mut rng = app.rng.fork();
    let one = |row: &SecretRow| {
        let SecretRow { name, version, binding, key_wrapped, sealed, .. } = row;
        let (Some(key), Some(sealed)) = (key_wrapped, sealed) else {
            return Err(Error::internal("a secret without a value"));
        };
        let value =
            app.keyring.open_secret((name, *version, binding), key, sealed).map_err(Error::internal)?;
        let version = u32::try_from(*version).map_err(Error::internal)?;
        let binding = bound(app, agent, attempt, name, version, binding);
        let sealed = seal(&granted.sealing_key, &binding, &value, &mut rng).map_err(Error::internal)?;
        Ok(SealedSecret { name: name.clone(), version, scope: binding.scope, sealed: sealed.into() })
    };
    granted.secrets.iter().map(one).collect()
}

fn bound(
    app: &App,
    agent: AgentId,
    attempt: AttemptRef,
    name: &Name,
    version: u32,
    scope: &str,
) -> SealedFor {
    SealedFor {
        organism: app.organism,
        agent,
        secret: name.clone(),
        version,
        scope: scope.to_owned(),
        task: attempt.task,
        fence: attempt.fence,
    }
}
