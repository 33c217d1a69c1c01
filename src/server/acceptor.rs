//! Taking connections in: accept, choose a worker, hand over; and what happens when there is no room.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::config::{OverCapacity, Server};
use crate::http::output::{Sink, Text, server_field};
use crate::server::connection::Connection;
use crate::server::shared::{Gate, Shared};
use crate::sys::Errno;
use crate::sys::clock::monotonic_ms;
use crate::sys::epoll::Interest;
use crate::sys::file::open_null;
use crate::sys::socket::{Peer, accept, receive, send, shutdown_write};

/// Connections taken in one turn.
const BURST: u32 = 64;

/// What became of a burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Burst {
    /// All that waited were taken, or enough of them for one turn.
    Done,
    /// The server is full and shall not accept until a slot frees.
    Starved,
}

/// Takes connections in for one worker or for all.
pub struct Acceptor {
    shared: Arc<Shared>,
    /// The worker it accepts for; None = for the least loaded.
    only: Option<u8>,
    /// Given up for a moment when no descriptor is left, so that a client can be turned away instead of waiting for ever.
    reserve: Option<OwnedFd>,
    /// What is done when the server is full.
    policy: OverCapacity,
    /// The whole answer of TooBusy.
    refusal: Box<[u8]>,
}

impl Acceptor {
    /// An acceptor for one worker or, with None, for the least loaded.
    pub fn new(shared: Arc<Shared>, only: Option<u8>, server: &Server) -> Acceptor {
        let (policy, refusal) = (server.over_capacity, refusal(server));
        Acceptor { shared, only, reserve: open_null().ok(), policy, refusal }
    }

    /// Takes up another configuration. Allocates.
    pub fn configure(&mut self, server: &Server) {
        self.policy = server.over_capacity;
        self.refusal = refusal(server);
    }

    /// Whether clients are to be taken in now: there is room for one, or those without room are turned away.
    pub fn may_accept(&self) -> bool {
        self.policy != OverCapacity::Resist || self.shared.can_take()
    }

    /// Takes in what waits at a listener.
    pub fn accept(&mut self, listener: BorrowedFd<'_>) -> Burst {
        for _ in 0..BURST {
            if !self.may_accept() {
                return Burst::Starved;
            }
            match accept(listener) {
                // Nobody is asked to leave before somebody has come. In Resist mode, one whose room was lost meanwhile
                // takes of the head-room.
                Ok((socket, peer)) => {
                    match self.shared.has_room() || self.make_room() || self.policy == OverCapacity::Resist {
                        true => self.hand_over(socket, peer),
                        false => self.turn_away(socket),
                    }
                }
                Err(Errno::AGAIN) => return Burst::Done,
                Err(Errno::MFILE | Errno::NFILE) => {
                    self.spend_reserve(listener);
                    return Burst::Done;
                }
                // The client gave up, or the network did: the next one may be fine.
                Err(_) => {}
            }
        }
        Burst::Done
    }

    fn hand_over(&mut self, socket: OwnedFd, peer: Peer) {
        let Some((owner, gate)) = self.choose() else { return };
        let index = socket.as_raw_fd() as usize;
        let connection = Connection::new(socket, peer, monotonic_ms());
        let generation = match self.shared.slots.offer(index, owner, connection) {
            Ok(generation) => generation,
            Err(connection) => return self.turn_away(connection.into_socket()),
        };
        gate.active.fetch_add(1, Ordering::Relaxed);
        self.shared.active.fetch_add(1, Ordering::Relaxed);
        let data = (u64::from(generation) << 32) | index as u64;
        // The slot keeps the descriptor open: its owner can close it only after an event, and there is none before this.
        if gate.epoll.add_number(index as i32, Interest::Connection, data).is_err()
            && let Some(connection) = self.shared.slots.withdraw(index, owner, generation)
        {
            self.shared.closed(owner);
            self.turn_away(connection.into_socket());
        }
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

    /// No descriptor is left: gives up the reserve to take one client in and turn it away.
    fn spend_reserve(&mut self, listener: BorrowedFd<'_>) {
        self.reserve = None;
        if let Ok((socket, _)) = accept(listener) {
            self.turn_away(socket);
        }
        self.reserve = open_null().ok();
    }
}

/// The answer to a client there is no room for.
fn refusal(server: &Server) -> Box<[u8]> {
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
