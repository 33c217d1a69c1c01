//! Heads at random, and what is nearly one.

use proptest::prelude::*;

use super::head::parse;
use crate::wire::head::{Head, Version, check_partial, find_end, parse_start};

/// Heads that are nearly right: the pieces of one, now and then with a wrong byte.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        "GET ",
        "GET / HTTP/1.0\r\n",
        "POST /a HTTP/1.1\r\nHost: a\r\n",
        "/",
        "*",
        "a",
        " HTTP/1.1\r\n",
        " HTTP/1.0\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close\r\n",
        "A: b\r\n",
        "\r\n",
        "\r\n",
        "\r",
        "\n",
        " ",
        "\t",
        ":",
        ",",
        "\0",
        "%41",
    ]);
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat().into_bytes())
}

/// The end of the first head by the plainest search there is.
fn plain_end(buf: &[u8]) -> Option<usize> {
    let mut start = 0;
    while buf[start..].starts_with(b"\r\n") {
        start += 2;
    }
    buf[start..].windows(4).position(|four| four == b"\r\n\r\n").map(|at| start + at + 4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn the_end_is_found_wherever_the_search_resumes(buf in prop_oneof![nearly(), "[\r\n\r\nab]{0,30}".prop_map(String::into_bytes)]) {
        let end = plain_end(&buf);
        prop_assert_eq!(find_end(&buf, 0), end);
        for from in 0..end.unwrap_or(buf.len() + 1) {
            prop_assert_eq!(find_end(&buf, from), end, "from {}", from);
        }
    }

    #[test]
    fn a_prefix_of_what_parses_is_never_refused(buf in nearly()) {
        let Some(end) = find_end(&buf, 0) else { return Ok(()) };
        let head = &buf[..end];
        let parsed = parse(head);
        for cut in 0..end {
            if let Err(error) = check_partial(&head[..cut]) {
                prop_assert!(parsed.is_err(), "{} after {}", error, head[..cut].escape_ascii());
            }
        }
        if let Ok(parsed) = parsed {
            for field in parsed.fields() {
                prop_assert!(!field.name.is_empty());
                let value = field.value.of(head);
                prop_assert_eq!(value.len(), usize::from(field.value.len));
                prop_assert_eq!(value.trim_ascii(), value);
            }
            prop_assert!(!parsed.target.of(head).is_empty());
            prop_assert!(parsed.version == Version::Http10 || parsed.host.is_some());
        }
    }

    #[test]
    fn a_head_at_the_start_is_found_without_its_end(buf in nearly(), more in prop_oneof![Just(Vec::new()), nearly()]) {
        let all = [buf, more].concat();
        let mut found = Head::new();
        let start = parse_start(&all, &mut found).ok().map(|end| (end, format!("{found:?}")));
        let head = find_end(&all, 0).and_then(|end| Some((end, format!("{:?}", parse(&all[..end]).ok()?))));
        prop_assert_eq!(start, head);
    }

    #[test]
    fn any_bytes_are_survived(buf in prop::collection::vec(any::<u8>(), 0..100), from in 0usize..200) {
        let _ = parse(&buf);
        let _ = find_end(&buf, from);
        let _ = check_partial(&buf);
    }
}
