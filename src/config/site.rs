//! A file in sites/: one virtual host.

use std::path::{Path, PathBuf};

use super::check::{Values, check};
use super::diagnostic::{Findings, Position};
use super::files::Files;
use super::raw::{RawConfig, RawEntry};
use super::rules::{self, CacheRule, FIELD_LINE_MAX, HeaderRule};
use super::table::File;

/// Longest name of a site, bytes. A longer one is an error, as in the original.
pub const SERVER_NAME_MAX: usize = 63;

/// `Alias PREFIX DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Begins with a slash and does not end with one; stands for whole segments.
    pub prefix: String,
    /// The directory, absolute.
    pub dir: PathBuf,
}

/// One virtual host. docs/CONFIGURATION.md says what each key does.
#[derive(Clone, Debug)]
pub struct Site {
    /// The names, lower-cased.
    pub names: Vec<String>,
    /// The files served, absolute. Need not exist when the server starts.
    pub document_root: PathBuf,
    /// Where every request is sent to by 301: a URL, or an absolute path.
    pub redirect: Option<String>,
    /// The page sent with a status, relative to the document root.
    pub error_pages: Vec<(u16, String)>,
    /// Fields added to responses: every rule that matches adds its own.
    pub headers: Vec<HeaderRule>,
    /// Cache-Control: the first rule that matches counts.
    pub cache: Vec<CacheRule>,
    /// Bytes of the largest request body; 0 is no limit.
    pub max_body_size: u64,
    /// The absolute path served instead of a 404 to who accepts text/html.
    pub fallback: Option<String>,
    /// Other directories, the longest prefix first.
    pub aliases: Vec<Alias>,
    /// Mixed into every ETag; may be empty.
    pub etag_seed: Vec<u8>,
    /// Extensions, lower-cased and without dot, of files that are never sent as they are.
    pub script_extensions: Vec<String>,
    /// Where its names stand, or else its file, for messages.
    pub at: Position,
}

const H: &str = "HOST";

impl Site {
    /// A site that serves a directory by every name, with all else as by default.
    pub(super) fn of_directory(document_root: PathBuf) -> Site {
        let at = Position::of_file("command line --one-shot");
        let nothing = RawConfig::default();
        // The findings are about the keys that an empty file lacks.
        let values = check(&nothing, File::Site, &at, &mut Findings::default());
        Site {
            names: Vec::new(),
            document_root,
            redirect: None,
            error_pages: Vec::new(),
            headers: Vec::new(),
            cache: Vec::new(),
            max_body_size: 0,
            fallback: None,
            aliases: Vec::new(),
            etag_seed: Vec::new(),
            script_extensions: script_extensions(&values, &mut Findings::default()),
            at,
        }
    }
}

pub(super) fn resolve(raw: &RawConfig, dir: &Path, files: &dyn Files, whole: &Position, out: &mut Findings) -> Site {
    let values = check(raw, File::Site, whole, out);
    let v = &values;
    Site {
        names: names(v, out),
        document_root: dir.join(v.text(H, "DocumentRoot")),
        redirect: v.entry(H, "Redirect").and_then(|entry| redirect(&entry, out)),
        error_pages: v.all("ERROR_PAGES", "STATUS").filter_map(|entry| error_page(&entry, out)).collect(),
        headers: v.all("HEADERS", "Match").filter_map(|entry| rules::header(&entry, out)).collect(),
        cache: v.all("CACHE", "Match").filter_map(|entry| rules::cache(&entry, out)).collect(),
        max_body_size: v.number(H, "MaxBodySize").saturating_mul(1024),
        fallback: v.entry(H, "Fallback").and_then(|entry| fallback(&entry, out)),
        aliases: aliases(v, dir, out),
        etag_seed: v.entry(H, "EtagSeed").and_then(|entry| etag_seed(&entry, dir, files, out)).unwrap_or_default(),
        script_extensions: script_extensions(v, out),
        at: v.entry(H, "ServerName").map_or_else(|| whole.clone(), |entry| entry.value_at),
    }
}

fn names(v: &Values<'_>, out: &mut Findings) -> Vec<String> {
    let mut names = Vec::new();
    let Some(entry) = v.entry(H, "ServerName") else { return names };
    for name in v.words(H, "ServerName") {
        let at = entry.value_at.within(entry.value, nom::Offset::offset(entry.value, name));
        let lower = name.to_ascii_lowercase();
        if name.len() > SERVER_NAME_MAX {
            out.error(&at, format!("the name {name} is longer than {SERVER_NAME_MAX} characters: shorten it"));
        } else if !is_host_name(name) {
            let what =
                format!("\"{name}\" is not a host name: write letters, digits, dots and hyphens, without a port");
            out.error(&at, what);
        } else if names.contains(&lower) {
            out.warning(&at, format!("{name} is already named in this line"));
        } else {
            names.push(lower);
        }
    }
    names
}

