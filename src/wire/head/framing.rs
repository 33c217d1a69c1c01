//! How the body is delimited, and what else the fields about the connection say (RFC 9112 sections 6 and 9).

use nom::Parser;
use nom::character::complete::digit1;
use nom::combinator::all_consuming;

use super::parse::Parsed;
use super::{Framing, Head, HeadError, Method, Version};
use crate::wire::chars::{find, is_word};
use crate::wire::list::members;

/// What all `Transfer-Encoding` fields say together.
#[derive(Clone, Copy, Default)]
pub(in crate::wire) struct Codings {
    present: bool,
    chunked: bool,
    chunked_is_last: bool,
    chunked_twice: bool,
    others: bool,
    /// There is a comma or a second field, so place for more than one member.
    list: bool,
}

impl Codings {
    /// RFC 9112 section 6.1: adds the codings one `Transfer-Encoding` field lists.
    #[cold]
    pub(in crate::wire) fn add(&mut self, value: &[u8]) {
        self.list |= self.present || find(value, b',').is_some();
        self.present = true;
        for coding in members(value) {
            self.chunked_is_last = is_word(coding, b"chunked");
            if self.chunked_is_last {
                self.chunked_twice |= self.chunked;
                self.chunked = true;
            } else {
                self.others = true;
            }
        }
    }

    /// Whether there is such a field.
    pub(in crate::wire) fn present(&self) -> bool {
        self.present
    }
}

/// RFC 9112 section 6.3, made strict: any doubt about the end of the body is an error.
#[inline]
pub(super) fn decide(
    method: Method,
    version: Version,
    codings: Codings,
    length: Option<&[u8]>,
) -> Result<Framing, HeadError> {
    if !codings.present && length.is_none() {
        return match method {
            Method::Post | Method::Put => Err(HeadError::LengthRequired),
            _ => Ok(Framing::None),
        };
    }
    decide_body(version, codings, length)
}

/// The same where there is one of the two fields at least; `length` is the value of the only `Content-Length`.
#[cold]
pub(in crate::wire) fn decide_body(
    version: Version,
    codings: Codings,
    length: Option<&[u8]>,
) -> Result<Framing, HeadError> {
    if !codings.present {
        return parse_content_length(length.unwrap_or(&[])).map(Framing::Length);
    }
    if length.is_some() {
        return Err(HeadError::BadRequest("both Transfer-Encoding and Content-Length"));
    }
    if version == Version::Http10 {
        return Err(HeadError::BadRequest("Transfer-Encoding in HTTP/1.0"));
    }
    if !codings.chunked_is_last {
        return Err(HeadError::BadRequest("the last transfer coding is not chunked"));
    }
    if codings.chunked_twice {
        return Err(HeadError::BadRequest("chunked applied twice"));
    }
    if codings.others {
        return Err(HeadError::TransferCoding);
    }
    // RFC 9110 section 5.6.1.2 would pass over empty members; readers that do not know it see no body here.
    if codings.list {
        return Err(HeadError::BadRequest("empty member in Transfer-Encoding"));
    }
    Ok(Framing::Chunked)
}

/// RFC 9110 section 8.6: Content-Length = 1*DIGIT.
pub(in crate::wire) fn parse_content_length(value: &[u8]) -> Result<u64, HeadError> {
    let parsed: Parsed<'_, &[u8]> = all_consuming(digit1).parse(value);
    let (_, digits) = parsed.map_err(|_| HeadError::BadRequest("malformed Content-Length"))?;
    let mut length: i64 = 0;
    for digit in digits {
        let next = length.checked_mul(10).and_then(|tens| tens.checked_add(i64::from(digit - b'0')));
        length = next.ok_or(HeadError::LengthTooLarge)?;
    }
    Ok(length.unsigned_abs())
}

/// RFC 9110 section 7.6.1: notes what one `Connection` field lists.
pub(super) fn note_connection(head: &mut Head, value: &[u8]) {
    for option in members(value) {
        head.close |= is_word(option, b"close");
        head.keep_alive |= is_word(option, b"keep-alive");
        head.upgrade |= is_word(option, b"upgrade");
    }
}

/// RFC 9110 section 10.1.1: notes what one `Expect` field asks for.
#[cold]
pub(super) fn note_expect(head: &mut Head, value: &[u8]) {
    for expectation in members(value) {
        if is_word(expectation, b"100-continue") {
            head.expect_continue = true;
        } else {
            head.expect_other = true;
        }
    }
}
