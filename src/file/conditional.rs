//! Conditional requests (RFC 9110 section 13): which of them apply, in the order of precedence of section 13.2.2.

use crate::vhost::request::Request;
use crate::wire::date::parse_date;
use crate::wire::etag::{IfRange, matches_strong, matches_weak, parse_if_range};
use crate::wire::head::{Method, Name};

/// Length of an entity tag: sixteen digits in quotes.
pub(super) const ETAG_LEN: usize = 18;

/// The text of an entity tag.
pub(super) fn etag_text(etag: u64) -> [u8; ETAG_LEN] {
    let mut text = [b'"'; ETAG_LEN];
    for (place, digit) in text.iter_mut().skip(1).take(16).enumerate() {
        let nibble = (etag >> (60 - 4 * place)) & 15;
        *digit = b"0123456789abcdef".get(nibble as usize).copied().unwrap_or(b'0');
    }
    text
}

/// The validators of a file as it is now.
pub struct Validators<'a> {
    /// The strong entity tag, in quotes.
    pub etag: &'a [u8],
    /// Seconds of the modification time.
    pub mtime: i64,
    /// That time is over, so that no second change can have the same (RFC 9110 section 8.8.2.2).
    pub settled: bool,
}

/// What the conditions of a request come to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// They hold: answer.
    Proceed,
    /// The client has the file already: 304.
    NotModified,
    /// The file is not in the state the client demands: 412.
    Failed,
}

/// Judges all conditions but If-Range.
pub fn judge(request: &Request<'_>, file: &Validators<'_>) -> Verdict {
    let reading = matches!(request.head.method, Method::Get | Method::Head);
    if request.field(Name::IfMatch).is_some() {
        if !request.fields(b"if-match").any(|list| matches_strong(list, file.etag)) {
            return Verdict::Failed;
        }
    } else if let Some(date) = request.field(Name::IfUnmodifiedSince).and_then(parse_date)
        && file.mtime > date
    {
        return Verdict::Failed;
    }
    if request.field(Name::IfNoneMatch).is_some() {
        if request.fields(b"if-none-match").any(|list| matches_weak(list, file.etag)) {
            return if reading { Verdict::NotModified } else { Verdict::Failed };
        }
    } else if reading
        && let Some(date) = request.field(Name::IfModifiedSince).and_then(parse_date)
        && file.mtime <= date
    {
        return Verdict::NotModified;
    }
    Verdict::Proceed
}

/// Whether a Range field of the request counts: only on GET, and only if If-Range names this state of the file.
pub fn range_applies(request: &Request<'_>, file: &Validators<'_>) -> bool {
    if request.head.method != Method::Get {
        return false;
    }
    match request.field(Name::IfRange).map(parse_if_range) {
        None => true,
        Some(IfRange::Etag(tag)) => tag == file.etag,
        Some(IfRange::Date(date)) => date == file.mtime && file.settled,
        Some(IfRange::Invalid) => false,
    }
}
