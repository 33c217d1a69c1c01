//! A request as a server behind this one gets it: written anew from what was understood, so that the two can not differ about it.

use core::net::IpAddr;

use crate::http::output::Sink;
use crate::vhost::request::Request;
use crate::wire::chars::is_word;
use crate::wire::fields::{end_to_end, is_hop_by_hop};
use crate::wire::forwarded::{Element, proto, push_forwarded, push_x_forwarded_for};
use crate::wire::head::{Framing, Method, Name, Version};
use crate::wire::list::members;
use crate::wire::target::write_encoded;
use crate::wire::writer::Writer;

/// What is told besides the request.
#[derive(Clone, Copy, Debug)]
pub struct About<'a> {
    /// The address of who asks.
    pub client: IpAddr,
    /// The value of `Host`; None = what the client has asked for.
    pub host: Option<&'a [u8]>,
    /// The value of `Host` for a client that has named none (HTTP/1.0).
    pub fallback: &'a [u8],
    /// Whether the connection can take another request after this one.
    pub keep: bool,
}

/// Fields of a request that are written anew or left out, whatever else is passed on: what a client says about who it is is not believed,
/// and what it expects (RFC 9110 section 10.1.1) was done here. To these belong all that begin with `X-Forwarded-`.
const OWN: [&[u8]; 6] = [b"host", b"content-length", b"expect", b"forwarded", b"x-real-ip", b"proxy"];

/// Longest name that is compared with its underscores read as hyphens. No name of those in question is longer.
const NAME_MAX: usize = 32;

/// RFC 9110 section 9.2.2: whether doing a request twice does no more than doing it once.
pub fn is_idempotent(method: Method) -> bool {
    matches!(method, Method::Get | Method::Head | Method::Options | Method::Put | Method::Delete | Method::Trace)
}

/// RFC 6455 section 4.1: whether a request asks to go on as a WebSocket. No other protocol is passed on: what is spoken in it (`h2c`)
/// would be requests that nobody here has seen.
pub fn wants_websocket(request: &Request<'_>) -> bool {
    let head = request.head;
    let mut protocols = request.fields(b"upgrade").flat_map(members);
    head.upgrade
        && head.method == Method::Get
        && head.version == Version::Http11
        && head.framing == Framing::None
        && protocols.next().is_some_and(|protocol| is_word(protocol, b"websocket"))
        && protocols.next().is_none()
}

/// Writes the head of a request, as HTTP/1.1. The path is the one that this server has understood: decoded, normalised, and encoded
/// again. Of a body in chunks the chunks are written by whoever sends it.
pub fn write_request(request: &Request<'_>, about: &About<'_>, out: &mut Writer<'_>) {
    let Request { head, input, .. } = request;
    out.push(head.method_span.of(input));
    out.push(b" ");
    write_encoded(request.path, &mut |piece| out.push(piece));
    if let Some(query) = request.query {
        out.push(b"?");
        out.push(query);
    }
    let asked = asked_host(request);
    let field = |name: &str, value: &[u8], out: &mut Writer<'_>| Sink::push_field(out, name, value);
    field(" HTTP/1.1\r\nHost", about.host.or(asked).unwrap_or(about.fallback), out);
    for (name, value) in end_to_end(head, input).filter(|(name, _)| !is_own(name)) {
        out.push(name);
        out.push(b": ");
        out.push(value);
        out.push(b"\r\n");
    }
    out.push(b"X-Forwarded-For: ");
    push_x_forwarded_for(out, &mut core::iter::empty(), about.client);
    field("\r\nX-Forwarded-Proto", proto(false), out);
    if let Some(host) = asked {
        field("X-Forwarded-Host", host, out);
    }
    out.push(b"Forwarded: ");
    let element = Element { client: about.client, port: None, by: None, host: asked.unwrap_or_default(), tls: false };
    push_forwarded(out, &mut core::iter::empty(), &element);
    // RFC 9110 section 7.6.3.
    out.push(b"\r\nVia: 1.1 monkey\r\n");
    match head.framing {
        Framing::None => {}
        Framing::Length(length) => out.push_length(length),
        Framing::Chunked => out.push(b"Transfer-Encoding: chunked\r\n"),
    }
    let connection: &[u8] = match (wants_websocket(request), about.keep) {
        (true, _) => b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        (false, true) => b"\r\n",
        (false, false) => b"Connection: close\r\n\r\n",
    };
    out.push(connection);
}

