//! The servers behind this one, as a worker has them: which of several is asked, and which connections are kept for further requests.
//!
//! A server has no more connections than it may have, over all workers, those that are kept included. Who finds none free waits, and
//! tells the other workers, which then part with connections that they keep, or with the next that is done.

use std::os::fd::AsFd;
use std::sync::Arc;

use crate::config::plugins::backend::Balance;
use crate::limits::{KEPT_MAX, KEPT_MS, LINE_SERVERS_MAX};
use crate::plugin::backend::channel::{Channel, Watched, role};
use crate::plugin::backend::complaints::Complaints;
use crate::plugin::backend::protocol::Opened;
use crate::plugin::backend::table::Table;
use crate::plugin::backend::upstream::{Address, Shared, connect, shared};
use crate::plugin::events::Happened;
use crate::plugin::scene::Scene;
use crate::sys::Errno;
use crate::sys::socket::receive;

/// A server as the configuration has it.
#[derive(Clone, Copy)]
pub struct Known<'a> {
    /// Where it is.
    pub address: &'a Address,
    /// Most connections to it, over all workers.
    pub connections: u32,
}

struct Server {
    address: Address,
    connections: u32,
    shared: Arc<Shared>,
    /// Requests of this worker that wait for it.
    waiting: u32,
}

/// A connection that carries no request.
struct Kept {
    server: u16,
    epoch: u32,
    shared: Arc<Shared>,
    socket: Watched,
}

/// The servers of one plugin.
#[derive(Default)]
pub struct Servers {
    servers: Vec<Server>,
    kept: Option<Table<Kept>>,
    /// For each line, which of its servers is asked next.
    next: Vec<u16>,
    /// Changes with each configuration.
    epoch: u32,
    /// The last connection that other workers wait for too was left to them.
    yielded: bool,
    /// In which turn that was, and which it is.
    yielded_at: u32,
    turns: u32,
}

/// How servers are chosen for a line.
#[derive(Clone, Copy)]
pub struct Choose<'a> {
    /// Which line.
    pub line: u16,
    /// Its servers, by their numbers.
    pub servers: &'a [u16],
    /// Which of them is asked.
    pub balance: Balance,
    /// Failures in a row after which one is left alone.
    pub attempts: u32,
    /// Milliseconds for which it is.
    pub offline: u32,
    /// Whether a request may go with the first packet of a connection.
    pub fast_open: bool,
}

/// The server that a request was given to, and those that it can not be given to any more.
#[derive(Default)]
pub struct Choice {
    shared: Option<Arc<Shared>>,
    server: u16,
    epoch: u32,
    /// The servers of its line, as one number.
    key: usize,
    /// Which of the line's servers were tried.
    tried: u64,
    /// A kept connection was found closed: only new ones are any good.
    fresh: bool,
    /// The request can not be said again: a kept connection is looked at before it is used.
    looks: bool,
    /// The connection has carried a request before.
    reused: bool,
    /// It waits, which all servers of the line count.
    waits: bool,
    /// The other workers know.
    told: bool,
}

impl Choice {
    /// For a request that must not be lost to a server that closes a kept connection just now: it gets a new one.
    pub fn only_new(self) -> Choice {
        Choice { fresh: true, ..self }
    }

    /// For a request that can not be said again: a connection that was kept is looked at before.
    pub fn looking(self) -> Choice {
        Choice { looks: true, ..self }
    }

    /// It has answered.
    pub fn works(&self) {
        if let Some(shared) = &self.shared {
            shared.works();
        }
    }
}

