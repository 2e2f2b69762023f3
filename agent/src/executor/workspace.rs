//! What an attempt has on disk: the workspace it works in, what it is given beside that, what it leaves.
//!
//! Below `work`, the workspace is the folder with the attempt's name; what belongs to it has the same name with an ending.
//! Files and folders are made only where something is in them: making and removing them is most of what a small task
//! costs here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use cap_std::fs::Dir;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::outcome::Cause;
use nexusmon_shared::plan::MAX_OUTPUT_BYTES;
use nexusmon_shared::task::Outputs;
use serde_json::Value;

use super::attempt_key;
use super::birth::NOBODY;
use super::protocol::{Access, Visible};
use crate::run::Job;

/// In the workspace, once the task has written it; never collected.
pub(super) const OUTPUTS: &str = ".nexusmon-outputs.json";
/// The same for what it adds.
pub(super) const SPAWN: &str = ".nexusmon-spawn.jsonl";
const PARAMS: &str = "params.json";
const SCRIPT: &str = "script";
const INPUTS: &str = "inputs";
const SECRETS: &str = "secrets";
/// Below the data folder, the inputs of every confined task that has none.
const NO_INPUTS: &str = "no-inputs";
/// Where bubblewrap shows the workspace, and what belongs to it.
const INSIDE: &str = "/workspace";
const BESIDE: &str = "/nexusmon";

/// What one attempt has, on the host.
pub(crate) struct Workspace {
    folder: PathBuf,
    /// Opened before anything runs, so that nothing the task renames or links leads elsewhere.
    held: Dir,
    view: View,
    /// As the process names the workspace.
    inside: String,
    /// As the process names the folder of its inputs.
    given: String,
    inputs: Vec<String>,
    has_script: bool,
    has_secrets: bool,
}

/// Where a process sees its workspace, and how far it is confined there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    /// At the place it has on the host, writing wherever it likes.
    Open,
    /// At the place it has on the host, reaching nothing else of the agent's.
    Confined,
    /// At places of its own.
    Moved,
}

/// An empty folder that confined tasks may read.
pub(super) fn no_inputs(data_dir: &Path) -> PathBuf {
    data_dir.join(NO_INPUTS)
}

fn make_anew(folder: &Path) -> std::io::Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            fs::remove_dir_all(folder)?;
            fs::create_dir(folder)
        }
        made => made,
    }
}

fn folder(data_dir: &Path, attempt: AttemptRef) -> PathBuf {
    data_dir.join("work").join(attempt_key(attempt))
}

/// A path with another ending: what belongs to a workspace.
fn beside(folder: &Path, name: &str) -> PathBuf {
    let mut path = folder.as_os_str().to_owned();
    path.push(".");
    path.push(name);
    path.into()
}

impl Workspace {
    /// Makes it, with parameters and inputs.
    pub(crate) fn create(data_dir: &Path, job: &Job, view: View) -> Result<Self, Cause> {
        let folder = folder(data_dir, job.attempt);
        Self::fill(&folder, data_dir, job, view).map_err(|error| Cause::PluginError {
            detail: format!("the workspace {} cannot be made: {error}", folder.display()),
        })
    }

    fn fill(folder: &Path, data_dir: &Path, job: &Job, view: View) -> std::io::Result<Self> {
        make_anew(folder)?;
        if view == View::Confined && rustix::process::geteuid().is_root() {
            // Root's confined tasks are nobody, who should own what it works in.
            let _ = std::os::unix::fs::chown(folder, Some(NOBODY), Some(NOBODY));
        }
        fs::write(beside(folder, PARAMS), serde_json::to_vec(&job.parameters)?)?;
        let has_secrets = !job.secrets.is_empty();
        if has_secrets && view != View::Moved {
            make_anew(&beside(folder, SECRETS))?;
        }
        let own_inputs = beside(folder, INPUTS);
        let mut inputs = Vec::new();
        // What is not confined could leave something in the folder all others share.
        if !job.inputs.is_empty() || view == View::Open {
            fs::create_dir_all(&own_inputs)?;
        }
        for input in &job.inputs {
            let target = own_inputs.join(&input.name);
            if let Some(parent) = target.parent() {
                fs::create_dir_all(parent)?;
            }
            // A copy: what lies in the cache serves others too.
            fs::copy(&input.path, &target)?;
            inputs.push(input.name.clone());
        }
        let held = Dir::open_ambient_dir(folder, cap_std::ambient_authority())?;
        let given = match view {
            View::Moved => format!("{BESIDE}/{INPUTS}"),
            View::Confined if inputs.is_empty() => no_inputs(data_dir).display().to_string(),
            View::Open | View::Confined => own_inputs.display().to_string(),
        };
        let inside = if view == View::Moved { INSIDE.to_owned() } else { folder.display().to_string() };
        Ok(Self {
            folder: folder.to_owned(),
            held,
            view,
            inside,
            given,
            inputs,
            has_script: false,
            has_secrets,
        })
    }

