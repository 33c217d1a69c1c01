//! One connection's turn: read, answer, send, and say what it waits for next.

use std::hash::{DefaultHasher, Hasher};
use std::io;
use std::sync::Arc;

use crate::file::handler::Handler;
use crate::http::clock::Clock;
use crate::http::output::Output;
use crate::limits::{
    HEAD_MAX, INPUT_ROOM, LATE_MS, LINGER_MAX_MS, MISS_BYTES, MISSES_MAX, OPEN_FILES_MAX, OUTPUT_ROOM, PATH_ROOM,
};
use crate::plugin::events::{Told, Watches};
use crate::plugin::handler::Taken;
use crate::plugin::host::Host;
use crate::plugin::scene::{RefusalFields, Scene, Wakes};
use crate::plugin::stats::WorkerStats;
use crate::plugin::transport::Transport;
use crate::plugins::Workers;
use crate::server::budget::Budget;
use crate::server::connection::{Connection, Flag, Kept, Waiting, Work};
use crate::server::requests::scene;
use crate::storage::pool::Pool;
use crate::sys::Errno;
use crate::sys::clock::{monotonic_ms, wall_seconds};
use crate::sys::memory::{Region, secret};
use crate::vhost::live::Live;
use crate::vhost::table::OpenFiles;
use crate::wire::head::Head;

/// Reads in one turn; a client that sends more waits for its next turn.
const READS_A_TURN: u32 = 16;

/// Milliseconds after which a client that has moved too little stalls: it gives way to others when nobody is idle.
const STALL_MS: u32 = 1000;
/// Connections that can be woken in one turn; when there are more all that wait are asked.
const WAKES_A_TURN: usize = 128;
/// Bytes of an answer taken ahead of the floor that count in later windows.
const AHEAD_MAX: u64 = 16 * 1024;

/// What epoll reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ready {
    /// Something can be read.
    pub readable: bool,
    /// The client ended its side or the connection broke.
    pub ended: bool,
    /// The connection broke.
    pub broken: bool,
    /// Its handler was woken.
    pub woken: bool,
}

/// What a connection's turn came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// It waits, from a moment on.
    Wait(Waiting, u32),
    /// It waits with so many bytes of input left in the scratch buffer, for which no buffer was free.
    Unsaved(usize, Waiting, u32),
    /// It is to be closed.
    Close,
}

/// How far a request or an answer got.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Flow {
    /// All is sent; more input is needed.
    Starved,
    /// The client has to take what was sent first.
    Blocked,
    /// Enough for one turn.
    Turn,
    /// A refusal is held back.
    Late,
    /// A plugin has to come to a verdict first.
    Later,
    /// A handler waits for something.
    Backend,
    /// All is sent and nothing more will be.
    Last,
    /// The connection is broken.
    Failed,
}

/// What a worker answers with: its buffers, its handler, the time, the configuration.
pub struct Io<T: Transport> {
    /// Moves the bytes.
    pub transport: T,
    /// The configuration in force.
    pub live: Arc<Live>,
    /// The time of this turn.
    pub clock: Clock,
    /// The static file handler.
    pub handler: Handler,
    /// Buffers for what can not be finished now.
    pub pool: Pool,
    /// The plugins as this worker has them.
    pub plugins: Workers,
    /// The server as a whole, for plugins.
    pub host: Arc<dyn Host>,
    /// What the plugins watch.
    pub watches: Watches,
    /// Whose handlers go on.
    pub wakes: Wakes,
    /// The slot of the connection that is worked on next.
    pub at: u32,
    /// What is counted.
    pub stats: Arc<WorkerStats>,
    /// Requests answered since the start; it starts again at 0 after 2^32.
    pub answered: u32,
    /// The server is stopping: every answer is the last of its connection.
    pub stopping: bool,
    pub(super) out: Output,
    pub(super) input: Region,
    pub(super) path: Region,
    /// The path of a directory's index file.
    pub(super) index: Region,
    /// The path that a handler had answered in place of its own.
    pub(super) local: Region,
    /// For plugins.
    pub(super) scratch: Region,
    pub(super) head: Head,
    /// Field lines that plugins add to a refusal.
    pub(super) fields: RefusalFields,
    /// Where in the input the head stands of the request that a handler is answering.
    pub(super) kept_at: usize,
    /// Whether `head` is that of the connection being worked on.
    pub(super) parsed: bool,
    /// Whether handlers are told of the end of turns.
    turns: bool,
    /// Whether the request that is judged next was put back before.
    pub(super) again: bool,
}

