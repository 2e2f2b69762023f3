//! The form of a stored segment: the log's bytes as they are, then its marks; and a sparse line index for its row.

use nexusmon_shared::message::LogSource;
use nexusmon_shared::time::Timestamp;

/// Bytes of an encoded mark.
const MARK: usize = 13;
/// Lines between two entries of an index, at least, and entries, at most.
const INDEX_STEP: usize = 256;
const INDEX_ENTRIES: usize = 512;

/// From `offset` on, until the next mark, bytes came from `source` and were read at `at`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    /// From the segment's beginning.
    pub(super) offset: u32,
    pub(super) at: Timestamp,
    pub(super) source: LogSource,
}

/// Where lines begin in a segment, as kept in its row.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct LineIndex {
    /// Lines from one entry to the next.
    step: usize,
    /// Offset behind the line ends number `step`, `2 * step`, …
    offsets: Vec<u32>,
    /// Marks behind the bytes.
    pub(super) marks: usize,
    /// It begins within a line that an earlier segment began.
    pub(super) continues: bool,
}

impl LineIndex {
    /// `ends`: offsets behind each line end.
    pub(super) fn new(ends: &[u32], marks: usize, continues: bool) -> Self {
        let step = INDEX_STEP.max(ends.len() / INDEX_ENTRIES);
        let offsets = ends.iter().copied().skip(step - 1).step_by(step).collect();
        Self { step, offsets, marks, continues }
    }

    /// The last entry at or before the line that begins behind `skip` line ends: ends skipped, and the offset there.
    pub(super) fn before(&self, skip: u64) -> (u64, u32) {
        let entry = usize::try_from(skip).unwrap_or(usize::MAX) / self.step;
        match entry.min(self.offsets.len()) {
            0 => (0, 0),
            entry => ((entry * self.step) as u64, self.offsets[entry - 1]),
        }
    }

    pub(super) fn marks_bytes(&self) -> u64 {
        (self.marks * MARK) as u64
    }
}

/// What lies behind a segment's bytes.
pub(super) fn encode(marks: &[Mark]) -> Vec<u8> {
    let mut all = Vec::with_capacity(marks.len() * MARK);
    for mark in marks {
        all.extend_from_slice(&mark.offset.to_le_bytes());
        all.extend_from_slice(&mark.at.as_micros().to_le_bytes());
        all.push(mark.source.number());
    }
    all
}

/// Marks as they lie behind a segment's bytes; damaged ones are left out.
pub(super) fn decode_marks(bytes: &[u8]) -> Vec<Mark> {
    let (marks, _) = bytes.as_chunks::<MARK>();
    marks
        .iter()
        .filter_map(|mark| {
            let (offset, rest) = mark.split_first_chunk::<4>()?;
            let (at, source) = rest.split_first_chunk::<8>()?;
            Some(Mark {
                offset: u32::from_le_bytes(*offset),
                at: Timestamp::from_micros(i64::from_le_bytes(*at)),
                source: LogSource::from_number(u32::from(source[0]))?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(offset: u32, source: LogSource) -> Mark {
        Mark { offset, at: Timestamp::from_micros(i64::from(offset)), source }
    }

    proptest! {
        #[test]
        fn marks_round_trip_and_damage_never_panics(offsets: Vec<u32>, damage: Vec<u8>) {
            let marks: Vec<_> = offsets.iter().map(|offset| mark(*offset, LogSource::Stderr)).collect();
            prop_assert_eq!(decode_marks(&encode(&marks)), marks);
            let _ = decode_marks(&damage);
        }

        #[test]
        fn the_index_finds_the_beginning_of_any_line(lengths in prop::collection::vec(0_usize..9, 1..3000), skip in 0_u64..3500) {
            let text: String = lengths.iter().fold(String::new(), |text, length| text + &"x".repeat(*length) + "\n");
            let ends: Vec<u32> = text.bytes().enumerate().filter(|(_, b)| *b == b'\n')
                .map(|(at, _)| u32::try_from(at).unwrap() + 1).collect();
            let (skipped, offset) = LineIndex::new(&ends, 0, false).before(skip);
            prop_assert!(skipped <= skip);
            let counted = text[..offset as usize].lines().count();
            prop_assert_eq!(counted as u64, skipped);
            prop_assert!(offset == 0 || text.as_bytes()[offset as usize - 1] == b'\n');
        }
    }
}
