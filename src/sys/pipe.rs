//! Pipes (pipe(7)): what is written on one end comes out at the other. Writes of up to [`ATOMIC`] bytes stay whole, however many
//! threads write.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use super::errno::{Errno, count};
use super::fd::own;

/// Most bytes of one write that other writers can not come between (PIPE_BUF).
pub const ATOMIC: usize = libc::PIPE_BUF;

/// A pipe: its end to read from and its end to write to. Neither ever blocks, nor is passed to another program.
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [-1; 2];
    // SAFETY: the array has room for the two numbers that the kernel writes.
    super::fd::check(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) })?;
    // SAFETY: both are new and nobody else's.
    Ok(unsafe { (own(ends[0])?, own(ends[1])?) })
}

/// Asks for more room in a pipe (fcntl(2), F_SETPIPE_SZ). Where the system grants none it stays as it was.
pub fn enlarge(end: BorrowedFd<'_>, bytes: usize) {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    // SAFETY: fcntl takes integers here.
    unsafe { libc::fcntl(end.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) };
}

/// Writes what there is room for; what is not more than [`ATOMIC`] bytes is written as a whole or not at all (`Errno::AGAIN`).
pub fn write(end: BorrowedFd<'_>, bytes: &[u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is readable for its length.
    count(unsafe { libc::write(end.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) })
}

/// As [`write()`] for two pieces, one behind the other (writev(2)).
pub fn write_both(end: BorrowedFd<'_>, first: &[u8], second: &[u8]) -> Result<usize, Errno> {
    let piece = |bytes: &[u8]| libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let pieces = [piece(first), piece(second)];
    // SAFETY: both pieces are readable for their lengths, and the kernel only reads them.
    count(unsafe { libc::writev(end.as_raw_fd(), pieces.as_ptr(), 2) })
}

/// Writes all of it, waiting for room where the descriptor does. Not for pipes that never block.
#[inline(never)]
pub fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(to, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Reads what is there; 0 = nobody can write any more.
pub fn read(end: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the buffer is writable for its length.
    count(unsafe { libc::read(end.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) })
}

/// How many bytes wait to be read (ioctl_pipe: FIONREAD).
pub fn waiting(end: BorrowedFd<'_>) -> usize {
    let mut waiting: libc::c_int = 0;
    // SAFETY: FIONREAD writes one int.
    let told = unsafe { libc::ioctl(end.as_raw_fd(), libc::FIONREAD as _, &mut waiting) };
    if told == 0 { usize::try_from(waiting).unwrap_or(0) } else { 0 }
}

/// Moves up to `len` bytes from a pipe to where a file is written, without a copy (splice(2)). Fails with EINVAL for a file that is
/// opened to append.
pub fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, len: usize) -> Result<usize, Errno> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: null offsets mean the current ones.
    count(unsafe {
        libc::splice(from.as_raw_fd(), std::ptr::null_mut(), to.as_raw_fd(), std::ptr::null_mut(), len, flags)
    })
}
