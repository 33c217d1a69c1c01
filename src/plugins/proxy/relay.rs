//! The answer of a server behind this one, made one of ours while it comes: status line and fields written anew, the body framed as
//! this client can read it.

use super::request::wants_websocket;
use crate::http::clock::Clock;
use crate::http::output::{Output, Sink};
use crate::plugin::backend::protocol::Answering;
use crate::plugin::backend::relay::{Fed, push_fields};
use crate::plugin::backend::unfinished::Unfinished;
use crate::plugin::hooks::Answer;
use crate::plugin::scene::{Scene, Stream, end_head, push_head};
use crate::storage::pool::Pool;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::chars::is_word;
use crate::wire::chunked::{Chunked, Piece};
use crate::wire::response::{Framing, Response, has_body, parse_response};

/// Interim answers (RFC 9110 section 15.2) that are passed over before the final one. One more is no answer.
const INTERIM_MAX: u8 = 16;

/// How far an answer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Bytes of a head, of which there is no end yet.
    Head(u16),
    /// Bytes of the body that are still to come.
    Length(u64),
    /// A body in chunks.
    Chunked(Chunked, Stream),
    /// A body that the end of the connection ends.
    UntilClose(Stream),
    /// All of it has come.
    Whole,
    /// It was the last word of HTTP: what comes is of another protocol.
    Tunnel,
}

/// An answer on its way to the client.
#[derive(Debug)]
pub struct Relay {
    state: State,
    head: Unfinished,
    length: Option<u64>,
    status: u16,
    interim: u8,
    persistent: bool,
}

impl Default for Relay {
    fn default() -> Relay {
        let (state, head) = (State::Head(0), Unfinished::default());
        Relay { state, head, length: None, status: 0, interim: 0, persistent: false }
    }
}

impl Answering for Relay {
    fn is_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    fn is_untouched(&self) -> bool {
        self.state == State::Head(0) && self.interim == 0
    }

    fn answer(&self) -> Answer {
        Answer { status: self.status, length: self.length }
    }

    fn is_tunnel(&self) -> bool {
        self.state == State::Tunnel
    }

    fn release(self, pool: &mut Pool) {
        self.head.release(pool);
    }
}

impl Relay {
    /// Whether the server's connection can take another request.
    pub fn is_reusable(&self) -> bool {
        self.persistent && self.state == State::Whole
    }

    /// Takes the next piece of the answer, at most [`PIECE`](crate::plugin::backend::PIECE) bytes. While [`Answering::is_head`] the
    /// request is needed.
    pub fn feed(&mut self, data: &[u8], scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Fed {
        let mut data = data;
        while let State::Head(before) = self.state {
            let before = usize::from(before);
            let Some(request) = request else { return Fed::Broken };
            if before == 0 && data.is_empty() {
                return Fed::More;
            }
            // Nearly always the whole head comes at once.
            let method = request.head.method;
            let parsed = match before {
                0 => parse_response(data, 0, method),
                _ => Ok(None),
            };
            let end = match parsed {
                Err(_) => return Fed::Refuse(502),
                Ok(Some(head)) => match self.begin(&head, data, &mut Pen::of(scene), request) {
                    true => head.end,
                    false => return Fed::Refuse(502),
                },
                Ok(None) => {
                    let len = before.saturating_add(data.len());
                    if !self.head.keep(data, before, scene.pool) {
                        return Fed::Refuse(503);
                    }
                    let kept = std::mem::take(&mut self.head);
                    let Scene { live, clock, out, pool, last, .. } = scene;
                    let bytes = kept.bytes(len, pool);
                    match parse_response(bytes, before, method) {
                        Err(_) => {
                            self.head = kept;
                            return Fed::Refuse(502);
                        }
                        Ok(None) => {
                            self.head = kept;
                            // No longer than a head can be, or it would have been refused.
                            self.state = State::Head(len as u16);
                            return Fed::More;
                        }
                        Ok(Some(head)) => {
                            let begun = self.begin(&head, bytes, &mut Pen { live, clock, out, last }, request);
                            kept.release(pool);
                            if !begun {
                                return Fed::Refuse(502);
                            }
                            head.end.saturating_sub(before)
                        }
                    }
                }
            };
            data = data.get(end..).unwrap_or_default();
        }
        self.body(data, scene)
    }

    /// Writes the head of the answer, or passes over an interim one. False = it is no answer to this request.
    fn begin(&mut self, head: &Response, bytes: &[u8], pen: &mut Pen<'_>, request: &Request<'_>) -> bool {
        if head.is_interim() {
            self.interim += 1;
            self.state = State::Head(0);
            return self.interim <= INTERIM_MAX;
        }
        if head.status == 101 && !(wants_websocket(request) && is_word(head.upgrade.of(bytes), b"websocket")) {
            return false;
        }
        push_head(pen.out, pen.live, pen.clock, request, head.status);
        push_fields(pen.out, head.fields(bytes));
        self.status = head.status;
        self.persistent = head.persistent();
        if head.status == 101 {
            pen.out.push_field("Upgrade", head.upgrade.of(bytes));
            pen.out.push(b"Connection: Upgrade\r\n\r\n");
            *pen.last = true;
            self.length = Some(0);
            self.state = State::Tunnel;
            return true;
        }
        // RFC 9110 section 8.6: where there is no content, only HEAD tells how long it would be.
        if let Some(length) = head.length.filter(|_| has_body(head.status)) {
            pen.out.push_length(length);
        }
        let stream = |pen: &mut Pen<'_>| {
            let stream = Stream::begin(pen.out, request);
            *pen.last |= stream.ends_connection();
            stream
        };
        self.length = (head.framing != Framing::None).then_some(0);
        self.state = match head.framing {
            Framing::Chunked => State::Chunked(Chunked::default(), stream(pen)),
            Framing::UntilClose => State::UntilClose(stream(pen)),
            Framing::Length(length) => {
                self.length = Some(length);
                end_head(pen.out, request);
                State::Length(length)
            }
            Framing::None => {
                end_head(pen.out, request);
                State::Whole
            }
        };
        true
    }

