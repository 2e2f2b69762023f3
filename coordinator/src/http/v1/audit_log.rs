//! `/v1/governance/audit/…`: the log as a signed tree, its proofs, and the whole of it as a file.

use axum::Json as Answer;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use futures::TryStreamExt as _;
use http::{HeaderValue, header};

use nexusmon_shared::trust::checkpoint::{Restore, RestoreRecord, SignedRestore};
use nexusmon_shared::trust::key::KeySignature;

use super::shape::time;
use crate::error::Error;
use crate::http::Web;
use crate::http::access::Known;
use crate::http::json::Json;
use crate::http::problem::Problem;
use crate::http::query::{Query, parameter};
use crate::service::audit as service;

/// The newest signed head of the audit log, and who vouches for it.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Checkpoint {
    /// Entries it covers: all there were when it was asked for.
    size: u64,
    /// Merkle root (RFC 9162), in hexadecimal.
    root: String,
    /// C2SP signed note.
    note: String,
    /// C2SP verifier key: keep it, to verify exports with.
    key: String,
    at: String,
    /// Agents apart from the coordinators' hosts that cosigned this head or one of the minute before it.
    attested: u32,
    /// Agents that could.
    of: u32,
    /// Since the newest of these cosignatures.
    attested_seconds_ago: Option<f64>,
    witnesses: Vec<Witness>,
}

/// An agent that has cosigned a head.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Witness {
    agent: String,
    /// Entries under the head it cosigned.
    size: u64,
    at: String,
    /// Not on a coordinator's own host: one that is there proves nothing against it.
    apart: bool,
    /// C2SP cosignature.
    line: String,
}

impl From<service::WitnessView> for Witness {
    fn from(witness: service::WitnessView) -> Self {
        let service::WitnessView { agent, size, at, apart, line } = witness;
        Self { agent: agent.to_string(), size, at: time(at), apart, line }
    }
}

impl From<service::CheckpointView> for Checkpoint {
    fn from(head: service::CheckpointView) -> Self {
        let service::CheckpointView { size, root, note, key, at, attested, of, attested_ago, witnesses } =
            head;
        Self {
            size,
            root: root.to_string(),
            note,
            key,
            at: time(at),
            attested,
            of,
            attested_seconds_ago: attested_ago.map(|ago| ago.as_secs_f64()),
            witnesses: witnesses.into_iter().map(Into::into).collect(),
        }
    }
}

/// Show the newest signed head of the log
#[utoipa::path(
    get, path = "/v1/governance/audit/checkpoint", tag = "governance",
    responses((status = 200, body = Checkpoint)),
)]
pub(in crate::http) async fn checkpoint(State(web): State<Web>) -> Result<Answer<Checkpoint>, Problem> {
    Ok(Answer(service::checkpoint(&web.app).await?.into()))
}

#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::http) struct Proving {
    /// That this entry is in the log. Either this or `from`.
    seq: Option<String>,
    /// That the log of so many entries only grew. Either this or `seq`.
    from: Option<String>,
    /// Of the tree the proof leads to; that of the newest head if absent.
    size: Option<String>,
}

/// A proof of RFC 9162.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Proof {
    /// Of an inclusion proof: the entry.
    seq: Option<u64>,
    /// SHA-256 of the entry's canonical form; the leaf is SHA-256 of a zero byte and these 32 bytes.
    digest: Option<String>,
    leaf: Option<String>,
    /// Of a consistency proof: entries of the older tree, and its root.
    from: Option<u64>,
    from_root: Option<String>,
    size: u64,
    root: String,
    /// From the leaf upwards.
    #[serde(rename = "proof")]
    path: Vec<String>,
    /// The signed head of the tree of `size`; null if none of that size is kept.
    note: Option<String>,
}

fn hex(hashes: &[nexusmon_shared::digest::Digest]) -> Vec<String> {
    hashes.iter().map(ToString::to_string).collect()
}

impl From<service::InclusionView> for Proof {
    fn from(view: service::InclusionView) -> Self {
        let service::InclusionView { seq, digest, leaf, size, root, proof, note } = view;
        Self {
            seq: Some(seq),
            digest: Some(digest.to_string()),
            leaf: Some(leaf.to_string()),
            from: None,
            from_root: None,
            size,
            root: root.to_string(),
            path: hex(&proof),
            note,
        }
    }
}

impl From<service::ConsistencyView> for Proof {
    fn from(view: service::ConsistencyView) -> Self {
        let service::ConsistencyView { from, from_root, size, root, proof, note } = view;
        Self {
            seq: None,
            digest: None,
            leaf: None,
            from: Some(from),
            from_root: Some(from_root.to_string()),
            size,
            root: root.to_string(),
            path: hex(&proof),
            note,
        }
    }
}

