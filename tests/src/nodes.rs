//! Several coordinators on one PostgreSQL and one object store, as processes of their own, behind load balancers.

pub mod storm;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nexusmon_store::testing::PostgresDatabase;
use serde_json::{Value, json};

use crate::api::Api;
use crate::balancer::Balancer;
use crate::binaries;
use crate::cluster::{Agent, OPERATOR_KEY};
use crate::object_store::ObjectStore;
use crate::ports;
use crate::process::Process;

/// One coordinator.
#[derive(Debug)]
pub struct Node {
    pub name: String,
    pub api: Api,
    pub http: SocketAddr,
    pub grpc: SocketAddr,
    folder: PathBuf,
    environment: Vec<(String, String)>,
    process: Option<Process>,
}

/// All of them, with their agents. Everything they wrote is removed with it.
#[derive(Debug)]
pub struct Nodes {
    /// Through the balancer.
    pub api: Api,
    pub nodes: Vec<Node>,
    pub agents: Vec<Agent>,
    /// Where agents reach any coordinator.
    pub grpc: Balancer,
    pub http: Balancer,
    pub objects: ObjectStore,
    pub database: PostgresDatabase,
    folder: tempfile::TempDir,
}

impl Nodes {
    pub async fn start(count: usize) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nexusmon-nodes-").tempdir()?;
        let database = PostgresDatabase::create().await?;
        let objects = ObjectStore::start(folder.path()).await?;
        let (http, grpc) = (Balancer::start().await?, Balancer::start().await?);
        let mut environment = vec![
            ("NEXUSMON_AGENT_ADDRESS".to_owned(), grpc.address.to_string()),
            ("OPERATOR_KEY".to_owned(), OPERATOR_KEY.to_owned()),
            ("NEXUSMON_MASTER_KEY".to_owned(), master_key()),
            ("NEXUSMON_DATABASE_URL".to_owned(), database.url().to_owned()),
            ("RUST_LOG".to_owned(), "info".to_owned()),
        ];
        environment.extend(objects.environment());
        let mut nodes: Vec<Node> = (1..=count)
            .map(|number| Node::new(number, folder.path(), environment.clone()))
            .collect::<Result<_>>()?;
        // All at once, on an empty database: they sort it out among themselves.
        futures::future::try_join_all(nodes.iter_mut().map(Node::start)).await?;
        http.serve(nodes.iter().map(|node| node.http).collect());
        grpc.serve(nodes.iter().map(|node| node.grpc).collect());
        let api = Api::new(&format!("http://{}", http.address), OPERATOR_KEY);
        Ok(Self { api, nodes, agents: Vec::new(), grpc, http, objects, database, folder })
    }

    /// Sends agents that connect from now on to these nodes only.
    pub fn lead_agents_to(&self, nodes: &[usize]) {
        self.grpc.serve(nodes.iter().map(|node| self.nodes[*node].grpc).collect());
    }

    pub async fn add_agent(&mut self, name: &str, slots: u32) -> Result<()> {
        let body = json!({ "name": name, "labels": {}, "max_rank": "B" });
        let api = &self.nodes[0].api;
        let invite = api.post("/v1/fleet/invites", body).await?;
        let token = invite["token"].as_str().context("an invite has a token")?;
        let environment = vec![
            ("NEXUSMON_AGENT_SLOTS".to_owned(), slots.to_string()),
            ("RUST_LOG".to_owned(), "info".to_owned()),
        ];
        let mut agent = Agent::join(name, token, self.path(), environment, Vec::new()).await?;
        crate::cluster::confirm(api, name).await?;
        let known = api
            .until(&format!("/v1/fleet/agents/{name}"), "online", |agent| agent["status"] == "online")
            .await?;
        known["id"].as_str().context("an agent has an id")?.clone_into(&mut agent.id);
        self.agents.push(agent);
        Ok(())
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Node {
    fn new(number: usize, folder: &Path, environment: Vec<(String, String)>) -> Result<Self> {
        let name = format!("node-{number}");
        let http = ports::free_address()?;
        Ok(Self {
            api: Api::new(&format!("http://{http}"), OPERATOR_KEY),
            http: http.parse()?,
            grpc: ports::free_address()?.parse()?,
            folder: folder.join(&name),
            name,
            environment,
            process: None,
        })
    }

    /// The second time on the addresses of the first.
    pub async fn start(&mut self) -> Result<()> {
        let mut process = self.spawn(&[])?;
        let ready: Value = serde_json::from_str(&process.line().await?)?;
        let address = |key: &str| -> Result<SocketAddr> {
            let text = ready[key].as_str().with_context(|| format!("serve --json says {key}"))?;
            Ok(text.trim_start_matches("http://").parse()?)
        };
        (self.http, self.grpc) = (address("http")?, address("grpc")?);
        self.api = Api::new(&format!("http://{}", self.http), OPERATOR_KEY);
        self.process = Some(process);
        Ok(())
    }

    /// Starts it with settings on top and gives its end: exit code and what it said.
    pub async fn refuses(&self, environment: &[(&str, &str)]) -> Result<(i32, String)> {
        let mut process = self.spawn(environment)?;
        let code = process.wait().await?.code().context("it ended by itself")?;
        Ok((code, process.log_end()))
    }

    fn spawn(&self, more: &[(&str, &str)]) -> Result<Process> {
        let mut environment = self.environment.clone();
        environment.push(("NEXUSMON_NODE".to_owned(), self.name.clone()));
        environment.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        std::fs::create_dir_all(&self.folder)?;
        let data = self.folder.to_str().context("UTF-8")?.to_owned();
        let (http, grpc) = (self.http.to_string(), self.grpc.to_string());
        let arguments = ["serve", "--json", "--data-dir", &data, "--http", &http, "--grpc", &grpc];
        Process::start(&self.name, &binaries::path("nexusmon"), arguments, &environment, &self.folder)
    }

    /// SIGKILL.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("the node runs")?.kill().await
    }

    /// SIGTERM; the exit status is checked.
    pub async fn stop(&mut self) -> Result<()> {
        let status = self.process.take().context("the node runs")?.terminate().await?;
        if !status.success() {
            bail!("{} ended with {status}", self.name);
        }
        Ok(())
    }

    /// A further one beside this, not started; with the same settings.
    pub fn sibling(&self, number: usize) -> Result<Self> {
        let folder = self.folder.parent().unwrap_or(&self.folder);
        Self::new(number, folder, self.environment.clone())
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::id)
    }
}

/// Any 32 bytes.
fn master_key() -> String {
    "6b".repeat(32)
}