    fn body(&mut self, data: &[u8], scene: &mut Scene<'_>) -> Fed {
        match self.state {
            State::Head(_) => Fed::Broken,
            State::Whole => {
                self.persistent &= data.is_empty();
                Fed::Whole
            }
            State::Tunnel => {
                scene.out.push(data);
                self.count(data.len());
                Fed::More
            }
            State::Length(left) => {
                let piece = data.get(..usize::try_from(left).unwrap_or(usize::MAX)).unwrap_or(data);
                scene.out.push(piece);
                // What comes behind an answer is none that was asked for.
                self.persistent &= piece.len() == data.len();
                let left = left.saturating_sub(piece.len() as u64);
                self.state = if left == 0 { State::Whole } else { State::Length(left) };
                if left == 0 { Fed::Whole } else { Fed::More }
            }
            State::UntilClose(stream) => {
                let chunk = scene.begin_chunk(stream);
                scene.out.push(data);
                scene.end_chunk(stream, chunk);
                self.count(data.len());
                Fed::More
            }
            State::Chunked(mut coding, stream) => {
                let chunk = scene.begin_chunk(stream);
                let mut rest = data;
                let fed = loop {
                    let used = match coding.next(rest) {
                        Ok(Piece::Data { framing, len }) => {
                            let end = framing.saturating_add(len);
                            scene.out.push(rest.get(framing..end).unwrap_or_default());
                            coding.took(len);
                            self.count(len);
                            end
                        }
                        Ok(Piece::More { .. }) => break Fed::More,
                        Ok(Piece::End { framing }) => {
                            self.persistent &= framing == rest.len();
                            break Fed::Whole;
                        }
                        Err(_) => break Fed::Broken,
                    };
                    rest = rest.get(used..).unwrap_or_default();
                };
                scene.end_chunk(stream, chunk);
                self.state = State::Chunked(coding, stream);
                if fed == Fed::Whole {
                    scene.end_stream(stream);
                    self.state = State::Whole;
                }
                fed
            }
        }
    }

    fn count(&mut self, len: usize) {
        self.length = self.length.map(|length| length.saturating_add(len as u64));
    }

    /// No more comes.
    pub fn end(&mut self, scene: &mut Scene<'_>) -> Fed {
        match self.state {
            State::Head(_) => Fed::Refuse(502),
            State::Whole | State::Tunnel => Fed::Whole,
            State::UntilClose(stream) => {
                scene.end_stream(stream);
                self.state = State::Whole;
                Fed::Whole
            }
            State::Length(_) | State::Chunked(..) => Fed::Broken,
        }
    }
}

/// What a head is written with.
struct Pen<'a> {
    live: &'a Live,
    clock: &'a Clock,
    out: &'a mut Output,
    last: &'a mut bool,
}

