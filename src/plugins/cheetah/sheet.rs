//! An answer: the same data as text for people and as one JSON object for machines. Whatever a name or a path holds, no control
//! character of it reaches the terminal.
//!
//! Every member is a row of a layout: `LABEL|KIND`, where KIND is a letter and what belongs to it. One function reads them: as calls
//! they would take five times the room.
//!
//! | kind | value | text | JSON |
//! |---|---|---|---|
//! | `nUNIT` | number | it and the unit | number |
//! | `b` | number | `On` or `Off` | true or false |
//! | `tNONE` | text | it, or NONE where it is empty | string or null |
//! | `wNONE` | words with blanks between | the same | list of strings |
//! | none | | the label as a title | |

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

/// An answer under construction.
pub(super) struct Sheet<'a> {
    pub(super) out: &'a mut Outbox,
    form: Form,
    /// Something stands before in the object or list that is open.
    comma: bool,
    /// What stands before each label.
    pub(super) indent: &'static str,
    /// Columns of the labels.
    pub(super) width: usize,
}

/// A text up to a byte, and what stands behind that; the whole text and nothing where the byte is not in it.
#[inline(never)]
pub(super) fn cut(text: &str, at: u8) -> (&str, &str) {
    let end = text.bytes().position(|byte| byte == at).unwrap_or(text.len());
    (text.get(..end).unwrap_or_default(), text.get(end + 1..).unwrap_or_default())
}

/// What [`cut`] makes of a text again and again; a byte at the end is no further part.
pub(super) fn parts(mut text: &str, at: u8) -> impl Iterator<Item = &str> {
    std::iter::from_fn(move || {
        let (part, rest) = if text.is_empty() { return None } else { cut(text, at) };
        text = rest;
        Some(part)
    })
}

