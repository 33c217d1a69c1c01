//! Request targets: known answers, refusals, and what holds for every path.

use proptest::prelude::*;

use crate::limits::HEAD_MAX;
use crate::wire::span::Span;
use crate::wire::target::{Form, Path, Target, TargetError, parse_target, write_encoded};

/// Parses `target` in the middle of other bytes, gives it with its path.
fn parse(target: &[u8]) -> Result<(Target, Vec<u8>), TargetError> {
    let buf = [b"GET ", target, b" HTTP/1.1"].concat();
    let mut out = [0; HEAD_MAX];
    let parsed = parse_target(&buf, Span::between(4, 4 + target.len()), &mut out)?;
    let path = parsed.path.of(&buf, &out).to_vec();
    if let Some(query) = parsed.query {
        let at = target.iter().position(|&byte| byte == b'?').expect("a query has its question mark");
        assert_eq!(query.of(&buf), &target[at + 1..]);
    }
    Ok((parsed, path))
}

fn path(target: &str) -> Result<String, TargetError> {
    parse(target.as_bytes()).map(|(_, path)| String::from_utf8(path).expect("the test's paths are UTF-8"))
}

fn encoded(path: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_encoded(path, &mut |piece| out.extend_from_slice(piece));
    out
}

#[test]
fn plain_paths_are_not_copied() {
    for target in
        ["/", "/a", "/a/b/", "/a..b", "/a.b.c", "/.well-known/x", "/...", "/a/.b", "/a:b@c;d=e,f!$&'()*+~", "/a\\b|c"]
    {
        let (parsed, path) = parse(target.as_bytes()).unwrap();
        assert_eq!(parsed.form, Form::Origin);
        assert_eq!(parsed.authority, None);
        assert_eq!(parsed.query, None);
        assert_eq!(parsed.path, Path::AsIs(Span::between(4, 4 + target.len())), "{target}");
        assert_eq!(path, target.as_bytes());
    }
}

