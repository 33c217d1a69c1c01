//! RFC 8259: a reader of JSON, strict and slow, for tests and fuzzing of what writes it (feature `test-switches`).

/// How deep lists and objects may stand in each other.
const DEPTH_MAX: u32 = 32;

/// A value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Value {
    /// `null`
    Null,
    /// `true` and `false`
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A string.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// An object. No name is in it twice.
    Object(Vec<(String, Value)>),
}

impl Value {
    /// The member of an object that has this name.
    pub fn member(&self, name: &str) -> Option<&Value> {
        let Value::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The string that it is.
    pub fn text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }
}

/// Reads one value with nothing but blanks around it. None = it is no JSON, has a name twice in an object, an escape of a surrogate
/// (which nothing here writes), or nests too deep.
pub fn parse(text: &[u8]) -> Option<Value> {
    let mut reader = Reader(str::from_utf8(text).ok()?);
    let value = reader.value(0)?;
    reader.next().is_none().then_some(value)
}

/// What is not read yet.
struct Reader<'a>(&'a str);

impl Reader<'_> {
    /// The next character that is no blank, section 2.
    fn next(&mut self) -> Option<char> {
        self.0 = self.0.trim_start_matches([' ', '\t', '\n', '\r']);
        self.0.chars().next()
    }

    fn take(&mut self, token: &str) -> Option<()> {
        self.next();
        self.0 = self.0.strip_prefix(token)?;
        Some(())
    }

    fn value(&mut self, depth: u32) -> Option<Value> {
        match self.next()? {
            _ if depth == DEPTH_MAX => None,
            'n' => self.take("null").map(|()| Value::Null),
            't' => self.take("true").map(|()| Value::Bool(true)),
            'f' => self.take("false").map(|()| Value::Bool(false)),
            '"' => self.string().map(Value::Text),
            '[' => {
                let mut list = Vec::new();
                self.items("[", "]", &mut |reader| {
                    list.push(reader.value(depth + 1)?);
                    Some(())
                })?;
                Some(Value::List(list))
            }
            '{' => {
                let mut members: Vec<(String, Value)> = Vec::new();
                self.items("{", "}", &mut |reader| {
                    reader.next();
                    let name = reader.string()?;
                    reader.take(":")?;
                    let is_new = members.iter().all(|(known, _)| *known != name);
                    members.push((name, reader.value(depth + 1)?));
                    is_new.then_some(())
                })?;
                Some(Value::Object(members))
            }
            _ => self.number(),
        }
    }

    /// Items with commas between.
    fn items(&mut self, open: &str, close: &str, each: &mut dyn FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.take(open)?;
        if self.take(close).is_some() {
            return Some(());
        }
        loop {
            each(self)?;
            if self.take(",").is_none() {
                return self.take(close);
            }
        }
    }

    /// Section 6: no plus, no zero before another digit, a digit on both sides of the point.
    fn number(&mut self) -> Option<Value> {
        let end = self.0.find(|c: char| !c.is_ascii_digit() && !"+-.eE".contains(c)).unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at_checked(end)?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let (base, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (whole, fraction) = base.split_once('.').unwrap_or((base, "0"));
        let whole = whole.strip_prefix('-').unwrap_or(whole);
        let is_sound = digits(whole) && (whole == "0" || !whole.starts_with('0')) && digits(fraction);
        self.0 = rest;
        let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        (is_sound && digits(exponent)).then(|| Value::Number(text.into()))
    }

    /// Section 7.
    fn string(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut chars = self.0.strip_prefix('"')?.chars();
        loop {
            let c = match chars.next()? {
                '"' => break,
                '\\' => match chars.next()? {
                    c @ ('"' | '\\' | '/') => c,
                    'b' => '\x08',
                    'f' => '\x0c',
                    'n' => '\n',
                    'r' => '\r',
                    't' => '\t',
                    'u' => {
                        let digits = chars.as_str().get(..4).filter(|digits| !digits.starts_with('+'))?;
                        chars = chars.as_str().get(4..)?.chars();
                        char::from_u32(u32::from_str_radix(digits, 16).ok()?)?
                    }
                    _ => return None,
                },
                '\0'..='\x1f' => return None,
                c => c,
            };
            text.push(c);
        }
        self.0 = chars.as_str();
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let value =
            parse(br#" {"a" : [1, -0.5e+3,null], "b":{"c":true,"d":false}, "e\u00E9\/\\\"\n":"", "f": []}"#).unwrap();
        let number = |text: &str| Value::Number(text.into());
        assert_eq!(value.member("a"), Some(&Value::List(vec![number("1"), number("-0.5e+3"), Value::Null])));
        assert_eq!(value.member("b").and_then(|b| b.member("d")), Some(&Value::Bool(false)));
        assert_eq!(value.member("e\u{e9}/\\\"\n").and_then(Value::text), Some(""));
        assert_eq!(value.member("f"), Some(&Value::List(Vec::new())));
    }

    #[test]
    fn what_is_no_json() {
        for text in [
            "",
            "{",
            "}",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":1,\"a\":2}",
            "01",
            "1.",
            ".5",
            "+1",
            "-",
            "1e",
            "1 2",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\u+123\"",
            "\"\\ud800\"",
            "\"\t\"",
            "'a'",
            "nul",
            "truee",
            "[\"a\":1]",
            "\u{feff}1",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(b"\"\xff\""), None);
        let nested = |depth: usize| parse(format!("{}{}", "[".repeat(depth), "]".repeat(depth)).as_bytes());
        assert!(nested(32).is_some() && nested(33).is_none() && nested(100_000).is_none());
    }
}
