//! From a sandbox level to what the spawner is told: which program really starts, and what it may see.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nexusmon_shared::outcome::Cause;
use nexusmon_shared::sandbox::{HostPath, Level, Sandbox};

use super::ExecutorConfig;
use super::command::Command;
use super::doorway;
use super::protocol::{Access, Confinement, Visible};
use super::workspace::Workspace;

/// Read-only in every confinement, where it exists.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/opt"];
/// Of `/etc`, what programs need and nobody has to hide.
const ETC: [&str; 19] = [
    "alternatives",
    "ca-certificates",
    "group",
    "hosts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "mime.types",
    "nsswitch.conf",
    "passwd",
    "pki",
    "profile",
    "protocols",
    "python3",
    "python3.11",
    "services",
    "ssl",
    "timezone",
];
/// Not `/dev/shm`: what lies there is other processes'.
const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];
/// Of each folder in memory: it is the machine's memory that they fill.
const IN_MEMORY: &str = "1073741824";

/// What this machine looks like to a confined process.
#[derive(Debug, Clone)]
pub struct Host {
    /// For Landlock.
    pub(crate) visible: Vec<Visible>,
    /// For bubblewrap.
    mounts: Vec<String>,
    /// What no task may see: the agent's own.
    hidden: Vec<PathBuf>,
    /// A hidden path that lies where everything is visible.
    pub(crate) exposed: Option<PathBuf>,
}

/// What the spawner starts.
pub(crate) struct Confined {
    pub(crate) program: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) cwd: String,
    pub(crate) confinement: Confinement,
}

impl Host {
    pub(crate) fn look(config: &ExecutorConfig) -> Self {
        let resolved = |path: &PathBuf| std::fs::canonicalize(path).unwrap_or_else(|_| path.clone());
        let hidden: Vec<PathBuf> =
            config.hidden_paths.iter().chain([&config.data_dir]).map(resolved).collect();
        let etc: Vec<String> = ETC.iter().map(|name| format!("/etc/{name}")).collect();
        let read = SYSTEM.iter().map(|path| (*path).to_owned()).chain(etc.iter().cloned());
        let mut visible: Vec<Visible> = read
            .chain(["/proc", "/etc/resolv.conf", "/run/systemd/resolve"].map(str::to_owned))
            .map(|path| Visible { path, access: Access::Read })
            .collect();
        let no_inputs = super::workspace::no_inputs(&config.data_dir).display().to_string();
        visible.push(Visible { path: no_inputs, access: Access::Read });
        visible.extend(DEVICES.map(|path| Visible { path: path.to_owned(), access: Access::Use }));
        let exposed =
            hidden.iter().find(|path| SYSTEM.iter().any(|system| path.starts_with(system))).cloned();
        Self { visible, mounts: mounts(&etc), hidden, exposed }
    }

    /// Whether a listed path would show, or could change, what is the agent's own.
    fn touches_hidden(&self, path: &Path) -> bool {
        let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        self.hidden.iter().any(|hidden| path.starts_with(hidden) || hidden.starts_with(&path))
    }
}

fn mounts(etc: &[String]) -> Vec<String> {
    let mut mounts: Vec<String> = Vec::new();
    let mut add = |words: &[&str]| mounts.extend(words.iter().map(|word| (*word).to_owned()));
    for path in SYSTEM {
        match std::fs::read_link(path) {
            Ok(target) => add(&["--symlink", &target.to_string_lossy(), path]),
            Err(_) => add(&["--ro-bind-try", path, path]),
        }
    }
    for path in etc {
        add(&["--ro-bind-try", path, path]);
    }
    add(&["--proc", "/proc", "--dev", "/dev"]);
    // Root's tasks own these files in the kernel's eyes, whatever powers they have lost: the switches of the whole machine.
    for folder in ["sys", "irq", "bus", "fs", "acpi", "scsi", "driver", "tty", "asound", "pressure"] {
        let folder = format!("/proc/{folder}");
        add(&["--ro-bind-try", &folder, &folder]);
    }
    for folder in ["/dev/shm", "/tmp", "/run", "/var/tmp"] {
        add(&["--size", IN_MEMORY, "--tmpfs", folder]);
    }
    add(&["--remount-ro", "/dev"]);
    mounts
}

/// The confinement of a task.
pub(crate) fn of(
    config: &ExecutorConfig,
    host: &Host,
    level: Level,
    sandbox: &Sandbox,
    workspace: &Workspace,
    command: &Command,
) -> Result<Confined, Cause> {
    if level != Level::L0 {
        check_paths(host, &sandbox.paths)?;
    }
    let listed = sandbox.paths.iter().map(|each| Visible {
        path: each.path.clone(),
        access: if each.write { Access::Write } else { Access::Read },
    });
    let visible: Vec<Visible> = workspace.visible().into_iter().chain(listed).collect();
    Ok(match level {
        Level::L3 | Level::L2 => {
            let mut mounts = workspace.mounts();
            for each in &sandbox.paths {
                let kind = if each.write { "--bind" } else { "--ro-bind" };
                mounts.extend([kind.to_owned(), each.path.clone(), each.path.clone()]);
            }
            if level == Level::L2 {
                let program = config.program.display().to_string();
                mounts.extend(["--ro-bind".to_owned(), program, doorway::PROGRAM.to_owned()]);
            }
            bubblewrap(config, host, mounts, &with_way_out(command, level))
        }
        Level::L3Lite => direct(command, Confinement::Landlock { sockets: false, visible }),
        Level::L1 => direct(command, Confinement::Landlock { sockets: true, visible }),
        Level::L0 => direct(command, Confinement::Free),
    })
}

