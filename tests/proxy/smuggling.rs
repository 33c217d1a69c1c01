//! Whatever a client sends, a backend sees as many requests as this server has understood, and sees them alike.

use std::io::{Read, Write};
use std::net::TcpStream;

use monkey::http::session::{Event, Session};
use monkey::wire::head::Head;

use super::backend::Backend;
use super::{OK, in_front_of};
use crate::util::{eventually, moves_all};

/// Requests in which two readers can see two things.
const CORPUS: &[&str] = &[
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\nGET /evil HTTP/1.1\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\nContent-Length: 4\r\n\r\n5c\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n..",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\x0bchunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer_Encoding: chunked\r\nContent-Length: 40\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n..",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40\r\nContent_Length: 5\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n..",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\nContent-Length: 5\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;\nGET /evil HTTP/1.1\r\n\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\n\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 40\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n..",
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 36\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\nX: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\rGET /evil HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\nGET /evil HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n GET /evil HTTP/1.1\r\n\r\n",
    "GET /a%0d%0aX:%20y%0d%0a%0d%0aGET%20/evil%20HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a%20HTTP/1.1%0d%0aHost:%20b HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /?a\tb HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET http://b\\@c/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /../../evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET /a/%2e%2e/%2e%2e/evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
    "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nGET /",
    "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 40\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\nX: 12345\r\n\r\n",
    "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT evil:80 HTTP/1.1\r\nHost: a\r\n\r\n",
    "TRACE /evil HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// The request lines that a lenient reader finds in what came over one connection, and whether the last request is whole.
fn requests(mut raw: &[u8]) -> (Vec<String>, bool) {
    let mut lines = Vec::new();
    while !raw.is_empty() {
        let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") else { return (lines, false) };
        let head = std::str::from_utf8(&raw[..end]).expect("text");
        assert!(!head.replace("\r\n", "").contains(['\r', '\n', '\0']), "{head:?}");
        let fields: Vec<String> = head.split("\r\n").skip(1).map(str::to_ascii_lowercase).collect();
        let of = |name: &str| fields.iter().filter(|line| line.replace('_', "-").starts_with(name)).collect::<Vec<_>>();
        let (lengths, codings) = (of("content-length"), of("transfer-encoding"));
        assert!(lengths.len() + codings.len() <= 1, "two framings: {head}");
        assert_eq!(of("host").len(), 1, "{head}");
        assert!(of("upgrade").is_empty() && of("expect").is_empty(), "{head}");
        lines.push(head.split("\r\n").next().unwrap_or_default().to_string());
        raw = &raw[end + 4..];
        let whole = match (lengths.first(), codings.is_empty()) {
            (None, true) => true,
            (Some(length), _) => {
                let length: usize = length.rsplit(' ').next().and_then(|length| length.parse().ok()).expect("a length");
                let whole = length <= raw.len();
                raw = raw.get(length..).unwrap_or_default();
                whole
            }
            (None, false) => loop {
                let Some(end) = raw.iter().position(|&byte| byte == b'\n') else { break false };
                let line = std::str::from_utf8(&raw[..end]).expect("a size").trim_end();
                let size = usize::from_str_radix(line, 16).unwrap_or_else(|_| panic!("no size: {line:?}"));
                let Some(rest) = raw.get(end + 1 + size + 2..) else { break false };
                raw = rest;
                if size == 0 {
                    break true;
                }
            },
        };
        if !whole {
            return (lines, false);
        }
    }
    (lines, true)
}

#[test]
fn a_backend_sees_no_request_that_was_not_one_here() {
    for sent in CORPUS {
        let backend = Backend::saying(OK);
        let server = in_front_of(&[backend.address]).start();
        // Something that could be led astray comes behind it, on the same connection.
        let text = server.exchange(format!("{sent}GET /after HTTP/1.1\r\nHost: a\r\n\r\n"));
        let text = String::from_utf8_lossy(&text);
        let answers = text.matches("HTTP/1.1 ").count() - text.matches("HTTP/1.1 100 ").count();
        let (mut begun, mut whole) = (0, 0);
        for raw in backend.raw() {
            let (lines, ends) = requests(&raw);
            begun += lines.len();
            whole += lines.len() - usize::from(!ends);
            // What stood in a body or a field was never a request.
            assert!(!lines.iter().any(|line| line.starts_with("GET /evil ")), "{sent:?} became {lines:?}");
        }
        assert!(eventually(|| backend.seen().len() == whole), "read in two ways: {sent:?}");
        assert!(begun <= answers.max(1), "{begun} requests and {answers} answers: {sent:?}");
    }
}

/// What two readers may take for something else, to be put anywhere.
const PIECES: &[&[u8]] = &[
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Content_Length: 3\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: transfer-encoding, content-length\r\n",
    b"Expect: 100-continue\r\n",
    b"X-A: b\r\n c\r\n",
    b"GET /evil HTTP/1.1\r\nHost: a\r\n\r\n",
    b"5\r\nhello\r\n0\r\n\r\n",
    b"0\r\n\r\n",
    b"HTTP/1.0",
    b"http://b/",
    b"%0d%0a",
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b"\x0b",
    b"\x85",
    b":",
    b";",
    b",",
    b"+",
    b"#",
    b"?",
];

/// Numbers that are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (self.0 >> 33) as usize % end
    }
}

