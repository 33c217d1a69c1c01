//! The kernel's error numbers as a value.

use std::ffi::CStr;
use std::fmt;
use std::io;

/// An error number of the kernel (errno(3)). Copying and comparing it costs nothing and never allocates.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

impl Errno {
    /// It has begun and goes on by itself.
    pub const INPROGRESS: Errno = Errno(libc::EINPROGRESS);
    /// No data or no room now: try again when epoll says so.
    pub const AGAIN: Errno = Errno(libc::EAGAIN);
    /// A signal interrupted the call: call again.
    pub const INTR: Errno = Errno(libc::EINTR);
    /// No such file or directory.
    pub const NOENT: Errno = Errno(libc::ENOENT);
    /// The name is taken.
    pub const EXIST: Errno = Errno(libc::EEXIST);
    /// A path component is not a directory.
    pub const NOTDIR: Errno = Errno(libc::ENOTDIR);
    /// A path names a directory where none is allowed.
    pub const ISDIR: Errno = Errno(libc::EISDIR);
    /// A path is too long for the kernel.
    pub const NAMETOOLONG: Errno = Errno(libc::ENAMETOOLONG);
    /// A symbolic link where none is allowed.
    pub const LOOP: Errno = Errno(libc::ELOOP);
    /// The path leaves the directory it must stay beneath.
    pub const XDEV: Errno = Errno(libc::EXDEV);
    /// Permission denied.
    pub const ACCES: Errno = Errno(libc::EACCES);
    /// The kernel has no such call.
    pub const NOSYS: Errno = Errno(libc::ENOSYS);
    /// A fifo that nobody reads, or a device that is not there.
    pub const NXIO: Errno = Errno(libc::ENXIO);
    /// The file system can only be read.
    pub const ROFS: Errno = Errno(libc::EROFS);
    /// An argument is invalid.
    pub const INVAL: Errno = Errno(libc::EINVAL);
    /// This process has no free descriptor.
    pub const MFILE: Errno = Errno(libc::EMFILE);
    /// The whole system has no free descriptor.
    pub const NFILE: Errno = Errno(libc::ENFILE);
    /// The peer went away before the connection was accepted.
    pub const CONNABORTED: Errno = Errno(libc::ECONNABORTED);
    /// The kernel has no memory for it now.
    pub const NOMEM: Errno = Errno(libc::ENOMEM);
    /// No room is left on a device, or in a table.
    pub const NOSPC: Errno = Errno(libc::ENOSPC);
    /// Input or output failed; a terminal says so to a process in the background.
    pub const IO: Errno = Errno(libc::EIO);
    /// The kernel has no buffer for it now.
    pub const NOBUFS: Errno = Errno(libc::ENOBUFS);
    /// Nobody reads any more.
    pub const PIPE: Errno = Errno(libc::EPIPE);
    /// Nobody listens there.
    pub const CONNREFUSED: Errno = Errno(libc::ECONNREFUSED);
    /// It took too long.
    pub const TIMEDOUT: Errno = Errno(libc::ETIMEDOUT);
    /// A message is too long.
    pub const MSGSIZE: Errno = Errno(libc::EMSGSIZE);
    /// A list of arguments is too long.
    pub const TOOBIG: Errno = Errno(libc::E2BIG);
    /// The address is already in use.
    pub const ADDRINUSE: Errno = Errno(libc::EADDRINUSE);

    /// The error of the call that failed last on this thread.
    pub(super) fn last() -> Errno {
        Errno(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO))
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "errno {}", self.0)
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As io::Error has it, but that takes memory for the text.
        let mut text = [0u8; 128];
        // SAFETY: the buffer is writable for its length, and stays NUL-terminated: its last byte is not offered.
        unsafe { libc::strerror_r(self.0, text.as_mut_ptr().cast(), text.len() - 1) };
        let text = CStr::from_bytes_until_nul(&text).ok().and_then(|text| text.to_str().ok());
        write!(f, "{} (os error {})", text.unwrap_or_default(), self.0)
    }
}

impl From<Errno> for io::Error {
    fn from(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.0)
    }
}

/// A count returned by a call, or the error it left behind when negative.
#[inline(always)]
pub(super) fn count(ret: isize) -> Result<usize, Errno> {
    usize::try_from(ret).map_err(|_| Errno::last())
}

/// A non-negative int returned by a call, or the error it left behind when negative.
#[inline(always)]
pub(super) fn check(ret: libc::c_int) -> Result<libc::c_int, Errno> {
    if ret < 0 { Err(Errno::last()) } else { Ok(ret) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_the_system() {
        for number in [0, libc::ENOENT, libc::EACCES, libc::EADDRINUSE, 5000, -1] {
            assert_eq!(Errno(number).to_string(), io::Error::from_raw_os_error(number).to_string());
        }
    }
}
