//! From files to a [`RawConfig`]: lines, the original's rules of indentation, includes.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use super::diagnostic::{Findings, Position, characters, offset_of};
use super::files::{Files, Identity, directory_of, glob, has_wildcard};
use super::raw::{Header, RawConfig, RawFile, Record};
use super::text::{Body, Line, cut, first_word, parse_line, same};
#[cfg(feature = "palm-server")]
use super::text::{is_flush, parse_assignment};

/// Longest line accepted, bytes without its end mark. A longer one is an error, as in the original.
pub const LINE_MAX: usize = 4096;

/// Reads `entry` and all it includes. Syntax errors go to `out`; reading goes on behind them.
pub(super) fn read(files: &dyn Files, entry: &Path, out: &mut Findings) -> Option<RawConfig> {
    match files.read(entry) {
        Ok(content) => Some(read_text(files, entry, content.into(), out)),
        Err(what) => out.refuse(&Position::of_file(entry), what),
    }
}

/// The same for an entry file whose content is at hand.
pub(super) fn read_text(files: &dyn Files, entry: &Path, content: Cow<'static, [u8]>, out: &mut Findings) -> RawConfig {
    read_form(files, entry, content, Form::Indented, out)
}

/// What a line at column 1 may be besides a section, a directive and a comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    /// Nothing.
    Indented,
    /// `Key = value`.
    #[cfg(feature = "palm-server")]
    Assignments,
    /// `Palm words`: a section of that name, with a key of that name.
    Palm,
}

/// As [`read_text`], for files of another form.
pub(super) fn read_form(
    files: &dyn Files,
    entry: &Path,
    content: Cow<'static, [u8]>,
    form: Form,
    out: &mut Findings,
) -> RawConfig {
    let base = directory_of(entry).to_path_buf();
    let read = vec![files.identity(entry)];
    let mut reader = Reader { files, base, read, config: RawConfig::default(), foreign: false, form, out };
    reader.text(entry, content);
    reader.config
}

struct Reader<'a> {
    files: &'a dyn Files,
    /// The directory of the entry file: includes are relative to it.
    base: PathBuf,
    /// Every file read so far: none is read twice, so no include can turn in a circle.
    read: Vec<Option<Identity>>,
    config: RawConfig,
    /// Whether the newest section was opened by a file that was included here.
    foreign: bool,
    form: Form,
    out: &'a mut Findings,
}

