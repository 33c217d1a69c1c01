//! The event hooks: descriptors that a plugin owns, watched by the loop of the main thread or of a worker.

use std::os::fd::BorrowedFd;
use std::sync::Arc;

use crate::sys::Errno;
use crate::sys::epoll::{Epoll, Event, Interest};

/// What happened to a descriptor that is watched. Several can happen at once; each is told, in this order, unless it is removed in
/// between. With [`Watch::Read`] all but the last is told again and again: one that has failed or was closed is to be removed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Happened {
    /// Something can be read, or the end of the stream.
    Readable,
    /// There is room to write.
    Writable,
    /// It has failed: what it is asked for next says why.
    Failed,
    /// The other side ended, nothing more comes behind what can be read.
    Closed,
    /// Nothing happened for as long as was said. It is watched on, without a limit.
    TimedOut,
}

impl Happened {
    /// Those that an event can tell.
    pub const BY_EVENT: [Happened; 4] = [Happened::Readable, Happened::Writable, Happened::Failed, Happened::Closed];
}

/// What is waited for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Watch {
    /// Something to read, told again and again for as long as there is.
    Read,
    /// Something to read, or room to write: each change is told once (edge-triggered), so that the plugin reads and writes until
    /// it is told [`Errno::AGAIN`].
    Changes,
    /// As `Changes`, but for room to write: that is told once it is asked for ([`Watches::wait_for_room`]). Sockets within a machine have
    /// some whenever the other side reads.
    Arrivals,
}

/// One descriptor's place. It is good until it is given to [`Watches::remove`].
#[derive(PartialEq, Eq, Debug)]
pub struct WatchId(u32);

#[derive(Clone, Copy, Default)]
struct Entry {
    /// Changes with each use, so that an event of an earlier one is not taken for one of this.
    generation: u8,
    used: bool,
    plugin: u8,
    key: u32,
    timeout: u32,
    /// Milliseconds when the wait began; meaningless without a timeout.
    since: u32,
}

/// What the plugins of one thread watch. Its size is fixed: one more than fits is refused.
pub struct Watches {
    epoll: Option<Arc<Epoll>>,
    entries: Box<[Entry]>,
    /// The lower half of what the loop's epoll knows these descriptors by.
    token: u32,
    /// Whose hook is being called.
    plugin: u8,
    now: u32,
    timeouts: u32,
    /// No limit runs out before this moment. It may be earlier than the earliest of them.
    next: u32,
    /// No place before this one is free.
    first_free: usize,
}

/// Something a plugin is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Told {
    /// The plugin's number.
    pub plugin: u8,
    /// What it called the descriptor.
    pub key: u32,
    /// What happened.
    pub happened: Happened,
}

impl Watches {
    /// Room for `capacity` descriptors in the loop of an epoll instance, which knows them by `token`. `now` is
    /// [`monotonic_ms`](crate::sys::clock::monotonic_ms).
    pub fn new(epoll: Option<Arc<Epoll>>, capacity: usize, token: u32, now: u32) -> Watches {
        let entries = vec![Entry::default(); capacity.min(1 << 24)].into();
        Watches { epoll, entries, token, plugin: 0, now, timeouts: 0, next: now, first_free: 0 }
    }

    /// Bytes of so many places.
    pub const fn bytes(capacity: usize) -> usize {
        capacity * size_of::<Entry>()
    }

    /// Watches a descriptor. `key` comes back with each event. `timeout` is in milliseconds from now, and from each event on; 0 is no
    /// limit. Fails with ENOSPC when no place is free, with EPERM where the descriptor can not be watched.
    pub fn add(&mut self, fd: BorrowedFd<'_>, watch: Watch, key: u32, timeout: u32) -> Result<WatchId, Errno> {
        let behind = self.entries.get(self.first_free..).unwrap_or_default();
        let index = self.first_free + behind.iter().position(|entry| !entry.used).ok_or(Errno::NOSPC)?;
        let entry = self.entries.get_mut(index).ok_or(Errno::NOSPC)?;
        let generation = entry.generation.wrapping_add(1);
        let id = (u32::from(generation) << 24) | index as u32;
        let interest = match watch {
            Watch::Read => Interest::Read,
            Watch::Changes => Interest::Connection,
            Watch::Arrivals => Interest::Arrivals,
        };
        let epoll = self.epoll.as_ref().ok_or(Errno::NOSPC)?;
        epoll.add(fd, interest, (u64::from(id) << 32) | u64::from(self.token))?;
        *entry = Entry { generation, used: true, plugin: self.plugin, key, timeout, since: self.now };
        self.first_free = index + 1;
        self.timeouts += u32::from(timeout > 0);
        self.ends(timeout);
        Ok(WatchId(id))
    }

