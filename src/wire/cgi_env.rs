//! Request fields as CGI variables (RFC 3875 section 4.1.18): `Accept-Language` is `HTTP_ACCEPT_LANGUAGE`. CGI, FastCGI and Palm take
//! them from here.

use super::chars::is_word;
use super::head::{Field, Head};
use super::writer::Writer;

/// How a program learns of a request field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// As a variable of its name, `HTTP_` before it.
    Variable,
    /// `Content-Length` and `Content-Type`: as `CONTENT_LENGTH` and `CONTENT_TYPE`, which the caller writes.
    Own,
    /// `Authorization` and `Proxy-Authorization`: as a variable only where the operator has chosen so, for other programs of the
    /// machine may read it (RFC 3875 section 9.2).
    Secret,
    /// Not at all: `Proxy`, since programs take `HTTP_PROXY` for the address of a proxy; and every name that is not made of letters, digits
    /// and hyphens, since `X_Y` and `X-Y` would be the same variable.
    Never,
}

/// RFC 3875 section 4.1.18: how a program learns of the field called `name`.
pub fn place_of(name: &[u8]) -> Place {
    let is = |lower: &[u8]| is_word(name, lower);
    if is(b"proxy") || name.is_empty() || !name.iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        Place::Never
    } else if is(b"content-length") || is(b"content-type") {
        Place::Own
    } else if is(b"authorization") || is(b"proxy-authorization") {
        Place::Secret
    } else {
        Place::Variable
    }
}

/// A variable for the fields of one name.
#[derive(Clone, Debug)]
pub struct Variable<'a> {
    /// The fields of the request from the first of that name on.
    fields: &'a [Field],
    buf: &'a [u8],
}

/// RFC 3875 section 4.1.18: the variables for the fields of a request, `Authorization` and `Proxy-Authorization` among them only if
/// `secret`. Fields of the same name make one variable. `buf` is what `head` was parsed from.
pub fn variables<'a>(head: &'a Head, buf: &'a [u8], secret: bool) -> impl Iterator<Item = Variable<'a>> {
    let all = head.fields();
    all.iter().enumerate().filter_map(move |(at, field)| {
        let name = field.name.of(buf);
        let (before, fields) = all.split_at_checked(at)?;
        let wanted = match place_of(name) {
            Place::Variable => true,
            Place::Secret => secret,
            Place::Own | Place::Never => false,
        };
        let first = || before.iter().all(|other| !other.name.of(buf).eq_ignore_ascii_case(name));
        (wanted && first()).then_some(Variable { fields, buf })
    })
}

/// A byte of a field's name in that of its variable.
fn upper(byte: &u8) -> u8 {
    if *byte == b'-' { b'_' } else { byte.to_ascii_uppercase() }
}

impl<'a> Variable<'a> {
    /// What stands before a field's name.
    const PREFIX: &'static [u8] = b"HTTP_";

