//! Any bytes as a configuration file: the body of the fuzz target, also run by tests over the corpus.

use std::path::Path;

use super::diagnostic::{Findings, Position};
use super::files::{Files, Identity, Trouble};
use super::plugins::handlers::Lines;
use super::plugins::{OfServer, PLUGINS, With, of_server};
use super::read::read_text;
use super::site::Base;
use super::{Options, Site, mime, server, site};

/// Where the plugins have their files.
const PLUGINS_DIR: &str = "/plugins";

/// A machine without files but for those of the plugins, which are all the same: no input reaches any other.
struct PluginFiles<'a>(&'a [u8]);

impl Files for PluginFiles<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, Trouble> {
        self.identity(path).map(|_| self.0.to_vec()).ok_or(Trouble::Missing)
    }
    fn list(&self, _: &Path) -> Result<Vec<(String, bool)>, Trouble> {
        Err(Trouble::Missing)
    }
    fn check_directory(&self, _: &Path) -> Result<(), Trouble> {
        Ok(())
    }
    fn check_program(&self, _: &Path) -> Result<(), Trouble> {
        Err(Trouble::Missing)
    }
    fn identity(&self, path: &Path) -> Option<Identity> {
        let mut files = PLUGINS.iter().filter(|plugin| !plugin.file.is_empty());
        // One for all, so that none includes another.
        files.any(|plugin| path == Path::new(PLUGINS_DIR).join(plugin.name).join(plugin.file)).then_some((0, 0))
    }
}

/// Reads `data` as each kind of file in turn. Touches no file. Panics only if what is promised does not hold: every
/// finding stands in a line that the text has.
pub fn run(data: &[u8]) {
    let path = Path::new("fuzz.conf");
    let whole = Position::of_file(path);
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut out = Findings::default();
    let files = PluginFiles(data);
    let raw = read_text(&files, path, data.to_vec().into(), &mut out);
    let server = server::resolve(&raw, Path::new("/"), &files, &Options::default(), &whole, &mut out);
    let base = Base { dir: Path::new("/"), chroot: server.chroot.as_ref() };
    let mut more = Lines::default();
    let mut own = of_server(&files, Path::new(PLUGINS_DIR), &base, &mut more, &mut out);
    let with = &mut With { base: &base, files: &files, own: &mut own };
    let site = site::resolve(&raw, with, &more, &[], &whole, &mut out);
    own.settle();
    let mime = mime::resolve(&raw, &whole, &mut out);
    assert!(mime.lookup(data).is_none_or(|media_type| !media_type.is_empty()));
    assert!(server.timeout > 0 && server.max_keep_alive_request > 0);
    assert!(site.document_root.is_absolute() && site.headers.iter().all(|rule| !rule.line.contains(['\r', '\n'])));
    for found in &out.list {
        assert!(found.line as usize <= lines, "{found}");
        assert!(!found.to_string().contains('\n'), "{found}");
    }
}

/// `text` as the file of a site, whatever is wrong in it, for targets that need what it says.
pub fn site(text: &[u8]) -> Site {
    let path = Path::new("fuzz.conf");
    let whole = Position::of_file(path);
    let mut out = Findings::default();
    let files = PluginFiles(b"");
    let raw = read_text(&files, path, text.to_vec().into(), &mut out);
    let base = Base { dir: Path::new("/"), chroot: None };
    let with = &mut With { base: &base, files: &files, own: &mut OfServer::default() };
    site::resolve(&raw, with, &Lines::default(), &[], &whole, &mut out)
}
