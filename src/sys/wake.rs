//! Waking another thread's epoll loop: an eventfd(2).

use super::fd::{own, read_counter};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A non-blocking, close-on-exec event descriptor: readable from the first [`Wake::wake`] until [`Wake::clear`].
#[derive(Debug)]
pub struct Wake {
    fd: OwnedFd,
}

impl Wake {
    /// Makes one that is not readable.
    pub fn new() -> io::Result<Wake> {
        // SAFETY: eventfd takes integers; the fd it makes is nobody else's.
        let fd = unsafe { own(libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC)) }?;
        Ok(Wake { fd })
    }

    /// Makes the descriptor readable, from any thread. Any number of calls before the next [`Wake::clear`] wake once.
    pub fn wake(&self) {
        let one = 1u64.to_ne_bytes();
        // A counter that is full (EAGAIN) is readable already, and eventfd writes are never interrupted half way: the
        // result says nothing the caller could act on.
        // SAFETY: the fd is open and the buffer is the 8 readable bytes that eventfd wants.
        unsafe { libc::write(self.fd.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Waits up to `milliseconds` until the descriptor is readable; true if it is.
    pub fn wait(&self, milliseconds: u32) -> bool {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        let limit = libc::c_int::try_from(milliseconds).unwrap_or(libc::c_int::MAX);
        // SAFETY: one initialised pollfd that outlives the call.
        unsafe { libc::poll(&mut poll, 1, limit) == 1 }
    }

    /// Makes the descriptor not readable; true if it was. What the waker has published before is to be looked at after.
    pub fn clear(&self) -> bool {
        read_counter(self.fd.as_fd()) != 0
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::readable;

    #[test]
    fn many_wakes_are_one_event() {
        let wake = Wake::new().unwrap();
        assert!(!readable(wake.as_fd(), 0));
        assert!(!wake.clear());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| wake.wake());
            }
        });
        assert!(readable(wake.as_fd(), 0) && wake.wait(0));
        assert!(wake.clear());
        assert!(!readable(wake.as_fd(), 0) && !wake.wait(1));
        assert!(!wake.clear());
    }
}
