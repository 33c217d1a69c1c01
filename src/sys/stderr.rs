//! Messages to stderr that cannot hold the server up: a reader that stopped reading costs messages, not requests.

use std::io;

/// Waits up to `milliseconds` for stderr to take a message of up to PIPE_BUF bytes whole. True at once for files and
/// terminals; false only for a pipe or socket whose reader is not keeping up. stderr is shared with other processes, so
/// making it non-blocking itself would change it for them too.
pub fn wait_writable(milliseconds: u32) -> bool {
    let mut poll = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    let limit = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
    // SAFETY: one initialised pollfd that outlives the call.
    let ready = unsafe { libc::poll(&mut poll, 1, limit) };
    // An error of poll (a signal) says nothing about the reader; the write then decides.
    ready != 0
}

/// Writes `line` with one write(2), so that lines of several threads and processes do not mix. True if all of it was taken.
pub fn write(line: &[u8]) -> bool {
    loop {
        // SAFETY: the slice is readable, and a closed stderr is only an error.
        let wrote = unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
        if wrote != -1 || io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            return usize::try_from(wrote) == Ok(line.len());
        }
    }
}
