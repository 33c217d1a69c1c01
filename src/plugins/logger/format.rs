//! One line about one request. Whatever a client sends, it stays one line: see [`escape`](super::escape).

use std::fmt::Write;

use crate::config::plugins::logger::Format;
use crate::http::output::{Sink, Text};
use crate::http::status::reason;
use crate::limits::LOG_USER_MAX;
use crate::plugin::hooks::Answer;
use crate::plugins::logger::escape::{Line, Quoting};
use crate::sys::socket::Peer;
use crate::vhost::request::Request;
use crate::wire::base64;
use crate::wire::date::{DATE_LEN, ISO_DATE_LEN, write_date, write_iso_date};
use crate::wire::head::{Name, Version};

/// What the parts of a line are cut at, bytes as they are written.
const METHOD_MAX: usize = 16;
const TARGET_MAX: usize = 700;
const PATH_MAX: usize = 500;
const QUERY_MAX: usize = 300;
const FIELD_MAX: usize = 300;
const HOST_MAX: usize = 80;
/// What one byte becomes at most where it is between quotes.
const ESCAPED_MAX: usize = 4;

/// A time of the wall clock in the forms of the logs, in UTC.
pub(super) struct Time {
    wall: Option<i64>,
    /// `22/Nov/2026 04:23:16 +0000`
    plain: [u8; 26],
    iso: [u8; ISO_DATE_LEN],
}

impl Time {
    pub(super) const fn new() -> Time {
        Time { wall: None, plain: *b"00/Mon/0000 00:00:00 +0000", iso: [0; ISO_DATE_LEN] }
    }

    /// Makes the texts, if the second is another one.
    pub(super) fn set(&mut self, wall: i64) {
        if self.wall == Some(wall) {
            return;
        }
        self.wall = Some(wall);
        let mut date = [0; DATE_LEN];
        write_date(wall, &mut date);
        self.plain[0..2].copy_from_slice(&date[5..7]);
        self.plain[3..6].copy_from_slice(&date[8..11]);
        self.plain[7..11].copy_from_slice(&date[12..16]);
        self.plain[12..20].copy_from_slice(&date[17..25]);
        write_iso_date(wall, &mut self.iso);
    }

    /// As the original writes it, and as a line of the log itself has it.
    pub(super) fn plain(&self) -> &[u8] {
        &self.plain
    }
}

/// What a line begins with, and what it says of the answer: made anew for another client, second, form or answer only.
pub(super) struct Opening {
    time: Time,
    of: Option<(u128, i64, Format)>,
    text: heapless::Vec<u8, OPENING_MAX>,
    /// Where the user stands, or a hyphen instead.
    user_at: usize,
    answer: Option<Answer>,
    /// The end of the request line's quotes, the status, the length.
    tail: heapless::Vec<u8, TAIL_MAX>,
}

/// A status and the longest number.
const TAIL_MAX: usize = 32;
/// That of an object of JSON with an IPv6 address.
const OPENING_MAX: usize = 96;

impl Opening {
    pub(super) const fn new() -> Opening {
        Opening {
            time: Time::new(),
            of: None,
            text: heapless::Vec::new(),
            user_at: 0,
            answer: None,
            tail: heapless::Vec::new(),
        }
    }

    /// Makes it right for a line.
    pub(super) fn set(&mut self, wall: i64, peer: &Peer, format: Format, answer: Answer) {
        if self.answer != Some(answer) {
            self.answer = Some(answer);
            self.make_tail(answer);
        }
        let of = Some((peer.bits(), wall, format));
        if self.of != of {
            self.of = of;
            self.make(wall, peer, format);
        }
    }

    #[inline(never)]
    fn make_tail(&mut self, answer: Answer) {
        self.tail.clear();
        let _ = match answer.length {
            Some(length) => write!(self.tail, "\" {} {length}", answer.status),
            None => write!(self.tail, "\" {} -", answer.status),
        };
    }

