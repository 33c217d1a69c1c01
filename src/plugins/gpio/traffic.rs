//! Whether requests are answered, and whether clients find room: read from the server's counters, so that nothing is added to a request.
//!
//! They are looked at while there are connections, and once more behind the last one. The counters only rise: what happens between two
//! looks is seen at the second, however short it was. The main thread accepts connections and so is awake when the first one comes;
//! where the workers accept it is not, and the counters are looked at all the time.

use std::sync::atomic::{AtomicU32, Ordering};

use super::pattern::is_due;
use crate::plugin::host::Host;

/// How often they are looked at while something happens, milliseconds.
const LIVELY: u32 = 50;
/// How often while nothing does, milliseconds.
const QUIET: u32 = 250;
/// How long nothing must have happened for that, milliseconds.
const LULL: u32 = 2000;

/// The counters at a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sight {
    /// Connections now.
    pub(super) connections: u32,
    /// Connections that came.
    pub(super) accepted: u32,
    /// Requests answered.
    pub(super) answered: u32,
    /// Bytes sent.
    pub(super) sent: u64,
    /// Times that somebody found no room: for a connection, or for what a request needs.
    pub(super) full: u32,
}

impl Sight {
    /// What a server counts now.
    pub(super) fn of(host: &dyn Host) -> Sight {
        let totals = host.totals();
        let read = |number: &AtomicU32| number.load(Ordering::Relaxed);
        let full = [&totals.over_capacity, &totals.no_descriptor, &totals.full, &totals.pauses];
        let mut sight = Sight {
            connections: host.connections(),
            accepted: read(&totals.accepted),
            full: full.into_iter().fold(0, |sum, number| sum.wrapping_add(read(number))),
            ..Sight::default()
        };
        for stats in (0..host.workers()).filter_map(|number| Some(host.worker(number)?.stats)) {
            for answered in &stats.answered {
                sight.answered = sight.answered.wrapping_add(read(answered));
            }
            sight.sent = sight.sent.wrapping_add(stats.sent.load(Ordering::Relaxed));
            sight.full = sight.full.wrapping_add(read(&stats.starved));
        }
        sight
    }
}

/// What has happened since the last look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Seen {
    /// A request was answered, or bytes of an answer were sent.
    pub(super) active: bool,
    /// Somebody found no room.
    pub(super) full: bool,
}

/// When the counters are looked at.
pub(super) struct Traffic {
    /// Nothing wakes the main thread when a connection comes.
    always: bool,
    last: Sight,
    next: Option<u32>,
    /// When something was seen last.
    moved: u32,
    /// Nothing was seen, and nobody was there, at the last look.
    over: bool,
}

impl Traffic {
    pub(super) fn new(always: bool, sight: Sight, now: u32) -> Traffic {
        Traffic { always, last: sight, next: always.then_some(now), moved: now, over: true }
    }

    /// When the next look is due. None = not before a connection comes.
    pub(super) fn next(&self) -> Option<u32> {
        self.next
    }

