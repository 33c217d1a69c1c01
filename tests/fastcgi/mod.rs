mod backend;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use self::backend::{STDERR, STDOUT, Together, answer, at_path, at_port, children, end, record};
use crate::util::{DATE, SERVER, Server, Setup, State, chunked, eventually, example, moves_all, pattern, request};

const TEXT: &str = "Content-Type: text/plain\r\n\r\n";

/// A server whose scripts go where `to` says, which is what stands behind `fastcgi` in a line.
fn setup(to: &str) -> Setup {
    Setup::new()
        .server("MemoryLimit 6000")
        .file("a.php", "<?php secret")
        .file("dir/index.php", "<?php secret")
        .file("plain.txt", "plain")
        .section("HANDLERS", &[&format!(r"Match \.php fastcgi {to}")])
}

/// The same with lines of `[FASTCGI]`, or whole sections of fastcgi.conf.
fn with_file(setup: Setup, text: &str) -> Setup {
    setup.dir.write("conf/plugins/fastcgi/fastcgi.conf", text);
    setup
}

/// Bytes of a large body.
fn large() -> usize {
    if moves_all() { 20_000_000 } else { 300_000 }
}

fn at_rest(server: &Server) -> bool {
    let descriptors = server.descriptors();
    eventually(|| State::of(server).held().0 == 0) && server.descriptors() <= descriptors
}

#[test]
fn a_request_as_it_is_told() {
    let (address, counts) = at_port(|call| {
        assert!(!call.keep);
        call.answer(&format!("{TEXT}{}", call.variables.len()));
    });
    let server = setup(&address).start();
    let fields =
        "X-A: 1\r\nx-a: 2\r\nProxy: evil\r\nAuthorization: Basic eDp5\r\nX_B: no\r\nCookie: a=b\r\nCookie: c=d\r\n";
    server.ask("GET /a.php/more%20info?q=%31", fields).is(200);
    let told = counts.last.lock().expect("told").clone();
    let get = |name: &str| told.get(name).map(String::as_str);
    let root = server.dir.path("root").display().to_string();
    for (name, value) in [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", "/a.php/more%20info?q=%31"),
        ("QUERY_STRING", "q=%31"),
        ("SCRIPT_NAME", "/a.php"),
        ("PATH_INFO", "/more info"),
        ("SCRIPT_FILENAME", &format!("{root}/a.php")),
        ("DOCUMENT_ROOT", &root),
        ("REMOTE_ADDR", "127.0.0.1"),
        ("SERVER_ADDR", "127.0.0.1"),
        ("SERVER_PORT", &server.address().port().to_string()),
        ("SERVER_NAME", "test"),
        ("CONTENT_LENGTH", "0"),
        ("REDIRECT_STATUS", "200"),
        ("HTTP_X_A", "1, 2"),
        ("HTTP_COOKIE", "a=b; c=d"),
        ("HTTP_HOST", "test"),
    ] {
        assert_eq!(get(name), Some(value), "{name}");
    }
    for name in ["HTTP_PROXY", "HTTP_AUTHORIZATION", "HTTP_X_B", "HTTPS"] {
        assert_eq!(get(name), None, "{name}");
    }
}

