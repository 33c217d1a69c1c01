//! What [`bad_requests`](super::bad_requests) does not try: every byte that may not stand somewhere, and the ways to say two
//! things about a body's length. `refused` sends each alone, in front of a second request, and a byte at a time.

use super::bad_requests::refused;
use crate::util::{Server, Setup};

const BAD: &str = "400 Bad Request";

fn serve() -> Server {
    Setup::new().file("a.txt", "alpha").start()
}

/// A head with one more field line, given without its line end.
fn with_field(method: &str, line: &[u8]) -> Vec<u8> {
    [method.as_bytes(), b" /a.txt HTTP/1.1\r\nHost: test\r\n", line, b"\r\n\r\n"].concat()
}

/// Every byte that is neither SP, HTAB nor visible, CR and LF left out.
fn controls() -> impl Iterator<Item = u8> {
    (0..=31).chain([127]).filter(|byte| !b"\t\r\n".contains(byte))
}

#[test]
fn bytes_that_stand_in_no_method() {
    let server = serve();
    for byte in controls().chain(*b"\"(),/:;<=>?@[\\]{}\t").chain([0x80, 0xff]) {
        let head = [b"G".as_slice(), &[byte], b"T /a.txt HTTP/1.1\r\nHost: test\r\n\r\n"].concat();
        refused(&server, &head, BAD);
    }
}

#[test]
fn bytes_that_stand_in_no_target() {
    let server = serve();
    for byte in controls().chain(*b"\t\r\n").chain([0x80, 0xff]) {
        let head = [b"GET /a".as_slice(), &[byte], b"b HTTP/1.1\r\nHost: test\r\n\r\n"].concat();
        refused(&server, &head, BAD);
    }
}

#[test]
fn bytes_that_stand_in_no_field_name() {
    let server = serve();
    for byte in controls().chain(*b"\"(),/;<=>?@[\\]{} \t\r").chain([0x80, 0xff]) {
        refused(&server, &with_field("GET", &[b"X-", &[byte][..], b"Y: z"].concat()), BAD);
    }
    for line in ["X-Y", ":", ": z", "X-Y z", "X-Y =z", "\u{a0}X: z", "X-Y\r: z", "\"X\": z"] {
        refused(&server, &with_field("GET", line.as_bytes()), BAD);
    }
}

#[test]
fn bytes_that_stand_in_no_field_value() {
    let server = serve();
    for byte in controls().chain(*b"\r") {
        refused(&server, &with_field("GET", &[b"X-Y: a", &[byte][..], b"b"].concat()), BAD);
        refused(&server, &with_field("GET", &[b"X-Y:", &[byte][..]].concat()), BAD);
    }
}

#[test]
fn line_ends_that_are_none() {
    let server = serve();
    let lines = |end: &str| ["GET /a.txt HTTP/1.1", "Host: test", "X: y", "", ""].join(end);
    // Those that never make an end mark are refused for their request line.
    for end in ["\n", "\r", "\n\r", "\r\r\n", "\u{b}\r\n", "\u{85}", "\u{2028}"] {
        refused(&server, lines(end).as_bytes(), BAD);
    }
    for head in [
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nX: y\r\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nX: y\n\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\n\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\n \r\n\r\n",
        "GET /a.txt HTTP/1.1\r\n Host: test\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\n\tX: y\r\nHost: test\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nX:\r\n y\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding:\r\n chunked\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n 0\r\n\r\n",
        "\rGET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
        "\r\r\nGET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
        "\r\n\nGET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
        "\r\n GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
        "\0GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
        "\u{feff}GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
    ] {
        refused(&server, head.as_bytes(), BAD);
    }
}

