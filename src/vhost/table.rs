//! A worker's table of open files: what a path led to a moment ago, with its answer already written.
//!
//! An entry is found by site, variant and whole path, is trusted for a second and then looked at again. Its record in
//! the arena holds the path, the head of the plain answer and, for a small file, the body right behind it, so that a
//! hit is one send. What led to nothing is kept apart, so that a scan for pages that do not exist drives out no page
//! that does.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::storage::arena::Arena;
use crate::vhost::entry::{Entry, Key, NewEntry, hash_bytes, split_path};
use crate::vhost::roots::FRESH_MS;
use crate::wire::chars::same;
use crate::wire::date::DATE_LEN;

const NONE: u16 = u16::MAX;

/// Which of the two halves of the table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Half {
    /// Files and directories.
    Hits,
    /// Paths that led to nothing.
    Misses,
}

/// An entry's place in the table. Valid until the entry is replaced; a pinned entry is not replaced.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntryId {
    half: Half,
    index: u16,
}

struct Shelf {
    buckets: Box<[u16]>,
    /// Grows up to its capacity as entries are first used, so that an idle server has few pages of it.
    entries: Vec<Entry>,
    arena: Arena,
}

/// The table of one worker.
pub struct OpenFiles {
    hits: Shelf,
    misses: Shelf,
    seed: u64,
    open: usize,
}

impl Shelf {
    fn new(entries: u16, bytes: usize) -> io::Result<Shelf> {
        let buckets = usize::from(entries).next_power_of_two();
        Ok(Shelf {
            buckets: vec![NONE; buckets].into_boxed_slice(),
            entries: Vec::with_capacity(usize::from(entries)),
            arena: Arena::new(bytes)?,
        })
    }

    fn bucket(&mut self, hash: u64) -> Option<&mut u16> {
        let mask = self.buckets.len().wrapping_sub(1);
        self.buckets.get_mut(hash as usize & mask)
    }

    #[cfg_attr(tuned, optimize(speed))]
    fn find(&mut self, hash: u64, key: &Key<'_>) -> Option<u16> {
        let mut index = *self.bucket(hash)?;
        while let Some(entry) = self.entries.get(usize::from(index)) {
            if entry.hash == hash
                && entry.live
                && entry.site == key.site
                && entry.variant == key.variant
                && let Some(text) = self.arena.get(entry.record)
                && same(split_path(text, entry.path_len).1, key.path)
            {
                return Some(index);
            }
            index = entry.next;
        }
        None
    }

    fn unlink(&mut self, index: u16) {
        let Some(hash) = self.entries.get(usize::from(index)).map(|entry| entry.hash) else { return };
        let next = self.entries.get(usize::from(index)).map_or(NONE, |entry| entry.next);
        let Some(head) = self.bucket(hash) else { return };
        if *head == index {
            *head = next;
            return;
        }
        let mut at = *head;
        while let Some(entry) = self.entries.get_mut(usize::from(at)) {
            if entry.next == index {
                entry.next = next;
                return;
            }
            at = entry.next;
        }
    }

    /// The least recently used entry that nobody has pinned.
    fn victim(&self, now: u32) -> Option<u16> {
        let unpinned = self.entries.iter().enumerate().filter(|(_, entry)| entry.pins == 0);
        let oldest = unpinned.max_by_key(|(_, entry)| if entry.live { now.wrapping_sub(entry.used) } else { u32::MAX });
        oldest.map(|(index, _)| index as u16)
    }
}

impl OpenFiles {
    /// A table of `hits` files and `misses` dead ends, whose answers take up to `hit_bytes` and `miss_bytes`.
    pub fn new(hits: u16, hit_bytes: usize, misses: u16, miss_bytes: usize, seed: u64) -> io::Result<OpenFiles> {
        let hits = Shelf::new(hits, hit_bytes)?;
        Ok(OpenFiles { hits, misses: Shelf::new(misses, miss_bytes)?, seed, open: 0 })
    }

    /// Bytes that entries and buckets of a table of this size take, without their records.
    pub fn index_bytes(entries: u16) -> usize {
        usize::from(entries) * std::mem::size_of::<Entry>() + 2 * usize::from(entries).next_power_of_two()
    }

    fn shelf(&self, half: Half) -> &Shelf {
        match half {
            Half::Hits => &self.hits,
            Half::Misses => &self.misses,
        }
    }

    fn shelf_mut(&mut self, half: Half) -> &mut Shelf {
        match half {
            Half::Hits => &mut self.hits,
            Half::Misses => &mut self.misses,
        }
    }

    #[inline(always)]
    fn hash(&self, key: &Key<'_>) -> u64 {
        hash_bytes(self.seed ^ (u64::from(key.site) << 8) ^ u64::from(key.variant), key.path)
    }

