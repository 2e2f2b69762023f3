//! What is remembered, and who may read it.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use nexusmon_coordinator::service::evolution::{self, TraitChange, change_trait};
use nexusmon_coordinator::service::memory::{self, Asked, MemoryView, Recalled};
use nexusmon_coordinator::service::{PageRequest, tasks, vault};
use nexusmon_core::memory::Quality;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id::{MemoryId, MissionId};
use nexusmon_shared::outcome::{ProducedArtifact, Report};
use nexusmon_shared::sandbox::Level;
use nexusmon_store::{MemoryKind, MemoryRow, StoreError};
use serde_json::json;

use crate::harness::*;

/// Looks until memory holds so many, each of the newest runs counted.
async fn learned(world: &World, kept: usize, runs: u64) -> Vec<MemoryView> {
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(20));
        loop {
            pace.tick().await;
            memory::learn(&world.app).await.unwrap();
            let found = memory::search(&world.app, None, None, 50).await.unwrap();
            if found.len() == kept && found.iter().map(|one| one.runs).sum::<u64>() == runs {
                return found;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), looking).await.expect("it is learned in time")
}

async fn similar(world: &World, goal: &str) -> Vec<Recalled> {
    let mut read = world.app.store.read().await.unwrap();
    memory::similar(&world.app, &mut read, goal, 5).await.unwrap()
}

/// One mission that a probe carries out.
async fn run(world: &World, agent: &mut Agent, goal: &str, ends: bool) -> MissionId {
    let made = world
        .create(json!({"goal": goal, "tasks": [{"id": "look", "uses": "probe.run", "retry": {"max": 0},
            "with": {"what": "the attic"}}]}))
        .await;
    agent.work(world, |_, _| if ends { succeed(json!({"found": 3})) } else { exit(4) }).await;
    evolution::settle(&world.app).await.unwrap();
    made.summary.id
}

/// One mission that leaves a text behind.
async fn leave(world: &World, agent: &mut Agent, goal: &str, text: String) -> (MissionId, Digest) {
    let tasks = json!([{"id": "look", "uses": "probe.run"}]);
    let made = world.create(json!({"goal": goal, "tasks": tasks})).await;
    agent.live.set_credit(4);
    world.tick().await;
    let attempt = agent.orders().remove(0).attempt;
    let stored = world.app.blobs.put(Bytes::from(text)).await.unwrap();
    let rows = vec![(stored.digest, i64::try_from(stored.size).unwrap())];
    world
        .app
        .store
        .write_with("testing", rows, |tx, rows| {
            Box::pin(async move {
                let now = tx.now();
                tx.put_blobs(rows, now).await
            })
        })
        .await
        .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
    let now = world.app.clock.now();
    let artifact = ProducedArtifact {
        name: "list.txt".to_owned(),
        digest: stored.digest,
        size: stored.size,
        media_type: "text/plain".to_owned(),
        withheld: false,
    };
    let report = Report {
        attempt,
        ending: succeed(json!({})),
        started_at: Some(now),
        finished_at: now,
        artifacts: vec![artifact],
        log_bytes: 0,
        sandbox_level: Some(Level::L3),
        provenance: None,
    };
    tasks::report(&world.app, agent.id, agent.live.session(), vec![report]).await.unwrap();
    assert_eq!(world.status(made.summary.id).await, "succeeded");
    (made.summary.id, stored.digest)
}

