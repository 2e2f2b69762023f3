//! The life of one plugin for as long as its folder stays as it is: started, asked what it can do, started again when it
//! crashes, left alone when it crashes too often.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nexusmon_shared::time::SharedClock;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::board::{Board, Standing};
use super::folder::{self, Declared};
use super::instance::{End, Instance};
use super::manifest::{self, Admitted};
use super::workspace::Scratch;
use crate::executor::Executor;

/// For the answer to `initialize`.
const PATIENCE: Duration = Duration::from_secs(10);
/// For the answer to `shutdown`, and then for the end.
const FAREWELL: Duration = Duration::from_secs(3);
const GRACE: Duration = Duration::from_secs(2);
const MOST_CRASHES: u32 = 3;
/// Before the second and the third start.
const BACKOFF: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(1)];
/// A plugin that lived this long has not crashed in a row.
const LONG_LIFE: Duration = Duration::from_mins(10);

/// One plugin process to be started.
pub(super) struct Birth {
    pub(super) executor: Executor,
    pub(super) clock: SharedClock,
    pub(super) plugin: String,
    pub(super) folder: PathBuf,
    pub(super) declared: Declared,
    pub(super) scratch: Arc<Scratch>,
    /// Nobody wants it any more.
    pub(super) stop: CancellationToken,
}

/// Why there is no plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failed {
    /// It would fail the same way again.
    Refused(String),
    Crashed(String),
}

/// The future that serves an instance; to be awaited any number of times.
pub(super) struct Serving {
    future: Pin<Box<dyn Future<Output = End> + Send>>,
    end: Option<End>,
}

impl Serving {
    pub(super) async fn ended(&mut self) -> End {
        if let Some(end) = &self.end {
            return end.clone();
        }
        let end = self.future.as_mut().await;
        self.end = Some(end.clone());
        end
    }
}

impl Birth {
    /// Starts the process and takes its manifest in. `life` tells apart those of one scratch folder.
    pub(super) async fn start(&self, life: u32) -> Result<(Arc<Instance>, Serving), Failed> {
        if self.executor.level_for(self.declared.profile).is_none() {
            let profile = self.declared.profile.as_str();
            return Err(Failed::Refused(format!(
                "profile: this machine cannot give the sandbox profile `{profile}`"
            )));
        }
        let environment = self.prepare(life).await?;
        let Declared { profile, command, .. } = &self.declared;
        let (key, writable) = (key(&self.scratch, life), [self.scratch.path().to_owned()]);
        let process =
            self.executor.start_process(&key, *profile, &self.folder, command, environment, &writable);
        let process = process.await.map_err(Failed::Crashed)?;
        let (instance, serving) =
            Instance::serve(self.plugin.clone(), Arc::clone(&self.scratch), process, Arc::clone(&self.clock));
        let mut serving = Serving { future: Box::pin(serving), end: None };
        match self.initialize(&instance, &mut serving).await {
            Ok(admitted) => {
                instance.admit(Arc::new(admitted));
                Ok((instance, serving))
            }
            Err(failed) => {
                instance.kill(GRACE, "it is not needed");
                serving.ended().await;
                Err(failed)
            }
        }
    }

    /// The pin, the Python package, the environment.
    async fn prepare(&self, life: u32) -> Result<BTreeMap<String, String>, Failed> {
        let (declared, folder, scratch) =
            (self.declared.clone(), self.folder.clone(), Arc::clone(&self.scratch));
        let prepared = tokio::task::spawn_blocking(move || {
            declared.check_pin(&folder).map_err(Failed::Refused)?;
            scratch.put_python().map_err(|error| Failed::Crashed(format!("its scratch folder: {error}")))
        });
        let python = prepared.await.map_err(|error| Failed::Crashed(error.to_string()))??;
        let allowed =
            self.declared.env.iter().filter_map(|name| Some((name.clone(), std::env::var(name).ok()?)));
        let mut environment: BTreeMap<String, String> = allowed.collect();
        let text = |path: PathBuf| path.display().to_string();
        environment.extend([
            ("HOME".to_owned(), text(self.scratch.home())),
            ("TMPDIR".to_owned(), text(self.scratch.temporary())),
            ("PYTHONPATH".to_owned(), text(python)),
            // The folder is the admin's; what Python would write there would look like a change.
            ("PYTHONDONTWRITEBYTECODE".to_owned(), "1".to_owned()),
            // Strays of the tree are known by it.
            ("NEXUSMON_ATTEMPT".to_owned(), format!("plugin-{}", key(&self.scratch, life))),
        ]);
        Ok(environment)
    }

    async fn initialize(&self, instance: &Instance, serving: &mut Serving) -> Result<Admitted, Failed> {
        let asking = async { instance.call("initialize", &json!({})).await.await };
        let answer = tokio::select! {
            end = serving.ended() => return Err(Failed::Crashed(reason(end))),
            () = self.stop.cancelled() => return Err(Failed::Crashed("it was stopped".to_owned())),
            answer = tokio::time::timeout(PATIENCE, asking) => answer,
        };
        match answer {
            Ok(Ok(Ok(answer))) => {
                manifest::admit(answer, &self.plugin, &self.declared).map_err(Failed::Refused)
            }
            Ok(Ok(Err(failure))) => Err(Failed::Refused(format!("initialize: {}", failure.message))),
            Ok(Err(_)) => Err(Failed::Crashed(reason(serving.ended().await))),
            Err(_) => Err(Failed::Crashed(format!("it did not answer `initialize` within {PATIENCE:?}"))),
        }
    }

