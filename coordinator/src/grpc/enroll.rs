//! Enrollment: the only service that answers without an agent's certificate.

use nexusmon_shared::message::{ChallengeRequest, JoinRequest, ProtocolRange, RenewRequest};
use nexusmon_shared::wire::proto;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};

use super::peer::Connection;
use crate::app::App;
use crate::service::enrollment;

/// Enrollments worked on at once; they are rare, cost signatures, and come from strangers.
const AT_ONCE: usize = 16;
/// Enrollments that may wait behind those.
const WAITING: usize = 256;

pub(super) struct Enroll {
    app: App,
    working: Semaphore,
    waiting: Semaphore,
}

impl Enroll {
    pub(super) fn new(app: App) -> Self {
        Self { app, working: Semaphore::new(AT_ONCE), waiting: Semaphore::new(WAITING) }
    }

    /// Runs one call when it is its turn; a crowd is turned away.
    async fn in_turn<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
        let crowded =
            || Status::resource_exhausted("too many machines are enrolling at once; try again soon");
        let _waiting = self.waiting.try_acquire().map_err(|_| crowded())?;
        let _working = self.working.acquire().await.map_err(|_| crowded())?;
        call.await
    }
}

#[tonic::async_trait]
impl proto::enrollment_server::Enrollment for Enroll {
    #[tracing::instrument(name = "grpc.enrollment.join", skip_all)]
    async fn join(
        &self,
        request: Request<proto::JoinRequest>,
    ) -> Result<Response<proto::JoinResponse>, Status> {
        let exporter = Connection::of(&request)?.join_exporter();
        let request: JoinRequest = request.into_inner().try_into()?;
        check_protocol(request.protocol)?;
        let joined =
            self.in_turn(async { Ok(enrollment::join(&self.app, request, exporter).await?) }).await?;
        tracing::info!(agent = %joined.agent, name = %joined.name, "an agent has joined");
        Ok(Response::new(joined.into()))
    }

    #[tracing::instrument(name = "grpc.enrollment.challenge", skip_all)]
    async fn challenge(
        &self,
        request: Request<proto::ChallengeRequest>,
    ) -> Result<Response<proto::ChallengeResponse>, Status> {
        let request: ChallengeRequest = request.into_inner().try_into()?;
        let challenge = self.in_turn(async { Ok(enrollment::challenge(&self.app, request).await?) }).await?;
        Ok(Response::new(challenge.into()))
    }

    #[tracing::instrument(name = "grpc.enrollment.renew", skip_all)]
    async fn renew(
        &self,
        request: Request<proto::RenewRequest>,
    ) -> Result<Response<proto::CertificateIssued>, Status> {
        let exporter = Connection::of(&request)?.renew_exporter();
        let request: RenewRequest = request.into_inner().try_into()?;
        let issued =
            self.in_turn(async { Ok(enrollment::renew(&self.app, request, exporter).await?) }).await?;
        Ok(Response::new(issued.into()))
    }
}

/// What an agent too old or too new is told.
pub(super) fn protocol_refusal(theirs: ProtocolRange) -> String {
    let ours = ProtocolRange::OURS;
    let advice =
        if theirs.lowest > ours.highest { "upgrade the coordinator first" } else { "upgrade the agent" };
    format!(
        "this coordinator speaks protocol {} to {}, the agent {} to {}: {advice}",
        ours.lowest, ours.highest, theirs.lowest, theirs.highest
    )
}

fn check_protocol(theirs: ProtocolRange) -> Result<(), Status> {
    match ProtocolRange::OURS.common(theirs) {
        Some(_) => Ok(()),
        None => Err(Status::failed_precondition(protocol_refusal(theirs))),
    }
}
