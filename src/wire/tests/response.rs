//! Heads of origin servers: status lines, framing, what is passed on, at every split.

use crate::limits::{BACKEND_FIELDS_MAX, BACKEND_HEAD_MAX};
use crate::wire::fields::{AnswerError, end_to_end, values};
use crate::wire::head::{Head, Method, Version, parse_head};
use crate::wire::response::{Framing, Response, has_body, parse_response};

/// The head `text` begins with, which is the same at every split.
fn parse_to(text: &str, method: Method) -> Result<Response, AnswerError> {
    let buf = text.as_bytes();
    let whole = parse_response(buf, 0, method);
    for cut in 0..buf.len() {
        match (parse_response(&buf[..cut], 0, method), whole) {
            (Ok(None), _) => assert_eq!(parse_response(buf, cut, method), whole, "{text:?} cut at {cut}"),
            (Ok(Some(head)), Ok(Some(same))) => assert!(head == same && cut >= head.end, "{text:?} cut at {cut}"),
            (Err(_), Err(_)) => {}
            (part, whole) => panic!("{text:?} cut at {cut}: {part:?}, then {whole:?}"),
        }
    }
    whole.map(|head| head.unwrap_or_else(|| panic!("{text:?} is not whole")))
}

fn parse(text: &str) -> Result<Response, AnswerError> {
    parse_to(text, Method::Get)
}

/// The framing of a response with `fields`.
fn framing(status: &str, method: Method, fields: &str) -> Result<Framing, AnswerError> {
    parse_to(&format!("HTTP/1.1 {status}\r\n{fields}\r\n"), method).map(|head| head.framing)
}

#[test]
fn status_lines() {
    let head = parse("HTTP/1.1 200 OK\r\n\r\nbody").unwrap();
    assert_eq!((head.status, head.version, head.end), (200, Version::Http11, 19));
    let reason =
        |text: &str| parse(text).map(|head| String::from_utf8_lossy(head.reason.of(text.as_bytes())).into_owned());
    assert_eq!(reason("HTTP/1.0 404 Not Found\r\n\r\n").as_deref(), Ok("Not Found"));
    assert_eq!(reason("HTTP/1.1 404 \r\n\r\n").as_deref(), Ok(""));
    assert_eq!(reason("HTTP/1.1 404\r\n\r\n").as_deref(), Ok(""));
    assert_eq!(reason("HTTP/1.1 200  a\tb \u{e9}\r\n\r\n").as_deref(), Ok(" a\tb \u{e9}"));
    assert_eq!(parse("HTTP/1.1 999 x\r\n\r\n").unwrap().status, 999);
}

