//! An S3-compatible store on loopback: the program `s3s-fs`, which `deploy/setup.sh test` installs.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nexusmon_shared::lifecycle::Lifecycle;
use rustix::process::{Pid, Signal, kill_process};

use crate::process::Process;

const ACCESS_KEY: &str = "access-key-of-the-tests";
const SECRET_KEY: &str = "secret-key-of-the-tests";
pub const BUCKET: &str = "blobs";

/// A running store with one empty bucket.
#[derive(Debug)]
pub struct ObjectStore {
    pub endpoint: String,
    process: Pid,
    folder: PathBuf,
    lifecycle: Lifecycle,
}

impl ObjectStore {
    /// Keeps its objects under `folder`.
    pub async fn start(folder: &Path) -> Result<Self> {
        let root = folder.join("object-store");
        std::fs::create_dir_all(root.join(BUCKET))?;
        let root_text = root.to_str().context("UTF-8")?;
        let arguments = [
            "--host",
            "127.0.0.1",
            "--port",
            "0",
            "--access-key",
            ACCESS_KEY,
            "--secret-key",
            SECRET_KEY,
            root_text,
        ];
        let environment = [("RUST_LOG".to_owned(), "s3s_fs=info".to_owned())];
        let mut process = Process::start("object-store", &program()?, arguments, &environment, folder)?;
        let id = process.id().context("it runs")?;
        let id = Pid::from_raw(i32::try_from(id)?).context("a process id is not zero")?;
        let endpoint = loop {
            let line = process.line().await?;
            if let Some((_, address)) = line.split_once("server is running at ") {
                break address.split([',', ' ']).next().unwrap_or_default().trim().to_owned();
            }
        };
        let lifecycle = Lifecycle::new();
        let soft = lifecycle.soft();
        lifecycle.spawn_quiet("object store", async move {
            // Nobody reads what it says, but its pipe must not fill. Ends with the process, which goes with this task.
            tokio::select! {
                () = soft.cancelled() => {}
                () = async { while process.line().await.is_ok() {} } => {}
            }
            Ok::<(), anyhow::Error>(())
        });
        Ok(Self { endpoint, process: id, folder: root, lifecycle })
    }

    /// What a coordinator needs to use it.
    pub fn environment(&self) -> Vec<(String, String)> {
        [
            ("NEXUSMON_BLOBS_URL", format!("s3://{BUCKET}/nexus")),
            ("NEXUSMON_S3_ENDPOINT", self.endpoint.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// It answers nothing any more, though its port is open, or goes on as if nothing had been.
    pub fn freeze(&self, on: bool) -> Result<()> {
        Ok(kill_process(self.process, if on { Signal::STOP } else { Signal::CONT })?)
    }

    /// Where the bucket's objects lie as files.
    pub fn bucket(&self) -> PathBuf {
        self.folder.join(BUCKET)
    }
}

impl Drop for ObjectStore {
    fn drop(&mut self) {
        self.lifecycle.begin_shutdown();
    }
}

/// On the path, or where cargo installs.
fn program() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let folders = std::env::split_paths(&path).chain(home.map(|home| home.join("bin")));
    for folder in folders {
        let program = folder.join("s3s-fs");
        if program.is_file() {
            return Ok(program);
        }
    }
    bail!("the object store s3s-fs is missing: run deploy/setup.sh test")
}
