//! Rules. The input is an address, a line end, a request's head, and behind that the file of a site.

use std::net::{IpAddr, SocketAddr};

use super::rules::{Asker, is_foreign, judge, judge_address};
use crate::config::fuzz_site;
use crate::config::plugins::mandril::{Network, Rule};
use crate::limits::HEAD_MAX;
use crate::plugin::host::Host;
use crate::plugin::nobody::Nobody;
use crate::sys::socket::Peer;
use crate::vhost::request::Request;
use crate::wire::head::{Head, Name, find_end, parse_head};
use crate::wire::pattern::Pattern;
use crate::wire::target::write_encoded;

/// Words and lines of a file that are tried as networks and patterns.
const TRIED: usize = 32;

thread_local! {
    static NOBODY: Nobody = Nobody::with_defaults();
}

/// Checks networks, patterns and the hosts of pages against slow ways to tell the same, that the first rule which matches decides, and
/// that no other way to write a path leads past a rule.
pub fn run(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (address, rest) = (&data[..end], &data[(end + 1).min(data.len())..]);
    let (input, file) = rest.split_at(find_end(rest, 0).unwrap_or(0));
    let address =
        str::from_utf8(address).ok().and_then(|text| text.parse().ok()).unwrap_or(IpAddr::from([192, 0, 2, 1]));
    let address = Peer::from(SocketAddr::new(address, 1)).bits();
    let text = str::from_utf8(file).unwrap_or_default();
    for word in text.split_ascii_whitespace().take(TRIED) {
        network(word, address);
    }
    let mut head = Head::new();
    if input.len() > HEAD_MAX || parse_head(input, &mut head).is_err() {
        return;
    }
    NOBODY.with(|nobody| {
        let live = nobody.live();
        let mut room = [0; HEAD_MAX];
        let Ok(request) = Request::route(&live, &head, input, &mut room, true) else { return };
        for line in text.lines().take(TRIED) {
            pattern(line.trim_start().splitn(3, ' ').last().unwrap_or_default(), request.path);
        }
        pages(&request);
        let site = fuzz_site(file);
        let rules = &site.plugins.mandril.rules[..];
        let asker = Asker { address, request: &request };
        let verdict = judge(rules, &asker);
        assert_eq!(verdict, first_match(rules, &asker));
        assert!(judge_address(rules, address) || !verdict, "let in after it was turned away");
        for other in disguises(&head, input, request.path) {
            let mut head = Head::new();
            if parse_head(&other, &mut head).is_err() {
                continue;
            }
            let mut room = [0; HEAD_MAX];
            let other = Request::route(&live, &head, &other, &mut room, true).expect("the same path");
            assert_eq!(other.path, request.path);
            assert_eq!(judge(rules, &Asker { address, request: &other }), verdict);
        }
    });
}

/// The verdict of each rule alone, one after the other.
fn first_match(rules: &[Rule], asker: &Asker<'_>) -> bool {
    let matches = |rule: &&Rule| !judge(&[Rule { allow: false, what: rule.what.clone() }], asker);
    rules.iter().find(matches).is_none_or(|rule| rule.allow)
}

/// A word as a network, compared bit by bit.
fn network(word: &str, client: u128) {
    let Some(network) = Network::parse(word) else { return };
    let (address, bits) = word.split_once('/').unwrap_or((word, "128"));
    let address: IpAddr = address.parse().expect("an address");
    let mut bits: u32 = bits.parse().expect("a number");
    if address.is_ipv4() {
        bits = 96 + bits.min(32);
    }
    let first = Peer::from(SocketAddr::new(address, 1)).bits();
    let flipped = (0..128).map(|bit| first ^ 1 << bit);
    for other in flipped.chain([first, client]) {
        let same = (0..bits).all(|bit| (first ^ other) << bit >> 127 == 0);
        let of_its_kind = bits >= 96 || other >> 32 != 0xffff;
        assert_eq!(network.contains(other), same && of_its_kind, "{word} {other:x}");
    }
}

/// A text as a pattern and as a part of a path.
fn pattern(text: &str, path: &[u8]) {
    if let Ok(part) = Pattern::of_text(text) {
        let (lower, text) = (path.to_ascii_lowercase(), text.to_ascii_lowercase());
        let is_in = text.is_empty() || lower.windows(text.len()).any(|window| window == text.as_bytes());
        assert_eq!(part.is_match(path), is_in, "{text}");
    }
    let Ok(pattern) = Pattern::compile(text) else { return };
    let found = pattern.is_match(path);
    if let Ok(anchored) = Pattern::compile(&format!("^({text})$")) {
        assert!(found || !anchored.is_match(path), "{text}");
    }
    if !text.contains(['^', '$']) {
        for at in (0..path.len()).step_by(path.len() / 16 + 1) {
            let (before, behind) = path.split_at(at);
            assert!(found || !pattern.is_match(before) && !pattern.is_match(behind), "{text}");
        }
    }
}

/// The page that a request says it comes from, and its own host.
fn pages(request: &Request<'_>) {
    let host = request.host.unwrap_or_default();
    let referer = request.field(Name::Referer).unwrap_or_default();
    let own = |authority: &[u8]| [b"http://", authority, b"/page"].concat();
    if !host.is_empty() && host != b"." {
        assert!(!is_foreign(&own(host), request.host) && !is_foreign(&own(&[host, b":80"].concat()), request.host));
        assert!(is_foreign(&own(&[host, b".example"].concat()), request.host));
        assert!(is_foreign(&own(&[host, b"@example"].concat()), request.host));
    }
    let is_own = referer.windows(3).position(|place| place == b"://").is_some_and(|at| {
        let rest = &referer[at + 3..];
        let authority = &rest[..rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len())];
        let port = authority.iter().rposition(|byte| !byte.is_ascii_digit()).filter(|&at| authority[at] == b':');
        let name = &authority[..port.unwrap_or(authority.len())];
        let host = host.strip_suffix(b".").unwrap_or(host).to_ascii_lowercase();
        let name = name.to_ascii_lowercase();
        !host.is_empty() && (name == host || name.strip_suffix(b".") == Some(&host))
    });
    assert_eq!(is_foreign(referer, request.host), !referer.is_empty() && !is_own);
}

/// The same head with its path written in other ways.
fn disguises(head: &Head, input: &[u8], path: &[u8]) -> Vec<Vec<u8>> {
    let target = head.target.of(input);
    if target.first() != Some(&b'/') || path.is_empty() {
        return Vec::new();
    }
    let query = target.iter().position(|&byte| byte == b'?').map_or(&b""[..], |at| &target[at..]);
    let (before, behind) =
        (&input[..usize::from(head.target.start)], &input[usize::from(head.target.start) + target.len()..]);
    let mut plain = Vec::new();
    write_encoded(path, &mut |piece| plain.extend_from_slice(piece));
    let mut encoded = Vec::new();
    for &byte in path {
        match byte {
            b'/' => encoded.push(b'/'),
            byte => encoded.extend_from_slice(format!("%{byte:02x}").as_bytes()),
        }
    }
    let slashes = |by: &[u8]| plain.split(|&byte| byte == b'/').collect::<Vec<_>>().join(by);
    [encoded, slashes(b"//"), slashes(b"/./"), slashes(b"/x/../"), slashes(b"/%2e/"), slashes(b"/x/.%2E/")]
        .map(|path| [before, &path, query, behind].concat())
        .into()
}