both! {
    async fn what_a_mission_left_and_what_was_said_of_it_are_found_by_their_words(world) {
        let mut agent = world.agent("a").await;
        let owner = world.owner().await;
        let filler = "straw ".repeat(17_000);
        let text = format!("zebrafish {filler} quokka {filler} narwhal");
        let (mission, _) = leave(&world, &mut agent, "list the animals", text).await;
        let filter = vault::ArtifactFilter { mission: Some(mission), ..vault::ArtifactFilter::default() };
        let left = vault::list(&world.app, filter, PageRequest::default()).await.unwrap().items;
        let said = Some("pelicans are missing".to_owned());
        vault::review(&world.app, &owner, left[0].id, None, vault::ArtifactVerdict::Comment, said).await.unwrap();
        learned(&world, 3, 1).await;
        let kinds = async |word: &str| {
            let found = memory::search(&world.app, Some(word), None, 5).await.unwrap();
            found.iter().map(|one| one.kind).collect::<Vec<_>>()
        };
        // Of a long text the beginning and the end are known.
        assert_eq!((kinds("zebrafish").await, kinds("narwhal").await), (vec!["artifact"], vec!["artifact"]));
        assert!(kinds("quokka").await.is_empty());
        assert_eq!(kinds("pelicans").await, ["review"]);
    }

    async fn a_text_that_cannot_be_read_keeps_nothing_else_from_being_learned(world) {
        let mut agent = world.agent("a").await;
        let (_, digest) = leave(&world, &mut agent, "list the animals", "zebrafish".to_owned()).await;
        let file = digest.to_string();
        let root = world.app.config.blobs_url.strip_prefix("file://").unwrap();
        let path = Path::new(root).join("objects").join(&file[..2]).join(&file);
        // Something is there that is no file.
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        run(&world, &mut agent, "sweep the yard", true).await;
        let found = learned(&world, 2, 2).await;
        assert!(found.iter().all(|one| one.kind == "mission"), "{found:?}");
    }

    async fn missions_are_remembered_once_and_recalled_by_those_who_may(world) {
        let mut agent = world.agent("a").await;
        // Nothing is verified yet: the system may not look.
        let failed = run(&world, &mut agent, "search the cellar for mice", false).await;
        let found = learned(&world, 1, 1).await;
        assert_eq!((found[0].outcome, found[0].failed, found[0].mission), ("failed", 1, Some(failed)));
        assert_eq!(similar(&world, "search the cellar").await.len(), 0, "RECALL is locked");

        let first = run(&world, &mut agent, "count the boxes in the attic", true).await;
        let found = learned(&world, 2, 2).await;
        let attic = found.iter().find(|one| one.mission == Some(first)).unwrap();
        assert_eq!((attic.outcome, attic.verified, attic.runs), ("verified", 1, 1));
        let recalled = similar(&world, "please count boxes of the attic").await;
        assert_eq!(recalled.len(), 1, "{recalled:?}");
        assert_eq!((recalled[0].mission, recalled[0].outcome), (first, Quality::Verified));
        assert_eq!(recalled[0].plan[0].with["what"], "the attic");
        assert!(recalled[0].is_verified() && recalled[0].likeness > 0.99);

        // The same again is the same memory; a failed run does not take the place of the one that verified.
        run(&world, &mut agent, "count the boxes in the attic", true).await;
        run(&world, &mut agent, "count the boxes in the attic", false).await;
        let found = learned(&world, 2, 4).await;
        let attic = found.iter().find(|one| one.title.contains("attic")).unwrap();
        assert_eq!((attic.runs, attic.succeeded, attic.failed, attic.verified), (3, 2, 1, 1));
        assert_eq!(attic.mission, Some(first), "the same work counts once a day");
        assert_eq!(attic.recalled, 1);

        // Looked for by what is in the plan, not only by its goal.
        let by_text = memory::search(&world.app, Some("probe attic"), None, 10).await.unwrap();
        assert_eq!(by_text[0].title, "count the boxes in the attic");
        assert!(by_text[0].score > by_text[1].score, "{by_text:?}");
        assert!(memory::search(&world.app, Some("zebra"), None, 10).await.unwrap().is_empty());
        let uses = world.app.store.read().await.unwrap().memory_uses(0).await.unwrap();
        let of = |purpose: &str| uses.iter().find(|one| one.purpose == purpose).map(|one| (one.asked, one.hits));
        assert_eq!((of("search"), of("planning")), (Some((2, 1)), Some((1, 1))));
        let written = world.written(1, |action| action == "memory.recalled").await;
        assert_eq!((written[0].actor.as_str(), &written[0].body["trait"]), ("nexusmon", &json!("RECALL")));
    }

    async fn what_is_forgotten_stays_forgotten(world) {
        let mut agent = world.agent("a").await;
        run(&world, &mut agent, "count the boxes in the attic", true).await;
        let found = learned(&world, 1, 1).await;
        let owner = world.owner().await;
        memory::forget(&world.app, &owner, found[0].id).await.unwrap();
        assert!(memory::forget(&world.app, &owner, found[0].id).await.is_err(), "once");
        assert!(memory::search(&world.app, Some("attic"), None, 10).await.unwrap().is_empty());
        assert!(similar(&world, "count the boxes in the attic").await.is_empty());

        // Neither a later run nor another process brings it back.
        run(&world, &mut agent, "count the boxes in the attic", true).await;
        run(&world, &mut agent, "sweep the yard", true).await;
        drop(agent);
        let world = world.restart().await;
        let found = learned(&world, 1, 1).await;
        assert_eq!(found[0].title, "sweep the yard");
        let written = world.written(1, |action| action == "memory.forgotten").await;
        assert_eq!(written[0].actor, owner.principal.to_string());
        assert!(!written[0].body.to_string().contains("attic"));
        assert_eq!(written[0].body["words_erased"], 1);
        // Nor does the audit trail say it of the mission behind the memory; another run is its own.
        let goals = world.written(3, |action| action == "mission.created").await;
        let goals: Vec<_> = goals.iter().map(|entry| (&entry.body["goal"], entry.erased.clone())).collect();
        let again = json!("count the boxes in the attic");
        let other = json!("sweep the yard");
        assert_eq!(goals, [(&other, vec![]), (&again, vec![]), (&serde_json::Value::Null, vec!["/goal".to_owned()])]);
    }

    async fn what_is_erased_is_not_found_in_memory(world) {
        let owner = world.logged_in().await;
        let upload = vault::NewUpload {
            name: "list.txt".to_owned(),
            media_type: "text/plain".to_owned(),
            mission: None,
            digest: None,
        };
        let bytes = futures::stream::once(async { Ok(Bytes::from_static(b"Zebulon Quux lives here")) }).boxed();
        let artifact = vault::upload(&world.app, &owner, upload, bytes).await.unwrap().artifact;
        let now = world.app.clock.now();
        let row = MemoryRow {
            id: MemoryId::from_bits(1),
            kind: MemoryKind::Artifact,
            subject: artifact.latest.digest.to_string(),
            mission: None,
            skeleton: None,
            title: "list.txt".to_owned(),
            body: "Zebulon Quux lives here".to_owned(),
            quality: 3,
            runs: 0,
            verified: 0,
            succeeded: 0,
            failed: 0,
            recalled: 0,
            used: 0,
            at: now,
            forgotten_at: None,
        };
        world
            .app
            .store
            .write_with("testing", row, |tx, row| Box::pin(async move { tx.remember_texts(&[row]).await }))
            .await
            .unwrap_or_else(|error: StoreError| panic!("{error:?}"));
        assert_eq!(memory::search(&world.app, Some("zebulon"), None, 5).await.unwrap().len(), 1);
        let said = world.written(1, |action| action == "artifact.uploaded").await;
        assert_eq!((&said[0].body["name"], said[0].erased.len()), (&json!("list.txt"), 0));
        vault::erase(&world.app, &owner, artifact.id, None, "they asked for it".to_owned()).await.unwrap();
        let said = world.written(1, |action| action == "artifact.uploaded").await;
        assert_eq!((&said[0].body["name"], &said[0].erased), (&serde_json::Value::Null, &vec!["/name".to_owned()]));
        let stone = world.written(1, |action| action == "artifact.purged").await;
        assert_eq!((&stone[0].body["words_erased"], &stone[0].body["reason"]), (&json!(1), &json!("they asked for it")));
        assert!(memory::search(&world.app, Some("zebulon"), None, 5).await.unwrap().is_empty());
    }

    async fn a_disabled_trait_closes_memory_at_once(world) {
        let mut agent = world.agent("a").await;
        run(&world, &mut agent, "count the boxes in the attic", true).await;
        learned(&world, 1, 1).await;
        assert_eq!(similar(&world, "count the boxes").await.len(), 1);
        let owner = world.logged_in().await;
        change_trait(&world.app, &owner, "RECALL", TraitChange::Disable, String::new()).await.unwrap();
        assert!(similar(&world, "count the boxes").await.is_empty());
        let mut read = world.app.store.read().await.unwrap();
        let found = memory::recall(&world.app, &mut read, "attic", Asked::Answer, 5).await.unwrap();
        assert!(found.is_empty());
        drop(read);
        // The operator looks without asking anybody.
        assert_eq!(memory::search(&world.app, Some("attic"), None, 5).await.unwrap().len(), 1);
        change_trait(&world.app, &owner, "RECALL", TraitChange::Reinstate, String::new()).await.unwrap();
        assert_eq!(similar(&world, "count the boxes").await.len(), 1);
    }
}
