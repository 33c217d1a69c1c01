//! `[LOGGER]` of a site and plugins/logger/logger.conf: where access and error lines go, and in which form.
#![cfg_attr(not(feature = "plugin-logger"), allow(dead_code, unused_imports))] // The sections are known all the same, to be refused with the reason.

use std::path::PathBuf;

use super::super::Config;
use super::super::check::{Values, number as decimal};
use super::super::chroot::normal;
use super::super::diagnostic::Findings;
use super::super::files::directory_of;
use super::super::raw::RawEntry;
use super::super::site::Base;
use super::super::table::Reload::InPlace;
use super::super::table::{Kind, Section, key, number, page, section};
use super::super::text::same;

/// The sections of a site.
pub(super) const SITE: &[Section] = &[section(
    "LOGGER",
    &[
        key(
            "AccessLog",
            Kind::Text("a file"),
            "",
            InPlace,
            page!("A line for every request that was answered with a status below 400. None unless set."),
        ),
        key(
            "ErrorLog",
            Kind::Text("a file"),
            "",
            InPlace,
            page!(
                "A line for every other one. None unless set; in the formats `common`, `combined` and `json` AccessLog then has those lines too."
            ),
        ),
        key(
            "Format",
            Kind::Choice(&["monkey", "common", "combined", "json"]),
            "monkey",
            InPlace,
            page!("The form of the lines. See [LOGGER.md](plugins/LOGGER.md)."),
        ),
        key(
            "Target",
            Kind::Text("file, syslog, stderr or memory:KB"),
            "file",
            InPlace,
            page!(
                "Where the lines go. With anything but `file` both logs go there, and no file is named. `memory:KB` is a ring of that size, one for all sites, read by the admin shell; a reload does not change its size."
            ),
        ),
    ],
    page!("The plugin logger: who asked for what."),
)];

/// The sections of logger.conf.
pub(super) const FILE: &[Section] = &[section(
    "LOGGER",
    &[
        key(
            "FlushTimeout",
            number(1, 3600, "seconds"),
            "3",
            InPlace,
            page!("How long lines may wait before they are written to their file."),
        ),
        key(
            "MasterLog",
            Kind::Text("a file"),
            "",
            InPlace,
            page!("The server's own messages go to this file, once it is up, instead of where LogTarget says."),
        ),
        key(
            "MaxSize",
            number(0, 4_000_000, "KB"),
            "0",
            InPlace,
            page!("A log file that would become larger is renamed to `FILE.1` and begun anew. 0 is never."),
        ),
        key(
            "Keep",
            number(1, 99, "files"),
            "4",
            InPlace,
            page!("How many renamed files are kept, `FILE.1` being the newest."),
        ),
    ],
    page!("The plugin logger, for all sites."),
)];

/// The form of a line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The two forms of the original Monkey.
    #[default]
    Monkey,
    /// Common Log Format.
    Common,
    /// The same with Referer and User-Agent.
    Combined,
    /// A JSON object a line.
    Json,
}

/// Where lines go. What is equal is one log, however many sites name it.
#[derive(Clone, Debug)]
pub enum Destination {
    /// A file: its path as it is seen from outside of a chroot, absolute and without `.` and `..`.
    File(PathBuf),
    /// The system log.
    Syslog,
    /// Standard error.
    Stderr,
    /// The ring in memory.
    Memory,
}

impl PartialEq for Destination {
    // Small, and called from several places at start.
    #[inline(never)]
    fn eq(&self, other: &Destination) -> bool {
        match (self, other) {
            // They are normal: what is one file is one text.
            (Destination::File(one), Destination::File(other)) => one.as_os_str() == other.as_os_str(),
            (Destination::Syslog, Destination::Syslog)
            | (Destination::Stderr, Destination::Stderr)
            | (Destination::Memory, Destination::Memory) => true,
            _ => false,
        }
    }
}

/// `[LOGGER]` of a site.
#[derive(Clone, Debug, Default)]
pub struct SiteLogs {
    /// The form of the lines.
    pub format: Format,
    /// Where requests go that were answered below 400.
    pub access: Option<Destination>,
    /// Where the others go.
    pub error: Option<Destination>,
    /// Bytes of the ring in memory that the site wants.
    pub ring: usize,
}

/// logger.conf.
#[derive(Clone, Debug)]
pub struct LoggerFile {
    /// Milliseconds that lines may wait.
    pub flush_timeout: u32,
    /// Where the server's own messages go.
    pub master: Option<Destination>,
    /// Bytes from which a file is renamed; 0 = never.
    pub max_size: u64,
    /// Renamed files that are kept.
    pub keep: u32,
}

impl Default for LoggerFile {
    fn default() -> LoggerFile {
        LoggerFile { flush_timeout: 3000, master: None, max_size: 0, keep: 4 }
    }
}

