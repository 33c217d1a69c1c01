//! A listing as HTML: what the macros of a theme stand for.

use crate::config::plugins::dirlisting::{Column, Macro, Template, Theme};
use crate::http::output::Sink;
use crate::limits::LISTING_TITLE_MAX;
use crate::plugins::dirlisting::order::Order;
use crate::plugins::dirlisting::text::{push_html, push_size, push_time, push_url};
use crate::sys::file::{Kind, Meta};

/// The built-in theme.
pub(super) fn built_in() -> Theme {
    let cut = |text: &'static str, of_entry| Template::cut(text.as_bytes().into(), of_entry, &mut |_| {});
    Theme {
        header: cut(include_str!("theme/header.theme"), false),
        entry: cut(include_str!("theme/entry.theme"), true),
        footer: cut(include_str!("theme/footer.theme"), false),
        dir: Box::default(),
    }
}

/// What a page is about.
pub(super) struct View<'a> {
    pub(super) theme: &'a Theme,
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
    pub(super) meta: Option<&'a Meta>,
}

impl Shown<'_> {
    pub(super) fn is_directory(&self) -> bool {
        self.meta.is_none_or(|meta| meta.kind == Kind::Directory)
    }
}

impl View<'_> {
    /// Writes a piece of a template. False = it has no such piece.
    pub(super) fn push_piece(
        &self,
        out: &mut dyn Sink,
        template: &Template,
        number: usize,
        shown: Option<&Shown<'_>>,
    ) -> bool {
        let Some((text, then)) = template.piece(number) else { return false };
        out.push(text);
        if let Some(then) = then {
            self.push_macro(out, then, shown);
        }
        true
    }

    /// Writes an entry.
    pub(super) fn push_entry(&self, out: &mut dyn Sink, shown: &Shown<'_>) {
        let mut number = 0;
        while self.push_piece(out, &self.theme.entry, number, Some(shown)) {
            number += 1;
        }
    }

    fn push_macro(&self, out: &mut dyn Sink, it: Macro, shown: Option<&Shown<'_>>) {
        match it {
            Macro::HtmlTitle => {
                out.push(b"Index of ");
                match self.path.get(..LISTING_TITLE_MAX) {
                    Some(start) if start.len() < self.path.len() => {
                        push_html(out, start);
                        out.push("\u{2026}".as_bytes());
                    }
                    _ => push_html(out, self.path),
                }
            }
            Macro::ThemePath => push_html(out, &self.theme.dir),
            Macro::Note if self.sorted => {}
            Macro::Note => {
                out.push(b"This directory has more than ");
                out.push_decimal(self.limit.into());
                out.push(b" entries: they stand in its own order, unsorted.");
            }
            Macro::Sort(column) => {
                let turn = self.sorted && self.order.by == column && !self.order.descending;
                for part in ["?sort=", name(column), "&amp;order=", if turn { "desc" } else { "asc" }] {
                    out.push(part.as_bytes());
                }
            }
            Macro::Order(column) => out.push(match self.order {
                Order { by, descending } if self.sorted && by == column => {
                    if descending {
                        b"descending"
                    } else {
                        b"ascending"
                    }
                }
                _ => b"none",
            }),
            _ => {
                if let Some(shown) = shown {
                    push_target(out, it, shown);
                }
            }
        }
    }
}

fn name(column: Column) -> &'static str {
    match column {
        Column::Name => "name",
        Column::Date => "date",
        Column::Size => "size",
    }
}

fn push_target(out: &mut dyn Sink, it: Macro, shown: &Shown<'_>) {
    let slash: &[u8] = if shown.is_directory() { b"/" } else { b"" };
    match (it, shown.meta) {
        (Macro::TargetUrl, _) => {
            push_url(out, shown.name);
            out.push(slash);
        }
        (Macro::TargetType, None) => out.push(b"parent"),
        (Macro::TargetType, _) => out.push(if shown.is_directory() { b"directory" } else { b"file" }),
        (Macro::TargetTime, Some(meta)) => push_time(out, meta.mtime),
        (Macro::TargetSize, Some(meta)) if !shown.is_directory() => push_size(out, meta.size),
        (Macro::TargetBytes, Some(meta)) if !shown.is_directory() => out.push_decimal(meta.size),
        (Macro::TargetTime | Macro::TargetSize, _) => out.push(b"-"),
        (Macro::TargetTitle | Macro::TargetName, _) => {
            push_html(out, shown.name);
            out.push(slash);
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::output::Output;

    #[test]
    fn the_built_in_theme_is_small_and_needs_nothing_else() {
        let header = include_str!("theme/header.theme");
        let css = header.split("<style>").nth(1).and_then(|rest| rest.split("</style>").next()).unwrap();
        assert!(css.len() < 2048, "{} bytes of CSS", css.len());
        for text in [header, include_str!("theme/entry.theme"), include_str!("theme/footer.theme")] {
            assert!(!text.contains("://") && !text.contains("src=") && !text.contains("url("), "{text}");
        }
    }

    #[test]
    fn names_that_look_like_macros_are_names() {
        let theme = built_in();
        let order = Order { by: Column::Name, descending: false };
        let view = View { theme: &theme, path: b"/%_note_%/", order, sorted: true, limit: 1 };
        let meta =
            Meta { kind: Kind::Regular, size: 5, mtime: 0, mtime_ns: 0, inode: 1, device: 1, ctime: 0, ctime_ns: 0 };
        let shown = Shown { name: b"%_target_url_%\"<b>", meta: Some(&meta) };
        let mut out = Output::new(4096).unwrap();
        view.push_entry(&mut out, &shown);
        view.push_macro(&mut out, Macro::HtmlTitle, None);
        let text = std::str::from_utf8(out.bytes()).unwrap();
        assert!(text.contains("href=\"%25_target_url_%25%22%3Cb%3E\""), "{text}");
        assert!(text.contains("<bdi>%_target_url_%&quot;&lt;b&gt;</bdi>"), "{text}");
        assert!(text.ends_with("Index of /%_note_%/"), "{text}");
    }

    #[test]
    fn a_long_path_is_cut_in_the_title() {
        let theme = built_in();
        let path = [b'"'; 4000];
        let order = Order { by: Column::Name, descending: false };
        let view = View { theme: &theme, path: &path, order, sorted: true, limit: 1 };
        let mut out = Output::new(8192).unwrap();
        view.push_macro(&mut out, Macro::HtmlTitle, None);
        assert_eq!(out.len(), "Index of ".len() + 512 * 6 + 3);
    }
}
