//! A worker's open root directories. Each is opened anew after a second, so that a root that was swapped, remounted or
//! replaced is seen, and closed when nobody asks, so that its file system can be unmounted.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::limits::ROOTS_MAX;
use crate::sys::Errno;
use crate::sys::file::open_directory;
use crate::vhost::live::{Live, RootId};

/// Milliseconds for which an open root, or what was found beneath it, is trusted.
pub const FRESH_MS: u32 = 1000;

struct Root {
    directory: OwnedFd,
    opened: u32,
}

/// The open roots of one worker.
pub struct Roots {
    roots: Vec<Option<Root>>,
    open: usize,
}

impl Roots {
    /// None open yet; room for as many as the configuration has.
    pub fn new(live: &Live) -> Roots {
        Roots { roots: (0..live.roots()).map(|_| None).collect(), open: 0 }
    }

    /// The open directory of a root, and when it was opened: what is found beneath it is as old as that.
    pub fn get(&mut self, live: &Live, root: RootId, now: u32) -> Result<(BorrowedFd<'_>, u32), Errno> {
        let slot = self.roots.get_mut(usize::from(root)).ok_or(Errno::NOENT)?;
        if slot.as_ref().is_none_or(|root| now.wrapping_sub(root.opened) >= FRESH_MS) {
            if slot.take().is_some() {
                self.open -= 1;
            }
            let directory = open_directory(live.root(root).ok_or(Errno::NOENT)?)?;
            if self.open >= ROOTS_MAX {
                self.close_oldest(now);
            }
            let slot = self.roots.get_mut(usize::from(root)).ok_or(Errno::NOENT)?;
            *slot = Some(Root { directory, opened: now });
            self.open += 1;
        }
        let slot = self.roots.get(usize::from(root)).and_then(Option::as_ref);
        slot.map(|root| (root.directory.as_fd(), root.opened)).ok_or(Errno::NOENT)
    }

    fn close_oldest(&mut self, now: u32) {
        let age = |slot: &&mut Option<Root>| slot.as_ref().map(|root| now.wrapping_sub(root.opened));
        if let Some(slot) = self.roots.iter_mut().max_by_key(age)
            && slot.take().is_some()
        {
            self.open -= 1;
        }
    }

    /// Closes what was not opened within `age` milliseconds.
    pub fn sweep(&mut self, now: u32, age: u32) {
        for slot in &mut self.roots {
            if slot.as_ref().is_some_and(|root| now.wrapping_sub(root.opened) >= age) {
                *slot = None;
                self.open -= 1;
            }
        }
    }

    /// How many are open.
    pub fn open(&self) -> usize {
        self.open
    }
}
