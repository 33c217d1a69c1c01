//! From input to answers: each request of what was read is routed and answered in its turn, its body read before.

use std::ops::Range;

use crate::file::body::Body;
use crate::file::error::{Failure, redirect_site};
use crate::http::output::Sink;
use crate::http::session::Event;
use crate::limits::{ANSWER_HEAD_MAX, DISCARD_MAX, INPUT_ROOM, SMALL_FILE_MAX};
use crate::plugin::handler::{Handling, Taken};
use crate::plugin::hooks::{Answer, Verdict};
use crate::plugin::scene::Scene;
use crate::plugin::transport::Transport;
use crate::plugins::Task;
use crate::server::connection::{Connection, Flag, Work};
use crate::server::handling::{Sources, begin, respond, takes_body};
use crate::server::io::{Flow, Io};
use crate::server::sending::hold;
use crate::vhost::request::{Refused, Request, connection_line};
use crate::wire::head::{Framing, Head, HeadError, Method, Version, parse_head};

/// Room that must be left for an answer before the gathered ones are sent.
const ANSWER_ROOM: usize = ANSWER_HEAD_MAX + SMALL_FILE_MAX;

/// What a request comes to.
pub(super) enum Reply {
    /// It is answered, and this follows what was written.
    Body(Body),
    /// A handler has begun.
    Task(Task),
    /// The same as `Body`, after a while.
    Late(Body),
    /// It is put back until a plugin knows what to do with it.
    Later,
    /// The connection ends without an answer.
    Close,
}

/// How far the input in the scratch buffer is worked off.
struct Progress {
    /// Where the head stands whose body is being read. Its length is in [`Connection::head`].
    head: usize,
    /// Bytes that are done with, that head included.
    used: usize,
    /// All bytes.
    len: usize,
}

/// What a handler works with. A macro, so that the other fields can be borrowed beside it.
macro_rules! scene {
    ($io:expr) => {
        Scene {
            live: &$io.live,
            clock: &$io.clock,
            out: &mut $io.out,
            pool: &mut $io.pool,
            host: &*$io.host,
            watches: &mut $io.watches,
            scratch: &mut $io.scratch,
            wakes: &mut $io.wakes,
            connection: $io.at,
            client: None,
            again: false,
            last: false,
        }
    };
}
pub(super) use scene;

impl<T: Transport> Io<T> {
    /// Answers the requests in the first `len` bytes of the scratch buffer. What must be kept is moved to its start; returns
    /// how many bytes that are. `woken` = the handler that takes the body may go on with its answer, whether or not more of it came.
    #[cfg_attr(tuned, optimize(speed))]
    #[inline(always)]
    pub(super) fn requests(&mut self, connection: &mut Connection, len: usize, woken: bool) -> (Flow, usize) {
        let mut progress = Progress { head: 0, used: usize::from(connection.head), len };
        let flow = match if woken { self.take_body(connection, 0, &mut progress) } else { None } {
            Some(flow) => flow,
            None => self.work_off(connection, &mut progress),
        };
        let Progress { head, used, len } = progress;
        let kept = usize::from(connection.head);
        if kept + len - used > 0 {
            self.input.copy_within(head..head + kept, 0);
            self.input.copy_within(used..len, kept);
        }
        (flow, kept + len - used)
    }

