//! Field lines as they come from behind this server, and which fields go on: what answers of programs ([`cgi`](super::cgi)) and
//! of origin servers ([`response`](super::response)) have in common.

use core::fmt;

use super::chars::{field_text_len, find, is_word, token_len, trim_ows, trim_ows_start};
use super::head::{Codings, Head, HeadError, name_fault, parse_content_length};
use super::list::members;
use super::span::Span;
use crate::limits::{BACKEND_FIELDS_MAX, BACKEND_HEAD_MAX};

/// Why the head of an answer was refused. The request is answered 502 (RFC 9110 section 15.6.3), and the connection the
/// head came over, if it was one, is closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnswerError {
    /// The head breaks the grammar, or can be read in two ways. The text says where.
    Malformed(&'static str),
    /// The head is longer than [`BACKEND_HEAD_MAX`] or has more fields than [`BACKEND_FIELDS_MAX`].
    TooLarge,
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            AnswerError::Malformed(why) => why,
            AnswerError::TooLarge => "head of the answer over 16 KB or 128 fields: send fewer or smaller fields",
        })
    }
}

impl From<HeadError> for AnswerError {
    fn from(error: HeadError) -> AnswerError {
        AnswerError::Malformed(match error {
            HeadError::BadRequest(why) => why,
            HeadError::LengthTooLarge => "Content-Length beyond 63 bits",
            _ => "transfer coding other than chunked",
        })
    }
}

/// RFC 9110 section 7.6.1: whether a field is for one connection only and never passed on. To these belong all that begin with
/// `Proxy-`. Fields that `Connection` names are for one connection too.
pub fn is_hop_by_hop(name: &[u8]) -> bool {
    let lists: [&[u8]; 6] = [b"connection", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"];
    lists.iter().any(|hop| is_word(name, hop)) || name.get(..6).is_some_and(|start| is_word(start, b"proxy-"))
}

/// The values of all fields of a request called `name` (in lower case), in the order they were sent. `buf` is what `head` was
/// parsed from.
pub fn values<'a>(head: &'a Head, buf: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    head.fields().iter().filter(move |field| is_word(field.name.of(buf), name)).map(|field| field.value.of(buf))
}

/// RFC 9110 section 7.6.1: the fields of a request, name and value, that are passed on to an origin server: all but those for one
/// connection, the ones that `Connection` names, `Host` and `Content-Length`, which are written anew, and `Proxy`, which programs take
/// for the variable `HTTP_PROXY`. `buf` is what `head` was parsed from.
pub fn end_to_end<'a>(head: &'a Head, buf: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let all = head.fields().iter().map(|field| (field.name.of(buf), field.value.of(buf)));
    all.filter(|(name, _)| {
        let own: [&[u8]; 3] = [b"host", b"content-length", b"proxy"];
        let named = || values(head, buf, b"connection").any(|value| lists_word(value, name));
        !is_hop_by_hop(name) && !own.iter().any(|own| is_word(name, own)) && !named()
    })
}

/// Whether `word` is a member of the list `value`, letters compared without case.
fn lists_word(value: &[u8], word: &[u8]) -> bool {
    members(value).any(|member| member.eq_ignore_ascii_case(word))
}

/// The fields, name and value, of an answer that are passed on as they are, in the order they came. Left out are fields for one
/// connection ([`is_hop_by_hop`]), those that `Connection` names, `Content-Length`, and what the head's own type says it leaves out.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    /// All field lines, for a look at what `Connection` names.
    all: &'a [u8],
    rest: &'a [u8],
    /// `Connection` names other fields.
    named: bool,
    /// Names in lower case to be left out besides.
    own: &'static [&'static [u8]],
}

impl<'a> Iterator for Fields<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<(&'a [u8], &'a [u8])> {
        loop {
            let (name, value) = next_field(&mut self.rest)?;
            let hidden = is_hop_by_hop(name)
                || is_word(name, b"content-length")
                || self.own.iter().any(|own| is_word(name, own))
                || (self.named && connection_names(self.all, name));
            if !hidden {
                return Some((name, value));
            }
        }
    }
}

