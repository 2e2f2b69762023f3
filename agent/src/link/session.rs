//! One session on one connection: Hello, Welcome, then two directions that never wait for each other.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nexusmon_shared::lifecycle::chain;
use nexusmon_shared::message::{
    AgentMessage, AuthorityNotice, CertificateIssued, CheckpointNotice, CoordinatorMessage, Cosignature,
    Goodbye, Heartbeat, Hello, MAX_HELD_ATTEMPTS, MAX_MESSAGE_BYTES, ProtocolRange, Welcome,
};
use nexusmon_shared::wire::proto;
use nexusmon_shared::wire::proto::session_client::SessionClient;
use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::logs::Logs;
use super::{LineState, Parts};
use crate::attempts::{Command, Outgoing};
use crate::enroll::Followed;
use crate::facts;
use crate::run::LeaseClock;
use crate::witness::Considered;

/// A coordinator that does not answer a Hello is as good as gone.
const WELCOME_WITHIN: Duration = Duration::from_secs(10);
/// Before a renewal that failed is tried again.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// How a session ended.
pub(super) enum Ended {
    Cut(String),
    Goodbye(Goodbye),
    /// Begin anew at once: there is something only a Hello can say, or a new certificate to show.
    Reopen,
    /// The supervisor has ended and everything is sent.
    Closed,
}

pub(super) struct Session<'a> {
    pub(super) parts: &'a Parts,
    pub(super) jitter: f64,
    pub(super) state: &'a watch::Sender<LineState>,
}

type Sender = mpsc::Sender<proto::AgentMessage>;

