//! The time as the server uses it: a monotonic count for limits, the wall clock for dates. It is told the time; it never
//! asks for it.

use crate::wire::date::{DATE_LEN, write_date};

/// Seconds since 1970 at which this program was built: SOURCE_DATE_EPOCH when it was, as reproducible builds set it, else the
/// start of the version's month (2026-11-01). A wall clock before it is a clock that was never set: a board without a battery
/// starts in 1970.
pub const BUILD_DATE: i64 = match option_env!("SOURCE_DATE_EPOCH") {
    Some(text) => decimal(text.as_bytes()),
    None => 1_793_491_200,
};

const fn decimal(mut text: &[u8]) -> i64 {
    let mut number = 0;
    while let Some((digit, rest)) = text.split_first() {
        assert!(digit.is_ascii_digit(), "SOURCE_DATE_EPOCH is not a number of seconds");
        number = number * 10 + (*digit - b'0') as i64;
        text = rest;
    }
    number
}

/// The time of one turn of the event loop.
pub struct Clock {
    now: u32,
    wall: i64,
    date: [u8; DATE_LEN],
}

impl Clock {
    /// A clock that shows `now` milliseconds and `wall` seconds since 1970.
    pub fn new(now: u32, wall: i64) -> Clock {
        let mut clock = Clock { now, wall: 0, date: [b' '; DATE_LEN] };
        clock.set_wall(wall);
        clock
    }

    /// Sets the monotonic milliseconds.
    pub fn set(&mut self, now: u32) {
        self.now = now;
    }

    /// Sets the wall clock; the text of the date is made only when the second changed.
    pub fn set_wall(&mut self, wall: i64) {
        if wall != self.wall {
            self.wall = wall;
            write_date(wall, &mut self.date);
        }
    }

    /// Monotonic milliseconds, wrapping.
    pub fn now(&self) -> u32 {
        self.now
    }

    /// Milliseconds from `then` until now.
    pub fn since(&self, then: u32) -> u32 {
        self.now.wrapping_sub(then)
    }

    /// Seconds since 1970, or None while the wall clock was never set: then no answer carries a date.
    pub fn wall(&self) -> Option<i64> {
        (self.wall >= BUILD_DATE).then_some(self.wall)
    }

    /// The value of the `Date` field (RFC 9110 section 6.6.1), under the same condition as [`Clock::wall`].
    pub fn date(&self) -> Option<&[u8; DATE_LEN]> {
        self.wall().map(|_| &self.date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_before_the_build_has_no_date() {
        let mut clock = Clock::new(5, 0);
        assert_eq!(clock.date(), None);
        clock.set_wall(BUILD_DATE);
        assert!(clock.date().is_some_and(|date| date.ends_with(b" GMT")));
        clock.set_wall(4_102_444_799);
        assert_eq!(clock.date().map(|date| &date[..]), Some(&b"Thu, 31 Dec 2099 23:59:59 GMT"[..]));
        clock.set_wall(BUILD_DATE - 1);
        assert_eq!(clock.wall(), None);
    }

    #[test]
    fn intervals_survive_the_wrap_of_the_count() {
        let clock = Clock::new(10, 0);
        assert_eq!(clock.since(u32::MAX - 9), 20);
    }
}
