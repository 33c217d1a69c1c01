//! One connection's place in the stream of requests: in a head, in a body, or past the point where bytes mean anything.

use crate::limits::HEAD_MAX;
use crate::wire::chunked::{Chunked, Piece};
use crate::wire::head::{Framing, Head, HeadError, check_partial, find_end, parse_head, parse_start, skip_empty_lines};

/// What the next bytes of a connection are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// A request head, of which so many bytes hold no end mark.
    Head { scanned: u16 },
    /// A request head that was parsed before.
    Again,
    /// A body that ends after so many bytes, at least one.
    Length { remaining: u64 },
    /// A chunked body, of which so many bytes more are accepted.
    Chunked { body: Chunked, allowed: u64 },
    /// Whatever follows a fault: it is never read as a request (RFC 9112 section 11.2).
    Broken,
    /// What follows a switch to another protocol (RFC 9110 section 7.8).
    Tunnel,
}

/// What the bytes at hand amount to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// Nothing yet: call again with more bytes behind the same ones.
    NeedMore,
    /// A whole head was parsed; it took so many bytes. If it announces a body, that comes next.
    Request {
        /// Bytes of input that the head took.
        consumed: usize,
    },
    /// So many bytes between requests or within the framing of a body mean nothing more.
    Passed {
        /// Bytes of input that were passed over.
        consumed: usize,
    },
    /// After `framing` bytes, which are consumed, lie `len` bytes of a body. [`Session::took`] says how many of them were
    /// used; the others come again.
    Body {
        /// Bytes of input before the data.
        framing: usize,
        /// Bytes of data, at least one.
        len: usize,
    },
    /// The body is complete.
    End {
        /// Bytes of input that belonged to its end.
        consumed: usize,
    },
    /// The chunked body is longer than was allowed to [`Session::allow`].
    TooLong,
    /// The bytes are no request: answer with this status, if none was given yet, and close.
    Bad(u16),
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
        matches!(self.phase, Phase::Length { .. } | Phase::Chunked { .. })
    }

    /// Whether all data of a body was taken and [`Event::End`] comes next, without further input.
    pub fn is_complete(&self) -> bool {
        self.phase == Phase::Length { remaining: 0 }
    }

    /// Whether the input stopped to make sense: no further byte of it is looked at.
    pub fn is_broken(&self) -> bool {
        self.phase == Phase::Broken
    }

    /// Looks at nothing more of the input.
    pub fn give_up(&mut self) {
        self.phase = Phase::Broken;
    }

    /// The connection is one of another protocol from here on: no byte of the input is looked at.
    pub fn open_tunnel(&mut self) {
        self.phase = Phase::Tunnel;
    }

    /// Whether it is one of another protocol.
    #[inline]
    pub fn is_tunnel(&self) -> bool {
        self.phase == Phase::Tunnel
    }

    /// Forgets a head that was just parsed: it comes again.
    pub fn put_back(&mut self) {
        self.phase = Phase::Again;
    }

    /// Whether the head that comes next was put back.
    pub fn was_put_back(&self) -> bool {
        self.phase == Phase::Again
    }

    /// Takes the body of a head that was just parsed for passed over.
    pub fn pass_body(&mut self) {
        *self = Session::default();
    }

    /// Bounds a chunked body that was just announced: data beyond `most` bytes is [`Event::TooLong`].
    pub fn allow(&mut self, most: u64) {
        if let Phase::Chunked { allowed, .. } = &mut self.phase {
            *allowed = most;
        }
    }

    /// Looks at `input`, the bytes not consumed so far. A complete head is parsed into `head`, whose spans refer to
    /// the start of `input`.
    #[cfg_attr(tuned, optimize(speed))]
    #[inline(always)]
    pub fn next(&mut self, input: &[u8], head: &mut Head) -> Event {
        let event = match &mut self.phase {
            Phase::Head { scanned } => {
                let scanned = *scanned;
                self.next_head(input, scanned, head)
            }
            Phase::Again => self.next_head(input, 0, head),
            Phase::Length { remaining } => {
                let len = usize::try_from(*remaining).unwrap_or(usize::MAX).min(input.len());
                match (len, *remaining) {
                    (_, 0) => self.end(0),
                    (0, _) => Event::NeedMore,
                    (len, _) => Event::Body { framing: 0, len },
                }
            }
            Phase::Chunked { body, allowed } => match body.next(input) {
                Ok(Piece::More { framing: 0 }) => Event::NeedMore,
                Ok(Piece::More { framing }) => Event::Passed { consumed: framing },
                Ok(Piece::Data { .. }) if *allowed == 0 => Event::TooLong,
                Ok(Piece::Data { framing, len }) => {
                    Event::Body { framing, len: len.min(usize::try_from(*allowed).unwrap_or(usize::MAX)) }
                }
                Ok(Piece::End { framing }) => self.end(framing),
                Err(error) => Event::Bad(error.status()),
            },
            Phase::Broken | Phase::Tunnel => Event::NeedMore,
        };
        if matches!(event, Event::Bad(_)) {
            self.phase = Phase::Broken;
        }
        event
    }

    fn end(&mut self, consumed: usize) -> Event {
        *self = Session::default();
        Event::End { consumed }
    }

    /// Takes note that `count` bytes of the data that [`Event::Body`] told of were used.
    pub fn took(&mut self, count: usize) {
        match &mut self.phase {
            Phase::Length { remaining } => *remaining = remaining.saturating_sub(count as u64),
            Phase::Chunked { body, allowed } => {
                body.took(count);
                *allowed = allowed.saturating_sub(count as u64);
            }
            Phase::Head { .. } | Phase::Again | Phase::Broken | Phase::Tunnel => {}
        }
    }

    #[cfg_attr(tuned, optimize(speed))]
    fn next_head(&mut self, input: &[u8], scanned: u16, head: &mut Head) -> Event {
        if scanned == 0 {
            let empty = skip_empty_lines(input);
            if empty > 0 {
                return Event::Passed { consumed: empty };
            }
            // Nearly always the whole head has come, and is right. What is wrong with it, or missing, is found out below.
            let most = input.get(..HEAD_MAX).unwrap_or(input);
            if let Ok(end) = parse_start(most, head) {
                return self.begin(end, head);
            }
        }
        let Some(end) = find_end(input, usize::from(scanned)) else {
            if let Err(error) = check_partial(input) {
                return Event::Bad(error.status());
            }
            // An end mark may begin in the last three bytes.
            let scanned = u16::try_from(input.len().saturating_sub(3)).unwrap_or(u16::MAX);
            self.phase = Phase::Head { scanned };
            return Event::NeedMore;
        };
        let Some(bytes) = input.get(..end).filter(|bytes| bytes.len() <= HEAD_MAX) else {
            let cut = input.get(..HEAD_MAX).unwrap_or(input);
            return Event::Bad(check_partial(cut).err().unwrap_or(HeadError::FieldsTooLarge).status());
        };
        if let Err(error) = parse_head(bytes, head) {
            return Event::Bad(error.status());
        }
        self.begin(end, head)
    }

    /// A head of `consumed` bytes was parsed.
    #[inline]
    fn begin(&mut self, consumed: usize, head: &Head) -> Event {
        self.phase = match head.framing {
            Framing::None | Framing::Length(0) => Phase::Head { scanned: 0 },
            Framing::Length(remaining) => Phase::Length { remaining },
            Framing::Chunked => Phase::Chunked { body: Chunked::default(), allowed: u64::MAX },
        };
        Event::Request { consumed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_looked_at_in_a_tunnel() {
        let (mut session, mut head) = (Session::default(), Head::new());
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        assert_eq!(session.next(request, &mut head), Event::Request { consumed: request.len() });
        assert!(!session.is_tunnel());
        session.open_tunnel();
        assert_eq!(session.next(request, &mut head), Event::NeedMore);
        session.took(5);
        assert!(session.is_tunnel() && !session.in_body() && !session.is_complete() && !session.is_broken());
        // Its end is the end of the connection.
        session.give_up();
        assert!(!session.is_tunnel() && session.is_broken());
        assert_eq!(session.next(request, &mut head), Event::NeedMore);
    }
}
