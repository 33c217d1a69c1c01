//! A worker: one thread, one event loop, the connections it owns.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::limits::EXECUTABLE_KB;
use crate::plugin::events::Happened;
use crate::plugin::stats::raise;
use crate::plugin::transport::Transport;
use crate::server::acceptor::{Acceptor, Burst, RETRY_MS};
use crate::server::connection::{Connection, Waiting};
use crate::server::io::{Io, Next, Ready};
use crate::server::listeners::adjust;
use crate::server::queues::{Limits, Queues};
use crate::server::shared::{Gate, SPECIAL, Shared, WAKE, WATCH};
use crate::server::state;
use crate::sys::clock::{monotonic_ms, wall_seconds};
use crate::sys::epoll::{Event, Events, Interest};
use crate::sys::image::release_pages;
use crate::sys::slots::View;
use crate::vhost::live::Live;

/// Events taken in one turn.
pub const EVENTS_A_TURN: usize = 128;
/// How often the wall clock is read, milliseconds: a date is never more than this late.
const WALL_MS: u32 = 200;
/// How often files nobody asks for are looked for, milliseconds, while any is open.
const SWEEP_MS: u32 = 500;
/// How long a file stays open after it was last looked at, milliseconds.
const KEEP_OPEN_MS: u32 = 1400;

/// The listeners of a worker that accepts for itself.
pub struct Listeners {
    /// The sockets; epoll calls the first one [`SPECIAL`].
    pub sockets: Vec<Arc<OwnedFd>>,
    /// What takes in.
    pub acceptor: Acceptor,
    /// Whether epoll watches them.
    pub watched: bool,
}

/// One worker.
pub struct Worker<T: Transport> {
    shared: Arc<Shared>,
    view: View<Connection>,
    io: Io<T>,
    queues: Queues,
    /// Milliseconds after which the plugins want to be called again.
    plugins_wait: Option<u32>,
    /// Requests that wait for a verdict are to be asked about again.
    ask_again: bool,
    epoch: u32,
    listeners: Option<Listeners>,
    /// Closed after the batch of events, so that no number in it is used again within it.
    closing: Vec<OwnedFd>,
    idle_told: u32,
    /// Clients found to stall, and when they were looked for.
    stalling: u32,
    stalled_at: u32,
    /// More connections were to give way than could.
    shed_left: bool,
    /// The last request for the state that was answered.
    state_told: u32,
    /// The last request for a report of the connections that was answered.
    reports_told: u32,
    wall_read: u32,
    swept: u32,
    stop_at: Option<u32>,
}

/// The time limits of a configuration.
pub fn limits(live: &Live) -> Limits {
    let server = &live.config().server;
    let milliseconds = |seconds: u32| seconds.saturating_mul(1000).min(i32::MAX as u32);
    Limits {
        timeout: milliseconds(server.timeout),
        keep_alive: milliseconds(server.keep_alive_timeout),
        window: milliseconds(server.rate_window),
    }
}

impl<T: Transport> Worker<T> {
    /// A worker over its share of the table.
    pub fn new(shared: Arc<Shared>, view: View<Connection>, io: Io<T>, listeners: Option<Listeners>) -> Worker<T> {
        let now = io.clock.now();
        Worker {
            plugins_wait: None,
            ask_again: false,
            reports_told: 0,
            epoch: shared.epoch(),
            queues: Queues::new(limits(&io.live)),
            shared,
            view,
            io,
            listeners,
            // Each event closes at most its own connection and one that gives way to it.
            closing: Vec::with_capacity(EVENTS_A_TURN * 2),
            idle_told: 0,
            stalling: 0,
            stalled_at: now,
            shed_left: false,
            state_told: 0,
            wall_read: now,
            swept: now,
            stop_at: None,
        }
    }

    /// Runs until the server stops and every connection is done, or its time is up.
    #[cfg_attr(tuned, optimize(speed))]
    pub fn run(&mut self, events: &mut Events) {
        let shared = Arc::clone(&self.shared);
        let Some(gate) = shared.gates.get(usize::from(self.view.owner())) else { return };
        self.io.watches.at(monotonic_ms());
        self.io.plugins.run(&mut self.io.watches);
        loop {
            if gate.epoll.wait(events, self.patience()).is_err() {
                return;
            }
            self.read_clocks();
            if self.epoch != shared.epoch() {
                self.reconfigure();
            }
            // Known before the first answer of the turn, so that the last ones say so.
            self.io.stopping = shared.stopping.load(Ordering::Acquire);
            for index in 0..events.len() {
                if let Some(event) = events.get(index) {
                    self.event(gate, event);
                }
            }
            self.close_descriptors();
            self.take_turns();
            self.ask_again();
            self.expire();
            self.wake();
            self.plugins_wait = self.io.turn();
            self.housekeeping(gate);
            if self.is_done(gate) {
                return;
            }
        }
    }

