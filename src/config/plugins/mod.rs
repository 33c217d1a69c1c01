//! What the plugins read of the configuration: a file of their own, their sections in sites, and the lines of `[HANDLERS]`. All of it
//! is part of the one table.
//!
//! A plugin that is compiled in has a module here with its sections, keys and what they resolve to. One that is not stays in
//! [`PLUGINS`] by name, so that a section or a line that needs it is refused with the reason.

#[cfg(feature = "plugin-auth")]
pub mod auth;
#[cfg(feature = "plugin-cheetah")]
pub mod cheetah;
pub mod dirlisting;
pub mod handlers;
pub mod logger;
#[cfg(feature = "plugin-mandril")]
pub mod mandril;

use std::fmt;
use std::path::{Path, PathBuf};

use super::Config;
use super::check::{Values, check};
use super::diagnostic::{Findings, Position};
use super::files::{Files, Trouble};
use super::read::read_text;
use super::site::Base;
use super::table::{File, NO_DOC, Section, State};

/// A plugin, as the configuration sees it.
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    /// The short name: of its directory below plugins/, and in a line of `[HANDLERS]`.
    pub name: &'static str,
    /// Whether this build contains it.
    pub built_in: bool,
    /// The name of its file in that directory; empty when it has none.
    pub file: &'static str,
    /// The sections of that file.
    pub sections: &'static [Section],
    /// Its sections in a site.
    pub site: &'static [Section],
    /// What may stand behind its name in a line of `[HANDLERS]`, empty when nothing may; None = it answers no requests.
    pub handler: Option<&'static str>,
}

const fn plugin(name: &'static str, built_in: bool) -> Plugin {
    Plugin { name, built_in, file: "", sections: &[], site: &[], handler: None }
}

const fn absent(name: &'static str, site: &'static [Section]) -> Plugin {
    Plugin { site, ..plugin(name, false) }
}

const fn absent_handler(name: &'static str) -> Plugin {
    Plugin { handler: Some(""), ..plugin(name, false) }
}

const fn named(name: &'static str) -> Section {
    Section { name, keys: &[], free: None, required: false, many: false, state: State::Active, doc: NO_DOC }
}

/// Every plugin there is or will be.
pub const PLUGINS: &[Plugin] = &[
    plugin("liana", cfg!(feature = "plugin-liana")),
    Plugin { handler: Some("[NAME ...]"), ..plugin("hello", cfg!(feature = "plugin-hello")) },
    Plugin {
        file: "logger.conf",
        sections: logger::FILE,
        site: logger::SITE,
        ..plugin("logger", cfg!(feature = "plugin-logger"))
    },
    #[cfg(feature = "plugin-auth")]
    Plugin { site: auth::SECTIONS, ..plugin("auth", true) },
    #[cfg(not(feature = "plugin-auth"))]
    absent("auth", &[named("AUTH")]),
    #[cfg(feature = "plugin-mandril")]
    Plugin {
        file: "mandril.conf",
        sections: mandril::FILE,
        site: mandril::SITE,
        handler: Some(""),
        ..plugin("mandril", true)
    },
    #[cfg(not(feature = "plugin-mandril"))]
    Plugin { handler: Some(""), ..absent("mandril", &[named("MANDRIL"), named("RULES"), named("RATE")]) },
    Plugin {
        file: "dirhtml.conf",
        sections: dirlisting::SECTIONS,
        handler: Some(""),
        ..plugin("dirlisting", cfg!(feature = "plugin-dirlisting"))
    },
    absent("duda", &[named("WEB_SERVICE")]),
    #[cfg(feature = "plugin-cheetah")]
    Plugin { file: "cheetah.conf", sections: cheetah::FILE, ..plugin("cheetah", true) },
    #[cfg(not(feature = "plugin-cheetah"))]
    absent("cheetah", &[]),
    absent_handler("cgi"),
    absent_handler("fastcgi"),
    absent_handler("palm"),
    absent_handler("proxy"),
    Plugin { handler: Some(""), ..plugin("metrics", cfg!(feature = "plugin-metrics")) },
    absent("tls", &[named("TLS")]),
    absent("gpio", &[]),
];

/// What the plugins read in a site.
#[derive(Clone, Debug, Default)]
pub struct OfSite {
    /// `[LOGGER]`.
    #[cfg(feature = "plugin-logger")]
    pub logger: logger::SiteLogs,
    /// Rules.
    #[cfg(feature = "plugin-mandril")]
    pub mandril: mandril::OfSite,
    /// What only those may see who have a password.
    #[cfg(feature = "plugin-auth")]
    pub auth: Vec<auth::Protection>,
}

impl OfSite {
    /// Whether a plugin has to be asked about the site's requests before they are answered.
    pub fn guards(&self, server: &OfServer) -> bool {
        #[allow(unused_mut)] // Where no plugin asks.
        let mut guards = false;
        #[cfg(feature = "plugin-auth")]
        (guards |= !self.auth.is_empty());
        #[cfg(feature = "plugin-mandril")]
        (guards |= !self.mandril.rules.is_empty() || self.mandril.rate.is_some() || !server.mandril.rules.is_empty());
        let _ = server;
        guards
    }

