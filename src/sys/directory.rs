//! Reading directories, a buffer of names at a time, without ever taking memory for them.

use std::ffi::{CStr, OsString};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::errno::{Errno, check, count};
use super::file::{Kind, Meta, look};

/// Opens a directory for reading that is only open as a place to start from (O_PATH). Fails with EACCES without the right to list
/// it, with ENOENT when it was removed.
pub fn open_to_read(directory: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC | libc::O_LARGEFILE;
    // SAFETY: a NUL-terminated path beneath an open directory.
    let fd = check(unsafe { libc::openat(directory.as_raw_fd(), c".".as_ptr(), flags) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The working directory (getcwd(2)). The function of the libc brings an allocator of its own along. Fails with ENOENT when it was
/// removed, or is outside of the root directory.
pub fn current() -> Result<PathBuf, Errno> {
    let mut path = vec![0u8; libc::PATH_MAX as usize];
    // SAFETY: the pointer and length are those of one live, writable slice.
    let got = unsafe { libc::syscall(libc::SYS_getcwd, path.as_mut_ptr(), path.len() as libc::c_ulong) };
    // The NUL counts.
    path.truncate(count(got as isize)?.saturating_sub(1));
    if path.first() != Some(&b'/') {
        return Err(Errno::NOENT);
    }
    Ok(OsString::from_vec(path).into())
}

/// Reads the next entries (getdents64(2)) into a buffer, which [`Entries`] understands; it should have room for 4 KB. 0 = that were
/// all. A directory that was removed has no entries.
pub fn read_entries(directory: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the pointer and length are those of one live, writable slice.
    let got = unsafe {
        libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), buffer.as_mut_ptr(), buffer.len() as libc::c_ulong)
    };
    match count(got as isize) {
        Err(Errno::NOENT) => Ok(0),
        got => got,
    }
}

/// Goes on reading at a place: 0 is the start, others are [`Entry::next`] of this open directory.
pub fn seek(directory: BorrowedFd<'_>, position: i64) -> Result<(), Errno> {
    // SAFETY: lseek64 takes numbers only. A position of a directory has 64 bits on every target.
    let at = unsafe { libc::lseek64(directory.as_raw_fd(), position, libc::SEEK_SET) };
    if at < 0 { Err(Errno::last()) } else { Ok(()) }
}

/// Looks at an entry of a directory. A link is not followed.
pub fn meta_of_entry(directory: BorrowedFd<'_>, name: &CStr) -> Result<Meta, Errno> {
    const AT_NO_AUTOMOUNT: libc::c_int = 0x800;
    look(directory, name, libc::AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT)
}

/// An entry of a directory.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its name: any bytes but `/`.
    pub name: &'a CStr,
    /// What it is, where the file system says so; a link is a link.
    pub kind: Option<Kind>,
    /// The place behind it, for [`seek`].
    pub next: i64,
}

/// The entries in what [`read_entries`] has read, in the order of the directory, `.` and `..` among them.
pub struct Entries<'a>(pub &'a [u8]);

impl<'a> Iterator for Entries<'a> {
    type Item = Entry<'a>;

    #[inline(never)]
    fn next(&mut self) -> Option<Entry<'a>> {
        // struct linux_dirent64: inode (8 bytes), place of the next (8), length of this (2), kind (1), name with its NUL.
        let (_, rest) = self.0.split_first_chunk::<8>()?;
        let (next, rest) = rest.split_first_chunk()?;
        let (len, rest) = rest.split_first_chunk()?;
        let (kind, name) = rest.split_first()?;
        let kind = match *kind {
            libc::DT_REG => Some(Kind::Regular),
            libc::DT_DIR => Some(Kind::Directory),
            libc::DT_LNK => Some(Kind::Link),
            libc::DT_UNKNOWN => None,
            _ => Some(Kind::Other),
        };
        let name = CStr::from_bytes_until_nul(name).ok()?;
        self.0 = self.0.get(usize::from(u16::from_ne_bytes(*len)).max(1)..)?;
        Some(Entry { name, kind, next: i64::from_ne_bytes(*next) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file::open_directory;
    use std::ffi::CString;
    use std::fs;
    use std::os::fd::AsFd;
    use std::os::unix::ffi::OsStrExt;

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let path = std::env::temp_dir().join(format!("monkey-directory-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            fs::create_dir_all(&path).unwrap();
            Tree(path)
        }

        fn open(&self) -> OwnedFd {
            let place = open_directory(&CString::new(self.0.as_os_str().as_bytes()).unwrap()).unwrap();
            open_to_read(place.as_fd()).unwrap()
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn names_kinds_and_places_to_go_on_from() {
        let tree = Tree::new("kinds");
        for number in 0..100 {
            fs::write(tree.0.join(format!("file-{number:03}")), "12345").unwrap();
        }
        fs::create_dir(tree.0.join("sub")).unwrap();
        std::os::unix::fs::symlink("file-000", tree.0.join("link")).unwrap();
        let directory = tree.open();
        let mut buffer = [0; 1024];
        let mut names = Vec::new();
        let mut places = vec![0];
        loop {
            let len = read_entries(directory.as_fd(), &mut buffer).unwrap();
            if len == 0 {
                break;
            }
            for entry in Entries(&buffer[..len]) {
                names.push(entry.name.to_owned());
                places.push(entry.next);
                let meta = meta_of_entry(directory.as_fd(), entry.name).unwrap();
                assert!(entry.kind.is_none_or(|kind| kind == meta.kind), "{entry:?}");
                let wanted = match entry.name.to_bytes() {
                    b"." | b".." | b"sub" => Kind::Directory,
                    b"link" => Kind::Link,
                    _ => Kind::Regular,
                };
                assert_eq!(meta.kind, wanted, "{entry:?}");
                assert!(wanted != Kind::Regular || meta.size == 5);
            }
        }
        assert_eq!(names.len(), 104);
        for at in [0, 1, 50, 103] {
            seek(directory.as_fd(), places[at]).unwrap();
            let len = read_entries(directory.as_fd(), &mut buffer).unwrap();
            assert_eq!(Entries(&buffer[..len]).next().unwrap().name, &*names[at]);
        }
        let mut sorted = names.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), names.len(), "each comes once");
    }

    #[test]
    fn where_the_process_is() {
        assert_eq!(current().unwrap(), std::env::current_dir().unwrap());
    }

    #[test]
    fn what_is_gone_has_no_entries_and_half_an_entry_is_none() {
        let tree = Tree::new("gone");
        let directory = tree.open();
        fs::remove_dir(&tree.0).unwrap();
        let mut buffer = [0; 1024];
        assert_eq!(read_entries(directory.as_fd(), &mut buffer), Ok(0));
        assert_eq!(meta_of_entry(directory.as_fd(), c"x"), Err(Errno::NOENT));
        let tree = Tree::new("half");
        let len = read_entries(tree.open().as_fd(), &mut buffer).unwrap();
        for cut in 0..len {
            let all = Entries(&buffer[..cut]).count();
            assert!(all < 2, "{cut} of {len}");
        }
    }
}
