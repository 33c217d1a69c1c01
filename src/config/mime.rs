//! monkey.mime: which media type a file name extension stands for.

use super::check::check;
use super::diagnostic::{Findings, Position};
use super::raw::{RawConfig, RawEntry};
use super::table::File;
use super::text::cut;
use crate::wire::chars::is_tchar;

/// Longest extension, bytes.
pub const EXTENSION_MAX: usize = 32;

/// Longest media type with its parameters, bytes.
pub const MEDIA_TYPE_MAX: usize = 127;

/// Most extensions. More are an error.
pub const ENTRIES_MAX: usize = 4096;

/// The table: one text, and an index sorted by extension. A media type is stored once for the extensions that stand
/// together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MimeTable {
    text: Box<str>,
    entries: Box<[Entry]>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    extension: Slice,
    media_type: Slice,
}

/// A part of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Slice {
    start: u32,
    length: u8,
}

impl MimeTable {
    /// The media type of a file name or path, by what follows its last `.` (in any case). `None` when the table does not
    /// say. Allocates nothing.
    pub fn lookup(&self, name: &[u8]) -> Option<&str> {
        let dot = name.iter().rposition(|byte| *byte == b'.')?;
        let wanted = name.get(dot + 1..)?;
        let found = search(&self.text, &self.entries, wanted).ok()?;
        self.entries.get(found).map(|entry| self.get(entry.media_type))
    }

    /// How many extensions it knows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn get(&self, slice: Slice) -> &str {
        slice_of(&self.text, slice)
    }
}

/// Where an extension stands in the index, or where it would have to be put.
#[inline(never)]
fn search(text: &str, entries: &[Entry], wanted: &[u8]) -> Result<usize, usize> {
    let order = |entry: &Entry| {
        let extension = slice_of(text, entry.extension).as_bytes();
        // The extensions in the table are lower-cased.
        let same = extension.iter().zip(wanted).take_while(|(a, b)| **a == b.to_ascii_lowercase()).count();
        extension.get(same).copied().cmp(&wanted.get(same).map(u8::to_ascii_lowercase))
    };
    entries.binary_search_by(order)
}

fn slice_of(text: &str, slice: Slice) -> &str {
    let start = slice.start as usize;
    text.get(start..start + usize::from(slice.length)).unwrap_or_default()
}

/// Lengths were checked against [`EXTENSION_MAX`] and [`MEDIA_TYPE_MAX`], the text against the size of a file.
fn append(text: &mut String, part: &str) -> Slice {
    let start = text.len() as u32;
    text.push_str(part);
    Slice { start, length: part.len() as u8 }
}

pub(super) fn resolve(raw: &RawConfig, whole: &Position<'_>, out: &mut Findings) -> MimeTable {
    let values = check(raw, File::Mime, whole, out);
    let mut text = String::new();
    let mut entries: Vec<Entry> = Vec::with_capacity(raw.len().min(ENTRIES_MAX));
    let mut last: Option<Slice> = None;
    for entry in values.all("MIMETYPES", "EXTENSION") {
        let extension = entry.key;
        if entries.len() == ENTRIES_MAX {
            out.error(&entry.at, format_args!("more than {ENTRIES_MAX} extensions: take some out"));
            break;
        }
        if extension.len() > EXTENSION_MAX || !extension.bytes().all(|b| b.is_ascii_graphic() && b != b'.' && b != b'/')
        {
            out.error(
                &entry.at,
                format_args!(
                    "\"{extension}\" is not an extension: write up to {EXTENSION_MAX} characters without dot or slash"
                ),
            );
        } else if check_media_type(&entry, out)
            && let Err(place) = search(&text, &entries, extension.as_bytes())
        {
            // Extensions of one type mostly stand together; comparing with all of them would cost more than it saves.
            let media_type = match last {
                Some(known) if slice_of(&text, known) == entry.value => known,
                _ => append(&mut text, entry.value),
            };
            last = Some(media_type);
            let extension = append(&mut text, &extension.to_ascii_lowercase());
            entries.insert(place, Entry { extension, media_type });
        }
    }
    MimeTable { text: text.into(), entries: entries.into() }
}