impl<T: Transport> Io<T> {
    /// Takes the memory of one worker.
    pub fn new(
        transport: T,
        live: &Arc<Live>,
        budget: &Budget,
        plugins: Workers,
        host: Arc<dyn Host>,
        stats: Arc<WorkerStats>,
        watches: Watches,
    ) -> io::Result<Io<T>> {
        let mut hasher = DefaultHasher::new();
        hasher.write(&secret());
        let seed = hasher.finish();
        let table = OpenFiles::new(OPEN_FILES_MAX, budget.arena, MISSES_MAX, MISS_BYTES, seed)?;
        Ok(Io {
            transport,
            turns: plugins.want_turns(live.config()),
            live: Arc::clone(live),
            clock: Clock::new(monotonic_ms(), wall_seconds()),
            handler: Handler::new(live, table, seed)?,
            pool: Pool::new(&budget.pool)?,
            plugins,
            host,
            stats,
            watches,
            wakes: Wakes::new(WAKES_A_TURN),
            at: 0,
            answered: 0,
            stopping: false,
            out: Output::new(OUTPUT_ROOM)?,
            input: Region::new(INPUT_ROOM)?,
            path: Region::new(HEAD_MAX)?,
            index: Region::new(PATH_ROOM)?,
            local: Region::new(PATH_ROOM)?,
            scratch: Region::new(budget.scratch.max(1))?,
            head: Head::new(),
            fields: RefusalFields::default(),
            kept_at: 0,
            parsed: false,
            again: false,
        })
    }

