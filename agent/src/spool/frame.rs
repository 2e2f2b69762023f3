//! A frame of a spooled log: source, length and time before the bytes. Torn ones are recognised by what is missing.

use nexusmon_shared::message::LogSource;
use nexusmon_shared::time::Timestamp;

/// Bytes of one frame's payload at most.
pub(super) const MOST: usize = 256 * 1024;
pub(super) const HEADER: usize = 13;

/// What stands before the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) source: LogSource,
    pub(super) length: u32,
    pub(super) at: Timestamp,
}

impl Frame {
    pub(super) fn bytes(self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[0] = self.source.number();
        bytes[1..5].copy_from_slice(&self.length.to_le_bytes());
        bytes[5..].copy_from_slice(&self.at.as_micros().to_le_bytes());
        bytes
    }

    /// `None` for bytes that are no header.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let source = match bytes.first()? {
            1 => LogSource::Stdout,
            2 => LogSource::Stderr,
            3 => LogSource::Agent,
            _ => return None,
        };
        let length = u32::from_le_bytes(bytes.get(1..5)?.try_into().ok()?);
        let at = i64::from_le_bytes(bytes.get(5..HEADER)?.try_into().ok()?);
        (length as usize <= MOST).then_some(Self { source, length, at: Timestamp::from_micros(at) })
    }
}