impl<'a> Pen<'a> {
    fn of(scene: &'a mut Scene<'_>) -> Pen<'a> {
        Pen { live: scene.live, clock: scene.clock, out: scene.out, last: &mut scene.last }
    }
}

#[cfg(all(test, feature = "test-switches"))]
mod tests {
    use super::*;
    use crate::limits::BACKEND_HEAD_MAX;
    use crate::plugin::backend::trial::{self, Calls};

    const CALLS: Calls<Relay> = Calls {
        feed: |relay, piece, scene, request| match piece {
            Some(piece) => relay.feed(piece, scene, Some(request)),
            None => relay.end(scene),
        },
        local: |_, _| Vec::new(),
        release: Relay::release,
    };

    fn relay(request: &str, answer: &str, at_once: usize) -> (String, Fed) {
        trial::relay(request, &answer.replace('\n', "\r\n"), at_once, Relay::default(), &CALLS)
    }

    /// What an answer comes to, at every size of its pieces.
    #[track_caller]
    fn gives(request: &str, answer: &str, expected: &str, fed: Fed) {
        for at_once in 1..=answer.len() * 2 {
            let expected = (expected.replace('\n', "\r\n"), fed);
            assert_eq!(relay(request, answer, at_once), expected, "{at_once} bytes at once");
        }
    }

    const GET: &str = "GET / HTTP/1.1";

    #[test]
    fn a_length_is_kept_and_an_answer_that_is_too_short_is_broken() {
        let head = "HTTP/1.1 200 OK\nX-A: b\nContent-Length: 5\n\n";
        let answer = "HTTP/1.1 200 Fine\nServer: x\nContent-Length: 5\nX-A: b\nDate: today\n\n";
        gives(GET, &format!("{answer}hello"), &format!("{head}hello"), Fed::Whole);
        gives(GET, &format!("{answer}hello and more"), &format!("{head}hello"), Fed::Whole);
        gives(GET, &format!("{answer}hell"), &format!("{head}hell"), Fed::Broken);
        gives("HEAD / HTTP/1.1", answer, head, Fed::Whole);
        let empty = "HTTP/1.1 404 Nope\nContent-Length: 0\n\n";
        gives(GET, empty, "HTTP/1.1 404 Not Found\nContent-Length: 0\n\n", Fed::Whole);
    }