    /// The entry of a key that was looked at within the last second.
    pub fn find(&mut self, key: &Key<'_>, now: u32) -> Option<EntryId> {
        let hash = self.hash(key);
        self.find_in(Half::Hits, hash, key, now).or_else(|| self.find_in(Half::Misses, hash, key, now))
    }

    #[cfg_attr(tuned, optimize(speed))]
    #[inline(always)]
    fn find_in(&mut self, half: Half, hash: u64, key: &Key<'_>, now: u32) -> Option<EntryId> {
        let shelf = self.shelf_mut(half);
        let index = shelf.find(hash, key)?;
        let entry = shelf.entries.get_mut(usize::from(index))?;
        if now.wrapping_sub(entry.checked) >= FRESH_MS {
            return None;
        }
        entry.used = now;
        Some(EntryId { half, index })
    }

    /// The entry of a key whose file was found unchanged, as of the moment `checked`, made fresh again: same status, same
    /// file, same tag.
    pub fn refresh(
        &mut self,
        key: &Key<'_>,
        (status, identity, etag): (u16, u64, u64),
        checked: u32,
        now: u32,
    ) -> Option<EntryId> {
        let hash = self.hash(key);
        let index = self.hits.find(hash, key)?;
        let entry = self.hits.entries.get_mut(usize::from(index))?;
        if entry.status != status || entry.identity != identity || entry.etag != etag || entry.file.is_none() {
            return None;
        }
        (entry.checked, entry.used) = (checked, now);
        Some(EntryId { half: Half::Hits, index })
    }

    /// Enters what a key led to, replacing what was known of it. The record is `head`, room for `body` bytes, then
    /// `key.path`. None = every entry is pinned, or the text is too long to keep.
    pub fn insert(
        &mut self,
        half: Half,
        key: &Key<'_>,
        head: &[u8],
        body: usize,
        new: NewEntry,
        now: u32,
    ) -> Option<EntryId> {
        let hash = self.hash(key);
        self.forget(hash, key);
        let opens = usize::from(new.file.is_some());
        let shelf = self.shelf_mut(half);
        let index = if shelf.entries.len() < shelf.entries.capacity() {
            shelf.entries.len() as u16
        } else {
            shelf.victim(now)?
        };
        // A record of no bytes would be one that is gone.
        let record = shelf.arena.reserve((key.path.len() + head.len() + body).max(1))?;
        let text = shelf.arena.get_mut(record)?;
        // The answer comes first, so that what is sent begins at a cache line.
        let answer = text.len().checked_sub(key.path.len())?;
        let (answer, path) = text.split_at_mut_checked(answer)?;
        path.copy_from_slice(key.path);
        answer.get_mut(..head.len())?.copy_from_slice(head);
        shelf.unlink(index);
        let next = std::mem::replace(shelf.bucket(hash)?, index);
        let entry = Entry {
            hash,
            next,
            site: key.site,
            variant: key.variant,
            live: true,
            pins: 0,
            path_len: key.path.len() as u16,
            used: now,
            checked: new.checked,
            date_second: 0,
            record,
            status: new.status,
            directory: new.directory,
            layout: new.layout,
            body: body as u32,
            file: new.file,
            size: new.size,
            mtime: new.mtime,
            identity: new.identity,
            etag: new.etag,
        };
        let closes = match shelf.entries.get_mut(usize::from(index)) {
            Some(place) => std::mem::replace(place, entry).file.is_some(),
            None => {
                shelf.entries.push(entry);
                false
            }
        };
        self.open = self.open + opens - usize::from(closes);
        Some(EntryId { half, index })
    }

    /// Enters an answer that stands in the record as a whole: `answer` is head and body.
    pub fn insert_whole(
        &mut self,
        half: Half,
        key: &Key<'_>,
        answer: &[u8],
        new: NewEntry,
        now: u32,
    ) -> Option<EntryId> {
        let head = usize::from(new.layout.head);
        let id = self.insert(half, key, answer, 0, new, now)?;
        let entry = self.shelf_mut(half).entries.get_mut(usize::from(id.index))?;
        entry.body = answer.len().saturating_sub(head) as u32;
        Some(id)
    }

    /// The most bytes that path, head and body of one entry may take together.
    pub fn longest(&self, half: Half) -> usize {
        self.shelf(half).arena.longest()
    }

    /// Takes what is known of a key out of both halves. A pinned entry lives on, unfindable, until it is unpinned.
    fn forget(&mut self, hash: u64, key: &Key<'_>) {
        for half in [Half::Hits, Half::Misses] {
            let shelf = self.shelf_mut(half);
            if let Some(index) = shelf.find(hash, key)
                && let Some(entry) = shelf.entries.get_mut(usize::from(index))
            {
                entry.live = false;
                self.close_if_done(EntryId { half, index });
            }
        }
    }

