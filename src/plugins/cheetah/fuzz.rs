//! The admin shell. The input is what a client sends until it closes.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use super::commands::{Facts, Scene, wants_json};
use super::outbox::Outbox;
use super::protocol::{END, HELLO, LINE_MAX, START};
use super::session::{Next, Session};
use crate::log::{LevelFilter, set_level};
use crate::plugin::events::Watches;
use crate::plugin::nobody::Nobody;
use crate::wire::json::{Value, parse};

/// What workers tell of their connections.
const CONNECTIONS: [&[u8]; 2] = [b"0 192.0.2.7 40000 idle 12 345 6", b"1 2001:db8::1 40001 verdict 4294967295 0 0"];
/// What controls a terminal in an answer: of `clear`, and the colours.
const CLEAR: &str = "\x1b[2J\x1b[1;1H";
const COLOURS: [&str; 3] = ["\x1b[1;33m", "\x1b[1;32m", "\x1b[0m"];

thread_local! {
    static NOBODY: Nobody = Nobody::with_defaults();
}

/// Checks that the way a client's bytes arrive changes nothing, that nothing which controls a terminal comes back, and that a program
/// gets a line of JSON for each command.
pub fn run(data: &[u8]) {
    let answers = talk(data, data.len().max(1));
    assert_eq!(String::from_utf8_lossy(&answers), String::from_utf8_lossy(&talk(data, data.len() / 3 + 1)));
    let lines: Vec<&[u8]> = data.split(|&byte| byte == b'\n').collect();
    let (first, any_long) = (lines[0], lines.iter().any(|line| line.len() >= LINE_MAX));
    let mut text = String::from_utf8(answers).expect("UTF-8").replace(CLEAR, "");
    if first.first() == Some(&HELLO) && !any_long {
        text = text.strip_prefix(char::from(START)).expect("what is meant for the client").into();
        if first[1..].trim_ascii().split(|&byte| byte == b' ').next() == Some(b"run") {
            text.truncate(text.len().saturating_sub(1));
            text = text.strip_suffix(char::from(END)).expect("an end").into();
        }
    } else if !any_long && wants_json(first.trim_ascii()) {
        assert!(text.lines().all(|line| matches!(parse(line.as_bytes()), Some(Value::Object(_)))), "{text}");
        assert!(text.lines().count() <= lines.iter().filter(|line| !line.trim_ascii().is_empty()).count(), "{text}");
    }
    if data.contains(&HELLO) {
        for mark in COLOURS.into_iter().chain(any_long.then_some("\x02")).chain(any_long.then_some("\x03")) {
            text = text.replace(mark, "");
        }
    }
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

/// What comes back when the bytes come so many at a time.
fn talk(data: &[u8], at_once: usize) -> Vec<u8> {
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    client.set_nonblocking(true).and_then(|()| server.set_nonblocking(true)).expect("sockets that do not wait");
    let mut session = Some(Session::new(server.into(), None, Outbox::new().expect("memory")));
    let facts = Facts { mode: "SERVER @ /run/\x1b[socket".into(), user: "nobody".into() };
    let mut answers = Vec::new();
    // What a command may have changed.
    set_level(LevelFilter::Warn);
    NOBODY.with(|nobody| {
        let scene = Scene { host: nobody, facts: &facts };
        for piece in data.chunks(at_once).chain([&b""[..]]) {
            match piece {
                b"" => drop(client.shutdown(Shutdown::Write)),
                // It may have closed.
                piece => drop(client.write(piece)),
            }
            // Each turn does what is in one line at least.
            for _ in 0..piece.len() + 8 {
                let Some(it) = &mut session else { break };
                let said = answers.len();
                let next = it.pump(&scene, &mut Watches::new(None, 0, 0, 0));
                let _ = client.read_to_end(&mut answers);
                match next {
                    Next::Drop => session = None,
                    Next::Connections => {
                        CONNECTIONS.iter().for_each(|line| it.tell(line));
                        it.told(2);
                    }
                    Next::Keep if answers.len() == said && !it.has_more() => break,
                    Next::Keep => {}
                }
            }
        }
        assert!(session.is_none(), "a client that has closed is still there");
        drop(session);
    });
    let _ = client.read_to_end(&mut answers);
    answers
}
