//! Frames: length, CRC-32, payload. Knows nothing of what the payload means.
//!
//! Layout: length of the payload (4 bytes, little-endian), CRC-32 (IEEE 802.3) of the payload (4 bytes), payload. A file
//! that was cut at any byte still yields every whole frame before the cut.

/// No payload is larger: outputs are at most 256 KiB, and JSON escapes at most sixfold.
pub(super) const MAX_PAYLOAD: usize = 4 * 1024 * 1024;
const HEADER: usize = 8;

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0_u32; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "index stays below 256")]
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0xedb8_8320 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
}

pub(super) fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| step(crc, *byte))
}

fn step(crc: u32, byte: u8) -> u32 {
    TABLE[((crc ^ u32::from(byte)) & 0xff) as usize] ^ (crc >> 8)
}

/// Appends a frame whose payload `write` produces in place.
pub(super) fn append(buffer: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; HEADER]);
    write(buffer);
    let payload = &buffer[start + HEADER..];
    let length = u32::try_from(payload.len()).expect("payloads are far below 4 GiB");
    let crc = crc32(payload);
    buffer[start..start + 4].copy_from_slice(&length.to_le_bytes());
    buffer[start + 4..start + HEADER].copy_from_slice(&crc.to_le_bytes());
}

/// How a file ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// On a frame's border.
    Clean,
    /// In the middle of a frame, as a crash while writing leaves it.
    Torn,
    /// A frame does not match its checksum, and no crash explains it: it and what followed are lost.
    Damaged,
}

/// Whole frames in order, then how the bytes end and where.
pub(super) struct Frames<'a> {
    bytes: &'a [u8],
    at: usize,
    tail: Tail,
}

impl<'a> Frames<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, tail: Tail::Clean }
    }

    pub(super) fn tail(&self) -> Tail {
        self.tail
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        if rest.is_empty() || self.tail != Tail::Clean {
            return None;
        }
        let Some((header, body)) = rest.split_at_checked(HEADER) else {
            self.tail = Tail::Torn;
            return None;
        };
        let length = u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let crc = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        match body.get(..length).filter(|_| length > 0 && length <= MAX_PAYLOAD) {
            Some(payload) if crc32(payload) == crc => {
                self.at += HEADER + length;
                return Some(payload);
            }
            Some(payload) => {
                let hole = payload.last() == Some(&0) && is_hole(&body[length..]);
                self.tail = if hole { Tail::Torn } else { Tail::Damaged };
            }
            None if is_hole(rest) => self.tail = Tail::Torn,
            None if length == 0 || length > MAX_PAYLOAD => self.tail = Tail::Damaged,
            // A length that was spoilt looks like a frame that goes on behind the end; the one it was fits its checksum.
            None => self.tail = if has_prefix(body, crc) { Tail::Damaged } else { Tail::Torn },
        }
        None
    }
}

/// Zeroes are what some file systems leave behind a size that was extended before its data.
fn is_hole(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Whether any number of bytes from the front has this checksum.
fn has_prefix(bytes: &[u8], crc: u32) -> bool {
    let mut running = u32::MAX;
    bytes.iter().any(|byte| {
        running = step(running, *byte);
        !running == crc
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_checksum_is_the_standard_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    fn written(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for payload in payloads {
            append(&mut bytes, |buffer| buffer.extend_from_slice(payload));
        }
        bytes
    }

    proptest! {
        #[test]
        fn a_cut_at_any_byte_leaves_a_prefix(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..12),
            cut: prop::sample::Index,
        ) {
            let bytes = written(&payloads);
            let at = cut.index(bytes.len() + 1);
            let mut frames = Frames::new(&bytes[..at]);
            let read: Vec<Vec<u8>> = frames.by_ref().map(<[u8]>::to_vec).collect();
            prop_assert_eq!(&read[..], &payloads[..read.len()]);
            let whole = written(&payloads[..read.len()]).len();
            prop_assert!(whole <= at);
            prop_assert_eq!(frames.tail(), if whole == at { Tail::Clean } else { Tail::Torn });
        }

        /// Of length, checksum or payload, in the last frame as well.
        #[test]
        fn a_flipped_bit_anywhere_is_noticed(
            payloads in prop::collection::vec(prop::collection::vec(1_u8..=255, 2..40), 1..8),
            place: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let mut bytes = written(&payloads);
            let place = place.index(bytes.len());
            let whole = (0..payloads.len()).rfind(|frames| written(&payloads[..*frames]).len() <= place);
            bytes[place] ^= 1 << bit;
            // A zero at the very end may be a hole.
            prop_assume!(bytes.last() != Some(&0));
            let mut frames = Frames::new(&bytes);
            prop_assert_eq!(Some(frames.by_ref().count()), whole);
            prop_assert_eq!(frames.tail(), Tail::Damaged);
        }

        #[test]
        fn zeroes_behind_a_cut_are_a_torn_end(
            payloads in prop::collection::vec(prop::collection::vec(1_u8..=255, 1..40), 1..8),
            cut: prop::sample::Index,
        ) {
            let mut bytes = written(&payloads);
            let at = cut.index(bytes.len());
            bytes[at..].fill(0);
            let mut frames = Frames::new(&bytes);
            let read = frames.by_ref().count();
            prop_assert!(written(&payloads[..read]).len() <= at);
            let in_header = at - written(&payloads[..read]).len() < HEADER;
            prop_assert!(frames.tail() == Tail::Torn || in_header, "{:?}", frames.tail());
        }

        #[test]
        fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frames::new(&bytes).count();
        }
    }
}
