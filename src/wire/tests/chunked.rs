//! The chunked coding: whole and broken bodies, at every split, and against a decoder that has the whole input.

use proptest::prelude::*;

use crate::limits::{CHUNK_LINE_MAX, TRAILERS_MAX};
use crate::wire::chunked::{ChunkError, Chunked, Piece};

/// The decoder to compare with; the fuzz target uses it too.
#[path = "../../../fuzz/src/chunked_reference.rs"]
mod reference;

use reference::{Outcome, decode};

/// Decodes `input` given in pieces of the sizes `sizes` (again from the start when they are used up), of the data at most
/// `most` bytes at a time. Gives the data and how many bytes the body took; `None` when it is not over.
fn run(input: &[u8], sizes: &[usize], most: usize) -> Result<(Vec<u8>, Option<usize>), ChunkError> {
    let mut body = Chunked::default();
    let mut data = Vec::new();
    let (mut from, mut have) = (0, 0);
    for &size in sizes.iter().cycle() {
        have = (have + size).min(input.len());
        loop {
            match body.next(&input[from..have])? {
                Piece::More { framing } => {
                    assert_eq!(from + framing, have);
                    from = have;
                    break;
                }
                Piece::Data { framing, len } => {
                    from += framing;
                    assert!(len >= 1 && from + len <= have);
                    let used = len.min(most);
                    data.extend_from_slice(&input[from..from + used]);
                    body.took(used);
                    from += used;
                }
                Piece::End { framing } => {
                    assert!(body.is_over());
                    assert_eq!(body.next(&input[from + framing..]), Ok(Piece::End { framing: 0 }));
                    return Ok((data, Some(from + framing)));
                }
            }
        }
        if have == input.len() {
            break;
        }
    }
    assert!(!body.is_over());
    Ok((data, None))
}

/// The same in one piece.
fn whole(input: &[u8]) -> Result<(Vec<u8>, Option<usize>), ChunkError> {
    run(input, &[input.len().max(1)], usize::MAX)
}

