use std::thread;
use std::time::{Duration, Instant};

use crate::util::{Client, DATE, SERVER, Server, Setup, State, eventually, pattern};

const HTML: &str = "Content-Type: text/html; charset=utf-8";
const GET: &str = "GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n";

fn serve(scheduler: &str) -> Server {
    let setup = Setup::new().server("Timeout 1").server("KeepAliveTimeout 2").server("DeferAccept 0").workers(1);
    let setup = setup.server("RateWindow 1").server("MinBodyRate 20").server("MinSendRate 20000");
    // Each that has begun something holds a buffer.
    let setup = setup.server("MemoryLimit 6000").server("SendBuffer 131072").server(&format!("Scheduler {scheduler}"));
    setup.file("a.txt", "alpha").file("big.bin", pattern(3_000_000)).start()
}

/// Asserts a 408 of the right form and the end of the connection.
fn timed_out(client: &mut Client) {
    let answer = client.answer(false);
    let length = format!("Content-Length: {}", answer.body.len());
    answer.has_head(&["HTTP/1.1 408 Request Timeout", SERVER, DATE, HTML, &length, "Connection: Close"]);
    client.half_close();
    client.is_closed();
}

/// How each kind of client behaves, all at once: every one waits for a limit of its own.
#[test]
fn every_wait_has_its_end() {
    type Behaviour = fn(&Server);
    let behaviours: [Behaviour; 15] = [
        // Silent from the start: closed without a word.
        |server| server.client().is_closed(),
        // Half a head.
        |server| timed_out(server.client().send("GET /a.txt HTTP/1.1\r\nHost: te")),
        // Empty lines are no request.
        |server| server.client().send("\r\n\r\n").is_closed(),
        // A byte now and then does not prolong it: the time counts from accept.
        |server| {
            let mut client = server.client();
            let begun = Instant::now();
            for byte in GET.bytes() {
                if !client.try_send(&[byte]) {
                    break;
                }
                thread::sleep(Duration::from_millis(150));
                if begun.elapsed() > Duration::from_secs(3) {
                    break;
                }
            }
            assert!(client.rest().starts_with(b"HTTP/1.1 408 "), "a trickled head");
        },
        // Empty lines between requests do not prolong the idle time.
        |server| {
            let mut client = server.client();
            client.get("/a.txt").is(200);
            let begun = Instant::now();
            while client.try_send(b"\r") && client.try_send(b"\n") {
                assert!(begun.elapsed() < Duration::from_secs(4), "kept by empty lines");
                thread::sleep(Duration::from_millis(300));
            }
        },
        // A head that begins in the same segment as another ends has a time of its own.
        |server| {
            let mut client = server.client();
            let (first, second) = GET.split_at(20);
            client.send(first);
            for _ in 0..8 {
                thread::sleep(Duration::from_millis(300));
                client.send([second, first].concat());
                client.answer(false).is(200);
            }
        },
        // Idle after an answer: closed without a word, after a time of its own.
        |server| {
            let mut client = server.client();
            client.get("/a.txt").is(200);
            client.is_silent(Duration::from_millis(1500));
            client.is_closed();
        },
        // Empty lines do not prolong that.
        |server| {
            let mut client = server.client();
            client.get("/a.txt").is(200);
            let begun = Instant::now();
            while client.try_send(b"\r\n") {
                assert!(begun.elapsed() < Duration::from_secs(10), "empty lines keep a connection");
                thread::sleep(Duration::from_millis(300));
            }
        },
        // Half of a later head: its time counts from its first byte.
        |server| {
            let mut client = server.client();
            client.get("/a.txt").is(200);
            thread::sleep(Duration::from_millis(1200));
            client.get("/a.txt").is(200);
            timed_out(client.send("GET /a.t"));
        },
        // A body that never comes: nothing was done, nothing is said.
        |server| {
            let mut client = server.client();
            client.send("POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf");
            client.is_closed();
        },
        |server| {
            let mut client = server.client();
            client.send("POST /a.txt HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhal");
            client.is_closed();
        },
        // A byte now and then is too little.
        |server| {
            let mut client = server.client();
            client.send("POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n");
            let begun = Instant::now();
            while client.try_send(b"x") && begun.elapsed() < Duration::from_secs(10) {
                thread::sleep(Duration::from_millis(200));
            }
            assert!(client.rest().is_empty(), "a trickled body was answered");
        },
        // Enough of it in every window is not, however long it takes.
        |server| {
            let mut client = server.client();
            client.send("POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 100\r\n\r\n");
            for _ in 0..20 {
                client.send("five.");
                thread::sleep(Duration::from_millis(150));
            }
            client.answer(false).is(200);
        },
        // One that reads nothing of a large answer, behind one that reads slowly, which is served to the end.
        |server| {
            let request = "GET /big.bin HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            let mut slow = server.client();
            let mut all = slow.send(request).take(1);
            let mut still = server.client();
            still.send(request).take(1);
            for _ in 0..8 {
                all.extend(slow.take(300_000));
                thread::sleep(Duration::from_millis(350));
            }
            assert!(still.rest().len() < 2_000_000, "one that reads nothing is cut off");
            all.extend(slow.rest());
            let body = all.windows(4).position(|window| window == b"\r\n\r\n").map(|at| &all[at + 4..]);
            assert!(body == Some(&pattern(3_000_000)[..]), "one that reads slowly is not");
        },
        // A little now and then is too little here too.
        |server| {
            let request = "GET /big.bin HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            let mut client = server.client();
            let mut count = client.send(request).take(1).len();
            for _ in 0..30 {
                count += client.take(1000).len();
                thread::sleep(Duration::from_millis(200));
            }
            count += client.rest().len();
            assert!(count < 2_000_000, "one that reads a little was sent {count} bytes");
        },
    ];
    thread::scope(|scope| {
        for scheduler in ["Fair", "ReusePort"] {
            scope.spawn(move || {
                let server = serve(scheduler);
                thread::scope(|scope| {
                    for behaviour in behaviours {
                        let server = &server;
                        scope.spawn(move || behaviour(server));
                    }
                });
                assert_eq!(server.get("/a.txt").is(200).text(), "alpha");
            });
        }
    });
}

#[test]
fn silent_clients_are_closed_where_the_kernel_holds_them_back_too() {
    let server = Setup::new().server("Timeout 1").server("DeferAccept 1").file("a.txt", "alpha").start();
    let mut clients: Vec<_> = (0..10).map(|_| server.client()).collect();
    for client in &mut clients {
        client.is_closed();
    }
    server.get("/a.txt").is(200);
}

/// A client that was refused is heard out, so that it sees the answer: for as long as it sends, or two seconds of silence.
#[test]
fn after_the_last_word_silence_is_the_end() {
    let server = Setup::new().server("Timeout 60").file("a.txt", "alpha").start();
    let leaving = || State::of(&server).sum(" leaving");
    let mut clients: Vec<_> = (0..2).map(|_| server.client()).collect();
    clients.iter_mut().for_each(|client| assert!(client.send("nonsense\r\n\r\n").answer(false).is(400).closes()));
    assert_eq!(leaving(), 2);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(4000) {
        assert!(clients[0].try_send(b"more of it"));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(leaving(), 1, "the silent one is gone, the other is not");
    assert!(eventually(|| leaving() == 0));
}