    /// How long to wait for events, milliseconds; None = until there is one.
    fn patience(&self) -> Option<u32> {
        let now = self.io.clock.now();
        let mut wait = self.queues.wait(now);
        let mut at_most = |limit: u32| wait = Some(wait.map_or(limit, |wait| wait.min(limit)));
        if self.io.handler.open() > 0 {
            at_most(SWEEP_MS);
        }
        // When it is full who stalls is looked for again and again, without an event.
        if self.shed_left
            || (self.queues.idle() == 0 && self.shared.is_nearly_full())
            || self.listeners.as_ref().is_some_and(|listeners| !listeners.watched)
        {
            at_most(RETRY_MS);
        }
        if !self.io.wakes.is_empty() {
            at_most(0);
        }
        if let Some(limit) = self.io.watches.wait(now) {
            at_most(limit);
        }
        if let Some(limit) = self.plugins_wait {
            at_most(limit);
        }
        if let Some(stop_at) = self.stop_at {
            at_most(stop_at.wrapping_sub(now).min(RETRY_MS));
        }
        wait
    }

    /// Takes up another configuration, before anything of a turn is answered: who comes once it is said to be in force gets its answers.
    fn reconfigure(&mut self) {
        self.epoch = self.shared.epoch();
        self.io.reconfigure(self.shared.live());
        self.queues.set_limits(limits(&self.io.live), self.io.clock.now());
        if let Some(listeners) = &mut self.listeners {
            let server = &self.io.live.config().server;
            listeners.acceptor.configure(Arc::clone(&self.io.live));
            listeners.sockets.iter().for_each(|socket| adjust(server, socket.as_fd()));
        }
    }

    fn read_clocks(&mut self) {
        let now = monotonic_ms();
        self.io.clock.set(now);
        self.io.watches.at(now);
        if now.wrapping_sub(self.wall_read) >= WALL_MS {
            self.wall_read = now;
            let known = self.io.clock.wall().is_some();
            self.io.clock.set_wall(wall_seconds());
            if self.io.clock.wall().is_some() != known {
                // Answers written while the time was unknown carry no date.
                self.io.handler.forget();
            }
        }
    }

    #[cfg_attr(tuned, optimize(speed))]
    fn event(&mut self, gate: &Gate, event: Event) {
        let index = event.data as u32;
        if u64::from(index) == WATCH {
            for happened in Happened::BY_EVENT {
                if let Some(told) = self.io.watches.event(event, happened, self.io.clock.now()) {
                    self.io.tell(told);
                }
            }
            return;
        }
        if u64::from(index) >= SPECIAL {
            return self.special(gate, u64::from(index));
        }
        let generation = (event.data >> 32) as u32;
        if let Some(connection) = self.view.current(index as usize, generation) {
            let ready =
                Ready { readable: event.readable(), ended: event.ended(), broken: event.failed(), woken: false };
            self.io.at = index;
            let next = self.io.drive(connection, ready);
            self.settle(index, next);
        }
    }

    fn special(&mut self, gate: &Gate, token: u64) {
        if token == WAKE {
            gate.wake.clear();
            raise(&gate.pulse.beats, 1);
            self.ask_again = self.queues.verdict().1 > 0;
            return;
        }
        let Some(listeners) = &mut self.listeners else { return };
        let Some(socket) = listeners.sockets.get((token - SPECIAL) as usize) else { return };
        if listeners.acceptor.accept(socket.as_fd()) == Burst::Starved {
            for socket in &listeners.sockets {
                let _ = gate.epoll.remove(socket.as_fd());
            }
            listeners.watched = false;
        }
    }

    /// Does with a connection what its turn came to.
    #[cfg_attr(tuned, optimize(speed))]
    fn settle(&mut self, index: u32, next: Next) {
        match next {
            Next::Wait(waiting, since) => {
                self.queues.place(&mut self.view, index, waiting, since, self.io.clock.now());
            }
            Next::Unsaved(len, waiting, since) => self.make_room(index, len, waiting, since),
            Next::Close => self.close(index),
        }
    }