impl Servers {
    /// Takes up a configuration. `all` are its servers by their numbers. May allocate.
    pub fn configure<'a>(&mut self, all: &mut dyn Iterator<Item = Known<'a>>, lines: usize) {
        for server in &self.servers {
            server.shared.want(-(server.waiting as i32));
        }
        let make = |known: Known<'_>| Server {
            address: known.address.clone(),
            connections: known.connections,
            shared: shared(known.address),
            waiting: 0,
        };
        // What is known of a server that stays is kept.
        let now: Vec<Server> = all.map(make).collect();
        self.servers = now;
        self.next.clear();
        self.next.resize(lines, 0);
        self.epoch = self.epoch.wrapping_add(1);
        if !self.servers.is_empty() && self.kept.is_none() {
            self.kept = Some(Table::new(KEPT_MAX));
        }
    }

    /// Bytes that a worker takes for connections that are kept.
    pub const BYTES: usize = KEPT_MAX as usize * Table::<Kept>::place_bytes();

    /// A request for a line with these servers begins.
    pub fn begin(&self, servers: &[u16]) -> Choice {
        Choice { epoch: self.epoch, key: self.key(servers), ..Choice::default() }
    }

    /// What tells servers from others, whatever their numbers: where what is known of them stands.
    fn key(&self, servers: &[u16]) -> usize {
        let known = servers.iter().filter_map(|server| self.servers.get(usize::from(*server)));
        known.fold(0, |key: usize, server| key.rotate_left(7) ^ Arc::as_ptr(&server.shared).addr())
    }

    /// The address of the server of a request, unless that is of an earlier configuration.
    pub fn address(&self, choice: &Choice) -> Option<&Address> {
        let server = self.servers.get(usize::from(choice.server)).filter(|_| choice.epoch == self.epoch);
        server.map(|server| &server.address)
    }

    /// Looks for a connection: one that is kept, or else a new one.
    pub fn open(
        &mut self,
        number: u16,
        choice: &mut Choice,
        how: &Choose<'_>,
        complaints: &mut Complaints,
        scene: &mut Scene<'_>,
    ) -> Opened {
        let now = scene.clock.now();
        self.wait_no_more(choice, how.servers);
        if choice.epoch != self.epoch {
            let now = self.begin(how.servers);
            if now.key != choice.key {
                // What was its line leads elsewhere now.
                return Opened::Refuse(503);
            }
            *choice = Choice { fresh: choice.fresh, looks: choice.looks, ..now };
        }
        let any_alive = how.servers.iter().any(|server| self.is_alive(*server, how, now));
        let mut full = false;
        while let Some(server) = self.next_server(choice, how, any_alive, now) {
            let tried = choice.tried;
            choice.tried |= places_of(server, how.servers);
            if !choice.fresh
                && let Some(socket) = self.take_kept(server, choice.looks, scene)
            {
                choice.tried = tried;
                self.give_to(choice, server, true);
                return Opened::Channel(Channel::kept(socket, number, scene.watches));
            }
            let Some(Server { address, connections, shared, .. }) = self.servers.get(usize::from(server)) else {
                continue;
            };
            if self.yielded_at.wrapping_add(1) == self.turns && shared.wanted() > 0 || !shared.take(*connections) {
                full = true;
                continue;
            }
            let made =
                connect(address, how.fast_open).and_then(|socket| Channel::socket(socket, number, scene.watches));
            let errno = match made {
                Ok(channel) => {
                    self.give_to(choice, server, false);
                    return Opened::Channel(channel);
                }
                Err(errno) => errno,
            };
            shared.give();
            match errno {
                // The queue of a socket with a name is full: it works, but too slowly.
                Errno::AGAIN => full = true,
                Errno::NOSPC | Errno::MFILE | Errno::NFILE => return Opened::Refuse(503),
                errno => {
                    shared.failed(now);
                    complaints
                        .say(now, format_args!("{}: it can not be reached: {errno}: is it running?", Show(address)));
                }
            }
        }
        if !full {
            return Opened::Refuse(502);
        }
        // All were only busy, or have failed: those that were busy are asked again.
        choice.tried = 0;
        choice.waits = true;
        for server in how.servers {
            if let Some(server) = self.servers.get_mut(usize::from(*server)) {
                server.waiting += 1;
                server.shared.want(1);
            }
        }
        if !std::mem::replace(&mut choice.told, true) {
            wake_others(scene);
        }
        Opened::Later
    }

    fn wait_no_more(&mut self, choice: &mut Choice, servers: &[u16]) {
        if !std::mem::take(&mut choice.waits) || choice.epoch != self.epoch {
            return;
        }
        for server in servers {
            if let Some(server) = self.servers.get_mut(usize::from(*server)) {
                server.waiting = server.waiting.saturating_sub(1);
                server.shared.want(-1);
            }
        }
    }

    fn is_alive(&self, server: u16, how: &Choose<'_>, now: u32) -> bool {
        let server = self.servers.get(usize::from(server));
        server.is_some_and(|server| server.shared.is_alive(how.attempts, how.offline, now))
    }

    /// The server that is tried next. When none works all are tried: it may be that one does again.
    fn next_server(&mut self, choice: &Choice, how: &Choose<'_>, any_alive: bool, now: u32) -> Option<u16> {
        let count = how.servers.len().min(LINE_SERVERS_MAX);
        let first = match how.balance {
            Balance::RoundRobin => self.next.get(usize::from(how.line)).copied().map_or(0, usize::from),
            Balance::LeastConnections => 0,
        };
        let left = (0..count).map(|step| (first + step) % count).filter_map(|place| {
            let server = *how.servers.get(place)?;
            let untried = choice.tried & (1 << place) == 0;
            (untried && (!any_alive || self.is_alive(server, how, now))).then_some((place, server))
        });
        let taken = |server: u16| self.servers.get(usize::from(server)).map_or(0, |server| server.shared.busy());
        let found = match how.balance {
            Balance::RoundRobin => { left }.next(),
            Balance::LeastConnections => left.min_by_key(|(_, server)| taken(*server)),
        };
        let (place, server) = found?;
        if let Some(next) = self.next.get_mut(usize::from(how.line)) {
            *next = ((place + 1) % count) as u16;
        }
        Some(server)
    }

    /// A connection that is kept. One that was closed, which this worker may not have been told yet, is none: `looks` = it must not be.
    fn take_kept(&mut self, server: u16, looks: bool, scene: &mut Scene<'_>) -> Option<Watched> {
        let kept = self.kept.as_mut()?;
        let epoch = self.epoch;
        loop {
            let (number, _) = kept.iter_mut().find(|(_, kept)| kept.server == server && kept.epoch == epoch)?;
            let one = kept.remove(number)?;
            if !looks || receive(one.socket.as_fd(), &mut [0]) == Err(Errno::AGAIN) {
                one.shared.rest(-1);
                return Some(one.socket);
            }
            part_with(one, scene);
        }
    }

    fn give_to(&self, choice: &mut Choice, server: u16, reused: bool) {
        choice.shared = self.servers.get(usize::from(server)).map(|server| Arc::clone(&server.shared));
        (choice.server, choice.reused) = (server, reused);
    }

    /// Nothing of an answer came on the connection of a request. True = another may be tried.
    pub fn lost(
        &mut self,
        choice: &mut Choice,
        servers: &[u16],
        complaints: &mut Complaints,
        scene: &Scene<'_>,
    ) -> bool {
        if choice.reused {
            // It was closed while it was kept: that says nothing about the server.
            choice.fresh = true;
            return true;
        }
        if choice.epoch != self.epoch {
            return false;
        }
        self.failed(choice, "it can not be reached, or has closed without an answer", complaints, scene);
        let left = |place: usize| choice.tried & (1 << place) == 0;
        (0..servers.len().min(LINE_SERVERS_MAX)).any(left)
    }

    /// Whether there are servers of a line that the request was not given to.
    pub fn has_others(&self, choice: &Choice, servers: &[u16]) -> bool {
        servers.iter().any(|server| *server != choice.server)
    }

    /// The server of a request has not done what was awaited of it.
    pub fn failed(&self, choice: &Choice, what: &str, complaints: &mut Complaints, scene: &Scene<'_>) {
        let server = self.servers.get(usize::from(choice.server)).filter(|_| choice.epoch == self.epoch);
        if let Some(server) = server {
            let now = scene.clock.now();
            server.shared.failed(now);
            complaints.say(now, format_args!("{}: {what}", Show(&server.address)));
        }
    }

    /// A request is done with its server: its connection is kept, if no more than `keep` with it are and nobody else waits for one, or
    /// closed. `servers` are those of its line.
    pub fn give_back(
        &mut self,
        choice: &mut Choice,
        channel: Option<Channel>,
        keep: u16,
        servers: &[u16],
        scene: &mut Scene<'_>,
    ) {
        self.wait_no_more(choice, servers);
        let (Some(channel), Some(shared)) = (channel, choice.shared.take()) else { return };
        if choice.epoch == self.epoch && self.keeps(choice.server) < keep && self.may_keep(choice.server) {
            let socket = channel.into_reader(scene.watches);
            return self.keep(Kept { server: choice.server, epoch: self.epoch, shared, socket }, scene);
        }
        channel.close(scene.watches);
        shared.give();
        let own = self.servers.get(usize::from(choice.server)).map_or(0, |server| server.waiting);
        if shared.wanted() > own {
            wake_others(scene);
        }
    }

    /// How many connections to a server are kept.
    fn keeps(&mut self, server: u16) -> u16 {
        let epoch = self.epoch;
        let kept = self.kept.as_mut().map(|kept| kept.iter_mut());
        kept.into_iter().flatten().filter(|(_, kept)| kept.server == server && kept.epoch == epoch).count() as u16
    }

    /// Whether a connection may be kept: nobody in another worker waits for one, or it is this worker's turn to have it.
    fn may_keep(&mut self, server: u16) -> bool {
        let Some(server) = self.servers.get(usize::from(server)) else { return false };
        if server.shared.wanted() <= server.waiting {
            return true;
        }
        self.yielded = !self.yielded;
        if self.yielded || server.waiting == 0 {
            self.yielded_at = self.turns;
            return false;
        }
        true
    }

    fn keep(&mut self, one: Kept, scene: &mut Scene<'_>) {
        one.shared.rest(1);
        let Some(kept) = &mut self.kept else { return part_with(one, scene) };
        match kept.insert(one) {
            Ok(number) => {
                if let Some(kept) = kept.get(number) {
                    scene.watches.set_key(kept.socket.watch(), role::key(role::OWN, number));
                    scene.watches.set_timeout(kept.socket.watch(), KEPT_MS);
                }
            }
            Err(one) => part_with(one, scene),
        }
    }

    /// Something happened to a connection that is kept, by its key: it is of no use any more, unless what was told is what came before
    /// it was kept.
    pub fn event(&mut self, key: u32, happened: Happened, scene: &mut Scene<'_>) {
        let kept = self.kept.as_mut().and_then(|kept| kept.get(key as u16));
        let nothing = |kept: &mut Kept| receive(kept.socket.as_fd(), &mut [0]) == Err(Errno::AGAIN);
        if happened == Happened::Writable || happened == Happened::Readable && kept.is_some_and(nothing) {
            return;
        }
        if let Some(kept) = self.kept.as_mut().and_then(|kept| kept.remove(key as u16)) {
            part_with(kept, scene);
        }
    }

    /// The end of a turn: parts with connections that other workers wait for, and with those of an earlier configuration.
    pub fn turn(&mut self, scene: &mut Scene<'_>) {
        self.turns = self.turns.wrapping_add(1);
        let Some(kept) = self.kept.as_mut().filter(|kept| !kept.is_empty()) else { return };
        let (epoch, servers) = (self.epoch, &self.servers);
        let wanted = |kept: &Kept| {
            let waiting = servers.get(usize::from(kept.server)).map_or(0, |server| server.waiting);
            // Who waits here takes it now: whose turn it was is decided by then.
            kept.epoch != epoch || waiting == 0 && kept.shared.wanted() > 0
        };
        let mut parted = false;
        loop {
            let number = kept.iter_mut().find(|(_, kept)| wanted(kept)).map(|(number, _)| number);
            let Some(one) = number.and_then(|number| kept.remove(number)) else { break };
            let is_old = one.epoch != epoch;
            part_with(one, scene);
            parted = true;
            // One in a turn of those that others wait for: it may be enough. Of the others nobody takes one any more.
            if !is_old {
                break;
            }
        }
        if parted {
            wake_others(scene);
        }
    }
}

fn part_with(kept: Kept, scene: &mut Scene<'_>) {
    kept.socket.close(scene.watches);
    kept.shared.rest(-1);
    kept.shared.give();
}

/// The places that a server has in a line, as bits.
fn places_of(server: u16, servers: &[u16]) -> u64 {
    let places = servers.iter().take(LINE_SERVERS_MAX).enumerate().filter(|(_, other)| **other == server);
    places.fold(0, |bits, (place, _)| bits | 1 << place)
}

/// Has the other workers look whether there is a connection now, or whether they keep one.
fn wake_others(scene: &Scene<'_>) {
    let workers = scene.host.workers();
    if workers > 1 {
        (0..workers).for_each(|worker| scene.host.wake(worker));
    }
}

/// An address as the configuration has it.
pub struct Show<'a>(pub &'a Address);

impl std::fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Address::Net(address) => write!(f, "{address}"),
            Address::Local(path) => write!(f, "{}", path.display()),
        }
    }
}
