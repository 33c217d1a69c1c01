use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::util::{Client, Server, Setup, State, eventually, pattern, request, run};

const SCHEDULERS: [&str; 2] = ["Fair", "ReusePort"];

fn setup(scheduler: &str) -> Setup {
    let setup = Setup::new().server(&format!("Scheduler {scheduler}")).server("DeferAccept 0").server("RetryAfter 9");
    setup.file("a.txt", "alpha").file("big.bin", pattern(1_000_000))
}

/// A file limit that leaves room for `connections` with two workers, in either mode.
fn descriptors(scheduler: &str, connections: u32) -> String {
    let listeners = if scheduler == "Fair" { 1 } else { 2 };
    format!("FDLimit {}", 2 * (128 + 16 + 8) + listeners + 64 + 64 + connections)
}

/// Nothing is held for any client any more.
#[track_caller]
fn is_back_to_start(server: &Server, descriptors: usize) {
    let mut state = State::of(server);
    let back = eventually(|| {
        thread::sleep(Duration::from_millis(100));
        state = State::of(server);
        state.held() == (0, 0, 0) && state.get("of ") == 0 && state.get("addresses") == 0
    });
    assert!(back, "{state:?}");
    assert!(eventually(|| server.descriptors() <= descriptors), "{:?}", server.open_paths());
}

fn no_file_open(server: &Server) -> usize {
    assert!(eventually(|| !server.open_paths().iter().any(|path| path.starts_with(server.root("")))));
    server.descriptors()
}

#[test]
fn the_state_says_who_waits_for_what() {
    for scheduler in SCHEDULERS {
        let server = setup(scheduler).server("SendBuffer 65536").server("MaxConnectionsPerAddress 50").start();
        let before = no_file_open(&server);
        let silent: Vec<_> = (0..2).map(|_| server.client()).collect();
        let mut head = server.client();
        head.send("GET / HTTP/1.1\r\nHos");
        let mut idle: Vec<_> = (0..3).map(|_| server.client()).collect();
        idle.iter_mut().for_each(|client| _ = client.get("/a.txt").is(200));
        let mut busy: Vec<_> = (0..4).map(|_| server.client()).collect();
        busy.iter_mut().for_each(|client| _ = client.send(request("GET /big.bin", "")).take(1));
        let mut body = server.client();
        body.send(request("POST /a.txt", "Content-Length: 10\r\n") + "half");
        let mut leaving = server.client();
        leaving.send("nonsense\r\n\r\n").answer(false).is(400);
        let state = State::of(&server);
        let counts =
            ["silent", "heads", "idle", "bodies", "busy", "leaving"].map(|word| state.sum(&format!(" {word}")));
        assert_eq!(counts, [2, 1, 3, 1, 4, 1], "{scheduler}: {state:?}");
        assert_eq!((state.sum(" connections"), state.get("of ")), (12, 12), "{state:?}");
        assert_eq!((state.sum(" answered"), state.get("accepted"), state.get("addresses")), (7, 12, 1), "{state:?}");
        assert!(state.sum(" of ") >= 1, "the begun head is in a buffer: {state:?}");
        assert!(state.sum(" in use") >= 1 && state.sum(" refused") == 0, "{state:?}");
        assert_eq!(state.get("descriptors") as usize, server.descriptors(), "{state:?} {:?}", server.open_paths());
        assert!((100..100_000).contains(&state.get("KB resident")), "{state:?}");
        drop((silent, head, idle, busy, body, leaving));
        is_back_to_start(&server, before);
    }
}

