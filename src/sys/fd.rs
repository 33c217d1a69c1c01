//! What every descriptor-making call here needs: the return value as an owned fd or as the error it stands for.

use std::error::Error;
use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// The result of a system call that answers -1 and errno on failure.
#[inline(never)]
pub(super) fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The same for the `syscall(2)` function, whose result is a long.
pub(super) fn check_long(result: libc::c_long) -> io::Result<libc::c_long> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// An error that is not the kernel's. `io::Error::other` of a text brings 5 KB along, for the text to be escaped in `{:?}`.
pub(super) fn refused(what: &'static str) -> io::Error {
    io::Error::other(Refused(what))
}

struct Refused(&'static str);

impl fmt::Debug for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Refused {}

/// Takes ownership of the fd that a system call has just made, or gives its error.
///
/// # Safety
/// `result` is the untouched return value of a call that makes a new fd, owned by nobody else.
#[inline(never)]
pub(super) unsafe fn own(result: libc::c_int) -> io::Result<OwnedFd> {
    let raw = check(result)?;
    // SAFETY: the caller promises a new fd that is nobody's; -1 was turned into an error above.
    Ok(unsafe { OwnedFd::from_raw_fd(raw) })
}

/// Reads the 8-byte counter of an eventfd, which also clears it; 0 when there is nothing to read.
pub(super) fn read_counter(fd: BorrowedFd<'_>) -> u64 {
    let mut bytes = [0u8; 8];
    loop {
        // SAFETY: the fd is open while borrowed, and the buffer is 8 writable bytes.
        let got = unsafe { libc::read(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len()) };
        if got == 8 {
            return u64::from_ne_bytes(bytes);
        }
        if got != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return 0;
        }
    }
}
