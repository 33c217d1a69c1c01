//! The networking category: how bytes get to and from a client.

use std::os::fd::BorrowedFd;

use crate::sys::Errno;

/// Moves the bytes of a connection. The server calls it on non-blocking sockets only; `Errno::AGAIN` means that epoll will
/// tell when to try again.
pub trait Transport: Copy + Send + 'static {
    /// The name by which the configuration calls it.
    const NAME: &'static str;

    /// Whether a count short of what was asked for means that nothing more is there to read, or that there is no room to write
    /// more, until epoll says so. If not, the server asks on until it is told `Errno::AGAIN`.
    const EXHAUSTS: bool;

    /// Reads what has arrived; 0 = the client ended its side.
    fn read(self, socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno>;

    /// Writes what there is room for; `more` says that more follows at once.
    fn write(self, socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> Result<usize, Errno>;

    /// Writes up to `len` bytes of a file from `offset` on; 0 = the file ends before that.
    fn write_file(self, socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno>;

    /// Sends at once what is held back for more to come: called when no more can come until the client has taken some.
    fn push(self, socket: BorrowedFd<'_>);

    /// Bytes written that the client has not acknowledged yet.
    fn unacknowledged(self, socket: BorrowedFd<'_>) -> usize;

    /// Ends our side of the connection.
    fn finish(self, socket: BorrowedFd<'_>) -> Result<(), Errno>;
}
