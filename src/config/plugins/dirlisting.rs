//! plugins/dirlisting/dirhtml.conf, and the themes beside it.
#![cfg_attr(not(feature = "plugin-dirlisting"), allow(dead_code))]

use std::borrow::Cow;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::check::Values;
use super::super::diagnostic::{Findings, Position};
use super::super::files::{Files, Trouble};
use super::super::raw::RawEntry;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, Section, key, number, page, section};
use crate::limits::{LISTING_TITLE_MAX, THEME_ENTRY_MAX, THEME_MAX};

const D: &str = "DIRLISTING";

pub(super) const SECTIONS: &[Section] = &[section(
    D,
    KEYS,
    page!(
        "Listings of directories that have no index file. A line of `[HANDLERS]` turns them on for some paths of a site: `Match /.* dirlisting`. See [plugins/DIRLISTING.md](plugins/DIRLISTING.md)."
    ),
)];

const KEYS: &[Key] = &[
    key("Enabled", Kind::Switch, "Off", InPlace, page!("Listings in every site, without a line in `[HANDLERS]`.")),
    key(
        "Theme",
        Kind::Text("the name of a directory in plugins/dirlisting/themes"),
        "",
        InPlace,
        page!("The look of the page: `header.theme`, `entry.theme` and `footer.theme` there. Unset: the built-in one."),
    ),
    key(
        "SortLimit",
        number(0, 10_000, "entries"),
        "2000",
        InPlace,
        page!(
            "A directory with more entries, hidden ones included, is listed in its own order, and the page says so. Sorting takes no more memory but more time."
        ),
    ),
    key("Hidden", Kind::Switch, "Off", InPlace, page!("List names that begin with a dot, too.")),
];

/// What the file says.
#[derive(Clone, Debug)]
pub struct Dirlisting {
    /// Listings everywhere.
    pub enabled: bool,
    /// Most entries that are sorted.
    pub sort_limit: u32,
    /// Names that begin with a dot are listed.
    pub hidden: bool,
    /// The look; `None` is the built-in one.
    pub theme: Option<Theme>,
}

impl Default for Dirlisting {
    fn default() -> Dirlisting {
        Dirlisting { enabled: false, sort_limit: 2000, hidden: false, theme: None }
    }
}

/// The look of a listing: three texts with macros in them.
#[derive(Clone, Debug, Default)]
pub struct Theme {
    /// What comes first.
    pub header: Template,
    /// What comes for each entry.
    pub entry: Template,
    /// What comes last.
    pub footer: Template,
    /// The directory that the three are in.
    pub dir: Box<[u8]>,
}

/// A text cut at its macros.
#[derive(Clone, Debug, Default)]
pub struct Template {
    text: Cow<'static, [u8]>,
    pieces: Vec<Piece>,
}

/// A stretch of a text, and the macro behind it.
#[derive(Clone, Debug)]
struct Piece {
    text: Range<u16>,
    then: Option<Macro>,
}

/// Longest stretch of a text that is sent at once, bytes.
const STRETCH: usize = 1024;
/// Longest name of a file.
const NAME_MAX: usize = 255;
/// Most bytes that one byte comes to in HTML.
const ESCAPED: usize = 6;

/// What stands in a theme for something that differs from page to page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Macro {
    /// `Index of` and the path.
    HtmlTitle,
    /// The theme's directory.
    ThemePath,
    /// That the entries are not sorted, and why; else nothing.
    Note,
    /// The link that sorts by a column, and the other way round when it is so already.
    Sort(Column),
    /// How a column is sorted, as `aria-sort` says it: `ascending`, `descending` or `none`.
    Order(Column),
    /// The whole name of an entry.
    TargetTitle,
    /// The link to it.
    TargetUrl,
    /// Its name.
    TargetName,
    /// When it was modified.
    TargetTime,
    /// Its size, for people.
    TargetSize,
    /// Its size in bytes.
    TargetBytes,
    /// `parent`, `directory` or `file`.
    TargetType,
}

/// What a listing is sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Column {
    /// The name.
    Name,
    /// When it was modified.
    Date,
    /// The size.
    Size,
}

/// The macros by their names, which stand between `%_` and `_%`.
const MACROS: &[(&str, Macro)] = &[
    ("html_title", Macro::HtmlTitle),
    ("theme_path", Macro::ThemePath),
    ("note", Macro::Note),
    ("sort_name", Macro::Sort(Column::Name)),
    ("sort_date", Macro::Sort(Column::Date)),
    ("sort_size", Macro::Sort(Column::Size)),
    ("order_name", Macro::Order(Column::Name)),
    ("order_date", Macro::Order(Column::Date)),
    ("order_size", Macro::Order(Column::Size)),
    ("target_title", Macro::TargetTitle),
    ("target_url", Macro::TargetUrl),
    ("target_name", Macro::TargetName),
    ("target_time", Macro::TargetTime),
    ("target_size", Macro::TargetSize),
    ("target_bytes", Macro::TargetBytes),
    ("target_type", Macro::TargetType),
];

