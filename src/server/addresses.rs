//! How many connections each client address has: `MaxConnectionsPerAddress`.
//!
//! A table of fixed size without locks, for the acceptors count up and the workers count down at the same time. An
//! address has its place in one of two buckets of eight; a place is one word, a fingerprint of the address and its count, and is
//! empty again when the count is. Since the whole of both buckets is always searched, nothing has to be moved or marked
//! when a place is emptied.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::sys::memory::{Words, secret};
use crate::sys::socket::Peer;

/// Places in a bucket: a cache line.
const BUCKET: usize = 8;
/// The part of a word that is the count; the rest is the fingerprint.
const COUNT: u64 = 0xffff;
/// The largest limit that can be counted to.
pub const LIMIT_MAX: u32 = COUNT as u32;

/// The table.
pub struct Addresses {
    places: Words,
    /// What it has taken in already is secret, so that nobody can choose addresses that share a bucket.
    hasher: DefaultHasher,
}

/// Where an address can be.
struct Spot {
    fingerprint: u64,
    buckets: [usize; 2],
}

impl Addresses {
    /// Bytes of the table for each slot of the connection table: three places for two connections, so that even when each
    /// has an address of its own both buckets of one are as good as never full.
    pub const SLOT_BYTES: usize = 12;

    /// A table for as many connections as the connection table has slots.
    pub fn new(slots: usize) -> io::Result<Addresses> {
        let buckets = (slots * Self::SLOT_BYTES / size_of::<AtomicU64>() / BUCKET).max(1);
        let mut hasher = DefaultHasher::new();
        hasher.write(&secret());
        Ok(Addresses { places: Words::new(buckets * BUCKET)?, hasher })
    }

    fn spot(&self, peer: &Peer) -> Spot {
        let mut hasher = self.hasher.clone();
        peer.network().hash(&mut hasher);
        let hash = hasher.finish();
        let buckets = (self.places.len() / BUCKET) as u64;
        // The upper half of the product of a 32-bit number and the count of buckets is evenly spread over them.
        let bucket = |bits: u64| (((bits & 0xffff_ffff) * buckets) >> 32) as usize;
        Spot { fingerprint: hash & !COUNT, buckets: [bucket(hash), bucket(hash >> 32)] }
    }

    /// The places where the address of a spot can be: two buckets, the second one empty if it is the first again.
    fn buckets(&self, spot: &Spot) -> [&[AtomicU64]; 2] {
        let [first, second] = spot.buckets;
        let bucket = |number: usize| self.places.chunks_exact(BUCKET).nth(number).unwrap_or_default();
        [bucket(first), if second == first { &[] } else { bucket(second) }]
    }

    /// Counts a connection of `peer`. False = its address has `limit` already, and it is not counted.
    ///
    /// Never too strict: no address is refused for connections that another has. It can be one too lenient for each acceptor
    /// that takes in from the same address at the same moment, and for an address that finds both its buckets full.
    pub fn enter(&self, peer: &Peer, limit: u32) -> bool {
        let spot = self.spot(peer);
        loop {
            let (mut total, mut held, mut free) = (0, None, None);
            let mut most_free = 0;
            for bucket in self.buckets(&spot) {
                let (mut free_here, mut first_free) = (0, None);
                for place in bucket {
                    let word = place.load(Ordering::Relaxed);
                    if word == 0 {
                        free_here += 1;
                        first_free = first_free.or(Some((place, 0)));
                    } else if word & !COUNT == spot.fingerprint {
                        total += word & COUNT;
                        held = Some((place, word));
                    }
                }
                // A new address goes to the emptier bucket: that keeps both from filling up.
                if free_here > most_free {
                    (most_free, free) = (free_here, first_free);
                }
            }
            if total >= u64::from(limit.min(LIMIT_MAX)) {
                return false;
            }
            let Some((place, word)) = held.or(free) else { return true };
            let counted = spot.fingerprint | ((word & COUNT) + 1);
            if place.compare_exchange(word, counted, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return true;
            }
        }
    }

