//! Putting a new file in place of an old one, all or nothing: who reads it sees the one or the other. Source: rename(2), fsync(2).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::errno::{Errno, check, count};
use super::file::rights;
use super::pipe::write_all;

/// Opens a file for reading; neither a FIFO nor a terminal makes it wait.
pub fn open(path: &[u8]) -> Result<OwnedFd, Errno> {
    open_with(&[path, b"\0"].concat(), libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY)
}

/// `path` ends in NUL. Mode 0600, if it is made.
#[inline(never)]
fn open_with(path: &[u8], flags: libc::c_int) -> Result<OwnedFd, Errno> {
    debug_assert_eq!(path.last(), Some(&0));
    let mode: libc::mode_t = 0o600;
    // SAFETY: `path` ends in NUL; the kernel gives a new descriptor that nobody owns.
    Ok(unsafe { OwnedFd::from_raw_fd(check(libc::open(path.as_ptr().cast(), flags | libc::O_CLOEXEC, mode))?) })
}

/// Where an open file lies: its path without links, as proc(5) has it; where nothing lies if it was replaced meanwhile. Needs /proc.
pub fn path_of(file: BorrowedFd<'_>) -> Result<Vec<u8>, Errno> {
    let link = format!("/proc/self/fd/{}\0", file.as_raw_fd());
    let mut path = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: `link` ends in NUL, and the buffer is writable for its length.
    let len = count(unsafe { libc::readlink(link.as_ptr().cast(), path.as_mut_ptr().cast(), path.len()) })?;
    path.truncate(len);
    Ok(path)
}

/// A file or directory by its path, only as a place, and where it really lies: as [`path_of`].
#[cfg(feature = "palm-server")]
pub fn place(path: &[u8]) -> Result<(OwnedFd, Vec<u8>), Errno> {
    let file = open_with(&[path, b"\0"].concat(), libc::O_PATH)?;
    let path = path_of(file.as_fd())?;
    Ok((file, path))
}

/// A file that is to take the place of another: beside it, its name with `.new` behind it. For as long as it is there nobody else can
/// make one, so that what is read of the old file meanwhile is what it is replaced with. Dropped, it is removed again.
pub struct New {
    /// Both end in NUL.
    old: Vec<u8>,
    new: Vec<u8>,
    file: OwnedFd,
    is_done: bool,
}

impl New {
    /// Makes it. EEXIST = the name is taken: somebody else is at it, or was interrupted.
    pub fn beside(path: &[u8]) -> Result<New, Errno> {
        let (old, new) = ([path, b"\0"].concat(), [path, b".new\0"].concat());
        let file = open_with(&new, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW)?;
        Ok(New { old, new, file, is_done: false })
    }

    /// Writes `content` to it and puts it in the old one's place. It gets mode and owner of `like`, the file it replaces, or mode 0640.
    /// What fails leaves everything as it was.
    pub fn replace(mut self, content: &[u8], like: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
        fill(self.file.as_fd(), content, like)?;
        // SAFETY: both end in NUL; syncfs takes an open descriptor.
        unsafe {
            check(libc::rename(self.new.as_ptr().cast(), self.old.as_ptr().cast()))?;
            self.is_done = true;
            // Without it the name may be that of the old file again after a loss of power.
            check(libc::syncfs(self.file.as_raw_fd())).map(drop)
        }
    }
}

impl Drop for New {
    fn drop(&mut self) {
        if !self.is_done {
            // SAFETY: `new` ends in NUL.
            unsafe { libc::syscall(libc::SYS_unlinkat, libc::AT_FDCWD, self.new.as_ptr(), 0) };
        }
    }
}

fn fill(file: BorrowedFd<'_>, content: &[u8], like: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    // The largest user and group numbers leave them as they are.
    let (mode, user, group) = like.map_or(Ok((0o640, libc::uid_t::MAX, libc::gid_t::MAX)), rights)?;
    let number = file.as_raw_fd();
    // SAFETY: fchownat takes an open descriptor, an empty path for that itself, and integers; fchmod and fsync the same without.
    unsafe {
        check(libc::fchownat(number, c"".as_ptr(), user, group, libc::AT_EMPTY_PATH))?;
        // The calls themselves: around the first the C library has a detour for descriptors of another kind.
        check(libc::syscall(libc::SYS_fchmod, number, mode) as libc::c_int)?;
        write_all(file, content)?;
        check(libc::syscall(libc::SYS_fsync, number) as libc::c_int).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::Dir;
    use std::fs;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    fn replace(path: &Path, content: &[u8], like: Option<&File>) -> Result<(), Errno> {
        New::beside(path.as_os_str().as_bytes())?.replace(content, like.map(AsFd::as_fd))
    }

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
        assert_eq!(error, Errno::EXIST);
        assert_eq!(fs::read(dir.path().join("users.new")).unwrap(), b"of another");
        assert!(replace(&dir.path().join("nowhere/users"), b"one", None).is_err());
        // A directory can not be replaced: what was written goes again.
        fs::create_dir_all(dir.path().join("full/of")).unwrap();
        assert!(replace(&dir.path().join("full"), b"one", None).is_err());
        assert!(!dir.path().join("full.new").exists());
        drop(New::beside(dir.path().join("never").as_os_str().as_bytes()).unwrap());
        assert!(!dir.path().join("never.new").exists());
    }
}
