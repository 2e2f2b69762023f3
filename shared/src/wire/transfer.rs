//! Logs and artifacts.

use super::field::{self, Read, WireError};
use super::proto;
use crate::message::{
    DownloadRequest, LogAck, LogChunk, LogRun, LogSource, MAX_BLOB_CHUNK_BYTES, MAX_LOG_CHUNK_BYTES, Offer,
    OfferAnswer, OfferItem, UploadDone, UploadMessage, UploadStart,
};
use crate::time::Timestamp;

const MAX_RUNS: usize = 64 * 1024;
const MAX_OFFER_ITEMS: usize = 10_000;
const MAX_REASON_BYTES: usize = 1024;
/// zstd may make what does not compress a little larger.
const COMPRESSION_OVERHEAD: usize = 4096;

impl TryFrom<proto::LogChunk> for LogChunk {
    type Error = WireError;

    fn try_from(chunk: proto::LogChunk) -> Read<Self> {
        let proto::LogChunk { attempt, offset, data, compressed, size, at_micros, runs, last } = chunk;
        field::bounded("data", data.len(), MAX_LOG_CHUNK_BYTES + COMPRESSION_OVERHEAD)?;
        let inflated = usize::try_from(size).unwrap_or(usize::MAX);
        field::bounded("size", inflated, MAX_LOG_CHUNK_BYTES)?;
        if !compressed && inflated != data.len() {
            return Err(WireError::invalid("size", "differs from the length of `data`"));
        }
        let runs: Vec<LogRun> = field::list("runs", runs, MAX_RUNS)?;
        if runs.iter().map(|run| u64::from(run.length)).sum::<u64>() != u64::from(size) {
            return Err(WireError::invalid("runs", "do not add up to `size`"));
        }
        if offset.checked_add(u64::from(size)).is_none() {
            return Err(WireError::invalid("offset", "is too large"));
        }
        let attempt = field::required("attempt", attempt)?;
        let at = Timestamp::from_micros(at_micros);
        Ok(Self { attempt, offset, data, compressed, size, at, runs, last })
    }
}

impl From<LogChunk> for proto::LogChunk {
    fn from(chunk: LogChunk) -> Self {
        let LogChunk { attempt, offset, data, compressed, size, at, runs, last } = chunk;
        let run = |LogRun { source, length }| proto::LogRun { source: u32::from(source.number()), length };
        Self {
            attempt: Some(attempt.into()),
            offset,
            data,
            compressed,
            size,
            at_micros: at.as_micros(),
            runs: runs.into_iter().map(run).collect(),
            last,
        }
    }
}

impl TryFrom<proto::LogRun> for LogRun {
    type Error = WireError;

    fn try_from(run: proto::LogRun) -> Read<Self> {
        let proto::LogRun { source, length } = run;
        let source = LogSource::from_number(source)
            .ok_or_else(|| WireError::invalid("source", "expected 1, 2 or 3"))?;
        Ok(Self { source, length })
    }
}

impl TryFrom<proto::LogAck> for LogAck {
    type Error = WireError;

    fn try_from(ack: proto::LogAck) -> Read<Self> {
        let proto::LogAck { attempt, received, stored, sealed, refused } = ack;
        let refused = field::text("refused", refused, MAX_REASON_BYTES)?;
        let attempt = field::required("attempt", attempt)?;
        Ok(Self { attempt, received, stored, sealed, refused: (!refused.is_empty()).then_some(refused) })
    }
}

impl From<LogAck> for proto::LogAck {
    fn from(ack: LogAck) -> Self {
        let LogAck { attempt, received, stored, sealed, refused } = ack;
        Self { attempt: Some(attempt.into()), received, stored, sealed, refused: refused.unwrap_or_default() }
    }
}

impl TryFrom<proto::OfferRequest> for Offer {
    type Error = WireError;

    fn try_from(offer: proto::OfferRequest) -> Read<Self> {
        let proto::OfferRequest { attempt, items } = offer;
        let items = field::list("items", items, MAX_OFFER_ITEMS)?;
        Ok(Self { attempt: field::required("attempt", attempt)?, items })
    }
}

impl From<Offer> for proto::OfferRequest {
    fn from(Offer { attempt, items }: Offer) -> Self {
        let item =
            |OfferItem { digest, size }| proto::OfferItem { digest: field::digest_bytes(&digest), size };
        Self { attempt: Some(attempt.into()), items: items.into_iter().map(item).collect() }
    }
}

impl TryFrom<proto::OfferItem> for OfferItem {
    type Error = WireError;

