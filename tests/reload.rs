use std::fs;
use std::time::Duration;

use crate::util::{Client, Server, Setup, eventually, pattern};

fn serve(scheduler: &str) -> Server {
    let setup = Setup::new().server(&format!("Scheduler {scheduler}")).server("SendBuffer 131072");
    setup.file("a.txt", "alpha").file("big.bin", pattern(5_000_000)).start()
}

/// Puts new text in place of the old in monkey.conf, and reloads.
fn change(server: &Server, old: &str, new: &str) {
    let path = server.dir.path("conf/monkey.conf");
    let text = fs::read_to_string(&path).expect("the file");
    assert!(text.contains(old), "no {old} in\n{text}");
    fs::write(path, text.replace(old, new)).expect("the file");
    server.reload();
}

/// Asks on one connection until the answer is as it should be: a worker takes a configuration up at its next turn.
fn until(client: &mut Client, path: &str, check: impl Fn(&crate::util::Answer) -> bool) {
    assert!(eventually(|| check(&client.get(path))), "{path} never as configured");
}

#[test]
fn what_can_change_changes_and_no_connection_is_dropped() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler);
        let mut idle = server.client();
        idle.get("/a.txt").is(200);
        let mut halfway = server.client();
        halfway.send("GET /a.txt HTTP/1.1\r\nHost: t");
        let mut download = server.client();
        download.send("GET /big.bin HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
        download.take(1);

        // A site more, another type, another field, another root, another limit.
        server.dir.write("two/a.txt", "two");
        server.dir.write("three/b.txt", "three");
        server.dir.write("conf/sites/two", "[HOST]\n    ServerName two\n    DocumentRoot ../two\n");
        server.dir.write("conf/monkey.mime", "[MIMETYPES]\n    txt text/x-changed\n");
        let site = "[HOST]\n    ServerName test\n    DocumentRoot ../three\n    Alias /old ../root\n[HEADERS]\n    \
                    Match .* X-New: yes\n[ERROR_PAGES]\n    404 b.txt\n";
        server.dir.write("conf/sites/default", site);
        change(
            &server,
            "SendBuffer 131072\n",
            "SendBuffer 131072\n    HideVersion On\n    MaxKeepAliveRequest 100000\n",
        );
        assert!(server.logged("INFO: configuration reloaded"), "{scheduler}");

        until(&mut idle, "/b.txt", |answer| answer.status == 200);
        let answer = idle.get("/b.txt");
        assert_eq!(answer.text(), "three");
        assert_eq!(answer.field("Content-Type"), Some("text/x-changed"));
        assert_eq!((answer.field("X-New"), answer.field("Server")), (Some("yes"), Some("Monkey")));
        assert_eq!(idle.get("/a.txt").is(404).text(), "three");
        assert_eq!(idle.get("/old/a.txt").is(200).text(), "alpha");
        idle.send("GET /a.txt HTTP/1.1\r\nHost: two\r\n\r\n");
        assert_eq!(idle.answer(false).is(200).text(), "two");
        // Begun before, ended after.
        halfway.send("est\r\n\r\n");
        halfway.answer(false).is(404);
        assert!(download.rest().ends_with(&pattern(5_000_000)), "{scheduler}");

        // And back.
        fs::remove_file(server.dir.path("conf/sites/two")).expect("the site");
        server.dir.write("conf/sites/default", "[HOST]\n    ServerName test\n    DocumentRoot ../root\n");
        change(&server, "    HideVersion On\n", "");
        until(&mut idle, "/a.txt", |answer| answer.status == 200 && answer.field("X-New").is_none());
        idle.send("GET /a.txt HTTP/1.1\r\nHost: two\r\n\r\n");
        assert_eq!(idle.answer(false).is(200).text(), "alpha");
    }
}

#[test]
fn time_limits_hold_for_those_who_wait_already() {
    let server = Setup::new().server("KeepAliveTimeout 3600").server("Timeout 3600").file("a.txt", "alpha").start();
    let mut idle = server.client();
    idle.get("/a.txt").is(200);
    let mut halfway = server.client();
    halfway.send("GET /a.txt HTTP/1.1\r\nHost: t");
    std::thread::sleep(Duration::from_millis(100));
    change(&server, "KeepAliveTimeout 3600\n    Timeout 3600\n", "KeepAliveTimeout 1\n    Timeout 1\n");
    idle.is_closed();
    halfway.answer(false).is(408);
}

