//! Between a keeper and its server: signals go down, single words come up through a pipe.

use std::io::{self, PipeWriter, Write};

use crate::sys::child::end_with_parent;
use crate::sys::signal::Signal;

/// How a server is told to end because another one has taken over what it has; every other end is a SIGTERM.
pub(super) const HANDED_OVER: Signal = Signal::Quit;

/// What a server has to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Word {
    /// It serves.
    Up = b'u',
    /// A new configuration is in force.
    Reloaded = b'r',
    /// A reload was refused.
    Refused = b'n',
    /// The new configuration is good, and takes another server.
    HandOver = b'h',
    /// Every worker makes progress.
    Alive = b'a',
}

impl Word {
    /// The word of a byte that came up.
    pub(super) fn of(byte: u8) -> Option<Word> {
        [Word::Up, Word::Reloaded, Word::Refused, Word::HandOver, Word::Alive]
            .into_iter()
            .find(|word| *word as u8 == byte)
    }
}

/// A server's end.
#[derive(Debug)]
pub(super) struct Link {
    /// The keeper's process id.
    pub(super) keeper: u32,
    pub(super) words: PipeWriter,
    /// The server before this one died.
    pub(super) after_death: bool,
}

impl Link {
    /// Has this process end in order when the keeper ends, however that ends: no server stays behind with its sockets. To be said
    /// again after every change of identity.
    pub(super) fn bind(&self) -> io::Result<()> {
        end_with_parent(self.keeper)
    }

    /// Says a word. A keeper that is gone has sent its signal.
    pub(super) fn say(&self, word: Word) {
        let _ = (&self.words).write_all(&[word as u8]);
    }
}