const GOOD: &[(&str, &str)] = &[
    ("0\r\n\r\n", ""),
    ("5\r\nhello\r\n0\r\n\r\n", "hello"),
    ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world"),
    ("00a\r\n0123456789\r\n000\r\n\r\n", "0123456789"),
    ("A\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
    ("1a\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\n\r\n", "abcdefghijklmnopqrstuvwxyz"),
    ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
    ("3;a\r\nabc\r\n0;b\r\n\r\n", "abc"),
    ("3;a=b;c=\"d;\\\"e\\\\\"\r\nabc\r\n0\r\n\r\n", "abc"),
    ("3 ; a = b ;\tc\t=\t\"\" ; d\r\nabc\r\n0\r\n\r\n", "abc"),
    ("3;a=\"\u{e9}\t \"\r\nabc\r\n0\r\n\r\n", "abc"),
    ("1\r\nx\r\n0\r\nA: b\r\n\r\n", "x"),
    ("1\r\nx\r\n0\r\nA:\r\nContent-Length: 5\r\nx-y!: \u{e9}\t z \r\n\r\n", "x"),
];

#[test]
fn whole_bodies_at_every_split() {
    for &(body, data) in GOOD {
        let mut input = body.as_bytes().to_vec();
        input.extend_from_slice(b"GET / HTTP/1.1\r\n");
        let expected = Ok((data.as_bytes().to_vec(), Some(body.len())));
        assert_eq!(whole(&input), expected, "{body:?}");
        for most in [1, 2, usize::MAX] {
            assert_eq!(run(&input, &[1], most), expected, "{body:?}");
            for cut in 1..body.len() {
                assert_eq!(run(&input, &[cut, input.len()], most), expected, "{body:?} cut at {cut}");
            }
        }
    }
}

#[test]
fn a_body_that_is_cut_short_is_never_over() {
    for &(body, data) in GOOD {
        for cut in 0..body.len() {
            let (got, end) = whole(&body.as_bytes()[..cut]).unwrap();
            assert_eq!(end, None, "{body:?} cut at {cut}");
            assert!(data.as_bytes().starts_with(&got));
        }
    }
}

#[test]
fn malformed_bodies() {
    for body in [
        // Sizes.
        "\r\n",
        "\n",
        " 5\r\nhello\r\n",
        "+5\r\nhello\r\n",
        "-1\r\n",
        "0x5\r\nhello\r\n",
        "5h\r\nhello\r\n",
        "g\r\n",
        ";a\r\n",
        "5,\r\n",
        "5 \r\nhello\r\n",
        "5\t\r\n",
        "5 5\r\n",
        "5.0\r\n",
        "\u{0}5\r\n",
        "5\u{0}\r\n",
        "\u{ff15}\r\n",
        "'5\r\n",
        "_5\r\n",
        "5_0\r\n",
        // Line ends.
        "5\nhello\r\n",
        "5\rhello\r\n",
        "5\r\rhello",
        "5\r\0",
        "0\n\n",
        "0\r\n\n",
        "0\r\n\r\r",
        "5;a\nhello",
        "5;a\rb\n",
        "5;a=b\n",
        "5;a=\"b\n\"",
        "5;a=\"b\r\n\"\r\n",
        "5;a=\"\\\r\n",
        // Extensions.
        "5;\r\n",
        "5;;a\r\n",
        "5;=a\r\n",
        "5;a=\r\n",
        "5;a=\"b\"c\r\n",
        "5;a=b\"\r\n",
        "5;a b\r\n",
        "5;a=b c\r\n",
        "5;a \r\n",
        "5;a=b \r\n",
        "5;a=\"b\" \r\n",
        "5;a=\u{1}\r\n",
        "5;a=\"\u{1}\"\r\n",
        "5;a=\"\u{7f}\"\r\n",
        "5;a=\"\\\0\"\r\n",
        "5;(\r\n",
        "5;\u{e9}\r\n",
        "5;a=(\r\n",
        "5 a\r\n",
        "5;a==b\r\n",
        "5;\u{b}a\r\n",
        // After the data.
        "1\r\nxy",
        "1\r\nx\n",
        "1\r\nx\ry",
        "1\r\nx0\r\n",
        "5\r\nhello0\r\n",
        "1\r\nx\r\n\r\n0\r\n\r\n",
        "1\r\nx\r\r\n",
        // Trailers.
        "0\r\n: b\r\n",
        "0\r\na\r\n",
        "0\r\na : b\r\n",
        "0\r\n a: b\r\n",
        "0\r\na: b\r\n c\r\n",
        "0\r\na: b\r\n\tc\r\n",
        "0\r\na: \0\r\n",
        "0\r\na: b\n",
        "0\r\na: b\rc\r\n",
        "0\r\na\u{e9}: b\r\n",
        "0\r\na: b\r\n\n",
        "0\r\na: \u{7f}\r\n",
        "0\r\na:\u{b}\r\n",
        "0\r\n\0",
        "0\r\n(: b\r\n",
        "0\r\nGET / HTTP/1.1\r\n",
    ] {
        match whole(body.as_bytes()) {
            Err(error @ ChunkError::Malformed(_)) => {
                assert_eq!(error.status(), 400);
                assert!(error.to_string().len() > 10);
                assert_eq!(run(body.as_bytes(), &[1], 1), Err(error), "{body:?}");
            }
            other => panic!("{body:?}: {other:?}"),
        }
    }
}

#[test]
fn sizes_up_to_63_bits() {
    for (size, fits) in [
        ("7fffffffffffffff", true),
        ("7FFFFFFFFFFFFFFF", true),
        ("0000000000000000000000007fffffffffffffff", true),
        ("8000000000000000", false),
        ("ffffffffffffffff", false),
        ("10000000000000000", false),
        ("10000000000000005", false),
        ("100000000000000000000000000000005", false),
    ] {
        let body = format!("{size}\r\nx");
        let expected = if fits { Ok((b"x".to_vec(), None)) } else { Err(ChunkError::SizeTooLarge) };
        assert_eq!(whole(body.as_bytes()), expected, "{size}");
        assert_eq!(run(body.as_bytes(), &[1], 1), expected, "{size}");
    }
    assert_eq!(ChunkError::SizeTooLarge.status(), 413);
}

#[test]
fn lines_and_trailers_as_long_as_the_limit_and_no_longer() {
    let line_max = usize::from(CHUNK_LINE_MAX);
    let trailers_max = usize::from(TRAILERS_MAX);
    let digits = |len: usize| format!("{}1\r\nx\r\n0\r\n\r\n", "0".repeat(len - 3));
    let extension = |len: usize| format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(len - 4));
    let later = |len: usize| format!("1\r\nx\r\n0;{}\r\n\r\n", "a".repeat(len - 4));
    for body in [digits, extension, later] {
        assert_eq!(whole(body(line_max).as_bytes()), Ok((b"x".to_vec(), Some(body(line_max).len()))));
        assert_eq!(whole(body(line_max + 1).as_bytes()), Err(ChunkError::LineTooLong));
    }
    // A line without an end is refused as soon as it is too long.
    assert_eq!(whole("0".repeat(line_max).as_bytes()), Ok((Vec::new(), None)));
    assert_eq!(whole("0".repeat(line_max + 1).as_bytes()), Err(ChunkError::LineTooLong));
    assert_eq!(ChunkError::LineTooLong.status(), 400);

    let one = |len: usize| format!("0\r\na:{}\r\n\r\n", "b".repeat(len - 6));
    let many = |len: usize| format!("0\r\n{}a:{}\r\n\r\n", "a:b\r\n".repeat(100), "b".repeat(len - 506));
    for body in [one, many] {
        assert_eq!(whole(body(trailers_max).as_bytes()), Ok((Vec::new(), Some(trailers_max + 3))));
        assert_eq!(whole(body(trailers_max + 1).as_bytes()), Err(ChunkError::TrailersTooLarge));
    }
    assert_eq!(whole(format!("0\r\n{}", "a".repeat(70_000)).as_bytes()), Err(ChunkError::TrailersTooLarge));
    assert_eq!(ChunkError::TrailersTooLarge.status(), 431);
    for error in [ChunkError::LineTooLong, ChunkError::TrailersTooLarge, ChunkError::SizeTooLarge] {
        assert!(error.to_string().len() > 10);
    }
}

