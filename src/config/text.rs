//! The grammar of one line of a configuration file, one `parse_*` a rule.
//!
//! ```text
//! line    = empty / comment / section / meta / entry
//! comment = "#" ...                     at column 1, or first after the indent
//! section = "[" NAME "]" ...            at column 1
//! meta    = "@" WORD " " VALUE          at column 1
//! entry   = indent KEY " " VALUE        indent: the same run of blanks in a whole file
//! rule    = indent "---" ...            ignored, for drawing lines
//! ```

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_till1, take_while, take_while1};
use nom::character::complete::char;
use nom::combinator::{map, rest};
use nom::sequence::{delimited, preceded, separated_pair, terminated};
use nom::{IResult, Parser};

/// What one line says. The slices are parts of the line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// Nothing but blanks.
    Empty,
    /// A comment at column 1.
    Comment,
    /// `[NAME]`.
    Section(&'a str),
    /// `@WORD VALUE`.
    Meta(&'a str, &'a str),
    /// An indented line: the indent, and what stands after it.
    Indented(&'a str, Body<'a>),
    /// None of these.
    Wrong(&'static str),
}

/// What stands after the indent of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Body<'a> {
    /// A comment, or a ruler of dashes.
    Ignored,
    /// `KEY VALUE`, both trimmed.
    Entry(&'a str, &'a str),
    /// Neither.
    Wrong(&'static str),
}

fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

/// A line without its end mark.
pub(super) fn parse_line(line: &str) -> Line<'_> {
    if line.chars().all(is_blank) {
        return Line::Empty;
    }
    let mut any = alt((parse_comment, parse_section, parse_meta, parse_indented));
    match any.parse(line) {
        Ok((_, parsed)) => parsed,
        Err(_) if line.starts_with('[') => Line::Wrong("bad header definition: a section is written [NAME]"),
        Err(_) if line.starts_with('@') => Line::Wrong("a directive needs a value: @INCLUDE FILE"),
        Err(_) => Line::Wrong("indentation level is too low: a key stands indented below its [SECTION]"),
    }
}

fn parse_comment(line: &str) -> IResult<&str, Line<'_>> {
    map(preceded(char('#'), rest), |_| Line::Comment).parse(line)
}

fn parse_section(line: &str) -> IResult<&str, Line<'_>> {
    map(delimited(char('['), take_till(|c| c == ']'), char(']')), Line::Section).parse(line)
}

fn parse_meta(line: &str) -> IResult<&str, Line<'_>> {
    let word = preceded(char('@'), take_till1(is_blank));
    map(separated_pair(word, take_while1(is_blank), parse_value), |(word, value)| Line::Meta(word, value)).parse(line)
}

fn parse_indented(line: &str) -> IResult<&str, Line<'_>> {
    let body = alt((map(alt((tag("#"), tag("---"))), |_| Body::Ignored), parse_entry));
    map((take_while1(is_blank), body), |(indent, body)| Line::Indented(indent, body)).parse(line)
}

/// The key ends at the first space: a tab does not part it from its value, as in the original.
fn parse_entry(line: &str) -> IResult<&str, Body<'_>> {
    if line.starts_with('[') {
        return Ok(("", Body::Wrong("bad header definition: a [SECTION] stands at column 1")));
    }
    let (value, key) = take_till(|c| c == ' ').parse(line)?;
    let body = match parse_blanks_and_value(value) {
        _ if value.is_empty() => Body::Wrong("each key must have a value: the key, a space (not a tab), the value"),
        Ok((_, value)) => Body::Entry(key.trim_end_matches(is_blank), value),
        Err(_) => Body::Wrong("key has an empty value: put the value after the space, or a # before the key"),
    };
    Ok(("", body))
}

fn parse_blanks_and_value(text: &str) -> IResult<&str, &str> {
    preceded(take_while(is_blank), parse_value).parse(text)
}

/// The rest of the line without the blanks at its end; not empty.
fn parse_value(text: &str) -> IResult<&str, &str> {
    let trimmed = text.trim_end_matches(is_blank);
    terminated(take_while1(|_| true), rest).parse(trimmed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines() {
        for (line, parsed) in [
            ("", Line::Empty),
            (" \t ", Line::Empty),
            ("# note", Line::Comment),
            ("[SERVER]", Line::Section("SERVER")),
            ("[SERVER] # note", Line::Section("SERVER")),
            ("[]", Line::Section("")),
            ("[SERVER", Line::Wrong("bad header definition: a section is written [NAME]")),
            ("@INCLUDE a b ", Line::Meta("INCLUDE", "a b")),
            ("@SET\tk=v", Line::Meta("SET", "k=v")),
            ("@SET", Line::Wrong("a directive needs a value: @INCLUDE FILE")),
            ("@SET  ", Line::Wrong("a directive needs a value: @INCLUDE FILE")),
            ("    # note", Line::Indented("    ", Body::Ignored)),
            ("\t--- x", Line::Indented("\t", Body::Ignored)),
            ("  Key value", Line::Indented("  ", Body::Entry("Key", "value"))),
            ("  Key \t value # no comment\t ", Line::Indented("  ", Body::Entry("Key", "value # no comment"))),
            ("  Key\t value", Line::Indented("  ", Body::Entry("Key", "value"))),
        ] {
            assert_eq!(parse_line(line), parsed, "{line:?}");
        }
        for line in ["  Key", "  Key\tvalue"] {
            assert!(
                matches!(parse_line(line), Line::Indented("  ", Body::Wrong(what)) if what.starts_with("each key must have a value")),
                "{line:?}"
            );
        }
        assert!(
            matches!(parse_line("  Key  "), Line::Indented(_, Body::Wrong(what)) if what.starts_with("key has an empty value"))
        );
        assert!(
            matches!(parse_line("  [HOST]"), Line::Indented(_, Body::Wrong(what)) if what.starts_with("bad header"))
        );
        assert!(
            matches!(parse_line("Key value"), Line::Wrong(what) if what.starts_with("indentation level is too low"))
        );
    }
}