/// An input of the corpus with a few bytes that are not as they were.
fn changed(numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = CORPUS[numbers.below(CORPUS.len())].as_bytes().to_vec();
    for _ in 0..=numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(5) {
            0 => drop(bytes.drain(at..(at + 1 + numbers.below(6)).min(bytes.len() - 1).max(at))),
            1 => bytes[at] = b"\r\n \t:0aA/%\0\x7f\x80;_-"[numbers.below(16)],
            _ => drop(bytes.splice(at..at, PIECES[numbers.below(PIECES.len())].iter().copied())),
        }
    }
    bytes
}

/// The requests that the server's own reader finds, each with its body, and how many of them are whole.
fn understood(mut input: &[u8]) -> (Vec<(String, Vec<u8>)>, usize) {
    let (mut session, mut head, mut all) = (Session::default(), Head::new(), Vec::<(String, Vec<u8>)>::new());
    loop {
        let in_body = session.in_body();
        let used = match session.next(input, &mut head) {
            Event::NeedMore | Event::Bad(_) | Event::TooLong => {
                let whole = all.len() - usize::from(session.in_body() || in_body && session.is_broken());
                return (all, whole);
            }
            Event::Passed { consumed } | Event::End { consumed } => consumed,
            Event::Request { consumed } => {
                all.push((String::from_utf8_lossy(head.method_span.of(input)).into_owned(), Vec::new()));
                consumed
            }
            Event::Body { framing, len } => {
                let (_, body) = all.last_mut().expect("a request");
                body.extend_from_slice(&input[framing..framing + len]);
                session.took(len);
                framing + len
            }
        };
        input = &input[used..];
    }
}

/// What the client is answered, without interim answers: the content where the backend has made it.
fn answers(mut raw: &[u8]) -> Vec<Option<Vec<u8>>> {
    let mut all = Vec::new();
    while let Some(end) = raw.windows(4).position(|four| four == b"\r\n\r\n") {
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        raw = &raw[end + 4..];
        if head.starts_with("HTTP/1.1 100 ") {
            continue;
        }
        let length = head.split("Content-Length: ").nth(1).and_then(|rest| rest.split("\r\n").next());
        let length: usize = length.and_then(|length| length.parse().ok()).expect("a length");
        let Some(content) = raw.get(..length) else { break };
        all.push(head.contains("\r\nX-Seen: yes").then(|| content.to_vec()));
        raw = &raw[length..];
    }
    all
}

#[test]
fn what_a_backend_sees_is_what_was_understood_however_it_was_written() {
    // What it has seen comes back.
    let backend = Backend::answering(|seen| {
        let method = seen.head.split(' ').next().unwrap_or_default();
        let length = method.len() + 1 + seen.body.len();
        let mut answer =
            format!("HTTP/1.1 200 OK\r\nX-Seen: yes\r\nContent-Length: {length}\r\n\r\n{method} ").into_bytes();
        answer.extend_from_slice(&seen.body);
        answer
    });
    let server = in_front_of(&[backend.address]).start();
    let mut numbers = Numbers(1);
    let mut forwarded = 0;
    for _ in 0..if moves_all() { 600 } else { 60 } {
        let sent =
            [changed(&mut numbers), b"GET /after HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec()].concat();
        let (expected, whole) = understood(&sent);
        let mut stream = TcpStream::connect(server.address()).expect("a connection");
        stream.set_read_timeout(Some(crate::util::PATIENCE)).expect("a limit");
        let _ = stream.write_all(&sent);
        let (mut raw, mut room) = (Vec::new(), [0; 4096]);
        // It may wait for more than was sent, or for another request.
        while answers(&raw).len() < whole
            && let Ok(count @ 1..) = stream.read(&mut room)
        {
            raw.extend_from_slice(&room[..count]);
        }
        let answers = answers(&raw);
        for (number, content) in answers.iter().enumerate() {
            let Some(content) = content else { continue };
            forwarded += 1;
            let (method, body) = &expected[number];
            let wanted = [method.as_bytes(), b" ", body].concat();
            assert!(*content == wanted, "{} became {}", sent.escape_ascii(), content.escape_ascii());
        }
    }
    assert!(eventually(|| backend.seen().len() == forwarded), "{} requests, {forwarded} answers", backend.seen().len());
    assert!(forwarded > if moves_all() { 20 } else { 2 }, "only {forwarded} came through");
}
