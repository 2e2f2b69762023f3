//! `nexusmon doctor`: looks at a running coordinator from outside and says what to do about what it finds.

use serde_json::{Value, json};

use super::client::{Client, CommandError};
use super::render;

struct Finding {
    what: &'static str,
    good: bool,
    found: String,
    advice: &'static str,
}

pub(super) async fn run(client: &Client) -> Result<(), CommandError> {
    let mut findings = Vec::new();
    let version = client.get("/v1/version").await?;
    findings.push(Finding {
        what: "coordinator answers",
        good: true,
        found: format!("version {}", render::text(&version["version"])),
        advice: "",
    });
    let own = env!("CARGO_PKG_VERSION");
    findings.push(Finding {
        what: "same version here and there",
        good: version["version"].as_str() == Some(own),
        found: format!("this program is {own}"),
        advice: "install the same version on both sides",
    });
    findings.push(ready(client).await);
    findings.push(clock(client).await);
    match client.get("/v1/nexusmon/organism/status").await {
        Ok(organism) => {
            findings.push(Finding { what: "logged in", good: true, found: "yes".to_owned(), advice: "" });
            findings.extend(fleet(client, &organism).await?);
        }
        Err(CommandError::Refused { status: 401 | 403, .. }) => findings.push(Finding {
            what: "logged in",
            good: false,
            found: "no".to_owned(),
            advice: "run `nexusmon login`, or set OPERATOR_KEY; the rest cannot be looked at",
        }),
        Err(error) => return Err(error),
    }
    report(client, &findings)
}

async fn ready(client: &Client) -> Finding {
    let answer = client.get("/readyz").await;
    Finding {
        what: "ready for work",
        good: answer.is_ok(),
        found: match answer {
            Ok(_) => "yes".to_owned(),
            Err(error) => error.to_string(),
        },
        advice: "look at its log: the database or the blob store does not answer",
    }
}

async fn clock(client: &Client) -> Finding {
    use nexusmon_shared::time::{Clock, SystemClock, Timestamp};
    let theirs = client
        .get("/v1/version")
        .await
        .ok()
        .and_then(|answer| answer["time"].as_str()?.parse::<Timestamp>().ok());
    let apart = theirs.map(|theirs| {
        let ours = SystemClock.now();
        ours.since(theirs).max(theirs.since(ours))
    });
    Finding {
        what: "clocks agree",
        good: apart.is_none_or(|apart| apart.as_secs() < 30),
        found: apart.map_or("unknown".to_owned(), |apart| format!("{:.1} s apart", apart.as_secs_f64())),
        advice: "set the time on both machines (systemd-timesyncd or chrony)",
    }
}

async fn fleet(client: &Client, organism: &Value) -> Result<Vec<Finding>, CommandError> {
    let agents = client.list("/v1/fleet/agents", usize::MAX).await?;
    let online = agents.iter().filter(|agent| agent["status"] == "online").count();
    let strict = agents.iter().filter(|agent| {
        let levels = agent["sandbox_levels"].as_array().cloned().unwrap_or_default();
        levels.iter().any(|level| level == "l3" || level == "l3_lite")
    });
    let approvals = client.list("/v1/governance/approvals?status=pending", usize::MAX).await?;
    let uncertain = organism["operator_load"]["uncertain_tasks"].as_u64().unwrap_or(0);
    Ok(vec![
        Finding {
            what: "agents online",
            good: online > 0,
            found: format!("{online} of {}", agents.len()),
            advice: "invite one with `nexusmon agent invite --name NAME`, or start it with `nexusmon-agent run`",
        },
        Finding {
            what: "an agent can give the sandbox `strict`",
            good: strict.count() > 0,
            found: String::new(),
            advice: "install bubblewrap there; `nexusmon-agent doctor` on that machine says what is missing",
        },
        Finding {
            what: "nothing waits for you",
            good: approvals.is_empty() && uncertain == 0,
            found: format!("{} approvals, {uncertain} uncertain tasks", approvals.len()),
            advice: "`nexusmon approvals`, `nexusmon mission list --status running`",
        },
    ])
}

fn report(client: &Client, findings: &[Finding]) -> Result<(), CommandError> {
    if client.json {
        let list = findings
            .iter()
            .map(|finding| {
                let advice =
                    if finding.good { Value::Null } else { Value::String(finding.advice.to_owned()) };
                json!({ "check": finding.what, "ok": finding.good, "found": finding.found, "advice": advice })
            })
            .collect();
        render::json(&Value::Array(list));
    } else {
        for finding in findings {
            println!("{}  {}  {}", if finding.good { "ok  " } else { "look" }, finding.what, finding.found);
            if !finding.good {
                println!("      {}", finding.advice);
            }
        }
    }
    let bad = findings.iter().filter(|finding| !finding.good).count();
    if bad == 0 {
        Ok(())
    } else {
        Err(CommandError::Failed(format!("{bad} of {} checks need a look", findings.len())))
    }
}
