//! `Listen`: where to take connections.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::check::number;
use super::diagnostic::Findings;
use super::raw::RawEntry;
use super::text::{Words, cut, first_word};

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
    pub at: Box<str>,
}

impl Listen {
    /// Whether it is the same place, wherever it is written.
    pub fn is_same_place(&self, other: &Listen) -> bool {
        (self.address, self.port, self.dual_stack) == (other.address, other.port, other.dual_stack)
    }

    /// Where a socket listens that a service manager has opened.
    pub fn passed(address: SocketAddr) -> Listen {
        Listen { address: address.ip(), port: address.port(), dual_stack: false, at: "LISTEN_FDS".into() }
    }

    /// `0.0.0.0:PORT`, which is not in a file but in `at`.
    pub(super) fn any(port: u16, at: &str) -> Listen {
        Listen { address: Ipv4Addr::UNSPECIFIED.into(), port, dual_stack: false, at: at.into() }
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
            Some(Listen { at, .. }) => {
                let what = format_args!("{} is already listened on at {at}: this one has no effect", entry.value);
                out.warning(&entry.at, what);
            }
            None => all.push(listen),
        }
    }
    for n in 0..all.len() {
        let of_port = |port| all.iter().any(|listen| listen.address.is_ipv4() && listen.port == port);
        let dual_stack = all.get(n).is_some_and(|listen| {
            listen.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED) && (listen.port == 0 || !of_port(listen.port))
        });
        if let Some(listen) = all.get_mut(n) {
            listen.dual_stack = dual_stack;
        }
    }
    all
}

fn resolve_one(entry: &RawEntry<'_>, out: &mut Findings) -> Option<Listen> {
    let value = entry.value;
    let (place, words) = first_word(value);
    let mut good = true;
    for word in Words(words) {
        let at = entry.value_at.of_part(value, word);
        if WORDS.contains(&word) {
            out.error(&at, format_args!("{word} is not in this build: take it out, or build it in"));
        } else if word == "ssl" {
            out.error(&at, "ssl is written tls, which is not in this build");
        } else {
            let [a, b, c, d] = WORDS;
            let what = "a Listen line is PORT or ADDRESS:PORT, then any of";
            out.error(&at, format_args!("unknown word {word}: {what} {a} {b} {c} {d}"));
        }
        good = false;
    }
    let Some((host, digits)) = parse_place(place) else {
        let what = format_args!("cannot listen on \"{place}\": write PORT, IPv4:PORT or [IPv6]:PORT");
        return out.refuse(&entry.value_at, what);
    };
    let address = match host {
        Host::Any => Ipv4Addr::UNSPECIFIED.into(),
        Host::V4(text) => match text.parse() {
            Ok(address) => IpAddr::V4(address),
            Err(_) => {
                return out.refuse(
                    &entry.value_at,
                    format_args!(
                        "\"{text}\" is not an IPv4 address: write four numbers such as 192.168.1.1 (no names)"
                    ),
                );
            }
        },
        Host::V6(text) => match text.parse() {
            Ok(address) => IpAddr::V6(address),
            Err(_) => {
                let what = format_args!("\"{text}\" is not an IPv6 address: write one such as [::1]");
                return out.refuse(&entry.value_at, what);
            }
        },
    };
    let Some(port) = number(digits).and_then(|port| u16::try_from(port).ok()) else {
        return out.refuse(
            &entry.value_at.of_part(value, digits),
            format_args!("port cannot be \"{digits}\": write a whole number from 0 to 65535 (0: any free port)"),
        );
    };
    good.then(|| Listen { address, port, dual_stack: false, at: entry.at.to_string().into() })
}

enum Host<'a> {
    Any,
    V4(&'a str),
    V6(&'a str),
}

/// `place = [ ( IPv4 / "[" IPv6 "]" ) ":" ] PORT`
fn parse_place(text: &str) -> Option<(Host<'_>, &str)> {
    let ends = |byte| byte == b':' || byte == b'[';
    let (host, port) = match text.strip_prefix('[') {
        Some(text) => {
            let (address, rest) = cut(text, |byte| byte == b']');
            (Host::V6(address), rest.strip_prefix("]:")?)
        }
        None => match cut(text, ends) {
            (port, "") => (Host::Any, port),
            (address, rest) => (Host::V4(address), rest.strip_prefix(':').filter(|_| !address.is_empty())?),
        },
    };
    (!port.is_empty() && cut(port, ends).1.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Position;
    use super::*;

    fn of(values: &[&str]) -> (Vec<(String, u16, bool)>, Vec<String>) {
        let entries: Vec<RawEntry> = values
            .iter()
            .enumerate()
            .map(|(n, value)| {
                let at = Position { line: n as u32 + 1, column: 5, ..Position::of_file("m") };
                let value_at = Position { column: 12, ..at };
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
