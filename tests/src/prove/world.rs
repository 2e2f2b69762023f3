//! A cluster with work in it, everything that was done to it, and the questions asked of it in the end.

mod verdict;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nexusmon_shared::time::{Clock as _, SystemClock, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::ledger::Ledger;
use super::{Findings, since};
use crate::cluster::{Cluster, OPERATOR_KEY, Options};
use crate::{Api, api};

/// How long work may take to end once nobody disturbs it any more.
const CALM: Duration = Duration::from_secs(300);

/// The same, where a bug is planted and the work may well never end.
const CALM_WITH_A_BUG: Duration = Duration::from_secs(12);
/// Not a bug: agents that send reports twice, and those of lost leases too.
pub(super) const INSISTING: &str = "agent-insists";

/// How long an audit entry may take to be shown.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

/// How the names of tasks begin that may be repeated, and of those that may not.
const AGAIN: &str = "again";
const ONCE: &str = "once";

/// Lets time pass. How long a fault lasts, and when it strikes, is what is tried here; nothing is waited for like this.
pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Something violent that was done to an agent, which may leave what it ran uncertain.
#[derive(Debug, Clone)]
pub(super) struct Harm {
    pub(super) agent: String,
    pub(super) at: Timestamp,
}

/// How an uncertain task was decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Decided {
    Succeeded,
    Again,
}

/// See the module.
pub(super) struct World {
    pub(super) cluster: Cluster,
    pub(super) api: Arc<Api>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) rng: StdRng,
    pub(super) findings: Findings,
    pub(super) harm: Vec<Harm>,
    /// Missions the coordinator has accepted, with how many tasks each has.
    pub(super) accepted: Vec<(String, usize)>,
    decided: BTreeMap<String, Vec<Decided>>,
    /// Decided as having happened, though no end was in the ledger then: none may come later.
    unfinished: BTreeSet<String>,
    calm: Duration,
    /// Missions asked for, accepted or not yet.
    asked: u32,
}

impl World {
    pub(super) async fn start(options: Options, seed: u64) -> Result<Self> {
        let buggy = options.planted.is_some_and(|bug| bug != INSISTING);
        let cluster = Cluster::start(options).await?;
        let api = Arc::new(Api::new(&cluster.api.url, OPERATOR_KEY));
        Ok(Self {
            cluster,
            api,
            ledger: Arc::new(Ledger::new()?),
            rng: StdRng::seed_from_u64(seed),
            findings: Findings::default(),
            harm: Vec::new(),
            accepted: Vec::new(),
            decided: BTreeMap::new(),
            unfinished: BTreeSet::new(),
            calm: if buggy { CALM_WITH_A_BUG } else { CALM },
            asked: 0,
        })
    }

    /// Missions of two to six tasks, `count` tasks in all, half of which must not be repeated.
    pub(super) fn missions(&mut self, count: usize, longest: f64) -> Vec<(String, usize, Value)> {
        let mut missions = Vec::new();
        let mut left = count;
        while left > 0 {
            let size = self.rng.random_range(2..=6).min(left);
            left -= size;
            let mut tasks: Vec<Value> = Vec::new();
            let mut names: Vec<String> = Vec::new();
            for place in 0..size {
                let needs: Vec<String> =
                    names.iter().filter(|_| self.rng.random_ratio(1, 5)).cloned().collect();
                let seconds = self.rng.random_range(0.05..longest);
                let idempotent = self.rng.random_ratio(1, 2);
                let name = format!("{}-{place}", if idempotent { AGAIN } else { ONCE });
                tasks.push(self.ledger.task(&name, seconds, idempotent, &needs));
                names.push(name);
            }
            self.asked += 1;
            let goal = format!("leave {size} traces, {}", self.asked);
            missions.push((format!("prove-{}", self.asked), size, json!({"goal": goal, "tasks": tasks})));
        }
        missions
    }

    pub(super) fn harmed(&mut self, agent: &str) {
        self.harm.push(Harm { agent: agent.to_owned(), at: SystemClock.now() });
    }

    /// Decides what is uncertain, by the ledger: what began has happened, what did not begin is done again.
    pub(super) async fn decide(&mut self) -> Result<()> {
        for (mission, _) in self.accepted.clone() {
            let path = format!("/v1/engine/missions/{mission}/tasks?status=uncertain");
            let Ok(tasks) = self.api.list(&path).await else { continue };
            for task in tasks {
                self.decide_one(&task).await?;
            }
        }
        Ok(())
    }

