//! An attempt's folder: the workspace it works in, what it is given, what it leaves.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::MAX_OUTPUT_BYTES;
use nexusmon_shared::task::Outputs;
use serde_json::Value;

use super::attempt_key;
use crate::run::Job;

const OUTPUTS: &str = "outputs.json";
const PARAMS: &str = "params.json";
const SCRIPT: &str = "script";
/// Where bubblewrap shows the workspace, and what belongs to it.
const INSIDE: &str = "/workspace";
const BESIDE: &str = "/nexusmon";

/// The folder of one attempt, on the host.
pub(crate) struct Workspace {
    folder: PathBuf,
    /// Opened before anything runs, so that nothing the task renames or links leads elsewhere.
    held: Dir,
    inside: String,
    beside: String,
    inputs: Vec<String>,
}

pub(super) fn folder(data_dir: &Path, attempt: AttemptRef) -> PathBuf {
    data_dir.join("work").join(attempt_key(attempt))
}

impl Workspace {
    /// Makes it, with parameters and inputs. `moved`: the process will see it at places of its own.
    pub(crate) fn create(data_dir: &Path, job: &Job, moved: bool) -> Result<Self, Cause> {
        let folder = folder(data_dir, job.attempt);
        Self::fill(&folder, job, moved).map_err(|error| Cause::PluginError {
            detail: format!("the workspace {} cannot be made: {error}", folder.display()),
        })
    }

