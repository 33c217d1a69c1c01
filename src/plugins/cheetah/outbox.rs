//! What a client is about to be sent: bounded, taken from the front as the client reads.

use std::io;

use crate::http::output::Sink;
use crate::sys::memory::Region;

/// Most bytes of an answer that wait to be sent.
pub(super) const ROOM: usize = 32 * 1024;
/// Bytes beyond, for the words that end an answer.
const TAIL: usize = 512;
/// Bytes of memory it takes.
pub(super) const BYTES: usize = ROOM + TAIL;

/// The output of one client. Pages that were never filled cost nothing.
pub(super) struct Outbox {
    room: Region,
    start: usize,
    end: usize,
    /// Most bytes that may wait.
    limit: usize,
    /// Something did not fit since the last answer began.
    left_out: bool,
}

impl Outbox {
    /// Takes the memory.
    pub(super) fn new() -> io::Result<Outbox> {
        Ok(Outbox { room: Region::new(BYTES)?, start: 0, end: 0, limit: ROOM, left_out: false })
    }

    /// What waits to be sent.
    pub(super) fn pending(&self) -> &[u8] {
        self.room.get(self.start..self.end).unwrap_or_default()
    }

    /// The first `count` bytes of it are sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.start = self.start.saturating_add(count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// How much waits.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// An answer begins: what comes is left out once there is no room.
    pub(super) fn begin(&mut self) {
        (self.limit, self.left_out) = (ROOM, false);
    }

    /// The answer is over but for a few words, for which there is room in any case. Gives whether anything was left out.
    pub(super) fn end(&mut self) -> bool {
        self.limit = BYTES;
        std::mem::take(&mut self.left_out)
    }

    /// Takes back what was pushed since `len` bytes waited, and whether it fitted: true if all of it did, and then it stays.
    pub(super) fn keep_whole(&mut self, len: usize) -> bool {
        let whole = !self.left_out;
        if !whole {
            self.cut(len);
        }
        whole
    }

    /// Takes back what was pushed since `len` bytes waited.
    pub(super) fn cut(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
        self.left_out = false;
    }
}

impl Sink for Outbox {
    fn push(&mut self, bytes: &[u8]) {
        if self.left_out || self.len() + bytes.len() > self.limit {
            self.left_out = true;
            return;
        }
        if self.end + bytes.len() > self.room.len() {
            self.room.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if let Some(room) = self.room.get_mut(self.end..self.end + bytes.len()) {
            room.copy_from_slice(bytes);
            self.end += bytes.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_is_left_out_and_said_so() {
        let mut out = Outbox::new().unwrap();
        out.begin();
        out.push(&[b'a'; ROOM - 10]);
        out.push(b"0123456789");
        out.push(b"x");
        out.push(b"");
        assert_eq!(out.len(), ROOM);
        assert!(out.end());
        out.push(b"the end");
        assert!(out.pending().ends_with(b"a0123456789the end"));
        assert!(!out.end());
    }

    #[test]
    fn room_comes_back_as_it_is_read() {
        let mut out = Outbox::new().unwrap();
        out.begin();
        out.push(&[b'a'; ROOM]);
        out.sent(ROOM / 2);
        out.push(&[b'b'; ROOM / 2]);
        assert_eq!(out.len(), ROOM);
        assert_eq!(&out.pending()[ROOM / 2 - 1..ROOM / 2 + 1], b"ab");
        let len = out.len();
        out.push(b"line");
        assert!(!out.keep_whole(len));
        assert_eq!(out.len(), ROOM);
        out.sent(usize::MAX);
        assert_eq!(out.len(), 0);
        out.push(b"line");
        assert!(out.keep_whole(0));
        out.cut(2);
        assert_eq!(out.pending(), b"li");
    }
}
