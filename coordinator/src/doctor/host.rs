//! Files, disk, ports and what they are open to.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexusmon_shared::doctor::{Check, size};
use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::pki;
use nexusmon_shared::time::{Clock as _, SystemClock};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::blobs::{Blobs, BlobsConfig};
use crate::config::Config;

/// Less free room than this is too little to be quiet about.
const LITTLE_ROOM: u64 = 2 << 30;
/// Less than this, and the next large artifact is refused.
const NO_ROOM: u64 = 256 << 20;
/// It is checkpointed at sixteen MiB; a reader that never ends lets it grow.
const LARGE_WAL: u64 = 256 << 20;
/// An object store that has said nothing by then does not answer.
const PATIENCE: Duration = Duration::from_secs(10);
const EXPIRES_SOON: Duration = Duration::from_hours(14 * 24);

pub(super) fn folder(config: &Config) -> Vec<Check> {
    let folder = &config.data_dir;
    let mut checks = vec![writable(folder)];
    checks.extend(modes(config));
    checks.push(room("disk", folder));
    if let Some(blobs) = local_blobs(config).filter(|blobs| !blobs.starts_with(folder) && blobs.exists()) {
        checks.push(room("disk of blobs", &blobs));
    }
    checks.extend(wal(config));
    checks
}

/// A key on this host can be used by whoever has this host.
pub(super) fn signing_key() -> Option<Check> {
    let path = crate::service::roster::usual_key_file().filter(|path| path.exists())?;
    Some(
        Check::warn("signing key", format!("{} lies on the coordinator's own host", path.display()))
            .because("whoever breaks into this host may use it: signatures add nothing against that")
            .advise("move it to a device of yours, and approve from there with `nexusmon --url … mission approve`"),
    )
}

fn writable(folder: &Path) -> Check {
    const NAME: &str = "data folder";
    let probe = folder.join(format!(".doctor-{}", std::process::id()));
    match std::fs::write(&probe, b"probe").and_then(|()| std::fs::remove_file(&probe)) {
        Ok(()) => Check::ok(NAME, folder.display().to_string()),
        Err(error) => Check::fail(NAME, format!("{} cannot be written: {error}", folder.display()))
            .because("the coordinator does not start, or stops taking work")
            .advise(
                "run as the user the coordinator runs as, or give that user the folder: chown -R USER FOLDER",
            ),
    }
}

/// Who else may read what is kept.
fn modes(config: &Config) -> Option<Check> {
    const NAME: &str = "file modes";
    let mode = |path: &Path| std::fs::metadata(path).ok().map(|found| found.permissions().mode() & 0o777);
    let mut open = Vec::new();
    let folder = mode(&config.data_dir)?;
    if folder & 0o022 != 0 {
        open.push(format!("{} (mode {folder:o}) can be written by others", config.data_dir.display()));
    }
    // Where the folder is closed, what is in it is closed.
    if folder & 0o007 != 0 {
        for name in ["nexusmon.db", "nexusmon.db-wal", "blobs"] {
            let path = config.data_dir.join(name);
            if let Some(mode) = mode(&path).filter(|mode| mode & 0o006 != 0) {
                open.push(format!("{} (mode {mode:o}) can be read by everybody", path.display()));
            }
        }
    }
    for path in config.master_key_file.iter().chain(config.tls.as_ref().map(|tls| &tls.key)) {
        if let Some(mode) = mode(path).filter(|mode| mode & 0o077 != 0) {
            open.push(format!("{} (mode {mode:o}) can be read by others", path.display()));
        }
    }
    Some(if open.is_empty() {
        Check::ok(NAME, format!("{folder:o}, and nothing secret is open to others"))
    } else {
        Check::warn(NAME, open.join("; "))
            .because("other users of this machine could read or replace what is yours")
            .advise(format!("chmod 700 {}; chmod 600 key files", config.data_dir.display()))
    })
}

