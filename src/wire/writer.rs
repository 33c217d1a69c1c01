//! Texts and records of bounded size, written into room that the caller has.

use core::fmt;

/// Writes into a slice from its start. What does not fit is left out with all that follows it, and that is remembered: a whole
/// request is written first and judged once, by [`overflowed`](Writer::overflowed).
#[derive(Debug)]
pub struct Writer<'a> {
    room: &'a mut [u8],
    len: usize,
    full: bool,
}

impl<'a> Writer<'a> {
    /// A writer with nothing written, into `room`.
    pub fn new(room: &'a mut [u8]) -> Writer<'a> {
        Writer { room, len: 0, full: false }
    }

    /// Appends `bytes`, all of them or nothing.
    #[cfg_attr(tuned, optimize(speed))]
    pub fn push(&mut self, bytes: &[u8]) {
        let end = self.len.saturating_add(bytes.len());
        match self.room.get_mut(self.len..end) {
            Some(place) if !self.full => {
                place.copy_from_slice(bytes);
                self.len = end;
            }
            _ => self.full = true,
        }
    }

    /// Has something else write into the rest of the room, which says how many bytes it has written; None = they do not fit.
    pub fn fill(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) {
        let rest = self.room.get_mut(self.len..).unwrap_or_default();
        let most = rest.len();
        match write(rest).filter(|len| *len <= most && !self.full) {
            Some(len) => self.len += len,
            None => self.full = true,
        }
    }

    /// Number of bytes written.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// What was written.
    pub fn bytes(&self) -> &[u8] {
        self.room.get(..self.len).unwrap_or(&[])
    }

    /// Whether something was left out: what was written is then of no use.
    pub fn overflowed(&self) -> bool {
        self.full
    }

    /// Writes over what stands at offset `at`, all of which was written before; otherwise nothing is changed.
    pub(super) fn patch(&mut self, at: usize, bytes: &[u8]) {
        let written = self.room.get_mut(..self.len).unwrap_or_default();
        if let Some(place) = written.get_mut(at..at.saturating_add(bytes.len())) {
            place.copy_from_slice(bytes);
        }
    }

    /// Says that what is written is more than its format can hold, as if there were no room.
    pub(super) fn give_up(&mut self) {
        self.full = true;
    }
}

/// For values that are written by their `Display`; an error when they do not fit, which is also remembered.
impl fmt::Write for Writer<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes());
        if self.full { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_with_all_that_follows() {
        let mut room = [b'.'; 8];
        let mut out = Writer::new(&mut room);
        assert!(out.is_empty());
        out.push(b"abc");
        out.push(b"defghi");
        out.push(b"j");
        assert!(out.overflowed());
        assert_eq!((out.bytes(), out.len()), (b"abc".as_slice(), 3));
        assert_eq!(&room, b"abc.....");
    }

    #[test]
    fn it_can_be_filled_to_the_last_byte() {
        let mut room = [0; 4];
        let mut out = Writer::new(&mut room);
        out.push(b"abcd");
        out.push(b"");
        assert!(!out.overflowed());
        out.push(b"e");
        assert!(out.overflowed());
    }

    #[test]
    fn something_else_writes_into_the_rest() {
        let mut room = [0; 4];
        let mut out = Writer::new(&mut room);
        out.push(b"a");
        out.fill(|rest| {
            rest.copy_from_slice(b"bcd");
            Some(2)
        });
        assert_eq!((out.bytes(), out.overflowed()), (&b"abc"[..], false));
        out.fill(|rest| Some(rest.len() + 1));
        assert_eq!((out.bytes(), out.overflowed()), (&b"abc"[..], true));
        let mut out = Writer::new(&mut room);
        out.fill(|_| None);
        assert!(out.overflowed());
    }

    #[test]
    fn displayed_values_are_written_whole_or_not_at_all() {
        use fmt::Write;
        let mut room = [0; 6];
        let mut out = Writer::new(&mut room);
        assert_eq!(write!(out, "{}", 1234), Ok(()));
        assert_eq!(write!(out, "{}", 567), Err(fmt::Error));
        assert!(out.overflowed());
        assert_eq!(out.bytes(), b"1234");
    }

    #[test]
    fn only_what_was_written_is_written_over() {
        let mut room = [0; 8];
        let mut out = Writer::new(&mut room);
        out.push(b"abcd");
        out.patch(1, b"xy");
        out.patch(3, b"12");
        out.patch(usize::MAX, b"1");
        assert_eq!(out.bytes(), b"axyd");
    }
}
