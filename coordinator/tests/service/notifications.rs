//! When people are told, on simulated time: quiet hours, digests, escalation, and what is over by then.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use nexusmon_coordinator::service::notifications::{
    self, DeliveryView, Hidden, NewChannel, NewRule, RuleView, channel, rule,
};
use nexusmon_shared::id::ChannelId;
use nexusmon_store::testing::TestDatabase;
use serde_json::{Value, json};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use crate::harness::{World, both};

const PATIENCE: Duration = Duration::from_secs(20);

/// A webhook's receiver.
struct Hook {
    url: String,
    got: UnboundedReceiver<Value>,
    _serving: JoinSet<std::io::Result<()>>,
}

/// What comes next is answered from the end of this; after that everything is fine. `CONTINUE` is not answered at all.
type Answers = Arc<Mutex<Vec<StatusCode>>>;

async fn taken(
    State((told, answers)): State<(UnboundedSender<Value>, Answers)>,
    headers: http::HeaderMap,
    body: axum::body::Bytes,
) -> StatusCode {
    let mut message: Value = serde_json::from_slice(&body).unwrap();
    message["webhook-id"] = json!(headers["webhook-id"].to_str().unwrap());
    let _ = told.send(message);
    let answer = answers.lock().unwrap().pop().unwrap_or(StatusCode::OK);
    if answer == StatusCode::CONTINUE {
        return std::future::pending().await;
    }
    answer
}

impl Hook {
    async fn open() -> Self {
        Self::answering(Vec::new()).await
    }

    async fn answering(answers: Vec<StatusCode>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/x", listener.local_addr().unwrap());
        let (told, got) = mpsc::unbounded_channel();
        let service =
            Router::new().route("/x", post(taken)).with_state((told, Arc::new(Mutex::new(answers))));
        let mut serving = JoinSet::new();
        serving.spawn(async move { axum::serve(listener, service).await });
        Self { url, got, _serving: serving }
    }

    async fn next(&mut self) -> Value {
        tokio::time::timeout(PATIENCE, self.got.recv()).await.expect("a message in time").unwrap()
    }

    async fn channel(&self, world: &World, name: &str) -> ChannelId {
        let new = NewChannel {
            name: name.to_owned(),
            kind: "webhook".to_owned(),
            url: Some(self.url.clone()),
            key: None::<Hidden>,
            token: None,
            server: None,
            from: None,
            to: Vec::new(),
        };
        channel::create(&world.app, &world.owner().await, new).await.unwrap().channel.id
    }
}

fn new_rule(channel: ChannelId, wanted: &Value, paused: bool) -> NewRule {
    NewRule { name: "a rule".to_owned(), channel, rule: rule::read(wanted).unwrap(), paused }
}

async fn keep(world: &World, channel: ChannelId, wanted: Value) -> RuleView {
    let new = new_rule(channel, &wanted, false);
    rule::create(&world.app, &world.owner().await, new).await.unwrap()
}

/// Missions that wait for an approval, and the places at which they were written down.
async fn grave(world: &World, count: usize) -> Vec<nexusmon_shared::id::ApprovalId> {
    let body = json!({"goal": "grave", "tasks": [{"id": "a", "uses": "core.noop", "sandbox": "none"}]});
    let before = world.app.store.read().await.unwrap().pending_count().await;
    let mut made = Vec::new();
    for _ in 0..count {
        made.push(world.create(body.clone()).await.approval.unwrap());
    }
    world.written(before + count, |action| action == "approval.requested").await;
    made
}

trait Pending {
    async fn pending_count(&mut self) -> usize;
}

impl Pending for nexusmon_store::Connection {
    async fn pending_count(&mut self) -> usize {
        let filter = nexusmon_store::ApprovalFilter::default();
        self.approval_list(&filter, &nexusmon_store::PageRequest::first(200)).await.unwrap().items.len()
    }
}

async fn look(world: &World) {
    notifications::gather(&world.app).await.unwrap();
    notifications::look(&world.app).await.unwrap();
}

/// Newest first.
async fn deliveries(world: &World) -> Vec<DeliveryView> {
    let page = nexusmon_coordinator::service::PageRequest { limit: Some(200), cursor: None };
    notifications::deliveries(&world.app, &world.owner().await, page).await.unwrap().items
}

