//! What is wrong in the configuration, and where: one line each, meant for the person who edits the file.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a line of configuration came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position<'a> {
    /// The file, or words such as `command line -p` for a value that no file holds.
    pub file: &'a Path,
    /// Line, from 1. 0 means the file as a whole.
    pub line: u32,
    /// Column in characters, from 1. 0 means the line as a whole.
    pub column: u32,
}

impl<'a> Position<'a> {
    /// The file as a whole.
    pub fn of_file(file: &'a (impl AsRef<Path> + ?Sized)) -> Position<'a> {
        Position { file: file.as_ref(), line: 0, column: 0 }
    }

    /// The place `offset` bytes into `text`, where `self` is the place of the first byte of `text`.
    pub fn within(&self, text: &str, offset: usize) -> Position<'a> {
        Position { column: self.column.saturating_add(characters(text.as_bytes(), offset)), ..*self }
    }

    /// The place of `part`, a slice of `text`, where `self` is the place of the first byte of `text`.
    pub(super) fn of_part(&self, text: &str, part: &str) -> Position<'a> {
        self.within(text, offset_of(text, part))
    }
}

/// Where `part`, a slice of `text`, begins in it.
pub(super) fn offset_of(text: &str, part: &str) -> usize {
    part.as_ptr().addr().saturating_sub(text.as_ptr().addr())
}

/// How many characters begin in the first `length` bytes of UTF-8.
pub(super) fn characters(text: &[u8], length: usize) -> u32 {
    let mut count = 0;
    for byte in text.get(..length).unwrap_or(text) {
        // The bytes of a character behind its first are 10xxxxxx.
        count += u32::from(byte & 0xC0 != 0x80);
    }
    count
}

impl fmt::Display for Position<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        Ok(())
    }
}

/// How much a [`Diagnostic`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For information: nothing is wrong.
    Note,
    /// The configuration is used, though probably not as it was meant.
    Warning,
    /// The configuration is refused.
    Error,
}

/// One finding. Displays as `file:line:column: what`, or `file: what` for a file as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How much it matters.
    pub severity: Severity,
    /// The file it is about.
    pub file: PathBuf,
    /// Line, from 1; 0 when the file as a whole is meant.
    pub line: u32,
    /// Column in characters, from 1; 0 when the line as a whole is meant.
    pub column: u32,
    /// What is wrong, and what would be right.
    pub what: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = Position { file: &self.file, line: self.line, column: self.column };
        write!(f, "{at}: {}", self.what)
    }
}

/// Everything found in a configuration that is refused: all errors of all files, with the warnings between them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The findings, in the order of reading.
    pub diagnostics: Vec<Diagnostic>,
}

impl Report {
    /// How many of the findings are errors.
    pub fn errors(&self) -> usize {
        self.diagnostics.iter().filter(|found| found.severity == Severity::Error).count()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, found) in self.diagnostics.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{found}")?;
            match found.severity {
                Severity::Error => {}
                Severity::Warning => f.write_str(" (warning)")?,
                Severity::Note => f.write_str(" (note)")?,
            }
        }
        Ok(())
    }
}

impl std::error::Error for Report {}

/// The findings so far.
#[derive(Default, Debug)]
pub(super) struct Findings {
    pub(super) list: Vec<Diagnostic>,
}

impl Findings {
    /// The one place that allocates for a finding: what calls it is told to the compiler as small as can be.
    #[inline(never)]
    fn add(&mut self, severity: Severity, at: &Position<'_>, what: &dyn fmt::Display) {
        let (file, what) = (at.file.to_path_buf(), what.to_string());
        self.list.push(Diagnostic { severity, file, line: at.line, column: at.column, what });
    }

    #[inline(never)]
    pub(super) fn error(&mut self, at: &Position<'_>, what: impl fmt::Display) {
        self.add(Severity::Error, at, &what);
    }

    #[inline(never)]
    pub(super) fn warning(&mut self, at: &Position<'_>, what: impl fmt::Display) {
        self.add(Severity::Warning, at, &what);
    }

    pub(super) fn note(&mut self, at: &Position<'_>, what: impl fmt::Display) {
        self.add(Severity::Note, at, &what);
    }

    /// Refuses a value: an error that leaves nothing.
    pub(super) fn refuse<T>(&mut self, at: &Position<'_>, what: impl fmt::Display) -> Option<T> {
        self.error(at, what);
        None
    }

    /// `value` with its warnings when no error was found, else the whole report.
    pub(super) fn finish<T>(self, value: Option<T>) -> Result<(T, Vec<Diagnostic>), Report> {
        let refused = self.list.iter().any(|found| found.severity == Severity::Error);
        match value {
            Some(value) if !refused => Ok((value, self.list)),
            _ => Err(Report { diagnostics: self.list }),
        }
    }
}
