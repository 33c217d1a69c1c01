//! What there is to work with for the length of one call.

use std::os::fd::BorrowedFd;

use crate::http::clock::Clock;
use crate::http::output::{Output, Sink, Text, server_field};
use crate::limits::REFUSAL_FIELDS_MAX;
use crate::plugin::events::Watches;
use crate::plugin::host::Host;
use crate::storage::pool::Pool;
use crate::sys::memory::Region;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::accept::prefers_json;
use crate::wire::head::{Name, Version};

/// What a handler or a hook works with for the length of one call.
pub struct Scene<'a> {
    /// The configuration in force.
    pub live: &'a Live,
    /// The time.
    pub clock: &'a Clock,
    /// Where the answer is written. At least [`limits::ANSWER_HEAD_MAX`](crate::limits::ANSWER_HEAD_MAX) bytes are free when a
    /// call begins.
    pub out: &'a mut Output,
    /// Buffers for what has to outlast the call.
    pub pool: &'a mut Pool,
    /// The server as a whole.
    pub host: &'a dyn Host,
    /// What this worker watches for its plugins.
    pub watches: &'a mut Watches,
    /// Memory for the length of one call, as much as the configuration's plugins need ([`Needs::worker_scratch`](super::hooks::Needs)).
    pub scratch: &'a mut Region,
    /// The connections that go on.
    pub wakes: &'a mut Wakes,
    /// The connection, as [`Wakes::wake`] wants it. It is of nobody else until its task is released.
    pub connection: u32,
    /// The client's socket, while an answer is [produced](super::handler::Handler::produce): to ask the kernel about.
    pub client: Option<BorrowedFd<'a>>,
    /// For stage 20: whether it was asked about this request before, and put it back ([`Later`](crate::plugin::hooks::Verdict::Later)).
    pub again: bool,
    /// Set by whoever writes an answer that only the end of the connection ends.
    pub last: bool,
}

/// Connections whose handler waited for something that is there now.
pub struct Wakes {
    list: Vec<u32>,
    all: bool,
}

impl Wakes {
    /// Room for `most` of them in one turn of the loop.
    pub fn new(most: usize) -> Wakes {
        Wakes { list: Vec::with_capacity(most), all: false }
    }

    /// Has the handler of a connection asked again what it waited for. To wake one that does not wait does no harm.
    pub fn wake(&mut self, connection: u32) {
        if self.list.last() == Some(&connection) {
        } else if self.list.len() < self.list.capacity() {
            self.list.push(connection);
        } else {
            self.all = true;
        }
    }

    /// For the loop: how many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// For the loop: one of them.
    pub fn pop(&mut self) -> Option<u32> {
        self.list.pop()
    }

    /// For the loop: whether more were woken than there is room for, so that all are asked.
    pub fn take_all(&mut self) -> bool {
        std::mem::take(&mut self.all)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty() && !self.all
    }
}

/// An answer whose length is not known when it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    chunked: bool,
}

/// A part of one, while it is written: where its size stands in the output.
#[derive(Debug)]
pub struct Chunk(usize);

/// Place for the size of a chunk: four digits are enough for what fits in the output.
const SIZE_LINE: &[u8] = b"0000\r\n";

/// Field lines that go with a refusal, each with its line end: `Retry-After`, `WWW-Authenticate`. What does not fit is left out.
pub type RefusalFields = Text<REFUSAL_FIELDS_MAX>;

impl Scene<'_> {
    /// Begins an answer: status line, `Server`, `Date`, and the fields that the request's site adds. The fields of the content and
    /// [`Scene::end_head`] follow.
    pub fn push_head(&mut self, request: &Request<'_>, status: u16) {
        push_head(self.out, self.live, self.clock, request, status);
    }

    /// Ends the head of an answer whose length is not known: in chunks or, for a client of HTTP/1.0, up to the end of the connection.
    pub fn begin_stream(&mut self, request: &Request<'_>) -> Stream {
        let stream = Stream::begin(self.out, request);
        self.last |= !stream.chunked;
        stream
    }

    /// Begins an answer 200 of unknown length: in JSON when the client asks for that by name (true), else of another media type, a text.
    /// `cache` is what its Cache-Control says.
    #[inline(never)]
    pub fn begin_negotiated(&mut self, request: &Request<'_>, cache: &[u8], other: &[u8]) -> (Stream, bool) {
        let json = request.field(Name::Accept).is_some_and(prefers_json);
        self.push_head(request, 200);
        self.out.push_field("Cache-Control", cache);
        self.out.push_field("Vary", b"Accept");
        self.out.push_field("Content-Type", if json { b"application/json" } else { other });
        (self.begin_stream(request), json)
    }

    /// Begins a part of the body. What is pushed from here on belongs to it, up to [`Scene::end_chunk`].
    pub fn begin_chunk(&mut self, stream: Stream) -> Chunk {
        if stream.chunked {
            self.out.push(SIZE_LINE);
        }
        Chunk(self.out.len())
    }

    /// Ends a part. One with nothing in it is as if it had not been begun: a chunk of no bytes would end the body.
    pub fn end_chunk(&mut self, stream: Stream, chunk: Chunk) {
        if stream.chunked {
            let len = self.out.len() - chunk.0;
            if len == 0 && !self.out.overflowed() {
                return self.out.truncate(chunk.0 - SIZE_LINE.len());
            }
            let digit = |shift: u32| b"0123456789abcdef"[len >> shift & 15];
            self.out.patch(chunk.0 - SIZE_LINE.len(), &[digit(12), digit(8), digit(4), digit(0)]);
            self.out.push(b"\r\n");
        }
    }

    /// Ends the body.
    pub fn end_stream(&mut self, stream: Stream) {
        if stream.chunked {
            self.out.push(b"0\r\n\r\n");
        }
    }

    /// Ends the head of an answer.
    pub fn end_head(&mut self, request: &Request<'_>) {
        end_head(self.out, request);
    }
}

impl Stream {
    /// See [`Scene::begin_stream`]. One that [`ends_connection`](Stream::ends_connection) is to be told to the scene.
    pub fn begin(out: &mut Output, request: &Request<'_>) -> Stream {
        let chunked = request.head.version == Version::Http11;
        if chunked {
            out.push(b"Transfer-Encoding: chunked\r\n");
            end_head(out, request);
        } else {
            out.push(b"Connection: Close\r\n\r\n");
        }
        Stream { chunked }
    }

    /// Whether only the end of the connection ends it.
    pub fn ends_connection(self) -> bool {
        !self.chunked
    }
}

/// See [`Scene::push_head`].
pub fn push_head(out: &mut Output, live: &Live, clock: &Clock, request: &Request<'_>, status: u16) {
    out.push_status(status);
    out.push(server_field(live.config().server.hide_version));
    out.push_date(clock);
    push_site_fields(out, live, request.site, request.path);
}

/// See [`Scene::end_head`].
pub fn end_head(out: &mut Output, request: &Request<'_>) {
    out.push(request.connection_line());
    out.push(b"\r\n");
}

/// The fields that a site's `[HEADERS]` add for a path.
pub fn push_site_fields(out: &mut Output, live: &Live, site: u16, path: &[u8]) {
    let Some(site) = live.site(site) else { return };
    for rule in site.headers.iter().filter(|rule| rule.pattern.is_match(path)) {
        out.push(rule.line.as_bytes());
        out.push(b"\r\n");
    }
}
