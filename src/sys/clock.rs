//! The two clocks: one that never jumps, for time limits, and the wall clock, for dates.

/// Milliseconds of the coarse monotonic clock, wrapping after 49 days. Compare with `wrapping_sub`; an interval may be
/// up to 24 days. The coarse clock is read without entering the kernel and ticks every 1 to 10 ms (clock_gettime(2)).
#[inline(always)]
pub fn monotonic_ms() -> u32 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec for the kernel to fill; CLOCK_MONOTONIC_COARSE exists since Linux 2.6.32.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &mut now) };
    (now.tv_sec as u32).wrapping_mul(1000).wrapping_add(now.tv_nsec as u32 / 1_000_000)
}

/// Microseconds of the monotonic clock, as a service manager wants them (sd_notify(3)).
pub fn monotonic_us() -> u64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec for the kernel to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut now) };
    (now.tv_sec as u64).wrapping_mul(1_000_000).wrapping_add(now.tv_nsec as u64 / 1000)
}

/// Seconds since 1970 by the wall clock, 64 bits wide on every target (clock_gettime(2), clock_gettime64 on 32-bit ARM).
pub fn wall_seconds() -> i64 {
    #[cfg(target_pointer_width = "32")]
    {
        // libc's timespec has 32-bit seconds there; this is the kernel's own 64-bit layout.
        #[repr(C)]
        struct Timespec64 {
            seconds: i64,
            nanoseconds: i64,
        }
        const SYS_CLOCK_GETTIME64: libc::c_long = 403;
        let mut now = Timespec64 { seconds: 0, nanoseconds: 0 };
        // SAFETY: call 403 on every 32-bit architecture fills a struct of two 64-bit numbers; `now` is one.
        let ret = unsafe { libc::syscall(SYS_CLOCK_GETTIME64, libc::CLOCK_REALTIME, &mut now) };
        if ret == 0 {
            return now.seconds;
        }
    }
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec for the kernel to fill.
    unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut now) };
    // Of 32 bits on 32-bit ARM, of 64 elsewhere.
    #[allow(clippy::useless_conversion)]
    i64::from(now.tv_sec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_move_forward_and_agree_with_std() {
        let before = monotonic_ms();
        let std_now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() as i64;
        assert!((wall_seconds() - std_now).abs() <= 1);
        assert!(monotonic_ms().wrapping_sub(before) < 60_000);
    }
}
