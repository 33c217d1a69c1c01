//! Reading the files of a configuration, and refusing those that anyone could have written.

use std::borrow::Cow;
#[cfg(feature = "sandbox")]
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt;
use std::fs::{self, Metadata};
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::Chroot;
use crate::sys::directory::{self, Entries, read_entries};
use crate::sys::errno::Errno;
use crate::sys::file;

/// Largest configuration file accepted, bytes. A larger one is refused: it is some other file.
pub const FILE_MAX: u64 = 1024 * 1024;

/// Why a file or directory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It is not there.
    Missing,
    /// Anything else, in words.
    Other(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Trouble::Missing => f.write_str("no such file or directory"),
            Trouble::Other(what) => f.write_str(what),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Trouble {
        match error.kind() {
            io::ErrorKind::NotFound => Trouble::Missing,
            io::ErrorKind::PermissionDenied => Trouble::Other("permission denied".into()),
            _ => Trouble::Other(error.to_string()),
        }
    }
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        io::Error::from(errno).into()
    }
}

/// What tells a file from every other: device and inode.
pub(super) type Identity = (u64, u64);

/// Where configuration text comes from.
pub(super) trait Files {
    /// The content of a regular file of at most [`FILE_MAX`] bytes.
    fn read(&self, path: &Path) -> Result<Vec<u8>, Trouble>;
    /// Takes note that a file is read again and again while the server runs, and may be replaced by another one.
    #[allow(dead_code)] // Plugins call it; which are built in is the features' choice.
    fn keep_reading(&self, path: &Path) {
        let _ = path;
    }
    /// The names in a directory, sorted, each with whether it is a regular file (or a link to one).
    fn list(&self, dir: &Path) -> Result<Vec<(String, bool)>, Trouble>;
    /// Whether a directory is there and safe to read from.
    fn check_directory(&self, dir: &Path) -> Result<(), Trouble>;
    /// Whether a file is there that can be run as a program: as it is seen from outside of a `Chroot`, where programs run.
    #[allow(dead_code)] // As above.
    fn check_program(&self, path: &Path) -> Result<(), Trouble>;
    /// What is the same for one file, however it was spelt; `None` when there is none.
    fn identity(&self, path: &Path) -> Option<Identity>;
}

/// The file system.
pub(super) struct Disk<'a> {
    /// The root directory this process has; paths are given as they are seen from outside.
    pub(super) confined: Option<&'a Chroot>,
    /// What was listed and read, for a sandbox to allow.
    #[cfg(feature = "sandbox")]
    pub(super) sources: RefCell<Vec<PathBuf>>,
}

impl Disk<'_> {
    /// A path as this process can open it.
    #[inline(never)]
    fn at<'p>(&self, path: &'p Path) -> Result<Cow<'p, Path>, Trouble> {
        let Some(chroot) = self.confined else { return Ok(Cow::Borrowed(path)) };
        let outside = || Trouble::Other("out of reach of a server with this Chroot: needs restart".into());
        chroot.inside(path).map(Cow::Owned).ok_or_else(outside)
    }

    #[cfg(feature = "sandbox")]
    fn note(&self, path: &Path) {
        self.sources.borrow_mut().push(path.to_path_buf());
    }
}