    /// Works on a connection that epoll reported, or whose turn has come.
    #[cfg_attr(tuned, optimize(speed))]
    pub fn drive(&mut self, connection: &mut Connection, ready: Ready) -> Next {
        self.again = connection.session.was_put_back();
        // A client that ends its side while its answer is being made has left. One that ended it with its request may well wait.
        let leaves = ready.broken || ready.ended && !connection.is(Flag::Ended) && connection.is(Flag::Answers);
        let is_made = matches!(connection.waiting, Waiting::Backend | Waiting::Turn);
        if leaves && is_made && !connection.session.is_tunnel() {
            return Next::Close;
        }
        if ready.readable {
            connection.set(Flag::Readable, true);
        }
        if ready.ended {
            connection.set(Flag::Ended, true);
        }
        if connection.is(Flag::Leaving) {
            return self.drain(connection);
        }
        if connection.session.is_tunnel() {
            return if ready.broken || self.stopping { Next::Close } else { self.drive_tunnel(connection) };
        }
        if connection.waiting == Waiting::Late {
            // Also when the client has ended its side: closing now would tell it what the answer is.
            if self.clock.since(connection.since) < LATE_MS {
                return Next::Wait(Waiting::Late, connection.since);
            }
            // Its answer gave way to somebody else's input.
            if !connection.is_sending() {
                return Next::Close;
            }
        }
        let mut kept = None;
        if connection.is_sending() {
            if connection.is(Flag::Answers) {
                // The handler's request is told of when it is answered. Its buffer stays its own: another may not be free by then.
                kept = Some(self.copy_kept(connection));
                self.kept_at = 0;
            }
            let head = usize::from(connection.head);
            let flow = self.pump(connection);
            if let Some(len) = &mut kept
                && connection.head == 0
            {
                self.drop_input(connection);
                self.input.copy_within(head.min(*len)..*len, 0);
                *len = len.saturating_sub(head);
            }
            match flow {
                Flow::Blocked => return self.park(connection, kept.unwrap_or(0), Waiting::Send),
                Flow::Backend => return self.park(connection, kept.unwrap_or(0), Waiting::Backend),
                Flow::Turn if kept.is_none() => return Next::Wait(Waiting::Turn, connection.since),
                Flow::Turn => return self.park(connection, kept.unwrap_or(0), Waiting::Turn),
                Flow::Failed => return Next::Close,
                // An answer may begin before its request's body has come.
                Flow::Starved | Flow::Last if connection.is(Flag::Last) && !connection.has_task() => {
                    return self.finish(connection, 0);
                }
                Flow::Starved | Flow::Last | Flow::Late | Flow::Later => {}
            }
        }
        if kept.is_some() {
            self.drop_input(connection);
        }
        let answered = connection.requests;
        let mut woken = ready.woken;
        let mut len = match kept {
            Some(len) => len,
            None => self.restore(connection),
        };
        for _ in 0..READS_A_TURN {
            let woken = std::mem::take(&mut woken) && connection.session.in_body() && connection.has_task();
            if len > usize::from(connection.head) || connection.session.is_complete() || woken {
                let flow;
                (flow, len) = self.requests(connection, len, woken);
                match flow {
                    Flow::Starved => {}
                    Flow::Blocked => return self.park(connection, len, Waiting::Send),
                    Flow::Turn => return self.park(connection, len, Waiting::Turn),
                    Flow::Late if !connection.is_sending() => return self.park(connection, 0, Waiting::Late),
                    Flow::Late => return self.park(connection, len, Waiting::Late),
                    Flow::Later => return self.park(connection, len, Waiting::Verdict),
                    Flow::Backend => return self.park(connection, len, Waiting::Backend),
                    Flow::Last => return self.finish(connection, len),
                    Flow::Failed => return Next::Close,
                }
            }
            if !connection.is(Flag::Readable) {
                return self.rest(connection, len, answered);
            }
            let end = self.input_end(len);
            let Some(room) = self.input.get_mut(len..end).filter(|room| !room.is_empty()) else { return Next::Close };
            let room_len = room.len();
            match self.transport.read(connection.socket(), room) {
                Ok(0) => return Next::Close,
                Ok(count) => {
                    // A short read used the edge up, unless the end of the stream came with it.
                    let more = count == room_len || !T::EXHAUSTS || connection.is(Flag::Ended);
                    connection.set(Flag::Readable, more);
                    // Empty lines are no request yet.
                    let begins = !matches!(room.first(), Some(b'\r' | b'\n'));
                    if connection.session.in_body() {
                        connection.came(count);
                    } else if len == 0 && connection.requests > 0 && begins {
                        // A later request's time counts from its first byte, the first one's from accept.
                        connection.since = self.clock.now();
                    }
                    len += count;
                }
                Err(Errno::AGAIN) => connection.set(Flag::Readable, false),
                Err(Errno::INTR) => {}
                Err(_) => return Next::Close,
            }
        }
        self.park(connection, len, Waiting::Turn)
    }

