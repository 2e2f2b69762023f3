//! What people do with the system, from the outside, through the released binaries.

use anyhow::Result;
use nexusmon_tests::api::{PATIENCE, task};
use nexusmon_tests::process::Process;
use nexusmon_tests::{Cluster, Options, binaries};
use serde_json::{Value, json};

/// The mission of the README.
fn counting() -> Value {
    json!({"goal": "count today's lines", "rank": "E", "start": "auto", "tasks": [
        {"id": "fetch", "uses": "shell.run", "with": {"script": "seq 1000 > out.csv"}, "artifacts": ["*.csv"]},
        {"id": "count", "uses": "shell.run", "needs": ["fetch"], "inputs": [{"task": "fetch", "artifact": "out.csv"}],
         "with": {"script": "printf '{\"lines\": %d}' $(wc -l < $NEXUSMON_INPUTS/out.csv) > $NEXUSMON_OUTPUTS"}},
        {"id": "say", "uses": "shell.run", "needs": ["count"], "if": "tasks.count.outputs.lines > 0",
         "with": {"script": "echo $LINES", "env": {"LINES": "${{ tasks.count.outputs.lines }}"}}}]})
}

async fn log_of(cluster: &Cluster, task: &Value) -> Result<String> {
    cluster.api.sealed_log(task["task_id"].as_str().unwrap_or_default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_starts_everything_and_does_real_work() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("data");
    let arguments = [
        "up",
        "--json",
        "--data-dir",
        data.to_str().unwrap_or_default(),
        "--http",
        "127.0.0.1:0",
        "--grpc",
        "127.0.0.1:0",
    ];
    let mut up = Process::start("up", &binaries::path("nexusmon"), arguments, &[], folder.path())?;
    let ready: Value = serde_json::from_str(&up.line().await?)?;
    let key = ready["operator_key"].as_str().expect("the first start shows the operator key");
    assert!(ready["agent_id"].as_str().is_some_and(|id| id.starts_with("agt_")), "{ready}");
    let api = nexusmon_tests::Api::new(ready["http"].as_str().expect("an address"), key);
    let mission = api.create(counting()).await?;
    let done = api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(task(&done, "count")["outputs"], json!({"lines": 1000}));
    // The ledger looks at what ended right after the commit that ended it.
    let awake = |status: &Value| status["stage"] == "awakening" && status["verified_missions"] == 1;
    api.until("/v1/nexusmon/organism/status", "awake after one verified mission", awake).await?;
    assert!(up.terminate().await?.success());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_to_the_machine_it_names() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    cluster.add_agent("nas", &[("region", "home")]).await?;
    let mission = cluster
        .api
        .create(json!({"goal": "two places", "tasks": [
            {"id": "home", "uses": "shell.run", "on": {"labels": {"region": "home"}}, "with": {"script": "echo here > a.txt"}, "artifacts": ["a.txt"]},
            {"id": "first", "uses": "shell.run", "on": {"agent": "agent-1"}, "needs": ["home"],
             "inputs": [{"task": "home", "artifact": "a.txt"}], "with": {"script": "cat $NEXUSMON_INPUTS/a.txt"}},
            {"id": "back", "uses": "shell.run", "on": {"same_as": "home"}, "needs": ["home", "first"], "with": {"script": "true"}}]}))
        .await?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(task(&done, "home")["agent"]["name"], "nas");
    assert_eq!(task(&done, "first")["agent"]["name"], "agent-1");
    assert_eq!(task(&done, "back")["agent"]["name"], "nas");
    assert_eq!(log_of(&cluster, task(&done, "first")).await?, "here\n");
    Ok(())
}

/// Reports that are alike, of one task and of tasks side by side on one machine.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_the_same_bytes_are_all_kept() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    let alike = |id: String| {
        json!({"id": id, "uses": "shell.run", "artifacts": ["*.bin"],
        "with": {"script": format!("for name in a b c d; do head -c 3000000 /dev/zero > {id}-$name.bin; done")}})
    };
    let tasks: Vec<_> = (0..4).map(|number| alike(format!("t{number}"))).collect();
    let mission = cluster.api.create(json!({"goal": "sixteen alike", "tasks": tasks})).await?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    let kept = cluster.api.list(&format!("/v1/vault/artifacts?mission={mission}&kind=output")).await?;
    assert_eq!(kept.len(), 16, "{kept:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn outputs_are_versions_that_can_be_compared() -> Result<()> {
    let cluster = Cluster::start(Options { agents: 2, ..Options::default() }).await?;
    let mission = cluster.api.create(counting()).await?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert_eq!(log_of(&cluster, task(&done, "say")).await?, "1000\n");

    let artifacts = cluster.api.list(&format!("/v1/vault/artifacts?mission={mission}&kind=output")).await?;
    assert_eq!(artifacts.len(), 1, "{artifacts:?}");
    let id = artifacts[0]["id"].as_str().expect("an id");
    let content = cluster.api.bytes(&format!("/v1/vault/artifacts/{id}/content"), "*/*").await?;
    let expected = (1..=1000).map(|n| n.to_string()).collect::<Vec<_>>().join("\n") + "\n";
    assert_eq!(String::from_utf8(content)?, expected);

    // A log becomes a version shortly after its task is settled.
    let logs = format!("/v1/vault/artifacts?mission={mission}&kind=log");
    cluster
        .api
        .until(&logs, "the log", |logs| logs["items"].as_array().is_some_and(|logs| !logs.is_empty()))
        .await?;
    let logs = cluster.api.list(&logs).await?;
    assert_eq!(logs.len(), 1, "only one task printed anything: {logs:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn dangerous_work_waits_for_a_person_and_for_the_machine() -> Result<()> {
    let cluster = Cluster::start(Options { max_rank: "A", key: true, ..Options::default() }).await?;
    let mission = cluster
        .api
        .create(json!({"goal": "unconfined", "tasks": [
            {"id": "a", "uses": "shell.run", "sandbox": "none", "with": {"script": "echo done"}}]}))
        .await?;
    let waiting = cluster.api.reaches(&mission, "awaiting_approval").await?;
    assert_eq!(waiting["rank"], "A");
    let path = format!("/v1/engine/missions/{mission}/approve");
    let wrong = json!({"digest": "0".repeat(64), "verdict": "approve", "comment": "no"});
    let (status, _) = cluster.api.call(reqwest::Method::POST, &path, Some(&wrong)).await?;
    assert_eq!(status, 409, "another digest is another plan");
    let digest = &waiting["plan"]["digest"];
    let (status, _) = cluster
        .api
        .call(reqwest::Method::POST, &path, Some(&json!({"digest": digest, "verdict": "approve"})))
        .await?;
    assert_eq!(status, 400, "rank A wants a reason");
    let unsigned = json!({"digest": digest, "verdict": "approve", "comment": "I typed it"});
    let (status, refused) = cluster.api.call(reqwest::Method::POST, &path, Some(&unsigned)).await?;
    assert_eq!(
        (status.as_u16(), &refused["errors"][0]["pointer"]),
        (400, &json!("/signature")),
        "{refused:#}"
    );
    cluster.approve(&mission).await?;
    let done = cluster.api.finished(&mission).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    Ok(())
}

/// The class of the documentation, saying hello under another name.
fn greeter(name: &str) -> String {
    format!(
        "from nexusmon_plugin import Result, WorkerPlugin, run\n\n\
         class Greeter(WorkerPlugin):\n    name = \"{name}\"\n    capabilities = [\"{name}.hello\"]\n    \
         risk_level = \"E\"\n    requires_approval = False\n\n    \
         async def execute(self, task, who: str):\n        task.log(f\"greeting {{who}}\")\n        \
         (task.workspace / \"card.txt\").write_text(who)\n        task.artifact(\"card.txt\")\n        \
         return Result(outputs={{\"greeting\": f\"hello {{who}}\"}})\n\n\
         run(Greeter)\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_python_plugin_adds_a_capability_while_the_agent_runs() -> Result<()> {
    let cluster = Cluster::start(Options::default()).await?;
    // One unconfined, one in the default profile; nothing is installed for either.
    for (name, profile) in [("butler", "profile = \"none\"\n"), ("greeter", "")] {
        let folder = cluster.agents[0].folder.join("plugins").join(name);
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("plugin.py"), greeter(name))?;
        std::fs::write(
            folder.join("plugin.toml"),
            format!("command = [\"python3\", \"plugin.py\"]\n{profile}"),
        )?;
    }
    cluster
        .api
        .until("/v1/fleet/capabilities", "offering both", |fleet| {
            let offers = |name: &str| {
                fleet["items"].as_array().is_some_and(|items| items.iter().any(|item| item["name"] == name))
            };
            offers("greeter.hello") && offers("butler.hello")
        })
        .await?;
    // The agent's own list is written beside the telling.
    let listed = async {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(100));
        loop {
            pace.tick().await;
            let listed = tokio::process::Command::new(binaries::path("nexusmon-agent"))
                .args(["plugin", "list", "--json", "--data-dir"])
                .arg(&cluster.agents[0].folder)
                .output()
                .await?;
            let listed: Value = serde_json::from_slice(&listed.stdout)?;
            let states: Vec<_> =
                listed["items"].as_array().into_iter().flatten().map(|item| &item["state"]).collect();
            if states == ["offered", "offered"] {
                return anyhow::Ok(());
            }
        }
    };
    tokio::time::timeout(PATIENCE, listed).await??;
    let mission = |name: &str, who: Value| {
        let greet = json!({"id": "a", "uses": format!("{name}.hello"), "with": {"who": who}});
        json!({"goal": "greet", "tasks": [greet]})
    };
    let unconfined = cluster.api.create(mission("butler", json!("world"))).await?;
    let state = cluster.api.wait(&unconfined, "decided", |state| state["status"] != "running").await?;
    // The profile `none` counts whatever the manifest says: the plugin asked for E, and is A.
    assert_eq!(state["rank"], "A", "{state:#}");
    assert_eq!(state["status"], "awaiting_approval");

    let confined = cluster.api.create(mission("greeter", json!("world"))).await?;
    let done = cluster.api.finished(&confined).await?;
    assert_eq!(done["status"], "succeeded", "{done:#}");
    assert!(matches!(done["rank"].as_str(), Some("E" | "D")), "{done:#}");
    assert_eq!(task(&done, "a")["outputs"], json!({"greeting": "hello world"}));
    assert_eq!(log_of(&cluster, task(&done, "a")).await?, "greeting world\n");
    let artifacts = cluster.api.list(&format!("/v1/vault/artifacts?mission={confined}&kind=output")).await?;
    assert_eq!(artifacts.len(), 1, "{artifacts:?}");

    // The schema made from the type hints holds before anything runs.
    let body = mission("greeter", json!(3));
    let (status, answer) =
        cluster.api.call(reqwest::Method::POST, "/v1/engine/missions", Some(&body)).await?;
    assert_eq!(
        (status.as_u16(), &answer["errors"][0]["pointer"]),
        (400, &json!("/tasks/0/with/who")),
        "{answer:#}"
    );
    Ok(())
}