impl Files for Disk<'_> {
    fn read(&self, path: &Path) -> Result<Vec<u8>, Trouble> {
        let opened = &*self.at(path)?;
        // Looked at before it is opened: opening a FIFO would wait for a writer.
        if !fs::metadata(opened)?.is_file() {
            return Err(Trouble::Other("not a regular file".into()));
        }
        let file = file::open(opened)?;
        #[cfg(feature = "sandbox")]
        self.note(path);
        let about = file.metadata()?;
        check_writers(path, &about)?;
        let mut content = Vec::with_capacity(about.len().min(FILE_MAX) as usize + 1);
        file.take(FILE_MAX + 1).read_to_end(&mut content)?;
        if content.len() as u64 > FILE_MAX {
            return Err(Trouble::Other(format!("larger than {FILE_MAX} bytes: not a configuration file")));
        }
        Ok(content)
    }

    #[cfg(feature = "sandbox")]
    fn keep_reading(&self, path: &Path) {
        // Another file of that name is known to the kernel only by the directory it is in.
        self.note(directory_of(path));
        // What a link leads to is replaced in a directory of its own.
        if self.confined.is_none()
            && let Ok(real) = fs::canonicalize(path)
        {
            self.note(directory_of(&real));
        }
    }

    fn list(&self, dir: &Path) -> Result<Vec<(String, bool)>, Trouble> {
        self.check_directory(dir)?;
        #[cfg(feature = "sandbox")]
        self.note(dir);
        let mut names = Vec::new();
        let opened = file::open(&self.at(dir)?)?;
        let mut buffer = [0; 4096];
        loop {
            let len = read_entries(opened.as_fd(), &mut buffer)?;
            for entry in Entries(buffer.get(..len).unwrap_or_default()) {
                let name = entry.name.to_bytes();
                if name == b"." || name == b".." {
                    continue;
                }
                let path = dir.join(OsStr::from_bytes(name));
                let Ok(name) = String::from_utf8(name.to_vec()) else {
                    let what = format!("the name \"{}\" in it is not UTF-8: rename that file", path.display());
                    return Err(Trouble::Other(what));
                };
                // A link to nothing counts as a file, so that reading it says what is wrong.
                let is_file = fs::metadata(&*self.at(&path)?).map_or(true, |about| about.is_file());
                let place = names.partition_point(|(other, _)| *other < name);
                names.insert(place, (name, is_file));
            }
            if len == 0 {
                break;
            }
        }
        Ok(names)
    }

    fn check_directory(&self, dir: &Path) -> Result<(), Trouble> {
        let about = fs::metadata(&*self.at(dir)?)?;
        if !about.is_dir() {
            return Err(Trouble::Other("not a directory".into()));
        }
        check_writers(dir, &about)
    }

    fn check_program(&self, path: &Path) -> Result<(), Trouble> {
        // From inside of a root directory of its own the server can not tell.
        let Ok(seen) = self.at(path) else { return Ok(()) };
        let about = fs::metadata(&*seen)?;
        match about.mode() & 0o111 {
            _ if !about.is_file() => Err(Trouble::Other("not a regular file".into())),
            0 => Err(Trouble::Other("not executable (chmod +x)".into())),
            _ => Ok(()),
        }
    }

    fn identity(&self, path: &Path) -> Option<Identity> {
        fs::metadata(&*self.at(path).ok()?).ok().map(|about| (about.dev(), about.ino()))
    }
}

/// The path from the root on, without the parts that mean nothing.
pub(super) fn absolute(path: &Path) -> PathBuf {
    let mut whole = match path.has_root() {
        true => PathBuf::from("/"),
        false => directory::current().unwrap_or_default(),
    };
    for part in parts(path) {
        whole.push(part);
    }
    whole
}

/// The directory of a file: its path up to the last slash.
pub(super) fn directory_of(file: &Path) -> &Path {
    let bytes = file.as_os_str().as_bytes();
    let slash = bytes.iter().rposition(|byte| *byte == b'/');
    Path::new(OsStr::from_bytes(slash.and_then(|slash| bytes.get(..=slash)).unwrap_or_default()))
}

/// What stands between the slashes of a path, but for what means nothing: `.` and nothing.
pub(super) fn parts(path: &Path) -> impl Iterator<Item = &OsStr> {
    let parts = path.as_os_str().as_bytes().split(|byte| *byte == b'/');
    parts.filter(|part| !part.is_empty() && *part != b".").map(OsStr::from_bytes)
}

/// Refuses what every user of the machine may write: it would let them decide what the server serves and as whom.
fn check_writers(path: &Path, about: &Metadata) -> Result<(), Trouble> {
    let mode = about.mode() & 0o7777;
    if mode & 0o002 == 0 {
        return Ok(());
    }
    Err(Trouble::Other(format!(
        "every user may write here (mode {mode:04o}), so anyone could change what the server does: chmod o-w '{}'",
        path.display()
    )))
}