    /// The turn of a connection that a handler has made a tunnel: each direction goes as far as it can, whatever holds the other up.
    fn drive_tunnel(&mut self, connection: &mut Connection) -> Next {
        let mut len = self.restore(connection);
        let mut waiting = match self.pump(connection) {
            Flow::Failed => return Next::Close,
            Flow::Blocked => Waiting::Send,
            Flow::Turn => Waiting::Turn,
            _ if !connection.has_task() => return self.finish(connection, 0),
            _ => Waiting::Backend,
        };
        for reads in 0..=READS_A_TURN {
            if len > 0 {
                let Some(task) = connection.task() else { return Next::Close };
                let data = self.input.get(..len).unwrap_or_default();
                match self.plugins.take(task, data, &mut scene!(self), None) {
                    Taken::Bytes(used) | Taken::Wait(used) => {
                        self.input.copy_within(used.min(len)..len, 0);
                        len = len.saturating_sub(used);
                    }
                    Taken::Refuse(_) | Taken::Enough => return Next::Close,
                }
            }
            if len > 0 || !connection.is(Flag::Readable) {
                break;
            }
            if reads == READS_A_TURN {
                waiting = Waiting::Turn;
                break;
            }
            let end = self.input_end(0);
            let room = self.input.get_mut(..end).unwrap_or_default();
            let room_len = room.len();
            match self.transport.read(connection.socket(), room) {
                Ok(0) => {
                    connection.set(Flag::Readable, false);
                    if let Some(task) = connection.task() {
                        self.plugins.finish(task, &mut scene!(self));
                    }
                }
                Ok(count) => {
                    connection.set(Flag::Readable, count == room_len || !T::EXHAUSTS || connection.is(Flag::Ended));
                    len = count;
                }
                Err(Errno::AGAIN) => connection.set(Flag::Readable, false),
                Err(Errno::INTR) => {}
                Err(_) => return Next::Close,
            }
        }
        self.park(connection, len, waiting)
    }

    /// Tells a plugin what happened to a descriptor that it watches.
    pub fn tell(&mut self, told: Told) {
        let mut scene = scene!(self);
        self.plugins.event(told, &mut scene);
    }

    /// Tells the plugins that a turn ends. Returns after how many milliseconds at most they want the next one.
    #[inline(always)]
    pub fn turn(&mut self) -> Option<u32> {
        let hooks = self.plugins.turn(self.clock.now());
        if !self.turns {
            return hooks;
        }
        let handlers = self.plugins.turn_of_handlers(&mut scene!(self));
        hooks.into_iter().chain(handlers).min()
    }

    /// Another configuration is in force.
    pub fn reconfigure(&mut self, live: Arc<Live>) {
        self.live = live;
        self.handler.reconfigure(&self.live);
        self.plugins.reconfigure(&self.live);
        self.turns |= self.plugins.want_turns(self.live.config());
    }

    /// How far the scratch buffer may be filled that holds `len` bytes: no further than what a client leaves unused could be
    /// put by, as long as there is a choice. The largest buffers are for output.
    #[inline(always)]
    fn input_end(&self, len: usize) -> usize {
        let free = if self.pool.lent() == 0 { INPUT_ROOM } else { self.pool.largest_free(INPUT_ROOM) };
        if free > len { free } else { INPUT_ROOM }
    }

    /// Whether answers may be gathered: what of them a client does not take has to be put by as a whole. A single answer
    /// needs little room or none.
    pub(super) fn may_gather(&self) -> bool {
        self.pool.lent() == 0 || self.pool.largest_free(OUTPUT_ROOM) == OUTPUT_ROOM
    }

