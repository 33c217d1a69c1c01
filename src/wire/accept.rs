//! Content negotiation (RFC 9110 section 12.5): which content coding a client wants, and whether it is a browser after a
//! page.

use super::chars::is_word;
use super::list::{members, parts};

/// A content coding files are kept in (RFC 9110 section 8.4.1).
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Coding {
    /// Brotli, `br` (RFC 7932).
    Br,
    /// `gzip`, also asked for as `x-gzip`.
    Gzip,
    /// The file itself.
    #[default]
    Identity,
}

/// The weight a client gives each coding, in thousandths: 1000 is most wanted, 0 is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encodings {
    /// Weight of [`Coding::Br`].
    pub br: u16,
    /// Weight of [`Coding::Gzip`].
    pub gzip: u16,
    /// Weight of [`Coding::Identity`]. When the field does not mention it, 1: it will do, and anything named goes first.
    pub identity: u16,
}

impl Encodings {
    /// What a request without `Accept-Encoding` is answered with: the file itself. (Any coding would be allowed by RFC 9110
    /// section 12.5.3, but such clients rarely know one.)
    pub const NONE: Encodings = Encodings { br: 0, gzip: 0, identity: 1 };

    /// The weight of `coding`.
    pub const fn weight(&self, coding: Coding) -> u16 {
        match coding {
            Coding::Br => self.br,
            Coding::Gzip => self.gzip,
            Coding::Identity => self.identity,
        }
    }

    /// The codings the client takes, the most wanted first; among equals the smaller one first: br, gzip, identity.
    pub fn preferred(&self) -> impl Iterator<Item = Coding> + use<> {
        let mut order = [Coding::Br, Coding::Gzip, Coding::Identity];
        let weights = *self;
        // A stable insertion sort of three: the sort of core would be many times the size.
        if weights.weight(order[1]) > weights.weight(order[0]) {
            order.swap(0, 1);
        }
        if weights.weight(order[2]) > weights.weight(order[1]) {
            order.swap(1, 2);
        }
        if weights.weight(order[1]) > weights.weight(order[0]) {
            order.swap(0, 1);
        }
        order.into_iter().filter(move |&coding| weights.weight(coding) > 0)
    }
}

/// RFC 9110 section 12.5.3: the weights in an `Accept-Encoding` field. A coding not named has the weight of `*`, and without
/// that none. A member with a malformed weight counts as not there; of repeated ones the first counts.
pub fn parse_accept_encoding(value: &[u8]) -> Encodings {
    let (mut br, mut gzip, mut identity, mut any) = (None, None, None, None);
    for member in members(value) {
        let Some((name, weight)) = parse_weighted(member) else {
            continue;
        };
        let place = if is_word(name, b"br") {
            &mut br
        } else if is_word(name, b"gzip") || is_word(name, b"x-gzip") {
            &mut gzip
        } else if is_word(name, b"identity") {
            &mut identity
        } else if name == b"*" {
            &mut any
        } else {
            continue;
        };
        place.get_or_insert(weight);
    }
    Encodings {
        br: br.or(any).unwrap_or(0),
        gzip: gzip.or(any).unwrap_or(0),
        identity: identity.or(any).unwrap_or(Encodings::NONE.identity),
    }
}

/// RFC 9110 section 12.5.1: whether an `Accept` field names HTML, `text/html` or `application/xhtml+xml`, with a weight above
/// zero, as browsers do when a page is opened. Wildcards do not count: scripts and images send those.
pub fn accepts_html(accept: &[u8]) -> bool {
    members(accept)
        .filter_map(parse_weighted)
        .any(|(name, weight)| weight > 0 && (is_word(name, b"text/html") || is_word(name, b"application/xhtml+xml")))
}

/// RFC 9110 section 12.5.1: whether an `Accept` field names JSON, and gives neither `*/*` nor a type of text more weight. A wildcard alone
/// is no wish for JSON.
pub fn prefers_json(accept: &[u8]) -> bool {
    let (mut json, mut other) = (0, 0);
    for (name, weight) in members(accept).filter_map(parse_weighted) {
        if is_word(name, b"application/json") {
            json = weight.max(json);
        } else if let Some(b'*' | b't' | b'T') = name.first() {
            other = weight.max(other);
        }
    }
    json > 0 && json >= other
}

/// RFC 9110 section 12.4.2: a list member with an optional weight, in thousandths; 1000 without one. `None` when the weight
/// is malformed.
fn parse_weighted(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = parts(member);
    let name = parts.next()?;
    for parameter in parts {
        if let [b'q' | b'Q', b'=', value @ ..] = parameter {
            return Some((name, parse_qvalue(value)?));
        }
    }
    Some((name, 1000))
}

