//! `nexusmon-agent doctor`: checks what an agent needs, and says what to do about what is missing.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::lifecycle::{Lifecycle, chain};
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::{Clock as _, SharedClock, SystemClock};
use serde::Serialize;
use serde_json::json;

use super::output;
use crate::config::Config;
use crate::control::{self, Lock};
use crate::enroll::Home;
use crate::error::AgentError;
use crate::local;

/// Less free room than this is worth a word.
const ROOM: u64 = 1 << 30;
const REACH_WITHIN: Duration = Duration::from_secs(12);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Ok, found: found.into(), advice: None }
    }

    fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Warn, found: found.into(), advice: Some(advice.into()) }
    }

    fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { name, verdict: Verdict::Fail, found: found.into(), advice: Some(advice.into()) }
    }
}

pub(super) async fn doctor(config: &Config, as_json: bool) -> Result<ExitCode, AgentError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let mut checks = vec![folder(&config.data_dir), room(&config.data_dir), process(config)];
    match Home::open(&config.data_dir) {
        Ok(home) => {
            let membership = home.membership();
            checks.push(Check::ok("identity", format!("{} (`{}`)", membership.agent, membership.name)));
            checks.extend(certificate(&home));
            checks.push(reach(config, &home, Arc::clone(&clock)).await);
        }
        Err(error) => {
            checks.push(Check::fail("identity", chain(&error), "join, or repair what the message names"));
        }
    }
    checks.extend(sandbox(config, clock).await);
    checks.push(policy(config));
    let healthy = checks.iter().all(|check| check.verdict != Verdict::Fail);
    if as_json {
        output::json(&json!({ "healthy": healthy, "checks": checks }));
    } else {
        for check in &checks {
            let mark = match check.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "warn",
                Verdict::Fail => "FAIL",
            };
            output::line(format_args!("{mark}  {:<14} {}", check.name, check.found));
            if let Some(advice) = &check.advice {
                output::line(format_args!("      {:<14} -> {advice}", ""));
            }
        }
    }
    Ok(if healthy { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn folder(data_dir: &Path) -> Check {
    const NAME: &str = "data folder";
    let shown = data_dir.display();
    let Ok(metadata) = std::fs::metadata(data_dir) else {
        return Check::fail(
            NAME,
            format!("{shown} does not exist"),
            "join first, or name the right --data-dir",
        );
    };
    let mode = metadata.permissions().mode() & 0o777;
    let probe = data_dir.join(".doctor-probe");
    if let Err(error) = std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe)) {
        let advice = "run as the user who joined, or give that user the folder";
        return Check::fail(NAME, format!("{shown} is not writable: {error}"), advice);
    }
    if mode & 0o022 != 0 {
        let advice = format!("chmod go-w {shown}");
        return Check::fail(NAME, format!("{shown} can be written by others (mode {mode:o})"), advice);
    }
    Check::ok(NAME, format!("{shown}, mode {mode:o}"))
}

fn room(data_dir: &Path) -> Check {
    const NAME: &str = "disk";
    match rustix::fs::statvfs(data_dir) {
        Ok(found) => {
            let free = found.f_bavail.saturating_mul(found.f_frsize);
            let shown = format!("{} MiB free", free >> 20);
            if free < ROOM {
                Check::warn(
                    NAME,
                    shown,
                    "make room: logs and workspaces need it, and a full disk stops the agent",
                )
            } else {
                Check::ok(NAME, shown)
            }
        }
        Err(error) => Check::fail(NAME, error.to_string(), "is the folder there?"),
    }
}

fn process(config: &Config) -> Check {
    const NAME: &str = "process";
    let paused = control::is_paused(&config.data_dir);
    match Lock::holder(&config.data_dir) {
        Some(process) if paused => {
            Check::warn(NAME, format!("{process}, paused"), "`nexusmon-agent resume` lets it work again")
        }
        Some(process) => Check::ok(NAME, process.to_string()),
        None => Check::warn(NAME, "no agent runs on this folder", "start it with `nexusmon-agent run`"),
    }
}

