//! Becoming and remaining an agent: one-time invites, certificates, renewal by the identity key.

use nexusmon_shared::message::{
    CertificateIssued, ChallengeRequest, ChallengeResponse, JoinRequest, JoinResponse, RenewRequest,
};

use crate::app::App;
use crate::error::Result;

/// Redeems an invite. `exporter` is the TLS exporter of the connection (`EXPORTER-nexusmon-join`).
pub async fn join(app: &App, request: JoinRequest, exporter: [u8; 32]) -> Result<JoinResponse> {
    let _ = (app, request, exporter);
    todo!()
}

/// A challenge for a renewal without a live certificate.
pub async fn challenge(app: &App, request: ChallengeRequest) -> Result<ChallengeResponse> {
    let _ = (app, request);
    todo!()
}

/// A certificate for a signed challenge. `exporter`: `EXPORTER-nexusmon-renew`.
pub async fn renew(app: &App, request: RenewRequest, exporter: [u8; 32]) -> Result<CertificateIssued> {
    let _ = (app, request, exporter);
    todo!()
}
