//! A table of fixed size that all threads change without locks: small values by key.
//!
//! A key has its place in one of two buckets of eight; a place is one word, a fingerprint of the key and its value. Since the
//! whole of both buckets is always searched, nothing has to be moved or marked when a place is emptied.

use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::memory::{Words, secret};

/// Places in a bucket: a cache line.
pub const BUCKET: usize = 8;

/// The table.
pub struct Buckets {
    places: Words,
    /// The bits of a word that are the value; the others are the fingerprint.
    value: u64,
    /// What it has taken in already is secret, so that nobody can choose keys that share a bucket.
    hasher: DefaultHasher,
}

/// Where a key can be, and what it is known by there.
pub struct Spot {
    fingerprint: u64,
    buckets: [usize; 2],
}

/// A place, and the word that was in it.
pub type Place<'a> = (&'a AtomicU64, u64);

/// What a search found.
#[derive(Default)]
pub struct Found<'a> {
    /// The place that the key has. Threads that take the first one at the same moment can give it two; then it is always
    /// the same of them.
    pub held: Option<Place<'a>>,
    /// A place that it could have, in the emptier bucket: that keeps both from filling up.
    pub free: Option<Place<'a>>,
    /// Its values in all of its places together.
    pub sum: u64,
}

impl Buckets {
    /// A table of so many places, rounded down to whole buckets, but one bucket at least. The low `bits` of a word are its value.
    /// Two keys with the same fingerprint, which is the rest, are taken for one.
    pub fn new(places: usize, bits: u32) -> io::Result<Buckets> {
        let mut hasher = DefaultHasher::new();
        hasher.write(&secret());
        let value = 1u64.checked_shl(bits).unwrap_or(0).wrapping_sub(1);
        Ok(Buckets { places: Words::new((places / BUCKET).max(1) * BUCKET)?, value, hasher })
    }

    /// Where a key of a kind can be.
    pub fn spot(&self, kind: u16, key: u64) -> Spot {
        let mut hasher = self.hasher.clone();
        hasher.write_u64(key);
        hasher.write_u16(kind);
        let hash = hasher.finish();
        // Not of the same bits as the numbers of the buckets: those in one bucket would be more alike than others.
        hasher.write_u8(0);
        let fingerprint = hasher.finish() & !self.value;
        let buckets = (self.places.len() / BUCKET) as u64;
        // The upper half of the product of a 32-bit number and the count of buckets is evenly spread over them.
        let bucket = |bits: u64| (((bits & 0xffff_ffff) * buckets) >> 32) as usize;
        Spot { fingerprint, buckets: [bucket(hash), bucket(hash >> 32)] }
    }

    /// Looks for a key. `is_free` says of a value whether the place of whoever has it is anyone's; 0 always is.
    pub fn find(&self, spot: &Spot, is_free: &dyn Fn(u64) -> bool) -> Found<'_> {
        let mut found = Found::default();
        let mut most_free = 0;
        let [first, second] = spot.buckets;
        for number in [Some(first), Some(second).filter(|second| *second != first)].into_iter().flatten() {
            let (mut free, mut first_free) = (0, None);
            for place in self.places.chunks_exact(BUCKET).nth(number).unwrap_or_default() {
                let word = place.load(Ordering::Relaxed);
                let value = word & self.value;
                if value != 0 && word & !self.value == spot.fingerprint {
                    found.sum = found.sum.wrapping_add(value);
                    found.held = found.held.or(Some((place, word)));
                } else if value == 0 || is_free(value) {
                    free += 1;
                    first_free = first_free.or(Some((place, word)));
                }
            }
            if free > most_free {
                (most_free, found.free) = (free, first_free);
            }
        }
        found
    }

    /// The value in a word.
    pub fn value(&self, word: u64) -> u64 {
        word & self.value
    }

    /// Gives the key of a spot a value at a place that was found for it; 0 empties the place. False = the place has changed
    /// since: the key is to be looked for again.
    pub fn put(&self, spot: &Spot, (place, word): Place<'_>, value: u64) -> bool {
        let new = if value == 0 { 0 } else { spot.fingerprint | (value & self.value) };
        place.compare_exchange(word, new, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }

    /// How many places hold a value other than 0.
    pub fn len(&self) -> usize {
        self.places.iter().filter(|place| self.value(place.load(Ordering::Relaxed)) != 0).count()
    }

    /// Whether there is no such place.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_found_again_changed_and_taken_away() {
        let table = Buckets::new(64, 16).unwrap();
        let spot = table.spot(0, 7);
        let found = table.find(&spot, &|_| false);
        assert!(found.held.is_none() && table.is_empty());
        assert!(table.put(&spot, found.free.unwrap(), 3));
        let held = table.find(&spot, &|_| false).held.unwrap();
        assert_eq!((table.value(held.1), table.len()), (3, 1));
        assert!(table.put(&spot, held, 4));
        assert!(!table.put(&spot, held, 5), "it has changed meanwhile");
        assert!(table.find(&table.spot(0, 8), &|_| false).held.is_none());
        assert!(table.find(&table.spot(1, 7), &|_| false).held.is_none());
        assert_eq!(table.find(&spot, &|_| false).sum, 4);
        assert!(table.put(&spot, table.find(&spot, &|_| false).held.unwrap(), 0));
        assert!(table.is_empty());
    }

    #[test]
    fn a_full_table_has_a_place_only_where_one_is_given_up() {
        let table = Buckets::new(1, 16).unwrap();
        for key in 0..BUCKET as u64 {
            let spot = table.spot(0, key);
            assert!(table.put(&spot, table.find(&spot, &|_| false).free.unwrap(), key + 1));
        }
        let spot = table.spot(0, 100);
        assert!(table.find(&spot, &|_| false).free.is_none());
        let (_, word) = table.find(&spot, &|value| value == 5).free.unwrap();
        assert_eq!(table.value(word), 5);
    }
}
