//! Where a head ends, and whether an unfinished one can still become valid.

use super::HeadError;
use super::parse::{parse_method_token, parse_target_text, parse_version};
use crate::limits::{HEAD_MAX, REQUEST_LINE_MAX};
use crate::wire::chars::find;

/// RFC 9112 section 2.2: how many bytes of empty lines (CRLF) stand before the request line. They are no part of the
/// request and may be dropped.
#[inline]
pub fn skip_empty_lines(buf: &[u8]) -> usize {
    match buf {
        [b'\r', b'\n', rest @ ..] => count_empty_lines(rest),
        _ => 0,
    }
}

/// The same after a first empty line.
#[cold]
fn count_empty_lines(after_first: &[u8]) -> usize {
    let mut len = 2;
    let mut rest = after_first;
    while let [b'\r', b'\n', after @ ..] = rest {
        rest = after;
        len += 2;
    }
    len
}

/// Offset just after the empty line that ends the first head in `buf`; `None` while it is not there yet.
///
/// `from` is an offset already searched: the length `buf` had when an earlier call answered `None`, or 0. An end mark that
/// was split over two reads is found. Empty lines before the request line end nothing: a buffer of nothing but those holds
/// no head.
#[inline]
#[cfg_attr(tuned, optimize(speed))]
pub fn find_end(buf: &[u8], from: usize) -> Option<usize> {
    const END: &[u8; 4] = b"\r\n\r\n";
    // The mark may stand anywhere from here on, over the edge of what was searched too.
    let start = from.saturating_sub(3).max(skip_empty_lines(buf));
    // Of four bytes in a row one is the mark's last, or there is none among them: every fourth byte is looked at, and
    // nearly all of them are of no line end.
    let mut at = start + 3;
    while let Some(&byte) = buf.get(at) {
        if byte > b'\r' {
            at += 4;
        } else if byte == b'\n' && buf.get(at - 3..=at) == Some(END) {
            return Some(at + 1);
        } else {
            at += 1;
        }
    }
    None
}

/// Tells of an unfinished head, one in which [`find_end`] finds no end, whether it can never become valid, so that a client
/// is refused as soon as that is certain and not only when its head is whole or its time is over.
///
/// Looked at are the lengths, the request line so far, and line ends; the fields are left to
/// [`parse_head`](super::parse_head). No prefix of a head that `parse_head` accepts is refused.
///
/// # Errors
/// What `parse_head` would answer, or [`HeadError::UriTooLong`] and [`HeadError::FieldsTooLarge`] as soon as a limit of
/// [`limits`](crate::limits) is passed.
pub fn check_partial(buf: &[u8]) -> Result<(), HeadError> {
    let head = buf.get(skip_empty_lines(buf)..).unwrap_or(&[]);
    check_line_length(head)?;
    check_request_line(head)?;
    check_line_ends(head)?;
    if buf.len() >= HEAD_MAX {
        return Err(HeadError::FieldsTooLarge);
    }
    Ok(())
}

/// Refuses a request line, finished or not, that is longer than [`REQUEST_LINE_MAX`] without its CRLF. `head` starts with
/// the request line.
pub(super) fn check_line_length(head: &[u8]) -> Result<(), HeadError> {
    let line = find(head, b'\n').unwrap_or(head.len());
    let line = match line.checked_sub(1).and_then(|last| head.get(last)) {
        Some(b'\r') => line - 1,
        _ => line,
    };
    if line > REQUEST_LINE_MAX { Err(HeadError::UriTooLong) } else { Ok(()) }
}

/// Follows the request line as far as it has come.
fn check_request_line(i: &[u8]) -> Result<(), HeadError> {
    // A lone CR may be the first half of an empty line.
    if matches!(i, [] | [b'\r']) {
        return Ok(());
    }
    let (i, _) = parse_method_token(i)?;
    let Some((b' ', i)) = i.split_first() else {
        return if i.is_empty() { Ok(()) } else { Err(HeadError::BadRequest("malformed method")) };
    };
    if i.is_empty() {
        return Ok(());
    }
    let (i, _) = parse_target_text(i)?;
    let Some((b' ', i)) = i.split_first() else {
        return if i.is_empty() { Ok(()) } else { Err(HeadError::BadRequest("malformed request target")) };
    };
    check_version(i)
}

/// Follows version and line end as far as they have come.
fn check_version(i: &[u8]) -> Result<(), HeadError> {
    // Whatever is missing is filled up from a valid line, so that one rule judges both.
    const WHOLE: &[u8; 10] = b"HTTP/1.1\r\n";
    let mut line = *WHOLE;
    for (to, from) in line.iter_mut().zip(i) {
        *to = *from;
    }
    match parse_version(&line).map_err(HeadError::from) {
        // What is still to come may show that this is no version at all.
        Err(HeadError::VersionNotSupported) if i.len() < WHOLE.len() => Ok(()),
        result => result.map(|_| ()),
    }
}

/// RFC 9112 section 2.2: refuses a line feed that no carriage return precedes.
fn check_line_ends(head: &[u8]) -> Result<(), HeadError> {
    let mut rest = head;
    while let Some(at) = find(rest, b'\n') {
        if at.checked_sub(1).and_then(|before| rest.get(before)) != Some(&b'\r') {
            return Err(HeadError::BadRequest("line feed without carriage return"));
        }
        rest = rest.get(at + 1..).unwrap_or(&[]);
    }
    Ok(())
}
