//! What a proxy tells an origin server about its client: `X-Forwarded-For`, `X-Forwarded-Proto` and `Forwarded` (RFC 7239). Only the
//! values are written; what a client has sent of them itself can be kept before them, or left out where it is not believed.

use core::fmt::Write;
use core::net::IpAddr;

use super::chars::{is_field_vchar, token_len};
use super::writer::Writer;

/// RFC 7239 section 4: what one proxy says of the request it passes on.
#[derive(Clone, Copy, Debug)]
pub struct Element<'a> {
    /// The client's address.
    pub client: IpAddr,
    /// The client's port, if it is to be told.
    pub port: Option<u16>,
    /// The address the request came in at, if it is to be told.
    pub by: Option<IpAddr>,
    /// The value of `Host`; empty when there is none. A byte no field value may hold is left out.
    pub host: &'a [u8],
    /// Whether the client's connection was encrypted.
    pub tls: bool,
}

/// The value of `X-Forwarded-Proto`.
pub fn proto(tls: bool) -> &'static [u8] {
    if tls { b"https" } else { b"http" }
}

/// Writes the value of `X-Forwarded-For`: the values the request came with, then the client's address. An IPv4 address that came in over
/// IPv6 (`::ffff:a.b.c.d`) is written as IPv4; an IPv6 address has no brackets.
pub fn push_x_forwarded_for(out: &mut Writer<'_>, earlier: &mut dyn Iterator<Item = &[u8]>, client: IpAddr) {
    push_earlier(out, earlier);
    push_address(out, client);
}

/// RFC 7239 section 4: writes the value of `Forwarded`: the values the request came with, then `element`.
pub fn push_forwarded(out: &mut Writer<'_>, earlier: &mut dyn Iterator<Item = &[u8]>, element: &Element<'_>) {
    push_earlier(out, earlier);
    out.push(b"for=");
    push_node(out, element.client, element.port);
    if let Some(by) = element.by {
        out.push(b";by=");
        push_node(out, by, None);
    }
    if !element.host.is_empty() {
        out.push(b";host=");
        push_value(out, element.host);
    }
    out.push(b";proto=");
    out.push(proto(element.tls));
}

/// The values of earlier proxies, a comma behind each; empty ones are left out.
fn push_earlier(out: &mut Writer<'_>, earlier: &mut dyn Iterator<Item = &[u8]>) {
    for value in earlier {
        if !value.is_empty() {
            out.push(value);
            out.push(b", ");
        }
    }
}

fn push_address(out: &mut Writer<'_>, address: IpAddr) {
    // A failure is remembered by the writer.
    let _ = write!(out, "{}", address.to_canonical());
}

/// RFC 7239 section 6: node = nodename \[ ":" node-port \]. An IPv6 address is in brackets, and with those or with a port it is no token,
/// so it is quoted.
fn push_node(out: &mut Writer<'_>, address: IpAddr, port: Option<u16>) {
    let v6 = address.to_canonical().is_ipv6();
    let quote: &[u8] = if v6 || port.is_some() { b"\"" } else { b"" };
    let (open, close): (&[u8], &[u8]) = if v6 { (b"[", b"]") } else { (b"", b"") };
    out.push(quote);
    out.push(open);
    push_address(out, address);
    out.push(close);
    if let Some(port) = port {
        // As above.
        let _ = write!(out, ":{port}");
    }
    out.push(quote);
}

