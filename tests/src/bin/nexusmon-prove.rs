//! `make prove`: carries out the runs and writes evidence, one JSON line per case.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nexusmon_tests::prove::{self, Order, RUNS, Tier};

const USAGE: &str = "nexusmon-prove [RUN…] [--tier small|full] [--shard PART/PARTS] [--resume] [--minutes PER_RUN] \
                     [--seed NUMBER] [--case NUMBER] [--evidence FILE] [--list]";

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let mut order = Order {
        tier: Tier::Full,
        shard: (0, 1),
        resume: false,
        most: Duration::from_mins(60),
        seed: 1,
        only: None,
        evidence: PathBuf::from("test-results/evidence.jsonl"),
    };
    let mut runs = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} wants a value\n{USAGE}"));
        match argument.as_str() {
            "--tier" => {
                order.tier = match value()?.as_str() {
                    "small" => Tier::Small,
                    "full" => Tier::Full,
                    other => bail!("no such tier `{other}`: small or full"),
                }
            }
            "--shard" => order.shard = shard(&value()?)?,
            "--resume" => order.resume = true,
            "--minutes" => {
                order.most = Duration::from_mins(value()?.parse().context("--minutes wants a number")?);
            }
            "--seed" => order.seed = value()?.parse().context("--seed wants a number")?,
            "--case" => order.only = Some(value()?.parse().context("--case wants a number")?),
            "--evidence" => order.evidence = value()?.into(),
            "--help" | "-h" => {
                println!("{USAGE}");
                return Ok(ExitCode::SUCCESS);
            }
            "--list" => {
                for run in RUNS {
                    println!("{:<12} {:>4} / {:>5} cases  {}", run.name, run.cases.0, run.cases.1, run.what);
                }
                return Ok(ExitCode::SUCCESS);
            }
            name if !name.starts_with('-') => {
                let known = || RUNS.iter().map(|run| run.name).collect::<Vec<_>>().join(", ");
                runs.push(
                    prove::run(name).with_context(|| format!("no run `{name}`; there are {}", known()))?,
                );
            }
            other => bail!("unknown argument `{other}`\n{USAGE}"),
        }
    }
    if runs.is_empty() {
        runs = RUNS.iter().collect();
    }
    let mut good = true;
    let mut tables = Vec::new();
    for run in runs {
        eprintln!("{}: {}", run.name, run.what);
        let summary = prove::carry_out(run, &order).await?;
        good &= summary.is_good();
        tables.push(summary.table());
        for detail in &summary.details {
            tables.push(format!("    {detail}\n"));
        }
    }
    println!("\nmeasured / target\n\n{}", tables.concat());
    println!("evidence: {}", order.evidence.display());
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn shard(text: &str) -> Result<(u32, u32)> {
    let parts =
        text.split_once('/').and_then(|(part, parts)| Some((part.parse().ok()?, parts.parse().ok()?)));
    match parts {
        Some((part, parts)) if (1..=parts).contains(&part) => Ok((part - 1, parts)),
        _ => bail!("--shard wants PART/PARTS with PART from 1, such as 2/8; not `{text}`"),
    }
}
