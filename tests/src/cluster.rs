//! One coordinator and its agents as processes of their own, each killable at any moment.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nexusmon_store::testing::PostgresDatabase;
use serde_json::{Value, json};

use crate::api::Api;
use crate::process::Process;
use crate::{binaries, ports};

/// The key every test logs in with.
pub const OPERATOR_KEY: &str = "operator-key-of-the-tests";

/// What a cluster is made of.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    pub postgres: bool,
    pub agents: usize,
    pub slots: u32,
    /// The owner made a key before the agents joined, so that A and S can be approved.
    pub key: bool,
    /// Ceiling of the invites.
    pub max_rank: &'static str,
    /// A bug for every process of it; only builds with the feature `planted` know any.
    pub planted: Option<&'static str>,
    /// Where agents connect.
    pub listen: std::net::Ipv4Addr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            postgres: false,
            agents: 1,
            slots: 4,
            key: false,
            max_rank: "B",
            planted: None,
            listen: std::net::Ipv4Addr::LOCALHOST,
        }
    }
}

/// A running coordinator with agents. Everything it wrote is removed with it.
#[derive(Debug)]
pub struct Cluster {
    pub api: Api,
    pub agents: Vec<Agent>,
    coordinator: Option<Process>,
    http: String,
    grpc: String,
    options: Options,
    database: Option<PostgresDatabase>,
    /// For coordinators started from now on.
    environment: Vec<(String, String)>,
    /// The programs know no signatures.
    unsigned: bool,
    folder: tempfile::TempDir,
}

/// One agent of a cluster.
#[derive(Debug)]
pub struct Agent {
    pub name: String,
    pub id: String,
    pub folder: PathBuf,
    process: Option<Process>,
    environment: Vec<(String, String)>,
    /// For one more purpose; see [`Agent::set_environment`].
    more: Vec<(String, String)>,
    wrapper: Vec<String>,
    logs: PathBuf,
}

