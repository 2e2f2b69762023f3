//! Several coordinators on one database, one of them killed every few seconds: the suite `tests/nodes.rs`, asked for more.

use anyhow::{Context as _, Result};
use tokio::process::Command;

use super::{Case, Findings, Run, Tier, none};

pub(super) const RUN: Run = Run {
    name: "nodes",
    what: "coordinators on one PostgreSQL, one killed every few seconds under load",
    cases: (0, 10),
    at_once: 1,
    patience_seconds: 3_600,
    case: |case| Box::pin(carry_out(case)),
    targets: &[&[none("suites_failed")]],
};

async fn carry_out(case: Case) -> Result<Findings> {
    let mut findings = Findings::default();
    let output = Command::new("cargo")
        .args(["nextest", "run", "--workspace", "--all-features", "-E", "binary(nodes)"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .env("NEXUSMON_STORM_KILLS", if case.tier == Tier::Small { "4" } else { "30" })
        .env("NEXUSMON_STORM_SEED", case.seed.to_string())
        .kill_on_drop(true)
        .output()
        .await
        .context("starting cargo nextest")?;
    findings.count("suites", 1);
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let end: Vec<_> = text.lines().rev().take(40).collect();
        let end: Vec<_> = end.into_iter().rev().collect();
        findings.violation("suites_failed", end.join("\n"));
    }
    Ok(findings)
}
