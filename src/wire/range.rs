//! Byte ranges (RFC 9110 section 14).

use heapless::Vec;
use nom::bytes::complete::{tag_no_case, take_while};
use nom::character::complete::char;
use nom::combinator::all_consuming;
use nom::sequence::separated_pair;
use nom::{IResult, Parser};

use super::list::members;
use crate::limits::RANGES_MAX;

/// Ranges closer together than this many bytes are sent as one: a part of its own costs more than the gap (RFC 9110
/// section 15.3.7.2).
const GAP_MIN: u64 = 80;

/// A run of bytes of a file, both ends included.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(clippy::len_without_is_empty)] // no range is empty
pub struct ByteRange {
    /// Offset of the first byte.
    pub first: u64,
    /// Offset of the last byte; never below `first` and always below the file's size.
    pub last: u64,
}

impl ByteRange {
    /// Number of bytes, at least 1.
    pub const fn len(&self) -> u64 {
        self.last.saturating_sub(self.first).saturating_add(1)
    }
}

/// What to do about a `Range` field.
#[derive(Clone, PartialEq, Eq, Debug)]
#[allow(clippy::large_enum_variant)] // there is no heap to put the large one on
pub enum Ranges {
    /// Nothing, send the whole file with 200: a syntax error, a unit other than bytes, more than
    /// [`RANGES_MAX`] ranges, or only a suffix of an empty file (which no `Content-Range` can say).
    Ignore,
    /// Answer 416: no range touches the file.
    Unsatisfiable,
    /// Answer 206 with this range.
    One(ByteRange),
    /// Answer 206 with `multipart/byteranges`: at least two ranges that neither overlap nor lie close together, in the order
    /// they were first asked for.
    Many(Vec<ByteRange, RANGES_MAX>),
}

type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// RFC 9110 sections 14.1 and 14.2: what the `Range` field `value` asks of a file of `size` bytes.
///
/// Ranges that reach beyond the end are cut, ones wholly beyond it left out, and overlapping or neighbouring ones joined
/// (many overlapping ranges are an attack on the sender's uplink). Numbers beyond 64 bits count as the largest one.
pub fn parse_range(value: &[u8], size: u64) -> Ranges {
    let Ok((set, _)) = parse_unit(value) else {
        return Ranges::Ignore;
    };
    let mut asked = 0;
    let mut whole_of_nothing = false;
    let mut ranges = Vec::new();
    for spec in members(set) {
        asked += 1;
        let Ok((_, (first, last))) = parse_range_spec(spec) else {
            return Ranges::Ignore;
        };
        if asked > RANGES_MAX {
            return Ranges::Ignore;
        }
        let range = match (first, last) {
            (Some(first), Some(last)) if first > last => return Ranges::Ignore,
            (Some(first), last) => cut(first, last.unwrap_or(u64::MAX), size),
            (None, Some(0)) => None,
            (None, Some(suffix)) => {
                whole_of_nothing |= size == 0;
                cut(size.saturating_sub(suffix), u64::MAX, size)
            }
            (None, None) => return Ranges::Ignore,
        };
        if let Some(range) = range {
            add(&mut ranges, range);
        }
    }
    match ranges.as_slice() {
        [] if asked == 0 || whole_of_nothing => Ranges::Ignore,
        [] => Ranges::Unsatisfiable,
        [one] => Ranges::One(*one),
        _ => Ranges::Many(ranges),
    }
}

/// RFC 9110 section 14.1: range-unit "=", for the unit `bytes`.
fn parse_unit(i: &[u8]) -> Parsed<'_, &[u8]> {
    tag_no_case(b"bytes=".as_slice()).parse(i)
}

/// RFC 9110 section 14.1.1: int-range or suffix-range: what stands before and after the hyphen.
fn parse_range_spec(i: &[u8]) -> Parsed<'_, (Option<u64>, Option<u64>)> {
    all_consuming(separated_pair(parse_position, char('-'), parse_position)).parse(i)
}

/// RFC 9110 section 14.1.2: *DIGIT; `None` when there is no digit, the largest number when there are too many.
fn parse_position(i: &[u8]) -> Parsed<'_, Option<u64>> {
    let (rest, digits) = take_while(|byte: u8| byte.is_ascii_digit()).parse(i)?;
    let number = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Ok((rest, (!digits.is_empty()).then(|| digits.iter().fold(0, number))))
}

/// The part of a range that lies inside the file.
fn cut(first: u64, last: u64, size: u64) -> Option<ByteRange> {
    let end = size.checked_sub(1)?;
    (first <= end).then_some(ByteRange { first, last: last.min(end) })
}

/// Adds `range`, joined with all that it touches, at the place of the first of those. One pass is enough: what joining adds
/// lies between two ranges less than [`GAP_MIN`] apart, where no third one fits that is not close to one of them.
fn add(ranges: &mut Vec<ByteRange, RANGES_MAX>, range: ByteRange) {
    let mut joined = range;
    let mut place = ranges.len();
    let mut at = 0;
    while let Some(other) = ranges.get(at).copied() {
        if !close(joined, other) {
            at += 1;
            continue;
        }
        joined = ByteRange { first: joined.first.min(other.first), last: joined.last.max(other.last) };
        ranges.remove(at);
        place = place.min(at);
    }
    // There is room: at most RANGES_MAX ranges are ever added.
    let _ = ranges.insert(place, joined);
}

