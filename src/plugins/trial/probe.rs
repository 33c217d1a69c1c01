//! A handler that takes bodies: it shows how bytes come and how a client is held back.
//!
//! | target | what it does |
//! |---|---|
//! | `/.probe/count` | takes everything, answers with the number of bytes and their FNV-1a hash |
//! | `/.probe/slow` | the same, at most 1 KB a turn |
//! | `/.probe/echo` | sends back what comes, as it comes: a client that does not read is held back |
//! | `/.probe/refuse` | answers 403 at the first byte of the body |
//! | `/.probe/empty` | an answer of unknown length whose only part has nothing in it |
//! | `/.probe/hang` | keeps its worker until there is a file of the name in `X-Until`, then answers |

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::http::output::{Output, Sink};
use crate::plugin::handler::{Call, Handler, Handling, Produced, Taken};
use crate::plugin::hooks::Answer;
use crate::plugin::scene::Scene;
use crate::storage::pool::{BufferId, Pool};
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::head::{Framing, Version};

/// Bytes that `/.probe/slow` takes in one turn.
const SLOW: usize = 1024;
/// Bytes of the buffer that are used: how many came, and their hash.
const STATE: usize = 16;
/// Where the FNV-1a hash begins.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Count,
    Slow,
    /// Slow, and something was taken in this turn.
    Rests,
    /// An echo whose length was known.
    Echo,
    /// An echo in chunks.
    Chunks,
    Refuse,
    Refused,
}

/// The handler: it has nothing of its own.
pub struct Probes;

/// The handler's state of one request.
#[derive(Debug, PartialEq, Eq)]
pub struct Probe {
    kind: Kind,
    persistent: bool,
    begun: bool,
    length: Option<BufferId>,
}

impl Probe {
    /// The probe that a request asks for. None = it asks for something else, or no buffer is free.
    fn begin(request: &Request<'_>, pool: &mut Pool) -> Option<Probe> {
        let kind = match (request.path, request.head.framing) {
            (b"/.probe/count", _) => Kind::Count,
            (b"/.probe/slow", _) => Kind::Slow,
            (b"/.probe/echo", Framing::Length(_)) => Kind::Echo,
            (b"/.probe/echo", _) if request.head.version == Version::Http11 => Kind::Chunks,
            (b"/.probe/refuse", _) => Kind::Refuse,
            _ => return None,
        };
        let buffer = pool.take(STATE)?;
        let first = match request.head.framing {
            Framing::Length(length) if kind == Kind::Echo => length,
            _ => 0,
        };
        set(pool, &buffer, first, BASIS);
        Some(Probe { kind, persistent: request.head.persistent(), begun: false, length: Some(buffer) })
    }

    fn count(&self, data: &[u8], pool: &mut Pool) {
        let Some(buffer) = &self.length else { return };
        let (length, hash) = get(pool, buffer);
        let hash = data.iter().fold(hash, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        set(pool, buffer, length + data.len() as u64, hash);
    }

    fn state(&self, pool: &Pool) -> (u64, u64) {
        self.length.as_ref().map_or((0, 0), |buffer| get(pool, buffer))
    }

    fn push_head(&mut self, out: &mut Output, pool: &Pool) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        out.push_status(200);
        match self.kind {
            Kind::Echo => out.push_length(self.state(pool).0),
            _ => out.push(b"Transfer-Encoding: chunked\r\n"),
        }
        out.push(b"\r\n");
    }
}

fn get(pool: &Pool, buffer: &BufferId) -> (u64, u64) {
    let word = |at: usize| {
        let bytes = pool.get(buffer).get(at..at + 8).and_then(|word| word.try_into().ok());
        bytes.map_or(0, u64::from_le_bytes)
    };
    (word(0), word(8))
}

fn set(pool: &mut Pool, buffer: &BufferId, length: u64, hash: u64) {
    if let Some(room) = pool.get_mut(buffer).get_mut(..STATE) {
        let (first, second) = room.split_at_mut(8);
        first.copy_from_slice(&length.to_le_bytes());
        second.copy_from_slice(&hash.to_le_bytes());
    }
}