#[test]
fn malformed() {
    for text in [
        "\r\n\r\n",
        "\r\nHTTP/1.1 200 OK\r\n\r\n",
        "http/1.1 200 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1\t200 OK\r\n\r\n",
        "HTTP/1.1 200\tOK\r\n\r\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1 200 O\rK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "<html>\r\n\r\n",
        // Lines.
        "HTTP/1.1 200 OK\n\n",
        "HTTP/1.1 200 OK\r\nA: b\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n\n",
        "HTTP/1.1 200 OK\nA: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n",
        // Fields.
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\n A: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA\u{e9}: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n(: b\r\n\r\n",
        // A switch to nothing.
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n",
    ] {
        match parse(text) {
            Err(error @ AnswerError::Malformed(_)) => assert!(error.to_string().len() > 10),
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

#[test]
fn the_end_of_the_body() {
    use Framing::{Chunked, Length, UntilClose};
    use Method::{Get, Head};
    let none = Ok(Framing::None);
    assert_eq!(framing("200 OK", Get, ""), Ok(UntilClose));
    assert_eq!(framing("200 OK", Get, "Content-Length: 0\r\n"), Ok(Length(0)));
    assert_eq!(framing("200 OK", Get, "content-length:  5 \r\n"), Ok(Length(5)));
    assert_eq!(framing("200 OK", Get, "Content-Length: 5\r\nContent-Length: 5\r\n"), Ok(Length(5)));
    assert_eq!(framing("200 OK", Get, "Transfer-Encoding: Chunked\r\n"), Ok(Chunked));
    assert_eq!(framing("404 x", Get, "Transfer-Encoding: chunked\r\n"), Ok(Chunked));
    for fields in ["", "Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        assert_eq!(framing("200 OK", Head, fields), none);
        for status in ["100 x", "103 x", "204 x", "304 x"] {
            assert_eq!(framing(status, Get, fields), none);
        }
    }
    assert_eq!(framing("205 x", Get, "Content-Length: 0\r\n"), Ok(Length(0)));
    // What an answer to HEAD says of the body is kept.
    let head = parse_to("HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", Head).unwrap();
    assert_eq!((head.framing, head.length), (Framing::None, Some(7)));
    assert!([100, 101, 199, 204, 304].iter().all(|&status| !has_body(status)));
    assert!([200, 205, 206, 301, 404, 999].iter().all(|&status| has_body(status)));
}

#[test]
fn doubt_about_the_end_is_refused() {
    for fields in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: \r\n",
        "Content-Length: 5a\r\n",
        "Content-Length: 9223372036854775808\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked;a\r\n",
        "Transfer-Encoding: ,chunked\r\n",
        "Transfer-Encoding: \r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        for (status, method) in [("200 OK", Method::Get), ("200 OK", Method::Head), ("304 x", Method::Get)] {
            assert!(matches!(framing(status, method, fields), Err(AnswerError::Malformed(_))), "{fields:?}");
        }
    }
    assert!(parse("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
}

#[test]
fn connections() {
    let kept = |text: &str| parse(text).unwrap().persistent();
    assert!(kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(kept("HTTP/1.0 200 OK\r\nContent-Length: 0\r\nConnection: Keep-Alive\r\n\r\n"));
    assert!(!kept("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"));
    assert!(!kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: a, CLOSE\r\n\r\n"));
    assert!(!kept("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n"));
    assert!(!kept("HTTP/1.1 200 OK\r\n\r\n"));
    assert!(kept("HTTP/1.1 304 x\r\n\r\n"));
}

#[test]
fn interim_answers_and_switches() {
    assert!(parse("HTTP/1.1 100 Continue\r\n\r\n").unwrap().is_interim());
    let text = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\nframes";
    let head = parse(text).unwrap();
    assert!(!head.is_interim() && !head.persistent());
    assert_eq!(head.framing, Framing::None);
    assert_eq!(head.upgrade.of(text.as_bytes()), b"websocket");
    assert_eq!(&text[head.end..], "frames");
    assert_eq!(fields(text), [("Sec-WebSocket-Accept", "x")]);
    assert!(parse("HTTP/1.1 200 OK\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n").unwrap().upgrade.is_empty());
}

fn fields(text: &str) -> Vec<(&str, &str)> {
    let utf8 = |bytes| std::str::from_utf8(bytes).unwrap();
    parse(text).unwrap().fields(text.as_bytes()).map(|(name, value)| (utf8(name), utf8(value))).collect()
}

#[test]
fn what_is_passed_on() {
    assert_eq!(
        fields(
            "HTTP/1.1 200 OK\r\nDate: x\r\nConnection: keep-alive, X-A\r\nconnection: \"x\", ,x-b\r\nX-A: 1\r\nX-B: 2\r\nX-C: 3\r\n\
             Keep-Alive: 5\r\nContent-Length: 0\r\nProxy-Connection: x\r\nStatus: 7\r\nX-C:\r\nX-E: Date\r\n\r\nX-D: 4\r\n"
        ),
        [("Date", "x"), ("X-C", "3"), ("Status", "7"), ("X-C", ""), ("X-E", "Date")]
    );
}

#[test]
fn limits() {
    let of = |len: usize| format!("HTTP/1.1 200 OK\r\nA: {}\r\n\r\n", "b".repeat(len - 24));
    let parse = |text: &str| parse_response(text.as_bytes(), 0, Method::Get);
    assert_eq!(parse(&of(BACKEND_HEAD_MAX)).unwrap().unwrap().end, BACKEND_HEAD_MAX);
    assert_eq!(parse(&of(BACKEND_HEAD_MAX + 1)), Err(AnswerError::TooLarge));
    assert_eq!(parse(&of(70_000)), Err(AnswerError::TooLarge));
    assert_eq!(parse(&of(70_000)[..BACKEND_HEAD_MAX - 1]), Ok(None));
    let of = |count: usize| format!("HTTP/1.1 200 OK\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(parse(&of(BACKEND_FIELDS_MAX)).is_ok());
    assert_eq!(parse(&of(BACKEND_FIELDS_MAX + 1)), Err(AnswerError::TooLarge));
}

#[test]
fn fields_of_a_request_that_go_on() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-A\r\nX-A: 1\r\nX-B: 2\r\nProxy: p\r\nProxy-Authorization: q\r\n\
        Content-Length: 0\r\nTE: trailers\r\nUpgrade: h2c\r\nX-Forwarded-For: c\r\nx-forwarded-for: d\r\nCookie: e\r\n\r\n";
    let mut head = Head::new();
    parse_head(text, &mut head).unwrap();
    let names: Vec<&[u8]> = end_to_end(&head, text).map(|(name, _)| name).collect();
    assert_eq!(names, [b"X-B".as_slice(), b"X-Forwarded-For", b"x-forwarded-for", b"Cookie"]);
    assert_eq!(values(&head, text, b"x-forwarded-for").collect::<Vec<_>>(), [b"c", b"d"]);
}
