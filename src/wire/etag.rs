//! Entity tags and what conditional requests say about them (RFC 9110 sections 8.8.3 and 13.1).

use nom::bytes::complete::{tag, take_while};
use nom::combinator::opt;
use nom::sequence::delimited;
use nom::{IResult, Parser};

use super::chars::{is_ows, trim_ows};
use super::date::parse_date;

/// RFC 9110 section 8.8.3: an entity tag.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct EntityTag<'a> {
    weak: bool,
    /// What stands between the quotes.
    opaque: &'a [u8],
}

type Parsed<'a, T> = IResult<&'a [u8], T, ()>;

/// RFC 9110 section 8.8.3: entity-tag = \[ "W/" \] DQUOTE *etagc DQUOTE. A backslash is a byte like others.
fn parse_entity_tag(i: &[u8]) -> Parsed<'_, EntityTag<'_>> {
    let quote = || tag(b"\"".as_slice());
    let etagc = take_while(|byte| matches!(byte, 0x21 | 0x23..=0x7E | 0x80..=0xFF));
    let (rest, (weak, opaque)) = (opt(tag(b"W/".as_slice())), delimited(quote(), etagc, quote())).parse(i)?;
    Ok((rest, EntityTag { weak: weak.is_some(), opaque }))
}

/// A single entity tag and nothing else.
fn parse_whole(text: &[u8]) -> Option<EntityTag<'_>> {
    match parse_entity_tag(trim_ows(text)) {
        Ok(([], etag)) => Some(etag),
        _ => None,
    }
}

/// RFC 9110 sections 13.1.1 and 8.8.3.2: whether `If-Match` with the value `list` holds for a file whose tag is `etag`,
/// quotes included. `*` holds for every file. The comparison is strong: two weak tags never match.
///
/// What follows a syntax error in the list is not looked at.
pub fn matches_strong(list: &[u8], etag: &[u8]) -> bool {
    matches(list, etag, |a, b| !a.weak && !b.weak && a.opaque == b.opaque)
}

/// RFC 9110 sections 13.1.2 and 8.8.3.2: whether a tag in `list`, the value of `If-None-Match`, is `etag`, quotes included.
/// `*` is every file's. The comparison is weak: `W/` makes no difference.
///
/// What follows a syntax error in the list is not looked at.
pub fn matches_weak(list: &[u8], etag: &[u8]) -> bool {
    matches(list, etag, |a, b| a.opaque == b.opaque)
}

fn matches(list: &[u8], etag: &[u8], same: impl Fn(EntityTag<'_>, EntityTag<'_>) -> bool) -> bool {
    if trim_ows(list) == b"*" {
        return true;
    }
    let Some(ours) = parse_whole(etag) else {
        return false;
    };
    let mut rest = list;
    loop {
        let blank: Parsed<'_, &[u8]> = take_while(|byte| is_ows(byte) || byte == b',').parse(rest);
        let Ok((i, _)) = blank else { return false };
        let Ok((i, theirs)) = parse_entity_tag(i) else {
            return false;
        };
        if same(theirs, ours) {
            return true;
        }
        let blank: Parsed<'_, &[u8]> = take_while(is_ows).parse(i);
        let Ok((i, _)) = blank else { return false };
        if i.first() != Some(&b',') {
            return false;
        }
        rest = i;
    }
}

/// RFC 9110 section 13.1.5: what `If-Range` makes a range depend on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum IfRange<'a> {
    /// That the file still has this tag, by strong comparison ([`matches_strong`]; a weak one never matches).
    Etag(&'a [u8]),
    /// That the file was last modified at exactly this time, seconds since 1970.
    Date(i64),
    /// Neither can be read: the condition fails, the whole file is sent.
    Invalid,
}

/// RFC 9110 section 13.1.5: If-Range = entity-tag / HTTP-date.
pub fn parse_if_range(value: &[u8]) -> IfRange<'_> {
    let value = trim_ows(value);
    if parse_whole(value).is_some() {
        return IfRange::Etag(value);
    }
    parse_date(value).map_or(IfRange::Invalid, IfRange::Date)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: &[u8] = b"\"abc\"";

    #[test]
    fn lists() {
        for (list, strong, weak) in [
            ("*", true, true),
            (" * ", true, true),
            (r#""abc""#, true, true),
            (r#"W/"abc""#, false, true),
            (r#""x", "abc""#, true, true),
            (r#""x" ,W/"abc""#, false, true),
            (r#"W/"abc", "abc""#, true, true),
            (r#",, "abc","#, true, true),
            (r#""a,b", "abc""#, true, true),
            (r#""a\", "abc""#, true, true),
            (r#""", "abc""#, true, true),
            ("\"\u{e9}\", \"abc\"", true, true),
            (r#""ABC""#, false, false),
            (r#""ab""#, false, false),
            ("abc", false, false),
            (r#"w/"abc""#, false, false),
            (r#"W/ "abc""#, false, false),
            (r#""abc"#, false, false),
            (r#""x" "abc""#, false, false),
            (r#""x y", "abc""#, false, false),
            (r#"x, "abc""#, false, false),
            (r#"*, "abc""#, false, false),
            ("", false, false),
            (",", false, false),
        ] {
            assert_eq!(matches_strong(list.as_bytes(), OURS), strong, "{list}");
            assert_eq!(matches_weak(list.as_bytes(), OURS), weak, "{list}");
        }
    }

    #[test]
    fn a_weak_tag_of_ours_never_matches_strongly() {
        assert!(!matches_strong(br#""abc""#, br#"W/"abc""#));
        assert!(!matches_strong(br#"W/"abc""#, br#"W/"abc""#));
        assert!(matches_weak(br#""abc""#, br#"W/"abc""#));
        assert!(!matches_weak(br#""abc""#, b"abc"));
    }

    #[test]
    fn if_range() {
        assert_eq!(parse_if_range(br#""abc""#), IfRange::Etag(br#""abc""#));
        assert_eq!(parse_if_range(br#" W/"abc""#), IfRange::Etag(br#"W/"abc""#));
        assert_eq!(parse_if_range(b"Sun, 06 Nov 1994 08:49:37 GMT"), IfRange::Date(784_111_777));
        for value in ["", "*", "abc", r#""abc", "d""#, r#""abc"#, "Sun, 06 Nov 1994"] {
            assert_eq!(parse_if_range(value.as_bytes()), IfRange::Invalid, "{value}");
        }
    }
}
