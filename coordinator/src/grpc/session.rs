//! The session stream: Hello first, then events in, orders and acknowledgements out, until one side says goodbye.

mod batch;

use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use futures::{FutureExt as _, StreamExt as _};
use nexusmon_shared::attempt::AttemptRef;
use nexusmon_shared::message::{
    AgentMessage, CoordinatorMessage, Events, Goodbye, GoodbyeCode, Hello, MAX_BATCH_ITEMS, ProtocolRange,
};
use nexusmon_shared::outcome::Report;
use nexusmon_shared::wire::proto;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::enroll::protocol_refusal;
use super::peer::Peer;
use crate::app::App;
use crate::app::sessions::{Live, Outgoing};
use crate::error::Error;
use crate::service::{agents, audit, halt, secrets, spawned, tasks};

/// How long a stream may stay silent before its Hello.
const HELLO_WITHIN: Duration = Duration::from_secs(10);
/// Messages handed to the transport that it has not written yet.
const UNWRITTEN: usize = 64;
/// How long the transport may refuse to take one more before the agent counts as not reading.
const WRITE_WITHIN: Duration = Duration::from_secs(10);
/// How often a blocked write looks whether the session is over.
const GLANCE: Duration = Duration::from_millis(200);
/// Batches of reports of one session on their way to the store; reading goes on meanwhile.
const REPORTS_IN_FLIGHT: usize = 16;
/// Between a final goodbye and closing the connection under it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Boxed: a channel allocates places by the dozen, and most of ten thousand sessions' are empty.
type Written = Box<Result<proto::CoordinatorMessage, Status>>;
type Out = mpsc::Sender<Written>;

pub(super) struct Sessions {
    app: App,
}

impl Sessions {
    pub(super) fn new(app: App) -> Self {
        Self { app }
    }
}

#[tonic::async_trait]
impl proto::session_server::Session for Sessions {
    type OpenStream = futures::stream::Map<
        ReceiverStream<Written>,
        fn(Written) -> Result<proto::CoordinatorMessage, Status>,
    >;

    #[tracing::instrument(name = "grpc.session.open", skip_all)]
    async fn open(
        &self,
        request: Request<Streaming<proto::AgentMessage>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let peer = Peer::of(&request)?;
        agents::admit(&self.app, peer.agent()).await?;
        let (out, receiver) = mpsc::channel(UNWRITTEN);
        let pump = Pump { app: self.app.clone(), peer, out };
        self.app.lifecycle.spawn_quiet("session", pump.run(request.into_inner()));
        let unboxed: fn(Written) -> Result<proto::CoordinatorMessage, Status> = |written| *written;
        Ok(Response::new(ReceiverStream::new(receiver).map(unboxed)))
    }
}

/// Why a session ended.
enum End {
    /// We said so.
    Farewell(Goodbye),
    /// The coordinator stops.
    Shutdown,
    /// The agent went away, or the connection did.
    Gone,
    /// A call failed, or the agent said something that makes no sense.
    Failed(Status),
}

/// One stream.
struct Pump {
    app: App,
    peer: Peer,
    out: Out,
}

impl Pump {
    async fn run(self, mut inbound: Streaming<proto::AgentMessage>) -> Result<(), Error> {
        // Boxed, and gone once it is done: what opens a session is ten times as large as what keeps it.
        let begun = Box::pin(self.begin(&mut inbound)).await;
        let (live, outgoing) = match begun {
            Ok(Some(begun)) => begun,
            Ok(None) => return Ok(()),
            Err(status) => {
                tracing::info!(agent = %self.peer.agent(), reason = status.message(), "session refused");
                let _ = self.out.send(Box::new(Err(status))).await;
                return Ok(());
            }
        };
        let session = live.session();
        tracing::info!(agent = %self.peer.agent(), session, "session opened");
        let mut flow = Flow { pump: &self, live: &live, reports: FuturesUnordered::new() };
        let farewell = match flow.until_end(&mut inbound, outgoing).await {
            End::Farewell(goodbye) => Some(goodbye),
            End::Shutdown => {
                flow.finish_reports().await;
                let detail = "the coordinator stops; go on working and connect again".to_owned();
                Some(Goodbye { code: GoodbyeCode::Shutdown, detail })
            }
            End::Gone => None,
            End::Failed(status) => {
                tracing::warn!(agent = %self.peer.agent(), session, reason = status.message(), "session broken off");
                let _ = tokio::time::timeout(LAST_WORDS, self.out.send(Box::new(Err(status)))).await;
                None
            }
        };
        drop(flow);
        if let Some(goodbye) = &farewell {
            let message = CoordinatorMessage::Goodbye(goodbye.clone()).into();
            let _ = tokio::time::timeout(LAST_WORDS, self.out.send(Box::new(Ok(message)))).await;
        }
        let code = farewell.as_ref().map_or("gone", |goodbye| goodbye.code.as_str()).to_owned();
        tracing::info!(agent = %self.peer.agent(), session, code, "session closed");
        agents::goodbye(&self.app, live, farewell.as_ref());
        drop(self.out);
        if matches!(
            farewell.map(|goodbye| goodbye.code),
            Some(GoodbyeCode::Revoked | GoodbyeCode::Quarantined)
        ) {
            // An agent that does not read would keep this and other streams open.
            tokio::time::sleep(LAST_WORDS).await;
            self.peer.connection().close();
        }
        Ok(())
    }

