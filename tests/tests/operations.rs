//! What operations rely on beside the API: metrics under the names dashboard and alerts use, agents that join without a
//! person, health checks, secrets by file, the install script.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context as _, Result};
use nexusmon_tests::api::Api;
use nexusmon_tests::binaries;
use nexusmon_tests::cluster::{Cluster, OPERATOR_KEY, Options};
use nexusmon_tests::process::Process;
use serde_json::{Value, json};
use tokio::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests lie in the workspace").to_owned()
}

/// Every `nexusmon_…` in a text.
fn metrics_in(text: &str) -> BTreeSet<&str> {
    let word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    text.split(|c: char| !word(c)).filter(|name| name.starts_with("nexusmon_") && name.len() > 9).collect()
}

#[tokio::test]
async fn dashboard_and_alerts_name_metrics_that_exist() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let done = cluster.api.create(json!({"goal": "x", "tasks": [{"id": "a", "uses": "core.noop"}]})).await?;
    cluster.api.finished(&done).await?;
    // One that waits, so that its reason is counted.
    let waits =
        json!({"goal": "y", "tasks": [{"id": "a", "uses": "core.noop", "on": {"labels": {"moon": "far"}}}]});
    cluster.api.create(waits).await?;
    cluster.api.until("/v1/engine/stats", "waits", |stats| stats["ready_tasks"] == 1).await?;
    let exported = String::from_utf8(cluster.api.bytes("/metrics", "text/plain").await?)?;
    let names: BTreeSet<&str> = exported
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();

    let mut asked = 0;
    for file in ["deploy/grafana/nexusmon.json", "deploy/prometheus/nexusmon.rules.yml"] {
        let text = std::fs::read_to_string(root().join(file))?;
        for name in metrics_in(&text) {
            asked += 1;
            assert!(
                names.contains(name),
                "{file} names {name}, which a coordinator does not export:\n{exported}"
            );
        }
    }
    assert!(asked > 30, "{asked}");
    // Label values the rules select by.
    for series in [
        "nexusmon_bytes{what=\"data_free\"}",
        "nexusmon_bytes{what=\"data_total\"}",
        "nexusmon_bytes{what=\"blobs_free\"}",
        "nexusmon_bytes{what=\"blobs_total\"}",
        "nexusmon_bytes{what=\"database\"}",
        "nexusmon_bytes{what=\"wal\"}",
        "nexusmon_background_age_seconds{activity=\"dispatch\"}",
        "nexusmon_background_age_seconds{activity=\"leases\"}",
        "nexusmon_background_age_seconds{activity=\"timers\"}",
        "nexusmon_tasks_waiting{reason=\"no_agent_matches_selector\"} 1",
        "nexusmon_agents{availability=\"online\"} 1",
        "nexusmon_missions{status=\"succeeded\"} 1",
        "nexusmon_mission_create_items_total 2",
        "nexusmon_build{version=",
    ] {
        assert!(exported.contains(series), "no {series} in\n{exported}");
    }
    // And what the page lists.
    let page = std::fs::read_to_string(root().join("docs/operations.md"))?;
    let table = page.split("| Metric (`nexusmon_…`)").nth(1).context("the page has the table")?;
    let rows = table.lines().skip(2).take_while(|row| row.starts_with('|'));
    let listed: Vec<&str> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .filter_map(|name| name.split('{').next())
        .filter(|name| !name.starts_with('…'))
        .collect();
    assert!(listed.len() > 20, "{listed:?}");
    for name in listed {
        let full = format!("nexusmon_{name}");
        assert!(
            names.iter().any(|have| have.starts_with(&full)),
            "the page lists {full}, which is not exported"
        );
    }
    Ok(())
}

fn operator(url: &str) -> Vec<(String, String)> {
    vec![("OPERATOR_KEY".to_owned(), OPERATOR_KEY.to_owned()), ("NEXUSMON_URL".to_owned(), url.to_owned())]
}

async fn run(program: &str, arguments: &[&str], environment: &[(String, String)]) -> Result<Output> {
    let mut command = Command::new(binaries::path(program));
    command.args(arguments).env_clear().envs(environment.iter().map(|(k, v)| (k, v)));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    Ok(command.kill_on_drop(true).output().await?)
}