/// Whether the value is `type/subtype`, with parameters perhaps (RFC 9110 section 8.3.1).
pub(super) fn check_media_type(entry: &RawEntry<'_>, out: &mut Findings) -> bool {
    let value = entry.value;
    let (kind, rest) = cut(value, |byte| !is_tchar(byte));
    let (subtype, rest) =
        cut(rest.get(1..).filter(|_| rest.starts_with('/')).unwrap_or_default(), |byte| !is_tchar(byte));
    let rest = rest.trim_ascii_start();
    let good = !kind.is_empty() && !subtype.is_empty() && (rest.is_empty() || rest.starts_with(';'));
    if !good || value.len() > MEDIA_TYPE_MAX || !value.bytes().all(|b| b.is_ascii_graphic() || b == b' ') {
        let what = format_args!("\"{value}\" is not a media type: write one such as text/plain; charset=utf-8");
        out.error(&entry.value_at, what);
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Memory;
    use super::super::read::read_text;
    use super::*;
    use std::path::Path;

    fn table(text: &str) -> (MimeTable, Vec<String>) {
        let mut out = Findings::default();
        let raw = read_text(&Memory::default(), Path::new("mime"), text.as_bytes().to_vec().into(), &mut out);
        let table = resolve(&raw, &Position::of_file("mime"), &mut out);
        (table, out.list.iter().map(|found| found.to_string()).collect())
    }

    #[test]
    fn lookup_is_by_the_last_dot_and_in_any_case() {
        let (mime, found) = table(
            "[MIMETYPES]\n  HTML text/html; charset=utf-8\n  gz application/gzip\n  htm text/html; charset=utf-8\n",
        );
        assert_eq!(found, [""; 0]);
        assert_eq!(mime.lookup(b"index.html"), Some("text/html; charset=utf-8"));
        assert_eq!(mime.lookup(b"/a.d/INDEX.HtM"), Some("text/html; charset=utf-8"));
        assert_eq!(mime.lookup(b"x.tar.gz"), Some("application/gzip"));
        for name in [&b"gz"[..], b"", b".", b"x.", b"x.g", b"x.gzz", b"x.gz/y", b"x.\xff"] {
            assert_eq!(mime.lookup(name), None, "{name:?}");
        }
        assert_eq!(mime.len(), 3);
        assert_eq!(MimeTable::default().lookup(b"x.gz"), None);
    }

    #[test]
    fn errors() {
        let long = "x".repeat(EXTENSION_MAX + 1);
        let text = format!(
            "[MIMETYPES]\n  .a text/plain\n  {long} text/plain\n  b text\n  c text/ plain\n  d text/é\n  E a/b\n  e a/c\n"
        );
        let (mime, found) = table(&text);
        assert_eq!(
            found,
            [
                "mime:8:3: e is already set at mime:7:3: this one has no effect".to_string(),
                "mime:2:3: \".a\" is not an extension: write up to 32 characters without dot or slash".into(),
                format!("mime:3:3: \"{long}\" is not an extension: write up to 32 characters without dot or slash"),
                "mime:4:5: \"text\" is not a media type: write one such as text/plain; charset=utf-8".into(),
                "mime:5:5: \"text/ plain\" is not a media type: write one such as text/plain; charset=utf-8".into(),
                "mime:6:5: \"text/é\" is not a media type: write one such as text/plain; charset=utf-8".into(),
            ]
        );
        assert_eq!(mime.lookup(b"x.e"), Some("a/b"));
        let many: String = (0..=ENTRIES_MAX).map(|n| format!("  e{n} a/b\n")).collect();
        let (mime, found) = table(&format!("[MIMETYPES]\n{many}"));
        assert_eq!(found, ["mime:4098:3: more than 4096 extensions: take some out"]);
        assert_eq!((mime.len(), mime.lookup(b"x.e4095")), (ENTRIES_MAX, Some("a/b")));
        assert_eq!(table("").1, ["mime: no [MIMETYPES] section: add one"]);
    }
}
