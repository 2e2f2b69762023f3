//! The agent against a coordinator that does what a test tells it, over real TLS on loopback.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod consent;
mod enrollment;
mod fake;
mod plan;
mod recovery;
mod sessions;
mod spawned;
mod transfers;

use std::path::Path;
use std::sync::Arc;

use nexusmon_agent::agent::{Agent, Ingredients};
use nexusmon_agent::config::Config;
use nexusmon_agent::enroll::{Home, join};
use nexusmon_agent::facts;
use nexusmon_agent::simulated::{Act, SimulatedWorker};
use nexusmon_agent::worker::{LogSpool, Worker};
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::outcome::Ending;
use nexusmon_shared::selector::Labels;
use nexusmon_shared::time::{ManualClock, SharedClock, Timestamp};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use fake::Fake;

/// A fake coordinator, an enrolled data folder, a clock that moves when told to.
pub(crate) struct Stage {
    pub(crate) clock: ManualClock,
    pub(crate) fake: Fake,
    pub(crate) folder: tempfile::TempDir,
}

/// A running agent; dropping it leaves it running, `kill` ends it as SIGKILL would.
pub(crate) struct Actor {
    pub(crate) agent: Agent,
    pub(crate) worker: Arc<SimulatedWorker>,
    pub(crate) lifecycle: Lifecycle,
}

impl Stage {
    pub(crate) async fn new() -> Self {
        let clock = ManualClock::new(Timestamp::from_micros(1_900_000_000_000_000));
        let shared: SharedClock = Arc::new(clock.clone());
        let fake = Fake::start(Arc::clone(&shared)).await;
        let folder = tempfile::tempdir().unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        let token = fake.token(5);
        join(&token, folder.path(), Labels::new(), facts::gather(), shared, &mut rng).await.unwrap();
        Self { clock, fake, folder }
    }

    pub(crate) async fn agent(
        &self,
        act: impl Fn(&nexusmon_agent::run::Job) -> Act + Send + Sync + 'static,
    ) -> Actor {
        let worker = Arc::new(SimulatedWorker::new(Arc::new(self.clock.clone()), act));
        self.agent_with(worker, None).await
    }

    pub(crate) async fn agent_with(
        &self,
        worker: Arc<SimulatedWorker>,
        spool: Option<Arc<dyn LogSpool>>,
    ) -> Actor {
        let given: Arc<dyn Worker> = Arc::clone(&worker) as Arc<dyn Worker>;
        let (agent, lifecycle) = self.start(given, spool).await;
        Actor { agent, worker, lifecycle }
    }

    /// With another configuration.
    pub(crate) async fn agent_as(
        &self,
        config: Config,
        act: impl Fn(&nexusmon_agent::run::Job) -> Act + Send + Sync + 'static,
    ) -> Actor {
        let worker = Arc::new(SimulatedWorker::new(Arc::new(self.clock.clone()), act));
        let given: Arc<dyn Worker> = Arc::clone(&worker) as Arc<dyn Worker>;
        let (agent, lifecycle) = self.start_as(config, given, None).await;
        Actor { agent, worker, lifecycle }
    }

    pub(crate) async fn start(
        &self,
        worker: Arc<dyn Worker>,
        spool: Option<Arc<dyn LogSpool>>,
    ) -> (Agent, Lifecycle) {
        self.start_as(config(self.folder.path()), worker, spool).await
    }

    async fn start_as(
        &self,
        config: Config,
        worker: Arc<dyn Worker>,
        spool: Option<Arc<dyn LogSpool>>,
    ) -> (Agent, Lifecycle) {
        let lifecycle = Lifecycle::new();
        let ingredients = Ingredients {
            config,
            home: Arc::new(Home::open(self.folder.path()).unwrap()),
            worker,
            spool,
            clock: Arc::new(self.clock.clone()),
            rng: StdRng::seed_from_u64(2),
        };
        (Agent::start(ingredients, &lifecycle).await.unwrap(), lifecycle)
    }
}

impl Actor {
    /// Every task ends where it is; nothing is tidied up.
    pub(crate) async fn kill(self) {
        self.lifecycle.hard().cancel();
        self.lifecycle.shutdown(std::time::Duration::ZERO).await;
    }
}

fn config(data_dir: &Path) -> Config {
    Config { slots: 2, ..Config::on(data_dir) }
}

pub(crate) fn succeeded() -> Ending {
    Ending::Succeeded { outputs: serde_json::Map::new() }
}
