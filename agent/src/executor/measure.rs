//! Tries every confinement once, with the same code that tasks go through. What did not hold is not offered.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::sandbox::Level;

use super::client::Client;
use super::confine::{self, Host};
use super::doorway::{self, Doorway};
use super::protocol::{Event, Lease, Start, Status};
use super::pump::Pipes;
use super::{ExecutorConfig, Levels, millis};
use crate::egress::{EgressConfig, Gate};

const PATIENCE: Duration = Duration::from_secs(10);

/// Each check prints what went wrong and fails.
const NO_DATA: &str = r#"if cat "$1" >/dev/null 2>&1; then echo "the agent's own files can be read"; exit 1; fi
if ! echo try > "$2/try" 2>/dev/null; then echo "the workspace cannot be written"; exit 1; fi
if echo try > /usr/nexusmon-try 2>/dev/null; then echo "the system can be written"; exit 1; fi"#;
const ALONE: &str = r#"
if [ "$(cut -d: -f1 /proc/net/dev | tail -n +3 | tr -d ' \n')" != lo ]; then echo "the network is there"; exit 1; fi
if [ $$ -gt 20 ]; then echo "it shares the process table"; exit 1; fi"#;
const NO_SOCKETS: &str = r#"
if ! command -v bash >/dev/null; then echo "no bash to try sockets with"; exit 1; fi
if bash -c 'exec 3<>/dev/udp/127.0.0.1/9' 2>/dev/null; then echo "sockets can be made"; exit 1; fi"#;

pub(crate) async fn levels(client: &Client, config: &ExecutorConfig, host: &Host) -> Levels {
    let mut levels = Levels { available: BTreeSet::from([Level::L0]), missing: BTreeMap::new() };
    let secret = config.data_dir.join("work/.secret");
    let tries = [
        (Level::L1, NO_DATA.to_owned()),
        (Level::L3Lite, format!("{NO_DATA}{NO_SOCKETS}")),
        (Level::L3, format!("{NO_DATA}{ALONE}")),
        (Level::L2, format!("{NO_DATA}{ALONE}\n{} || exit 1", doorway::trial())),
    ];
    for (level, script) in tries {
        let outcome = tokio::time::timeout(PATIENCE, attempt(client, config, host, level, &script)).await;
        match outcome.unwrap_or_else(|_| Err("it did not end within ten seconds".to_owned())) {
            Ok(()) => {
                levels.available.insert(level);
            }
            Err(reason) => {
                levels.missing.insert(level, reason);
            }
        }
    }
    let _ = std::fs::remove_file(secret);
    levels
}

async fn attempt(
    client: &Client,
    config: &ExecutorConfig,
    host: &Host,
    level: Level,
    script: &str,
) -> Result<(), String> {
    if let (Some(exposed), Level::L1 | Level::L3Lite) = (&host.exposed, level) {
        return Err(format!("{} lies where tasks can read; move the data folder", exposed.display()));
    }
    let secret = config.data_dir.join("work/.secret");
    std::fs::write(&secret, "secret").map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir_in(config.data_dir.join("work")).map_err(|error| error.to_string())?;
    let words: Vec<String> =
        ["sh", "-c", script, "sh", &text(&secret), &text(folder.path())].map(str::to_owned).to_vec();
    let writable = [folder.path().to_owned()];
    let confined = confine::process(config, host, level, folder.path(), &words, BTreeMap::new(), &writable)?;
    let mut pipes = Pipes::open().map_err(|error| error.to_string())?;
    let near = if level == Level::L2 {
        let (near, far) = Doorway::open().map_err(|error| error.to_string())?.split();
        pipes.outer.doorway = Some(far);
        Some(near)
    } else {
        None
    };
    let start = Start {
        id: 0,
        key: "measure".to_owned(),
        program: confined.program,
        args: confined.arguments,
        env: confined.environment,
        cwd: confined.cwd,
        confinement: confined.confinement,
        stdin: false,
        doorway: near.is_some(),
        secrets: Vec::new(),
        timeout: Some(millis(PATIENCE)),
        grace: 0,
        lease: Lease::Agent,
    };
    let mut tree = client.start_tree(start, pipes.outer).map_err(|error| error.to_string())?;
    let words = tokio::task::spawn_blocking(move || read_all(pipes.inner));
    let served = async {
        match near {
            // Nothing is listed, so nothing is reached.
            Some(near) => {
                doorway::serve(near, Arc::new(Gate::new(Vec::new(), EgressConfig::default()))).await;
            }
            None => std::future::pending().await,
        }
    };
    tokio::pin!(served);
    loop {
        let event = tokio::select! {
            event = tree.next() => event,
            () = &mut served => continue,
        };
        match event {
            Some(Event::Ended { status: Status::Exited(0), .. }) => return Ok(()),
            Some(Event::Ended { .. }) => {
                let said = words.await.unwrap_or_default();
                return Err(said.lines().next().unwrap_or("it failed without a word").to_owned());
            }
            Some(Event::Failed { detail, .. }) => return Err(detail),
            Some(Event::Ready | Event::Started { .. }) => {}
            None => return Err("the spawner ended".to_owned()),
        }
    }
}

fn read_all(inner: super::pump::Inner) -> String {
    use std::io::Read as _;
    let mut said = Vec::new();
    for pipe in [inner.stdout, inner.stderr] {
        let _ = std::fs::File::from(pipe).take(4096).read_to_end(&mut said);
    }
    String::from_utf8_lossy(&said).into_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