#[test]
fn paths_are_decoded_once_and_normalised() {
    for (target, expected) in [
        ("/%41", "/A"),
        ("/a%20b", "/a b"),
        ("/%2541", "/%41"),
        ("/%c3%a9", "/\u{e9}"),
        ("/%0a%7f", "/\n\u{7f}"),
        ("/%3f%23", "/?#"),
        ("//", "/"),
        ("///a//b//", "/a/b/"),
        ("/a%2Fb", "/a/b"),
        ("/a%2F%2fb", "/a/b"),
        ("/.", "/"),
        ("/./", "/"),
        ("/a/.", "/a/"),
        ("/a/./b", "/a/b"),
        ("/a/..", "/"),
        ("/a/../", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/../../c", "/c"),
        ("/a//../c", "/c"),
        ("/a/%2e%2e/c", "/c"),
        ("/a/.%2E/c", "/c"),
        ("/a%2f..%2fc", "/c"),
        ("/a/%2e/c", "/a/c"),
        ("/%2e%2e%2e/x", "/.../x"),
        ("/..a/b", "/..a/b"),
        ("/a/..b", "/a/..b"),
        ("/a/b..", "/a/b.."),
    ] {
        assert_eq!(path(target), Ok(expected.to_string()), "{target}");
    }
}

#[test]
fn refused_paths() {
    for (target, error) in [
        ("/..", TargetError::ClimbsAboveRoot),
        ("/../", TargetError::ClimbsAboveRoot),
        ("/../a", TargetError::ClimbsAboveRoot),
        ("/a/../..", TargetError::ClimbsAboveRoot),
        ("/a/../../b", TargetError::ClimbsAboveRoot),
        ("//..", TargetError::ClimbsAboveRoot),
        ("/./../a", TargetError::ClimbsAboveRoot),
        ("/%2e%2e", TargetError::ClimbsAboveRoot),
        ("/%2e%2e%2fetc", TargetError::ClimbsAboveRoot),
        ("/..%2f..%2fetc", TargetError::ClimbsAboveRoot),
        ("/a/%2E./%2e./b", TargetError::ClimbsAboveRoot),
        ("/%", TargetError::BadEscape),
        ("/%4", TargetError::BadEscape),
        ("/%zz", TargetError::BadEscape),
        ("/%4g", TargetError::BadEscape),
        ("/%%41", TargetError::BadEscape),
        ("/%+1", TargetError::BadEscape),
        ("/%?41", TargetError::BadEscape),
        ("/%u0041", TargetError::BadEscape),
        ("/%00", TargetError::Nul),
        ("/a.html%00.jpg", TargetError::Nul),
        ("/a#b", TargetError::Malformed),
        ("/a?b#c", TargetError::Malformed),
        ("/a b", TargetError::Malformed),
        ("/a?b c", TargetError::Malformed),
        ("/\u{e9}", TargetError::Malformed),
        ("/a?\u{e9}", TargetError::Malformed),
        ("/\t", TargetError::Malformed),
        ("/\0", TargetError::Malformed),
        ("/\u{7f}", TargetError::Malformed),
        ("", TargetError::Malformed),
        ("a", TargetError::Malformed),
        ("a/b", TargetError::Malformed),
        ("?a", TargetError::Malformed),
        ("**", TargetError::Malformed),
        ("*?a", TargetError::Malformed),
    ] {
        assert_eq!(path(target), Err(error), "{target:?}");
    }
}

#[test]
fn statuses() {
    assert_eq!(TargetError::Malformed.status(), 400);
    assert_eq!(TargetError::BadEscape.status(), 400);
    assert_eq!(TargetError::Nul.status(), 400);
    assert_eq!(TargetError::ClimbsAboveRoot.status(), 403);
    assert_eq!(TargetError::TooLong.status(), 414);
    assert_eq!(TargetError::ClimbsAboveRoot.to_string(), "path leads above the root");
}

#[test]
fn the_query_is_left_as_it_is() {
    for (target, expected) in
        [("/a?b=%41&c", "/a"), ("/a?", "/a"), ("/a?b?c", "/a"), ("/%41?../..", "/A"), ("/./a?/../", "/a")]
    {
        let (parsed, path) = parse(target.as_bytes()).unwrap();
        assert_eq!(path, expected.as_bytes());
        assert!(parsed.query.is_some(), "{target}");
    }
    assert_eq!(parse(b"/a%3fb").unwrap().0.query, None);
}

#[test]
fn absolute_form() {
    let authority = |target: &str| {
        let (parsed, path) = parse(target.as_bytes()).ok()?;
        assert_eq!(parsed.form, Form::Absolute);
        let authority = parsed.authority?;
        let host = authority.host.of(["GET ", target].concat().as_bytes()).to_vec();
        Some((
            String::from_utf8(host).unwrap(),
            authority.port,
            String::from_utf8(path).unwrap(),
            parsed.query.is_some(),
        ))
    };
    let expected = |host: &str, port, path: &str, query| Some((host.to_string(), port, path.to_string(), query));
    assert_eq!(authority("http://example.org/a?b"), expected("example.org", None, "/a", true));
    assert_eq!(authority("HTTP://Example.org:8080/"), expected("Example.org", Some(8080), "/", false));
    assert_eq!(authority("https://[::1]:1/a/../b"), expected("[::1]", Some(1), "/b", false));
    assert_eq!(authority("http://example.org"), expected("example.org", None, "/", false));
    assert_eq!(authority("http://example.org?x"), expected("example.org", None, "/", true));
    for target in [
        "http://",
        "http:///a",
        "http://:80/",
        "http://user@a/",
        "http://a b/",
        "http://a#x",
        "http://a/#x",
        "ftp://a/",
        "http:/a",
        "http:a",
        "http://a:x/",
        "://a/",
        "http://a\\b/",
    ] {
        assert_eq!(path(target), Err(TargetError::Malformed), "{target}");
    }
    assert_eq!(path("http://a/../b"), Err(TargetError::ClimbsAboveRoot));
    assert_eq!(path("http://a/%zz"), Err(TargetError::BadEscape));
}

#[test]
fn asterisk_and_authority_form() {
    let (asterisk, path) = parse(b"*").unwrap();
    assert_eq!((asterisk.form, asterisk.authority, path.len()), (Form::Asterisk, None, 0));
    let (connect, path) = parse(b"example.org:443").unwrap();
    assert_eq!((connect.form, path.len()), (Form::Authority, 0));
    let authority = connect.authority.unwrap();
    assert_eq!((authority.host, authority.port), (Span::between(4, 15), Some(443)));
    assert!(parse(b"example.org").is_err());
    assert!(parse(b"example.org:").is_err());
}

#[test]
fn a_buffer_too_small_is_an_error() {
    let parse = |target: &[u8], room: usize| {
        let mut out = [0; 16];
        parse_target(target, Span::between(0, target.len()), &mut out[..room]).map(|target| target.path)
    };
    assert_eq!(parse(b"/%41%42", 3), Ok(Path::Decoded(3)));
    assert_eq!(parse(b"/%41%42", 2), Err(TargetError::TooLong));
    assert_eq!(parse(b"/%41", 0), Err(TargetError::TooLong));
    assert_eq!(parse(b"http://a", 0), Err(TargetError::TooLong));
    assert_eq!(parse(b"/a", 0), Ok(Path::AsIs(Span::between(0, 2))));
}

#[test]
fn encoding() {
    assert_eq!(encoded(b"/a b/\xc3\xa9%?#\"<>\0~"), b"/a%20b/%C3%A9%25%3F%23%22%3C%3E%00~");
    assert_eq!(encoded(b"/-._~!$&'()*+,;=:@"), b"/-._~!$&'()*+,;=:@");
    assert_eq!(encoded(b""), b"");
}

/// Targets full of what normalising is about.
fn tangled() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", ".", "..", "a", "b", "%2e", "%2E", "%2f", "%41", "%20", "%25", "%00", "%", "%4", "?", "#",
        "...", "%c3%a9",
    ]);
    prop::collection::vec(piece, 0..16).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn what_comes_out_is_normal(target in tangled()) {
        let Ok((parsed, path)) = parse(target.as_bytes()) else { return Ok(()) };
        let sent = target.split('?').next().unwrap_or("");
        prop_assert!(path.len() <= sent.len());
        prop_assert!(path.starts_with(b"/"));
        prop_assert!(!path.contains(&0));
        let segments: Vec<&[u8]> = path[1..].split(|&byte| byte == b'/').collect();
        for (n, segment) in segments.iter().enumerate() {
            prop_assert!(*segment != b"." && *segment != b"..", "{:?}", path);
            prop_assert!(!segment.is_empty() || n + 1 == segments.len(), "{:?}", path);
        }
        prop_assert_eq!(parsed.path == Path::AsIs(Span::between(4, 4 + sent.len())), path == sent.as_bytes());
        // Written out and read again it stays what it is.
        let (_, again) = parse(&encoded(&path)).expect("an encoded path parses");
        prop_assert_eq!(again, path);
    }

    #[test]
    fn climbing_is_refused_exactly_when_the_depth_falls_below_zero(target in tangled()) {
        let expected = depth_goes_below_zero(&target);
        match (parse(target.as_bytes()), expected) {
            (Ok(_), Some(climbs)) => prop_assert!(!climbs, "{}", target),
            (Err(TargetError::ClimbsAboveRoot), climbs) => prop_assert!(climbs != Some(false), "{}", target),
            (Ok(_), None) => prop_assert!(false, "{} has a bad escape or fragment", target),
            (Err(_), _) => {}
        }
    }

    #[test]
    fn any_path_survives_encoding(path in prop::collection::vec(1u8..=255, 0..40)) {
        let mut rooted = b"/".to_vec();
        rooted.extend(path.iter().map(|&byte| if byte == b'/' || byte == b'.' { b'x' } else { byte }));
        let (_, read) = parse(&encoded(&rooted)).expect("an encoded path parses");
        prop_assert_eq!(read, rooted);
    }

    #[test]
    fn any_bytes_are_survived(target in prop::collection::vec(any::<u8>(), 0..60), cut in 0usize..80, room in 0usize..60) {
        let mut out = [0; 60];
        let _ = parse_target(&target, Span::between(cut / 2, cut), &mut out[..room]);
    }
}

/// Counts segments of the decoded path; `None` when it cannot be decoded or has a fragment.
fn depth_goes_below_zero(target: &str) -> Option<bool> {
    if target.contains('#') {
        return None;
    }
    let mut decoded = Vec::new();
    let mut bytes = target.split('?').next()?.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok().filter(|&byte| byte != 0)?
            }
            byte => byte,
        });
    }
    let mut depth = 0i32;
    for segment in decoded.split(|&byte| byte == b'/') {
        depth += match segment {
            b"" | b"." => 0,
            b".." => -1,
            _ => 1,
        };
        if depth < 0 {
            return Some(true);
        }
    }
    Some(false)
}