/// A registered name (with `_`, which local networks use), an IPv4 address, or an IPv6 address in brackets.
fn is_host_name(name: &str) -> bool {
    match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
            name.bytes().all(good) && !name.starts_with('.') && !name.contains("..")
        }
    }
}

fn redirect(entry: &RawEntry<'_>, out: &mut Findings) -> Option<String> {
    let value = entry.value;
    let lower = value.get(..8).unwrap_or(value).to_ascii_lowercase();
    let host = ["http://", "https://"].iter().find(|scheme| lower.starts_with(**scheme));
    let good = match host {
        Some(scheme) => value.get(scheme.len()..).is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/')),
        None => value.starts_with('/') && !value.starts_with("//"),
    };
    if !good || value.len() > FIELD_LINE_MAX || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        let what = format!(
            "cannot redirect to \"{value}\": write http://HOST/..., https://HOST/... or /PATH, in ASCII without spaces"
        );
        out.error(&entry.value_at, what);
        return None;
    }
    Some(value.into())
}

/// Whether no component of the path is `..`, so that it stays below where it starts.
fn stays_below(path: &str) -> bool {
    path.split('/').all(|part| part != "..")
}

fn error_page(entry: &RawEntry<'_>, out: &mut Findings) -> Option<(u16, String)> {
    let status = Some(entry.key).filter(|key| key.len() == 3).and_then(|key| key.parse::<u16>().ok());
    let Some(status) = status.filter(|status| (400..=505).contains(status)) else {
        out.error(&entry.at, format!("there is no error page for \"{}\": write a status from 400 to 505", entry.key));
        return None;
    };
    let page = entry.value.trim_start_matches('/');
    if page.is_empty() || !stays_below(page) {
        let what = format!("the page cannot be \"{}\": write a file below DocumentRoot", entry.value);
        out.error(&entry.value_at, what);
        return None;
    }
    // A path as requests have it.
    Some((status, format!("/{page}")))
}

fn fallback(entry: &RawEntry<'_>, out: &mut Findings) -> Option<String> {
    let value = entry.value;
    if !value.starts_with('/') || value.ends_with('/') || !stays_below(value) {
        out.error(
            &entry.value_at,
            format!("Fallback cannot be \"{value}\": write /PATH of a file, such as /index.html"),
        );
        return None;
    }
    Some(value.into())
}

fn aliases(v: &Values<'_>, dir: &Path, out: &mut Findings) -> Vec<Alias> {
    let mut all: Vec<(Alias, Position)> = Vec::new();
    for entry in v.all(H, "Alias") {
        let parts = entry.value.split_once([' ', '\t']).map(|(prefix, dir)| (prefix, dir.trim()));
        let Some((prefix, target)) = parts.filter(|(prefix, _)| prefix.starts_with('/')) else {
            out.error(&entry.value_at, "write /PREFIX DIRECTORY, such as /firmware /data/firmware");
            continue;
        };
        let prefix = prefix.trim_end_matches('/');
        if prefix.is_empty() {
            out.error(&entry.value_at, "the prefix / is DocumentRoot itself: set that instead");
        } else if prefix.split('/').skip(1).any(|part| part.is_empty() || part == "." || part == "..") {
            out.error(
                &entry.value_at,
                format!("the prefix \"{prefix}\" never matches: write it without . and .. and //"),
            );
        } else if let Some((_, first)) = all.iter().find(|(alias, _)| alias.prefix == prefix) {
            out.warning(&entry.at, format!("{prefix} already has a directory at {first}: this one has no effect"));
        } else {
            all.push((Alias { prefix: prefix.into(), dir: dir.join(target) }, entry.at));
        }
    }
    let mut aliases: Vec<Alias> = all.into_iter().map(|(alias, _)| alias).collect();
    aliases.sort_by_key(|alias| std::cmp::Reverse(alias.prefix.len()));
    aliases
}

fn etag_seed(entry: &RawEntry<'_>, dir: &Path, files: &dyn Files, out: &mut Findings) -> Option<Vec<u8>> {
    let Some(name) = entry.value.strip_prefix('@') else { return Some(entry.value.as_bytes().to_vec()) };
    let path = dir.join(name);
    match files.read(&path) {
        Ok(content) => Some(content.trim_ascii().to_vec()),
        Err(what) => {
            out.error(&entry.value_at, format!("cannot read {}: {what}", path.display()));
            None
        }
    }
}

fn script_extensions(v: &Values<'_>, out: &mut Findings) -> Vec<String> {
    let mut all = Vec::new();
    for word in v.words(H, "ScriptExtensions") {
        let extension = word.strip_prefix('.').unwrap_or(word);
        match v.entry(H, "ScriptExtensions") {
            Some(entry) if extension.is_empty() || extension.contains(['.', '/']) => {
                let what = format!("\"{word}\" is not an extension: write words such as php");
                out.error(&entry.value_at, what);
            }
            _ => all.push(extension.to_ascii_lowercase()),
        }
    }
    all
}
