//! A button, or any other contact: which changes of its level are meant. No clock of its own and no pin.

/// A level that bounces.
pub(super) struct Button {
    /// Whether a rise counts, not a fall.
    rising: bool,
    /// Milliseconds for which a level must stay.
    debounce: u32,
    /// The level that counts.
    high: bool,
    /// When it was first seen to be another one, and has been since.
    other: Option<u32>,
}

impl Button {
    /// One that has a level, which counts as no change.
    pub(super) fn new(rising: bool, debounce: u32, high: bool) -> Button {
        Button { rising, debounce, high, other: None }
    }

    /// Counts by other rules from now on.
    pub(super) fn configure(&mut self, rising: bool, debounce: u32) {
        (self.rising, self.debounce) = (rising, debounce);
    }

    /// The level is looked at: whether it has changed and the change counts.
    pub(super) fn look(&mut self, high: bool, now: u32) -> bool {
        if high == self.high {
            self.other = None;
            return false;
        }
        let since = *self.other.get_or_insert(now);
        if now.wrapping_sub(since) < self.debounce {
            return false;
        }
        (self.high, self.other) = (high, None);
        high == self.rising
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When a button acts whose levels are looked at every 20 ms.
    fn acts(rising: bool, debounce: u32, levels: &str) -> Vec<usize> {
        let mut levels = levels.bytes().map(|level| level == b'1');
        let mut button = Button::new(rising, debounce, levels.next().unwrap());
        let from = u32::MAX - 50;
        let acts = |(n, high)| button.look(high, from.wrapping_add(n as u32 * 20)).then_some(n);
        levels.enumerate().filter_map(acts).collect()
    }

    #[test]
    fn one_press_is_one_action() {
        assert_eq!(acts(false, 0, "1110000111"), [2]);
        assert_eq!(acts(true, 0, "1110000111"), [6]);
        assert_eq!(acts(false, 40, "1110000111"), [4]);
        assert_eq!(acts(false, 0, "1010101"), [0, 2, 4]);
    }

    #[test]
    fn what_bounces_is_waited_for() {
        assert_eq!(acts(false, 50, "1110101011110000000111"), [14]);
        assert_eq!(acts(false, 50, "11101010111111"), [0; 0]);
        // Bouncing when it is let go is no press either.
        assert_eq!(acts(false, 50, "1100000010101101111111"), [4]);
    }

    #[test]
    fn a_button_that_is_held_at_the_start_does_nothing() {
        assert_eq!(acts(false, 0, "00000"), [0; 0]);
        assert_eq!(acts(false, 0, "0011100"), [4]);
    }
}