    /// Hello, protocol, Welcome. `None`: goodbye has been said.
    async fn begin(
        &self,
        inbound: &mut Streaming<proto::AgentMessage>,
    ) -> Result<Option<(Live, Outgoing)>, Status> {
        let first = tokio::time::timeout(HELLO_WITHIN, inbound.message())
            .await
            .map_err(|_| Status::deadline_exceeded("no Hello came"))??
            .ok_or_else(|| Status::invalid_argument("the stream ended before Hello"))?;
        // Before anything else is read of it: a newer Hello may hold what this build does not understand.
        if let Some(proto::agent_message::Kind::Hello(proto::Hello { protocol: Some(theirs), .. })) =
            &first.kind
            && let Ok(theirs) = ProtocolRange::try_from(*theirs)
            && ProtocolRange::OURS.common(theirs).is_none()
        {
            let goodbye = Goodbye { code: GoodbyeCode::Protocol, detail: protocol_refusal(theirs) };
            tracing::warn!(agent = %self.peer.agent(), detail = goodbye.detail, "session refused");
            let _ = self.out.send(Box::new(Ok(CoordinatorMessage::Goodbye(goodbye).into()))).await;
            return Ok(None);
        }
        let AgentMessage::Hello(hello) = AgentMessage::try_from(first)? else {
            return Err(Status::invalid_argument("the first message must be Hello"));
        };
        let kept = hello.checkpoint_size;
        let (live, welcome, outgoing) = self.hello(*hello).await?;
        audit::greet(&self.app, &live, kept, !self.peer.connection().is_on_this_host());
        let welcome = CoordinatorMessage::Welcome(Box::new(welcome)).into();
        if self.out.send(Box::new(Ok(welcome))).await.is_err() {
            agents::goodbye(&self.app, live, None);
            return Ok(None);
        }
        Ok(Some((live, outgoing)))
    }

    async fn hello(
        &self,
        hello: Hello,
    ) -> Result<(Live, nexusmon_shared::message::Welcome, Outgoing), Status> {
        Ok(agents::hello(&self.app, self.peer.agent(), hello).await?)
    }

    /// Writes a message in as many parts as the protocol asks for.
    async fn write(&self, live: &Live, message: CoordinatorMessage) -> Result<(), End> {
        for part in batch::cut(message) {
            self.send(live, part).await?;
        }
        Ok(())
    }

    /// Hands one message to the transport. An agent that does not read is cut off; a session that is over does not wait.
    async fn send(&self, live: &Live, message: CoordinatorMessage) -> Result<(), End> {
        let message = match self.out.try_send(Box::new(Ok(message.into()))) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(End::Gone),
            Err(mpsc::error::TrySendError::Full(message)) => message,
        };
        let mut waited = Duration::ZERO;
        loop {
            match tokio::time::timeout(GLANCE, self.out.reserve()).await {
                Ok(Ok(permit)) => {
                    permit.send(message);
                    return Ok(());
                }
                Ok(Err(_)) => return Err(End::Gone),
                // The goodbye itself comes out of the queue of outgoing messages.
                Err(_) if live.is_over() => return Ok(()),
                Err(_) if waited >= WRITE_WITHIN => {
                    return Err(End::Failed(Status::resource_exhausted("the agent does not read")));
                }
                Err(_) => waited += GLANCE,
            }
        }
    }
}

type Settled = BoxFuture<'static, Result<Vec<AttemptRef>, Error>>;

/// A session in full flow.
struct Flow<'a> {
    pump: &'a Pump,
    live: &'a Live,
    reports: FuturesUnordered<Settled>,
}

