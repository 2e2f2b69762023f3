//! Agents, what waits and why, and what the coordinator does by itself.

use nexusmon_shared::doctor::{Check, Report};
use serde_json::Value;

use crate::cli::Client;

pub(super) async fn look(report: &mut Report, client: &Client, organism: &Value, version: &str) {
    report.add(Check::ok("logged in", "yes"));
    match client.list("/v1/fleet/agents", usize::MAX).await {
        Ok(agents) => report.checks.extend([
            presence(&agents),
            builds(&agents, version),
            sandboxes(&agents),
            trust(&agents),
        ]),
        Err(error) => {
            report.add(Check::fail("agents", error.to_string()).advise("see the coordinator's log"));
        }
    }
    match client.get("/v1/engine/stats").await {
        Ok(stats) => report.add(waiting(&stats)),
        Err(error) => report.add(Check::fail("queue", error.to_string()).advise("see the coordinator's log")),
    }
    report.add(people(client, organism).await);
    if let Ok(metrics) = client.text("/metrics").await {
        report.add(background(&metrics));
    }
}

fn named(agents: &[Value], which: impl Fn(&Value) -> bool) -> Vec<&str> {
    agents.iter().filter(|agent| which(agent)).filter_map(|agent| agent["name"].as_str()).collect()
}

/// The first few names.
fn few(names: &[&str]) -> String {
    match names {
        [first @ .., _, _] if first.len() > 4 => {
            format!("{} and {} more", first[..4].join(", "), names.len() - 4)
        }
        _ => names.join(", "),
    }
}

fn presence(agents: &[Value]) -> Check {
    const NAME: &str = "agents";
    let online = named(agents, |agent| agent["presence"] == "online");
    let away = named(agents, |agent| agent["state"] == "active" && agent["presence"] != "online");
    let found = format!("{} of {} online", online.len(), agents.len());
    if online.is_empty() {
        return Check::fail(NAME, found).because("nothing can run").advise(
            "invite one with `nexusmon agent invite --name NAME`, or start it there with `nexusmon-agent run`",
        );
    }
    if away.is_empty() {
        return Check::ok(NAME, found);
    }
    Check::warn(NAME, format!("{found}; away: {}", few(&away)))
        .because("what only they can do waits, and what they held may be done again elsewhere or become uncertain")
        .advise("`nexusmon-agent doctor` on that machine says why; `nexusmon agent revoke NAME --yes` if it is gone for good")
}

fn builds(agents: &[Value], version: &str) -> Check {
    const NAME: &str = "agent versions";
    let old =
        named(agents, |agent| agent["presence"] == "online" && agent["build"].as_str() != Some(version));
    if old.is_empty() {
        return Check::ok(NAME, format!("all {version}"));
    }
    Check::warn(NAME, format!("not {version}: {}", few(&old)))
        .because("a coordinator serves agents of its own and of the previous protocol version; older ones are refused")
        .advise("install this version there and restart the agent; what runs goes on or is reported")
}

fn sandboxes(agents: &[Value]) -> Check {
    const NAME: &str = "sandbox";
    let levels = |agent: &Value| agent["sandbox_levels"].as_array().cloned().unwrap_or_default();
    let strict = named(agents, |agent| {
        levels(agent).iter().any(|level| level.as_str().is_some_and(|level| level.starts_with("l3")))
    });
    if !strict.is_empty() {
        return Check::ok(NAME, format!("`strict` on {}", few(&strict)));
    }
    Check::warn(NAME, "no agent can give `strict`")
        .because("work that asks for it, which is the default for scripts, waits")
        .advise("install bubblewrap on an agent's machine; `nexusmon-agent doctor` there says what else is missing")
}

fn trust(agents: &[Value]) -> Check {
    const NAME: &str = "identities";
    let locked = named(agents, |agent| matches!(agent["state"].as_str(), Some("locked" | "quarantined")));
    if locked.is_empty() {
        return Check::ok(NAME, "no agent is locked or quarantined");
    }
    Check::warn(NAME, format!("locked or quarantined: {}", few(&locked)))
        .because("two machines may use one identity, or somebody has stopped them")
        .advise("`nexusmon audit` says why; `nexusmon agent resume NAME`, or revoke it and invite again")
}

fn waiting(stats: &Value) -> Check {
    const NAME: &str = "queue";
    let reasons = stats["waiting_by_reason"].as_object();
    let of = |code: &str| reasons.and_then(|all| all.get(code)).and_then(Value::as_u64).unwrap_or(0);
    let ready = stats["ready_tasks"].as_u64().unwrap_or(0);
    let age = stats["oldest_ready_seconds"].as_f64().unwrap_or(0.0);
    let unfit: Vec<String> = [
        ("no_agent_with_capability", "nobody offers their capability"),
        ("no_agent_matches_selector", "no agent has the labels they ask for"),
        ("sandbox_unavailable", "no agent can confine them as they ask"),
        ("rank_above_agent_ceiling", "their rank is above every agent's ceiling"),
        ("consent_required", "no agent runs their rank without signatures"),
        ("plugin_version", "agents have another version of their plugin"),
        ("refused_by", "agents refuse them by their own configuration"),
    ]
    .into_iter()
    .filter(|(code, _)| of(code) > 0)
    .map(|(code, words)| format!("{}: {words} (`{code}`)", of(code)))
    .collect();
    if !unfit.is_empty() {
        return Check::warn(NAME, format!("{ready} tasks wait; {}", unfit.join("; ")))
            .because("they wait until an agent can take them, however long that is")
            .advise("`nexusmon mission show ID` names each; `nexusmon agent capabilities` lists what there is: start an agent or plugin that fits");
    }
    let found = format!("{ready} tasks wait, the oldest for {age:.0} s");
    if age < 600.0 {
        return Check::ok(NAME, found);
    }
    Check::warn(NAME, found)
        .because("there are fewer free slots than work")
        .advise("add agents or slots (`--slots`), or look for tasks that never end: `nexusmon mission list --status running`")
}

async fn people(client: &Client, organism: &Value) -> Check {
    const NAME: &str = "waits for you";
    let approvals =
        client.list("/v1/governance/approvals?status=pending", usize::MAX).await.unwrap_or_default();
    let uncertain = organism["operator_load"]["uncertain_tasks"].as_u64().unwrap_or(0);
    let found = format!("{} approvals, {uncertain} uncertain tasks", approvals.len());
    if approvals.is_empty() && uncertain == 0 {
        return Check::ok(NAME, found);
    }
    Check::warn(NAME, found).because("their missions stand still until you decide").advise(
        "`nexusmon approvals`; `nexusmon mission list --status running`, then `nexusmon mission resolve`",
    )
}

fn background(metrics: &str) -> Check {
    const NAME: &str = "background work";
    let failing: Vec<&str> = metrics
        .lines()
        .filter_map(|line| line.strip_prefix("nexusmon_background_failing{activation=\"")?.split_once("\"} "))
        .filter(|(_, value)| *value != "0")
        .map(|(name, _)| name)
        .collect();
    if failing.is_empty() {
        return Check::ok(NAME, "every activity went well the last time");
    }
    Check::fail(NAME, format!("failed the last time: {}", failing.join(", ")))
        .because("leases, timers or retention are late; it is tried again by itself")
        .advise("the coordinator's log says why, beside `background work failed`")
}
