//! What a client gets of an answer that comes in pieces: for the tests of what relays one.

use super::relay::Fed;
use crate::http::clock::Clock;
use crate::http::output::Output;
use crate::plugin::events::Watches;
use crate::plugin::host::Host;
use crate::plugin::nobody::Nobody;
use crate::plugin::scene::{Scene, Wakes};
use crate::storage::pool::{Class, Pool};
use crate::sys::memory::Region;
use crate::vhost::request::Request;
use crate::wire::head::{Head, parse_head};

/// How a relay is used.
pub struct Calls<R> {
    /// A piece, or the end.
    pub feed: fn(&mut R, Option<&[u8]>, &mut Scene<'_>, &Request<'_>) -> Fed,
    /// The path of [`Fed::Local`].
    pub local: fn(&R, &Pool) -> Vec<u8>,
    /// The end of it.
    pub release: fn(R, &mut Pool),
}

/// What a client gets of an answer that comes so many bytes at a time, without Server and Date, chunks put together; and what became
/// of the answer.
pub fn relay<R>(request: &str, answer: &str, at_once: usize, mut relay: R, calls: &Calls<R>) -> (String, Fed) {
    let nobody = Nobody::with_defaults();
    let live = nobody.live();
    let input = format!("{request}\r\nHost: a\r\n\r\n");
    let mut head = Head::new();
    parse_head(input.as_bytes(), &mut head).unwrap();
    let mut room = [0; 64];
    let persistent = head.persistent();
    let request = Request::route(&live, &head, input.as_bytes(), &mut room, persistent).ok().unwrap();
    let clock = Clock::new(0, 1_795_321_396);
    let mut out = Output::new(32 * 1024).unwrap();
    let mut pool = Pool::new(&[1024u32, 4096, 16384, 32768].map(|size| Class { size, count: 2 })).unwrap();
    let (mut watches, mut wakes) = (Watches::new(None, 0, 0, 0), Wakes::new(1));
    let mut scratch = Region::new(1).unwrap();
    let mut text = Vec::new();
    let mut fed = Fed::More;
    let mut last = false;
    for piece in answer.as_bytes().chunks(at_once).map(Some).chain([None]) {
        let mut scene = Scene {
            live: &live,
            clock: &clock,
            out: &mut out,
            pool: &mut pool,
            host: &nobody,
            watches: &mut watches,
            scratch: &mut scratch,
            wakes: &mut wakes,
            connection: 0,
            client: None,
            again: false,
            last: false,
        };
        fed = (calls.feed)(&mut relay, piece, &mut scene, &request);
        last |= scene.last;
        assert!(!out.overflowed());
        text.extend_from_slice(out.bytes());
        out.clear();
        if fed != Fed::More {
            break;
        }
    }
    if fed == Fed::Local {
        text = (calls.local)(&relay, &pool);
    }
    (calls.release)(relay, &mut pool);
    assert_eq!(pool.lent(), 0);
    let text = String::from_utf8(text).unwrap();
    let lines =
        text.split_inclusive("\r\n").filter(|line| !line.starts_with("Server: ") && !line.starts_with("Date: "));
    let mut text: String = lines.collect();
    assert_eq!(last, text.contains("Connection: Close\r\n") && text.starts_with("HTTP/1.1 2") && !persistent);
    if let Some((head, mut chunks)) = text.split_once("\r\n\r\n").filter(|(head, _)| head.contains("chunked")) {
        let mut whole = format!("{head}\r\n\r\n");
        while let Some((size, rest)) = chunks.split_once("\r\n") {
            let size = usize::from_str_radix(size, 16).unwrap();
            whole += &rest[..size];
            chunks = &rest[size + 2..];
            if size == 0 {
                whole += "<end>";
            }
        }
        text = whole + chunks;
    }
    (text, fed)
}