    #[test]
    fn chunks_are_put_anew_and_trailers_left_out() {
        let answer = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nTrailer: X-T\n\n3;a=b\nhel\n2\nlo\n0\nX-T: 1\n\n";
        gives(GET, answer, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nhello<end>", Fed::Whole);
        gives("GET / HTTP/1.0", answer, "HTTP/1.1 200 OK\nConnection: Close\n\nhello", Fed::Whole);
        gives("HEAD / HTTP/1.1", answer, "HTTP/1.1 200 OK\n\n", Fed::Whole);
        let cut = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nhel\n";
        gives(GET, cut, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nhel", Fed::Broken);
        let wrong = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nhel\nx\n";
        gives(GET, wrong, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nhel", Fed::Broken);
    }

    #[test]
    fn what_the_end_of_the_connection_ends() {
        let answer = "HTTP/1.0 200 OK\n\nhello";
        gives(GET, answer, "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\nhello<end>", Fed::Whole);
        gives("GET / HTTP/1.0", answer, "HTTP/1.1 200 OK\nConnection: Close\n\nhello", Fed::Whole);
        gives("HEAD / HTTP/1.1", answer, "HTTP/1.1 200 OK\n\n", Fed::Whole);
    }

    #[test]
    fn answers_without_content() {
        for (line, ours) in [("304 x", "304 Not Modified"), ("204 x", "204 No Content")] {
            let answer = format!("HTTP/1.1 {line}\nContent-Length: 5\nETag: \"a\"\n\n");
            gives(GET, &answer, &format!("HTTP/1.1 {ours}\nETag: \"a\"\n\n"), Fed::Whole);
        }
    }

    #[test]
    fn interim_answers_are_passed_over() {
        let interim = "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 Early Hints\nLink: </a>\n\n";
        let answer = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";
        gives(GET, &format!("{interim}{answer}"), answer, Fed::Whole);
        gives(GET, interim, "", Fed::Refuse(502));
        gives(GET, &"HTTP/1.1 100 Continue\n\n".repeat(17), "", Fed::Refuse(502));
    }

    #[test]
    fn fields_of_one_connection_are_left_out() {
        let answer = "HTTP/1.1 200 OK\nConnection: keep-alive, X-Mine\nKeep-Alive: timeout=5\nX-Mine: 1\nUpgrade: h2\n\
                      Proxy-Authenticate: Basic\nTE: x\nSet-Cookie: a=b\nSet-Cookie: c=d\nContent-Length: 0\n\n";
        let expected = "HTTP/1.1 200 OK\nSet-Cookie: a=b\nSet-Cookie: c=d\nContent-Length: 0\n\n";
        gives(GET, answer, expected, Fed::Whole);
    }

    #[test]
    fn what_can_be_read_in_two_ways_is_no_answer() {
        for fields in [
            "Content-Length: 5\nContent-Length: 6\n",
            "Content-Length: 5\nTransfer-Encoding: chunked\n",
            "Transfer-Encoding: gzip\n",
            "Content-Length: -1\n",
            "X-A : b\n",
            "X-A: b\n folded\n",
            "X-A\n",
        ] {
            gives(GET, &format!("HTTP/1.1 200 OK\n{fields}\nhello"), "", Fed::Refuse(502));
        }
        for answer in ["hello\n\n", "HTTP/2 200 OK\n\n", "HTTP/1.1 20 OK\n\n", "HTTP/1.1 200 OK\n", "<"] {
            gives(GET, answer, "", Fed::Refuse(502));
        }
        let endless = format!("HTTP/1.1 200 OK\nX: {}\n", "y".repeat(BACKEND_HEAD_MAX));
        assert_eq!(relay(GET, &endless, 8192), (String::new(), Fed::Refuse(502)));
    }

    #[test]
    fn a_websocket_is_one_only_if_it_was_asked_for() {
        let answer = "HTTP/1.1 101 Yes\nConnection: upgrade\nUpgrade: websocket\nSec-WebSocket-Accept: x\n\nframes";
        let expected = "HTTP/1.1 101 Switching Protocols\nSec-WebSocket-Accept: x\nUpgrade: websocket\n\
                        Connection: Upgrade\n\nframes";
        let asked = "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket";
        gives(GET, answer, "", Fed::Refuse(502));
        gives(asked, &answer.replace(": websocket", ": h2c"), "", Fed::Refuse(502));
        // It is the last of its connection, though it does not say so.
        for at_once in 1..=answer.len() {
            let tunnel = Calls {
                feed: |relay: &mut Relay, piece, scene, request| {
                    let fed = (CALLS.feed)(relay, piece, scene, request);
                    let begins = scene.out.bytes().starts_with(b"HTTP/1.1 101 ");
                    assert_eq!(std::mem::take(&mut scene.last), begins);
                    fed
                },
                ..CALLS
            };
            let (text, fed) = trial::relay(asked, &answer.replace('\n', "\r\n"), at_once, Relay::default(), &tunnel);
            assert_eq!((text, fed), (expected.replace('\n', "\r\n"), Fed::Whole));
        }
    }

    #[test]
    fn a_connection_is_kept_only_after_an_answer_that_is_whole_and_alone() {
        let reusable = |answer: &str| {
            let kept = Calls {
                release: |relay: Relay, pool| {
                    let reusable = relay.is_reusable();
                    relay.release(pool);
                    KEPT.with(|kept| kept.set(reusable));
                },
                ..CALLS
            };
            trial::relay(GET, &answer.replace('\n', "\r\n"), 9000, Relay::default(), &kept);
            KEPT.with(|kept| kept.get())
        };
        assert!(reusable("HTTP/1.1 200 OK\nContent-Length: 2\n\nok"));
        assert!(reusable("HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 2\n\nok"));
        assert!(reusable("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\n"));
        assert!(reusable("HTTP/1.1 304 OK\n\n"));
        assert!(!reusable("HTTP/1.1 200 OK\nContent-Length: 2\n\nok "));
        assert!(!reusable("HTTP/1.1 200 OK\nContent-Length: 2\nConnection: close\n\nok"));
        assert!(!reusable("HTTP/1.0 200 OK\nContent-Length: 2\n\nok"));
        assert!(!reusable("HTTP/1.1 200 OK\n\nok"));
        assert!(!reusable("HTTP/1.1 304 OK\n\nx"));
        assert!(!reusable("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n0\n\nx"));
        assert!(!reusable("HTTP/1.1 200 OK\nContent-Length: 2\n\no"));
    }

    thread_local! {
        static KEPT: std::cell::Cell<bool> = const { std::cell::Cell::new(false) };
    }
}
