//! The answer of a program, as CGI has it (RFC 3875 section 6), made one of HTTP while it comes. FastCGI responders and Palm servers
//! answer the same way.

use crate::http::clock::Clock;
use crate::http::output::{Output, Sink};
use crate::limits::BACKEND_HEAD_MAX;
use crate::plugin::backend::protocol::Answering;
use crate::plugin::backend::unfinished::Unfinished;
use crate::plugin::hooks::Answer;
use crate::plugin::scene::{Scene, Stream, end_head, push_head};
use crate::storage::pool::Pool;
use crate::vhost::live::Live;
use crate::vhost::request::Request;
use crate::wire::cgi::{CgiHead, Kind, parse_cgi};
use crate::wire::chars::is_word;
use crate::wire::fields::Fields;
use crate::wire::response::has_body;

/// What became of a piece of the answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fed {
    /// More is to come.
    More,
    /// The answer is whole. What still comes is of no use.
    Whole,
    /// It is no answer, and nothing was written: the server answers with this status.
    Refuse(u16),
    /// The server answers as if it had been asked for the path, with a query perhaps, that is in [`Answering::local`] (RFC 3875 section
    /// 6.2.2).
    Local,
    /// It can not be finished.
    Broken,
}

/// How far an answer has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// Bytes of the head, of which there is no end yet.
    Head(u16),
    /// Bytes of the body that are still to come; None = as many as come.
    Body(Option<u64>, Option<Stream>),
    /// The client gets no body (RFC 9110 section 6.4.1).
    Silent,
    /// A path of this server, so many bytes from a place in the head on.
    Local(u16, u16),
}

/// An answer on its way to the client.
#[derive(Debug)]
pub struct Relay {
    state: State,
    /// What has come of the head.
    head: Unfinished,
    status: u16,
    length: Option<u64>,
}

impl Default for Relay {
    fn default() -> Relay {
        Relay { state: State::Head(0), head: Unfinished::default(), status: 0, length: None }
    }
}

impl Answering for Relay {
    fn is_head(&self) -> bool {
        matches!(self.state, State::Head(_))
    }

    fn is_untouched(&self) -> bool {
        self.state == State::Head(0)
    }

    fn answer(&self) -> Answer {
        Answer { status: self.status, length: self.length }
    }

    fn local<'p>(&self, pool: &'p Pool) -> &'p [u8] {
        let State::Local(start, len) = self.state else { return b"" };
        let start = usize::from(start);
        self.head.bytes(start + usize::from(len), pool).get(start..).unwrap_or_default()
    }

    fn release(self, pool: &mut Pool) {
        self.head.release(pool);
    }
}

impl Relay {
    /// Takes the next piece of the answer, at most [`PIECE`](super::PIECE) bytes. While [`Answering::is_head`] the request is needed.
    pub fn feed(&mut self, data: &[u8], scene: &mut Scene<'_>, request: Option<&Request<'_>>) -> Fed {
        self.feed_as(data, scene, request, b"")
    }

