//! Files beneath a directory: opened without ever leaving it, looked at with 64-bit times, sent without a copy.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use super::errno::{Errno, check, count};
use super::fd::own;
use super::walk::{self, DIRECTORY_FLAGS, OPEN_FLAGS};

/// What the server needs to know of an open file (statx(2)); every field is 64 bits wide on every target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meta {
    /// What it is.
    pub kind: Kind,
    /// Whether every user may write to it.
    pub writable_by_all: bool,
    /// Size in bytes.
    pub size: u64,
    /// Seconds of the modification time since 1970.
    pub mtime: i64,
    /// Nanoseconds of the modification time.
    pub mtime_ns: u32,
    /// Inode number.
    pub inode: u64,
    /// How many names it has; 0 = it was removed, and is there for as long as it is open.
    pub links: u32,
    /// Device number of the file system.
    pub device: u64,
    /// Seconds of the status change time since 1970.
    pub ctime: i64,
    /// Nanoseconds of the status change time.
    pub ctime_ns: u32,
}

/// The kinds of file a server tells apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file: the only one that is served.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link that was not followed: never said of an open file.
    Link,
    /// A socket, fifo, device or anything else.
    Other,
}

/// struct open_how of openat2(2).
#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

const AT_EMPTY_PATH: libc::c_int = 0x1000;
const SYS_OPENAT2: libc::c_long = 437;
const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_NO_SYMLINKS: u64 = 0x04;
const RESOLVE_BENEATH: u64 = 0x08;

/// Set once the kernel said that it has no openat2(2) (before Linux 5.6), or by a test.
static WALK: AtomicBool = AtomicBool::new(false);

/// Makes [`open_beneath`] use the component walk even where the kernel has openat2(2). For tests.
pub fn force_walk() {
    WALK.store(true, Ordering::Relaxed);
}

/// Whether paths are opened one component at a time, for want of openat2(2).
pub fn walks() -> bool {
    WALK.load(Ordering::Relaxed)
}

/// Opens a file for reading, for start-up. `File::open` does the same with 4 KB more: its errors can hold any text.
pub fn open(path: &Path) -> io::Result<File> {
    open_with(path, libc::O_RDONLY)
}

/// open(2) with these flags and O_CLOEXEC; a file that is made has mode 0644 less the umask.
pub(super) fn open_with(path: &Path, flags: libc::c_int) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    loop {
        let mode: libc::mode_t = 0o644;
        // SAFETY: `path` is a NUL-terminated string; the kernel gives a new descriptor that nobody owns.
        match unsafe { own(libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode)) } {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            opened => return opened.map(File::from),
        }
    }
}