#[test]
fn answers_as_programs_give_them() {
    let dir = crate::util::Dir::new();
    let path = dir.path("socket");
    at_path(&path, |call| {
        let text = match call.get("QUERY_STRING") {
            "length" => "Content-Type: text/plain\nContent-Length: 5\n\nhello",
            "status" => "Status: 404 Nope\nContent-Type: text/plain\n\ngone",
            "away" => "Location: http://other/\n\n",
            "here" => "Location: /plain.txt\n\n",
            "there" => "Location: /a.php?length\n\n",
            "loop" => "Location: /a.php?loop\n\n",
            "unmodified" => "Status: 304\nETag: \"x\"\n\n",
            "none" => "",
            "no-head" => "hello",
            _ => "Content-Type: text/plain\n\nhello",
        };
        call.answer(text);
    });
    let server = setup(&format!("unix:{}", path.display())).start();
    let mut client = server.client();
    client.get("/a.php").is(200).has_head(&[
        "HTTP/1.1 200 OK",
        SERVER,
        DATE,
        "Content-Type: text/plain",
        "Transfer-Encoding: chunked",
    ]);
    assert_eq!(client.get("/a.php").text(), "hello");
    assert_eq!(client.get("/dir/").text(), "hello");
    let answer = client.get("/a.php?length");
    assert_eq!((answer.length(), answer.text()), (Some(5), "hello"));
    let answer = client.ask("HEAD /a.php?length", "").is(200);
    assert_eq!((answer.length(), answer.text()), (Some(5), ""));
    assert_eq!(client.get("/a.php?status").is(404).text(), "gone");
    assert_eq!(client.get("/a.php?away").is(302).field("Location"), Some("http://other/"));
    assert_eq!(client.get("/a.php?here").is(200).text(), "plain");
    assert_eq!(client.ask("HEAD /a.php?here", "").is(200).length(), Some(5));
    assert_eq!(client.ask("POST /a.php?here", "Content-Length: 0\r\n").is(200).text(), "plain");
    assert_eq!(client.get("/a.php?there").is(200).text(), "hello");
    client.get("/a.php?loop").is(500);
    assert_eq!(client.get("/a.php?unmodified").is(304).field("ETag"), Some("\"x\""));
    client.get("/a.php?none").is(502);
    client.get("/a.php?no-head").is(502);
    assert_eq!(client.get("/plain.txt").text(), "plain");
    let mut old = server.client();
    let old = old.send("GET /a.php HTTP/1.0\r\nHost: test\r\n\r\n").rest();
    assert!(String::from_utf8_lossy(&old).ends_with("Connection: Close\r\n\r\nhello"));
    assert!(server.logged("its answer has no proper head"));
    assert!(at_rest(&server));
}

#[test]
fn records_that_are_none() {
    let (address, _) = at_port(|call| {
        call.body();
        let part = record(STDOUT, format!("{TEXT}begun").as_bytes(), 0);
        let bytes = match call.get("QUERY_STRING") {
            "http" => b"HTTP/1.1 200 OK\r\n\r\n".to_vec(),
            "version" => [&[2, STDOUT, 0, 1, 0, 1, 0, 0], &b"x"[..]].concat(),
            "other" => [&[1, STDOUT, 0, 2, 0, 1, 0, 0], &b"x"[..]].concat(),
            "short-end" => record(3, &[0; 3], 0),
            "close" => Vec::new(),
            "overloaded" => record(3, &[0, 0, 0, 0, 2, 0, 0, 0], 0),
            "role" => record(3, &[0, 0, 0, 0, 3, 0, 0, 0], 0),
            "endless-head" => record(STDOUT, &b"X: y\n".repeat(10_000), 0),
            "half" => part,
            "half-bad" => {
                call.write(&part);
                thread::sleep(Duration::from_millis(300));
                b"garbage!".to_vec()
            }
            _ => answer(&format!("{TEXT}well")),
        };
        call.write(&bytes);
        call.wire.part();
    });
    let server = setup(&address).start();
    for (query, status) in [
        ("http", 502),
        ("version", 502),
        ("other", 502),
        ("short-end", 502),
        ("close", 502),
        ("overloaded", 503),
        ("role", 502),
        ("endless-head", 502),
    ] {
        let answer = server.get(&format!("/a.php?{query}"));
        assert_eq!(answer.status, status, "{query}");
        assert!(!answer.text().contains("secret"));
        // One that has failed is asked on, where there is no other.
        assert_eq!(server.get("/a.php?well").is(200).text(), "well", "{query}");
    }
    for query in ["half", "half-bad"] {
        let mut client = server.client();
        client.send(request(&format!("GET /a.php?{query}"), ""));
        let all = client.rest();
        let text = String::from_utf8_lossy(&all);
        assert!(text.ends_with("begun\r\n"), "a body without an end: {text}");
    }
    assert!(server.logged("no FastCGI record: check that the address is that of a FastCGI backend"));
    assert!(at_rest(&server));
}