    /// The same for an answer that is of a media type where it names none. That may be empty.
    pub fn feed_as(
        &mut self,
        data: &[u8],
        scene: &mut Scene<'_>,
        request: Option<&Request<'_>>,
        media_type: &[u8],
    ) -> Fed {
        let State::Head(before) = self.state else { return self.body(data, scene) };
        let Some(request) = request else { return Fed::Broken };
        let before = usize::from(before);
        // Nearly always the whole head comes at once.
        if before == 0 {
            match parse_cgi(data, 0) {
                Ok(Some(head)) if head.kind != Kind::LocalRedirect => {
                    let last = self.begin(&head, data, &mut Pen::of(scene), request, media_type);
                    scene.last |= last;
                    return self.body(data.get(head.end..).unwrap_or_default(), scene);
                }
                Ok(_) => {}
                Err(_) => return Fed::Refuse(502),
            }
        }
        let len = before + data.len();
        if !self.head.keep(data, before, scene.pool) {
            return Fed::Refuse(503);
        }
        let kept = std::mem::take(&mut self.head);
        let Scene { live, clock, out, pool, last, .. } = scene;
        let bytes = kept.bytes(len, pool);
        let fed = match parse_cgi(bytes, before) {
            Err(_) => Fed::Refuse(502),
            Ok(None) if len >= BACKEND_HEAD_MAX => Fed::Refuse(502),
            Ok(None) => {
                self.state = State::Head(len as u16);
                Fed::More
            }
            Ok(Some(head)) if head.kind == Kind::LocalRedirect => {
                self.state = State::Local(head.location.start, head.location.len);
                Fed::Local
            }
            Ok(Some(head)) => {
                *last |= self.begin(&head, bytes, &mut Pen { live, clock, out }, request, media_type);
                let body = data.get(head.end.saturating_sub(before)..).unwrap_or_default();
                kept.release(pool);
                return self.body(body, scene);
            }
        };
        self.head = kept;
        fed
    }

    /// Writes the head of the answer. True = the connection ends with it.
    fn begin(
        &mut self,
        head: &CgiHead,
        bytes: &[u8],
        pen: &mut Pen<'_>,
        request: &Request<'_>,
        media_type: &[u8],
    ) -> bool {
        push_head(pen.out, pen.live, pen.clock, request, head.status);
        let content_type = match head.content_type.of(bytes) {
            // Without content there is nothing that it would be the type of.
            [] if has_body(head.status) && head.kind == Kind::Document => media_type,
            own => own,
        };
        for (name, value) in [("Content-Type", content_type), ("Location", head.location.of(bytes))] {
            if !value.is_empty() {
                pen.out.push_field(name, value);
            }
        }
        push_fields(pen.out, head.fields(bytes));
        self.status = head.status;
        // RFC 9110 section 8.6.
        if let Some(length) = head.length.filter(|_| head.status != 204) {
            pen.out.push_length(length);
        }
        self.length = head.length.filter(|_| !request.is_head());
        if request.is_head() || !has_body(head.status) {
            self.state = State::Silent;
        } else if head.length.is_some() {
            self.state = State::Body(head.length, None);
        } else {
            let stream = Stream::begin(pen.out, request);
            self.state = State::Body(None, Some(stream));
            return stream.ends_connection();
        }
        end_head(pen.out, request);
        false
    }

    fn body(&mut self, data: &[u8], scene: &mut Scene<'_>) -> Fed {
        match &mut self.state {
            State::Silent => Fed::Whole,
            State::Body(Some(left), _) => {
                let piece = data.get(..usize::try_from(*left).unwrap_or(usize::MAX)).unwrap_or(data);
                scene.out.push(piece);
                *left -= piece.len() as u64;
                if *left == 0 { Fed::Whole } else { Fed::More }
            }
            State::Body(None, Some(stream)) => {
                let chunk = scene.begin_chunk(*stream);
                scene.out.push(data);
                scene.end_chunk(*stream, chunk);
                Fed::More
            }
            State::Body(None, None) | State::Head(_) | State::Local(..) => Fed::Broken,
        }
    }

    /// No more comes.
    pub fn end(&mut self, scene: &mut Scene<'_>) -> Fed {
        match self.state {
            State::Head(_) => Fed::Refuse(502),
            State::Silent | State::Body(Some(0), _) => Fed::Whole,
            State::Body(None, Some(stream)) => {
                scene.end_stream(stream);
                Fed::Whole
            }
            State::Local(..) => Fed::Local,
            State::Body(..) => Fed::Broken,
        }
    }
}

/// What a head is written with.
struct Pen<'a> {
    live: &'a Live,
    clock: &'a Clock,
    out: &'a mut Output,
}