#[test]
fn an_error_leaves_the_state_alone() {
    let mut body = Chunked::default();
    assert_eq!(body.next(b"5;a"), Ok(Piece::More { framing: 3 }));
    let before = body;
    assert!(body.next(b"=\n").is_err());
    assert_eq!(body, before);
}

#[test]
fn data_is_counted_only_as_it_is_used() {
    let mut body = Chunked::default();
    body.took(5);
    assert_eq!(body, Chunked::default());
    assert_eq!(body.next(b"5\r\nhel"), Ok(Piece::Data { framing: 3, len: 3 }));
    assert_eq!(body.next(b"hello\r\n"), Ok(Piece::Data { framing: 0, len: 5 }));
    body.took(2);
    assert_eq!(body.next(b""), Ok(Piece::More { framing: 0 }));
    assert_eq!(body.next(b"llo\r\n"), Ok(Piece::Data { framing: 0, len: 3 }));
    body.took(usize::MAX);
    assert_eq!(body.next(b"\r\n0\r\n\r\nGET"), Ok(Piece::End { framing: 7 }));
    body.took(1);
    assert!(body.is_over());
}

/// Bytes and pieces that chunked bodies are made of, sound and not.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "1\r\nx\r\n", "5\r\nhello\r\n", "0\r\n", "\r\n", "a: b\r\n", "2;a=b\r\nxy\r\n", "3 ; q=\"\\\"\"\r\nabc\r\n", "f\r\n0123456789abcde\r\n",
            "ffffffffffffffff0", "7fffffffffffffff", ";", "=", "\"", "\\", " ", "\r", "\n", "a", ":", "0",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn agrees_with_the_reference(input in pieces(), sizes in prop::collection::vec(1usize..9, 1..6), most in 1usize..5) {
        let got = run(&input, &sizes, most);
        prop_assert_eq!(&got, &whole(&input));
        let (data, lines, outcome) = decode(&input);
        match (got, outcome) {
            (Ok((got, Some(end))), Outcome::Whole(len)) => {
                prop_assert_eq!(end, len);
                prop_assert_eq!(got, data);
            }
            (Ok((got, None)), Outcome::Unfinished) => prop_assert_eq!(got, data),
            (Err(_), Outcome::Refused) => {}
            // Refused before its line was whole: then nothing completes that line.
            (Err(_), Outcome::Unfinished) => {
                for end in ["\r\n", "\n", "0\r\n", "a\r\n", ":\r\n", "\"\r\n", "a\"\r\n"] {
                    let (_, after, outcome) = decode(&[&input, end.as_bytes()].concat());
                    prop_assert!(outcome == Outcome::Refused || after == lines, "{:?} completes it", end);
                }
            }
            (got, outcome) => prop_assert!(false, "{:?} but {:?}", got, outcome),
        }
    }
}