/// RFC 9110 section 12.4.2: qvalue = ( "0" \[ "." 0*3DIGIT \] ) / ( "1" \[ "." 0*3"0" \] ), in thousandths.
fn parse_qvalue(value: &[u8]) -> Option<u16> {
    let (whole, decimals): (u16, &[u8]) = match value {
        [b'0'] => (0, &[]),
        [b'1'] => (1000, &[]),
        [b'0', b'.', decimals @ ..] => (0, decimals),
        [b'1', b'.', decimals @ ..] => (1000, decimals),
        _ => return None,
    };
    if decimals.len() > 3 || !decimals.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut thousandths = whole;
    for (digit, unit) in decimals.iter().zip([100, 10, 1]) {
        thousandths += u16::from(digit - b'0') * unit;
    }
    (thousandths <= 1000).then_some(thousandths)
}

#[cfg(test)]
mod tests {
    use super::Coding::{Br, Gzip, Identity};
    use super::*;

    fn order(value: &str) -> Vec<Coding> {
        parse_accept_encoding(value.as_bytes()).preferred().collect()
    }

    #[test]
    fn weights_decide_and_smaller_codings_win_ties() {
        assert_eq!(order("gzip, deflate, br, zstd"), [Br, Gzip, Identity]);
        assert_eq!(order("gzip"), [Gzip, Identity]);
        assert_eq!(order("GZIP;q=1.0, br;q=0.9"), [Gzip, Br, Identity]);
        assert_eq!(order("x-gzip ; q=0.1"), [Gzip, Identity]);
        assert_eq!(order("br;q=0.5, gzip;q=0.8, identity"), [Identity, Gzip, Br]);
        assert_eq!(order("identity;q=0.5, br;q=0.5"), [Br, Identity]);
        assert_eq!(order(""), [Identity]);
        assert_eq!(order("deflate"), [Identity]);
    }

    #[test]
    fn zero_refuses_and_star_stands_for_the_rest() {
        assert_eq!(order("br;q=0, gzip"), [Gzip, Identity]);
        assert_eq!(order("gzip;q=0.000"), [Identity]);
        assert_eq!(order("*"), [Br, Gzip, Identity]);
        assert_eq!(order("*;q=0"), []);
        assert_eq!(order("identity;q=0"), []);
        assert_eq!(order("identity;q=0, *"), [Br, Gzip]);
        assert_eq!(order("*;q=0.2, gzip;q=0.3"), [Gzip, Br, Identity]);
        assert_eq!(order("gzip;q=0, *;q=0.5"), [Br, Identity]);
    }

    #[test]
    fn malformed_weights_take_the_member_out() {
        for weight in ["", "x", "-1", "1.001", "2", "0.1234", "0,5", ".5", "01", "\"1\""] {
            assert_eq!(order(&format!("gzip;q={weight}")), [Identity], "{weight}");
        }
        assert_eq!(parse_accept_encoding(b"gzip;q=0.").gzip, 0);
        assert_eq!(parse_accept_encoding(b"gzip;q=1.").gzip, 1000);
        assert_eq!(parse_accept_encoding(b"gzip;q=0.05").gzip, 50);
        assert_eq!(parse_accept_encoding(b"gzip;q=0.123;x=1").gzip, 123);
        assert_eq!(parse_accept_encoding(b"gzip;x=1;Q=0.5").gzip, 500);
        assert_eq!(parse_accept_encoding(b"gzip;q=0.5, gzip;q=0.7").gzip, 500);
    }

    #[test]
    fn html_must_be_named() {
        assert!(accepts_html(b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(accepts_html(b"application/json, Text/HTML;level=1;q=0.1"));
        assert!(accepts_html(b"application/xhtml+xml"));
        for accept in ["", "*/*", "text/*", "application/json", "text/html;q=0", "image/avif,*/*;q=0.8", "text/htmlx"] {
            assert!(!accepts_html(accept.as_bytes()), "{accept}");
        }
    }
    #[test]
    fn json_must_be_named_and_not_be_second_choice() {
        for accept in [
            "application/json",
            "application/json, text/plain, */*",
            "text/html;q=0.5, Application/JSON;q=0.5",
            "application/json;q=0.2, image/png",
            "*/*;q=0.1, application/json;q=0.3",
        ] {
            assert!(prefers_json(accept.as_bytes()), "{accept}");
        }
        for accept in [
            "",
            "*/*",
            "application/*",
            "application/json;q=0",
            "application/json;q=2",
            "application/jsonx",
            "text/html, application/json;q=0.9",
            "application/json;q=0.5, Text/plain;q=0.6",
            "application/json;q=0.5, */*",
        ] {
            assert!(!prefers_json(accept.as_bytes()), "{accept}");
        }
    }
}