#[test]
fn files_with_errors_change_nothing() {
    let server = serve("Fair");
    let mut client = server.client();
    client.get("/a.txt").is(200);
    server
        .dir
        .write("conf/sites/default", "[HOST]\n    ServerName test\n    DocumentRoot ../nowhere\n    Fallback x\n");
    let path = server.dir.path("conf/monkey.conf");
    let text = fs::read_to_string(&path).expect("the file");
    fs::write(&path, format!("{text}    Timeout never\n    HideVersion On\n")).expect("the file");
    server.reload();
    let conf = server.dir.path("conf");
    let lines = [
        format!(
            "ERROR: {}:6:13: Timeout cannot be \"never\": write a whole number",
            conf.join("monkey.conf").display()
        ),
        format!("ERROR: {}:4:14: Fallback cannot be \"x\"", conf.join("sites/default").display()),
        "ERROR: reload refused: 2 errors; the server goes on as it was".into(),
    ];
    for line in lines {
        assert!(server.logged(&line), "no line: {line}");
    }
    for _ in 0..5 {
        let answer = server.get("/a.txt").is(200);
        assert_ne!(answer.field("Server"), Some("Monkey"));
    }
    assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    // Mended, it is taken.
    server.dir.write("conf/sites/default", "[HOST]\n    ServerName test\n    DocumentRoot ../root\n");
    fs::write(&path, format!("{text}    HideVersion On\n")).expect("the file");
    server.reload();
    until(&mut client, "/a.txt", |answer| answer.field("Server") == Some("Monkey"));
}

#[test]
fn what_can_not_change_is_refused_by_name() {
    let server = serve("Fair");
    let path = server.dir.path("conf/monkey.conf");
    let text = fs::read_to_string(&path).expect("the file");
    for (key, line) in [
        ("Workers", text.replace("Workers 2", "Workers 1")),
        ("Scheduler", text.replace("Scheduler Fair", "Scheduler ReusePort")),
        ("User", format!("{text}    User nobody\n")),
        ("MemoryLimit", format!("{text}    MemoryLimit 9000\n")),
        ("FDLimit", format!("{text}    FDLimit 4000\n")),
        ("MaxRequestSize", format!("{text}    MaxRequestSize 8\n")),
        ("PidFile", format!("{text}    PidFile ../monkey.pid\n")),
        ("FDT", format!("{text}    FDT Off\n")),
    ] {
        fs::write(&path, line + "    HideVersion On\n").expect("the file");
        server.reload();
        let line = format!("ERROR: reload refused: needs restart: {key}\n");
        assert!(server.logged(&line), "no line: {line}");
        assert_ne!(server.get("/a.txt").is(200).field("Server"), Some("Monkey"), "{key}");
    }
    fs::write(&path, text.replace("Workers 2", "Workers 1") + "    FDT Off\n").expect("the file");
    server.reload();
    assert!(server.logged("ERROR: reload refused: needs restart: Workers, FDT\n"), "both in one line");
}

#[test]
fn listeners_come_and_go() {
    let server = Setup::new().listen("127.0.0.1:0").listen("127.0.0.2:0").file("a.txt", "alpha").start();
    let (kept, closed) = (server.addresses[0], server.addresses[1]);
    let mut old = server.client_of(closed);
    old.get("/a.txt").is(200);
    change(&server, "Listen 127.0.0.2:0", "Listen 127.0.0.3:0");
    let opened = crate::util::listening(&server.log())[2];
    assert_eq!(opened.ip().to_string(), "127.0.0.3");
    for address in [kept, opened] {
        server.client_of(address).get("/a.txt").is(200);
    }
    assert!(server.logged(&format!("no longer listening on {closed}")), "{closed}");
    let refused = || std::net::TcpStream::connect_timeout(&closed, Duration::from_secs(5)).is_err();
    assert!(eventually(refused), "{closed}");
    // Who came through it stays.
    old.get("/a.txt").is(200);
    // One that can not be had leaves everything as it was.
    let busy = Setup::new().start();
    change(&server, "Listen 127.0.0.3:0", &format!("Listen {}", busy.address()));
    assert!(server.logged("reload refused: "), "refused");
    for address in [kept, opened] {
        server.client_of(address).get("/a.txt").is(200);
    }
}

