//! What an output looks like over time. No clock of its own and no output: the moment goes in, lit or dark and the next moment come out.
//!
//! No edge is ever left out. One that comes late puts off those after it, so that the flashes of a number can be counted however busy
//! the machine is.

use crate::config::plugins::gpio::Pattern;

/// A flash of a number, milliseconds.
pub(super) const FLASH: u32 = 200;
/// The dark between two flashes of a number, milliseconds.
pub(super) const GAP: u32 = 300;
/// The dark behind the last flash of a number, milliseconds.
pub(super) const PAUSE: u32 = 1500;

/// The shortest and the longest dark between two pulses, milliseconds; within this it is as long as the pulse.
const REST: (u32, u32) = (20, 200);

/// Whether a moment is there, or over. Both are within 24 days of each other.
pub(super) fn is_due(at: u32, now: u32) -> bool {
    now.wrapping_sub(at) as i32 >= 0
}

/// The earlier of two moments, seen from `now`.
pub(super) fn earlier(one: Option<u32>, other: Option<u32>, now: u32) -> Option<u32> {
    let left = |at: &u32| at.wrapping_sub(now) as i32;
    one.into_iter().chain(other).min_by_key(left)
}

/// A pattern as it is shown.
pub(super) struct Player {
    pattern: Pattern,
    /// What holds: 0 is nothing; of [`Pattern::Count`] a bit for each number.
    held: u16,
    lit: bool,
    next: Option<u32>,
    /// Another pulse is due behind the one that is shown.
    again: bool,
    /// The number that is shown, and how many flashes of it are to come, this one included.
    number: u32,
    left: u32,
}

impl Player {
    /// A pattern of which nothing is shown yet.
    pub(super) fn new(pattern: Pattern) -> Player {
        Player { pattern, held: 0, lit: false, next: None, again: false, number: 0, left: 0 }
    }

    /// What it is.
    pub(super) fn pattern(&self) -> Pattern {
        self.pattern
    }

    /// What holds from now on: 0 = nothing. Of [`Pattern::Count`] bit N is number N, and several are shown in turn; of every other
    /// pattern any value but 0 is the same.
    pub(super) fn hold(&mut self, held: u16, now: u32) {
        let before = std::mem::replace(&mut self.held, held);
        let begins = before == 0 && held != 0;
        let ends = before != 0 && held == 0;
        match self.pattern {
            // One that was begun is shown to its end.
            Pattern::Pulse { .. } if begins => self.pulse(now),
            Pattern::Pulse { .. } => {}
            _ if ends => (self.lit, self.next) = (false, None),
            Pattern::On if begins => self.lit = true,
            Pattern::Blink { half } if begins => (self.lit, self.next) = (true, Some(now.wrapping_add(half))),
            Pattern::Count if begins => self.begin_number(now),
            _ => {}
        }
    }

    /// Something happened that is shown by a pulse each; other patterns take no note of it.
    pub(super) fn pulse(&mut self, now: u32) {
        let Pattern::Pulse { lit } = self.pattern else { return };
        match self.next {
            None => (self.lit, self.next) = (true, Some(now.wrapping_add(lit))),
            Some(_) => self.again = true,
        }
    }

    /// Does what is due; gives whether it is lit.
    pub(super) fn step(&mut self, now: u32) -> bool {
        if self.next.is_some_and(|at| is_due(at, now)) {
            self.edge(now);
        }
        self.lit
    }

    /// When the next edge is due. None = not before something happens.
    pub(super) fn next(&self) -> Option<u32> {
        self.next
    }

    fn edge(&mut self, now: u32) {
        let was = self.lit;
        self.lit = !was;
        let wait = match self.pattern {
            Pattern::On => None,
            Pattern::Blink { half } => Some(half),
            Pattern::Pulse { lit } if was => Some(lit.clamp(REST.0, REST.1)),
            Pattern::Pulse { lit } => {
                self.lit = std::mem::take(&mut self.again);
                self.lit.then_some(lit)
            }
            Pattern::Count if was => {
                self.left = self.left.saturating_sub(1);
                Some(if self.left > 0 { GAP } else { PAUSE })
            }
            Pattern::Count if self.left > 0 => Some(FLASH),
            Pattern::Count => return self.begin_number(now),
        };
        self.next = wait.map(|wait| now.wrapping_add(wait));
    }

