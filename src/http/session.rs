//! One connection's place in the stream of requests: what has been scanned, what is left of a body.

use crate::limits::HEAD_MAX;
use crate::wire::head::{Framing, Head, HeadError, check_partial, find_end, parse_head, skip_empty_lines};

/// What the next bytes of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A request head, of which so many bytes hold no end mark.
    Head { scanned: u16 },
    /// So many bytes of a body that nobody reads.
    Body { remaining: u64 },
}

/// What the bytes at hand amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing yet: call again with more bytes behind the same ones.
    NeedMore,
    /// A whole head was parsed; it took so many bytes. A body, if announced, is passed over by later calls.
    Request {
        /// Bytes of input that the head took.
        consumed: usize,
    },
    /// So many bytes of a body, or of empty lines before a request, were passed over.
    Passed {
        /// Bytes of input that were passed over.
        consumed: usize,
    },
    /// The bytes are no request: answer with this status and close.
    Bad(HeadError),
}

/// The state of one connection's input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Session {
    phase: Phase,
}

impl Default for Session {
    fn default() -> Session {
        Session { phase: Phase::Head { scanned: 0 } }
    }
}

impl Session {
    /// Whether the bytes that come next belong to a body.
    pub fn in_body(&self) -> bool {
        matches!(self.phase, Phase::Body { .. })
    }

    /// Looks at `input`, the bytes not consumed so far. A complete head is parsed into `head`, whose spans refer to
    /// the start of `input`.
    pub fn next(&mut self, input: &[u8], head: &mut Head) -> Event {
        match self.phase {
            Phase::Head { scanned } => self.next_head(input, scanned, head),
            Phase::Body { remaining } => {
                let consumed = usize::try_from(remaining).unwrap_or(usize::MAX).min(input.len());
                let remaining = remaining - consumed as u64;
                self.phase = if remaining == 0 { Phase::Head { scanned: 0 } } else { Phase::Body { remaining } };
                if consumed == 0 { Event::NeedMore } else { Event::Passed { consumed } }
            }
        }
    }

    fn next_head(&mut self, input: &[u8], scanned: u16, head: &mut Head) -> Event {
        if scanned == 0 {
            let empty = skip_empty_lines(input);
            if empty > 0 {
                return Event::Passed { consumed: empty };
            }
        }
        let Some(end) = find_end(input, usize::from(scanned)) else {
            if let Err(error) = check_partial(input) {
                return Event::Bad(error);
            }
            // An end mark may begin in the last three bytes.
            let scanned = u16::try_from(input.len().saturating_sub(3)).unwrap_or(u16::MAX);
            self.phase = Phase::Head { scanned };
            return Event::NeedMore;
        };
        let Some(bytes) = input.get(..end).filter(|bytes| bytes.len() <= HEAD_MAX) else {
            let cut = input.get(..HEAD_MAX).unwrap_or(input);
            return Event::Bad(check_partial(cut).err().unwrap_or(HeadError::FieldsTooLarge));
        };
        if let Err(error) = parse_head(bytes, head) {
            return Event::Bad(error);
        }
        self.phase = match head.framing {
            Framing::None | Framing::Length(0) => Phase::Head { scanned: 0 },
            Framing::Length(remaining) => Phase::Body { remaining },
            // Bodies in chunks are not read in this version: the answer is 501 and the connection ends there.
            Framing::Chunked => return Event::Bad(HeadError::TransferCoding),
        };
        Event::Request { consumed: end }
    }
}
