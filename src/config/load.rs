//! From a directory to a [`Config`].

use std::fmt;
use std::path::{Path, PathBuf};

use super::check::check;
use super::diagnostic::{Diagnostic, Findings, Position, Report};
use super::files::{Disk, Files, Trouble, absolute};
use super::plugins::With;
use super::plugins::handlers::Lines;
use super::raw::RawConfig;
use super::read::{read, read_text};
use super::site::Base;
use super::table::File;
use super::{Config, MimeTable, Options, Site, find, mime, plugins, server, site};

/// The shipped monkey.mime, for `-o`.
const BUILT_IN_MIME: &[u8] = include_bytes!("../../conf/monkey.mime");

/// Reads everything that the options name. Answers with the warnings and notes, or, when there is any error, with all
/// errors of all files.
pub fn load(options: &Options) -> Result<(Config, Vec<Diagnostic>), Report> {
    let mut out = Findings::default();
    let disk = Disk {
        confined: options.confined.as_ref(),
        #[cfg(feature = "sandbox")]
        sources: Default::default(),
    };
    let config = load_from(&disk, options, &mut out);
    #[cfg(feature = "sandbox")]
    let config = config.map(|config| Config { sources: disk.sources.into_inner(), ..config });
    out.finish(config)
}

/// As [`load`]. `None` when an error left nothing to go on with.
pub(super) fn load_from(files: &dyn Files, options: &Options, out: &mut Findings) -> Option<Config> {
    if let Some(name) = options.transport.as_deref().filter(|name| *name != "liana") {
        let what = format_args!("the transport {name} is not in this build: write liana");
        out.error(&Position::of_file("command line --transport"), what);
    }
    match &options.one_shot {
        Some(dir) => one_shot(files, dir, options, out),
        None => directory(files, options, out),
    }
}

/// One directory served with nothing but built-in defaults.
fn one_shot(files: &dyn Files, dir: &Path, options: &Options, out: &mut Findings) -> Option<Config> {
    let dir = absolute(dir);
    // Only whether it is there: who may write to what is served is the business of who serves it.
    if !dir.is_dir() {
        return out.refuse(&Position::of_file(&dir), "not a directory: name one that is there after -o");
    }
    let default = Position::of_file("built-in defaults");
    // An empty [SERVER] section is what the defaults follow from; that it is empty need not be told.
    let mut silent = Findings::default();
    let empty = read_text(files, Path::new("built-in defaults"), b"[SERVER]".as_slice().into(), &mut silent);
    let server = server::resolve(&empty, &dir, files, options, &default, &mut silent);
    let mime = built_in_mime(files, out);
    Some(Config {
        sites: vec![Site::of_directory(dir.clone())],
        dir,
        server,
        mime,
        plugins: plugins::OfServer::default(),
        #[cfg(feature = "sandbox")]
        sources: Vec::new(),
    })
}

/// The table of the shipped monkey.mime.
fn built_in_mime(files: &dyn Files, out: &mut Findings) -> MimeTable {
    let name = Path::new("built-in monkey.mime");
    mime::resolve(&read_text(files, name, BUILT_IN_MIME.into(), out), &Position::of_file(name), out)
}

