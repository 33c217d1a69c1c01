//! One line about one request. Whatever a client sends, it stays one line: see [`escape`](super::escape).

use std::net::IpAddr;

use crate::config::plugins::logger::Format;
use crate::http::output::Sink;
use crate::http::status::reason;
use crate::limits::LOG_USER_MAX;
use crate::plugin::hooks::Answer;
use crate::plugins::logger::escape::{Line, Quoting};
use crate::sys::socket::Peer;
use crate::vhost::request::Request;
use crate::wire::date::{DATE_LEN, ISO_DATE_LEN, write_date, write_iso_date};
use crate::wire::head::{Name, Version};

/// What the parts of a line are cut at, bytes as they are written.
const METHOD_MAX: usize = 16;
const TARGET_MAX: usize = 700;
const PATH_MAX: usize = 500;
const QUERY_MAX: usize = 300;
const FIELD_MAX: usize = 300;
const HOST_MAX: usize = 80;

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

/// What a line is about.
pub(super) struct Entry<'a> {
    pub(super) time: &'a Time,
    /// None = what came was no request.
    pub(super) request: Option<&'a Request<'a>>,
    pub(super) peer: &'a Peer,
    pub(super) answer: Answer,
}

impl Entry<'_> {
    /// Writes the line with its end.
    #[inline(never)]
    pub(super) fn write(&self, format: Format, line: &mut Line<'_>) {
        match format {
            Format::Monkey if self.answer.status < 400 => self.access(line),
            Format::Monkey => self.error(line),
            Format::Common | Format::Combined => self.common(format, line),
            Format::Json => self.json(line),
        }
        line.push(b"\n");
    }

    fn method(&self) -> &[u8] {
        self.request.map_or(b"-", |request| request.head.method_span.of(request.input))
    }

    fn target(&self) -> &[u8] {
        self.request.map_or(b"-", |request| request.head.target.of(request.input))
    }

    /// The target without the query, and the query.
    fn path(&self) -> (&[u8], Option<&[u8]>) {
        let target = self.target();
        let end = target.iter().position(|&byte| byte == b'?').unwrap_or(target.len());
        let (path, query) = target.split_at_checked(end).unwrap_or((target, b""));
        (path, query.get(1..))
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

    fn push_length(&self, line: &mut Line<'_>) {
        match self.answer.length {
            Some(length) => line.push_decimal(length),
            None => line.push(b"-"),
        }
    }

    fn begin(&self, line: &mut Line<'_>) {
        push_address(self.peer, line);
        line.push(b" - [");
        line.push(self.time.plain());
        line.push(b"] ");
    }

    fn access(&self, line: &mut Line<'_>) {
        self.begin(line);
        line.push_part(self.method(), METHOD_MAX, Quoting::Bare);
        line.push(b" ");
        line.push_part(self.path().0, TARGET_MAX, Quoting::Bare);
        line.push(b" ");
        line.push(self.version());
        line.push(b" ");
        line.push_decimal(self.answer.status.into());
        line.push(b" ");
        self.push_length(line);
    }

    fn error(&self, line: &mut Line<'_>) {
        let status = self.answer.status;
        self.begin(line);
        line.push(b"[error ");
        line.push_decimal(status.into());
        line.push(b"] ");
        // The statuses that the original has a text for.
        if !matches!(status, 400 | 403..=405 | 408 | 411 | 413 | 500 | 501 | 505) {
            return line.push(b"(no description)");
        }
        line.push(reason(status).as_bytes());
        let (tail, max) = match status {
            403 | 404 => (self.path().0, TARGET_MAX),
            405 | 501 => (self.method(), METHOD_MAX),
            _ => return,
        };
        line.push(b" ");
        line.push_part(tail, max, Quoting::Bare);
    }

    fn common(&self, format: Format, line: &mut Line<'_>) {
        push_address(self.peer, line);
        line.push(b" - ");
        let user = user(self.field(Name::Authorization));
        line.push_part(user.as_deref().unwrap_or(b"-"), LOG_USER_MAX, Quoting::Word);
        line.push(b" [");
        let (day, rest) = self.time.plain().split_at(11);
        line.push(day);
        line.push(b":");
        line.push(rest.get(1..).unwrap_or_default());
        line.push(b"] \"");
        if self.request.is_some() {
            line.push_part(self.method(), METHOD_MAX, Quoting::Quoted);
            line.push(b" ");
            line.push_part(self.target(), TARGET_MAX, Quoting::Quoted);
            line.push(b" ");
        }
        line.push(self.version());
        line.push(b"\" ");
        line.push_decimal(self.answer.status.into());
        line.push(b" ");
        self.push_length(line);
        if format == Format::Combined {
            for name in [Name::Referer, Name::UserAgent] {
                line.push(b" \"");
                line.push_part(self.field(name), FIELD_MAX, Quoting::Quoted);
                line.push(b"\"");
            }
        }
    }

    fn json(&self, line: &mut Line<'_>) {
        line.push(b"{\"time\":\"");
        line.push(&self.time.iso);
        line.push(b"\",\"remote\":\"");
        push_address(self.peer, line);
        let (path, query) = self.path();
        let host = self.request.and_then(|request| Some(request.head.host?.host.of(request.input)));
        let (referer, agent) = (self.field(Name::Referer), self.field(Name::UserAgent));
        push_text(line, b"\",\"method\":\"", self.method(), METHOD_MAX);
        push_text(line, b"\",\"path\":\"", path, PATH_MAX);
        push_text(line, b"\",\"query\":\"", query.unwrap_or_default(), QUERY_MAX);
        line.push(b"\",\"status\":");
        line.push_decimal(self.answer.status.into());
        line.push(b",\"bytes\":");
        line.push_decimal(self.answer.length.unwrap_or(0));
        push_text(line, b",\"referer\":\"", referer, FIELD_MAX);
        push_text(line, b"\",\"agent\":\"", agent, FIELD_MAX);
        push_text(line, b"\",\"host\":\"", host.unwrap_or_default(), HOST_MAX);
        line.push(b"\"}");
    }
}

/// What stands before a text of JSON, its opening quote included, and the text.
fn push_text(line: &mut Line<'_>, begin: &[u8], text: &[u8], max: usize) {
    line.push(begin);
    line.push_part(text, max, Quoting::Json);
}

fn push_address(peer: &Peer, line: &mut Line<'_>) {
    match peer.ip() {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    line.push(b".");
                }
                line.push_decimal(octet.into());
            }
        }
        IpAddr::V6(address) => {
            let mut text = heapless::String::<40>::new();
            let _ = core::fmt::write(&mut text, format_args!("{address}"));
            line.push(text.as_bytes());
        }
    }
}

/// The user that Basic credentials name (RFC 7617 section 2), whether they are right or not. None = there is none, or none that can be
/// told.
fn user(authorization: &[u8]) -> Option<heapless::Vec<u8, LOG_USER_MAX>> {
    let (scheme, credentials) = authorization.split_at_checked("Basic ".len())?;
    if !scheme.eq_ignore_ascii_case(b"Basic ") {
        return None;
    }
    let mut user = heapless::Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for &byte in credentials.trim_ascii_start() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            match (bits >> count) as u8 {
                b':' => return Some(user).filter(|user| !user.is_empty()),
                byte => user.push(byte).ok()?,
            }
        }
    }
    None
}

#[cfg(test)]
mod tests;
