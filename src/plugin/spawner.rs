//! The spawner as a plugin sees it: a process that starts programs, so that neither what the server was confined to nor a slow start is
//! passed on to, or waited for by, a worker. It is there if a plugin wants it ([`Plugin::children`](super::hooks::Plugin::children)).
//!
//! A plugin connects when it makes its side of a worker ([`Spawner::connect`]), has the socket watched there
//! ([`Watches::add`](super::events::Watches::add) with [`Watch::Read`](super::events::Watch::Read)), and when it is readable takes answers
//! until there is none. Each connection has its own ids. Programs whose connection is closed are killed, as all are when the server is
//! gone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use crate::plugin::order::{ANSWER, Answer, signal_order};
use crate::sys::Errno;
use crate::sys::packet::{pair, receive, send};

/// The way to the spawner that connections are made by. One a process, as the spawner is: set before any plugin is made, and from
/// then on only looked at when one connects.
static DOOR: Mutex<Option<Arc<OwnedFd>>> = Mutex::new(None);

/// For the server: where the spawner is asked for connections. None = there is none.
pub fn set_door(door: Option<Arc<OwnedFd>>) {
    *DOOR.lock().unwrap_or_else(PoisonError::into_inner) = door;
}

/// Where the standard streams of a program lead. Both sides of a pipe may be ones that never block: the program's is made to.
#[derive(Clone, Copy, Debug)]
pub struct Streams<'a> {
    /// Standard input; None = /dev/null.
    pub input: Option<BorrowedFd<'a>>,
    /// Standard output.
    pub output: BorrowedFd<'a>,
    /// Standard error.
    pub error: BorrowedFd<'a>,
}

/// A connection to the spawner. None of its calls blocks or allocates, but for [`Spawner::connect`].
#[derive(Debug)]
pub struct Spawner {
    socket: OwnedFd,
}

impl Spawner {
    /// Connects. None = this server has no spawner, or it has died. Takes a lock: not while requests are served.
    pub fn connect() -> io::Result<Option<Spawner>> {
        let door = DOOR.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(door) = door else { return Ok(None) };
        let (socket, theirs) = pair()?;
        match send(door.as_fd(), b"c", &[theirs.as_fd()]) {
            Ok(()) => Ok(Some(Spawner { socket })),
            Err(Errno::PIPE) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Has a program started by an [`Order`](super::order::Order). The descriptors are copied: the plugin's own of the program's ends
    /// are to be closed after this. Fails with EAGAIN when so many orders wait that there is no room: try again when an answer
    /// has come, or answer 503; with EPIPE when the spawner is gone, and until the server is started again.
    pub fn start(&self, order: &[u8], streams: Streams<'_>) -> Result<(), Errno> {
        let all = [streams.output, streams.error, streams.input.unwrap_or(streams.output)];
        send(self.socket.as_fd(), order, all.get(..2 + usize::from(streams.input.is_some())).unwrap_or(&all))
    }

    /// Has a signal sent to a program and every process of its group, if it has not ended: 15 to ask it to end, 9 to have it ended. That
    /// it ended is still told. What it has started is not reached any more once it has ended itself. Fails as [`Spawner::start`] does.
    pub fn signal(&self, id: u32, signal: u8) -> Result<(), Errno> {
        send(self.socket.as_fd(), &signal_order(id, signal), &[])
    }

    /// The next answer. None = there is none now. Fails with EPIPE when the spawner is gone: no further answer comes, not even about
    /// programs that run, which end with it.
    pub fn answer(&self) -> Result<Option<Answer>, Errno> {
        let mut bytes = [0; ANSWER];
        match receive(self.socket.as_fd(), &mut bytes, &mut [None, None, None]) {
            Ok(0) => Err(Errno::PIPE),
            Ok(_) => Answer::of(&bytes).map(Some).ok_or(Errno::IO),
            Err(Errno::AGAIN | Errno::INTR) => Ok(None),
            // Orders that it has not read were lost with it (ECONNRESET).
            Err(_) => Err(Errno::PIPE),
        }
    }
}

impl AsFd for Spawner {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