fn directory(files: &dyn Files, options: &Options, out: &mut Findings) -> Option<Config> {
    let dir = match &options.config_dir {
        Some(dir) => absolute(dir),
        None => match find::directory() {
            Some(dir) => dir,
            None => {
                let path = Path::new(find::INSTALLED).join(find::SERVER_CONF);
                let what = "no such file: name another configuration directory with -c DIR";
                return out.refuse(&Position::of_file(&path), what);
            }
        },
    };
    if let Err(what) = files.check_directory(&dir) {
        let hint = "name another configuration directory with -c DIR";
        return out.refuse(&Position::of_file(&dir), WithHint { what: &what, hint });
    }
    let named = |name: &Option<PathBuf>, default: &str| dir.join(name.as_deref().unwrap_or(Path::new(default)));

    let path = named(&options.server_conf, find::SERVER_CONF);
    let hint = "name another configuration directory with -c DIR, or another file with -s FILE";
    let server = main_file(files, &path, hint, out)
        .map(|raw| server::resolve(&raw, &dir, files, options, &Position::of_file(&path), out));
    let path = named(&options.mime_file, "monkey.mime");
    let hint = "name another configuration directory with -c DIR, or another file with -m FILE";
    let mime = main_file(files, &path, hint, out).map(|raw| mime::resolve(&raw, &Position::of_file(&path), out));
    let chroot = server.as_ref().and_then(|server| server.chroot.as_ref());
    let base = Base { dir: &dir, chroot };
    let plugins_dir = named(&options.plugins_dir, "plugins");
    plugins::pass_over(files, &plugins_dir, out);
    // Before the sites, whose lines name what is in them.
    let mut lines = Lines::default();
    let mut plugins = plugins::of_server(files, &plugins_dir, &base, &mut lines, out);
    let with = &mut With { base: &base, files, own: &mut plugins };
    let mut sites = sites(&named(&options.sites_dir, "sites"), with, &lines, out);
    plugins_load(files, &named(&options.plugins_load, "plugins.load"), options.plugins_load.is_some(), out);
    plugins.settle();
    if !plugins.wants_text() {
        sites.iter_mut().for_each(|site| site.written = Box::default());
    }
    Some(Config {
        dir: dir.clone(),
        server: server?,
        sites,
        mime: mime?,
        plugins,
        #[cfg(feature = "sandbox")]
        sources: Vec::new(),
    })
}

/// Reads a file that must be there.
fn main_file(files: &dyn Files, path: &Path, hint: &str, out: &mut Findings) -> Option<RawConfig> {
    match files.read(path) {
        Ok(content) => Some(read_text(files, path, content.into(), out)),
        Err(what) => out.refuse(&Position::of_file(path), WithHint { what: &what, hint }),
    }
}

/// The hint says how to point elsewhere, which helps only where there is nothing.
struct WithHint<'a> {
    what: &'a Trouble,
    hint: &'a str,
}

impl fmt::Display for WithHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)?;
        match self.what {
            Trouble::Missing => write!(f, ": {}", self.hint),
            Trouble::Other(_) => Ok(()),
        }
    }
}

/// sites/default, then every other file by name. `lines` are tried behind the lines of each.
fn sites(sites_dir: &Path, with: &mut With<'_>, lines: &Lines, out: &mut Findings) -> Vec<Site> {
    let mut sites = Vec::new();
    let files = with.files;
    let names = match files.list(sites_dir) {
        Ok(names) => names,
        Err(what) => {
            let hint = "name another directory with -S DIR";
            out.error(&Position::of_file(sites_dir), WithHint { what: &what, hint });
            return sites;
        }
    };
    let first = "default";
    if !names.iter().any(|(name, is_file)| name == first && *is_file) {
        out.error(&Position::of_file(&sites_dir.join(first)), "no such file: the first site must have this name");
    }
    // Twice through the names: first sites/default alone, then all the others.
    for ((name, is_file), turn) in names.iter().map(|name| (name, true)).chain(names.iter().map(|name| (name, false))) {
        if (name == first) != turn || name.starts_with('.') || name.ends_with('~') {
            continue;
        }
        let path = sites_dir.join(name);
        if !is_file {
            out.warning(&Position::of_file(&path), "not a regular file: passed over");
            continue;
        }
        if let Some(raw) = read(files, &path, out) {
            let site = site::resolve(&raw, with, lines, &sites, &Position::of_file(&path), out);
            sites.push(site);
        }
    }
    sites
}

/// plugins.load has no effect on a static program, but what is wrong in it is told. Need not exist unless it was named.
fn plugins_load(files: &dyn Files, path: &Path, named: bool, out: &mut Findings) {
    match files.read(path) {
        Ok(content) => {
            let raw = read_text(files, path, content.into(), out);
            check(&raw, File::PluginsLoad, &Position::of_file(path), out);
        }
        Err(Trouble::Missing) if !named => {}
        Err(what) => out.error(&Position::of_file(path), what),
    }
}
