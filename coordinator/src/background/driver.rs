//! Runs activations: one task each, with its status visible and a way to run it now.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::lifecycle::{Lifecycle, chain};
use nexusmon_shared::time::{SharedClock, Timestamp};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::error::Error;

/// After a failure, at first; doubles up to the activation's period or a minute, whichever is longer.
const FIRST_BACKOFF: Duration = Duration::from_millis(100);
const LONGEST_BACKOFF: Duration = Duration::from_mins(1);

/// When to run again, unless woken before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// There is more to do.
    AtOnce,
    /// After this, if that is before the period ends.
    Within(Duration),
    /// After the period.
    Period,
}

type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A name, a period and what to do.
pub struct Activation {
    name: &'static str,
    period: Duration,
    run: Box<dyn Fn() -> Later<Result<Next, Error>> + Send + Sync>,
    woken: Box<dyn Fn() -> Later<()> + Send + Sync>,
}

impl Activation {
    pub fn new<F, R>(name: &'static str, period: Duration, run: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<Next, Error>> + Send + 'static,
    {
        Self {
            name,
            period,
            run: Box::new(move || Box::pin(run())),
            woken: Box::new(|| Box::pin(std::future::pending())),
        }
    }

    /// Also runs whenever the future this makes resolves.
    #[must_use]
    pub fn woken_by<F, R>(mut self, woken: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        self.woken = Box::new(move || Box::pin(woken()));
        self
    }
}

impl fmt::Debug for Activation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activation")
            .field("name", &self.name)
            .field("period", &self.period)
            .finish_non_exhaustive()
    }
}

/// How an activation does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    pub name: &'static str,
    pub period: Duration,
    pub running: bool,
    /// Runs that ended, well or not.
    pub runs: u64,
    pub failures: u64,
    pub last_end: Option<Timestamp>,
    pub last_took: Option<Duration>,
    /// Of the newest run; `None` if it went well.
    pub last_error: Option<String>,
}

/// What runs; cheap to clone.
#[derive(Debug, Clone)]
pub struct Background(Arc<Vec<Slot>>);

#[derive(Debug)]
struct Slot {
    name: &'static str,
    asked: Notify,
    status: Mutex<Status>,
    /// Runs begun and runs ended.
    turns: watch::Sender<(u64, u64)>,
}

/// No activation has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no background activation `{0}`")]
pub struct UnknownActivation(String);

impl Background {
    /// Starts them all; they end with the lifecycle's soft shutdown, each after the run it is in.
    pub fn start(activations: Vec<Activation>, lifecycle: &Lifecycle, clock: &SharedClock) -> Self {
        let slots = activations.iter().map(|activation| Slot {
            name: activation.name,
            asked: Notify::new(),
            status: Mutex::new(Status {
                name: activation.name,
                period: activation.period,
                running: false,
                runs: 0,
                failures: 0,
                last_end: None,
                last_took: None,
                last_error: None,
            }),
            turns: watch::Sender::new((0, 0)),
        });
        let this = Self(Arc::new(slots.collect()));
        for (index, activation) in activations.into_iter().enumerate() {
            let (this, stopping, clock) = (this.clone(), lifecycle.soft(), Arc::clone(clock));
            lifecycle.spawn(activation.name, async move {
                this.0[index].drive(&activation, &clock, &stopping).await;
                Ok::<(), Error>(())
            });
        }
        this
    }

    pub fn status(&self) -> Vec<Status> {
        self.0.iter().map(|slot| slot.status.lock().expect("no holder panics").clone()).collect()
    }

    /// Runs one now and waits until a run that began after this call has ended.
    pub async fn run_now(&self, name: &str) -> Result<(), UnknownActivation> {
        let slot = self.0.iter().find(|slot| slot.name == name);
        let slot = slot.ok_or_else(|| UnknownActivation(name.to_owned()))?;
        let mut turns = slot.turns.subscribe();
        let begun = turns.borrow_and_update().0;
        slot.asked.notify_one();
        // The sender lives as long as the slot.
        let _ = turns.wait_for(|(_, ended)| *ended > begun).await;
        Ok(())
    }
}

impl Slot {
    async fn drive(&self, activation: &Activation, clock: &SharedClock, stopping: &CancellationToken) {
        let mut failures = 0_u32;
        while !stopping.is_cancelled() {
            let pause = if let Some(next) = self.turn(activation, clock).await {
                failures = 0;
                match next {
                    Next::AtOnce => Duration::ZERO,
                    Next::Within(pause) => pause.min(activation.period),
                    Next::Period => activation.period,
                }
            } else {
                failures += 1;
                let longest = activation.period.max(LONGEST_BACKOFF);
                FIRST_BACKOFF.saturating_mul(1 << (failures - 1).min(20)).min(longest)
            };
            if pause.is_zero() {
                // Others want the thread too.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                () = stopping.cancelled() => {}
                () = self.asked.notified() => {}
                // A wake-up in the middle of trouble would turn the backoff into a spin.
                () = (activation.woken)(), if failures == 0 => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// `None`: it failed.
    async fn turn(&self, activation: &Activation, clock: &SharedClock) -> Option<Next> {
        self.status.lock().expect("no holder panics").running = true;
        self.turns.send_modify(|(begun, _)| *begun += 1);
        let began = clock.boot();
        let span = tracing::debug_span!(parent: None, "background", name = activation.name);
        let result = (activation.run)().instrument(span).await;
        let mut status = self.status.lock().expect("no holder panics");
        status.running = false;
        status.runs += 1;
        status.last_end = Some(clock.now());
        status.last_took = Some(clock.boot().saturating_sub(began));
        let next = match result {
            Ok(next) => {
                status.last_error = None;
                Some(next)
            }
            Err(error) => {
                let reason = chain(&error);
                tracing::warn!(
                    activation = activation.name,
                    error = reason,
                    "background work failed; it will be tried again"
                );
                status.failures += 1;
                status.last_error = Some(reason);
                None
            }
        };
        drop(status);
        self.turns.send_modify(|(_, ended)| *ended += 1);
        next
    }
}
