//! `nexusmon-agent doctor`: looks at what an agent needs, and says what is the matter, why that matters and what to do.

mod host;
mod line;
mod sandbox;
mod signatures;

use std::process::ExitCode;
use std::sync::Arc;

use nexusmon_shared::doctor::{Check, Report};
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::time::{SharedClock, SystemClock};

use super::output;
use crate::config::Config;
use crate::enroll::Home;
use crate::error::AgentError;

/// Exit codes: 0 nothing fails (there may be warnings), 1 something does.
pub(super) async fn doctor(config: &Config, as_json: bool) -> Result<ExitCode, AgentError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let mut report = Report::default();
    report.checks.extend(host::folder(&config.data_dir));
    report.checks.extend(host::room(config));
    report.add(host::process(config));
    match Home::open(&config.data_dir) {
        Ok(home) => {
            let membership = home.membership();
            report.add(Check::ok("identity", format!("{} (`{}`)", membership.agent, membership.name)));
            report.checks.extend(line::certificate(&home));
            report.add(signatures::look(config, membership, clock.now()));
            report.add(line::reach(config, &home, Arc::clone(&clock)).await);
        }
        Err(error) => report.add(
            Check::fail("identity", chain(&error))
                .because("without one no coordinator knows this machine")
                .advise("`nexusmon agent invite` there, `nexusmon-agent join TOKEN` here; or repair what the message names"),
        ),
    }
    report.checks.extend(sandbox::look(config, clock).await);
    report.add(host::plugins(config));
    report.add(host::policy(config));
    output::line(if as_json { report.json() } else { report.text() });
    Ok(if report.healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
