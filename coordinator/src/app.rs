//! What the process is made of, built once and handed to everything: configuration, clock, store, keys, sessions.
//!
//! Holds no rules; those are `service`'s and `core`'s.

use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nexusmon_core::fairness;
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::id::{OrganismId, PrincipalId};
use nexusmon_shared::lifecycle::Lifecycle;
use nexusmon_shared::time::{SharedClock, SteadyClock, Timestamp};
use nexusmon_store::{AuditFilter, PageRequest, Store};
use rand::rngs::StdRng;
use tokio::sync::Notify;

pub mod bars;
pub mod batch;
pub mod classes;
pub mod costly;
pub mod elsewhere;
pub mod events;
pub mod flags;
pub mod fleet;
pub mod history;
pub mod meters;
pub mod plans;
pub mod policies;
pub mod randomness;
pub mod roster;
pub mod running;
pub mod secrets;
pub mod sessions;
pub mod switch;

use crate::background::Background;
use crate::blobs::Blobs;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::keys::Keyring;
use crate::models::Model;
use crate::outward;
use crate::provider::Provider;
use crate::push::Sender;
use crate::service;
use batch::Batcher;

/// The handle; cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What [`App`] gives access to.
pub struct Parts {
    pub config: Config,
    pub clock: SharedClock,
    /// For what expires: never goes back, not over a restart either.
    pub expiry_clock: SharedClock,
    pub rng: randomness::Randomness,
    pub lifecycle: Lifecycle,
    pub store: Store,
    pub blobs: Blobs,
    pub keyring: Keyring,
    pub policy: policies::Policies,
    pub organism: OrganismId,
    /// Of the authority given out: raised when a backup is restored.
    pub epoch: u32,
    /// The principal that is the system itself.
    pub system: PrincipalId,
    pub started_at: Timestamp,
    pub started_boot: Duration,
    pub sessions: sessions::SessionRegistry,
    pub events: events::EventHub,
    pub classes: classes::ClassCache,
    pub plans: plans::PlanCache,
    pub roster: roster::RosterCache,
    pub fleet: fleet::FleetCache,
    pub elsewhere: elsewhere::Elsewhere,
    pub running: running::RunningCache,
    pub history: history::Histories,
    pub barred: bars::Bars,
    pub switch: switch::Switch,
    pub flags: flags::Flags,
    pub secrets: secrets::Secrets,
    pub(crate) mission_counts: costly::Costly<Vec<nexusmon_store::StatusCount>>,
    pub(crate) totals: costly::Costly<[i64; 3]>,
    pub(crate) blob_totals: costly::Costly<(i64, i64)>,
    pub meters: meters::Meters,
    pub(crate) dispatch: Notify,
    /// Boot clock, in seconds, of the last look at which classes have ready tasks.
    pub(crate) refreshed: AtomicU64,
    pub(crate) judging: AtomicBool,
    pub(crate) sub_missions: service::sub_missions::Seen,
    pub(crate) renewals: service::agents::Renewals,
    pub(crate) leases: service::leases::Observed,
    pub(crate) triggers: service::triggers::Seen,
    pub(crate) logs: service::logs::OpenLogs,
    pub(crate) memory: service::memory::Place,
    pub(crate) beliefs: service::beliefs::Cache,
    pub(crate) ledger: service::evolution::Ledger,
    pub(crate) auth: service::auth::Guard,
    pub(crate) challenges: service::enrollment::Challenges,
    /// Where people may log in who have no key here.
    pub(crate) provider: Option<Provider>,
    /// Tells browsers that are not open; `None` where nobody answers for what is sent.
    pub(crate) push: Option<Sender>,
    /// Tells people elsewhere.
    pub(crate) outward: outward::Sender,
    pub(crate) push_place: service::notifications::Place,
    pub(crate) desk: service::notifications::Desk,
    /// Asked for plans; `None` where none is configured.
    pub(crate) model: Option<Model>,
    pub(crate) planning: service::planning::Desk,
    pub(crate) idempotency: service::idempotency::InFlight,
    pub(crate) log: service::audit::Log,
    virtual_time: AtomicU64,
    agent_address: OnceLock<SocketAddr>,
    background: OnceLock<Background>,
    batchers: OnceLock<Batchers>,
}

/// The plural hot paths.
pub(crate) struct Batchers {
    pub create: Batcher<service::missions::Prepared, service::missions::Created>,
    pub report: Batcher<service::settled::Arrived, Vec<AttemptRef>>,
}