impl Probe {
    fn take(&mut self, data: &[u8], out: &mut Output, pool: &mut Pool) -> Taken {
        match self.kind {
            Kind::Count => {
                self.count(data, pool);
                Taken::Bytes(data.len())
            }
            Kind::Slow => {
                let piece = data.get(..SLOW).unwrap_or(data);
                self.count(piece, pool);
                if piece.len() < data.len() {
                    self.kind = Kind::Rests;
                }
                Taken::Bytes(piece.len())
            }
            Kind::Rests => {
                self.kind = Kind::Slow;
                Taken::Bytes(0)
            }
            Kind::Echo | Kind::Chunks => {
                self.push_head(out, pool);
                // The size line of a chunk and the ends of both.
                let room = out.room().saturating_sub(32);
                let piece = data.get(..room).unwrap_or(data);
                if self.kind == Kind::Chunks && !piece.is_empty() {
                    out.push_hex(piece.len() as u64);
                    out.push(b"\r\n");
                    out.push(piece);
                    out.push(b"\r\n");
                } else {
                    out.push(piece);
                }
                Taken::Bytes(piece.len())
            }
            Kind::Refuse | Kind::Refused => {
                self.kind = Kind::Refused;
                out.push(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n");
                Taken::Enough
            }
        }
    }

    fn end(&mut self, out: &mut Output, pool: &mut Pool) {
        match self.kind {
            Kind::Echo => self.push_head(out, pool),
            Kind::Chunks => {
                self.push_head(out, pool);
                out.push(b"0\r\n\r\n");
            }
            _ => {
                let (length, hash) = self.state(pool);
                let mut text = crate::http::output::Text::<64>::default();
                text.push_decimal(length);
                text.push(b" ");
                text.push_hex(hash);
                text.push(b"\n");
                out.push_status(200);
                out.push_length(text.bytes().len() as u64);
                if !self.persistent {
                    out.push(b"Connection: Close\r\n");
                }
                out.push(b"\r\n");
                out.push(text.bytes());
            }
        }
    }
}

impl Handler for Probes {
    const NAME: &'static str = "probe";
    const TAKES_BODY: bool = true;
    type Task = Probe;

    fn new(_: &Live) -> io::Result<Probes> {
        Ok(Probes)
    }

    fn handle(&mut self, scene: &mut Scene<'_>, request: &Request<'_>, _: Call<'_>) -> Handling<Probe> {
        if request.path == b"/.probe/hang" {
            let name = OsStr::from_bytes(request.fields(b"x-until").next().unwrap_or(b"/"));
            while !Path::new(name).exists() {
                sleep(Duration::from_millis(10));
            }
        }
        if request.path == b"/.probe/empty" || request.path == b"/.probe/hang" {
            scene.push_head(request, 200);
            let stream = scene.begin_stream(request);
            let chunk = scene.begin_chunk(stream);
            scene.end_chunk(stream, chunk);
            scene.end_stream(stream);
            return Handling::Answered;
        }
        Probe::begin(request, scene.pool).map_or(Handling::NotMe, Handling::Begun)
    }

    fn take(&mut self, probe: &mut Probe, data: &[u8], scene: &mut Scene<'_>, _: Option<&Request<'_>>) -> Taken {
        probe.take(data, scene.out, scene.pool)
    }

    fn produce(&mut self, probe: &mut Probe, scene: &mut Scene<'_>, _: Option<&Request<'_>>) -> Produced {
        probe.end(scene.out, scene.pool);
        Produced::Done
    }

    fn has_answered(&self, probe: &Probe) -> bool {
        probe.begun || probe.kind == Kind::Refused
    }

    fn answer(&self, probe: &Probe) -> Answer {
        Answer { status: if probe.kind == Kind::Refused { 403 } else { 200 }, length: None }
    }

    fn release(&mut self, probe: Probe, scene: &mut Scene<'_>) {
        if let Some(buffer) = probe.length {
            scene.pool.give(buffer);
        }
    }
}
