//! A connection's slot: everything the server remembers of it between two events, in less than two cache lines.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use crate::file::body::Body;
use crate::http::session::Session;
use crate::storage::pool::BufferId;
use crate::storage::queue::{Link, Linked};
use crate::sys::slots::Slots;
use crate::sys::socket::Peer;

/// What a connection waits for. Each has a queue and a time limit of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waiting {
    /// Its first event: it stands in no queue yet.
    Adoption,
    /// The rest of a request head, or the first byte of all.
    Head,
    /// Another request, or none: idle keep-alive.
    Idle,
    /// The client to take more of an answer, or to send more of a body.
    Progress,
    /// The client to close after our last word.
    Farewell,
    /// Its turn: it had more to do than one turn allows.
    Turn,
}

/// Bytes held in a borrowed buffer.
#[derive(Debug)]
pub struct Held {
    /// The buffer.
    pub buffer: BufferId,
    /// First byte not yet used.
    pub start: u16,
    /// End of the bytes.
    pub end: u16,
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
    /// The answer under way is the last.
    pub last: bool,
    /// Our side is ended; what still comes is read and thrown away.
    pub farewell: bool,
    /// Data may be there to read: an edge was reported and not used up.
    pub readable: bool,
    /// The client ended its side, or the connection broke.
    pub ended: bool,
    /// The input was no request: what follows it is not to be trusted.
    pub bad: bool,
    /// Any byte of a request arrived.
    pub spoke: bool,
    /// Milliseconds when the current wait began.
    pub since: u32,
    /// Milliseconds when it was put at its place in the queue.
    pub queued: u32,
    /// Requests answered.
    pub requests: u32,
    /// Place in the stream of requests.
    pub session: Session,
    /// Input that does not make a request yet, or waits behind an answer under way.
    pub input: Option<Held>,
    /// Output that was written and not yet sent.
    pub output: Option<Held>,
    /// What follows it.
    pub body: Body,
}

/// What a slot may take, the table's own word included.
const SLOT_MAX: usize = 128;
const _: () = assert!(Slots::<Connection>::SLOT_SIZE <= SLOT_MAX);

impl Connection {
    /// A connection accepted at `now`.
    pub fn new(socket: OwnedFd, peer: Peer, now: u32) -> Connection {
        Connection {
            socket,
            link: Link::default(),
            peer,
            waiting: Waiting::Adoption,
            last: false,
            farewell: false,
            readable: false,
            ended: false,
            bad: false,
            spoke: false,
            since: now,
            queued: now,
            requests: 0,
            session: Session::default(),
            input: None,
            output: None,
            body: Body::Nothing,
        }
    }

    /// The socket.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// The socket alone, once everything else is given back.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }

    /// Whether an answer is under way.
    pub fn is_sending(&self) -> bool {
        self.output.is_some() || self.body != Body::Nothing
    }
}

impl Linked for Connection {
    fn link(&mut self) -> &mut Link {
        &mut self.link
    }
}
