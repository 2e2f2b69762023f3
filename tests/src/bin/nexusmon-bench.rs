//! `make bench`: every workload beside the limit this machine has in the same run. Writes a table and JSON.

use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use nexusmon_tests::bench::{self, Row};

#[tokio::main]
async fn main() -> Result<()> {
    let mut only = None;
    let mut output = PathBuf::from("test-results/bench.json");
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--only" => only = Some(arguments.next().context("--only wants a workload, such as 1, 1b or 4")?),
            "--output" => output = arguments.next().context("--output wants a path")?.into(),
            // Started by W8 itself: a process full of simulated agents.
            "--simulate" => return bench::simulate().await,
            other => bail!("unknown argument `{other}`; known are --only W and --output FILE"),
        }
    }
    let mut rows: Vec<Row> = Vec::new();
    let mut failed = Vec::new();
    let wanted = |name: &str| only.as_ref().is_none_or(|only| name.eq_ignore_ascii_case(&format!("W{only}")));
    if !bench::WORKLOADS.iter().any(|workload| wanted(workload.name)) {
        bail!("no such workload; known are {}", bench::WORKLOADS.map(|workload| workload.name).join(", "));
    }
    for workload in bench::WORKLOADS.iter().filter(|workload| wanted(workload.name)) {
        eprintln!("{} {} …", workload.name, workload.what);
        match (workload.run)().await {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                eprintln!("{} could not be measured: {error:#}", workload.name);
                failed.push(workload.name);
            }
        }
    }
    bench::print(&rows);
    if let Some(folder) = output.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(&output, serde_json::to_vec_pretty(&rows)?)?;
    println!("\nwritten to {}", output.display());
    ensure!(failed.is_empty(), "not measured: {}", failed.join(", "));
    Ok(())
}
