//! The machine's side: folder, disk, process, plugins, its own policy.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nexusmon_shared::doctor::{Check, size};

use crate::config::Config;
use crate::control::{self, Lock};

/// Less free room than this is worth a word.
const LITTLE_ROOM: u64 = 1 << 30;
/// Less than this, and starting a task or keeping its log fails soon.
const NO_ROOM: u64 = 128 << 20;

pub(super) fn folder(data_dir: &Path) -> Vec<Check> {
    const NAME: &str = "data folder";
    let shown = data_dir.display();
    let Ok(metadata) = std::fs::metadata(data_dir) else {
        let check = Check::fail(NAME, format!("{shown} does not exist"))
            .because("identity, journal and logs lie there")
            .advise("join first, or name the right --data-dir (NEXUSMON_AGENT_DATA_DIR)");
        return vec![check];
    };
    let probe = data_dir.join(".doctor-probe");
    if let Err(error) = std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe)) {
        let check = Check::fail(NAME, format!("{shown} is not writable: {error}"))
            .because("the agent cannot keep what it does, so it does nothing")
            .advise("run as the user who joined, or give that user the folder: chown -R USER FOLDER");
        return vec![check];
    }
    let mode = metadata.permissions().mode() & 0o777;
    vec![Check::ok(NAME, shown.to_string()), modes(data_dir, mode)]
}

fn modes(data_dir: &Path, mode: u32) -> Check {
    const NAME: &str = "file modes";
    let found = format!("{} has mode {mode:o}", data_dir.display());
    if mode & 0o022 != 0 {
        return Check::fail(NAME, format!("{found}: others can write there"))
            .because("they could put their own work or identity in its place")
            .advise(format!("chmod 700 {}", data_dir.display()));
    }
    if mode & 0o005 != 0 {
        return Check::warn(NAME, format!("{found}: everybody can look inside"))
            .because("logs and workspaces of tasks may hold what not everybody should see")
            .advise(format!("chmod 700 {}", data_dir.display()));
    }
    Check::ok(NAME, found)
}

pub(super) fn room(config: &Config) -> Option<Check> {
    const NAME: &str = "disk";
    let found = rustix::fs::statvfs(&config.data_dir).ok()?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let shown = format!("{} free", size(free));
    let check = match free {
        0..NO_ROOM => Check::fail(NAME, shown),
        NO_ROOM..LITTLE_ROOM => Check::warn(NAME, shown),
        _ => return Some(Check::ok(NAME, shown)),
    };
    let check = check
        .because("logs that wait for the coordinator and workspaces need room; a full disk stops the agent");
    Some(check.advise("make room, or lower spool_limit and cache_limit"))
}

pub(super) fn process(config: &Config) -> Check {
    const NAME: &str = "process";
    let paused = control::is_paused(&config.data_dir);
    match Lock::holder(&config.data_dir) {
        Some(process) if paused => Check::warn(NAME, format!("{process}, paused"))
            .because("it finishes what runs and takes nothing new, also after a restart")
            .advise("`nexusmon-agent resume` lets it work again"),
        Some(process) => Check::ok(NAME, process.to_string()),
        None => Check::warn(NAME, "no agent runs on this folder")
            .because("the coordinator sees this machine as offline")
            .advise("`nexusmon-agent run`, or `systemctl status nexusmon-agent`: its log says why it ended"),
    }
}

/// A plugin runs as this user: whoever can write there can do what the agent can.
pub(super) fn plugins(config: &Config) -> Check {
    const NAME: &str = "plugins";
    let folder = &config.plugin_dir;
    let Ok(metadata) = std::fs::metadata(folder) else {
        return Check::ok(NAME, "none");
    };
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o022 != 0 {
        return Check::fail(NAME, format!("{} (mode {mode:o}) can be written by others", folder.display()))
            .because("whoever puts a folder there has it run by the agent")
            .advise(format!("chmod go-w {}", folder.display()));
    }
    let count = std::fs::read_dir(folder)
        .map_or(0, |entries| entries.flatten().filter(|e| e.path().is_dir()).count());
    Check::ok(
        NAME,
        format!("{count} below {}; `nexusmon-agent plugin list` says how they do", folder.display()),
    )
}

pub(super) fn policy(config: &Config) -> Check {
    const NAME: &str = "local policy";
    let capabilities = if config.capabilities.is_empty() {
        "all capabilities".to_owned()
    } else {
        config.capabilities.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    };
    let found = format!("up to rank {}, {capabilities}, {} slots", config.max_rank, config.slots);
    if config.unsigned_consent {
        Check::warn(NAME, format!("{found}; A and S run without signatures"))
            .because("a coordinator that was broken into could run anything here")
            .advise("set `unsigned_consent = false` unless this machine is for trying things out")
    } else {
        Check::ok(NAME, found)
    }
}