#[test]
fn nobody_answers() {
    let (address, _) = at_port(|_| thread::sleep(Duration::from_secs(5)));
    let gone = "127.0.0.1:1";
    let server = setup(&format!("{gone} unix:/nowhere/at/all")).start();
    for _ in 0..5 {
        let answer = server.get("/a.php").is(502);
        assert!(!answer.text().contains("secret"));
    }
    assert!(server.logged("127.0.0.1:1: ") && server.logged("is it running?"));
    drop(server);
    // Nothing is said, or only a part.
    let slow = with_file(setup(&address), "[FASTCGI]\n    Timeout 1\n").start();
    let begun = Instant::now();
    slow.get("/a.php").is(504);
    assert!(begun.elapsed() >= Duration::from_millis(900));
    assert!(at_rest(&slow));
}

#[test]
fn another_server_when_one_fails() {
    let (one, first) = at_port(|call| call.answer(&format!("{TEXT}one")));
    let (two, second) = at_port(|call| call.answer(&format!("{TEXT}two")));
    let server = setup(&format!("{one} {two} 127.0.0.1:1")).workers(1).start();
    for _ in 0..20 {
        server.get("/a.php").is(200);
    }
    let (first, second) = (first.requests.load(Ordering::SeqCst), second.requests.load(Ordering::SeqCst));
    assert_eq!(first + second, 20);
    assert!(first >= 8 && second >= 8, "{first} {second}");
    // After two failures it is left alone for a while.
    assert_eq!(server.log().matches("127.0.0.1:1: ").count(), 2);
}

#[test]
fn connections_are_kept_and_never_more_than_allowed() {
    let (address, counts) = children(3, |call| {
        thread::sleep(Duration::from_millis(20));
        call.answer(&format!("{TEXT}{}", call.get("QUERY_STRING")));
    });
    let text = format!(
        "[FASTCGI_SERVER]\n    ServerName one\n    ServerAddr {address}\n    MaxConnections 3\n\
         [FASTCGI_LOCATION]\n    LocationName all\n    ServerNames one\n    KeepAlive On\n    Match \\.php\n"
    );
    let setup = Setup::new().server("MemoryLimit 6000").workers(2).file("a.php", "");
    let server = with_file(setup, &text).start();
    let idle = server.descriptors();
    thread::scope(|scope| {
        for client in 0..16 {
            let server = &server;
            scope.spawn(move || {
                let mut own = server.client();
                for nth in 0..10 {
                    let query = format!("{client}-{nth}");
                    assert_eq!(own.get(&format!("/a.php?{query}")).is(200).text(), query);
                }
            });
        }
    });
    assert_eq!(counts.requests.load(Ordering::SeqCst), 160);
    let connections = counts.connections.load(Ordering::SeqCst);
    assert!(connections < 130, "{connections}: some were kept");
    assert!(eventually(|| server.descriptors() <= idle + 3));
}

