//! Any bytes as a configuration file: the body of the fuzz target, also run by tests over the corpus.

use std::path::Path;

use super::diagnostic::{Findings, Position};
use super::files::{Files, Identity, Trouble};
use super::read::read_text;
use super::site::Base;
use super::{Options, mime, server, site};

/// A machine without files, so that no input reaches any.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &Path) -> Result<Vec<u8>, Trouble> {
        Err(Trouble::Missing)
    }
    fn list(&self, _: &Path) -> Result<Vec<(String, bool)>, Trouble> {
        Err(Trouble::Missing)
    }
    fn check_directory(&self, _: &Path) -> Result<(), Trouble> {
        Ok(())
    }
    fn identity(&self, _: &Path) -> Option<Identity> {
        None
    }
}

/// Reads `data` as each kind of file in turn. Touches no file. Panics only if what is promised does not hold: every
/// finding stands in a line that the text has.
pub fn run(data: &[u8]) {
    let path = Path::new("fuzz.conf");
    let whole = Position::of_file(path);
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    let mut out = Findings::default();
    let raw = read_text(&NoFiles, path, data.to_vec().into(), &mut out);
    let server = server::resolve(&raw, Path::new("/"), &NoFiles, &Options::default(), &whole, &mut out);
    let base = Base { dir: Path::new("/"), chroot: server.chroot.as_ref() };
    let site = site::resolve(&raw, &base, &NoFiles, &[], &whole, &mut out);
    let mime = mime::resolve(&raw, &whole, &mut out);
    assert!(mime.lookup(data).is_none_or(|media_type| !media_type.is_empty()));
    assert!(server.timeout > 0 && server.max_keep_alive_request > 0);
    assert!(site.document_root.is_absolute() && site.headers.iter().all(|rule| !rule.line.contains(['\r', '\n'])));
    for found in &out.list {
        assert!(found.line as usize <= lines, "{found}");
        assert!(!found.to_string().contains('\n'), "{found}");
    }
}