impl<'a> Sheet<'a> {
    /// An empty one.
    pub(super) fn new(out: &'a mut Outbox, form: Form) -> Sheet<'a> {
        Sheet::resume(out, form, false)
    }

    /// One that goes on in a list that is open and has something in it, or nothing yet.
    pub(super) fn resume(out: &'a mut Outbox, form: Form, comma: bool) -> Sheet<'a> {
        Sheet { out, form, comma, indent: "", width: 0 }
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
    pub(super) fn named(&mut self, before: &str, name: &str, after: &str) {
        if !self.is_json() {
            self.text(before);
            self.escaped(name);
            self.text(after);
        }
    }

    /// A heading, in text only.
    pub(super) fn heading(&mut self, text: &str) {
        let (on, off) = if self.form == Form::Coloured { ("\x1b[1;33m", "\x1b[0m\n") } else { ("", "\n") };
        [on, text, off].into_iter().for_each(|part| self.text(part));
    }

    /// Text in so many columns, in text only.
    pub(super) fn column(&mut self, text: &str, width: usize) {
        self.text(text);
        (text.len()..width).for_each(|_| self.text(" "));
    }

    /// Opens an object or a list, in JSON only. A label when it is a member.
    #[inline(never)]
    pub(super) fn open(&mut self, label: &str, bracket: &str) {
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

    /// The rows of a layout, which take their values in order.
    #[inline(never)]
    pub(super) fn rows(&mut self, layout: &str, numbers: &[u64], texts: &[&str]) {
        let (mut numbers, mut texts) = (numbers.iter(), texts.iter());
        for row in parts(layout, b'\n') {
            let (label, kind) = cut(row, b'|');
            let mut number = || numbers.next().copied().unwrap_or(0);
            let mut text = || texts.next().copied().unwrap_or_default();
            let (kind, more) = kind.split_at_checked(1).unwrap_or_default();
            match kind {
                "n" => {
                    let number = number();
                    self.label(label);
                    self.out.push_decimal(number);
                    if !more.is_empty() {
                        [" ", more].into_iter().for_each(|part| self.text(part));
                    }
                }
                "b" => {
                    let on = number() > 0;
                    self.label(label);
                    self.out.push(match (on, self.is_json()) {
                        (true, false) => b"On",
                        (false, false) => b"Off",
                        (true, true) => b"true",
                        (false, true) => b"false",
                    });
                }
                "" => {
                    self.heading(label);
                    label.bytes().for_each(|_| self.text("-"));
                }
                _ => {
                    let text = text();
                    self.label(label);
                    match self.is_json() {
                        true if kind == "w" => {
                            self.out.push(b"[");
                            self.comma = false;
                            parts(text, b' ').for_each(|word| self.element(word));
                            self.close("]");
                        }
                        true if text.is_empty() => self.out.push(b"null"),
                        true => self.quoted(text),
                        false => self.escaped(if text.is_empty() { more } else { text }),
                    }
                }
            }
            self.text("\n");
        }
    }

    /// A string in a list that is open, in JSON only.
    pub(super) fn element(&mut self, text: &str) {
        if self.is_json() {
            self.name("");
            self.quoted(text);
        }
    }

    /// A member of JSON only, with its value as it is.
    pub(super) fn member(&mut self, label: &str, value: &str, quoted: bool) {
        if self.is_json() {
            self.name(label);
            if quoted { self.quoted(value) } else { self.out.push(value.as_bytes()) }
        }
    }

    fn label(&mut self, label: &str) {
        if self.is_json() {
            return self.name(label);
        }
        self.text(self.indent);
        self.column(label, self.width);
        self.text(" : ");
    }

    /// A comma where one is needed, and the name of a member: small letters, `_` between the words.
    #[inline(never)]
    fn name(&mut self, label: &str) {
        if std::mem::replace(&mut self.comma, true) {
            self.out.push(b", ");
        }
        if !label.is_empty() {
            self.out.push(b"\"");
            let mut pause = false;
            for byte in label.bytes() {
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

    fn quoted(&mut self, text: &str) {
        self.out.push(b"\"");
        self.escaped(text);
        self.out.push(b"\"");
    }

    /// Text without its control characters, and without what JSON keeps for itself.
    #[inline(never)]
    pub(super) fn escaped(&mut self, text: &str) {
        let json = self.is_json();
        for c in text.chars() {
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(form: Form, write: fn(&mut Sheet<'_>)) -> String {
        let mut out = Outbox::new().unwrap();
        let mut sheet = Sheet::new(&mut out, form);
        sheet.open("", "{");
        write(&mut sheet);
        sheet.close("}");
        String::from_utf8(out.pending().to_vec()).unwrap()
    }

    #[test]
    fn one_sheet_in_both_forms() {
        let write = |sheet: &mut Sheet<'_>| {
            sheet.width = 9;
            let layout = "Title\nTask  (ID)|nthreads\nOn|b\nUser|tnobody\nNames|w";
            sheet.rows(layout, &[7, 1], &["", "a b\"c"]);
        };
        let plain = "Title\n-----\nTask  (ID) : 7 threads\nOn        : On\nUser      : nobody\nNames     : a b\"c\n";
        assert_eq!(written(Form::Plain, write), plain);
        let json = "{\"task_id\": 7, \"on\": true, \"user\": null, \"names\": [\"a\", \"b\\\"c\"]}";
        assert_eq!(written(Form::Json, write), json);
        assert!(written(Form::Coloured, write).starts_with("\u{1b}[1;33mTitle\u{1b}[0m\n"));
    }

    #[test]
    fn no_control_character_passes() {
        let write = |sheet: &mut Sheet<'_>| sheet.rows("x|t", &[], &["a\u{1b}[2J\0\u{9b}é\\\n"]);
        assert_eq!(written(Form::Plain, write), "x : a\\x1b[2J\\x00\\x9bé\\\\x0a\n");
        assert_eq!(written(Form::Json, write), "{\"x\": \"a\\u001b[2J\\u0000\\u009bé\\\\\\u000a\"}");
    }

    #[test]
    fn texts_are_cut() {
        assert_eq!(cut("a|b|c", b'|'), ("a", "b|c"));
        assert_eq!(cut("a", b'|'), ("a", ""));
        assert_eq!(parts("a b  c ", b' ').collect::<Vec<_>>(), ["a", "b", "", "c"]);
    }
}
