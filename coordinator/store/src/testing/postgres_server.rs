//! The PostgreSQL server tests share. Named by `NEXUSMON_TEST_POSTGRES`, or a private one that the first test starts on
//! a socket in the temporary folder and a small supervisor stops once no test process has held its lock for a while.

use std::fs::File;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};

use super::TestingError;

/// Stops the server after two looks in a row at which nobody held the lock. `$1` is the folder; the rest is the command
/// that runs the server.
const SUPERVISOR: &str = r#"
folder=$1; shift
cd "$folder" || exit 1
"$@" >server.log 2>&1 </dev/null &
server=$!
idle=0
while kill -0 "$server" 2>/dev/null; do
    sleep 3
    exec 8>gate.lock; flock -x 8
    exec 9>use.lock
    if flock -n -x 9; then idle=$((idle + 1)); else idle=0; fi
    if [ "$idle" -ge 2 ]; then
        rm -f url
        kill -INT "$server"; wait "$server"
        rm -rf data sockets server.log
        exit 0
    fi
    exec 9>&-; exec 8>&-
done
rm -f url
"#;

/// A fresh database that any process can connect to by URL. Dropping it drops the database.
#[derive(Debug)]
pub struct PostgresDatabase {
    name: String,
    url: String,
}

impl PostgresDatabase {
    pub async fn create() -> Result<Self, TestingError> {
        let mut bytes = [0_u8; 8];
        getrandom::fill(&mut bytes).map_err(|error| TestingError::Io {
            doing: "asking the system for randomness",
            source: std::io::Error::other(error.to_string()),
        })?;
        let name = format!("nexusmon_test_{:016x}", u64::from_be_bytes(bytes));
        let server = server()?;
        let mut connection = PgConnection::connect(&server.url("postgres")).await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        connection.close().await?;
        Ok(Self { url: server.url(&name), name })
    }

    pub fn url(&self) -> &str {
        &self.url
    }
}

impl Drop for PostgresDatabase {
    /// Best effort: what stays goes with the private server.
    fn drop(&mut self) {
        let Ok(server) = server() else { return };
        let (url, name) = (server.url("postgres"), self.name.clone());
        let work = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            let dropped: Result<(), sqlx::Error> = runtime.block_on(async {
                let mut connection = PgConnection::connect(&url).await?;
                connection
                    .execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")))
                    .await?;
                connection.close().await
            });
            if let Err(error) = dropped {
                tracing::debug!(%error, "a test database was left behind");
            }
        });
        let _ = work.join();
    }
}

/// A server of its own that keeps what it promises, fsync and all: for measuring. It ends when this is dropped.
#[derive(Debug)]
pub struct DurablePostgres {
    folder: PathBuf,
    base: String,
    lock: Option<File>,
}

impl DurablePostgres {
    pub fn start() -> Result<Self, TestingError> {
        let folder = std::env::temp_dir().join(format!("nexusmon-durable-postgres-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(io("making a folder for a server"))?;
        let lock = open(&folder.join("use.lock"))?;
        lock.lock_shared().map_err(io("holding the server"))?;
        start(&folder, is_root()?, &DURABLE)?;
        let base =
            format!("postgres://postgres@localhost/DATABASE?host={}", folder.join("sockets").display());
        Ok(Self { folder, base, lock: Some(lock) })
    }

    /// The URL of a new database.
    pub async fn database(&self, name: &str) -> Result<String, TestingError> {
        let mut connection = PgConnection::connect(&self.base.replace("DATABASE", "postgres")).await?;
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await?;
        connection.close().await?;
        Ok(self.base.replace("DATABASE", name))
    }
}

impl Drop for DurablePostgres {
    fn drop(&mut self) {
        drop(self.lock.take());
        // The supervisor notices, ends the server and takes its data away.
        for _ in 0..200 {
            if !self.folder.join("data").exists() {
                break;
            }
            let _ = Command::new("sleep").arg("0.1").status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Settings of the server tests share: quick, and gone with the machine's power.
const QUICK: [&str; 7] = [
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "max_connections=400",
    "shared_buffers=64MB",
    "max_wal_size=256MB",
    "autovacuum=off",
];
const DURABLE: [&str; 5] = [
    "listen_addresses=",
    "max_connections=100",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "synchronous_commit=on",
];

/// Where to connect, and the lock that keeps the private server alive as long as this process lives.
struct Server {
    base: String,
    _use_lock: Option<File>,
}

impl Server {
    /// `base` holds `DATABASE` where the database's name goes.
    fn url(&self, database: &str) -> String {
        self.base.replace("DATABASE", database)
    }
}

fn server() -> Result<&'static Server, TestingError> {
    static SERVER: OnceLock<Result<Server, String>> = OnceLock::new();
    SERVER.get_or_init(|| find_or_start().map_err(|error| error.to_string())).as_ref().map_err(|output| {
        TestingError::Program { doing: "starting a PostgreSQL server", output: output.clone() }
    })
}

fn find_or_start() -> Result<Server, TestingError> {
    if let Ok(url) = std::env::var("NEXUSMON_TEST_POSTGRES") {
        return Ok(Server { base: with_placeholder(&url), _use_lock: None });
    }
    let root = is_root()?;
    let folder =
        std::env::temp_dir().join(format!("nexusmon-test-postgres-{}", if root { "root" } else { "user" }));
    std::fs::create_dir_all(&folder).map_err(io("making a folder for the test server"))?;
    let gate = open(&folder.join("gate.lock"))?;
    gate.lock().map_err(io("waiting for the test server's gate"))?;
    let use_lock = open(&folder.join("use.lock"))?;
    use_lock.lock_shared().map_err(io("holding the test server"))?;
    let base = format!("postgres://postgres@localhost/DATABASE?host={}", folder.join("sockets").display());
    let marker = folder.join("url");
    // The marker may have outlived its server: a machine that went down, a supervisor somebody ended.
    if !(marker.exists() && is_ready(&programs()?, &folder.join("sockets"))?) {
        start(&folder, root, &QUICK)?;
        std::fs::write(&marker, &base).map_err(io("writing where the test server is"))?;
    }
    Ok(Server { base, _use_lock: Some(use_lock) })
}

/// Puts the placeholder where a server's URL names a database.
fn with_placeholder(url: &str) -> String {
    let (address, options) = url.split_once('?').map_or((url, ""), |(a, o)| (a, o));
    let after_scheme = address.find("://").map_or(0, |place| place + 3);
    let server = address[after_scheme..].find('/').map_or(address, |slash| &address[..after_scheme + slash]);
    let question = if options.is_empty() { "" } else { "?" };
    format!("{server}/DATABASE{question}{options}")
}

fn start(folder: &Path, root: bool, settings: &[&str]) -> Result<(), TestingError> {
    let programs = programs()?;
    let (data, sockets) = (folder.join("data"), folder.join("sockets"));
    for old in [&data, &sockets] {
        match std::fs::remove_dir_all(old) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(io("clearing the test server's folder")(error));
            }
            _ => std::fs::create_dir_all(old).map_err(io("making a folder for the test server"))?,
        }
    }
    if root {
        // The server refuses to run as root; the account comes with its package.
        for path in [&data, &sockets] {
            run("giving the test server its folder", Command::new("chown").arg("postgres:").arg(path))?;
        }
    }
    let mut initdb = as_server(root, &programs.join("initdb"));
    initdb
        .args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "-D"])
        .arg(&data);
    run("making the test server's data", initdb.current_dir(&data))?;
    let mut supervisor = Command::new("setsid");
    supervisor.args(["--fork", "sh", "-c", SUPERVISOR, "nexusmon-test-postgres"]).arg(folder);
    let server = as_server(root, &programs.join("postgres"));
    supervisor.arg(server.get_program()).args(server.get_args());
    supervisor.arg("-D").arg(&data).arg("-k").arg(&sockets);
    for setting in settings {
        supervisor.args(["-c", setting]);
    }
    supervisor.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let status = supervisor.status().map_err(io("starting the test server"))?;
    if !status.success() {
        return Err(TestingError::Program { doing: "starting the test server", output: status.to_string() });
    }
    wait_until_ready(&programs, &sockets, &folder.join("server.log"))
}

