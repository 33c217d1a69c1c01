//! One connection's turn: read, answer, send, and say what it waits for next.

use std::io;
use std::sync::Arc;

use crate::file::body::Body;
use crate::file::error::Failure;
use crate::file::handler::{Handler, Scene};
use crate::http::clock::Clock;
use crate::http::output::Output;
use crate::http::session::Event;
use crate::limits::{ANSWER_HEAD_MAX, HEAD_MAX, INPUT_ROOM, OUTPUT_ROOM, SMALL_FILE_MAX};
use crate::plugin::transport::Transport;
use crate::server::connection::{Connection, Waiting};
use crate::server::queues::FAREWELL_MS;
use crate::server::sending::hold;
use crate::storage::pool::Pool;
use crate::sys::Errno;
use crate::sys::memory::Region;
use crate::vhost::live::Live;
use crate::vhost::request::{Refused, Request, connection_line};
use crate::wire::head::{Framing, Head, HeadError, Method};

/// Reads in one turn; a client that sends more waits for its next turn.
const READS_A_TURN: u32 = 16;
/// Room that must be left for an answer before the gathered ones are sent.
const ANSWER_ROOM: usize = ANSWER_HEAD_MAX + SMALL_FILE_MAX;

/// What epoll reported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Ready {
    /// Something can be read.
    pub readable: bool,
    /// The client ended its side or the connection broke.
    pub ended: bool,
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
    /// The server is stopping: every answer is the last of its connection.
    pub stopping: bool,
    pub(super) out: Output,
    input: Region,
    path: Region,
    head: Head,
}

impl<T: Transport> Io<T> {
    /// Takes the buffers of one worker.
    pub fn new(
        transport: T,
        live: Arc<Live>,
        clock: Clock,
        handler: Handler,
        pool: Pool,
        out: Output,
    ) -> io::Result<Io<T>> {
        Ok(Io {
            transport,
            live,
            clock,
            handler,
            pool,
            stopping: false,
            out,
            input: Region::new(INPUT_ROOM)?,
            path: Region::new(HEAD_MAX)?,
            head: Head::new(),
        })
    }

    /// Works on a connection that epoll reported, or whose turn has come.
    pub fn drive(&mut self, connection: &mut Connection, ready: Ready) -> Next {
        connection.readable |= ready.readable;
        connection.ended |= ready.ended;
        if connection.farewell {
            return self.drain(connection);
        }
        if connection.is_sending() {
            match self.pump(connection) {
                Flow::Blocked => return self.park(connection, 0, Waiting::Progress),
                Flow::Turn => return Next::Wait(Waiting::Turn, connection.since),
                Flow::Failed => return Next::Close,
                Flow::Starved | Flow::Last if connection.last => return self.finish(connection, 0),
                Flow::Starved | Flow::Last => {}
            }
        }
        let answered = connection.requests;
        let mut len = self.restore(connection);
        for _ in 0..READS_A_TURN {
            if len > 0 {
                let (flow, used) = self.requests(connection, len);
                self.input.copy_within(used..len, 0);
                len -= used;
                match flow {
                    Flow::Starved => {}
                    Flow::Blocked => return self.park(connection, len, Waiting::Progress),
                    Flow::Turn => return self.park(connection, len, Waiting::Turn),
                    Flow::Last => return self.finish(connection, len),
                    Flow::Failed => return Next::Close,
                }
            }
            if !connection.readable {
                return self.rest(connection, len, answered);
            }
            let end = self.input_end(len);
            let Some(room) = self.input.get_mut(len..end).filter(|room| !room.is_empty()) else { return Next::Close };
            let room_len = room.len();
            match self.transport.read(connection.socket(), room) {
                Ok(0) => return Next::Close,
                Ok(count) => {
                    // A short read used the edge up, unless the end of the stream came with it.
                    connection.readable = count == room_len || connection.ended;
                    connection.spoke = true;
                    // A later request's time counts from its first byte, the first one's from accept. Empty lines are no
                    // request yet.
                    let begins = !matches!(room.first(), Some(b'\r' | b'\n'));
                    if len == 0 && connection.requests > 0 && begins {
                        connection.since = self.clock.now();
                    }
                    len += count;
                }
                Err(Errno::AGAIN) => connection.readable = false,
                Err(Errno::INTR) => {}
                Err(_) => return Next::Close,
            }
        }
        self.park(connection, len, Waiting::Turn)
    }

