//! A file and what it includes, as sections of `key value` entries that know where they stand.

use std::borrow::Cow;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::diagnostic::{Position, characters};

/// A file, with what it includes, after the grammar and before the meaning: nothing is known yet of sections and keys.
///
/// Only the texts are kept, and where in them each entry stands: start-up memory that was touched once stays resident, so
/// there is as little of it as can be.
#[derive(Clone, Debug, Default)]
pub struct RawConfig {
    pub(super) files: Vec<RawFile>,
    pub(super) sections: Vec<Header>,
    pub(super) entries: Vec<Record>,
    pub(super) meta: Vec<Record>,
}

#[derive(Clone, Debug)]
pub(super) struct RawFile {
    pub(super) path: PathBuf,
    pub(super) text: Cow<'static, [u8]>,
}

/// `[NAME]`: the record's key is NAME, it has no value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) record: Record,
    /// The first of its entries; they end where those of the next section begin.
    pub(super) first: u32,
}

/// `key value` as places in a file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) file: u32,
    pub(super) line: u32,
    pub(super) key: u32,
    pub(super) value: u32,
    pub(super) key_length: u16,
    pub(super) value_length: u16,
}

/// `[NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub struct RawSection<'a> {
    /// The name as written.
    pub name: &'a str,
    /// Where the header stands.
    pub at: Position<'a>,
    /// Its entries, as numbers for [`RawConfig::entry`].
    pub entries: Range<usize>,
}

/// `key value`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RawEntry<'a> {
    /// The key as written.
    pub key: &'a str,
    /// Where the key stands.
    pub at: Position<'a>,
    /// The value without the blanks around it; never empty.
    pub value: &'a str,
    /// Where the value stands.
    pub value_at: Position<'a>,
}

impl RawConfig {
    /// The sections in the order of reading; a name may occur several times.
    pub fn sections(&self) -> impl Iterator<Item = RawSection<'_>> {
        (0..self.sections.len()).filter_map(|n| self.section(n))
    }

    /// A section by its number in the order of reading.
    #[inline(never)]
    pub(super) fn section(&self, n: usize) -> Option<RawSection<'_>> {
        let header = self.sections.get(n)?;
        let end = self.sections.get(n + 1).map_or(self.entries.len(), |next| next.first as usize);
        let name = self.slice(header.record.file, header.record.key, header.record.key_length);
        let at = Position { line: header.record.line, column: 1, ..self.start_of(header.record.file) };
        Some(RawSection { name, at, entries: header.first as usize..end })
    }

    /// The name of the section that an entry stands in.
    pub(super) fn section_of(&self, n: usize) -> &str {
        let after = self.sections.partition_point(|section| section.first as usize <= n);
        let header = after.checked_sub(1).and_then(|n| self.sections.get(n));
        header.map_or("", |header| self.slice(header.record.file, header.record.key, header.record.key_length))
    }

    /// An entry by its number in the order of reading.
    pub fn entry(&self, n: usize) -> Option<RawEntry<'_>> {
        self.entries.get(n).map(|record| self.view(record))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// `@WORD value` lines other than `@INCLUDE`, the key being WORD.
    pub fn meta(&self) -> impl Iterator<Item = RawEntry<'_>> {
        self.meta.iter().map(|record| self.view(record))
    }

    /// The key of an entry, without working out where it stands. Empty when there is no such entry.
    pub(super) fn key(&self, n: usize) -> &str {
        self.entries.get(n).map_or("", |record| self.slice(record.file, record.key, record.key_length))
    }

    #[inline(never)]
    fn view(&self, record: &Record) -> RawEntry<'_> {
        RawEntry {
            key: self.slice(record.file, record.key, record.key_length),
            at: self.place(record, record.key),
            value: self.slice(record.file, record.value, record.value_length),
            value_at: self.place(record, record.value),
        }
    }

    /// The place of an offset into the line of a record.
    #[inline(never)]
    fn place(&self, record: &Record, offset: u32) -> Position<'_> {
        let before = self.text(record.file).get(..offset as usize).unwrap_or_default();
        let line = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let before = before.get(line..).unwrap_or_default();
        Position { line: record.line, column: characters(before, before.len()) + 1, ..self.start_of(record.file) }
    }

    fn start_of(&self, file: u32) -> Position<'_> {
        Position { file: self.files.get(file as usize).map_or(Path::new(""), |file| &file.path), line: 0, column: 0 }
    }

    fn text(&self, file: u32) -> &[u8] {
        self.files.get(file as usize).map_or(&[], |file| &file.text)
    }

    /// A part of a line that was found to be UTF-8 before it was recorded.
    #[inline(never)]
    fn slice(&self, file: u32, start: u32, length: u16) -> &str {
        let start = start as usize;
        let bytes = self.text(file).get(start..start + usize::from(length)).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}
