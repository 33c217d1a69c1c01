//! Sending answers: what is ready at once, what is gathered, and what a slow client leaves for later.

use std::os::fd::{AsFd, BorrowedFd};

use crate::file::body::Body;
use crate::http::output::Sink;
use crate::plugin::handler::Produced;
use crate::plugin::scene::Scene;
use crate::plugin::transport::Transport;
use crate::server::connection::{Connection, Flag, Held, Work};
use crate::server::io::{Flow, Io};
use crate::server::requests::scene;
use crate::storage::pool::Pool;
use crate::sys::Errno;
use crate::vhost::request::Request;
use crate::vhost::table::EntryId;
use crate::wire::head::parse_head;

/// Bytes of a page of a file, or a part of one where pages are larger.
const PAGE: u64 = 4096;
/// Bytes of files sent in one turn.
const SENT_A_TURN: u64 = 1024 * 1024;
/// Parts that handlers write in one turn: one can be the work of looking at thousands of files.
const PARTS_A_TURN: u64 = 4;

impl<T: Transport> Io<T> {
    /// Gathers or sends what a request was answered with. None = go on with the next request.
    #[cfg_attr(tuned, optimize(speed))]
    pub(super) fn deliver(&mut self, connection: &mut Connection, body: Body, alone: bool) -> Option<Flow> {
        match body {
            Body::Nothing => {}
            Body::Ready { entry } => {
                let answer = self.handler.table().answer(entry).unwrap_or_default();
                if self.out.is_empty() && (alone || !self.may_gather()) {
                    return match write(self.transport, connection.socket(), answer, false) {
                        Ok(sent) => {
                            connection.sent(sent);
                            self.stats.send(sent as u64);
                            match sent == answer.len() {
                                true => alone.then_some(Flow::Starved),
                                false => Some(self.keep_rest(connection, entry, sent)),
                            }
                        }
                        Err(_) => Some(Flow::Failed),
                    };
                }
                self.out.push(answer);
            }
            body => {
                connection.work = Work::Body(body);
                return match self.send(connection, true) {
                    Flow::Starved => match self.pump(connection) {
                        Flow::Starved if connection.is(Flag::Last) => Some(Flow::Last),
                        Flow::Starved => None,
                        flow => Some(flow),
                    },
                    flow => Some(flow),
                };
            }
        }
        if connection.is(Flag::Last) {
            return Some(match self.send(connection, false) {
                Flow::Starved => Flow::Last,
                flow => flow,
            });
        }
        None
    }

    /// Remembers what of a ready answer was not sent: a body by its file, the rest in a buffer.
    fn keep_rest(&mut self, connection: &mut Connection, entry: EntryId, sent: usize) -> Flow {
        let table = self.handler.table_mut();
        let Some((head, file, size)) =
            table.entry(entry).map(|entry| (usize::from(entry.layout.head), entry.file.is_some(), entry.size))
        else {
            return Flow::Failed;
        };
        let answer = table.answer(entry).unwrap_or_default();
        if !file {
            return hold(&mut self.pool, &mut connection.output, answer.get(sent..).unwrap_or_default());
        }
        let rest = answer.get(sent..head).unwrap_or_default();
        if !rest.is_empty() && hold(&mut self.pool, &mut connection.output, rest) == Flow::Failed {
            return Flow::Failed;
        }
        let offset = sent.saturating_sub(head) as u64;
        table.pin(entry);
        connection.work = Work::Body(Body::File { entry, offset, remaining: size.saturating_sub(offset) });
        Flow::Blocked
    }

    /// Sends what is gathered. Starved = it is all sent.
    pub(super) fn send(&mut self, connection: &mut Connection, more: bool) -> Flow {
        let bytes = self.out.bytes();
        if bytes.is_empty() {
            return Flow::Starved;
        }
        let Ok(sent) = write(self.transport, connection.socket(), bytes, more) else {
            self.out.clear();
            return Flow::Failed;
        };
        connection.sent(sent);
        self.stats.send(sent as u64);
        let flow = match bytes.get(sent..) {
            Some([]) | None => Flow::Starved,
            Some(rest) => hold(&mut self.pool, &mut connection.output, rest),
        };
        self.out.clear();
        flow
    }

    /// Has the handler write the next part of its answer, and sends it. Starved = it is sent.
    fn produce(&mut self, connection: &mut Connection) -> Flow {
        let persistent = !connection.is(Flag::Last);
        let head = self.kept_at..self.kept_at + usize::from(connection.head);
        let Work::Task(task) = &mut connection.work else {
            connection.set(Flag::Answers, false);
            return Flow::Starved;
        };
        let bytes = self.input.get(head).unwrap_or_default();
        let wanted = self.plugins.wants_request(task) && parse_head(bytes, &mut self.head).is_ok();
        self.parsed = false;
        let mut scene = scene!(self);
        let request = match wanted {
            true => Request::route(scene.live, &self.head, bytes, &mut self.path, persistent).ok(),
            false => None,
        };
        scene.client = Some(connection.socket.as_fd());
        let produced = self.plugins.produce(task, &mut scene, request.as_ref());
        let (last, overflowed) = (scene.last, scene.out.overflowed());
        connection.set(Flag::Last, connection.is(Flag::Last) || last);
        match produced {
            _ if overflowed => return Flow::Failed,
            Produced::Broken => {
                // What there is of it, so that the client sees where it broke off.
                self.send(connection, false);
                return Flow::Failed;
            }
            Produced::More => {}
            Produced::Wait => return self.wait_for_backend(connection),
            Produced::Refuse(status) => self.fail_task(connection, status),
            Produced::Local => self.answer_local(connection),
            Produced::Tunnel => {
                self.tell_task(connection);
                connection.session.open_tunnel();
                // What came behind the request is given to the handler in the next turn.
                return match self.send(connection, false) {
                    Flow::Starved => Flow::Turn,
                    flow => flow,
                };
            }
            Produced::Done if connection.session.is_tunnel() => self.release_task(connection),
            Produced::Done => self.end_task(connection),
        }
        self.send(connection, produced == Produced::More)
    }

