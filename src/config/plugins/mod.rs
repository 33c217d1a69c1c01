//! What the plugins read of the configuration: a file of their own, their sections in sites, and the lines of `[HANDLERS]`. All of it
//! is part of the one table.
//!
//! A plugin that is compiled in has a module here with its sections, keys and what they resolve to. One that is not stays in
//! [`PLUGINS`] by name, so that a section or a line that needs it is refused with the reason.

#[cfg(feature = "plugin-auth")]
pub mod auth;
pub mod backend;
#[cfg(feature = "plugin-cgi")]
pub mod cgi;
#[cfg(feature = "plugin-cheetah")]
pub mod cheetah;
pub mod dirlisting;
#[cfg(feature = "plugin-fastcgi")]
pub mod fastcgi;
// Its keys are part of docs/CONFIGURATION.md, which a test of any build writes.
#[cfg(any(test, feature = "plugin-gpio"))]
#[cfg_attr(not(feature = "plugin-gpio"), allow(dead_code))]
pub mod gpio;
pub mod handlers;
pub mod logger;
#[cfg(feature = "plugin-mandril")]
pub mod mandril;
#[cfg(feature = "plugin-palm")]
pub mod palm;
#[cfg(feature = "plugin-proxy")]
pub mod proxy;
#[cfg(any(feature = "plugin-cgi", feature = "plugin-fastcgi", feature = "plugin-palm", feature = "plugin-proxy"))]
mod targets;

use std::fmt;
use std::path::{Path, PathBuf};

use super::Config;
use super::check::{Values, check};
use super::diagnostic::{Findings, Position};
use super::files::{Files, Trouble};
use super::read::{Form, read_form};
use super::site::Base;
use super::table::{File, NO_DOC, Section};
use handlers::{Asks, Lines};

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

impl Plugin {
    /// Whether its file has keys that hold without being written, such as time limits.
    fn has_limits(&self) -> bool {
        self.handler.is_some_and(|words| !words.is_empty())
    }
}

const fn plugin(name: &'static str, built_in: bool) -> Plugin {
    Plugin { name, built_in, file: "", sections: &[], site: &[], handler: None }
}

const fn absent(name: &'static str, site: &'static [Section]) -> Plugin {
    Plugin { site, ..plugin(name, false) }
}

#[allow(dead_code)] // Where every plugin is built in.
const fn absent_handler(name: &'static str, site: &'static [Section]) -> Plugin {
    Plugin { handler: Some(""), ..absent(name, site) }
}

const fn named(name: &'static str) -> Section {
    Section { name, keys: &[], free: None, required: false, many: false, doc: NO_DOC }
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
    absent_handler("mandril", &[named("MANDRIL"), named("RULES"), named("RATE")]),
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
    #[cfg(feature = "plugin-cgi")]
    Plugin {
        file: "cgi.conf",
        sections: cgi::FILE,
        site: cgi::SITE,
        handler: Some("[INTERPRETER] [MIMETYPE], or PROGRAM"),
        ..plugin("cgi", true)
    },
    #[cfg(not(feature = "plugin-cgi"))]
    absent_handler("cgi", &[named("CGI")]),
    #[cfg(feature = "plugin-fastcgi")]
    Plugin {
        file: "fastcgi.conf",
        sections: fastcgi::FILE,
        handler: Some("[NAME or ADDRESS ...]"),
        ..plugin("fastcgi", true)
    },
    #[cfg(not(feature = "plugin-fastcgi"))]
    absent_handler("fastcgi", &[]),
    #[cfg(feature = "plugin-palm")]
    Plugin {
        file: "palm.conf",
        sections: palm::FILE,
        handler: Some("[ADDRESS] PORT [MIMETYPE]"),
        ..plugin("palm", true)
    },
    #[cfg(not(feature = "plugin-palm"))]
    absent_handler("palm", &[]),
    #[cfg(feature = "plugin-proxy")]
    Plugin {
        file: "proxy.conf",
        sections: proxy::FILE,
        site: proxy::SITE,
        handler: Some("ADDRESS ..."),
        ..plugin("proxy", true)
    },
    #[cfg(not(feature = "plugin-proxy"))]
    absent_handler("proxy", &[named("PROXY")]),
    Plugin { handler: Some(""), ..plugin("metrics", cfg!(feature = "plugin-metrics")) },
    absent("tls", &[named("TLS")]),
    #[cfg(any(test, feature = "plugin-gpio"))]
    Plugin { file: "gpio.conf", sections: gpio::FILE, ..plugin("gpio", cfg!(feature = "plugin-gpio")) },
    #[cfg(not(any(test, feature = "plugin-gpio")))]
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
    /// The environment of programs.
    #[cfg(feature = "plugin-cgi")]
    pub cgi: cgi::OfSite,
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
    /// Programs that answer requests.
    #[cfg(feature = "plugin-cgi")]
    pub cgi: cgi::Cgi,
    /// FastCGI servers.
    #[cfg(feature = "plugin-fastcgi")]
    pub fastcgi: fastcgi::FastCgi,
    /// Palm servers.
    #[cfg(feature = "plugin-palm")]
    pub palm: palm::PalmClient,
    /// Web servers behind this one.
    #[cfg(feature = "plugin-proxy")]
    pub proxy: proxy::Proxy,
    /// Pins and LEDs.
    #[cfg(feature = "plugin-gpio")]
    pub gpio: gpio::Gpio,
}

