use crate::util::{Answer, DATE, SERVER, Server, Setup};

const HTML: &str = "Content-Type: text/html; charset=utf-8";

fn serve() -> Server {
    Setup::new().file("a.txt", "alpha").start()
}

/// Ways in which bytes that can not be a request come to the server.
#[derive(Clone, Copy, Debug)]
enum Delivery {
    /// Nothing follows them.
    Alone,
    /// A good request stands behind them in the same write.
    WithMore,
    /// The same, a byte at a time.
    ByteByByte,
}

/// Longest input that is also sent a byte at a time.
const SPLIT_MAX: usize = 400;

/// Sends what can not be a request, alone and with a good one behind it, and asserts one answer, a close, and nothing more.
#[track_caller]
pub fn refused(server: &Server, bytes: &[u8], line: &str) {
    refused_when(server, Delivery::Alone, bytes, line);
    refused_when(server, Delivery::WithMore, bytes, line);
    if bytes.len() <= SPLIT_MAX {
        refused_when(server, Delivery::ByteByByte, bytes, line);
    }
}

#[track_caller]
fn refused_when(server: &Server, delivery: Delivery, bytes: &[u8], line: &str) {
    let mut client = server.client();
    let smuggled = b"GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n";
    match delivery {
        Delivery::Alone => {
            client.try_send(bytes);
        }
        Delivery::WithMore => {
            client.try_send(&[bytes, smuggled].concat());
        }
        Delivery::ByteByByte => {
            client.try_send_slowly(&[bytes, smuggled].concat());
        }
    }
    let answer = client.answer(bytes.starts_with(b"HEAD "));
    let shown = format!("{delivery:?}: {}", bytes[..bytes.len().min(200)].escape_ascii());
    let length = answer.length().unwrap_or(0);
    let masked =
        [&format!("HTTP/1.1 {line}"), SERVER, DATE, HTML, &format!("Content-Length: {length}"), "Connection: Close"];
    assert_eq!(answer.masked(), masked, "{shown}");
    if !bytes.starts_with(b"HEAD ") {
        assert!(answer.text().contains(&format!("<h1>{line}</h1>")), "{shown}");
    }
    client.is_closed();
}

const BAD: &str = "400 Bad Request";

