//! Opening a path beneath a directory one component at a time, for kernels without openat2(2).
//!
//! No component is ever opened through a link. A link that may be followed is read, its text replaces it in the path,
//! and the walk starts anew from the root; so a link swapped in between can only fail, never lead out.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::errno::{Errno, check, count};

/// Longest path after links are replaced, as the kernel's PATH_MAX.
const PATH_MAX: usize = 4096;
/// Most links followed in one path, as the kernel's own limit.
const LINKS_MAX: usize = 40;

/// O_NONBLOCK keeps a fifo in the document root from stopping a worker; O_NOCTTY a terminal from becoming ours.
pub(super) const OPEN_FLAGS: libc::c_int =
    libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_LARGEFILE;

/// For a directory that is only a place to go on from.
pub(super) const DIRECTORY_FLAGS: libc::c_int = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;

/// As [`super::file::open_beneath`], by a walk; `flags` are those of open(2) for what the path leads to. Not inlined: its
/// frame would be every caller's.
#[inline(never)]
pub(super) fn open_beneath(
    root: BorrowedFd<'_>,
    path: &CStr,
    symlinks: bool,
    flags: libc::c_int,
) -> Result<OwnedFd, Errno> {
    let mut text = [0u8; PATH_MAX];
    let mut len = normalise(path.to_bytes(), &mut text, 0)?;
    let mut target = [0u8; PATH_MAX];
    for _ in 0..=LINKS_MAX {
        match pass(root, text.get(..len).ok_or(Errno::NAMETOOLONG)?, symlinks, flags, &mut target)? {
            Pass::Opened(file) => return Ok(file),
            Pass::Link { start, end, target_len } => {
                let target = target.get(..target_len).ok_or(Errno::NAMETOOLONG)?;
                if target.first() == Some(&b'/') {
                    return Err(Errno::XDEV);
                }
                let mut joined = [0u8; PATH_MAX];
                let rest = text.get(end..len).ok_or(Errno::INVAL)?;
                // Directory of the link as it is, then the link's text and the rest with dots worked out against it.
                let dir = text.get(..start).ok_or(Errno::INVAL)?;
                joined.get_mut(..start).ok_or(Errno::NAMETOOLONG)?.copy_from_slice(dir);
                let middle = normalise(target, &mut joined, start)?;
                len = normalise(rest, &mut joined, middle)?;
                text = joined;
            }
        }
    }
    Err(Errno::LOOP)
}