    /// Answers the requests in the first `len` bytes of the scratch buffer; returns how many bytes they took.
    fn requests(&mut self, connection: &mut Connection, len: usize) -> (Flow, usize) {
        let mut used = 0;
        while used < len {
            if self.out.room() < ANSWER_ROOM || (!self.out.is_empty() && !self.may_gather()) {
                match self.send(connection, false) {
                    Flow::Starved => {}
                    flow => return (flow, used),
                }
            }
            let input = self.input.get(used..len).unwrap_or_default();
            match connection.session.next(input, &mut self.head) {
                Event::NeedMore if len - used <= self.head_limit() => break,
                Event::NeedMore => return (self.refuse(connection, HeadError::LengthTooLarge.status()), used),
                Event::Passed { consumed } => used += consumed,
                Event::Bad(error) => return (self.refuse(connection, error.status()), used),
                Event::Request { consumed } if consumed > self.head_limit() => {
                    return (self.refuse(connection, HeadError::LengthTooLarge.status()), used);
                }
                Event::Request { consumed } => {
                    let start = self.out.len();
                    let body = self.request(connection, used, used + consumed);
                    used += consumed;
                    if self.out.overflowed() {
                        self.handler.drop_body(body, &mut self.pool);
                        self.out.truncate(start);
                        return (self.refuse(connection, 500), used);
                    }
                    if let Some(flow) = self.deliver(connection, body, used == len) {
                        return (flow, used);
                    }
                }
            }
        }
        (self.send(connection, false), used)
    }

    /// How far the scratch buffer may be filled that holds `len` bytes: no further than what a client leaves unused could be
    /// put by, as long as there is a choice. The largest buffers are for output.
    fn input_end(&self, len: usize) -> usize {
        let free = if self.pool.lent() == 0 { INPUT_ROOM } else { self.pool.largest_free(INPUT_ROOM) };
        if free > len { free } else { INPUT_ROOM }
    }

    /// Whether answers may be gathered: what of them a client does not take has to be put by as a whole. A single answer
    /// needs little room or none.
    pub(super) fn may_gather(&self) -> bool {
        self.pool.lent() == 0 || self.pool.largest_free(OUTPUT_ROOM) == OUTPUT_ROOM
    }

    /// Bytes of head a request may have: the fixed limit or the configured one.
    fn head_limit(&self) -> usize {
        let configured = self.live.config().server.max_request_size as usize;
        configured.saturating_mul(1024).min(INPUT_ROOM)
    }

    /// Answers one parsed request, `input[start..end]`.
    fn request(&mut self, connection: &mut Connection, start: usize, end: usize) -> Body {
        let server = &self.live.config().server;
        connection.requests = connection.requests.saturating_add(1);
        // What came behind it in the same read is the beginning of a later request, whose time counts from here.
        connection.since = self.clock.now();
        // A final answer to a request that waits for 100-continue leaves open whether its body is sent.
        let unsure = self.head.expect_continue && self.head.framing != Framing::None;
        let persistent = server.keep_alive
            && !self.stopping
            && !unsure
            && connection.requests < server.max_keep_alive_request
            && self.head.persistent();
        connection.last = !persistent;
        let mut scene = Scene { live: &self.live, clock: &self.clock, out: &mut self.out, pool: &mut self.pool };
        let input = self.input.get(start..end).unwrap_or_default();
        match Request::route(scene.live, &self.head, input, &mut self.path, persistent) {
            Ok(mut request) if exceeds_body_limit(scene.live, &request) => {
                // Answered before the body comes; what of it does come is not worth reading.
                request.persistent = false;
                connection.last = true;
                self.handler.fail_request(&mut scene, &request, 413, b"")
            }
            Ok(request) if self.head.expect_other => self.handler.fail_request(&mut scene, &request, 417, b""),
            Ok(request) => self.handler.answer(&mut scene, &request),
            Err(Refused { status, site }) => {
                let failure = Failure {
                    status,
                    site: Some(site),
                    path: b"",
                    connection: connection_line(persistent, self.head.version),
                    is_head: self.head.method == Method::Head,
                    fields: b"",
                };
                self.handler.fail(&mut scene, &failure)
            }
        }
    }

    /// Answers input that is no request, and ends the connection.
    fn refuse(&mut self, connection: &mut Connection, status: u16) -> Flow {
        connection.last = true;
        connection.bad = true;
        let mut scene = Scene { live: &self.live, clock: &self.clock, out: &mut self.out, pool: &mut self.pool };
        let failure = Failure {
            status,
            site: None,
            path: b"",
            connection: b"Connection: Close\r\n",
            is_head: false,
            fields: b"",
        };
        self.handler.fail(&mut scene, &failure);
        match self.send(connection, false) {
            Flow::Starved => Flow::Last,
            flow => flow,
        }
    }