fn certificate(home: &Home) -> Vec<Check> {
    let now = SystemClock.now();
    let renewal = match home.renewal(0.0) {
        Ok(renewal) => renewal,
        Err(error) => {
            return vec![Check::fail("certificate", chain(&error), "leave and join again")];
        }
    };
    let life = if now >= renewal.expires {
        let advice =
            "none needed if the coordinator is reachable: it is renewed by challenge at the next start";
        Check::warn("certificate", format!("expired at {}", renewal.expires), advice)
    } else {
        Check::ok("certificate", format!("until {}, renewed from {}", renewal.expires, renewal.due))
    };
    let clock = if now < renewal.begins {
        let found = format!("{now} is before the certificate begins ({})", renewal.begins);
        Check::fail("clock", found, "this machine's clock is behind; set it, or let NTP do it")
    } else {
        Check::ok("clock", now.to_string())
    };
    vec![life, clock]
}

/// Shakes hands with the coordinator; opens no session, so that an agent that runs keeps its own.
async fn reach(config: &Config, home: &Home, clock: SharedClock) -> Check {
    const NAME: &str = "coordinator";
    let address = config.coordinator.as_ref();
    let shown = address.unwrap_or(&home.membership().address).to_string();
    let connector = match home.connector(address, clock) {
        Ok(connector) => connector,
        Err(error) => return Check::fail(NAME, chain(&error), "leave and join again"),
    };
    match tokio::time::timeout(REACH_WITHIN, connector.connect()).await {
        Ok(Ok(_)) => Check::ok(NAME, format!("{shown} answers and takes this agent's certificate")),
        Ok(Err(error)) if error.needs_new_certificate() => {
            let advice = "`nexusmon-agent run` renews by challenge; if that is refused, ask the operator";
            Check::warn(NAME, chain(&error), advice)
        }
        Ok(Err(error)) => {
            let advice = "is the coordinator up, its agent port open, the address right (--coordinator)?";
            Check::fail(NAME, chain(&error), advice)
        }
        Err(_) => Check::fail(NAME, format!("{shown} does not answer"), "is there a firewall in between?"),
    }
}

async fn sandbox(config: &Config, clock: SharedClock) -> Vec<Check> {
    let lifecycle = Lifecycle::new();
    let measured = local::measure(config, &lifecycle, clock).await;
    lifecycle.shutdown(Duration::from_secs(2)).await;
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => return vec![Check::fail("sandbox", chain(&error), "see the message")],
    };
    let available: Vec<_> = measured.available.iter().map(|level| level.as_str()).collect();
    let strict = measured.available.contains(&Level::L3) || measured.available.contains(&Level::L3Lite);
    let shown = available.join(", ");
    let first = if strict {
        Check::ok("sandbox", shown)
    } else {
        let advice =
            "install bubblewrap (or a kernel with Landlock); until then `strict` work is not offered here";
        Check::warn("sandbox", format!("{shown}; nothing for `strict`"), advice)
    };
    let missing = measured.missing.into_iter().map(|(level, reason)| Check {
        name: level_name(level),
        verdict: Verdict::Ok,
        found: format!("not here: {reason}"),
        advice: None,
    });
    std::iter::once(first).chain(missing).collect()
}

const fn level_name(level: Level) -> &'static str {
    match level {
        Level::L0 => "sandbox l0",
        Level::L1 => "sandbox l1",
        Level::L2 => "sandbox l2",
        Level::L3Lite => "sandbox l3lite",
        Level::L3 => "sandbox l3",
    }
}

fn policy(config: &Config) -> Check {
    let capabilities = if config.capabilities.is_empty() {
        "all capabilities".to_owned()
    } else {
        config.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let found = format!("up to rank {}, {capabilities}, {} slots", config.max_rank, config.slots);
    if config.unsigned_consent {
        let advice = "set `unsigned_consent = false` unless this machine is for trying things out";
        Check::warn("local policy", format!("{found}; A and S run without signatures"), advice)
    } else {
        Check::ok("local policy", found)
    }
}
