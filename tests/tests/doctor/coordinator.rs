//! The host of a coordinator.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;
use nexusmon_shared::id::OrganismId;
use nexusmon_shared::pki::Authority;
use nexusmon_shared::time::Timestamp;

use super::patient::Patient;

#[tokio::test]
async fn a_setting_that_cannot_be_used() -> Result<()> {
    let home = tempfile::tempdir()?;
    let found = Patient::coordinator(home.path()).with(["--http", "0.0.0.0:7300"]).examine().await?;
    found.trouble("configuration", "fail", "trusted_proxies");
    found.trouble("coordinator", "fail", "cannot reach");
    Ok(())
}

#[tokio::test]
async fn a_port_that_is_taken() -> Result<()> {
    let home = tempfile::tempdir()?;
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let patient = Patient::coordinator(home.path()).with(["--data-dir".as_ref(), home.path().as_os_str()]);
    let found = patient.with(["--http", &address, "--grpc", "127.0.0.1:0"]).examine().await?;
    found.trouble("API port", "fail", "taken by another program");
    found.fine("agent port");
    Ok(())
}

#[tokio::test]
async fn a_data_folder_that_cannot_be_written_or_is_not_there() -> Result<()> {
    let home = tempfile::tempdir()?;
    // Not even root writes there.
    let found = Patient::coordinator(home.path()).with(["--data-dir", "/proc"]).examine().await?;
    found.trouble("data folder", "fail", "cannot be written");
    let gone = home.path().join("gone");
    let patient = Patient::coordinator(home.path()).with(["--data-dir".as_ref(), gone.as_os_str()]);
    patient.examine().await?.trouble("data folder", "warn", "does not exist");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_nearly_full() -> Result<()> {
    let home = tempfile::tempdir()?;
    let folder = home.path().join("small");
    std::fs::create_dir(&folder)?;
    let patient = Patient::coordinator(home.path()).with(["--data-dir".as_ref(), folder.as_os_str()]);
    let mount = format!("mount -t tmpfs -o size=4m none {}", folder.display());
    patient.after(&mount).examine().await?.trouble("disk", "fail", "MiB free");
    Ok(())
}

#[tokio::test]
async fn files_that_others_can_read_or_write() -> Result<()> {
    let home = tempfile::tempdir()?;
    let data = home.path().join("data");
    std::fs::create_dir(&data)?;
    std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o777))?;
    let key = home.path().join("key");
    std::fs::write(&key, "0".repeat(64))?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644))?;
    let patient = Patient::coordinator(home.path()).with(["--data-dir".as_ref(), data.as_os_str()]);
    let found = patient.with(["--master-key-file".as_ref(), key.as_os_str()]).examine().await?;
    found.trouble("file modes", "warn", "can be written by others");
    found.trouble("file modes", "warn", "key (mode 644)");
    Ok(())
}

#[tokio::test]
async fn a_write_ahead_log_that_has_grown() -> Result<()> {
    let home = tempfile::tempdir()?;
    // As long as one, without the bytes.
    std::fs::File::create(home.path().join("nexusmon.db-wal"))?.set_len(300 << 20)?;
    let patient = Patient::coordinator(home.path()).with(["--data-dir".as_ref(), home.path().as_os_str()]);
    patient.examine().await?.trouble("write-ahead log", "warn", "300 MiB");
    Ok(())
}

#[tokio::test]
async fn plain_http_beyond_loopback_on_an_address_this_machine_has_not() -> Result<()> {
    let home = tempfile::tempdir()?;
    let patient = Patient::coordinator(home.path()).with(["--data-dir".as_ref(), home.path().as_os_str()]);
    let open = patient.with(["--http", "192.0.2.1:7300", "--plain-http"]);
    let found = open.examine().await?;
    found.trouble("exposure", "warn", "plain HTTP beyond loopback");
    found.trouble("API port", "fail", "192.0.2.1");
    open.with(["--public-url", "https://nexus.example"]).examine().await?.fine("exposure");
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_has_expired() -> Result<()> {
    let home = tempfile::tempdir()?;
    let year = std::time::Duration::from_hours(365 * 24);
    let now = now();
    for (at, verdict, words) in
        [(now - year, "fail", "expired at"), (now, "ok", "until"), (now + year, "fail", "begins at")]
    {
        let (certificate, key) = tls_files(home.path(), at)?;
        let patient = Patient::coordinator(home.path())
            .with(["--tls-certificate".as_ref(), certificate.as_os_str()])
            .with(["--tls-key".as_ref(), key.as_os_str()]);
        let found = patient.examine().await?;
        if verdict == "ok" {
            found.fine("certificate");
        } else {
            found.trouble("certificate", verdict, words);
        }
    }
    std::fs::write(home.path().join("certificate.pem"), "nonsense")?;
    let patient = Patient::coordinator(home.path())
        .with(["--tls-certificate".as_ref(), home.path().join("certificate.pem").as_os_str()])
        .with(["--tls-key".as_ref(), home.path().join("key.pem").as_os_str()]);
    patient.examine().await?.trouble("certificate", "fail", "certificate.pem");
    Ok(())
}

#[tokio::test]
async fn an_operator_key_that_is_guessed() -> Result<()> {
    let home = tempfile::tempdir()?;
    for (key, verdict) in
        [("password-password", "warn"), ("aaaaaaaaaaaaaaaabbbb", "warn"), ("qP3-x9Lf7_Tz0vBm2c", "ok")]
    {
        let found = Patient::coordinator(home.path()).environment("OPERATOR_KEY", key).examine().await?;
        if verdict == "ok" {
            found.fine("operator key");
        } else {
            found.trouble("operator key", verdict, "owner");
        }
    }
    Ok(())
}

#[tokio::test]
async fn an_object_store_that_does_not_answer() -> Result<()> {
    let home = tempfile::tempdir()?;
    let endpoint = format!("http://{}", super::patient::nowhere());
    let mut patient = Patient::coordinator(home.path())
        .with(["--data-dir".as_ref(), home.path().as_os_str()])
        .with(["--blobs-url", "s3://bucket/blobs"]);
    for (name, value) in [
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT", endpoint.as_str()),
        ("NEXUSMON_S3_ENDPOINT", endpoint.as_str()),
        ("AWS_ALLOW_HTTP", "true"),
    ] {
        patient = patient.environment(name, value);
    }
    patient.examine().await?.trouble("blobs", "fail", "s3://bucket/blobs");
    Ok(())
}

fn now() -> Timestamp {
    use nexusmon_shared::time::{Clock as _, SystemClock};
    SystemClock.now()
}

/// Certificate and key that begin to count at `at`, for a month.
fn tls_files(folder: &Path, at: Timestamp) -> Result<(std::path::PathBuf, std::path::PathBuf)> {
    let issued = Authority::generate(OrganismId::from_bits(1), at)?.issue_server(at)?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, pem("CERTIFICATE", &issued.issued.chain[0]))?;
    std::fs::write(&key, pem("PRIVATE KEY", &issued.key))?;
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600))?;
    Ok((certificate, key))
}

fn pem(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line)).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
