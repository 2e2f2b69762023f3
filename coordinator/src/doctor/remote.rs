//! A coordinator from outside: whether it answers, is ready, of this version and time, and how its fleet does.

use std::time::Duration;

use nexusmon_shared::doctor::{Check, Report};
use nexusmon_shared::time::{Clock as _, SystemClock, Timestamp};
use serde_json::Value;

use super::fleet;
use crate::cli::{Client, CommandError};

const APART: Duration = Duration::from_secs(30);

/// What `/v1/version` says, if something answers.
pub(super) async fn answering(client: &Client) -> Result<Value, CommandError> {
    client.get_open("/v1/version").await
}

pub(super) async fn look(report: &mut Report, client: &Client, answering: Result<Value, CommandError>) {
    const NAME: &str = "coordinator";
    let version = match answering {
        Ok(version) => version,
        Err(error) => {
            let found = error.to_string().lines().next().unwrap_or_default().to_owned();
            let check = Check::fail(NAME, found)
                .because("nothing new is accepted; agents go on with what they hold")
                .advise("start it (`nexusmon serve`; `systemctl status nexusmon` says why it ended), or name another with --url");
            return report.add(check);
        }
    };
    let theirs = version["version"].as_str().unwrap_or("an unknown version").to_owned();
    report.add(Check::ok(NAME, format!("{} answers, version {theirs}", client.url)));
    report.add(same(&theirs));
    report.add(ready(client).await);
    report.add(clock(&version));
    match client.get("/v1/nexusmon/organism/status").await {
        Ok(organism) => fleet::look(report, client, &organism, &theirs).await,
        Err(CommandError::Refused { status: 401 | 403, .. }) => report.add(
            Check::warn("logged in", "no")
                .because("fleet, queue and background work cannot be looked at")
                .advise("run `nexusmon login`, or set OPERATOR_KEY"),
        ),
        Err(error) => {
            report.add(Check::fail("logged in", error.to_string()).advise("see the coordinator's log"));
        }
    }
}

fn same(theirs: &str) -> Check {
    const NAME: &str = "version";
    let ours = env!("CARGO_PKG_VERSION");
    if theirs == ours {
        return Check::ok(NAME, format!("{ours} here and there"));
    }
    Check::warn(NAME, format!("the coordinator is {theirs}, this program {ours}"))
        .because("commands may miss fields the other side has, or send ones it refuses")
        .advise("install the same version on both sides")
}

async fn ready(client: &Client) -> Check {
    const NAME: &str = "ready";
    match client.probe("/readyz").await {
        Ok(()) => Check::ok(NAME, "takes work"),
        Err(error) => Check::fail(NAME, error.to_string())
            .because("load balancers send nothing here, and new work is refused")
            .advise("its log says what: usually the database does not answer, or it is stopping"),
    }
}

fn clock(version: &Value) -> Check {
    const NAME: &str = "clocks";
    let theirs = version["time"].as_str().and_then(|text| text.parse::<Timestamp>().ok());
    let Some(theirs) = theirs else { return Check::skipped(NAME, "the coordinator does not tell its time") };
    let ours = SystemClock.now();
    let apart = ours.since(theirs).max(theirs.since(ours));
    let found = format!("{:.1} s apart", apart.as_secs_f64());
    if apart < APART {
        return Check::ok(NAME, found);
    }
    Check::warn(NAME, found)
        .because("tokens and certificates count as expired, or as not valid yet")
        .advise("set the time on both machines (systemd-timesyncd or chrony)")
}