/// RFC 7239 section 4: value = token / quoted-string.
fn push_value(out: &mut Writer<'_>, value: &[u8]) {
    if token_len(value) == value.len() {
        return out.push(value);
    }
    out.push(b"\"");
    for &byte in value.iter().filter(|byte| is_field_vchar(**byte)) {
        if matches!(byte, b'"' | b'\\') {
            out.push(b"\\");
        }
        out.push(&[byte]);
    }
    out.push(b"\"");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::list::{members, parts};
    use proptest::prelude::*;

    fn x_forwarded_for(earlier: &[&str], client: &str) -> String {
        let mut room = [0; 256];
        let mut out = Writer::new(&mut room);
        push_x_forwarded_for(&mut out, &mut earlier.iter().map(|value| value.as_bytes()), client.parse().unwrap());
        assert!(!out.overflowed());
        String::from_utf8(out.bytes().to_vec()).unwrap()
    }

    fn forwarded(earlier: &[&str], element: Element<'_>) -> Vec<u8> {
        let mut room = [0; 512];
        let mut out = Writer::new(&mut room);
        push_forwarded(&mut out, &mut earlier.iter().map(|value| value.as_bytes()), &element);
        assert!(!out.overflowed());
        out.bytes().to_vec()
    }

    fn element(client: &str) -> Element<'static> {
        Element { client: client.parse().unwrap(), port: None, by: None, host: b"", tls: false }
    }

    #[test]
    fn addresses_are_appended() {
        assert_eq!(x_forwarded_for(&[], "192.0.2.43"), "192.0.2.43");
        assert_eq!(
            x_forwarded_for(&["203.0.113.1, unknown", "", "10.0.0.1"], "::1"),
            "203.0.113.1, unknown, 10.0.0.1, ::1"
        );
        assert_eq!(x_forwarded_for(&[], "::ffff:192.0.2.1"), "192.0.2.1");
        assert_eq!(proto(false), b"http");
        assert_eq!(proto(true), b"https");
    }

    #[test]
    fn the_examples_of_the_rfc() {
        assert_eq!(forwarded(&[], element("192.0.2.60")), b"for=192.0.2.60;proto=http");
        let port = Element { port: Some(4711), ..element("2001:db8:cafe::17") };
        assert_eq!(forwarded(&[], port), br#"for="[2001:db8:cafe::17]:4711";proto=http"#);
        let by = Element { by: Some("203.0.113.43".parse().unwrap()), tls: true, ..element("192.0.2.60") };
        assert_eq!(forwarded(&["for=192.0.2.43"], by), b"for=192.0.2.43, for=192.0.2.60;by=203.0.113.43;proto=https");
        assert_eq!(forwarded(&[], element("2001:db8::1")), br#"for="[2001:db8::1]";proto=http"#);
        assert_eq!(
            forwarded(&[], Element { port: Some(1), ..element("::ffff:192.0.2.1") }),
            br#"for="192.0.2.1:1";proto=http"#
        );
    }

    #[test]
    fn hosts_are_quoted_where_they_are_no_token() {
        let host = |host| forwarded(&[], Element { host, ..element("192.0.2.1") });
        assert_eq!(host(b"example.org"), b"for=192.0.2.1;host=example.org;proto=http");
        assert_eq!(host(b"example.org:80"), br#"for=192.0.2.1;host="example.org:80";proto=http"#);
        assert_eq!(host(b"[::1]"), br#"for=192.0.2.1;host="[::1]";proto=http"#);
        assert_eq!(host(br#"a",b\"#), br#"for=192.0.2.1;host="a\",b\\";proto=http"#);
        assert_eq!(host(b"a\r\nb\0"), br#"for=192.0.2.1;host="ab";proto=http"#);
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for len in 0..25 {
            let mut room = vec![0; len];
            let mut out = Writer::new(&mut room);
            push_forwarded(&mut out, &mut core::iter::empty(), &element("192.0.2.60"));
            assert!(out.overflowed());
        }
    }

    proptest! {
        #[test]
        fn no_host_adds_an_element_or_a_parameter(host in prop::collection::vec(any::<u8>(), 1..30), v6 in any::<[u8; 16]>()) {
            let value = forwarded(&[], Element { client: v6.into(), host: &host, ..element("::1") });
            prop_assert_eq!(members(&value).count(), 1);
            prop_assert_eq!(parts(&value).count(), 3);
            prop_assert!(value.iter().all(|&byte| is_field_vchar(byte)));
        }
    }
}