    #[inline(never)] // Seldom, beside what is done for each line.
    fn make(&mut self, wall: i64, peer: &Peer, format: Format) {
        self.time.set(wall);
        self.text.clear();
        if format == Format::Json {
            self.push(b"{\"time\":\"");
            let iso = self.time.iso;
            self.push(&iso);
            self.push(b"\",\"remote\":\"");
        }
        let _ = write!(self.text, "{}", peer.ip());
        if format == Format::Json {
            return self.push(b"\",\"method\":\"");
        }
        self.push(b" - ");
        self.user_at = self.text.len();
        let mut time = self.time.plain;
        if format == Format::Monkey {
            self.push(b"[");
        } else {
            self.push(b"- [");
            time[11] = b':';
        }
        self.push(&time);
        self.push(if format == Format::Monkey { b"] " } else { b"] \"" });
    }

    fn push(&mut self, bytes: &[u8]) {
        let _ = self.text.extend_from_slice(bytes);
    }
}

/// What follows: a capital letter is a part ([`Entry::fill`]), any other byte stands for itself.
const ACCESS: &[u8] = b"M P V S L";
const ERROR: &[u8] = b"[error S] D";
const REQUEST: &[u8] = b"M F V";
const NO_REQUEST: &[u8] = b"-";
const JSON: &[u8] = b"M\",\"path\":\"J\",\"query\":\"Y\",\"status\":S,\"bytes\":N,\
\"referer\":\"R\",\"agent\":\"G\",\"host\":\"H\"}";

/// What a line is about.
pub(super) struct Entry<'a> {
    pub(super) opening: &'a Opening,
    /// None = what came was no request.
    pub(super) request: Option<&'a Request<'a>>,
    pub(super) answer: Answer,
}