fn wait_until_ready(programs: &Path, sockets: &Path, log: &Path) -> Result<(), TestingError> {
    for _ in 0..300 {
        if is_ready(programs, sockets)? {
            return Ok(());
        }
        run("waiting for the test server", Command::new("sleep").arg("0.1"))?;
    }
    let output = std::fs::read_to_string(log).unwrap_or_default();
    Err(TestingError::Program { doing: "waiting for the test server", output })
}

fn is_ready(programs: &Path, sockets: &Path) -> Result<bool, TestingError> {
    Command::new(programs.join("pg_isready"))
        .args(["--quiet", "--timeout=1", "--host"])
        .arg(sockets)
        .status()
        .map(|status| status.success())
        .map_err(io("asking whether the test server is ready"))
}

fn as_server(root: bool, program: &Path) -> Command {
    if root {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

/// The newest of Debian's places, or what `pg_config` says.
fn programs() -> Result<PathBuf, TestingError> {
    let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let version: u32 = path.file_name()?.to_str()?.parse().ok()?;
            Some((version, path.join("bin"))).filter(|(_, bin)| bin.join("postgres").exists())
        })
        .collect();
    found.sort();
    if let Some((_, path)) = found.pop() {
        return Ok(path);
    }
    let said = Command::new("pg_config").arg("--bindir").output().map_err(|_| TestingError::NoPrograms)?;
    let path = PathBuf::from(String::from_utf8_lossy(&said.stdout).trim());
    if path.join("postgres").exists() { Ok(path) } else { Err(TestingError::NoPrograms) }
}

fn run(doing: &'static str, command: &mut Command) -> Result<(), TestingError> {
    let done = command.stdin(Stdio::null()).output().map_err(io(doing))?;
    if done.status.success() {
        return Ok(());
    }
    Err(TestingError::Program { doing, output: String::from_utf8_lossy(&done.stderr).trim().to_owned() })
}

fn is_root() -> Result<bool, TestingError> {
    let itself = std::fs::metadata("/proc/self").map_err(io("asking who runs this test"))?;
    Ok(itself.uid() == 0)
}

fn open(path: &Path) -> Result<File, TestingError> {
    File::options().create(true).truncate(false).write(true).open(path).map_err(io("opening a lock file"))
}

fn io(doing: &'static str) -> impl Fn(std::io::Error) -> TestingError {
    move |source| TestingError::Io { doing, source }
}

#[cfg(test)]
mod tests {
    use super::with_placeholder;

    #[test]
    fn a_servers_url_gets_a_place_for_the_name() {
        for (url, expected) in [
            ("postgres://me@host:5432", "postgres://me@host:5432/DATABASE"),
            ("postgres://me@host/old", "postgres://me@host/DATABASE"),
            ("postgres://me@localhost/?host=/run/x", "postgres://me@localhost/DATABASE?host=/run/x"),
        ] {
            assert_eq!(with_placeholder(url), expected);
        }
    }
}
