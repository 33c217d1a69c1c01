//! Taking connections in: accept, choose a worker, hand over; and what happens when there is no room.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::OverCapacity;
use crate::http::output::{Sink, Text, server_field};
use crate::plugin::hooks::Verdict;
use crate::plugin::stats::count;
use crate::plugins;
use crate::server::connection::Connection;
use crate::server::shared::{Gate, Shared};
use crate::sys::Errno;
use crate::sys::clock::monotonic_ms;
use crate::sys::epoll::Interest;
use crate::sys::socket::{Peer, accept, receive, send, shutdown_write};
use crate::sys::wake::Wake;
use crate::vhost::live::Live;

/// Connections taken in one turn.
const BURST: u32 = 64;
/// How often a listener that was given up is tried again, milliseconds.
pub const RETRY_MS: u32 = 20;
/// How long nobody is accepted after an error that would come again at once, milliseconds.
const PAUSE_MS: u32 = 100;

/// What became of a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Burst {
    /// All that waited were taken, or enough of them for one turn.
    Done,
    /// Nobody shall be accepted now: the server is full, or the system is. The listener is not to be watched until
    /// [`Acceptor::may_accept`], or its clients would be reported again and again.
    Starved,
}

/// What an error of accept(2) calls for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum After {
    /// Nobody waits.
    Empty,
    /// The client gave up, or the network did: the next one may be fine.
    Next,
    /// No descriptor is free.
    NoDescriptor,
    /// The system has no memory: it would say so again at once.
    Pause,
}

fn after(errno: Errno) -> After {
    match errno {
        Errno::AGAIN => After::Empty,
        Errno::MFILE | Errno::NFILE => After::NoDescriptor,
        Errno::NOMEM | Errno::NOBUFS => After::Pause,
        _ => After::Next,
    }
}

/// Takes connections in for one worker or for all.
pub struct Acceptor {
    shared: Arc<Shared>,
    /// The worker it accepts for; None = for the least loaded.
    only: Option<u8>,
    /// Given up for a moment when no descriptor is left, so that a client can be turned away instead of waiting for ever.
    /// Any descriptor that is a file of its own will do; this kind needs no path, which a sandbox might not have.
    reserve: Option<Wake>,
    /// When accepting was given up for a while, milliseconds.
    paused: Option<u32>,
    /// The configuration in force.
    live: Arc<Live>,
    /// What is done when the server is full.
    policy: OverCapacity,
    /// Most connections of one address.
    per_address: u32,
    /// The whole answer of TooBusy.
    refusal: Box<[u8]>,
}

impl Acceptor {
    /// An acceptor for one worker or, with None, for the least loaded.
    pub fn new(shared: Arc<Shared>, only: Option<u8>, live: Arc<Live>) -> Acceptor {
        let server = &live.config().server;
        let (policy, refusal, reserve) = (server.over_capacity, refusal(server), Wake::new().ok());
        let per_address = server.max_connections_per_address;
        Acceptor { shared, only, reserve, paused: None, live, policy, per_address, refusal }
    }

    /// Takes up another configuration. Allocates.
    pub fn configure(&mut self, live: Arc<Live>) {
        let server = &live.config().server;
        self.policy = server.over_capacity;
        self.refusal = refusal(server);
        self.per_address = server.max_connections_per_address;
        self.live = live;
    }

    /// Whether clients are to be taken in now: no pause is on, and there is room for one, or those without room are turned
    /// away.
    pub fn may_accept(&mut self) -> bool {
        if self.paused.is_some_and(|since| monotonic_ms().wrapping_sub(since) < PAUSE_MS) {
            return false;
        }
        self.paused = None;
        self.policy != OverCapacity::Resist || self.shared.can_take()
    }

    /// Takes in what waits at a listener.
    pub fn accept(&mut self, listener: BorrowedFd<'_>) -> Burst {
        if self.reserve.is_none() {
            self.reserve = Wake::new().ok();
        }
        let mut came = false;
        for _ in 0..BURST {
            if !self.may_accept() {
                count(&self.shared.totals.full);
                return Burst::Starved;
            }
            match accept(listener) {
                Ok((socket, peer)) => {
                    came = true;
                    self.receive(socket, peer);
                }
                Err(errno) => match after(errno) {
                    After::Empty => return Burst::Done,
                    After::Next => {}
                    After::NoDescriptor if self.do_without(listener) => return Burst::Done,
                    After::NoDescriptor | After::Pause => return self.pause(),
                },
            }
        }
        // So many errors in a row are not those of clients.
        if came { Burst::Done } else { self.pause() }
    }

