//! A coordinator in this process, on ports and folders of its own.

use std::sync::Arc;

use nexusmon_coordinator::config::{Config, Settings};
use nexusmon_coordinator::service::Caller;
use nexusmon_coordinator::service::agents::{self, NewInvite};
use nexusmon_coordinator::service::missions::{self, MissionView, NewMission};
use nexusmon_coordinator::{Coordinator, Running};
use nexusmon_shared::join_token::JoinToken;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::SystemClock;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

pub(crate) const MASTER_KEY: &str = "1111111111111111111111111111111111111111111111111111111111111111";

pub(crate) struct Site {
    pub(crate) running: Running,
    /// Removed with the site.
    pub(crate) folder: tempfile::TempDir,
}

pub(crate) fn config(folder: &std::path::Path, master_key: &str) -> Config {
    let settings = Settings {
        data_dir: Some(folder.to_owned()),
        http: Some(([127, 0, 0, 1], 0).into()),
        grpc: Some(([127, 0, 0, 1], 0).into()),
        ..Settings::default()
    };
    let master_key = master_key.to_owned();
    let environment = move |name: &str| match name {
        "NEXUSMON_MASTER_KEY" => Some(master_key.clone()),
        "OPERATOR_KEY" => Some("operator-key-of-a-test".to_owned()),
        _ => None,
    };
    Config::load(settings, &environment).expect("a test's settings are good")
}

impl Site {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let running = start(config(folder.path(), MASTER_KEY)).await;
        Self { running, folder }
    }

    /// Stops and starts again on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let Self { running, folder } = self;
        running.stop().await;
        let running = start(config(folder.path(), MASTER_KEY)).await;
        Self { running, folder }
    }

    pub(crate) async fn invite(&self, name: &str) -> JoinToken {
        self.invite_up_to(name, Rank::C).await
    }

    pub(crate) async fn invite_up_to(&self, name: &str, max_rank: Rank) -> JoinToken {
        let app = &self.running.app;
        let invite = NewInvite {
            name: name.parse().unwrap(),
            labels: Labels::default(),
            max_rank,
            ttl: std::time::Duration::from_mins(15),
        };
        let made = agents::invite(app, &Caller::system(app), invite).await.unwrap();
        made.token.parse().unwrap()
    }

    pub(crate) async fn mission(&self, body: serde_json::Value) -> MissionView {
        let app = &self.running.app;
        let mission = NewMission::from_value(&body).unwrap();
        let mut made = missions::create(app, &Caller::system(app), vec![mission]).await.unwrap();
        made.remove(0).unwrap()
    }

    pub(crate) async fn look(&self, mission: &MissionView) -> MissionView {
        missions::get(&self.running.app, mission.summary.id).await.unwrap()
    }
}

async fn start(config: Config) -> Running {
    Coordinator::start(config, Arc::new(SystemClock), StdRng::seed_from_u64(1)).await.unwrap()
}
