//! The grammar of a request head.

use nom::bytes::complete::take_while;
use nom::{IResult, Parser};

use super::end::{check_line_length, skip_empty_lines};
use super::framing::{Codings, decide, note_connection, note_expect};
use super::{Field, Head, HeadError, Method, Name, Version};
use crate::limits::{HEAD_MAX, REQUEST_LINE_MAX};
use crate::wire::chars::{ends, field_text_len, is_tchar, token_len, trim_ows_end, trim_ows_start, visible_len};
use crate::wire::host::parse_host_at;
use crate::wire::span::Span;

pub(super) type Parsed<'a, T> = IResult<&'a [u8], T, HeadError>;

/// Parses a whole head into `head`: `buf` ends with the empty line that [`find_end`](super::find_end) found. Empty lines
/// before the request line are skipped.
///
/// Only what this request needs of `head` is written. After an error `head` holds what was read up to it: a method and
/// target whose spans are empty were not reached.
///
/// # Errors
/// A [`HeadError`] with the status to answer; the connection must then be closed.
pub fn parse_head(buf: &[u8], head: &mut Head) -> Result<(), HeadError> {
    if buf.len() > HEAD_MAX {
        check_line_length(buf.get(skip_empty_lines(buf)..).unwrap_or(&[]))?;
        return Err(HeadError::FieldsTooLarge);
    }
    match parse_start(buf, head)? {
        end if end == buf.len() => Ok(()),
        _ => Err(HeadError::BadRequest("bytes after the end of the head")),
    }
}

/// Parses the head that `buf`, of at most [`HEAD_MAX`] bytes, begins with, and tells where it ends: what [`parse_head`] makes of it,
/// without the search for its end.
///
/// # Errors
/// There is no valid head, or not all of it is here: the error may be another than [`parse_head`] has for the whole head.
#[inline(never)]
#[cfg_attr(tuned, optimize(speed))]
pub fn parse_start(buf: &[u8], head: &mut Head) -> Result<usize, HeadError> {
    head.reset();
    let start = skip_empty_lines(buf);
    let i = buf.get(start..).unwrap_or(&[]);
    let (i, ()) = parse_request_line(i, buf.len(), head)?;
    if buf.len() - i.len() - start > REQUEST_LINE_MAX + 2 {
        return Err(HeadError::UriTooLong);
    }
    let (i, codings) = parse_fields(i, buf, head)?;
    if head.version == Version::Http11 && head.host.is_none() {
        return Err(HeadError::BadRequest("HTTP/1.1 request without Host"));
    }
    let length = head.get(Name::ContentLength).map(|span| span.of(buf));
    head.framing = decide(head.method, head.version, codings, length)?;
    Ok(buf.len() - i.len())
}

#[cold]
fn bad<'a, T>(why: &'static str) -> Parsed<'a, T> {
    Err(nom::Err::Failure(HeadError::BadRequest(why)))
}

/// RFC 9112 section 3: request-line = method SP request-target SP HTTP-version CRLF. `total` is the length of the buffer
/// that `i` ends.
#[inline(always)]
fn parse_request_line<'a>(i: &'a [u8], total: usize, head: &mut Head) -> Parsed<'a, ()> {
    let start = total - i.len();
    let (i, method) = parse_method(i)?;
    head.method = method;
    head.method_span = Span::within(start, total - i.len());
    let (i, ()) = parse_sp(i, "malformed method")?;

    let start = total - i.len();
    let (i, _) = parse_target_text(i)?;
    head.target = Span::within(start, total - i.len());
    let (i, ()) = parse_sp(i, "malformed request target")?;

    let (i, version) = parse_version(i)?;
    head.version = version;
    Ok((i, ()))
}

/// RFC 9110 section 9.1: method = token.
#[inline]
fn parse_method(i: &[u8]) -> Parsed<'_, Method> {
    if let Some((start, _)) = i.split_first_chunk::<4>()
        && u32::from_le_bytes(*start) == u32::from_le_bytes(*b"GET ")
    {
        return Ok((i.get(3..).unwrap_or_default(), Method::Get));
    }
    let (i, name) = parse_method_token(i)?;
    let method = match name {
        b"GET" => Method::Get,
        b"HEAD" => Method::Head,
        b"POST" => Method::Post,
        b"PUT" => Method::Put,
        b"DELETE" => Method::Delete,
        b"OPTIONS" => Method::Options,
        b"TRACE" => Method::Trace,
        b"CONNECT" => Method::Connect,
        b"PATCH" => Method::Patch,
        _ => Method::Other,
    };
    Ok((i, method))
}