#[test]
fn the_request_line() {
    let server = serve();
    for line in [
        " GET / HTTP/1.1",
        "GET  / HTTP/1.1",
        "GET /  HTTP/1.1",
        "GET / HTTP/1.1 ",
        "GET\t/ HTTP/1.1",
        "GET /",
        "GET",
        "GET / http/1.1",
        "GET / HTTP/1.10",
        "GET / HTTP/1",
        "GET / HTTP1.1",
        "GET / HTTPS/1.1",
        "GET / FOO/1.1",
        "G@T / HTTP/1.1",
        "(GET) / HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /\u{1} HTTP/1.1",
        "GET /\0 HTTP/1.1",
        "GET /\r/ HTTP/1.1",
    ] {
        refused(&server, format!("{line}\r\nHost: test\r\n\r\n").as_bytes(), BAD);
    }
    refused(&server, b"GET / HTTP/1.1\nHost: test\n\n", BAD);
    refused(&server, b"\nGET / HTTP/1.1\r\nHost: test\r\n\r\n", BAD);
    refused(&server, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", BAD);
}

#[test]
fn the_version() {
    let server = serve();
    for version in ["HTTP/0.9", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0", "HTTP/9.9"] {
        let request = format!("GET / {version}\r\nHost: test\r\n\r\n");
        refused(&server, request.as_bytes(), "505 HTTP Version Not Supported");
    }
    refused(&server, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 HTTP Version Not Supported");
}

#[test]
fn the_fields() {
    let server = serve();
    for fields in [
        "Host : test\r\n",
        " Host: test\r\n",
        "Host: test\r\n folded\r\n",
        "Host: test\r\n\tfolded\r\n",
        "Host: test\r\n: empty name\r\n",
        "Host: test\r\nno colon\r\n",
        "Host: test\r\nna(me: x\r\n",
        "Host: test\r\nna me: x\r\n",
        "Host: test\r\nx: a\0b\r\n",
        "Host: test\r\nx: a\rb\r\n",
        "Host: test\r\nx: a\u{7f}b\r\n",
        "Host: test\nx: y\r\n",
        "Host: test\r\nx: y\n\r\n",
    ] {
        refused(&server, format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes(), BAD);
    }
}

#[test]
fn the_host() {
    let server = serve();
    for fields in [
        "",
        "Host:\r\n",
        "Host: \r\n",
        "Host: test\r\nHost: test\r\n",
        "Host: test\r\nhost: other\r\n",
        "Host: test:port\r\n",
        "Host: test:65536\r\n",
        "Host: test:123456\r\n",
        "Host: test:80:80\r\n",
        "Host: te st\r\n",
        "Host: test/path\r\n",
        "Host: user@test\r\n",
        "Host: test, other\r\n",
        "Host: [::1\r\n",
        "Host: [::g]\r\n",
        "Host: [fe80::1%25eth0]\r\n",
        "Host: :80\r\n",
        "Host: a%zz\r\n",
    ] {
        refused(&server, format!("GET / HTTP/1.1\r\n{fields}\r\n").as_bytes(), BAD);
    }
    refused(&server, b"GET / HTTP/1.0\r\nHost: a b\r\n\r\n", BAD);
}

#[test]
fn the_length_of_a_body() {
    let server = serve();
    for fields in [
        "Content-Length: -1\r\n",
        "Content-Length: +1\r\n",
        "Content-Length: 1 \r\nContent-Length: 1\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1, 1\r\n",
        "Content-Length: 1x\r\n",
        "Content-Length: 0x10\r\n",
        "Content-Length: 1.0\r\n",
        "Content-Length:\r\n",
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        "Transfer-Encoding: chunked, chunked\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding:\r\n",
    ] {
        for method in ["POST", "GET"] {
            let request = format!("{method} /a.txt HTTP/1.1\r\nHost: test\r\n{fields}\r\n");
            refused(&server, request.as_bytes(), BAD);
        }
    }
    refused(&server, b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", BAD);
    let gzip = b"POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: gzip, chunked\r\n\r\n";
    refused(&server, gzip, "501 Not Implemented");
    for length in ["9223372036854775808", "18446744073709551616", "99999999999999999999999999"] {
        let request = format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
        refused(&server, request.as_bytes(), "413 Request Entity Too Large");
    }
}

#[test]
fn heads_beyond_the_limits() {
    let server = serve();
    let uri = |len: usize| format!("GET /{} HTTP/1.1\r\nHost: test\r\n\r\n", "a".repeat(len - "GET / HTTP/1.1".len()));
    // 8 KB of request line are the limit, and a byte more is too much.
    server.client().send(uri(8192)).answer(false).is(404);
    refused(&server, uri(8193).as_bytes(), "414 Request-URI Too Long");
    refused(&server, uri(20_000).as_bytes(), "414 Request-URI Too Long");
    // 16 KB of head.
    let head = |len: usize| {
        let start = "GET /a.txt HTTP/1.1\r\nHost: test\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(len - start.len() - 4))
    };
    server.client().send(head(16 * 1024)).answer(false).is(200);
    refused(&server, head(16 * 1024 + 1).as_bytes(), "431 Request Header Fields Too Large");
    refused(&server, head(100_000).as_bytes(), "431 Request Header Fields Too Large");
    // 64 fields, Host among them.
    let fields = |count: usize| "x: y\r\n".repeat(count - 1);
    server.ask("GET /a.txt", &fields(64)).is(200);
    let request = format!("GET /a.txt HTTP/1.1\r\nHost: test\r\n{}\r\n", fields(65));
    refused(&server, request.as_bytes(), "431 Request Header Fields Too Large");
}

#[test]
fn an_endless_head_is_refused_before_it_ends() {
    let server = serve();
    let mut client = server.client();
    client.send("GET /").try_send(&[b'a'; 9000]);
    client.answer(false).is(414);
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nX: ").try_send(&[b'a'; 17_000]);
    client.answer(false).is(431);
    let mut client = server.client();
    client.send("GET / HTTP/1.1\r\nHost: te\n");
    client.answer(false).is(400);
}

#[test]
fn targets_that_mean_nothing_are_answered_and_the_connection_goes_on() {
    let server = serve();
    let mut client = server.client();
    for target in
        ["a.txt", "/%zz", "/%4", "/%", "/%00", "/a.txt%00.html", "/a#b", "ftp://test/", "http://", "test:80", "*"]
    {
        let answer: Answer = client.ask(&format!("GET {target}"), "");
        assert_eq!(answer.status, 400, "{target}");
        assert!(!answer.closes(), "{target}");
    }
    client.get("/a.txt").is(200);
}

#[test]
fn an_upload_that_is_refused_sees_its_answer() {
    let server = Setup::new().file("a.txt", "alpha").host("MaxBodySize 1").start();
    let upload = crate::util::pattern(1_000_000);
    for length in ["1000000", "99999999999999999999"] {
        for _ in 0..5 {
            // All is written before anything is read: closing over unread input would destroy the answer on its way.
            let mut client = server.client();
            let head = format!("POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n");
            client.send(&head).send(&upload);
            let answer = client.answer(false);
            assert!(answer.head.starts_with("HTTP/1.1 413 Request Entity Too Large\r\n"), "{length}: {}", answer.head);
        }
    }
}

#[test]
fn what_is_echoed_is_escaped() {
    let server = serve();
    let answer = server.get("/%3Cscript%3Ealert('x')%3C/script%3E&\"%0d%0aX:y").is(404);
    assert!(answer.text().contains("/&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;"), "{}", answer.text());
    assert!(!answer.text().contains("<script>"), "{}", answer.text());
    assert_eq!(answer.field("X"), None);
}
