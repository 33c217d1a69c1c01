//! plugins/dirlisting/dirhtml.conf, and the themes beside it.
#![cfg_attr(not(feature = "plugin-dirlisting"), allow(dead_code))]

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::super::check::Values;
use super::super::diagnostic::Findings;
use super::super::files::{Files, Trouble};
use super::super::raw::RawEntry;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, Section, key, number, page, section};
use crate::limits::{LISTING_TITLE_MAX, THEME_MAX, THEME_PART_MAX};

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

/// The look of a listing: three texts with macros in them, as [`next_macro`] finds them.
#[derive(Clone, Debug, Default)]
pub struct Theme {
    /// What comes first, what comes for each entry, what comes last.
    pub texts: [Box<[u8]>; 3],
    /// The directory that the three are in.
    pub dir: Box<[u8]>,
}

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
    /// The name of an entry.
    TargetName,
    /// The link to it.
    TargetUrl,
    /// When it was modified.
    TargetTime,
    /// Its size, for people.
    TargetSize,
    /// Its size in bytes.
    TargetBytes,
    /// `parent`, `directory` or `file`.
    TargetType,
    /// The path, as a string of JSON.
    JsonPath,
    /// `true` or `false`.
    JsonSorted,
    /// What parts an entry from the one before.
    JsonComma,
    /// The name of an entry, as a string of JSON.
    JsonName,
    /// Its size, or `null`.
    JsonSize,
    /// When it was modified, by RFC 3339.
    JsonTime,
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

/// The macros by their names with their end; each begins with `%_`. Those that say something of an entry come last.
const MACROS: &[(&[u8], Macro)] = &[
    (b"html_title_%", Macro::HtmlTitle),
    (b"theme_path_%", Macro::ThemePath),
    (b"note_%", Macro::Note),
    (b"sort_name_%", Macro::Sort(Column::Name)),
    (b"sort_date_%", Macro::Sort(Column::Date)),
    (b"sort_size_%", Macro::Sort(Column::Size)),
    (b"order_name_%", Macro::Order(Column::Name)),
    (b"order_date_%", Macro::Order(Column::Date)),
    (b"order_size_%", Macro::Order(Column::Size)),
    (b"json_path_%", Macro::JsonPath),
    (b"json_sorted_%", Macro::JsonSorted),
    (b"target_title_%", Macro::TargetName),
    (b"target_name_%", Macro::TargetName),
    (b"target_url_%", Macro::TargetUrl),
    (b"target_time_%", Macro::TargetTime),
    (b"target_size_%", Macro::TargetSize),
    (b"target_bytes_%", Macro::TargetBytes),
    (b"target_type_%", Macro::TargetType),
    (b"json_comma_%", Macro::JsonComma),
    (b"json_name_%", Macro::JsonName),
    (b"json_size_%", Macro::JsonSize),
    (b"json_time_%", Macro::JsonTime),
];

/// How many of them stand for the same in every text.
const ANYWHERE: usize = 11;

/// The text up to the first macro, that macro, and the text behind it. None = there is none: the first is the whole. What looks like
/// one and is not known, or says something of an entry where there is none, is text.
pub fn next_macro(text: &[u8], of_entry: bool) -> (&[u8], Option<(Macro, &[u8])>) {
    let known = if of_entry { MACROS } else { MACROS.get(..ANYWHERE).unwrap_or_default() };
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let Some(name) = rest.strip_prefix(b"_") else { continue };
        for (end, it) in known {
            if let Some(behind) = name.strip_prefix(*end) {
                return (text.get(..text.len() - rest.len() - 1).unwrap_or_default(), Some((*it, behind)));
            }
        }
    }
    (text, None)
}