    /// The working directory as the process names it.
    pub(crate) fn inside(&self) -> &str {
        &self.inside
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The workspace as it is held.
    pub(crate) const fn contents(&self) -> &Dir {
        &self.held
    }

    /// What of the host a confined process may reach for.
    pub(crate) fn visible(&self) -> Vec<Visible> {
        let one = |path: PathBuf, access| Visible { path: path.display().to_string(), access };
        let mut visible =
            vec![one(self.folder.clone(), Access::Write), one(beside(&self.folder, PARAMS), Access::Read)];
        if self.has_script {
            visible.push(one(beside(&self.folder, SCRIPT), Access::Read));
        }
        if self.has_secrets {
            visible.push(one(beside(&self.folder, SECRETS), Access::Read));
        }
        if !self.inputs.is_empty() {
            visible.push(one(beside(&self.folder, INPUTS), Access::Write));
        }
        visible
    }

    /// Arguments of bubblewrap.
    pub(crate) fn mounts(&self) -> Vec<String> {
        let bind = |kind: &str, host: PathBuf, target: String| {
            vec![kind.to_owned(), host.display().to_string(), target]
        };
        let given = |name: &str| bind("--ro-bind", beside(&self.folder, name), format!("{BESIDE}/{name}"));
        let mut mounts = bind("--bind", self.folder.clone(), INSIDE.to_owned());
        mounts.extend(["--dir".to_owned(), BESIDE.to_owned()]);
        mounts.extend(given(PARAMS));
        if self.has_script {
            mounts.extend(given(SCRIPT));
        }
        if self.has_secrets {
            // Filled and closed by the spawner, which has the descriptors.
            mounts.extend(["--tmpfs".to_owned(), self.named(SECRETS)]);
        }
        if self.inputs.is_empty() {
            mounts.extend(["--dir".to_owned(), self.given.clone()]);
        } else {
            mounts.extend(given(INPUTS));
        }
        mounts
    }

    /// Where each secret is to be found: links on the host, or files in the confinement.
    pub(crate) fn secret_paths(&self, job: &Job) -> Vec<String> {
        let folder = self.named(SECRETS);
        job.secrets.iter().map(|secret| format!("{folder}/{}", secret.name)).collect()
    }

    /// As the process names what lies beside its workspace.
    fn named(&self, name: &str) -> String {
        match self.view {
            View::Moved => format!("{BESIDE}/{name}"),
            View::Open | View::Confined => beside(&self.folder, name).display().to_string(),
        }
    }

    /// What every task finds in its environment.
    pub(crate) fn environment(&self, job: &Job) -> BTreeMap<String, String> {
        let mut variables = BTreeMap::from([
            ("HOME".to_owned(), self.inside.clone()),
            ("NEXUSMON_PARAMS".to_owned(), self.named(PARAMS)),
            ("NEXUSMON_INPUTS".to_owned(), self.given.clone()),
            ("NEXUSMON_OUTPUTS".to_owned(), format!("{}/{OUTPUTS}", self.inside)),
            ("NEXUSMON_MISSION_ID".to_owned(), job.mission.to_string()),
            ("NEXUSMON_TASK_ID".to_owned(), job.attempt.task.to_string()),
            ("NEXUSMON_ATTEMPT".to_owned(), attempt_key(job.attempt)),
            ("NEXUSMON_IDEMPOTENCY_KEY".to_owned(), job.idempotency_key.clone()),
        ]);
        if self.inside != INSIDE {
            // The host's own is not shown to confined tasks.
            variables.insert("TMPDIR".to_owned(), self.inside.clone());
        }
        if job.spec.spawn.is_some() {
            variables.insert("NEXUSMON_SPAWN".to_owned(), format!("{}/{SPAWN}", self.inside));
        }
        if self.has_secrets {
            variables.insert("NEXUSMON_SECRETS".to_owned(), self.named(SECRETS));
        }
        if let Some(traceparent) = &job.traceparent {
            variables.insert("TRACEPARENT".to_owned(), traceparent.clone());
        }
        variables
    }

    /// Keeps a script beside the workspace; gives its path as the process names it.
    pub(crate) fn put_script(&mut self, source: &str) -> Result<String, Cause> {
        fs::write(beside(&self.folder, SCRIPT), source)
            .map_err(|error| Cause::PluginError { detail: format!("the script: {error}") })?;
        self.has_script = true;
        Ok(self.named(SCRIPT))
    }

    /// A fetched input's path as the process names it.
    pub(crate) fn input(&self, name: &str) -> Result<String, Cause> {
        if self.inputs.iter().any(|input| input == name) {
            return Ok(format!("{}/{name}", self.given));
        }
        Err(Cause::BadParameters { detail: format!("artifact: `{name}` is not among this task's inputs") })
    }

    /// What the process wrote as its outputs; nothing is an empty object.
    pub(crate) fn outputs(&self) -> Result<Outputs, Cause> {
        let unusable = |why: String| Cause::PluginError { detail: format!("NEXUSMON_OUTPUTS {why}") };
        let text = self.written(OUTPUTS, MAX_OUTPUT_BYTES as u64).map_err(|why| match why {
            Unusable::TooLarge(bytes) => Cause::OutputTooLarge { bytes, limit: MAX_OUTPUT_BYTES as u64 },
            Unusable::Unreadable(why) => unusable(why),
        })?;
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Outputs::new());
        }
        match serde_json::from_slice::<Value>(&text) {
            Ok(Value::Object(outputs)) => Ok(outputs),
            Ok(_) => Err(unusable("must hold one JSON object".to_owned())),
            Err(error) => Err(unusable(format!("is not JSON: {error}"))),
        }
    }

    /// What the process wrote down as tasks to be added, as text.
    pub(crate) fn added(&self) -> Result<Vec<u8>, Cause> {
        let most = super::spawned::MOST_BYTES;
        self.written(SPAWN, most).map_err(|why| {
            let detail = match why {
                Unusable::TooLarge(bytes) => format!("NEXUSMON_SPAWN is {bytes} bytes, more than {most}"),
                Unusable::Unreadable(why) => format!("NEXUSMON_SPAWN {why}"),
            };
            Cause::BadParameters { detail }
        })
    }

    /// A file the process may have written; nothing where there is none.
    fn written(&self, name: &str, most: u64) -> Result<Vec<u8>, Unusable> {
        let unusable = |why: String| Unusable::Unreadable(why);
        let mut options = cap_std::fs::OpenOptions::new();
        options.read(true);
        {
            use cap_std::fs::OpenOptionsExt as _;
            // What lies there may be a link or a pipe by now.
            let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
            options.custom_flags(flags.bits().cast_signed());
        }
        let file = match self.held.open_with(name, &options) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            opened => opened.map_err(|error| unusable(format!("cannot be read: {error}")))?,
        };
        let found = file.metadata().map_err(|error| unusable(error.to_string()))?;
        if !found.is_file() {
            return Err(unusable("is no regular file any more".to_owned()));
        }
        if found.len() > most {
            return Err(Unusable::TooLarge(found.len()));
        }
        let mut text = Vec::new();
        file.take(most).read_to_end(&mut text).map_err(|error| unusable(error.to_string()))?;
        Ok(text)
    }
}

