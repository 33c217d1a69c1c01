//! An answer: the same data as text for people and as one JSON object for machines. Whatever a name or a path holds, no control
//! character of it reaches the terminal.

use std::fmt::{self, Display, Write};

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

/// A value, with what text and JSON make of it.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    /// A number, and what text says behind it.
    Number(u64, &'a str),
    /// `On` or `Off`; true or false.
    Switch(bool),
    /// Text.
    Text(&'a dyn Display),
    /// Several of them with blanks between; a list of strings.
    Words(&'a [&'a dyn Display]),
    /// Nothing, and how text says so; null.
    Nothing(&'a str),
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

impl<'a> Sheet<'a> {
    /// An empty one.
    pub(super) fn new(out: &'a mut Outbox, form: Form) -> Sheet<'a> {
        Sheet { out, form, comma: false, indent: "", width: 0 }
    }

    /// One that goes on in a list that is open and has something in it, or nothing yet.
    pub(super) fn resume(out: &'a mut Outbox, form: Form, comma: bool) -> Sheet<'a> {
        Sheet { comma, ..Sheet::new(out, form) }
    }

    /// Whether it is JSON.
    pub(super) fn is_json(&self) -> bool {
        self.form == Form::Json
    }

    /// Text as it is, in text only.
    pub(super) fn text(&mut self, parts: &[&str]) {
        if !self.is_json() {
            parts.iter().for_each(|part| self.out.push(part.as_bytes()));
        }
    }

    /// Text with what is escaped in it, in text only.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        if !self.is_json() {
            let _ = self.write_fmt(line);
            self.out.push(b"\n");
        }
    }

    /// A heading, in text only.
    pub(super) fn heading(&mut self, text: &str) {
        let (on, off) = if self.form == Form::Coloured { ("\x1b[1;33m", "\x1b[0m") } else { ("", "") };
        self.text(&[on, text, off, "\n"]);
    }

    /// A heading with a line under it, in text only.
    pub(super) fn title(&mut self, text: &str) {
        self.heading(text);
        text.bytes().for_each(|_| self.text(&["-"]));
        self.text(&["\n"]);
    }

    /// Opens an object or a list; in JSON only. A label when it is a member.
    pub(super) fn open(&mut self, label: &str, bracket: &str) {
        if self.is_json() {
            self.name(label);
            self.out.push(bracket.as_bytes());
            self.comma = false;
        }
    }

    /// Closes it.
    pub(super) fn close(&mut self, bracket: &str) {
        if self.is_json() {
            self.out.push(bracket.as_bytes());
            self.comma = true;
        }
    }

    /// A member: a label and a value.
    pub(super) fn item(&mut self, label: &str, value: Value<'_>) {
        if self.is_json() {
            self.name(label);
            return self.json(value);
        }
        self.text(&[self.indent, label]);
        (label.len()..self.width).for_each(|_| self.out.push(b" "));
        self.out.push(b" : ");
        match value {
            Value::Number(number, unit) => {
                self.out.push_decimal(number);
                self.text(&[if unit.is_empty() { "" } else { " " }, unit]);
            }
            Value::Switch(on) => self.out.push(if on { b"On" } else { b"Off" }),
            Value::Text(text) => _ = write!(self, "{text}"),
            Value::Words(words) => {
                for (index, word) in words.iter().enumerate() {
                    _ = write!(self, "{}{word}", if index == 0 { "" } else { " " });
                }
            }
            Value::Nothing(text) => self.out.push(text.as_bytes()),
        }
        self.out.push(b"\n");
    }

    /// A member, in JSON only.
    pub(super) fn item_of_json(&mut self, label: &str, value: Value<'_>) {
        if self.is_json() {
            self.item(label, value);
        }
    }

    /// An element of a list that is open, in JSON only.
    pub(super) fn element(&mut self, value: Value<'_>) {
        if self.is_json() {
            self.name("");
            self.json(value);
        }
    }

    /// A comma where one is needed, and the name of a member.
    fn name(&mut self, label: &str) {
        if std::mem::replace(&mut self.comma, true) {
            self.out.push(b", ");
        }
        if !label.is_empty() {
            self.out.push(b"\"");
            for (index, word) in label.split(|c: char| !c.is_ascii_alphanumeric()).filter(|w| !w.is_empty()).enumerate()
            {
                self.out.push(if index == 0 { b"" } else { b"_" });
                word.bytes().for_each(|byte| self.out.push(&[byte.to_ascii_lowercase()]));
            }
            self.out.push(b"\": ");
        }
    }

    fn json(&mut self, value: Value<'_>) {
        match value {
            Value::Number(number, _) => self.out.push_decimal(number),
            Value::Switch(on) => self.out.push(if on { b"true" } else { b"false" }),
            Value::Nothing(_) => self.out.push(b"null"),
            Value::Text(text) => {
                self.out.push(b"\"");
                let _ = write!(self, "{text}");
                self.out.push(b"\"");
            }
            Value::Words(words) => {
                self.out.push(b"[");
                self.comma = false;
                for word in words {
                    self.element(Value::Text(word));
                }
                self.close("]");
            }
        }
    }
}

impl Write for Sheet<'_> {
    /// Escapes: control characters always, and what JSON wants.
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let json = self.is_json();
        let mut rest = text;
        let special = |c: char| c.is_control() || (json && (c == '"' || c == '\\'));
        while let Some((at, c)) = rest.char_indices().find(|(_, c)| special(*c)) {
            let (plain, behind) = rest.split_at_checked(at).unwrap_or((rest, ""));
            self.out.push(plain.as_bytes());
            rest = behind.get(c.len_utf8()..).unwrap_or_default();
            if c.is_control() {
                // All of them are below 256.
                let digit = |nibble: u32| char::from_digit(nibble & 15, 16).unwrap_or('0') as u8;
                self.out.push(if json { b"\\u00" } else { b"\\x" });
                self.out.push(&[digit(c as u32 >> 4), digit(c as u32)]);
            } else {
                self.out.push(&[b'\\', c as u8]);
            }
        }
        self.out.push(rest.as_bytes());
        Ok(())
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
            sheet.title("Title");
            sheet.width = 9;
            sheet.item("Task ID", Value::Number(7, "threads"));
            sheet.item("On", Value::Switch(true));
            sheet.item("User", Value::Nothing("nobody"));
            sheet.item("Names", Value::Words(&[&"a", &"b\"c"]));
        };
        let plain = "Title\n-----\nTask ID   : 7 threads\nOn        : On\nUser      : nobody\nNames     : a b\"c\n";
        assert_eq!(written(Form::Plain, write), plain);
        let json = "{\"task_id\": 7, \"on\": true, \"user\": null, \"names\": [\"a\", \"b\\\"c\"]}";
        assert_eq!(written(Form::Json, write), json);
        assert!(written(Form::Coloured, write).starts_with("\u{1b}[1;33mTitle\u{1b}[0m\n"));
    }

    #[test]
    fn no_control_character_passes() {
        let write = |sheet: &mut Sheet<'_>| sheet.item("x", Value::Text(&"a\u{1b}[2J\0\u{9b}é\\\n"));
        assert_eq!(written(Form::Plain, write), "x : a\\x1b[2J\\x00\\x9bé\\\n".replace("\\\n", "\\\\x0a\n"));
        assert_eq!(written(Form::Json, write), "{\"x\": \"a\\u001b[2J\\u0000\\u009bé\\\\\\u000a\"}");
    }
}
