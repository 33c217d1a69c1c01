use std::thread;
use std::time::Duration;

use crate::util::{Server, Setup, eventually, pattern, request};

fn serve(scheduler: &str) -> Server {
    let setup = Setup::new().server(&format!("Scheduler {scheduler}")).server("DeferAccept 0").workers(2);
    let setup = (0..60).fold(setup, |setup, n| setup.file(&format!("{n}.txt"), format!("this is file {n}")));
    setup
        .file("big.bin", pattern(2_000_000))
        .server("Timeout 1")
        .server("RateWindow 1")
        .server("SendBuffer 131072")
        .start()
}

/// What a client leaves behind when it goes away: each in another state of its connection.
fn leave(server: &Server, state: usize) {
    let mut client = server.client();
    match state {
        // Silent.
        0 => {}
        // In a head.
        1 => {
            client.send("GET /1.txt HTTP/1.1\r\nHo");
        }
        // Idle.
        2 => {
            client.get("/1.txt").is(200);
        }
        // Before a small answer is read.
        3 => {
            client.send(request("GET /2.txt", ""));
        }
        // In the middle of a large answer.
        4 => {
            client.send(request("GET /big.bin", "")).take(1000);
        }
        // In the middle of several parts.
        5 => {
            client.send(request("GET /big.bin", "Range: bytes=0-600000,800000-1900000\r\n")).take(1000);
        }
        // In a body.
        6 => {
            client.send(request("POST /3.txt", "Content-Length: 1000\r\n") + "half");
        }
        // With requests behind an answer that is not read.
        7 => {
            client.send(request("GET /big.bin", "") + &request("GET /4.txt", "").repeat(50));
        }
        // After an error.
        8 => {
            client.send("nonsense\r\n\r\n").answer(false);
        }
        // In a chunk, and in the trailers.
        9 => {
            client.send(request("POST /3.txt", "Transfer-Encoding: chunked\r\n") + "5\r\nhal");
        }
        10 => {
            client.send(request("POST /3.txt", "Transfer-Encoding: chunked\r\n") + "5\r\nwhole\r\n0\r\nX: y\r\n");
        }
        // With more of a body to come than anybody reads.
        11 => {
            client.send(request("POST /3.txt", "Content-Length: 100000000\r\n") + "half").answer(false);
        }
        // Half closed.
        _ => {
            client.send(request("GET /big.bin", ""));
            client.half_close();
        }
    }
}

#[test]
fn no_descriptor_is_left_of_three_hundred_connections() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler);
        server.get("/1.txt").is(200);
        assert!(eventually(|| !server.open_paths().iter().any(|path| path.starts_with(server.root("")))));
        let before = server.descriptors();
        thread::scope(|scope| {
            for worker in 0..6 {
                let server = &server;
                scope.spawn(move || (0..50).for_each(|n| leave(server, (n + worker) % 13)));
            }
        });
        let back = eventually(|| server.descriptors() <= before);
        assert!(back, "{scheduler}: {} descriptors, then {}: {:?}", before, server.descriptors(), server.open_paths());
        server.get("/1.txt").is(200);
    }
}

#[test]
fn every_answer_belongs_to_its_request_while_descriptors_are_used_again() {
    for scheduler in ["Fair", "ReusePort"] {
        let server = serve(scheduler);
        thread::scope(|scope| {
            let server = &server;
            // Short connections: the numbers of their descriptors are used again at once, by this or the other worker.
            for worker in 0..4 {
                scope.spawn(move || {
                    for n in 0..250 {
                        let file = (n * 7 + worker * 13) % 60;
                        let fields = if n % 2 == 0 { "Connection: close\r\n" } else { "" };
                        let answer = server.ask(&format!("GET /{file}.txt"), fields).is(200);
                        assert_eq!(answer.text(), format!("this is file {file}"));
                    }
                });
            }
            // Beside long ones with many requests under way.
            for worker in 0..2 {
                scope.spawn(move || {
                    let mut client = server.client();
                    for round in 0..25 {
                        let files: Vec<usize> = (0..20).map(|n| (n * 11 + round + worker * 5) % 60).collect();
                        let text: String = files.iter().map(|n| request(&format!("GET /{n}.txt"), "")).collect();
                        client.send(text);
                        for file in files {
                            assert_eq!(client.answer(false).is(200).text(), format!("this is file {file}"));
                        }
                    }
                });
            }
            // And ones that are torn off.
            scope.spawn(move || (0..100).for_each(|n| leave(server, n % 10)));
        });
    }
}

#[test]
fn connections_that_end_while_the_server_waits_for_them_are_let_go() {
    let server = serve("Fair");
    server.get("/1.txt").is(200);
    let before = server.descriptors();
    // Held open by the clients: the limits alone close them.
    let mut clients: Vec<_> = (0..30).map(|_| server.client()).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        match n % 3 {
            0 => {}
            1 => {
                client.send("GET /1.txt HT");
            }
            _ => {
                client.send("nonsense\r\n\r\n");
            }
        }
    }
    thread::sleep(Duration::from_millis(50));
    assert!(eventually(|| server.descriptors() <= before), "{:?}", server.open_paths());
    drop(clients);
}
