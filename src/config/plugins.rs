//! What the plugins read of the configuration: their sections in sites and files of their own, as part of the table.
//!
//! A plugin that is compiled in sets `built_in` from its cargo feature and lists its sections with their keys. One that
//! is not stays here by name, so that a section that needs it is refused with the reason.

use std::fmt;
use std::path::Path;

use super::diagnostic::{Findings, Position};
use super::files::{Files, Trouble};
use super::table::{NO_DOC, Section, State};

/// A plugin, as the configuration sees it.
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    /// The short name: of its directory below plugins/, and in a HANDLERS line.
    pub name: &'static str,
    /// Whether this build contains it.
    pub built_in: bool,
    /// Its sections in a site.
    pub site: &'static [Section],
}

const fn absent(name: &'static str, site: &'static [Section]) -> Plugin {
    Plugin { name, built_in: false, site }
}

const fn named(name: &'static str) -> Section {
    Section { name, keys: &[], free: None, required: false, state: State::Active, doc: NO_DOC }
}

/// Every plugin there is or will be.
pub const PLUGINS: &[Plugin] = &[
    Plugin { name: "liana", built_in: cfg!(feature = "plugin-liana"), site: &[] },
    absent("logger", &[named("LOGGER")]),
    absent("auth", &[named("AUTH")]),
    absent("mandril", &[named("MANDRIL"), named("RULES")]),
    absent("dirlisting", &[named("DIRLISTING")]),
    absent("duda", &[named("WEB_SERVICE")]),
    absent("cheetah", &[]),
    absent("cgi", &[]),
    absent("fastcgi", &[]),
    absent("palm", &[]),
    absent("proxy", &[]),
    absent("metrics", &[]),
    absent("tls", &[named("TLS")]),
    absent("gpio", &[]),
];

/// The section of a site that names handler plugins; refused while none is built in.
pub(super) const HANDLERS: &str = "HANDLERS";

/// The names of the plugins in this build.
pub fn built_in() -> impl Iterator<Item = &'static str> {
    PLUGINS.iter().filter(|plugin| plugin.built_in).map(|plugin| plugin.name)
}

/// `plugins built in: ...`, for messages.
pub(super) struct BuiltIn;

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plugins built in:")?;
        let mut none = true;
        for name in built_in() {
            write!(f, " {name}")?;
            none = false;
        }
        f.write_str(if none { " none" } else { "" })
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
        let what = format_args!("passed over, not in this build:{absent}; {BuiltIn}");
        out.note(&Position::of_file(dir), what);
    }
}