    /// Has room to write told too, or no longer, of a descriptor that is watched for [`Watch::Arrivals`].
    pub fn wait_for_room(&mut self, id: &WatchId, fd: BorrowedFd<'_>, wanted: bool) {
        let interest = if wanted { Interest::Connection } else { Interest::Arrivals };
        if let Some(epoll) = &self.epoll {
            let _ = epoll.modify(fd, interest, (u64::from(id.0) << 32) | u64::from(self.token));
        }
    }

    /// Watches a descriptor no longer. It is to be closed after this, not before.
    pub fn remove(&mut self, id: WatchId, fd: BorrowedFd<'_>) {
        if let Some(epoll) = &self.epoll {
            let _ = epoll.remove(fd);
        }
        if let Some(entry) = self.find(id.0) {
            entry.used = false;
            let timed = u32::from(entry.timeout > 0);
            self.timeouts -= timed;
            self.first_free = self.first_free.min((id.0 & 0x00ff_ffff) as usize);
        }
    }

    /// Has another key come back with each event from now on.
    pub fn set_key(&mut self, id: &WatchId, key: u32) {
        if let Some(entry) = self.find(id.0) {
            entry.key = key;
        }
    }

    /// Sets another limit, from now on.
    pub fn set_timeout(&mut self, id: &WatchId, timeout: u32) {
        let now = self.now;
        let Some(entry) = self.find(id.0) else { return };
        let before = u32::from(entry.timeout > 0);
        (entry.timeout, entry.since) = (timeout, now);
        self.timeouts = self.timeouts - before + u32::from(timeout > 0);
        self.ends(timeout);
    }

    /// A limit runs out so much later than now.
    fn ends(&mut self, timeout: u32) {
        let end = self.now.wrapping_add(timeout);
        if timeout > 0 && (self.timeouts == 1 || (end.wrapping_sub(self.next) as i32) < 0) {
            self.next = end;
        }
    }

    fn find(&mut self, id: u32) -> Option<&mut Entry> {
        let entry = self.entries.get_mut((id & 0x00ff_ffff) as usize)?;
        (entry.used && u32::from(entry.generation) == id >> 24).then_some(entry)
    }

    /// For the loop: what time it is, where that is not told with an event.
    pub fn at(&mut self, now: u32) {
        self.now = now;
    }

    /// For the loop: whose hooks are called from here on.
    pub fn of_plugin(&mut self, plugin: u8) -> &mut Watches {
        self.plugin = plugin;
        self
    }

    /// For the loop: what an event means, asked for each of [`Happened::BY_EVENT`]. None = not that, or the descriptor is watched no
    /// longer, and be it since the last of them was told.
    pub fn event(&mut self, event: Event, happened: Happened, now: u32) -> Option<Told> {
        self.now = now;
        let entry = self.find((event.data >> 32) as u32)?;
        entry.since = now;
        let is = match happened {
            Happened::Readable => event.has_input(),
            Happened::Writable => event.writable(),
            Happened::Failed => event.failed(),
            Happened::Closed => event.ended() && !event.failed(),
            Happened::TimedOut => false,
        };
        is.then_some(Told { plugin: entry.plugin, key: entry.key, happened })
    }

    /// For the loop: one whose time is over. Its limit is taken away.
    pub fn expired(&mut self, now: u32) -> Option<Told> {
        self.now = now;
        if self.timeouts == 0 || (now.wrapping_sub(self.next) as i32) < 0 {
            return None;
        }
        let mut left = u32::MAX;
        for entry in self.entries.iter_mut().filter(|entry| entry.used && entry.timeout > 0) {
            let waited = now.wrapping_sub(entry.since);
            if waited >= entry.timeout {
                entry.timeout = 0;
                self.timeouts -= 1;
                return Some(Told { plugin: entry.plugin, key: entry.key, happened: Happened::TimedOut });
            }
            left = left.min(entry.timeout - waited);
        }
        self.next = now.wrapping_add(left);
        None
    }

