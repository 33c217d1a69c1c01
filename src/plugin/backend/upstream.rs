//! What all workers know of a server: how many connections there are to it, how many requests wait for one, and whether it works.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

pub use crate::config::plugins::backend::Address;
use crate::sys::Errno;
use crate::sys::socket;
use crate::sys::unix::connect_at_once;

/// Begins a connection. See [`socket::connect`] for `fast_open`.
pub fn connect(to: &Address, fast_open: bool) -> Result<OwnedFd, Errno> {
    match to {
        Address::Net(address) => socket::connect(*address, fast_open),
        Address::Local(path) => connect_at_once(path),
    }
}

/// What all workers know of one server.
#[derive(Debug, Default)]
pub struct Shared {
    /// Connections to it, those that are kept included.
    taken: AtomicU32,
    /// Those of them that are kept without a request.
    resting: AtomicU32,
    /// Failures in a row.
    failures: AtomicU32,
    /// Milliseconds ([`monotonic_ms`](crate::sys::clock::monotonic_ms)) since which it is not asked; meaningless without failures.
    since: AtomicU32,
    /// Requests that wait for a connection.
    wanted: AtomicU32,
}

/// What is known of each server that anybody asks, so that it outlasts a reload. Looked at when workers are made and when a
/// configuration comes into force, never while requests are served.
static KNOWN: Mutex<Vec<(Address, Weak<Shared>)>> = Mutex::new(Vec::new());

/// What all workers know of the server at an address. Takes a lock, and may allocate.
pub fn shared(address: &Address) -> Arc<Shared> {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|(_, shared)| shared.strong_count() > 0);
    if let Some(shared) = known.iter().find(|(at, _)| at == address).and_then(|(_, shared)| shared.upgrade()) {
        return shared;
    }
    let shared = Arc::new(Shared::default());
    known.push((address.clone(), Arc::downgrade(&shared)));
    shared
}

impl Shared {
    /// Takes one of `most` connections. False = all are taken: a FastCGI child serves one connection to its end, so one more would wait
    /// for whoever has a kept one.
    pub fn take(&self, most: u32) -> bool {
        let one_more = |taken: u32| (taken < most).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    /// Gives a connection back that is closed.
    pub fn give(&self) {
        let _ = self.taken.fetch_update(Ordering::AcqRel, Ordering::Acquire, |taken| taken.checked_sub(1));
    }

    /// Connections that are taken.
    pub fn taken(&self) -> u32 {
        self.taken.load(Ordering::Acquire)
    }

    /// Connections that carry a request.
    pub fn busy(&self) -> u32 {
        self.taken().saturating_sub(self.resting.load(Ordering::Acquire))
    }

    /// So many more of the connections carry no request, or so many fewer.
    pub fn rest(&self, more: i32) {
        let add = |resting: u32| resting.checked_add_signed(more);
        let _ = self.resting.fetch_update(Ordering::AcqRel, Ordering::Acquire, add);
    }

    /// So many more requests wait for a connection, or so many fewer.
    pub fn want(&self, more: i32) {
        let _ = self.wanted.fetch_update(Ordering::AcqRel, Ordering::Acquire, |wanted| wanted.checked_add_signed(more));
    }

    /// Requests that wait for a connection.
    pub fn wanted(&self) -> u32 {
        self.wanted.load(Ordering::Acquire)
    }

    /// It could not be reached, or has not answered.
    pub fn failed(&self, now: u32) {
        self.since.store(now, Ordering::Relaxed);
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    /// It has answered.
    pub fn works(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// Whether it is asked: it has failed less than `attempts` times in a row, or not for `offline` milliseconds.
    pub fn is_alive(&self, attempts: u32, offline: u32, now: u32) -> bool {
        self.failures.load(Ordering::Relaxed) < attempts.max(1)
            || now.wrapping_sub(self.since.load(Ordering::Relaxed)) >= offline
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_than_there_are() {
        let shared = Shared::default();
        assert!(shared.take(2) && shared.take(2) && !shared.take(2));
        shared.give();
        assert!(shared.take(2) && !shared.take(2));
        for _ in 0..3 {
            shared.give();
        }
        assert_eq!(shared.taken(), 0);
    }

    #[test]
    fn who_fails_is_left_alone_for_a_while() {
        let shared = Shared::default();
        shared.failed(u32::MAX);
        assert!(shared.is_alive(2, 100, 5));
        shared.failed(u32::MAX);
        assert!(!shared.is_alive(2, 100, 98));
        assert!(shared.is_alive(2, 100, 99));
        shared.works();
        assert!(shared.is_alive(2, 100, 0));
    }
}
