//! The operator key: hashed, one at a time, replaced only by whoever has the host, and only while nothing runs.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use nexusmon_coordinator::config::{Config, Settings};
use nexusmon_coordinator::{Coordinator, Running, ops};
use nexusmon_shared::time::SystemClock;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::served::KEY;

fn config(folder: &std::path::Path) -> Result<Config> {
    let settings = Settings {
        data_dir: Some(folder.join("data")),
        http: Some("127.0.0.1:0".parse()?),
        grpc: Some("127.0.0.1:0".parse()?),
        ..Settings::default()
    };
    let environment = |name: &str| match name {
        "OPERATOR_KEY" => Some(KEY.to_owned()),
        "NEXUSMON_MASTER_KEY" => Some("42".repeat(32)),
        _ => None,
    };
    Ok(Config::load(settings, &environment)?)
}

async fn start(config: &Config) -> Result<Running> {
    Ok(Coordinator::start(config.clone(), Arc::new(SystemClock), StdRng::seed_from_u64(7)).await?)
}

async fn log_in(running: &Running, key: &str) -> Result<(u16, Value)> {
    let url = format!("http://{}/v1/auth/login", running.http_addr);
    let answer = reqwest::Client::new().post(url).json(&json!({"operator_key": key})).send().await?;
    Ok((answer.status().as_u16(), answer.json().await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_operator_key_takes_the_old_ones_place_and_its_sessions() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = config(folder.path())?;
    let rotate =
        || ops::rotate_operator_key(&config.database_url, Arc::new(SystemClock), StdRng::seed_from_u64(9));
    let running = start(&config).await?;
    let (_, session) = log_in(&running, KEY).await?;
    let token = session["access_token"].as_str().context("a token")?.to_owned();
    assert!(rotate().await.is_err(), "a coordinator runs on this database");
    running.stop().await;

    let key = rotate().await?;
    assert_ne!(key, KEY);
    let running = start(&config).await?;
    assert_eq!(log_in(&running, KEY).await?.0, 401, "the old one, though it stands in the environment");
    assert_eq!(log_in(&running, &key).await?.0, 200);
    let url = format!("http://{}/v1/auth/me", running.http_addr);
    let me = reqwest::Client::new().get(url).bearer_auth(&token).send().await?;
    assert_eq!(me.status(), 401, "a session of before");
    running.stop().await;
    Ok(())
}
