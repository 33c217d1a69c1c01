//! From input to answers: each request of what was read is routed and answered in its turn, its body read before.

use crate::file::body::Body;
use crate::file::error::Failure;
use crate::file::handler::Scene;
use crate::http::output::Sink;
use crate::http::session::Event;
use crate::limits::{ANSWER_HEAD_MAX, DISCARD_MAX, INPUT_ROOM, SMALL_FILE_MAX};
use crate::plugin::receiver::{Receiver, Taken};
use crate::plugin::transport::Transport;
use crate::plugins::receiver;
use crate::server::connection::{Connection, Flag};
use crate::server::io::{Flow, Io};
use crate::vhost::request::{Refused, Request, connection_line};
use crate::wire::head::{Framing, Head, HeadError, Method, Version, parse_head};

/// Room that must be left for an answer before the gathered ones are sent.
const ANSWER_ROOM: usize = ANSWER_HEAD_MAX + SMALL_FILE_MAX;

/// How far the input in the scratch buffer is worked off.
struct Progress {
    /// Where the head stands whose body is being read. Its length is in [`Connection::head`].
    head: usize,
    /// Bytes that are done with, that head included.
    used: usize,
    /// All bytes.
    len: usize,
}

impl<T: Transport> Io<T> {
    /// Answers the requests in the first `len` bytes of the scratch buffer. What must be kept is moved to its start; returns
    /// how many bytes that are.
    pub(super) fn requests(&mut self, connection: &mut Connection, len: usize) -> (Flow, usize) {
        let mut progress = Progress { head: 0, used: usize::from(connection.head), len };
        let flow = self.work_off(connection, &mut progress);
        let Progress { head, used, len } = progress;
        let kept = usize::from(connection.head);
        if kept + len - used > 0 {
            self.input.copy_within(head..head + kept, 0);
            self.input.copy_within(used..len, kept);
        }
        (flow, kept + len - used)
    }

    fn work_off(&mut self, connection: &mut Connection, progress: &mut Progress) -> Flow {
        while progress.used < progress.len || connection.session.is_complete() {
            if self.out.room() < ANSWER_ROOM || (!self.out.is_empty() && !self.may_gather()) {
                match self.send(connection, false) {
                    Flow::Starved => {}
                    flow => return flow,
                }
            }
            let input = self.input.get(progress.used..progress.len).unwrap_or_default();
            let len = input.len();
            let flow = match connection.session.next(input, &mut self.head) {
                Event::NeedMore if len <= self.head_limit() => break,
                Event::NeedMore => Some(self.refuse(connection, HeadError::LengthTooLarge.status())),
                Event::Passed { consumed } => {
                    progress.used += consumed;
                    None
                }
                Event::Bad(status) => Some(self.refuse(connection, status)),
                Event::Request { consumed } if consumed > self.head_limit() => {
                    Some(self.refuse(connection, HeadError::LengthTooLarge.status()))
                }
                Event::Request { consumed } => {
                    let start = progress.used;
                    progress.used += consumed;
                    match connection.session.in_body() {
                        false => self.answer(connection, start..progress.used, progress, false),
                        true => self.expect_body(connection, start, progress),
                    }
                }
                Event::Body { framing, len } => {
                    progress.used += framing;
                    self.take_body(connection, len, progress)
                }
                Event::End { consumed } => {
                    progress.used += consumed;
                    match connection.receiver.take() {
                        Some(receiver) => self.finish_body(connection, receiver, progress),
                        None => self.answer_kept(connection, progress, false),
                    }
                }
                Event::TooLong => Some(self.body_too_long(connection, progress)),
            };
            if let Some(flow) = flow {
                return flow;
            }
        }
        self.send(connection, false)
    }

    /// Bytes of head a request may have: the fixed limit or the configured one.
    fn head_limit(&self) -> usize {
        let configured = self.live.config().server.max_request_size as usize;
        configured.saturating_mul(1024).min(INPUT_ROOM)
    }