    /// Lets what runs finish, then asks the plugin to end, then ends it.
    pub(super) async fn retire(&self, instance: &Instance, serving: &mut Serving) {
        let idle = instance.permits.acquire_many(instance.admitted().concurrency);
        tokio::select! {
            _ = serving.ended() => return,
            _ = idle => {}
        }
        let farewell = async {
            let _ = instance.call("shutdown", &json!({})).await.await;
            std::future::pending::<()>().await;
        };
        tokio::select! {
            _ = serving.ended() => return,
            _ = tokio::time::timeout(FAREWELL, farewell) => {}
        }
        instance.kill(GRACE, "the plugin is stopped");
        serving.ended().await;
    }
}

fn key(scratch: &Scratch, life: u32) -> String {
    format!("{}.{life}", scratch.name())
}

fn reason(end: End) -> String {
    match end {
        End::Crashed(reason) | End::Killed(reason) => reason,
    }
}

/// Keeps one plugin running.
pub(super) struct Keeper {
    pub(super) board: Arc<Board>,
    pub(super) executor: Executor,
    pub(super) clock: SharedClock,
    pub(super) plugin: String,
    pub(super) generation: u64,
    pub(super) folder: PathBuf,
    pub(super) data_dir: PathBuf,
    /// Its folder changed or went, or the agent stops.
    pub(super) stop: CancellationToken,
}

/// How one life of the process ended.
enum Life {
    Retired,
    Refused(String),
    /// `proved`: it had worked before.
    Crashed {
        reason: String,
        proved: bool,
        offered: Option<Arc<Admitted>>,
    },
    Killed {
        reason: String,
        offered: Arc<Admitted>,
    },
}

impl Keeper {
    pub(super) async fn keep(self) {
        match self.birth().await {
            Ok(birth) => {
                self.keep_alive(&birth).await;
                let scratch = Arc::clone(&birth.scratch);
                let _ = tokio::task::spawn_blocking(move || scratch.remove()).await;
            }
            Err(reason) => self.refused(reason).await,
        }
        self.post(Standing::Gone);
    }

    async fn birth(&self) -> Result<Birth, String> {
        folder::check_name(&self.plugin)?;
        let (folder, data_dir) = (self.folder.clone(), self.data_dir.clone());
        let name = format!("{}.{}", self.plugin, self.generation);
        let opened = tokio::task::spawn_blocking(move || {
            let declared = folder::declared(&folder)?;
            let scratch =
                Scratch::open(&data_dir, name).map_err(|error| format!("its scratch folder: {error}"))?;
            Ok::<_, String>((declared, scratch))
        });
        let (declared, scratch) = opened.await.map_err(|error| error.to_string())??;
        Ok(Birth {
            executor: self.executor.clone(),
            clock: Arc::clone(&self.clock),
            plugin: self.plugin.clone(),
            folder: self.folder.clone(),
            declared,
            scratch: Arc::new(scratch),
            stop: self.stop.clone(),
        })
    }

    async fn keep_alive(&self, birth: &Birth) {
        let mut crashes = 0_u32;
        let mut known = None;
        for life in 1.. {
            match self.live(birth, life).await {
                Life::Retired => return,
                Life::Refused(reason) => return self.refused(reason).await,
                Life::Killed { reason, offered } => {
                    tracing::warn!(plugin = %self.plugin, %reason, "a plugin was ended; starting it again");
                    known = Some(offered);
                    self.post(Standing::Restarting { offered: known.clone(), reason });
                }
                Life::Crashed { reason, proved, offered } => {
                    crashes = if proved { 1 } else { crashes + 1 };
                    tracing::warn!(plugin = %self.plugin, %reason, crashes, "a plugin crashed");
                    if crashes >= MOST_CRASHES {
                        self.post(Standing::Quarantined(format!(
                            "{MOST_CRASHES} crashes in a row; the last: {reason}"
                        )));
                        return self.stop.cancelled().await;
                    }
                    known = offered.or(known);
                    self.post(Standing::Restarting { offered: known.clone(), reason });
                    let pause = BACKOFF[(crashes as usize - 1).min(BACKOFF.len() - 1)];
                    tokio::select! {
                        () = self.stop.cancelled() => return,
                        () = tokio::time::sleep(pause) => {}
                    }
                }
            }
        }
    }

    async fn live(&self, birth: &Birth, life: u32) -> Life {
        let born = self.clock.boot();
        let (instance, mut serving) = match birth.start(life).await {
            Ok(started) => started,
            Err(_) if self.stop.is_cancelled() => return Life::Retired,
            Err(Failed::Refused(reason)) => return Life::Refused(reason),
            Err(Failed::Crashed(reason)) => return Life::Crashed { reason, proved: false, offered: None },
        };
        let admitted = Arc::clone(instance.admitted());
        tracing::info!(plugin = %self.plugin, version = %admitted.manifest.version, "a plugin runs");
        self.post(Standing::Ready(Arc::clone(&instance)));
        let end = tokio::select! {
            end = serving.ended() => end,
            () = self.stop.cancelled() => {
                birth.retire(&instance, &mut serving).await;
                return Life::Retired;
            }
        };
        let proved = instance.has_proved_itself() || self.clock.boot().saturating_sub(born) >= LONG_LIFE;
        match end {
            End::Crashed(reason) => Life::Crashed { reason, proved, offered: Some(admitted) },
            End::Killed(reason) => Life::Killed { reason, offered: admitted },
        }
    }

    /// Until somebody changes the folder.
    async fn refused(&self, reason: String) {
        tracing::warn!(plugin = %self.plugin, %reason, "a plugin is refused");
        self.post(Standing::Refused(reason));
        self.stop.cancelled().await;
    }

    fn post(&self, standing: Standing) {
        self.board.post(&self.plugin, self.generation, standing);
    }
}