/// Hundreds of clients over a limit of a hundred: those that only sit there give way, all others are served.
#[test]
fn three_hundred_clients_share_a_hundred_places() {
    for scheduler in SCHEDULERS {
        let server = setup(scheduler).server(&descriptors(scheduler, 100)).start();
        assert!(server.logged(", up to 100 connections; "));
        let before = no_file_open(&server);
        // They fill every place twice over; each that is closed did not ask for anything.
        let mut sitting: Vec<Client> = (0..200).map(|_| server.client()).collect();
        thread::sleep(Duration::from_millis(600));
        let served = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..50 {
                        let mut client = server.client();
                        match round % 10 {
                            0 => assert!(client.get("/big.bin").is(200).body == pattern(1_000_000)),
                            _ => assert_eq!(client.get("/a.txt").is(200).text(), "alpha"),
                        }
                        served.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!(served.load(Ordering::Relaxed), 200);
        let state = State::of(&server);
        assert!(state.get("gave way") >= 100, "{state:?}");
        assert_eq!((state.get("over capacity"), state.get("without descriptor")), (0, 0), "{state:?}");
        assert!((50..=100).contains(&state.get("of ")), "{state:?}");
        sitting[0].is_closed();
        drop(sitting);
        is_back_to_start(&server, before);
    }
}

/// Places that nobody would give up: with Resist the clients wait, none is refused, and the server does not spin meanwhile.
#[test]
fn waiting_for_a_place_costs_no_processor_time() {
    for scheduler in SCHEDULERS {
        let setup = setup(scheduler).server(&descriptors(scheduler, 20)).server("SendBuffer 65536");
        let server = setup.server("Timeout 60").start();
        let before = no_file_open(&server);
        let mut busy: Vec<_> = (0..20).map(|_| server.client()).collect();
        busy.iter_mut().for_each(|client| _ = client.send(request("GET /big.bin", "")).take(1));
        // A worker says who is idle after its turn.
        thread::sleep(Duration::from_millis(250));
        let mut waiting: Vec<_> = (0..100).map(|_| server.client()).collect();
        waiting.iter_mut().for_each(|client| _ = client.send(request("GET /a.txt", "Connection: close\r\n")));
        waiting[0].is_silent(Duration::from_millis(300));
        let used = server.cpu_ms();
        thread::sleep(Duration::from_millis(1000));
        let used = server.cpu_ms() - used;
        assert!(used <= 100, "{scheduler}: {used} ms of processor time in a second of waiting");
        drop(busy);
        waiting.iter_mut().for_each(|client| assert_eq!(client.answer(false).is(200).text(), "alpha"));
        let state = State::of(&server);
        assert_eq!((state.get("over capacity"), state.get("accepted")), (0, 120), "{scheduler}: {state:?}");
        is_back_to_start(&server, before);
    }
}

/// Limits the descriptors of a running server (its soft limit).
fn limit_descriptors(server: &Server, limit: usize) {
    assert!(run("prlimit", &["--pid", &server.pid().to_string(), &format!("--nofile={limit}:")]));
}

/// Takes the free descriptors of a running server away: all numbers it does not use.
fn take_descriptors(server: &Server) {
    // The first number that is free: what is inherited from a test runner can be far above.
    let free = (0..).find(|number| !server.has_descriptor(*number)).expect("a number");
    limit_descriptors(server, free);
}

fn give_descriptors_back(server: &Server) {
    limit_descriptors(server, 1000);
}

#[test]
fn without_a_descriptor_the_idle_give_way() {
    for scheduler in SCHEDULERS {
        let server = setup(scheduler).start();
        let mut idle: Vec<_> = (0..6).map(|_| server.client()).collect();
        idle.iter_mut().for_each(|client| _ = client.get("/nothing").is(404));
        no_file_open(&server);
        thread::sleep(Duration::from_millis(600));
        take_descriptors(&server);
        let mut client = server.client();
        // It is let in; its file, for which there is no descriptor either, is another matter.
        client.send(request("TRACE /", "")).answer(false).is(501);
        idle[0].is_closed();
        let state = State::of(&server);
        assert!(state.get("gave way") >= 1 && state.get("pauses") >= 1, "{scheduler}: {state:?}");
        assert_eq!(state.get("without descriptor"), 0, "{scheduler}: {state:?}");
        give_descriptors_back(&server);
        server.get("/a.txt").is(200);
    }
}

#[test]
fn without_a_descriptor_and_nobody_idle_clients_are_turned_away() {
    for scheduler in SCHEDULERS {
        for policy in ["Resist", "Drop", "TooBusy"] {
            let setup = setup(scheduler).server(&format!("OverCapacity {policy}")).server("Timeout 60");
            // One worker: another one could take the number that the first has free for a moment.
            let server = setup.server("SendBuffer 65536").workers(1).start();
            let mut busy: Vec<_> = (0..6).map(|_| server.client()).collect();
            busy.iter_mut().for_each(|client| _ = client.send(request("GET /big.bin", "")).take(1));
            thread::sleep(Duration::from_millis(250));
            // The directory, which nobody asks for any more, leaves a number free when it is closed.
            assert!(eventually(|| !server.open_paths().contains(&server.dir.path("root"))));
            take_descriptors(&server);
            for _ in 0..20 {
                let mut client = server.client();
                client.try_send(request("GET /a.txt", "").as_bytes());
                if policy == "Drop" {
                    assert_eq!(client.rest(), b"", "{scheduler}");
                } else {
                    let answer = client.answer(false).is(503);
                    assert_eq!(answer.field("Retry-After"), Some("9"), "{scheduler} {policy}");
                    client.is_closed();
                }
            }
            let used = server.cpu_ms();
            thread::sleep(Duration::from_millis(500));
            let used = server.cpu_ms() - used;
            assert!(used <= 50, "{scheduler} {policy}: {used} ms of processor time in half a second of nothing");
            let state = State::of(&server);
            assert_eq!(state.get("without descriptor"), 20, "{scheduler} {policy}: {state:?}");
            give_descriptors_back(&server);
            drop(busy);
            server.get("/a.txt").is(200);
        }
    }
}

/// No descriptor, and the reserve is not enough: other processes have taken all, say. Accepting goes on when there is one.
#[test]
fn accepting_is_given_up_and_taken_up_again() {
    for scheduler in SCHEDULERS {
        let setup = setup(scheduler).server("Timeout 60").server("SendBuffer 65536").workers(1);
        let server = setup.start();
        let mut busy: Vec<_> = (0..4).map(|_| server.client()).collect();
        busy.iter_mut().for_each(|client| _ = client.send(request("GET /big.bin", "")).take(1));
        thread::sleep(Duration::from_millis(250));
        // Fewer than it has: what becomes free is not to be had again.
        limit_descriptors(&server, 4);
        let mut waiting = server.client();
        waiting.send(request("GET /a.txt", ""));
        waiting.is_silent(Duration::from_millis(300));
        let used = server.cpu_ms();
        thread::sleep(Duration::from_millis(1000));
        let used = server.cpu_ms() - used;
        assert!(used <= 100, "{scheduler}: {used} ms of processor time in a second of trying");
        assert!(State::of(&server).get("pauses") >= 5, "{scheduler}");
        give_descriptors_back(&server);
        assert_eq!(waiting.answer(false).is(200).text(), "alpha", "{scheduler}");
    }
}

#[test]
fn an_address_has_no_more_connections_than_it_may() {
    for scheduler in SCHEDULERS {
        for policy in ["Resist", "Drop", "TooBusy"] {
            let setup = setup(scheduler).listen("[::1]:0").listen("127.0.0.1:0");
            let setup = setup.server("MaxConnectionsPerAddress 5").server(&format!("OverCapacity {policy}"));
            let server = setup.start();
            let before = no_file_open(&server);
            let [six, four] = [server.addresses[0], server.addresses[1]];
            let mut held: Vec<_> = (0..5).map(|_| server.client_of(four)).collect();
            held.iter_mut().for_each(|client| _ = client.get("/a.txt").is(200));
            for _ in 0..3 {
                let mut client = server.client_of(four);
                client.try_send(request("GET /a.txt", "").as_bytes());
                match policy {
                    "Drop" => assert_eq!(client.rest(), b"", "{scheduler}"),
                    _ => {
                        let answer = client.answer(false).is(503);
                        assert_eq!(answer.field("Retry-After"), Some("9"), "{scheduler} {policy}");
                        client.is_closed();
                    }
                }
            }
            // Another address is none of its business, and those it has are served on.
            server.client_of(six).get("/a.txt").is(200);
            held.iter_mut().for_each(|client| _ = client.get("/a.txt").is(200));
            assert_eq!(State::of(&server).get("over address"), 3, "{scheduler} {policy}");
            drop(held.pop());
            assert!(eventually(|| State::of(&server).sum(" connections") <= 4), "{scheduler} {policy}");
            held.push(server.client_of(four));
            held.iter_mut().for_each(|client| _ = client.get("/a.txt").is(200));
            drop(held);
            is_back_to_start(&server, before);
        }
    }
}

/// Every way a connection can end counts its address off.
#[test]
fn no_address_is_left_of_thousands_of_connections() {
    for scheduler in SCHEDULERS {
        let setup = setup(scheduler).server("MaxConnectionsPerAddress 60").server(&descriptors(scheduler, 64));
        let server = setup.server("Timeout 1").server("KeepAliveTimeout 1").start();
        let before = no_file_open(&server);
        let begun = Instant::now();
        thread::scope(|scope| {
            for worker in 0..4 {
                let server = &server;
                scope.spawn(move || {
                    let mut kept = Vec::new();
                    for n in 0..3000 {
                        let mut client = server.client();
                        match (n + worker) % 8 {
                            0 => {}
                            1 => _ = client.try_send(b"GET /a.t"),
                            2 => _ = client.try_send(request("GET /big.bin", "").as_bytes()),
                            3 => _ = client.try_send(b"nonsense\r\n\r\n"),
                            4 => _ = client.try_send(request("POST /a.txt", "Content-Length: 9\r\n").as_bytes()),
                            5 => client.half_close(),
                            _ => _ = client.try_send(request("GET /a.txt", "").as_bytes()),
                        }
                        // Some are left to the time limits.
                        if n % 5 == 0 {
                            kept.push(client);
                        }
                        if kept.len() > 20 {
                            kept.remove(0);
                        }
                    }
                });
            }
        });
        assert!(begun.elapsed() < Duration::from_secs(60));
        is_back_to_start(&server, before);
        server.get("/a.txt").is(200);
    }
}

#[test]
fn the_number_of_an_address_changes_in_place_but_not_from_none() {
    let server = setup("Fair").server("MaxConnectionsPerAddress 2").start();
    let conf = server.dir.path("conf/monkey.conf");
    let text = std::fs::read_to_string(&conf).expect("a configuration");
    let mut held: Vec<_> = (0..2).map(|_| server.client()).collect();
    held.iter_mut().for_each(|client| _ = client.get("/a.txt").is(200));
    server.get("/a.txt").is(503);
    let set = |value: &str| {
        server.dir.write("conf/monkey.conf", text.replace("PerAddress 2", &format!("PerAddress {value}")));
        server.reload();
    };
    set("4");
    server.get("/a.txt").is(200);
    set("0");
    assert!(server.logged("reload refused: needs restart: MaxConnectionsPerAddress"));
}

/// Every buffer holds a head that does not end. The oldest of them gives way to a client that means it, however many clients
/// that hold none are older.
#[test]
fn without_a_buffer_a_head_that_does_not_end_gives_way() {
    for scheduler in SCHEDULERS {
        let server = setup(scheduler).workers(1).server("Timeout 300").start();
        let before = no_file_open(&server);
        let silent: Vec<_> = (0..30).map(|_| server.client()).collect();
        thread::sleep(Duration::from_millis(100));
        let mut heads = Vec::new();
        while State::of(&server).sum(" refused") == 0 {
            assert!(heads.len() < 1000);
            heads.push(server.client());
            heads.last_mut().expect("one").send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(900)));
            thread::sleep(Duration::from_millis(5));
        }
        for round in 0..10 {
            let mut client = server.client();
            client.send(request("POST /a.txt", "Content-Length: 4\r\n"));
            // Others want more than the small ones hold, of which there are many. It does not help them to close those.
            heads.push(server.client());
            let len = if round % 2 == 0 { 16_000 } else { 3000 };
            heads.last_mut().expect("one").try_send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(len)).as_bytes());
            thread::sleep(Duration::from_millis(50));
            assert_eq!(client.send("body").answer(false).is(200).text(), "alpha", "{scheduler}");
        }
        assert_eq!(State::of(&server).sum(" silent"), 30, "{scheduler}");
        drop((silent, heads));
        is_back_to_start(&server, before);
    }
}

