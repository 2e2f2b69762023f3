//! The spawner: one small process per agent that starts every tree and holds its deadlines, so that an agent that was
//! killed or stopped leaves nothing running beyond its lease, and so that trees end with the spawner if that is killed.
//!
//! Where the kernel allows it, the spawner is the first process of a process table of its own: the kernel ends everything
//! in there with it. Elsewhere a guardian stands above it, inherits its orphans and ends them. Knows nothing of tasks.

mod launch;
pub(crate) mod processes;
mod supervisor;
mod tree;

use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::process::{Command, ExitCode, Stdio};

use rustix::mount::{MountFlags, MountPropagationFlags};
use rustix::process::{Resource, Rlimit};
use serde::{Deserialize, Serialize};

use self::supervisor::Supervisor;
use super::descriptor;

/// The hidden argument that makes the agent's binary a spawner.
pub(crate) const COMMAND: &str = "__spawner";

/// What ends the trees if the spawner is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// The kernel.
    Isolated,
    /// The guardian.
    Guarded,
}

impl Mode {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Guarded => "guarded",
        }
    }
}

/// One line on stdout of the first stage: who to end when a later agent finds these still there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Born {
    pub(crate) spawner: i32,
    pub(crate) guardian: Option<i32>,
}

/// Runs as told by the arguments after [`COMMAND`]; the socket to the agent is stdin.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    descriptor::keep_from_children();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["isolated"] => isolate(),
        ["guarded"] => guard(),
        ["serve", mode] => serve(if *mode == "isolated" { Mode::Isolated } else { Mode::Guarded }),
        _ => Err(io::Error::other("not to be called by hand")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("spawner: {error}");
            ExitCode::FAILURE
        }
    }
}

fn isolate() -> io::Result<()> {
    // Refused to all but root and inside most containers: the agent then takes the other way, so say nothing here.
    if descriptor::unshare_processes().is_err() {
        std::process::exit(1);
    }
    let spawner = second_stage(Mode::Isolated)?;
    tell(Born { spawner, guardian: None })
}

fn guard() -> io::Result<()> {
    let own = rustix::process::getpid();
    rustix::process::set_child_subreaper(Some(own))?;
    let _ = rustix::process::setsid();
    let spawner = second_stage(Mode::Guarded)?;
    tell(Born { spawner, guardian: Some(own.as_raw_nonzero().get()) })?;
    let pid = rustix::process::Pid::from_raw(spawner);
    let _ = rustix::process::waitpid(pid, rustix::process::WaitOptions::empty());
    let children = processes::OwnChildren::open();
    loop {
        let orphans = children.now();
        if orphans.is_empty() {
            return Ok(());
        }
        for orphan in &orphans {
            processes::kill_all(*orphan);
        }
        // Killed children end; each wait takes one away or there is none left.
        let _ = rustix::process::wait(rustix::process::WaitOptions::empty());
    }
}

fn second_stage(mode: Mode) -> io::Result<i32> {
    let mut command = Command::new("/proc/self/exe");
    command.args([COMMAND, "serve", mode.as_str()]).stdout(Stdio::null());
    i32::try_from(command.spawn()?.id()).map_err(io::Error::other)
}

fn tell(born: Born) -> io::Result<()> {
    let mut line = serde_json::to_vec(&born)?;
    line.push(b'\n');
    io::stdout().write_all(&line)?;
    io::stdout().flush()
}

fn serve(mode: Mode) -> io::Result<()> {
    let socket = io::stdin().as_fd().try_clone_to_owned()?;
    // Without a terminal: tasks inherit this session and must not reach the operator's.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    limit(Resource::Core, 0);
    limit(Resource::Nofile, 65_536);
    match mode {
        Mode::Isolated => {
            // Only this mount is cut off from the host; mounts that unconfined tasks make still reach it.
            rustix::mount::mount_change("/proc", MountPropagationFlags::PRIVATE)?;
            let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
            rustix::mount::mount("proc", "/proc", "proc", flags, None)?;
        }
        Mode::Guarded => rustix::process::set_child_subreaper(Some(rustix::process::getpid()))?,
    }
    descriptor::come_first();
    Supervisor::new(socket)?.run()
}

fn limit(resource: Resource, most: u64) {
    let current = rustix::process::getrlimit(resource);
    let maximum = current.maximum.map_or(most, |maximum| maximum.min(most));
    let limit = Rlimit { current: Some(maximum), maximum: Some(maximum) };
    let _ = rustix::process::setrlimit(resource, limit);
}
