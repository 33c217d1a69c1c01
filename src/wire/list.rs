//! Comma-separated lists in field values.

use super::chars::trim_ows;

/// RFC 9110 section 5.6.1: the members of a comma-separated list, blanks around them removed, empty ones left out.
///
/// A comma inside a quoted string (RFC 9110 section 5.6.4) does not separate. A string that is never closed runs to the
/// end of the value.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    rest: &'a [u8],
}

/// The members of the list in `value`.
pub fn members(value: &[u8]) -> Members<'_> {
    Members { rest: value }
}

/// The pieces of one list member between semicolons: a name, then its parameters. Blanks around them are removed, quoted
/// strings respected, empty ones left out.
pub fn parts(member: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = member;
    core::iter::from_fn(move || next_piece(&mut rest, b';'))
}

impl<'a> Iterator for Members<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        next_piece(&mut self.rest, b',')
    }
}

fn next_piece<'a>(rest: &mut &'a [u8], separator: u8) -> Option<&'a [u8]> {
    while !rest.is_empty() {
        let (piece, after) = cut(rest, separator);
        *rest = after;
        let piece = trim_ows(piece);
        if !piece.is_empty() {
            return Some(piece);
        }
    }
    None
}

/// What stands before the first separator outside a quoted string, and what after it.
fn cut(text: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let mut quoted = false;
    let mut escaped = false;
    for (at, &byte) in text.iter().enumerate() {
        if escaped {
            escaped = false;
        } else if quoted && byte == b'\\' {
            escaped = true;
        } else if byte == b'"' {
            quoted = !quoted;
        } else if byte == separator && !quoted {
            let (before, after) = text.split_at_checked(at).unwrap_or((text, &[]));
            return (before, after.get(1..).unwrap_or(&[]));
        }
    }
    (text, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(value: &str) -> Vec<&str> {
        members(value.as_bytes()).map(|member| std::str::from_utf8(member).unwrap()).collect()
    }

    #[test]
    fn members_are_trimmed_and_empty_ones_left_out() {
        assert_eq!(split("a, b\t,c"), ["a", "b", "c"]);
        assert_eq!(split(" ,, a ,\t, "), ["a"]);
        assert_eq!(split(""), Vec::<&str>::new());
        assert_eq!(split(" , "), Vec::<&str>::new());
    }

    #[test]
    fn quoted_commas_do_not_separate() {
        assert_eq!(split(r#"a="x,y", b"#), [r#"a="x,y""#, "b"]);
        assert_eq!(split(r#""a\",b", c"#), [r#""a\",b""#, "c"]);
        assert_eq!(split(r#"a, "open, b"#), ["a", r#""open, b"#]);
        assert_eq!(split(r"a\,b"), [r"a\", "b"]);
    }

    #[test]
    fn parts_of_a_member() {
        let of = |member: &'static str| parts(member.as_bytes()).collect::<Vec<_>>();
        assert_eq!(of("text/html ; level=1;q=0.5"), [b"text/html".as_slice(), b"level=1", b"q=0.5"]);
        assert_eq!(of(r#"a;x="1;2""#), [b"a".as_slice(), br#"x="1;2""#]);
        assert_eq!(of(";"), Vec::<&[u8]>::new());
    }
}