#[test]
fn a_kept_connection_that_was_closed() {
    let (address, counts) = at_port(|call| {
        call.answer(&match call.get("QUERY_STRING") {
            // So long that its end is known before it is read.
            "long" => format!("{TEXT}{}", "x".repeat(60_000)),
            _ => format!("{TEXT}{}", call.get("REQUEST_METHOD")),
        });
        // As PHP-FPM does after pm.max_requests.
        call.wire.part();
    });
    let text = format!("[FASTCGI_SERVER]\n    ServerName one\n    ServerAddr {address}\n[FASTCGI]\n    KeepAlive On\n");
    let server = with_file(setup("one"), &text).workers(1).start();
    let idle = server.descriptors();
    let mut client = server.client();
    for _ in 0..10 {
        assert_eq!(client.get("/a.php").is(200).text(), "GET");
        // A request that crosses with the end of its connection is said again.
        thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(counts.requests.load(Ordering::SeqCst), 10, "each was answered once");
    client.get("/a.php?long").is(200);
    drop(client);
    assert!(eventually(|| server.descriptors() <= idle), "none is kept of which the end is known");
}

#[test]
fn a_kept_connection_that_is_closed_just_now() {
    let (address, counts) = at_port(|call| {
        let body = call.body().len();
        call.write(&answer(&format!("{TEXT}{body}")));
        // Until it is told to end.
        if call.get("QUERY_STRING") == "last" {
            thread::sleep(Duration::from_millis(500));
            call.wire.part();
        }
    });
    let text = format!("[FASTCGI_SERVER]\n    ServerName one\n    ServerAddr {address}\n[FASTCGI]\n    KeepAlive On\n");
    let server = with_file(setup("one"), &text).workers(1).start();
    let mut client = server.client();
    for line in ["GET /a.php", "PUT /a.php", "POST /a.php"] {
        client.get("/a.php?last").is(200);
        // What comes from the client is looked at before the end of the connection is.
        server.signal("STOP");
        // It takes a moment until all of its threads do.
        thread::sleep(Duration::from_millis(100));
        client.send(request(line, "Content-Length: 3\r\n")).send("abc");
        assert!(eventually(|| counts.open.load(Ordering::SeqCst) == 0));
        server.signal("CONT");
        assert_eq!(client.answer(false).is(200).text(), "3", "{line}");
    }
    assert_eq!(counts.requests.load(Ordering::SeqCst), 6, "each was answered once");
}

#[test]
fn another_server_when_one_says_nothing() {
    let (silent, counts) = at_port(|call| {
        call.body();
        thread::sleep(Duration::from_millis(100));
        call.wire.part();
    });
    let dir = crate::util::Dir::new();
    let path = dir.path("socket");
    at_path(&path, |call| call.answer(&format!("{TEXT}well")));
    let (hangs, _) = at_port(|_| thread::sleep(Duration::from_secs(9)));
    let attempts = "[FASTCGI]\n    Attempts 1000\n    Timeout 1\n";
    let server = with_file(setup(&format!("{silent} {}", path.display())), attempts).workers(1).start();
    for _ in 0..4 {
        assert_eq!(server.get("/a.php").is(200).text(), "well");
        let status = server.ask("POST /a.php", "Content-Length: 0\r\n").status;
        assert!(status == 200 || status == 502, "what can not be said again is not: {status}");
    }
    assert!(counts.requests.load(Ordering::SeqCst) > 0);
    drop(server);
    // Who is asked next has its time too, and no more.
    let server = with_file(setup(&format!("{silent} {hangs}")), attempts).workers(1).start();
    server.get("/a.php").is(504);
    assert!(eventually(|| server.logged("it takes longer than Timeout")));
    assert!(at_rest(&server));
}

#[test]
fn a_reload_while_requests_wait() {
    let (first, first_counts) = children(2, |call| {
        thread::sleep(Duration::from_millis(700));
        call.answer(&format!("{TEXT}first"));
    });
    let (second, second_counts) = children(2, |call| call.answer(&format!("{TEXT}second")));
    let text = |one: &str, most: u32, two: &str| {
        format!(
            "[FASTCGI_SERVER]\n    ServerName one\n    ServerAddr {one}\n    MaxConnections {most}\n\
             [FASTCGI_SERVER]\n    ServerName two\n    ServerAddr {two}\n\
             [FASTCGI_LOCATION]\n    LocationName b\n    ServerNames two\n    Match \\.other\n\
             [FASTCGI]\n    KeepAlive On\n    Timeout 3\n"
        )
    };
    let server = with_file(setup("one"), &text(&first, 2, &second)).workers(1).start();
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(request("GET /a.php", ""));
    }
    thread::sleep(Duration::from_millis(200));
    // Fewer connections: those that are kept of before are parted with.
    server.dir.write("conf/plugins/fastcgi/fastcgi.conf", text(&first, 1, &second));
    server.reload();
    for client in &mut clients {
        assert_eq!(client.answer(false).is(200).text(), "first");
    }
    assert!(eventually(|| first_counts.open.load(Ordering::SeqCst) <= 1));
    for client in &mut clients {
        client.send(request("GET /a.php", ""));
    }
    thread::sleep(Duration::from_millis(200));
    // Somebody else: who waits was not meant for that one.
    server.dir.write("conf/plugins/fastcgi/fastcgi.conf", text(&second, 1, &first));
    server.reload();
    let mut statuses: Vec<u16> = clients.iter_mut().map(|client| client.answer(false).status).collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503, 503, 503]);
    assert_eq!(second_counts.requests.load(Ordering::SeqCst), 0);
    assert_eq!(server.get("/a.php").is(200).text(), "second");
    assert!(at_rest(&server));
}