#[test]
fn request_lines_and_versions() {
    let server = serve();
    for line in [
        "GET",
        "GET ",
        " ",
        "GET /a.txt",
        "GET /a.txt ",
        "GET HTTP/1.1",
        "GET  HTTP/1.1",
        "GET /a.txt\tHTTP/1.1",
        "GET\u{b}/a.txt HTTP/1.1",
        "GET /a.txt\u{c}HTTP/1.1",
        "GET /a.txt HTTP/1.1\t",
        "GET /a.txt HTTP/1.1 HTTP/1.1",
        "GET /a.txt Http/1.1",
        "GET /a.txt hTTP/1.1",
        "GET /a.txt HTTP /1.1",
        "GET /a.txt HTTP/ 1.1",
        "GET /a.txt HTTP/1 .1",
        "GET /a.txt HTTP/01.1",
        "GET /a.txt HTTP/1.01",
        "GET /a.txt HTTP/11.1",
        "GET /a.txt HTTP/1.1.1",
        "GET /a.txt HTTP/1,1",
        "GET /a.txt HTTP/-1.1",
        "GET /a.txt HTTP/+1.1",
        "GET /a.txt HTTP/1.-1",
        "GET /a.txt HTTP/.1",
        "GET /a.txt HTTP/1.",
        "GET /a.txt HTTP/",
        "GET /a.txt HTTP/a.b",
        "GET /a.txt HTTP/\u{661}.1",
        "GET /a.txt ICY/1.1",
        "/a.txt HTTP/1.1",
        "HTTP/1.1 200 OK",
    ] {
        refused(&server, format!("{line}\r\nHost: test\r\n\r\n").as_bytes(), BAD);
    }
    for version in ["HTTP/0.0", "HTTP/0.1", "HTTP/2.1", "HTTP/1.3", "HTTP/9.0"] {
        let head = format!("GET /a.txt {version}\r\nHost: test\r\n\r\n");
        refused(&server, head.as_bytes(), "505 HTTP Version Not Supported");
    }
}

#[test]
fn hosts() {
    let server = serve();
    for fields in [
        "Host: test\r\nHost: test\r\nHost: test\r\n",
        "Host: test\r\nX: y\r\nHOST: test\r\n",
        "Host:\r\nHost: test\r\n",
        "Host: test\r\nHost:\r\n",
        "Host: test test\r\n",
        "Host: test\ttest\r\n",
        "Host: test:-1\r\n",
        "Host: test:+80\r\n",
        "Host: test: 80\r\n",
        "Host: test :80\r\n",
        "Host: test:0x50\r\n",
        "Host: test:99999\r\n",
        "Host: test:65536\r\n",
        "Host: test:4294967376\r\n",
        "Host: test?x\r\n",
        "Host: test#x\r\n",
        "Host: test\\x\r\n",
        "Host: \"test\"\r\n",
        "Host: http://test\r\n",
        "Host: //test\r\n",
        "Host: test@test\r\n",
        "Host: :test@test\r\n",
        "Host: t\u{e9}st\r\n",
        "Host: test|x\r\n",
        "Host: test^x\r\n",
        "Host: test`x\r\n",
        "Host: <test>\r\n",
        "Host: {test}\r\n",
        "Host: te%st\r\n",
        "Host: test%\r\n",
        "Host: []\r\n",
        "Host: [::1]]\r\n",
        "Host: [::1]x\r\n",
        "Host: [::1]:x\r\n",
        "Host: [127.0.0.1]\r\n",
        "Host: [v1.x]\r\n",
        "Host: ::1\r\n",
    ] {
        refused(&server, format!("GET /a.txt HTTP/1.1\r\n{fields}\r\n").as_bytes(), BAD);
    }
    // The authority of an absolute target replaces Host; it does not make up for one that is missing or wrong.
    for fields in ["", "Host:\r\n", "Host: a b\r\n", "Host: test\r\nHost: test\r\n"] {
        refused(&server, format!("GET http://test/a.txt HTTP/1.1\r\n{fields}\r\n").as_bytes(), BAD);
    }
    for fields in ["Host: a b\r\n", "Host: a\r\nHost: a\r\n", "Host:\r\nHost: a\r\n"] {
        refused(&server, format!("GET /a.txt HTTP/1.0\r\n{fields}\r\n").as_bytes(), BAD);
    }
}

