//! The grammar of patterns: text to a tree.

use super::{PatternError, Set};

/// How deep groups may nest; what bounds the recursion of the compiler.
const DEPTH_MAX: usize = 32;

/// The largest number in a `{m,n}`.
const REPEAT_MAX: u16 = 255;

/// A part of a pattern.
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// Takes one byte of the set.
    Byte(Set),
    /// The start of the text.
    Start,
    /// The end of the text.
    End,
    /// One after the other; the empty pattern when there is none.
    Sequence(Vec<Node>),
    /// Any of them.
    Choice(Vec<Node>),
    /// The part at least `min` times and, if there is one, at most `max` times.
    Repeat { part: Box<Node>, min: u16, max: Option<u16> },
}

type Result<T> = core::result::Result<T, PatternError>;

/// Parses a whole pattern.
pub(super) fn parse_pattern(text: &str) -> Result<Node> {
    let mut reader = Reader { text: text.as_bytes(), at: 0, depth: 0 };
    let node = reader.parse_choice()?;
    match reader.peek() {
        None => Ok(node),
        Some(_) => reader.fail("')' without '(': write \\) for the character itself"),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn take_if(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn fail<T>(&self, what: &'static str) -> Result<T> {
        Err(PatternError { at: self.at, what })
    }

    /// choice = sequence *( "|" sequence )
    fn parse_choice(&mut self) -> Result<Node> {
        let first = self.parse_sequence()?;
        if self.peek() != Some(b'|') {
            return Ok(first);
        }
        let mut choices = vec![first];
        while self.take_if(b'|') {
            choices.push(self.parse_sequence()?);
        }
        Ok(Node::Choice(choices))
    }

    /// sequence = *( item \[ repeat \] )
    fn parse_sequence(&mut self) -> Result<Node> {
        let mut parts = Vec::new();
        while !matches!(self.peek(), None | Some(b'|' | b')')) {
            let item = self.parse_item()?;
            parts.push(self.parse_repeat(item)?);
        }
        Ok(Node::Sequence(parts))
    }

    /// item = "." / "^" / "$" / class / group / escape / any other byte
    fn parse_item(&mut self) -> Result<Node> {
        match self.peek() {
            Some(b'(') => self.parse_group(),
            Some(b'*' | b'+' | b'?' | b'{') => {
                self.fail("a repeat with nothing before it: write \\ before the character itself")
            }
            Some(byte) => {
                self.at += 1;
                let set = match byte {
                    b'[' => self.parse_class()?,
                    b'\\' => self.parse_escape()?,
                    b'.' => Set::default().complement(),
                    b'^' => return Ok(Node::Start),
                    b'$' => return Ok(Node::End),
                    _ => single(byte),
                };
                Ok(Node::Byte(set))
            }
            None => self.fail("unfinished pattern"),
        }
    }

    /// group = "(" choice ")"
    fn parse_group(&mut self) -> Result<Node> {
        if self.depth == DEPTH_MAX {
            return self.fail("groups nested more than 32 deep");
        }
        let open = self.at;
        self.at += 1;
        if self.peek() == Some(b'?') {
            return self.fail("(? is not known here: a plain ( ) groups");
        }
        self.depth += 1;
        let node = self.parse_choice()?;
        self.depth -= 1;
        if !self.take_if(b')') {
            return Err(PatternError { at: open, what: "'(' without ')': write \\( for the character itself" });
        }
        Ok(node)
    }

    /// repeat = "*" / "+" / "?" / "{" number \[ "," \[ number \] \] "}"
    fn parse_repeat(&mut self, part: Node) -> Result<Node> {
        let start = self.at;
        let (min, max) = match self.peek() {
            Some(b'*') => (0, None),
            Some(b'+') => (1, None),
            Some(b'?') => (0, Some(1)),
            Some(b'{') => {
                self.at += 1;
                let bounds = self.parse_bounds()?;
                if self.peek() != Some(b'}') {
                    return Err(PatternError {
                        at: start,
                        what: "a repeat is {m}, {m,} or {m,n}: write \\{ for the character itself",
                    });
                }
                bounds
            }
            _ => return Ok(part),
        };
        self.at += 1;
        if matches!(part, Node::Start | Node::End) {
            return Err(PatternError { at: start, what: "'^' and '$' cannot be repeated" });
        }
        if max.is_some_and(|max| max < min) {
            return Err(PatternError { at: start, what: "the second number of a repeat is below the first" });
        }
        if matches!(self.peek(), Some(b'*' | b'+' | b'?' | b'{')) {
            return self.fail("a repeat after a repeat: put the first into ( )");
        }
        Ok(Node::Repeat { part: Box::new(part), min, max })
    }

    fn parse_bounds(&mut self) -> Result<(u16, Option<u16>)> {
        let min = self.parse_number()?;
        if !self.take_if(b',') {
            return Ok((min, Some(min)));
        }
        match self.peek() {
            Some(b'0'..=b'9') => Ok((min, Some(self.parse_number()?))),
            _ => Ok((min, None)),
        }
    }

    fn parse_number(&mut self) -> Result<u16> {
        let start = self.at;
        let mut number = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            self.at += 1;
            number = number * 10 + u16::from(digit - b'0');
            if number > REPEAT_MAX {
                return Err(PatternError { at: start, what: "a repeat of more than 255" });
            }
        }
        if self.at == start {
            return self.fail("a repeat is {m}, {m,} or {m,n}: write \\{ for the character itself");
        }
        Ok(number)
    }

    /// escape, after its backslash
    fn parse_escape(&mut self) -> Result<Set> {
        let Some(byte) = self.peek() else {
            return self.fail("a backslash with nothing after it");
        };
        let set = match byte {
            b'd' => set_of(|byte| byte.is_ascii_digit()),
            b'w' => set_of(|byte| byte.is_ascii_alphanumeric() || byte == b'_'),
            b's' => set_of(|byte| matches!(byte, b' ' | b'\t'..=b'\r')),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => {
                return self.fail("only \\d, \\w and \\s have a meaning after a backslash");
            }
            0x80.. => return self.fail("a backslash before a character that needs none"),
            _ => single(byte),
        };
        self.at += 1;
        Ok(set)
    }

    /// class, after its opening bracket: \[ "^" \] 1*( byte / byte "-" byte / escape ) "\]". A closing bracket that comes
    /// first, and a hyphen that comes first or last, stand for themselves.
    fn parse_class(&mut self) -> Result<Set> {
        let open = self.at - 1;
        let unclosed = PatternError { at: open, what: "'[' without ']': write \\[ for the character itself" };
        let negated = self.take_if(b'^');
        let mut set = Set::default();
        let mut start = true;
        loop {
            if !start && self.take_if(b']') {
                break;
            }
            start = false;
            let low = self.parse_class_item(unclosed)?;
            set = set.union(low);
            if self.peek() != Some(b'-') || self.text.get(self.at + 1) == Some(&b']') {
                continue;
            }
            let hyphen = self.at;
            self.at += 1;
            let high = self.parse_class_item(unclosed)?;
            let (Some(low), Some(high)) = (the_only(low), the_only(high)) else {
                return Err(PatternError { at: hyphen, what: "a range goes from one character to another" });
            };
            if low > high {
                return Err(PatternError { at: hyphen, what: "a range runs backwards" });
            }
            for byte in low..=high {
                set.insert(byte);
            }
        }
        Ok(if negated { set.complement() } else { set })
    }

    fn parse_class_item(&mut self, unclosed: PatternError) -> Result<Set> {
        match self.take() {
            None => Err(unclosed),
            Some(b'\\') => self.parse_escape(),
            Some(b'[') if matches!(self.peek(), Some(b':' | b'.' | b'=')) => {
                self.at -= 1;
                self.fail("[: :] is not known here: write \\d, \\w, \\s or a range")
            }
            Some(0x80..) => {
                self.at -= 1;
                self.fail("only ASCII characters can stand in [ ]")
            }
            Some(byte) => Ok(single(byte)),
        }
    }
}

fn set_of(holds: fn(u8) -> bool) -> Set {
    let mut set = Set::default();
    for byte in 0..=255 {
        if holds(byte) {
            set.insert(byte);
        }
    }
    set
}

fn single(byte: u8) -> Set {
    let mut set = Set::default();
    set.insert(byte);
    set
}

/// The member of a set that has just one.
fn the_only(set: Set) -> Option<u8> {
    let mut first = None;
    let is_second = |member| first.replace(member as u8).is_some();
    let several = set.any(256, is_second);
    first.filter(|_| !several)
}
