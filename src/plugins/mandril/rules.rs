//! The judgement of rules. True = let through.

use crate::config::plugins::mandril::{Network, Rule, What};
use crate::vhost::request::Request;
use crate::wire::host::parse_host;

/// Who asks for what.
pub(super) struct Asker<'a> {
    /// See [`Peer::bits`](crate::sys::socket::Peer::bits).
    pub(super) address: u128,
    pub(super) request: &'a Request<'a>,
}

/// What the lines about addresses say that stand before all others.
pub(super) fn judge_address(rules: &[Rule], address: u128) -> bool {
    for rule in rules {
        match &rule.what {
            What::Address(networks) if is_in(networks, address) => return rule.allow,
            What::Address(_) => {}
            _ => break,
        }
    }
    true
}

/// What all lines say.
pub(super) fn judge(rules: &[Rule], asker: &Asker<'_>) -> bool {
    rules.iter().find(|rule| matches(&rule.what, asker)).is_none_or(|rule| rule.allow)
}

fn is_in(networks: &[Network], address: u128) -> bool {
    networks.is_empty() || networks.iter().any(|network| network.contains(address))
}

fn matches(what: &What, asker: &Asker<'_>) -> bool {
    let request = asker.request;
    match what {
        What::Address(networks) => is_in(networks, asker.address),
        What::Uri(paths) => paths.have(request.path),
        What::Method(methods) => methods.contains(&request.head.method),
        What::Hotlink(paths) => {
            let mut referers = request.fields(b"referer");
            referers.any(|referer| is_foreign(referer, request.host)) && paths.have(request.path)
        }
    }
}

/// Whether a page refers (RFC 9110 section 10.1.3) that is not of this host. An empty field says as little as none; one without a host,
/// or with a user's name before it, is nobody's page.
fn is_foreign(referer: &[u8], host: Option<&[u8]>) -> bool {
    if referer.is_empty() {
        return false;
    }
    let after = referer.windows(3).position(|place| place == b"://").and_then(|at| referer.get(at + 3..));
    let authority = after.and_then(|after| after.split(|byte| b"/?#".contains(byte)).next());
    let theirs = authority.and_then(|authority| Some(parse_host(authority).ok()?.host.of(authority)));
    match (theirs, host) {
        (Some(theirs), Some(ours)) => !absolute(theirs).eq_ignore_ascii_case(absolute(ours)),
        _ => true,
    }
}

/// A host without the final dot of an absolute name.
fn absolute(host: &[u8]) -> &[u8] {
    host.strip_suffix(b".").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_other_hosts() {
        for referer in [
            "",
            "http://a.example/",
            "http://A.Example",
            "https://a.example:8443/x?y#z",
            "http://a.example.:80/",
            "http://a.example?q",
        ] {
            assert!(!is_foreign(referer.as_bytes(), Some(b"a.EXAMPLE")), "{referer}");
        }
        for referer in [
            "http://b.example/",
            "http://www.a.example/",
            "http://example/",
            "http://a.example.evil/",
            "http://evil/?http://a.example/",
            "http://evil#http://a.example/",
            "http://evil:80@a.example/",
            "http://a.example@evil/",
            "http://a.example:99999/",
            "http:///a.example",
            "http:/a.example/",
            "//a.example/",
            "a.example",
            "about:blank",
            "-",
            "\u{fc}",
            "://",
        ] {
            assert!(is_foreign(referer.as_bytes(), Some(b"a.example")), "{referer}");
        }
        assert!(!is_foreign(b"http://[::1]:80/", Some(b"[::1]")));
        assert!(is_foreign(b"http://[::1]:80/", Some(b"[::2]")));
        assert!(is_foreign(b"http://a.example/", None), "the request says not which host it is for");
        assert!(!is_foreign(b"", None));
    }
}
