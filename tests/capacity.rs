use std::time::Duration;

use crate::util::{Client, SERVER, Server, Setup, eventually, pattern, run};

/// The descriptors of one worker with room for `connections`, as the server counts them: 128 open files, 16 roots and 8
/// others of the worker, a listener and 64 others of the server, and 64 of head-room.
const fn descriptors(connections: u32) -> u32 {
    128 + 16 + 8 + 1 + 64 + 64 + connections
}

/// A server with room for four connections.
fn serve(scheduler: &str, policy: &str) -> Server {
    let setup = Setup::new().workers(1).server(&format!("FDLimit {}", descriptors(4))).server("DeferAccept 0");
    let setup = setup.server(&format!("OverCapacity {policy}")).server(&format!("Scheduler {scheduler}"));
    let setup = setup
        .server("RetryAfter 17")
        .server("KeepAliveTimeout 60")
        .server("SendBuffer 131072")
        .file("a.txt", "alpha")
        .file("big.bin", pattern(4_000_000));
    let server = setup.start();
    assert!(server.logged(", up to 4 connections; "), "the capacity");
    server
}

/// Clients that keep every slot busy: each has asked for much and reads nothing.
fn busy(server: &Server) -> Vec<Client> {
    let clients = (0..4)
        .map(|_| {
            let mut client = server.client();
            client.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
            client.take(1);
            client
        })
        .collect();
    // A worker says who is idle after its turn, and the turn in which the last of them got its first byte may still last.
    std::thread::sleep(Duration::from_millis(250));
    clients
}

#[test]
fn the_oldest_idle_connection_gives_way() {
    for scheduler in ["Fair", "ReusePort"] {
        for policy in ["Resist", "Drop", "TooBusy"] {
            let server = serve(scheduler, policy);
            let mut idle: Vec<_> = (0..4)
                .map(|_| {
                    let mut client = server.client();
                    client.get("/a.txt").is(200);
                    std::thread::sleep(Duration::from_millis(20));
                    client
                })
                .collect();
            let mut client = server.client();
            assert_eq!(client.get("/a.txt").is(200).text(), "alpha", "{scheduler} {policy}");
            idle[0].is_closed();
            for client in &mut idle[1..] {
                client.get("/a.txt").is(200);
            }
        }
    }
}

#[test]
fn resist_lets_clients_wait_until_a_slot_is_free() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler, "Resist");
        let mut held = busy(&server);
        let mut waiting = server.client();
        waiting.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
        waiting.is_silent(Duration::from_millis(300));
        drop(held.pop());
        assert_eq!(waiting.answer(false).is(200).text(), "alpha", "{scheduler}");
        // And those that held the slots lose nothing by it.
        let big = pattern(4_000_000);
        for client in &mut held {
            let head = client.take(1000);
            let at = head.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
            assert!(client.take(big.len() - (head.len() - at)) == big[head.len() - at..]);
        }
    }
}

#[test]
fn resist_goes_on_when_a_busy_connection_becomes_idle() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler, "Resist");
        let mut held = busy(&server);
        let mut waiting = server.client();
        waiting.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
        waiting.is_silent(Duration::from_millis(300));
        held[0].take(4_000_000);
        assert_eq!(waiting.answer(false).is(200).text(), "alpha", "{scheduler}");
    }
}

#[test]
fn drop_closes_without_a_word() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler, "Drop");
        let held = busy(&server);
        for _ in 0..5 {
            let mut client = server.client();
            client.try_send(b"GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
            assert_eq!(client.rest(), b"", "{scheduler}");
        }
        drop(held);
        assert!(eventually(|| server.exchange("GET /a.txt HTTP/1.0\r\n\r\n").starts_with(b"HTTP/1.1 200 OK\r\n")));
    }
}

#[test]
fn too_busy_says_when_to_come_again() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler, "TooBusy");
        let held = busy(&server);
        for _ in 0..5 {
            let mut client = server.client();
            client.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n");
            let (retry, length, close) = ("Retry-After: 17", "Content-Length: 0", "Connection: Close");
            client.answer(false).has_head(&["HTTP/1.1 503 Service Unavailable", SERVER, retry, length, close]);
            client.is_closed();
        }
        drop(held);
        // Their places are given back one by one.
        let mut answer = String::new();
        let served = eventually(|| {
            answer = String::from_utf8_lossy(&server.exchange("GET /a.txt HTTP/1.0\r\n\r\n")).into();
            answer.starts_with("HTTP/1.1 200 OK\r\n")
        });
        assert!(served && answer.contains("\r\nDate: "), "{scheduler}: {answer}");
    }
}

