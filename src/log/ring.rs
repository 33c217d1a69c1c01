//! The last lines of the logs, in memory: for a device without a disk to write on. The plugin logger fills it (`Target memory:KB`), the
//! admin shell reads it.

use std::io;
use std::sync::{Mutex, PoisonError};

use crate::sys::memory::Region;

struct Ring {
    room: Region,
    /// Where the next byte goes.
    at: usize,
    /// Whether it has gone round.
    full: bool,
}

static RING: Mutex<Option<Ring>> = Mutex::new(None);

/// Takes `len` bytes for the ring, unless it is there already: its size is that of the first call.
pub fn open(len: usize) -> io::Result<()> {
    let mut ring = RING.lock().unwrap_or_else(PoisonError::into_inner);
    if ring.is_none() {
        *ring = Some(Ring { room: Region::new(len)?, at: 0, full: false });
    }
    Ok(())
}

/// Appends bytes over the oldest ones. Without a ring they are gone.
pub fn push(mut bytes: &[u8]) {
    let mut ring = RING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(Ring { room, at, full }) = &mut *ring else { return };
    while let Some(rest) = room.get_mut(*at..).filter(|rest| !rest.is_empty() && !bytes.is_empty()) {
        let (now, later) = bytes.split_at(bytes.len().min(rest.len()));
        if let Some(rest) = rest.get_mut(..now.len()) {
            rest.copy_from_slice(now);
        }
        *at += now.len();
        if *at == room.len() {
            (*at, *full) = (0, true);
        }
        bytes = later;
    }
}

/// Calls `read` with what is in the ring, the oldest whole line first, in one piece or in two. False = there is no ring. `read` is to
/// be quick: whoever writes logs waits for it.
pub fn read(read: &mut dyn FnMut(&[u8])) -> bool {
    let ring = RING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(Ring { room, at, full }) = &*ring else { return false };
    let (newer, older) = room.split_at_checked(*at).unwrap_or((room, b""));
    let mut pieces = if *full { [older, newer] } else { [newer, b""] };
    if *full {
        // The oldest line has lost its beginning.
        for piece in &mut pieces {
            let end = piece.iter().position(|&byte| byte == b'\n');
            *piece = end.and_then(|end| piece.get(end + 1..)).unwrap_or_default();
            if end.is_some() {
                break;
            }
        }
    }
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        read(piece);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Option<String> {
        let mut all = Vec::new();
        read(&mut |bytes| all.extend_from_slice(bytes)).then(|| String::from_utf8(all).unwrap())
    }

    // One test, for there is one ring in the process.
    #[test]
    fn the_newest_whole_lines_are_kept() {
        push(b"nowhere\n");
        assert_eq!(content(), None);
        open(20).unwrap();
        open(4000).unwrap();
        assert_eq!(content().as_deref(), Some(""));
        push(b"one\ntwo\n");
        assert_eq!(content().as_deref(), Some("one\ntwo\n"));
        push(b"three\nfour\n");
        assert_eq!(content().as_deref(), Some("one\ntwo\nthree\nfour\n"));
        push(b"5\n");
        assert_eq!(content().as_deref(), Some("two\nthree\nfour\n5\n"));
        for number in 0..100 {
            push(format!("line {number}\n").as_bytes());
            let content = content().unwrap();
            assert!(content.len() <= 20 && content.ends_with(&format!("line {number}\n")), "{content:?}");
            assert!(
                content.lines().all(|line| line == "four" || line == "5" || line.starts_with("line ")),
                "{content:?}"
            );
        }
        push(b"a line that is longer than the whole ring\n");
        assert_eq!(content().as_deref(), Some(""));
        push(b"x\n");
        assert_eq!(content().as_deref(), Some("x\n"));
    }
}