/// RFC 9110 section 5.6.2: token, here a method.
pub(super) fn parse_method_token(i: &[u8]) -> Parsed<'_, &[u8]> {
    let (rest, name) = take_while(is_tchar).parse(i)?;
    if name.is_empty() {
        return bad("malformed method");
    }
    Ok((rest, name))
}

/// RFC 9112 section 3.2: request-target, as far as which bytes it may hold.
#[inline(always)]
pub(super) fn parse_target_text(i: &[u8]) -> Parsed<'_, &[u8]> {
    match i.split_at_checked(visible_len(i)) {
        Some((target, rest)) if !target.is_empty() => Ok((rest, target)),
        _ => bad("malformed request target"),
    }
}

/// RFC 9112 section 3: exactly one SP between the parts of the request line.
#[inline]
fn parse_sp<'a>(i: &'a [u8], why: &'static str) -> Parsed<'a, ()> {
    match i {
        [b' ', rest @ ..] => Ok((rest, ())),
        _ => bad(why),
    }
}

/// RFC 9112 section 2.3: HTTP-version and the CRLF after it.
#[inline]
pub(super) fn parse_version(i: &[u8]) -> Parsed<'_, Version> {
    // As two numbers: the comparison of slices is a call.
    if let Some((protocol, rest)) = i.split_first_chunk::<8>()
        && let Some((end, rest)) = rest.split_first_chunk::<2>()
        && u64::from_le_bytes(*protocol) == u64::from_le_bytes(*b"HTTP/1.1")
        && u16::from_le_bytes(*end) == u16::from_le_bytes(*b"\r\n")
    {
        return Ok((rest, Version::Http11));
    }
    parse_other_version(i)
}

#[cold]
fn parse_other_version(i: &[u8]) -> Parsed<'_, Version> {
    match i {
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', rest @ ..] => match (major, minor) {
            (b'1', b'0') => Ok((rest, Version::Http10)),
            (b'1', b'1') => Ok((rest, Version::Http11)),
            (b'0'..=b'9', b'0'..=b'9') => Err(nom::Err::Failure(HeadError::VersionNotSupported)),
            _ => bad("malformed HTTP version"),
        },
        _ => bad("malformed HTTP version"),
    }
}

/// RFC 9112 section 2.1: *( field-line CRLF ) CRLF. `i` is the end of `buf`.
#[inline]
fn parse_fields<'a>(mut i: &'a [u8], buf: &[u8], head: &mut Head) -> Parsed<'a, Codings> {
    let mut codings = Codings::default();
    loop {
        if let [b'\r', b'\n', rest @ ..] = i {
            return Ok((rest, codings));
        }
        let start = buf.len() - i.len();
        let (rest, name) = parse_field_name(i)?;
        let (rest, (blanks, value)) = parse_field_value(rest)?;
        let value_start = start + name.len() + 1 + blanks;
        let field = Field {
            name: Span::within(start, start + name.len()),
            value: Span::within(value_start, value_start + value.len()),
        };
        let Some(slot) = head.fields.get_mut(usize::from(head.count)) else {
            return Err(nom::Err::Failure(HeadError::FieldsTooLarge));
        };
        *slot = field;
        head.count += 1;
        if let Some(known) = known_name(name) {
            note_known(known, value, value_start, &mut codings, head).map_err(nom::Err::Failure)?;
        }
        i = rest;
    }
}

/// Files a field that has a [`Name`] and takes from it what the head itself needs.
#[inline]
fn note_known(
    name: Name,
    value: &[u8],
    value_start: usize,
    codings: &mut Codings,
    head: &mut Head,
) -> Result<(), HeadError> {
    let Some(first) = head.known.get_mut(usize::from(name as u8)) else {
        return Ok(());
    };
    let repeated = *first != 0;
    if !repeated {
        *first = head.count;
    }
    match name {
        Name::Host if repeated => return Err(HeadError::BadRequest("more than one Host")),
        Name::ContentLength if repeated => {
            return Err(HeadError::BadRequest("more than one Content-Length"));
        }
        Name::Host if value.is_empty() => {}
        Name::Host => {
            let host = parse_host_at(value, value_start);
            head.host = Some(host.map_err(|_| HeadError::BadRequest("malformed Host"))?);
        }
        Name::TransferEncoding => codings.add(value),
        Name::Connection => note_connection(head, value),
        Name::Expect => note_expect(head, value),
        _ => {}
    }
    Ok(())
}