/// Whether a `Connection` field among `lines` names the field `name`.
fn connection_names(mut lines: &[u8], name: &[u8]) -> bool {
    while let Some((field, value)) = next_field(&mut lines) {
        if is_word(field, b"connection") && lists_word(value, name) {
            return true;
        }
    }
    false
}

/// The next field of lines that were parsed before.
fn next_field<'a>(lines: &mut &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (line, rest) = parse_line(lines)?;
    *lines = rest;
    let field = parse_field(without_cr(line).unwrap_or(line)).ok()?;
    Some((field.name, field.value))
}

/// RFC 9112 section 2.2: a line without its LF, and what follows.
fn parse_line(i: &[u8]) -> Option<(&[u8], &[u8])> {
    let (line, rest) = i.split_at_checked(find(i, b'\n')?)?;
    Some((line, rest.get(1..)?))
}

/// `line` without the CR at its end, if there is one.
fn without_cr(line: &[u8]) -> Option<&[u8]> {
    line.split_last().and_then(|(last, line)| (*last == b'\r').then_some(line))
}

/// One field line.
pub(super) struct FieldLine<'a> {
    pub(super) name: &'a [u8],
    pub(super) value: &'a [u8],
    /// Offset of the value in the line.
    at: usize,
}

/// RFC 9112 section 5: field-line = field-name ":" OWS field-value OWS, all of `line`.
fn parse_field(line: &[u8]) -> Result<FieldLine<'_>, HeadError> {
    let (name, rest) = line.split_at_checked(token_len(line)).unwrap_or((line, &[]));
    match rest {
        [b':', text @ ..] if !name.is_empty() => {
            if field_text_len(text) < text.len() {
                return Err(HeadError::BadRequest("control byte in a field value"));
            }
            let value = trim_ows_start(text);
            Ok(FieldLine { name, value: trim_ows(value), at: line.len().saturating_sub(value.len()) })
        }
        [] => Err(HeadError::BadRequest("field line without a colon")),
        _ => Err(HeadError::BadRequest(name_fault(name, rest))),
    }
}

/// RFC 9112 section 4: status-code \[ SP reason-phrase \], all of `text`. Gives how long the reason is, too. A code below 100 is none.
pub(super) fn parse_status(text: &[u8]) -> Result<(u16, usize), HeadError> {
    const FAULT: HeadError = HeadError::BadRequest("malformed status code");
    let (code, rest) = text.split_first_chunk::<3>().ok_or(FAULT)?;
    let mut status = 0u16;
    for digit in code {
        if !digit.is_ascii_digit() {
            return Err(FAULT);
        }
        status = status * 10 + u16::from(digit - b'0');
    }
    let reason = match rest {
        [] => rest,
        [b' ', reason @ ..] => reason,
        _ => return Err(FAULT),
    };
    if status < 100 {
        return Err(FAULT);
    }
    if field_text_len(reason) < reason.len() {
        return Err(HeadError::BadRequest("control byte in a reason phrase"));
    }
    Ok((status, reason.len()))
}

/// Offset just after the empty line that ends the head `buf` begins with, whether lines end in CRLF or in LF; `None` while it
/// is not there. `from` is an offset already searched.
///
/// # Errors
/// [`AnswerError::TooLarge`] as soon as it is certain.
pub(super) fn find_end(buf: &[u8], from: usize) -> Result<Option<usize>, AnswerError> {
    let end = match buf {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        _ => search_end(buf, from.saturating_sub(2)),
    };
    if end.unwrap_or(buf.len().saturating_add(1)) > BACKEND_HEAD_MAX {
        return Err(AnswerError::TooLarge);
    }
    Ok(end)
}

