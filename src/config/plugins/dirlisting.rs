//! plugins/dirlisting/dirhtml.conf, and the themes beside it.
#![cfg_attr(not(feature = "plugin-dirlisting"), allow(dead_code))]

use std::path::{Path, PathBuf};

use super::super::check::Values;
use super::super::diagnostic::Findings;
use super::super::files::{Files, Trouble};
use super::super::raw::RawEntry;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, Section, key, number, page, section};
use crate::limits::{LISTING_TITLE_MAX, PATH_ROOM, THEME_MAX, THEME_PART_MAX};

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
    pub theme: Option<Box<Theme>>,
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
    pub texts: [Vec<u8>; 3],
    /// The directory that the three are in.
    pub dir: PathBuf,
}

/// Longest name of a file.
const NAME_MAX: usize = 255;
/// Most bytes that one byte comes to in HTML.
const ESCAPED: usize = 6;

/// What stands in a theme for something that differs from page to page: the place of its name among all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Macro(pub usize);

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

/// The names of the macros, each of which stands between `%_` and `_%`. Those that say something of an entry come last.
const MACROS: &[u8] = b"html_title theme_path note sort_name sort_date sort_size order_name order_date order_size json_path \
    json_sorted target_title target_name target_url target_time target_size target_bytes target_type json_comma json_name \
    json_size json_time";

impl Macro {
    /// `Index of` and the path.
    pub const HTML_TITLE: Macro = Macro(0);
    /// The theme's directory.
    pub const THEME_PATH: Macro = Macro(1);
    /// That the entries are not sorted, and why; else nothing.
    pub const NOTE: Macro = Macro(2);
    /// The link that sorts by a name, and the other way round when it is so already; then by date, and by size.
    pub const SORT: Macro = Macro(3);
    /// How names are sorted, as `aria-sort` says it: `ascending`, `descending` or `none`; then dates, and sizes.
    pub const ORDER: Macro = Macro(6);
    /// The path, as a string of JSON.
    pub const JSON_PATH: Macro = Macro(9);
    /// `true` or `false`.
    pub const JSON_SORTED: Macro = Macro(10);
    /// The name of an entry.
    pub const TARGET_TITLE: Macro = Macro(11);
    /// The same.
    pub const TARGET_NAME: Macro = Macro(12);
    /// The link to it.
    pub const TARGET_URL: Macro = Macro(13);
    /// When it was modified.
    pub const TARGET_TIME: Macro = Macro(14);
    /// Its size, for people.
    pub const TARGET_SIZE: Macro = Macro(15);
    /// Its size in bytes.
    pub const TARGET_BYTES: Macro = Macro(16);
    /// `parent`, `directory` or `file`.
    pub const TARGET_TYPE: Macro = Macro(17);
    /// What parts an entry from the one before.
    pub const JSON_COMMA: Macro = Macro(18);
    /// The name of an entry, as a string of JSON.
    pub const JSON_NAME: Macro = Macro(19);
    /// Its size, or `null`.
    pub const JSON_SIZE: Macro = Macro(20);
    /// When it was modified, by RFC 3339.
    pub const JSON_TIME: Macro = Macro(21);

    /// Whether it says something of an entry.
    fn is_of_entry(self) -> bool {
        self.0 >= Macro::TARGET_TITLE.0
    }
}

/// The text up to the first macro, that macro, and the text behind it. None = there is none: the first is the whole. What looks like
/// one and is not known, or says something of an entry where there is none, is text.
pub fn next_macro(text: &[u8], of_entry: bool) -> (&[u8], Option<(Macro, &[u8])>) {
    let mut rest = text;
    while let Some(at) = rest.iter().position(|&byte| byte == b'%') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let Some(name) = rest.strip_prefix(b"_") else { continue };
        for (number, known) in MACROS.split(|&byte| byte == b' ').enumerate() {
            if let Some(behind) = name.strip_prefix(known)
                && let Some(behind) = behind.strip_prefix(b"_%")
                && (of_entry || !Macro(number).is_of_entry())
            {
                return (text.get(..text.len() - rest.len() - 1).unwrap_or_default(), Some((Macro(number), behind)));
            }
        }
    }
    (text, None)
}

/// The most that a text can come to, bytes; `dir` = the length of the theme's directory.
pub fn longest(mut text: &[u8], of_entry: bool, dir: usize) -> usize {
    let mut longest = text.len();
    while let (_, Some((it, behind))) = next_macro(text, of_entry) {
        longest += match it {
            Macro::HTML_TITLE => (LISTING_TITLE_MAX + 8) * ESCAPED,
            Macro::JSON_PATH => PATH_ROOM * ESCAPED + 2,
            Macro::THEME_PATH => dir * ESCAPED,
            Macro::TARGET_TITLE | Macro::TARGET_NAME | Macro::TARGET_URL | Macro::JSON_NAME => (NAME_MAX + 1) * ESCAPED,
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

fn theme(entry: &RawEntry<'_>, files: &dyn Files, dir: &Path, out: &mut Findings) -> Option<Box<Theme>> {
    let name = entry.value;
    if name == ".." || name.bytes().any(|byte| byte == b'/') {
        return out.refuse(&entry.value_at, "write the name of a directory in plugins/dirlisting/themes");
    }
    let dir = dir.join("themes").join(name);
    let mut texts = [const { Vec::new() }; 3];
    let mut left = THEME_MAX;
    for (part, file) in ["header.theme", "entry.theme", "footer.theme"].into_iter().enumerate() {
        let path = dir.join(file);
        let why = match files.read(&path) {
            Ok(text) => {
                let fits = text.len() <= left && longest(&text, part == 1, dir.as_os_str().len()) <= THEME_PART_MAX;
                left = left.saturating_sub(text.len());
                if let Some(place) = texts.get_mut(part).filter(|_| fits) {
                    *place = text;
                    continue;
                }
                Trouble::Other("this makes the theme too long, see docs/plugins/DIRLISTING.md: shorten it".into())
            }
            Err(why) => why,
        };
        let path = path.display();
        // Those that the original came with: whoever has its file gets listings.
        if why == Trouble::Missing && matches!(name, "bootstrap" | "guineo") {
            out.warning(&entry.value_at, format_args!("there is no {path}: the built-in theme is used"));
            return None;
        }
        return out.refuse(&entry.value_at, format_args!("theme {name}: {path}: {why}"));
    }
    Some(Box::new(Theme { texts, dir }))
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
        let wanted = [("<a href=\"", Some(Macro::TARGET_URL)), ("\">", Some(Macro::TARGET_NAME)), ("</a>", None)];
        assert_eq!(pieces, wanted);
        assert_eq!(cut("%_ %%_note_%%", false), [("%_ %", Some(Macro::NOTE)), ("%", None)]);
        for (number, name) in std::str::from_utf8(MACROS).unwrap().split(' ').enumerate() {
            let text = format!("%_{name}_%");
            assert_eq!(cut(&text, true), [("", Some(Macro(number))), ("", None)], "{text}");
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
        for (number, name) in std::str::from_utf8(MACROS).unwrap().split(' ').enumerate() {
            let is = name.contains("target") || ["json_name", "json_comma", "json_size", "json_time"].contains(&name);
            assert_eq!(Macro(number).is_of_entry(), is, "{name}");
        }
    }

    #[test]
    fn the_longest_that_a_text_can_come_to() {
        assert_eq!(longest(b"<%_target_url_%><%_theme_path_%>", true, 2), 32 + 1536 + 12);
    }
}