    /// A connection's time ran out: what its wait was for decides what becomes of it.
    pub fn time_out(&mut self, connection: &mut Connection) -> Next {
        match connection.waiting {
            // A client that began a head deserves to know.
            Waiting::Head if connection.input.is_some() => match self.refuse(connection, 408) {
                Flow::Last => self.finish(connection, 0),
                Flow::Blocked => self.park(connection, 0, Waiting::Send),
                _ => Next::Close,
            },
            Waiting::Late => self.drive(connection, Ready::default()),
            Waiting::Verdict => {
                self.drop_input(connection);
                match self.refuse(connection, 503) {
                    Flow::Last => self.finish(connection, 0),
                    Flow::Blocked => self.park(connection, 0, Waiting::Send),
                    _ => Next::Close,
                }
            }
            Waiting::Body => self.judge(connection, 0, self.live.config().server.min_body_rate),
            Waiting::Send => {
                // What the kernel took and the client did not is no progress.
                let waiting = self.transport.unacknowledged(connection.socket());
                if waiting == 0 {
                    // All has arrived, so no event will come: a file that was cut between two pages looked like a full socket.
                    match self.drive(connection, Ready::default()) {
                        Next::Wait(Waiting::Send, _) => {}
                        next => return next,
                    }
                }
                self.judge(connection, waiting, self.live.config().server.min_send_rate)
            }
            // It takes its time to read our last word, and may not know yet that it is the last.
            Waiting::Farewell
                if self.clock.since(connection.mark) < LINGER_MAX_MS
                    && self.transport.unacknowledged(connection.socket()) > 0 =>
            {
                Next::Wait(Waiting::Farewell, self.clock.now())
            }
            _ => Next::Close,
        }
    }

    /// Whether a client has moved less of a body or an answer than its floor so far, for a second at least.
    pub fn stalls(&self, connection: &Connection) -> bool {
        let server = &self.live.config().server;
        let (rate, waiting) = match connection.waiting {
            Waiting::Body => (server.min_body_rate, 0),
            Waiting::Send if connection.is(Flag::Measured) => {
                (server.min_send_rate, self.transport.unacknowledged(connection.socket()))
            }
            Waiting::Send => (server.min_send_rate, 0),
            _ => return false,
        };
        let waited = self.clock.since(connection.since);
        let moved = u64::from(connection.mark).saturating_sub(waiting as u64);
        waited >= STALL_MS && moved < (u64::from(rate) * u64::from(waited) / 1000).max(1)
    }

    /// Whether a connection moved enough bytes in the window that is over. `waiting` is how many of them have not arrived.
    fn judge(&mut self, connection: &mut Connection, waiting: usize, rate: u32) -> Next {
        let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
        let floor = u64::from(rate) * u64::from(self.live.config().server.rate_window);
        let moved = u64::from(connection.mark.saturating_sub(waiting));
        // The first window of an answer begins with an unknown amount on its way: it is only measured.
        let measured = connection.is(Flag::Measured) || connection.waiting == Waiting::Body;
        if measured && moved < floor.max(1) {
            return Next::Close;
        }
        connection.set(Flag::Measured, true);
        // Some paths acknowledge in lumps: a part of what was more than enough counts for the time after.
        let ahead = match connection.waiting {
            Waiting::Send => moved.saturating_sub(floor).min(AHEAD_MAX),
            _ => 0,
        };
        connection.mark = waiting.saturating_add(ahead as u32);
        Next::Wait(connection.waiting, self.clock.now())
    }

    /// The last answer is sent: closes at once when the client has nothing more to say, and said so, else after hearing it out,
    /// for input that comes to a closed socket destroys the answer on its way (RFC 9112 section 9.6).
    fn finish(&mut self, connection: &mut Connection, left: usize) -> Next {
        let session = &connection.session;
        let is_over = !session.is_broken() && !session.in_body() && connection.is(Flag::Resigned);
        if is_over && left == 0 && !connection.is(Flag::Readable) {
            return Next::Close;
        }
        if self.transport.finish(connection.socket()).is_err() {
            return Next::Close;
        }
        connection.set(Flag::Leaving, true);
        connection.session.give_up();
        connection.since = self.clock.now();
        connection.mark = self.clock.now();
        self.drain(connection)
    }

