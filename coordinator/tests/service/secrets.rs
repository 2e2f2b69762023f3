//! Secrets: handed over once per fence, to the session that holds the lease, within what they are bound to.

use std::collections::BTreeSet;

use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::secrets::{self, NewBinding, NewSecret, SecretView};
use nexusmon_shared::attempt::{AttemptRef, Fence};
use nexusmon_shared::id::AgentId;
use nexusmon_shared::message::{Order, SecretAnswer};
use nexusmon_shared::name::Name;
use nexusmon_shared::trust::sealed::{Binding, SealError};
use serde_json::{Value, json};

use crate::harness::{Agent, World, both, sealing_key, succeed};

const VALUE: &str = "correct horse battery staple";

fn token() -> Name {
    "token".parse().unwrap()
}

async fn set(world: &World, value: &str, agents: Option<&[&str]>) -> SecretView {
    let binding = agents.map(|agents| NewBinding {
        agents: agents.iter().map(|agent| (*agent).to_owned()).collect(),
        ..NewBinding::default()
    });
    let new = NewSecret { value: value.as_bytes().to_vec().into(), binding };
    secrets::set(&world.app, &world.owner().await, &token(), new).await.unwrap()
}

fn mission() -> Value {
    json!({"goal": "with a secret", "tasks": [
        {"id": "a", "uses": "shell.run", "with": {"script": "true"}, "secrets": ["token"], "on": {"agent": "one"}}]})
}

async fn granted(world: &World, agent: &mut Agent) -> Order {
    agent.live.set_credit(4);
    world.tick().await;
    agent.orders().remove(0)
}

async fn ask(world: &World, agent: &Agent, attempt: AttemptRef) -> SecretAnswer {
    secrets::deliver(&world.app, &agent.live, attempt).await.unwrap()
}

fn opened(
    world: &World,
    (agent, name): (AgentId, &str),
    answer: &SecretAnswer,
    attempt: AttemptRef,
) -> Result<String, SealError> {
    let secret = &answer.secrets[0];
    let binding = Binding {
        organism: world.app.organism,
        agent,
        secret: secret.name.clone(),
        version: secret.version,
        scope: secret.scope.clone(),
        task: attempt.task,
        fence: attempt.fence,
    };
    let value = sealing_key(name).open(&binding, &secret.sealed)?;
    Ok(String::from_utf8(value.to_vec()).unwrap())
}