    /// Answers the request whose head is `input[head]`. `last` = the connection ends after it, whatever the client wants.
    /// None = go on with the next request.
    fn answer(
        &mut self,
        connection: &mut Connection,
        head: std::ops::Range<usize>,
        progress: &Progress,
        last: bool,
    ) -> Option<Flow> {
        let start = self.out.len();
        let body = self.request(connection, head, last);
        if self.out.overflowed() {
            self.handler.drop_body(body, &mut self.pool);
            self.out.truncate(start);
            return Some(self.refuse(connection, 500));
        }
        self.deliver(connection, body, progress.used == progress.len)
    }

    /// Whether a connection goes on after the request just parsed, which is counted.
    fn persists(&mut self, connection: &mut Connection) -> bool {
        let server = &self.live.config().server;
        connection.requests = connection.requests.saturating_add(1);
        self.answered = self.answered.wrapping_add(1);
        connection.set(Flag::Resigned, !self.head.persistent());
        server.keep_alive
            && !self.stopping
            && connection.requests < server.max_keep_alive_request
            && self.head.persistent()
    }

    /// Writes the answer to the request whose head is `input[head]`.
    fn request(&mut self, connection: &mut Connection, head: std::ops::Range<usize>, last: bool) -> Body {
        // What came behind it in the same read is the beginning of a later request, whose time counts from here.
        connection.since = self.clock.now();
        let persistent = self.persists(connection) && !last;
        connection.set(Flag::Last, !persistent);
        let mut scene = Scene { live: &self.live, clock: &self.clock, out: &mut self.out, pool: &mut self.pool };
        let input = self.input.get(head).unwrap_or_default();
        match Request::route(scene.live, &self.head, input, &mut self.path, persistent) {
            Ok(request) if is_over(request.head, body_limit(scene.live, request.site)) => {
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

    /// A body comes behind the head at `input[start..used]`: decides who takes it, or answers before it comes.
    fn expect_body(&mut self, connection: &mut Connection, start: usize, progress: &mut Progress) -> Option<Flow> {
        let head = start..progress.used;
        let input = self.input.get(head.clone()).unwrap_or_default();
        let routed = Request::route(&self.live, &self.head, input, &mut self.path, true);
        let limit = routed.as_ref().map_or(u64::MAX, |request| body_limit(&self.live, request.site));
        let too_long = is_over(&self.head, limit);
        let taken = match &routed {
            Ok(request) if !too_long && !self.head.expect_other => receiver(request, &mut self.pool),
            _ => None,
        };
        let waits = self.head.expect_continue && self.head.version == Version::Http11;
        if let Some(receiver) = taken {
            connection.receiver = Some(receiver);
            let persistent = self.persists(connection);
            connection.set(Flag::Last, !persistent);
            connection.session.allow(limit);
            if waits && progress.used == progress.len {
                self.out.push(b"HTTP/1.1 100 Continue\r\n\r\n");
            }
            return None;
        }
        let here = progress.len.saturating_sub(progress.used) as u64;
        let unsaved =
            !matches!(self.head.framing, Framing::Length(length) if length <= here) && !self.pool.is_free(head.len());
        // Nobody reads it. A client that waits for our word, and one with much to send, gets its answer now; whether or how much of
        // the body comes then is not worth finding out. So does one whose head there is no buffer for.
        if waits || too_long || unsaved || is_over(&self.head, DISCARD_MAX) {
            return self.answer(connection, head, progress, true);
        }
        connection.session.allow(limit.min(DISCARD_MAX));
        connection.head = head.len() as u16;
        progress.head = start;
        self.parsed = true;
        None
    }

    /// Gives the next `len` bytes of a body to whoever takes it.
    fn take_body(&mut self, connection: &mut Connection, len: usize, progress: &mut Progress) -> Option<Flow> {
        let Some(receiver) = &mut connection.receiver else {
            connection.session.took(len);
            progress.used += len;
            return None;
        };
        let data = self.input.get(progress.used..progress.used + len).unwrap_or_default();
        let taken = receiver.take(data, &mut self.out, &mut self.pool);
        let count = match taken {
            Taken::Bytes(count) => count.min(len),
            Taken::Enough => len,
        };
        connection.session.took(count);
        progress.used += count;
        if taken == Taken::Enough {
            self.release_receiver(connection);
            connection.set(Flag::Last, true);
        } else if count == len {
            return None;
        }
        match self.send(connection, false) {
            Flow::Starved if connection.is(Flag::Last) && connection.receiver.is_none() => Some(Flow::Last),
            Flow::Starved => Some(Flow::Turn),
            flow => Some(flow),
        }
    }

    /// The body is complete: lets its receiver say its last word.
    fn finish_body(
        &mut self,
        connection: &mut Connection,
        mut receiver: crate::plugins::Receiving,
        progress: &Progress,
    ) -> Option<Flow> {
        receiver.finish(&mut self.out, &mut self.pool);
        receiver.release(&mut self.pool);
        connection.since = self.clock.now();
        self.deliver(connection, Body::Nothing, progress.used == progress.len)
    }

    /// Answers the request whose head was kept until nothing more of its body was to be read.
    fn answer_kept(&mut self, connection: &mut Connection, progress: &mut Progress, last: bool) -> Option<Flow> {
        let head = progress.head..progress.head + usize::from(connection.head);
        connection.head = 0;
        let bytes = self.input.get(head.clone()).unwrap_or_default();
        if !self.parsed && parse_head(bytes, &mut self.head).is_err() {
            return Some(self.refuse(connection, 500));
        }
        self.answer(connection, head, progress, last)
    }

    /// A chunked body is longer than its site takes, or than is worth passing over.
    fn body_too_long(&mut self, connection: &mut Connection, progress: &mut Progress) -> Flow {
        let head = progress.head..progress.head + usize::from(connection.head);
        let bytes = self.input.get(head).unwrap_or_default();
        let readable = self.parsed || parse_head(bytes, &mut self.head).is_ok();
        let routed = Request::route(&self.live, &self.head, bytes, &mut self.path, false);
        let limit = routed.map_or(u64::MAX, |request| body_limit(&self.live, request.site));
        if connection.receiver.is_some() || !readable || limit <= DISCARD_MAX {
            return self.refuse(connection, HeadError::LengthTooLarge.status());
        }
        self.parsed = true;
        match self.answer_kept(connection, progress, true) {
            Some(flow) => flow,
            None => self.send(connection, false),
        }
    }

    /// Answers input that is no request, and ends the connection. Where an answer has begun there can not be another: then the
    /// connection ends in the middle of it, so that the client sees that it is not whole.
    pub(super) fn refuse(&mut self, connection: &mut Connection, status: u16) -> Flow {
        let answered = connection.receiver.as_ref().is_some_and(Receiver::has_answered);
        self.release_receiver(connection);
        connection.head = 0;
        connection.session.give_up();
        connection.set(Flag::Last, true);
        if !answered {
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
        }
        match self.send(connection, false) {
            Flow::Starved => Flow::Last,
            flow => flow,
        }
    }

    fn release_receiver(&mut self, connection: &mut Connection) {
        if let Some(receiver) = connection.receiver.take() {
            receiver.release(&mut self.pool);
        }
    }
}

/// Bytes of body that a site takes.
fn body_limit(live: &crate::vhost::live::Live, site: u16) -> u64 {
    match live.site(site).map_or(0, |site| site.max_body_size) {
        0 => u64::MAX,
        limit => limit,
    }
}

/// Whether a request announces more than `limit` bytes of body.
fn is_over(head: &Head, limit: u64) -> bool {
    matches!(head.framing, Framing::Length(length) if length > limit)
}
