//! Renewing without a live certificate: a challenge signed with the identity key.

use std::sync::Arc;

use nexusmon_shared::join_token::Address;
use nexusmon_shared::message::{CertificateIssued, ChallengeRequest, ChallengeResponse, RenewRequest};
use nexusmon_shared::time::SharedClock;
use nexusmon_shared::trust::enrollment::renew_message;
use nexusmon_shared::wire::proto;
use nexusmon_shared::wire::proto::enrollment_client::EnrollmentClient;
use tonic::{Code, Status};

use super::{EnrollError, Home};

/// Gets a certificate for a machine that was off too long, and takes it into use.
pub async fn renew_by_challenge(
    home: &Home,
    address: Option<&Address>,
    clock: SharedClock,
) -> Result<(), EnrollError> {
    let connection = home.anonymous_connector(address, Arc::clone(&clock))?.connect().await?;
    let mut client = EnrollmentClient::new(connection.channel);
    let agent = home.membership().agent;
    let request = proto::ChallengeRequest::from(ChallengeRequest { agent });
    let challenge = client.challenge(request).await.map_err(refused)?.into_inner();
    let challenge = ChallengeResponse::try_from(challenge)?.challenge;
    let csr = home.prepare()?;
    let join_counter = home.join_counter();
    let message = renew_message(&challenge, &csr, join_counter, &connection.exporters.renew);
    let signature = home.identity().sign(&message);
    let request = RenewRequest { agent, challenge, csr, join_counter, signature };
    let issued = client.renew(proto::RenewRequest::from(request)).await.map_err(refused)?.into_inner();
    home.install(&CertificateIssued::try_from(issued)?, clock.now())
}

fn refused(status: Status) -> EnrollError {
    let message = status.message().to_owned();
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => EnrollError::IdentityRefused(message),
        Code::InvalidArgument | Code::FailedPrecondition | Code::NotFound => EnrollError::Refused(message),
        code => EnrollError::Unavailable(format!("{code:?}: {message}")),
    }
}
