//! `Chroot`: how paths outside of a root directory look from inside.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::diagnostic::Findings;
use super::files::{Files, parts};
use super::raw::RawEntry;

/// The directory that becomes the root of a running server: absolute, `.` and `..` worked out. The configuration names files
/// as they are seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chroot(PathBuf);

impl Chroot {
    /// The value of the key; relative paths start at `base`. Whether it is there can not be seen from inside another one.
    pub(super) fn resolve(
        entry: &RawEntry<'_>,
        base: &Path,
        files: &dyn Files,
        confined: bool,
        out: &mut Findings,
    ) -> Option<Chroot> {
        let dir = normal(&base.join(entry.value));
        if !confined && files.identity(&dir).is_none() {
            let what = format_args!("{} is not there: name a directory that is", dir.display());
            return out.refuse(&entry.value_at, what);
        }
        Some(Chroot(dir))
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    /// A path as it is written once the directory is the root; `None` if it lies outside. Goes by the text: the path must
    /// begin with the directory as the key has it; `..` is worked out without a look at symbolic links.
    pub fn inside(&self, path: &Path) -> Option<PathBuf> {
        let path = normal(path);
        let root = self.0.as_os_str().as_bytes();
        match path.as_os_str().as_bytes().strip_prefix(root.strip_suffix(b"/").unwrap_or(root))? {
            [] => Some(PathBuf::from("/")),
            rest if rest.starts_with(b"/") => Some(PathBuf::from(OsStr::from_bytes(rest))),
            _ => None,
        }
    }
}

/// An absolute path without `.`, `..` and double slashes.
pub(super) fn normal(path: &Path) -> PathBuf {
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
    OsString::from_vec(whole).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_from_inside() {
        let jail = Chroot("/srv/jail".into());
        for (path, inside) in [
            ("/srv/jail", Some("/")),
            ("/srv/jail/", Some("/")),
            ("/srv/jail/www", Some("/www")),
            ("/srv//jail/./www/", Some("/www")),
            ("/srv/jail/etc/monkey/../../www", Some("/www")),
            ("/srv/other/../jail/www", Some("/www")),
            ("/srv/jail/../jail2/www", None),
            ("/srv/jail2/www", None),
            ("/srv/jail/../../etc", None),
            ("/srv", None),
            ("/", None),
            ("/data/jail", None),
        ] {
            assert_eq!(jail.inside(Path::new(path)), inside.map(PathBuf::from), "{path}");
        }
        let whole = Chroot("/".into());
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
