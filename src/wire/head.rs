//! The head of an HTTP/1.1 request: request line and fields (RFC 9112 sections 2, 3 and 5).
//!
//! The way in: [`find_end`] until it finds the end of the head, [`check_partial`] while it does not, then [`parse_head`]
//! once. Reading is strict: wherever two readers could take a head for two different requests it is refused.

mod end;
mod error;
mod framing;
mod parse;

pub use end::{check_partial, find_end, skip_empty_lines};
pub use error::HeadError;
pub use parse::{parse_head, parse_start};

pub(super) use framing::{Codings, decide_body, parse_content_length};
pub(super) use parse::name_fault;

use super::host::Authority;
use super::span::Span;
use crate::limits::FIELDS_MAX;

/// RFC 9110 section 9: the request methods this server tells apart. Methods are compared with case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `OPTIONS`
    Options,
    /// `PATCH` (RFC 5789)
    Patch,
    /// `TRACE`
    Trace,
    /// `CONNECT`
    Connect,
    /// Any other token, of any length. To be answered 501.
    Other,
}

/// RFC 9112 section 2.3: the two versions of HTTP this server speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    Http11,
}

/// The fields that have a place of their own in [`Head`], found by [`Head::get`] without a search.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
#[allow(missing_docs)] // each is the field of that name
pub enum Name {
    Accept,
    AcceptEncoding,
    Authorization,
    Connection,
    ContentLength,
    ContentType,
    Cookie,
    Expect,
    Host,
    IfMatch,
    IfModifiedSince,
    IfNoneMatch,
    IfRange,
    IfUnmodifiedSince,
    KeepAlive,
    Origin,
    Range,
    Referer,
    TransferEncoding,
    Upgrade,
    UserAgent,
    XForwardedFor,
}

/// How many [`Name`]s there are.
const NAMES: usize = Name::XForwardedFor as usize + 1;

/// RFC 9112 section 5: one field line.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Field {
    /// The name, as it was sent; compare it without case.
    pub name: Span,
    /// The value without the blanks around it. It may hold obs-text (0x80 to 0xFF).
    pub value: Span,
}

/// RFC 9112 section 6.3: how long the body is, and how its end is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// No body.
    None,
    /// As many bytes as `Content-Length` says, at most `i64::MAX`.
    Length(u64),
    /// Chunked (RFC 9112 section 7.1).
    Chunked,
}

/// A parsed request head: spans into the buffer it was parsed from. Kept by the caller and used again for the next
/// request; about 600 bytes.
#[derive(Clone, Debug)]
pub struct Head {
    /// The method.
    pub method: Method,
    /// Where the method stands, for logs and for [`Method::Other`].
    pub method_span: Span,
    /// The request target: visible ASCII, otherwise unchecked; see [`parse_target`](super::target::parse_target).
    pub target: Span,
    /// The version.
    pub version: Version,
    /// How the body is delimited.
    pub framing: Framing,
    /// The `Host` field, if there is one and it is not empty. Its spans count from the start of the buffer. Every HTTP/1.1
    /// head that parses has one.
    pub host: Option<Authority>,
    /// `Connection` lists `close`.
    pub close: bool,
    /// `Connection` lists `keep-alive`.
    pub keep_alive: bool,
    /// `Connection` lists `upgrade`.
    pub upgrade: bool,
    /// `Expect: 100-continue` was sent.
    pub expect_continue: bool,
    /// An `Expect` other than `100-continue` was sent: the server may answer 417 (RFC 9110 section 10.1.1).
    pub expect_other: bool,
    count: u8,
    /// One more than the index of the first field of each [`Name`]; 0 when there is none.
    known: [u8; NAMES],
    fields: [Field; FIELDS_MAX],
}

const _: () = assert!(FIELDS_MAX < u8::MAX as usize);

impl Head {
    /// A head with nothing in it, to parse into.
    pub const fn new() -> Head {
        Head {
            method: Method::Other,
            method_span: Span { start: 0, len: 0 },
            target: Span { start: 0, len: 0 },
            version: Version::Http11,
            framing: Framing::None,
            host: None,
            close: false,
            keep_alive: false,
            upgrade: false,
            expect_continue: false,
            expect_other: false,
            count: 0,
            known: [0; NAMES],
            fields: [Field { name: Span { start: 0, len: 0 }, value: Span { start: 0, len: 0 } }; FIELDS_MAX],
        }
    }

    /// The value of the first field called `name`.
    #[inline(always)]
    #[cfg_attr(tuned, optimize(speed))]
    pub fn get(&self, name: Name) -> Option<Span> {
        let index = self.known.get(usize::from(name as u8)).copied().unwrap_or(0);
        let field = self.fields.get(usize::from(index).checked_sub(1)?)?;
        Some(field.value)
    }

    /// All fields in the order they were sent.
    pub fn fields(&self) -> &[Field] {
        self.fields.get(..usize::from(self.count)).unwrap_or(&[])
    }

    /// RFC 9112 section 9.3: whether the client wants the connection kept after this request.
    #[inline]
    pub fn persistent(&self) -> bool {
        !self.close && (self.version == Version::Http11 || self.keep_alive)
    }

    /// Empties everything but the field table, whose old entries `count` hides.
    #[inline]
    fn reset(&mut self) {
        self.method = Method::Other;
        self.method_span = Span::default();
        self.target = Span::default();
        self.version = Version::Http11;
        self.framing = Framing::None;
        self.host = None;
        self.close = false;
        self.keep_alive = false;
        self.upgrade = false;
        self.expect_continue = false;
        self.expect_other = false;
        self.count = 0;
        self.known = [0; NAMES];
    }
}

impl Default for Head {
    fn default() -> Head {
        Head::new()
    }
}
