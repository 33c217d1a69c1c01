//! What is said in the log about backends, and what they say themselves: no more than so many lines a second, so that nobody can fill a
//! disk, or keep a worker busy, by complaining.

use std::fmt::{self, Display};

use crate::limits::{COMPLAINT_MAX, COMPLAINTS_A_SECOND, COMPLAINTS_MAX};
use crate::log::warn;

/// Lines that may be said in one worker.
#[derive(Debug)]
pub struct Complaints {
    /// Lines that may be said now.
    allowed: u32,
    /// Milliseconds up to which that is reckoned.
    at: u32,
    /// Lines that were left out since the last that was said.
    left_out: u32,
}

impl Default for Complaints {
    fn default() -> Complaints {
        Complaints { allowed: COMPLAINTS_MAX, at: 0, left_out: 0 }
    }
}

/// Text that may be in any encoding. What is no UTF-8 shows as U+FFFD; controls are made harmless by the log.
pub struct Shown<'a>(pub &'a [u8]);

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            f.write_str(chunk.valid())?;
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

impl Complaints {
    /// Whether another line may be said at a moment, in milliseconds. If not it is counted.
    pub fn may(&mut self, now: u32) -> bool {
        let earned = now.wrapping_sub(self.at) / (1000 / COMPLAINTS_A_SECOND);
        if earned > 0 {
            self.allowed = self.allowed.saturating_add(earned).min(COMPLAINTS_MAX);
            self.at = now;
        }
        if self.allowed == 0 {
            self.left_out = self.left_out.saturating_add(1);
            return false;
        }
        self.allowed -= 1;
        true
    }

    /// Says a line.
    pub fn say(&mut self, now: u32, what: fmt::Arguments<'_>) {
        if !self.may(now) {
            return;
        }
        match std::mem::take(&mut self.left_out) {
            0 => warn!("{what}"),
            left_out => warn!("{what} ({left_out} lines before this one were left out)"),
        }
    }

    /// Says each line of what a backend has written, cut where it is too long, behind who it is.
    pub fn pass_on(&mut self, now: u32, who: fmt::Arguments<'_>, text: &[u8]) {
        for line in text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.is_empty()) {
            let cut = if line.len() > COMPLAINT_MAX { " ..." } else { "" };
            let line = line.get(..COMPLAINT_MAX).unwrap_or(line);
            self.say(now, format_args!("{who}: {}{cut}", Shown(line)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_so_many_a_second() {
        let mut complaints = Complaints { at: 1000, ..Complaints::default() };
        assert!((0..COMPLAINTS_MAX).all(|_| complaints.may(1000)));
        assert!(!complaints.may(1000) && complaints.left_out == 1);
        assert!((0..COMPLAINTS_A_SECOND).all(|_| complaints.may(2000)));
        assert!(!complaints.may(2000) && complaints.left_out == 2);
        assert!(complaints.may(u32::MAX));
    }
}
