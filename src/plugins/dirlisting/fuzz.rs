//! Names, paths and themes of listings. The input is a path, a line end, the name of an entry, a line end, and a text of a theme.

use super::order::Order;
use super::page::{BUILT_IN, JSON, Shown, View};
use super::text::{push_html, push_json, push_url};
use crate::config::plugins::dirlisting::{longest, next_macro};
use crate::http::output::Sink;
use crate::limits::PATH_ROOM;
use crate::sys::file::{Kind, Meta};
use crate::wire::json::{Value, parse};

const NAME_MAX: usize = 255;

struct Written(Vec<u8>);

impl Sink for Written {
    fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}

fn written(write: impl FnOnce(&mut dyn Sink)) -> Vec<u8> {
    let mut out = Written(Vec::new());
    write(&mut out);
    out.0
}

/// Checks that a name stays a name in HTML, in a URL and in JSON, that a page has the elements of its theme and no others, and that no
/// text comes to more than the configuration has worked out.
pub fn run(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == b'\n');
    let [path, name, theme] = [PATH_ROOM, NAME_MAX, usize::MAX]
        .map(|max| parts.next().map_or(&b""[..], |part| part.get(..max).unwrap_or(part)));
    for text in [path, name] {
        escapes(text);
    }
    let meta = Meta {
        kind: if path.len() % 2 == 0 { Kind::Regular } else { Kind::Directory },
        size: u64::MAX >> (name.len() % 64),
        mtime: path.len() as i64 * 1_000_000,
        mtime_ns: 0,
        inode: 1,
        device: 1,
        ctime: 0,
        ctime_ns: 0,
        writable_by_all: false,
        links: 1,
    };
    let entry = Shown { name, meta: Some(meta), first: false };
    let parent = Shown { name: b"..", meta: None, first: true };
    let view =
        View { dir: b"themes/\"<", path, order: Order::of_query(name), sorted: name.len() % 2 == 0, limit: 10_000 };
    for shown in [None, Some(&entry), Some(&parent)] {
        page(&view, theme, shown);
        page(&view, BUILT_IN[usize::from(shown.is_some())], shown);
    }

    let json = written(|out| {
        view.push(out, JSON[0], None);
        view.push(out, JSON[1], Some(&Shown { first: true, ..entry }));
        view.push(out, JSON[1], Some(&entry));
        view.push(out, JSON[2], None);
    });
    let value = parse(&json).unwrap_or_else(|| panic!("{}", String::from_utf8_lossy(&json)));
    assert_eq!(value.member("path").and_then(Value::text), Some(&*shown_as(path)));
    let Some(Value::List(entries)) = value.member("entries") else { panic!("no entries") };
    assert_eq!(entries.len(), 2);
    assert!(entries.iter().all(|entry| entry.member("name").and_then(Value::text) == Some(&shown_as(name))));
}

/// Text as it is shown where it is no UTF-8.
fn shown_as(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

fn escapes(text: &[u8]) {
    let html = String::from_utf8(written(|out| push_html(out, text))).expect("UTF-8");
    assert!(!html.bytes().any(|byte| b"<>\"'".contains(&byte) || byte.is_ascii_control()));
    let mut shown = html;
    for (reference, character) in [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&amp;", "&")] {
        shown = shown.replace(reference, character);
    }
    let picture = |c: char| match c {
        '\0'..='\x1f' => char::from_u32(0x2400 + c as u32).unwrap_or(c),
        '\x7f' => '\u{2421}',
        c => c,
    };
    assert_eq!(shown, shown_as(text).chars().map(picture).collect::<String>());

    let url = written(|out| push_url(out, text));
    assert!(url.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte)));
    let mut decoded = Vec::new();
    let mut rest = &url[..];
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'%' => {
                let (digits, after) = rest.split_at(2);
                rest = after;
                u8::from_str_radix(str::from_utf8(digits).expect("digits"), 16).expect("digits")
            }
            byte => byte,
        });
    }
    assert_eq!(decoded, text);

    let json = written(|out| push_json(out, text));
    assert!(!json.iter().any(|&byte| byte == b'<' || byte.is_ascii_control()));
    assert_eq!(parse(&json), Some(Value::Text(shown_as(text))));
}

fn page(view: &View<'_>, theme: &[u8], shown: Option<&Shown<'_>>) {
    let page = written(|out| view.push(out, theme, shown));
    assert!(page.len() <= longest(theme, shown.is_some(), view.dir.len()));
    // The text of the theme without its macros.
    let (mut plain, mut rest) = (Vec::new(), theme);
    while let (before, Some((_, behind))) = next_macro(rest, shown.is_some()) {
        plain.extend_from_slice(before);
        rest = behind;
    }
    plain.extend_from_slice(rest);
    assert_eq!(counts(&page), counts(&plain));
}

/// How often a text has each byte that could be markup, or control something.
fn counts(text: &[u8]) -> [usize; 128] {
    let mut counts = [0; 128];
    for &byte in text.iter().filter(|&&byte| byte == b'<' || byte.is_ascii_control()) {
        counts[usize::from(byte)] += 1;
    }
    counts
}
