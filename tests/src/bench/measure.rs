//! Processor time, memory and elapsed time of process trees, read from `/proc`.

use std::fs;
use std::time::Duration;

use nexusmon_shared::time::{Clock, SystemClock};

use crate::Cluster;

/// Elapsed time on the boot clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Watch(Duration);

impl Watch {
    pub(super) fn start() -> Self {
        Self(SystemClock.boot())
    }

    pub(super) fn elapsed(self) -> Duration {
        SystemClock.boot().saturating_sub(self.0)
    }
}

/// Coordinator, agents, and the agents' spawners, which are nobody's children: tasks and what starts them count.
pub(super) fn processes(cluster: &Cluster) -> Vec<u32> {
    let mut ids = cluster.process_ids();
    for agent in &cluster.agents {
        let mark = fs::read(agent.folder.join("spawner.json")).unwrap_or_default();
        let mark: serde_json::Value = serde_json::from_slice(&mark).unwrap_or_default();
        let listed = mark["processes"].as_array().into_iter().flatten();
        ids.extend(listed.filter_map(|process| u32::try_from(process[0].as_u64()?).ok()));
    }
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Processor seconds used so far by these processes and everything below them, ended children included.
pub(super) fn cpu_seconds(roots: &[u32]) -> f64 {
    let ticks = rustix::param::clock_ticks_per_second() as f64;
    tree(roots).into_iter().filter_map(stat).map(|fields| fields.cpu_ticks as f64 / ticks).sum()
}

/// Peak resident memory of these processes and everything below them, in MiB.
pub(super) fn peak_memory_mib(roots: &[u32]) -> f64 {
    tree(roots).into_iter().map(|id| status_kib(id, "VmHWM:")).sum::<f64>() / 1024.0
}

/// Resident memory now of one process, in MiB.
pub(super) fn memory_mib(id: u32) -> f64 {
    status_kib(id, "VmRSS:") / 1024.0
}

/// Leaves what is measured alone for so long: how little it does then is the figure.
pub(super) async fn quiet(time: Duration) {
    tokio::time::sleep(time).await;
}

fn status_kib(id: u32, field: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}

struct Stat {
    parent: u32,
    cpu_ticks: u64,
}

fn stat(id: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    // proc(5): utime, stime, cutime, cstime are fields 14 to 17; the first after the name is field 3.
    let cpu_ticks = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, cpu_ticks })
}

fn tree(roots: &[u32]) -> Vec<u32> {
    let all: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|id| Some((id, stat(id)?.parent)))
        .collect();
    let mut found = roots.to_vec();
    let mut next = 0;
    while next < found.len() {
        let parent = found[next];
        let children = all.iter().filter(|(id, of)| *of == parent && !roots.contains(id));
        found.extend(children.map(|(id, _)| *id));
        next += 1;
    }
    found
}
