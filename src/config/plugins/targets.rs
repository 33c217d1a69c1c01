//! What the plugins with servers or programs behind them read alike: keys that they share, addresses, the words of a value.
#![allow(dead_code)] // Which of it is used is the features' choice.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::check::{Values, number as digits};
use super::super::diagnostic::Findings;
use super::super::raw::RawEntry;
use super::super::site::Base;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, key, number, page};
use super::super::text::same;
use super::backend::{Address, Balance, Limits};
use crate::limits::LINE_SERVERS_MAX;

/// What is said of names in place of addresses.
pub(super) const NAMES: &str = "other names are not looked up";

/// Longest path of a local socket, bytes (unix(7): sun_path without its end).
const SOCKET_PATH_MAX: usize = 107;

/// Keys that several of these plugins have, each in its own section.
pub(super) const TIMEOUT: Key = key(
    "Timeout",
    number(0, 86_400, "seconds"),
    "60",
    InPlace,
    page!(
        "A request of which nothing moves for so long, neither to who answers it nor back, is given up: 504, or the end of the connection when the answer has begun. 0 is any time."
    ),
);
pub(super) const QUEUE: Key = key(
    "Queue",
    number(0, 4096, "requests"),
    "128",
    InPlace,
    page!("How many requests of each worker may wait for their turn. One more is answered 503 with `Retry-After`."),
);
pub(super) const REQUESTS: Key = key(
    "Requests",
    number(1, 4096, "requests"),
    "64",
    InPlace,
    page!("How many requests of each worker may be under way at once; further ones wait."),
);
pub(super) const ATTEMPTS: Key = key(
    "Attempts",
    number(1, 1000, "failures"),
    "2",
    InPlace,
    page!("A server that fails so often in a row is left alone for OfflineTimeOut."),
);
pub(super) const OFFLINE: Key = key(
    "OfflineTimeOut",
    number(0, 86_400, "seconds"),
    "5",
    InPlace,
    page!("How long a server is left alone that has failed. 0: it never is."),
);
pub(super) const AUTHORIZATION: Key = key(
    "Authorization",
    Kind::Switch,
    "Off",
    InPlace,
    page!("Whether programs are told the credentials of a request, in `HTTP_AUTHORIZATION`."),
);
pub(super) const BALANCE: Key = key(
    "Balance",
    Kind::Choice(&["RoundRobin", "LeastConnections"]),
    "RoundRobin",
    InPlace,
    page!("Which of several servers is asked: one after the other, or the one with the fewest connections."),
);

/// What the keys of a section come to. `requests` is the key with how many may be under way.
pub(super) fn limits(v: &Values<'_>, section: &'static str, requests: &'static str) -> Limits {
    let count = |key| v.number32(section, key) as u16;
    Limits { timeout: milliseconds(v, section, "Timeout"), queue: count("Queue"), requests: count(requests) }
}

/// A key that is seconds, a day at most.
pub(super) fn milliseconds(v: &Values<'_>, section: &'static str, key: &'static str) -> u32 {
    v.number32(section, key).saturating_mul(1000)
}

/// See [`BALANCE`].
pub(super) fn balance(v: &Values<'_>, section: &'static str) -> Balance {
    if v.is(section, "Balance", "LeastConnections") { Balance::LeastConnections } else { Balance::RoundRobin }
}

/// A word of a value, as a value of its own.
#[inline(never)]
pub(super) fn part<'a>(entry: &RawEntry<'a>, word: &'a str) -> RawEntry<'a> {
    RawEntry { value: word, value_at: entry.value_at.of_part(entry.value, word), ..*entry }
}

/// The number of what was put last into a list. One past 65535 is that, which nothing is ever found at.
pub(super) fn last(count: usize) -> u16 {
    u16::try_from(count.saturating_sub(1)).unwrap_or(u16::MAX)
}

/// An IP address, or `localhost`. No other name is looked up: a device that boots has nobody to ask yet, and must not wait for one.
#[inline(never)]
pub(super) fn host(text: &str) -> Option<IpAddr> {
    if same(text, "localhost") { Some(Ipv4Addr::LOCALHOST.into()) } else { text.parse().ok() }
}

/// A TCP port to connect to.
pub(super) fn port(text: &str) -> Option<u16> {
    digits(text).and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0)
}

/// Finds fault with more servers than a line can have.
pub(super) fn count_servers(servers: &[u16], entry: &RawEntry<'_>, out: &mut Findings) {
    if servers.len() > LINE_SERVERS_MAX {
        out.error(&entry.value_at, format_args!("more than {LINE_SERVERS_MAX} servers: leave some out"));
    }
}

/// A server's address, which is the whole value.
pub(super) fn address(entry: &RawEntry<'_>, base: &Base<'_>, out: &mut Findings) -> Option<Address> {
    let text = entry.value;
    let path = text.strip_prefix("unix:").unwrap_or(text);
    if path.starts_with('/') {
        return local(path, entry, base, out);
    }
    // The port is behind the last colon.
    let colon = text.bytes().rposition(|byte| byte == b':').unwrap_or(text.len());
    let (name, digits) = text.split_at_checked(colon).unwrap_or_default();
    let (bare, is_v6) = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(bare) => (bare, true),
        None => (name, false),
    };
    let ip = host(bare).filter(|ip| ip.is_ipv6() == is_v6);
    if let (Some(ip), Some(port)) = (ip, digits.get(1..).and_then(port)) {
        return Some(Address::Net(SocketAddr::new(ip, port)));
    }
    let what = format_args!(
        "\"{text}\" is not an address: write 127.0.0.1:PORT, [::1]:PORT, localhost:PORT or the /PATH of a socket; {NAMES}"
    );
    out.refuse(&entry.value_at, what)
}

/// A local socket with this path, which is in the value.
pub(super) fn local(path: &str, entry: &RawEntry<'_>, base: &Base<'_>, out: &mut Findings) -> Option<Address> {
    let path = base.served(path, &entry.value_at, out);
    if path.as_os_str().len() > SOCKET_PATH_MAX {
        let what = format_args!("no socket has a path of more than {SOCKET_PATH_MAX} bytes: shorten it");
        return out.refuse(&entry.value_at, what);
    }
    Some(Address::Local(path))
}
