//! Request targets. The input is the target.

use monkey::limits::HEAD_MAX;
use monkey::wire::span::Span;
use monkey::wire::target::{Form, Path, parse_target, write_encoded};

/// Parses `data` as a request target and checks that its path is normal and stays so when it is written out and read again.
pub fn run(data: &[u8]) {
    if data.len() > HEAD_MAX {
        return;
    }
    let mut out = vec![0; data.len().max(1)];
    let Ok(target) = parse_target(data, Span::between(0, data.len()), &mut out) else {
        return;
    };
    let path = target.path.of(data, &out);
    match target.form {
        Form::Asterisk | Form::Authority => {
            assert!(path.is_empty());
            return;
        }
        Form::Absolute => assert!(target.authority.is_some_and(|authority| !authority.host.is_empty())),
        Form::Origin => assert!(target.authority.is_none()),
    }
    check_normal(path);
    assert!(path.len() <= data.len());
    if let Some(query) = target.query {
        assert!(query.of(data).iter().all(|&byte| byte.is_ascii_graphic() && byte != b'#'));
    }

    let mut written = Vec::new();
    write_encoded(path, &mut |piece| written.extend_from_slice(piece));
    let mut out = vec![0; written.len()];
    let span = Span::between(0, written.len());
    if usize::from(span.len) == written.len() {
        let again = parse_target(&written, span, &mut out).expect("an encoded path parses");
        assert_eq!(again.path.of(&written, &out), path);
        if written == path {
            assert_eq!(again.path, Path::AsIs(span));
        }
    }
}

fn check_normal(path: &[u8]) {
    let segments = path.strip_prefix(b"/").expect("a path starts at the root");
    assert!(!path.contains(&0));
    let mut left = segments.split(|&byte| byte == b'/').peekable();
    while let Some(segment) = left.next() {
        assert!(segment != b"." && segment != b"..");
        assert!(!segment.is_empty() || left.peek().is_none());
    }
}
