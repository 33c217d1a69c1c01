//! Bodies of any size in both directions, and those who are slow to send or take them.

use std::time::Duration;

use super::backend::Backend;
use super::{OK, in_front_of, with};
use crate::util::{eventually, moves_all, pattern, request};

/// Bytes of a large body.
fn large() -> usize {
    if moves_all() { 20 << 20 } else { 200 << 10 }
}

/// Resident memory of the server, KB: now, and the most there was.
fn resident(pid: u32) -> (u64, u64) {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    };
    (of("VmRSS:"), of("VmHWM:"))
}

#[test]
fn a_large_body_goes_through_in_both_framings() {
    let backend = Backend::saying(OK);
    let server = in_front_of(&[backend.address]).start();
    let body = pattern(large());
    let mut client = server.client();
    client.send(request("POST /", &format!("Content-Length: {}\r\n", body.len())));
    client.send(&body).answer(false).is(200);
    client.send(request("POST /", "Transfer-Encoding: chunked\r\n"));
    for chunk in body.chunks(70_001) {
        client.send(format!("{:x}\r\n", chunk.len())).send(chunk).send("\r\n");
    }
    client.send("0\r\n\r\n").answer(false).is(200);
    let seen = backend.seen();
    assert!(seen.len() == 2 && seen.iter().all(|seen| seen.body == body), "the bodies differ");
    assert_eq!(seen[0].field("Content-Length"), Some(body.len().to_string().as_str()));
    assert_eq!(seen[1].field("Transfer-Encoding"), Some("chunked"));
}

#[test]
fn a_large_answer_comes_through_in_every_framing() {
    let body = pattern(large());
    let expected = body.clone();
    let backend = Backend::answering(move |seen| {
        let mut answer = b"HTTP/1.1 200 OK\r\n".to_vec();
        if seen.head.starts_with("GET /length") {
            answer.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
            answer.extend_from_slice(&body);
        } else if seen.head.starts_with("GET /chunks") {
            answer.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in body.chunks(9001) {
                answer.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                answer.extend_from_slice(chunk);
                answer.extend_from_slice(b"\r\n");
            }
            answer.extend_from_slice(b"0\r\n\r\n");
        } else {
            answer.extend_from_slice(b"Connection: close\r\n\r\n");
            answer.extend_from_slice(&body);
        }
        answer
    });
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    for path in ["/length", "/chunks", "/close"] {
        assert!(client.get(path).is(200).body == expected, "{path} differs");
    }
    // With the length of an answer that ends with its connection, the server is done before the client.
    assert_eq!(backend.accepted(), 1);
}

#[test]
fn a_client_that_does_not_read_holds_the_backend_back() {
    let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = std::sync::Arc::clone(&sent);
    let total = if moves_all() { 64 << 20 } else { 1 << 20 };
    let backend = Backend::new(move |peer| {
        peer.request();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
        let piece = pattern(64 * 1024);
        for _ in 0..total / piece.len() {
            if !peer.send(&piece) {
                return;
            }
            count.fetch_add(piece.len(), std::sync::atomic::Ordering::AcqRel);
        }
    });
    let server = in_front_of(&[backend.address]).start();
    let (before, _) = resident(server.pid());
    let mut client = server.client();
    client.send(request("GET /", ""));
    client.head();
    let sent = || sent.load(std::sync::atomic::Ordering::Acquire);
    let mut last = usize::MAX;
    assert!(eventually(|| {
        std::thread::sleep(Duration::from_millis(200));
        std::mem::replace(&mut last, sent()) == last
    }));
    if moves_all() {
        assert!(sent() < total / 2, "{} bytes went into nothing", sent());
    }
    assert!(client.take(total).ends_with(&pattern(64 * 1024)[64 * 1024 - 100..]));
    let (_, most) = resident(server.pid());
    assert!(most < before + 1500, "{most} KB at most, {before} before");
}

#[test]
fn a_backend_that_does_not_read_holds_the_client_back() {
    let backend = Backend::new(|peer| {
        peer.head();
        std::thread::sleep(Duration::from_millis(700));
        while peer.rest().len() < (1 << 30) && peer.fill() {}
    });
    let server = with(in_front_of(&[backend.address]), &["Timeout 10"]).start();
    let (before, _) = resident(server.pid());
    let mut client = server.client();
    client.send(request("POST /", "Content-Length: 1073741824\r\n"));
    // A byte at a time all that the kernel holds would take minutes.
    let (pieces, piece) = if moves_all() { (256, pattern(1 << 20)) } else { (4, pattern(1 << 16)) };
    let mut taken = 0;
    for _ in 0..pieces {
        let sent = client.send_until_full(&piece, Duration::from_millis(200));
        taken += sent;
        if sent < piece.len() {
            break;
        }
    }
    assert!(taken < 128 << 20, "{taken} bytes went into nothing");
    assert!(eventually(|| backend.open() == 1));
    let (now, _) = resident(server.pid());
    assert!(now < before + 1500, "{now} KB, {before} before");
    drop(client);
    backend.is_left();
}

#[test]
fn an_answer_that_comes_before_the_body_is_passed_on() {
    let backend = Backend::new(|peer| {
        peer.head();
        peer.send("HTTP/1.1 413 Too much\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno\n");
        peer.half_close();
        while peer.fill() {
            peer.rest();
        }
    });
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    client.send(request("POST /", "Content-Length: 100000000\r\n") + "beginning");
    let answer = client.answer(false).is(413);
    assert_eq!((answer.text(), answer.closes()), ("no\n", false));
    // What is left of the body is no request.
    client.is_closed();
    backend.is_left();
}

#[test]
fn an_echo_that_answers_while_it_reads_does_not_lock_up() {
    let total = if moves_all() { 8 << 20 } else { 200 << 10 };
    let backend = Backend::new(move |peer| {
        peer.head();
        peer.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {total}\r\n\r\n"));
        let mut echoed = 0;
        while echoed < total {
            let piece = peer.rest();
            if piece.is_empty() && !peer.fill() {
                return;
            }
            echoed += piece.len();
            if !peer.send(piece) {
                return;
            }
        }
    });
    let server = in_front_of(&[backend.address]).start();
    let body = pattern(total);
    let mut client = server.client();
    client.send(request("POST /", &format!("Content-Length: {total}\r\n")));
    let mut sender = client.another();
    let sent = body.clone();
    let thread = std::thread::spawn(move || {
        sender.send(&sent);
    });
    assert!(client.answer(false).is(200).body == body, "the echo differs");
    thread.join().expect("all is sent");
}
