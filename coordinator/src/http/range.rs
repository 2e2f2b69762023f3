//! Byte ranges (RFC 9110, section 14): one range per request; several are answered with the whole.

use http::{HeaderMap, StatusCode, header};

use super::problem::Problem;

/// Bytes `first..=last` of a body of `total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) total: u64,
}

impl ByteRange {
    pub(super) fn content_range(self) -> String {
        format!("bytes {}-{}/{}", self.first, self.last, self.total)
    }
}

/// A range as asked for, before it is known how many bytes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asked {
    /// From this byte to that one, both included, or to the end.
    From(u64, Option<u64>),
    /// This many from the end.
    Last(u64),
}

/// The range in a request. A malformed or unknown one is ignored, as the RFC says.
pub(super) fn asked(headers: &HeaderMap) -> Option<Asked> {
    parse(headers.get(header::RANGE)?.to_str().ok()?)
}

/// The part a request asks for, or `None` for the whole. `etag` is compared with `If-Range`.
pub(super) fn requested(headers: &HeaderMap, total: u64, etag: &str) -> Result<Option<ByteRange>, Problem> {
    let unchanged = headers.get(header::IF_RANGE).is_none_or(|value| value.as_bytes() == etag.as_bytes());
    let Some(asked) = asked(headers).filter(|_| unchanged) else { return Ok(None) };
    resolve(asked, total).map(Some).ok_or_else(|| {
        Problem::new(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "range_not_satisfiable",
            format!("The range lies outside the {total} bytes there are."),
        )
        .with_header(header::CONTENT_RANGE, &format!("bytes */{total}"))
    })
}

fn resolve(asked: Asked, total: u64) -> Option<ByteRange> {
    match asked {
        Asked::Last(0) => None,
        Asked::Last(_) if total == 0 => None,
        Asked::Last(length) => {
            Some(ByteRange { first: total.saturating_sub(length), last: total - 1, total })
        }
        Asked::From(first, _) if first >= total => None,
        Asked::From(first, last) => {
            Some(ByteRange { first, last: last.unwrap_or(u64::MAX).min(total - 1), total })
        }
    }
}

fn parse(text: &str) -> Option<Asked> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // A number too large for u64 lies beyond any body.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    match (first, last) {
        ("", length) if digits(length) => Some(Asked::Last(number(length))),
        (first, "") if digits(first) => Some(Asked::From(number(first), None)),
        (first, last) if digits(first) && digits(last) && number(first) <= number(last) => {
            Some(Asked::From(number(first), Some(number(last))))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, PartialEq, Eq)]
    enum Answer {
        Whole,
        Part(u64, u64),
        Unsatisfiable,
    }

    fn part(text: &str, total: u64) -> Answer {
        let Some(asked) = parse(text) else { return Answer::Whole };
        resolve(asked, total).map_or(Answer::Unsatisfiable, |range| Answer::Part(range.first, range.last))
    }

    #[test]
    fn ranges_as_the_rfc_has_them() {
        assert_eq!(part("bytes=0-3", 10), Answer::Part(0, 3));
        assert_eq!(part("bytes=4-", 10), Answer::Part(4, 9));
        assert_eq!(part("bytes=-3", 10), Answer::Part(7, 9));
        assert_eq!(part("bytes=-99", 10), Answer::Part(0, 9));
        assert_eq!(part("bytes=5-999999999999999999999999", 10), Answer::Part(5, 9));
        assert_eq!(part("bytes=10-", 10), Answer::Unsatisfiable);
        assert_eq!(part("bytes=-0", 10), Answer::Unsatisfiable);
        assert_eq!(part("bytes=0-", 0), Answer::Unsatisfiable);
        for ignored in ["bytes=3-1", "lines=1-2", "bytes=1-2,4-5", "bytes=", "bytes=a-b", "bytes=--1"] {
            assert_eq!(part(ignored, 10), Answer::Whole, "{ignored}");
        }
    }

    proptest! {
        #[test]
        fn a_part_lies_inside(text in "(bytes=)?[0-9,-]{0,24}", total in 0_u64..50) {
            if let Answer::Part(first, last) = part(&text, total) {
                prop_assert!(first <= last && last < total);
            }
        }
    }
}
