//! Heads of CGI programs: what each may say, at every split, and what is refused.

use crate::limits::{BACKEND_FIELDS_MAX, BACKEND_HEAD_MAX};
use crate::wire::cgi::{CgiHead, Kind, parse_cgi};
use crate::wire::fields::AnswerError;

/// The head `text` begins with, which is the same at every split.
fn parse(text: &str) -> Result<CgiHead, AnswerError> {
    let buf = text.as_bytes();
    let whole = parse_cgi(buf, 0);
    for cut in 0..buf.len() {
        match (parse_cgi(&buf[..cut], 0), whole) {
            (Ok(None), _) => assert_eq!(parse_cgi(buf, cut), whole, "{text:?} cut at {cut}"),
            (Ok(Some(head)), Ok(Some(same))) => assert!(head == same && cut >= head.end, "{text:?} cut at {cut}"),
            (Err(_), Err(_)) => {}
            (part, whole) => panic!("{text:?} cut at {cut}: {part:?}, then {whole:?}"),
        }
    }
    whole.map(|head| head.unwrap_or_else(|| panic!("{text:?} is not whole")))
}

/// Status, reason, `Location`, `Content-Type`.
fn said(text: &str) -> (Kind, u16, &str, &str, &str) {
    let head = parse(text).unwrap();
    let of = |span: crate::wire::span::Span| std::str::from_utf8(span.of(text.as_bytes())).unwrap();
    (head.kind, head.status, of(head.reason), of(head.location), of(head.content_type))
}

fn fields(text: &str) -> Vec<(&str, &str)> {
    let utf8 = |bytes| std::str::from_utf8(bytes).unwrap();
    parse(text).unwrap().fields(text.as_bytes()).map(|(name, value)| (utf8(name), utf8(value))).collect()
}

#[test]
fn documents() {
    use Kind::Document;
    assert_eq!(said("Content-Type: text/html\n\nhello"), (Document, 200, "", "", "text/html"));
    assert_eq!(said("content-TYPE:text/html\r\n\r\n"), (Document, 200, "", "", "text/html"));
    assert_eq!(said("Status: 404 Not Found\n\n"), (Document, 404, "Not Found", "", ""));
    assert_eq!(said("Status:404\r\nContent-Type: \t a/b \t\n\r\n"), (Document, 404, "", "", "a/b"));
    assert_eq!(said("Status: 201 Created\nLocation: /new\n\n"), (Document, 201, "Created", "/new", ""));
    assert_eq!(said("X: y\n\n"), (Document, 200, "", "", ""));
    assert_eq!(said("HTTP/1.1 204 No Content\r\n\r\n"), (Document, 204, "No Content", "", ""));
    assert_eq!(said("HTTP/1.0 500\nContent-Type: a/b\n\n"), (Document, 500, "", "", "a/b"));
    // The field is the program's own word; the status line may be a library's.
    assert_eq!(said("HTTP/1.1 200 OK\nStatus: 403 No\n\n"), (Document, 403, "No", "", ""));
    // The same again is no contradiction.
    assert_eq!(said("Content-Type: a/b\nContent-type: a/b\n\n"), (Document, 200, "", "", "a/b"));
}

#[test]
fn redirects() {
    use Kind::{ClientRedirect, LocalRedirect};
    assert_eq!(said("Location: /other?a=b\n\n"), (LocalRedirect, 200, "", "/other?a=b", ""));
    assert_eq!(said("Location: http://example.org/\n\n"), (ClientRedirect, 302, "", "http://example.org/", ""));
    assert_eq!(said("Status: 301 Moved\nLocation: /b\n\n"), (ClientRedirect, 301, "Moved", "/b", ""));
    assert_eq!(said("HTTP/1.1 303 See Other\nLocation: /b\n\n"), (ClientRedirect, 303, "See Other", "/b", ""));
    // A cookie or a text would be lost.
    assert_eq!(said("Location: /b\nSet-Cookie: a=b\n\n").0, ClientRedirect);
    assert_eq!(said("Content-Type: text/html\nLocation: /b\n\n"), (ClientRedirect, 302, "", "/b", "text/html"));
    // Of another host, or not to be asked for.
    for location in ["//example.org/", "/\\example.org/", "/a#b", "/a b", "/\u{e9}", "b.html", "?a"] {
        assert_eq!(said(&format!("Location: {location}\n\n")).0, ClientRedirect, "{location}");
    }
}

#[test]
fn lengths() {
    let length = |text: &str| parse(text).map(|head| head.length);
    assert_eq!(length("Content-Length: 12\n\n"), Ok(Some(12)));
    assert_eq!(length("Content-Length: 12\ncontent-length: 012\n\n"), Ok(Some(12)));
    assert_eq!(length("Content-Length: 9223372036854775807\n\n"), Ok(Some(i64::MAX as u64)));
    assert_eq!(length("A: b\n\n"), Ok(None));
    for value in ["", "-1", "+1", "1 2", "1,1", "0x1", "12a", "9223372036854775808", "99999999999999999999"] {
        let error = length(&format!("Content-Length: {value}\n\n")).unwrap_err();
        assert!(matches!(error, AnswerError::Malformed(_)) && error.to_string().len() > 10, "{value}");
    }
    assert!(length("Content-Length: 1\nContent-Length: 2\n\n").is_err());
}

