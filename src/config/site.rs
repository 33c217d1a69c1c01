//! A file in sites/: one virtual host.

use std::path::{Path, PathBuf};

use super::Chroot;
use super::check::{Values, check, number};
use super::diagnostic::{Findings, Position};
use super::files::Files;
use super::plugins::handlers::{HandlerLine, Lines, handlers};
use super::plugins::{OfSite, With, of_site, text_of};
use super::raw::{RawConfig, RawEntry};
use super::rules::{self, CacheRule, FIELD_LINE_MAX, HeaderRule};
use super::table::File;
use super::text::{Words, first_word, same};
use crate::limits::SITE_FIELDS_MAX;

/// Longest name of a site, bytes. A longer one is an error, as in the original.
pub const SERVER_NAME_MAX: usize = 63;

/// `Alias PREFIX DIR`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alias {
    /// Begins with a slash and does not end with one; stands for whole segments.
    pub prefix: String,
    /// The directory, absolute: as it is opened, which is in the chroot if there is one.
    pub dir: PathBuf,
}

/// One virtual host. docs/CONFIGURATION.md says what each key does.
#[derive(Clone, Debug)]
pub struct Site {
    /// The names, lower-cased.
    pub names: Vec<String>,
    /// The files served, absolute: as they are opened, which is in the chroot if there is one. Need not exist when the server
    /// starts.
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
    /// Which plugin answers which requests.
    pub handlers: Vec<HandlerLine>,
    /// What the plugins read.
    pub plugins: OfSite,
    /// What is written in its file and counts: lines of `[SECTION]` and `KEY VALUE`. Empty unless a plugin tells of it.
    pub written: Box<[u8]>,
    /// Where its names stand, or else its file, for messages.
    pub at: Box<str>,
}

const H: &str = "HOST";

impl Site {
    /// A site that serves a directory by every name, with all else as by default.
    pub(super) fn of_directory(document_root: PathBuf) -> Site {
        let at = Position::of_file("command line --one-shot");
        let nothing = RawConfig::default();
        // The findings are about the keys that an empty file lacks.
        let mut silent = Findings::default();
        let values = check(&nothing, File::Site, &at, &mut silent);
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
            script_extensions: script_extensions(&values, &[], &mut silent),
            handlers: Vec::new(),
            plugins: OfSite::default(),
            written: Box::default(),
            at: at.to_string().into(),
        }
    }
}

/// Where paths start.
pub(super) struct Base<'a> {
    /// The configuration directory.
    pub(super) dir: &'a Path,
    /// The root directory the server will have.
    pub(super) chroot: Option<&'a Chroot>,
}

impl Base<'_> {
    /// A directory that is served, a socket that is connected to, or a program that is run, as it is opened.
    pub(super) fn served(&self, dir: &str, at: &Position<'_>, out: &mut Findings) -> PathBuf {
        let dir = self.dir.join(dir);
        let Some(chroot) = self.chroot else { return dir };
        chroot.inside(&dir).unwrap_or_else(|| {
            let (shown, root) = (dir.display(), chroot.dir().display());
            let what = format_args!("{shown} is out of reach once Chroot {root} is the root directory: name one in it");
            out.error(at, what);
            dir
        })
    }
}

/// `more` are lines of plugins that are tried behind its own; `earlier` are the sites read before.
pub(super) fn resolve(
    raw: &RawConfig,
    with: &mut With<'_>,
    more: &Lines,
    earlier: &[Site],
    whole: &Position<'_>,
    out: &mut Findings,
) -> Site {
    let values = check(raw, File::Site, whole, out);
    let v = &values;
    let (base, files) = (with.base, with.files);
    let cache = all(v, "CACHE", "Match", rules::cache, out);
    let mut lines = handlers(v, with, out);
    let plugins = of_site(v, with, &mut lines, out);
    lines.append(more);
    Site {
        names: names(v, earlier, out),
        document_root: match v.entry(H, "DocumentRoot") {
            Some(entry) => base.served(entry.value, &entry.value_at, out),
            None => base.dir.to_path_buf(),
        },
        redirect: v.entry(H, "Redirect").and_then(|entry| redirect(&entry, out)),
        error_pages: all(v, "ERROR_PAGES", "STATUS", error_page, out),
        headers: headers(v, &cache, out),
        cache,
        max_body_size: v.number(H, "MaxBodySize").saturating_mul(1024),
        fallback: v.entry(H, "Fallback").and_then(|entry| fallback(&entry, out)),
        aliases: aliases(v, base, out),
        etag_seed: v.entry(H, "EtagSeed").and_then(|entry| etag_seed(&entry, base.dir, files, out)).unwrap_or_default(),
        script_extensions: script_extensions(v, &lines.extensions, out),
        handlers: lines.list,
        plugins,
        written: text_of(v),
        at: v.entry(H, "ServerName").map_or(*whole, |entry| entry.value_at).to_string().into(),
    }
}