#[test]
fn bodies_both_ways() {
    let (address, _) = at_port(|call| match call.get("QUERY_STRING") {
        "down" => {
            call.body();
            call.write(&record(STDOUT, TEXT.as_bytes(), 0));
            for piece in pattern(large()).chunks(60_000) {
                if !call.write(&record(STDOUT, piece, 1)) {
                    return;
                }
            }
            call.write(&end());
        }
        "echo" => {
            call.write(&record(STDOUT, TEXT.as_bytes(), 0));
            while let Some(piece) = call.piece() {
                call.write(&record(STDOUT, &piece, 0));
            }
            call.write(&end());
        }
        "early" => {
            call.write(&answer("Status: 413\nContent-Length: 3\n\nno\n"));
            call.wire.part();
        }
        _ => {
            let body = call.body();
            let same = body == pattern(body.len());
            call.write(&answer(&format!("{TEXT}{} {same} {}", body.len(), call.get("CONTENT_LENGTH"))));
        }
    });
    let server = setup(&address).start();
    let mut client = server.client();
    let all = pattern(large());
    let length = format!("Content-Length: {}\r\n", all.len());
    client.send(request("POST /a.php", &length)).send(&all);
    assert_eq!(client.answer(false).is(200).text(), format!("{0} true {0}", large()));
    assert!(client.get("/a.php?down").is(200).body == all);
    // It answers while it is still told.
    let mut writer = client.another();
    let some = pattern(large() / 4);
    let head = request("POST /a.php?echo", &format!("Content-Length: {}\r\n", some.len()));
    thread::scope(|scope| {
        scope.spawn(|| writer.send(head).send(&some));
        assert!(client.answer(false).is(200).body == some);
    });
    let mut early = server.client();
    early.send(request("POST /a.php?early", &length)).try_send(&all);
    drop(early);
    assert!(at_rest(&server));
}

#[test]
fn a_chunked_body_is_told_with_its_length() {
    let (address, counts) = at_port(|call| {
        let length = call.variables.get("CONTENT_LENGTH").cloned();
        // As PHP does: no more than it was told of.
        let mut body = Vec::new();
        while length.as_ref().is_some_and(|length| length.parse() != Ok(body.len())) {
            body.extend(call.piece().expect("all that was told"));
        }
        let rest = call.body().len();
        let same = body == pattern(body.len());
        call.write(&answer(&format!("{TEXT}{length:?} {} {same} {rest}", body.len())));
    });
    let server = setup(&address).workers(1).start();
    let mut client = server.client();
    for (length, at_once) in [(0, 1), (1, 1), (700, 3), (4096, 4096), (20_000, 1000), (31_000, 31_000), (31_000, 7)] {
        client.send(request("POST /a.php", "Transfer-Encoding: chunked\r\n"));
        // Nobody is asked before it is complete.
        let before = counts.connections.load(Ordering::SeqCst);
        thread::sleep(Duration::from_millis(20));
        assert_eq!(counts.connections.load(Ordering::SeqCst), before);
        client.send(chunked(&pattern(length), at_once));
        let text = format!("Some(\"{length}\") {length} true 0");
        assert_eq!(client.answer(false).is(200).text(), text, "{at_once} at once");
    }
    // Requests behind one another, and one that another one follows.
    for at_once in [1, 50] {
        let post =
            [request("POST /a.php", "Transfer-Encoding: chunked\r\n").into_bytes(), chunked(&pattern(90), at_once)];
        client.send([&*post.concat(), &*post.concat(), request("GET /plain.txt", "").as_bytes()].concat());
        for _ in 0..2 {
            assert_eq!(client.answer(false).is(200).text(), "Some(\"90\") 90 true 0");
        }
        assert_eq!(client.answer(false).is(200).text(), "plain");
    }
    assert!(at_rest(&server));
    for length in [33_000, large()] {
        let mut client = server.client();
        client.send(request("POST /a.php", "Transfer-Encoding: chunked\r\n"));
        client.try_send(&chunked(&pattern(length), 9000));
        client.answer(false).is(411);
    }
    // One that leaves in the middle of it.
    for _ in 0..20 {
        server.client().send(request("POST /a.php", "Transfer-Encoding: chunked\r\n")).send("3\r\nabc\r\n");
    }
    assert!(at_rest(&server));
    drop(server);
    let server = with_file(setup(&address), "[FASTCGI]\n    ChunkedBodies Stream\n").start();
    let mut client = server.client();
    client.send(request("POST /a.php", "Transfer-Encoding: chunked\r\n")).send(chunked(&pattern(large()), 9000));
    assert_eq!(client.answer(false).is(200).text(), format!("None 0 true {}", large()));
}