    /// Finds a place for a client, or sends it away.
    fn receive(&mut self, socket: OwnedFd, peer: Peer) {
        let shared = Arc::clone(&self.shared);
        if plugins::accept(&self.live, &peer) != Verdict::Continue {
            return count(&shared.totals.refused);
        }
        if self.per_address > 0 && shared.addresses.as_ref().is_some_and(|all| !all.enter(&peer, self.per_address)) {
            count(&shared.totals.over_address);
            return self.turn_away(socket);
        }
        // Nobody is asked to leave before somebody has come. In Resist mode, one whose room was lost meanwhile takes of
        // the head-room.
        if shared.has_room() || self.make_room() || self.policy == OverCapacity::Resist {
            match self.hand_over(socket, peer) {
                None => return count(&shared.totals.accepted),
                Some(socket) => self.turn_away(socket),
            }
        } else {
            self.turn_away(socket);
        }
        count(&shared.totals.over_capacity);
        shared.left(&peer);
    }

    /// Gives up accepting for a while.
    fn pause(&mut self) -> Burst {
        count(&self.shared.totals.pauses);
        self.paused = Some(monotonic_ms());
        Burst::Starved
    }

    /// Gives a connection to a worker. Some = it could not be.
    fn hand_over(&mut self, socket: OwnedFd, peer: Peer) -> Option<OwnedFd> {
        let Some((owner, gate)) = self.choose() else { return Some(socket) };
        let index = socket.as_raw_fd() as usize;
        let connection = Connection::new(socket, peer, monotonic_ms());
        let generation = match self.shared.slots.offer(index, owner, connection) {
            Ok(generation) => generation,
            Err(connection) => return Some(connection.into_socket()),
        };
        gate.active.fetch_add(1, Ordering::Relaxed);
        self.shared.active.fetch_add(1, Ordering::Relaxed);
        let data = (u64::from(generation) << 32) | index as u64;
        // The slot keeps the descriptor open: its owner can close it only after an event, and there is none before this.
        if gate.epoll.add_number(index as i32, Interest::Connection, data).is_ok() {
            return None;
        }
        let connection = self.shared.slots.withdraw(index, owner, generation)?;
        self.shared.closed(owner, 1);
        Some(connection.into_socket())
    }

    /// The worker that gets the next connection.
    fn choose(&self) -> Option<(u8, &Gate)> {
        let gates = &self.shared.gates;
        let owner = match self.only {
            Some(owner) => owner,
            None => {
                let load = |owner: &u8| gates.get(usize::from(*owner)).map(|gate| gate.active.load(Ordering::Relaxed));
                (0..gates.len() as u8).min_by_key(load)?
            }
        };
        Some((owner, gates.get(usize::from(owner))?))
    }

    /// Asks the worker with the most idle connections to close one. False = none has any.
    fn make_room(&self) -> bool {
        let Some(gate) = self.shared.idlest() else { return false };
        gate.shed.fetch_add(1, Ordering::Relaxed);
        gate.wake.wake();
        count(&self.shared.totals.gave_way);
        true
    }

    /// Closes a connection there is no room for, with or without a word.
    fn turn_away(&self, socket: OwnedFd) {
        if self.policy != OverCapacity::Drop {
            let _ = send(socket.as_fd(), &self.refusal, false);
            let _ = shutdown_write(socket.as_fd());
            // What the client has sent already must be read, or closing would destroy the answer.
            let _ = receive(socket.as_fd(), &mut [0; 2048]);
        }
    }

    /// No descriptor is left. An idle connection is asked for its own, and whoever waits does so a little longer; when there
    /// is none, the reserve is given up to take one client in and turn it away. False = nobody was taken in.
    fn do_without(&mut self, listener: BorrowedFd<'_>) -> bool {
        if self.make_room() {
            return false;
        }
        self.reserve = None;
        let taken = accept(listener);
        let came = taken.is_ok();
        if let Ok((socket, _)) = taken {
            count(&self.shared.totals.no_descriptor);
            self.turn_away(socket);
        }
        self.reserve = Wake::new().ok();
        came
    }
}

/// The answer to a client there is no room for.
fn refusal(server: &crate::config::Server) -> Box<[u8]> {
    let mut text = Text::<256>::default();
    text.push_status(503);
    text.push(server_field(server.hide_version));
    text.push(b"Retry-After: ");
    text.push_decimal(u64::from(server.retry_after));
    text.push(b"\r\n");
    text.push_length(0);
    text.push(b"Connection: Close\r\n\r\n");
    text.bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_one_client_are_passed_over() {
        assert_eq!(after(Errno::AGAIN), After::Empty);
        for errno in [Errno::MFILE, Errno::NFILE] {
            assert_eq!(after(errno), After::NoDescriptor);
        }
        for errno in [Errno::NOMEM, Errno::NOBUFS] {
            assert_eq!(after(errno), After::Pause);
        }
        for errno in [Errno::CONNABORTED, Errno::INTR] {
            assert_eq!(after(errno), After::Next);
        }
    }
}