both! {
    async fn a_secret_is_handed_over_once_to_whoever_holds_the_lease(world) {
        let (mut one, two) = (world.agent("one").await, world.agent("two").await);
        let view = set(&world, VALUE, Some(&["one"])).await;
        assert!(view.masked && view.version == 1 && view.received.is_empty());
        let id = world.create(mission()).await.summary.id;
        let attempt = granted(&world, &mut one).await.attempt;
        assert_eq!(world.statuses(id).await, [("a".to_owned(), "leased")]);

        let stolen = ask(&world, &two, attempt).await;
        assert!(stolen.secrets.is_empty() && stolen.refused.contains("no lease"), "{stolen:?}");
        let later = AttemptRef { fence: Fence { number: attempt.fence.number + 1, ..attempt.fence }, ..attempt };
        assert!(ask(&world, &one, later).await.refused.contains("no lease"));
        assert_eq!(world.statuses(id).await, [("a".to_owned(), "leased")]);
        assert!(secrets::list(&world.app).await.unwrap()[0].received.is_empty());

        let answer = ask(&world, &one, attempt).await;
        assert_eq!(answer.refused, "");
        assert_eq!(world.statuses(id).await, [("a".to_owned(), "running")], "committed before it is sent");
        assert_eq!(opened(&world, (one.id, "one"), &answer, attempt).unwrap(), VALUE);
        assert_eq!(opened(&world, (two.id, "two"), &answer, attempt), Err(SealError::NotForThis));
        assert_eq!(opened(&world, (one.id, "one"), &answer, later), Err(SealError::NotForThis));

        let again = ask(&world, &one, attempt).await;
        assert!(again.secrets.is_empty() && again.refused.contains("before"), "{again:?}");
        let listed = secrets::list(&world.app).await.unwrap();
        assert_eq!(listed[0].received.len(), 1);
        assert_eq!((listed[0].received[0].agent, listed[0].received[0].times), (one.id, 1));
        one.report(attempt, succeed(json!({}))).await;
        assert_eq!(world.status(id).await, "succeeded");
        assert!(ask(&world, &one, attempt).await.refused.contains("no lease"), "it is over");
    }

    async fn nothing_readable_is_kept(world) {
        set(&world, VALUE, Some(&[])).await;
        let row = world.app.store.read().await.unwrap().secret(&token()).await.unwrap().unwrap();
        let kept = format!("{row:?}");
        assert!(!kept.contains("horse") && !kept.contains(&hex::encode(VALUE)), "{kept}");
        let shown = format!("{:?}", secrets::list(&world.app).await.unwrap());
        assert!(!shown.contains("horse"), "{shown}");
        let entries = world.written(1, |action| action == "secret.set").await;
        assert!(!format!("{entries:?}").contains("horse"));
    }

    async fn a_rotation_tells_whom_it_is_about(world) {
        world.agent("two").await;
        let mut one = world.agent("one").await;
        set(&world, VALUE, Some(&["one"])).await;
        world.create(mission()).await;
        let attempt = granted(&world, &mut one).await.attempt;
        ask(&world, &one, attempt).await;
        one.report(attempt, succeed(json!({}))).await;

        let rotated = set(&world, "another value", None).await;
        assert_eq!(rotated.version, 2);
        assert_eq!(rotated.binding.agents, BTreeSet::from([one.id]), "kept");
        let knew: Vec<_> = rotated.received.iter().map(|one| (one.agent, one.version)).collect();
        assert_eq!(knew, [(one.id, 1)]);
        secrets::remove(&world.app, &world.owner().await, &token()).await.unwrap();
        assert!(secrets::list(&world.app).await.unwrap().is_empty());
        let error = secrets::remove(&world.app, &world.owner().await, &token()).await.unwrap_err();
        assert!(matches!(error, Error::NotFound { .. }), "{error}");
        assert_eq!(set(&world, VALUE, None).await.version, 3, "versions are never used again");
        assert!(secrets::list(&world.app).await.unwrap()[0].binding.is_unbound(), "nor is a binding taken up");
    }

    async fn what_no_longer_belongs_there_is_not_handed_over(world) {
        let (mut one, _two) = (world.agent("one").await, world.agent("two").await);
        set(&world, VALUE, Some(&["one"])).await;
        world.create(mission()).await;
        let attempt = granted(&world, &mut one).await.attempt;
        set(&world, "another value", Some(&["two"])).await;
        let answer = ask(&world, &one, attempt).await;
        assert!(answer.secrets.is_empty() && answer.refused.contains("does not belong"), "{answer:?}");
        secrets::remove(&world.app, &world.owner().await, &token()).await.unwrap();
        assert!(ask(&world, &one, attempt).await.refused.contains("no secret"));
        assert!(world.try_create(mission()).await.unwrap_err().to_string().contains("no secret `token`"));
    }

    async fn another_master_key_opens_all_of_it(world) {
        let id = world.enroll("one").await;
        set(&world, VALUE, Some(&["one"])).await;
        let world = world.rotate().await;
        let mut one = Agent::connect(&world, id, 1, Vec::new()).await;
        world.create(mission()).await;
        let attempt = granted(&world, &mut one).await.attempt;
        let answer = ask(&world, &one, attempt).await;
        assert_eq!(opened(&world, (id, "one"), &answer, attempt).unwrap(), VALUE);
    }
}