impl Reader<'_> {
    fn text(&mut self, path: &Path, content: Cow<'static, [u8]>) {
        let file = self.config.files.len() as u32;
        self.config.files.push(RawFile { path: path.to_path_buf(), text: Cow::Borrowed(&[]) });
        let mut indent: Option<&str> = None;
        let mut offset = 0;
        for (n, bytes) in content.split(|byte| *byte == b'\n').enumerate() {
            let at = Position { file: path, line: n as u32 + 1, column: 1 };
            let mut place = Place { at, file, offset };
            offset += bytes.len() as u32 + 1;
            let mut line = bytes.strip_suffix(b"\r").unwrap_or(bytes);
            if let (0, Some(rest)) = (n, line.strip_prefix("\u{feff}".as_bytes())) {
                (line, place.offset) = (rest, 3);
            }
            if let Some(line) = self.characters(&place.at, line) {
                self.line(&place, line, &mut indent);
            }
        }
        if let Some(file) = self.config.files.get_mut(file as usize) {
            file.text = content;
        }
    }

    /// The line as text, unless it holds what no line may hold.
    fn characters<'l>(&mut self, start: &Position<'_>, line: &'l [u8]) -> Option<&'l str> {
        if line.len() > LINE_MAX {
            return self.out.refuse(start, format_args!("line longer than {LINE_MAX} bytes: shorten it"));
        }
        let text = match std::str::from_utf8(line) {
            Ok(text) => text,
            Err(error) => {
                let good = error.valid_up_to();
                let byte = line.get(good).copied().unwrap_or_default();
                let at = Position { column: start.column + characters(line, good), ..*start };
                return self.out.refuse(&at, format_args!("byte 0x{byte:02X} is not UTF-8: save the file as UTF-8"));
            }
        };
        let (good, rest) = cut(text, |byte| byte.is_ascii_control() && byte != b'\t');
        match rest.as_bytes().first() {
            None => Some(text),
            Some(byte) => {
                let at = start.within(text, good.len());
                self.out.refuse(&at, format_args!("control character 0x{byte:02X}: remove it"))
            }
        }
    }

    fn line<'l>(&mut self, place: &Place<'_>, line: &'l str, indent: &mut Option<&'l str>) {
        let start = &place.at;
        match parse_line(line) {
            Line::Empty | Line::Comment => {}
            Line::Section(name) => self.section(place, line, name),
            Line::Meta(word, value) => {
                if same(word, "include") {
                    self.include(value, &start.of_part(line, value));
                } else {
                    if !same(word, "set") {
                        let what = format_args!("@{word} has no effect: the known directive is @INCLUDE FILE");
                        self.out.warning(start, what);
                    }
                    self.config.meta.push(place.record(line, word, value));
                }
            }
            Line::Indented(blanks, body) => {
                let fixed = *indent.get_or_insert(blanks);
                let at = start.within(line, blanks.len());
                match body {
                    _ if blanks != fixed => self.out.error(&at, WrongIndent { blanks, fixed }),
                    Body::Ignored => {}
                    Body::Wrong(what) => self.out.error(&at, what),
                    Body::Entry(key, value) => self.entry(&at, place.record(line, key, value)),
                }
            }
            #[cfg(feature = "palm-server")]
            Line::Wrong(_) if self.form == Form::Assignments && is_flush(line) => match parse_assignment(line) {
                Body::Entry(key, value) => self.entry(start, place.record(line, key, value)),
                Body::Wrong(what) => self.out.error(start, what),
                Body::Ignored => {}
            },
            Line::Wrong(_) if self.form == Form::Palm && same(first_word(line).0, "Palm") => match first_word(line) {
                (_, "") => self.out.error(start, "write Palm EXTENSION MIMETYPE [ADDRESS] PORT"),
                (key, value) => {
                    self.section(place, line, key);
                    self.entry(start, place.record(line, key, value));
                }
            },
            Line::Wrong(what) => self.out.error(start, what),
        }
    }

    fn section(&mut self, place: &Place<'_>, line: &str, name: &str) {
        let first = self.config.entries.len() as u32;
        self.config.sections.push(Header { record: place.record(line, name, ""), first });
        self.foreign = false;
    }

    fn entry(&mut self, at: &Position<'_>, record: Record) {
        if self.config.sections.is_empty() {
            return self.out.error(at, "key before any section: write a [SECTION] line above it");
        }
        if std::mem::take(&mut self.foreign) {
            let newest = self.config.section(self.config.sections.len() - 1);
            let name = newest.map_or("", |section| section.name);
            self.out.warning(
                at,
                format_args!(
                    "this goes to [{name}], which the file included above opened: write a [SECTION] line above it"
                ),
            );
        }
        self.config.entries.push(record);
    }

    fn include(&mut self, value: &str, at: &Position<'_>) {
        let pattern = self.base.join(value);
        let paths = if has_wildcard(value) {
            match glob(self.files, &pattern) {
                Ok(paths) => paths,
                Err(what) => return self.out.error(at, format_args!("cannot include: {what}")),
            }
        } else {
            vec![pattern]
        };
        for path in paths {
            let identity = self.files.identity(&path);
            if identity.is_some() && self.read.contains(&identity) {
                self.out.error(at, format_args!("{} is already read: include it once", path.display()));
                continue;
            }
            self.read.push(identity);
            match self.files.read(&path) {
                Ok(content) => {
                    let before = self.config.sections.len();
                    self.text(&path, content.into());
                    self.foreign |= self.config.sections.len() > before;
                }
                Err(what) => self.out.error(at, format_args!("cannot include {}: {what}", path.display())),
            }
        }
    }
}