/// The states of all that was told, once none of them is under way any more.
async fn settled(world: &World, wanted: &[&str]) {
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            let mut states: Vec<_> = deliveries(world).await.iter().map(|one| one.state).collect();
            states.sort_unstable();
            if states == wanted {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.expect("these states in time");
}

both! {
    async fn what_comes_in_quiet_hours_is_said_together_at_their_end(world) {
        let mut hook = Hook::open().await;
        // The world begins at 2030-03-17T17:46:40Z.
        let channel = hook.channel(&world, "ops").await;
        keep(&world, channel, json!({"kinds": ["approval"], "quiet": {"from": "17:00", "to": "18:00"}})).await;
        grave(&world, 3).await;
        look(&world).await;
        settled(&world, &["waiting", "waiting", "waiting"]).await;
        assert!(hook.got.try_recv().is_err(), "told in quiet hours");
        world.clock.advance(Duration::from_mins(14));
        look(&world).await;
        let told = hook.next().await;
        assert_eq!((&told["count"], told["items"].as_array().map(Vec::len)), (&json!(3), Some(3)), "{told}");
        settled(&world, &["sent", "sent", "sent"]).await;
        // Looking again tells nobody twice.
        look(&world).await;
        assert!(hook.got.try_recv().is_err(), "told twice");
    }

    async fn what_is_over_is_not_told_and_a_digest_holds_the_rest(world) {
        let mut hook = Hook::open().await;
        let channel = hook.channel(&world, "ops").await;
        keep(&world, channel, json!({"kinds": ["approval"], "digest": "30m"})).await;
        let made = grave(&world, 2).await;
        notifications::gather(&world.app).await.unwrap();
        // Its mission is cancelled meanwhile, and the approval with it.
        let row = world.app.store.read().await.unwrap().approval(made[0]).await.unwrap().unwrap();
        let owner = world.owner().await;
        nexusmon_coordinator::service::missions::cancel(&world.app, &owner, row.mission.unwrap()).await.unwrap();
        world.clock.advance(Duration::from_mins(31));
        look(&world).await;
        let told = hook.next().await;
        assert_eq!((&told["count"], &told["items"][0]["subject"]), (&json!(1), &json!(made[1])), "{told}");
        settled(&world, &["moot", "sent"]).await;
    }

    async fn an_approval_that_nobody_looks_at_is_told_elsewhere(world) {
        let (mut first, mut second) = (Hook::open().await, Hook::open().await);
        let channel = first.channel(&world, "first").await;
        let other = second.channel(&world, "second").await;
        keep(&world, channel, json!({"kinds": ["approval"], "escalate": {"after": "15m", "channel": other}})).await;
        let made = grave(&world, 2).await;
        look(&world).await;
        first.next().await;
        settled(&world, &["sent", "waiting", "waiting", "waiting"]).await;
        look(&world).await;
        first.next().await;
        // One of them is looked at.
        notifications::saw(&world.app, &world.owner().await, made[0]).await.unwrap();
        world.clock.advance(Duration::from_mins(16));
        look(&world).await;
        settled(&world, &["moot", "sent", "sent", "waiting"]).await;
        look(&world).await;
        let told = second.next().await;
        let item = &told["items"][0];
        assert_eq!((&item["subject"], &item["escalated"]), (&json!(made[1]), &json!(true)), "{told}");
        assert!(item["text"].as_str().unwrap().starts_with("Nobody has looked yet: an approval"), "{told}");
        settled(&world, &["moot", "sent", "sent", "sent"]).await;
    }

    async fn where_one_was_not_taken_the_next_waits_for_it(world) {
        let mut hook = Hook::answering(vec![StatusCode::SERVICE_UNAVAILABLE]).await;
        let channel = hook.channel(&world, "ops").await;
        keep(&world, channel, json!({"kinds": ["approval"]})).await;
        grave(&world, 2).await;
        look(&world).await;
        let first = hook.next().await["items"][0]["subject"].clone();
        let noted = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            while deliveries(&world).await.iter().all(|one| one.error.is_none()) {
                pace.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, noted).await.expect("an attempt that failed");
        // Nothing is claimed before that one is due again, ten seconds later.
        let within = notifications::look(&world.app).await.unwrap();
        assert_eq!(within, notifications::Look::Within(Duration::from_secs(10)));
        let attempts = deliveries(&world).await.iter().map(|one| one.attempts).sum::<u64>();
        assert_eq!(attempts, 1, "the second was tried where the first had just failed");
        world.clock.advance(Duration::from_secs(11));
        look(&world).await;
        assert_eq!(hook.next().await["items"][0]["subject"], first);
        settled(&world, &["sent", "waiting"]).await;
        look(&world).await;
        assert_ne!(hook.next().await["items"][0]["subject"], first);
        settled(&world, &["sent", "sent"]).await;
    }

    async fn a_rule_that_is_paused_tells_nothing_that_waited(world) {
        let hook = Hook::open().await;
        let channel = hook.channel(&world, "ops").await;
        let wanted = json!({"kinds": ["approval"], "digest": "30m"});
        let made = keep(&world, channel, wanted.clone()).await;
        grave(&world, 2).await;
        look(&world).await;
        settled(&world, &["waiting", "waiting"]).await;
        // Another name changes nothing of what is told.
        let owner = world.owner().await;
        let mut new = new_rule(channel, &wanted, false);
        "another name".clone_into(&mut new.name);
        rule::change(&world.app, &owner, made.id, new, None).await.unwrap();
        assert_eq!(deliveries(&world).await.len(), 2);
        rule::change(&world.app, &owner, made.id, new_rule(channel, &wanted, true), None).await.unwrap();
        assert!(deliveries(&world).await.is_empty(), "what waited is told all the same");
    }

    async fn an_agent_that_stays_away_is_lost_once(world) {
        let mut hook = Hook::open().await;
        let channel = hook.channel(&world, "ops").await;
        keep(&world, channel, json!({"kinds": ["agent_lost"]})).await;
        let agent = world.agent("m1").await;
        let id = agent.id;
        notifications::look_for_lost(&world.app).await.unwrap();
        nexusmon_coordinator::service::agents::goodbye(&world.app, agent.live, None);
        let closing = async {
            let mut pace = tokio::time::interval(Duration::from_millis(20));
            loop {
                pace.tick().await;
                let session = world.app.store.read().await.unwrap().agent_session(id).await.unwrap();
                if !session.unwrap().connected {
                    return;
                }
            }
        };
        tokio::time::timeout(PATIENCE, closing).await.expect("a closed session");
        world.clock.advance(Duration::from_mins(4));
        notifications::look_for_lost(&world.app).await.unwrap();
        notifications::look_for_lost(&world.app).await.unwrap();
        let lost = world.written(1, |action| action == "agent.lost").await;
        assert_eq!((lost.len(), &lost[0].subject), (1, &id.to_string()));
        look(&world).await;
        assert_eq!(hook.next().await["items"][0]["subject"], json!(id));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_coordinators_one_sends_each_message() {
    let one = World::new(TestDatabase::postgres().await.unwrap()).await;
    let two = one.beside("node-2").await;
    let mut hooks = Vec::new();
    for name in ["a", "b", "c"] {
        let hook = Hook::open().await;
        let channel = hook.channel(&one, name).await;
        let wanted = json!({"kinds": ["approval"]});
        let new = NewRule { name: name.to_owned(), ..new_rule(channel, &wanted, false) };
        rule::create(&one.app, &one.owner().await, new).await.unwrap();
        hooks.push(hook);
    }
    grave(&one, 5).await;
    notifications::gather(&one.app).await.unwrap();
    notifications::gather(&two.app).await.unwrap();
    assert_eq!(deliveries(&one).await.len(), 15, "each thing is one row, whoever gathered it");
    let sending = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        while deliveries(&one).await.iter().any(|row| row.state == "waiting") {
            pace.tick().await;
            let looks = [&one, &two, &one, &two].map(|world| notifications::look(&world.app));
            for looked in futures::future::join_all(looks).await {
                looked.unwrap();
            }
        }
    };
    tokio::time::timeout(PATIENCE, sending).await.expect("all of them in time");
    assert!(deliveries(&two).await.iter().all(|row| (row.state, row.attempts) == ("sent", 1)));
    for mut hook in hooks {
        let mut subjects = std::collections::BTreeSet::new();
        for _ in 0..5 {
            subjects.insert(hook.next().await["items"][0]["subject"].to_string());
        }
        assert_eq!(subjects.len(), 5, "each once");
        assert!(hook.got.try_recv().is_err(), "told twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_coordinator_ended_over_another_sends_again() {
    let one = World::new(TestDatabase::postgres().await.unwrap()).await;
    let two = one.beside("node-2").await;
    let mut hook = Hook::answering(vec![StatusCode::CONTINUE]).await;
    let channel = hook.channel(&one, "ops").await;
    keep(&one, channel, json!({"kinds": ["approval"]})).await;
    grave(&one, 1).await;
    notifications::gather(&one.app).await.unwrap();
    notifications::look(&two.app).await.unwrap();
    let first = hook.next().await;
    // It has said it, nobody knows whether it was heard, and it is gone.
    two.kill().await;
    notifications::look(&one.app).await.unwrap();
    assert_eq!(deliveries(&one).await[0].attempts, 1, "it is claimed still");
    one.clock.advance(Duration::from_secs(61));
    notifications::look(&one.app).await.unwrap();
    let again = hook.next().await;
    assert_eq!(again, first, "the same under the same name");
    settled(&one, &["sent"]).await;
    assert_eq!(deliveries(&one).await[0].attempts, 2);
}
