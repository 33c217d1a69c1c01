//! The head of a CGI program's answer (RFC 3875 section 6). FastCGI responders and Palm servers answer the same way.
//!
//! Programs are written by hand, so lines may end in LF alone, and a status line (RFC 3875 section 5, as for scripts that do not have
//! their headers parsed) may stand first. Names and values are as strict as they are anywhere else: nothing a program prints can add a
//! line to the answer a client gets.

use super::chars::{find, is_visible, is_word};
use super::fields::{AnswerError, Fields, Lines, Noted, find_end, parse_status, passed_on};
use super::response::parse_status_line;
use super::span::Span;

/// RFC 3875 section 6.2: what an answer wants.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Sections 6.2.1 and 6.2.4: to be sent to the client as it is, [`CgiHead::location`] included if there is one.
    Document,
    /// Section 6.2.2: [`CgiHead::location`] is a path of this server, with a query perhaps; the server answers as if it had been asked
    /// for that. There is nothing else to be sent; a body is passed over.
    LocalRedirect,
    /// Sections 6.2.3 and 6.2.4: the client is sent to [`CgiHead::location`], with [`CgiHead::status`], which is 3xx.
    ClientRedirect,
}

/// The head of an answer. Its spans are in the buffer that was parsed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CgiHead {
    /// What the answer wants.
    pub kind: Kind,
    /// The status code, 200 to 999: what the program says, else 302 for a client redirect and 200 for the rest.
    pub status: u16,
    /// The reason phrase the program gave; empty when it gave none.
    pub reason: Span,
    /// The value of `Location`; empty when there is none, never otherwise.
    pub location: Span,
    /// The value of `Content-Type`; empty when there is none.
    pub content_type: Span,
    /// What `Content-Length` says, at most `i64::MAX`. What a program sends beyond it is to be dropped, and an answer that ends before it
    /// is broken.
    pub length: Option<u64>,
    /// Offset just after the head, where the body begins.
    pub end: usize,
    /// `Connection` names fields.
    named: bool,
    /// Offset of the first field line.
    start: usize,
}

impl CgiHead {
    /// The fields that are passed on to the client as they are: all but those with a place of their own here (`Status`, `Location`,
    /// `Content-Type`, `Content-Length`) and those that are for one connection only. `buf` is what was parsed.
    pub fn fields<'a>(&self, buf: &'a [u8]) -> Fields<'a> {
        passed_on(buf, self.start, self.end, self.named, &[b"status", b"location", b"content-type"])
    }
}

/// RFC 3875 section 6.3: parses the head that `buf`, all that has come of a program's answer, begins with. `None`: more is needed; if no
/// more comes the answer is broken. `from` is the length `buf` had when an earlier call answered `None`, or 0.
///
/// # Errors
/// An [`AnswerError`], to be answered 502. It comes as soon as the first line is wrong or the limit is passed, and for the rest when the
/// head is whole. Without a line before the empty one there is no head.
pub fn parse_cgi(buf: &[u8], from: usize) -> Result<Option<CgiHead>, AnswerError> {
    let Some(end) = find_end(buf, from)? else {
        let mut lines = Lines::new(buf, false);
        if parse_first_line(&mut lines)?.is_none() {
            lines.next_field()?;
        }
        return Ok(None);
    };
    let mut lines = Lines::new(buf.get(..end).unwrap_or(buf), false);
    let (mut status, mut reason) = parse_first_line(&mut lines)?.unwrap_or_default();
    let mut said = Once::default();
    let start = lines.at();
    let mut noted = Noted::default();
    let (mut location, mut content_type) = (Span::default(), Span::default());
    let mut others = false;
    while let Some((field, value)) = lines.next_field()? {
        noted.note(&field)?;
        if is_word(field.name, b"status") {
            let (code, reason_len) = parse_status(field.value)?;
            let end = usize::from(value.start).saturating_add(usize::from(value.len));
            (status, reason) = (code, Span::between(end.saturating_sub(reason_len), end));
            said.check(Own::Status, buf, value)?;
        } else if is_word(field.name, b"location") {
            if value.is_empty() {
                return Err(AnswerError::Malformed("empty Location"));
            }
            location = value;
            said.check(Own::Location, buf, value)?;
        } else if is_word(field.name, b"content-type") {
            content_type = value;
            others = true;
            said.check(Own::ContentType, buf, value)?;
        } else {
            others = true;
        }
    }
    if start == 0 && lines.at() == 0 {
        return Err(AnswerError::Malformed("answer without a header line"));
    }
    if (1..200).contains(&status) {
        return Err(AnswerError::Malformed("status 1xx from a program"));
    }
    let kind = decide(status, location.of(buf), others);
    let status = match kind {
        _ if status != 0 => status,
        Kind::ClientRedirect => 302,
        _ => 200,
    };
    Ok(Some(CgiHead {
        kind,
        status,
        reason,
        location,
        content_type,
        length: noted.length,
        end,
        named: noted.named(),
        start,
    }))
}

/// RFC 3875 section 6.2: what an answer wants; `status` is 0 when it has none. A path beside other fields (a cookie, say) goes to the
/// client, for with a local redirect they would be lost.
fn decide(status: u16, location: &[u8], others: bool) -> Kind {
    if location.is_empty() {
        return Kind::Document;
    }
    match status {
        0 if !others && is_local(location) => Kind::LocalRedirect,
        0 | 300..=399 => Kind::ClientRedirect,
        _ => Kind::Document,
    }
}

/// RFC 3875 section 6.3.2: local-pathquery = abs-path \[ "?" query-string \]. What a client would take for a host (`//host`) is none.
fn is_local(location: &[u8]) -> bool {
    let host = matches!(location, [b'/', b'/' | b'\\', ..]);
    location.first() == Some(&b'/')
        && !host
        && location.iter().all(|&byte| is_visible(byte))
        && find(location, b'#').is_none()
}

/// The first line, when it is a status line: code and reason.
fn parse_first_line(lines: &mut Lines<'_>) -> Result<Option<(u16, Span)>, AnswerError> {
    let mut ahead = lines.clone();
    match ahead.next()? {
        Some(line) if line.starts_with(b"HTTP/") => {
            let (_, status, reason) = parse_status_line(line)?;
            *lines = ahead;
            Ok(Some((status, Span::between(line.len().saturating_sub(reason), line.len()))))
        }
        _ => Ok(None),
    }
}

/// The fields RFC 3875 section 6.3 defines.
#[derive(Clone, Copy)]
enum Own {
    Status,
    Location,
    ContentType,
}

/// RFC 3875 section 6.3: each CGI field at most once. The same again is let pass, for it cannot be misread.
#[derive(Default)]
struct Once([Option<Span>; 3]);

impl Once {
    fn check(&mut self, own: Own, buf: &[u8], value: Span) -> Result<(), AnswerError> {
        let Some(first) = self.0.get_mut(own as usize) else { return Ok(()) };
        if first.is_some_and(|first| first.of(buf) != value.of(buf)) {
            return Err(AnswerError::Malformed("Status, Location or Content-Type twice, with other values"));
        }
        *first = Some(value);
        Ok(())
    }
}
