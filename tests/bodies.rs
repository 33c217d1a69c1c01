use std::thread;
use std::time::Duration;

use crate::util::{DATE, ETAG, MODIFIED, RANGES, SERVER, Server, Setup, chunked, pattern, request};

const TEXT: &str = "Content-Type: text/plain; charset=utf-8";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
/// More of a body than is passed over for the sake of a connection.
const MUCH: usize = 1_500_000;

fn serve() -> Server {
    Setup::new().file("index.html", "<p>hello").file("a.txt", "alpha").start()
}

#[test]
fn what_stands_in_a_body_is_no_request() {
    let server = serve();
    let mut client = server.client();
    let body = "GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n";
    for method in ["POST", "GET", "HEAD", "OPTIONS"] {
        let head = request(&format!("{method} /a.txt"), &format!("Content-Length: {}\r\n", body.len()));
        client.send(format!("{head}{body}")).answer(method == "HEAD").is(200);
        let head = request(&format!("{method} /a.txt"), CHUNKED).into_bytes();
        client.send([head, chunked(body.as_bytes(), 7)].concat()).answer(method == "HEAD").is(200);
        assert_eq!(client.get("/a.txt").text(), "alpha");
    }
    for (method, status) in [("PUT", 405), ("PATCH", 501), ("POST", 404)] {
        let head = request(&format!("{method} /nothing"), CHUNKED).into_bytes();
        assert!(!client.send([head, chunked(body.as_bytes(), 9)].concat()).answer(false).is(status).closes());
    }
    // Far more than any buffer holds.
    let body = pattern(1_000_000);
    client.send(request("POST /a.txt", &format!("Content-Length: {}\r\n", body.len()))).send(&body);
    assert_eq!(client.answer(false).is(200).text(), "alpha");
    client.send(request("POST /a.txt", CHUNKED)).send(chunked(&body, 4000));
    assert_eq!(client.answer(false).is(200).text(), "alpha");
    assert_eq!(client.get("/a.txt").text(), "alpha");
}

#[test]
fn a_body_may_come_in_any_pieces() {
    let server = serve();
    let mut client = server.client();
    let extended = "4;name=value;other=\"a;b\"\r\nwiki\r\n000\r\nX-Trailer: of no use\r\nOther: y\r\n\r\n";
    for body in [("Content-Length: 4\r\n", "wiki"), (CHUNKED, extended)] {
        let bytes = request("POST /a.txt", body.0) + body.1;
        for cut in 1..bytes.len() {
            let (first, second) = bytes.split_at(cut);
            client.send(first);
            thread::sleep(Duration::from_micros(300));
            let answer = client.send(second.to_string() + &request("GET /", "")).answer(false);
            assert_eq!((answer.status, answer.text()), (200, "alpha"), "cut at {cut}");
            assert_eq!(client.answer(false).is(200).text(), "<p>hello", "cut at {cut}");
        }
        for byte in bytes.as_bytes() {
            client.send([*byte]);
        }
        assert_eq!(client.answer(false).is(200).text(), "alpha");
    }
}

#[test]
fn the_answer_waits_for_the_body() {
    let server = serve();
    let mut client = server.client();
    client.send(request("POST /a.txt", "Content-Length: 4\r\n") + "wik").is_silent(Duration::from_millis(200));
    assert_eq!(client.send("i").answer(false).is(200).text(), "alpha");
    client.send(request("POST /a.txt", CHUNKED) + "4\r\nwiki\r\n0\r\n").is_silent(Duration::from_millis(200));
    assert_eq!(client.send("\r\n").answer(false).is(200).text(), "alpha");
    // The head is kept for it, however long it is.
    let fields = format!("X: {}\r\nContent-Length: 4\r\n", "x".repeat(15_000));
    client.send(request("POST /a.txt", &fields) + "wik").is_silent(Duration::from_millis(200));
    assert_eq!(client.send("i").answer(false).is(200).text(), "alpha");
}

#[test]
fn a_long_body_that_nobody_reads_ends_the_connection() {
    let server = serve();
    let body = pattern(MUCH);
    let lines = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, TEXT, RANGES, "Content-Length: 5"];
    for (fields, bytes) in
        [(format!("Content-Length: {MUCH}\r\n"), body.clone()), (CHUNKED.into(), chunked(&body, 9000))]
    {
        // All is written before anything is read, and the answer is seen all the same.
        let mut client = server.client();
        client.send(request("POST /a.txt", &fields)).send(&bytes);
        let answer = client.answer(false);
        answer.has_head(&[&lines[..], &["Connection: Close"]].concat());
        assert_eq!(answer.text(), "alpha");
        client.half_close();
        client.is_closed();
    }
    // Announced, it is answered before it comes.
    let mut client = server.client();
    client.send(request("PUT /a.txt", &format!("Content-Length: {MUCH}\r\n")));
    assert!(client.answer(false).is(405).closes());
}