#[test]
fn what_is_passed_on() {
    assert_eq!(fields("Content-Type: a/b\nContent-Length: 3\nStatus: 200\nLocation: x\n\n"), []);
    assert_eq!(
        fields("Set-Cookie: a=b\r\nX-Y:\nset-cookie: c=d\n\n"),
        [("Set-Cookie", "a=b"), ("X-Y", ""), ("set-cookie", "c=d")]
    );
    assert_eq!(fields("HTTP/1.1 200 OK\nA: b\n\nC: d\n"), [("A", "b")]);
    let hop = "Connection: close, X-Own\nKeep-Alive: 5\nTE: x\nTrailer: x\nTransfer-Encoding: chunked\nUpgrade: h2c\nProxy-Status: x\nproxy-: x\n";
    assert_eq!(fields(&format!("{hop}X-Own: 1\nProxy: x\n\n")), [("Proxy", "x")]);
}

#[test]
fn refused() {
    for text in [
        // No header line, or one that is none.
        "\n",
        "\r\n",
        "\n\nhello",
        "hello\n\n",
        "hello\n",
        "<html>\n",
        "hello\r\nA: b\r\n\r\n",
        ": b\n\n",
        " A: b\n\n",
        "A : b\n\n",
        "A\u{e9}: b\n\n",
        "A: b\nhello\n\n",
        "A: b\n c\n\n",
        "A: b\n\tc: d\n\n",
        // What could become a line of its own.
        "A: b\rSet-Cookie: c\n\n",
        "A: b\r\r\n\r\n",
        "A: \0\n\n",
        "A: \u{1b}[0m\n\n",
        "A: \u{7f}\n\n",
        "A\0: b\n\n",
        "Status: 200 O\rK\n\n",
        // Status.
        "Status:\n\n",
        "Status: OK\n\n",
        "Status: 20\n\n",
        "Status: 2000\n\n",
        "Status: 200OK\n\n",
        "Status: +20\n\n",
        "Status: 099\n\n",
        "Status: 100 Continue\n\n",
        "Status: 101 Switching\n\n",
        "HTTP/1.1 100 Continue\n\n",
        "HTTP/1.1 200OK\n\n",
        "HTTP/1.1\n\n",
        "HTTP/2 200 OK\n\n",
        "HTTP/1.1  200 OK\n\n",
        "HTTP/1.1 200 O\0K\n\n",
        "A: b\nHTTP/1.1 200 OK\n\n",
        // Twice.
        "Status: 200\nStatus: 404\n\n",
        "Location: a\nLocation: b\n\n",
        "Content-Type: a/b\nContent-Type: a/c\n\n",
        "Location:\n\n",
        "Location: \n\n",
    ] {
        assert!(matches!(parse(text), Err(AnswerError::Malformed(_))), "{text:?}");
    }
}

#[test]
fn refused_as_soon_as_the_first_line_shows_it() {
    for text in ["hello\n", "HTTP/1.1 x\n", "a b: c\n"] {
        assert!(parse_cgi(text.as_bytes(), 0).is_err(), "{text:?}");
    }
    for text in ["", "hello", "HTTP/1.1 x", "A: b\n", "A: b\nhello\n", "A: b\r\n\r"] {
        assert_eq!(parse_cgi(text.as_bytes(), 0), Ok(None), "{text:?}");
    }
}

#[test]
fn limits() {
    let of = |len: usize| format!("A: {}\n\n", "b".repeat(len - 5));
    assert_eq!(parse_cgi(of(BACKEND_HEAD_MAX).as_bytes(), 0).unwrap().unwrap().end, BACKEND_HEAD_MAX);
    assert_eq!(parse_cgi(of(BACKEND_HEAD_MAX + 1).as_bytes(), 0), Err(AnswerError::TooLarge));
    assert_eq!(parse_cgi(&of(BACKEND_HEAD_MAX + 1).as_bytes()[..BACKEND_HEAD_MAX - 1], 0), Ok(None));
    assert_eq!(parse_cgi(&of(BACKEND_HEAD_MAX + 1).as_bytes()[..BACKEND_HEAD_MAX], 0), Err(AnswerError::TooLarge));
    // The body may be here too.
    assert!(parse_cgi(format!("A: b\n\n{}", "c".repeat(70_000)).as_bytes(), 0).is_ok());
    let of = |count: usize| format!("{}\n", "A: b\n".repeat(count));
    assert_eq!(fields(&of(BACKEND_FIELDS_MAX)).len(), BACKEND_FIELDS_MAX);
    assert_eq!(parse(&of(BACKEND_FIELDS_MAX + 1)), Err(AnswerError::TooLarge));
    assert!(AnswerError::TooLarge.to_string().contains("128"));
}