    /// Sends what a connection has under way. Starved = it is all sent.
    pub(super) fn pump(&mut self, connection: &mut Connection) -> Flow {
        let mut sent_now = 0u64;
        loop {
            if let Some(held) = &mut connection.output {
                let bytes = self.pool.get(&held.buffer);
                let rest = bytes.get(usize::from(held.start)..usize::from(held.end)).unwrap_or_default();
                let more = !matches!(connection.work, Work::Body(Body::Nothing));
                let Ok(sent) = write(self.transport, connection.socket.as_fd(), rest, more) else {
                    return Flow::Failed;
                };
                connection.mark = connection.mark.saturating_add(sent as u32);
                connection.total = connection.total.saturating_add(sent as u32);
                self.stats.send(sent as u64);
                if sent < rest.len() {
                    held.start = held.start.saturating_add(sent as u16);
                    return Flow::Blocked;
                }
                if let Some(held) = connection.output.take() {
                    self.pool.give(held.buffer);
                }
            }
            // With nothing left it is over: what follows from that is decided now.
            if sent_now >= SENT_A_TURN && connection.is_sending() {
                return Flow::Turn;
            }
            if let Work::Body(body @ Body::Parts { remaining: 0, .. }) = &mut connection.work {
                let go_on = self.handler.next_part(body, &self.pool, &mut self.out);
                if !go_on {
                    self.handler.drop_body(std::mem::take(body), &mut self.pool);
                }
                match self.send(connection, go_on) {
                    Flow::Starved => continue,
                    flow => return flow,
                }
            }
            if connection.is(Flag::Answers) {
                match self.produce(connection) {
                    Flow::Starved => {
                        sent_now += SENT_A_TURN / PARTS_A_TURN;
                        continue;
                    }
                    flow => return flow,
                }
            }
            let (entry, offset, remaining) = match &mut connection.work {
                Work::Body(Body::File { entry, offset, remaining } | Body::Parts { entry, offset, remaining, .. }) => {
                    (*entry, offset, remaining)
                }
                Work::Body(Body::Nothing | Body::Ready { .. }) | Work::Task(_) => return Flow::Starved,
            };
            let Some(file) = self.handler.table().file(entry) else { return Flow::Failed };
            let len = usize::try_from(*remaining).unwrap_or(usize::MAX).min(SENT_A_TURN as usize);
            if len > 0 {
                match self.transport.write_file(connection.socket.as_fd(), file, *offset, len) {
                    // The file ends before its length: it was cut while it was sent.
                    Ok(0) => return Flow::Failed,
                    Ok(sent) => {
                        let sent = (sent as u64).min(*remaining);
                        *offset += sent;
                        *remaining -= sent;
                        sent_now += sent;
                        self.stats.send(sent);
                        connection.mark = connection.mark.saturating_add(sent as u32);
                        connection.total = connection.total.saturating_add(sent as u32);
                        if sent < len as u64 {
                            // A socket that is full stops between pages. A file that was cut ends anywhere: the next call tells.
                            if T::EXHAUSTS && offset.is_multiple_of(PAGE) {
                                self.transport.push(connection.socket.as_fd());
                                return Flow::Blocked;
                            }
                            continue;
                        }
                    }
                    Err(Errno::AGAIN) => {
                        self.transport.push(connection.socket.as_fd());
                        return Flow::Blocked;
                    }
                    Err(Errno::INTR) => {}
                    Err(_) => return Flow::Failed,
                }
            }
            if let Work::Body(body @ Body::File { remaining: 0, .. }) = &mut connection.work {
                self.handler.drop_body(std::mem::take(body), &mut self.pool);
                return Flow::Starved;
            }
        }
    }
}

/// Writes what there is room for, over interruptions; no room is no error.
#[cfg_attr(tuned, optimize(speed))]
fn write<T: Transport>(transport: T, socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> Result<usize, Errno> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match transport.write(socket, rest, more) {
            Ok(count) => {
                written += count;
                if T::EXHAUSTS || count == 0 {
                    break;
                }
            }
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(written)
}

/// Keeps bytes in a buffer of the pool. Blocked = kept; Failed = no buffer is free.
pub(super) fn hold(pool: &mut Pool, place: &mut Option<Held>, bytes: &[u8]) -> Flow {
    let (Some(buffer), Ok(end)) = (pool.take(bytes.len()), u16::try_from(bytes.len())) else { return Flow::Failed };
    if let Some(room) = pool.get_mut(&buffer).get_mut(..bytes.len()) {
        room.copy_from_slice(bytes);
    }
    *place = Some(Held { buffer, start: 0, end });
    Flow::Blocked
}
