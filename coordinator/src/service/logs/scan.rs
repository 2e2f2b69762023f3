//! Turns bytes with marks into lines, whatever pieces they come in.

use nexusmon_shared::message::LogSource;
use nexusmon_shared::time::Timestamp;

use super::LogLine;
use super::segment::Mark;

/// Lines longer than this are shown cut off; their bytes are all there.
const SHOWN_BYTES: usize = 64 * 1024;
/// Text of one page.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// Collects lines from a number on.
#[derive(Debug)]
pub(super) struct Scanner<'a> {
    /// Number of the line that comes next, from 1.
    next: u64,
    from: u64,
    most: usize,
    search: Option<&'a str>,
    bytes: usize,
    unfinished: Option<Unfinished>,
    pub(super) lines: Vec<LogLine>,
}

#[derive(Debug)]
struct Unfinished {
    source: LogSource,
    at: Timestamp,
    text: Vec<u8>,
    cut_off: bool,
}

impl<'a> Scanner<'a> {
    /// `next`: the line the first byte belongs to.
    pub(super) fn new(next: u64, from: u64, most: usize, search: Option<&'a str>) -> Self {
        Self { next, from, most, search, bytes: 0, unfinished: None, lines: Vec::new() }
    }

    /// The first line not looked at.
    pub(super) fn next_line(&self) -> u64 {
        self.next
    }

    pub(super) fn is_full(&self) -> bool {
        self.lines.len() >= self.most || self.bytes >= PAGE_BYTES
    }

    /// Takes the next bytes; `base` is where they begin among the offsets of `marks`.
    pub(super) fn feed(&mut self, bytes: &[u8], marks: &[Mark], base: u32) {
        let mut at = 0;
        while at < bytes.len() && !self.is_full() {
            let rest = &bytes[at..];
            let end = memchr::memchr(b'\n', rest);
            if self.next >= self.from {
                let place = base.saturating_add(u32::try_from(at).unwrap_or(u32::MAX));
                self.extend(&rest[..end.unwrap_or(rest.len())], marks, place);
            }
            match end {
                Some(end) => {
                    at += end + 1;
                    self.end_line();
                }
                None => return,
            }
        }
    }

    /// The log is over: a last line without an end is a line too.
    pub(super) fn finish(&mut self) {
        if self.unfinished.is_some() && !self.is_full() {
            self.end_line();
        }
    }

    fn extend(&mut self, piece: &[u8], marks: &[Mark], place: u32) {
        let line = self.unfinished.get_or_insert_with(|| {
            let mark = marks.partition_point(|mark| mark.offset <= place).checked_sub(1).map(|at| marks[at]);
            Unfinished {
                source: mark.map_or(LogSource::Stdout, |mark| mark.source),
                at: mark.map_or(Timestamp::from_micros(0), |mark| mark.at),
                text: Vec::new(),
                cut_off: false,
            }
        });
        let room = SHOWN_BYTES.saturating_sub(line.text.len());
        line.cut_off |= piece.len() > room;
        line.text.extend_from_slice(&piece[..piece.len().min(room)]);
    }

    fn end_line(&mut self) {
        let number = self.next;
        self.next += 1;
        let Some(line) = self.unfinished.take() else { return };
        let bytes = line.text.strip_suffix(b"\r").unwrap_or(&line.text);
        let mut text = String::from_utf8_lossy(bytes).into_owned();
        if line.cut_off {
            text.push('…');
        }
        if self.search.is_none_or(|wanted| text.contains(wanted)) {
            self.bytes += text.len() + 64;
            self.lines.push(LogLine { number, source: line.source, at: line.at, text });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(offset: u32, source: LogSource) -> Mark {
        Mark { offset, at: Timestamp::from_micros(i64::from(offset)), source }
    }

    #[test]
    fn lines_know_where_they_came_from() {
        let marks = [mark(0, LogSource::Stdout), mark(4, LogSource::Stderr)];
        let mut scanner = Scanner::new(7, 7, 10, None);
        scanner.feed(b"out\nerr\r\nopen", &marks, 0);
        assert_eq!(scanner.next_line(), 9);
        scanner.finish();
        let lines: Vec<_> = scanner.lines.iter().map(|l| (l.number, l.source, l.text.as_str())).collect();
        assert_eq!(
            lines,
            [(7, LogSource::Stdout, "out"), (8, LogSource::Stderr, "err"), (9, LogSource::Stderr, "open")]
        );
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(lines in prop::collection::vec("[a-z]{0,12}", 1..60), cuts in prop::collection::vec(0_usize..400, 0..9), from in 1_u64..70) {
            let text = lines.iter().fold(String::new(), |all, line| all + line + "\n");
            let mut cuts: Vec<_> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let mut scanner = Scanner::new(1, from, usize::MAX, None);
            for pair in cuts.windows(2) {
                scanner.feed(&text.as_bytes()[pair[0]..pair[1]], &[], 0);
            }
            let seen: Vec<_> = scanner.lines.iter().map(|line| line.text.clone()).collect();
            let skip = usize::try_from(from - 1).unwrap().min(lines.len());
            prop_assert_eq!(seen, lines[skip..].to_vec());
            prop_assert_eq!(scanner.next_line(), lines.len() as u64 + 1);
        }
    }
}