/// More uploads at a time than there are buffers for the heads before them: each is answered all the same.
#[test]
fn more_uploads_than_buffers_are_answered() {
    for scheduler in SCHEDULERS {
        let server = setup(scheduler).workers(1).start();
        let before = no_file_open(&server);
        let head = request("POST /a.txt", "Content-Length: 10000\r\n");
        let mut clients: Vec<_> = (0..100).map(|_| server.client()).collect();
        clients.iter_mut().for_each(|client| _ = client.send(&head));
        thread::sleep(Duration::from_millis(200));
        for client in &mut clients {
            assert!(client.try_send(&[b'x'; 10_000]));
            assert_eq!(client.answer(false).is(200).text(), "alpha", "{scheduler}");
        }
        drop(clients);
        is_back_to_start(&server, before);
    }
}

/// Clients that leave answers unread with a request behind each, so that all buffers are held, and before them others that say
/// nothing at all: who needs a buffer gets one.
#[test]
fn buffers_behind_unread_answers_are_given_up() {
    for scheduler in SCHEDULERS {
        let server = setup(scheduler).server("SendBuffer 65536").workers(1).start();
        let before = no_file_open(&server);
        let silent: Vec<_> = (0..50).map(|_| server.client()).collect();
        let twice = request("GET /big.bin", "").repeat(2);
        let mut holding: Vec<_> = (0..50).map(|_| server.client()).collect();
        holding.iter_mut().for_each(|client| _ = client.send(&twice).take(1));
        let (first, second) = ("GET /a.txt HTTP/1.1\r\nHos", "t: test\r\n\r\n");
        for _ in 0..20 {
            let mut client = server.client();
            client.send(first);
            thread::sleep(Duration::from_millis(20));
            assert_eq!(client.send(second).answer(false).is(200).text(), "alpha", "{scheduler}");
            client.send(request("POST /a.txt", "Content-Length: 4\r\n"));
            thread::sleep(Duration::from_millis(20));
            assert!(client.try_send(b"body"));
            assert_eq!(client.answer(false).is(200).text(), "alpha", "{scheduler}");
        }
        drop((silent, holding));
        is_back_to_start(&server, before);
    }
}

/// Heads that do not end come faster than an upload goes on: they take buffers from each other, not from the upload.
#[test]
fn an_upload_keeps_its_buffer_among_heads_that_do_not_end() {
    for scheduler in SCHEDULERS {
        let server = setup(scheduler).workers(1).server("Timeout 300\n    RateWindow 300").start();
        let mut uploads: Vec<_> = (0..8).map(|_| server.client()).collect();
        let (length, step) = (900_000, 1000);
        let head = request("POST /a.txt", &format!("Content-Length: {length}\r\n"));
        uploads.iter_mut().for_each(|client| _ = client.send(&head));
        let (mut heads, mut sent) = (Vec::new(), 0);
        while State::of(&server).sum(" refused") < 20 {
            heads.push(server.client());
            heads.last_mut().expect("one").try_send(format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(900)).as_bytes());
            sent += step;
            assert!(sent < length, "buffers without end");
            assert!(
                uploads.iter_mut().all(|client| client.try_send(&vec![b'b'; step])),
                "{scheduler}: after {sent} bytes"
            );
        }
        for client in &mut uploads {
            assert!(client.try_send(&vec![b'b'; length - sent]));
            assert_eq!(client.answer(false).is(200).text(), "alpha", "{scheduler}");
        }
    }
}
