//! The grammar of one line of a configuration file, one `parse_*` a rule, and the words of a value.
//!
//! ```text
//! line    = empty / comment / section / meta / entry
//! comment = "#" ...                     at column 1, or first after the indent
//! section = "[" NAME "]" ...            at column 1
//! meta    = "@" WORD " " VALUE          at column 1
//! entry   = indent KEY " " VALUE        indent: the same run of blanks in a whole file
//! rule    = indent "---" ...            ignored, for drawing lines
//! flush   = KEY "=" VALUE               at column 1, in files that may be of that form: palm.conf
//! ```

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

/// A space or a tab: what stands between the words of a line. The lines themselves hold no other white space.
pub(super) fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The text before the first byte that `ends` it, and the rest from there on. `ends` must hold for ASCII only.
///
/// One plain function for all the grammars of the configuration: combinators, made anew for each rule, took three times the
/// room in the binary.
#[inline(never)]
pub(super) fn cut(text: &str, ends: fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(ends).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// Whether two names are the same but for the case of ASCII letters. One plain function: the one of the standard library is made
/// anew, at 200 bytes, wherever it is called.
#[inline(never)]
pub(super) fn same(a: &str, b: &str) -> bool {
    let mut rest = b.bytes();
    a.len() == b.len() && a.bytes().all(|a| rest.next().is_some_and(|b| a.eq_ignore_ascii_case(&b)))
}

/// `text` is words with blanks between: the first one, trimmed of the blanks before it, and the trimmed rest.
pub(super) fn first_word(text: &str) -> (&str, &str) {
    let (word, rest) = cut(text.trim_ascii_start(), is_blank);
    (word, rest.trim_ascii())
}

/// The words of a value.
#[derive(Clone, Debug)]
pub(super) struct Words<'a>(pub(super) &'a str);

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (word, rest) = first_word(self.0);
        self.0 = rest;
        if word.is_empty() { None } else { Some(word) }
    }
}

/// A line without its end mark.
pub(super) fn parse_line(line: &str) -> Line<'_> {
    let body = line.trim_ascii_start();
    let indent = line.get(..line.len() - body.len()).unwrap_or_default();
    match body.as_bytes().first() {
        None => Line::Empty,
        Some(_) if !indent.is_empty() => Line::Indented(indent, parse_body(body)),
        Some(b'#') => Line::Comment,
        Some(b'[') => parse_section(line),
        Some(b'@') => parse_meta(line),
        Some(_) => Line::Wrong("indentation level is too low: a key stands indented below its [SECTION]"),
    }
}

fn parse_section(line: &str) -> Line<'_> {
    match cut(line, |byte| byte == b']') {
        (_, "") => Line::Wrong("bad header definition: a section is written [NAME]"),
        (name, _) => Line::Section(name.get(1..).unwrap_or_default()),
    }
}

fn parse_meta(line: &str) -> Line<'_> {
    match cut(line.get(1..).unwrap_or_default(), is_blank) {
        (word, value) if !word.is_empty() && !value.trim_ascii().is_empty() => Line::Meta(word, value.trim_ascii()),
        _ => Line::Wrong("a directive needs a value: @INCLUDE FILE"),
    }
}

/// Whether a line that is wrong otherwise may be meant as [`parse_assignment`].
#[cfg(feature = "palm-server")]
pub(super) fn is_flush(line: &str) -> bool {
    !line.starts_with(['[', '@'])
}

/// `KEY = VALUE`, blanks around the first equals sign or none.
#[cfg(feature = "palm-server")]
pub(super) fn parse_assignment(line: &str) -> Body<'_> {
    match cut(line, |byte| byte == b'=') {
        (_, "") => Body::Wrong("neither KEY = VALUE nor an indented key: write one of them"),
        (key, value) => match (key.trim_ascii_end(), value.get(1..).unwrap_or_default().trim_ascii()) {
            ("", _) => Body::Wrong("a key stands before the equals sign: KEY = VALUE"),
            (_, "") => {
                Body::Wrong("key has an empty value: put the value behind the equals sign, or a # before the key")
            }
            (key, value) => Body::Entry(key, value),
        },
    }
}

/// What stands after an indent. The key ends at the first space: a tab does not part it from its value, as in the original.
fn parse_body(body: &str) -> Body<'_> {
    if body.starts_with('#') || body.starts_with("---") {
        return Body::Ignored;
    }
    if body.starts_with('[') {
        return Body::Wrong("bad header definition: a [SECTION] stands at column 1");
    }
    match cut(body, |byte| byte == b' ') {
        (_, "") => Body::Wrong("each key must have a value: the key, a space (not a tab), the value"),
        (_, value) if value.trim_ascii().is_empty() => {
            Body::Wrong("key has an empty value: put the value after the space, or a # before the key")
        }
        (key, value) => Body::Entry(key.trim_ascii_end(), value.trim_ascii()),
    }
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
