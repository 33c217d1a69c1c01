//! An answer: the same data as text for people and as one JSON object for machines. Whatever a name or a path holds, no control
//! character of it reaches the terminal.
//!
//! Most of it is rows of a layout, `LABEL|KIND` with a letter for KIND and what belongs to it. Each value that is given takes the
//! next row: with label and unit in every call they would take five times the room.
//!
//! | kind | value | text | JSON |
//! |---|---|---|---|
//! | `nUNIT` | number | it and the unit | number |
//! | `b` | number | `On` or `Off` | true or false |
//! | `tNONE` | text | it, or NONE where it is empty | string or null |
//! | `wNONE` | words with blanks between | the same | list of strings |

use super::outbox::Outbox;
use crate::http::output::Sink;

/// How an answer is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Text.
    Plain,
    /// Text with ANSI colours.
    Coloured,
    /// One line of JSON.
    Json,
}

/// The answers to one client, one after the other.
pub(super) struct Sheet {
    pub(super) out: Outbox,
    pub(super) form: Form,
    /// Something stands before in the object or list that is open.
    comma: bool,
    /// What stands before each label.
    indent: &'static str,
    /// Columns of the labels.
    width: usize,
    /// The rows that are still to come.
    layout: &'static [u8],
}

/// Takes the part of a text before a byte off it, and that byte; all of it where the byte is not in it.
#[inline(never)]
pub(super) fn part<'a>(text: &mut &'a [u8], at: u8) -> &'a [u8] {
    let end = text.iter().position(|byte| *byte == at).unwrap_or(text.len());
    let (part, rest) = text.split_at_checked(end).unwrap_or_default();
    *text = rest.get(1..).unwrap_or_default();
    part
}

impl Sheet {
    /// One for a client.
    pub(super) fn new(out: Outbox) -> Sheet {
        Sheet { out, form: Form::Plain, comma: false, indent: "", width: 0, layout: b"" }
    }

    /// An answer begins.
    pub(super) fn begin(&mut self, form: Form) {
        (self.form, self.comma) = (form, false);
        self.out.begin();
        self.open(b"", "{");
    }

    /// What was written last is taken back, and the list that is open has something in it, or nothing yet.
    pub(super) fn resume(&mut self, comma: bool) {
        self.comma = comma;
    }

    /// Whether it is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Text as it is, in text only.
    #[inline(never)]
    pub(super) fn text(&mut self, text: &str) {
        if !self.is_json() {
            self.out.push(text.as_bytes());
        }
    }

    /// Text and a name in it, which is escaped, in text only.
    #[inline(never)]
    pub(super) fn named(&mut self, before: &str, name: &[u8], after: &str) {
        if !self.is_json() {
            self.text(before);
            self.escaped(name);
            self.text(after);
        }
    }

    /// A heading, in text only.
    #[inline(never)]
    pub(super) fn heading(&mut self, text: &str) {
        let coloured = self.form == Form::Coloured;
        self.text(if coloured { "\x1b[1;33m" } else { "" });
        self.text(text);
        self.text(if coloured { "\x1b[0m\n" } else { "\n" });
    }

    /// A heading with a line below it, in text only.
    #[inline(never)]
    pub(super) fn title(&mut self, text: &str) {
        self.heading(text);
        for _ in text.bytes() {
            self.text("-");
        }
        self.text("\n");
    }

    /// A name in so many columns, in text only.
    #[inline(never)]
    pub(super) fn column(&mut self, name: &[u8], width: usize) {
        self.named("", name, "");
        for _ in name.len()..width {
            self.text(" ");
        }
    }

    /// Opens an object or a list, in JSON only. A label when it is a member.
    #[inline(never)]
    pub(super) fn open(&mut self, label: &[u8], bracket: &str) {
        if self.is_json() {
            self.name(label);
            self.out.push(bracket.as_bytes());
            self.comma = false;
        }
    }

    /// Closes it.
    #[inline(never)]
    pub(super) fn close(&mut self, bracket: &str) {
        if self.is_json() {
            self.out.push(bracket.as_bytes());
            self.comma = true;
        }
    }

    /// Rows begin: what stands before each label, its columns, and the layout.
    #[inline(never)]
    pub(super) fn rows(&mut self, indent: &'static str, width: usize, layout: &'static str) {
        (self.indent, self.width, self.layout) = (indent, width, layout.as_bytes());
    }

    /// Writes the label of the next row, and gives its kind and what belongs to it.
    #[inline(never)]
    fn row(&mut self) -> (u8, &'static [u8]) {
        let mut layout = self.layout;
        let (label, kind) = (part(&mut layout, b'|'), part(&mut layout, b'\n'));
        self.layout = layout;
        if self.is_json() {
            self.name(label);
        } else {
            self.text(self.indent);
            self.column(label, self.width);
            self.text(" : ");
        }
        kind.split_first().map_or((0, b""), |(kind, more)| (*kind, more))
    }

