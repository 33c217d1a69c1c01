//! The way to a backend: a socket, or two pipes. None of it ever blocks.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::plugin::events::{Watch, WatchId, Watches};
use crate::sys::Errno;

/// In the key of a watch, what stands above the number of the exchange: whose descriptor it is.
pub mod role {
    /// Of the channel: what the answer is read from.
    pub const READER: u32 = 0;
    /// Of the channel: what the request's body is written to, where that is another one.
    pub const WRITER: u32 = 1;
    /// From here on of the protocol itself.
    pub const OWN: u32 = 2;

    /// The key for a role and a number.
    pub const fn key(role: u32, number: u16) -> u32 {
        (role << 16) | number as u32
    }
}

/// A descriptor that is watched.
#[derive(Debug)]
pub struct Watched {
    fd: OwnedFd,
    watch: WatchId,
}

impl Watched {
    /// Has it watched for arrivals, or for room to write. Fails with ENOSPC when no place is free.
    pub fn new(fd: OwnedFd, watch: Watch, key: u32, watches: &mut Watches) -> Result<Watched, Errno> {
        let watch = watches.add(fd.as_fd(), watch, key, 0)?;
        Ok(Watched { fd, watch })
    }

    /// The watch, to set its key or its limit.
    pub fn watch(&self) -> &WatchId {
        &self.watch
    }

    /// Ends the watch and closes the descriptor.
    pub fn close(self, watches: &mut Watches) {
        watches.remove(self.watch, self.fd.as_fd());
    }
}

impl AsFd for Watched {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The way to a backend while a request has it.
#[derive(Debug)]
pub struct Channel {
    reader: Watched,
    /// None = the reader is a socket, or there is nothing to write.
    writer: Option<Watched>,
    pipes: bool,
    /// Room to write is told of.
    wide: bool,
    /// Whether it has carried a request before, so that the backend may have closed it meanwhile.
    pub reused: bool,
}

impl Channel {
    /// A socket that was just connected, or is about to be.
    pub fn socket(socket: OwnedFd, number: u16, watches: &mut Watches) -> Result<Channel, Errno> {
        let reader = Watched::new(socket, Watch::Arrivals, role::key(role::READER, number), watches)?;
        Ok(Channel { reader, writer: None, pipes: false, wide: false, reused: false })
    }

    /// A socket that was kept.
    pub fn kept(reader: Watched, number: u16, watches: &mut Watches) -> Channel {
        watches.set_key(reader.watch(), role::key(role::READER, number));
        watches.set_timeout(reader.watch(), 0);
        Channel { reader, writer: None, pipes: false, wide: false, reused: true }
    }

    /// Two pipes. Without a writer nothing can be written.
    pub fn pipes(
        reader: OwnedFd,
        writer: Option<OwnedFd>,
        number: u16,
        watches: &mut Watches,
    ) -> Result<Channel, Errno> {
        let reader = Watched::new(reader, Watch::Arrivals, role::key(role::READER, number), watches)?;
        let writer =
            match writer.map(|writer| Watched::new(writer, Watch::Changes, role::key(role::WRITER, number), watches)) {
                Some(Err(errno)) => {
                    reader.close(watches);
                    return Err(errno);
                }
                writer => writer.and_then(Result::ok),
            };
        Ok(Channel { reader, writer, pipes: true, wide: true, reused: false })
    }

    /// What is read from, and its watch.
    pub fn reader(&self) -> &Watched {
        &self.reader
    }

    /// What is written to; None = nobody reads it.
    pub fn writer(&self) -> Option<BorrowedFd<'_>> {
        match (&self.writer, self.pipes) {
            (Some(writer), _) => Some(writer.as_fd()),
            (None, true) => None,
            (None, false) => Some(self.reader.as_fd()),
        }
    }

    /// The backend has no room: it is told when there is some.
    pub fn wait_for_room(&mut self, watches: &mut Watches) {
        if !std::mem::replace(&mut self.wide, true) {
            watches.wait_for_room(self.reader.watch(), self.reader.as_fd(), true);
        }
    }

    /// Nothing more is written: the end of a pipe is closed, which its reader sees. A socket stays as it is.
    pub fn end_writing(&mut self, watches: &mut Watches) {
        if let Some(writer) = self.writer.take() {
            writer.close(watches);
        }
    }

    /// What was read from, to be kept.
    pub fn into_reader(mut self, watches: &mut Watches) -> Watched {
        self.end_writing(watches);
        if self.wide && !self.pipes {
            watches.wait_for_room(self.reader.watch(), self.reader.as_fd(), false);
        }
        self.reader
    }

    /// Closes all of it.
    pub fn close(mut self, watches: &mut Watches) {
        self.end_writing(watches);
        self.reader.close(watches);
    }
}
