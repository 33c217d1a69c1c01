//! One connection without a network: what a worker does with it, driven step by step over the loopback transport. For tests and
//! fuzzing (feature `test-switches`).

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::config::Config;
use crate::plugin::events::Watches;
use crate::plugin::host::Host;
use crate::plugin::nobody::Nobody;
use crate::plugins::Plugins;
use crate::plugins::trial::loopback::{Loopback, Wire, with};
use crate::server::budget::Budget;
use crate::server::connection::{Connection, Waiting};
use crate::server::io::{Io, Next, Ready};
use crate::sys::clock::wall_seconds;
use crate::sys::socket::Peer;
use crate::vhost::live::Live;

/// What is held for connections; all zero when none has anything under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Held {
    /// Buffers lent.
    pub buffers: usize,
    /// Entries of the open-file table that an answer under way keeps.
    pub pins: usize,
}

/// A worker's memory and at most one connection. The other end is this thread's [`Wire`].
pub struct Rig {
    _plugins: Plugins,
    io: Io<Loopback>,
    now: u32,
    connection: Option<Connection>,
    /// Used again and again in place of a socket.
    spare: Option<OwnedFd>,
}

impl Rig {
    /// Takes the memory that one worker of this configuration has. Panics when it can not: for tests.
    pub fn new(config: Config) -> Rig {
        let budget = Budget::new(&config, 1, 20_000, 0).expect("memory that can be divided");
        let live = Arc::new(Live::new(config));
        let mut plugins = Plugins::start(live.config(), 1).expect("plugins");
        let own = plugins.worker(0, &live).expect("plugins");
        let host: Arc<dyn Host> = Arc::new(Nobody::new(Arc::clone(&live)));
        plugins.run(&host, &mut Watches::new(None, 0, 0, 0)).expect("plugins");
        let mut io = Io::new(Loopback, &live, &budget, own, host, Arc::default(), Watches::new(None, 0, 0, 0))
            .expect("a worker's memory");
        let now = io.clock.now();
        io.clock.set_wall(wall_seconds());
        Rig {
            _plugins: plugins,
            io,
            now,
            connection: None,
            spare: Some(File::open("/dev/null").expect("/dev/null").into()),
        }
    }

    /// Opens a connection; one that is open is closed first. The wire is as new, with room for everything.
    pub fn open(&mut self) {
        self.close();
        with(|wire| {
            let (mut sent, mut got) = (std::mem::take(&mut wire.sent), std::mem::take(&mut wire.got));
            sent.clear();
            got.clear();
            *wire = Wire { sent, got, room: usize::MAX / 2, ..Wire::default() };
        });
        let socket = self.spare.take().expect("one connection at a time");
        let peer = Peer::from(std::net::SocketAddr::from(([127, 0, 0, 1], 1)));
        self.connection = Some(Connection::new(socket, peer, self.now));
    }

    /// Whether the server has closed the connection.
    pub fn is_closed(&self) -> bool {
        self.connection.is_none()
    }

    /// What the connection waits for.
    pub fn waiting(&self) -> Option<Waiting> {
        self.connection.as_ref().map(|connection| connection.waiting)
    }

    /// How many requests of the connection were answered.
    pub fn requests(&self) -> u32 {
        self.connection.as_ref().map_or(0, |connection| connection.requests)
    }

    /// Whether the connection is in a request's body.
    pub fn in_body(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| connection.session.in_body())
    }

    /// Does what a worker does when epoll reports the connection, again for as long as it waits for its turn.
    pub fn drive(&mut self) {
        let mut ready = Ready { readable: true, ended: with(|wire| wire.ended), broken: false, woken: false };
        while let Some(connection) = &mut self.connection {
            let next = self.io.drive(connection, ready);
            if !self.settle(next) {
                return;
            }
            ready = Ready::default();
        }
    }

    /// Lets time pass, then the limit of what the connection waits for run out.
    pub fn time_out(&mut self, milliseconds: u32) {
        self.pass(milliseconds);
        if let Some(connection) = &mut self.connection {
            let next = self.io.time_out(connection);
            if self.settle(next) {
                self.drive();
            }
        }
    }

    /// Lets time pass.
    pub fn pass(&mut self, milliseconds: u32) {
        self.now = self.now.wrapping_add(milliseconds);
        self.io.clock.set(self.now);
    }

    /// True = it waits for its turn.
    fn settle(&mut self, next: Next) -> bool {
        match (next, &mut self.connection) {
            (Next::Wait(waiting, since), Some(connection)) => {
                connection.waiting = waiting;
                connection.since = since;
                waiting == Waiting::Turn
            }
            _ => {
                self.close();
                false
            }
        }
    }

    /// Closes the connection as a worker does.
    pub fn close(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            self.io.let_go(&mut connection);
            self.spare = Some(connection.into_socket());
        }
    }

    /// What is held.
    pub fn held(&self) -> Held {
        Held { buffers: self.io.pool.lent(), pins: self.io.handler.table().pins() }
    }
}
