//! One agent in this process: journal, supervisor and link around whatever worker it is given.
//!
//! The binary gives it the real one; tests and benches give it one in memory and run thousands.

use std::sync::Arc;

use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::{AgentId, JournalId};
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::message::SealedSecret;
use nexusmon_shared::time::SharedClock;
use nexusmon_shared::trust::provenance::Provenance;
use nexusmon_shared::trust::sealed::{Binding, SealError};
use nexusmon_shared::trust::spawned::{SignedSpawned, Spawned};
use rand::rngs::StdRng;
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::attempts::{Attempts, Command, Keys, Parts, Summary};
use crate::config::Config;
use crate::consent::{Catalogue, Standing};
use crate::control::{self, Portrait, Status};
use crate::enroll::{Home, NeverBehind};
use crate::error::AgentError;
use crate::facts;
use crate::journal::Journal;
use crate::link::{self, Artifacts, LineState, Link};
use crate::roster::Believed;
use crate::witness::Witness;
use crate::worker::{LogSpool, Worker};

/// The keys of the identity folder.
struct OwnKeys(Arc<Home>);

impl Keys for OwnKeys {
    fn open(&self, attempt: AttemptRef, secret: &SealedSecret) -> Result<Zeroizing<Vec<u8>>, SealError> {
        let SealedSecret { name, version, scope, sealed } = secret;
        let membership = self.0.membership();
        let binding = Binding {
            organism: membership.organism,
            agent: membership.agent,
            secret: name.clone(),
            version: *version,
            scope: scope.clone(),
            task: attempt.task,
            fence: attempt.fence,
        };
        self.0.sealing().open(&binding, sealed)
    }

    fn attest(&self, provenance: &Provenance) -> Option<String> {
        let envelope = self.0.identity().attest(provenance)?;
        serde_json::to_string(&envelope).ok()
    }

    fn sign_spawned(&self, document: Spawned) -> Option<SignedSpawned> {
        self.0.identity().sign_spawned(document)
    }
}

/// What an agent is made of.
pub struct Ingredients {
    pub config: Config,
    pub home: Arc<Home>,
    pub worker: Arc<dyn Worker>,
    /// Absent: nothing here logs.
    pub spool: Option<Arc<dyn LogSpool>>,
    pub clock: SharedClock,
    pub rng: StdRng,
}

/// A running agent. It ends with its lifecycle.
#[derive(Debug, Clone)]
pub struct Agent {
    id: AgentId,
    attempts: Attempts,
    line: watch::Receiver<LineState>,
    witness: Arc<Witness>,
}

impl Agent {
    /// Ends what an earlier life left behind, then opens the line.
    pub async fn start(ingredients: Ingredients, lifecycle: &Lifecycle) -> Result<Self, AgentError> {
        let Ingredients { config, home, worker, spool, clock, mut rng } = ingredients;
        let clock: SharedClock = Arc::new(NeverBehind::new(clock, Arc::clone(&home)));
        let folder = config.data_dir.join("journal");
        std::fs::create_dir_all(&folder).map_err(|error| AgentError::io("make", &folder, error))?;
        let opened = Journal::open(&folder, JournalId::new(clock.now(), &mut rng))?;
        let journal = opened.journal.clone();
        let cache = link::cache_folder(&config.data_dir);
        let artifacts = Artifacts::open(&cache, config.cache_limit.bytes())
            .map_err(|error| AgentError::io("open", &cache, error))?;
        let artifacts = Arc::new(artifacts);

        let membership = home.membership();
        let mut labels = membership.labels.clone();
        labels.extend(config.labels.clone());
        let believed = Believed::open(&config.data_dir, membership.organism, membership.owner_key())?;
        let standing = Standing {
            organism: membership.organism,
            agent: membership.agent,
            identity: home.identity().verifier(),
            name: membership.name.clone(),
            labels: labels.clone(),
            ceiling: membership.max_rank,
            policy: config.policy(),
            levels: worker.levels(),
            allow_private: config.allow_private.clone(),
            catalogue: Arc::new(Catalogue::default()),
            disabled: std::collections::BTreeSet::new(),
            signed_from: config.signed_from,
            cli_keys_only: config.cli_keys_only,
            roster: None,
            revoked: believed.revoked(),
        };
        let parts = Parts {
            standing,
            believed,
            slots: config.slots,
            paused: control::is_paused(&config.data_dir),
            stop_grace: config.stop_grace,
            worker: Arc::clone(&worker),
            courier: Arc::clone(&artifacts) as Arc<_>,
            keys: Arc::new(OwnKeys(Arc::clone(&home))),
            clock: Arc::clone(&clock),
        };
        let attempts = Attempts::start(parts, opened, lifecycle).await;
        let witness = Arc::new(Witness::open(&config.data_dir));
        if witness.is_alarmed() {
            attempts.tell(Command::Distrust(true)).await;
        }
        let (link, line) = Link::new(link::Parts {
            home: Arc::clone(&home),
            address: config.coordinator.clone(),
            build: facts::BUILD.to_owned(),
            facts: facts::gather(),
            labels,
            policy: config.policy(),
            slots: config.slots,
            journal,
            attempts: attempts.clone(),
            worker,
            spool,
            artifacts,
            witness: Arc::clone(&witness),
            clock,
            rng,
        });
        let lived = lifecycle.clone();
        lifecycle.spawn("link", async move { link.run(lived).await });
        Ok(Self { id: membership.agent, attempts, line, witness })
    }