/// Whether two ranges overlap or leave less than [`GAP_MIN`] bytes between them.
fn close(a: ByteRange, b: ByteRange) -> bool {
    let gap = |left: ByteRange, right: ByteRange| right.first.saturating_sub(left.last.saturating_add(1));
    gap(a, b) < GAP_MIN && gap(b, a) < GAP_MIN
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(value: &str, size: u64) -> Ranges {
        parse_range(value.as_bytes(), size)
    }

    fn one(first: u64, last: u64) -> Ranges {
        Ranges::One(ByteRange { first, last })
    }

    fn many(ranges: &[(u64, u64)]) -> Ranges {
        Ranges::Many(ranges.iter().map(|&(first, last)| ByteRange { first, last }).collect())
    }

    #[test]
    fn single_ranges() {
        assert_eq!(ask("bytes=0-0", 1000), one(0, 0));
        assert_eq!(ask("bytes=0-499", 1000), one(0, 499));
        assert_eq!(ask("Bytes=500-", 1000), one(500, 999));
        assert_eq!(ask("bytes=-1", 1000), one(999, 999));
        assert_eq!(ask("bytes=-5000", 1000), one(0, 999));
        assert_eq!(ask("bytes=900-5000", 1000), one(900, 999));
        assert_eq!(ask("bytes= 0-1 ", 1000), one(0, 1));
        assert_eq!(ask("bytes=,0-1,", 1000), one(0, 1));
        assert_eq!(ByteRange { first: 0, last: 0 }.len(), 1);
        assert_eq!(ByteRange { first: 0, last: u64::MAX }.len(), u64::MAX);
    }

    #[test]
    fn unsatisfiable() {
        for value in ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=1000-,2000-", "bytes=99999999999999999999-"]
        {
            assert_eq!(ask(value, 1000), Ranges::Unsatisfiable, "{value}");
        }
        assert_eq!(ask("bytes=1000-,0-1", 1000), one(0, 1));
    }

    #[test]
    fn empty_file() {
        assert_eq!(ask("bytes=0-", 0), Ranges::Unsatisfiable);
        assert_eq!(ask("bytes=0-0", 0), Ranges::Unsatisfiable);
        assert_eq!(ask("bytes=-0", 0), Ranges::Unsatisfiable);
        assert_eq!(ask("bytes=-5", 0), Ranges::Ignore);
    }

    #[test]
    fn ignored() {
        for value in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-",
            "bytes=0-b",
            "bytes=5-4",
            "bytes=0-1,5-4",
            "bytes=0-1,x",
            "bytes=0",
            "bytes=0-1-2",
            "bytes=--1",
            "bytes=0 -1",
            "bytes=0- 1",
            "bytes 0-1",
            "bytes =0-1",
            "lines=0-1",
            " bytes=0-1",
            "bytes=+0-1",
            "bytes=0x1-2",
            "bytes=0-1;2-3",
        ] {
            assert_eq!(ask(value, 1000), Ranges::Ignore, "{value}");
        }
    }

    #[test]
    fn several_ranges_keep_their_order() {
        assert_eq!(ask("bytes=500-509, 0-9", 1000), many(&[(500, 509), (0, 9)]));
        assert_eq!(ask("bytes=0-9,-10", 1000), many(&[(0, 9), (990, 999)]));
    }

    #[test]
    fn touching_ranges_become_one() {
        assert_eq!(ask("bytes=0-9,10-19", 1000), one(0, 19));
        assert_eq!(ask("bytes=0-9,89-99", 1000), one(0, 99));
        assert_eq!(ask("bytes=0-9,90-99", 1000), many(&[(0, 9), (90, 99)]));
        assert_eq!(ask("bytes=0-,0-,0-,-1", 1000), one(0, 999));
        // The third joins the first two.
        assert_eq!(ask("bytes=600-700,0-9,300-310,5-650", 1000), one(0, 700));
        // Joined at the place of the earlier one.
        assert_eq!(ask("bytes=500-509,0-9,300-309,8-20", 1000), many(&[(500, 509), (0, 20), (300, 309)]));
    }

    #[test]
    fn as_many_as_the_limit_and_no_more() {
        let list = |n: u64| {
            let specs: Vec<String, 32> = (0..n).map(|i| format!("{}-{}", i * 1000, i * 1000)).collect();
            format!("bytes={}", specs.join(","))
        };
        match ask(&list(RANGES_MAX as u64), 1 << 40) {
            Ranges::Many(ranges) => assert_eq!(ranges.len(), RANGES_MAX),
            other => panic!("{other:?}"),
        }
        assert_eq!(ask(&list(RANGES_MAX as u64 + 1), 1 << 40), Ranges::Ignore);
        // Those out of reach count too.
        assert_eq!(ask(&list(RANGES_MAX as u64 + 1), 1), Ranges::Ignore);
    }

    #[test]
    fn near_the_largest_number() {
        let max = u64::MAX;
        assert_eq!(ask("bytes=0-99999999999999999999999", max), one(0, max - 1));
        assert_eq!(ask("bytes=18446744073709551614-", max), one(max - 1, max - 1));
        assert_eq!(ask("bytes=18446744073709551615-", max), Ranges::Unsatisfiable);
        assert_eq!(ask("bytes=-18446744073709551615", max), one(0, max - 1));
        assert_eq!(
            ask("bytes=18446744073709551600-18446744073709551610,18446744073709551612-", max),
            one(max - 15, max - 1)
        );
    }
}