#[test]
fn content_lengths() {
    let server = serve();
    for value in [
        "5,5", "5, 5", "5,", ",5", "5 5", "5\t5", "5;5", "+5", "-5", "-0", "+0", "0x5", "5h", "5.", "5e0", "\"5\"",
        "'5'", "(5)", "5 bytes", "chunked", "5\u{a0}", "\u{665}", "0,0", "_5", "5_0", "--5", "1 000",
    ] {
        for method in ["POST", "GET", "DELETE", "FROB"] {
            refused(&server, &with_field(method, format!("Content-Length: {value}").as_bytes()), BAD);
        }
    }
    for lines in [
        "Content-Length: 5\r\nContent-Length: 5",
        "Content-Length: 0\r\nContent-Length: 38",
        "Content-Length: 38\r\ncontent-length: 0",
        "Content-Length: 0\r\nX: y\r\nCONTENT-LENGTH: 0",
        "Content-Length:\r\nContent-Length: 0",
        "Content-Length: 0\r\nContent-Length:",
        "Content-Length : 0",
        "Content-Length\t: 0",
        " Content-Length: 0",
    ] {
        for method in ["POST", "GET"] {
            refused(&server, &with_field(method, lines.as_bytes()), BAD);
        }
    }
    for length in [
        "9223372036854775808",
        "18446744073709551615",
        "18446744073709551621",
        "0000000000000000000009223372036854775808",
    ] {
        let head = with_field("POST", format!("Content-Length: {length}").as_bytes());
        refused(&server, &head, "413 Request Entity Too Large");
    }
}

#[test]
fn transfer_codings() {
    let server = serve();
    for value in [
        "",
        ",",
        ",chunked",
        "chunked,",
        ", chunked",
        "chunked,,",
        ",,chunked,,",
        "chunked;q=1",
        "chunked;a=b",
        "chunked;",
        ";chunked",
        "\"chunked\"",
        "'chunked'",
        "\"chunked",
        "xchunked",
        "chunkedx",
        "x-chunked",
        "chunk",
        "chunked chunked",
        "chunked\tchunked",
        "identity",
        "gzip",
        "chunked, gzip",
        "chunked, identity",
        "chunked, chunked",
        "gzip, chunked, gzip",
        "gzip, chunked, chunked",
        "gzip chunked",
        "gzip;chunked",
        "gzip;x=\", chunked",
        "gzip;x=\"a, chunked\"",
        "\u{a0}chunked",
        "chunked\u{a0}",
        "chunked\u{85}",
        "\u{feff}chunked",
        "\u{17f}chunked",
        "chun\u{212a}ed",
        "[chunked]",
        "chunked/1.0",
        "chunked=chunked",
        "chunked:",
        ": chunked",
    ] {
        for method in ["POST", "GET"] {
            refused(&server, &with_field(method, format!("Transfer-Encoding: {value}").as_bytes()), BAD);
        }
    }
    for lines in [
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding:",
        "Transfer-Encoding:\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: \"chunked\"",
        "Transfer-Encoding: chunked\r\nX: y\r\nTRANSFER-ENCODING: identity",
        "Transfer-Encoding : chunked",
        "Transfer-Encoding\t: chunked",
        " Transfer-Encoding: chunked",
        "Transfer-Encoding: \u{b}chunked",
        "Transfer-Encoding: chunked\u{c}",
        "Transfer-Encoding: chun\0ked",
        "Transfer-Encoding\0: chunked",
        "Transfer-Encoding: chunked\rX: y",
    ] {
        for method in ["POST", "GET"] {
            refused(&server, &with_field(method, lines.as_bytes()), BAD);
        }
    }
    for lines in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: chunked;a=b, chunked",
        "Transfer-Encoding: x;a=\",\", chunked",
    ] {
        refused(&server, &with_field("POST", lines.as_bytes()), "501 Not Implemented");
    }
}

#[test]
fn two_words_about_one_length() {
    let server = serve();
    for lines in [
        "Content-Length: 0\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Content-Length: 5\r\nTransfer-Encoding: gzip",
        "Content-Length: 5\r\nTransfer-Encoding: identity",
        "Content-Length: 5\r\nTransfer-Encoding:",
        "Content-Length: 5\r\nTransfer-Encoding: gzip, chunked",
        "Content-Length: x\r\nTransfer-Encoding: chunked",
        "Content-Length:\r\nTransfer-Encoding: chunked",
        "Content-Length: 99999999999999999999\r\nTransfer-Encoding: chunked",
        "content-length: 5\r\nX: y\r\ntransfer-encoding: CHUNKED",
    ] {
        for method in ["POST", "GET", "OPTIONS"] {
            refused(&server, &with_field(method, lines.as_bytes()), BAD);
        }
    }
    for method in ["POST", "GET"] {
        for fields in ["", "Connection: keep-alive\r\n", "Content-Length: 5\r\n"] {
            let head = format!("{method} /a.txt HTTP/1.0\r\nHost: test\r\n{fields}Transfer-Encoding: chunked\r\n\r\n");
            refused(&server, head.as_bytes(), BAD);
        }
    }
}