#[test]
fn a_chunked_body_waits_for_its_turn() {
    let together = Arc::new(Together::default());
    let (address, _) = at_port({
        let together = together.clone();
        move |call| {
            together.count(|| thread::sleep(Duration::from_millis(200)));
            let body = call.body();
            call.write(&answer(&format!("{TEXT}{} {}", call.get("CONTENT_LENGTH"), body == pattern(body.len()))));
        }
    });
    let server = with_file(setup(&address), "[FASTCGI]\n    Requests 1\n    Queue 3\n").workers(1).start();
    let mut clients: Vec<_> = (0..4).map(|_| server.client()).collect();
    let post =
        |length| [request("PUT /a.php", "Transfer-Encoding: chunked\r\n").into_bytes(), chunked(&pattern(length), 999)];
    for (client, length) in clients.iter_mut().zip([10, 3000, 9000, 20_000]) {
        client.send(post(length).concat());
    }
    for (client, length) in clients.iter_mut().zip([10, 3000, 9000, 20_000]) {
        assert_eq!(client.answer(false).is(200).text(), format!("{length} true"));
    }
    assert_eq!(together.most(), 1);
    assert!(at_rest(&server));
}

#[test]
fn a_client_that_leaves_and_one_that_is_slow() {
    let (address, counts) = at_port(|call| {
        call.body();
        call.write(&record(STDOUT, TEXT.as_bytes(), 0));
        while call.write(&record(STDOUT, &[b'x'; 60_000], 0)) {}
    });
    let server = setup(&address).start();
    let (idle, buffers) = (server.descriptors(), State::of(&server).held().0);
    for _ in 0..20 {
        let mut client = server.client();
        client.send(request("GET /a.php", ""));
        client.take(100_000);
    }
    assert!(eventually(|| counts.open.load(Ordering::SeqCst) == 0), "the server parts with them");
    assert!(eventually(|| server.descriptors() == idle && State::of(&server).held().0 == buffers));
    // There is always more to read of it, and nothing to write.
    let mut client = server.client();
    client.send(request("HEAD /a.php", "")).take(50);
    drop(client);
    assert!(eventually(|| counts.open.load(Ordering::SeqCst) == 0), "the server parts with it");
    let mut slow = server.client();
    slow.send(request("GET /a.php", "")).take(1000);
    thread::sleep(Duration::from_millis(300));
    assert!(State::of(&server).held().0 <= buffers + 2, "no more than a piece is kept");
}

#[test]
fn what_a_server_complains_of_is_logged() {
    let (address, _) = at_port(|call| {
        call.body();
        let complaint = format!("PHP message: oh no\x1b[31m\nsecond {}\n", "x".repeat(600));
        call.write(&[record(STDERR, complaint.as_bytes(), 7), answer(&format!("{TEXT}well"))].concat());
    });
    let server = setup(&address).start();
    assert_eq!(server.get("/a.php").is(200).text(), "well");
    assert!(server.logged("fastcgi: PHP message: oh no"));
    assert!(server.logged("fastcgi: second xxxx") && server.logged("x ..."));
    assert!(!server.log().contains('\x1b'));
}

#[test]
fn who_waits_and_who_is_refused() {
    let (refused, together) = (Arc::new(AtomicUsize::new(0)), Arc::new(Together::default()));
    let (address, _) = at_port({
        let (refused, together) = (refused.clone(), together.clone());
        move |call| {
            together.count(|| assert!(eventually(|| refused.load(Ordering::SeqCst) == 2 && together.most() >= 2)));
            call.answer(&format!("{TEXT}late"));
        }
    });
    let text = "[FASTCGI]\n    Requests 2\n    Queue 2\n";
    let server = with_file(setup(&address), text).workers(1).start();
    let mut statuses = thread::scope(|scope| {
        let ask = || {
            let status = server.get("/a.php").status;
            refused.fetch_add(usize::from(status == 503), Ordering::SeqCst);
            status
        };
        let asking: Vec<_> = (0..6).map(|_| scope.spawn(ask)).collect();
        asking.into_iter().map(|one| one.join().expect("an answer")).collect::<Vec<u16>>()
    });
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 200, 200, 503, 503]);
    assert_eq!(together.most(), 2);
    assert!(at_rest(&server));
}

