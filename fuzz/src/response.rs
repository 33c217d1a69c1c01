//! Responses of origin servers. The input is a byte that says how the rest is split (the highest bit: the request was HEAD), then what
//! a server sends.

use monkey::wire::fields::AnswerError;
use monkey::wire::head::Method;
use monkey::wire::response::{Framing, Response, parse_response};
use monkey::wire::span::Span;

use super::heads_reference::{Answer, Outcome, response};
use super::split::Split;

/// Parses the head in one piece and in several, and compares both with a reader that has the whole input.
pub fn run(data: &[u8]) {
    let Some((&seed, input)) = data.split_first() else {
        return;
    };
    let to_head = seed >= 0x80;
    let expected = response(input, to_head);
    for mut split in [Split::new(seed), Split::whole()] {
        let (got, have) = feed(input, to_head, &mut split);
        match (got, &expected) {
            (Ok(Some(head)), Outcome::Head(answer)) => assert_eq!(describe(&head, &input[..have]), *answer),
            (Ok(None), Outcome::Unfinished) | (Err(_), Outcome::Refused) => {}
            (Err(error), Outcome::Unfinished) => never_valid(input, to_head, error),
            (got, expected) => panic!("{got:?}, and the reference says {expected:?}"),
        }
    }
}

/// What the parser answers once it answers, and how much input it had then.
fn feed(input: &[u8], to_head: bool, split: &mut Split) -> (Result<Option<Response>, AnswerError>, usize) {
    let method = if to_head { Method::Head } else { Method::Get };
    let mut have = 0;
    loop {
        let from = have;
        have = input.len().min(split.next().saturating_add(have));
        match parse_response(&input[..have], from, method) {
            Ok(None) if have < input.len() => {}
            result => return (result, have),
        }
    }
}

fn describe(head: &Response, buf: &[u8]) -> Answer {
    assert_eq!(head.is_interim(), head.status / 100 == 1 && head.upgrade.is_empty());
    if let Framing::Length(length) = head.framing {
        assert_eq!(head.length, Some(length));
    }
    let text = |bytes: &[u8]| bytes.iter().map(|&byte| char::from(byte)).collect::<String>();
    let span = |span: Span| text(span.of(buf));
    Answer {
        end: head.end,
        status: head.status,
        reason: span(head.reason),
        upgrade: span(head.upgrade),
        length: head.length,
        kind: match head.framing {
            Framing::None => "none",
            Framing::Length(_) => "length",
            Framing::Chunked => "chunked",
            Framing::UntilClose => "close",
        },
        persistent: head.persistent(),
        fields: head.fields(buf).map(|(name, value)| (text(name), text(value))).collect(),
        ..Answer::default()
    }
}

/// The head was refused before it was whole: no end makes it valid.
fn never_valid(input: &[u8], to_head: bool, error: AnswerError) {
    const WHOLE: &[u8] = b"HTTP/1.1 200 OK\r\na: b\r\n\r\n";
    for end in (0..WHOLE.len()).map(|at| &WHOLE[at..]) {
        let outcome = response(&[input, end, b"\r\n\r\n"].concat(), to_head);
        assert_eq!(outcome, Outcome::Refused, "{error}, and then {}", end.escape_ascii());
    }
}
