//! Buffers by size class, borrowed for as long as a connection has something unfinished and given back after.

use std::io;
use std::num::NonZeroU8;

use crate::sys::memory::Region;

/// How many buffers of which size a pool has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Class {
    /// Bytes of one buffer.
    pub size: u32,
    /// How many there are.
    pub count: u16,
}

/// A borrowed buffer. Not copyable: whoever holds it must give it back.
#[derive(PartialEq, Eq, Debug)]
pub struct BufferId {
    /// One more than the shelf's place, so that an `Option` of an id takes no more room than an id.
    class: NonZeroU8,
    index: u16,
}

impl BufferId {
    fn shelf(&self) -> usize {
        usize::from(self.class.get()) - 1
    }
}

struct Shelf {
    class: Class,
    start: usize,
    /// Indexes given back; the last one is the warmest.
    returned: Vec<u16>,
    /// Indexes from here on were never lent: their pages are not resident.
    untouched: u16,
}

/// The pool. Its memory is mapped once; a buffer becomes resident when it is first lent.
pub struct Pool {
    region: Region,
    shelves: Vec<Shelf>,
    lent: usize,
    refused: u32,
}

impl Pool {
    /// A pool of these classes, smallest first.
    pub fn new(classes: &[Class]) -> io::Result<Pool> {
        let mut start = 0;
        let mut shelves = Vec::with_capacity(classes.len());
        for &class in classes {
            let returned = Vec::with_capacity(usize::from(class.count));
            shelves.push(Shelf { class, start, returned, untouched: 0 });
            start += Self::bytes(&[class]);
        }
        Ok(Pool { region: Region::new(start)?, shelves, lent: 0, refused: 0 })
    }

    /// Bytes the buffers of these classes take together.
    pub fn bytes(classes: &[Class]) -> usize {
        classes.iter().map(|class| class.size as usize * usize::from(class.count)).sum()
    }

    /// Lends a buffer of at least `len` bytes. None = full: the caller has to do without.
    pub fn take(&mut self, len: usize) -> Option<BufferId> {
        for (class, shelf) in (1u8..).zip(&mut self.shelves) {
            if (shelf.class.size as usize) < len {
                continue;
            }
            let index = shelf.returned.pop().or_else(|| {
                let fresh = (shelf.untouched < shelf.class.count).then_some(shelf.untouched)?;
                shelf.untouched += 1;
                Some(fresh)
            });
            if let Some(index) = index {
                self.lent += 1;
                return NonZeroU8::new(class).map(|class| BufferId { class, index });
            }
        }
        self.refused = self.refused.wrapping_add(1);
        None
    }

    /// Takes a buffer back.
    pub fn give(&mut self, buffer: BufferId) {
        if let Some(shelf) = self.shelves.get_mut(buffer.shelf()) {
            // Never beyond its capacity, for every id was lent once: this does not allocate.
            shelf.returned.push(buffer.index);
            self.lent = self.lent.saturating_sub(1);
        }
    }

    /// The size of the largest buffer of at most `len` bytes that can be lent now, 0 when there is none.
    pub fn largest_free(&self, len: usize) -> usize {
        let fitting = self.shelves.iter().filter(|shelf| shelf.class.size as usize <= len);
        let free = fitting.filter(|shelf| !shelf.returned.is_empty() || shelf.untouched < shelf.class.count);
        free.map(|shelf| shelf.class.size as usize).max().unwrap_or(0)
    }

    /// Whether a buffer of at least `len` bytes can be lent now.
    pub fn is_free(&self, len: usize) -> bool {
        let mut fitting = self.shelves.iter().filter(|shelf| shelf.class.size as usize >= len);
        fitting.any(|shelf| !shelf.returned.is_empty() || shelf.untouched < shelf.class.count)
    }

    /// Bytes of a buffer.
    pub fn size(&self, buffer: &BufferId) -> usize {
        self.shelves.get(buffer.shelf()).map_or(0, |shelf| shelf.class.size as usize)
    }

    /// How many buffers there are.
    pub fn count(&self) -> usize {
        self.shelves.iter().map(|shelf| usize::from(shelf.class.count)).sum()
    }

    /// How often none could be lent, since the start.
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// How many buffers are lent now.
    pub fn lent(&self) -> usize {
        self.lent
    }

    fn place(&self, buffer: &BufferId) -> std::ops::Range<usize> {
        match self.shelves.get(buffer.shelf()) {
            Some(shelf) => {
                let start = shelf.start + usize::from(buffer.index) * shelf.class.size as usize;
                start..start + shelf.class.size as usize
            }
            None => 0..0,
        }
    }

    /// The bytes of a buffer.
    pub fn get(&self, buffer: &BufferId) -> &[u8] {
        self.region.get(self.place(buffer)).unwrap_or_default()
    }

    /// The bytes of a buffer, to write.
    pub fn get_mut(&mut self, buffer: &BufferId) -> &mut [u8] {
        let place = self.place(buffer);
        self.region.get_mut(place).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLASSES: [Class; 2] = [Class { size: 64, count: 2 }, Class { size: 256, count: 1 }];

    #[test]
    fn lends_the_smallest_that_fits_then_the_next_then_none() {
        let mut pool = Pool::new(&CLASSES).unwrap();
        let first = pool.take(10).unwrap();
        let second = pool.take(64).unwrap();
        let third = pool.take(1).unwrap();
        assert_eq!([64, 64, 256], [&first, &second, &third].map(|id| pool.get(id).len()));
        assert!(pool.take(1).is_none());
        assert_eq!((pool.lent(), pool.count(), pool.refused()), (3, 3, 1));
        pool.give(second);
        assert!(pool.take(65).is_none(), "too small for that");
        assert_eq!([63, 64, 1000].map(|len| pool.largest_free(len)), [0, 64, 64]);
        assert_eq!([64, 65].map(|len| pool.is_free(len)), [true, false]);
        assert_eq!([&first, &third].map(|id| pool.size(id)), [64, 256]);
        assert!(pool.take(64).is_some());
    }

    #[test]
    fn buffers_do_not_overlap() {
        let mut pool = Pool::new(&CLASSES).unwrap();
        let ids: Vec<BufferId> = (0..3).map(|_| pool.take(1).unwrap()).collect();
        for (mark, id) in ids.iter().enumerate() {
            pool.get_mut(id).fill(mark as u8);
        }
        for (mark, id) in ids.iter().enumerate() {
            assert!(pool.get(id).iter().all(|&byte| byte == mark as u8));
        }
    }
}
