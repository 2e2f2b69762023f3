//! Webhooks that our own notifications call: what they lead to is a chain, with the bounds of one; and how much any webhook
//! makes.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use nexusmon_coordinator::error::Error;
use nexusmon_coordinator::service::triggers::FiringView;
use nexusmon_coordinator::service::triggers::webhooks::{self, NewlyKeyed, Received};
use nexusmon_coordinator::service::{PageRequest, chains};
use nexusmon_shared::id::{MissionId, TriggerId};
use nexusmon_shared::time::Clock as _;
use nexusmon_store::{FiringResult, TriggerState};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::harness::{World, both, exit};

async fn hook(world: &World, more: Value) -> NewlyKeyed {
    let mut body = json!({"name": "called", "format": "generic",
        "mission": {"goal": "again", "tasks": [{"id": "t", "uses": "probe.run"}]}});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    webhooks::create(&world.app, &world.logged_in().await, &body).await.unwrap()
}

/// As whoever has the key signs it.
async fn call(world: &World, hook: &NewlyKeyed, id: &str, body: &Value) -> Received {
    // What comes at the same moment has no order.
    world.clock.advance(Duration::from_millis(2));
    let (seconds, body) = (world.clock.now().as_micros() / 1_000_000, body.to_string());
    let key = STANDARD.decode(hook.secret.strip_prefix("whsec_").unwrap()).unwrap();
    let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
    mac.update(format!("{id}.{seconds}.{body}").as_bytes());
    let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let seconds = seconds.to_string();
    let header = |name: &str| match name {
        "webhook-id" => Some(id),
        "webhook-timestamp" => Some(seconds.as_str()),
        "webhook-signature" => Some(signature.as_str()),
        _ => None,
    };
    webhooks::receive(&world.app, hook.webhook.id, &header, body.as_bytes(), || true).await.unwrap()
}

/// What a channel of ours would send of these missions.
fn told(world: &World, missions: &[MissionId]) -> Value {
    let items: Vec<_> =
        missions.iter().map(|id| json!({"kind": "failure", "subject": id, "mission": id})).collect();
    json!({"type": "notification", "organism": world.app.organism, "count": items.len(), "items": items})
}

async fn firings(world: &World, id: TriggerId) -> Vec<FiringView> {
    let page = PageRequest { limit: Some(200), cursor: None };
    webhooks::firings(&world.app, id, page).await.unwrap().items
}

async fn last(world: &World, id: TriggerId) -> MissionId {
    webhooks::get(&world.app, id).await.unwrap().last_mission.unwrap()
}