/// The most that a text can come to, bytes.
fn longest(mut text: &[u8], of_entry: bool, dir: usize) -> usize {
    let mut longest = text.len();
    while let (_, Some((it, behind))) = next_macro(text, of_entry) {
        longest += match it {
            Macro::HtmlTitle | Macro::JsonPath => (LISTING_TITLE_MAX + 8) * ESCAPED,
            Macro::ThemePath => dir * ESCAPED,
            Macro::TargetName | Macro::TargetUrl | Macro::JsonName => (NAME_MAX + 1) * ESCAPED,
            _ => 96,
        };
        text = behind;
    }
    longest
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
    let dir = dir.join("themes").join(name);
    let mut theme = Theme { dir: dir.as_os_str().as_bytes().into(), ..Theme::default() };
    let mut left = THEME_MAX;
    for (text, file) in theme.texts.iter_mut().zip(["header.theme", "entry.theme", "footer.theme"]) {
        let path = dir.join(file);
        let read = match name {
            _ if name == ".." || name.bytes().any(|byte| byte == b'/') => {
                Err(Trouble::Other("write the name of a directory in plugins/dirlisting/themes".into()))
            }
            _ => files.read(&path),
        };
        let why = match read {
            Ok(content) => {
                *text = content.into();
                let fits =
                    text.len() <= left && longest(text, file == "entry.theme", theme.dir.len()) <= THEME_PART_MAX;
                left = left.saturating_sub(text.len());
                if fits {
                    continue;
                }
                Trouble::Other("this makes the theme too long, see docs/plugins/DIRLISTING.md: shorten it".into())
            }
            // Those that the original came with: whoever has its file gets listings.
            Err(Trouble::Missing) if matches!(name, "bootstrap" | "guineo") => {
                out.warning(
                    &entry.value_at,
                    format_args!("there is no {}: the built-in theme is used", path.display()),
                );
                return None;
            }
            Err(why) => why,
        };
        return out.refuse(&entry.value_at, format_args!("theme {name}: {}: {why}", path.display()));
    }
    Some(theme)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pieces of a text.
    fn cut(mut text: &str, of_entry: bool) -> Vec<(&str, Option<Macro>)> {
        let mut pieces = Vec::new();
        loop {
            let (before, found) = next_macro(text.as_bytes(), of_entry);
            pieces.push((std::str::from_utf8(before).unwrap(), found.map(|(it, _)| it)));
            let Some((_, behind)) = found else { return pieces };
            text = std::str::from_utf8(behind).unwrap();
        }
    }

    #[test]
    fn macros_are_found() {
        let pieces = cut("<a href=\"%_target_url_%\">%_target_name_%</a>", true);
        let wanted = [("<a href=\"", Some(Macro::TargetUrl)), ("\">", Some(Macro::TargetName)), ("</a>", None)];
        assert_eq!(pieces, wanted);
        assert_eq!(cut("%_ %%_note_%%", false), [("%_ %", Some(Macro::Note)), ("%", None)]);
        for (end, it) in MACROS {
            let text = format!("%_{}", std::str::from_utf8(end).unwrap());
            assert_eq!(cut(&text, true), [("", Some(*it)), ("", None)], "{text}");
        }
    }

    #[test]
    fn what_is_no_macro_stays() {
        for text in
            ["", "100 %", "%_", "%__%", "%_Note_%", "%_no such_%", "%_note", "%_note_", "%%__%%", "a%_nonesuch_%b"]
        {
            assert_eq!(cut(text, true), [(text, None)]);
        }
        assert_eq!(cut("%_target_url_%", false), [("%_target_url_%", None)], "there is no entry");
        for (number, (end, _)) in MACROS.iter().enumerate() {
            let text = format!("%_{}", std::str::from_utf8(end).unwrap());
            let of_entry = ["target_title", "target_name", "json_name", "json_comma", "json_size", "json_time"];
            let is = text.contains("target") || of_entry.iter().any(|name| text.contains(name));
            assert_eq!(number >= ANYWHERE, is, "{text}");
        }
    }

    #[test]
    fn the_longest_that_a_text_can_come_to() {
        assert_eq!(longest(b"<%_target_url_%><%_theme_path_%>", true, 2), 32 + 1536 + 12);
    }
}
