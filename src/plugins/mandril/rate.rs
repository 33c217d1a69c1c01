//! How often clients may ask: for each client that asks, and each site, a debt that it pays off by waiting.
//!
//! A request costs the time that one takes at the rate. A client may be in debt for a burst of them. Its debt is kept as the
//! moment when it is paid off, in one word of a [`Buckets`] table that all workers share; from then on its place is anyone's. So the table
//! cleans itself up, and a request is one search and one exchange. When there is no place for a client its requests are not
//! counted.

use std::io;

use crate::config::plugins::mandril::Rate;
use crate::storage::buckets::Buckets;

/// Bits of a moment: 32 of milliseconds, as the clock has them, and 8 of parts of one. It starts again as the clock does.
const MOMENT_BITS: u32 = 40;
const MOMENT: u64 = (1 << MOMENT_BITS) - 1;
/// A moment is in this number of parts of a millisecond.
const PARTS: u64 = 256;
/// Longer than any debt: a moment that is further ahead has long passed, before the clock started again.
const AHEAD_MAX: u64 = 100_000 * 1000 * PARTS;

/// Who has asked, and when they may have as much again as they can.
pub(super) struct Rates(Buckets);

/// How far a moment lies ahead; 0 = it has passed.
fn ahead(moment: u64, now: u64) -> u64 {
    let ahead = moment.wrapping_sub(now) & MOMENT;
    if ahead <= AHEAD_MAX { ahead } else { 0 }
}

impl Rates {
    /// Room for so many clients.
    pub(super) fn new(places: usize) -> io::Result<Rates> {
        Buckets::new(places, MOMENT_BITS).map(Rates)
    }

