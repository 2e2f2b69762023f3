//! Landlock: what a process may reach of the host's paths.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreatedAttr, Scope,
};

use super::protocol::{Access, Visible};

/// Below this version a file that cannot be opened can still be truncated, which is no confinement.
const LEAST: ABI = ABI::V3;
/// The newest whose meaning has been looked at; newer kernels add nothing by themselves.
const NEWEST: ABI = ABI::V7;

/// Why there is no ruleset.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unconfined {
    #[error(transparent)]
    Rules(#[from] landlock::RulesetError),
    #[error("this kernel has no Landlock")]
    Absent,
}

/// Paths opened once, to be allowed to many processes.
#[derive(Debug, Default)]
pub(crate) struct Opened(Vec<(OwnedFd, Access)>);

impl Opened {
    /// Opens what exists of `visible`; what does not exist cannot be shown. What lies within another of them is shown
    /// with that one: each rule costs every process that starts.
    pub(crate) fn of(visible: &[Visible]) -> Self {
        let flags = rustix::fs::OFlags::PATH | rustix::fs::OFlags::CLOEXEC;
        let mut kept: Vec<(PathBuf, Access)> = Vec::new();
        for visible in visible {
            let Ok(path) = std::fs::canonicalize(&visible.path) else { continue };
            let within =
                |(other, access): &(PathBuf, Access)| *access == visible.access && path.starts_with(other);
            if !kept.iter().any(within) {
                kept.push((path, visible.access));
            }
        }
        let open = |(path, access): (PathBuf, Access)| {
            Some((rustix::fs::open(path, flags, rustix::fs::Mode::empty()).ok()?, access))
        };
        Self(kept.into_iter().filter_map(open).collect())
    }
}

fn allowed(access: Access) -> BitFlags<AccessFs> {
    let everything = AccessFs::from_all(NEWEST);
    match access {
        Access::Read => AccessFs::from_read(NEWEST),
        Access::Use => {
            AccessFs::ReadFile
                | AccessFs::WriteFile
                | AccessFs::ReadDir
                | AccessFs::Truncate
                | AccessFs::IoctlDev
        }
        Access::Write => everything & !(AccessFs::MakeChar | AccessFs::MakeBlock),
    }
}

/// A ruleset to confine oneself by. With no `sockets`, TCP is refused here too, beside the filter that refuses sockets.
pub(crate) fn build(shared: &Opened, own: &[Visible], sockets: bool) -> Result<OwnedFd, Unconfined> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LEAST))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?;
    if !sockets {
        ruleset = ruleset.handle_access(landlock::AccessNet::from_all(NEWEST))?;
    }
    let mut ruleset = ruleset.create()?;
    for (file, access) in &shared.0 {
        ruleset = ruleset.add_rule(PathBeneath::new(file, allowed(*access)))?;
    }
    for visible in own {
        if let Ok(file) = PathFd::new(&visible.path) {
            ruleset = ruleset.add_rule(PathBeneath::new(file, allowed(visible.access)))?;
        }
    }
    Option::<OwnedFd>::from(ruleset).ok_or(Unconfined::Absent)
}
