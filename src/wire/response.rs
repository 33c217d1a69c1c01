//! The head of an HTTP/1.x response from an origin server (RFC 9112 sections 4, 5 and 6.3).
//!
//! Reading is strict as it is for requests: where two readers could see a body's end in two places, the answer is refused, so that
//! nothing an origin server sends makes a second answer out of one. Nothing of it is copied to a client raw: [`Response`] has what
//! a proxy decides by, and [`Response::fields`] what it passes on.

use super::fields::{AnswerError, Fields, Lines, Noted, find_end, parse_status, passed_on};
use super::head::{self, Method, Version, decide_body};
use super::span::Span;

/// RFC 9112 section 6.3: how the end of a response's body is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// There is no body, whatever the fields say.
    None,
    /// As many bytes as `Content-Length` says, at most `i64::MAX`.
    Length(u64),
    /// Chunked; see [`chunked`](super::chunked).
    Chunked,
    /// All that comes until the connection is closed.
    UntilClose,
}

/// A response's head. Its spans are in the buffer that was parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Response {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The version of HTTP.
    pub version: Version,
    /// The reason phrase, perhaps empty; it may hold obs-text.
    pub reason: Span,
    /// How the body is delimited.
    pub framing: Framing,
    /// What `Content-Length` says, also where there is no body: an answer to HEAD passes it on.
    pub length: Option<u64>,
    /// The value of the `Upgrade` field of a 101, which is then never empty; empty for any other status.
    pub upgrade: Span,
    /// Offset just after the head: where the body begins, or the next response if there is no body.
    pub end: usize,
    /// `Connection` lists `close`.
    close: bool,
    /// `Connection` lists `keep-alive`.
    keep_alive: bool,
    /// `Connection` names fields.
    named: bool,
    /// Offset of the first field line.
    start: usize,
}

impl Response {
    /// RFC 9110 section 15.2: whether this is an interim response, after which the real one follows: 1xx but 101.
    pub fn is_interim(&self) -> bool {
        self.status < 200 && self.status != 101
    }

    /// RFC 9112 section 9.3: whether the connection can take another request once the body is over.
    pub fn persistent(&self) -> bool {
        !self.close
            && self.status != 101
            && self.framing != Framing::UntilClose
            && (self.version == Version::Http11 || self.keep_alive)
    }

    /// RFC 9110 section 7.6.1: the fields that are passed on; neither those for one connection nor those that `Connection`
    /// names are among them, and `Content-Length` is not. `buf` is what was parsed.
    pub fn fields<'a>(&self, buf: &'a [u8]) -> Fields<'a> {
        passed_on(buf, self.start, self.end, self.named, &[])
    }
}

/// Parses the head that `buf` begins with: all that has come of the response to a request of method `method`. `None`: more is needed.
/// `from` is the length `buf` had when an earlier call answered `None`, or 0.
///
/// # Errors
/// An [`AnswerError`]: the client is answered 502 and the connection closed. It comes as soon as the status line is wrong or the limit
/// is passed, and for the rest when the head is whole.
pub fn parse_response(buf: &[u8], from: usize, method: Method) -> Result<Option<Response>, AnswerError> {
    let Some(end) = find_end(buf, from)? else {
        check_start(buf)?;
        return Ok(None);
    };
    let head = buf.get(..end).unwrap_or(buf);
    let mut lines = Lines::new(head, true);
    let line = lines.next()?.unwrap_or(&[]);
    let (version, status, reason) = parse_status_line(line)?;
    let reason = Span::between(line.len().saturating_sub(reason), line.len());
    let start = lines.at();
    let mut noted = Noted::default();
    let mut upgrade = Span::default();
    while let Some((field, value)) = lines.next_field()? {
        noted.note(&field)?;
        if status == 101 && field.name.eq_ignore_ascii_case(b"upgrade") {
            upgrade = value;
        }
    }
    // RFC 9110 section 15.2.2: such an answer has to say what the connection is switched to.
    if status == 101 && (!noted.upgrade || upgrade.is_empty()) {
        return Err(AnswerError::Malformed("status 101 without Upgrade"));
    }
    let framing = decide(method, status, version, &noted)?;
    Ok(Some(Response {
        status,
        version,
        reason,
        framing,
        length: noted.length,
        upgrade,
        end,
        close: noted.close,
        keep_alive: noted.keep_alive,
        named: noted.named(),
        start,
    }))
}

/// RFC 9112 section 6.3, made strict. A body that is not there does not excuse fields that contradict each other.
fn decide(method: Method, status: u16, version: Version, noted: &Noted) -> Result<Framing, AnswerError> {
    let framing = match (noted.codings.present(), noted.length) {
        (true, length) => match decide_body(version, noted.codings, length.map(|_| [].as_slice()))? {
            head::Framing::Chunked => Framing::Chunked,
            _ => Framing::UntilClose,
        },
        (false, Some(length)) => Framing::Length(length),
        (false, None) => Framing::UntilClose,
    };
    Ok(if method == Method::Head || !has_body(status) { Framing::None } else { framing })
}

/// RFC 9110 section 6.4.1: whether an answer of that status can have a body: neither 1xx, 204 nor 304. One to HEAD never has.
pub fn has_body(status: u16) -> bool {
    !matches!(status, 0..=199 | 204 | 304)
}

/// RFC 9112 section 4: HTTP-version SP status-code \[ SP reason-phrase \], all of `line`. Gives how long the reason is.
pub(super) fn parse_status_line(line: &[u8]) -> Result<(Version, u16, usize), AnswerError> {
    let (version, rest) = match line {
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor, b' ', rest @ ..] => match minor {
            b'0' => (Version::Http10, rest),
            b'1' => (Version::Http11, rest),
            _ => return Err(AnswerError::Malformed("HTTP version other than 1.0 and 1.1")),
        },
        _ => return Err(AnswerError::Malformed("malformed status line")),
    };
    let (status, reason) = parse_status(rest)?;
    Ok((version, status, reason))
}

/// Whether an unfinished head begins as one can.
fn check_start(buf: &[u8]) -> Result<(), AnswerError> {
    let start = b"HTTP/1.";
    if buf.iter().zip(start).any(|(got, wanted)| got != wanted) {
        return Err(AnswerError::Malformed("malformed status line"));
    }
    match Lines::new(buf, true).next()? {
        Some(line) => parse_status_line(line).map(|_| ()),
        None => Ok(()),
    }
}
