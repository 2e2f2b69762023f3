//! Agent to coordinator: the envelope, heartbeats, batches of events.

use super::field::{self, Arena, Read, WireError};
use super::hello::{capabilities, manifests};
use super::report::{attempt, finished};
use super::{checkpoint, enrollment, proto, spawn};
use crate::attempt::AttemptRef;
use crate::message::{
    AgentMessage, Events, HaltAck, HaltLevel, Heartbeat, MAX_BATCH_ITEMS, MAX_PROGRESS_TEXT_BYTES, Progress,
    Started,
};
use crate::time::Timestamp;

const MAX_REASON_BYTES: usize = 1024;

impl TryFrom<proto::AgentMessage> for AgentMessage {
    type Error = WireError;

    fn try_from(message: proto::AgentMessage) -> Read<Self> {
        use proto::agent_message::Kind;
        let proto::AgentMessage { kind } = message;
        Ok(match kind.ok_or_else(|| WireError::unknown("kind"))? {
            Kind::Hello(hello) => {
                Self::Hello(Box::new(hello.try_into().map_err(|error: WireError| error.within("hello"))?))
            }
            Kind::Heartbeat(heartbeat) => Self::Heartbeat(heartbeat.into()),
            Kind::Events(events) => {
                Self::Events(events.try_into().map_err(|error: WireError| error.within("events"))?)
            }
            Kind::CapabilitiesChanged(changed) => Self::CapabilitiesChanged(
                manifests(changed).map_err(|error| error.within("capabilities_changed"))?,
            ),
            Kind::DrainRequested(proto::DrainRequested { reason }) => Self::DrainRequested {
                reason: field::text("drain_requested.reason", reason, MAX_REASON_BYTES)?,
            },
            Kind::CertificateRequest(proto::CertificateRequest { csr, join_counter }) => {
                let csr = field::blob("csr", csr, enrollment::MAX_CSR_BYTES)?;
                Self::CertificateRequest { csr, join_counter }
            }
            Kind::HaltAck(proto::HaltAck { level, number, running }) => {
                let level = HaltLevel::parse(&level)
                    .ok_or_else(|| WireError::invalid("halt_ack.level", "is none of none, halt, stop"))?;
                Self::HaltAck(HaltAck { level, number, running })
            }
            Kind::Cosignature(given) => Self::Cosignature(checkpoint::cosignature(given)?),
            Kind::SecretRequest(proto::SecretRequest { attempt }) => {
                Self::SecretRequest(field::required("secret_request.attempt", attempt)?)
            }
            Kind::Spawn(given) => Self::Spawn(spawn::spawn(given)?),
        })
    }
}

impl From<AgentMessage> for proto::AgentMessage {
    fn from(message: AgentMessage) -> Self {
        use proto::agent_message::Kind;
        let kind = match message {
            AgentMessage::Hello(hello) => Kind::Hello((*hello).into()),
            AgentMessage::Heartbeat(heartbeat) => Kind::Heartbeat(heartbeat.into()),
            AgentMessage::Events(events) => Kind::Events(events.into()),
            AgentMessage::CapabilitiesChanged(manifests) => {
                Kind::CapabilitiesChanged(capabilities(&manifests))
            }
            AgentMessage::DrainRequested { reason } => Kind::DrainRequested(proto::DrainRequested { reason }),
            AgentMessage::CertificateRequest { csr, join_counter } => {
                Kind::CertificateRequest(proto::CertificateRequest { csr, join_counter })
            }
            AgentMessage::HaltAck(HaltAck { level, number, running }) => {
                Kind::HaltAck(proto::HaltAck { level: level.as_str().to_owned(), number, running })
            }
            AgentMessage::Cosignature(given) => Kind::Cosignature(given.into()),
            AgentMessage::SecretRequest(attempt) => {
                Kind::SecretRequest(proto::SecretRequest { attempt: Some(attempt.into()) })
            }
            AgentMessage::Spawn(given) => Kind::Spawn(given.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl From<proto::Heartbeat> for Heartbeat {
    fn from(heartbeat: proto::Heartbeat) -> Self {
        let proto::Heartbeat { number, load_percent, memory_free_bytes, credit } = heartbeat;
        Self { number, load_percent, memory_free_bytes, credit }
    }
}

impl From<Heartbeat> for proto::Heartbeat {
    fn from(heartbeat: Heartbeat) -> Self {
        let Heartbeat { number, load_percent, memory_free_bytes, credit } = heartbeat;
        Self { number, load_percent, memory_free_bytes, credit }
    }
}

impl TryFrom<proto::Events> for Events {
    type Error = WireError;

    fn try_from(events: proto::Events) -> Read<Self> {
        let proto::Events { accepted, started, progress, finished, credit } = events;
        let items = accepted.len() + started.len() + progress.len() + finished.len();
        field::bounded("items", items, MAX_BATCH_ITEMS)?;
        Ok(Self {
            accepted: field::list("accepted", accepted, MAX_BATCH_ITEMS)?,
            started: field::list("started", started, MAX_BATCH_ITEMS)?,
            progress: field::list("progress", progress, MAX_BATCH_ITEMS)?,
            finished: field::list("finished", finished, MAX_BATCH_ITEMS)?,
            credit,
        })
    }
}

impl From<Events> for proto::Events {
    fn from(events: Events) -> Self {
        let mut arena = Arena::new(events.len() * 16);
        let Events { accepted, started, progress, finished: reports, credit } = events;
        Self {
            accepted: accepted.into_iter().map(|each| attempt(each, &mut arena)).collect(),
            started: started
                .into_iter()
                .map(|Started { attempt: reference, at }| proto::Started {
                    attempt: Some(attempt(reference, &mut arena)),
                    at_micros: at.as_micros(),
                })
                .collect(),
            progress: progress
                .into_iter()
                .map(|Progress { attempt: reference, fraction, text }| proto::Progress {
                    attempt: Some(attempt(reference, &mut arena)),
                    fraction,
                    text,
                })
                .collect(),
            finished: reports.into_iter().map(|report| finished(report, &mut arena)).collect(),
            credit,
        }
    }
}

impl TryFrom<proto::Started> for Started {
    type Error = WireError;

    fn try_from(started: proto::Started) -> Read<Self> {
        let proto::Started { attempt, at_micros } = started;
        let attempt: AttemptRef = field::required("attempt", attempt)?;
        Ok(Self { attempt, at: Timestamp::from_micros(at_micros) })
    }
}

impl TryFrom<proto::Progress> for Progress {
    type Error = WireError;

    fn try_from(progress: proto::Progress) -> Read<Self> {
        let proto::Progress { attempt, fraction, text } = progress;
        if fraction.is_some_and(|fraction| !(0.0..=1.0).contains(&fraction)) {
            return Err(WireError::invalid("fraction", "is not between 0 and 1"));
        }
        let text = field::text("text", text, MAX_PROGRESS_TEXT_BYTES)?;
        Ok(Self { attempt: field::required("attempt", attempt)?, fraction, text })
    }
}
