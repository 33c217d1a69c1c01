//! epoll(7): one queue of events a thread.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::errno::{Errno, check};
#[cfg(feature = "palm-server")]
use super::signal::{Signal, mask_without};

/// What is waited for on a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Interest {
    /// Readable, reported as long as it is so.
    Read,
    /// Readable, writable or half closed, each change reported once (edge-triggered): a connection is registered so
    /// once, at hand-over, and never modified again.
    Connection,
    /// As `Connection`, but for becoming writable.
    Arrivals,
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Event {
    /// What the descriptor was registered with.
    pub data: u64,
    flags: u32,
}

impl Event {
    /// Data, an end of stream or an error can be read.
    pub fn readable(self) -> bool {
        self.flags & (libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }

    /// Data or the end of a stream can be read.
    pub fn has_input(self) -> bool {
        self.flags & (libc::EPOLLIN | libc::EPOLLRDHUP) as u32 != 0
    }

    /// There is room to write.
    pub fn writable(self) -> bool {
        self.flags & libc::EPOLLOUT as u32 != 0
    }

    /// The descriptor has failed.
    pub fn failed(self) -> bool {
        self.flags & libc::EPOLLERR as u32 != 0
    }

    /// The peer ended its side, or the connection broke.
    pub fn ended(self) -> bool {
        self.flags & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) as u32 != 0
    }
}

/// Room for the events of one turn, allocated once.
pub struct Events {
    buffer: Box<[libc::epoll_event]>,
    ready: usize,
}

impl Events {
    /// Room for `capacity` events a turn.
    pub fn with_capacity(capacity: usize) -> Events {
        Events { buffer: vec![libc::epoll_event { events: 0, u64: 0 }; capacity.max(1)].into_boxed_slice(), ready: 0 }
    }

    /// How many events the last wait brought.
    pub fn len(&self) -> usize {
        self.ready
    }

    /// Whether the last wait brought none.
    pub fn is_empty(&self) -> bool {
        self.ready == 0
    }

    /// Event `index` of the last wait.
    #[inline(always)]
    pub fn get(&self, index: usize) -> Option<Event> {
        if index >= self.ready {
            return None;
        }
        let event = self.buffer.get(index)?;
        Some(Event { data: event.u64, flags: event.events })
    }
}

/// An epoll instance (epoll_create1(2)).
pub struct Epoll {
    fd: OwnedFd,
}

impl Epoll {
    /// A new, empty queue.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no pointer is passed.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
        Ok(Epoll { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Registers a descriptor; its events carry `data`. Safe to call from any thread. Fails with ENOMEM or ENOSPC
    /// (the user's watch limit) when the kernel is full.
    pub fn add(&self, fd: BorrowedFd<'_>, interest: Interest, data: u64) -> Result<(), Errno> {
        self.add_number(fd.as_raw_fd(), interest, data)
    }

    /// As [`Epoll::add`], for a descriptor whose owner is elsewhere. A number that is not open is an error (EBADF).
    pub fn add_number(&self, fd: RawFd, interest: Interest, data: u64) -> Result<(), Errno> {
        self.control(libc::EPOLL_CTL_ADD, fd, interest, data)
    }

    /// Waits for something else on a descriptor that is registered. What is so already is reported.
    pub fn modify(&self, fd: BorrowedFd<'_>, interest: Interest, data: u64) -> Result<(), Errno> {
        self.control(libc::EPOLL_CTL_MOD, fd.as_raw_fd(), interest, data)
    }

    fn control(&self, what: libc::c_int, fd: RawFd, interest: Interest, data: u64) -> Result<(), Errno> {
        let events = match interest {
            Interest::Read => libc::EPOLLIN,
            Interest::Arrivals => libc::EPOLLIN | libc::EPOLLRDHUP | libc::EPOLLET,
            Interest::Connection => libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET,
        };
        let mut event = libc::epoll_event { events: events as u32, u64: data };
        // SAFETY: `event` is a valid epoll_event; the kernel checks the number.
        check(unsafe { libc::epoll_ctl(self.fd.as_raw_fd(), what, fd, &mut event) })?;
        Ok(())
    }

    /// Removes a descriptor that stays open. (A closed one is removed by the kernel.)
    pub fn remove(&self, fd: BorrowedFd<'_>) -> Result<(), Errno> {
        // SAFETY: both descriptors are open; the event argument may be null since Linux 2.6.9.
        check(unsafe {
            libc::epoll_ctl(self.fd.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), std::ptr::null_mut())
        })?;
        Ok(())
    }

    /// Waits as long as it takes; `signals`, which are blocked, do meanwhile what they do, and at no other time (epoll_pwait(2)).
    /// An interrupted wait is an empty one.
    #[cfg(feature = "palm-server")]
    pub fn wait_for_signals(&self, events: &mut Events, signals: &[Signal]) -> Result<(), Errno> {
        let mask = mask_without(signals);
        let room = i32::try_from(events.buffer.len()).unwrap_or(i32::MAX);
        events.ready = 0;
        // SAFETY: the buffer has room for `room` events, and with the mask it lives through the call.
        let ret = unsafe { libc::epoll_pwait(self.fd.as_raw_fd(), events.buffer.as_mut_ptr(), room, -1, &mask) };
        match check(ret) {
            Ok(ready) => events.ready = ready as usize,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }

    /// Waits up to `timeout` milliseconds, for ever when None. An interrupted wait is an empty one.
    // Stands where it is used: code that a sleeping thread comes back to keeps the pages around it resident.
    #[inline(always)]
    pub fn wait(&self, events: &mut Events, timeout: Option<u32>) -> Result<(), Errno> {
        let timeout = timeout.map_or(-1, |ms| i32::try_from(ms).unwrap_or(i32::MAX));
        let room = i32::try_from(events.buffer.len()).unwrap_or(i32::MAX);
        events.ready = 0;
        // SAFETY: the buffer has room for `room` events and lives through the call.
        let ret = unsafe { libc::epoll_wait(self.fd.as_raw_fd(), events.buffer.as_mut_ptr(), room, timeout) };
        match check(ret) {
            Ok(ready) => events.ready = ready as usize,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        Ok(())
    }
}
