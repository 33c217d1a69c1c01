//! A request under way to a backend, and writing it there.

use crate::limits::OUTPUT_ROOM;
use crate::plugin::backend::channel::Channel;
use crate::plugin::backend::protocol::{FRAME_MAX, HELD_MORE, Protocol};
use crate::plugin::backend::relay::Fed;
use crate::plugin::backend::unfinished::Unfinished;
use crate::plugin::handler::Taken;
use crate::plugin::scene::Scene;
use crate::storage::pool::Pool;
use crate::sys::Errno;
use crate::sys::pipe::{write, write_both};
use crate::wire::head::Method;
use crate::wire::writer::Writer;

/// A request as it was written, in a buffer.
#[derive(Debug)]
pub(super) struct Saved {
    pub(super) bytes: Unfinished,
    pub(super) len: u16,
    /// Bytes that the backend has taken.
    pub(super) sent: u16,
}

/// Bytes of framing that the backend has not taken.
#[derive(Default)]
pub(super) struct Owed {
    bytes: [u8; FRAME_MAX],
    at: u8,
    len: u8,
}

impl Owed {
    pub(super) fn rest(&self) -> &[u8] {
        self.bytes.get(usize::from(self.at)..usize::from(self.len)).unwrap_or_default()
    }

    pub(super) fn fill(&mut self, write: impl FnOnce(&mut Writer<'_>)) {
        let mut out = Writer::new(&mut self.bytes);
        write(&mut out);
        self.len = out.len() as u8;
        self.at = 0;
    }
}

/// A request under way.
pub(super) struct Exchange<P: Protocol> {
    /// The client's connection.
    pub(super) connection: u32,
    pub(super) state: P::State,
    pub(super) relay: P::Relay,
    pub(super) channel: Option<Channel>,
    pub(super) saved: Option<Saved>,
    pub(super) owed: Owed,
    /// Bytes of the piece of the body that is being written.
    pub(super) left: usize,
    /// What it has come to, where that is known before the answer can be given.
    pub(super) came_to: Option<Fed>,
    /// Milliseconds when it began to wait for a channel.
    pub(super) since: u32,
    pub(super) led: u8,
    /// Its body is held: so many bytes of what was saved stand before it.
    pub(super) held: Option<u16>,
    /// It waits for a channel.
    pub(super) waits: bool,
    /// What was written may be written again to another backend.
    pub(super) repeatable: bool,
    /// All of the request is written, the end of its body too; or the backend takes nothing more of it.
    pub(super) written: bool,
    /// The backend takes nothing more.
    pub(super) deaf: bool,
    /// Something can be read, as far as is known.
    pub(super) readable: bool,
    /// The backend has ended its side: after what can be read comes the end.
    pub(super) ended: bool,
    /// Its client takes nothing now, and there is no buffer for what comes.
    pub(super) starved: bool,
    /// It waits for what is told of the end, and knows it.
    pub(super) awaits: bool,
    pub(super) told: bool,
    /// Something can be written, as far as is known.
    pub(super) writable: bool,
    /// The answer is whole.
    pub(super) whole: bool,
    /// The backend has a limit of time.
    pub(super) timed: bool,
    /// What goes through is no HTTP.
    pub(super) tunnel: bool,
}

impl<P: Protocol> Exchange<P> {
    /// A request that is written, on its way to nowhere yet. `held` = its body is, behind so many bytes; `led` = how often a local
    /// redirect has led to it.
    pub(super) fn new(connection: u32, state: P::State, held: Option<u16>, method: Method, led: u8) -> Exchange<P> {
        Exchange {
            connection,
            state,
            relay: P::Relay::default(),
            channel: None,
            saved: None,
            owed: Owed::default(),
            left: 0,
            came_to: None,
            since: 0,
            led,
            held,
            waits: false,
            // RFC 9110 section 9.2.2.
            repeatable: !matches!(method, Method::Post | Method::Patch | Method::Other | Method::Connect),
            written: false,
            deaf: false,
            readable: false,
            ended: false,
            starved: false,
            awaits: false,
            told: false,
            writable: false,
            whole: false,
            timed: false,
            tunnel: false,
        }
    }

    /// Puts the request by.
    pub(super) fn save(&mut self, bytes: &[u8], sent: usize, pool: &mut Pool) -> bool {
        let Ok(len) = u16::try_from(bytes.len()) else { return false };
        let mut saved = Saved { bytes: Unfinished::default(), len, sent: sent as u16 };
        let kept = saved.bytes.keep(bytes, 0, pool);
        self.saved = kept.then_some(saved);
        kept
    }

