//! Putting a new file in place of an old one, all or nothing: who reads it sees the one or the other. Source: rename(2), fsync(2).

use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::errno::{check, count};
use super::fd::own;
use super::file;

/// Where an open file lies: its path without links, as proc(5) has it. Needs /proc.
pub fn path_of(file: &File) -> io::Result<PathBuf> {
    let link = CString::new(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    let mut path = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: `link` is a NUL-terminated string, and the buffer is writable for its length.
    let len = count(unsafe { libc::readlink(link.as_ptr(), path.as_mut_ptr().cast(), path.len()) })?;
    path.truncate(len);
    Ok(PathBuf::from(OsString::from_vec(path)))
}

/// Writes `content` to a new file beside `path`, its name with `.new` behind it, and then renames it to `path`. It gets mode and owner
/// of `like`, the file it replaces, or mode 0640. Fails with EEXIST when that other name is taken: somebody else is at it, or was
/// interrupted. What fails leaves everything as it was.
pub fn replace(path: &Path, content: &[u8], like: Option<&File>) -> io::Result<()> {
    let bytes = path.as_os_str().as_bytes();
    let (old, new) = (CString::new(bytes)?, CString::new([bytes, b".new"].concat())?);
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mode: libc::mode_t = 0o600;
    // SAFETY: `new` is a NUL-terminated string; the kernel gives a new descriptor that nobody owns.
    let file = File::from(unsafe { own(libc::open(new.as_ptr(), flags, mode)) }?);
    let result = fill(&file, content, like).and_then(|()| {
        // SAFETY: both are NUL-terminated strings.
        check(unsafe { libc::rename(new.as_ptr(), old.as_ptr()) })?;
        Ok(())
    });
    if result.is_err() {
        // SAFETY: `new` is a NUL-terminated string.
        unsafe { libc::unlink(new.as_ptr()) };
        return result;
    }
    // Without it the name may be that of the old file again after a loss of power.
    let dir = bytes.iter().rposition(|&byte| byte == b'/').and_then(|slash| bytes.get(..=slash)).unwrap_or(b".");
    sync_directory(&CString::new(dir)?)
}

fn fill(mut file: &File, content: &[u8], like: Option<&File>) -> io::Result<()> {
    let number = file.as_raw_fd();
    let mut mode = 0o640;
    if let Some(like) = like {
        let (like, new) = (like.metadata()?, file.metadata()?);
        mode = like.mode() & 0o7777;
        if (like.uid(), like.gid()) != (new.uid(), new.gid()) {
            // SAFETY: fchown takes an open descriptor and two integers.
            check(unsafe { libc::fchown(number, like.uid(), like.gid()) })?;
        }
    }
    // SAFETY: fchmod takes an open descriptor and an integer.
    check(unsafe { libc::fchmod(number, mode) })?;
    file.write_all(content)?;
    file.sync_all()
}

fn sync_directory(dir: &CStr) -> io::Result<()> {
    File::from(file::open_at(None, dir)?).sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::Dir;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_replaced_with_its_mode_or_made() {
        let dir = Dir::new();
        let path = dir.path().join("users");
        replace(&path, b"one", None).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).unwrap();
        let old = File::open(&path).unwrap();
        replace(&path, b"two", Some(&old)).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o604);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn who_comes_second_changes_nothing() {
        let dir = Dir::new();
        let path = dir.path().join("users");
        fs::write(dir.path().join("users.new"), "of another").unwrap();
        let error = replace(&path, b"one", None).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(dir.path().join("users.new")).unwrap(), b"of another");
        assert!(replace(&dir.path().join("nowhere/users"), b"one", None).is_err());
        // A directory can not be replaced: what was written goes again.
        fs::create_dir_all(dir.path().join("full/of")).unwrap();
        assert!(replace(&dir.path().join("full"), b"one", None).is_err());
        assert!(!dir.path().join("full.new").exists());
    }
}