    pub fn id(&self) -> AgentId {
        self.id
    }

    /// How the line to the coordinator is.
    pub fn line(&self) -> watch::Receiver<LineState> {
        self.line.clone()
    }

    pub async fn summary(&self) -> Summary {
        self.attempts.summary().await
    }

    /// Returns once every attempt is dealt with, after the shutdown has begun.
    pub async fn ended(&self) {
        self.attempts.ended().await;
    }

    /// What is remembered of the coordinator's audit log.
    pub fn witness(&self) -> &Arc<Witness> {
        &self.witness
    }

    /// As the machine's admin does.
    pub async fn pause(&self, on: bool) {
        self.attempts.tell(Command::Pause(on)).await;
    }

    /// Listens to signals and files in the data folder, and writes `status.json`; for the one agent of a process.
    pub fn listen(
        &self,
        config: &Config,
        home: Arc<Home>,
        worker: Arc<dyn Worker>,
        clock: SharedClock,
        lifecycle: &Lifecycle,
    ) -> Result<(), AgentError> {
        let membership = home.membership().clone();
        let portrait = Portrait {
            agent: self.id,
            name: membership.name.to_string(),
            coordinator: config.coordinator.as_ref().unwrap_or(&membership.address).to_string(),
            clock,
        };
        let memory = Arc::clone(&self.witness);
        let describe = move |line, attempts| Status {
            process: std::process::id(),
            agent: portrait.agent,
            name: portrait.name.clone(),
            coordinator: portrait.coordinator.clone(),
            build: facts::BUILD.to_owned(),
            line,
            attempts,
            certificate_expires: home.renewal(0.0).ok().map(|renewal| renewal.expires),
            sandbox_missing: worker
                .missing_levels()
                .into_iter()
                .map(|(level, why)| (level.as_str().to_owned(), why))
                .collect(),
            sandbox_levels: worker.levels().iter().map(|level| level.as_str().to_owned()).collect(),
            capabilities: capabilities(&*worker),
            witness: memory.kept(),
            at: portrait.clock.now(),
        };
        let data_dir = config.data_dir.clone();
        let reopen = move || Believed::open(&data_dir, membership.organism, membership.owner_key());
        let told = control::Told {
            attempts: self.attempts.clone(),
            reopen: Box::new(reopen),
            witness: Arc::clone(&self.witness),
        };
        control::spawn(config.data_dir.clone(), told, self.line(), describe, lifecycle)
    }
}

fn capabilities(worker: &dyn Worker) -> Vec<String> {
    let manifests = worker.manifests();
    let manifests = manifests.borrow();
    manifests.iter().flat_map(|manifest| &manifest.capabilities).map(|spec| spec.name.to_string()).collect()
}
