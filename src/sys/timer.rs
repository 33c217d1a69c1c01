//! A clock that an epoll loop waits for: a timerfd(2).

use super::fd::{check, own, read_counter};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// A non-blocking, close-on-exec timer on the monotonic clock: readable from the moment that was set until [`Timer::clear`].
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// Makes one that never goes off.
    pub fn new() -> io::Result<Timer> {
        // SAFETY: timerfd_create takes integers; the fd it makes is nobody else's.
        let fd = unsafe { own(libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)) }?;
        Ok(Timer { fd })
    }

    /// Sets the moment, in microseconds of [`monotonic_us`](super::clock::monotonic_us), in place of the one before; one that is over is
    /// now. None = never.
    pub fn set(&self, at: Option<u64>) -> io::Result<()> {
        let zero = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // 0 would be never.
        let at = at.map_or(zero, |at| libc::timespec {
            tv_sec: (at.max(1) / 1_000_000) as _,
            tv_nsec: (at.max(1) % 1_000_000 * 1000) as _,
        });
        let when = libc::itimerspec { it_interval: zero, it_value: at };
        // SAFETY: the fd is open, `when` is initialised and outlives the call, and the old setting may be null.
        check(unsafe {
            libc::timerfd_settime(self.fd.as_raw_fd(), libc::TFD_TIMER_ABSTIME, &when, std::ptr::null_mut())
        })?;
        Ok(())
    }

    /// Takes note that it went off; false = it did not.
    pub fn clear(&self) -> bool {
        read_counter(self.fd.as_fd()) != 0
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::clock::monotonic_us;
    use crate::sys::epoll::{Epoll, Events, Interest};

    #[test]
    fn it_goes_off_once_at_its_moment_and_not_before() {
        let timer = Timer::new().unwrap();
        let epoll = Epoll::new().unwrap();
        epoll.add(timer.as_fd(), Interest::Read, 1).unwrap();
        let mut events = Events::with_capacity(1);
        assert!(!timer.clear());
        let at = monotonic_us() + 20_000;
        timer.set(Some(at)).unwrap();
        epoll.wait(&mut events, Some(20_000)).unwrap();
        assert_eq!(events.len(), 1);
        assert!(monotonic_us() >= at);
        assert!(timer.clear() && !timer.clear());
        // What is over is now, be it the beginning of time.
        timer.set(Some(0)).unwrap();
        epoll.wait(&mut events, Some(20_000)).unwrap();
        assert!(timer.clear());
        timer.set(Some(monotonic_us() + 3_600_000_000)).unwrap();
        timer.set(None).unwrap();
        epoll.wait(&mut events, Some(0)).unwrap();
        assert!(events.is_empty() && !timer.clear());
    }
}
