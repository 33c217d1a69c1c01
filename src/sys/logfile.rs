//! Log files: opened and renamed by the descriptor of their directory, so that it works in a chroot too, written at their end under a
//! lock, for during a hand-over two servers write the same file.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::errno::{Errno, check};
use super::file::rights;
use super::process::is_root;

/// What a new log file may be used for, before the umask takes its share: its owner writes, its group reads.
const MODE: libc::mode_t = 0o640;

/// Opens a file of a directory to write, and makes it where there is none (openat(2)). Without O_APPEND, for splice(2) refuses such a
/// file; a symbolic link is refused (`Errno::LOOP`), for whoever may write the directory could lead root astray by it. Never
/// waits, not even for a reader of a fifo (`Errno::NXIO`).
///
/// One that root makes belongs to whom its directory belongs to: the server that rights were given up for writes it after its next start
/// too, however it is started, and logrotate(8) can be told to rotate as that user.
pub fn open_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    match open_with(directory, name, libc::O_EXCL) {
        Err(Errno::EXIST) => open_with(directory, name, 0),
        Ok(file) => {
            if is_root() {
                give(directory, file.as_fd());
            }
            Ok(file)
        }
        failed => failed,
    }
}

fn open_with(directory: BorrowedFd<'_>, name: &CStr, exclusive: libc::c_int) -> Result<OwnedFd, Errno> {
    let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;
    let (directory, flags, mode) = (directory.as_raw_fd(), flags | exclusive, libc::c_uint::from(MODE));
    // SAFETY: `name` is a NUL-terminated string; the mode is passed as the int that a variadic call takes.
    let fd = check(unsafe { libc::openat(directory, name.as_ptr(), flags, mode) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Gives a new file to whom its directory belongs to. Root that may not (a service manager has taken CAP_CHOWN away) keeps it.
fn give(directory: BorrowedFd<'_>, file: BorrowedFd<'_>) {
    if let Ok((_, user, group)) = rights(directory) {
        // SAFETY: no pointer is passed.
        unsafe { libc::fchown(file.as_raw_fd(), user, group) };
    }
}

/// Goes to the end of a file and returns how many bytes that is. Fails with ESPIPE where there is no such place.
pub fn seek_end(file: BorrowedFd<'_>) -> Result<u64, Errno> {
    // SAFETY: no pointer is passed.
    let end = unsafe { libc::lseek64(file.as_raw_fd(), 0, libc::SEEK_END) };
    u64::try_from(end).map_err(|_| Errno::last())
}

/// Locks a file against others who do (flock(2)), without waiting: `Errno::AGAIN` while another has it.
pub fn lock(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) })?;
    Ok(())
}

/// Takes the lock back.
pub fn unlock(file: BorrowedFd<'_>) {
    // SAFETY: no pointer is passed.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_UN) };
}

/// Gives a file of a directory another name there; what had it before is gone (renameat(2)).
pub fn rename_at(directory: BorrowedFd<'_>, from: &CStr, to: &CStr) -> Result<(), Errno> {
    let directory = directory.as_raw_fd();
    // SAFETY: both names are NUL-terminated strings.
    check(unsafe { libc::renameat(directory, from.as_ptr(), directory, to.as_ptr()) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file::{meta, meta_at, open_directory};
    use crate::sys::testing::{self, Dir};
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_is_opened_locked_renamed_and_told_apart() {
        let dir = Dir::new();
        let directory = open_directory(&CString::new(dir.path().as_os_str().as_bytes()).unwrap()).unwrap();
        let directory = directory.as_fd();
        assert_eq!(meta_at(directory, c"log"), Err(Errno::NOENT));
        let file = open_at(directory, c"log").unwrap();
        assert_eq!(std::fs::metadata(dir.join("log")).unwrap().permissions().mode() & 0o137, 0);
        assert_eq!(meta_at(directory, c"log"), meta(file.as_fd()));
        std::fs::write(dir.join("log"), "12345").unwrap();
        assert_eq!(seek_end(file.as_fd()), Ok(5));
        let other = open_at(directory, c"log").unwrap();
        lock(file.as_fd()).unwrap();
        assert_eq!(lock(other.as_fd()), Err(Errno::AGAIN));
        unlock(file.as_fd());
        lock(other.as_fd()).unwrap();
        rename_at(directory, c"log", c"log.1").unwrap();
        assert_eq!(meta_at(directory, c"log"), Err(Errno::NOENT));
        assert_eq!(meta_at(directory, c"log.1").unwrap().inode, meta(file.as_fd()).unwrap().inode);
        std::os::unix::fs::symlink("log.1", dir.join("link")).unwrap();
        assert_eq!(open_at(directory, c"link").unwrap_err(), Errno::LOOP);
    }

    #[test]
    fn what_root_makes_belongs_to_whom_the_directory_does() {
        if !testing::root_or_skip("the owner of a log") {
            return;
        }
        let dir = Dir::new();
        std::fs::write(dir.join("old"), "").unwrap();
        std::os::unix::fs::chown(dir.path(), Some(4321), Some(4322)).unwrap();
        let directory = open_directory(&CString::new(dir.path().as_os_str().as_bytes()).unwrap()).unwrap();
        let owner = |name| rights(open_at(directory.as_fd(), name).unwrap().as_fd()).unwrap();
        for _ in 0..2 {
            assert_eq!(owner(c"new"), (0o640, 4321, 4322));
            // What was there may be anything that its directory's owner has put there.
            let (_, user, group) = owner(c"old");
            assert_eq!((user, group), (0, 0));
        }
    }
}