    fn close_if_done(&mut self, id: EntryId) {
        let Some(entry) = self.shelf_mut(id.half).entries.get_mut(usize::from(id.index)) else { return };
        if entry.pins == 0 && !entry.live && entry.file.take().is_some() {
            self.open -= 1;
        }
    }

    /// An entry by its place.
    pub fn entry(&self, id: EntryId) -> Option<&Entry> {
        self.shelf(id.half).entries.get(usize::from(id.index))
    }

    /// When what an entry says was so, milliseconds.
    pub fn checked(&self, id: EntryId) -> Option<u32> {
        self.entry(id).map(|entry| entry.checked)
    }

    /// The open file of an entry.
    pub fn file(&self, id: EntryId) -> Option<BorrowedFd<'_>> {
        self.entry(id)?.file.as_ref().map(|file| file.as_fd())
    }

    /// The head and body of an entry's plain answer, as far as the record holds them.
    pub fn answer(&self, id: EntryId) -> Option<&[u8]> {
        let entry = self.entry(id)?;
        let text = self.shelf(id.half).arena.get(entry.record)?;
        Some(split_path(text, entry.path_len).0)
    }

    /// The file of an entry and the room for its body in the record, to fill one from the other.
    pub fn file_and_room(&mut self, id: EntryId) -> Option<(BorrowedFd<'_>, &mut [u8])> {
        let shelf = match id.half {
            Half::Hits => &mut self.hits,
            Half::Misses => &mut self.misses,
        };
        let entry = shelf.entries.get(usize::from(id.index))?;
        let start = usize::from(entry.layout.head);
        let text = shelf.arena.get_mut(entry.record)?;
        let end = text.len().checked_sub(usize::from(entry.path_len))?;
        let room = text.get_mut(start..end)?;
        Some((entry.file.as_ref()?.as_fd(), room))
    }

    /// Gives an entry up whose body could not be read.
    pub fn discard(&mut self, id: EntryId) {
        if let Some(entry) = self.shelf_mut(id.half).entries.get_mut(usize::from(id.index)) {
            entry.live = false;
        }
        self.close_if_done(id);
    }

    /// Brings the date in an entry's head up to the second.
    pub fn stamp(&mut self, id: EntryId, second: u32, date: &[u8; DATE_LEN]) {
        let shelf = match id.half {
            Half::Hits => &mut self.hits,
            Half::Misses => &mut self.misses,
        };
        let Some(entry) = shelf.entries.get_mut(usize::from(id.index)) else { return };
        if entry.date_second == second || entry.layout.date == 0 {
            return;
        }
        let start = usize::from(entry.layout.date);
        if let Some(text) = shelf.arena.get_mut(entry.record)
            && let Some(place) = text.get_mut(start..start + DATE_LEN)
        {
            place.copy_from_slice(date);
            entry.date_second = second;
        }
    }

    /// Keeps an entry and its file until [`OpenFiles::unpin`], for an answer that is under way.
    #[inline(always)]
    pub fn pin(&mut self, id: EntryId) {
        if let Some(entry) = self.shelf_mut(id.half).entries.get_mut(usize::from(id.index)) {
            entry.pins = entry.pins.saturating_add(1);
        }
    }

    /// Ends a pin.
    pub fn unpin(&mut self, id: EntryId) {
        if let Some(entry) = self.shelf_mut(id.half).entries.get_mut(usize::from(id.index)) {
            entry.pins = entry.pins.saturating_sub(1);
        }
        self.close_if_done(id);
    }

    /// Closes the files that nobody asked for within `age` milliseconds.
    pub fn sweep(&mut self, now: u32, age: u32) {
        for half in [Half::Hits, Half::Misses] {
            for index in 0..self.shelf(half).entries.len() {
                if let Some(entry) = self.shelf_mut(half).entries.get_mut(index)
                    && now.wrapping_sub(entry.checked) >= age
                {
                    entry.live = false;
                    self.close_if_done(EntryId { half, index: index as u16 });
                }
            }
        }
    }

    /// Forgets everything that no answer under way needs: the configuration has changed.
    pub fn clear(&mut self) {
        self.sweep(0, 0);
    }

    /// How many files are open.
    pub fn open(&self) -> usize {
        self.open
    }

    /// How often entries are kept by answers under way.
    pub fn pins(&self) -> usize {
        let shelves = [&self.hits, &self.misses].into_iter();
        shelves.flat_map(|shelf| &shelf.entries).map(|entry| usize::from(entry.pins)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vhost::entry::Layout;

    fn new_entry(status: u16, file: bool) -> NewEntry {
        let file = file.then(|| std::fs::File::open("/dev/null").unwrap().into());
        NewEntry {
            status,
            directory: false,
            layout: Layout { head: 4, ..Layout::default() },
            file,
            size: 3,
            mtime: 0,
            identity: 7,
            etag: 9,
            checked: 0,
        }
    }

    fn key(path: &[u8]) -> Key<'_> {
        Key { site: 0, variant: 0, path }
    }

    fn table(hits: u16) -> OpenFiles {
        OpenFiles::new(hits, 64 * 1024, 2, 4096, 42).unwrap()
    }

    #[test]
    fn an_entry_is_found_by_its_whole_key_for_a_second() {
        let mut table = table(8);
        let new = NewEntry { checked: 100, ..new_entry(200, true) };
        let id = table.insert(Half::Hits, &key(b"/a"), b"HEAD", 3, new, 200).unwrap();
        assert_eq!(table.find(&key(b"/a"), 1000), Some(id));
        assert_eq!(table.find(&key(b"/b"), 1000), None);
        assert_eq!(table.find(&Key { variant: 1, ..key(b"/a") }, 1000), None);
        assert_eq!(table.find(&Key { site: 1, ..key(b"/a") }, 1000), None);
        assert_eq!(table.find(&key(b"/a"), 1100), None, "stale");
        assert_eq!(table.refresh(&key(b"/a"), (200, 8, 9), 1100, 1100), None, "another file");
        assert_eq!(table.refresh(&key(b"/a"), (200, 7, 9), 1100, 1100), Some(id));
        assert_eq!(table.find(&key(b"/a"), 1200), Some(id));
        assert_eq!(&table.answer(id).unwrap()[..4], b"HEAD");
    }

    #[test]
    fn a_pinned_entry_survives_replacement_and_sweep_until_unpinned() {
        let mut table = table(2);
        let first = table.insert(Half::Hits, &key(b"/a"), b"HEAD", 3, new_entry(200, true), 0).unwrap();
        table.pin(first);
        let second = table.insert(Half::Hits, &key(b"/a"), b"HEAD", 3, new_entry(200, true), 1).unwrap();
        assert_ne!(first, second);
        assert_eq!(table.open(), 2);
        table.sweep(5000, 1000);
        assert_eq!(table.open(), 1, "the pinned one stays open");
        assert!(table.file(first).is_some());
        table.unpin(first);
        assert_eq!(table.open(), 0);
    }

    #[test]
    fn a_full_table_drives_out_the_least_recently_used_and_never_a_pinned_one() {
        let mut table = table(2);
        let a = table.insert(Half::Hits, &key(b"/a"), b"HEAD", 3, new_entry(200, true), 0).unwrap();
        table.insert(Half::Hits, &key(b"/b"), b"HEAD", 3, new_entry(200, true), 1).unwrap();
        assert!(table.find(&key(b"/a"), 2).is_some());
        table.insert(Half::Hits, &key(b"/c"), b"HEAD", 3, new_entry(200, true), 3).unwrap();
        assert!(table.find(&key(b"/b"), 4).is_none());
        assert!(table.find(&key(b"/a"), 4).is_some());
        let c = table.find(&key(b"/c"), 4).unwrap();
        table.pin(a);
        table.pin(c);
        assert_eq!(table.insert(Half::Hits, &key(b"/d"), b"HEAD", 3, new_entry(200, true), 5), None, "full");
        assert_eq!(table.open(), 2);
    }

    #[test]
    fn a_path_that_begins_to_exist_is_no_miss_any_more() {
        let mut table = table(2);
        table.insert(Half::Misses, &key(b"/a"), b"HEAD", 3, new_entry(404, false), 0).unwrap();
        table.insert(Half::Hits, &key(b"/a"), b"HEAD", 3, new_entry(200, true), 0).unwrap();
        let id = table.find(&key(b"/a"), 1).unwrap();
        assert_eq!(table.entry(id).unwrap().status, 200);
    }

    #[test]
    fn an_entry_without_path_and_answer_has_a_place() {
        let mut table = table(2);
        let id = table.insert(Half::Misses, &key(b""), b"", 0, new_entry(404, false), 0).unwrap();
        assert_eq!(table.entry(id).unwrap().status, 404);
    }

    #[test]
    fn the_date_is_stamped_once_a_second() {
        let mut table = table(2);
        let mut new = new_entry(200, false);
        new.layout.date = 1;
        let id = table.insert(Half::Hits, &key(b"/a"), &[b'-'; 40], 0, new, 0).unwrap();
        table.stamp(id, 5, &[b'x'; DATE_LEN]);
        table.stamp(id, 5, &[b'y'; DATE_LEN]);
        assert_eq!(&table.answer(id).unwrap()[..31], [b"-".as_slice(), &[b'x'; DATE_LEN], b"-"].concat());
    }
}