    async fn decide_one(&mut self, task: &Value) -> Result<()> {
        let id = task["task_id"].as_str().context("a task has an id")?.to_owned();
        self.findings.count("uncertain", 1);
        if let Some(reason) = self.unexplained(&id, task).await? {
            self.findings.violation("uncertain_unexplained", format!("{id}: {reason}"));
        }
        let effects = self.ledger.read()?.get(&id).cloned().unwrap_or_default();
        let begun = effects.begun > 0;
        let (word, decided) =
            if begun { ("succeeded", Decided::Succeeded) } else { ("retry", Decided::Again) };
        let path = format!("/v1/engine/tasks/{id}/resolve");
        let (status, _) = self.api.call(reqwest::Method::POST, &path, Some(&json!({"as": word}))).await?;
        // A late report may have settled it meanwhile.
        if status.is_success() {
            if begun && effects.ended == 0 {
                self.unfinished.insert(id.clone());
            }
            self.decided.entry(id).or_default().push(decided);
        }
        Ok(())
    }

    /// Why nothing that was done explains that this task is uncertain; `None` if something does.
    async fn unexplained(&self, id: &str, task: &Value) -> Result<Option<String>> {
        let path = format!("/v1/governance/audit?action=task.granted&subject={id}");
        // On PostgreSQL entries are numbered, and so shown, a moment after they are committed.
        let begun = SystemClock.boot();
        let mut pace = tokio::time::interval(Duration::from_millis(200));
        let newest = loop {
            pace.tick().await;
            if let Some(newest) = self.api.list(&path).await?.into_iter().next() {
                break newest;
            }
            if since(begun) > self.calm.min(SHOWN_WITHIN) {
                return Ok(Some("no grant of it is written down".to_owned()));
            }
        };
        let agent = newest["body"]["agent"].as_str().unwrap_or_default();
        let at: Timestamp = newest["at"].as_str().unwrap_or_default().parse()?;
        let explained =
            self.harm.iter().any(|harm| harm.agent == agent && harm.at + Duration::from_millis(100) >= at);
        let reason = format!(
            "nothing was done to {agent} since the grant at {at}; attempt {}, finished_at {}",
            task["attempt"], task["finished_at"]
        );
        Ok((!explained).then_some(reason))
    }

    /// Waits until every accepted mission is over, deciding what is uncertain.
    pub(super) async fn settle(&mut self) -> Result<()> {
        let begun = SystemClock.boot();
        let mut open: BTreeSet<String> = self.accepted.iter().map(|(mission, _)| mission.clone()).collect();
        let mut pace = tokio::time::interval(Duration::from_millis(300));
        while !open.is_empty() {
            pace.tick().await;
            self.decide().await?;
            for mission in open.clone() {
                let Ok(state) = self.api.get(&format!("/v1/engine/missions/{mission}")).await else {
                    continue;
                };
                let status = state["status"].as_str().unwrap_or_default();
                if ["succeeded", "failed", "cancelled", "rejected", "expired"].contains(&status) {
                    open.remove(&mission);
                }
            }
            if since(begun) > self.calm {
                for mission in &open {
                    // One that is gone is lost, which the verdict says.
                    let Ok(state) = self.api.get(&format!("/v1/engine/missions/{mission}")).await else {
                        continue;
                    };
                    let tasks: Vec<String> = state["tasks"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter(|task| task["status"] != "succeeded")
                        .map(|task| format!("{} {} {}", task["id"], task["status"], task["waiting"]))
                        .collect();
                    self.findings.violation("stuck", format!("{mission} {}: {tasks:?}", state["status"]));
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Everything accepted is looked at; what was found out.
    pub(super) async fn verdict(mut self) -> Result<Findings> {
        verdict::judge(&mut self).await?;
        Ok(self.findings)
    }
}

/// Creates missions, each until it is accepted, under its own idempotency key.
pub(super) async fn feed(
    api: Arc<Api>,
    missions: Vec<(String, usize, Value)>,
) -> Result<Vec<(String, usize)>> {
    let mut accepted = Vec::new();
    for (number, (key, size, mission)) in missions.into_iter().enumerate() {
        let id = create_once(&api, &key, &mission).await?;
        if number % 3 == 0 {
            // As a client does that lost the answer: the same key makes no second mission.
            let same = create_once(&api, &key, &mission).await?;
            if same != id {
                accepted.push((same, size));
            }
        }
        accepted.push((id, size));
    }
    Ok(accepted)
}

/// Asks until there is an answer: the coordinator may be dead at any moment, before or after it accepted.
async fn create_once(api: &Api, key: &str, mission: &Value) -> Result<String> {
    let begun = SystemClock.boot();
    let mut pace = tokio::time::interval(Duration::from_millis(50));
    loop {
        pace.tick().await;
        match api.post_once("/v1/engine/missions", key, mission).await {
            Ok((status, created)) if status.is_success() => {
                return Ok(created["id"].as_str().context("a mission has an id")?.to_owned());
            }
            Ok((status, answer)) if status.is_client_error() => bail!("refused: {status} {answer:#}"),
            Ok(_) | Err(_) => {}
        }
        if since(begun) > api::PATIENCE {
            bail!("no mission could be created for {:?}", api::PATIENCE);
        }
    }
}
