//! Reads what the server wrote: one answer after the other, strictly.

use std::borrow::Cow;

use super::chunked_reference::{Outcome, decode};

/// One answer.
#[derive(Debug)]
pub struct Answer<'a> {
    /// The status code.
    pub status: u16,
    /// The body, its coding removed.
    pub body: Cow<'a, [u8]>,
    /// `Connection: Close` was said.
    pub closes: bool,
    fields: &'a [u8],
}

impl Answer<'_> {
    /// The value of a field that stands there once.
    pub fn field(&self, name: &[u8]) -> Option<&[u8]> {
        let mut found = self.fields.split(|&byte| byte == b'\n').filter_map(|line| {
            let value = line.strip_prefix(name)?.strip_prefix(b": ")?;
            Some(value.trim_ascii_end())
        });
        let first = found.next();
        assert!(found.next().is_none(), "two fields {}", name.escape_ascii());
        first
    }
}

/// Where `what` begins in `text`.
pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// A number in decimal digits.
pub fn decimal(text: &[u8]) -> u64 {
    assert!(!text.is_empty() && text.iter().all(u8::is_ascii_digit), "no number: {}", text.escape_ascii());
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).expect("a number")
}

/// What of a head its framing follows from.
#[derive(Default)]
struct Framing {
    closes: bool,
    length: Option<u64>,
    chunked: bool,
}

impl Framing {
    /// Looks at one field line, without its line end.
    fn add(&mut self, line: &[u8]) {
        assert!(!line.iter().any(u8::is_ascii_control), "a control byte in {}", line.escape_ascii());
        let colon = line.iter().position(|&byte| byte == b':').expect("a field line");
        let (name, value) = (&line[..colon], line[colon + 1..].strip_prefix(b" ").expect("a blank after the colon"));
        assert!(name.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-'));
        match name {
            b"Connection" if value == b"Keep-Alive" => {}
            b"Connection" => {
                assert!(value == b"Close" && !self.closes);
                self.closes = true;
            }
            b"Content-Length" => assert_eq!(self.length.replace(decimal(value)), None),
            b"Transfer-Encoding" => {
                assert!(value == b"chunked" && !self.chunked);
                self.chunked = true;
            }
            _ => {}
        }
    }
}

/// Reads the answer at the start of `bytes`; `to_head` = it has no body whatever it announces. Gives it with its length; `None`
/// when it is not whole. Panics when it is no answer.
pub fn parse(bytes: &[u8], to_head: bool) -> Option<(Answer<'_>, usize)> {
    let mut framing = Framing::default();
    let (mut status_len, mut end) = (0, 0);
    for line in bytes.split_inclusive(|&byte| byte == b'\n') {
        let text = line.strip_suffix(b"\n")?.strip_suffix(b"\r").expect("lines that end in CRLF");
        end += line.len();
        if status_len == 0 {
            assert!(
                text.starts_with(b"HTTP/1.1 ") && text.get(12) == Some(&b' '),
                "no answer: {}",
                text.escape_ascii()
            );
            status_len = end;
        } else if text.is_empty() {
            break;
        } else {
            framing.add(text);
        }
    }
    if !bytes[..end].ends_with(b"\r\n\r\n") {
        return None;
    }
    let status = u16::try_from(decimal(&bytes[9..12])).expect("a status");
    assert!((100..=599).contains(&status));
    let rest = &bytes[end..];
    let (body, len) = match framing.length {
        _ if status == 304 || status < 200 => {
            assert!(framing.length.is_none() && !framing.chunked);
            (Cow::Borrowed(&rest[..0]), 0)
        }
        None => {
            assert!(framing.chunked, "an answer without a length");
            match decode(rest) {
                (data, _, Outcome::Whole(len)) => (Cow::Owned(data), len),
                (_, _, Outcome::Unfinished) => return None,
                (_, _, Outcome::Refused) => panic!("a malformed chunked answer"),
            }
        }
        Some(_) if framing.chunked => panic!("two words about one length"),
        Some(_) if to_head => (Cow::Borrowed(&rest[..0]), 0),
        Some(length) => {
            let length = usize::try_from(length).expect("a length");
            (Cow::Borrowed(rest.get(..length)?), length)
        }
    };
    Some((Answer { status, body, closes: framing.closes, fields: &bytes[status_len..end] }, end + len))
}