#[test]
fn bodies_beyond_the_limit_of_the_site() {
    let server = Setup::new().file("a.txt", "alpha").host("MaxBodySize 1").start();
    let mut client = server.client();
    client.send(request("POST /a.txt", "Content-Length: 1024\r\n")).send([b'x'; 1024]).answer(false).is(200);
    client.send(request("POST /a.txt", CHUNKED)).send(chunked(&[b'x'; 1024], 100)).answer(false).is(200);
    let mut over = server.client();
    // Before any of it comes.
    assert!(over.send(request("POST /a.txt", "Content-Length: 1025\r\n")).answer(false).is(413).closes());
    let mut over = server.client();
    assert!(
        over.send(request("POST /a.txt", CHUNKED)).send(chunked(&[b'x'; 1025], 100)).answer(false).is(413).closes()
    );
    over.half_close();
    over.is_closed();
    client.get("/a.txt").is(200);
}

#[test]
fn a_bad_chunk_ends_everything() {
    let server = serve();
    for (bad, status) in [
        ("x\r\n", 400),
        ("\r\n", 400),
        ("-4\r\nwiki\r\n", 400),
        ("4 \nwiki\r\n", 400),
        ("4\r\nwikix\r\n", 400),
        ("4\nwiki\r\n", 400),
        ("ffffffffffffffff\r\n", 413),
        ("0\r\nbad trailer\r\n\r\n", 400),
        ("0\r\nX : y\r\n\r\n", 400),
    ] {
        for pause in [false, true] {
            let mut client = server.client();
            client.send(request("POST /a.txt", CHUNKED) + "4\r\nwiki\r\n");
            if pause {
                thread::sleep(Duration::from_millis(20));
            }
            client.try_send((bad.to_string() + &request("GET /a.txt", "")).as_bytes());
            let answer = client.answer(false);
            assert_eq!((answer.status, answer.closes()), (status, true), "{bad:?}");
            client.half_close();
            client.is_closed();
        }
    }
    // A size line without end is not waited for.
    let mut client = server.client();
    client.send(request("POST /a.txt", CHUNKED) + &"0".repeat(5000)).answer(false).is(400);
}

