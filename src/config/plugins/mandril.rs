//! mandril: who may ask for what, and how often. `[RULES]` of its own file and of sites, `[RATE]`.

use std::net::IpAddr;

use super::super::check::{Values, number as digits};
use super::super::diagnostic::Findings;
use super::super::raw::RawEntry;
use super::super::rules::pattern;
use super::super::table::{Key, Kind, Reload, Section, key, many, number, page, required, section};
use super::super::text::{Words, cut, first_word, same};
use crate::limits::RATE_PLACES;
use crate::wire::pattern::Pattern;

/// Most requests, and the largest burst, of a `[RATE]`.
const REQUESTS_MAX: u32 = 10_000;
/// Longest time in a `[RATE]`, seconds, and longest time until a whole burst is earned again.
const SECONDS_MAX: u32 = 86_400;

const RULES: &[Key] = &[
    many(key(
        "Allow",
        Kind::Text("address, uri or method, and which"),
        "",
        Reload::InPlace,
        page!("`address CIDR...` or `address all`, `uri REGEX`, `method NAME...`: lets through what it matches."),
    )),
    many(key(
        "Deny",
        Kind::Text("address, uri, method or hotlink, and which"),
        "",
        Reload::InPlace,
        page!(
            "The same, and `hotlink REGEX`: a path that another site's page refers to. Refuses what it matches: 403, or the end of the connection for addresses that the server's own first lines deny."
        ),
    )),
    many(key("IP", Kind::Text("ADDRESS or ADDRESS/BITS"), "", Reload::InPlace, page!("As `Deny address`."))),
    many(key(
        "URL",
        Kind::Text("a part of a path"),
        "",
        Reload::InPlace,
        page!("Denies the paths that contain it, in any case."),
    )),
    many(key(
        "deny_hotlink",
        Kind::Text("a part of a path"),
        "",
        Reload::InPlace,
        page!("As `Deny hotlink`, for the paths that contain it, in any case."),
    )),
];

/// The sections of its file.
pub(super) const FILE: &[Section] = &[
    section("RULES", RULES, page!("Rules for the whole server, in their order: the first that matches decides.")),
    section(
        "RATE",
        &[key(
            "Addresses",
            number(64, 1_048_576, "client addresses"),
            "",
            Reload::Restart,
            page!(
                "Room for counting the requests of so many clients, 8 bytes each, taken even while no site has a [RATE]. Unset: 4096 if one has. The requests of one client more are not counted."
            ),
        )],
        page!("The memory of the rate limit, for all sites."),
    ),
];

/// Its sections in a site.
pub(super) const SITE: &[Section] = &[
    section("MANDRIL", RULES, page!("Rules of this site, behind those of the server. `[RULES]` is the same.")),
    section("RULES", RULES, page!("The same as `[MANDRIL]`.")),
    section(
        "RATE",
        &[
            required(key(
                "Requests",
                number(1, REQUESTS_MAX, "requests"),
                "",
                Reload::InPlace,
                page!(
                    "How many requests one IPv4 address or one IPv6 network of 64 bits may make in `Seconds`; one more is answered 429."
                ),
            )),
            key("Seconds", number(1, SECONDS_MAX, "seconds"), "1", Reload::InPlace, page!("The time they are for.")),
            key(
                "Burst",
                number(1, REQUESTS_MAX, "requests"),
                "",
                Reload::InPlace,
                page!("How many of them may come at once. Unset: all."),
            ),
        ],
        page!("How many requests a client may make."),
    ),
];

/// Addresses with the same first bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// As [`Peer::bits`](crate::sys::socket::Peer::bits) has them; those of IPv4 are mapped into IPv6.
    first: u128,
    bits: u8,
}

impl Network {
    /// Reads `ADDRESS` or `ADDRESS/BITS`. Bits of the address behind those do not matter.
    pub fn parse(text: &str) -> Option<Network> {
        let (address, bits) = cut(text, |byte| byte == b'/');
        let (first, before, most) = match address.parse().ok()? {
            IpAddr::V4(v4) => (v4.to_ipv6_mapped().to_bits(), 96, 32),
            IpAddr::V6(v6) => (v6.to_bits(), 0, 128),
        };
        let bits = match bits.strip_prefix('/') {
            Some(bits) => digits(bits)?,
            None => most,
        };
        (bits <= most).then(|| Network { first, bits: (before + bits) as u8 })
    }

    /// Whether an address is in it. An IPv4 address is in no network of IPv6.
    pub fn contains(&self, address: u128) -> bool {
        let differs = (address ^ self.first).checked_shr(128 - u32::from(self.bits)).unwrap_or(0);
        differs == 0 && (self.bits >= 96 || address >> 32 != 0xffff)
    }
}