/// Prove that an entry is in the log, or that the log only grew
#[utoipa::path(
    get, path = "/v1/governance/audit/proof", tag = "governance", params(Proving),
    responses((status = 200, body = Proof)),
)]
pub(in crate::http) async fn proof(
    State(web): State<Web>,
    Query(Proving { seq, from, size }): Query<Proving>,
) -> Result<Answer<Proof>, Problem> {
    let seq = parameter::<u64>("seq", seq.as_deref(), "the number of an entry")?;
    let from = parameter::<u64>("from", from.as_deref(), "a number of entries")?;
    let size = parameter::<u64>("size", size.as_deref(), "a number of entries")?;
    Ok(Answer(match (seq, from) {
        (Some(seq), None) => service::inclusion(&web.app, seq, size).await?.into(),
        (None, Some(from)) => service::consistency(&web.app, from, size).await?.into(),
        _ => {
            let message =
                "give `seq` (is that entry in the log?) or `from` (did the log only grow?), one of them";
            return Err(Error::field("?seq", "one_of", message).into());
        }
    }))
}

/// Export the log, to be verified by anybody
///
/// Lines of JSON, streamed; `nexusmon audit verify` checks them without a database and without a network.
#[utoipa::path(
    get, path = "/v1/governance/audit/export", tag = "governance",
    responses((status = 200, body = String, content_type = "application/x-ndjson")),
)]
pub(in crate::http) async fn export(State(web): State<Web>) -> Result<Response, Problem> {
    let lines = service::export(&web.app).await?;
    let mut answer = Response::new(Body::from_stream(lines.map_err(std::io::Error::other)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    let name = HeaderValue::from_static("attachment; filename=\"nexusmon-audit.ndjson\"");
    headers.insert(header::CONTENT_DISPOSITION, name);
    Ok(answer)
}

/// What the owner signs about a restore.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RestoreStatement {
    organism: String,
    /// Of the backup.
    old_epoch: u32,
    new_epoch: u32,
    /// Entries of the log as it came back.
    size: u64,
    /// Merkle root (RFC 9162) over these, in hexadecimal.
    root: String,
}

/// A restore there was.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct RestoreRead {
    record: RestoreStatement,
    /// By the owner, over the line `nexusmon/restore/v1` and the canonical form of the record; absent until then.
    #[schema(value_type = Option<Object>)]
    signature: Option<KeySignature>,
}

/// The oldest first.
#[derive(Debug, serde::Serialize, utoipa::ToSchema)]
pub(in crate::http) struct Restores {
    items: Vec<RestoreRead>,
}

/// The owner's signature over a restore.
#[derive(Debug, serde::Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct RestoreSigned {
    /// As listed.
    #[schema(value_type = RestoreStatement)]
    record: RestoreRecord,
    #[schema(value_type = Object)]
    signature: KeySignature,
}

fn listed(restores: Vec<Restore>) -> Restores {
    let one = |Restore { record, signature }: Restore| {
        let RestoreRecord { organism, old_epoch, new_epoch, size, root } = record;
        let (organism, root) = (organism.to_string(), root.to_string());
        RestoreRead { record: RestoreStatement { organism, old_epoch, new_epoch, size, root }, signature }
    };
    Restores { items: restores.into_iter().map(one).collect() }
}

/// List the restores from backups, and which of them the owner has signed for
#[utoipa::path(
    get, path = "/v1/governance/audit/restores", tag = "governance",
    responses((status = 200, body = Restores)),
)]
pub(in crate::http) async fn restores(State(web): State<Web>) -> Result<Answer<Restores>, Problem> {
    Ok(Answer(listed(service::restores(&web.app).await?)))
}

/// Sign for a restore, so that agents that have seen more of the log take the restored one
#[utoipa::path(
    post, path = "/v1/governance/audit/restores", tag = "governance", request_body = RestoreSigned,
    responses((status = 201, body = Restores)),
)]
pub(in crate::http) async fn sign_restore(
    State(web): State<Web>,
    Known(caller): Known,
    Json(RestoreSigned { record, signature }): Json<RestoreSigned>,
) -> Result<(http::StatusCode, Answer<Restores>), Problem> {
    let kept = service::sign_restore(&web.app, &caller, SignedRestore { record, signature }).await?;
    Ok((http::StatusCode::CREATED, Answer(listed(kept))))
}