    fn fill(folder: &Path, job: &Job, moved: bool) -> std::io::Result<Self> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                fs::remove_dir_all(folder)?;
                fs::create_dir(folder)?;
            }
            made => made?,
        }
        for name in ["workspace", "inputs"] {
            fs::create_dir(folder.join(name))?;
        }
        fs::write(folder.join(PARAMS), serde_json::to_vec(&job.parameters)?)?;
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(folder.join(OUTPUTS))?;
        let mut inputs = Vec::new();
        for input in &job.inputs {
            let target = folder.join("inputs").join(&input.name);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            // A copy: what lies in the cache serves others too.
            fs::copy(&input.path, &target)?;
            inputs.push(input.name.clone());
        }
        let held = Dir::open_ambient_dir(folder, cap_std::ambient_authority())?;
        let (inside, beside) = if moved {
            (INSIDE.to_owned(), BESIDE.to_owned())
        } else {
            (folder.join("workspace").display().to_string(), folder.display().to_string())
        };
        Ok(Self { folder: folder.to_owned(), held, inside, beside, inputs })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The working directory as the process names it.
    pub(crate) fn inside(&self) -> &str {
        &self.inside
    }

    /// The workspace as it is held.
    pub(crate) fn contents(&self) -> std::io::Result<Dir> {
        self.held.open_dir("workspace")
    }

    /// Arguments of bubblewrap.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let host = |name: &str| self.folder.join(name).display().to_string();
        let bind = |kind: &str, name: &str, target: String| vec![kind.to_owned(), host(name), target];
        let mut mounts = bind("--bind", "workspace", INSIDE.to_owned());
        mounts.extend(["--dir".to_owned(), BESIDE.to_owned()]);
        mounts.extend(bind("--ro-bind", "inputs", format!("{BESIDE}/inputs")));
        mounts.extend(bind("--ro-bind", PARAMS, format!("{BESIDE}/{PARAMS}")));
        mounts.extend(bind("--ro-bind-try", SCRIPT, format!("{BESIDE}/{SCRIPT}")));
        mounts.extend(bind("--bind", OUTPUTS, format!("{BESIDE}/{OUTPUTS}")));
        mounts
    }

    /// What every task finds in its environment.
    pub(crate) fn environment(&self, job: &Job) -> BTreeMap<String, String> {
        let beside = |name: &str| format!("{}/{name}", self.beside);
        let mut variables = BTreeMap::from([
            ("HOME".to_owned(), self.inside.clone()),
            ("NEXUSMON_PARAMS".to_owned(), beside(PARAMS)),
            ("NEXUSMON_INPUTS".to_owned(), beside("inputs")),
            ("NEXUSMON_OUTPUTS".to_owned(), beside(OUTPUTS)),
            ("NEXUSMON_MISSION_ID".to_owned(), job.mission.to_string()),
            ("NEXUSMON_TASK_ID".to_owned(), job.attempt.task.to_string()),
            ("NEXUSMON_ATTEMPT".to_owned(), attempt_key(job.attempt)),
            ("NEXUSMON_IDEMPOTENCY_KEY".to_owned(), job.idempotency_key.clone()),
        ]);
        if self.inside != INSIDE {
            // The host's own is not shown to confined tasks.
            variables.insert("TMPDIR".to_owned(), self.inside.clone());
        }
        if let Some(traceparent) = &job.traceparent {
            variables.insert("TRACEPARENT".to_owned(), traceparent.clone());
        }
        variables
    }

    /// Keeps a script beside the workspace; gives its path as the process names it.
    pub(crate) fn put_script(&self, source: &str) -> Result<String, Cause> {
        let write = || fs::File::create(self.folder.join(SCRIPT))?.write_all(source.as_bytes());
        write()
            .map_err(|error: std::io::Error| Cause::PluginError { detail: format!("the script: {error}") })?;
        Ok(format!("{}/{SCRIPT}", self.beside))
    }

    /// A fetched input's path as the process names it.
    pub(crate) fn input(&self, name: &str) -> Result<String, Cause> {
        if self.inputs.iter().any(|input| input == name) {
            return Ok(format!("{}/inputs/{name}", self.beside));
        }
        Err(Cause::BadParameters { detail: format!("artifact: `{name}` is not among this task's inputs") })
    }

    /// What the process wrote as its outputs; nothing is an empty object.
    pub(crate) fn outputs(&self) -> Result<Outputs, Cause> {
        let unusable = |why: String| Cause::PluginError { detail: format!("NEXUSMON_OUTPUTS {why}") };
        let mut options = cap_std::fs::OpenOptions::new();
        options.read(true);
        {
            use cap_std::fs::OpenOptionsExt as _;
            options.custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed());
        }
        let file = self
            .held
            .open_with(OUTPUTS, &options)
            .map_err(|error| unusable(format!("cannot be read: {error}")))?;
        let size = file.metadata().map_err(|error| unusable(error.to_string()))?.len();
        if size > MAX_OUTPUT_BYTES as u64 {
            return Err(Cause::OutputTooLarge { bytes: size, limit: MAX_OUTPUT_BYTES as u64 });
        }
        let mut text = Vec::new();
        file.take(MAX_OUTPUT_BYTES as u64)
            .read_to_end(&mut text)
            .map_err(|error| unusable(error.to_string()))?;
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Outputs::new());
        }
        match serde_json::from_slice::<Value>(&text) {
            Ok(Value::Object(outputs)) => Ok(outputs),
            Ok(_) => Err(unusable("must hold one JSON object".to_owned())),
            Err(error) => Err(unusable(format!("is not JSON: {error}"))),
        }
    }
}

/// Removes a folder, also one whose insides the task made unreadable.
pub(super) fn remove(folder: &Path) {
    if fs::remove_dir_all(folder).is_ok() || !folder.exists() {
        return;
    }
    open_up(folder);
    if let Err(error) = fs::remove_dir_all(folder) {
        tracing::warn!(folder = %folder.display(), %error, "an old workspace cannot be removed");
    }
}

fn open_up(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let _ = fs::set_permissions(folder, fs::Permissions::from_mode(0o700));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            open_up(&entry.path());
        }
    }
}

/// Removes every workspace, and uploads but those to keep.
pub(super) fn clean(data_dir: &Path, keep: &std::collections::BTreeSet<String>) {
    for (place, kept) in [("work", false), ("uploads", true)] {
        for entry in fs::read_dir(data_dir.join(place)).into_iter().flatten().flatten() {
            if !(kept && keep.contains(&*entry.file_name().to_string_lossy())) {
                remove(&entry.path());
            }
        }
    }
}