impl Session<'_> {
    pub(super) async fn run(self, channel: Channel, logs: Option<&mut Logs>) -> Ended {
        match self.open(channel, logs).await {
            Ok(ended) => ended,
            Err(status) => Ended::Cut(describe(&status)),
        }
    }

    async fn open(self, channel: Channel, logs: Option<&mut Logs>) -> Result<Ended, Status> {
        let parts = self.parts;
        // One message of room: a batch is what gathers while the previous one is on its way.
        let (sender, receiver) = mpsc::channel(1);
        let hello = self.hello().await;
        let hello_sent = parts.clock.boot();
        send(&sender, AgentMessage::Hello(Box::new(hello))).await;
        let mut client = SessionClient::new(channel.clone()).max_decoding_message_size(MAX_MESSAGE_BYTES);
        let opening = async {
            let mut incoming = client.open(ReceiverStream::new(receiver)).await?.into_inner();
            let first = receive(&mut incoming).await?;
            Ok::<_, Status>((incoming, first))
        };
        let (incoming, first) = tokio::time::timeout(WELCOME_WITHIN, opening)
            .await
            .map_err(|_| Status::deadline_exceeded("no welcome in time"))??;
        let welcome = match first {
            Some(CoordinatorMessage::Welcome(welcome)) => welcome,
            Some(CoordinatorMessage::Goodbye(goodbye)) => return Ok(Ended::Goodbye(goodbye)),
            Some(_) => return Err(Status::internal("the first message was no welcome")),
            None => return Err(Status::unavailable("the stream ended before the welcome")),
        };
        let leases = LeaseClock::new(hello_sent, welcome.lease);
        self.greet(&welcome);
        let heartbeat = welcome.heartbeat;
        parts.attempts.welcome(welcome, leases.until()).await;
        parts.artifacts.connected(channel.clone());

        let leases = Mutex::new(leases);
        let (issued, certificates) = mpsc::channel(1);
        let (answer, answers) = mpsc::channel(1);
        let newer_authority = Notify::new();
        let logs = async {
            match logs {
                Some(logs) => logs.run(channel, parts.home.membership().address.host()).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! {
            ended = self.listen(incoming, &leases, &issued, &answer, &newer_authority) => ended,
            ended = self.speak(&sender, &leases, heartbeat, certificates, answers, &newer_authority) => {
                Ok(ended)
            },
            status = logs => Err(status),
        };
        if matches!(ended, Ok(Ended::Closed)) {
            // Let what was handed over leave before the line goes.
            let _ = tokio::time::timeout(Duration::from_secs(1), sender.reserve()).await;
        }
        ended
    }

    async fn hello(&self) -> Hello {
        let parts = self.parts;
        let held = parts.attempts.hello().await;
        let mut attempts = held.attempts;
        // More cannot be held: orders stop long before. Those left out end as never started, so started ones go first.
        attempts.sort_by_key(|attempt| (!attempt.started, !attempt.finished));
        attempts.truncate(MAX_HELD_ATTEMPTS);
        Hello {
            protocol: ProtocolRange::OURS,
            build: parts.build.clone(),
            manifests: parts.worker.manifests().borrow().to_vec(),
            labels: parts.labels.clone(),
            slots: parts.slots,
            sandbox_levels: parts.worker.levels(),
            sandbox_missing: parts.worker.missing_levels(),
            journal: parts.journal.id(),
            held: attempts,
            local_policy: parts.policy.clone(),
            paused: held.paused,
            facts: parts.facts.clone(),
            checkpoint_size: parts.witness.size(),
            roster: held.roster,
            authority: parts.home.authority(),
            authorities: parts.home.authorities(),
            spawns: true,
        }
    }

    fn greet(&self, welcome: &Welcome) {
        let session = welcome.session;
        tracing::info!(session, epoch = welcome.epoch, "session open");
        if !welcome.warning.is_empty() {
            tracing::warn!(warning = %welcome.warning, "the coordinator warns");
        }
        self.state.send_replace(LineState::Connected { since: self.parts.clock.now(), session });
    }

    /// Coordinator to agent.
    async fn listen(
        &self,
        mut incoming: Streaming<proto::CoordinatorMessage>,
        leases: &Mutex<LeaseClock>,
        issued: &mpsc::Sender<CertificateIssued>,
        answer: &mpsc::Sender<Cosignature>,
        newer_authority: &Notify,
    ) -> Result<Ended, Status> {
        let attempts = &self.parts.attempts;
        let renewed = |number| leases.lock().expect("no holder of this lock panics").renewed(number);
        loop {
            let Some(message) = receive(&mut incoming).await? else {
                return Err(Status::unavailable("the coordinator ended the stream"));
            };
            let command = match message {
                CoordinatorMessage::Plan(notice) => Command::Plan(notice),
                CoordinatorMessage::Orders(orders) => {
                    let lease_until = renewed(orders.heartbeat_number);
                    Command::Orders { orders, lease_until }
                }
                CoordinatorMessage::Renewed { heartbeat_number } => {
                    Command::Renewed { lease_until: renewed(heartbeat_number) }
                }
                CoordinatorMessage::Ack(attempts) => Command::Acknowledged(attempts),
                CoordinatorMessage::Cancel(cancel) => Command::Cancel(cancel),
                CoordinatorMessage::Recall(attempts) => Command::Recall(attempts),
                CoordinatorMessage::Drain { on } => Command::Drain(on),
                CoordinatorMessage::Flags { disabled_capabilities } => Command::Flags(disabled_capabilities),
                CoordinatorMessage::Halt(notice) => Command::Halt(notice),
                CoordinatorMessage::Roster(signed) => Command::Roster(signed),
                CoordinatorMessage::Secret(answer) => Command::Secret(answer),
                CoordinatorMessage::SpawnResult(answer) => Command::Spawned(answer),
                CoordinatorMessage::Certificate(certificate) => {
                    let _ = issued.send(certificate).await;
                    continue;
                }
                CoordinatorMessage::Checkpoint(notice) => {
                    if self.witness(*notice, answer).await {
                        // The coordinator forgot what it gave out: a new Hello tells all that the journal holds.
                        return Ok(Ended::Reopen);
                    }
                    continue;
                }
                CoordinatorMessage::Authorities(told) => {
                    if self.follow(&told, newer_authority) {
                        return Ok(Ended::Reopen);
                    }
                    continue;
                }
                CoordinatorMessage::RevokedStanding(approvals) => Command::Revoked(approvals),
                CoordinatorMessage::Goodbye(goodbye) => return Ok(Ended::Goodbye(goodbye)),
                CoordinatorMessage::Welcome(_) => continue,
            };
            attempts.tell(command).await;
        }
    }

    /// Another authority is in force. True if only a new Hello can say that it is followed; while its certificate is of
    /// an older one, a new one is asked for first.
    fn follow(&self, told: &[AuthorityNotice], newer_authority: &Notify) -> bool {
        let home = &self.parts.home;
        match home.follow(told, self.parts.clock.now()) {
            Ok(_) if home.is_outdated() => {
                newer_authority.notify_one();
                false
            }
            Ok(followed) => followed == Followed::New,
            Err(error) => {
                let error = chain(&error);
                tracing::error!(error, "the coordinator names an authority that is not believed here");
                false
            }
        }
    }

    /// A head of the audit log: it is kept and cosigned, or no more work is taken. True if the log began again, as its
    /// owner has signed.
    async fn witness(&self, notice: CheckpointNotice, answer: &mpsc::Sender<Cosignature>) -> bool {
        let (witness, home) = (Arc::clone(&self.parts.witness), Arc::clone(&self.parts.home));
        let now = self.parts.clock.now();
        let roster = if notice.restores.is_empty() { None } else { self.parts.attempts.roster().await };
        let considered = tokio::task::spawn_blocking(move || {
            let membership = home.membership();
            let who = (membership.organism, membership.agent);
            witness.consider(&notice, who, home.identity(), roster.as_deref(), now)
        });
        let Ok(Considered { answer: given, begun_again }) = considered.await else { return false };
        if !given.alarm.is_empty() {
            self.parts.attempts.tell(Command::Distrust(true)).await;
        } else if begun_again.is_some() {
            self.parts.attempts.tell(Command::Distrust(false)).await;
        }
        let _ = answer.send(given).await;
        begun_again.is_some()
    }

    /// Agent to coordinator.
    async fn speak(
        &self,
        sender: &Sender,
        leases: &Mutex<LeaseClock>,
        heartbeat: Duration,
        mut certificates: mpsc::Receiver<CertificateIssued>,
        mut answers: mpsc::Receiver<Cosignature>,
        newer_authority: &Notify,
    ) -> Ended {
        let parts = self.parts;
        let outbox = parts.attempts.outbox();
        let mut manifests = parts.worker.manifests();
        manifests.mark_unchanged();
        let mut number = 0;
        let mut beat = tokio::time::interval(heartbeat);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let renewal = tokio::time::sleep(self.renewal_in());
        tokio::pin!(renewal);
        loop {
            let message = tokio::select! {
                biased;
                _ = beat.tick() => {
                    number += 1;
                    leases.lock().expect("no holder of this lock panics").sending(number, parts.clock.boot());
                    AgentMessage::Heartbeat(Heartbeat {
                        number,
                        load_percent: facts::load_percent(),
                        memory_free_bytes: facts::memory_free_bytes(),
                        credit: outbox.credit(),
                    })
                }
                () = &mut renewal => {
                    renewal.as_mut().reset(tokio::time::Instant::now() + RENEW_AGAIN);
                    match parts.home.prepare() {
                        Ok(csr) => {
                            let join_counter = Some(parts.home.join_counter());
                            AgentMessage::CertificateRequest { csr, join_counter }
                        }
                        Err(error) => {
                            tracing::error!(%error, "cannot prepare a new certificate");
                            continue;
                        }
                    }
                }
                () = newer_authority.notified() => {
                    renewal.as_mut().reset(tokio::time::Instant::now());
                    continue;
                }
                Some(issued) = certificates.recv() => match parts.home.install(&issued, parts.clock.now()) {
                    // The connection still shows the old one.
                    Ok(()) => return Ended::Reopen,
                    Err(error) => {
                        tracing::error!(%error, "the new certificate is not usable");
                        continue;
                    }
                },
                Some(answer) = answers.recv() => AgentMessage::Cosignature(answer),
                Ok(()) = manifests.changed() => {
                    AgentMessage::CapabilitiesChanged(manifests.borrow_and_update().to_vec())
                }
                // Nothing is lost when this loses the race: taking from the outbox and handing over happen in one step.
                (permit, outgoing) = async {
                    let permit = sender.reserve().await;
                    (permit, outbox.next().await)
                } => {
                    let Ok(permit) = permit else { return Ended::Cut("the stream is closed".to_owned()) };
                    let message = match outgoing {
                        Outgoing::Events(events) => AgentMessage::Events(events),
                        Outgoing::DrainRequested(reason) => {
                            AgentMessage::DrainRequested { reason: reason.to_owned() }
                        }
                        Outgoing::HaltAck(ack) => AgentMessage::HaltAck(ack),
                        Outgoing::SecretRequest(attempt) => AgentMessage::SecretRequest(attempt),
                        Outgoing::Spawn(spawn) => AgentMessage::Spawn(spawn),
                        Outgoing::Reopen => return Ended::Reopen,
                        Outgoing::Closed => return Ended::Closed,
                    };
                    permit.send(message.into());
                    continue;
                }
            };
            if !send(sender, message).await {
                return Ended::Cut("the stream is closed".to_owned());
            }
        }
    }

    fn renewal_in(&self) -> Duration {
        match self.parts.home.renewal(self.jitter) {
            Ok(renewal) => renewal.due.since(self.parts.clock.now()),
            Err(error) => {
                tracing::error!(%error, "cannot read the own certificate");
                RENEW_AGAIN
            }
        }
    }
}

async fn send(sender: &Sender, message: AgentMessage) -> bool {
    sender.send(message.into()).await.is_ok()
}

/// The next message this build understands.
async fn receive(
    incoming: &mut Streaming<proto::CoordinatorMessage>,
) -> Result<Option<CoordinatorMessage>, Status> {
    loop {
        let Some(message) = incoming.message().await? else { return Ok(None) };
        match CoordinatorMessage::try_from(message) {
            Ok(message) => return Ok(Some(message)),
            Err(error) if error.is_unknown() => {
                tracing::debug!(%error, "skipped a message of a newer protocol");
            }
            Err(error) => return Err(Status::internal(format!("the coordinator's message: {error}"))),
        }
    }
}

fn describe(status: &Status) -> String {
    let message = status.message();
    if message.is_empty() { format!("{:?}", status.code()) } else { message.to_owned() }
}