impl OfServer {
    /// All files are read.
    pub(super) fn settle(&mut self) {
        #[cfg(feature = "plugin-fastcgi")]
        self.fastcgi.settle();
    }

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

/// Where plugins connect to: for a sandbox to allow.
pub fn reached(config: &Config) -> Vec<&backend::Address> {
    #[allow(unused_mut)] // Where no plugin connects anywhere.
    let mut reached = Vec::new();
    #[cfg(feature = "plugin-fastcgi")]
    reached.extend(config.plugins.fastcgi.servers.iter().map(|server| &server.address));
    #[cfg(feature = "plugin-palm")]
    reached.extend(config.plugins.palm.lines.iter().map(|line| &line.address));
    #[cfg(feature = "plugin-proxy")]
    reached.extend(config.plugins.proxy.servers.iter().map(|server| &server.address));
    let _ = config;
    reached
}

/// Whom plugins start programs as, besides the server's own user. An order has the place of one in this list, from 1 on: the spawner
/// becomes nobody else, whatever it is told.
pub fn child_users(config: &Config) -> Vec<&str> {
    #[allow(unused_mut)] // Where no plugin has any.
    let mut users = Vec::new();
    #[cfg(feature = "plugin-cgi")]
    users.extend(config.plugins.cgi.user.as_deref());
    #[cfg(feature = "plugin-gpio")]
    users.extend(config.plugins.gpio.user.as_deref());
    #[cfg(feature = "test-switches")]
    users.extend(config.sites.iter().flat_map(|site| &site.names).filter_map(|name| {
        // `as-NAME.spawn.test`, for the handler spawn of builds for tests.
        name.strip_prefix("as-")?.strip_suffix(".spawn.test")
    }));
    let _ = config;
    users
}

/// What the lines and sections of sites are read with.
pub(super) struct With<'a> {
    /// Where paths start.
    pub(super) base: &'a Base<'a>,
    /// What there is.
    pub(super) files: &'a dyn Files,
    /// What the plugins have read in files of their own, and what lines lead to.
    #[allow(dead_code)] // Which plugin's lines lead to anything is the features' choice.
    pub(super) own: &'a mut OfServer,
}

/// What the words of a line lead to: its number.
fn of_line(plugin: &str, asks: &Asks<'_, '_>, with: &mut With<'_>, out: &mut Findings) -> Option<u16> {
    let _ = (asks, &with, &out);
    match plugin {
        #[cfg(feature = "plugin-cgi")]
        "cgi" => cgi::of_line(asks, with, out),
        #[cfg(feature = "plugin-fastcgi")]
        "fastcgi" => fastcgi::of_line(asks, with, out),
        #[cfg(feature = "plugin-palm")]
        "palm" => palm::of_line(asks, with, out),
        #[cfg(feature = "plugin-proxy")]
        "proxy" => proxy::of_line(asks, with, out),
        _ => Some(0),
    }
}

/// `v` are the checked entries of a site. Lines that follow from them are added to those of the site.
pub(super) fn of_site(v: &Values<'_>, with: &mut With<'_>, lines: &mut Lines, out: &mut Findings) -> OfSite {
    let _ = (v, &with, &lines, &out);
    #[cfg(feature = "plugin-cgi")]
    let cgi = cgi::of_site(v, with, lines, out);
    #[cfg(feature = "plugin-proxy")]
    proxy::of_site(v, with, lines, out);
    OfSite {
        #[cfg(feature = "plugin-logger")]
        logger: logger::of_site(v, with.base, out),
        #[cfg(feature = "plugin-mandril")]
        mandril: mandril::of_site(v, out),
        #[cfg(feature = "plugin-auth")]
        auth: auth::protections(v, with.base, with.files, out),
        #[cfg(feature = "plugin-cgi")]
        cgi,
    }
}

