//! Bodies in chunks to a server that passes over them, sound and not. How the coding is decoded in every detail is tested
//! beside the decoder; here it is what becomes of the connection.

use crate::bad_requests::refused;
use crate::framing::accepted;
use crate::util::{Client, Server, Setup, pattern};

const BAD: &str = "400 Bad Request";
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";

fn serve() -> Server {
    Setup::new().file("a.txt", "alpha").file("b.txt", "beta").start()
}

/// A request with a chunked body, given as it goes over the wire.
fn with_body(method: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let head = format!("{method} /a.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
    [head.as_bytes(), body.as_ref()].concat()
}

/// One chunk.
fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

#[test]
fn sound_bodies_are_passed_over() {
    let server = serve();
    let hidden = format!("{}{}0\r\n\r\n", chunk(HIDDEN), chunk(&format!("0\r\n\r\n{HIDDEN}")));
    for body in [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "00000005\r\nhello\r\n1\r\n\n\r\n000\r\n\r\n",
        "A\r\n0123456789\r\na\r\n0\r\n\r\nGET /\r\n0\r\n\r\n",
        "5;a;b=c;d=\"e;\\\"\"\r\nhello\r\n0;last\r\n\r\n",
        "5 ; a = b\r\nhello\r\n0\t;\tc\r\n\r\n",
        "1\r\nx\r\n0\r\nTrailer: value\r\nContent-Length: 5\r\nTransfer-Encoding: gzip\r\nHost: other\r\n\r\n",
        &hidden,
    ] {
        accepted(&server, &with_body("POST", body));
        accepted(&server, &with_body("GET", body));
        accepted(&server, &with_body("OPTIONS", body));
    }
}

#[test]
fn several_on_one_connection() {
    let server = serve();
    let body = format!("{}{}0\r\nX: y\r\n\r\n", chunk(HIDDEN), chunk("0\r\n\r\n"));
    for slowly in [false, true] {
        let mut client = server.client();
        let bytes = with_body("POST", &body).repeat(5);
        if slowly {
            assert!(client.try_send_slowly(&bytes));
        } else {
            client.send(&bytes);
        }
        for _ in 0..5 {
            assert_eq!(client.answer(false).is(200).text(), "alpha");
        }
        assert_eq!(client.get("/b.txt").text(), "beta");
    }
}

#[test]
fn methods_that_fail_have_their_body_passed_over_too() {
    let server = serve();
    for (method, status) in [("PUT", 405), ("DELETE", 405), ("PATCH", 501), ("FROB", 501)] {
        let mut client = server.client();
        client.send(with_body(method, format!("{}0\r\n\r\n", chunk(HIDDEN))));
        assert!(!client.answer(false).is(status).closes(), "{method}");
        assert_eq!(client.get("/b.txt").text(), "beta", "{method}");
    }
}

#[test]
fn chunks_of_every_size_in_pieces_of_every_size() {
    let server = serve();
    let mut body = Vec::new();
    for len in (1..40).chain([255, 256, 4095, 4096, 16_384, 17_408, 40_000]) {
        body.extend_from_slice(format!("{len:X};n={len}\r\n").as_bytes());
        body.extend_from_slice(&pattern(len));
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"0\r\n\r\n");
    let request = with_body("POST", &body);
    for piece in [1_000_000, 17_409, 1499, 337] {
        let mut client = server.client();
        for part in request.chunks(piece) {
            client.send(part);
        }
        assert_eq!(client.answer(false).is(200).text(), "alpha", "pieces of {piece}");
        assert_eq!(client.get("/b.txt").text(), "beta", "pieces of {piece}");
    }
}

#[test]
fn bodies_that_are_none() {
    let server = serve();
    for body in [
        // The size.
        "\r\n",
        "\n",
        "x\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "5 \r\nhello\r\n0\r\n\r\n",
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5h\r\nhello\r\n0\r\n\r\n",
        "5.0\r\nhello\r\n0\r\n\r\n",
        "5,\r\nhello\r\n0\r\n\r\n",
        "\"5\"\r\nhello\r\n0\r\n\r\n",
        "\0",
        "5\0\r\nhello\r\n0\r\n\r\n",
        "-0\r\n\r\n",
        // Line ends.
        "5\nhello\n0\n\n",
        "5\rhello\r0\r\r",
        "5\r\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5\r\nhello\r0\r\n\r\n",
        "5\r\nhello\r\n0\n\r\n",
        "5\r\nhello\r\n0\r\n\n",
        "0\r\n\rG",
        "0\r\n\0",
        // Data that is longer or shorter than its size.
        "4\r\nhello\r\n0\r\n\r\n",
        "6\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhello\r\n\r\n0\r\n\r\n",
        "7\r\nhello\r\n0\r\n\r\n",
        // Extensions.
        "5;\r\nhello\r\n0\r\n\r\n",
        "5;a=\r\nhello\r\n0\r\n\r\n",
        "5;a\nhello\r\n0\r\n\r\n",
        "5;a\rb\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\r\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a=\"b\n\"\r\nhello\r\n0\r\n\r\n",
        "5;a\0\r\nhello\r\n0\r\n\r\n",
        "5;a=\"\u{1}\"\r\nhello\r\n0\r\n\r\n",
        "5 a\r\nhello\r\n0\r\n\r\n",
        // Trailers.
        "0\r\nX\r\n\r\n",
        "0\r\n: y\r\n\r\n",
        "0\r\nX : y\r\n\r\n",
        "0\r\n X: y\r\n\r\n",
        "0\r\nX: y\r\n z\r\n\r\n",
        "0\r\nX: y\nZ: z\r\n\r\n",
        "0\r\nX: y\rZ: z\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nGET /hidden HTTP/1.1\r\nHost: test\r\n\r\n",
    ] {
        refused(&server, &with_body("POST", body), BAD);
        // The same behind a chunk that is sound.
        refused(&server, &with_body("GET", format!("3\r\nabc\r\n{body}")), BAD);
    }
}

#[test]
fn bodies_beyond_the_limits() {
    let server = serve();
    for size in ["8000000000000000", "ffffffffffffffff", "10000000000000005", "000100000000000000000000000000000000005"]
    {
        refused(&server, &with_body("POST", format!("{size}\r\nhello\r\n0\r\n\r\n")), "413 Request Entity Too Large");
        let behind = format!("1\r\nx\r\n{size}\r\nhello\r\n0\r\n\r\n");
        refused(&server, &with_body("POST", behind), "413 Request Entity Too Large");
    }
    // Without an end, too.
    for line in ["0".repeat(257), format!("5;{}", "a".repeat(255)), format!("5;a=\"{}", "a".repeat(300))] {
        refused(&server, &with_body("POST", &line), BAD);
        refused(&server, &with_body("POST", format!("{line}\r\nhello\r\n0\r\n\r\n")), BAD);
    }
    let line = format!("5;{}\r\n", "a".repeat(256 - 4));
    accepted(&server, &with_body("POST", format!("{line}hello\r\n0\r\n\r\n")));
    let many = "431 Request Header Fields Too Large";
    for trailers in ["X: y\r\n".repeat(2000), format!("X: {}", "y".repeat(9000)), "X".repeat(9000)] {
        refused(&server, &with_body("POST", format!("0\r\n{trailers}")), many);
        refused(&server, &with_body("POST", format!("0\r\n{trailers}\r\n\r\n")), many);
    }
    let trailers = "X: y\r\n".repeat(1365);
    client_gets(&mut server.client(), &with_body("POST", format!("0\r\n{trailers}\r\n")));
}

fn client_gets(client: &mut Client, request: &[u8]) {
    client.send(request);
    assert_eq!(client.answer(false).is(200).text(), "alpha");
    assert_eq!(client.get("/b.txt").text(), "beta");
}

#[test]
fn a_fault_that_comes_later_than_the_head() {
    let server = serve();
    for (begin, end) in [
        ("", "x\r\n"),
        ("5\r\nhel", "loX"),
        ("5\r\nhello\r\n", "\r\n"),
        ("5\r\nhello\r", "X"),
        ("5;a=\"", "\n"),
        ("5\r\nhello\r\n0\r\nX: ", "\0"),
        ("5\r\nhello\r\n0\r\n\r", "G"),
    ] {
        let mut client = server.client();
        client.send(with_body("POST", begin));
        client.is_silent(std::time::Duration::from_millis(30));
        client.try_send(format!("{end}{HIDDEN}").as_bytes());
        assert!(client.answer(false).is(400).closes(), "{begin:?} {end:?}");
        client.is_closed();
    }
}

#[test]
fn the_end_of_the_connection_is_no_end_of_a_body() {
    let server = serve();
    for body in ["", "5", "5\r\n", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "0\r\n", "0\r\n\r", "0\r\nX: y\r\n"] {
        let mut client = server.client();
        client.send(with_body("POST", body));
        client.half_close();
        assert_eq!(client.rest(), b"", "{body:?}");
    }
    assert_eq!(server.get("/b.txt").text(), "beta");
}