#[test]
fn expectations() {
    let server = serve();
    let mut client = server.client();
    // The final answer instead of 100 leaves open whether the body comes: it must end the connection (RFC 9110 10.1.1).
    let answer = client.ask("POST /a.txt", "Content-Length: 4\r\nExpect: 100-Continue\r\n");
    let close = "Connection: Close";
    answer.has_head(&["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, TEXT, RANGES, "Content-Length: 5", close]);
    client.half_close();
    client.is_closed();

    let mut client = server.client();
    client.ask("GET /a.txt", "Expect: 100-continue\r\n").is(200);
    let answer = client.ask("GET /a.txt", "Expect: miracles\r\n");
    assert!(answer.head.starts_with("HTTP/1.1 417 Expectation Failed\r\n"), "{}", answer.head);
    // A 1.0 client can not wait for an answer it does not know.
    let text =
        "POST /a.txt HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nwiki";
    client.send(text).answer(false).is(200);
    client.get("/a.txt").is(200);
}

/// The handler that reads bodies is in builds for tests only.
#[cfg(feature = "test-switches")]
mod read_by_a_handler {
    use super::*;
    use crate::util::{Client, moves_all};

    fn hash(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }

    fn counted(body: &[u8]) -> String {
        format!("{} {:016x}\n", body.len(), hash(body))
    }

    #[test]
    fn every_byte_arrives_once_and_in_order() {
        let server = serve();
        let mut client = server.client();
        for target in ["count", "slow"] {
            for len in [0, 1, 1023, 17_408, 17_409, 300_000] {
                let body = pattern(len);
                let line = format!("POST /.probe/{target}");
                client.send(request(&line, &format!("Content-Length: {len}\r\n"))).send(&body);
                assert_eq!(client.answer(false).is(200).text(), counted(&body), "{target} {len}");
                for size in [1, 10, 4096, 65_536] {
                    if size == 1 && len > 20_000 {
                        continue;
                    }
                    client.send(request(&line, CHUNKED)).send(chunked(&body, size));
                    assert_eq!(client.answer(false).is(200).text(), counted(&body), "{target} {len} in {size}");
                }
            }
        }
        assert_eq!(client.get("/a.txt").text(), "alpha");
    }

    #[test]
    fn the_body_is_asked_for() {
        let server = serve();
        let mut client = server.client();
        let fields = "Content-Length: 4\r\nExpect: 100-continue\r\n";
        client.send(request("POST /.probe/count", fields));
        assert_eq!(client.take(25), b"HTTP/1.1 100 Continue\r\n\r\n");
        assert_eq!(client.send("wiki").answer(false).is(200).text(), counted(b"wiki"));
        // Not when it is there already.
        if moves_all() {
            client.send(request("POST /.probe/count", fields) + "wiki").answer(false).is(200);
        }
        // And not when it is refused.
        let server = Setup::new().file("a.txt", "alpha").host("MaxBodySize 1").start();
        let fields = "Content-Length: 4000\r\nExpect: 100-continue\r\n";
        assert!(server.client().ask("POST /.probe/count", fields).is(413).closes());
    }

    #[test]
    fn a_final_answer_may_come_early() {
        let server = serve();
        let mut client = server.client();
        client.send(request("POST /.probe/refuse", &format!("Content-Length: {MUCH}\r\n"))).send(pattern(MUCH));
        assert!(client.answer(false).is(403).closes());
        client.half_close();
        client.is_closed();
    }

    #[test]
    fn the_limit_holds_in_the_middle() {
        let server = Setup::new().file("a.txt", "alpha").host("MaxBodySize 100").start();
        let body = pattern(200_000);
        let mut client = server.client();
        client.send(request("POST /.probe/count", CHUNKED)).send(chunked(&body, 1000)).answer(false).is(413);
        // An answer that has begun breaks off without its end.
        let mut client = server.client();
        client.send(request("POST /.probe/echo", CHUNKED));
        client.try_send(&chunked(&body, 1000));
        let all = client.rest();
        assert!(all.starts_with(b"HTTP/1.1 200 OK\r\n") && !all.ends_with(b"0\r\n\r\n"));
    }

    #[test]
    fn a_fault_in_the_middle() {
        let server = serve();
        let mut client = server.client();
        client.send(request("POST /.probe/count", CHUNKED) + "4\r\nwiki\r\nzz\r\n" + &request("GET /a.txt", ""));
        assert!(client.answer(false).is(400).closes());
        client.half_close();
        client.is_closed();
        let mut client = server.client();
        client.send(request("POST /.probe/echo", CHUNKED) + "4\r\nwiki\r\nzz\r\n" + &request("GET /a.txt", ""));
        assert!(client.head().starts_with("HTTP/1.1 200 OK\r\n"));
        let all = String::from_utf8(client.rest()).expect("chunks of text");
        let text: String = all.split("\r\n").skip(1).step_by(2).collect();
        assert_eq!(text, "wiki", "{all:?}");
    }

    #[test]
    fn a_client_that_does_not_read_is_held_back() {
        if !moves_all() {
            return println!("SKIPPED: a hundred million bytes one by one take minutes");
        }
        let server = Setup::new().file("a.txt", "alpha").server("RateWindow 60").start();
        let body = pattern(40_000_000);
        for framing in [format!("Content-Length: {}\r\n", body.len()), CHUNKED.to_string()] {
            let mut client = server.client();
            client.send(request("POST /.probe/echo", &framing));
            let bytes = if framing == CHUNKED { chunked(&body, 50_000) } else { body.clone() };
            let sent = client.send_until_full(&bytes, Duration::from_millis(500));
            assert!(sent < 30_000_000, "{sent} bytes were taken from a client that read nothing");
            assert_eq!(server.get("/a.txt").text(), "alpha", "and others are served");
            let mut writer = client.another();
            let rest = bytes[sent..].to_vec();
            let writing = thread::spawn(move || {
                writer.send(rest);
            });
            let head = client.head();
            let echoed = if framing == CHUNKED { read_chunks(&mut client) } else { client.take(body.len()) };
            assert!(echoed == body, "what comes back is not what was sent\n{head}");
            writing.join().expect("all is sent");
            assert_eq!(client.get("/a.txt").text(), "alpha");
        }
    }

    /// Reads chunks to the last one.
    fn read_chunks(client: &mut Client) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let first = client.take(3);
            if first == b"0\r\n" {
                client.take(2);
                return body;
            }
            let line = [first, client.take(15)].concat();
            let size = usize::from_str_radix(std::str::from_utf8(&line[..16]).expect("hex"), 16).expect("a size");
            body.extend(client.take(size));
            assert_eq!(client.take(2), b"\r\n");
        }
    }
}