    #[cfg_attr(tuned, optimize(speed))]
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
                        false => self.answer(connection, start..progress.used, progress, false, None),
                        true => self.expect_body(connection, start, progress),
                    }
                }
                Event::Body { framing, len } => {
                    progress.used += framing;
                    self.take_body(connection, len, progress)
                }
                Event::End { consumed } => {
                    progress.used += consumed;
                    match connection.has_task() {
                        true => self.finish_body(connection, progress),
                        false => self.answer_kept(connection, progress, false),
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

    /// Answers the request whose head is `input[head]`. `last` = the connection ends after it, whatever the client wants; `judged` =
    /// what the plugins said to it, if they were asked. None = go on with the next request.
    #[cfg_attr(tuned, optimize(speed))]
    fn answer(
        &mut self,
        connection: &mut Connection,
        head: Range<usize>,
        progress: &mut Progress,
        last: bool,
        judged: Option<Verdict>,
    ) -> Option<Flow> {
        let start = self.out.len();
        let reply = self.request(connection, head.clone(), last, judged);
        if self.out.overflowed() {
            match reply {
                Reply::Body(body) | Reply::Late(body) => self.handler.drop_body(body, &mut self.pool),
                Reply::Task(task) => self.plugins.release(task, &mut scene!(self)),
                Reply::Later | Reply::Close => {}
            }
            self.out.truncate(start);
            return Some(self.refuse(connection, 500));
        }
        match reply {
            Reply::Body(body) => self.deliver(connection, body, progress.used == progress.len),
            Reply::Task(task) => {
                connection.work = Work::Task(task);
                connection.head = head.len() as u16;
                progress.head = head.start;
                self.finish_body(connection, progress)
            }
            Reply::Late(body) => {
                let held = hold(&mut self.pool, &mut connection.output, self.out.bytes());
                self.out.clear();
                match held {
                    // Without a buffer there is no answer, but nobody learns that any sooner.
                    Flow::Failed => self.handler.drop_body(body, &mut self.pool),
                    _ => connection.work = Work::Body(body),
                }
                Some(Flow::Late)
            }
            Reply::Later => {
                progress.used = head.start;
                Some(match self.send(connection, false) {
                    Flow::Starved => Flow::Later,
                    flow => flow,
                })
            }
            Reply::Close => Some(Flow::Failed),
        }
    }

    /// Whether a connection goes on after the request just parsed, which is counted.
    #[inline(always)]
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

    /// Writes the answer to the request whose head is `input[head]`, and tells of it.
    #[cfg_attr(tuned, optimize(speed))]
    #[inline(always)]
    fn request(
        &mut self,
        connection: &mut Connection,
        head: Range<usize>,
        last: bool,
        judged: Option<Verdict>,
    ) -> Reply {
        // What came behind it in the same read is the beginning of a later request, whose time counts from here.
        connection.since = self.clock.now();
        let persistent = self.persists(connection) && !last;
        connection.set(Flag::Last, !persistent);
        let mut scene = scene!(self);
        scene.again = std::mem::take(&mut self.again);
        let input = self.input.get(head).unwrap_or_default();
        let handler = &mut self.handler;
        let (request, reply) = match Request::route(scene.live, &self.head, input, &mut self.path, persistent) {
            Ok(request) if is_over(request.head, body_limit(scene.live, request.site)) => {
                let body = handler.fail_request(&mut scene, &request, 413, b"");
                (request, Reply::Body(body))
            }
            Ok(request) if self.head.expect_other => {
                let body = handler.fail_request(&mut scene, &request, 417, b"");
                (request, Reply::Body(body))
            }
            Ok(request) => {
                let verdict = match judged {
                    Some(verdict) => verdict,
                    None if !scene.live.part(request.site).guard => Verdict::Continue,
                    None => {
                        self.fields.clear();
                        self.plugins.request(&mut scene, &request, &connection.peer, &mut self.fields)
                    }
                };
                let reply = match verdict {
                    Verdict::Continue => match scene.live.site(request.site).and_then(|site| site.redirect.as_ref()) {
                        Some(to) => {
                            redirect_site(&mut scene, &request, to);
                            Reply::Body(Body::Nothing)
                        }
                        None => {
                            let mut from =
                                Sources { plugins: &mut self.plugins, files: handler, index: &mut self.index };
                            respond(&mut from, &mut scene, &request, connection.client())
                        }
                    },
                    Verdict::Refuse(status) => {
                        Reply::Body(handler.fail_request(&mut scene, &request, status, self.fields.bytes()))
                    }
                    Verdict::RefuseLate(status) => {
                        Reply::Late(handler.fail_request(&mut scene, &request, status, self.fields.bytes()))
                    }
                    Verdict::Later => Reply::Later,
                    Verdict::Close => Reply::Close,
                };
                (request, reply)
            }
            Err(Refused { status, site }) => {
                let failure = Failure {
                    status,
                    site: Some(site),
                    path: b"",
                    connection: connection_line(persistent, self.head.version),
                    is_head: self.head.method == Method::Head,
                    fields: b"",
                };
                let body = handler.fail(&mut scene, &failure);
                let request = Request { head: &self.head, input, path: b"", query: None, host: None, site, persistent };
                (request, Reply::Body(body))
            }
        };
        if scene.last {
            connection.set(Flag::Last, true);
        }
        let (status, length) = match &reply {
            Reply::Body(body) => handler.answer_of(body).unwrap_or_else(|| scene.out.answer()),
            Reply::Late(_) => scene.out.answer(),
            Reply::Later => {
                // It was not answered, and comes again.
                connection.requests -= 1;
                self.answered = self.answered.wrapping_sub(1);
                connection.set(Flag::Last, false);
                connection.session.put_back();
                return reply;
            }
            Reply::Task(_) | Reply::Close => return reply,
        };
        self.stats.answer(status);
        if scene.live.part(request.site).hear {
            let length = length.filter(|_| !request.is_head());
            self.plugins.served(&scene, Some(&request), &connection.peer, Answer { status, length });
        }
        reply
    }

    /// A body comes behind the head at `input[start..used]`: decides who takes it, or answers before it comes.
    fn expect_body(&mut self, connection: &mut Connection, start: usize, progress: &mut Progress) -> Option<Flow> {
        let head = start..progress.used;
        let input = self.input.get(head.clone()).unwrap_or_default();
        let mut scene = scene!(self);
        scene.again = std::mem::take(&mut self.again);
        let routed = Request::route(scene.live, &self.head, input, &mut self.path, true);
        let limit = routed.as_ref().map_or(u64::MAX, |request| body_limit(scene.live, request.site));
        let too_long = is_over(&self.head, limit);
        let here = progress.len.saturating_sub(progress.used);
        let whole = match self.head.framing {
            Framing::Length(length) => usize::try_from(length).ok().filter(|length| *length <= here),
            _ => None,
        };
        let unsaved = whole.is_none() && !scene.pool.is_free(head.len());
        let waits = self.head.expect_continue && self.head.version == Version::Http11;
        let mut judged = None;
        if let Ok(request) = &routed
            && !too_long
            && !self.head.expect_other
        {
            let taken = takes_body(&scene, request);
            self.fields.clear();
            let mut verdict = match unsaved && taken {
                true => Verdict::Refuse(503),
                false if !scene.live.part(request.site).guard => Verdict::Continue,
                false => self.plugins.request(&mut scene, request, &connection.peer, &mut self.fields),
            };
            if verdict == Verdict::Continue && taken {
                let mut from = Sources { plugins: &mut self.plugins, files: &mut self.handler, index: &mut self.index };
                match begin(&mut from, &mut scene, request, connection.client(), true) {
                    Handling::Begun(task) => {
                        connection.work = Work::Task(task);
                        connection.head = head.len() as u16;
                        progress.head = start;
                        let last = scene.last;
                        let persistent = self.persists(connection);
                        connection.set(Flag::Last, !persistent || last);
                        connection.session.allow(limit);
                        if waits && progress.used == progress.len {
                            self.out.push(b"HTTP/1.1 100 Continue\r\n\r\n");
                        }
                        return None;
                    }
                    Handling::Refuse(status) => verdict = Verdict::Refuse(status),
                    // Nobody has taken it who takes bodies.
                    Handling::NotMe | Handling::Answered => {}
                }
            }
            judged = Some(verdict);
        }
        if judged == Some(Verdict::Later) {
            connection.session.put_back();
            progress.used = start;
            return Some(match self.send(connection, false) {
                Flow::Starved => Flow::Later,
                flow => flow,
            });
        }
        let refused = judged.is_some_and(|verdict| verdict != Verdict::Continue);
        if let Some(length) = whole.filter(|_| refused) {
            connection.session.pass_body();
            progress.used += length;
            return self.answer(connection, head, progress, false, judged);
        }
        // Nobody reads it. A client that waits for our word, and one with much to send, gets its answer now; whether or how much of
        // the body comes then is not worth finding out. So does one whose head there is no buffer for, and one that is refused.
        if waits || too_long || unsaved || refused || is_over(&self.head, DISCARD_MAX) {
            return self.answer(connection, head, progress, true, judged);
        }
        connection.session.allow(limit.min(DISCARD_MAX));
        connection.head = head.len() as u16;
        progress.head = start;
        self.parsed = true;
        None
    }

    /// Gives the next `len` bytes of a body to whoever takes it.
    fn take_body(&mut self, connection: &mut Connection, len: usize, progress: &mut Progress) -> Option<Flow> {
        self.kept_at = progress.head;
        let kept = progress.head..progress.head + usize::from(connection.head);
        let Some(task) = connection.task() else {
            connection.session.took(len);
            progress.used += len;
            return None;
        };
        let head = self.input.get(kept).unwrap_or_default();
        let wanted = self.plugins.wants_request(task) && parse_head(head, &mut self.head).is_ok();
        let data = self.input.get(progress.used..progress.used + len).unwrap_or_default();
        let mut scene = scene!(self);
        let request = match wanted {
            true => Request::route(scene.live, &self.head, head, &mut self.path, true).ok(),
            false => None,
        };
        let taken = self.plugins.take(task, data, &mut scene, request.as_ref());
        let last = scene.last;
        let count = match taken {
            Taken::Bytes(count) | Taken::Wait(count) => count.min(len),
            Taken::Enough | Taken::Refuse(_) => len,
        };
        connection.session.took(count);
        progress.used += count;
        if taken == Taken::Enough || last {
            connection.set(Flag::Last, true);
        }
        match taken {
            Taken::Refuse(status) => return Some(self.refuse_task(connection, status)),
            Taken::Enough => self.end_task(connection),
            Taken::Wait(_) => return Some(self.wait_for_backend(connection)),
            Taken::Bytes(_) if count == len => return None,
            Taken::Bytes(_) => {}
        }
        match self.send(connection, false) {
            Flow::Starved if !connection.has_task() => Some(Flow::Last),
            Flow::Starved => Some(Flow::Turn),
            flow => Some(flow),
        }
    }

    /// The body is complete, or there is none: lets the handler write its answer.
    fn finish_body(&mut self, connection: &mut Connection, progress: &Progress) -> Option<Flow> {
        connection.since = self.clock.now();
        self.kept_at = progress.head;
        if let Some(task) = connection.task() {
            let mut scene = scene!(self);
            self.plugins.finish(task, &mut scene);
            let last = scene.last;
            connection.set(Flag::Last, connection.is(Flag::Last) || last);
        }
        connection.set(Flag::Answers, true);
        let flow = match self.out.is_empty() {
            true => Flow::Starved,
            false => self.send(connection, true),
        };
        match flow {
            Flow::Starved => match self.pump(connection) {
                Flow::Starved if connection.is(Flag::Last) => Some(Flow::Last),
                Flow::Starved => None,
                flow => Some(flow),
            },
            flow => Some(flow),
        }
    }

    /// Answers the request whose head was kept until nothing more of its body was to be read.
    fn answer_kept(&mut self, connection: &mut Connection, progress: &mut Progress, last: bool) -> Option<Flow> {
        let head = progress.head..progress.head + usize::from(connection.head);
        connection.head = 0;
        let bytes = self.input.get(head.clone()).unwrap_or_default();
        if !self.parsed && parse_head(bytes, &mut self.head).is_err() {
            return Some(self.refuse(connection, 500));
        }
        // Its body would not have been awaited if a plugin had anything against it.
        self.answer(connection, head, progress, last, Some(Verdict::Continue))
    }

    /// A chunked body is longer than its site takes, or than is worth passing over.
    fn body_too_long(&mut self, connection: &mut Connection, progress: &mut Progress) -> Flow {
        let head = progress.head..progress.head + usize::from(connection.head);
        let bytes = self.input.get(head).unwrap_or_default();
        let readable = self.parsed || parse_head(bytes, &mut self.head).is_ok();
        let routed = Request::route(&self.live, &self.head, bytes, &mut self.path, false);
        let limit = routed.map_or(u64::MAX, |request| body_limit(&self.live, request.site));
        if connection.has_task() || !readable || limit <= DISCARD_MAX {
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
        let answered = connection.task().is_some_and(|task| self.plugins.has_answered(task));
        self.release_task(connection);
        connection.head = 0;
        connection.session.give_up();
        connection.set(Flag::Last, true);
        if !answered {
            let mut scene = scene!(self);
            let failure = Failure {
                status,
                site: None,
                path: b"",
                connection: b"Connection: Close\r\n",
                is_head: false,
                fields: b"",
            };
            self.handler.fail(&mut scene, &failure);
            self.stats.answer(status);
            let (status, length) = scene.out.answer();
            self.plugins.served(&scene, None, &connection.peer, Answer { status, length });
        }
        match self.send(connection, false) {
            Flow::Starved => Flow::Last,
            flow => flow,
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
