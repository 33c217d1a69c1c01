//! A transport without sockets: what the client sends and gets are lists of bytes in this thread's memory, and every call can be
//! made to fail.

use std::cell::RefCell;
use std::os::fd::BorrowedFd;

use crate::plugin::transport::Transport;
use crate::sys::{Errno, file};

/// The other end of the one connection of this thread.
#[derive(Debug, Default)]
pub struct Wire {
    /// What the client has sent and the server has not read.
    pub sent: Vec<u8>,
    /// How much of it was read.
    pub read: usize,
    /// The client ended its side: after the last byte the server reads the end.
    pub ended: bool,
    /// What the server has written.
    pub got: Vec<u8>,
    /// How many more bytes the client takes before the server must wait.
    pub room: usize,
    /// The server ended its side.
    pub finished: bool,
    /// Most bytes moved by one call; 0 = all.
    pub portion: usize,
    /// Calls made so far.
    pub calls: u32,
    /// The call that fails, counted from 0, and its error.
    pub fault: Option<(u32, Errno)>,
    /// From the fault on every call fails: the connection is broken.
    pub broken: bool,
    /// The last call that would have blocked was one that reads.
    pub starved: bool,
    /// The last call that would have blocked was one that writes.
    pub blocked: bool,
}

thread_local! {
    static WIRE: RefCell<Wire> = RefCell::new(Wire::default());
}

/// Looks at this thread's connection, or changes it.
pub fn with<R>(f: impl FnOnce(&mut Wire) -> R) -> R {
    WIRE.with(|wire| f(&mut wire.borrow_mut()))
}

impl Wire {
    /// Begins a call: Err = it is made to fail.
    fn call(&mut self) -> Result<(), Errno> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some((at, errno)) if call == at || (self.broken && call > at) => Err(errno),
            _ => Ok(()),
        }
    }

    fn portion(&self, len: usize) -> usize {
        if self.portion == 0 { len } else { len.min(self.portion) }
    }

    /// A file in single bytes takes too many system calls: it goes in larger steps.
    fn file_portion(&self, len: usize) -> usize {
        if self.portion == 0 { len } else { len.min(self.portion.max(1499)) }
    }
}

/// The transport of the loopback.
#[derive(Clone, Copy, Default)]
pub struct Loopback;

impl Transport for Loopback {
    const NAME: &'static str = "loopback";
    const EXHAUSTS: bool = false;

    fn read(self, _: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
        with(|wire| {
            wire.call()?;
            let rest = wire.sent.get(wire.read..).unwrap_or_default();
            let len = wire.portion(rest.len().min(buffer.len()));
            if len == 0 && !buffer.is_empty() {
                wire.starved = true;
                return if wire.ended { Ok(0) } else { Err(Errno::AGAIN) };
            }
            for (to, from) in buffer.iter_mut().zip(rest.iter().take(len)) {
                *to = *from;
            }
            wire.read += len;
            Ok(len)
        })
    }

    fn write(self, _: BorrowedFd<'_>, bytes: &[u8], _: bool) -> Result<usize, Errno> {
        with(|wire| {
            wire.call()?;
            let len = wire.portion(bytes.len().min(wire.room));
            if len == 0 && !bytes.is_empty() {
                wire.blocked = true;
                return Err(Errno::AGAIN);
            }
            wire.room -= len;
            wire.got.extend_from_slice(bytes.get(..len).unwrap_or_default());
            Ok(len)
        })
    }

    fn write_file(self, _: BorrowedFd<'_>, from: BorrowedFd<'_>, offset: u64, len: usize) -> Result<usize, Errno> {
        with(|wire| {
            wire.call()?;
            let len = wire.file_portion(len.min(wire.room));
            if len == 0 {
                wire.blocked = true;
                return Err(Errno::AGAIN);
            }
            let start = wire.got.len();
            wire.got.resize(start + len, 0);
            let got = file::read_at(from, wire.got.get_mut(start..).unwrap_or_default(), offset);
            let count = *got.as_ref().unwrap_or(&0);
            wire.got.truncate(start + count);
            wire.room -= count;
            got
        })
    }

    fn push(self, _: BorrowedFd<'_>) {}

    fn unacknowledged(self, _: BorrowedFd<'_>) -> usize {
        0
    }

    fn finish(self, _: BorrowedFd<'_>) -> Result<(), Errno> {
        with(|wire| {
            wire.call()?;
            wire.finished = true;
            Ok(())
        })
    }
}
