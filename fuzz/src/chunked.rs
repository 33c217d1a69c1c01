//! The chunked coding. The input is a byte that says how the rest is split, then a body as it goes over the wire.

use monkey::wire::chunked::{ChunkError, Chunked, Piece};

use super::chunked_reference::{Outcome, decode};
use super::split::Split;

/// Decodes a body in one piece and in several, and compares both with a decoder that has the whole input.
pub fn run(data: &[u8]) {
    let Some((&seed, input)) = data.split_first() else {
        return;
    };
    let got = feed(input, &mut Split::new(seed));
    assert_eq!(got, feed(input, &mut Split::whole()), "the split changes the outcome");
    let (data, lines, outcome) = decode(input);
    match (got, outcome) {
        (Ok((got, Some(end))), Outcome::Whole(len)) => assert!(end == len && got == data),
        (Ok((got, None)), Outcome::Unfinished) => assert_eq!(got, data),
        (Err(error), Outcome::Refused) => assert!(matches!(error.status(), 400 | 413 | 431)),
        (Err(_), Outcome::Unfinished) => never_valid(input, lines),
        (got, outcome) => panic!("{got:?}, and the reference says {outcome:?}"),
    }
}

/// A line was refused before it was whole: no end makes it valid.
fn never_valid(input: &[u8], lines: usize) {
    for end in [b"\r\n".as_slice(), b"\n", b"0\r\n", b"a\r\n", b":\r\n", b"\"\r\n", b"a\"\r\n"] {
        let (_, after, outcome) = decode(&[input, end].concat());
        assert!(outcome == Outcome::Refused || after == lines, "completed by {}", end.escape_ascii());
    }
}

/// The data, and how many bytes the body took if it ended.
fn feed(input: &[u8], split: &mut Split) -> Result<(Vec<u8>, Option<usize>), ChunkError> {
    let mut body = Chunked::default();
    let mut data = Vec::new();
    let (mut from, mut have) = (0, 0);
    loop {
        have = input.len().min(split.next().saturating_add(have));
        loop {
            match body.next(&input[from..have])? {
                Piece::More { framing } => {
                    assert_eq!(from + framing, have);
                    from = have;
                    break;
                }
                Piece::Data { framing, len } => {
                    from += framing;
                    assert!(len > 0 && len <= have - from);
                    let used = len.min(split.next());
                    data.extend_from_slice(&input[from..from + used]);
                    body.took(used);
                    from += used;
                }
                Piece::End { framing } => {
                    assert!(body.is_over());
                    return Ok((data, Some(from + framing)));
                }
            }
        }
        if have == input.len() {
            assert!(!body.is_over());
            return Ok((data, None));
        }
    }
}