    /// The field's name, as it was sent first.
    pub fn field(&self) -> &'a [u8] {
        self.fields.first().map_or(&[], |field| field.name.of(self.buf))
    }

    /// The values, in the order they were sent.
    pub fn values(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (name, buf) = (self.field(), self.buf);
        let same = self.fields.iter().filter(move |field| field.name.of(buf).eq_ignore_ascii_case(name));
        same.map(move |field| field.value.of(buf))
    }

    /// RFC 9110 section 5.3, RFC 9113 section 8.2.3: what stands between two values.
    pub fn separator(&self) -> &'static [u8] {
        if is_word(self.field(), b"cookie") { b"; " } else { b", " }
    }

    /// Number of bytes of the variable's name.
    pub fn name_len(&self) -> usize {
        Self::PREFIX.len().saturating_add(self.field().len())
    }

    /// The bytes of the variable's name: upper case, `_` for each hyphen.
    pub fn name(&self) -> impl Iterator<Item = u8> + use<'a> {
        Self::PREFIX.iter().copied().chain(self.field().iter().map(upper))
    }

    /// Writes the variable's name.
    pub fn push_name(&self, out: &mut Writer<'_>) {
        out.push(Self::PREFIX);
        out.fill(|rest| {
            let field = self.field();
            let place = rest.get_mut(..field.len())?;
            place.copy_from_slice(field);
            for byte in place {
                *byte = upper(byte);
            }
            Some(field.len())
        });
    }

    /// Number of bytes of the variable's value.
    pub fn value_len(&self) -> usize {
        let between = self.separator().len();
        let sum = self.values().fold(0usize, |sum, value| sum.saturating_add(value.len()).saturating_add(between));
        sum.saturating_sub(between)
    }

    /// Writes the variable's value: the values of all fields of the name, `, ` between them, or `; ` for cookies. It holds no line end
    /// and no NUL, since no field does.
    pub fn push_value(&self, out: &mut Writer<'_>) {
        for (nth, value) in self.values().enumerate() {
            if nth > 0 {
                out.push(self.separator());
            }
            out.push(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::head::parse_head;

    /// The variables of a request with `fields`.
    fn of(fields: &str, secret: bool) -> Vec<(String, String)> {
        let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
        let mut head = Head::new();
        parse_head(text.as_bytes(), &mut head).unwrap();
        let one = |variable: Variable<'_>| {
            let mut room = [0; 512];
            let mut out = Writer::new(&mut room);
            variable.push_name(&mut out);
            assert_eq!(out.len(), variable.name_len());
            let name = String::from_utf8(out.bytes().to_vec()).unwrap();
            let mut out = Writer::new(&mut room);
            variable.push_value(&mut out);
            assert_eq!(out.len(), variable.value_len());
            (name, String::from_utf8(out.bytes().to_vec()).unwrap())
        };
        variables(&head, text.as_bytes(), secret).map(one).collect()
    }

    fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
        list.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn names_are_upper_case_with_underlines() {
        assert_eq!(
            of("accept-Language: de\r\nX-9a: \r\n", false),
            pairs(&[("HTTP_HOST", "a"), ("HTTP_ACCEPT_LANGUAGE", "de"), ("HTTP_X_9A", "")])
        );
    }

    #[test]
    fn fields_of_one_name_are_one_variable() {
        assert_eq!(
            of("X-A: 1\r\nCookie: a=1\r\nx-a: \r\nX-B: 2\r\ncookie: b=2\r\nX-A: 3\r\n", false),
            pairs(&[("HTTP_HOST", "a"), ("HTTP_X_A", "1, , 3"), ("HTTP_COOKIE", "a=1; b=2"), ("HTTP_X_B", "2")])
        );
    }

    #[test]
    fn what_programs_must_not_see_is_left_out() {
        let fields = "Proxy: http://evil\r\nPROXY: x\r\nContent-Type: a/b\r\nX_Y: 1\r\nX.Y: 1\r\nX!: 1\r\n";
        assert_eq!(of(fields, true), pairs(&[("HTTP_HOST", "a")]));
    }

    #[test]
    fn credentials_only_where_they_are_wanted() {
        let fields = "Authorization: Basic YTpi\r\nProxy-Authorization: Basic YTpi\r\n";
        assert_eq!(of(fields, false), pairs(&[("HTTP_HOST", "a")]));
        assert_eq!(of(fields, true).len(), 3);
    }

    #[test]
    fn places() {
        for (name, place) in [
            ("Host", Place::Variable),
            ("-", Place::Variable),
            ("", Place::Never),
            ("proxy", Place::Never),
            ("X_Forwarded_For", Place::Never),
            ("a b", Place::Never),
            ("CONTENT-length", Place::Own),
            ("content-TYPE", Place::Own),
            ("authorization", Place::Secret),
        ] {
            assert_eq!(place_of(name.as_bytes()), place, "{name}");
        }
    }

    #[test]
    fn two_names_never_make_one_variable() {
        let variable =
            |name: &[u8]| name.iter().map(|b| if *b == b'-' { b'_' } else { b.to_ascii_uppercase() }).collect();
        let names: Vec<Vec<u8>> = (0..=255u8).map(|byte| vec![b'x', byte]).collect();
        let mut seen: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
        for name in names.iter().filter(|name| place_of(name) == Place::Variable) {
            let made: Vec<u8> = variable(name);
            for (other, from) in &seen {
                assert!(*other != made || from.eq_ignore_ascii_case(name), "{name:?} {from:?}");
            }
            seen.push((made, name.clone()));
        }
        assert_eq!(seen.len(), 63);
    }
}
