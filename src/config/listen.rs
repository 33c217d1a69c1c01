//! `Listen`: where to take connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nom::branch::alt;
use nom::bytes::complete::{take_till, take_till1};
use nom::character::complete::char;
use nom::combinator::{map, opt};
use nom::sequence::{delimited, terminated};
use nom::{IResult, Parser};

use super::diagnostic::{Findings, Position};
use super::raw::RawEntry;

/// One place to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The local address; `0.0.0.0` and `::` are all of them.
    pub address: IpAddr,
    /// The port; 0 takes any free one.
    pub port: u16,
    /// For `::` only: take IPv4 as well (IPV6_V6ONLY off). So unless an IPv4 listener has the same port.
    pub dual_stack: bool,
    /// Where it is written, for messages.
    pub at: Position,
}

impl Listen {
    /// `0.0.0.0:PORT`, which is not in a file but in `at`.
    pub(super) fn any(port: u16, at: &str) -> Listen {
        Listen { address: Ipv4Addr::UNSPECIFIED.into(), port, dual_stack: false, at: Position::of_file(at) }
    }
}

/// The words that may follow the port, none of which is in this build.
const WORDS: [&str; 4] = ["tls", "h2", "h2c", "!http"];

/// All `Listen` lines. A repeated place is a warning, and left out.
pub(super) fn resolve<'a>(entries: impl Iterator<Item = RawEntry<'a>>, out: &mut Findings) -> Vec<Listen> {
    let mut all: Vec<Listen> = Vec::new();
    for entry in entries {
        let Some(listen) = resolve_one(&entry, out) else { continue };
        let same = |other: &&Listen| other.address == listen.address && other.port == listen.port && listen.port != 0;
        match all.iter().find(same) {
            Some(first) => {
                let what = format!("{} is already listened on at {}: this one has no effect", entry.value, first.at);
                out.warning(&entry.at, what);
            }
            None => all.push(listen),
        }
    }
    let v4_ports: Vec<u16> = all.iter().filter(|listen| listen.address.is_ipv4()).map(|listen| listen.port).collect();
    for listen in &mut all {
        let any6 = listen.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        listen.dual_stack = any6 && (listen.port == 0 || !v4_ports.contains(&listen.port));
    }
    all
}

fn resolve_one(entry: &RawEntry<'_>, out: &mut Findings) -> Option<Listen> {
    let value = entry.value;
    let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
    let place = words.next()?;
    let mut good = true;
    for word in words {
        let known = WORDS.contains(&word);
        let what = match word {
            _ if known => format!("{word} is not in this build: take it out, or build it in"),
            "ssl" => "ssl is written tls, which is not in this build".into(),
            _ => format!("unknown word {word}: a Listen line is PORT or ADDRESS:PORT, then any of {}", WORDS.join(" ")),
        };
        let at = entry.value_at.within(value, nom::Offset::offset(value, word));
        out.error(&at, what);
        good = false;
    }
    let Ok(("", (address, digits))) = parse_place(place) else {
        out.error(&entry.value_at, format!("cannot listen on \"{place}\": write PORT, IPv4:PORT or [IPv6]:PORT"));
        return None;
    };
    let address: IpAddr = match address {
        None => Ipv4Addr::UNSPECIFIED.into(),
        Some(Host::V4(text)) => match text.parse::<Ipv4Addr>() {
            Ok(address) => address.into(),
            Err(_) => {
                let what =
                    format!("\"{text}\" is not an IPv4 address: write four numbers such as 192.168.1.1 (no names)");
                out.error(&entry.value_at, what);
                return None;
            }
        },
        Some(Host::V6(text)) => match text.parse::<Ipv6Addr>() {
            Ok(address) => address.into(),
            Err(_) => {
                out.error(&entry.value_at, format!("\"{text}\" is not an IPv6 address: write one such as [::1]"));
                return None;
            }
        },
    };
    let at = entry.value_at.within(value, nom::Offset::offset(value, digits));
    let port = Some(digits).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
    match port.and_then(|digits| digits.parse::<u16>().ok()) {
        Some(port) if good => Some(Listen { address, port, dual_stack: false, at: entry.at.clone() }),
        Some(_) => None,
        None => {
            out.error(
                &at,
                format!("port cannot be \"{digits}\": write a whole number from 0 to 65535 (0: any free port)"),
            );
            None
        }
    }
}

