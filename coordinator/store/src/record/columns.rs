//! The shared vocabulary as columns: how ids, times, ranks, words and plain values lie in one.

use std::borrow::Cow;
use std::fmt::Write as _;

use nexusmon_shared::capability::Capability;
use nexusmon_shared::digest::Digest;
use nexusmon_shared::id;
use nexusmon_shared::mission::MissionStatus;
use nexusmon_shared::name::Name;
use nexusmon_shared::rank::Rank;
use nexusmon_shared::task::{SkipReason, TaskStatus};
use nexusmon_shared::time::Timestamp;

use super::{Arg, BadCell, Cell, Column, Kind, Sink, integer, text, write_text};

impl<T: Column> Column for Option<T> {
    const KIND: Kind = T::KIND;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        match cell {
            Cell::Null => Ok(None),
            other => T::read(other).map(Some),
        }
    }

    fn write(&self, out: &mut String) {
        match self {
            Some(value) => value.write(out),
            None => out.push_str("null"),
        }
    }

    fn arg(&self) -> Arg {
        self.as_ref().map_or(Arg::null(T::KIND), Column::arg)
    }

    fn put(&self, sink: &mut dyn Sink) {
        match self {
            Some(value) => value.put(sink),
            None => sink.arg(&Arg::null(T::KIND)),
        }
    }
}

impl Column for String {
    const KIND: Kind = Kind::Text;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        text(cell).map(Cow::into_owned)
    }

    fn write(&self, out: &mut String) {
        write_text(self, out);
    }

    fn arg(&self) -> Arg {
        Arg::Text(Some(self.clone()))
    }

    fn put(&self, sink: &mut dyn Sink) {
        sink.text(self);
    }
}

impl Column for bool {
    const KIND: Kind = Kind::Bool;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        match cell {
            Cell::Bool(value) => Ok(value),
            other => Err(BadCell(format!("expected true or false, found {other:?}"))),
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str(if *self { "true" } else { "false" });
    }

    fn arg(&self) -> Arg {
        Arg::Bool(Some(*self))
    }
}

impl Column for f64 {
    const KIND: Kind = Kind::Real;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        match cell {
            Cell::Real(value) => Ok(value),
            other => Err(BadCell(format!("expected a number, found {other:?}"))),
        }
    }

    fn write(&self, out: &mut String) {
        // JSON has no NaN; a decision never yields one, and null is refused by NOT NULL columns.
        if self.is_finite() {
            let _ = write!(out, "{self:?}");
        } else {
            out.push_str("null");
        }
    }

    fn arg(&self) -> Arg {
        Arg::Real(Some(*self))
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Column for $type {
            const KIND: Kind = Kind::Int;

            fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
                let number = integer(&cell)?;
                Self::try_from(number).map_err(|_| BadCell(format!("{number} is out of range")))
            }

            fn write(&self, out: &mut String) {
                let _ = write!(out, "{self}");
            }

            fn arg(&self) -> Arg {
                Arg::Int(i64::try_from(*self).ok())
            }
        }
    )*};
}
integers!(i64, i32, u64, u32);

impl Column for Timestamp {
    const KIND: Kind = Kind::Int;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        integer(&cell).map(Self::from_micros)
    }

    fn write(&self, out: &mut String) {
        let _ = write!(out, "{}", self.as_micros());
    }

    fn arg(&self) -> Arg {
        Arg::Int(Some(self.as_micros()))
    }
}

impl Column for Rank {
    const KIND: Kind = Kind::Int;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        let level = integer(&cell)?;
        u8::try_from(level)
            .ok()
            .and_then(Self::from_level)
            .ok_or_else(|| BadCell(format!("{level} is not a rank")))
    }

    fn write(&self, out: &mut String) {
        let _ = write!(out, "{}", self.level());
    }

    fn arg(&self) -> Arg {
        Arg::Int(Some(i64::from(self.level())))
    }
}

macro_rules! parsed {
    ($($type:ty),* $(,)?) => {$(
        impl Column for $type {
            const KIND: Kind = Kind::Text;

            fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
                text(cell)?.parse().map_err(|e| BadCell(format!("{e}")))
            }

            fn write(&self, out: &mut String) {
                // Ids, digests and names hold no character that JSON escapes.
                let _ = write!(out, "\"{self}\"");
            }

            fn arg(&self) -> Arg {
                Arg::Text(Some(self.to_string()))
            }

            fn put(&self, sink: &mut dyn Sink) {
                sink.shown(self);
            }
        }
    )*};
}
parsed!(
    Digest,
    Name,
    Capability,
    id::OrganismId,
    id::MissionId,
    id::TaskId,
    id::AgentId,
    id::ArtifactId,
    id::VersionId,
    id::ApprovalId,
    id::ReviewId,
    id::StandingId,
    id::PrincipalId,
    id::SessionId,
    id::InviteId,
    id::AuditId,
    id::PredictionId,
    id::JournalId,
    id::UploadId,
    id::FilterId,
    id::PushId,
    id::TriggerId,
    id::FiringId,
    id::MemoryId,
    id::BeliefId,
    id::ChannelId,
    id::RuleId,
    id::NotificationId,
    id::ProposalId,
    id::ModelCallId,
);

macro_rules! spoken {
    ($($type:ty),*) => {$(
        impl Column for $type {
            const KIND: Kind = Kind::Text;

            fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
                let text = text(cell)?;
                Self::parse(&text).ok_or_else(|| BadCell(format!("unknown word `{text}`")))
            }

            fn write(&self, out: &mut String) {
                write_text(self.as_str(), out);
            }

            fn arg(&self) -> Arg {
                Arg::Text(Some(self.as_str().to_owned()))
            }

            fn put(&self, sink: &mut dyn Sink) {
                sink.text(self.as_str());
            }
        }
    )*};
}
spoken!(MissionStatus, TaskStatus);

impl Column for SkipReason {
    const KIND: Kind = Kind::Text;

    fn read(cell: Cell<'_>) -> Result<Self, BadCell> {
        match text(cell)?.as_ref() {
            "need_failed" => Ok(Self::NeedFailed),
            "condition" => Ok(Self::Condition),
            "superseded" => Ok(Self::Superseded),
            other => Err(BadCell(format!("unknown word `{other}`"))),
        }
    }

    fn write(&self, out: &mut String) {
        out.push_str(match self {
            Self::NeedFailed => "\"need_failed\"",
            Self::Condition => "\"condition\"",
            Self::Superseded => "\"superseded\"",
        });
    }

    fn arg(&self) -> Arg {
        Arg::Text(Some(
            match self {
                Self::NeedFailed => "need_failed",
                Self::Condition => "condition",
                Self::Superseded => "superseded",
            }
            .to_owned(),
        ))
    }
}