impl Entry<'_> {
    /// Writes the line with its end. The opening was set for it.
    pub(super) fn write(&self, format: Format, line: &mut Line<'_>) {
        let opening = &self.opening.text;
        let (template, quoting) = match format {
            Format::Monkey if self.answer.status < 400 => (ACCESS, Quoting::Bare),
            Format::Monkey => (ERROR, Quoting::Bare),
            Format::Json => (JSON, Quoting::Json),
            _ if self.request.is_none() => (NO_REQUEST, Quoting::Quoted),
            _ => (REQUEST, Quoting::Quoted),
        };
        let authorization = match quoting {
            Quoting::Quoted => self.field(Name::Authorization),
            _ => b"",
        };
        if authorization.is_empty() {
            line.push(opening);
        } else {
            let (before, after) = opening.split_at_checked(self.opening.user_at).unwrap_or_default();
            line.push(before);
            let mut name = Text::default();
            user(authorization, &mut name);
            line.push_part(name.bytes(), LOG_USER_MAX, Quoting::Word);
            line.push(after.get(1..).unwrap_or_default());
        }
        match self.request_line() {
            Some(text) if quoting == Quoting::Quoted => line.push_part(text, usize::MAX, quoting),
            _ => self.fill(template, quoting, line),
        }
        if quoting == Quoting::Quoted {
            line.push(&self.opening.tail);
        }
        if format == Format::Combined {
            for field in [self.field(Name::Referer), self.field(Name::UserAgent)] {
                if field.is_empty() {
                    line.push(b" \"-\"");
                } else {
                    line.push(b" \"");
                    line.push_part(field, FIELD_MAX, quoting);
                    line.push_byte(b'"');
                }
            }
        }
        line.push_byte(b'\n');
    }

    #[cfg_attr(tuned, optimize(speed))]
    fn fill(&self, template: &[u8], quoting: Quoting, line: &mut Line<'_>) {
        for &letter in template {
            match letter {
                b'V' => line.push(self.version()),
                b'S' => line.push_number(self.answer.status.into()),
                b'N' => line.push_number(self.answer.length.unwrap_or(0)),
                b'L' => match self.answer.length {
                    Some(length) => line.push_number(length),
                    None => line.push_byte(b'-'),
                },
                b'M' => line.push_part(self.method(), METHOD_MAX, quoting),
                b'F' => line.push_part(self.target(), TARGET_MAX, quoting),
                b'P' => line.push_part(self.path().0, TARGET_MAX, quoting),
                b'J' => line.push_part(self.path().0, PATH_MAX, quoting),
                b'Y' => line.push_part(self.path().1, QUERY_MAX, quoting),
                b'R' => line.push_part(self.field(Name::Referer), FIELD_MAX, quoting),
                b'G' => line.push_part(self.field(Name::UserAgent), FIELD_MAX, quoting),
                b'H' => line.push_part(self.host(), HOST_MAX, quoting),
                b'D' => self.describe(line),
                byte => line.push_byte(byte),
            }
        }
    }

    /// What the original says of an error.
    fn describe(&self, line: &mut Line<'_>) {
        let status = self.answer.status;
        // The statuses that it has a text for.
        if !matches!(status, 400 | 403..=405 | 408 | 411 | 413 | 500 | 501 | 505) {
            return line.push(b"(no description)");
        }
        line.push(reason(status).as_bytes());
        let tail: &[u8] = match status {
            403 | 404 => b" P",
            405 | 501 => b" M",
            _ => return,
        };
        self.fill(tail, Quoting::Bare, line);
    }

    /// The request line as it was sent, unless a part of it may have to be cut.
    fn request_line(&self) -> Option<&[u8]> {
        let request = self.request?;
        let (method, target) = (request.head.method_span, request.head.target);
        let end = usize::from(target.start) + usize::from(target.len) + " HTTP/1.1".len();
        let short = usize::from(method.len) <= METHOD_MAX && usize::from(target.len) <= TARGET_MAX / ESCAPED_MAX;
        request.input.get(usize::from(method.start)..end).filter(|_| short)
    }

    fn method(&self) -> &[u8] {
        self.request.map_or(b"-", |request| request.head.method_span.of(request.input))
    }

    fn target(&self) -> &[u8] {
        self.request.map_or(b"-", |request| request.head.target.of(request.input))
    }

    /// The target without the query, and the query.
    fn path(&self) -> (&[u8], &[u8]) {
        let target = self.target();
        let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at_checked(end).unwrap_or((target, b""));
        (path, query.get(1..).unwrap_or_default())
    }

    fn version(&self) -> &'static [u8] {
        match self.request.map(|request| request.head.version) {
            Some(Version::Http11) => b"HTTP/1.1",
            Some(Version::Http10) => b"HTTP/1.0",
            None => b"-",
        }
    }

    fn field(&self, name: Name) -> &[u8] {
        self.request.and_then(|request| request.field(name)).unwrap_or_default()
    }

    fn host(&self) -> &[u8] {
        self.request.and_then(|request| Some(request.head.host?.host.of(request.input))).unwrap_or_default()
    }
}

/// Puts the user that Basic credentials name (RFC 7617 section 2) into `name`, whether they are right or not: nothing where there is
/// none, or none that can be told.
#[inline(never)] // Seldom there.
fn user(authorization: &[u8], name: &mut Text<LOG_USER_MAX>) {
    let (scheme, credentials) = authorization.split_at_checked("Basic ".len()).unwrap_or_default();
    if scheme.eq_ignore_ascii_case(b"Basic ") {
        let mut room = 0..LOG_USER_MAX;
        for four in credentials.trim_ascii_start().chunks(4) {
            let mut three = [0; 3];
            let len = base64::decode(four, &mut three).unwrap_or(0);
            for byte in three.iter().take(len) {
                if *byte == b':' {
                    return;
                }
                if room.next().is_none() {
                    return name.clear();
                }
                name.push(&[*byte]);
            }
            if len == 0 {
                break;
            }
        }
    }
    name.clear();
}

#[cfg(test)]
mod tests;