/// The files that match `pattern`, sorted, names beginning with a dot left out unless the pattern names the dot: `*`
/// stands for any run of characters and `?` for one, within one component (glob(7)).
pub(super) fn glob(files: &dyn Files, pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::from(if pattern.has_root() { "/" } else { "" })];
    let mut components = parts(pattern).peekable();
    while let Some(component) = components.next() {
        let last = components.peek().is_none();
        let text = component.to_str().unwrap_or_default();
        if !has_wildcard(text) {
            for path in &mut found {
                path.push(component);
            }
            continue;
        }
        let mut next = Vec::new();
        for dir in &found {
            let names = files.list(dir).map_err(|what| format!("{}: {what}", dir.display()))?;
            for (name, is_file) in names {
                if is_file == last && (!name.starts_with('.') || text.starts_with('.')) && matches(text, &name) {
                    next.push(dir.join(name));
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// Whether `text` is a pattern for [`glob`] rather than a plain name.
pub(super) fn has_wildcard(text: &str) -> bool {
    text.bytes().any(|byte| byte == b'*' || byte == b'?')
}

/// Greedy with one step back to the last `*`: never worse than pattern times name.
fn matches(pattern: &str, name: &str) -> bool {
    let (mut pattern, mut name) = (pattern.chars(), name.chars());
    let mut retry: Option<(std::str::Chars<'_>, std::str::Chars<'_>)> = None;
    loop {
        let (mut after, mut rest) = (pattern.clone(), name.clone());
        match (after.next(), rest.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                retry = Some((after.clone(), name.clone()));
                pattern = after;
            }
            (Some(p), Some(c)) if p == '?' || p == c => (pattern, name) = (after, rest),
            _ => {
                let Some((from, at)) = retry.as_mut() else { return false };
                if at.next().is_none() {
                    return false;
                }
                (pattern, name) = (from.clone(), at.clone());
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Files that exist only in a test.
    #[derive(Default)]
    pub(in crate::config) struct Memory(pub BTreeMap<PathBuf, Vec<u8>>);

    impl Memory {
        pub(in crate::config) fn with(files: &[(&str, &str)]) -> Memory {
            Memory(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect())
        }
    }

    impl Files for Memory {
        fn read(&self, path: &Path) -> Result<Vec<u8>, Trouble> {
            self.0.get(path).cloned().ok_or(Trouble::Missing)
        }
        fn list(&self, dir: &Path) -> Result<Vec<(String, bool)>, Trouble> {
            let mut names: Vec<(String, bool)> = Vec::new();
            for path in self.0.keys() {
                let Ok(rest) = path.strip_prefix(dir) else { continue };
                let mut parts = rest.iter();
                let Some(name) = parts.next().and_then(|name| name.to_str()) else { continue };
                if !names.iter().any(|(known, _)| known == name) {
                    names.push((name.into(), parts.next().is_none()));
                }
            }
            if names.is_empty() { Err(Trouble::Missing) } else { Ok(names) }
        }
        fn check_directory(&self, _: &Path) -> Result<(), Trouble> {
            Ok(())
        }
        fn check_program(&self, path: &Path) -> Result<(), Trouble> {
            self.read(path).map(|_| ())
        }
        fn identity(&self, path: &Path) -> Option<Identity> {
            self.0.keys().position(|known| known.starts_with(path)).map(|n| (0, n as u64))
        }
    }

    #[test]
    fn wildcards() {
        for (pattern, name, fits) in [
            ("*", "", true),
            ("*.conf", "a.conf", true),
            ("*.conf", ".conf", true),
            ("*.conf", "a.conf~", false),
            ("a*b*c", "axxbyybzc", true),
            ("a*b*c", "axxbyybz", false),
            ("?.conf", "é.conf", true),
            ("?.conf", ".conf", false),
            ("a", "a", true),
            ("a", "ab", false),
            ("**a", "bca", true),
        ] {
            assert_eq!(matches(pattern, name), fits, "{pattern} against {name}");
        }
    }

    #[test]
    fn glob_goes_through_directories_in_order_and_skips_dotfiles() {
        let files = Memory::with(&[("/c/b/1.conf", ""), ("/c/a/2.conf", ""), ("/c/a/.3.conf", ""), ("/c/a/2.txt", "")]);
        let found = glob(&files, Path::new("/c/*/*.conf")).unwrap();
        assert_eq!(found, [PathBuf::from("/c/a/2.conf"), PathBuf::from("/c/b/1.conf")]);
    }
}
