//! The way of an answer from a server behind this one to a client. The input is a byte that says what was asked (its two highest bits) and
//! how the rest is split, then what the server sends until it closes.

use super::relay::Relay;
use crate::http::clock::Clock;
use crate::http::output::Output;
use crate::plugin::backend::PIECE;
use crate::plugin::backend::protocol::Answering;
use crate::plugin::backend::relay::Fed;
use crate::plugin::events::Watches;
use crate::plugin::host::Host;
use crate::plugin::nobody::Nobody;
use crate::plugin::scene::{Scene, Wakes};
use crate::storage::pool::{Class, Pool};
use crate::sys::memory::Region;
use crate::vhost::request::Request;
use crate::wire::chars::is_word;
use crate::wire::chunked::{Chunked, Piece};
use crate::wire::head::{Head, Method, Version, parse_head};
use crate::wire::response::{Framing, Response, parse_response};

const REQUESTS: [&[u8]; 4] = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
];

type Field = (Vec<u8>, Vec<u8>);

/// An answer: its status, the fields that are the server's own, its content, and whether that is whole.
#[derive(PartialEq, Eq, Debug)]
struct Answer {
    status: u16,
    fields: Vec<Field>,
    content: Vec<u8>,
    whole: bool,
}

/// Checks that a client gets the answer that the server has sent, or none, whatever the pieces are in which it comes.
pub fn run(data: &[u8]) {
    let Some((&seed, input)) = data.split_first() else { return };
    let request = REQUESTS[usize::from(seed >> 6)];
    let mut head = Head::new();
    parse_head(request, &mut head).expect("a request");
    let expected = sent(input, &head);
    for at_once in [PIECE, usize::from(seed & 63) + 1] {
        let (out, fed, reusable) = relay(request, &head, input, at_once);
        let got = match fed {
            Fed::Refuse(status) => {
                assert!(status == 502 && out.is_empty(), "refused behind {}", out.escape_ascii());
                None
            }
            fed => Some(read(&out, &head, fed == Fed::Whole)),
        };
        let (wanted, used) = match &expected {
            Some((answer, used)) => (Some(answer), *used),
            None => (None, 0),
        };
        assert_eq!(got.as_ref(), wanted, "{at_once} bytes at once");
        // What comes behind an answer would be taken for the next one.
        assert!(!reusable || used == input.len() || input.len() > at_once);
    }
}

/// What the server has sent, in so far as it is an answer, and how much of the input that was.
fn sent(input: &[u8], asked: &Head) -> Option<(Answer, usize)> {
    let mut at = 0;
    for _ in 0..=16 {
        let rest = &input[at..];
        let head = parse_response(rest, 0, asked.method).ok()??;
        if head.is_interim() {
            at += head.end;
            continue;
        }
        let is_websocket = asked.upgrade && is_word(head.upgrade.of(rest), b"websocket");
        if head.status == 101 && !is_websocket {
            return None;
        }
        let (content, whole, used) = content(&head, &rest[head.end..]);
        return Some((Answer { status: head.status, fields: own(&head, rest), content, whole }, at + head.end + used));
    }
    None
}

/// What a client reads.
fn read(out: &[u8], asked: &Head, whole: bool) -> Answer {
    let head = parse_response(out, 0, asked.method).ok().flatten().expect("a head that can be read in one way");
    let lines: Vec<&[u8]> = out[..head.end].split(|&byte| byte == b'\n').collect();
    for name in [&b"server:"[..], b"date:", b"content-length:", b"transfer-encoding:", b"connection:"] {
        let count =
            lines.iter().filter(|line| line.get(..name.len()).is_some_and(|start| is_word(start, name))).count();
        assert!(count <= 1, "{count} of {}", name.escape_ascii());
    }
    assert!(asked.version == Version::Http11 || head.framing != Framing::Chunked);
    // HTTP/1.0 has no other end of what has no length.
    assert!(asked.version == Version::Http10 || head.framing != Framing::UntilClose);
    let (content, ends, used) = content(&head, &out[head.end..]);
    assert_eq!(used, out.len() - head.end, "more than an answer");
    assert!(ends == whole || head.framing == Framing::UntilClose);
    Answer { status: head.status, fields: own(&head, out), content, whole }
}

