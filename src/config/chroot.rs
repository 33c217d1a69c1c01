//! `Chroot`: how paths outside of a root directory look from inside.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::diagnostic::Findings;
use super::files::{Files, parts};
use super::raw::RawEntry;

/// The directory that becomes the root of a running server. The configuration names files as they are seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chroot {
    /// As written, absolute, `.` and `..` worked out.
    dir: PathBuf,
    /// The same without symbolic links.
    real: PathBuf,
}

impl Chroot {
    /// The value of the key; relative paths start at `base`.
    pub(super) fn resolve(entry: &RawEntry<'_>, base: &Path, files: &dyn Files, out: &mut Findings) -> Option<Chroot> {
        let dir = normal(&base.join(entry.value));
        match files.real(&dir) {
            Ok(real) => Some(Chroot { dir, real }),
            Err(what) => {
                let what = format_args!("{}: {what}: name a directory that is there", dir.display());
                out.refuse(&entry.value_at, what)
            }
        }
    }

    /// The directory, absolute.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Its real path, without symbolic links.
    pub(super) fn real(&self) -> &Path {
        &self.real
    }

    /// A path as it is written once the directory is the root; `None` if it lies outside. Goes by the text: it must begin with
    /// the directory as the key has it, or with its real path; `..` is worked out without a look at symbolic links.
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        let path = normal(path);
        [&self.dir, &self.real].into_iter().find_map(|dir| {
            let dir = dir.as_os_str().as_bytes();
            let dir = dir.strip_suffix(b"/").unwrap_or(dir);
            match path.as_os_str().as_bytes().strip_prefix(dir)? {
                [] => Some(PathBuf::from("/")),
                rest if rest.starts_with(b"/") => Some(PathBuf::from(OsStr::from_bytes(rest))),
                _ => None,
            }
        })
    }
}

/// An absolute path without `.`, `..` and double slashes.
fn normal(path: &Path) -> PathBuf {
    let mut whole: Vec<u8> = Vec::new();
    for part in parts(path) {
        if part == ".." {
            whole.truncate(whole.iter().rposition(|byte| *byte == b'/').unwrap_or(0));
        } else {
            whole.push(b'/');
            whole.extend_from_slice(part.as_bytes());
        }
    }
    if whole.is_empty() {
        whole.push(b'/');
    }
    PathBuf::from(OsStr::from_bytes(&whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_from_inside() {
        let jail = Chroot { dir: "/srv/jail".into(), real: "/data/jail-2".into() };
        for (path, inside) in [
            ("/srv/jail", Some("/")),
            ("/srv/jail/", Some("/")),
            ("/srv/jail/www", Some("/www")),
            ("/srv//jail/./www/", Some("/www")),
            ("/srv/jail/etc/monkey/../../www", Some("/www")),
            ("/srv/other/../jail/www", Some("/www")),
            ("/data/jail-2/www", Some("/www")),
            ("/srv/jail/../jail2/www", None),
            ("/srv/jail2/www", None),
            ("/srv/jail/../../etc", None),
            ("/srv", None),
            ("/", None),
            ("/data/jail", None),
        ] {
            assert_eq!(jail.inside(Path::new(path)), inside.map(PathBuf::from), "{path}");
        }
        let whole = Chroot { dir: "/".into(), real: "/".into() };
        assert_eq!(whole.inside(Path::new("/www")), Some("/www".into()));
        assert_eq!(whole.inside(Path::new("/")), Some("/".into()));
    }

    #[test]
    fn normal_paths() {
        for (path, text) in
            [("/", "/"), ("/../..", "/"), ("/a/../b", "/b"), ("/a/b/..", "/a"), ("/a/.../b", "/a/.../b")]
        {
            assert_eq!(normal(Path::new(path)), Path::new(text), "{path}");
        }
    }
}