#[test]
fn who_is_slow_to_bring_a_body_keeps_nobody_waiting() {
    let (address, _) = at_port(|call| {
        let body = call.body();
        call.write(&answer(&format!("{TEXT}{}", body.len())));
    });
    let server = with_file(setup(&address), "[FASTCGI]\n    Requests 1\n    Queue 3\n").workers(1).start();
    let mut slow: Vec<_> = (0..3).map(|_| server.client()).collect();
    for client in &mut slow {
        client.send(request("PUT /a.php", "Transfer-Encoding: chunked\r\n")).send("5\r\nhel");
    }
    assert_eq!(server.get("/a.php").is(200).text(), "0");
    for client in &mut slow {
        client.send("lo\r\n0\r\n\r\n");
    }
    for client in &mut slow {
        assert_eq!(client.answer(false).is(200).text(), "5");
    }
    assert!(at_rest(&server));
}

#[test]
fn the_example_of_the_page() {
    let dir = crate::util::Dir::new();
    let path = dir.path("fpm.sock");
    at_path(&path, |call| call.answer(&format!("{TEXT}{}", call.get("SCRIPT_NAME"))));
    let site = example("plugins/FASTCGI.md", "fastcgi").replace("/run/php/php-fpm.sock", &path.display().to_string());
    let server = Setup::new().server("MemoryLimit 6000").file("index.php", "").text(&site).start();
    assert_eq!(server.get("/").is(200).text(), "/index.php");
}

#[test]
fn clients_that_do_not_read_yet_get_all_of_it_later() {
    let (address, _) = at_port(|call| {
        call.body();
        call.write(&record(STDOUT, TEXT.as_bytes(), 0));
        for piece in pattern(100_000).chunks(10_000) {
            if !call.write(&record(STDOUT, piece, 0)) {
                return;
            }
        }
        call.write(&end());
    });
    // So little that there is not a buffer for every answer.
    let setup = Setup::new().file("a.php", "").section("HANDLERS", &[&format!(r"Match \.php fastcgi {address}")]);
    let setup = with_file(setup, "[FASTCGI]\n    Requests 120\n    Queue 8\n");
    let server = setup.server("MemoryLimit 2600").server("SendBuffer 8").workers(1).start();
    let mut clients: Vec<_> = (0..120).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send(request("GET /a.php", ""));
    }
    thread::sleep(Duration::from_millis(500));
    thread::scope(|scope| {
        for client in &mut clients {
            scope.spawn(|| assert!(client.answer(false).is(200).body == pattern(100_000)));
        }
    });
    assert!(at_rest(&server));
}

#[test]
fn clients_that_never_read_are_parted_with() {
    let (address, counts) = at_port(|call| {
        call.body();
        call.write(&record(STDOUT, TEXT.as_bytes(), 0));
        while call.write(&record(STDOUT, &[b'x'; 10_000], 0)) {}
    });
    let setup = Setup::new().file("a.php", "").section("HANDLERS", &[&format!(r"Match \.php fastcgi {address}")]);
    let setup = with_file(setup, "[FASTCGI]\n    Requests 120\n    Queue 8\n    Timeout 1\n");
    let setup =
        setup.server("MemoryLimit 2600").server("SendBuffer 8").server("MinSendRate 0").server("RateWindow 1000");
    let server = setup.workers(1).start();
    let mut clients: Vec<_> = (0..120).map(|_| server.client()).collect();
    for client in &mut clients {
        client.takes_little();
        client.send(request("GET /a.php", ""));
    }
    // Those that have a buffer may keep it: nobody asks them for more speed. Those that wait for one may not wait forever.
    assert!(eventually(|| counts.open.load(Ordering::SeqCst) == 120));
    assert!(eventually(|| counts.open.load(Ordering::SeqCst) < 60));
    drop(clients);
    assert!(eventually(|| counts.open.load(Ordering::SeqCst) == 0));
}