/// The confinement of a plugin: its folder to read, its own places to write.
pub(crate) fn process(
    config: &ExecutorConfig,
    host: &Host,
    level: Level,
    folder: &Path,
    words: &[String],
    environment: BTreeMap<String, String>,
    writable: &[PathBuf],
) -> Result<Confined, String> {
    let (program, arguments) = words.split_first().ok_or("the command is empty")?;
    let program = super::command::find(program, &config.path).unwrap_or_else(|| program.clone());
    let mut environment = environment;
    environment.entry("PATH".to_owned()).or_insert_with(|| config.path.clone());
    environment.entry("LANG".to_owned()).or_insert_with(|| "C.UTF-8".to_owned());
    let cwd = folder.display().to_string();
    let command = Command { program, arguments: arguments.to_vec(), environment, cwd: cwd.clone() };
    let mut visible = vec![Visible { path: cwd.clone(), access: Access::Read }];
    visible.extend(
        writable.iter().map(|path| Visible { path: path.display().to_string(), access: Access::Write }),
    );
    Ok(match level {
        Level::L3 | Level::L2 => {
            let mut mounts = vec!["--ro-bind".to_owned(), cwd.clone(), cwd];
            for path in writable {
                let path = path.display().to_string();
                mounts.extend(["--bind".to_owned(), path.clone(), path]);
            }
            if level == Level::L2 {
                let program = config.program.display().to_string();
                mounts.extend(["--ro-bind".to_owned(), program, doorway::PROGRAM.to_owned()]);
            }
            bubblewrap(config, host, mounts, &with_way_out(&command, level))
        }
        Level::L3Lite => direct(&command, Confinement::Landlock { sockets: false, visible }),
        Level::L1 => direct(&command, Confinement::Landlock { sockets: true, visible }),
        Level::L0 => direct(&command, Confinement::Free),
    })
}

/// The command, told where the proxy is.
fn with_way_out(command: &Command, level: Level) -> Command {
    let mut command = command.clone();
    if level == Level::L2 {
        for (name, value) in doorway::variables() {
            command.environment.entry(name).or_insert(value);
        }
    }
    command
}

fn check_paths(host: &Host, paths: &[HostPath]) -> Result<(), Cause> {
    for each in paths {
        if host.touches_hidden(Path::new(&each.path)) {
            let detail = format!("sandbox.paths: {} holds, or lies in, the agent's own files", each.path);
            return Err(Cause::BadParameters { detail });
        }
        if std::fs::symlink_metadata(&each.path).is_err() {
            let detail = format!("sandbox.paths: {} does not exist on this machine", each.path);
            return Err(Cause::BadParameters { detail });
        }
    }
    Ok(())
}

fn direct(command: &Command, confinement: Confinement) -> Confined {
    Confined {
        program: command.program.clone(),
        arguments: command.arguments.clone(),
        environment: command.environment.clone(),
        cwd: command.cwd.clone(),
        confinement,
    }
}

fn bubblewrap(config: &ExecutorConfig, host: &Host, own: Vec<String>, command: &Command) -> Confined {
    let mut arguments: Vec<String> = [
        "--unshare-user",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
        "--die-with-parent",
        "--new-session",
        "--hostname",
        "task",
        "--clearenv",
        "--cap-drop",
        "ALL",
    ]
    .map(str::to_owned)
    .to_vec();
    arguments.extend(host.mounts.iter().cloned());
    // The agent's own lies under a visible folder only on odd installations; an empty one covers it there.
    if let Some(exposed) = &host.exposed {
        arguments.extend(["--tmpfs".to_owned(), exposed.display().to_string()]);
    }
    arguments.extend(own);
    // Nothing is to be left beside the workspace; the root is memory, too.
    arguments.extend(["--remount-ro".to_owned(), "/".to_owned()]);
    for (name, value) in &command.environment {
        arguments.extend(["--setenv".to_owned(), name.clone(), value.clone()]);
    }
    arguments.extend(["--chdir".to_owned(), command.cwd.clone()]);
    let program = config.bubblewrap.display().to_string();
    Confined {
        program: super::command::find(&program, &config.path).unwrap_or(program),
        arguments: ["--".to_owned(), command.program.clone()]
            .into_iter()
            .chain(command.arguments.clone())
            .collect(),
        environment: BTreeMap::new(),
        cwd: "/".to_owned(),
        confinement: Confinement::Bubblewrap { arguments },
    }
}