/// Opens a file for reading, with nothing of its path held back: relative to `dir`, or from the root when there is none. Neither a
/// FIFO nor a terminal makes it wait or does anything else.
pub fn open_at(dir: Option<BorrowedFd<'_>>, path: &CStr) -> Result<OwnedFd, Errno> {
    let dir = dir.map_or(libc::AT_FDCWD, |dir| dir.as_raw_fd());
    let flags = libc::O_RDONLY | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    // SAFETY: `path` is a NUL-terminated string.
    let fd = check(unsafe { libc::openat(dir, path.as_ptr(), flags) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Reads a file from its start until it ends or `buffer` is full.
pub fn read_whole(file: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..)
        && !rest.is_empty()
    {
        match read_at(file, rest, filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(filled)
}

/// Opens a directory by its path, only as a place to start from (O_PATH): no right to list it is needed.
pub fn open_directory(path: &CStr) -> Result<OwnedFd, Errno> {
    // SAFETY: `path` is a NUL-terminated string.
    let fd = check(unsafe { libc::open(path.as_ptr(), DIRECTORY_FLAGS) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens `path`, relative, for reading, strictly beneath `root`: neither `..`, nor an absolute link, nor a link that
/// climbs, leads out of it (`Errno::XDEV`). Without `symlinks`, a link anywhere in the path is `Errno::LOOP`.
/// One system call where the kernel has openat2(2), else one a component.
pub fn open_beneath(root: BorrowedFd<'_>, path: &CStr, symlinks: bool) -> Result<OwnedFd, Errno> {
    open_from(root, path, symlinks, OPEN_FLAGS)
}

/// As [`open_beneath`], for a directory that is only a place to start from: no right to list it is needed.
pub fn open_directory_beneath(root: BorrowedFd<'_>, path: &CStr, symlinks: bool) -> Result<OwnedFd, Errno> {
    open_from(root, path, symlinks, DIRECTORY_FLAGS)
}

fn open_from(root: BorrowedFd<'_>, path: &CStr, symlinks: bool, flags: libc::c_int) -> Result<OwnedFd, Errno> {
    if !WALK.load(Ordering::Relaxed) {
        let how = OpenHow {
            flags: flags as u64,
            mode: 0,
            resolve: RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | if symlinks { 0 } else { RESOLVE_NO_SYMLINKS },
        };
        // SAFETY: `path` is a NUL-terminated string and `how` an open_how of the size passed.
        let ret = unsafe {
            libc::syscall(SYS_OPENAT2, root.as_raw_fd(), path.as_ptr(), &how, std::mem::size_of::<OpenHow>())
        };
        match check(ret as libc::c_int) {
            // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
            Ok(fd) => return Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
            Err(Errno::NOSYS) => force_walk(),
            // A rename raced with the look-up: the kernel asks to try again; the walk has no such race.
            Err(Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
    walk::open_beneath(root, path, symlinks, flags)
}

#[repr(C)]
#[derive(Clone, Copy)]
struct StatxTime {
    seconds: i64,
    nanoseconds: u32,
    reserved: i32,
}

/// struct statx of statx(2), which libc does not describe for every musl target.
#[repr(C)]
struct Statx {
    mask: u32,
    block_size: u32,
    attributes: u64,
    links: u32,
    uid: u32,
    gid: u32,
    mode: u16,
    spare: u16,
    inode: u64,
    size: u64,
    blocks: u64,
    attributes_mask: u64,
    access: StatxTime,
    birth: StatxTime,
    change: StatxTime,
    modification: StatxTime,
    device_id: [u32; 2],
    device: [u32; 2],
    rest: [u64; 14],
}

/// Looks at an open file. Needs Linux 4.11.
pub fn meta(file: BorrowedFd<'_>) -> Result<Meta, Errno> {
    look(file, c"", AT_EMPTY_PATH)
}

/// Looks at what has a name in a directory, itself even if it is a symbolic link.
pub fn meta_at(directory: BorrowedFd<'_>, name: &CStr) -> Result<Meta, Errno> {
    look(directory, name, libc::AT_SYMLINK_NOFOLLOW)
}

/// Looks at what a path beneath a directory leads to; `flags` are those of statx(2).
pub(super) fn look(from: BorrowedFd<'_>, path: &CStr, flags: libc::c_int) -> Result<Meta, Errno> {
    // SAFETY: all-zero bytes are a valid Statx.
    let mut raw: Statx = unsafe { std::mem::zeroed() };
    statx(from, path, flags, &mut raw)?;
    Ok(Meta {
        kind: match u32::from(raw.mode) & 0o170_000 {
            0o100_000 => Kind::Regular,
            0o040_000 => Kind::Directory,
            0o120_000 => Kind::Link,
            _ => Kind::Other,
        },
        writable_by_all: raw.mode & 0o002 != 0,
        size: raw.size,
        mtime: raw.modification.seconds,
        mtime_ns: raw.modification.nanoseconds,
        inode: raw.inode,
        links: raw.links,
        device: (u64::from(raw.device[0]) << 32) | u64::from(raw.device[1]),
        ctime: raw.change.seconds,
        ctime_ns: raw.change.nanoseconds,
    })
}

/// Mode, user and group of an open file, as fchmod(2) and fchown(2) take them.
pub(super) fn rights(file: BorrowedFd<'_>) -> Result<(libc::mode_t, libc::uid_t, libc::gid_t), Errno> {
    // SAFETY: all-zero bytes are a valid Statx.
    let mut raw: Statx = unsafe { std::mem::zeroed() };
    statx(file, c"", AT_EMPTY_PATH, &mut raw)?;
    Ok(((raw.mode & 0o7777).into(), raw.uid, raw.gid))
}

/// statx(2) with the basic fields.
fn statx(from: BorrowedFd<'_>, path: &CStr, flags: libc::c_int, raw: &mut Statx) -> Result<(), Errno> {
    const STATX_BASIC_STATS: libc::c_uint = 0x7ff;
    const { assert!(std::mem::size_of::<Statx>() == 256) };
    // SAFETY: a NUL-terminated path, and room for the 256 bytes the kernel writes (asserted above).
    let ret = unsafe { libc::syscall(libc::SYS_statx, from.as_raw_fd(), path.as_ptr(), flags, STATX_BASIC_STATS, raw) };
    check(ret as libc::c_int)?;
    Ok(())
}

/// Reads at an offset, at most the buffer's length. 0 = the offset is at or past the end.
pub fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
    let offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    // SAFETY: the pointer and length are those of one live, writable slice. musl's off_t has 64 bits everywhere.
    count(unsafe { libc::pread64(file.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), offset) })
}

/// Sends up to `len` bytes of a file from `offset` on to a socket (sendfile(2)). 0 = the file ends before that.
pub fn send_file(socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
    let mut offset = i64::try_from(offset).map_err(|_| Errno::INVAL)?;
    // SAFETY: `offset` is a 64-bit number that lives through the call; both descriptors are open.
    count(unsafe { libc::sendfile64(socket.as_raw_fd(), file.as_raw_fd(), &mut offset, len) })
}

/// Reads a whole small file by path into `buffer`, without allocating. The bytes that did not fit are left out.
pub fn read_small(path: &CStr, buffer: &mut [u8]) -> Result<usize, Errno> {
    read_whole(open_at(None, path)?.as_fd(), buffer)
}
