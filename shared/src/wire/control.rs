//! Coordinator to agent: the envelope, and everything but orders.

use std::time::Duration;

use super::field::{self, Read, WireError};
use super::report::attempts;
use super::{checkpoint, enrollment, proto, secret, spawn};
use crate::message::{
    Cancel, CoordinatorMessage, Goodbye, GoodbyeCode, HaltLevel, HaltNotice, MAX_BATCH_ITEMS,
    MAX_HELD_ATTEMPTS, Welcome,
};
use crate::trust::roster::MAX_ROSTER_BYTES;

const MAX_TEXT_BYTES: usize = 2048;
const MAX_CAPABILITIES: usize = 4096;

impl TryFrom<proto::CoordinatorMessage> for CoordinatorMessage {
    type Error = WireError;

    fn try_from(message: proto::CoordinatorMessage) -> Read<Self> {
        use proto::coordinator_message::Kind;
        let proto::CoordinatorMessage { kind } = message;
        let within = |field: &'static str| move |error: WireError| error.within(field);
        Ok(match kind.ok_or_else(|| WireError::unknown("kind"))? {
            Kind::Welcome(welcome) => Self::Welcome(Box::new(welcome.try_into().map_err(within("welcome"))?)),
            Kind::Plan(plan) => Self::Plan(plan.try_into().map_err(within("plan"))?),
            Kind::Orders(orders) => Self::Orders(orders.try_into().map_err(within("orders"))?),
            Kind::Renewed(proto::Renewed { heartbeat_number }) => Self::Renewed { heartbeat_number },
            Kind::Ack(proto::Ack { attempts }) => {
                Self::Ack(field::list("ack.attempts", attempts, MAX_BATCH_ITEMS)?)
            }
            Kind::Cancel(proto::Cancel { attempts, grace_ms }) => Self::Cancel(Cancel {
                attempts: field::list("cancel.attempts", attempts, MAX_BATCH_ITEMS)?,
                grace: Duration::from_millis(grace_ms),
            }),
            Kind::Recall(proto::Recall { attempts }) => {
                Self::Recall(field::list("recall.attempts", attempts, MAX_BATCH_ITEMS)?)
            }
            Kind::Drain(proto::Drain { on }) => Self::Drain { on },
            Kind::Certificate(issued) => Self::Certificate(issued.try_into().map_err(within("certificate"))?),
            Kind::Goodbye(proto::Goodbye { code, detail }) => Self::Goodbye(Goodbye {
                code: GoodbyeCode::parse(&code),
                detail: field::text("goodbye.detail", detail, MAX_TEXT_BYTES)?,
            }),
            Kind::Flags(proto::Flags { disabled_capabilities }) => Self::Flags {
                disabled_capabilities: field::parsed_list(
                    "flags.disabled_capabilities",
                    &disabled_capabilities,
                    MAX_CAPABILITIES,
                )?,
            },
            // A level this build does not know is taken for the gravest.
            Kind::Halt(proto::Halt { level, number }) => {
                Self::Halt(HaltNotice { level: HaltLevel::parse(&level).unwrap_or(HaltLevel::Stop), number })
            }
            Kind::Checkpoint(head) => Self::Checkpoint(Box::new(checkpoint::notice(head)?)),
            Kind::Roster(proto::Roster { signed }) => {
                Self::Roster(field::blob("roster.signed", signed, MAX_ROSTER_BYTES)?)
            }
            Kind::Secret(answer) => Self::Secret(Box::new(secret::answer(answer)?)),
            Kind::RevokedStanding(told) => Self::RevokedStanding(checkpoint::revoked(told)?),
            Kind::Authorities(told) => Self::Authorities(enrollment::authorities(told)?),
            Kind::SpawnResult(answer) => Self::SpawnResult(spawn::answer(answer)?),
        })
    }
}

impl From<CoordinatorMessage> for proto::CoordinatorMessage {
    fn from(message: CoordinatorMessage) -> Self {
        use CoordinatorMessage as Message;
        use proto::coordinator_message::Kind;
        let kind = match message {
            Message::Welcome(welcome) => Kind::Welcome((*welcome).into()),
            Message::Plan(plan) => Kind::Plan(plan.into()),
            Message::Orders(orders) => Kind::Orders(orders.into()),
            Message::Renewed { heartbeat_number } => Kind::Renewed(proto::Renewed { heartbeat_number }),
            Message::Ack(acknowledged) => Kind::Ack(proto::Ack { attempts: attempts(acknowledged) }),
            Message::Cancel(Cancel { attempts: cancelled, grace }) => {
                Kind::Cancel(proto::Cancel { attempts: attempts(cancelled), grace_ms: field::millis(grace) })
            }
            Message::Recall(recalled) => Kind::Recall(proto::Recall { attempts: attempts(recalled) }),
            Message::Drain { on } => Kind::Drain(proto::Drain { on }),
            Message::Certificate(issued) => Kind::Certificate(issued.into()),
            Message::Goodbye(Goodbye { code, detail }) => {
                Kind::Goodbye(proto::Goodbye { code: code.as_str().to_owned(), detail })
            }
            Message::Flags { disabled_capabilities } => Kind::Flags(proto::Flags {
                disabled_capabilities: disabled_capabilities.iter().map(ToString::to_string).collect(),
            }),
            Message::Halt(HaltNotice { level, number }) => {
                Kind::Halt(proto::Halt { level: level.as_str().to_owned(), number })
            }
            Message::Checkpoint(head) => Kind::Checkpoint((*head).into()),
            Message::Roster(signed) => Kind::Roster(proto::Roster { signed }),
            Message::Secret(answer) => Kind::Secret((*answer).into()),
            Message::RevokedStanding(approvals) => Kind::RevokedStanding(checkpoint::revoked_of(&approvals)),
            Message::Authorities(told) => Kind::Authorities(enrollment::authorities_of(told)),
            Message::SpawnResult(answer) => Kind::SpawnResult(answer.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<proto::Welcome> for Welcome {
    type Error = WireError;

    fn try_from(welcome: proto::Welcome) -> Read<Self> {
        let proto::Welcome {
            session,
            epoch,
            protocol,
            lease_ms,
            heartbeat_ms,
            labels,
            max_rank,
            stale,
            warning,
            prefetch,
            draining,
        } = welcome;
        if heartbeat_ms == 0 || lease_ms <= heartbeat_ms {
            return Err(WireError::invalid("lease_ms", "is not longer than a heartbeat, or that is zero"));
        }
        Ok(Self {
            session,
            epoch,
            protocol,
            lease: Duration::from_millis(lease_ms),
            heartbeat: Duration::from_millis(heartbeat_ms),
            labels: field::labels("labels", labels)?,
            max_rank: field::parse("max_rank", &max_rank)?,
            stale: field::list("stale", stale, MAX_HELD_ATTEMPTS)?,
            warning: field::text("warning", warning, MAX_TEXT_BYTES)?,
            prefetch,
            draining,
        })
    }
}

impl From<Welcome> for proto::Welcome {
    fn from(welcome: Welcome) -> Self {
        let Welcome {
            session,
            epoch,
            protocol,
            lease,
            heartbeat,
            labels,
            max_rank,
            stale,
            warning,
            prefetch,
            draining,
        } = welcome;
        Self {
            session,
            epoch,
            protocol,
            lease_ms: field::millis(lease),
            heartbeat_ms: field::millis(heartbeat),
            labels: labels.into_iter().collect(),
            max_rank: max_rank.letter().to_owned(),
            stale: attempts(stale),
            warning,
            prefetch,
            draining,
        }
    }
}
