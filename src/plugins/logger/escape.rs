//! A line under construction, and what of a request may stand in it as it is.

use crate::http::output::Sink;

/// Where a part of a request stands in a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quoting {
    /// Between blanks: everything that is not visible ASCII is written `\xHH`.
    Bare,
    /// The same, where something between quotes follows: so is the quote, and the backslash.
    Word,
    /// Between quotes: so is the quote and the backslash; a blank is not.
    Quoted,
    /// In a text of JSON (RFC 8259 section 7). What is not UTF-8 is replaced by U+FFFD.
    Json,
}

/// What shows that a part was cut.
const CUT: &[u8] = b"...";

/// A line in the room that is left for it.
pub(super) struct Line<'a> {
    room: &'a mut [u8],
    len: usize,
    overflow: bool,
}

impl Sink for Line<'_> {
    // Called from everywhere in a line.
    #[inline(never)]
    fn push(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        match self.room.get_mut(self.len..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.len = end;
            }
            None => self.overflow = true,
        }
    }
}

impl<'a> Line<'a> {
    pub(super) fn new(room: &'a mut [u8]) -> Line<'a> {
        Line { room, len: 0, overflow: false }
    }

    /// Its length; None = there was no room for all of it.
    pub(super) fn finish(self) -> Option<usize> {
        (!self.overflow).then_some(self.len)
    }

    /// Appends a part of a request, at most `max` bytes of it as they are written; one that is nothing is a hyphen, but for JSON.
    pub(super) fn push_part(&mut self, bytes: &[u8], max: usize, quoting: Quoting) {
        if quoting == Quoting::Json {
            return self.push_json(bytes, max);
        }
        let plain = |byte: u8| match byte {
            b'"' | b'\\' => quoting == Quoting::Bare,
            b' ' => quoting == Quoting::Quoted,
            _ => byte.is_ascii_graphic(),
        };
        let mut left = max;
        let mut rest = if bytes.is_empty() { b"-" } else { bytes };
        loop {
            let run = rest.iter().position(|&byte| !plain(byte)).unwrap_or(rest.len());
            if run > left {
                self.push(rest.get(..left).unwrap_or_default());
                return self.push(CUT);
            }
            let (now, later) = rest.split_at(run);
            self.push(now);
            left -= run;
            let Some((&byte, later)) = later.split_first() else { return };
            if left < 4 {
                return self.push(CUT);
            }
            self.push(&[b'\\', b'x', hex(byte >> 4), hex(byte)]);
            left -= 4;
            rest = later;
        }
    }

    fn push_json(&mut self, bytes: &[u8], max: usize) {
        let mut left = max;
        for chunk in bytes.utf8_chunks() {
            for character in chunk.valid().chars() {
                let mut room = [0; 4];
                let (text, escaped) = match character {
                    '"' | '\\' => (&*character.encode_utf8(&mut room), true),
                    '\0'..='\x1f' | '\x7f' => {
                        let byte = character as u8;
                        if left < 6 {
                            return self.push(CUT);
                        }
                        self.push(b"\\u00");
                        self.push(&[hex(byte >> 4), hex(byte)]);
                        left -= 6;
                        continue;
                    }
                    _ => (&*character.encode_utf8(&mut room), false),
                };
                let len = text.len() + usize::from(escaped);
                if left < len {
                    return self.push(CUT);
                }
                if escaped {
                    self.push(b"\\");
                }
                self.push(text.as_bytes());
                left -= len;
            }
            if !chunk.invalid().is_empty() {
                if left < 3 {
                    return self.push(CUT);
                }
                self.push("\u{fffd}".as_bytes());
                left -= 3;
            }
        }
    }
}

fn hex(nibble: u8) -> u8 {
    match nibble & 15 {
        digit @ 0..=9 => b'0' + digit,
        letter => b'a' + letter - 10,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(bytes: &[u8], max: usize, quoting: Quoting) -> String {
        let mut room = [0; 2000];
        let mut line = Line::new(&mut room);
        line.push_part(bytes, max, quoting);
        let len = line.finish().unwrap();
        String::from_utf8(room[..len].to_vec()).unwrap()
    }

    #[test]
    fn nothing_that_could_end_a_part_stays_as_it_is() {
        let bytes = b"a b\"c\\d\r\n\t\0\x7f\xff\xc3\xa9";
        assert_eq!(part(bytes, 99, Quoting::Bare), r#"a\x20b"c\d\x0d\x0a\x09\x00\x7f\xff\xc3\xa9"#);
        assert_eq!(part(bytes, 99, Quoting::Word), r"a\x20b\x22c\x5cd\x0d\x0a\x09\x00\x7f\xff\xc3\xa9");
        assert_eq!(part(bytes, 99, Quoting::Quoted), r"a b\x22c\x5cd\x0d\x0a\x09\x00\x7f\xff\xc3\xa9");
        let json = "a b\\\"c\\\\d\\u000d\\u000a\\u0009\\u0000\\u007f\u{fffd}é";
        assert_eq!(part(bytes, 99, Quoting::Json), json);
        assert_eq!(part(b"", 9, Quoting::Bare), "-");
        assert_eq!(part(b"", 9, Quoting::Quoted), "-");
        assert_eq!(part(b"", 9, Quoting::Json), "");
    }

    #[test]
    fn a_part_that_is_cut_says_so_and_no_escape_is_halved() {
        assert_eq!(part(b"12345", 5, Quoting::Bare), "12345");
        assert_eq!(part(b"123456", 5, Quoting::Bare), "12345...");
        assert_eq!(part(b"12\x01", 5, Quoting::Quoted), "12...");
        assert_eq!(part(b"1\x01", 5, Quoting::Quoted), r"1\x01");
        assert_eq!(part("1234é".as_bytes(), 5, Quoting::Json), "1234...");
        assert_eq!(part(b"1234\"", 5, Quoting::Json), "1234...");
        assert_eq!(part(b"\n1", 5, Quoting::Json), "...");
    }

    #[test]
    fn a_line_without_room_is_none() {
        let mut room = [0; 5];
        let mut line = Line::new(&mut room);
        line.push(b"123");
        line.push_part(b"456", 9, Quoting::Bare);
        assert_eq!(line.finish(), None);
    }

    proptest! {
        #[test]
        fn always_one_line_within_its_limit(bytes: Vec<u8>, max in 1usize..100) {
            for quoting in [Quoting::Bare, Quoting::Word, Quoting::Quoted, Quoting::Json] {
                let text = part(&bytes, max, quoting);
                prop_assert!(text.len() <= max + CUT.len());
                prop_assert!(!text.chars().any(char::is_control) || quoting == Quoting::Json);
                prop_assert!(!text.bytes().any(|byte| byte < b' ' || byte == 0x7f));
                match quoting {
                    Quoting::Bare => prop_assert!(!text.contains(' ')),
                    Quoting::Word => prop_assert!(!text.contains([' ', '"'])),
                    Quoting::Quoted => prop_assert!(!text.contains('"')),
                    Quoting::Json => prop_assert_eq!(text.replace("\\\\", "").replace("\\\"", "").matches('"').count(), 0),
                }
            }
        }
    }
}
