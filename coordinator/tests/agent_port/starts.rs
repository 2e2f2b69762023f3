//! Starting: what is refused, and that it says so.

use std::sync::Arc;

use nexusmon_coordinator::{Coordinator, Running, StartError};
use nexusmon_shared::time::SystemClock;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::site::{MASTER_KEY, Site, config};

async fn start(config: nexusmon_coordinator::config::Config) -> Result<Running, StartError> {
    Coordinator::start(config, Arc::new(SystemClock), StdRng::seed_from_u64(2)).await
}

async fn refusal(config: nexusmon_coordinator::config::Config) -> (u8, String) {
    match start(config).await {
        Ok(_) => panic!("it started"),
        Err(error) => (error.exit_code(), error.to_string()),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_master_key_opens_nothing_and_the_right_one_does() {
    let site = Site::start().await;
    let pin = site.running.app.keyring.authorities.get().current.pin();
    let Site { running, folder } = site;
    running.stop().await;
    let other = "22".repeat(32);
    let (code, reason) = refusal(config(folder.path(), &other)).await;
    assert_eq!(code, 6);
    assert!(reason.contains("not the one this database was made with"), "{reason}");
    let again = start(config(folder.path(), MASTER_KEY)).await.unwrap();
    assert_eq!(again.app.keyring.authorities.get().current.pin(), pin);
    assert!(again.new_operator_key.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stands_in_the_way_is_named_with_what_to_do() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().unwrap();
    let taken = nexusmon_coordinator::config::Config {
        grpc: site.running.grpc_addr,
        ..config(folder.path(), MASTER_KEY)
    };
    let (code, reason) = refusal(taken).await;
    assert_eq!(code, 3);
    assert!(reason.contains("--grpc") && reason.contains("taken"), "{reason}");

    let (code, reason) = refusal(config(site.folder.path(), MASTER_KEY)).await;
    assert_eq!(code, 5);
    assert!(reason.contains("another coordinator"), "{reason}");

    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let (code, reason) = refusal(config(&file, MASTER_KEY)).await;
    assert_eq!(code, 4);
    assert!(reason.contains("--data-dir"), "{reason}");

    let several =
        nexusmon_coordinator::config::Config { several_nodes: true, ..config(folder.path(), MASTER_KEY) };
    let (code, reason) = refusal(several).await;
    assert_eq!(code, 2);
    assert!(reason.contains("s3://"), "{reason}");
}
