//! What the macros of a theme stand for. JSON is one more theme.

use crate::config::plugins::dirlisting::{Column, Macro, next_macro};
use crate::http::output::Sink;
use crate::limits::LISTING_TITLE_MAX;
use crate::plugins::dirlisting::order::Order;
use crate::plugins::dirlisting::text::{push_html, push_json, push_size, push_time, push_url};
use crate::sys::file::{Kind, Meta};
use crate::wire::date::{ISO_DATE_LEN, write_iso_date};

/// What comes first, what comes for each entry, what comes last.
pub(super) type Texts<'a> = [&'a [u8]; 3];

/// The built-in theme.
pub(super) static BUILT_IN: Texts<'static> =
    [include_bytes!("theme/header.theme"), include_bytes!("theme/entry.theme"), include_bytes!("theme/footer.theme")];

/// A listing in JSON.
pub(super) static JSON: Texts<'static> = [
    b"{\"path\": %_json_path_%, \"entries\": [",
    b"%_json_comma_%\n  {\"name\": %_json_name_%, \"url\": \"%_target_url_%\", \"type\": \"%_target_type_%\", \"size\": %_json_size_%, \"modified\": \"%_json_time_%\"}",
    b"], \"sorted\": %_json_sorted_%}\n",
];

/// What is written about.
pub(super) struct View<'a> {
    /// The theme's directory.
    pub(super) dir: &'a [u8],
    pub(super) path: &'a [u8],
    pub(super) order: Order,
    pub(super) sorted: bool,
    /// Most entries that are sorted.
    pub(super) limit: u32,
}

/// An entry that is shown.
pub(super) struct Shown<'a> {
    pub(super) name: &'a [u8],
    /// None = the link to the directory above.
    pub(super) meta: Option<Meta>,
    /// There is none before it.
    pub(super) first: bool,
}

impl View<'_> {
    /// Writes a text of a theme, that of an entry with the entry.
    pub(super) fn push(&self, out: &mut dyn Sink, mut text: &[u8], shown: Option<&Shown<'_>>) {
        loop {
            let (before, found) = next_macro(text, shown.is_some());
            out.push(before);
            let Some((it, behind)) = found else { return };
            match shown {
                Some(shown) => self.push_of_entry(out, it, shown),
                None => self.push_macro(out, it),
            }
            text = behind;
        }
    }

    #[inline(never)]
    fn push_macro(&self, out: &mut dyn Sink, it: Macro) {
        let columns = [Column::Name, Column::Date, Column::Size];
        match it {
            Macro::HTML_TITLE => {
                out.push(b"Index of ");
                let start = self.path.get(..LISTING_TITLE_MAX);
                push_html(out, start.unwrap_or(self.path));
                if start.is_some() {
                    out.push("\u{2026}".as_bytes());
                }
            }
            Macro::THEME_PATH => push_html(out, self.dir),
            Macro::NOTE if !self.sorted => {
                out.push(b"This directory has more than ");
                out.push_decimal(self.limit.into());
                out.push(b" entries: they stand in its own order, unsorted.");
            }
            Macro::JSON_PATH => push_json(out, self.path),
            Macro::JSON_SORTED => out.push(if self.sorted { b"true" } else { b"false" }),
            Macro(number) => {
                if let Some(&column) = columns.get(number.wrapping_sub(Macro::SORT.0)) {
                    out.push(b"?sort=");
                    out.push(match column {
                        Column::Name => b"name",
                        Column::Date => b"date",
                        Column::Size => b"size",
                    });
                    let turn = self.order == Order { by: column, descending: false };
                    out.push(if turn { b"&amp;order=desc" } else { b"&amp;order=asc" });
                } else if let Some(&column) = columns.get(number.wrapping_sub(Macro::ORDER.0)) {
                    out.push(match self.sorted && self.order.by == column {
                        false => b"none",
                        true if self.order.descending => b"descending",
                        true => b"ascending",
                    });
                }
            }
        }
    }

    fn push_of_entry(&self, out: &mut dyn Sink, it: Macro, shown: &Shown<'_>) {
        let Shown { name, ref meta, first } = *shown;
        let (kind, size, mtime) = meta.as_ref().map_or((Kind::Directory, 0, 0), |it| (it.kind, it.size, it.mtime));
        let directory = kind == Kind::Directory;
        match it {
            Macro::TARGET_TITLE | Macro::TARGET_NAME | Macro::TARGET_URL => {
                let push = if it == Macro::TARGET_URL { push_url } else { push_html };
                push(out, name);
                if directory {
                    out.push(b"/");
                }
            }
            Macro::TARGET_TYPE => out.push(match meta {
                None => b"parent",
                Some(_) if directory => b"directory",
                Some(_) => b"file",
            }),
            Macro::TARGET_TIME if meta.is_some() => push_time(out, mtime),
            Macro::TARGET_TIME => out.push(b"-"),
            Macro::TARGET_SIZE if directory => out.push(b"-"),
            Macro::JSON_SIZE if directory => out.push(b"null"),
            Macro::TARGET_SIZE => push_size(out, size),
            Macro::TARGET_BYTES if directory => {}
            Macro::TARGET_BYTES | Macro::JSON_SIZE => out.push_decimal(size),
            Macro::JSON_COMMA if first => {}
            Macro::JSON_COMMA => out.push(b","),
            Macro::JSON_NAME => push_json(out, name),
            Macro::JSON_TIME => {
                let mut date = [0; ISO_DATE_LEN];
                write_iso_date(mtime, &mut date);
                out.push(&date);
            }
            _ => self.push_macro(out, it),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::output::Output;

    const VIEW: View<'_> = View {
        dir: b"",
        path: b"/%_note_%/",
        order: Order { by: Column::Name, descending: false },
        sorted: true,
        limit: 1,
    };

    #[test]
    fn the_built_in_theme_is_small_and_needs_nothing_else() {
        let header = include_str!("theme/header.theme");
        let css = header.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
        assert!(css.len() < 2048, "{} bytes of CSS", css.len());
        for text in BUILT_IN {
            let text = std::str::from_utf8(text).unwrap();
            assert!(!text.contains("://") && !text.contains("src=") && !text.contains("url("), "{text}");
        }
    }

    #[test]
    fn names_that_look_like_macros_are_names() {
        let meta = Meta {
            kind: Kind::Regular,
            size: 5,
            mtime: 0,
            mtime_ns: 0,
            inode: 1,
            device: 1,
            ctime: 0,
            ctime_ns: 0,
            writable_by_all: false,
            links: 1,
        };
        let shown = Shown { name: b"%_target_url_%\"<b>", meta: Some(meta), first: true };
        let mut out = Output::new(4096).unwrap();
        VIEW.push(&mut out, BUILT_IN[1], Some(&shown));
        VIEW.push(&mut out, b"%_html_title_%", None);
        let text = std::str::from_utf8(out.bytes()).unwrap();
        assert!(text.contains("href=\"%25_target_url_%25%22%3Cb%3E\""), "{text}");
        assert!(text.contains("<bdi>%_target_url_%&quot;&lt;b&gt;</bdi>"), "{text}");
        assert!(text.ends_with("Index of /%_note_%/"), "{text}");
    }

    #[test]
    fn a_long_path_is_cut_in_the_title() {
        let view = View { path: &[b'"'; 4000], ..VIEW };
        let mut out = Output::new(8192).unwrap();
        view.push(&mut out, b"%_html_title_%", None);
        assert_eq!(out.len(), "Index of ".len() + 512 * 6 + 3);
    }
}
