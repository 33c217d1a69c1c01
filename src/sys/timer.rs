//! A timer that wakes an epoll loop: timerfd(2) on the monotonic clock, so that setting the wall clock moves nothing.

use super::fd::{check_long, own, read_counter};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// The kernel's own itimerspec for the plain `timerfd_settime` system call: longs, on 32-bit machines too. Going by the
/// number avoids the C library's symbol, whose `time_t` is 32 or 64 bits wide depending on its version. Only relative
/// times are given, so that 31 bits of seconds are no limit in practice.
#[repr(C)]
struct KernelTimerSpec {
    interval: [libc::c_long; 2],
    value: [libc::c_long; 2],
}

fn pair(time: Duration) -> [libc::c_long; 2] {
    let seconds = libc::c_long::try_from(time.as_secs()).unwrap_or(libc::c_long::MAX);
    // Below 10^9, which fits in 31 bits.
    [seconds, time.subsec_nanos() as libc::c_long]
}

/// A non-blocking, close-on-exec timer descriptor, readable from the moment it expires until it is read.
#[derive(Debug)]
pub struct Timer {
    fd: OwnedFd,
}

impl Timer {
    /// Makes a timer that is not running.
    pub fn new() -> io::Result<Timer> {
        // SAFETY: timerfd_create takes integers; the fd it makes is nobody else's.
        let fd = unsafe { own(libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)) }?;
        Ok(Timer { fd })
    }

    /// Starts the timer, or moves one that runs: first after `first` (zero means at once), then every `period` if given
    /// and not zero.
    pub fn set(&self, first: Duration, period: Option<Duration>) -> io::Result<()> {
        // A zero first time would stop the timer.
        let first = first.max(Duration::from_nanos(1));
        self.apply(first, period.unwrap_or_default())
    }

    /// Stops the timer; an expiration not yet read is forgotten.
    pub fn stop(&self) -> io::Result<()> {
        self.apply(Duration::ZERO, Duration::ZERO)
    }

    fn apply(&self, value: Duration, interval: Duration) -> io::Result<()> {
        let spec = KernelTimerSpec { interval: pair(interval), value: pair(value) };
        // SAFETY: the fd is open; `spec` has the layout this system call reads and outlives it; the old value is not wanted.
        check_long(unsafe {
            libc::syscall(
                libc::SYS_timerfd_settime,
                self.fd.as_raw_fd(),
                0,
                &raw const spec,
                std::ptr::null_mut::<KernelTimerSpec>(),
            )
        })
        .map(|_| ())
    }

    /// How many times the timer has expired since it was last read or set; 0 when it has not. Never blocks.
    pub fn read(&self) -> u64 {
        read_counter(self.fd.as_fd())
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
    use crate::sys::testing::readable;

    #[test]
    fn one_shot_expires_once() {
        let timer = Timer::new().unwrap();
        assert_eq!(timer.read(), 0);
        timer.set(Duration::from_millis(10), None).unwrap();
        assert!(readable(timer.as_fd(), 5000));
        assert_eq!(timer.read(), 1);
        assert!(!readable(timer.as_fd(), 50));
        assert_eq!(timer.read(), 0);
    }

    #[test]
    fn periodic_counts_and_stops() {
        let timer = Timer::new().unwrap();
        let tick = Duration::from_millis(5);
        timer.set(tick, Some(tick)).unwrap();
        std::thread::sleep(Duration::from_millis(60));
        assert!(timer.read() >= 2);
        timer.stop().unwrap();
        assert_eq!(timer.read(), 0);
        assert!(!readable(timer.as_fd(), 30));
    }

    #[test]
    fn zero_and_huge_times_are_taken() {
        let timer = Timer::new().unwrap();
        timer.set(Duration::ZERO, None).unwrap();
        assert!(readable(timer.as_fd(), 5000));
        assert_eq!(timer.read(), 1);
        timer.set(Duration::MAX, Some(Duration::MAX)).unwrap();
        assert!(!readable(timer.as_fd(), 20));
    }
}