impl Deref for App {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

fn sender(config: &Config) -> Result<Option<Sender>> {
    let push = config.push.clone();
    push.map(|push| Sender::new(push.contact, push.inside).map_err(Error::internal)).transpose()
}

fn model(config: &Config, clock: &SharedClock) -> Result<Option<Model>> {
    let model = config.model.clone();
    model.map(|model| Model::new(model, Arc::clone(clock)).map_err(Error::internal)).transpose()
}

impl App {
    /// Builds everything from opened parts, fills the caches, starts the batchers. `keyring` has made sure that the
    /// organism exists.
    pub async fn open(
        config: Config,
        clock: SharedClock,
        rng: StdRng,
        store: Store,
        blobs: Blobs,
        keyring: Keyring,
        lifecycle: Lifecycle,
    ) -> Result<Self> {
        let mut read = store.read().await?;
        let organism = read.organism().await?;
        let newest = read.audit_list(&AuditFilter::default(), &PageRequest::first(1)).await?;
        drop(read);
        let newest = newest.items.first().map_or_else(|| clock.now(), |entry| entry.at);
        let expiry_clock = Arc::new(SteadyClock::new(Arc::clone(&clock), newest));
        let organism = organism.ok_or_else(|| Error::internal("the database has no organism"))?;
        let parts = Parts {
            started_at: clock.now(),
            started_boot: clock.boot(),
            rng: randomness::Randomness::new(rng),
            policy: policies::Policies::default(),
            organism: organism.id,
            epoch: organism.epoch,
            system: PrincipalId::from_bits(organism.id.to_bits()),
            sessions: sessions::SessionRegistry::default(),
            events: events::EventHub::default(),
            classes: classes::ClassCache::default(),
            plans: plans::PlanCache::default(),
            roster: roster::RosterCache::default(),
            fleet: fleet::FleetCache::default(),
            elsewhere: elsewhere::Elsewhere::default(),
            running: running::RunningCache::default(),
            history: history::Histories::default(),
            barred: bars::Bars::default(),
            switch: switch::Switch::default(),
            flags: flags::Flags::default(),
            secrets: secrets::Secrets::default(),
            mission_counts: costly::Costly::default(),
            totals: costly::Costly::default(),
            blob_totals: costly::Costly::default(),
            meters: meters::Meters::default(),
            dispatch: Notify::new(),
            refreshed: AtomicU64::new(0),
            judging: AtomicBool::new(false),
            sub_missions: service::sub_missions::Seen::default(),
            renewals: service::agents::Renewals::default(),
            leases: service::leases::Observed::default(),
            triggers: service::triggers::Seen::default(),
            logs: service::logs::OpenLogs::default(),
            memory: service::memory::Place::default(),
            beliefs: service::beliefs::Cache::default(),
            ledger: service::evolution::Ledger::default(),
            auth: service::auth::Guard::default(),
            challenges: service::enrollment::Challenges::default(),
            provider: config.oidc.clone().map(|oidc| Provider::new(oidc, Arc::clone(&clock))).transpose()?,
            push: sender(&config)?,
            outward: outward::Sender::new(config.notify_inside.clone()).map_err(Error::internal)?,
            push_place: service::notifications::Place::default(),
            desk: service::notifications::Desk::default(),
            model: model(&config, &clock)?,
            planning: service::planning::Desk::default(),
            idempotency: service::idempotency::InFlight::default(),
            log: service::audit::Log::default(),
            virtual_time: AtomicU64::new(0),
            agent_address: OnceLock::new(),
            background: OnceLock::new(),
            batchers: OnceLock::new(),
            config,
            clock,
            expiry_clock,
            lifecycle,
            store,
            blobs,
            keyring,
        };
        let app = Self(Arc::new(parts));
        service::start::prepare(&app).await?;
        app.start_batchers();
        Ok(app)
    }

    fn start_batchers(&self) {
        let lifecycle = &self.lifecycle;
        let app = self.clone();
        let create = Batcher::start(lifecycle, "missions.create", 500, move |batch| {
            let app = app.clone();
            async move {
                let (items, began) = (batch.len(), app.clock.boot());
                let done = service::missions::insert_batch(&app, batch).await;
                app.meters.create.done(items, app.clock.boot().saturating_sub(began));
                done
            }
        });
        let app = self.clone();
        let report = Batcher::start(lifecycle, "tasks.report", 200, move |batch| {
            let app = app.clone();
            async move {
                let (items, began) = (batch.len(), app.clock.boot());
                let done = service::settled::settle_batch(&app, batch).await;
                app.meters.report.done(items, app.clock.boot().saturating_sub(began));
                done
            }
        });
        let _ = self.batchers.set(Batchers { create, report });
        service::agents::Renewals::start(self);
    }

    pub(crate) fn batchers(&self) -> &Batchers {
        self.batchers.get().expect("open() starts the batchers before it gives the handle away")
    }

    /// What runs in the background, for those who look; told once it has started.
    pub fn set_background(&self, background: Background) {
        let _ = self.background.set(background);
    }

    pub(crate) fn background(&self) -> Option<&Background> {
        self.background.get()
    }

    /// Where agents really connect to; set once the port is bound.
    pub fn set_agent_address(&self, address: SocketAddr) {
        let _ = self.agent_address.set(address);
    }

    pub(crate) fn agent_address(&self) -> SocketAddr {
        self.agent_address.get().copied().unwrap_or(self.config.grpc)
    }

    /// Virtual time of fair queueing: the newest tag granted.
    pub(crate) fn virtual_time(&self) -> u64 {
        self.virtual_time.load(Ordering::Relaxed)
    }

    pub(crate) fn advance_virtual_time(&self, granted: u64) {
        let _ = self
            .virtual_time
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(fairness::advance(now, granted)));
    }
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("App").field("organism", &self.organism).finish_non_exhaustive()
    }
}
