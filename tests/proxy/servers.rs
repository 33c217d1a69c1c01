//! Which server is asked, what happens to those that fail, which connections are kept.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use super::backend::Backend;
use super::{OK, in_front_of, with};
use crate::util::{Setup, eventually, pattern, request};

/// A backend that reads a request, if it is one that is asked for anything, and closes without a word.
fn mute() -> Backend {
    Backend::new(|peer| {
        peer.request();
    })
}

#[test]
fn nobody_listens() {
    let server = in_front_of(&[Backend::nobody()]).start();
    let mut client = server.client();
    client.get("/").is(502);
    client.send(request("POST /", "Content-Length: 5\r\n") + "hello").answer(false).is(502);
    assert!(eventually(|| server.logged("can not be reached")), "{}", server.log());
}

#[test]
fn another_server_is_asked_in_place_of_one_that_is_not_there() {
    let backend = Backend::saying(OK);
    let server = in_front_of(&[Backend::nobody(), backend.address]).start();
    let mut client = server.client();
    for _ in 0..4 {
        client.get("/").is(200);
        // Nothing was sent to the one: this can not be done twice by it.
        client.send(request("POST /", "Content-Length: 5\r\n") + "hello").answer(false).is(200);
    }
    assert_eq!(backend.seen().len(), 8);
    assert!(backend.seen().iter().filter(|seen| seen.head.starts_with("POST")).all(|seen| seen.body == b"hello"));
}

#[test]
fn only_what_can_be_done_twice_is_tried_again() {
    let (mute, backend) = (mute(), Backend::saying(OK));
    let setup = in_front_of(&[mute.address, backend.address]);
    let server = with(setup, &["Attempts 100", "KeepAlive 0"]).start();
    let mut client = server.client();
    client.get("/").is(200);
    assert_eq!((mute.seen().len(), backend.seen().len()), (1, 1));
    // Its turn again.
    client.ask("DELETE /", "").is(200);
    assert_eq!((mute.seen().len(), backend.seen().len()), (2, 2));
    client.send(request("POST /", "Content-Length: 0\r\n")).answer(false).is(502);
    assert_eq!((mute.seen().len(), backend.seen().len()), (3, 2));
    client.get("/").is(200);
    // Of a body that has begun to go there is no second.
    client.send(request("PUT /", "Content-Length: 5\r\n") + "hello").answer(false).is(502);
    assert_eq!((mute.seen().len(), backend.seen().len()), (4, 3));
}

#[test]
fn nothing_is_tried_again_of_which_an_answer_has_begun() {
    let half = Backend::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 O");
    });
    let backend = Backend::saying(OK);
    let server = in_front_of(&[half.address, backend.address]).start();
    server.get("/").is(502);
    assert_eq!((half.seen().len(), backend.seen().len()), (1, 0));
}

#[test]
fn who_fails_is_left_alone_for_a_while() {
    let (mute, backend) = (mute(), Backend::saying(OK));
    let setup = in_front_of(&[mute.address, backend.address]);
    let server = with(setup, &["Attempts 2", "OfflineTimeOut 1"]).start();
    let mut client = server.client();
    for _ in 0..10 {
        client.get("/").is(200);
    }
    assert_eq!((mute.accepted(), backend.seen().len()), (2, 10));
    std::thread::sleep(Duration::from_millis(1100));
    for _ in 0..10 {
        client.get("/").is(200);
    }
    // Once more, and it has failed once more.
    assert_eq!((mute.accepted(), backend.seen().len()), (3, 20));
}

#[test]
fn the_only_server_is_asked_whatever_it_did() {
    let failing = Arc::new(AtomicUsize::new(3));
    let left = Arc::clone(&failing);
    let backend = Backend::new(move |peer| {
        peer.request();
        if left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_err() {
            peer.send(OK.replace('\n', "\r\n"));
        }
    });
    let server = with(in_front_of(&[backend.address]), &["Attempts 1", "OfflineTimeOut 1000"]).start();
    let mut client = server.client();
    for _ in 0..3 {
        client.get("/").is(502);
    }
    client.get("/").is(200);
}

#[test]
fn requests_are_spread_by_turns() {
    let backends = [Backend::saying(OK), Backend::saying(OK)];
    let [one, two] = [&backends[0], &backends[1]];
    // One that is written twice gets twice as many.
    let server = in_front_of(&[one.address, two.address, two.address]).start();
    let mut client = server.client();
    for _ in 0..12 {
        client.get("/").is(200);
    }
    assert_eq!((one.seen().len(), two.seen().len()), (4, 8));
}