/// `nexusmon agent list | head -0`.
#[tokio::test]
async fn a_command_nobody_reads_any_more_ends_quietly() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let mut command = Command::new(binaries::path("nexusmon"));
    command.args(["agent", "list"]).envs(operator(&cluster.api.url)).kill_on_drop(true);
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut listing = command.spawn()?;
    drop(listing.stdout.take());
    let ended = listing.wait_with_output().await?;
    assert!(ended.status.success(), "{ended:?}");
    assert_eq!(String::from_utf8(ended.stderr)?, "");
    Ok(())
}

/// As in docker-compose.yml: one service keeps invites in a folder, agents take one each.
#[tokio::test]
async fn agents_join_by_themselves_as_many_as_are_started() -> Result<()> {
    let cluster = Cluster::start(Options { agents: 0, ..Options::default() }).await?;
    let join = cluster.path().join("join");
    let (folder, url) = (join.to_str().context("UTF-8")?, cluster.api.url.clone());
    let invite =
        ["agent", "invite", "--name", "box", "--max-rank", "C", "--into", folder, "--count", "2", "--keep"];
    let mut invites =
        Process::start("invites", &binaries::path("nexusmon"), invite, &operator(&url), cluster.path())?;
    invites.line().await?;
    let mut agents = Vec::new();
    for number in 1..=3 {
        let data = cluster.path().join(format!("data-{number}"));
        let data = data.to_str().context("UTF-8")?;
        let arguments = ["run", "--data-dir", data, "--join-from", folder];
        let name = format!("agent-{number}");
        agents.push(Process::start(
            &name,
            &binaries::path("nexusmon-agent"),
            arguments,
            &[],
            cluster.path(),
        )?);
    }
    let online = |agents: &Value| {
        let items = agents["items"].as_array().map_or(&[][..], Vec::as_slice);
        items.iter().filter(|agent| agent["status"] == "online").count() == 3
            && items.iter().all(|agent| agent["name"].as_str().is_some_and(|name| name.starts_with("box-")))
    };
    cluster.api.until("/v1/fleet/agents", "three agents", online).await?;
    let data = cluster.path().join("data-1");
    let check = ["status", "--check", "--data-dir", data.to_str().context("UTF-8")?];
    assert!(run("nexusmon-agent", &check, &[]).await?.status.success());

    // One that comes back is the same one, and needs no invite.
    let first = agents.remove(0);
    assert!(first.terminate().await?.success());
    assert!(!run("nexusmon-agent", &check, &[]).await?.status.success(), "nobody runs there");
    assert!(invites.terminate().await?.success());
    let gone = cluster.path().join("nothing-here");
    let arguments = [
        "run",
        "--data-dir",
        data.to_str().context("UTF-8")?,
        "--join-from",
        gone.to_str().context("UTF-8")?,
    ];
    let back = Process::start("agent-1", &binaries::path("nexusmon-agent"), arguments, &[], cluster.path())?;
    cluster.api.until("/v1/fleet/agents", "three agents", online).await?;
    assert!(back.terminate().await?.success());

    // As an init container does: once, and not at all where somebody has joined.
    let (once, sign) = (cluster.path().join("once"), data.join("identity"));
    let arguments = ["agent", "invite", "--name", "pod", "--into", once.to_str().context("UTF-8")?];
    let unless = ["--unless", sign.to_str().context("UTF-8")?];
    assert!(
        run("nexusmon", &[&arguments[..], &unless[..]].concat(), &operator(&url)).await?.status.success()
    );
    assert!(!once.exists());
    assert!(run("nexusmon", &arguments, &operator(&url)).await?.status.success());
    assert_eq!(std::fs::read_dir(&once)?.count(), 1);
    Ok(())
}

