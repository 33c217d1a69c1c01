//! Why a request head was refused, and the status that says so.

use core::fmt;

use nom::error::{ErrorKind, ParseError};

/// Why a request head was refused. After any of these the connection must be closed: where the next request would start
/// is not known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HeadError {
    /// 400: the head breaks the grammar, or its framing can be read in two ways. The text says where.
    BadRequest(&'static str),
    /// 414: the request line is longer than [`REQUEST_LINE_MAX`](crate::limits::REQUEST_LINE_MAX).
    UriTooLong,
    /// 431: the head is longer than [`HEAD_MAX`](crate::limits::HEAD_MAX) or has more fields than
    /// [`FIELDS_MAX`](crate::limits::FIELDS_MAX).
    FieldsTooLarge,
    /// 505: a version of HTTP other than 1.0 and 1.1.
    VersionNotSupported,
    /// 413: a `Content-Length` beyond 63 bits.
    LengthTooLarge,
    /// 411: a POST or PUT with neither `Content-Length` nor chunked coding.
    LengthRequired,
    /// 501: a transfer coding other than chunked stands before it.
    TransferCoding,
}

impl HeadError {
    /// The status code to answer with.
    pub const fn status(&self) -> u16 {
        match self {
            HeadError::BadRequest(_) => 400,
            HeadError::UriTooLong => 414,
            HeadError::FieldsTooLarge => 431,
            HeadError::VersionNotSupported => 505,
            HeadError::LengthTooLarge => 413,
            HeadError::LengthRequired => 411,
            HeadError::TransferCoding => 501,
        }
    }
}

impl fmt::Display for HeadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeadError::BadRequest(why) => why,
            HeadError::UriTooLong => "request line over 8 KB: shorten the address",
            HeadError::FieldsTooLarge => "request head over 16 KB or 64 fields: send fewer or smaller fields",
            HeadError::VersionNotSupported => "HTTP version other than 1.0 and 1.1",
            HeadError::LengthTooLarge => "Content-Length beyond 63 bits",
            HeadError::LengthRequired => "POST or PUT without a length: send Content-Length or chunked coding",
            HeadError::TransferCoding => "transfer coding other than chunked: send the body chunked only",
        })
    }
}

impl<'a> ParseError<&'a [u8]> for HeadError {
    fn from_error_kind(_: &'a [u8], _: ErrorKind) -> HeadError {
        HeadError::BadRequest("malformed request head")
    }

    fn append(_: &'a [u8], _: ErrorKind, first: HeadError) -> HeadError {
        first
    }
}

impl From<nom::Err<HeadError>> for HeadError {
    #[inline]
    fn from(error: nom::Err<HeadError>) -> HeadError {
        match error {
            nom::Err::Error(error) | nom::Err::Failure(error) => error,
            nom::Err::Incomplete(_) => HeadError::BadRequest("unfinished request head"),
        }
    }
}