/// What every entry of a key stands for, but for those that are refused.
fn all<T>(
    v: &Values<'_>,
    section: &'static str,
    key: &'static str,
    of: fn(&RawEntry<'_>, &mut Findings) -> Option<T>,
    out: &mut Findings,
) -> Vec<T> {
    let mut all = Vec::new();
    for entry in v.all(section, key) {
        all.extend(of(&entry, out));
    }
    all
}

/// The rules of [HEADERS]. One response may get them all, and the longest of the cache rules.
fn headers(v: &Values<'_>, cache: &[CacheRule], out: &mut Findings) -> Vec<HeaderRule> {
    let longest = cache.iter().map(|rule| "Cache-Control: \r\n".len() + rule.value.len()).max();
    let mut bytes = longest.unwrap_or(0);
    let mut headers = Vec::new();
    for entry in v.all("HEADERS", "Match") {
        let Some(rule) = rules::header(&entry, out) else { continue };
        bytes += rule.line.len() + "\r\n".len();
        if bytes > SITE_FIELDS_MAX {
            out.error(
                &entry.at,
                format_args!(
                    "with this field those of the site come to more than {SITE_FIELDS_MAX} bytes: take some out"
                ),
            );
            break;
        }
        headers.push(rule);
    }
    headers
}

fn names(v: &Values<'_>, earlier: &[Site], out: &mut Findings) -> Vec<String> {
    let mut names = Vec::new();
    let Some(entry) = v.entry(H, "ServerName") else { return names };
    for name in Words(entry.value) {
        let at = entry.value_at.of_part(entry.value, name);
        // The final dot of an absolute name means nothing here, as in a request.
        let lower = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        if name.len() > SERVER_NAME_MAX {
            out.error(&at, format_args!("the name {name} is longer than {SERVER_NAME_MAX} characters: shorten it"));
        } else if !is_host_name(name) {
            out.error(
                &at,
                format_args!("\"{name}\" is not a host name: write letters, digits, dots and hyphens, without a port"),
            );
        } else if names.contains(&lower) {
            out.warning(&at, format_args!("{name} is already named in this line"));
        } else {
            if let Some(Site { at: first, .. }) = earlier.iter().find(|other| other.names.contains(&lower)) {
                let what = format_args!("{name} is already the name of the site at {first}: it goes there");
                out.warning(&at, what);
            }
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
            name.bytes().all(good) && !name.starts_with('.') && !name.as_bytes().windows(2).any(|pair| pair == b"..")
        }
    }
}

fn redirect(entry: &RawEntry<'_>, out: &mut Findings) -> Option<String> {
    let value = entry.value;
    let after = |scheme: &str| match value.split_at_checked(scheme.len()) {
        Some((start, rest)) if same(start, scheme) => Some(rest),
        _ => None,
    };
    let good = match after("http://").or_else(|| after("https://")) {
        Some(rest) => !rest.is_empty() && !rest.starts_with('/'),
        None => value.starts_with('/') && !value.starts_with("//"),
    };
    if !good || value.len() > FIELD_LINE_MAX || !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        return out.refuse(
            &entry.value_at,
            format_args!(
                "cannot redirect to \"{value}\": write http://HOST/..., https://HOST/... or /PATH, in ASCII without spaces"
            ),
        );
    }
    Some(value.into())
}

/// Whether a part of the path between slashes is `..`, which leads above where it starts.
fn climbs(path: &str) -> bool {
    path.as_bytes().split(|byte| *byte == b'/').any(|part| part == b"..")
}