#[test]
fn silent_clients_give_way_before_idle_ones() {
    let server = serve("Fair", "Drop");
    let mut idle = server.client();
    idle.get("/a.txt").is(200);
    let mut silent: Vec<_> = (0..3).map(|_| server.client()).collect();
    // Until they count as silent.
    std::thread::sleep(Duration::from_millis(800));
    for _ in 0..2 {
        server.get("/a.txt").is(200);
    }
    silent[0].is_closed();
    idle.get("/a.txt").is(200);
}

/// Document roots that are open take no room of connections, however many sites there are.
#[test]
fn many_sites_leave_room_for_connections() {
    let setup = Setup::new().workers(1).server(&format!("FDLimit {}", descriptors(4))).server("DeferAccept 0");
    let setup = setup.server("OverCapacity TooBusy").file("a.txt", "alpha");
    let sites = 200;
    for number in 0..sites {
        setup.dir.write(&format!("many/{number}/a.txt"), format!("site {number}"));
        let site = format!("[HOST]\n    ServerName site{number}\n    DocumentRoot ../many/{number}\n");
        setup.dir.write(&format!("conf/sites/site{number}"), site);
    }
    let server = setup.start();
    let mut client = server.client();
    for number in 0..sites {
        client.send(format!("GET /a.txt HTTP/1.1\r\nHost: site{number}\r\n\r\n"));
        assert_eq!(client.answer(false).is(200).text(), format!("site {number}"));
    }
    for _ in 0..2 {
        server.client().get("/a.txt").is(200);
    }
}

/// A file for which there is no descriptor is not remembered as one that can not be had.
#[test]
fn without_a_descriptor_a_file_is_answered_503() {
    let server = Setup::new().workers(1).server("RetryAfter 9").file("a.txt", "alpha").file("b.txt", "bravo").start();
    let limit = |limit: usize| {
        assert!(run("prlimit", &["--pid", &server.pid().to_string(), &format!("--nofile={limit}:")]));
    };
    let mut client = server.client();
    client.get("/a.txt").is(200);
    assert!(eventually(|| !server.open_paths().iter().any(|path| path.starts_with(server.root("")))));
    limit((0..).find(|number| !server.has_descriptor(*number)).expect("a number"));
    for path in ["/b.txt", "/a.txt", "/nothing"] {
        let answer = client.get(path).is(503);
        assert_eq!((answer.closes(), answer.field("Retry-After")), (false, Some("9")), "{path}");
    }
    limit(1000);
    assert!(eventually(|| client.get("/b.txt").status == 200));
    assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    client.get("/nothing").is(404);
}

/// Every place is taken by clients that begin an upload and stop, or ask for much and read nothing: none of them is idle. Whoever
/// comes is served all the same, long before their time is up.
#[test]
fn who_stalls_gives_way_when_nobody_is_idle() {
    for scheduler in ["Fair", "ReusePort"] {
        for policy in ["Resist", "TooBusy"] {
            let setup = Setup::new().workers(1).server(&format!("FDLimit {}", descriptors(8))).server("DeferAccept 0");
            let setup = setup.server(&format!("OverCapacity {policy}")).server(&format!("Scheduler {scheduler}"));
            let setup = setup.server("RateWindow 600").server("SendBuffer 131072").file("a.txt", "alpha");
            let server = setup.file("big.bin", pattern(4_000_000)).start();
            let stalling: Vec<_> = (0..8)
                .map(|number| {
                    let mut client = server.client();
                    match number % 2 {
                        0 => client.send("POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 900000\r\n\r\nabc"),
                        _ => client.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n"),
                    };
                    client
                })
                .collect();
            // One that stalls is one that had its chance.
            std::thread::sleep(Duration::from_millis(1500));
            let mut served = Vec::new();
            for _ in 0..8 {
                let mut client = server.client();
                assert_eq!(client.get("/a.txt").is(200).text(), "alpha", "{scheduler} {policy}");
                served.push(client);
            }
            drop((stalling, served));
        }
    }
}