    /// Reads and forgets what a client still sends after our last word.
    fn drain(&mut self, connection: &mut Connection) -> Next {
        self.drop_input(connection);
        for _ in 0..READS_A_TURN {
            if self.clock.since(connection.mark) >= LINGER_MAX_MS {
                return Next::Close;
            }
            if !connection.is(Flag::Readable) {
                return Next::Wait(Waiting::Farewell, connection.since);
            }
            match self.transport.read(connection.socket(), &mut self.input) {
                Ok(0) => return Next::Close,
                Ok(count) => {
                    let more = count == self.input.len() || !T::EXHAUSTS || connection.is(Flag::Ended);
                    connection.set(Flag::Readable, more);
                    connection.since = self.clock.now();
                }
                Err(Errno::AGAIN) => connection.set(Flag::Readable, false),
                Err(Errno::INTR) => {}
                Err(_) => return Next::Close,
            }
        }
        Next::Wait(Waiting::Turn, connection.since)
    }

    /// All that arrived is worked off: says what the connection waits for.
    /// `answered` is how many requests had been answered when this turn began.
    #[inline(always)]
    fn rest(&mut self, connection: &mut Connection, len: usize, answered: u32) -> Next {
        if connection.session.in_body() {
            return self.park(connection, len, Waiting::Body);
        }
        if len > 0 {
            return self.park(connection, len, Waiting::Head);
        }
        if connection.requests == 0 {
            return Next::Wait(Waiting::Silent, connection.since);
        }
        // Empty lines between requests do not prolong the idle time.
        if matches!(connection.waiting, Waiting::Idle | Waiting::Head) && connection.requests == answered {
            return Next::Wait(Waiting::Idle, connection.since);
        }
        Next::Wait(Waiting::Idle, self.clock.now())
    }

    /// Puts what is left of the input by until the connection's next turn.
    fn park(&mut self, connection: &mut Connection, len: usize, waiting: Waiting) -> Next {
        let goes_on = connection.waiting == waiting || waiting == Waiting::Head;
        if !goes_on {
            connection.mark = 0;
            connection.set(Flag::Measured, false);
        }
        let since = if goes_on { connection.since } else { self.clock.now() };
        if self.save(connection, len) { Next::Wait(waiting, since) } else { Next::Unsaved(len, waiting, since) }
    }

    /// Keeps the first `len` bytes of the scratch buffer with the connection, unless they are kept already. False = no buffer is free.
    pub fn save(&mut self, connection: &mut Connection, len: usize) -> bool {
        let bytes = self.input.get(..len).unwrap_or_default();
        if bytes.is_empty() || connection.input.is_some() {
            return true;
        }
        let (Some(buffer), Ok(len)) = (self.pool.take(len), u16::try_from(len)) else { return false };
        if let Some(room) = self.pool.get_mut(&buffer).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
        }
        connection.input = Some(Kept { buffer, len });
        true
    }

    /// Brings a connection's kept input back into the scratch buffer.
    #[inline(always)]
    fn restore(&mut self, connection: &mut Connection) -> usize {
        let len = self.copy_kept(connection);
        self.drop_input(connection);
        len
    }

    /// Copies a connection's kept input into the scratch buffer.
    #[inline(always)]
    fn copy_kept(&mut self, connection: &Connection) -> usize {
        // Whatever was parsed last belongs to another connection.
        self.parsed = false;
        let Some(Kept { buffer, len }) = &connection.input else { return 0 };
        let len = usize::from(*len);
        if let (Some(place), Some(bytes)) = (self.input.get_mut(..len), self.pool.get(buffer).get(..len)) {
            place.copy_from_slice(bytes);
        }
        len
    }

    fn drop_input(&mut self, connection: &mut Connection) {
        if let Some(kept) = connection.input.take() {
            self.pool.give(kept.buffer);
        }
    }

    /// Gives back everything a connection holds.
    pub fn let_go(&mut self, connection: &mut Connection) {
        self.drop_input(connection);
        if let Some(held) = connection.output.take() {
            self.pool.give(held.buffer);
        }
        self.release_task(connection);
        #[allow(irrefutable_let_patterns)] // Where no handler is built in there are no tasks.
        if let Work::Body(body) = std::mem::take(&mut connection.work) {
            self.handler.drop_body(body, &mut self.pool);
        }
    }
}
