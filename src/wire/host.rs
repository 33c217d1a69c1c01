//! The name and port a request is for.

use core::fmt;
use core::net::Ipv6Addr;

use super::chars::{find, is_reg_name};
use super::span::Span;

/// RFC 9110 section 7.2: what a `Host` field or the authority of an absolute target names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Authority {
    /// The host without its port, as it was sent (case and percent escapes kept); an IPv6 address keeps its brackets.
    pub host: Span,
    /// The port, if one was given. An empty one (`example.org:`) counts as not given (RFC 3986 section 3.2.3).
    pub port: Option<u16>,
}

/// Why a host was refused. All are answered 400.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostError {
    /// No host, or only a port.
    Empty,
    /// A byte, or a percent escape, that a host name must not hold.
    Name,
    /// Brackets that hold no IPv6 address.
    Address,
    /// A port that is not a number from 0 to 65535 in at most five digits.
    Port,
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HostError::Empty => "no host: name one",
            HostError::Name => "a host name holds letters, digits, '-', '.', '_', '~', valid %XX and !$&'()*+,;= only",
            HostError::Address => "what is in brackets must be an IPv6 address without a zone",
            HostError::Port => "a port is a number up to 65535, in at most five digits",
        })
    }
}

/// RFC 3986 section 3.2, RFC 9110 section 7.2: uri-host \[ ":" port \]. Spans count from the start of `value`. User
/// information (`user@`) is refused (RFC 9110 section 4.2.4).
///
/// # Errors
/// A [`HostError`] when `value` is anything else.
#[inline]
pub fn parse_host(value: &[u8]) -> Result<Authority, HostError> {
    if value.len() > usize::from(u16::MAX) {
        return Err(HostError::Name);
    }
    parse_host_at(value, 0)
}

/// As [`parse_host`], for a value that stands at offset `start` of a buffer shorter than 64 KB; spans count from the start
/// of that buffer.
#[inline(always)] // once a request: handing the result over would cost a third of the work
pub(super) fn parse_host_at(value: &[u8], start: usize) -> Result<Authority, HostError> {
    let end = match value {
        [b'[', inside @ ..] => parse_ip_literal(inside)? + 1,
        _ => parse_reg_name(value)?,
    };
    if end == 0 {
        return Err(HostError::Empty);
    }
    let port = parse_port(value.get(end..).unwrap_or(&[]))?;
    Ok(Authority { host: Span::within(start, start + end), port })
}

/// RFC 3986 section 3.2.2: the length of a reg-name (an IPv4address is one too) that the end or a colon follows.
#[inline]
#[cfg_attr(tuned, optimize(speed))]
fn parse_reg_name(i: &[u8]) -> Result<usize, HostError> {
    let mut at = 0;
    while let Some(&byte) = i.get(at) {
        if is_reg_name(byte) {
            at += 1;
        } else if byte == b':' {
            break;
        } else if starts_with_escape(i, at) {
            at += 3;
        } else {
            return Err(HostError::Name);
        }
    }
    Ok(at)
}

/// RFC 3986 section 2.1: whether pct-encoded stands at offset `at`.
#[cold]
fn starts_with_escape(i: &[u8], at: usize) -> bool {
    matches!(i.get(at..at + 3), Some([b'%', high, low]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit())
}

/// RFC 3986 section 3.2.2: the length of an IP-literal after its opening bracket.
#[cold]
fn parse_ip_literal(inside: &[u8]) -> Result<usize, HostError> {
    let end = find(inside, b']').ok_or(HostError::Address)?;
    let address = inside.get(..end).and_then(|address| core::str::from_utf8(address).ok());
    let address = address.and_then(|address| address.parse::<Ipv6Addr>().ok());
    address.map(|_| end + 1).ok_or(HostError::Address)
}

/// RFC 3986 section 3.2.3: \[ ":" *DIGIT \], all that is left.
#[inline]
fn parse_port(i: &[u8]) -> Result<Option<u16>, HostError> {
    let digits = match i {
        [] | [b':'] => return Ok(None),
        [b':', digits @ ..] if digits.len() <= 5 => digits,
        _ => return Err(HostError::Port),
    };
    let mut port: u32 = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(HostError::Port);
        }
        port = port * 10 + u32::from(digit);
    }
    u16::try_from(port).map(Some).map_err(|_| HostError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(value: &str) -> Result<(&str, Option<u16>), HostError> {
        let authority = parse_host(value.as_bytes())?;
        Ok((std::str::from_utf8(authority.host.of(value.as_bytes())).unwrap(), authority.port))
    }

    #[test]
    fn names_addresses_and_ports() {
        assert_eq!(host("example.org"), Ok(("example.org", None)));
        assert_eq!(host("Example.ORG:80"), Ok(("Example.ORG", Some(80))));
        assert_eq!(host("127.0.0.1:2001"), Ok(("127.0.0.1", Some(2001))));
        assert_eq!(host("a_b~c!x:0"), Ok(("a_b~c!x", Some(0))));
        assert_eq!(host("a%41b:1"), Ok(("a%41b", Some(1))));
        assert_eq!(host("a%41"), Ok(("a%41", None)));
        assert_eq!(host("a:65535"), Ok(("a", Some(65535))));
        assert_eq!(host("a:00080"), Ok(("a", Some(80))));
        assert_eq!(host("a:"), Ok(("a", None)));
        assert_eq!(host("[::1]"), Ok(("[::1]", None)));
        assert_eq!(host("[2001:db8::1]:8080"), Ok(("[2001:db8::1]", Some(8080))));
        assert_eq!(host("[::ffff:1.2.3.4]:"), Ok(("[::ffff:1.2.3.4]", None)));
    }

    #[test]
    fn refused() {
        for (value, error) in [
            ("", HostError::Empty),
            (":80", HostError::Empty),
            ("a b", HostError::Name),
            ("user@a", HostError::Name),
            ("a/b", HostError::Name),
            ("a?b", HostError::Name),
            ("a#b", HostError::Name),
            ("a\\b", HostError::Name),
            ("a\0", HostError::Name),
            ("a%4", HostError::Name),
            ("a%zz", HostError::Name),
            ("h\u{e9}", HostError::Name),
            ("<b>", HostError::Name),
            ("a:b:c", HostError::Port),
            ("a:-1", HostError::Port),
            ("a:65536", HostError::Port),
            ("a:000080", HostError::Port),
            ("a:8o", HostError::Port),
            ("a: 80", HostError::Port),
            ("::1", HostError::Empty),
            ("[::1", HostError::Address),
            ("[]", HostError::Address),
            ("[1.2.3.4]", HostError::Address),
            ("[v1.a]", HostError::Address),
            ("[fe80::1%25eth0]", HostError::Address),
            ("[::1]x", HostError::Port),
            ("[::1]]", HostError::Port),
        ] {
            assert_eq!(host(value), Err(error), "{value:?}");
            assert!(error.to_string().len() > 10);
        }
    }
}