impl Macro {
    /// The most that it can come to, bytes.
    fn longest(self, dir: &[u8]) -> usize {
        match self {
            Macro::HtmlTitle => "Index of ".len() + LISTING_TITLE_MAX * ESCAPED + 3,
            Macro::ThemePath => dir.len() * ESCAPED,
            Macro::Note => 128,
            Macro::TargetTitle | Macro::TargetName => NAME_MAX * ESCAPED + 1,
            Macro::TargetUrl => NAME_MAX * 3 + 1,
            _ => 32,
        }
    }

    /// Whether it says something of an entry, so that there is nothing to say elsewhere.
    fn is_of_entry(self) -> bool {
        use Macro::{TargetBytes, TargetName, TargetSize, TargetTime, TargetTitle, TargetType, TargetUrl};
        matches!(self, TargetTitle | TargetUrl | TargetName | TargetTime | TargetSize | TargetBytes | TargetType)
    }
}

impl Template {
    /// Cuts a text of at most [`THEME_MAX`] bytes. `unknown` is told of what looks like a macro and is none here: it stays as it is.
    pub fn cut(text: Cow<'static, [u8]>, of_entry: bool, unknown: &mut dyn FnMut(Range<usize>)) -> Template {
        let mut pieces = Vec::new();
        let mut start = 0;
        let mut at = 0;
        while let Some(found) = find(&text, at, b"%_") {
            let Some(end) = find(&text, found + 2, b"_%") else { break };
            let name = text.get(found + 2..end).unwrap_or_default();
            let known = MACROS.iter().find(|(known, it)| known.as_bytes() == name && (of_entry || !it.is_of_entry()));
            if let Some((_, it)) = known {
                push_pieces(&mut pieces, start..found, Some(*it));
                start = end + 2;
                at = start;
            } else if !name.is_empty() && name.iter().all(|byte| byte.is_ascii_lowercase() || *byte == b'_') {
                unknown(found..end + 2);
                at = end + 2;
            } else {
                at = found + 2;
            }
        }
        push_pieces(&mut pieces, start..text.len(), None);
        Template { text, pieces }
    }

    /// A piece: its text, and the macro behind it. None = there is no such piece: the text is at its end.
    pub fn piece(&self, number: usize) -> Option<(&[u8], Option<Macro>)> {
        let piece = self.pieces.get(number)?;
        let text = self.text.get(usize::from(piece.text.start)..usize::from(piece.text.end));
        Some((text.unwrap_or_default(), piece.then))
    }

    /// The most that it can come to, bytes.
    fn longest(&self, dir: &[u8]) -> usize {
        let of = |piece: &Piece| {
            usize::from(piece.text.end - piece.text.start) + piece.then.map_or(0, |then| then.longest(dir))
        };
        self.pieces.iter().map(of).sum()
    }
}

fn find(text: &[u8], from: usize, what: &[u8; 2]) -> Option<usize> {
    let rest = text.get(from..)?;
    rest.windows(what.len()).position(|window| window == what).map(|at| from + at)
}

/// Adds a stretch in parts that can be sent at once.
fn push_pieces(pieces: &mut Vec<Piece>, mut text: Range<usize>, then: Option<Macro>) {
    while text.len() > STRETCH {
        let end = text.start + STRETCH;
        pieces.push(Piece { text: text.start as u16..end as u16, then: None });
        text.start = end;
    }
    pieces.push(Piece { text: text.start as u16..text.end as u16, then });
}

/// `dir` is the plugin's directory.
#[inline(never)]
pub(super) fn resolve(v: &Values<'_>, files: &dyn Files, dir: &Path, out: &mut Findings) -> Dirlisting {
    Dirlisting {
        enabled: v.switch(D, "Enabled"),
        sort_limit: v.number32(D, "SortLimit"),
        hidden: v.switch(D, "Hidden"),
        theme: v.entry(D, "Theme").and_then(|entry| theme(&entry, files, dir, out)),
    }
}

