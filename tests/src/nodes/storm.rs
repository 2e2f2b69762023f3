//! Load on three coordinators while one after the other is killed: nothing may be lost, nothing doubled, and whoever
//! watches events sees each once, whichever coordinator tells it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nexusmon_shared::time::{Clock as _, SystemClock};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Nodes;
use crate::api::{Api, PATIENCE};
use crate::events::EventLog;

const TASKS: usize = 3;
const CLIENTS: usize = 3;
/// How often somebody looks whether it is time.
const PACE: Duration = Duration::from_millis(50);

/// How hard it blows.
#[derive(Debug, Clone, Copy)]
pub struct Storm {
    pub kills: usize,
    /// Effects between two kills, at least.
    pub effects_between: usize,
    /// Chooses who is killed.
    pub seed: u64,
}

/// What was done and seen.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Report {
    pub kills: usize,
    pub missions: usize,
    pub tasks: usize,
    pub events: u64,
    /// Requests that had to be sent again.
    pub resent: usize,
    /// Longest time without any event while there was load, and the hundredth longest.
    pub longest_gap_ms: u64,
    pub p99_gap_ms: u64,
}

/// Blows, and checks everything; an error names what was lost or doubled.
pub async fn blow(storm: Storm) -> Result<Report> {
    let mut cluster = Nodes::start(3).await?;
    for number in 1..=2 {
        cluster.add_agent(&format!("agent-{number}"), 6).await?;
    }
    let shared = tempfile::tempdir()?;
    let ledger = shared.path().join("ledger");
    std::fs::write(&ledger, "")?;
    let url = cluster.api.url.clone();
    let (over, ended) = watch::channel(false);
    let made = Mutex::new(BTreeMap::new());
    let resent = Mutex::new(0);

    let clients = (0..CLIENTS).map(|client| {
        let (url, ledger, ended, made, resent) = (&url, &ledger, ended.clone(), &made, &resent);
        async move {
            let api = Api::new(url, crate::cluster::OPERATOR_KEY);
            let mut number = 0;
            while !*ended.borrow() {
                let key = format!("c{client}-{number}");
                number += 1;
                let id = create(&api, &mission(&key, ledger), &key, resent).await?;
                made.lock().expect("no holder panics").insert(key, id.clone());
                // A few at a time: the load follows what the fleet can do.
                if number % 4 == 0 {
                    api.finished(&id).await?;
                }
            }
            anyhow::Ok(())
        }
    });
    let clients = futures::future::try_join_all(clients);
    let (newest, last) = watch::channel(None);
    let watcher = watch_events(&url, last);
    let course = async {
        kill_by_turns(&mut cluster, storm, &ledger).await?;
        over.send_replace(true);
        Ok(())
    };
    let checking = async {
        tokio::try_join!(clients, course)?;
        let api = Api::new(&url, crate::cluster::OPERATOR_KEY);
        let made = made.lock().expect("no holder panics").clone();
        check(&api, &made, &ledger).await?;
        let audit = api.get("/v1/governance/audit?limit=1").await?;
        let seq = audit["items"][0]["seq"].as_i64().context("an entry has a seq")?;
        newest.send_replace(Some(seq));
        anyhow::Ok(made.len())
    };
    let (missions, (events, gaps)) = tokio::try_join!(checking, watcher)?;
    let resent = *resent.lock().expect("no holder panics");
    let p99 = gaps.len().saturating_sub(1 + gaps.len() / 100);
    Ok(Report {
        kills: storm.kills,
        missions,
        tasks: missions * TASKS,
        events,
        resent,
        longest_gap_ms: gaps.last().copied().unwrap_or(0),
        p99_gap_ms: gaps.get(p99).copied().unwrap_or(0),
    })
}

/// Tasks that each leave a line; done twice they would leave two.
fn mission(key: &str, ledger: &Path) -> Value {
    let tasks: Vec<_> = (0..TASKS)
        .map(|number| {
            json!({"id": format!("t{number}"), "uses": "shell.run", "idempotent": false, "timeout": "60s",
                "sandbox": {"profile": "user", "paths": [{"path": ledger.parent(), "write": true}]},
                "with": {"script": format!("printf '{key}/t{number}\\n' >> {}; sleep 0.1", ledger.display())}})
        })
        .collect();
    json!({"goal": key, "labels": {"storm": "yes"}, "tasks": tasks})
}