const L: &str = "LOGGER";

/// Largest ring, KB.
const RING_MAX: u64 = 4096;

pub(super) fn of_site(v: &Values<'_>, base: &Base<'_>, out: &mut Findings) -> SiteLogs {
    let format = match () {
        () if v.is(L, "Format", "common") => Format::Common,
        () if v.is(L, "Format", "combined") => Format::Combined,
        () if v.is(L, "Format", "json") => Format::Json,
        () => Format::Monkey,
    };
    let mut logs = SiteLogs { format, ..SiteLogs::default() };
    match v.entry(L, "Target").filter(|entry| !same(entry.value, "file")) {
        None => {
            logs.access = file(v, "AccessLog", base, out);
            logs.error = file(v, "ErrorLog", base, out);
            if logs.error.is_none() && format != Format::Monkey {
                logs.error = logs.access.clone();
            }
        }
        Some(entry) => {
            for name in ["AccessLog", "ErrorLog"] {
                if let Some(unused) = v.entry(L, name) {
                    let what = format_args!("{name} has no effect with Target {}: take one of them out", entry.value);
                    out.warning(&unused.at, what);
                }
            }
            if let Some((to, ring)) = target(&entry, out) {
                (logs.access, logs.error, logs.ring) = (Some(to.clone()), Some(to), ring);
            }
        }
    }
    logs
}

pub(super) fn of_file(v: &Values<'_>, base: &Base<'_>, out: &mut Findings) -> LoggerFile {
    LoggerFile {
        flush_timeout: v.number32(L, "FlushTimeout").saturating_mul(1000),
        master: file(v, "MasterLog", base, out),
        max_size: v.number(L, "MaxSize") * 1024,
        keep: v.number32(L, "Keep"),
    }
}

/// A target that is no file, with the bytes of its ring.
fn target(entry: &RawEntry<'_>, out: &mut Findings) -> Option<(Destination, usize)> {
    let value = entry.value;
    if same(value, "stderr") {
        return Some((Destination::Stderr, 0));
    }
    if same(value, "syslog") {
        if cfg!(not(feature = "syslog")) {
            return out.refuse(&entry.value_at, "syslog is not in this build: build with the feature syslog");
        }
        return Some((Destination::Syslog, 0));
    }
    let size = match value.split_at_checked("memory:".len()) {
        Some((name, size)) if same(name, "memory:") => decimal(size),
        _ => None,
    };
    match size.filter(|size| (1..=RING_MAX).contains(size)) {
        Some(size) => Some((Destination::Memory, size as usize * 1024)),
        None => {
            let what = format_args!(
                "Target cannot be \"{value}\": write file, syslog, stderr or memory:KB, KB from 1 to {RING_MAX}"
            );
            out.refuse(&entry.value_at, what)
        }
    }
}

/// A file as it is seen from outside of a chroot.
fn file(v: &Values<'_>, key: &'static str, base: &Base<'_>, out: &mut Findings) -> Option<Destination> {
    let entry = v.entry(L, key)?;
    if let Some(b"" | b"." | b"..") = entry.value.as_bytes().rsplit(|&byte| byte == b'/').next() {
        return out.refuse(&entry.value_at, format_args!("{key} cannot be a directory: name a file in it"));
    }
    Some(Destination::File(normal(&base.dir.join(entry.value))))
}

/// Every destination of a configuration, each once.
#[cfg(feature = "plugin-logger")]
#[inline(never)]
pub fn destinations(config: &Config) -> Vec<&Destination> {
    let mut all = Vec::new();
    each(config, &mut |_, to| {
        if !all.contains(&to) {
            all.push(to);
        }
    });
    all
}

/// Calls `found` for every destination with the key that names it.
#[cfg(feature = "plugin-logger")]
fn each<'a>(config: &'a Config, found: &mut dyn FnMut(&'static str, &'a Destination)) {
    let mut tell = |key, to: &'a Option<Destination>| {
        if let Some(to) = to {
            found(key, to);
        }
    };
    for site in &config.sites {
        tell("AccessLog", &site.plugins.logger.access);
        tell("ErrorLog", &site.plugins.logger.error);
    }
    tell("MasterLog", &config.plugins.logger.master);
}

/// The directories that log files are made in, as this process opens them.
#[cfg(feature = "plugin-logger")]
pub(super) fn directories(config: &Config) -> Vec<(&'static str, PathBuf)> {
    let mut all = Vec::new();
    each(config, &mut |key, to| {
        if let Destination::File(path) = to {
            let directory = directory_of(path);
            let inside = match &config.server.chroot {
                Some(chroot) => chroot.inside(directory),
                None => Some(directory.to_path_buf()),
            };
            all.extend(inside.map(|inside| (key, inside)));
        }
    });
    all
}