/// The host and port that a client has asked for: those of an absolute target, else of `Host` (RFC 9112 section 3.2.2).
fn asked_host<'a>(request: &Request<'a>) -> Option<&'a [u8]> {
    let target = request.head.target.of(request.input);
    let absolute = target.windows(3).position(|three| three == b"://").filter(|_| !target.starts_with(b"/"));
    match absolute.and_then(|at| target.get(at + 3..)) {
        Some(rest) => rest.split(|byte| matches!(byte, b'/' | b'?')).next(),
        None => request.field(Name::Host).filter(|host| !host.is_empty()),
    }
}

/// Whether a field is left out, or looks like one that is: programs behind a server take `X_Forwarded_For` for `X-Forwarded-For`.
fn is_own(name: &[u8]) -> bool {
    let mut room = [0; NAME_MAX];
    for (to, from) in room.iter_mut().zip(name) {
        *to = if *from == b'_' { b'-' } else { *from };
    }
    let plain = room.get(..name.len()).unwrap_or(&room);
    OWN.iter().any(|own| is_word(plain, own))
        || is_hop_by_hop(plain)
        || plain.get(..12).is_some_and(|start| is_word(start, b"x-forwarded-"))
}

#[cfg(all(test, feature = "test-switches"))]
mod tests {
    use super::*;
    use crate::plugin::host::Host;
    use crate::plugin::nobody::Nobody;
    use crate::wire::head::{Head, parse_start};
    use proptest::prelude::*;

    /// What a server behind this one gets of a request. Err = it is refused here.
    fn upstream(request: &str, host: Option<&str>, keep: bool) -> Result<String, u16> {
        let nobody = Nobody::with_defaults();
        let live = nobody.live();
        let mut head = Head::new();
        let end = parse_start(request.as_bytes(), &mut head).map_err(|_| 400u16)?;
        assert_eq!(end, request.len());
        let mut room = [0; 16384];
        let routed = Request::route(&live, &head, request.as_bytes(), &mut room, true).map_err(|no| no.status)?;
        let client = "192.0.2.7".parse().unwrap();
        let about = About { client, host: host.map(str::as_bytes), fallback: b"10.0.0.1:80", keep };
        let mut text = vec![0; 65536];
        let mut out = Writer::new(&mut text);
        write_request(&routed, &about, &mut out);
        assert!(!out.overflowed());
        Ok(String::from_utf8(out.bytes().to_vec()).unwrap())
    }

    #[track_caller]
    fn gives(request: &str, expected: &str) {
        assert_eq!(upstream(&request.replace('\n', "\r\n"), None, true).unwrap(), expected.replace('\n', "\r\n"));
    }

    const TOLD: &str = "X-Forwarded-For: 192.0.2.7\nX-Forwarded-Proto: http\nX-Forwarded-Host: a\n\
                        Forwarded: for=192.0.2.7;host=a;proto=http\nVia: 1.1 monkey\n";

