//! `[HEADERS]` and `[CACHE]`: what is added to the responses of matching paths.

use super::diagnostic::{Findings, Position, offset_of};
use super::raw::RawEntry;
use super::text::{cut, first_word, is_blank, same};
use crate::wire::chars::is_tchar;
use crate::wire::pattern::{Pattern, PatternError};

/// Longest field line that a rule may add, bytes without CR LF. A longer one is an error.
pub const FIELD_LINE_MAX: usize = 1024;

/// `[HEADERS] Match REGEX Name: value`.
#[derive(Clone, Debug)]
pub struct HeaderRule {
    /// Searched in the decoded path without query.
    pub pattern: Pattern,
    /// `Name: value`, without CR LF and without any control byte.
    pub line: String,
}

/// `[CACHE] Match REGEX VALUE`.
#[derive(Clone, Debug)]
pub struct CacheRule {
    /// Searched in the decoded path without query.
    pub pattern: Pattern,
    /// The value of Cache-Control, without any control byte.
    pub value: String,
}

/// Fields the server writes, or whose meaning depends on how it frames the message (RFC 9110, RFC 9112).
const REFUSED: &[&str] = &[
    "Accept-Ranges",
    "Allow",
    "Connection",
    "Content-Encoding",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "Date",
    "ETag",
    "Keep-Alive",
    "Last-Modified",
    "Location",
    "Proxy-Connection",
    "Server",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
];

pub(super) fn header(entry: &RawEntry<'_>, out: &mut Findings) -> Option<HeaderRule> {
    let value = entry.value;
    let Some((pattern, name, field_value)) = parse_header(value) else {
        return out.refuse(&entry.value_at, "write REGEX Name: value, such as \\.js$ X-Content-Type-Options: nosniff");
    };
    let name_at = entry.value_at.of_part(value, name);
    if let Some(known) = REFUSED.iter().find(|known| same(known, name)) {
        return out.refuse(&name_at, format_args!("{known} is written by the server alone: take this line out"));
    }
    if same(name, "Cache-Control") {
        return out.refuse(&name_at, "Cache-Control is set in [CACHE]: Match REGEX VALUE");
    }
    let length = name.len() + ": ".len() + field_value.len();
    check_field(field_value, length, &entry.value_at.of_part(value, field_value), &name_at, out)?;
    Some(HeaderRule { pattern: compile(pattern, entry, out)?, line: format!("{name}: {field_value}") })
}

pub(super) fn cache(entry: &RawEntry<'_>, out: &mut Findings) -> Option<CacheRule> {
    let value = entry.value;
    let (pattern, control) = first_word(value);
    if control.is_empty() {
        return out.refuse(&entry.value_at, "write REGEX VALUE, such as \\.(js|css)$ max-age=3600");
    }
    let at = entry.value_at.of_part(value, control);
    check_field(control, "Cache-Control: ".len() + control.len(), &at, &at, out)?;
    Some(CacheRule { pattern: compile(pattern, entry, out)?, value: control.into() })
}

/// `rule = REGEX blank NAME ":" blank VALUE`
fn parse_header(text: &str) -> Option<(&str, &str, &str)> {
    let (pattern, field) = first_word(text);
    let (name, rest) = cut(field, |byte| !is_tchar(byte));
    let value = rest.strip_prefix(':')?.trim_ascii_start();
    (!name.is_empty() && !value.is_empty()).then_some((pattern, name, value))
}

/// `at` is the place of the value, `length` that of the field line, `start` its place.
fn check_field(value: &str, length: usize, at: &Position<'_>, start: &Position<'_>, out: &mut Findings) -> Option<()> {
    check_text(value, at, out)?;
    if length > FIELD_LINE_MAX {
        return out.refuse(start, format_args!("the field is longer than {FIELD_LINE_MAX} bytes: shorten it"));
    }
    Some(())
}

/// RFC 9110 section 5.5, without obs-text: `at` is the place of the value. The grammar has already refused CR, LF and other
/// control bytes but the tab.
pub(super) fn check_text(value: &str, at: &Position<'_>, out: &mut Findings) -> Option<()> {
    let Some(bad) = value.bytes().position(|byte| !byte.is_ascii_graphic() && !is_blank(byte)) else { return Some(()) };
    let c = value.get(bad..).and_then(|rest| rest.chars().next()).unwrap_or_default();
    out.refuse(&at.within(value, bad), format_args!("a field cannot hold '{c}': write ASCII only"))
}

/// Compiles a pattern, which is a part of an entry's value, or says where in it the fault is.
pub(super) fn compile(text: &str, entry: &RawEntry<'_>, out: &mut Findings) -> Option<Pattern> {
    pattern(Pattern::compile(text), text, entry, out)
}

/// The same of a pattern that was made of a part of a value in whatever way.
#[inline(never)]
pub(super) fn pattern(
    made: Result<Pattern, PatternError>,
    text: &str,
    entry: &RawEntry<'_>,
    out: &mut Findings,
) -> Option<Pattern> {
    match made {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            let at = entry.value_at.within(entry.value, offset_of(entry.value, text) + error.at);
            out.refuse(&at, format_args!("pattern: {}", error.what))
        }
    }
}