    /// Looks, if it is time to; if nobody has looked for a while and somebody is there, it will be soon.
    pub(super) fn look(&mut self, sight: Sight, now: u32) -> Seen {
        match self.next {
            Some(at) if is_due(at, now) => {}
            Some(_) => return Seen::default(),
            None => {
                if sight.connections > 0 || sight.accepted != self.last.accepted || sight.full != self.last.full {
                    (self.next, self.moved) = (Some(now.wrapping_add(LIVELY)), now);
                }
                return Seen::default();
            }
        }
        let last = std::mem::replace(&mut self.last, sight);
        let active = sight.answered != last.answered || sight.sent != last.sent;
        let seen = Seen { active, full: sight.full != last.full };
        if seen != Seen::default() || sight.accepted != last.accepted {
            self.moved = now;
        }
        // A worker counts an answer before its connection is gone, but another thread may see that in another order: one more look.
        let quiet = sight.connections == 0 && self.moved != now;
        let over = std::mem::replace(&mut self.over, quiet) && quiet;
        let wait = if now.wrapping_sub(self.moved) < LULL { LIVELY } else { QUIET };
        self.next = (!over || self.always).then_some(now.wrapping_add(wait));
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: Seen = Seen { active: true, full: false };
    const NOTHING: Seen = Seen { active: false, full: false };

    fn sight(connections: u32, answered: u32) -> Sight {
        Sight { connections, accepted: answered, answered, ..Sight::default() }
    }

    #[test]
    fn nobody_looks_while_nobody_is_there() {
        let mut traffic = Traffic::new(false, Sight::default(), 0);
        assert_eq!((traffic.look(Sight::default(), 1000), traffic.next()), (NOTHING, None));
    }

    #[test]
    fn a_burst_between_two_looks_is_seen() {
        let mut traffic = Traffic::new(false, Sight::default(), 0);
        // It came and went before anybody looked.
        assert_eq!((traffic.look(sight(0, 3), 10), traffic.next()), (NOTHING, Some(60)));
        assert_eq!(traffic.look(sight(0, 3), 59), NOTHING);
        assert_eq!((traffic.look(sight(0, 3), 60), traffic.next()), (ACTIVE, Some(110)));
        // Twice quiet, and it is over.
        assert_eq!((traffic.look(sight(0, 3), 110), traffic.next()), (NOTHING, Some(160)));
        assert_eq!((traffic.look(sight(0, 3), 160), traffic.next()), (NOTHING, None));
        assert_eq!((traffic.look(sight(0, 3), 9000), traffic.next()), (NOTHING, None));
    }

    #[test]
    fn an_answer_that_is_counted_late_is_seen() {
        let mut traffic = Traffic::new(false, Sight::default(), 0);
        traffic.look(Sight { accepted: 1, ..Sight::default() }, 0);
        assert_eq!(traffic.look(Sight { accepted: 1, ..Sight::default() }, 50), NOTHING);
        assert_eq!(traffic.look(sight(0, 1), 100), ACTIVE);
    }

    #[test]
    fn connections_that_rest_are_looked_at_less_often() {
        let mut traffic = Traffic::new(false, Sight::default(), 0);
        traffic.look(sight(1, 0), 0);
        let (mut now, mut looks) = (0, 0);
        while now < 12_000 {
            now = traffic.next().unwrap();
            assert_eq!(traffic.look(sight(1, 0), now), NOTHING);
            looks += 1;
        }
        assert_eq!(looks, 40 + 40);
        now = traffic.next().unwrap();
        assert_eq!((traffic.look(sight(1, 1), now), traffic.next()), (ACTIVE, Some(now + LIVELY)));
    }

    #[test]
    fn a_long_answer_is_activity_all_along() {
        let mut traffic = Traffic::new(false, Sight::default(), 0);
        traffic.look(sight(1, 0), 0);
        for n in 1..100 {
            let now = traffic.next().unwrap();
            assert_eq!(traffic.look(Sight { sent: n * 1000, ..sight(1, 0) }, now), ACTIVE);
            assert_eq!(traffic.next(), Some(now + LIVELY));
        }
    }

    #[test]
    fn whoever_finds_no_room_is_seen() {
        let mut traffic = Traffic::new(false, Sight::default(), 0);
        let full = Sight { full: 1, ..Sight::default() };
        traffic.look(full, 0);
        assert_eq!(traffic.look(full, 50), Seen { active: false, full: true });
    }

    #[test]
    fn where_workers_accept_it_is_looked_at_all_the_time() {
        let mut traffic = Traffic::new(true, Sight::default(), 0);
        let mut now = 0;
        for _ in 0..100 {
            assert_eq!(traffic.look(Sight::default(), now), NOTHING);
            let next = traffic.next().unwrap();
            assert!(next - now <= QUIET);
            now = next;
        }
        assert_eq!(traffic.look(sight(0, 7), now), ACTIVE);
    }
}
