//! What confinement this machine can give, and where it cannot, which switch of the kernel or missing program is why.

use std::path::Path;
use std::time::Duration;

use nexusmon_shared::doctor::Check;
use nexusmon_shared::lifecycle::{Lifecycle, chain};
use nexusmon_shared::sandbox::Level;
use nexusmon_shared::time::SharedClock;

use crate::config::Config;
use crate::local;

pub(super) async fn look(config: &Config, clock: SharedClock) -> Vec<Check> {
    const NAME: &str = "sandbox";
    let lifecycle = Lifecycle::new();
    let measured = local::measure(config, &lifecycle, clock).await;
    lifecycle.shutdown(Duration::from_secs(2)).await;
    let measured = match measured {
        Ok(measured) => measured,
        Err(error) => {
            let check = Check::fail(NAME, chain(&error))
                .because("what was not measured is not offered")
                .advise("the message says what could not be tried: usually the data folder");
            return vec![check];
        }
    };
    let available: Vec<_> = measured.available.iter().map(|level| level.as_str()).collect();
    let shown = available.join(", ");
    let mut checks = Vec::new();
    if measured.available.contains(&Level::L3) || measured.available.contains(&Level::L3Lite) {
        checks.push(Check::ok(NAME, shown));
    } else {
        let check = Check::warn(NAME, format!("{shown}; nothing for `strict`"))
            .because("work that asks for `strict`, the default for scripts, is not offered here and waits")
            .advise("install bubblewrap, or use a kernel with Landlock (5.13 or newer, `lsm=` names it)");
        checks.push(check);
    }
    if !measured.available.contains(&Level::L3) {
        checks.push(namespaces(measured.missing.get(&Level::L3).map_or("", String::as_str)));
    }
    let rest = measured.missing.iter().filter(|(level, _)| **level != Level::L3);
    checks.extend(rest.map(|(level, reason)| Check::skipped(name(*level), format!("not here: {reason}"))));
    checks
}

/// Why bubblewrap does not work here.
fn namespaces(reason: &str) -> Check {
    const NAME: &str = "bubblewrap";
    let check = Check::warn(NAME, reason.to_owned());
    let check = check.because(
        "tasks share the network and the process table unless Landlock and seccomp step in (`l3lite`)",
    );
    let switch = |name: &str| {
        let text = std::fs::read_to_string(Path::new("/proc/sys").join(name)).ok()?;
        text.trim().parse::<u64>().ok()
    };
    let in_path = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|folder| folder.join("bwrap").is_file()));
    check.advise(if !in_path {
        "bubblewrap is not installed: `apt install bubblewrap` (or dnf, pacman, apk add), then restart the agent"
    } else if switch("kernel/apparmor_restrict_unprivileged_userns") == Some(1) {
        "AppArmor keeps unprivileged programs from making user namespaces (Ubuntu 23.10 and later). Give bubblewrap a profile \
         that has `userns,` (apparmor-profiles ships one: bwrap-userns-restrict), or set \
         kernel.apparmor_restrict_unprivileged_userns=0"
    } else if switch("kernel/unprivileged_userns_clone") == Some(0) {
        "the kernel forbids unprivileged user namespaces: sysctl -w kernel.unprivileged_userns_clone=1"
    } else if switch("user/max_user_namespaces") == Some(0) {
        "no user namespaces are allowed: sysctl -w user.max_user_namespaces=15000"
    } else if Path::new("/.dockerenv").exists() || Path::new("/run/.containerenv").exists() {
        "this is a container whose seccomp profile or masked /proc forbids it; `l3lite` stands in. To have all of it, run the \
         agent on the host, or the container with --security-opt seccomp=unconfined,systempaths=unconfined"
    } else {
        "try it by hand: bwrap --unshare-all --ro-bind / / --proc /proc true; a service manager may forbid namespaces \
         (RestrictNamespaces=, ProtectKernelTunables=)"
    })
}

const fn name(level: Level) -> &'static str {
    match level {
        Level::L0 => "sandbox l0",
        Level::L1 => "sandbox l1",
        Level::L2 => "sandbox l2",
        Level::L3Lite => "sandbox l3lite",
        Level::L3 => "sandbox l3",
    }
}
