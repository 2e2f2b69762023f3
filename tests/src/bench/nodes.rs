//! W11: one, two and three coordinators on one PostgreSQL that syncs every commit.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use nexusmon_store::testing::DurablePostgres;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::measure::Watch;
use super::workloads::{Cost, all_succeed, latencies, noops};
use super::{Row, limits};
use crate::cluster::OPERATOR_KEY;
use crate::object_store::ObjectStore;
use crate::process::Process;
use crate::{Api, binaries};

const MISSIONS: usize = 20;
const TASKS: usize = 500;
const ONE_BY_ONE: usize = 100;
/// Clients of the limit, as in the peers' figures.
const CLIENTS: usize = 16;

/// One coordinator with one agent.
struct Node {
    api: Api,
    processes: [Process; 2],
}

impl Node {
    async fn start(number: usize, folder: &Path, url: &str, objects: &ObjectStore) -> Result<Self> {
        let data = folder.join(format!("node-{number}"));
        let data = data.to_str().context("UTF-8")?.to_owned();
        let environment = [
            ("OPERATOR_KEY", OPERATOR_KEY.to_owned()),
            ("NEXUSMON_MASTER_KEY", "5a".repeat(32)),
            ("NEXUSMON_DATABASE_URL", url.to_owned()),
            ("NEXUSMON_NODE", format!("node-{number}")),
            ("RUST_LOG", "info".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let environment: Vec<_> = environment.into_iter().chain(objects.environment()).collect();
        let arguments =
            ["serve", "--json", "--data-dir", &data, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
        let name = format!("coordinator-{number}");
        let mut coordinator =
            Process::start(&name, &binaries::path("nexusmon"), arguments, &environment, folder)?;
        let ready: Value = serde_json::from_str(&coordinator.line().await?)?;
        let api = Api::new(ready["http"].as_str().context("serve --json says http")?, OPERATOR_KEY);

        let name = format!("agent-{number}");
        let invite = json!({"name": name, "labels": {}, "max_rank": "C"});
        let invite = api.post("/v1/fleet/invites", invite).await?;
        let token = invite["token"].as_str().context("an invite has a token")?;
        let home = folder.join(&name);
        let home = home.to_str().context("UTF-8")?;
        let environment = [("NEXUSMON_AGENT_SLOTS".to_owned(), "8".to_owned())];
        let program = binaries::path("nexusmon-agent");
        let mut join = Process::start(
            &format!("{name}-join"),
            &program,
            ["join", token, "--data-dir", home],
            &environment,
            folder,
        )?;
        ensure!(join.wait().await?.success(), "joining failed\n{}", join.log_end());
        let agent = Process::start(&name, &program, ["run", "--data-dir", home], &environment, folder)?;
        api.until(&format!("/v1/fleet/agents/{name}"), "online", |agent| agent["status"] == "online").await?;
        Ok(Self { api, processes: [coordinator, agent] })
    }

    async fn end(self) -> Result<()> {
        let [coordinator, agent] = self.processes;
        agent.kill().await?;
        coordinator.kill().await
    }
}

/// Tasks per second of bare rows inserted, taken and finished one by one, 16 clients, every commit synced.
async fn one_by_one(url: &str) -> Result<f64> {
    const EACH: usize = 60;
    let mut first = PgConnection::connect(url).await?;
    first.execute("CREATE TABLE bare (id BIGSERIAL PRIMARY KEY, state INT NOT NULL DEFAULT 0)").await?;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        clients.push(PgConnection::connect(url).await?);
    }
    let watch = Watch::start();
    let work = clients.into_iter().map(|mut client| async move {
        for _ in 0..EACH {
            client.execute("INSERT INTO bare DEFAULT VALUES").await?;
            client
                .execute(
                    "UPDATE bare SET state = 1 WHERE id = (SELECT id FROM bare WHERE state = 0 ORDER BY id \
                     LIMIT 1 FOR UPDATE SKIP LOCKED)",
                )
                .await?;
            client
                .execute(
                    "UPDATE bare SET state = 2 WHERE id = (SELECT id FROM bare WHERE state = 1 ORDER BY id \
                     LIMIT 1 FOR UPDATE SKIP LOCKED)",
                )
                .await?;
        }
        client.close().await
    });
    futures::future::try_join_all(work).await?;
    let rate = (CLIENTS * EACH) as f64 / watch.elapsed().as_secs_f64();
    first.execute("DROP TABLE bare").await?;
    first.close().await?;
    Ok(rate)
}

pub(super) async fn run() -> Result<Vec<Row>> {
    let server = DurablePostgres::start()?;
    let sync = limits::fdatasync_ms()?;
    let limit = one_by_one(&server.database("bare").await?).await?;
    let is = "PostgreSQL: bare rows inserted, taken and finished one by one, 16 clients, every commit synced";
    let mut rows: Vec<Row> = Vec::new();
    for count in 1..=3 {
        let folder = tempfile::Builder::new().prefix("nexusmon-nodes-").tempdir()?;
        let url = server.database(&format!("nodes_{count}")).await?;
        let objects = ObjectStore::start(folder.path()).await?;
        let mut nodes = Vec::new();
        for number in 1..=count {
            nodes.push(Node::start(number, folder.path(), &url, &objects).await?);
        }
        let roots = nodes.iter().flat_map(|node| &node.processes).filter_map(Process::id).collect();
        work(&nodes, 1).await?;
        let cost = Cost::of(roots);
        work(&nodes, MISSIONS).await?;
        let what = format!("no-op tasks in bulk, {count} coordinators");
        let bulk = cost.row("W11", &what, MISSIONS * TASKS, Some(limit), is);
        if let Some(alone) = rows.first() {
            let share = bulk.value / alone.value;
            rows.push(
                Row::figure("W11", format!("{count} coordinators against one"), share, "times")
                    .against(0.9, "reach: adding a coordinator costs at most 10 %"),
            );
        }
        rows.push(bulk);
        let mut times = latencies(&nodes[0].api, ONE_BY_ONE).await?;
        times.sort_by(f64::total_cmp);
        let what = format!("submit to completed seen, p50, {count} coordinators");
        rows.push(
            Row::figure("W11", what, times[times.len() / 2], "ms")
                .against(3.0 * sync + 1.0, "three appends of 4 KiB with fdatasync, plus 1 ms"),
        );
        for node in nodes {
            node.end().await?;
        }
    }
    Ok(rows)
}

/// Missions to every node in turn; returns once all have ended.
async fn work(nodes: &[Node], missions: usize) -> Result<()> {
    let created: Vec<String> = stream::iter(0..missions)
        .map(|number| nodes[number % nodes.len()].api.create(noops(TASKS)))
        .buffered(4)
        .try_collect()
        .await?;
    all_succeed(&nodes[0].api, &created).await
}
