//! A ring of records of any length: new ones overwrite the oldest. A record is a position that ages out, never a
//! pointer, so that reading one that was overwritten answers None.

use std::io;
use std::ops::Range;

use crate::sys::memory::Region;

/// Where a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Record {
    /// Position in the endless sequence of bytes ever reserved, which tells its age.
    position: u64,
    offset: u32,
    len: u32,
}

/// The ring. Its memory is mapped once and becomes resident as it is first written.
pub struct Arena {
    region: Region,
    next: u64,
}

impl Arena {
    /// A ring of `capacity` bytes.
    pub fn new(capacity: usize) -> io::Result<Arena> {
        Ok(Arena { region: Region::new(capacity)?, next: 0 })
    }

    /// The longest record that is taken: a quarter of the ring, so that one record never drives out all others.
    pub fn longest(&self) -> usize {
        self.region.len() / 4
    }

    /// Reserves `len` contiguous bytes, overwriting the oldest records. None when that is more than [`Arena::longest`].
    pub fn reserve(&mut self, len: usize) -> Option<Record> {
        let capacity = self.region.len();
        if len > self.longest() || capacity == 0 {
            return None;
        }
        // A record begins at a cache line, and never wraps around the end.
        let mut position = self.next.next_multiple_of(64);
        let mut offset = (position % capacity as u64) as usize;
        if offset + len > capacity {
            position += (capacity - offset) as u64;
            offset = 0;
        }
        self.next = position + len as u64;
        Some(Record { position, offset: offset as u32, len: len as u32 })
    }

    #[inline(always)]
    fn place(&self, record: Record) -> Option<Range<usize>> {
        let capacity = self.region.len() as u64;
        if capacity == 0 || self.next - record.position.min(self.next) > capacity || record.len == 0 {
            return None;
        }
        let start = record.offset as usize;
        Some(start..start + record.len as usize)
    }

    /// The bytes of a record, or None when it was overwritten.
    #[inline(always)]
    pub fn get(&self, record: Record) -> Option<&[u8]> {
        self.region.get(self.place(record)?)
    }

    /// The bytes of a record, to write.
    pub fn get_mut(&mut self, record: Record) -> Option<&mut [u8]> {
        let place = self.place(record)?;
        self.region.get_mut(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_oldest_record_is_the_first_to_go() {
        let mut arena = Arena::new(1024).unwrap();
        let records: Vec<Record> = (0..8).map(|_| arena.reserve(128).unwrap()).collect();
        assert!(arena.get(records[0]).is_some());
        let newer = arena.reserve(64).unwrap();
        assert!(arena.get(records[0]).is_none());
        assert!(arena.get(records[1]).is_some());
        assert_eq!(arena.get(newer).unwrap().len(), 64);
        assert!(arena.reserve(257).is_none(), "over a quarter");
        assert!(arena.get(Record::default()).is_none());
    }

    proptest! {
        /// Whatever is still readable holds what was written to it.
        #[test]
        fn live_records_are_never_overwritten(lengths in prop::collection::vec(1usize..250, 1..100)) {
            let mut arena = Arena::new(1000).unwrap();
            let mut written = Vec::new();
            for (mark, len) in lengths.into_iter().enumerate() {
                let record = arena.reserve(len).unwrap();
                arena.get_mut(record).unwrap().fill(mark as u8);
                written.push((record, mark as u8, len));
                for &(record, mark, len) in &written {
                    if let Some(bytes) = arena.get(record) {
                        prop_assert_eq!(bytes.len(), len);
                        prop_assert!(bytes.iter().all(|&byte| byte == mark));
                    }
                }
            }
            prop_assert!(arena.get(written[written.len() - 1].0).is_some());
        }
    }
}
