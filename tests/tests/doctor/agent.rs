//! The host of an agent.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nexusmon_shared::id::{AgentId, OrganismId};
use nexusmon_shared::pki::{Authority, TlsKey};
use nexusmon_shared::time::{Clock as _, SystemClock, Timestamp};
use nexusmon_tests::cluster::{Cluster, Options};
use serde_json::Value;

use super::patient::{Patient, nowhere};

#[tokio::test]
async fn a_folder_nobody_has_joined_with() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let found = Patient::agent(folder.path()).examine().await?;
    found.trouble("identity", "fail", "is not enrolled");
    found.trouble("process", "warn", "no agent runs");
    let gone = folder.path().join("gone");
    Patient::agent(&gone).examine().await?.trouble("data folder", "fail", "does not exist");
    // Not even root writes there.
    Patient::agent(Path::new("/proc")).examine().await?.trouble("data folder", "fail", "not writable");
    Ok(())
}

#[tokio::test]
async fn what_others_could_change() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let plugins = folder.path().join("plugins");
    std::fs::create_dir(&plugins)?;
    for path in [&plugins, folder.path()] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777))?;
    }
    let found = Patient::agent(folder.path())
        .environment("NEXUSMON_AGENT_UNSIGNED_CONSENT", "true")
        .examine()
        .await?;
    found.trouble("file modes", "fail", "777");
    found.trouble("plugins", "fail", "777");
    found.trouble("local policy", "warn", "without signatures");
    Ok(())
}

#[tokio::test]
async fn a_disk_that_is_nearly_full() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mount = format!("mount -t tmpfs -o size=4m,mode=700 none {}", folder.path().display());
    Patient::agent(folder.path()).after(&mount).examine().await?.trouble("disk", "fail", "MiB free");
    Ok(())
}

#[tokio::test]
async fn a_machine_without_bubblewrap_or_namespaces() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let without = Patient::agent(folder.path()).after("mount --bind /dev/null \"$(command -v bwrap)\"");
    without.examine().await?.trouble("bubblewrap", "warn", "apt install bubblewrap");
    let forbidden = Patient::agent(folder.path()).after("echo 0 > /proc/sys/user/max_user_namespaces");
    forbidden.examine().await?.trouble("bubblewrap", "warn", "user.max_user_namespaces");
    Ok(())
}

#[tokio::test]
async fn a_line_that_does_not_hold() -> Result<()> {
    let mut cluster = Cluster::start(Options::default()).await?;
    let another = Cluster::start(Options { agents: 0, ..Options::default() }).await?;
    let data = cluster.agents[0].folder.clone();
    let patient = Patient::agent(&data);
    let found = patient.examine().await?;
    for name in ["data folder", "file modes", "identity", "certificate", "clock", "coordinator", "process"] {
        found.fine(name);
    }
    let to = async |address: &str| patient.clone().with(["--coordinator", address]).examine().await;
    to(&nowhere()).await?.trouble("coordinator", "fail", "cannot reach");
    to(another.grpc()).await?.trouble("coordinator", "fail", "another installation");
    let api = cluster.api.url.trim_start_matches("http://").to_owned();
    to(&api).await?.trouble("coordinator", "fail", "agent port");

    cluster.agents[0].stop().await?;
    let ten_days = Duration::from_hours(240);
    for (at, name, verdict) in [
        (SystemClock.now() - ten_days, "certificate", "warn"),
        (SystemClock.now() + ten_days, "clock", "fail"),
    ] {
        let before = issued_at(&data, at)?;
        patient.examine().await?.trouble(name, verdict, if verdict == "warn" { "expired" } else { "behind" });
        std::fs::write(data.join("identity/credential.json"), before)?;
    }
    std::fs::set_permissions(data.join("identity/identity.pem"), std::fs::Permissions::from_mode(0o644))?;
    patient.examine().await?.trouble("identity", "fail", "chmod 600");
    Ok(())
}

/// Puts a certificate of that time in place of the agent's; gives back what was there.
fn issued_at(data: &Path, at: Timestamp) -> Result<String> {
    let path = data.join("identity/credential.json");
    let before = std::fs::read_to_string(&path)?;
    let key = TlsKey::generate()?;
    let authority = Authority::generate(OrganismId::from_bits(1), at)?;
    let issued = authority.issue_agent(&key.signing_request()?, AgentId::from_bits(2), at)?;
    let mut credential: Value = serde_json::from_str(&before)?;
    let hex = |der: &[u8]| der.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    let chain: Vec<Value> = issued.chain.iter().map(|der| hex(der).into()).collect();
    *credential.get_mut("chain").context("a credential has a chain")? = chain.into();
    std::fs::write(&path, credential.to_string())?;
    Ok(before)
}