    /// A connection's time for its request head ran out: says so when a part of it had arrived.
    pub fn time_out(&mut self, connection: &mut Connection) -> Next {
        if connection.waiting != Waiting::Head || connection.input.is_none() {
            return Next::Close;
        }
        match self.refuse(connection, 408) {
            Flow::Last => self.finish(connection, 0),
            Flow::Blocked => self.park(connection, 0, Waiting::Progress),
            _ => Next::Close,
        }
    }

    /// The last answer is sent: closes at once when the client has nothing more to say, else after hearing it out, for
    /// closing over unread input would destroy the answer on its way (RFC 9112 section 9.6).
    fn finish(&mut self, connection: &mut Connection, left: usize) -> Next {
        if !connection.bad && left == 0 && !connection.readable && !connection.session.in_body() {
            return Next::Close;
        }
        if self.transport.finish(connection.socket()).is_err() {
            return Next::Close;
        }
        connection.farewell = true;
        connection.since = self.clock.now();
        self.drain(connection)
    }

    /// Reads and forgets what a client still sends after our last word.
    fn drain(&mut self, connection: &mut Connection) -> Next {
        self.drop_input(connection);
        for _ in 0..READS_A_TURN {
            if !connection.readable {
                return Next::Wait(Waiting::Farewell, connection.since);
            }
            match self.transport.read(connection.socket(), &mut self.input) {
                Ok(0) => return Next::Close,
                Ok(count) => connection.readable = count == self.input.len() || connection.ended,
                Err(Errno::AGAIN) => connection.readable = false,
                Err(Errno::INTR) => {}
                Err(_) => return Next::Close,
            }
        }
        if self.clock.since(connection.since) >= FAREWELL_MS {
            return Next::Close;
        }
        Next::Wait(Waiting::Turn, connection.since)
    }

    /// All that arrived is worked off: says what the connection waits for.
    /// `answered` is how many requests had been answered when this turn began.
    fn rest(&mut self, connection: &mut Connection, len: usize, answered: u32) -> Next {
        if len > 0 || connection.requests == 0 {
            return self.park(connection, len, Waiting::Head);
        }
        // Empty lines between requests do not prolong the idle time.
        if matches!(connection.waiting, Waiting::Idle | Waiting::Head) && connection.requests == answered {
            return Next::Wait(Waiting::Idle, connection.since);
        }
        let waiting = if connection.session.in_body() { Waiting::Progress } else { Waiting::Idle };
        Next::Wait(waiting, self.clock.now())
    }

    /// Puts what is left of the input by until the connection's next turn.
    fn park(&mut self, connection: &mut Connection, len: usize, waiting: Waiting) -> Next {
        let goes_on = connection.waiting == waiting || waiting == Waiting::Head;
        let since = if goes_on { connection.since } else { self.clock.now() };
        if self.save(connection, len) { Next::Wait(waiting, since) } else { Next::Unsaved(len, waiting, since) }
    }

    /// Keeps the first `len` bytes of the scratch buffer with the connection. False = no buffer is free.
    pub fn save(&mut self, connection: &mut Connection, len: usize) -> bool {
        let bytes = self.input.get(..len).unwrap_or_default();
        bytes.is_empty() || hold(&mut self.pool, &mut connection.input, bytes) == Flow::Blocked
    }

    /// Brings a connection's kept input back into the scratch buffer.
    fn restore(&mut self, connection: &mut Connection) -> usize {
        let Some(held) = connection.input.take() else { return 0 };
        let bytes = self.pool.get(&held.buffer);
        let bytes = bytes.get(usize::from(held.start)..usize::from(held.end)).unwrap_or_default();
        let len = bytes.len();
        if let Some(place) = self.input.get_mut(..len) {
            place.copy_from_slice(bytes);
        }
        self.pool.give(held.buffer);
        len
    }

    fn drop_input(&mut self, connection: &mut Connection) {
        if let Some(held) = connection.input.take() {
            self.pool.give(held.buffer);
        }
    }

    /// Gives back everything a connection holds.
    pub fn let_go(&mut self, connection: &mut Connection) {
        self.drop_input(connection);
        if let Some(held) = connection.output.take() {
            self.pool.give(held.buffer);
        }
        let body = std::mem::take(&mut connection.body);
        self.handler.drop_body(body, &mut self.pool);
    }
}

/// Whether a request announces a longer body than its site takes.
fn exceeds_body_limit(live: &Live, request: &Request<'_>) -> bool {
    let limit = live.site(request.site).map_or(0, |site| site.max_body_size);
    matches!(request.head.framing, Framing::Length(length) if limit != 0 && length > limit)
}
