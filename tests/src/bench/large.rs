//! W6: missions so large that anything quadratic shows, each held against the same shape a tenth or a hundredth as large.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Row;
use super::measure::Watch;
use super::workloads::{Cost, noops};
use crate::{Cluster, Options};

/// A large mission that has not ended by then is cancelled, and what it did counts.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between looks.
const GLANCE: Duration = Duration::from_millis(50);
/// Every so many looks the mission is read in full, too.
const FULL_READ: u32 = 5;
const REACH: f64 = 1.3;
const REACH_IS: &str = "reach: at most 1.3 times";

/// One task after the other.
fn chain(length: usize) -> Value {
    let tasks: Vec<_> = (0..length)
        .map(|n| {
            let needs: Vec<_> = n.checked_sub(1).map(|before| format!("t{before}")).into_iter().collect();
            json!({"id": format!("t{n}"), "uses": "core.noop", "needs": needs})
        })
        .collect();
    json!({"goal": "a long chain", "tasks": tasks})
}

/// One, then many at once, then one that waits for all of them.
fn fan(width: usize) -> Value {
    let mut tasks = vec![json!({"id": "first", "uses": "core.noop"})];
    let middle: Vec<_> = (0..width).map(|n| format!("t{n}")).collect();
    tasks.extend(middle.iter().map(|id| json!({"id": id, "uses": "core.noop", "needs": ["first"]})));
    tasks.push(json!({"id": "last", "uses": "core.noop", "needs": middle}));
    json!({"goal": "a wide fan", "tasks": tasks})
}

/// What watching a mission to its end came to.
struct Watched {
    done: usize,
    slowest_list: Duration,
    slowest_read: Duration,
}

async fn watch(cluster: &Cluster, mission: &str, within: Duration) -> Result<Watched> {
    let watch = Watch::start();
    let mut watched = Watched { done: 0, slowest_list: Duration::ZERO, slowest_read: Duration::ZERO };
    let mut pace = tokio::time::interval(GLANCE);
    for look in 0_u32.. {
        pace.tick().await;
        let asked = Watch::start();
        let page = cluster.api.get("/v1/engine/missions?limit=1").await?;
        watched.slowest_list = watched.slowest_list.max(asked.elapsed());
        let newest = &page["items"][0];
        ensure!(newest["id"] == mission, "the newest mission is the one watched");
        let counts = &newest["task_counts"];
        watched.done = usize::try_from(counts["succeeded"].as_u64().context("a count")?)?;
        let status = newest["status"].as_str().context("a status")?;
        if status != "running" && status != "ready" {
            ensure!(status == "succeeded", "{mission} ended {status}");
            return Ok(watched);
        }
        if look % FULL_READ == 0 {
            let asked = Watch::start();
            cluster.api.get(&format!("/v1/engine/missions/{mission}")).await?;
            watched.slowest_read = watched.slowest_read.max(asked.elapsed());
        }
        if watch.elapsed() > within {
            cluster.api.post(&format!("/v1/engine/missions/{mission}/cancel"), json!({})).await?;
            break;
        }
    }
    Ok(watched)
}

struct Shape {
    name: &'static str,
    body: fn(usize) -> Value,
    small: usize,
    large: usize,
    /// Small missions run for the comparison.
    repeats: usize,
}

const SHAPES: [Shape; 3] = [
    Shape { name: "flat", body: noops, small: 1000, large: 100_000, repeats: 10 },
    Shape { name: "chain", body: chain, small: 1000, large: 10_000, repeats: 1 },
    Shape { name: "fan", body: fan, small: 1000, large: 10_000, repeats: 5 },
];

pub(super) async fn run() -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for shape in SHAPES {
        // A fresh one each: peak memory is the shape's own.
        let cluster = Cluster::start(Options { agents: 2, slots: 8, ..Options::default() }).await?;
        let warm = cluster.api.create(noops(1000)).await?;
        watch(&cluster, &warm, PATIENCE).await?;
        let small = {
            let body = (shape.body)(shape.small);
            let cost = Cost::start(&cluster);
            for _ in 0..shape.repeats {
                let mission = cluster.api.create(body.clone()).await?;
                watch(&cluster, &mission, PATIENCE).await?;
            }
            cost.row(
                "W6",
                &format!("{}, {} tasks", shape.name, shape.small),
                shape.small * shape.repeats,
                None,
                "",
            )
        };
        let body = (shape.body)(shape.large);
        let cost = Cost::start(&cluster);
        let mission = cluster.api.create(body).await?;
        let accepted = cost.elapsed();
        let watched = watch(&cluster, &mission, PATIENCE).await?;
        let what = if watched.done >= shape.large {
            format!("{}, {} tasks", shape.name, shape.large)
        } else {
            format!("{}, {} of {} tasks", shape.name, watched.done, shape.large)
        };
        let large =
            cost.row("W6", &what, watched.done.max(1), Some(small.value), "the same shape with 1,000 tasks");
        let name = shape.name;
        let cpu = ratio(large.cpu_seconds_per_thousand, small.cpu_seconds_per_thousand);
        let time = small.value / large.value;
        let figure = |what: String, value: f64, unit| Row::figure("W6", what, value, unit);
        rows.extend([
            small,
            large,
            figure(format!("{name}: CPU per task against 1,000"), cpu, "times").against(REACH, REACH_IS),
            figure(format!("{name}: time per task against 1,000"), time, "times").against(REACH, REACH_IS),
            figure(format!("{name}: accepted after"), accepted.as_secs_f64(), "s"),
            figure(format!("{name}: slowest list meanwhile"), watched.slowest_list.as_secs_f64() * 1e3, "ms"),
            figure(format!("{name}: slowest read meanwhile"), watched.slowest_read.as_secs_f64() * 1e3, "ms"),
        ]);
    }
    Ok(rows)
}

fn ratio(ours: Option<f64>, theirs: Option<f64>) -> f64 {
    ours.zip(theirs).map_or(f64::NAN, |(ours, theirs)| ours / theirs)
}