    /// For the loop: milliseconds until the next limit runs out.
    pub fn wait(&self, now: u32) -> Option<u32> {
        (self.timeouts > 0).then(|| (self.next.wrapping_sub(now) as i32).max(0) as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;

    use super::*;
    use crate::sys::epoll::Events;
    use crate::sys::pipe::{pipe, read, write};

    const TOKEN: u32 = 7;

    struct Loop {
        epoll: Arc<Epoll>,
        events: Events,
        watches: Watches,
    }

    impl Loop {
        fn new(capacity: usize) -> Loop {
            let epoll = Arc::new(Epoll::new().unwrap());
            let watches = Watches::new(Some(Arc::clone(&epoll)), capacity, TOKEN, 0);
            Loop { epoll, events: Events::with_capacity(8), watches }
        }

        /// What is told at a moment.
        fn told(&mut self, now: u32) -> Vec<(u8, u32, Happened)> {
            self.epoll.wait(&mut self.events, Some(0)).unwrap();
            let mut all = Vec::new();
            for event in (0..self.events.len()).filter_map(|index| self.events.get(index)) {
                assert_eq!(event.data as u32, TOKEN);
                all.extend(Happened::BY_EVENT.into_iter().filter_map(|it| self.watches.event(event, it, now)));
            }
            while let Some(told) = self.watches.expired(now) {
                all.push(told);
            }
            all.into_iter().map(|told| (told.plugin, told.key, told.happened)).collect()
        }
    }

    #[test]
    fn each_thing_that_happens_is_told_to_its_plugin() {
        let mut inner = Loop::new(4);
        let (out, into) = pipe().unwrap();
        let reader = inner.watches.of_plugin(1).add(out.as_fd(), Watch::Read, 10, 0).unwrap();
        inner.watches.of_plugin(2).add(into.as_fd(), Watch::Changes, 20, 0).unwrap();
        assert_eq!(inner.told(0), [(2, 20, Happened::Writable)]);
        write(into.as_fd(), b"x").unwrap();
        // What can be read is told until it is read; room to write once.
        for _ in 0..2 {
            assert!(inner.told(0).contains(&(1, 10, Happened::Readable)));
        }
        assert_eq!(inner.told(0), [(1, 10, Happened::Readable)]);
        read(out.as_fd(), &mut [0; 8]).unwrap();
        assert_eq!(inner.told(0), []);
        drop(into);
        assert_eq!(inner.told(0), [(1, 10, Happened::Closed)]);
        inner.watches.remove(reader, out.as_fd());
        assert_eq!(inner.told(0), []);
    }

    #[test]
    fn a_writer_whose_reader_is_gone_has_failed() {
        let mut inner = Loop::new(1);
        let (out, into) = pipe().unwrap();
        drop(out);
        inner.watches.add(into.as_fd(), Watch::Changes, 5, 0).unwrap();
        assert!(inner.told(0).contains(&(0, 5, Happened::Failed)));
    }

    #[test]
    fn nothing_more_is_told_of_one_that_was_removed() {
        let mut inner = Loop::new(1);
        let (out, into) = pipe().unwrap();
        let id = inner.watches.add(out.as_fd(), Watch::Read, 1, 0).unwrap();
        write(into.as_fd(), b"x").unwrap();
        drop(into);
        inner.epoll.wait(&mut inner.events, Some(0)).unwrap();
        let event = inner.events.get(0).unwrap();
        assert!(inner.watches.event(event, Happened::Readable, 0).is_some());
        assert!(inner.watches.event(event, Happened::Closed, 0).is_some());
        inner.watches.remove(id, out.as_fd());
        // Another in the same place, with the same key.
        inner.watches.add(out.as_fd(), Watch::Read, 1, 0).unwrap();
        assert_eq!(inner.watches.event(event, Happened::Closed, 0), None);
    }

    #[test]
    fn a_limit_runs_out_once_and_an_event_puts_it_off() {
        let mut inner = Loop::new(2);
        let (out, into) = pipe().unwrap();
        assert_eq!(inner.watches.wait(0), None);
        let id = inner.watches.add(out.as_fd(), Watch::Read, 1, 100).unwrap();
        assert_eq!((inner.told(99), inner.watches.wait(99)), (vec![], Some(1)));
        write(into.as_fd(), b"x").unwrap();
        assert_eq!(inner.told(99), [(0, 1, Happened::Readable)]);
        read(out.as_fd(), &mut [0; 8]).unwrap();
        assert_eq!(inner.told(198), []);
        assert_eq!(inner.told(199), [(0, 1, Happened::TimedOut)]);
        assert_eq!((inner.told(10_000), inner.watches.wait(10_000)), (vec![], None));
        inner.watches.set_timeout(&id, 5);
        assert_eq!(inner.told(10_005), [(0, 1, Happened::TimedOut)]);
        inner.watches.remove(id, out.as_fd());
        assert_eq!(inner.watches.wait(0), None);
    }

    #[test]
    fn a_place_is_used_again_and_what_is_full_refuses() {
        let mut inner = Loop::new(1);
        let (out, into) = pipe().unwrap();
        write(into.as_fd(), b"x").unwrap();
        let id = inner.watches.add(out.as_fd(), Watch::Read, 1, 0).unwrap();
        assert_eq!(inner.watches.add(into.as_fd(), Watch::Changes, 2, 0), Err(Errno::NOSPC));
        // An event that is under way when its watch ends is of nobody, even if the place is taken again.
        inner.epoll.wait(&mut inner.events, Some(0)).unwrap();
        let event = inner.events.get(0).unwrap();
        inner.watches.remove(id, out.as_fd());
        assert_eq!(inner.watches.event(event, Happened::Readable, 0), None);
        inner.watches.add(into.as_fd(), Watch::Changes, 3, 0).unwrap();
        assert_eq!(inner.watches.event(event, Happened::Readable, 0), None);
        assert_eq!(inner.told(0), [(0, 3, Happened::Writable)]);
    }
}
