//! The database: there, of the right age, its keys openable, its server set up so that a commit is one.

use std::time::Duration;

use nexusmon_shared::doctor::{Check, Report};
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::time::{Clock as _, SystemClock};
use nexusmon_store::{PostgresServer, inspect};

use super::secrets;
use crate::config::Config;

const PATIENCE: Duration = Duration::from_secs(10);
/// Connections of one coordinator at most, with those beside the pool.
const PER_NODE: i64 = 12;
const APART: Duration = Duration::from_secs(5);

pub(super) async fn look(report: &mut Report, config: &Config) {
    const NAME: &str = "database";
    let shown = shown(&config.database_url);
    let unreachable = |reason: String| {
        Check::fail(NAME, format!("{shown}: {reason}"))
            .because("the coordinator does not start, or is not ready, without it")
            .advise("is the server up, are name and password right, does pg_hba.conf let this host in?")
    };
    let found = match tokio::time::timeout(PATIENCE, inspect(&config.database_url)).await {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => return report.add(unreachable(chain(&error))),
        Err(_) => return report.add(unreachable("it does not answer within 10 s".to_owned())),
    };
    report.add(match found.migration {
        None => Check::ok(NAME, format!("{shown}, still empty")),
        Some(at) if at > found.known => Check::fail(
            NAME,
            format!("{shown} is at migration {at}, this program knows {}", found.known),
        )
        .because("a newer program has changed it; this one would not understand what is there, and refuses")
        .advise("start the newer program, or restore the backup made before the upgrade"),
        Some(at) => Check::ok(NAME, format!("{shown}, migration {at} of {}", found.known)),
    });
    report.add(secrets::master_key(config, &found));
    if let Some(server) = &found.server {
        report.checks.extend([
            durability(server),
            vacuum(server),
            connections(server),
            clock(server),
            nodes(config, server),
        ]);
    }
}

/// Without the password.
fn shown(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        _ => url.to_owned(),
    }
}

fn durability(server: &PostgresServer) -> Check {
    const NAME: &str = "durability";
    let mut off = Vec::new();
    for (name, value) in [("fsync", &server.fsync), ("full_page_writes", &server.full_page_writes)] {
        if value == "off" {
            off.push(format!("{name} = off"));
        }
    }
    if server.synchronous_commit == "off" {
        off.push("synchronous_commit = off".to_owned());
    }
    if off.is_empty() {
        return Check::ok(NAME, format!("PostgreSQL {}, commits are synchronous", server.version));
    }
    Check::fail(NAME, off.join(", "))
        .because("what was acknowledged can be lost, or the whole database be damaged, when the power goes")
        .advise("set them to `on` in postgresql.conf (ALTER SYSTEM SET …; SELECT pg_reload_conf())")
}

fn vacuum(server: &PostgresServer) -> Check {
    const NAME: &str = "autovacuum";
    let check = if server.autovacuum == "off" {
        Check::fail(NAME, "autovacuum = off")
    } else if server.bloated.is_empty() {
        return Check::ok(NAME, "on, and it keeps up");
    } else {
        Check::warn(NAME, format!("more dead rows than living ones in {}", server.bloated.join(", ")))
    };
    check.because("dead rows pile up: every claim reads past them, and the disk fills").advise(
        "ALTER SYSTEM SET autovacuum = on; for a busy system autovacuum_vacuum_cost_limit = 2000 and \
         autovacuum_naptime = 10s; end transactions that stay open (pg_stat_activity)",
    )
}

