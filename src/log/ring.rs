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

/// Calls `each` with the last whole lines of the ring, without their ends, the oldest first: `count` of them, or as many as are not
/// more than `most` bytes with their ends. False = there is no ring. `each` is to be quick: whoever writes logs waits for it.
pub fn last_lines(count: usize, most: usize, each: &mut dyn FnMut(&[u8])) -> bool {
    let mut ring = RING.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(Ring { room, at, full }) = &mut *ring else { return false };
    let content = if *full {
        // Turned until the oldest byte is the first, so that no line is in two pieces.
        let (newer, older) = room.split_at_mut_checked(*at).unwrap_or_default();
        newer.reverse();
        older.reverse();
        room.reverse();
        *at = 0;
        // The oldest line has lost its beginning.
        let end = room.iter().position(|&byte| byte == b'\n');
        end.and_then(|end| room.get(end + 1..)).unwrap_or_default()
    } else {
        room.get(..*at).unwrap_or_default()
    };
    let mut rest = content;
    let mut begin = content.len();
    for _ in 0..count {
        let Some((_, before)) = rest.split_last() else { break };
        let line = before.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        if content.len() - line > most {
            break;
        }
        begin = line;
        rest = rest.get(..line).unwrap_or_default();
    }
    for line in content.get(begin..).unwrap_or_default().split_inclusive(|&byte| byte == b'\n') {
        each(line.strip_suffix(b"\n").unwrap_or(line));
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Option<String> {
        let mut all = String::new();
        last_lines(usize::MAX, usize::MAX, &mut |line| all += &format!("{}\n", str::from_utf8(line).unwrap()))
            .then_some(all)
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
        let mut last = Vec::new();
        assert!(last_lines(2, 99, &mut |line| last.push(line.to_vec())) && last == [&b"four"[..], b"5"]);
        for (most, count) in [(0, 0), (1, 0), (2, 1), (6, 1), (7, 2), (12, 2), (13, 3), (17, 4)] {
            let mut there = 0;
            assert!(last_lines(9, most, &mut |_| there += 1) && there == count, "{most}: {there}");
        }
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