impl Cluster {
    pub async fn start(options: Options) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("nexusmon-test-").tempdir()?;
        let database = if options.postgres { Some(PostgresDatabase::create().await?) } else { None };
        let mut cluster = Self {
            api: Api::new("http://127.0.0.1:0", OPERATOR_KEY),
            agents: Vec::new(),
            coordinator: None,
            http: ports::free_address()?,
            grpc: format!("{}:{}", options.listen, ports::free_at(&[])?),
            options,
            database,
            environment: Vec::new(),
            unsigned: false,
            folder,
        };
        cluster.start_coordinator().await?;
        if options.key {
            cluster.make_key().await?;
        }
        for number in 1..=options.agents {
            cluster.add_agent(&format!("agent-{number}"), &[]).await?;
        }
        Ok(cluster)
    }

    /// Starts the coordinator; the second time on the addresses of the first.
    pub async fn start_coordinator(&mut self) -> Result<()> {
        let mut environment = vec![
            ("OPERATOR_KEY".to_owned(), OPERATOR_KEY.to_owned()),
            ("RUST_LOG".to_owned(), "info".to_owned()),
        ];
        environment.extend(self.options.planted.map(|bug| ("NEXUSMON_PLANTED".to_owned(), bug.to_owned())));
        environment.extend(self.environment.iter().cloned());
        if let Some(database) = &self.database {
            environment.push(("NEXUSMON_DATABASE_URL".to_owned(), database.url().to_owned()));
        }
        let data = self.path().join("coordinator");
        let arguments = [
            "serve",
            "--json",
            "--data-dir",
            data.to_str().context("UTF-8")?,
            "--http",
            &self.http,
            "--grpc",
            &self.grpc,
        ];
        let mut process =
            Process::start("coordinator", &binaries::path("nexusmon"), arguments, &environment, self.path())?;
        let ready: Value = serde_json::from_str(&process.line().await?)?;
        let http = ready["http"].as_str().context("serve --json says http")?.to_owned();
        ready["grpc"].as_str().context("serve --json says grpc")?.clone_into(&mut self.grpc);
        http.trim_start_matches("http://").clone_into(&mut self.http);
        self.api = Api::new(&http, OPERATOR_KEY);
        self.coordinator = Some(process);
        Ok(())
    }

    /// Runs the command line as the owner.
    pub async fn command(&self, arguments: &[&str]) -> Result<std::process::Output> {
        Ok(self.person(arguments).output().await?)
    }

    /// The command line as the owner runs it, whose key lies in a folder of its own.
    pub fn person(&self, arguments: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(binaries::path("nexusmon"));
        command
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path().join("person"))
            .env("OPERATOR_KEY", OPERATOR_KEY)
            .env("NEXUSMON_URL", &self.api.url)
            .env("NEXUSMON_KEY_PASSPHRASE", "a passphrase of the tests")
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// As [`Self::command`]; what it printed, or why it failed.
    pub async fn commanded(&self, arguments: &[&str]) -> Result<String> {
        let output = self.command(arguments).await?;
        if !output.status.success() {
            bail!("{arguments:?} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The owner makes a key and signs the first roster. Programs of an earlier build may not know how.
    pub async fn make_key(&mut self) -> Result<()> {
        let output = self.command(&["key", "make"]).await?;
        let said = String::from_utf8_lossy(&output.stderr);
        self.unsigned = said.contains("unrecognized subcommand");
        if !output.status.success() && !self.unsigned {
            bail!("`key make` failed: {said}");
        }
        Ok(())
    }

    /// The owner approves, as people do it.
    pub async fn approve(&self, mission: &str) -> Result<()> {
        self.commanded(&["mission", "approve", mission, "--comment", "I typed it"]).await.map(drop)
    }

    /// The coordinator's data folder.
    pub fn data(&self) -> PathBuf {
        self.path().join("coordinator")
    }

    /// The coordinator uses this database from its next start on.
    pub fn move_to(&mut self, database: PostgresDatabase) {
        self.database = Some(database);
    }

    /// Where database and blobs are, for programs that are run beside the coordinator.
    pub fn place_arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--data-dir".to_owned(), self.data().display().to_string()];
        if let Some(database) = &self.database {
            arguments.extend(["--database-url".to_owned(), database.url().to_owned()]);
        }
        arguments
    }

    /// The coordinator's machine burns down: its folder is empty, its database another, empty one.
    pub async fn lose_everything(&mut self) -> Result<()> {
        std::fs::remove_dir_all(self.data())?;
        if self.database.is_some() {
            self.database = Some(PostgresDatabase::create().await?);
        }
        Ok(())
    }

    /// SIGKILL.
    pub async fn kill_coordinator(&mut self) -> Result<()> {
        self.coordinator.take().context("the coordinator runs")?.kill().await
    }

    /// SIGTERM; the exit status is checked.
    pub async fn stop_coordinator(&mut self) -> Result<()> {
        let status = self.coordinator.take().context("the coordinator runs")?.terminate().await?;
        if !status.success() {
            bail!("the coordinator ended with {status}");
        }
        Ok(())
    }

    /// Invites, joins and starts one more agent.
    pub async fn add_agent(&mut self, name: &str, labels: &[(&str, &str)]) -> Result<()> {
        self.add_agent_behind(name, labels, None).await
    }

    /// The same, with the agent told to connect somewhere else than its invite says.
    pub async fn add_agent_behind(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        address: Option<SocketAddr>,
    ) -> Result<()> {
        self.add_agent_within(name, labels, address, Vec::new()).await
    }

    /// The same, with the agent's program started by another, such as `ip netns exec NAME`.
    pub async fn add_agent_within(
        &mut self,
        name: &str,
        labels: &[(&str, &str)],
        address: Option<SocketAddr>,
        wrapper: Vec<String>,
    ) -> Result<()> {
        let labels: serde_json::Map<_, _> = labels.iter().map(|(k, v)| ((*k).to_owned(), json!(v))).collect();
        let body = json!({ "name": name, "labels": labels, "max_rank": self.options.max_rank });
        let invite = self.api.post("/v1/fleet/invites", body).await?;
        let token = invite["token"].as_str().context("an invite has a token")?;
        let mut environment = vec![
            ("NEXUSMON_AGENT_SLOTS".to_owned(), self.options.slots.to_string()),
            // A build from before there were signatures runs A and S on this word.
            ("NEXUSMON_AGENT_UNSIGNED_CONSENT".to_owned(), self.unsigned.to_string()),
            ("RUST_LOG".to_owned(), "info".to_owned()),
        ];
        environment.extend(self.options.planted.map(|bug| ("NEXUSMON_PLANTED".to_owned(), bug.to_owned())));
        let line = address.map(|address| ("NEXUSMON_AGENT_COORDINATOR".to_owned(), address.to_string()));
        environment.extend(line);
        let mut agent = Agent::join(name, token, self.path(), environment, wrapper).await?;
        confirm(&self.api, name).await?;
        let known = self
            .api
            .until(&format!("/v1/fleet/agents/{name}"), "online", |agent| agent["status"] == "online")
            .await?;
        known["id"].as_str().context("an agent has an id")?.clone_into(&mut agent.id);
        self.agents.push(agent);
        Ok(())
    }

    /// The coordinator's process id first, then the agents'.
    pub fn process_ids(&self) -> Vec<u32> {
        let agents = self.agents.iter().filter_map(Agent::process_id);
        self.coordinator.iter().filter_map(Process::id).chain(agents).collect()
    }

    /// Variables for coordinators started from now on, in place of those given before.
    pub fn set_environment(&mut self, variables: &[(&str, String)]) {
        self.environment = owned(variables);
    }

    /// Whether the coordinator has ended by itself.
    pub fn coordinator_has_ended(&mut self) -> Result<bool> {
        match &mut self.coordinator {
            Some(process) => process.has_ended(),
            None => Ok(true),
        }
    }

    /// Where agents connect.
    pub fn grpc(&self) -> &str {
        &self.grpc
    }

    pub fn coordinator_id(&self) -> Option<u32> {
        self.coordinator.as_ref().and_then(Process::id)
    }

    /// Where this cluster writes.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Agent {
    /// Joins with an invite's token and runs, started by `wrapper` if that is not empty; its folder and log lie in
    /// `folder`.
    pub(crate) async fn join(
        name: &str,
        token: &str,
        folder: &Path,
        environment: Vec<(String, String)>,
        wrapper: Vec<String>,
    ) -> Result<Self> {
        let logs = folder.to_owned();
        let folder = logs.join(name);
        let data = folder.to_str().context("UTF-8")?.to_owned();
        let arguments = ["join", token, "--data-dir", &data];
        let binary = binaries::path("nexusmon-agent");
        let mut join = Process::start(&format!("{name}-join"), &binary, arguments, &environment, &logs)?;
        let status = join.wait().await?;
        if !status.success() {
            bail!("join ended with {status}\n{}", join.log_end());
        }
        let mut agent = Self {
            name: name.to_owned(),
            id: String::new(),
            folder,
            process: None,
            environment,
            more: Vec::new(),
            wrapper,
            logs,
        };
        agent.start()?;
        Ok(agent)
    }

    pub fn start(&mut self) -> Result<()> {
        let data = self.folder.to_str().context("UTF-8")?;
        let binary = binaries::path("nexusmon-agent");
        let words = [binary.to_str().context("UTF-8")?, "run", "--data-dir", data];
        let words: Vec<&str> = self.wrapper.iter().map(String::as_str).chain(words).collect();
        let (program, arguments) = words.split_first().context("a program")?;
        let environment: Vec<_> = self.environment.iter().chain(&self.more).cloned().collect();
        self.process =
            Some(Process::start(&self.name, Path::new(program), arguments, &environment, &self.logs)?);
        Ok(())
    }

    /// SIGKILL of the agent process alone.
    pub async fn kill(&mut self) -> Result<()> {
        self.process.take().context("the agent runs")?.kill().await
    }

    pub async fn stop(&mut self) -> Result<std::process::ExitStatus> {
        self.process.take().context("the agent runs")?.terminate().await
    }

    /// Variables beside its own from its next start on, in place of those given here before.
    pub fn set_environment(&mut self, variables: &[(&str, String)]) {
        self.more = owned(variables);
    }

    /// Whether it has ended by itself.
    pub fn has_ended(&mut self) -> Result<bool> {
        match &mut self.process {
            Some(process) => process.has_ended(),
            None => Ok(true),
        }
    }

    pub fn process_id(&self) -> Option<u32> {
        self.process.as_ref().and_then(Process::id)
    }
}

fn owned(variables: &[(&str, String)]) -> Vec<(String, String)> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

/// As a person does who has compared the words, where the coordinator asks for that.
pub async fn confirm(api: &Api, name: &str) -> Result<()> {
    let path = format!("/v1/fleet/agents/{name}");
    let agent = api.get(&path).await?;
    if let Some(words) = agent["enrollment"]["words"].as_str() {
        api.post(&format!("{path}/confirm"), json!({ "words": words })).await?;
    }
    Ok(())
}