fn connections(server: &PostgresServer) -> Check {
    const NAME: &str = "connections";
    let usable = server.max_connections - server.reserved;
    let nodes = i64::try_from(server.nodes.len().max(1)).unwrap_or(i64::MAX);
    let wanted = nodes.saturating_mul(PER_NODE);
    let found =
        format!("{} of {usable} in use; {nodes} coordinators want up to {wanted}", server.connections);
    if usable < wanted {
        Check::fail(NAME, found)
            .because("a coordinator that gets no connection is not ready, and its agents wait")
            .advise(format!(
                "set max_connections to at least {} and restart PostgreSQL",
                wanted + server.reserved + 10
            ))
    } else if server.connections.saturating_mul(10) > usable.saturating_mul(9) {
        Check::warn(NAME, found)
            .because("the next one may be refused")
            .advise("who has them? SELECT application_name, count(*) FROM pg_stat_activity GROUP BY 1")
    } else {
        Check::ok(NAME, found)
    }
}

fn clock(server: &PostgresServer) -> Check {
    const NAME: &str = "database clock";
    let ours = SystemClock.now();
    let apart = ours.since(server.now).max(server.now.since(ours));
    let found = format!("{:.1} s apart from this machine's", apart.as_secs_f64());
    if apart < APART {
        return Check::ok(NAME, found);
    }
    Check::warn(NAME, found)
        .because(
            "logs and audit entries of several machines no longer sort by time; tokens may count as expired",
        )
        .advise("let both machines keep time by NTP (systemd-timesyncd or chrony)")
}

fn nodes(config: &Config, server: &PostgresServer) -> Check {
    const NAME: &str = "several coordinators";
    let others = server.nodes.iter().filter(|node| **node != config.node).count();
    let found = format!("{} connected", server.nodes.len());
    if others > 0 && server.nodes.len() > 1 && config.blobs_url.starts_with("file:") {
        return Check::fail(NAME, format!("{found}, but {} is a folder of this machine", config.blobs_url))
            .because("each has its own folder: what one stores, the others cannot find")
            .advise("set blobs_url to an s3:// URL on all of them");
    }
    Check::ok(NAME, found)
}

#[cfg(test)]
mod tests {
    use nexusmon_shared::doctor::Verdict;

    use super::*;

    fn server() -> PostgresServer {
        let on = || "on".to_owned();
        PostgresServer {
            version: "17.2".to_owned(),
            fsync: on(),
            full_page_writes: on(),
            synchronous_commit: on(),
            autovacuum: on(),
            max_connections: 100,
            reserved: 3,
            connections: 20,
            nodes: vec!["one".to_owned(), "two".to_owned()],
            now: SystemClock.now(),
            bloated: Vec::new(),
        }
    }

    #[test]
    fn a_well_kept_server_is_fine() {
        for check in [durability(&server()), vacuum(&server()), connections(&server()), clock(&server())] {
            assert_eq!(check.verdict, Verdict::Ok, "{check:?}");
        }
    }

    #[test]
    fn what_a_server_lacks_is_named() {
        let few = PostgresServer { max_connections: 20, ..server() };
        assert_eq!(connections(&few).verdict, Verdict::Fail);
        assert!(connections(&few).advice.is_some_and(|advice| advice.contains("at least 37")));
        let busy = PostgresServer { connections: 96, ..server() };
        assert_eq!(connections(&busy).verdict, Verdict::Warn);
        let late = PostgresServer { now: SystemClock.now() - Duration::from_mins(1), ..server() };
        assert_eq!(clock(&late).verdict, Verdict::Warn);
        let bloated = PostgresServer { bloated: vec!["tasks".to_owned()], ..server() };
        assert!(vacuum(&bloated).found.contains("tasks"));
        for broken in [
            PostgresServer { fsync: "off".to_owned(), ..server() },
            PostgresServer { full_page_writes: "off".to_owned(), ..server() },
            PostgresServer { synchronous_commit: "off".to_owned(), ..server() },
        ] {
            assert_eq!(durability(&broken).verdict, Verdict::Fail);
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(shown("postgres://me:secret@host:5432/db"), "postgres://host:5432/db");
        assert_eq!(shown("sqlite:///data/nexusmon.db"), "sqlite:///data/nexusmon.db");
    }
}