#[test]
fn requests_go_to_who_has_fewest() {
    let slow = || {
        Backend::answering(|seen| {
            if seen.head.starts_with("GET /slow") {
                std::thread::sleep(Duration::from_millis(1500));
            }
            OK.replace('\n', "\r\n").into_bytes()
        })
    };
    let (one, two) = (slow(), slow());
    let server = with(in_front_of(&[one.address, two.address]), &["Balance LeastConnections"]).start();
    // Idle ones that are kept do not count.
    server.get("/").is(200);
    server.get("/").is(200);
    assert_eq!((one.seen().len(), two.seen().len()), (2, 0));
    let mut busy = server.client();
    busy.send(request("GET /slow", ""));
    assert!(eventually(|| one.seen().len() == 3));
    for _ in 0..5 {
        server.get("/").is(200);
    }
    assert_eq!((one.seen().len(), two.seen().len()), (3, 5));
    busy.answer(false).is(200);
    server.get("/").is(200);
    assert_eq!((one.seen().len(), two.seen().len()), (4, 5));
}

#[test]
fn connections_are_kept_for_what_can_be_done_twice() {
    let backend = Backend::saying(OK);
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    for _ in 0..10 {
        client.get("/").is(200);
    }
    assert_eq!((backend.accepted(), backend.seen().len()), (1, 10));
    for number in 1..=3 {
        client.send(request("POST /", "Content-Length: 5\r\n") + "hello").answer(false).is(200);
        assert_eq!(backend.accepted(), 1 + number);
    }
    // So many are kept, and no more.
    assert!(eventually(|| backend.open() == 4), "{} open", backend.open());
    for _ in 0..3 {
        client.send(request("POST /", "Content-Length: 5\r\n") + "hello").answer(false).is(200);
    }
    assert!(eventually(|| backend.open() == 4), "{} open", backend.open());
}