    /// The next number of those that hold, the first one again behind the last.
    fn begin_number(&mut self, now: u32) {
        let later = u32::from(self.held) & u32::MAX.checked_shl(self.number + 1).unwrap_or(0);
        let from = if later == 0 { u32::from(self.held) } else { later };
        (self.number, self.left) = (from.trailing_zeros(), from.trailing_zeros());
        (self.lit, self.next) = (true, Some(now.wrapping_add(FLASH)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The edges within a time, each asked for at its very moment: when, and to what.
    fn edges(player: &mut Player, from: u32, until: u32) -> Vec<(u32, bool)> {
        let (mut edges, mut now) = (Vec::new(), from);
        let mut lit = player.lit;
        loop {
            if player.step(now) != lit {
                lit = !lit;
                edges.push((now.wrapping_sub(from), lit));
            }
            match player.next() {
                Some(next) if !is_due(until, next) => now = next,
                _ => return edges,
            }
        }
    }

    #[test]
    fn nothing_is_lit_and_nothing_is_due_until_something_holds() {
        for pattern in [Pattern::On, Pattern::Blink { half: 5 }, Pattern::Pulse { lit: 5 }, Pattern::Count] {
            let mut player = Player::new(pattern);
            player.hold(0, 7);
            assert_eq!((player.step(u32::MAX / 4), player.next()), (false, None), "{pattern:?}");
        }
    }

    #[test]
    fn on_is_lit_as_long_as_it_holds() {
        let mut player = Player::new(Pattern::On);
        player.hold(1, 10);
        assert_eq!((player.step(10), player.next()), (true, None));
        player.pulse(11);
        player.hold(2, 12);
        assert_eq!((player.step(12), player.next()), (true, None));
        player.hold(0, 13);
        assert_eq!((player.step(13), player.next()), (false, None));
    }

    #[test]
    fn blinking_begins_lit_and_ends_at_once() {
        let mut player = Player::new(Pattern::Blink { half: 100 });
        // Past the place where the clock begins again.
        let from = u32::MAX - 150;
        player.hold(1, from);
        assert!(player.step(from));
        assert_eq!(edges(&mut player, from, from.wrapping_add(350)), [(100, false), (200, true), (300, false)]);
        player.hold(0, from.wrapping_add(350));
        assert_eq!((player.step(from.wrapping_add(350)), player.next()), (false, None));
    }

    #[test]
    fn an_edge_that_is_late_puts_off_the_next_one() {
        let mut player = Player::new(Pattern::Blink { half: 100 });
        player.hold(1, 0);
        assert!(player.step(0) && player.step(99));
        assert!(!player.step(950));
        assert!(!player.step(1049));
        assert!(player.step(1050));
    }

    #[test]
    fn a_pulse_is_whole_and_one_that_comes_meanwhile_follows() {
        let mut player = Player::new(Pattern::Pulse { lit: 50 });
        player.pulse(0);
        assert!(player.step(0));
        assert_eq!(edges(&mut player, 0, 1000), [(50, false)]);
        assert_eq!(player.next(), None);
        player.pulse(1000);
        assert!(player.step(1000));
        // Any number of them is one.
        player.pulse(1010);
        player.pulse(1049);
        assert_eq!(edges(&mut player, 1000, 2000), [(50, false), (100, true), (150, false)]);
        // In the dark behind one, too.
        player.pulse(3000);
        assert!(player.step(3000) && !player.step(3050));
        player.pulse(3060);
        assert_eq!(edges(&mut player, 3060, 4000), [(40, true), (90, false)]);
    }

    #[test]
    fn the_dark_behind_a_pulse_can_be_seen_and_is_not_long() {
        for (lit, rest) in [(10, 20), (100, 100), (10_000, 200)] {
            let mut player = Player::new(Pattern::Pulse { lit });
            player.pulse(0);
            player.pulse(1);
            assert!(player.step(1));
            assert_eq!(edges(&mut player, 0, 30_000), [(lit, false), (lit + rest, true), (2 * lit + rest, false)]);
        }
    }

    #[test]
    fn what_begins_to_hold_is_one_pulse() {
        let mut player = Player::new(Pattern::Pulse { lit: 50 });
        player.hold(1, 0);
        player.hold(1, 10);
        player.hold(0, 20);
        assert!(player.step(20));
        assert_eq!(edges(&mut player, 0, 1000), [(50, false)]);
        player.hold(4, 2000);
        assert!(player.step(2000));
    }

    /// The numbers that are flashed, told by the pauses between.
    fn numbers(player: &mut Player, from: u32, until: u32) -> Vec<usize> {
        let lit: Vec<u32> = edges(player, from, until).iter().filter(|edge| edge.1).map(|edge| edge.0).collect();
        let mut numbers = vec![1];
        for two in lit.windows(2) {
            match two[1] - two[0] {
                apart if apart == FLASH + GAP => *numbers.last_mut().unwrap() += 1,
                apart if apart == FLASH + PAUSE => numbers.push(1),
                other => panic!("{other} ms between two flashes"),
            }
        }
        numbers
    }

    #[test]
    fn a_number_is_as_many_flashes_and_a_pause() {
        let mut player = Player::new(Pattern::Count);
        player.hold(1 << 3, 0);
        assert!(player.step(0));
        let wanted =
            [(200, false), (500, true), (700, false), (1000, true), (1200, false), (2700, true), (2900, false)];
        assert_eq!(edges(&mut player, 0, 3000), wanted);
        player.hold(0, 3000);
        assert_eq!((player.step(3000), player.next()), (false, None));
        // It begins anew, not where it was.
        player.hold(1 << 2, 4000);
        assert!(player.step(4000));
        assert_eq!(edges(&mut player, 4000, 5000), [(200, false), (500, true), (700, false)]);
    }

    #[test]
    fn several_numbers_come_in_turn() {
        let mut player = Player::new(Pattern::Count);
        player.hold(1 << 1 | 1 << 4 | 1 << 15, 0);
        // The first flash is on from the start and no edge.
        assert!(player.step(0));
        let mut numbers = numbers(&mut player, 0, 40_000);
        numbers.truncate(5);
        assert_eq!(numbers, [4, 15, 1, 4, 15]);
    }

    #[test]
    fn another_number_waits_for_the_end_of_the_one_that_is_shown() {
        let mut player = Player::new(Pattern::Count);
        player.hold(1 << 2, 0);
        assert!(player.step(0));
        player.hold(1 << 3, 100);
        let edges = edges(&mut player, 0, 4300);
        let lit: Vec<u32> = edges.iter().filter(|edge| edge.1).map(|edge| edge.0).collect();
        assert_eq!(lit, [500, 2200, 2700, 3200], "{edges:?}");
    }

    #[test]
    fn flashes_are_never_left_out_however_late_they_are() {
        let mut player = Player::new(Pattern::Count);
        player.hold(1 << 5, 0);
        let (mut flashes, mut now, mut was) = (0, 0, false);
        for late in [0, 4000, 1, 2500, 333, 9000, 17, 64, 10_000, 0] {
            let lit = player.step(now);
            flashes += u32::from(lit && !was);
            was = lit;
            now = player.next().unwrap() + late;
        }
        assert_eq!(flashes, 5);
    }

    #[test]
    fn moments_compare_past_the_end_of_the_clock() {
        assert!(is_due(5, 5) && is_due(u32::MAX, 3) && !is_due(3, u32::MAX));
        assert_eq!(earlier(Some(3), Some(u32::MAX - 1), u32::MAX - 5), Some(u32::MAX - 1));
        assert_eq!(earlier(None, Some(3), 0), Some(3));
        assert_eq!(earlier(None, None, 0), None);
    }
}
