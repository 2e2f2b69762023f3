//! A disk that is really full: nothing is changed any more, and all the same everything can be stopped.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nexusmon_tests::api::PATIENCE;
use nexusmon_tests::cluster::OPERATOR_KEY;
use nexusmon_tests::process::Process;
use nexusmon_tests::{Api, binaries};
use reqwest::Method;
use serde_json::{Value, json};

/// A coordinator whose data folder is a file system of 64 MiB in a mount namespace of its own.
struct Small {
    api: Api,
    process: Process,
    /// The data folder as it is seen from here.
    seen: PathBuf,
}

impl Small {
    /// On a new file system, or on that of a process that still has one.
    async fn start(home: &Path, within: Option<u32>) -> Result<Self> {
        let data = home.join("data");
        std::fs::create_dir_all(&data)?;
        let data = data.to_str().context("UTF-8")?;
        let line = format!("mount -t tmpfs -o size=64m none {data}; exec \"$0\" \"$@\"");
        let program = binaries::path("nexusmon");
        let program = program.to_str().context("UTF-8")?;
        let around: Vec<String> = match within {
            None => ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", &line]
                .map(str::to_owned)
                .to_vec(),
            Some(id) => {
                ["nsenter", "--user", "--mount", "--preserve-credentials", "--target", &id.to_string()]
                    .map(str::to_owned)
                    .to_vec()
            }
        };
        let serve = ["serve", "--json", "--data-dir", data, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
        let words: Vec<&str> = around.iter().map(String::as_str).chain([program]).chain(serve).collect();
        let environment = [("OPERATOR_KEY", OPERATOR_KEY), ("RUST_LOG", "info")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let mut process =
            Process::start("coordinator", Path::new(words[0]), &words[1..], &environment, home)?;
        let ready: Value = serde_json::from_str(&process.line().await?)?;
        let api = Api::new(ready["http"].as_str().context("an address")?, OPERATOR_KEY);
        let id = process.id().context("it runs")?;
        Ok(Self { api, process, seen: PathBuf::from(format!("/proc/{id}/root{data}")) })
    }

    fn reserve(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.seen.join("nexusmon.db-reserve"))?.len())
    }

    /// To the last byte.
    fn fill(&self) -> Result<()> {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.seen.join("junk"))?;
        for size in [1 << 20, 4096, 1] {
            let block = vec![7_u8; size];
            while file.write(&block).is_ok_and(|written| written > 0) {}
        }
        Ok(())
    }
}

fn mission(number: usize) -> Value {
    json!({"goal": format!("mission {number}"), "tasks": [{"id": "a", "uses": "core.noop",
        "on": {"labels": {"nobody": "has"}}}], "metadata": {"filler": "x".repeat(3000)}})
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_or_denies_is_written_on_a_full_disk_and_nothing_else() -> Result<()> {
    let home = tempfile::tempdir()?;
    let small = Small::start(home.path(), None).await?;
    let api = &small.api;
    let whole = small.reserve()?;
    assert!(whole >= 1 << 20, "{whole}");
    let held = api
        .create(json!({"goal": "held", "tasks": [
        {"id": "a", "uses": "shell.run", "sandbox": "none", "with": {"script": "true"}}]}))
        .await?;
    let held = api.reaches(&held, "awaiting_approval").await?;
    let token =
        api.post("/v1/governance/tokens", json!({"name": "robot", "role": "viewer", "ttl": "1h"})).await?;

    small.fill()?;
    // What is allocated already may still take some.
    let mut refused = Value::Null;
    for number in 0..2000 {
        let (status, answer) = api.call(Method::POST, "/v1/engine/missions", Some(&mission(number))).await?;
        if !status.is_success() {
            assert_eq!(status.as_u16(), 507, "{answer:#}");
            refused = answer;
            break;
        }
        small.fill()?;
    }
    assert_eq!(refused["code"], "storage_full", "{refused:#}");
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("free space")), "{refused:#}");

    // The one who comes to stop it logs in anew.
    let operator = Api::new(&api.url, OPERATOR_KEY);
    let halted = operator.post("/v1/governance/halt", json!({"level": "halt", "reason": "full"})).await?;
    assert_eq!(halted["level"], "halt", "{halted:#}");
    let left = small.reserve()?;
    assert!(left < whole, "{left} of {whole}: it was written into what was kept back");
    let id = token["principal"]["id"].as_str().context("an id")?;
    let revoke = format!("/v1/governance/tokens/{id}");
    let (status, answer) = operator.call(Method::DELETE, &revoke, None).await?;
    assert!(status.is_success(), "{status} {answer:#}");
    let mission_id = held["id"].as_str().context("an id")?;
    let reject =
        json!({"digest": held["plan"]["digest"], "verdict": "reject", "comment": "not on this disk"});
    let rejected = operator.post(&format!("/v1/engine/missions/{mission_id}/approve"), reject).await?;
    assert_eq!(rejected["status"], "rejected", "{rejected:#}");
    for action in ["halt.pulled", "principal.revoked", "approval.decided"] {
        let found = operator.list(&format!("/v1/governance/audit?action={action}")).await?;
        assert_eq!(found.len(), 1, "{action}: {found:#?}");
    }
    // What is kept back is for that alone, though there is room in it.
    let (status, answer) = operator.call(Method::POST, "/v1/engine/missions", Some(&mission(0))).await?;
    assert_eq!(status.as_u16(), 507, "{answer:#}");
    let (status, answer) =
        operator.call(Method::POST, "/v1/governance/resume", Some(&json!({"comment": "x"}))).await?;
    assert_eq!(status.as_u16(), 507, "{answer:#}");
    let house = operator.get("/v1/nexusmon/house").await?;
    assert!(house["advice"].to_string().contains("reserved space"), "{house:#}");

    // Nor does a crash forget it. (Another process keeps the file system.)
    let keeper = std::process::Command::new("nsenter")
        .args(["--user", "--mount", "--preserve-credentials", "--target"])
        .arg(small.process.id().context("it runs")?.to_string())
        .args(["sleep", "600"])
        .spawn()?;
    let keeper = Keeper(keeper);
    let joined = PathBuf::from(format!("/proc/{}/root{}", keeper.0.id(), home.path().join("data").display()));
    joins(&joined.join("nexusmon.db")).await?;
    small.process.kill().await?;
    let small = Small::start(home.path(), Some(keeper.0.id())).await?;
    assert_eq!(small.api.get("/v1/governance/halt").await?["level"], "halt");
    let (status, _) = small.api.call(Method::POST, "/v1/engine/missions", Some(&mission(0))).await?;
    assert_eq!(status.as_u16(), 507);

    // Room again: all is as before, the reserve too.
    std::fs::remove_file(small.seen.join("junk"))?;
    small.api.create(mission(0)).await?;
    assert_eq!(small.reserve()?, whole);
    small.api.post("/v1/governance/resume", json!({"comment": "there is room"})).await?;
    Ok(())
}

/// The process that joins a namespace is there.
async fn joins(file: &Path) -> Result<()> {
    let looking = async {
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        while !file.exists() {
            pace.tick().await;
        }
    };
    Ok(tokio::time::timeout(PATIENCE, looking).await?)
}

/// Ends with the test.
struct Keeper(std::process::Child);

impl Drop for Keeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