#[test]
fn a_kept_connection_that_was_closed_is_not_noticed_by_the_client() {
    // It answers one request a connection without saying so, and closes at once, later, or when the next request has come.
    for wait in [None, Some(0), Some(50)] {
        let backend = Backend::new(move |peer| {
            peer.request();
            peer.send(OK.replace('\n', "\r\n"));
            match wait {
                Some(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
                None => drop(peer.request()),
            }
        });
        let server = in_front_of(&[backend.address]).start();
        let mut client = server.client();
        for number in 0..6 {
            if number == 3 {
                std::thread::sleep(Duration::from_millis(100));
            }
            client.get("/").is(200);
        }
        client.send(request("POST /", "Content-Length: 5\r\n") + "hello").answer(false).is(200);
        assert!(!server.logged("without an answer"), "{}", server.log());
    }
}

#[test]
fn a_server_that_takes_too_long() {
    let backend = Backend::new(|peer| {
        let seen = peer.request();
        if seen.is_some_and(|seen| seen.head.starts_with("GET /half")) {
            peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        }
        while peer.fill() {}
    });
    let server = with(in_front_of(&[backend.address]), &["Timeout 1"]).start();
    let mut client = server.client();
    client.get("/").is(504);
    client.get("/").is(504);
    let text = String::from_utf8(server.client().send(request("GET /half", "")).rest()).expect("text");
    assert!(text.ends_with("\r\n\r\nhello"), "{text}");
    backend.is_left();
}

#[test]
fn a_client_may_take_longer_than_a_server() {
    let backend = Backend::saying(OK);
    let server = with(in_front_of(&[backend.address]), &["Timeout 1"]).start();
    let mut client = server.client();
    client.send(request("POST /", "Content-Length: 5\r\n") + "he");
    std::thread::sleep(Duration::from_millis(1600));
    client.send("llo").answer(false).is(200);
}

#[test]
fn a_client_that_does_not_take_its_answer_is_not_the_servers_fault() {
    let total = 1 << 20;
    let backend = Backend::new(move |peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
        // In pieces, so that all that has come is read before there is more.
        for piece in pattern(total).chunks(3000) {
            if !peer.send(piece) {
                return;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        while peer.fill() {}
    });
    let server = with(in_front_of(&[backend.address]), &["Timeout 1"]).start();
    let mut client = server.client();
    client.send(request("GET /", ""));
    client.head();
    std::thread::sleep(Duration::from_millis(2600));
    assert!(client.take(total) == pattern(total), "what came differs");
    assert!(!server.log().contains("too long"), "{}", server.log());
}

#[test]
fn who_waits_while_the_lines_change_does_not_go_to_another_server() {
    let barrier = Arc::new(Barrier::new(2));
    let gate = Arc::clone(&barrier);
    let backend = Backend::answering(move |_| {
        gate.wait();
        OK.replace('\n', "\r\n").into_bytes()
    });
    let other = Backend::saying(OK);
    let server = with(in_front_of(&[backend.address]), &["Requests 1"]).start();
    let (mut first, mut second) = (server.client(), server.client());
    first.send(request("GET /1", ""));
    assert!(eventually(|| backend.seen().len() == 1));
    second.send(request("GET /2", ""));
    second.is_silent(Duration::from_millis(100));
    // One that changes nothing does no harm.
    server.reload();
    second.is_silent(Duration::from_millis(100));
    let lines = [format!("Location /admin proxy {}", other.address), format!("Location / proxy {}", backend.address)];
    server.dir.write(
        "conf/sites/default",
        format!("[HOST]\n    ServerName test\n    DocumentRoot ../root\n[HANDLERS]\n    {}\n", lines.join("\n    ")),
    );
    server.reload();
    barrier.wait();
    first.answer(false).is(200);
    second.answer(false).is(503);
    assert_eq!((backend.seen().len(), other.seen().len()), (1, 0));
}

/// Listens at a socket with a name, its queue full of connections that say nothing, and serves it when it reads a line.
const FULL: &str = r#"
import socket, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(0)
others = []
while True:
    other = socket.socket(socket.AF_UNIX)
    other.setblocking(False)
    try:
        other.connect(sys.argv[1])
    except BlockingIOError:
        break
    others.append(other)
print("full", flush=True)
sys.stdin.readline()
for other in others:
    other.close()
while True:
    stream, _ = listener.accept()
    if stream.recv(4096):
        stream.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello")
    stream.close()
"#;

#[test]
fn a_socket_whose_queue_is_full_is_asked_again() {
    let setup = Setup::new().workers(1);
    let path = setup.dir.path("backend.sock");
    let server = setup.section("HANDLERS", &[&format!("Location / proxy {}", path.display())]).start();
    let mut python = Command::new("python3");
    python.args(["-c", FULL]).arg(&path).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut python = Ended(python.spawn().expect("python3"));
    let mut line = [0; 5];
    python.0.stdout.as_mut().expect("a pipe").read_exact(&mut line).expect("a line");
    let mut client = server.client();
    client.send(request("GET /", ""));
    client.is_silent(Duration::from_millis(300));
    python.0.stdin.as_mut().expect("a pipe").write_all(b"go on\n").expect("a reader");
    let since = Instant::now();
    assert_eq!(client.answer(false).is(200).text(), "hello");
    // It does not take as long as it may wait.
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}

/// A program that ends when this is dropped.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn more_than_may_be_under_way_wait_and_more_than_may_wait_are_refused() {
    let barrier = Arc::new(Barrier::new(2));
    let gate = Arc::clone(&barrier);
    let backend = Backend::answering(move |seen| {
        if seen.head.starts_with("GET /gate") {
            gate.wait();
        }
        OK.replace('\n', "\r\n").into_bytes()
    });
    let server = with(in_front_of(&[backend.address]), &["Requests 1", "Queue 2"]).start();
    let mut first = server.client();
    first.send(request("GET /gate", ""));
    assert!(eventually(|| backend.seen().len() == 1));
    let mut waiting: Vec<_> = (0..2).map(|_| server.client()).collect();
    for client in &mut waiting {
        client.send(request("GET /", ""));
        client.is_silent(Duration::from_millis(100));
    }
    server.get("/").is(503);
    assert_eq!(backend.seen().len(), 1);
    barrier.wait();
    first.answer(false).is(200);
    for client in &mut waiting {
        client.answer(false).is(200);
    }
    assert_eq!(backend.seen().len(), 3);
}

#[test]
fn fifty_clients_at_once() {
    let backend = Backend::answering(|seen| {
        let path = seen.head.split(' ').nth(1).unwrap_or_default().to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).into_bytes()
    });
    let server = in_front_of(&[backend.address]).workers(2).server("MemoryLimit 6000").start();
    let before = server.descriptors();
    std::thread::scope(|scope| {
        for client in 0..50 {
            let server = &server;
            scope.spawn(move || {
                let mut connection = server.client();
                for number in 0..20 {
                    let path = format!("/{client}/{number}");
                    assert_eq!(connection.get(&path).is(200).text(), path);
                }
            });
        }
    });
    assert_eq!(backend.seen().len(), 1000);
    // Those that are kept: four of each worker.
    assert!(eventually(|| server.descriptors() <= before + 8), "{} descriptors, {before} before", server.descriptors());
}

#[test]
fn a_socket_with_a_name() {
    let server = in_front_of(&["/nowhere/at.all"]).start();
    server.get("/").is(502);
    let path = server.dir.path("backend.sock");
    let listener = UnixListener::bind(&path).expect("a socket");
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a head");
            head.push(byte[0]);
        }
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nhello").expect("an answer");
        String::from_utf8(head).expect("text")
    });
    let text = format!(
        "[HOST]\n    ServerName test\n    DocumentRoot ../root\n[HANDLERS]\n    Location / proxy {}\n",
        path.display()
    );
    server.dir.write("conf/sites/default", text);
    server.reload();
    assert_eq!(server.get("/x").is(200).text(), "hello");
    assert!(thread.join().expect("a request").starts_with("GET /x HTTP/1.1\r\nHost: test\r\n"));
}