/// What a rule matches.
#[derive(Clone, Debug)]
pub enum What {
    /// Clients with an address in one of these; when there is none, every client.
    Address(Vec<Network>),
    /// Methods: the bit of each, by its number in [`Method`](crate::wire::head::Method).
    Method(u16),
    /// Paths with the pattern in them, decoded and normal.
    Uri(Box<Pattern>),
    /// Such paths, asked for by a page of another host.
    Hotlink(Box<Pattern>),
}

/// One line.
#[derive(Clone, Debug)]
pub struct Rule {
    /// Whether what it matches is let through; if not, it is refused.
    pub allow: bool,
    /// What it matches.
    pub what: What,
}

/// `[RATE]` of a site.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// So many requests of one client, 1 to 10,000,
    pub requests: u32,
    /// in so many seconds, 1 to 86,400.
    pub seconds: u32,
    /// So many of them at once. It takes no more than a day to earn them again.
    pub burst: u32,
}

/// What a site says.
#[derive(Clone, Debug, Default)]
pub struct OfSite {
    /// Its rules, behind those of the server.
    pub rules: Vec<Rule>,
    /// How many requests a client may make; None = any number.
    pub rate: Option<Rate>,
}

/// What its own file says.
#[derive(Clone, Debug, Default)]
pub struct OfServer {
    /// The rules of all sites.
    pub rules: Vec<Rule>,
    /// How many clients can be counted; 0 = it is left to the sites whether there is a count.
    pub addresses: u32,
}

/// How many clients are to be counted; 0 = nobody limits how often they ask.
pub fn places<'a>(own: &OfServer, mut sites: impl Iterator<Item = &'a OfSite>) -> usize {
    match own.addresses {
        0 if sites.any(|site| site.rate.is_some()) => RATE_PLACES,
        addresses => addresses as usize,
    }
}

pub(super) fn of_site(v: &Values<'_>, out: &mut Findings) -> OfSite {
    let mut rules = rules(v, "MANDRIL", out);
    if let Some(entry) = v.every("RULES").next() {
        if !rules.is_empty() {
            out.error(&entry.at, "[RULES] is another name of [MANDRIL], and there are both: put all lines in one");
        }
        rules = self::rules(v, "RULES", out);
    }
    OfSite { rules, rate: rate(v, out) }
}

pub(super) fn of_server(v: &Values<'_>, out: &mut Findings) -> OfServer {
    OfServer { rules: rules(v, "RULES", out), addresses: v.number32("RATE", "Addresses") }
}

fn rate(v: &Values<'_>, out: &mut Findings) -> Option<Rate> {
    let [requests, seconds, mut burst] = ["Requests", "Seconds", "Burst"].map(|key| v.number32("RATE", key));
    if requests == 0 {
        return None;
    }
    if burst == 0 {
        burst = requests;
    } else if u64::from(burst) * u64::from(seconds) > u64::from(requests) * u64::from(SECONDS_MAX) {
        let at = v.entry("RATE", "Burst")?.value_at;
        return out.refuse(&at, "it would take over a day to earn this burst again: lower it");
    }
    Some(Rate { requests, seconds, burst })
}

fn rules(v: &Values<'_>, section: &'static str, out: &mut Findings) -> Vec<Rule> {
    let mut rules = Vec::new();
    for entry in v.every(section) {
        let allow = same(entry.key, "Allow");
        if let Some(what) = what(&entry, allow, out) {
            rules.push(Rule { allow, what });
        }
    }
    rules
}

/// The keys of the original, and the words behind `Allow` and `Deny`: each meaning has the same place in both.
const KEYS: &str = "IP URL deny_hotlink";
const KINDS: &str = "address uri hotlink method";
const ADDRESS: usize = 0;
const URI: usize = 1;
const HOTLINK: usize = 2;

/// In the order of [`Method`](crate::wire::head::Method).
const METHODS: &str = "GET HEAD POST PUT DELETE OPTIONS PATCH";

/// The number of a word in a list.
#[inline(never)]
fn number_of(list: &'static str, word: &str) -> Option<usize> {
    Words(list).position(|known| same(known, word))
}