/// What the images and the compose file do, without an engine: secrets made by keys.sh, read from files; PORT; health.
#[tokio::test]
async fn a_coordinator_starts_from_secret_files_and_port() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secrets = folder.path().join("secrets");
    let keys = |target: &Path| {
        std::process::Command::new("sh").arg(root().join("deploy/compose/keys.sh")).arg(target).output()
    };
    assert!(keys(&secrets)?.status.success());
    let key = std::fs::read_to_string(secrets.join("operator_key"))?;
    assert!(keys(&secrets)?.status.success());
    assert_eq!(
        std::fs::read_to_string(secrets.join("operator_key"))?,
        key,
        "running it again changes nothing"
    );

    let free = nexusmon_tests::ports::free_at(&[])?;
    let path = |name: &str| secrets.join(name).to_string_lossy().into_owned();
    let environment: Vec<(String, String)> = [
        ("NEXUSMON_DATA_DIR", folder.path().join("data").to_string_lossy().into_owned()),
        ("NEXUSMON_BIND", "127.0.0.1".to_owned()),
        ("NEXUSMON_GRPC", "127.0.0.1:0".to_owned()),
        ("NEXUSMON_MASTER_KEY_FILE", path("master_key")),
        ("OPERATOR_KEY_FILE", path("operator_key")),
        ("NEXUSMON_LOG_FORMAT", "json".to_owned()),
        ("PORT", free.to_string()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    let not_yet = run("nexusmon", &["ready"], &environment).await?;
    assert_eq!(not_yet.status.code(), Some(6), "{not_yet:?}");
    let mut coordinator = Process::start(
        "coordinator",
        &binaries::path("nexusmon"),
        ["serve", "--json"],
        &environment,
        folder.path(),
    )?;
    let ready: Value = serde_json::from_str(&coordinator.line().await?)?;
    assert_eq!(ready["http"], format!("http://127.0.0.1:{free}"));
    assert!(ready["operator_key"].is_null(), "none was made");
    assert!(run("nexusmon", &["ready"], &environment).await?.status.success());
    let api = Api::new(&format!("http://127.0.0.1:{free}"), key.trim());
    assert_eq!(api.get("/v1/auth/me").await?["role"], "owner");
    assert!(coordinator.terminate().await?.success());

    let without: Vec<_> =
        environment.iter().filter(|(name, _)| name != "NEXUSMON_MASTER_KEY_FILE").cloned().collect();
    let refused = run("nexusmon", &["serve"], &without).await?;
    assert_eq!(refused.status.code(), Some(6), "another container has no master key: {refused:?}");
    Ok(())
}

#[test]
fn the_install_script_installs_twice_and_goes_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, programs) = (folder.path().join("root"), folder.path().join("programs"));
    std::fs::create_dir(&programs)?;
    for name in ["nexusmon", "nexusmon-agent"] {
        std::os::unix::fs::symlink(binaries::path(name), programs.join(name))?;
    }
    let script = |more: &[&str]| -> Result<String> {
        let mut command = std::process::Command::new(root().join("deploy/install.sh"));
        command
            .args(["--coordinator", "--agent", "--root"])
            .arg(&stage)
            .arg("--from")
            .arg(&programs)
            .args(more);
        let done = command.output()?;
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8(done.stdout)?)
    };
    assert!(script(&["--dry-run"])?.contains("would run"));
    assert!(!stage.join("usr").exists());
    if !rustix::process::geteuid().is_root() {
        // Users and owners are root's to make.
        return Ok(());
    }
    assert!(script(&[])?.contains("/usr/local/bin/nexusmon"));
    let key = std::fs::read(stage.join("etc/nexusmon/credentials/master-key"))?;
    assert!(stage.join("etc/systemd/system/nexusmon-agent.service").exists());
    let again = script(&[])?;
    assert!(!again.contains("install: /"), "nothing to do the second time: {again}");
    assert_eq!(std::fs::read(stage.join("etc/nexusmon/credentials/master-key"))?, key);
    script(&["--uninstall"])?;
    assert!(!stage.join("usr/local/bin/nexusmon").exists());
    assert!(stage.join("etc/nexusmon/credentials/master-key").exists(), "data and keys stay");
    script(&["--uninstall", "--purge"])?;
    assert!(!stage.join("etc/nexusmon").exists());
    Ok(())
}