    /// Holds the next bytes of its body behind the request.
    pub(super) fn hold(&mut self, data: &[u8], pool: &mut Pool) -> Taken {
        let Some(saved) = &mut self.saved else { return Taken::Refuse(503) };
        let before = usize::from(saved.len);
        if before + data.len() > OUTPUT_ROOM - HELD_MORE {
            return Taken::Refuse(411);
        }
        if !saved.bytes.keep(data, before, pool) {
            return Taken::Refuse(503);
        }
        saved.len += data.len() as u16;
        Taken::Bytes(data.len())
    }

    /// Gives back the buffer of a request that is written and will not be written again.
    pub(super) fn forget(&mut self, pool: &mut Pool) {
        let repeatable = self.repeatable;
        if let Some(saved) = self.saved.take_if(|saved| saved.sent == saved.len && !repeatable) {
            saved.bytes.release(pool);
        }
    }

    /// Writes what is left of the request. True = all of it.
    fn flush_request(&mut self, pool: &mut Pool) -> bool {
        let writer = self.channel.as_ref().and_then(Channel::writer);
        self.deaf |= writer.is_none() && self.channel.is_some();
        let (Some(writer), Some(saved)) = (writer, &mut self.saved) else { return self.channel.is_some() };
        let bytes = saved.bytes.bytes(saved.len.into(), pool).get(usize::from(saved.sent)..);
        let bytes = bytes.filter(|_| !self.deaf).unwrap_or_default();
        if !bytes.is_empty() {
            match write(writer, bytes) {
                Ok(count) => saved.sent = saved.sent.saturating_add(count as u16),
                Err(errno) => return self.stuck(errno),
            }
            if saved.sent < saved.len {
                return self.stuck(Errno::AGAIN);
            }
        }
        self.forget(pool);
        true
    }

    /// Writes what is left of the request and of the framing. True = all of it.
    pub(super) fn flush(&mut self, pool: &mut Pool) -> bool {
        if !self.flush_request(pool) {
            return false;
        }
        let writer = self.channel.as_ref().and_then(Channel::writer);
        let (Some(writer), false) = (writer, self.deaf) else { return true };
        while !self.owed.rest().is_empty() {
            match write(writer, self.owed.rest()) {
                Ok(count) => self.owed.at += count as u8,
                Err(errno) => return self.stuck(errno),
            }
        }
        true
    }

    /// The backend has not taken what was to be written. True = nor will it: that is no trouble before its answer says so.
    fn stuck(&mut self, errno: Errno) -> bool {
        self.writable = errno == Errno::INTR;
        self.deaf = !matches!(errno, Errno::AGAIN | Errno::INTR | Errno::INPROGRESS);
        self.deaf
    }

    /// Writes what it can of the next bytes of the body.
    pub(super) fn push(&mut self, data: &[u8], protocol: &mut P, pool: &mut Pool) -> usize {
        let mut used = 0;
        if !self.flush_request(pool) {
            return used;
        }
        // From here on it can not be said again.
        self.repeatable = false;
        self.forget(pool);
        while let Some(rest) = data.get(used..).filter(|rest| !rest.is_empty()) {
            let writer = self.channel.as_ref().and_then(Channel::writer);
            let (Some(writer), false) = (writer, self.deaf) else { return data.len() };
            if self.left == 0 {
                let Exchange { owed, state, left, .. } = self;
                owed.fill(|out| *left = protocol.frame(state, rest.len(), out).clamp(1, rest.len()));
            }
            let piece = rest.get(..self.left.min(rest.len())).unwrap_or_default();
            match write_both(writer, self.owed.rest(), piece) {
                Ok(count) => {
                    let framing = count.min(self.owed.rest().len());
                    self.owed.at += framing as u8;
                    let body = count - framing;
                    self.left = self.left.saturating_sub(body);
                    used += body;
                    if body < piece.len() {
                        self.writable = false;
                        return used;
                    }
                }
                Err(errno) => {
                    return if self.stuck(errno) { data.len() } else { used };
                }
            }
        }
        used
    }

    /// Has it told when the backend takes more, if it does not now.
    pub(super) fn ask_for_room(&mut self, scene: &mut Scene<'_>) {
        if !self.writable
            && let Some(channel) = &mut self.channel
        {
            channel.wait_for_room(scene.watches);
        }
    }

    /// The backend is waited for, or no longer: its limit counts only then, for a client may take its time.
    pub(super) fn limit(&mut self, milliseconds: u32, scene: &mut Scene<'_>) {
        if let Some(channel) = &self.channel
            && (milliseconds > 0) != self.timed
        {
            self.timed = milliseconds > 0;
            scene.watches.set_timeout(channel.reader().watch(), milliseconds);
        }
    }
}