    /// Counts a connection of `peer` off.
    pub fn leave(&self, peer: &Peer) {
        let spot = self.spot(peer);
        loop {
            let places = self.buckets(&spot).into_iter().flatten();
            let held = places.map(|place| (place, place.load(Ordering::Relaxed)));
            let mut held = held.filter(|(_, word)| *word != 0 && word & !COUNT == spot.fingerprint);
            // It came when both buckets were full.
            let Some((place, word)) = held.next() else { return };
            let left = if word & COUNT == 1 { 0 } else { word - 1 };
            if place.compare_exchange(word, left, Ordering::Relaxed, Ordering::Relaxed).is_ok() {
                return;
            }
        }
    }

    /// How many addresses have connections.
    pub fn len(&self) -> usize {
        self.places.iter().filter(|place| place.load(Ordering::Relaxed) != 0).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, SocketAddr};

    fn peer(number: u32, port: u16) -> Peer {
        Peer::from(SocketAddr::new(IpAddr::from(number.to_be_bytes()), port))
    }

    #[test]
    fn an_address_has_its_limit_and_no_more() {
        let addresses = Addresses::new(100).unwrap();
        for port in 1..=3 {
            assert!(addresses.enter(&peer(1, port), 3));
        }
        assert!(!addresses.enter(&peer(1, 4), 3));
        assert!(addresses.enter(&peer(2, 4), 3), "another address");
        assert_eq!(addresses.len(), 2);
        addresses.leave(&peer(1, 9));
        assert!(addresses.enter(&peer(1, 5), 3));
        assert!(!addresses.enter(&peer(1, 6), 3));
        assert!(addresses.enter(&peer(1, 6), 4), "the limit can be raised while it counts");
        (0..4).for_each(|_| addresses.leave(&peer(1, 0)));
        addresses.leave(&peer(2, 0));
        assert_eq!(addresses.len(), 0);
        addresses.leave(&peer(2, 0));
        assert_eq!(addresses.len(), 0, "nothing is counted below none");
    }

    #[test]
    fn every_connection_of_another_address_is_counted() {
        let addresses = Addresses::new(10_500).unwrap();
        for number in 0..10_500 {
            assert!(addresses.enter(&peer(number, 1), 1), "{number}");
        }
        // Not one uncounted for want of a place would be luck; more than a few would be a fault.
        assert!(addresses.len() > 10_490, "{}", addresses.len());
        let refused = (0..10_500).filter(|&number| !addresses.enter(&peer(number, 2), 1)).count();
        assert!(refused > 10_490, "{refused}");
        (0..10_500).for_each(|number| addresses.leave(&peer(number, 1)));
        assert!(addresses.len() < 10, "{}", addresses.len());
    }

    #[test]
    fn a_full_table_lets_everyone_in_and_is_empty_afterwards() {
        let addresses = Addresses::new(1).unwrap();
        for number in 0..50 {
            assert!(addresses.enter(&peer(number, 1), 1));
        }
        assert_eq!(addresses.len(), BUCKET);
        (0..50).for_each(|number| addresses.leave(&peer(number, 1)));
        assert_eq!(addresses.len(), 0);
    }

    #[test]
    fn nothing_is_left_after_many_connections_of_many_threads() {
        let addresses = Addresses::new(300).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4u32 {
                let addresses = &addresses;
                scope.spawn(move || {
                    let mut held = std::collections::VecDeque::new();
                    for round in 0..20_000u32 {
                        let peer = peer((round * 7 + thread) % 23, 1);
                        if addresses.enter(&peer, 20) {
                            held.push_back(peer);
                        }
                        if held.len() > 40 {
                            held.pop_front().iter().for_each(|peer| addresses.leave(peer));
                        }
                    }
                    held.iter().for_each(|peer| addresses.leave(peer));
                });
            }
        });
        assert_eq!(addresses.len(), 0);
    }

    #[test]
    fn an_ipv6_site_is_one_address() {
        let addresses = Addresses::new(100).unwrap();
        let peer = |text: &str| Peer::from(SocketAddr::new(text.parse().unwrap(), 1));
        assert!(addresses.enter(&peer("2001:db8::1"), 1));
        assert!(!addresses.enter(&peer("2001:db8::2"), 1));
        assert!(addresses.enter(&peer("2001:db8:0:1::1"), 1));
    }
}