both! {
    async fn what_our_own_notification_called_for_is_a_link_of_the_chain(world) {
        let mut agent = world.agent("a").await;
        let made = hook(&world, json!({"max_depth": 2})).await;
        let id = made.webhook.id;
        let body = json!({"goal": "first", "tasks": [{"id": "t", "uses": "probe.run"}]});
        let (root, other) = (world.create(body.clone()).await.summary.id, world.create(body).await.summary.id);
        agent.work(&world, |_, _| exit(1)).await;
        assert_eq!(call(&world, &made, "m0", &told(&world, &[root])).await, Received::Fired);
        let first = last(&world, id).await;
        // Of several missions the deepest led to it.
        assert_eq!(call(&world, &made, "m1", &told(&world, &[other, first])).await, Received::Fired);
        let second = last(&world, id).await;
        assert_eq!(call(&world, &made, "m2", &told(&world, &[second])).await, Received::Failed);
        let found = firings(&world, id).await;
        assert_eq!(found[0].result, FiringResult::Skipped);
        assert!(found[0].reason.as_ref().unwrap().contains("3. link of a chain; `max_depth` is 2"), "{:?}", found[0].reason);
        let story = chains::story(&world.app, second).await.unwrap();
        let items: Vec<_> = story.items.iter().map(|item| (item.mission, item.depth)).collect();
        assert_eq!(items, [(root, 0), (first, 1), (second, 2)]);
        assert_eq!(story.items[2].started_by, chains::StartedBy::Trigger(id.to_string(), Some("called".to_owned())));
        // Another organism's message, and one of no mission of ours, begin chains of their own.
        let mut foreign = told(&world, &[second]);
        foreign["organism"] = json!("org_00000000000000000000000001");
        assert_eq!(call(&world, &made, "m3", &foreign).await, Received::Fired);
        assert_eq!(call(&world, &made, "m4", &told(&world, &[MissionId::from_bits(1)])).await, Received::Fired);
        let alone = last(&world, id).await;
        assert_eq!(chains::story(&world.app, alone).await.unwrap().items.len(), 1);
    }

    async fn a_circle_through_our_own_notifications_pauses_the_webhook(world) {
        let mut agent = world.agent("a").await;
        let made = hook(&world, json!({"max_depth": 16, "max_repeats": 2})).await;
        let id = made.webhook.id;
        // Work that is the same each time is what calls from outside are for.
        for number in 0..5 {
            let (name, body) = (format!("outside {number}"), json!({"ref": "main"}));
            assert_eq!(call(&world, &made, &name, &body).await, Received::Fired);
            agent.work(&world, |_, _| exit(1)).await;
        }
        assert_eq!(webhooks::get(&world.app, id).await.unwrap().state, TriggerState::Active);
        world.clock.advance(Duration::from_hours(2));
        agent.beat(4);
        let mut at = last(&world, id).await;
        for number in 0..3 {
            assert_eq!(call(&world, &made, &format!("m{number}"), &told(&world, &[at])).await, Received::Fired);
            agent.work(&world, |_, _| exit(1)).await;
            at = last(&world, id).await;
        }
        assert_eq!(call(&world, &made, "m3", &told(&world, &[at])).await, Received::Failed);
        let paused = webhooks::get(&world.app, id).await.unwrap();
        assert_eq!(paused.state, TriggerState::Paused);
        assert!(paused.reason.as_ref().unwrap().contains("3 missions of the same shape"), "{:?}", paused.reason);
        assert_eq!(call(&world, &made, "m4", &told(&world, &[at])).await, Received::Ignored);
        let alerts = world.written(1, |action| action == "alert.raised").await;
        assert!(alerts[0].body.to_string().contains("`called` is paused"), "{:?}", alerts[0].body);
        // Whoever resumes it lets it begin anew.
        webhooks::resume(&world.app, &world.logged_in().await, id).await.unwrap();
        assert_eq!(call(&world, &made, "m5", &told(&world, &[at])).await, Received::Fired);
    }

    async fn a_webhook_that_makes_too_much_pauses_and_the_operator_is_told(world) {
        let agent = world.agent("a").await;
        let made = hook(&world, json!({"per_hour": 3})).await;
        let id = made.webhook.id;
        let body = json!({"ref": "main"});
        for number in 0..3 {
            assert_eq!(call(&world, &made, &format!("m{number}"), &body).await, Received::Fired);
        }
        // An hour later there is room again.
        world.clock.advance(Duration::from_mins(61));
        for number in 3..6 {
            assert_eq!(call(&world, &made, &format!("m{number}"), &body).await, Received::Fired);
        }
        assert_eq!(call(&world, &made, "m6", &body).await, Received::Failed);
        assert_eq!(call(&world, &made, "m7", &body).await, Received::Ignored);
        let paused = webhooks::get(&world.app, id).await.unwrap();
        assert_eq!(paused.state, TriggerState::Paused);
        assert!(paused.reason.unwrap().contains("it made 3 missions within an hour"));
        assert_eq!(world.written(1, |action| action == "trigger.paused").await.len(), 1);
        let alerts = world.written(1, |action| action == "alert.raised").await;
        assert_eq!((alerts.len(), alerts[0].subject.as_str()), (1, id.to_string().as_str()));
        let person = world.logged_in().await;
        webhooks::resume(&world.app, &person, id).await.unwrap();
        assert_eq!(call(&world, &made, "m6", &body).await, Received::Fired, "what made nothing may be sent again");
        let wrong = json!({"name": "b", "format": "generic", "per_hour": 0,
            "mission": {"goal": "x", "tasks": [{"id": "t", "uses": "core.noop"}]}});
        match webhooks::create(&world.app, &person, &wrong).await.unwrap_err() {
            Error::Invalid(fields) => assert_eq!(fields[0].pointer, "/per_hour"),
            other => panic!("{other}"),
        }
        drop(agent);
    }
}