    /// Whether a plugin has to be told of the answers to the site's requests.
    pub fn hears(&self) -> bool {
        #[cfg(feature = "plugin-logger")]
        let hears = self.logger.access.is_some() || self.logger.error.is_some();
        #[cfg(not(feature = "plugin-logger"))]
        let hears = false;
        hears
    }
}

impl OfServer {
    /// Whether a plugin lists the directories of every site.
    pub fn lists(&self) -> bool {
        #[cfg(feature = "plugin-dirlisting")]
        let lists = self.dirlisting.enabled;
        #[cfg(not(feature = "plugin-dirlisting"))]
        let lists = false;
        lists
    }
}

/// What the plugins read in files of their own.
#[derive(Clone, Debug, Default)]
pub struct OfServer {
    /// logger.conf.
    #[cfg(feature = "plugin-logger")]
    pub logger: logger::LoggerFile,
    /// Rules.
    #[cfg(feature = "plugin-mandril")]
    pub mandril: mandril::OfServer,
    /// Listings of directories.
    #[cfg(feature = "plugin-dirlisting")]
    pub dirlisting: dirlisting::Dirlisting,
    /// The admin shell, if there is to be one.
    #[cfg(feature = "plugin-cheetah")]
    pub cheetah: Option<cheetah::Cheetah>,
}

impl OfServer {
    /// Whether a plugin tells the operator what is written in the files of the sites.
    pub(super) fn wants_text(&self) -> bool {
        #[cfg(feature = "plugin-cheetah")]
        if self.cheetah.is_some() {
            return true;
        }
        false
    }
}

/// What is written in a site, for a plugin that tells of it; empty where none does.
pub(super) fn text_of(v: &Values<'_>) -> Box<[u8]> {
    if cfg!(feature = "plugin-cheetah") { v.written() } else { Box::default() }
}

/// The directories that plugins make files in, each with the key that names it: for a sandbox to allow.
pub fn written(config: &Config) -> Vec<(&'static str, PathBuf)> {
    #[allow(unused_mut)] // Where no plugin writes.
    let mut written = Vec::new();
    #[cfg(feature = "plugin-logger")]
    written.extend(logger::directories(config));
    let _ = config;
    written
}

/// `v` are the checked entries of a site.
pub(super) fn of_site(v: &Values<'_>, base: &Base<'_>, files: &dyn Files, out: &mut Findings) -> OfSite {
    let _ = (v, base, files, &out);
    OfSite {
        #[cfg(feature = "plugin-logger")]
        logger: logger::of_site(v, base, out),
        #[cfg(feature = "plugin-mandril")]
        mandril: mandril::of_site(v, out),
        #[cfg(feature = "plugin-auth")]
        auth: auth::protections(v, base, files, out),
    }
}

/// Reads the files of the plugins in `dir`, where there are any. Relative paths in them start at `base`.
pub(super) fn of_server(files: &dyn Files, dir: &Path, base: &Base<'_>, out: &mut Findings) -> OfServer {
    #[allow(unused_mut)] // Where no plugin has a file.
    let mut own = OfServer::default();
    for plugin in PLUGINS.iter().filter(|plugin| plugin.built_in && !plugin.file.is_empty()) {
        let path = dir.join(plugin.name).join(plugin.file);
        let content = match files.read(&path) {
            Ok(content) => content,
            Err(Trouble::Missing) => continue,
            Err(what) => {
                out.error(&Position::of_file(&path), what);
                continue;
            }
        };
        let raw = read_text(files, &path, content.into(), out);
        let v = check(&raw, File::Plugin(plugin.sections), &Position::of_file(&path), out);
        let _ = (&v, base);
        match plugin.name {
            #[cfg(feature = "plugin-logger")]
            "logger" => own.logger = logger::of_file(&v, base, out),
            #[cfg(feature = "plugin-mandril")]
            "mandril" => own.mandril = mandril::of_server(&v, out),
            #[cfg(feature = "plugin-dirlisting")]
            "dirlisting" => own.dirlisting = dirlisting::resolve(&v, files, &dir.join(plugin.name), out),
            #[cfg(feature = "plugin-cheetah")]
            "cheetah" => own.cheetah = cheetah::resolve(&v, base.dir),
            _ => {}
        }
    }
    own
}

/// The names of the plugins in this build.
pub fn built_in() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().filter(|plugin| plugin.built_in).map(|plugin| plugin.name)
}

/// The names of the plugins in this build with blanks between, for messages.
pub struct BuiltIn;

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in built_in().enumerate() {
            write!(f, "{}{name}", if index == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// Passes over the directories of plugins that this build does not have, with one note that names them.
pub(super) fn pass_over(files: &dyn Files, dir: &Path, out: &mut Findings) {
    let names = match files.list(dir) {
        Ok(names) => names,
        // No plugins directory is as good as an empty one.
        Err(Trouble::Missing) => return,
        Err(what) => return out.error(&Position::of_file(dir), what),
    };
    let mut absent = String::new();
    for (name, is_file) in names {
        if !is_file && !name.starts_with('.') && !built_in().any(|known| known == name) {
            absent.push(' ');
            absent.push_str(&name);
        }
    }
    if !absent.is_empty() {
        let what = format_args!("passed over, not in this build:{absent}; plugins built in: {BuiltIn}");
        out.note(&Position::of_file(dir), what);
    }
}
