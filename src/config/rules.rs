//! `[HEADERS]` and `[CACHE]`: what is added to the responses of matching paths.

use nom::bytes::complete::{take_till1, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::rest;
use nom::sequence::{preceded, separated_pair};
use nom::{IResult, Parser};

use super::diagnostic::Findings;
use super::raw::RawEntry;
use crate::wire::chars::is_tchar;
use crate::wire::pattern::Pattern;

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
    let Ok((_, (pattern, (name, field_value)))) = parse_header(value) else {
        out.error(&entry.value_at, "write REGEX Name: value, such as \\.js$ X-Content-Type-Options: nosniff");
        return None;
    };
    let name_at = entry.value_at.within(value, nom::Offset::offset(value, name));
    if let Some(known) = REFUSED.iter().find(|known| known.eq_ignore_ascii_case(name)) {
        out.error(&name_at, format!("{known} is written by the server alone: take this line out"));
        return None;
    }
    if name.eq_ignore_ascii_case("Cache-Control") {
        out.error(&name_at, "Cache-Control is set in [CACHE]: Match REGEX VALUE");
        return None;
    }
    let value_at = entry.value_at.within(value, nom::Offset::offset(value, field_value));
    check_field_value(field_value, &value_at, out)?;
    let line = format!("{name}: {field_value}");
    if line.len() > FIELD_LINE_MAX {
        out.error(&name_at, format!("the field is longer than {FIELD_LINE_MAX} bytes: shorten it"));
        return None;
    }
    Some(HeaderRule { pattern: compile(pattern, entry, out)?, line })
}

pub(super) fn cache(entry: &RawEntry<'_>, out: &mut Findings) -> Option<CacheRule> {
    let value = entry.value;
    let Ok((_, (pattern, control))) = parse_cache(value) else {
        out.error(&entry.value_at, "write REGEX VALUE, such as \\.(js|css)$ max-age=3600");
        return None;
    };
    let at = entry.value_at.within(value, nom::Offset::offset(value, control));
    check_field_value(control, &at, out)?;
    if control.len() > FIELD_LINE_MAX - "Cache-Control: ".len() {
        out.error(&at, format!("the field is longer than {FIELD_LINE_MAX} bytes: shorten it"));
        return None;
    }
    Some(CacheRule { pattern: compile(pattern, entry, out)?, value: control.into() })
}

/// `rule = REGEX blank NAME ":" blank VALUE`
fn parse_header(text: &str) -> IResult<&str, (&str, (&str, &str))> {
    let name = take_while1(|c: char| u8::try_from(c).is_ok_and(is_tchar));
    let value = preceded(take_while(is_blank), parse_rest);
    separated_pair(parse_regex, blanks, separated_pair(name, char(':'), value)).parse(text)
}

/// `rule = REGEX blank VALUE`
fn parse_cache(text: &str) -> IResult<&str, (&str, &str)> {
    separated_pair(parse_regex, blanks, parse_rest).parse(text)
}

fn parse_regex(text: &str) -> IResult<&str, &str> {
    take_till1(is_blank).parse(text)
}

fn blanks(text: &str) -> IResult<&str, &str> {
    take_while1(is_blank).parse(text)
}

fn parse_rest(text: &str) -> IResult<&str, &str> {
    nom::combinator::verify(rest, |text: &str| !text.is_empty()).parse(text)
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// RFC 9110 section 5.5, without obs-text. The grammar has already refused CR, LF and other control bytes but the tab.
fn check_field_value(text: &str, at: &super::Position, out: &mut Findings) -> Option<()> {
    match text.char_indices().find(|(_, c)| !c.is_ascii_graphic() && !is_blank(*c)) {
        None => Some(()),
        Some((offset, c)) => {
            out.error(&at.within(text, offset), format!("a field cannot hold '{c}': write ASCII only"));
            None
        }
    }
}

fn compile(text: &str, entry: &RawEntry<'_>, out: &mut Findings) -> Option<Pattern> {
    match Pattern::compile(text) {
        Ok(pattern) => Some(pattern),
        Err(error) => {
            out.error(&entry.value_at.within(entry.value, error.at), format!("pattern: {}", error.what));
            None
        }
    }
}
