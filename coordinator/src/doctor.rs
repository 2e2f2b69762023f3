//! `nexusmon doctor`: looks at this host's coordinator from below (configuration, files, database, keys) and at any
//! coordinator from outside (its API), and says what is the matter, why that matters and what to do.

mod database;
mod fleet;
mod host;
mod remote;
mod secrets;

use nexusmon_shared::doctor::{Check, Report};

use crate::cli::{Client, CommandError, Connection};
use crate::config::{Config, ProcessEnvironment, Settings};

/// Exit codes: 0 nothing fails (there may be warnings), 1 something does.
pub async fn run(connection: &Connection, settings: Settings) -> Result<bool, CommandError> {
    let client = Client::new(connection)?;
    let mut report = Report::default();
    let answering = remote::answering(&client).await;
    let here = is_here(&connection.url);
    if here {
        local(&mut report, settings, answering.is_ok()).await;
    } else {
        let found = format!("{} is another machine; run `nexusmon doctor` there as well", connection.url);
        report.add(Check::skipped("this host", found));
    }
    remote::look(&mut report, &client, answering).await;
    println!("{}", if connection.json { report.json() } else { report.text() });
    Ok(report.healthy())
}

/// What only this machine can tell. `answering`: a coordinator runs where the API was looked for.
async fn local(report: &mut Report, settings: Settings, answering: bool) {
    let config = match Config::load(settings, &ProcessEnvironment) {
        Ok(config) => config,
        Err(error) => {
            report.add(
                Check::fail("configuration", error.to_string())
                    .because("the coordinator refuses to start with it")
                    .advise("`nexusmon serve --help` explains each setting; .env.example shows them all"),
            );
            return;
        }
    };
    report.add(Check::ok("configuration", "every setting can be used"));
    report.checks.extend(secrets::operator_key(&config));
    report.add(host::exposure(&config));
    report.checks.extend(host::signing_key());
    report.checks.extend(host::certificate(&config));
    if !config.data_dir.exists() {
        let found = format!("{} does not exist", config.data_dir.display());
        report.add(if answering {
            Check::skipped("data folder", found).advise(
                "the coordinator that answers keeps its data elsewhere: name --data-dir or --config as it was started with",
            )
        } else {
            Check::warn("data folder", found)
                .because("nothing was ever started with these settings")
                .advise("start the coordinator, or name --data-dir or --config as it was started with")
        });
        return;
    }
    report.checks.extend(host::folder(&config));
    report.checks.extend(host::ports(&config, answering).await);
    database::look(report, &config).await;
    report.add(host::blobs(&config).await);
}

fn is_here(url: &str) -> bool {
    let host =
        url.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned)).unwrap_or_default();
    let host = host.trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
