//! One message as one line, in a buffer of fixed size.

use crate::limits::LOG_LINE_MAX;
use std::fmt::{self, Arguments, Write};

const CUT: &str = "...";
const END: &str = "\n";

/// What the text may take, so that the marks behind it always fit.
const TEXT_MAX: usize = LOG_LINE_MAX - CUT.len() - END.len();

/// A rendered line.
pub(super) struct Line {
    text: heapless::String<LOG_LINE_MAX>,
    text_len: usize,
}

impl Line {
    /// Renders `prefix` as it is and then `message`, whose control characters are escaped: `\n`, `\r`, `\t`, `\xNN`. What is
    /// over the limit is cut at a character and marked with `...`.
    pub(super) fn render(prefix: Arguments<'_>, message: Arguments<'_>) -> Line {
        let mut text = heapless::String::new();
        // Prefixes are ours and short.
        let _ = text.write_fmt(prefix);
        let mut message_writer = Escaped { text: &mut text, cut: false };
        // The only error is our own, which ends the rendering of a message that is full; a Display of another module may fail
        // too, and then what it gave is what there is.
        let _ = message_writer.write_fmt(message);
        if message_writer.cut {
            let _ = text.push_str(CUT);
        }
        let text_len = text.len();
        let _ = text.push_str(END);
        Line { text, text_len }
    }

    /// The line without its end: what a datagram carries.
    #[cfg_attr(not(any(test, feature = "syslog")), expect(dead_code, reason = "only the system log takes datagrams"))]
    pub(super) fn without_end(&self) -> &[u8] {
        let bytes = self.text.as_bytes();
        bytes.get(..self.text_len).unwrap_or(bytes)
    }

    /// The line with its end.
    pub(super) fn with_end(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

struct Escaped<'a> {
    text: &'a mut heapless::String<LOG_LINE_MAX>,
    cut: bool,
}

impl Escaped<'_> {
    fn put(&mut self, piece: &str) -> fmt::Result {
        if self.cut || self.text.len() + piece.len() > TEXT_MAX {
            self.cut = true;
            return Err(fmt::Error);
        }
        self.text.push_str(piece).map_err(|_| fmt::Error)
    }
}

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            if character.is_control() {
                let mut escape = heapless::String::<8>::new();
                match character {
                    '\n' => escape.push_str("\\n"),
                    '\r' => escape.push_str("\\r"),
                    '\t' => escape.push_str("\\t"),
                    // Controls end at U+009F: two digits.
                    other => write!(escape, "\\x{:02x}", u32::from(other)).map_err(|_| Default::default()),
                }
                .map_err(|_| fmt::Error)?;
                self.put(&escape)?;
            } else {
                self.put(character.encode_utf8(&mut [0; 4]))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rendered(message: &str) -> String {
        let line = Line::render(format_args!("p: "), format_args!("{message}"));
        let text = String::from_utf8(line.with_end().to_vec()).unwrap();
        assert_eq!(text.strip_suffix('\n').unwrap().as_bytes(), line.without_end());
        text
    }

    #[test]
    fn controls_are_escaped() {
        assert_eq!(
            rendered("a\nmonkey[1] INFO: forged\r\t\0\u{1b}[31m\u{7f}\u{9b}2J \\n é"),
            "p: a\\nmonkey[1] INFO: forged\\r\\t\\x00\\x1b[31m\\x7f\\x9b2J \\n é\n"
        );
    }

    #[test]
    fn long_messages_are_cut_and_marked() {
        let room = TEXT_MAX - "p: ".len();
        assert_eq!(rendered(&"x".repeat(room)), format!("p: {}\n", "x".repeat(room)));
        let cut = rendered(&"x".repeat(room + 1));
        assert_eq!(cut, format!("p: {}...\n", "x".repeat(room)));
        assert_eq!(cut.len(), LOG_LINE_MAX);
        // A character or an escape is never halved, and nothing is taken up again behind the cut.
        assert!(rendered(&format!("{}é", "x".repeat(room - 1))).ends_with("xx...\n"));
        assert!(rendered(&format!("{}\0y", "x".repeat(room - 3))).ends_with("xx...\n"));
    }

    proptest! {
        #[test]
        fn always_one_line(message: String) {
            let line = rendered(&message);
            prop_assert!(line.len() <= LOG_LINE_MAX);
            prop_assert_eq!(line.chars().filter(|c| c.is_control()).count(), 1);
        }
    }
}
