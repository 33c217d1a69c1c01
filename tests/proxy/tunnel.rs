//! WebSockets, and what else may go through once the connection is no longer one of HTTP.

use std::time::{Duration, Instant};

use super::backend::{Backend, Peer};
use super::{example_server, in_front_of, with};
use crate::util::{Client, eventually, moves_all, pattern, request};

const ASK: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const YES: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A frame of RFC 6455 section 5.2, masked as a client has to.
fn frame(opcode: u8, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![0x80 | opcode];
    match payload.len() {
        len @ 0..=125 => frame.push(bit | len as u8),
        len @ 126..=0xffff => {
            frame.push(bit | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(bit | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&mask.unwrap_or_default()[..if mask.is_some() { 4 } else { 0 }]);
    let mask = mask.unwrap_or_default();
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// Reads a frame: its opcode and payload.
fn read_frame(take: &mut dyn FnMut(usize) -> Option<Vec<u8>>) -> Option<(u8, Vec<u8>)> {
    let start = take(2)?;
    let len = match start[1] & 0x7f {
        126 => u64::from(u16::from_be_bytes(take(2)?.try_into().ok()?)),
        127 => u64::from_be_bytes(take(8)?.try_into().ok()?),
        len => len.into(),
    };
    let mask: [u8; 4] = if start[1] & 0x80 != 0 { take(4)?.try_into().ok()? } else { [0; 4] };
    let payload = take(len as usize)?;
    Some((start[0] & 15, payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect()))
}

/// A server of WebSockets that sends back what it gets, until it is told to close.
fn echo(peer: &mut Peer) {
    let Some(seen) = peer.request() else { return };
    assert_eq!(seen.field("Upgrade"), Some("websocket"));
    assert_eq!(seen.field("Sec-WebSocket-Key"), Some("dGhlIHNhbXBsZSBub25jZQ=="));
    peer.send(YES);
    while let Some((opcode, payload)) = read_frame(&mut |len| peer.take(len)) {
        peer.send(frame(opcode, &payload, None));
        if opcode == 8 {
            return;
        }
    }
}

#[track_caller]
fn open(client: &mut Client) {
    client.send(request("GET /ws", ASK));
    let head = client.head();
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    for line in
        ["Upgrade: websocket\r\n", "Connection: Upgrade\r\n", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"]
    {
        assert!(head.contains(line), "{head}");
    }
}

#[track_caller]
fn exchange(client: &mut Client, payload: &[u8]) {
    client.send(frame(2, payload, Some([1, 2, 3, 4])));
    let (opcode, back) = read_frame(&mut |len| Some(client.take(len))).expect("a frame");
    assert!(opcode == 2 && back == payload, "an echo of {} bytes differs", payload.len());
}

#[test]
fn frames_of_all_sizes_come_back() {
    let backend = Backend::new(echo);
    let server = in_front_of(&[backend.address]).start();
    let before = server.descriptors();
    let mut client = server.client();
    open(&mut client);
    let large = if moves_all() { 5 << 20 } else { 100 << 10 };
    for size in [0, 1, 125, 126, 65_535, 65_536] {
        exchange(&mut client, &pattern(size));
    }
    // More than all buffers on the way hold: it is sent while it comes back.
    let payload = pattern(large);
    let sent = frame(2, &payload, Some([9, 8, 7, 6]));
    let mut sender = client.another();
    let thread = std::thread::spawn(move || {
        sender.send(&sent);
    });
    let (_, back) = read_frame(&mut |len| Some(client.take(len))).expect("a frame");
    assert!(back == payload, "the echo differs");
    thread.join().expect("all is sent");
    // RFC 6455 section 7.1.1: the server closes first.
    client.send(frame(8, &[3, 0xe8], Some([1, 1, 1, 1])));
    assert_eq!(read_frame(&mut |len| Some(client.take(len))), Some((8, vec![3, 0xe8])));
    client.is_closed();
    backend.is_left();
    drop(client);
    assert!(eventually(|| server.descriptors() == before), "{} descriptors, {before} before", server.descriptors());
}

#[test]
fn what_comes_with_the_request_is_not_lost() {
    let backend = Backend::new(echo);
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    let mut bytes = request("GET /ws", ASK).into_bytes();
    bytes.extend(frame(1, b"early", Some([1, 2, 3, 4])));
    client.send(bytes);
    client.head();
    assert_eq!(read_frame(&mut |len| Some(client.take(len))), Some((1, b"early".to_vec())));
}

#[test]
fn what_the_server_says_first_comes_at_once() {
    let backend = Backend::new(|peer| {
        peer.request();
        let mut bytes = YES.as_bytes().to_vec();
        bytes.extend(frame(1, b"hello", None));
        peer.send(bytes);
        std::thread::sleep(Duration::from_millis(100));
        peer.send(frame(1, b"again", None));
        while peer.fill() {}
    });
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    open(&mut client);
    for word in ["hello", "again"] {
        assert_eq!(read_frame(&mut |len| Some(client.take(len))), Some((1, word.into())));
    }
}

#[test]
fn a_client_that_leaves_is_noticed() {
    let backend = Backend::new(echo);
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    open(&mut client);
    exchange(&mut client, b"x");
    assert_eq!(backend.open(), 1);
    drop(client);
    backend.is_left();
}

#[test]
fn a_backend_that_leaves_is_noticed() {
    let backend = Backend::new(|peer| {
        peer.request();
        peer.send(YES);
        peer.take(3);
        peer.send("bye");
    });
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    open(&mut client);
    client.send("abc");
    assert_eq!(client.take(3), b"bye");
    client.is_closed();
}

#[test]
fn the_end_of_what_a_client_sends_is_not_the_end_of_what_it_gets() {
    let backend = Backend::new(|peer| {
        peer.request();
        peer.send(YES);
        while peer.fill() {}
        std::thread::sleep(Duration::from_millis(200));
        let all = peer.rest();
        peer.send(all);
    });
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    open(&mut client);
    client.send("all of it");
    client.half_close();
    assert_eq!(client.rest(), b"all of it");
    backend.is_left();
}

#[test]
fn it_outlives_the_limits_of_requests() {
    let backend = Backend::new(echo);
    let setup = with(in_front_of(&[backend.address]), &["Timeout 1"]);
    let server = setup.server("Timeout 1").server("KeepAliveTimeout 1").start();
    let mut client = server.client();
    open(&mut client);
    exchange(&mut client, b"x");
    client.is_silent(Duration::from_millis(2500));
    exchange(&mut client, b"y");
    client.is_silent(Duration::from_millis(1500));
    exchange(&mut client, b"z");
}

#[test]
fn both_directions_go_on_though_one_is_full() {
    let total = if moves_all() { 32 << 20 } else { 1 << 20 };
    let backend = Backend::new(move |peer| {
        peer.request();
        peer.send(YES);
        // Sends much that nobody reads yet, in a thread of its own, and answers a word at once.
        let mut stream = peer.stream.try_clone().expect("a descriptor");
        let thread = std::thread::spawn(move || {
            use std::io::Write;
            let _ = stream.write_all(&pattern(total));
        });
        let word = peer.take(5);
        peer.note(&super::backend::Seen { head: "word".into(), body: word.unwrap_or_default() });
        let _ = thread.join();
    });
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    open(&mut client);
    std::thread::sleep(Duration::from_millis(500));
    client.send("hello");
    assert!(eventually(|| backend.seen().iter().any(|seen| seen.body == b"hello")), "held up by the other direction");
    assert!(client.take(total) == pattern(total), "what came differs");
    client.is_closed();
}

#[test]
fn a_server_that_does_not_want_to_says_so() {
    let backend = Backend::saying("HTTP/1.1 400 No\nContent-Length: 2\n\nno");
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    client.send(request("GET /ws", ASK));
    assert_eq!(client.answer(false).is(400).text(), "no");
    // And the connection goes on as one of HTTP.
    client.get("/").is(400);
    assert_eq!(backend.seen().len(), 2);
}

#[test]
fn a_server_that_stops_does_not_wait_for_it() {
    let backend = Backend::new(echo);
    let mut server = in_front_of(&[backend.address]).start();
    let (mut idle, mut busy) = (server.client(), server.client());
    open(&mut idle);
    open(&mut busy);
    // Nobody takes what comes back.
    busy.send_until_full(&frame(2, &pattern(1 << 20), Some([1, 2, 3, 4])), Duration::from_millis(300));
    server.signal("TERM");
    let since = Instant::now();
    assert_eq!(server.ended(), Some(0));
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    idle.is_closed();
    backend.is_left();
}

#[test]
fn it_is_told_of_in_the_access_log() {
    let backend = Backend::new(echo);
    let server = in_front_of(&[backend.address]).section("LOGGER", &["AccessLog ../access.log"]).start();
    let mut client = server.client();
    open(&mut client);
    exchange(&mut client, b"x");
    let log = server.dir.path("access.log");
    let told = || std::fs::read_to_string(&log).is_ok_and(|text| text.contains("GET /ws HTTP/1.1 101"));
    assert!(eventually(told), "{:?}", std::fs::read_to_string(&log));
    drop(client);
    backend.is_left();
    assert_eq!(std::fs::read_to_string(&log).unwrap_or_default().lines().count(), 1);
}

#[test]
fn the_example_of_the_page() {
    let (backend, files) = (Backend::new(echo), Backend::saying(super::OK));
    let server = example_server("websocket", &[&files, &backend]);
    let mut client = server.client();
    open(&mut client);
    exchange(&mut client, b"x");
    assert_eq!(server.get("/other").is(200).text(), "ok");
}
