//! liana: plain sockets, the default transport.

use std::os::fd::BorrowedFd;

use crate::plugin::transport::Transport;
use crate::sys::{Errno, file, socket};

/// Plain sockets.
#[derive(Clone, Copy, Default)]
pub struct Liana;

impl Transport for Liana {
    const NAME: &'static str = "liana";
    const EXHAUSTS: bool = true;

    fn read(self, socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
        socket::receive(socket, buffer)
    }

    fn write(self, socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> Result<usize, Errno> {
        socket::send(socket, bytes, more)
    }

    fn write_file(self, socket: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
        file::send_file(socket, file, offset, len)
    }

    fn push(self, socket: BorrowedFd<'_>) {
        socket::push(socket);
    }

    fn unacknowledged(self, socket: BorrowedFd<'_>) -> usize {
        socket::unacknowledged(socket)
    }

    fn finish(self, socket: BorrowedFd<'_>) -> Result<(), Errno> {
        socket::shutdown_write(socket)
    }
}