/// Reads the files of the plugins in `dir`, where there are any. Relative paths in them start at `base`. Lines that follow from them, for
/// every site, are added to `lines`.
pub(super) fn of_server(
    files: &dyn Files,
    dir: &Path,
    base: &Base<'_>,
    lines: &mut Lines,
    out: &mut Findings,
) -> OfServer {
    #[allow(unused_mut)] // Where no plugin has a file.
    let mut own = OfServer::default();
    #[cfg(not(all(feature = "plugin-cgi", feature = "plugin-fastcgi", feature = "plugin-palm")))]
    keep_back(files, dir, lines);
    for plugin in PLUGINS.iter().filter(|plugin| plugin.built_in && !plugin.file.is_empty()) {
        let path = dir.join(plugin.name).join(plugin.file);
        let content = match files.read(&path) {
            Ok(content) => content,
            // Limits have defaults.
            Err(Trouble::Missing) if plugin.has_limits() => Vec::new(),
            Err(Trouble::Missing) => continue,
            Err(what) => {
                out.error(&Position::of_file(&path), what);
                continue;
            }
        };
        let form = if plugin.name == "palm" { Form::Palm } else { Form::Indented };
        let raw = read_form(files, &path, content.into(), form, out);
        let v = check(&raw, File::Plugin(plugin.sections), &Position::of_file(&path), out);
        let _ = (&v, base, &lines);
        match plugin.name {
            #[cfg(feature = "plugin-logger")]
            "logger" => own.logger = logger::of_file(&v, base, out),
            #[cfg(feature = "plugin-mandril")]
            "mandril" => own.mandril = mandril::of_server(&v, out),
            #[cfg(feature = "plugin-dirlisting")]
            "dirlisting" => own.dirlisting = dirlisting::resolve(&v, files, &dir.join(plugin.name), out),
            #[cfg(feature = "plugin-cheetah")]
            "cheetah" => own.cheetah = cheetah::resolve(&v, base.dir),
            #[cfg(feature = "plugin-cgi")]
            "cgi" => own.cgi = cgi::of_file(&v, files, lines, out),
            #[cfg(feature = "plugin-fastcgi")]
            "fastcgi" => own.fastcgi = fastcgi::of_file(&v, base, lines, out),
            #[cfg(feature = "plugin-palm")]
            "palm" => own.palm = palm::of_file(&v, base, lines, out),
            #[cfg(feature = "plugin-proxy")]
            "proxy" => own.proxy = proxy::of_file(&v, base, lines, out),
            #[cfg(feature = "plugin-gpio")]
            "gpio" => own.gpio = gpio::of_file(&v, base, files, out),
            _ => {}
        }
    }
    own
}

/// What a plugin would run is a program in a build without it, too: from its file, if there is one, follow lines that nobody answers, so
/// that no text of a program is sent.
#[cfg(not(all(feature = "plugin-cgi", feature = "plugin-fastcgi", feature = "plugin-palm")))]
fn keep_back(files: &dyn Files, dir: &Path, lines: &mut Lines) {
    use super::text::{Words, same};
    for plugin in PLUGINS.iter().filter(|plugin| !plugin.built_in && handlers::runs_files(plugin.name)) {
        let mut path = dir.join(plugin.name).join(plugin.name);
        path.set_extension("conf");
        let Ok(content) = files.read(&path) else { continue };
        // Its mistakes are those of another build.
        let out = &mut Findings::default();
        let raw = read_form(files, &path, content.into(), Form::Palm, out);
        for entry in (0..raw.len()).filter_map(|n| raw.entry(n)) {
            let is_extension = same(entry.key, "Extension") || same(entry.key, "Palm");
            if !is_extension && !same(entry.key, "Match") {
                continue;
            }
            let count = if plugin.name == "fastcgi" { usize::MAX } else { 1 };
            for word in Words(entry.value).take(count) {
                match is_extension {
                    true => {
                        lines.add(plugin.name, &["\\.", word.trim_start_matches('.'), "(/|$)"].concat(), 0, &entry, out)
                    }
                    false => lines.add(plugin.name, word, 0, &entry, out),
                }
            }
        }
    }
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
