//! How many connections each client address has: `MaxConnectionsPerAddress`. A [`Buckets`] table, for the acceptors count up and
//! the workers count down at the same time; the place of an address is empty again when its count is.

use std::io;

use crate::storage::buckets::Buckets;
use crate::sys::socket::Peer;

/// The bits of a word that are the count.
const COUNT_BITS: u32 = 16;
/// The largest limit that can be counted to.
pub const LIMIT_MAX: u32 = (1 << COUNT_BITS) - 1;

/// The table.
pub struct Addresses(Buckets);

impl Addresses {
    /// Bytes of the table for each slot of the connection table: three places for two connections, so that even when each
    /// has an address of its own both buckets of one are as good as never full.
    pub const SLOT_BYTES: usize = 12;

    /// A table for as many connections as the connection table has slots.
    pub fn new(slots: usize) -> io::Result<Addresses> {
        Buckets::new(slots * Self::SLOT_BYTES / size_of::<u64>(), COUNT_BITS).map(Addresses)
    }

    /// Counts a connection of `peer`. False = its address has `limit` already, and it is not counted.
    ///
    /// Never too strict: no address is refused for connections that another has. It can be one too lenient for each acceptor
    /// that takes in from the same address at the same moment, and for an address that finds both its buckets full.
    pub fn enter(&self, peer: &Peer, limit: u32) -> bool {
        let spot = self.0.spot(0, peer.network());
        loop {
            let found = self.0.find(&spot, &|_| false);
            if found.sum >= u64::from(limit.min(LIMIT_MAX)) {
                return false;
            }
            let Some(place) = found.held.or(found.free) else { return true };
            if self.0.put(&spot, place, self.0.value(place.1) + 1) {
                return true;
            }
        }
    }

    /// Counts a connection of `peer` off.
    pub fn leave(&self, peer: &Peer) {
        let spot = self.0.spot(0, peer.network());
        loop {
            // None = it came when both buckets were full.
            let Some(place) = self.0.find(&spot, &|_| false).held else { return };
            if self.0.put(&spot, place, self.0.value(place.1) - 1) {
                return;
            }
        }
    }

    /// How many addresses have connections.
    pub fn len(&self) -> usize {
        self.0.len()
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
        assert_eq!(addresses.len(), crate::storage::buckets::BUCKET);
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