fn room(name: &'static str, folder: &Path) -> Check {
    let found = match rustix::fs::statvfs(folder) {
        Ok(found) => found,
        Err(error) => return Check::skipped(name, format!("{}: {error}", folder.display())),
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let shown = format!("{} free below {}", size(free), folder.display());
    let check = match free {
        0..NO_ROOM => Check::fail(name, shown),
        NO_ROOM..LITTLE_ROOM => Check::warn(name, shown),
        _ => return Check::ok(name, shown),
    };
    check.because("when the disk is full, new work is refused (nothing accepted is lost)").advise(
        "make room; keep logs for fewer days (retention_days), or move blobs to an object store (blobs_url)",
    )
}

fn wal(config: &Config) -> Option<Check> {
    const NAME: &str = "write-ahead log";
    let path = PathBuf::from(format!("{}-wal", config.database_url.strip_prefix("sqlite://")?));
    let bytes = std::fs::metadata(&path).ok()?.len();
    Some(if bytes > LARGE_WAL {
        Check::warn(NAME, format!("{} is {}", path.display(), size(bytes)))
            .because("a read that never ends keeps it from being folded in; reads get slower, the disk fills")
            .advise("restart the coordinator; end other programs that have the database open")
    } else {
        Check::ok(NAME, size(bytes))
    })
}

/// A port that is taken by somebody else. `answering`: a coordinator does answer here.
pub(super) async fn ports(config: &Config, answering: bool) -> Vec<Check> {
    let mut checks = Vec::new();
    for (name, address, flag) in [("API port", config.http, "--http"), ("agent port", config.grpc, "--grpc")]
    {
        checks.push(port(name, address, flag, answering || is_held(config)).await);
    }
    checks
}

async fn port(name: &'static str, address: SocketAddr, flag: &str, running: bool) -> Check {
    match tokio::net::TcpListener::bind(address).await {
        Ok(_) => Check::ok(name, format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && running => {
            Check::ok(name, format!("{address} is in use; a coordinator runs here"))
        }
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Check::fail(name, format!("{address} is taken by another program"))
                .because("the coordinator does not start while it is")
                .advise(format!("`ss -ltnp` says by whom; stop it, or choose another port with {flag}"))
        }
        Err(error) => Check::fail(name, format!("{address}: {error}"))
            .because("the coordinator cannot listen there")
            .advise(format!("choose an address of this machine, and a port above 1023, with {flag}")),
    }
}

/// Whether a coordinator has the SQLite file.
fn is_held(config: &Config) -> bool {
    let Some(path) = config.database_url.strip_prefix("sqlite://") else { return false };
    let lock = std::fs::File::open(format!("{path}.lock"));
    lock.is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

pub(super) fn exposure(config: &Config) -> Check {
    const NAME: &str = "exposure";
    if config.http.ip().is_loopback() || config.tls.is_some() {
        return Check::ok(NAME, format!("{} is on loopback, or speaks TLS", config.http));
    }
    let secure = config.public_url.as_ref().is_some_and(|url| url.starts_with("https://"));
    if secure {
        return Check::ok(NAME, "plain HTTP beyond loopback; TLS ends before it, says public_url");
    }
    Check::warn(NAME, format!("{} is plain HTTP beyond loopback", config.http))
            .because("whoever is on the line reads the operator key and every answer")
            .advise(
                "let a reverse proxy end TLS and say so (public_url = \"https://…\", trusted_proxies), or set \
                 tls_certificate and tls_key; a container's port published on the host's loopback is fine as it is",
            )
}

pub(super) fn certificate(config: &Config) -> Option<Check> {
    const NAME: &str = "certificate";
    let path = &config.tls.as_ref()?.certificate;
    let refused = |reason: String| {
        Check::fail(NAME, format!("{}: {reason}", path.display()))
            .because("the API does not start, or no browser talks to it")
            .advise("put the full chain there, in PEM, the certificate first; renew it (certbot and the like), restart")
    };
    let validity = CertificateDer::from_pem_file(path)
        .map_err(|error| error.to_string())
        .and_then(|der| pki::validity(&der).map_err(|error| chain(&error)));
    let (from, until) = match validity {
        Ok(validity) => validity,
        Err(reason) => return Some(refused(reason)),
    };
    let now = SystemClock.now();
    Some(if now > until {
        refused(format!("expired at {until}"))
    } else if now < from {
        refused(format!("begins at {from} only; is this machine's clock behind?"))
    } else if until.since(now) < EXPIRES_SOON {
        Check::warn(NAME, format!("{} expires at {until}", path.display()))
            .because("browsers refuse it then")
            .advise("renew it and restart the coordinator; does the renewal still run by itself?")
    } else {
        Check::ok(NAME, format!("until {until}"))
    })
}

fn local_blobs(config: &Config) -> Option<PathBuf> {
    config.blobs_url.strip_prefix("file://").map(PathBuf::from)
}

/// Writes, reads and deletes a little. In a folder only the first: opening it would tidy what a coordinator works on.
pub(super) async fn blobs(config: &Config) -> Check {
    const NAME: &str = "blobs";
    let tried = match local_blobs(config) {
        Some(folder) if !folder.exists() => {
            return Check::skipped(NAME, format!("{} does not exist yet", folder.display()));
        }
        Some(folder) => {
            let probe = folder.join(format!(".doctor-{}", std::process::id()));
            std::fs::write(&probe, b"probe")
                .and_then(|()| std::fs::remove_file(&probe))
                .map_err(|e| e.to_string())
        }
        None => remote(config).await,
    };
    match tried {
        Ok(()) => Check::ok(NAME, config.blobs_url.clone()),
        Err(reason) => Check::fail(NAME, format!("{}: {reason}", config.blobs_url))
            .because("no artifact and no log can be stored; agents keep theirs until it works again")
            .advise(
                "check bucket, endpoint (NEXUSMON_S3_ENDPOINT), credentials (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY or \
                 their _FILE), and NEXUSMON_S3_ALLOW_HTTP=true for a store without TLS on another machine",
            ),
    }
}

async fn remote(config: &Config) -> Result<(), String> {
    let staging = tempfile::tempdir().map_err(|error| error.to_string())?;
    let settings = BlobsConfig {
        url: config.blobs_url.clone(),
        staging: staging.path().to_owned(),
        several_nodes: config.several_nodes,
        object_store: crate::object_store(config),
    };
    let key = format!("doctor/{}-{}", config.node, std::process::id());
    let round = async {
        let blobs = Blobs::open(&settings).await?;
        blobs.put_segment(&key, vec!["probe".into()]).await?;
        blobs.read_segment(&key, None).await?;
        blobs.delete_segment(&key).await
    };
    match tokio::time::timeout(PATIENCE, round).await {
        Ok(done) => done.map_err(|error| chain(&error)),
        Err(_) => Err("it does not answer within 10 s".to_owned()),
    }
}
