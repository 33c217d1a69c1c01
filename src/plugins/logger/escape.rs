//! A line under construction, and what of a request may stand in it as it is.

use crate::http::output::Sink;
use crate::wire::chars::quotable_len;

/// Where a part of a request stands in a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Quoting {
    /// Between blanks: everything that is not visible ASCII is written `\xHH`.
    Bare,
    /// The same, where something between quotes follows: so is the quote, and the backslash.
    Word,
    /// Between quotes: so is the quote and the backslash; a blank is not.
    Quoted,
    /// In a text of JSON (RFC 8259 section 7). What is not UTF-8 is replaced by U+FFFD; what controls a terminal, or ends a line for some
    /// readers (U+0080 to U+009F, U+2028, U+2029), is escaped.
    Json,
}

impl Quoting {
    /// Its bit in [`PLAIN`], which is for what has no blanks.
    const fn bit(self) -> u8 {
        match self {
            Quoting::Bare => 1,
            Quoting::Word => 2,
            Quoting::Quoted | Quoting::Json => 0,
        }
    }
}

/// Where each byte may stand as it is, a bit a place.
static PLAIN: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        table[byte as usize] = if byte == b'"' || byte == b'\\' { 1 } else { 3 };
        byte += 1;
    }
    table
};

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
    #[cfg_attr(tuned, optimize(speed))]
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

    /// Appends one byte.
    #[inline(always)] // A call would be longer.
    pub(super) fn push_byte(&mut self, byte: u8) {
        match self.room.get_mut(self.len) {
            Some(place) => {
                *place = byte;
                self.len += 1;
            }
            None => self.overflow = true,
        }
    }

    /// Appends a number in decimal.
    #[cfg_attr(tuned, optimize(speed))]
    #[inline(never)]
    pub(super) fn push_number(&mut self, number: u64) {
        self.push_decimal(number);
    }

    /// Appends a part of a request, at most `max` bytes of it as they are written; one that is nothing is a hyphen, but for JSON.
    #[cfg_attr(tuned, optimize(speed))]
    #[inline(never)]
    pub(super) fn push_part(&mut self, bytes: &[u8], max: usize, quoting: Quoting) {
        let (json, bit) = (quoting == Quoting::Json, quoting.bit());
        let mut left = max;
        let mut rest = if bytes.is_empty() && !json { b"-" } else { bytes };
        loop {
            let most = rest.get(..left).unwrap_or(rest);
            let run = match bit {
                0 => quotable_len(most),
                _ => most.iter().take_while(|byte| PLAIN[usize::from(**byte)] & bit != 0).count(),
            };
            let (plain, others) = rest.split_at_checked(run).unwrap_or_default();
            self.push(plain);
            left -= run;
            let Some(&byte) = others.first() else { return };
            rest = others;
            let (piece, used) = escape(byte, rest, json);
            if left < piece.len() {
                return self.push(CUT);
            }
            self.push(&piece);
            left -= piece.len();
            rest = rest.get(used..).unwrap_or_default();
        }
    }
}

/// What stands for the first byte of `rest`, or for the character that begins with it, and how many bytes of `rest` that is for.
#[inline(never)] // Seldom there.
fn escape(byte: u8, rest: &[u8], json: bool) -> (heapless::Vec<u8, 6>, usize) {
    let mut piece = heapless::Vec::new();
    let mut used = 1;
    // What follows in two digits.
    let mut digits = Some(byte);
    let text: &[u8] = match byte {
        _ if !json => b"\\x",
        0..=b' ' | 0x7f => b"\\u00",
        _ => {
            digits = None;
            let len = 1 + usize::from(byte >= 0x80) + usize::from(byte >= 0xe0) + usize::from(byte >= 0xf0);
            let character = rest.get(..len).filter(|text| str::from_utf8(text).is_ok());
            used = character.map_or(1, |_| len);
            match character {
                Some(b"\"") => b"\\\"",
                Some(b"\\") => b"\\\\",
                Some(&[0xc2, control @ 0x80..=0x9f]) => {
                    digits = Some(control);
                    b"\\u00"
                }
                Some([0xe2, 0x80, 0xa8]) => b"\\u2028",
                Some([0xe2, 0x80, 0xa9]) => b"\\u2029",
                other => other.unwrap_or("\u{fffd}".as_bytes()),
            }
        }
    };
    let _ = piece.extend_from_slice(text);
    if let Some(byte) = digits {
        let _ = piece.extend_from_slice(&[hex(byte >> 4), hex(byte & 15)]);
    }
    (piece, used)
}

fn hex(nibble: u8) -> u8 {
    nibble + if nibble < 10 { b'0' } else { b'a' - 10 }
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
        // Some readers and terminals know more controls and ends of a line.
        let bytes = "\u{9b}2J\u{85}\u{a0}\u{2027}\u{2028}\u{2029}\u{1f600}".as_bytes();
        assert_eq!(part(bytes, 99, Quoting::Json), "\\u009b2J\\u0085\u{a0}\u{2027}\\u2028\\u2029\u{1f600}");
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
                prop_assert!(!text.chars().any(char::is_control));
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