#[test]
fn a_bad_head_behind_good_requests_gets_the_last_answer() {
    let server = serve();
    let good = "GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n";
    let post = "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    let bad = "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n";
    for slowly in [false, true] {
        let mut client = server.client();
        let bytes = [good, post, bad, good, post].concat();
        if slowly {
            client.try_send_slowly(bytes.as_bytes());
        } else {
            client.try_send(bytes.as_bytes());
        }
        for _ in 0..2 {
            let answer = client.answer(false).is(200);
            assert_eq!((answer.text(), answer.closes()), ("alpha", false));
        }
        assert!(client.answer(false).is(400).closes());
        client.is_closed();
    }
}

/// Sends a head, or a head and its body, that is sound if odd, with a second request behind it, and asserts that both are
/// answered.
pub fn accepted(server: &Server, bytes: &[u8]) {
    for slowly in [false, true] {
        let mut client = server.client();
        let all = [bytes, b"GET /b.txt HTTP/1.1\r\nHost: test\r\n\r\n"].concat();
        let shown = bytes.escape_ascii();
        if slowly {
            assert!(client.try_send_slowly(&all), "{shown}");
        } else {
            client.send(&all);
        }
        let answer = client.answer(false);
        assert_eq!((answer.status, answer.closes()), (200, false), "{shown}");
        assert_eq!(client.answer(false).is(200).text(), "beta", "{shown}");
    }
}

#[test]
fn odd_heads_that_are_sound() {
    let server = Setup::new().file("a.txt", "alpha").file("b.txt", "beta").start();
    for head in [
        "\r\n\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHOST:\t test \t\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost:test\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nX:\r\nX:\r\nX: y\r\nHost: test\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nX: \t a\tb \"\\(),/:;<=>?@[]{}\t\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\n!#$%&'*+-.^_`|~09azAZ: y\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nX: \u{80}\u{e9}\u{ff}\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nTransfer_Encoding: chunked\r\nContent_Length: 5\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nX-Transfer-Encoding: chunked\r\nX: Content-Length: 5\r\n\r\n",
        "GET http://test/a.txt HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET HTTP://TEST:80/a.txt HTTP/1.1\r\nHost: other\r\n\r\n",
        "GET /a.txt?GET%20/%20HTTP/1.1%0d%0a%0d%0a HTTP/1.1\r\nHost: test\r\n\r\n",
        "GET /%61.txt HTTP/1.1\r\nHost: test:\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: TEST:65535\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: te%73t\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: test\r\n\r\n",
        "OPTIONS /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n\r\n",
        "GET /a.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
        "GET /a.txt HTTP/1.0\r\nHost:\r\nConnection: x, KEEP-ALIVE\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nConnection: ,, keep-alive ,\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n",
        "GET /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length:\t0000000000000000000000005\t\r\n\r\nGET /",
        "POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 000\r\n\r\n",
        "POST /a.txt HTTP/1.1\r\nHost: test\r\ncontent-LENGTH: 4\r\n\r\n\r\n\r\n",
        "POST /a.txt HTTP/1.1\r\nHost: test\r\nTE: trailers, chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ] {
        accepted(&server, head.as_bytes());
    }
}

#[test]
fn a_body_is_as_long_as_it_says() {
    let server = Setup::new().file("a.txt", "alpha").file("b.txt", "beta").start();
    let hidden = "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";
    let post = |length: usize, body: &str| {
        format!("POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n{body}")
    };
    accepted(&server, post(hidden.len(), hidden).as_bytes());
    accepted(&server, post(2 * hidden.len(), &hidden.repeat(2)).as_bytes());
    // A byte more or less than announced turns up in the method of the next request.
    for (length, method) in [(4, "oGET"), (6, "ET")] {
        let mut client = server.client();
        client.send(post(length, "hello") + "GET /b.txt HTTP/1.1\r\nHost: test\r\n\r\n");
        client.answer(false).is(200);
        client.answer(false).is(501);
        assert_eq!(client.get("/b.txt").text(), "beta", "{method}");
    }
}