    /// No buffer was free for a connection's input: another one gives its own up. A body does not unless it stalls: the head
    /// before it was whole, and the rest is likely on its way.
    fn make_room(&mut self, index: u32, len: usize, waiting: Waiting, since: u32) {
        let io = &self.io;
        let will_do = |other: &Connection| {
            let held = [other.input.as_ref().map(|kept| &kept.buffer), other.output.as_ref().map(|held| &held.buffer)];
            let large = held.into_iter().flatten().any(|buffer| io.pool.size(buffer) >= len);
            large && (other.waiting != Waiting::Body || io.stalls(other))
        };
        if let Some(holder) = self.queues.oldest_holder(&mut self.view, will_do) {
            match self.view.get(holder as usize) {
                // It has nothing more to say, and ends when it would have: not sooner, which would be an answer.
                Some(late) if late.waiting == Waiting::Late => self.io.let_go(late),
                _ => self.close(holder),
            }
        }
        let Some(connection) = self.view.get(index as usize) else { return };
        match self.io.save(connection, len) {
            true => self.settle(index, Next::Wait(waiting, since)),
            false => self.close(index),
        }
    }

    /// Closes a connection: its slot is free at once, its number after the batch.
    fn close(&mut self, index: u32) {
        self.queues.leave(&mut self.view, index);
        let Some(mut connection) = self.view.release(index as usize) else { return };
        self.io.let_go(&mut connection);
        self.io.plugins.closed(&connection.peer);
        self.shared.left(&connection.peer);
        if self.closing.len() == self.closing.capacity() {
            // Outside of a batch numbers may be used again; within one there is room for all it can close.
            self.close_descriptors();
        }
        self.closing.push(connection.into_socket());
    }

    /// Closes the descriptors of the connections that were closed. Only now is there room for others: until then their
    /// numbers are taken, and the limit of descriptors counts them.
    #[cfg_attr(tuned, optimize(speed))]
    #[inline(always)]
    fn close_descriptors(&mut self) {
        let closed = self.closing.len();
        if closed > 0 {
            self.closing.clear();
            self.shared.closed(self.view.owner(), closed as u32);
        }
    }

    /// Says what this worker is doing, if the operator asked since it last did.
    fn tell_state(&mut self, gate: &Gate) {
        let asked = self.shared.asked.load(Ordering::Relaxed);
        if asked != self.state_told {
            self.state_told = asked;
            state::tell_worker(self.view.owner(), gate, &self.queues, &self.io);
        }
        let reports = self.shared.reports.load(Ordering::Acquire);
        if reports != self.reports_told {
            self.reports_told = reports;
            state::tell_connections(&self.shared, &mut self.view, self.io.clock.now());
        }
    }

    /// Goes on with the requests that waited for a plugin's verdict, each once.
    fn ask_again(&mut self) {
        if !std::mem::take(&mut self.ask_again) {
            return;
        }
        for _ in 0..self.queues.verdict().1 {
            let (Some(index), _) = self.queues.verdict() else { return };
            let Some(connection) = self.view.get(index as usize) else { return };
            let since = connection.since;
            self.io.at = index;
            let next = self.io.drive(connection, Ready::default());
            // Out and in again, so that the others come first.
            self.queues.place(&mut self.view, index, Waiting::Head, since, self.io.clock.now());
            self.settle(index, next);
        }
        self.close_descriptors();
    }

    /// Goes on with the connections that had more to do than one turn allowed, each once.
    fn take_turns(&mut self) {
        let (_, count) = self.queues.turn();
        for _ in 0..count {
            let (Some(index), _) = self.queues.turn() else { return };
            let Some(connection) = self.view.get(index as usize) else { return };
            self.io.at = index;
            let next = self.io.drive(connection, Ready::default());
            // Out and in again, so that the others come first.
            let since = self.view.get(index as usize).map_or(0, |connection| connection.since);
            self.queues.place(&mut self.view, index, Waiting::Head, since, self.io.clock.now());
            self.settle(index, next);
        }
        self.close_descriptors();
    }

    /// Goes on with the connections whose handlers have what they waited for. Those that are woken by it follow in the next turn.
    #[inline(always)]
    fn wake(&mut self) {
        if !self.io.wakes.is_empty() {
            self.wake_all();
        }
    }

    fn wake_all(&mut self) {
        if self.io.wakes.take_all() {
            for _ in 0..self.queues.backend().1 {
                let (Some(index), _) = self.queues.backend() else { break };
                self.resume(index);
            }
        }
        for _ in 0..self.io.wakes.len() {
            let Some(index) = self.io.wakes.pop() else { break };
            self.resume(index);
        }
        self.close_descriptors();
    }

    fn resume(&mut self, index: u32) {
        let Some(connection) = self.view.get(index as usize) else { return };
        // A handler may answer before it has all of a body; what a tunnel's client does not take holds up only one of its directions.
        let early = connection.waiting == Waiting::Body && connection.has_task();
        if connection.waiting != Waiting::Backend && !early && !connection.session.is_tunnel() {
            return;
        }
        self.io.at = index;
        let next = self.io.drive(connection, Ready { woken: early, ..Ready::default() });
        // Out and in again, so that the others come first.
        let since = self.view.get(index as usize).map_or(0, |connection| connection.since);
        self.queues.place(&mut self.view, index, Waiting::Head, since, self.io.clock.now());
        self.settle(index, next);
    }