/// Whether a part of the path between slashes is empty, `.` or `..`: paths of requests have no such parts.
pub(super) fn is_unnormal(path: &str) -> bool {
    path.as_bytes().split(|byte| *byte == b'/').any(|part| part.is_empty() || part == b"." || part == b"..")
}

fn error_page(entry: &RawEntry<'_>, out: &mut Findings) -> Option<(u16, String)> {
    let status = number(entry.key).filter(|status| entry.key.len() == 3 && (400..=505).contains(status));
    let Some(status) = status else {
        let what = format_args!("there is no error page for \"{}\": write a status from 400 to 505", entry.key);
        return out.refuse(&entry.at, what);
    };
    let page = entry.value.trim_start_matches('/');
    if page.is_empty() || climbs(page) {
        let what = format_args!("the page cannot be \"{}\": write a file below DocumentRoot", entry.value);
        return out.refuse(&entry.value_at, what);
    }
    // A path as requests have it.
    let mut path = String::from("/");
    path.push_str(page);
    Some((status as u16, path))
}

fn fallback(entry: &RawEntry<'_>, out: &mut Findings) -> Option<String> {
    let value = entry.value;
    if !value.starts_with('/') || value.ends_with('/') || climbs(value) {
        let what = format_args!("Fallback cannot be \"{value}\": write /PATH of a file, such as /index.html");
        return out.refuse(&entry.value_at, what);
    }
    Some(value.into())
}

fn aliases(v: &Values<'_>, base: &Base<'_>, out: &mut Findings) -> Vec<Alias> {
    let mut aliases: Vec<Alias> = Vec::new();
    // Where each of them is written.
    let mut places: Vec<Position<'_>> = Vec::new();
    for entry in v.all(H, "Alias") {
        let (prefix, target) = first_word(entry.value);
        if !prefix.starts_with('/') || target.is_empty() {
            out.error(&entry.value_at, "write /PREFIX DIRECTORY, such as /firmware /data/firmware");
            continue;
        }
        let prefix = prefix.trim_end_matches('/');
        if prefix.is_empty() {
            out.error(&entry.value_at, "the prefix / is DocumentRoot itself: set that instead");
        } else if prefix.get(1..).is_some_and(is_unnormal) {
            let what = format_args!("the prefix \"{prefix}\" never matches: write it without . and .. and //");
            out.error(&entry.value_at, what);
        } else if let Some(first) = aliases.iter().position(|alias| alias.prefix == prefix) {
            let first = places.get(first).unwrap_or(&entry.at);
            out.warning(&entry.at, format_args!("{prefix} already has a directory at {first}: this one has no effect"));
        } else {
            // The longest first; of equal ones the first.
            let longer = aliases.iter().position(|alias| alias.prefix.len() < prefix.len()).unwrap_or(aliases.len());
            let at = entry.value_at.of_part(entry.value, target);
            aliases.insert(longer, Alias { prefix: prefix.into(), dir: base.served(target, &at, out) });
            places.insert(longer, entry.at);
        }
    }
    aliases
}

fn etag_seed(entry: &RawEntry<'_>, dir: &Path, files: &dyn Files, out: &mut Findings) -> Option<Vec<u8>> {
    let Some(name) = entry.value.strip_prefix('@') else { return Some(entry.value.as_bytes().to_vec()) };
    let path = dir.join(name);
    match files.read(&path) {
        Ok(content) => Some(content.trim_ascii().to_vec()),
        Err(what) => out.refuse(&entry.value_at, format_args!("cannot read {}: {what}", path.display())),
    }
}

/// `run` are those of files that lines of the site run.
fn script_extensions(v: &Values<'_>, run: &[String], out: &mut Findings) -> Vec<String> {
    let mut all = Vec::new();
    for word in v.words(H, "ScriptExtensions") {
        let extension = word.strip_prefix('.').unwrap_or(word);
        match v.entry(H, "ScriptExtensions") {
            Some(entry) if extension.is_empty() || extension.bytes().any(|byte| byte == b'.' || byte == b'/') => {
                let what = format_args!("\"{word}\" is not an extension: write words such as php");
                out.error(&entry.value_at, what);
            }
            _ => all.push(extension.to_ascii_lowercase()),
        }
    }
    for extension in run {
        if !extension.is_empty() && !all.contains(extension) {
            all.push(extension.clone());
        }
    }
    all
}