enum Host<'a> {
    V4(&'a str),
    V6(&'a str),
}

/// `place = [ ( IPv4 / "[" IPv6 "]" ) ":" ] PORT`
fn parse_place(text: &str) -> IResult<&str, (Option<Host<'_>>, &str)> {
    let v6 = map(delimited(char('['), take_till(|c| c == ']'), char(']')), Host::V6);
    let v4 = map(take_till1(|c| c == ':' || c == '['), Host::V4);
    (opt(terminated(alt((v6, v4)), char(':'))), take_till1(|c| c == ':' || c == '[')).parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> (Vec<(String, u16, bool)>, Vec<String>) {
        let entries: Vec<RawEntry> = values
            .iter()
            .enumerate()
            .map(|(n, value)| {
                let at = Position { line: n as u32 + 1, column: 5, ..Position::of_file("m") };
                let value_at = Position { column: 12, ..at.clone() };
                RawEntry { key: "Listen", at, value, value_at }
            })
            .collect();
        let mut out = Findings::default();
        let all = resolve(entries.into_iter(), &mut out);
        let all = all.iter().map(|listen| (listen.address.to_string(), listen.port, listen.dual_stack)).collect();
        (all, out.list.iter().map(|found| found.to_string()).collect())
    }

    #[test]
    fn places() {
        for (value, address, port, dual) in [
            ("2001", "0.0.0.0", 2001, false),
            ("0", "0.0.0.0", 0, false),
            ("65535", "0.0.0.0", 65535, false),
            ("127.0.0.1:80", "127.0.0.1", 80, false),
            ("[::]:2001", "::", 2001, true),
            ("[::1]:2001", "::1", 2001, false),
        ] {
            assert_eq!(of(&[value]), (vec![(address.into(), port, dual)], vec![]), "{value}");
        }
    }

    #[test]
    fn wrong_places() {
        for (value, message) in [
            ("65536", "m:1:12: port cannot be \"65536\": write a whole number from 0 to 65535 (0: any free port)"),
            ("1.2.3.4:+1", "m:1:20: port cannot be \"+1\": write a whole number from 0 to 65535 (0: any free port)"),
            ("http", "m:1:12: port cannot be \"http\": write a whole number from 0 to 65535 (0: any free port)"),
            ("::1:80", "m:1:12: cannot listen on \"::1:80\": write PORT, IPv4:PORT or [IPv6]:PORT"),
            ("[::1]", "m:1:12: cannot listen on \"[::1]\": write PORT, IPv4:PORT or [IPv6]:PORT"),
            ("[::1:80", "m:1:12: cannot listen on \"[::1:80\": write PORT, IPv4:PORT or [IPv6]:PORT"),
            ("1.2.3.4:", "m:1:12: cannot listen on \"1.2.3.4:\": write PORT, IPv4:PORT or [IPv6]:PORT"),
            (
                "localhost:80",
                "m:1:12: \"localhost\" is not an IPv4 address: write four numbers such as 192.168.1.1 (no names)",
            ),
            ("[fe80::1%eth0]:80", "m:1:12: \"fe80::1%eth0\" is not an IPv6 address: write one such as [::1]"),
            ("443  tls", "m:1:17: tls is not in this build: take it out, or build it in"),
            ("443 ssl", "m:1:16: ssl is written tls, which is not in this build"),
            (
                "443 fast",
                "m:1:16: unknown word fast: a Listen line is PORT or ADDRESS:PORT, then any of tls h2 h2c !http",
            ),
        ] {
            assert_eq!(of(&[value]), (vec![], vec![message.to_string()]), "{value}");
        }
        assert_eq!(of(&["443 h2 h2c !http"]).1.len(), 3);
    }

    #[test]
    fn dual_stack_yields_to_ipv4_and_duplicates_are_left_out() {
        let (all, found) = of(&["[::]:80", "80", "[::]:81", "0.0.0.0:80", "0", "0"]);
        assert_eq!(
            all,
            [
                ("::".into(), 80, false),
                ("0.0.0.0".into(), 80, false),
                ("::".into(), 81, true),
                ("0.0.0.0".into(), 0, false),
                ("0.0.0.0".into(), 0, false)
            ]
        );
        assert_eq!(found, ["m:4:5: 0.0.0.0:80 is already listened on at m:2:5: this one has no effect"]);
    }
}
