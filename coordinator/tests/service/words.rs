//! Words that people and programs wrote: not in the audit log itself, shown with it, and erased with what they are about.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use nexusmon_coordinator::app::events::EventFilter;
use nexusmon_coordinator::service::approvals::{self, NewDecision, Verdict};
use nexusmon_coordinator::service::{audit, events, retention};
use nexusmon_core::audit::{Trusted, Verified, Verifier};
use nexusmon_shared::outcome::{Cause, Ending};
use serde_json::{Value, json};

use crate::harness::*;

/// In everything that somebody says here.
const WORD: &str = "Zebulon";

/// The export as it is, and what holds of it.
async fn exported(world: &World) -> (String, Verified) {
    let lines: Vec<String> = audit::export(&world.app).await.unwrap().try_collect().await.unwrap();
    let text = lines.concat();
    let mut verifier = Verifier::new(Trusted::default());
    for line in text.lines() {
        verifier.line(line.as_bytes()).unwrap();
    }
    (text, verifier.finish().unwrap())
}

/// What the signed tree is over, without what stands beside it.
fn leaves(export: &str) -> String {
    let entry = |line| serde_json::from_str::<Value>(line).unwrap()["entry"].to_string();
    export.lines().map(entry).collect::<Vec<_>>().join("\n")
}

/// The words that went with so many missions, as the tombstones say. Swept until they are gone: one that succeeded is kept
/// until what it earned is known.
async fn forgotten(world: &World, missions: usize) -> u64 {
    let looking = async {
        loop {
            retention::sweep(&world.app).await.unwrap();
            let stones = world.written(1, |action| action == "missions.forgotten").await;
            let gone = |stone: &audit::AuditView| stone.body["missions"].as_array().map_or(0, Vec::len);
            if stones.iter().map(gone).sum::<usize>() == missions {
                return stones.iter().filter_map(|stone| stone.body["words_erased"].as_u64()).sum();
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("they are forgotten in time")
}

/// All events there ever were.
async fn told(world: &World, count: usize) -> Vec<(String, Value, Vec<String>)> {
    let stream = events::subscribe(&world.app, Some(0), EventFilter::default()).await.unwrap();
    let events =
        stream.take(count).map_ok(|event| (event.kind.clone(), event.body.clone(), event.erased.clone()));
    events.try_collect().await.unwrap()
}

both! {
    async fn words_stand_beside_the_log_and_go_with_their_mission(world) {
        let mut agent = world.agent("a").await;
        let owner = world.logged_in().await;
        let grave = world.create(json!({"goal": "call Zebulon", "rank": "A", "tasks": [{"id": "a", "uses": "core.noop"}]})).await;
        let decision = NewDecision {
            verdict: Verdict::Reject,
            digest: grave.plan.unwrap().digest,
            comment: Some("never call Zebulon".to_owned()),
            signature: None,
        };
        approvals::decide(&world.app, &owner, grave.approval.unwrap(), decision).await.unwrap();
        let broken = world.create(json!({"goal": "ask Zebulon", "tasks": [{"id": "a", "uses": "probe.run"}]})).await;
        let cause = Cause::PluginError { detail: "Zebulon does not answer".to_owned() };
        agent.work(&world, |_, _| Ending::Failed { cause: cause.clone() }).await;
        assert_eq!(world.status(broken.summary.id).await, "failed");

        // Whoever asks is shown everything, and nothing of it is in the tree.
        let said = [
            ("mission.created", "/goal", json!("ask Zebulon")), ("mission.created", "/goal", json!("call Zebulon")),
            ("approval.decided", "/comment", json!("never call Zebulon")),
            ("task.settled", "/cause/detail", json!("Zebulon does not answer")),
            ("mission.completed", "/failure/cause/detail", json!("Zebulon does not answer")),
        ];
        world.written(1, |action| action == "mission.completed").await;
        let all = world.written(6, |_| true).await;
        for (action, place, words) in &said {
            let found = |entry: &&audit::AuditView| entry.action == *action && entry.body.pointer(place) == Some(words);
            let entry = all.iter().find(found).unwrap_or_else(|| panic!("{action} {place}: {all:#?}"));
            assert!(entry.sealed.contains_key(*place) && entry.erased.is_empty(), "{entry:?}");
        }
        let (export, before) = exported(&world).await;
        assert!(export.contains(WORD) && !leaves(&export).contains(WORD), "{}", leaves(&export));
        assert_eq!(before.words_erased, 0);
        assert!(before.words >= 5);
        let heard = told(&world, all.len()).await;
        let goals = |heard: &[(String, Value, Vec<String>)]| {
            heard.iter().filter(|(kind, ..)| kind == "mission.created").map(|(_, body, _)| body["goal"].clone()).collect::<Vec<_>>()
        };
        assert_eq!(goals(&heard), [json!("call Zebulon"), json!("ask Zebulon")]);
        // What goes right pays nothing.
        let settled = world.create(json!({"goal": "g", "tasks": [{"id": "a", "uses": "probe.run"}]})).await;
        agent.work(&world, |_, _| succeed(json!({}))).await;
        assert_eq!(world.status(settled.summary.id).await, "succeeded");
        for action in ["task.granted", "task.settled"] {
            let entries = world.written(2, |one| one == action).await;
            assert!(entries[0].sealed.is_empty(), "{:?}", entries[0]);
        }

        // The missions are forgotten, and with them what was said: no word of it is anywhere.
        world.clock.advance(Duration::from_hours(24 * 800));
        let erased = forgotten(&world, 3).await;
        assert!(erased >= 5, "{erased}");
        let (export, after) = exported(&world).await;
        assert!(!export.contains(WORD), "{export}");
        assert_eq!(after.words_erased, erased);
        assert!(after.entries > before.entries && after.words > after.words_erased);
        let entry = world.written(3, |action| action == "mission.created").await.pop().unwrap();
        assert_eq!((&entry.body["goal"], entry.erased), (&Value::Null, vec!["/goal".to_owned()]));
        let heard = told(&world, all.len()).await;
        assert_eq!(goals(&heard), [Value::Null, Value::Null]);
        assert!(heard.iter().any(|(kind, _, erased)| kind == "approval.decided" && erased == &["/comment"]));
    }
}