    fn expire(&mut self) {
        let now = self.io.clock.now();
        while let Some(told) = self.io.watches.expired(now) {
            self.io.tell(told);
        }
        while let Some(index) = self.queues.expired(&mut self.view, now) {
            let Some(connection) = self.view.get(index as usize) else { return };
            self.io.at = index;
            let next = self.io.time_out(connection);
            self.settle(index, next);
        }
        self.close_descriptors();
    }

    /// The first of those whose client stalls, and how many there are at least.
    fn stalled(&mut self) -> (Option<u32>, u32) {
        let io = &self.io;
        self.queues.stalled(&mut self.view, |connection| io.stalls(connection))
    }

    #[cfg_attr(tuned, optimize(speed))]
    fn housekeeping(&mut self, gate: &Gate) {
        let now = self.io.clock.now();
        self.tell_state(gate);
        let pool = &self.io.pool;
        gate.stats.lent.store(pool.lent() as u32, Ordering::Relaxed);
        gate.stats.starved.store(pool.refused(), Ordering::Relaxed);
        gate.stats.files.store(self.io.handler.open() as u32, Ordering::Relaxed);
        if now.wrapping_sub(self.swept) >= SWEEP_MS {
            self.swept = now;
            self.io.handler.sweep(now, KEEP_OPEN_MS);
            // Seldom used code adds up: it comes back from the file when it is used again.
            if self.view.owner() == 0 && self.shared.statm.program_kb() > EXECUTABLE_KB {
                release_pages();
            }
        }
        let shed = gate.shed.load(Ordering::Relaxed);
        self.shed_left = false;
        if shed > 0 {
            let mut left = shed;
            while left > 0
                && let Some(oldest) = self.queues.oldest_idle(&mut self.view, now).or_else(|| self.stalled().0)
            {
                self.close(oldest);
                left -= 1;
            }
            self.close_descriptors();
            // Who is left is not silent for long enough. It waits for its turn, unless there is room again.
            if self.shared.has_room() {
                left = 0;
            }
            self.shed_left = left > 0;
            gate.shed.fetch_sub(shed - left, Ordering::Relaxed);
        }
        let mut idle = self.queues.idle();
        if self.shared.is_nearly_full() {
            if now.wrapping_sub(self.stalled_at) >= RETRY_MS {
                self.stalled_at = now;
                self.stalling = self.stalled().1;
            }
            idle = idle.saturating_add(self.stalling);
        }
        if idle != self.idle_told {
            self.idle_told = idle;
            gate.idle.store(idle, Ordering::Relaxed);
        }
        if let Some(listeners) = &mut self.listeners
            && !listeners.watched
            && listeners.acceptor.may_accept()
        {
            for (number, socket) in listeners.sockets.iter().enumerate() {
                let _ = gate.epoll.add(socket.as_fd(), Interest::Read, SPECIAL + number as u64);
            }
            listeners.watched = true;
        }
    }

    /// Whether the server stops and this worker has nothing more to finish.
    fn is_done(&mut self, gate: &Gate) -> bool {
        if !self.io.stopping {
            return false;
        }
        let now = self.io.clock.now();
        if self.stop_at.is_none() {
            // They have no end of their own that could be waited for.
            for index in 0..self.shared.slots.len() {
                if self.view.get(index).is_some_and(|connection| connection.session.is_tunnel()) {
                    self.close(index as u32);
                }
            }
        }
        let stop_at = *self.stop_at.get_or_insert_with(|| now.wrapping_add(limits(&self.io.live).timeout));
        if let Some(mut listeners) = self.listeners.take() {
            // Closing a listener resets those who wait at it, their requests sent already.
            for socket in &listeners.sockets {
                // Others may hold it: it is not gone from the queue of events with our descriptor.
                let _ = gate.epoll.remove(socket.as_fd());
                listeners.acceptor.accept(socket.as_fd());
            }
        }
        while let Some(idle) = self.queues.oldest_keep_alive() {
            self.close(idle);
        }
        // A browser opens connections ahead of any request: one that never said a word has nothing in flight, unless it has
        // only just come.
        while let Some(silent) = self.queues.oldest_silent(&mut self.view, now) {
            self.close(silent);
        }
        self.close_descriptors();
        gate.active.load(Ordering::Relaxed) == 0 || now.wrapping_sub(stop_at) as i32 >= 0
    }
}