impl Flow<'_> {
    async fn until_end(
        &mut self,
        inbound: &mut Streaming<proto::AgentMessage>,
        mut outgoing: Outgoing,
    ) -> End {
        let stopping = self.pump.app.lifecycle.soft();
        loop {
            // Every arm is safe to drop: each only waits for something that stays where it is. What is done about it is
            // boxed: a session that waits needs no room for it.
            let step = tokio::select! {
                () = stopping.cancelled() => Err(End::Shutdown),
                message = outgoing.next() => match message {
                    Some(CoordinatorMessage::Goodbye(goodbye)) => Err(End::Farewell(goodbye)),
                    Some(message) => Box::pin(self.pump.write(self.live, message)).await,
                    None => Err(End::Gone),
                },
                Some(settled) = self.reports.next(), if !self.reports.is_empty() => {
                    Box::pin(self.acknowledge(settled)).await
                }
                message = inbound.message(), if self.reports.len() < REPORTS_IN_FLIGHT => match message {
                    Ok(Some(message)) => Box::pin(self.take(message)).await,
                    Ok(None) | Err(_) => Err(End::Gone),
                },
            };
            if let Err(end) = step {
                return end;
            }
        }
    }

    async fn take(&mut self, message: proto::AgentMessage) -> Result<(), End> {
        if self.live.is_over() {
            // What a cut-off agent says no longer counts; the goodbye is on its way.
            return Ok(());
        }
        let message = match AgentMessage::try_from(message) {
            Ok(message) => message,
            Err(error) if error.is_unknown() => {
                tracing::debug!(%error, "skipped a message of a newer protocol");
                return Ok(());
            }
            Err(error) => return Err(End::Failed(error.into())),
        };
        let (app, live) = (&self.pump.app, self.live);
        match message {
            AgentMessage::Events(events) => self.events(events),
            AgentMessage::Heartbeat(heartbeat) => agents::heartbeat(app, live, heartbeat),
            AgentMessage::CapabilitiesChanged(manifests) => {
                Box::pin(agents::capabilities_changed(app, live, manifests)).await.map_err(failed)?;
            }
            AgentMessage::DrainRequested { reason } => {
                Box::pin(agents::drain_requested(app, live, reason)).await.map_err(failed)?;
            }
            AgentMessage::CertificateRequest { csr, join_counter } => {
                let issued = Box::pin(agents::certificate(app, live, &csr, join_counter));
                let issued = issued.await.map_err(failed)?;
                self.pump.send(live, CoordinatorMessage::Certificate(issued)).await?;
            }
            AgentMessage::HaltAck(ack) => {
                Box::pin(halt::acknowledged(app, live, ack)).await.map_err(failed)?;
            }
            AgentMessage::Cosignature(answer) => {
                Box::pin(audit::cosigned(app, live, answer)).await.map_err(failed)?;
            }
            AgentMessage::SecretRequest(attempt) => {
                let answer = Box::pin(secrets::deliver(app, live, attempt)).await.map_err(failed)?;
                self.pump.send(live, CoordinatorMessage::Secret(Box::new(answer))).await?;
            }
            // Taken in before the report of its attempt is read.
            AgentMessage::Spawn(given) => {
                let answer = Box::pin(spawned::add(app, live, given)).await.map_err(failed)?;
                self.pump.send(live, CoordinatorMessage::SpawnResult(answer)).await?;
            }
            AgentMessage::Hello(_) => {
                return Err(End::Failed(Status::invalid_argument("Hello comes once, at the start")));
            }
        }
        Ok(())
    }

    fn events(&self, events: Events) {
        let (app, agent) = (&self.pump.app, self.live.agent());
        // That an order has arrived tells the scheduler nothing that its grant did not.
        let Events { accepted: _, started, progress, finished, credit } = events;
        if !started.is_empty() {
            tasks::started(app, agent, &started);
        }
        if !progress.is_empty() {
            tasks::progress(app, agent, progress);
        }
        agents::credit(app, self.live, credit);
        if !finished.is_empty() {
            self.reports.push(Box::pin(settle(app.clone(), self.live, finished)));
        }
    }

    /// Acknowledges what is durable, and whatever else has become so meanwhile.
    async fn acknowledge(&mut self, settled: Result<Vec<AttemptRef>, Error>) -> Result<(), End> {
        let mut durable = settled.map_err(failed)?;
        while durable.len() < MAX_BATCH_ITEMS
            && let Some(Some(more)) = self.reports.next().now_or_never()
        {
            durable.extend(more.map_err(failed)?);
        }
        if durable.is_empty() {
            return Ok(());
        }
        self.pump.write(self.live, CoordinatorMessage::Ack(durable)).await
    }

    /// At shutdown: what has been read is settled and acknowledged; what has not stays in the agent's journal.
    async fn finish_reports(&mut self) {
        while let Some(settled) = self.reports.next().await {
            if self.acknowledge(settled).await.is_err() {
                return;
            }
        }
    }
}

fn settle(
    app: App,
    live: &Live,
    reports: Vec<Report>,
) -> impl Future<Output = Result<Vec<AttemptRef>, Error>> + Send + use<> {
    let (agent, session) = (live.agent(), live.session());
    async move {
        if nexusmon_shared::planted::planted("acknowledged-before-commit") {
            let attempts = reports.iter().map(|report| report.attempt).collect();
            app.lifecycle.clone().spawn_quiet("report", async move {
                tokio::time::sleep(Duration::from_millis(300)).await;
                tasks::report(&app, agent, session, reports).await.map(drop)
            });
            return Ok(attempts);
        }
        tasks::report(&app, agent, session, reports).await
    }
}

fn failed(error: Error) -> End {
    End::Failed(error.into())
}