    /// The next row, of a number or a switch.
    #[inline(never)]
    pub(super) fn number(&mut self, number: u64) {
        let (kind, more) = self.row();
        if kind == b'n' {
            self.out.push_decimal(number);
            self.named(if more.is_empty() { "" } else { " " }, more, "\n");
            return;
        }
        self.out.push(match (number > 0, self.is_json()) {
            (true, false) => b"On",
            (false, false) => b"Off",
            (true, true) => b"true",
            (false, true) => b"false",
        });
        self.text("\n");
    }

    /// The next row, of a text or of words.
    #[inline(never)]
    pub(super) fn value(&mut self, mut text: &[u8]) {
        let (kind, none) = self.row();
        if !self.is_json() {
            return self.named("", if text.is_empty() { none } else { text }, "\n");
        }
        if kind == b'w' {
            self.out.push(b"[");
            self.comma = false;
            while !text.is_empty() {
                let word = part(&mut text, b' ');
                self.element(word);
            }
            self.close("]");
        } else if text.is_empty() {
            self.out.push(b"null");
        } else {
            self.quoted(text);
        }
    }

    /// A string in a list that is open, in JSON only.
    #[inline(never)]
    pub(super) fn element(&mut self, text: &[u8]) {
        self.member(b"", text, true);
    }

    /// A member of JSON only, with its value as it is.
    #[inline(never)]
    pub(super) fn member(&mut self, label: &[u8], value: &[u8], quoted: bool) {
        if self.is_json() {
            self.name(label);
            if quoted { self.quoted(value) } else { self.out.push(value) }
        }
    }

    /// A comma where one is needed, and the name of a member: small letters, `_` between the words.
    #[inline(never)]
    fn name(&mut self, label: &[u8]) {
        if std::mem::replace(&mut self.comma, true) {
            self.out.push(b", ");
        }
        if !label.is_empty() {
            self.out.push(b"\"");
            let mut pause = false;
            for byte in label {
                if !byte.is_ascii_alphanumeric() {
                    pause = true;
                    continue;
                }
                if std::mem::take(&mut pause) {
                    self.out.push(b"_");
                }
                self.out.push(&[byte.to_ascii_lowercase()]);
            }
            self.out.push(b"\": ");
        }
    }

    #[inline(never)]
    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b"\"");
        self.escaped(text);
        self.out.push(b"\"");
    }

    /// Text without its control characters, without what JSON keeps for itself, and without what is not UTF-8.
    #[inline(never)]
    fn escaped(&mut self, text: &[u8]) {
        let json = self.is_json();
        for chunk in text.utf8_chunks() {
            for c in chunk.valid().chars() {
                if c.is_control() {
                    // All of them are below 256.
                    let digit = |nibble: u32| b"0123456789abcdef".get(nibble as usize & 15).copied().unwrap_or(b'0');
                    self.out.push(if json { b"\\u00" } else { b"\\x" });
                    self.out.push(&[digit(c as u32 >> 4), digit(c as u32)]);
                } else {
                    if json && (c == '"' || c == '\\') {
                        self.out.push(b"\\");
                    }
                    self.out.push(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            if !chunk.invalid().is_empty() {
                self.out.push("\u{fffd}".as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, write: fn(&mut Sheet)) -> String {
        let mut sheet = Sheet::new(Outbox::new().unwrap());
        sheet.begin(form);
        write(&mut sheet);
        sheet.close("}");
        String::from_utf8(sheet.out.pending().to_vec()).unwrap()
    }

    #[test]
    fn one_sheet_in_both_forms() {
        let write = |sheet: &mut Sheet| {
            sheet.title("Title");
            sheet.rows("", 9, "Task  (ID)|nthreads\nOn|b\nUser|tnobody\nNames|w");
            sheet.number(7);
            sheet.number(1);
            sheet.value(b"");
            sheet.value(b"a b\"c");
        };
        let plain = "Title\n-----\nTask  (ID) : 7 threads\nOn        : On\nUser      : nobody\nNames     : a b\"c\n";
        assert_eq!(written(Form::Plain, write), plain);
        let json = "{\"task_id\": 7, \"on\": true, \"user\": null, \"names\": [\"a\", \"b\\\"c\"]}";
        assert_eq!(written(Form::Json, write), json);
        assert!(written(Form::Coloured, write).starts_with("\u{1b}[1;33mTitle\u{1b}[0m\n"));
    }

    #[test]
    fn no_control_character_passes() {
        let write = |sheet: &mut Sheet| {
            sheet.rows("", 0, "x|t");
            sheet.value("a\u{1b}[2J\0\u{9b}é\\\n".as_bytes());
        };
        assert_eq!(written(Form::Plain, write), "x : a\\x1b[2J\\x00\\x9bé\\\\x0a\n");
        assert_eq!(written(Form::Json, write), "{\"x\": \"a\\u001b[2J\\u0000\\u009bé\\\\\\u000a\"}");
        assert_eq!(written(Form::Plain, |sheet| sheet.named("", b"a\xff\xc2", "")), "a\u{fffd}\u{fffd}");
    }

    #[test]
    fn texts_are_cut() {
        let mut text = &b"a|b||c"[..];
        let parts = [0; 5].map(|_| part(&mut text, b'|'));
        assert_eq!(parts, [&b"a"[..], b"b", b"", b"c", b""]);
    }
}