fn search_end(buf: &[u8], from: usize) -> Option<usize> {
    let mut rest = buf.get(from..)?;
    while let Some((_, after)) = parse_line(rest) {
        let at = buf.len().saturating_sub(after.len());
        match after {
            [b'\n', ..] => return Some(at + 1),
            [b'\r', b'\n', ..] => return Some(at + 2),
            _ => rest = after,
        }
    }
    None
}

/// The lines of a head that [`find_end`] found the end of, one after the other, without their ends, up to the empty one.
#[derive(Clone)]
pub(super) struct Lines<'a> {
    head: &'a [u8],
    rest: &'a [u8],
    /// An LF without CR ends no line.
    strict: bool,
}

impl<'a> Lines<'a> {
    pub(super) fn new(head: &'a [u8], strict: bool) -> Lines<'a> {
        Lines { head, rest: head, strict }
    }

    /// Offset of the next line in the head.
    pub(super) fn at(&self) -> usize {
        self.head.len().saturating_sub(self.rest.len())
    }

    /// RFC 9112 section 2.2: the next line; `None` at the empty one, or where there is no whole line.
    pub(super) fn next(&mut self) -> Result<Option<&'a [u8]>, HeadError> {
        let Some((line, rest)) = parse_line(self.rest) else { return Ok(None) };
        let line = match without_cr(line) {
            Some(line) => line,
            None if self.strict => return Err(HeadError::BadRequest("line feed without carriage return")),
            None => line,
        };
        if line.is_empty() {
            return Ok(None);
        }
        self.rest = rest;
        Ok(Some(line))
    }

    /// The next line as a field, and where its value stands in the head.
    pub(super) fn next_field(&mut self) -> Result<Option<(FieldLine<'a>, Span)>, HeadError> {
        let start = self.at();
        let Some(line) = self.next()? else { return Ok(None) };
        let field = parse_field(line)?;
        let at = start.saturating_add(field.at);
        let span = Span::between(at, at.saturating_add(field.value.len()));
        Ok(Some((field, span)))
    }
}

/// What the fields of an answer say about its framing and its connection.
#[derive(Clone, Copy, Default)]
pub(super) struct Noted {
    pub(super) length: Option<u64>,
    pub(super) codings: Codings,
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
    /// `Connection` names fields.
    named: bool,
    count: u8,
}

const _: () = assert!(BACKEND_FIELDS_MAX < u8::MAX as usize);

impl Noted {
    /// Takes what there is to take from one more field.
    pub(super) fn note(&mut self, field: &FieldLine<'_>) -> Result<(), AnswerError> {
        self.count = self.count.saturating_add(1);
        if usize::from(self.count) > BACKEND_FIELDS_MAX {
            return Err(AnswerError::TooLarge);
        }
        if is_word(field.name, b"content-length") {
            let length = parse_content_length(field.value)?;
            if self.length.is_some_and(|other| other != length) {
                return Err(AnswerError::Malformed("Content-Length fields that differ"));
            }
            self.length = Some(length);
        } else if is_word(field.name, b"transfer-encoding") {
            self.codings.add(field.value);
        } else if is_word(field.name, b"connection") {
            for option in members(field.value) {
                match option {
                    _ if is_word(option, b"close") => self.close = true,
                    _ if is_word(option, b"keep-alive") => self.keep_alive = true,
                    _ if is_word(option, b"upgrade") => self.upgrade = true,
                    _ => self.named = true,
                }
            }
        }
        Ok(())
    }

    /// Whether `Connection` names fields.
    pub(super) fn named(&self) -> bool {
        self.named
    }
}

/// The fields of the lines from offset `start` of `buf` to `end` that are passed on.
pub(super) fn passed_on<'a>(
    buf: &'a [u8],
    start: usize,
    end: usize,
    named: bool,
    own: &'static [&'static [u8]],
) -> Fields<'a> {
    let all = buf.get(start..end).unwrap_or(&[]);
    Fields { all, rest: all, named, own }
}