    /// Counts a request of a client (see [`Peer::network`](crate::sys::socket::Peer::network)) to a site. `now` is in milliseconds. `Err` =
    /// it is one too many and not counted; one made after so many seconds, at least 1, is not.
    pub(super) fn ask(&self, client: u64, site: u16, now: u32, rate: &Rate) -> Result<(), u32> {
        let now = u64::from(now) * PARTS;
        let second = 1000 * PARTS;
        let cost = u64::from(rate.seconds) * second / u64::from(rate.requests).max(1);
        let most = cost * u64::from(rate.burst);
        let spot = self.0.spot(site, client);
        loop {
            let found = self.0.find(&spot, &|moment| ahead(moment, now) == 0);
            let Some(place) = found.held.or(found.free) else { return Ok(()) };
            let owed = found.held.map_or(0, |(_, word)| ahead(self.0.value(word), now));
            // More is owed only from the time of another rate, which may have asked for days.
            let debt = owed.min(most) + cost;
            if debt > most {
                let seconds = (debt - most).div_ceil(second);
                return Err(u32::try_from(seconds).unwrap_or(u32::MAX).max(1));
            }
            // 0 would be an empty place.
            if self.0.put(&spot, place, ((now + debt) & MOMENT).max(1)) {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::buckets::BUCKET;

    const TEN_A_SECOND: Rate = Rate { requests: 10, seconds: 1, burst: 10 };

    fn let_through(rates: &Rates, client: u64, now: u32, rate: &Rate) -> usize {
        (0..1000).take_while(|_| rates.ask(client, 0, now, rate).is_ok()).count()
    }

    #[test]
    fn a_client_has_its_number_and_no_more_until_it_has_waited() {
        let rates = Rates::new(64).unwrap();
        assert_eq!(let_through(&rates, 1, 500, &TEN_A_SECOND), 10);
        assert_eq!(rates.ask(1, 0, 500, &TEN_A_SECOND), Err(1));
        assert_eq!(let_through(&rates, 2, 500, &TEN_A_SECOND), 10, "another client");
        assert_eq!(rates.ask(1, 1, 500, &TEN_A_SECOND), Ok(()), "another site");
        assert_eq!(let_through(&rates, 1, 599, &TEN_A_SECOND), 0);
        assert_eq!(let_through(&rates, 1, 600, &TEN_A_SECOND), 1);
        assert_eq!(let_through(&rates, 1, 1100, &TEN_A_SECOND), 5);
        assert_eq!(let_through(&rates, 1, 60_000, &TEN_A_SECOND), 10, "no more is saved up");
    }

    #[test]
    fn the_time_to_wait() {
        let rates = Rates::new(64).unwrap();
        let rate = Rate { requests: 3, seconds: 60, burst: 3 };
        assert_eq!(let_through(&rates, 1, 0, &rate), 3);
        for (now, wait) in [(0, 20), (1, 20), (1000, 19), (19_999, 1)] {
            assert_eq!(rates.ask(1, 0, now, &rate), Err(wait), "{now}");
        }
        assert_eq!(rates.ask(1, 0, 20_000, &rate), Ok(()));
        let rate = Rate { requests: 1, seconds: 86_400, burst: 1 };
        assert_eq!(rates.ask(2, 0, 0, &rate), Ok(()));
        assert_eq!(rates.ask(2, 0, 1, &rate), Err(86_400));
        assert_eq!(rates.ask(2, 0, 86_400_000, &rate), Ok(()));
    }

    #[test]
    fn a_burst_of_its_own_and_other_limits_in_between() {
        let rates = Rates::new(64).unwrap();
        let rate = Rate { burst: 2, ..TEN_A_SECOND };
        assert_eq!(let_through(&rates, 1, 0, &rate), 2);
        assert_eq!(let_through(&rates, 1, 100, &rate), 1);
        assert_eq!(let_through(&rates, 1, 100, &TEN_A_SECOND), 8, "what it owes is owed");
        assert_eq!(let_through(&rates, 1, 100, &rate), 0);
        assert_eq!(rates.ask(1, 0, 100, &rate), Err(1));
        let one_a_day = Rate { requests: 1, seconds: 86_400, burst: 1 };
        assert_eq!(let_through(&rates, 2, 0, &one_a_day), 1);
        assert_eq!(rates.ask(2, 0, 0, &TEN_A_SECOND), Err(1), "but no more than can be owed now");
    }

    #[test]
    fn the_largest_rate_is_no_stricter_than_it_says() {
        let rates = Rates::new(64).unwrap();
        let rate = Rate { requests: 10_000, seconds: 1, burst: 10_000 };
        let asked = (0..10_000).filter(|_| rates.ask(1, 0, 0, &rate).is_ok()).count();
        assert_eq!((asked, rates.ask(1, 0, 0, &rate)), (10_000, Err(1)));
        let asked = (0..20_000).filter(|_| rates.ask(1, 0, 500, &rate).is_ok()).count();
        assert!((5000..=5300).contains(&asked), "{asked}");
    }

    #[test]
    fn the_clock_starts_again() {
        let rates = Rates::new(64).unwrap();
        let now = u32::MAX - 200;
        assert_eq!(let_through(&rates, 1, now, &TEN_A_SECOND), 10);
        assert_eq!(let_through(&rates, 1, now.wrapping_add(300), &TEN_A_SECOND), 3);
        assert_eq!(let_through(&rates, 1, now.wrapping_add(5000), &TEN_A_SECOND), 10);
        // Another worker's clock may be a little behind.
        assert_eq!(let_through(&rates, 1, now.wrapping_add(4990), &TEN_A_SECOND), 0);
        // A debt of long ago is none.
        assert_eq!(let_through(&rates, 1, now.wrapping_add(1 << 31), &TEN_A_SECOND), 10);
    }

    #[test]
    fn a_full_table_lets_others_through_and_empties_by_itself() {
        let rates = Rates::new(1).unwrap();
        for client in 0..BUCKET as u64 {
            assert_eq!(let_through(&rates, client, 0, &TEN_A_SECOND), 10);
        }
        assert_eq!(let_through(&rates, 100, 0, &TEN_A_SECOND), 1000, "there is no place to count it in");
        assert_eq!(let_through(&rates, 3, 0, &TEN_A_SECOND), 0, "who is counted stays so");
        assert_eq!(let_through(&rates, 100, 1000, &TEN_A_SECOND), 10, "the others have paid");
    }

    #[test]
    fn many_threads_let_no_more_through_than_one() {
        let rates = Rates::new(4096).unwrap();
        let rate = Rate { requests: 1000, seconds: 1000, burst: 1000 };
        // The first request takes the place; only for that can two threads take one each.
        assert_eq!(rates.ask(1, 0, 0, &rate), Ok(()));
        let through: usize = std::thread::scope(|scope| {
            let count = || (0..1000).filter(|_| rates.ask(1, 0, 0, &rate).is_ok()).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(through, 999);
    }
}
