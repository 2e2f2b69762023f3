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
    let mut crc = u32::MAX;
    for byte in bytes {
        crc = TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8);
    }
    !crc
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
    /// A frame that is not the last one does not match its checksum: what followed is lost.
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
        // A hole of zeroes is what some file systems leave behind a size that was extended before its data.
        let hole = rest.iter().all(|byte| *byte == 0);
        match body.get(..length).filter(|_| !hole && length <= MAX_PAYLOAD) {
            Some(payload) if crc32(payload) == crc => {
                self.at += HEADER + length;
                Some(payload)
            }
            Some(_) if length < body.len() => {
                self.tail = Tail::Damaged;
                None
            }
            None if !hole && length > MAX_PAYLOAD => {
                self.tail = Tail::Damaged;
                None
            }
            _ => {
                self.tail = Tail::Torn;
                None
            }
        }
    }
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

        #[test]
        fn a_flipped_bit_before_the_end_is_noticed(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 2..8),
            place: prop::sample::Index,
            bit in 0_u8..8,
        ) {
            let mut bytes = written(&payloads);
            let first = written(&payloads[..1]).len();
            bytes[8 + place.index(first - 8)] ^= 1 << bit;
            let mut frames = Frames::new(&bytes);
            prop_assert_eq!(frames.by_ref().count(), 0);
            prop_assert_eq!(frames.tail(), Tail::Damaged);
        }

        #[test]
        fn outside_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Frames::new(&bytes).count();
        }
    }
}
