//! A connection's slot: everything the server remembers of it between two events, in little more than two cache lines.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::file::body::Body;
use crate::http::session::Session;
use crate::plugin::handler::Client;
use crate::plugins::Task;
use crate::storage::pool::BufferId;
use crate::storage::queue::{Link, Linked};
use crate::sys::slots::Slots;
use crate::sys::socket::Peer;

/// What a connection waits for. Each has a queue and a time limit of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Its first event: it stands in no queue yet.
    Adoption,
    /// The first byte of all. It holds no buffer.
    Silent,
    /// The rest of a request head.
    Head,
    /// Another request, or none: idle keep-alive.
    Idle,
    /// The client to send more of a body.
    Body,
    /// The client to take more of an answer.
    Send,
    /// The time to pass for which a refusal is held back.
    Late,
    /// A plugin to come to a verdict.
    Verdict,
    /// What a handler waits for, which has a limit for it.
    Backend,
    /// The client to close after our last word.
    Farewell,
    /// Its turn: it had more to do than one turn allows.
    Turn,
}

impl Waiting {
    /// A word for it.
    pub fn name(self) -> &'static str {
        match self {
            Waiting::Adoption => "new",
            Waiting::Silent => "silent",
            Waiting::Head => "head",
            Waiting::Idle => "idle",
            Waiting::Body => "body",
            Waiting::Send => "send",
            Waiting::Late => "late",
            Waiting::Verdict => "verdict",
            Waiting::Backend => "backend",
            Waiting::Farewell => "farewell",
            Waiting::Turn => "turn",
        }
    }
}

/// A yes-or-no fact of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Flag {
    /// The answer under way is the last.
    Last = 1,
    /// Our side is ended; what still comes is read and thrown away.
    Leaving = 2,
    /// Data may be there to read: an edge was reported and not used up.
    Readable = 4,
    /// The client ended its side, or the connection broke.
    Ended = 8,
    /// The bytes in [`Connection::mark`] were counted from the start of a window on: it can be judged.
    Measured = 16,
    /// It stands in the queue of those that hold a buffer.
    Holds = 32,
    /// The client said that it sends no further request.
    Resigned = 64,
    /// The handler of the request under way has its body: what follows is its answer.
    Answers = 128,
}

/// Input kept in a borrowed buffer.
#[derive(Debug)]
pub struct Kept {
    /// The buffer.
    pub buffer: BufferId,
    /// How many bytes.
    pub len: u16,
}

/// Output held in a borrowed buffer.
#[derive(Debug)]
pub struct Held {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte not yet used.
    pub start: u16,
    /// End of the bytes.
    pub end: u16,
}

/// What is under way for a request.
#[derive(Debug)]
pub enum Work {
    /// The rest of an answer, or nothing.
    Body(Body),
    /// What a handler remembers of it.
    Task(Task),
}

impl Default for Work {
    fn default() -> Work {
        Work::Body(Body::Nothing)
    }
}

/// One connection.
#[derive(Debug)]
pub struct Connection {
    pub(super) socket: OwnedFd,
    link: Link,
    /// The client.
    pub peer: Peer,
    /// Which queue it stands in.
    pub waiting: Waiting,
    flags: u8,
    /// Milliseconds when the current wait began.
    pub since: u32,
    /// Milliseconds when it was put at its place in the queue.
    pub queued: u32,
    /// Bytes moved in the current window of a body or an answer; milliseconds when it began while leaving.
    pub mark: u32,
    /// Requests answered.
    pub requests: u32,
    /// Milliseconds when it was accepted.
    pub accepted: u32,
    /// Bytes sent to it; no more than 4 GB are counted.
    pub total: u32,
    /// Place in the stream of requests.
    pub session: Session,
    /// Bytes at the start of the kept input that are the head of the request whose body comes; 0 = none.
    pub head: u16,
    /// Input that does not make a request yet, or waits behind an answer under way.
    pub input: Option<Kept>,
    /// Output that was written and not yet sent.
    pub output: Option<Held>,
    /// What follows it.
    pub work: Work,
}

/// What a slot may take, the table's own word included.
const SLOT_MAX: usize = 136;
const _: () = assert!(Slots::<Connection>::SLOT_SIZE <= SLOT_MAX);

impl Connection {
    /// A connection accepted at `now`.
    pub fn new(socket: OwnedFd, peer: Peer, now: u32) -> Connection {
        Connection {
            socket,
            link: Link::default(),
            peer,
            waiting: Waiting::Adoption,
            flags: 0,
            since: now,
            queued: now,
            mark: 0,
            requests: 0,
            accepted: now,
            total: 0,
            session: Session::default(),
            head: 0,
            input: None,
            output: None,
            work: Work::default(),
        }
    }

    /// Whether a fact holds.
    #[inline]
    pub fn is(&self, flag: Flag) -> bool {
        self.flags & flag as u8 != 0
    }

    /// Takes note whether a fact holds.
    #[inline]
    pub fn set(&mut self, flag: Flag, holds: bool) {
        self.flags = if holds { self.flags | flag as u8 } else { self.flags & !(flag as u8) };
    }

    /// Counts bytes of a body that came.
    pub fn came(&mut self, bytes: usize) {
        self.moved(Waiting::Body, bytes);
    }

    /// Counts bytes of an answer that the socket took.
    #[inline(always)]
    pub fn sent(&mut self, bytes: usize) {
        self.total = self.total.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        self.moved(Waiting::Send, bytes);
    }

    /// Each wait begins with a count of its own.
    #[inline(always)]
    fn moved(&mut self, waiting: Waiting, bytes: usize) {
        if self.waiting == waiting {
            self.mark = self.mark.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        }
    }

    /// The socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Who is at the other end, for handlers.
    pub fn client(&self) -> Client<'_> {
        Client { peer: &self.peer, socket: self.socket.as_fd(), led: 0 }
    }

    /// The socket alone, once everything else is given back.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Whether a buffer of the pool, or several, would be free without it.
    pub fn holds_buffer(&self) -> bool {
        let borrows = matches!(self.work, Work::Body(Body::Parts { .. }) | Work::Task(_));
        self.input.is_some() || self.output.is_some() || borrows
    }

    /// What a handler remembers of the request under way; None = no handler has to do with it.
    pub fn task(&mut self) -> Option<&mut Task> {
        match &mut self.work {
            Work::Task(task) => Some(task),
            Work::Body(_) => None,
        }
    }

    /// Whether a handler has to do with the request under way.
    pub fn has_task(&self) -> bool {
        matches!(self.work, Work::Task(_))
    }

    /// Whether an answer is under way.
    #[inline(always)]
    pub fn is_sending(&self) -> bool {
        self.output.is_some()
            || self.is(Flag::Answers)
            || !matches!(self.work, Work::Body(Body::Nothing) | Work::Task(_))
    }
}

impl Linked for Connection {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}