    fn try_from(item: proto::OfferItem) -> Read<Self> {
        let proto::OfferItem { digest, size } = item;
        Ok(Self { digest: field::digest("digest", &digest)?, size })
    }
}

impl TryFrom<proto::OfferAnswer> for OfferAnswer {
    type Error = WireError;

    fn try_from(answer: proto::OfferAnswer) -> Read<Self> {
        let proto::OfferAnswer { present, offset, refused } = answer;
        let reason = field::text("refused", refused, MAX_REASON_BYTES)?;
        Ok(if !reason.is_empty() {
            Self::Refused { reason }
        } else if present {
            Self::Present
        } else {
            Self::Send { offset }
        })
    }
}

impl From<OfferAnswer> for proto::OfferAnswer {
    fn from(answer: OfferAnswer) -> Self {
        let empty = Self { present: false, offset: 0, refused: String::new() };
        match answer {
            OfferAnswer::Present => Self { present: true, ..empty },
            OfferAnswer::Send { offset } => Self { offset, ..empty },
            OfferAnswer::Refused { reason } if reason.is_empty() => {
                Self { refused: "refused".into(), ..empty }
            }
            OfferAnswer::Refused { reason } => Self { refused: reason, ..empty },
        }
    }
}

impl TryFrom<proto::OfferResponse> for Vec<OfferAnswer> {
    type Error = WireError;

    fn try_from(response: proto::OfferResponse) -> Read<Self> {
        let proto::OfferResponse { answers } = response;
        field::list("answers", answers, MAX_OFFER_ITEMS)
    }
}

impl From<Vec<OfferAnswer>> for proto::OfferResponse {
    fn from(answers: Vec<OfferAnswer>) -> Self {
        Self { answers: answers.into_iter().map(Into::into).collect() }
    }
}

impl TryFrom<proto::UploadMessage> for UploadMessage {
    type Error = WireError;

    fn try_from(message: proto::UploadMessage) -> Read<Self> {
        use proto::upload_message::Kind;
        let proto::UploadMessage { kind } = message;
        Ok(match kind.ok_or_else(|| WireError::unknown("kind"))? {
            Kind::Start(start) => {
                Self::Start(start.try_into().map_err(|error: WireError| error.within("start"))?)
            }
            Kind::Data(data) => Self::Data(field::blob("data", data, MAX_BLOB_CHUNK_BYTES)?),
        })
    }
}

impl From<UploadMessage> for proto::UploadMessage {
    fn from(message: UploadMessage) -> Self {
        use proto::upload_message::Kind;
        let kind = match message {
            UploadMessage::Start(start) => Kind::Start(start.into()),
            UploadMessage::Data(data) => Kind::Data(data),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<proto::UploadStart> for UploadStart {
    type Error = WireError;

    fn try_from(start: proto::UploadStart) -> Read<Self> {
        let proto::UploadStart { attempt, digest, size, offset } = start;
        if offset > size {
            return Err(WireError::invalid("offset", "is beyond `size`"));
        }
        let digest = field::digest("digest", &digest)?;
        Ok(Self { attempt: field::required("attempt", attempt)?, digest, size, offset })
    }
}

impl From<UploadStart> for proto::UploadStart {
    fn from(UploadStart { attempt, digest, size, offset }: UploadStart) -> Self {
        Self { attempt: Some(attempt.into()), digest: field::digest_bytes(&digest), size, offset }
    }
}

impl TryFrom<proto::UploadDone> for UploadDone {
    type Error = WireError;

    fn try_from(done: proto::UploadDone) -> Read<Self> {
        let proto::UploadDone { digest, size } = done;
        Ok(Self { digest: field::digest("digest", &digest)?, size })
    }
}

impl From<UploadDone> for proto::UploadDone {
    fn from(UploadDone { digest, size }: UploadDone) -> Self {
        Self { digest: field::digest_bytes(&digest), size }
    }
}

impl TryFrom<proto::DownloadRequest> for DownloadRequest {
    type Error = WireError;

    fn try_from(request: proto::DownloadRequest) -> Read<Self> {
        let proto::DownloadRequest { attempt, digest, offset } = request;
        let digest = field::digest("digest", &digest)?;
        Ok(Self { attempt: field::required("attempt", attempt)?, digest, offset })
    }
}

impl From<DownloadRequest> for proto::DownloadRequest {
    fn from(DownloadRequest { attempt, digest, offset }: DownloadRequest) -> Self {
        Self { attempt: Some(attempt.into()), digest: field::digest_bytes(&digest), offset }
    }
}