/// Why a file that the process wrote is not taken.
enum Unusable {
    TooLarge(u64),
    Unreadable(String),
}

impl Workspace {
    /// Removes all of it. Most tasks leave nothing in theirs, and then there is no need to look.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(beside(&self.folder, PARAMS));
        if self.has_script {
            let _ = fs::remove_file(beside(&self.folder, SCRIPT));
        }
        if self.has_secrets && self.view != View::Moved {
            remove(&beside(&self.folder, SECRETS));
        }
        if !self.inputs.is_empty() || self.view == View::Open {
            remove(&beside(&self.folder, INPUTS));
        }
        if fs::remove_dir(&self.folder).is_err() {
            remove(&self.folder);
        }
    }
}

/// Removes what there may be of an attempt whose workspace was not finished.
pub(super) fn remove_attempt(data_dir: &Path, attempt: AttemptRef) {
    let folder = folder(data_dir, attempt);
    for name in [PARAMS, SCRIPT] {
        let _ = fs::remove_file(beside(&folder, name));
    }
    for name in [INPUTS, SECRETS] {
        let beside = beside(&folder, name);
        if beside.exists() {
            remove(&beside);
        }
    }
    remove(&folder);
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
            if kept && keep.contains(&*entry.file_name().to_string_lossy()) {
                continue;
            }
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                remove(&entry.path());
            } else {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
