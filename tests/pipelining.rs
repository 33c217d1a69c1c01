use std::time::Duration;

use crate::util::{Client, Server, Setup, moves_all, pattern, request};

fn serve() -> Server {
    let setup = Setup::new().file("a.txt", "alpha").file("b.txt", "bravo").file("big.bin", pattern(100_000));
    // Room for the unfinished heads of all the clients of one test.
    setup.file("small.bin", pattern(9000)).server("MemoryLimit 8000").start()
}

/// Requests of every kind, and what each is answered.
fn mixture() -> Vec<(String, u16, Vec<u8>)> {
    let get = |path: &str, fields: &str| request(&format!("GET {path}"), fields);
    let big = pattern(100_000);
    vec![
        (get("/a.txt", ""), 200, b"alpha".to_vec()),
        (get("/nothing", ""), 404, Vec::new()),
        (get("/b.txt", "If-None-Match: *\r\n"), 304, Vec::new()),
        (get("/big.bin", "Range: bytes=5000-5009\r\n"), 206, big[5000..5010].to_vec()),
        (get("/small.bin", ""), 200, pattern(9000)),
        (request("POST /b.txt", "Content-Length: 11\r\n") + "hello\r\n\r\nyo", 200, b"bravo".to_vec()),
        (get("/a.txt", "If-Match: \"x\"\r\n"), 412, Vec::new()),
        (get("/big.bin", ""), 200, big.clone()),
        (request("OPTIONS *", ""), 200, Vec::new()),
        (get("/big.bin", "Range: bytes=100000-\r\n"), 416, Vec::new()),
    ]
}

fn check(client: &mut Client, requests: &[(String, u16, Vec<u8>)]) {
    for (request, status, body) in requests {
        let answer = client.answer(false);
        assert_eq!(answer.status, *status, "{request}");
        if *status < 300 {
            assert!(answer.body == *body, "the body of another: {request}");
        }
    }
}

#[test]
fn fifty_requests_in_one_write_are_answered_in_order() {
    let server = serve();
    let mut client = server.client();
    for _ in 0..3 {
        let requests: Vec<_> = (0..5).flat_map(|_| mixture()).collect();
        let text: String = requests.iter().map(|(request, ..)| request.as_str()).collect();
        client.send(text);
        check(&mut client, &requests);
    }
    client.get("/a.txt").is(200);
}

#[test]
fn more_than_every_buffer_holds_without_reading_an_answer() {
    let server = serve();
    // The client writes all, then reads all: the server has to stop reading and go on later, losing nothing.
    let mut client = server.client();
    let requests: Vec<_> = (0..20).flat_map(|_| mixture()).collect();
    let text: String = requests.iter().map(|(request, ..)| request.as_str()).collect();
    std::thread::scope(|scope| {
        let mut reader = server.client();
        scope.spawn(move || {
            reader.send(text);
            std::thread::sleep(Duration::from_millis(200));
            check(&mut reader, &requests);
        });
        // Others are served meanwhile.
        for _ in 0..20 {
            assert_eq!(client.get("/a.txt").text(), "alpha");
        }
    });
}

#[test]
fn many_clients_that_read_late_share_the_buffers_there_are() {
    if !moves_all() {
        return println!(
            "SKIPPED: many small writes fill a socket in the middle of heads, and few buffers hold their rest"
        );
    }
    let files = Setup::new().file("a.txt", "alpha").file("b.txt", "bravo").file("big.bin", pattern(100_000));
    // One worker, with one or two of the largest buffers.
    let server = files.file("small.bin", pattern(9000)).workers(1).server("MemoryLimit 3200").start();
    let requests: Vec<_> = (0..40).flat_map(|_| mixture()).collect();
    let text: String = requests.iter().map(|(request, ..)| request.as_str()).collect();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                let mut client = server.client();
                client.send(&text);
                std::thread::sleep(Duration::from_millis(300));
                check(&mut client, &requests);
            });
        }
    });
}

/// Sends `first` and then `second` on one connection, cut in two at every position, and judges the answers.
fn at_every_split(server: &Server, bytes: &[u8], judge: impl Fn(&mut Client, usize)) {
    for from in (0..=bytes.len()).step_by(64) {
        let positions = from..(from + 64).min(bytes.len() + 1);
        let mut clients: Vec<_> = positions.map(|position| (position, server.client())).collect();
        for (position, client) in &mut clients {
            client.send(&bytes[..*position]);
        }
        // The server sees the first part alone.
        std::thread::sleep(Duration::from_millis(40));
        for (position, client) in &mut clients {
            client.send(&bytes[*position..]);
        }
        for (position, client) in &mut clients {
            judge(client, *position);
        }
    }
}

#[test]
fn a_pair_is_answered_wherever_it_is_split() {
    let server = serve();
    let pair = request("GET /a.txt", "X-Field: some value\r\n") + &request("GET /b.txt", "");
    at_every_split(&server, pair.as_bytes(), |client, position| {
        assert_eq!(client.answer(false).text(), "alpha", "split at {position}");
        assert_eq!(client.answer(false).text(), "bravo", "split at {position}");
    });
}

#[test]
fn a_body_is_skipped_wherever_it_is_split() {
    let server = serve();
    let body = "GET /nothing HTTP/1.1\r\n\r\n";
    let post = request("POST /a.txt", &format!("Content-Length: {}\r\n", body.len())) + body;
    let pair = post + &request("GET /b.txt", "");
    at_every_split(&server, pair.as_bytes(), |client, position| {
        assert_eq!(client.answer(false).text(), "alpha", "split at {position}");
        assert_eq!(client.answer(false).text(), "bravo", "split at {position}");
    });
}

#[test]
fn one_byte_at_a_time() {
    let server = serve();
    let mut client = server.client();
    for byte in (request("GET /a.txt", "") + &request("GET /b.txt", "")).bytes() {
        client.send([byte]);
    }
    assert_eq!(client.answer(false).text(), "alpha");
    assert_eq!(client.answer(false).text(), "bravo");
}