/// Opens one component of a path without following a link.
fn open_component(at: BorrowedFd<'_>, name: &CStr, flags: libc::c_int) -> Result<OwnedFd, Errno> {
    let flags = flags | libc::O_NOFOLLOW;
    // SAFETY: `name` is a NUL-terminated string and `at` an open directory.
    let fd = check(unsafe { libc::openat(at.as_raw_fd(), name.as_ptr(), flags) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads where the link `name` points to. The answer is cut at the buffer's length.
fn read_link(at: BorrowedFd<'_>, name: &CStr, target: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: `name` is NUL-terminated; the pointer and length are those of one live, writable slice.
    count(unsafe { libc::readlinkat(at.as_raw_fd(), name.as_ptr(), target.as_mut_ptr().cast(), target.len()) })
}

enum Pass {
    Opened(OwnedFd),
    /// The component at `start..end` is a link, whose text is as long as this.
    Link {
        start: usize,
        end: usize,
        target_len: usize,
    },
}

/// Appends the components of `path` to `out[..len]`, a normal path that ends in `/` or is empty, working out dots.
fn normalise(path: &[u8], out: &mut [u8; PATH_MAX], mut len: usize) -> Result<usize, Errno> {
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => {
                if len == 0 {
                    return Err(Errno::XDEV);
                }
                let before = out.get(..len - 1).ok_or(Errno::INVAL)?;
                len = before.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
            }
            name => {
                let end = len + name.len();
                // One byte more for the slash, so that `out` always has room for a NUL in place of it.
                let room = out.get_mut(len..end + 1).ok_or(Errno::NAMETOOLONG)?;
                let (text, slash) = room.split_at_mut(name.len());
                text.copy_from_slice(name);
                slash.fill(b'/');
                len = end + 1;
            }
        }
    }
    Ok(len)
}

/// Walks a normal path (`a/b/c/`) until it is open or a link is met, whose text is put into `target`.
fn pass(
    root: BorrowedFd<'_>,
    path: &[u8],
    symlinks: bool,
    flags: libc::c_int,
    target: &mut [u8],
) -> Result<Pass, Errno> {
    let mut directory: Option<OwnedFd> = None;
    if path.is_empty() {
        return open_component(root, c".", flags).map(Pass::Opened);
    }
    let mut start = 0;
    loop {
        let rest = path.get(start..).ok_or(Errno::INVAL)?;
        let length = rest.iter().position(|&byte| byte == b'/').ok_or(Errno::INVAL)?;
        let end = start + length;
        let last = end + 1 >= path.len();
        let mut name = [0u8; 256];
        let room = name.get_mut(..length).filter(|_| length < 256).ok_or(Errno::NAMETOOLONG)?;
        room.copy_from_slice(rest.get(..length).ok_or(Errno::INVAL)?);
        let name = CStr::from_bytes_until_nul(&name).map_err(|_| Errno::INVAL)?;
        let at = directory.as_ref().map_or(root, |fd| fd.as_fd());
        match open_component(at, name, if last { flags } else { DIRECTORY_FLAGS }) {
            Ok(fd) if last => return Ok(Pass::Opened(fd)),
            Ok(fd) => directory = Some(fd),
            // A link met with O_NOFOLLOW is ELOOP; with O_DIRECTORY on top it is ENOTDIR.
            Err(errno @ (Errno::LOOP | Errno::NOTDIR)) => {
                let Ok(target_len) = read_link(at, name, target) else { return Err(errno) };
                if !symlinks {
                    return Err(Errno::LOOP);
                }
                return Ok(Pass::Link { start, end, target_len });
            }
            Err(errno) => return Err(errno),
        }
        start = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::file;
    use std::ffi::CString;
    use std::io::Read;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    struct Tree(PathBuf);

    impl Tree {
        fn new(name: &str) -> Tree {
            let path = std::env::temp_dir().join(format!("monkey-walk-{name}-{}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(path.join("root/a/b")).unwrap();
            std::fs::write(path.join("root/a/b/file"), "inside").unwrap();
            std::fs::write(path.join("secret"), "outside").unwrap();
            let root = path.join("root");
            symlink("b", root.join("a/dirlink")).unwrap();
            symlink("../a/b/file", root.join("a/updown")).unwrap();
            symlink("../../secret", root.join("a/climb")).unwrap();
            symlink(path.join("secret"), root.join("a/absolute")).unwrap();
            symlink("loop2", root.join("loop1")).unwrap();
            symlink("loop1", root.join("loop2")).unwrap();
            Tree(path)
        }
    }

    impl Drop for Tree {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn directory(path: &Path) -> OwnedFd {
        file::open_directory(&CString::new(path.to_str().unwrap()).unwrap()).unwrap()
    }

    type Open = fn(BorrowedFd<'_>, &CStr, bool) -> Result<OwnedFd, Errno>;

    fn walk(root: BorrowedFd<'_>, path: &CStr, symlinks: bool) -> Result<OwnedFd, Errno> {
        open_beneath(root, path, symlinks, OPEN_FLAGS)
    }

    #[test]
    fn a_directory_to_start_from_is_found_under_the_same_rules() {
        let tree = Tree::new("directories");
        let root = directory(&tree.0.join("root"));
        let ways: [(&str, Open); 2] = [
            ("walk", |root, path, symlinks| open_beneath(root, path, symlinks, DIRECTORY_FLAGS)),
            ("openat2", file::open_directory_beneath),
        ];
        for (way, open) in ways {
            for (path, symlinks, wanted) in [
                (c"a/b", false, None),
                (c"a/dirlink", true, None),
                (c"a/dirlink", false, Some(Errno::LOOP)),
                (c"a/climb", true, Some(Errno::XDEV)),
                (c"a/absolute", true, Some(Errno::XDEV)),
                (c"a/b/file", true, Some(Errno::NOTDIR)),
            ] {
                assert_eq!(open(root.as_fd(), path, symlinks).err(), wanted, "{way} {path:?} {symlinks}");
            }
        }
    }

    /// The walk and the kernel's own resolution must agree, link by link.
    #[test]
    fn walk_and_openat2_agree() {
        let tree = Tree::new("agree");
        let root = directory(&tree.0.join("root"));
        let ways: [(&str, Open); 2] = [("walk", walk), ("openat2", file::open_beneath)];
        for (way, open) in ways {
            let read = |path: &str, symlinks: bool| {
                let fd = open(root.as_fd(), &CString::new(path).unwrap(), symlinks)?;
                let mut text = String::new();
                std::fs::File::from(fd).read_to_string(&mut text).unwrap();
                Ok::<String, Errno>(text)
            };
            assert_eq!(read("a/b/file", false).as_deref(), Ok("inside"), "{way}");
            assert_eq!(read("a/dirlink/file", true).as_deref(), Ok("inside"), "{way}");
            assert_eq!(read("a/updown", true).as_deref(), Ok("inside"), "{way}");
            assert_eq!(read("a/dirlink/file", false), Err(Errno::LOOP), "{way}");
            assert_eq!(read("a/updown", false), Err(Errno::LOOP), "{way}");
            assert_eq!(read("a/climb", true), Err(Errno::XDEV), "{way}");
            assert_eq!(read("a/absolute", true), Err(Errno::XDEV), "{way}");
            assert_eq!(read("loop1", true), Err(Errno::LOOP), "{way}");
            assert_eq!(read("../secret", true), Err(Errno::XDEV), "{way}");
            assert_eq!(read("a/nothing", true), Err(Errno::NOENT), "{way}");
            assert_eq!(read("a/b/file/more", true), Err(Errno::NOTDIR), "{way}");
            assert!(open(root.as_fd(), c"a", false).is_ok(), "{way}: a directory opens");
            assert!(open(root.as_fd(), c".", false).is_ok(), "{way}: the root itself opens");
        }
    }

    #[test]
    fn overlong_names_and_paths_are_refused() {
        let tree = Tree::new("long");
        let root = directory(&tree.0.join("root"));
        let name = CString::new("x".repeat(300)).unwrap();
        assert_eq!(walk(root.as_fd(), &name, true).err(), Some(Errno::NAMETOOLONG));
        let path = CString::new("y/".repeat(3000)).unwrap();
        assert_eq!(walk(root.as_fd(), &path, true).err(), Some(Errno::NAMETOOLONG));
    }
}