/// A line in the making: its first column, and the offset of that in its file.
struct Place<'a> {
    at: Position<'a>,
    file: u32,
    offset: u32,
}

impl Place<'_> {
    /// The parts are slices of the line, and so no longer than [`LINE_MAX`].
    fn record(&self, line: &str, key: &str, value: &str) -> Record {
        Record {
            file: self.file,
            line: self.at.line,
            key: self.offset + offset_of(line, key) as u32,
            value: if value.is_empty() { 0 } else { self.offset + offset_of(line, value) as u32 },
            key_length: key.len() as u16,
            value_length: value.len() as u16,
        }
    }
}

/// The original's rule: every key of a file stands behind the very blanks that its first indented line begins with.
struct WrongIndent<'a> {
    blanks: &'a str,
    fixed: &'a str,
}

impl fmt::Display for WrongIndent<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.blanks.starts_with(self.fixed) {
            "extra indentation level found: indent by "
        } else if self.fixed.starts_with(self.blanks) {
            "indentation level is too low: indent by "
        } else {
            "inconsistent use of tab and space: indent by "
        })?;
        let tabs = self.fixed.bytes().filter(|byte| *byte == b'\t').count();
        let spaces = self.fixed.len() - tabs;
        for (count, what) in [(tabs, "tab"), (spaces, "space")] {
            if count > 0 {
                let and = if what == "space" && tabs > 0 { " and " } else { "" };
                write!(f, "{and}{count} {what}{}", if count == 1 { "" } else { "s" })?;
            }
        }
        f.write_str(", as the first indented line of this file does")
    }
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Memory;
    use super::super::raw::RawSection;
    use super::*;

    fn findings(files: &[(&str, &str)]) -> (RawConfig, Vec<String>) {
        let mut out = Findings::default();
        let config = read(&Memory::with(files), Path::new(files[0].0), &mut out).unwrap_or_default();
        (config, out.list.iter().map(|found| found.to_string()).collect())
    }

    fn flat(config: &RawConfig) -> Vec<String> {
        let of = |section: &RawSection<'_>, n| {
            let e = config.entry(n).unwrap();
            format!("{} {}={} {} {}", section.name, e.key, e.value, e.at, e.value_at)
        };
        config.sections().flat_map(|section| section.entries.clone().map(move |n| of(&section, n))).collect()
    }

    #[test]
    fn entries_know_where_they_stand() {
        let (config, found) = findings(&[(
            "/m.conf",
            "\u{feff}# top\r\n\r\n[A]\r\n\tkey  some value \r\n@SET a=b\n[B]\n\t# c\n\t---- x\n\té ü\n",
        )]);
        assert_eq!(found, [""; 0]);
        assert_eq!(flat(&config), ["A key=some value /m.conf:4:2 /m.conf:4:7", "B é=ü /m.conf:9:2 /m.conf:9:4"]);
        assert_eq!(config.meta().next().unwrap().value, "a=b");
    }

    #[test]
    fn syntax_errors_are_all_told() {
        let text = "\tkey 1\n[A]\n  key 2\n\t k 3\n    k 4\nk 5\n[B\n\tk\n";
        let (config, found) = findings(&[("/m.conf", text)]);
        assert_eq!(
            found,
            [
                "/m.conf:1:2: key before any section: write a [SECTION] line above it",
                "/m.conf:3:3: inconsistent use of tab and space: indent by 1 tab, as the first indented line of this file does",
                "/m.conf:4:3: extra indentation level found: indent by 1 tab, as the first indented line of this file does",
                "/m.conf:5:5: inconsistent use of tab and space: indent by 1 tab, as the first indented line of this file does",
                "/m.conf:6:1: indentation level is too low: a key stands indented below its [SECTION]",
                "/m.conf:7:1: bad header definition: a section is written [NAME]",
                "/m.conf:8:2: each key must have a value: the key, a space (not a tab), the value",
            ]
        );
        assert!(config.is_empty());
        let (_, found) = findings(&[("/m.conf", "[A]\n    k 1\n  k 2\n    k   \n    [B]\n@INCLUDE\n")]);
        assert_eq!(
            found,
            [
                "/m.conf:3:3: indentation level is too low: indent by 4 spaces, as the first indented line of this file does",
                "/m.conf:4:5: key has an empty value: put the value after the space, or a # before the key",
                "/m.conf:5:5: bad header definition: a [SECTION] stands at column 1",
                "/m.conf:6:1: a directive needs a value: @INCLUDE FILE",
            ]
        );
    }

    #[test]
    fn bytes_that_no_line_may_hold() {
        let mut out = Findings::default();
        let mut content = b"[A]\n  \xc3\xa9 \xff\n  k \x07\n  k ".to_vec();
        content.extend(vec![b'x'; LINE_MAX - 4]);
        content.extend(b"\r\n  k ");
        content.extend(vec![b'x'; LINE_MAX - 3]);
        let config = read_text(&Memory::default(), Path::new("/m.conf"), content.into(), &mut out);
        let found: Vec<String> = out.list.iter().map(|found| found.to_string()).collect();
        assert_eq!(
            found,
            [
                "/m.conf:2:5: byte 0xFF is not UTF-8: save the file as UTF-8",
                "/m.conf:3:5: control character 0x07: remove it",
                "/m.conf:5:1: line longer than 4096 bytes: shorten it",
            ]
        );
        assert_eq!(config.len(), 1);
    }

    #[test]
    fn includes() {
        let (config, found) = findings(&[
            ("/c/m.conf", "[A]\n  k 1\n@include sub/*.conf\n  k 4\n@INCLUDE sub/none-*\n@INCLUDE more.inc\n  k 6\n"),
            ("/c/sub/b.conf", "[B]\n\tk 3\n"),
            ("/c/sub/a.conf", "    k 2\n"),
            ("/c/more.inc", "  k 5\n"),
        ]);
        assert_eq!(
            flat(&config),
            [
                "A k=1 /c/m.conf:2:3 /c/m.conf:2:5",
                "A k=2 /c/sub/a.conf:1:5 /c/sub/a.conf:1:7",
                "B k=3 /c/sub/b.conf:2:2 /c/sub/b.conf:2:4",
                "B k=4 /c/m.conf:4:3 /c/m.conf:4:5",
                "B k=5 /c/more.inc:1:3 /c/more.inc:1:5",
                "B k=6 /c/m.conf:7:3 /c/m.conf:7:5",
            ]
        );
        assert_eq!(
            found,
            ["/c/m.conf:4:3: this goes to [B], which the file included above opened: write a [SECTION] line above it"]
        );
    }

    #[test]
    fn includes_that_fail() {
        let (_, found) = findings(&[
            ("/c/m.conf", "@INCLUDE x\n@INCLUDE a.conf\n@INCLUDE a.conf\n@INCLUDE no/*\n@INCLUD a.conf\n"),
            ("/c/a.conf", "@INCLUDE m.conf\n"),
        ]);
        assert_eq!(
            found,
            [
                "/c/m.conf:1:10: cannot include /c/x: no such file or directory",
                "/c/a.conf:1:10: /c/m.conf is already read: include it once",
                "/c/m.conf:3:10: /c/a.conf is already read: include it once",
                "/c/m.conf:4:10: cannot include: /c/no: no such file or directory",
                "/c/m.conf:5:1: @INCLUD has no effect: the known directive is @INCLUDE FILE",
            ]
        );
    }
}