/// Sends a request until somebody answers it; the key makes that harmless.
async fn create(api: &Api, mission: &Value, key: &str, resent: &Mutex<usize>) -> Result<String> {
    let sending = async {
        let mut pace = tokio::time::interval(PACE);
        loop {
            pace.tick().await;
            let sent = api.call_with_key(Method::POST, "/v1/engine/missions", Some(mission), key).await;
            match sent {
                Ok((status, answer)) if status.as_u16() == 201 => {
                    return Ok(answer["id"].as_str().context("a mission has an id")?.to_owned());
                }
                Ok((status, answer)) if status.is_client_error() && answer["code"] != "in_progress" => {
                    bail!("{status}: {answer:#}");
                }
                // Nobody there, cut off in the middle, or still being done.
                Ok(_) | Err(_) => *resent.lock().expect("no holder panics") += 1,
            }
        }
    };
    tokio::time::timeout(PATIENCE, sending).await.context("nobody took the mission")?
}

fn effects(ledger: &Path) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for line in std::fs::read_to_string(ledger).unwrap_or_default().lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

async fn kill_by_turns(cluster: &mut Nodes, storm: Storm, ledger: &Path) -> Result<()> {
    let mut random = storm.seed;
    for _ in 0..storm.kills {
        let before = effects(ledger).len();
        let progress = async {
            let mut pace = tokio::time::interval(PACE);
            while effects(ledger).len() < before + storm.effects_between {
                pace.tick().await;
            }
        };
        tokio::time::timeout(PATIENCE, progress).await.context("nothing goes on between two kills")?;
        // Knuth's generator: any sequence that the seed repeats will do.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let victim = usize::try_from(random >> 33)? % cluster.nodes.len();
        let node = &mut cluster.nodes[victim];
        node.kill().await?;
        node.start().await.with_context(|| format!("starting {} again", node.name))?;
    }
    Ok(())
}

/// Every mission ended well, each effect is there once, no mission was made twice.
async fn check(api: &Api, made: &BTreeMap<String, String>, ledger: &Path) -> Result<()> {
    for (key, id) in made {
        let state = api.finished(id).await?;
        ensure!(state["status"] == "succeeded", "{key} is not what it should be: {state:#}");
    }
    let listed = api.list("/v1/engine/missions?label=storm%3Dyes").await?;
    let ids: BTreeSet<_> = listed.iter().filter_map(|mission| mission["id"].as_str()).collect();
    ensure!(
        ids.len() == listed.len() && ids.len() == made.len(),
        "{} made, {} listed",
        made.len(),
        listed.len()
    );
    let counts = effects(ledger);
    for key in made.keys() {
        for number in 0..TASKS {
            let count = counts.get(&format!("{key}/t{number}")).copied().unwrap_or(0);
            ensure!(count == 1, "{key}/t{number} was done {count} times");
        }
    }
    ensure!(counts.len() == made.len() * TASKS, "effects of nobody: {counts:?}");
    Ok(())
}

/// Follows all events through whoever takes the connection, until the newest of all is known and seen. Gives how many
/// there were, and the sorted gaps between them in milliseconds.
async fn watch_events(url: &str, mut newest: watch::Receiver<Option<i64>>) -> Result<(u64, Vec<u64>)> {
    let clock = SystemClock;
    let api = Api::new(url, crate::cluster::OPERATOR_KEY);
    let (mut seen, mut gaps) = (0_i64, Vec::new());
    let mut at = clock.boot();
    let mut pace = tokio::time::interval(PACE);
    loop {
        pace.tick().await;
        let Ok(mut events) = EventLog::open(&api, "/v1/events", Some(&seen.to_string())).await else {
            continue;
        };
        loop {
            if newest.borrow_and_update().is_some_and(|newest| seen >= newest) {
                gaps.sort_unstable();
                return Ok((u64::try_from(seen)?, gaps));
            }
            let next = tokio::select! {
                next = events.next() => next,
                _ = newest.changed() => continue,
            };
            // Its coordinator died: on to another, from where this one ended.
            let Ok(Some(event)) = next else { break };
            let Some(id) = &event.id else { continue };
            let id: i64 = id.parse().with_context(|| format!("the id `{id}`"))?;
            ensure!(id == seen + 1, "after event {seen} came {id}: {event:?}");
            seen = id;
            let now = clock.boot();
            gaps.push(u64::try_from(now.saturating_sub(at).as_millis())?);
            at = now;
        }
    }
}