/// RFC 9112 section 5: field-name ":" with nothing between.
#[inline]
fn parse_field_name(i: &[u8]) -> Parsed<'_, &[u8]> {
    let (name, rest) = i.split_at_checked(token_len(i)).unwrap_or((i, &[]));
    match rest {
        [b':', rest @ ..] if !name.is_empty() => Ok((rest, name)),
        _ => bad(name_fault(name, rest)),
    }
}

/// Why what begins with the token `name`, followed by `rest`, is no field name with its colon.
#[cold]
pub(in crate::wire) fn name_fault(name: &[u8], rest: &[u8]) -> &'static str {
    match (name, rest) {
        ([], [b' ' | b'\t', ..]) => "blank at the start of a field line",
        ([], [b':', ..]) => "empty field name",
        (_, [b' ' | b'\t', ..]) => "blank after a field name",
        (_, []) => "unfinished request head",
        _ => "malformed field name",
    }
}

/// RFC 9112 section 5: OWS field-value OWS CRLF. Gives the blanks before the value and the value without those after it.
#[inline]
fn parse_field_value(i: &[u8]) -> Parsed<'_, (usize, &[u8])> {
    let (text, rest) = i.split_at_checked(field_text_len(i)).unwrap_or((i, &[]));
    let [b'\r', b'\n', rest @ ..] = rest else {
        return bad("control byte or bare line end in a field value");
    };
    let value = trim_ows_start(text);
    Ok((rest, (text.len() - value.len(), trim_ows_end(value))))
}

/// The [`Name`] of a field name made of token bytes, compared without case; `host` was looked for before.
#[inline(never)] // its vector constants would crowd out what the loop around it keeps in registers
#[cfg_attr(tuned, optimize(speed))]
fn known_name(name: &[u8]) -> Option<Name> {
    // At most two names have the same length and first byte: few comparisons, and of those most succeed.
    let (known, lower): (Name, &[u8]) = match (name.len(), name.first()? | 0x20) {
        (4, b'h') => (Name::Host, b"host"),
        (5, b'r') => (Name::Range, b"range"),
        (6, b'a') => (Name::Accept, b"accept"),
        (6, b'c') => (Name::Cookie, b"cookie"),
        (6, b'e') => (Name::Expect, b"expect"),
        (6, b'o') => (Name::Origin, b"origin"),
        (7, b'r') => (Name::Referer, b"referer"),
        (7, b'u') => (Name::Upgrade, b"upgrade"),
        (8, b'i') if is(name, b"if-match") => return Some(Name::IfMatch),
        (8, b'i') => (Name::IfRange, b"if-range"),
        (10, b'c') => (Name::Connection, b"connection"),
        (10, b'u') => (Name::UserAgent, b"user-agent"),
        (10, b'k') => (Name::KeepAlive, b"keep-alive"),
        (12, b'c') => (Name::ContentType, b"content-type"),
        (13, b'a') => (Name::Authorization, b"authorization"),
        (13, b'i') => (Name::IfNoneMatch, b"if-none-match"),
        (14, b'c') => (Name::ContentLength, b"content-length"),
        (15, b'a') => (Name::AcceptEncoding, b"accept-encoding"),
        (15, b'x') => (Name::XForwardedFor, b"x-forwarded-for"),
        (17, b'i') => (Name::IfModifiedSince, b"if-modified-since"),
        (17, b't') => (Name::TransferEncoding, b"transfer-encoding"),
        (19, b'i') => (Name::IfUnmodifiedSince, b"if-unmodified-since"),
        _ => return None,
    };
    is(name, lower).then_some(known)
}

/// Whether `name` is `lower` without case. Leaving bit 5 out is enough: what differs in it from a letter or a hyphen is the other case
/// of the letter, or no byte of a token.
#[inline(always)]
fn is(name: &[u8], lower: &[u8]) -> bool {
    const CASE: u64 = 0x2020_2020_2020_2020;
    if name.len() != lower.len() {
        return false;
    }
    match (ends(name), ends(lower)) {
        (Some([a, b]), Some([c, d])) => ((a ^ c) | (b ^ d)) & !CASE == 0,
        _ => name.eq_ignore_ascii_case(lower),
    }
}