fn what(entry: &RawEntry<'_>, allow: bool, out: &mut Findings) -> Option<What> {
    let (mut kind, mut which) = (number_of(KEYS, entry.key), entry.value);
    let is_old = kind.is_some();
    if !is_old {
        let (word, rest) = first_word(entry.value);
        which = rest;
        kind = number_of(KINDS, word).filter(|kind| !(rest.is_empty() || allow && *kind == HOTLINK));
    }
    let Some(kind) = kind else {
        let hotlink = if allow { "" } else { ", hotlink REGEX" };
        let what = format_args!("write address CIDR... (or all), uri REGEX, method NAME...{hotlink}");
        return out.refuse(&entry.value_at, what);
    };
    if kind == URI || kind == HOTLINK {
        let made = if is_old { Pattern::of_text(which) } else { Pattern::compile(which) };
        let pattern = Box::new(pattern(made, which, entry, out)?);
        return Some(if kind == URI { What::Uri(pattern) } else { What::Hotlink(pattern) });
    }
    let (mut networks, mut methods) = (Vec::new(), 0);
    for word in Words(which) {
        if kind != ADDRESS
            && let Some(method) = number_of(METHODS, word)
        {
            methods |= 1 << method;
        } else if kind == ADDRESS && same(which, "all") {
        } else if kind == ADDRESS
            && let Some(network) = Network::parse(word)
        {
            networks.push(network);
        } else {
            let hint = match kind {
                ADDRESS => "networks such as 192.168.0.0/16, 10.0.0.1 or fe80::/10, or all alone",
                _ => "of GET HEAD POST PUT DELETE OPTIONS PATCH; every other is answered 501",
            };
            let at = entry.value_at.of_part(entry.value, word);
            return out.refuse(&at, format_args!("no rule can be about {word}: write {hint}"));
        }
    }
    Some(if kind == ADDRESS { What::Address(networks) } else { What::Method(methods) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::socket::Peer;
    use crate::wire::head::Method;
    use std::net::SocketAddr;

    fn is_in(network: &str, address: &str) -> bool {
        let peer = Peer::from(SocketAddr::new(address.parse().unwrap(), 1));
        Network::parse(network).unwrap_or_else(|| panic!("{network}")).contains(peer.bits())
    }

    #[test]
    fn networks_and_their_edges() {
        for (network, inside, outside) in [
            ("0.0.0.0/0", &["0.0.0.0", "255.255.255.255"][..], &["::1", "::", "::7f00:1"][..]),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.2", "10.1.2.4", "::a01:203"]),
            ("10.1.2.3/32", &["10.1.2.3", "::ffff:10.1.2.3"], &["10.1.2.2"]),
            ("10.1.2.3/31", &["10.1.2.2", "10.1.2.3"], &["10.1.2.1", "10.1.2.4"]),
            ("10.20.1.1/24", &["10.20.1.0", "10.20.1.255"], &["10.20.0.255", "10.20.2.0"]),
            ("128.0.0.0/1", &["128.0.0.0", "255.0.0.1"], &["127.255.255.255"]),
            ("::/0", &["::", "::1", "ffff::"], &["127.0.0.1", "0.0.0.0", "::ffff:1.2.3.4"]),
            ("::/80", &["::1", "::fffe:0:1"], &["0.0.0.1", "::1:0:0:0"]),
            ("::1", &["::1"], &["::2", "0.0.0.1", "127.0.0.1"]),
            ("2001:db8::1/128", &["2001:db8::1"], &["2001:db8::", "2001:db8::2"]),
            ("2001:db8::1/127", &["2001:db8::", "2001:db8::1"], &["2001:db8::2"]),
            ("2001:DB8::/32", &["2001:db8::1", "2001:db8:ffff::"], &["2001:db9::"]),
            ("fe80::/10", &["fe80::1", "febf::1"], &["fec0::1"]),
            ("::ffff:10.0.0.0/104", &["10.0.0.1", "10.255.0.1"], &["11.0.0.1", "::a00:1"]),
            ("2001:db8::/97", &["2001:db8::1"], &["0.0.0.1"]),
        ] {
            for address in inside {
                assert!(is_in(network, address), "{address} is in {network}");
            }
            for address in outside {
                assert!(!is_in(network, address), "{address} is not in {network}");
            }
        }
    }

    #[test]
    fn what_is_no_network() {
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/255",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "::/255",
            "::/1000",
            "10.0.0.0/8/8",
            "10.0.0.256",
            "localhost",
            "[::1]",
            "::1%lo",
            "10.0.0.1:80",
            "10.0.0.0/255.0.0.0",
            "010.0.0.1",
        ] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_bits_of_methods() {
        use Method::*;
        let all = [Get, Head, Post, Put, Delete, Options, Patch];
        for (number, (name, method)) in METHODS.split(' ').zip(all).enumerate() {
            assert_eq!((format!("{method:?}").to_uppercase(), method as usize), (name.to_string(), number));
        }
        assert_eq!(METHODS.split(' ').count(), all.len());
    }
}