    #[test]
    fn a_request_is_written_anew() {
        gives(
            "GET /a/../b%20c//d?x=%2F HTTP/1.1\nAccept: */*\nHost: a\nCookie: k=v\n\n",
            &format!("GET /b%20c/d?x=%2F HTTP/1.1\nHost: a\nAccept: */*\nCookie: k=v\n{TOLD}\n"),
        );
        gives("OPTIONS * HTTP/1.1\nHost: a\n\n", &format!("OPTIONS * HTTP/1.1\nHost: a\n{TOLD}\n"));
        let closing = upstream("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Some("b:1"), false).unwrap();
        let expected = format!("GET / HTTP/1.1\nHost: b:1\n{TOLD}Connection: close\n\n");
        assert_eq!(closing, expected.replace('\n', "\r\n"));
    }

    #[test]
    fn the_body_is_announced_by_what_was_understood() {
        gives(
            "PUT /a HTTP/1.1\nHost: a\nContent-Length: 007\nExpect: 100-continue\n\n",
            &format!("PUT /a HTTP/1.1\nHost: a\n{TOLD}Content-Length: 7\n\n"),
        );
        gives(
            "POST /a HTTP/1.1\nHost: a\ntransfer-encoding:  Chunked\nTrailer: x\nTE: trailers\n\n",
            &format!("POST /a HTTP/1.1\nHost: a\n{TOLD}Transfer-Encoding: chunked\n\n"),
        );
    }

    #[test]
    fn the_host_is_that_of_the_target() {
        let told = TOLD.replace(": a\n", ": b:8\n").replace("host=a", "host=\"b:8\"");
        let head = "Host: b:8\n";
        for target in ["http://b:8/x", "HTTP://b:8/x"] {
            let request = format!("GET {target} HTTP/1.1\nHost: a\n\n");
            gives(&request, &format!("GET /x HTTP/1.1\n{head}{told}\n"));
        }
        gives("GET http://b:8?y HTTP/1.1\nHost: a\n\n", &format!("GET /?y HTTP/1.1\n{head}{told}\n"));
        gives("GET /://b:8/x HTTP/1.1\nHost: a\n\n", &format!("GET /:/b:8/x HTTP/1.1\nHost: a\n{TOLD}\n"));
        let told = TOLD.replace("X-Forwarded-Host: a\n", "").replace("host=a;", "");
        gives("GET / HTTP/1.0\n\n", &format!("GET / HTTP/1.1\nHost: 10.0.0.1:80\n{told}\n"));
    }

    #[test]
    fn what_is_of_one_connection_or_not_to_be_believed_is_left_out() {
        let fields = "Connection: keep-alive, X-Mine\nX-Mine: 1\nKeep-Alive: 5\nProxy: x\nProxy-Authorization: y\n\
                      X-Forwarded-For: 1.2.3.4\nX_Forwarded_For: 1.2.3.4\nx-forwarded-anything-that-is-long-enough-to-be-cut: 1\n\
                      Forwarded: for=1.2.3.4\nX-Real-IP: 1.2.3.4\nTransfer_Encoding: chunked\nContent_Length: 5\n\
                      Upgrade: h2c\nHTTP2-Settings: AAA\n";
        gives(
            &format!("GET / HTTP/1.1\nHost: a\n{fields}X-A_B: 2\n\n"),
            &format!("GET / HTTP/1.1\nHost: a\nHTTP2-Settings: AAA\nX-A_B: 2\n{TOLD}\n"),
        );
    }

    #[test]
    fn nothing_but_a_websocket_is_gone_on_with() {
        let ask = |line: &str, fields: &str| {
            let text = upstream(&format!("{line}\r\nHost: a\r\n{fields}\r\n\r\n"), None, true).unwrap();
            text.contains("Connection: Upgrade\r\nUpgrade: websocket\r\n")
        };
        let both = "Connection: Upgrade\r\nUpgrade: WebSocket";
        assert!(ask("GET / HTTP/1.1", both));
        assert!(!ask("GET / HTTP/1.0", &format!("{both}\r\nConnection: keep-alive")));
        assert!(!ask("HEAD / HTTP/1.1", both));
        assert!(!ask("GET / HTTP/1.1", &format!("{both}\r\nContent-Length: 0")));
        assert!(!ask("GET / HTTP/1.1", "Upgrade: websocket"));
        assert!(!ask("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: h2c"));
        assert!(!ask("GET / HTTP/1.1", "Connection: Upgrade\r\nUpgrade: websocket, h2c"));
    }

    proptest! {
        #[test]
        fn what_goes_on_is_one_request_with_the_same_body(
            target in "/[!-~]{0,30}", value in "[ -~]{0,30}", name in "[A-Za-z_-]{1,20}", length in proptest::option::of(any::<u32>()),
        ) {
            let body = length.map_or("Transfer-Encoding: chunked".into(), |length| format!("Content-Length: {length}"));
            let text = format!("POST {target} HTTP/1.1\r\nHost: a\r\n{name}: {value}\r\n{body}\r\n\r\n");
            if let Ok(sent) = upstream(&text, None, true) {
                let mut head = Head::new();
                prop_assert_eq!(parse_start(sent.as_bytes(), &mut head).ok(), Some(sent.len()));
                let framing = length.map_or(Framing::Chunked, |length| Framing::Length(length.into()));
                prop_assert_eq!(head.framing, framing);
                prop_assert!(!head.expect_continue && !head.upgrade && !head.close);
                // Understood once more it is the same path.
                let again = upstream(&sent, None, true).unwrap();
                let line = |text: &str| text.split_once("\r\n").unwrap().0.to_string();
                prop_assert_eq!(line(&again), line(&sent));
            }
        }
    }
}