fn theme(entry: &RawEntry<'_>, files: &dyn Files, dir: &Path, out: &mut Findings) -> Option<Theme> {
    let name = entry.value;
    if name == "." || name == ".." || name.bytes().any(|byte| byte == b'/') {
        let what =
            format_args!("Theme cannot be \"{name}\": write the name of a directory in plugins/dirlisting/themes");
        return out.refuse(&entry.value_at, what);
    }
    let dir = dir.join("themes").join(name);
    let mut theme = Theme { dir: dir.as_os_str().as_bytes().into(), ..Theme::default() };
    let mut left = THEME_MAX;
    let parts = [
        ("header.theme", &mut theme.header, false),
        ("entry.theme", &mut theme.entry, true),
        ("footer.theme", &mut theme.footer, false),
    ];
    for (file, template, of_entry) in parts {
        let path = dir.join(file);
        let text = match files.read(&path) {
            Ok(text) => text,
            // Those that the original came with: whoever has its file gets listings.
            Err(Trouble::Missing) if matches!(name, "bootstrap" | "guineo") => {
                out.warning(
                    &entry.value_at,
                    format_args!("there is no {}: the built-in theme is used", path.display()),
                );
                return None;
            }
            Err(what) => {
                let what = format_args!("cannot read {}: {what}", path.display());
                return out.refuse(&entry.value_at, what);
            }
        };
        let Some(rest) = left.checked_sub(text.len()) else {
            let what = format_args!("the files of the theme come to more than {THEME_MAX} bytes: make them shorter");
            return out.refuse(&entry.value_at, what);
        };
        left = rest;
        let mut unknown = Vec::new();
        *template = Template::cut(text.into(), of_entry, &mut |found| unknown.push(found));
        for found in unknown {
            let before = template.text.get(..found.start).unwrap_or_default();
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u32;
            let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() as u32 + 1;
            let name = String::from_utf8_lossy(template.text.get(found).unwrap_or_default());
            let what = format_args!("{name} means nothing here and is sent as it is");
            out.warning(&Position { file: &path, line, column }, what);
        }
    }
    let longest = theme.entry.longest(&theme.dir);
    if longest > THEME_ENTRY_MAX {
        let what = format_args!(
            "by entry.theme one entry could come to {longest} bytes, and {THEME_ENTRY_MAX} are the most: make it shorter"
        );
        return out.refuse(&entry.value_at, what);
    }
    Some(theme)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a text.
    fn cut(text: &'static str, of_entry: bool) -> Vec<(String, Option<Macro>)> {
        let template = Template::cut(text.as_bytes().into(), of_entry, &mut |_| {});
        let pieces = (0..).map_while(|number| template.piece(number));
        pieces.map(|(text, then)| (String::from_utf8(text.to_vec()).unwrap(), then)).collect()
    }

    /// What of a text looks like a macro and is none.
    fn unknown(text: &'static str, of_entry: bool) -> Vec<&'static str> {
        let mut unknown = Vec::new();
        let _ = Template::cut(text.as_bytes().into(), of_entry, &mut |found| unknown.push(&text[found]));
        unknown
    }

    #[test]
    fn a_theme_is_cut_at_its_macros() {
        let text = "<a href=\"%_target_url_%\">%_target_name_%</a>";
        let wanted = [("<a href=\"", Some(Macro::TargetUrl)), ("\">", Some(Macro::TargetName)), ("</a>", None)];
        assert_eq!(cut(text, true), wanted.map(|(text, then)| (text.to_string(), then)));
        assert!(unknown(text, true).is_empty());
    }

    #[test]
    fn what_is_no_macro_stays() {
        for text in ["", "100 %", "%_", "%__%", "%_Note_%", "%_no such_%", "%_note", "%%__%%"] {
            assert_eq!(cut(text, true), [(text.to_string(), None)], "{text}");
            assert!(unknown(text, true).is_empty(), "{text}");
        }
        assert_eq!(cut("a%_nonesuch_%b", true), [("a%_nonesuch_%b".to_string(), None)]);
        assert_eq!(unknown("a%_nonesuch_%b", true), ["%_nonesuch_%"]);
        assert_eq!(unknown("%_target_url_%", false), ["%_target_url_%"], "there is no entry");
        // What stands behind it is looked at all the same.
        let pieces = cut("%_ %_note_%", false);
        assert_eq!(pieces, [("%_ ".to_string(), Some(Macro::Note)), (String::new(), None)]);
    }

    #[test]
    fn long_texts_come_in_parts() {
        let text: &'static str = "0123456789".repeat(300).leak();
        let pieces = cut(text, false);
        assert_eq!(pieces.iter().map(|(text, _)| text.len()).collect::<Vec<_>>(), [1024, 1024, 952]);
        assert_eq!(pieces.into_iter().map(|(text, _)| text).collect::<String>(), text);
    }

    #[test]
    fn the_longest_that_an_entry_can_come_to() {
        let template = Template::cut(b"<%_target_url_%><%_theme_path_%>".as_slice().into(), true, &mut |_| {});
        assert_eq!(template.longest(b"/t"), 4 + 766 + 12);
    }
}
