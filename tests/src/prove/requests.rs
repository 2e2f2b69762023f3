//! Malformed and stateful requests made by schemathesis from the `OpenAPI` document: no 5xx, no status that is not declared.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};
use tokio::process::Command;

use super::world::{World, feed};
use super::{Case, Findings, Run, Tier, at_least, none};
use crate::cluster::{OPERATOR_KEY, Options};

/// Requests of the small tier; of the full one; and the cases those come from.
const SMALL: u64 = 2_000;
const FULL: u64 = 100_000;
const CASES: u32 = 20;

pub(super) const RUN: Run = Run {
    name: "requests",
    what: "malformed and stateful API requests from the OpenAPI document",
    cases: (1, CASES),
    at_once: 1,
    patience_seconds: 1_200,
    case: |case| Box::pin(carry_out(case)),
    targets: &[&[at_least("requests", SMALL, FULL), none("bad_answers"), none("coordinator_died")]],
};

async fn carry_out(case: Case) -> Result<Findings> {
    let postgres = case.is_on_postgres();
    let mut world = World::start(Options { postgres, ..Options::default() }, case.seed).await?;
    world.findings.parameter("database", if postgres { "postgres" } else { "sqlite" });
    // Something to be found: missions that ran, one that waits for a person, an artifact.
    let missions = world.missions(6, 0.2);
    feed(std::sync::Arc::clone(&world.api), missions).await?;
    let waiting = json!({"goal": "wait for a person", "rank": "A",
        "tasks": [{"id": "a", "uses": "core.noop"}]});
    world.api.create(waiting).await?;
    let folder = world.cluster.path().join("requests");
    std::fs::create_dir_all(&folder)?;
    let document = folder.join("openapi.json");
    std::fs::write(&document, serde_json::to_vec(&world.api.get("/v1/openapi.json").await?)?)?;
    let report = folder.join("report.json");
    let (seconds, examples, enough) =
        if case.tier == Tier::Small { ("30", "4", SMALL) } else { ("240", "60", FULL / u64::from(CASES)) };
    // By number and not by time: a slow machine takes another turn, with another seed.
    let mut generated = 0;
    for turn in 0.. {
        if generated >= enough {
            break;
        }
        let seed = case.seed.wrapping_add(turn);
        let made = make(&world, &document, &report, seed, [seconds, examples]).await?;
        if made.generated == 0 {
            bail!("schemathesis made no request");
        }
        generated += made.generated;
        for failure in made.failures {
            world.findings.violation("bad_answers", failure);
        }
    }
    world.findings.count("requests", generated);
    if world.cluster.coordinator_has_ended()? {
        world.findings.violation("coordinator_died", "it ended under the requests");
    }
    Ok(world.findings)
}

/// What one turn came to.
struct Made {
    generated: u64,
    failures: Vec<String>,
}

async fn make(world: &World, document: &Path, report: &Path, seed: u64, bounds: [&str; 2]) -> Result<Made> {
    let script = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/schemathesis/run.sh"));
    let output = Command::new(script)
        .args([document, report])
        .arg(seed.to_string())
        .args(bounds)
        .env("NEXUSMON_URL", &world.api.url)
        .env("OPERATOR_KEY", OPERATOR_KEY)
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting {}", script.display()))?;
    let Ok(text) = std::fs::read(report) else {
        bail!("schemathesis left no report: {}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::remove_file(report)?;
    let report: Value = serde_json::from_slice(&text)?;
    let generated = report["test_cases"]["generated"].as_u64().context("the report counts test cases")?;
    let failures = report["failures"].as_array().into_iter().flatten();
    let failures = failures.map(|failure| failure.to_string().chars().take(600).collect()).collect();
    Ok(Made { generated, failures })
}