#[test]
fn listeners_of_workers_need_a_restart() {
    let server = serve("ReusePort");
    change(&server, "Listen 127.0.0.1:0", "Listen 127.0.0.1:0\n    Listen 127.0.0.2:0");
    assert!(server.logged("ERROR: reload refused: needs restart: Listen\n"), "refused");
    server.get("/a.txt").is(200);
}

/// Neither a comment above it nor anything else that leaves the place as it is makes another listener of it.
#[test]
fn a_listener_that_moved_in_its_file_is_the_same() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler);
        change(&server, "[SERVER]\n", "[SERVER]\n    # Moved down.\n    HideVersion On\n");
        assert!(server.logged("INFO: configuration reloaded"), "{scheduler}");
        server.get("/a.txt").is(200);
    }
}

#[test]
fn socket_options_follow_the_configuration_and_can_be_taken_back() {
    for scheduler in ["Fair", "ReusePort"] {
        let setup = Setup::new().server(&format!("Scheduler {scheduler}")).server("DeferAccept 60");
        let server = setup.file("a.txt", "alpha").start();
        // A client that says nothing is accepted, that is has a descriptor, only where accept is not deferred.
        let start = server.descriptors();
        let _unseen = server.client();
        std::thread::sleep(Duration::from_millis(300));
        assert_eq!(server.descriptors(), start, "{scheduler}");
        change(&server, "DeferAccept 60", "DeferAccept 0");
        let mut silent = Vec::new();
        let accepted = eventually(|| {
            silent.push(server.client());
            std::thread::sleep(Duration::from_millis(50));
            server.descriptors() > start
        });
        assert!(accepted, "{scheduler}");
    }
}

#[test]
fn answers_to_those_turned_away_follow_the_configuration() {
    for scheduler in ["Fair", "ReusePort"] {
        // Room for one connection: 128 files, 16 roots and 8 others of the worker, a listener and 64 others of the
        // server, 64 of head-room.
        let setup = Setup::new().workers(1).server("FDLimit 282").server("OverCapacity TooBusy").server("RetryAfter 3");
        let setup = setup.server(&format!("Scheduler {scheduler}")).server("SendBuffer 131072");
        let setup = setup.server("Timeout 3600");
        let server = setup.file("big.bin", pattern(4_000_000)).start();
        let mut held = server.client();
        held.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n").take(1);
        let retry = || {
            let mut client = server.client();
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            let answer = client.answer(false).is(503);
            (answer.field("Retry-After").map(str::to_string), answer.field("Server").map(str::to_string))
        };
        assert_eq!(retry().0.as_deref(), Some("3"), "{scheduler}");
        change(&server, "RetryAfter 3", "RetryAfter 99\n    HideVersion On");
        let wanted = (Some("99".to_string()), Some("Monkey".to_string()));
        assert!(eventually(|| retry() == wanted), "{scheduler}: {:?}", retry());
        change(&server, "OverCapacity TooBusy", "OverCapacity Drop");
        let is_dropped = || {
            let mut client = server.client();
            client.try_send(b"GET / HTTP/1.1\r\nHost: test\r\n\r\n");
            client.rest().is_empty()
        };
        assert!(eventually(is_dropped), "{scheduler}");
    }
}

#[test]
fn many_reloads_under_way() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler);
        let start = server.descriptors();
        std::thread::scope(|scope| {
            let server = &server;
            for _ in 0..3 {
                scope.spawn(move || {
                    for _ in 0..100 {
                        let mut client = server.client();
                        for _ in 0..3 {
                            assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
                        }
                    }
                });
            }
            for _ in 0..20 {
                server.reload();
            }
        });
        assert!(eventually(|| server.descriptors() <= start), "{scheduler}: {:?}", server.open_paths());
    }
}
