//! Signed approvals, as people meet them: through the released programs.

use anyhow::{Context as _, Result};
use nexusmon_tests::api::task;
use nexusmon_tests::process::Process;
use nexusmon_tests::{Api, Cluster, Options, binaries};
use serde_json::{Value, json};

/// What was signed and done is in the audit log, and whoever has an export of it can tell that it was allowed.
async fn holds(cluster: &Cluster) -> Result<()> {
    let path = cluster.path().join("export.ndjson");
    let path = path.to_str().context("UTF-8")?;
    cluster.commanded(&["audit", "export", "--output", path]).await?;
    let verified = cluster.commanded(&["audit", "verify", path]).await?;
    anyhow::ensure!(verified.starts_with("holds:"), "{verified}");
    Ok(())
}

fn unconfined(goal: &str, on: &Value) -> Value {
    json!({"goal": goal, "tasks": [
        {"id": "a", "uses": "shell.run", "sandbox": "none", "on": on, "with": {"script": "echo done"}}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_grave_work_says_what_to_do_and_with_one_it_runs() -> Result<()> {
    let mut cluster = Cluster::start(Options { max_rank: "A", ..Options::default() }).await?;
    let mission = cluster.api.create(unconfined("early", &json!({}))).await?;
    let waiting = cluster.api.reaches(&mission, "awaiting_approval").await?;
    let decision =
        json!({"digest": waiting["plan"]["digest"], "verdict": "approve", "comment": "I typed it"});
    let path = format!("/v1/engine/missions/{mission}/approve");
    let (status, refused) = cluster.api.call(reqwest::Method::POST, &path, Some(&decision)).await?;
    assert_eq!((status.as_u16(), &refused["code"]), (409, &json!("no_roster")), "{refused:#}");
    assert!(refused["detail"].as_str().is_some_and(|text| text.contains("nexusmon key make")), "{refused:#}");

    let said = cluster.commanded(&["key", "make"]).await?;
    assert!(
        said.contains("Recovery words") && said.contains("nexusmon-agent roster reset --owner-key"),
        "{said}"
    );
    let roster = cluster.api.get("/v1/governance/roster").await?;
    assert_eq!(roster["number"], 1, "{roster:#}");
    assert_eq!(roster["key_shares_host"], false, "{roster:#}");
    cluster.commanded(&["mission", "approve", &mission, "--comment", "I typed it"]).await?;
    // Approved, and still its machine believes nobody: it joined before there was a key.
    let stuck = cluster
        .api
        .wait(&mission, "waits for a machine", |state| {
            task(state, "a")["waiting"]["reason"] == "consent_required"
        })
        .await?;
    assert!(
        task(&stuck, "a")["waiting"]["detail"].as_str().is_some_and(|text| text.contains("roster reset"))
    );

    // A machine that joins now pins the key by its token.
    cluster.add_agent("later", &[]).await?;
    let second = cluster.api.create(unconfined("late", &json!({"agent": "later"}))).await?;
    cluster.api.reaches(&second, "awaiting_approval").await?;
    cluster.approve(&second).await?;
    assert_eq!(cluster.api.finished(&second).await?["status"], "succeeded");

    // The other one is told by its admin.
    let owner_key = roster["owner_key"].as_str().context("an owner key")?;
    let data = cluster.agents[0].folder.display().to_string();
    let reset = tokio::process::Command::new(binaries::path("nexusmon-agent"))
        .args(["roster", "reset", "--yes", "--owner-key", owner_key, "--data-dir", &data])
        .output()
        .await?;
    assert!(reset.status.success(), "{reset:?}");
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(task(&done, "a")["agent"]["name"], "agent-1");
    let log = std::fs::read_to_string(cluster.agents[0].folder.join("audit.log"))?;
    assert!(log.contains("roster.reset") && log.contains(owner_key), "{log}");
    let granted =
        cluster.api.list(&format!("/v1/governance/audit?mission={mission}&action=task.granted")).await?;
    assert_eq!(granted[0]["body"]["approved_by"].as_array().map(Vec::len), Some(1), "{granted:#?}");
    holds(&cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_run_time_are_approved_when_they_are_known() -> Result<()> {
    let cluster = Cluster::start(Options { max_rank: "A", key: true, ..Options::default() }).await?;
    let mission = cluster
        .api
        .create(json!({"goal": "two steps", "tasks": [
            {"id": "ask", "uses": "shell.run", "with": {"script": "echo '{\"word\": \"hello\"}' > $NEXUSMON_OUTPUTS"}},
            {"id": "do", "uses": "shell.run", "sandbox": "none", "needs": ["ask"],
             "with": {"script": "echo $WORD", "env": {"WORD": "${{ tasks.ask.outputs.word }}"}},
             "verify": "exit_code == 0", "retry": {"max": 1}, "limits": {"db": 1}}]}))
        .await?;
    cluster.api.reaches(&mission, "awaiting_approval").await?;
    let output = cluster.command(&["mission", "approve", &mission, "--comment", "I typed it"]).await?;
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{shown}");
    for said in
        ["verify: exit_code == 0", "limits: {db 1}", "WORD: ${{ tasks.ask.outputs.word }}", "budget: {"]
    {
        assert!(shown.contains(said), "{said}: {shown}");
    }
    cluster.api.wait(&mission, "gated", |state| task(state, "do")["status"] == "gated").await?;
    let pending =
        cluster.api.list(&format!("/v1/governance/approvals?mission={mission}&status=pending")).await?;
    assert_eq!(pending.len(), 1, "{pending:#?}");
    assert_eq!(pending[0]["subject_kind"], "task_instance");
    assert_eq!(pending[0]["instance"]["parameters"]["env"]["WORD"], "hello");
    // What the person sees is what is signed.
    let output = cluster.command(&["mission", "approve", &mission, "--comment", "hello it is"]).await?;
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && shown.contains("hello"), "{shown}");
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    holds(&cluster).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_and_one_key_are_enough_on_one_machine() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let data = data.to_str().context("UTF-8")?;
    let arguments = ["up", "--json", "--data-dir", data, "--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0"];
    let mut up = Process::start("up", &binaries::path("nexusmon"), arguments, &[], folder.path())?;
    let ready: Value = serde_json::from_str(&up.line().await?)?;
    let key = ready["operator_key"].as_str().context("an operator key")?;
    let url = ready["http"].as_str().context("an address")?;
    let api = Api::new(url, key);
    // In the same home as the coordinator, as somebody would who tries it out.
    let run = |arguments: Vec<String>| {
        let mut command = tokio::process::Command::new(binaries::path("nexusmon"));
        command
            .args(arguments)
            .env("HOME", folder.path())
            .env("XDG_CONFIG_HOME", folder.path().join("config"))
            .env("OPERATOR_KEY", key)
            .env("NEXUSMON_URL", url)
            .env("NEXUSMON_KEY_PASSPHRASE", "a passphrase of the tests")
            .stdin(std::process::Stdio::null());
        command.output()
    };
    let made = run(vec!["key".into(), "make".into()]).await?;
    assert!(made.status.success(), "{made:?}");
    let mission = api.create(unconfined("at home", &json!({}))).await?;
    api.reaches(&mission, "awaiting_approval").await?;
    let pending = api.list(&format!("/v1/governance/approvals?mission={mission}")).await?;
    let note = pending[0]["notes"][0].as_str().unwrap_or_default();
    assert!(note.contains("coordinator's own host"), "{pending:#?}");
    let approved =
        run(vec!["mission".into(), "approve".into(), mission.clone(), "--comment".into(), "mine".into()]);
    let approved = approved.await?;
    assert!(approved.status.success(), "{approved:?}");
    let done = api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert!(up.terminate().await?.success());
    Ok(())
}
