//! The judgement of rules. True = let through.

use crate::config::plugins::mandril::{Network, Rule, What};
use crate::vhost::request::Request;
use crate::wire::head::Name;

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
    let pattern = match what {
        What::Address(networks) => return is_in(networks, asker.address),
        What::Method(methods) => return methods >> request.head.method as u16 & 1 != 0,
        What::Uri(pattern) => pattern,
        What::Hotlink(_) if !request.field(Name::Referer).is_some_and(|referer| is_foreign(referer, request.host)) => {
            return false;
        }
        What::Hotlink(pattern) => pattern,
    };
    pattern.is_match(request.path)
}

/// Whether a page refers (RFC 9110 section 10.1.3) that is not of this host. An empty field says as little as none; one without a host,
/// or with a user's name before it, is nobody's page.
pub(super) fn is_foreign(referer: &[u8], host: Option<&[u8]>) -> bool {
    !referer.is_empty() && is_page_of(referer, host.unwrap_or_default()).is_none()
}

fn is_page_of(referer: &[u8], host: &[u8]) -> Option<()> {
    // The final dot of an absolute name means nothing.
    let host = host.strip_suffix(b".").unwrap_or(host);
    let start = referer.windows(3).position(|place| place == b"://")? + 3;
    let (theirs, rest) = referer.get(start..)?.split_at_checked(host.len())?;
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    let mut behind = rest.iter();
    let mut end = behind.next();
    if end == Some(&b':') {
        end = behind.find(|byte| !byte.is_ascii_digit());
    }
    let ends = end.is_none_or(|byte| b"/?#".contains(byte));
    (ends && !host.is_empty() && theirs.eq_ignore_ascii_case(host)).then_some(())
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
            "http://a.example:80x/",
            "http://a.example:@evil/",
            "http://a.example:80@evil/",
            "http://a.example..:80@evil/",
            "http://a.example.example/",
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
        assert!(is_foreign(b"http://", None) && is_foreign(b"http:///", None) && is_foreign(b"http://./", Some(b".")));
        assert!(!is_foreign(b"", None));
    }
}