impl<'a> Pen<'a> {
    fn of(scene: &'a mut Scene<'_>) -> Pen<'a> {
        Pen { live: scene.live, clock: scene.clock, out: scene.out }
    }
}

#[cfg(all(test, feature = "test-switches"))]
mod tests {
    use super::*;
    use crate::plugin::backend::trial;

    fn relay(request: &str, answer: &str, at_once: usize) -> (String, Fed) {
        trial::relay(
            request,
            answer,
            at_once,
            Relay::default(),
            &trial::Calls {
                feed: |relay, piece, scene, request| match piece {
                    Some(piece) => relay.feed(piece, scene, Some(request)),
                    None => relay.end(scene),
                },
                local: |relay, pool| relay.local(pool).to_vec(),
                release: Relay::release,
            },
        )
    }

    #[track_caller]
    fn gives(request: &str, answer: &str, expected: &str, fed: Fed) {
        for at_once in 1..=answer.len().max(1) {
            assert_eq!(relay(request, answer, at_once), (expected.to_string(), fed), "{at_once} bytes at once");
        }
    }

    #[test]
    fn a_document_of_unknown_length() {
        let answer = "Content-Type: text/plain\nX-A: b\n\nhello\nworld";
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-A: b\r\n";
        gives(
            "GET / HTTP/1.1",
            answer,
            &format!("{head}Transfer-Encoding: chunked\r\n\r\nhello\nworld<end>"),
            Fed::Whole,
        );
        gives("GET / HTTP/1.0", answer, &format!("{head}Connection: Close\r\n\r\nhello\nworld"), Fed::Whole);
        gives("HEAD / HTTP/1.1", answer, &format!("{head}\r\n"), Fed::Whole);
    }

    #[test]
    fn a_length_that_is_kept_and_one_that_is_not() {
        let of =
            |body: &str| format!("Status: 404 Nope\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n{body}");
        let head = "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\n";
        gives("GET / HTTP/1.1", &of("abc"), &format!("{head}abc"), Fed::Whole);
        gives("GET / HTTP/1.1", &of("abcdef"), &format!("{head}abc"), Fed::Whole);
        gives("GET / HTTP/1.1", &of("ab"), &format!("{head}ab"), Fed::Broken);
        gives("HEAD / HTTP/1.1", &of(""), head, Fed::Whole);
        let none = "HTTP/1.1 204 No Content\r\n\r\n";
        gives("GET / HTTP/1.1", "Status: 204\nContent-Length: 1\n\nx", none, Fed::Whole);
        gives("GET / HTTP/1.1", "Status: 304\n\nx", "HTTP/1.1 304 Not Modified\r\n\r\n", Fed::Whole);
    }

    #[test]
    fn redirects() {
        let away = "HTTP/1.1 302 Found\r\nLocation: http://b/\r\nTransfer-Encoding: chunked\r\n\r\n<end>";
        gives("GET / HTTP/1.1", "Location: http://b/\n\n", away, Fed::Whole);
        gives("GET / HTTP/1.1", "Location: /b?c=d\n\n", "/b?c=d", Fed::Local);
    }

    #[test]
    fn what_is_no_answer() {
        for answer in ["", "no header\n\n", "X: y\0\n\n", "Content-Type: text/plain\n"] {
            gives("GET / HTTP/1.1", answer, "", Fed::Refuse(502));
        }
        let endless = format!("X: {}\n", "y".repeat(BACKEND_HEAD_MAX));
        assert_eq!(relay("GET / HTTP/1.1", &endless, 8192), (String::new(), Fed::Refuse(502)));
    }
}

/// Passes on the fields of an answer, but those that the server has said of itself.
pub fn push_fields(out: &mut Output, fields: Fields<'_>) {
    for (name, value) in fields.filter(|(name, _)| !is_word(name, b"server") && !is_word(name, b"date")) {
        for piece in [name, b": ", value, b"\r\n"] {
            out.push(piece);
        }
    }
}