/// The fields that are passed on.
fn own(head: &Response, buf: &[u8]) -> Vec<Field> {
    let fields = head.fields(buf).filter(|(name, _)| !is_word(name, b"server") && !is_word(name, b"date"));
    fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// The content in what follows a head until the connection is closed, whether it is whole, and how many bytes it took.
fn content(head: &Response, rest: &[u8]) -> (Vec<u8>, bool, usize) {
    match head.framing {
        _ if head.status == 101 => (rest.to_vec(), true, rest.len()),
        Framing::None => (Vec::new(), true, 0),
        Framing::UntilClose => (rest.to_vec(), true, rest.len()),
        Framing::Length(length) => {
            let len = usize::try_from(length).unwrap_or(usize::MAX).min(rest.len());
            (rest[..len].to_vec(), len as u64 == length, len)
        }
        Framing::Chunked => {
            let (mut coding, mut content, mut at) = (Chunked::default(), Vec::new(), 0);
            loop {
                match coding.next(&rest[at..]) {
                    Ok(Piece::Data { framing, len }) => {
                        content.extend_from_slice(&rest[at + framing..at + framing + len]);
                        coding.took(len);
                        at += framing + len;
                    }
                    Ok(Piece::End { framing }) => return (content, true, at + framing),
                    Ok(Piece::More { framing }) => return (content, false, at + framing),
                    Err(_) => return (content, false, at),
                }
            }
        }
    }
}

/// What a client gets of an answer that comes so many bytes at a time, what became of it, and whether the connection would be kept.
fn relay(request: &[u8], head: &Head, input: &[u8], at_once: usize) -> (Vec<u8>, Fed, bool) {
    thread_local! {
        static NOBODY: Nobody = Nobody::with_defaults();
    }
    NOBODY.with(|nobody| {
        let live = nobody.live();
        let mut path = [0; 8];
        let Ok(request) = Request::route(&live, head, request, &mut path, head.persistent()) else { unreachable!() };
        let clock = Clock::new(0, 1_795_321_396);
        let mut out = Output::new(crate::limits::OUTPUT_ROOM).expect("memory");
        let classes = [1024, 4096, 16384, 32768].map(|size| Class { size, count: 2 });
        let mut pool = Pool::new(&classes).expect("memory");
        let (mut watches, mut wakes) = (Watches::new(None, 0, 0, 0), Wakes::new(1));
        let mut scratch = Region::new(1).expect("memory");
        let mut relay = Relay::default();
        let (mut all, mut fed, mut ends) = (Vec::new(), Fed::More, false);
        for piece in input.chunks(at_once).map(Some).chain([None]) {
            let mut scene = Scene {
                live: &live,
                clock: &clock,
                out: &mut out,
                pool: &mut pool,
                host: nobody,
                watches: &mut watches,
                scratch: &mut scratch,
                wakes: &mut wakes,
                connection: 0,
                client: None,
                again: false,
                last: false,
            };
            fed = match piece {
                Some(piece) => relay.feed(piece, &mut scene, Some(&request)),
                None => relay.end(&mut scene),
            };
            ends |= scene.last;
            assert!(!out.overflowed());
            all.extend_from_slice(out.bytes());
            out.clear();
            if fed != Fed::More {
                break;
            }
        }
        let reusable = relay.is_reusable();
        relay.release(&mut pool);
        assert_eq!(pool.lent(), 0, "buffers are lent");
        // A body without an end of its own is the last of its connection.
        let until_close = parse_response(&all, 0, Method::Get).ok().flatten();
        let until_close = until_close.is_some_and(|head| head.framing == Framing::UntilClose || head.status == 101);
        assert!(ends || head.method == Method::Head || !until_close);
        (all, fed, reusable)
    })
}
