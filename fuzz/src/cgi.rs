//! Answers of CGI programs. The input is a byte that says how the rest is split, then what a program prints.

use monkey::wire::cgi::{CgiHead, Kind, parse_cgi};
use monkey::wire::fields::AnswerError;
use monkey::wire::span::Span;

use super::heads_reference::{Answer, Outcome, cgi};
use super::split::Split;

/// Parses the head in one piece and in several, and compares both with a reader that has the whole input.
pub fn run(data: &[u8]) {
    let Some((&seed, input)) = data.split_first() else {
        return;
    };
    let expected = cgi(input);
    for mut split in [Split::new(seed), Split::whole()] {
        let (got, have) = feed(input, &mut split);
        match (got, &expected) {
            (Ok(Some(head)), Outcome::Head(answer)) => assert_eq!(describe(&head, &input[..have]), *answer),
            (Ok(None), Outcome::Unfinished) | (Err(_), Outcome::Refused) => {}
            (Err(error), Outcome::Unfinished) => never_valid(input, error),
            (got, expected) => panic!("{got:?}, and the reference says {expected:?}"),
        }
    }
}

/// What the parser answers once it answers, and how much input it had then.
fn feed(input: &[u8], split: &mut Split) -> (Result<Option<CgiHead>, AnswerError>, usize) {
    let mut have = 0;
    loop {
        let from = have;
        have = input.len().min(split.next().saturating_add(have));
        match parse_cgi(&input[..have], from) {
            Ok(None) if have < input.len() => {}
            result => return (result, have),
        }
    }
}

fn describe(head: &CgiHead, buf: &[u8]) -> Answer {
    let text = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
    let span = |span: Span| text(span.of(buf));
    Answer {
        end: head.end,
        status: head.status,
        reason: span(head.reason),
        location: span(head.location),
        content_type: span(head.content_type),
        length: head.length,
        kind: match head.kind {
            Kind::Document => "document",
            Kind::LocalRedirect => "local",
            Kind::ClientRedirect => "client",
        },
        fields: head.fields(buf).map(|(name, value)| (text(name), text(value))).collect(),
        ..Answer::default()
    }
}

/// The head was refused before it was whole: no end makes it valid.
fn never_valid(input: &[u8], error: AnswerError) {
    for end in [b"\n\n".as_slice(), b"\r\n\r\n", b"a: b\n\n", b": b\n\n", b"\na: b\n\n", b" 200 OK\n\n"] {
        assert_eq!(cgi(&[input, end].concat()), Outcome::Refused, "{error}, and then {}", end.escape_ascii());
    }
}
