//! Request heads. The input is what a client sends.

use monkey::limits::HEAD_MAX;
use monkey::wire::head::{Framing, Head, Version, check_partial, find_end, parse_head, skip_empty_lines};

/// Parses the first head of `data` and checks that the way its bytes arrive changes nothing.
pub fn run(data: &[u8]) {
    let mut head = Head::new();
    let end = find_end(data, 0);
    let whole = data.get(..end.unwrap_or(data.len())).unwrap_or(&[]);
    let parsed = parse_head(whole, &mut head);

    if end.is_none() {
        assert!(parsed.is_err(), "a head without an end was accepted");
    }
    // Each prefix has no end, and is not refused when the whole is accepted. Long inputs are cut at fewer places.
    let step = whole.len() / 64 + 1;
    for cut in (0..whole.len()).step_by(step) {
        let part = &whole[..cut];
        assert_eq!(find_end(part, 0), None);
        assert_eq!(find_end(data, cut), end);
        if let Err(error) = check_partial(part) {
            assert!(parsed.is_err(), "prefix of {cut} bytes of a good head refused: {error}");
        }
    }
    match parsed {
        Ok(()) => check(whole, &head),
        Err(error) => assert!(matches!(error.status(), 400 | 411 | 413 | 414 | 431 | 501 | 505)),
    }
}

fn check(text: &[u8], head: &Head) {
    assert!(text.len() <= HEAD_MAX);
    let start = skip_empty_lines(text);
    assert_eq!(usize::from(head.method_span.start), start);
    let target = head.target.of(text);
    assert!(!target.is_empty() && target.iter().all(u8::is_ascii_graphic));
    assert!(head.version == Version::Http10 || head.host.is_some());
    if let Some(host) = head.host {
        assert!(!host.host.of(text).is_empty());
    }
    let (mut lengths, mut codings, mut hosts) = (0, 0, 0);
    for field in head.fields() {
        let (name, value) = (field.name.of(text), field.value.of(text));
        assert!(!name.is_empty() && name.len() == usize::from(field.name.len));
        assert_eq!(value.len(), usize::from(field.value.len));
        assert!(value.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control()));
        assert_eq!(value, value.trim_ascii());
        lengths += usize::from(name.eq_ignore_ascii_case(b"content-length"));
        codings += usize::from(name.eq_ignore_ascii_case(b"transfer-encoding"));
        hosts += usize::from(name.eq_ignore_ascii_case(b"host"));
    }
    assert!(hosts <= 1);
    match head.framing {
        Framing::None => assert_eq!((lengths, codings), (0, 0)),
        Framing::Length(length) => assert!(lengths == 1 && codings == 0 && i64::try_from(length).is_ok()),
        Framing::Chunked => assert!(lengths == 0 && codings >= 1 && head.version == Version::Http11),
    }
}
