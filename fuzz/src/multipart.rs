//! Answers with parts of a file. The input is the number of a file of the site, how the client reads, and the value of a `Range`
//! field.

use monkey::plugins::trial::loopback;
use monkey::wire::range::{ByteRange, Ranges, parse_range};

use super::answer::{Answer, decimal, find, parse};
use super::site::{self, FILES};

/// Longest field value that is tried.
const VALUE_MAX: usize = 4000;

/// Asks for ranges of a file, reads the answer in portions, and compares each part with the file.
pub fn run(data: &[u8]) {
    let Some((&[file, portion], value)) = data.split_first_chunk() else {
        return;
    };
    if value.len() > VALUE_MAX || !value.iter().all(|&byte| byte == b'\t' || !byte.is_ascii_control()) {
        return;
    }
    let index = usize::from(file) % FILES.len();
    let step = [usize::MAX / 4, 20_000, 4096, 1000, 61][usize::from(portion) % 5];
    site::with(|site| {
        site.rig.open();
        loopback::with(|wire| {
            wire.room = step;
            wire.sent.extend_from_slice(b"GET ");
            wire.sent.extend_from_slice(FILES[index].0.as_bytes());
            wire.sent.extend_from_slice(b" HTTP/1.1\r\nHost: test\r\nRange: ");
            wire.sent.extend_from_slice(value);
            wire.sent.extend_from_slice(b"\r\n\r\n");
        });
        let mut len = 0;
        loop {
            site.rig.drive();
            let now = loopback::with(|wire| {
                wire.room = step;
                wire.got.len()
            });
            assert!(!site.rig.is_closed(), "closed after a good request");
            if now == len {
                break;
            }
            len = now;
        }
        loopback::with(|wire| {
            let (answer, end) = parse(&wire.got, false).expect("a whole answer");
            assert_eq!(end, wire.got.len(), "more than one answer");
            check(&answer, &site.contents[index], value.trim_ascii());
        });
        site.rig.close();
        let held = site.rig.held();
        assert_eq!((held.buffers, held.pins), (0, 0), "something is still held");
    });
}

/// Checks an answer to GET of a file against what the file holds and what was asked for.
pub fn check(answer: &Answer<'_>, content: &[u8], range: &[u8]) {
    let size = content.len() as u64;
    match (answer.status, parse_range(range, size)) {
        (200, Ranges::Ignore) => assert_eq!(*answer.body, *content),
        (206, Ranges::One(range)) => {
            assert_eq!(parse_content_range(answer.field(b"Content-Range"), size), range);
            assert_eq!(*answer.body, *stretch(content, range));
        }
        (206, Ranges::Many(ranges)) => check_parts(answer, content, &ranges),
        (416, Ranges::Unsatisfiable) => {
            assert_eq!(answer.field(b"Content-Range"), Some(format!("bytes */{size}").as_bytes()));
        }
        (status, ranges) => panic!("{status} to {ranges:?}"),
    }
}

/// RFC 9110 section 14.6.
fn check_parts(answer: &Answer<'_>, content: &[u8], ranges: &[ByteRange]) {
    let media_type = answer.field(b"Content-Type").expect("a media type");
    let boundary = media_type.strip_prefix(b"multipart/byteranges; boundary=").expect("several parts");
    assert!((1..=70).contains(&boundary.len()) && boundary.iter().all(u8::is_ascii_alphanumeric));
    assert_eq!(answer.field(b"Content-Range"), None);
    let delimiter = [b"\r\n--", boundary].concat();
    let mut rest = &*answer.body;
    for &range in ranges {
        rest =
            rest.strip_prefix(delimiter.as_slice()).and_then(|rest| rest.strip_prefix(b"\r\n")).expect("a delimiter");
        let end = find(rest, b"\r\n\r\n").expect("fields of a part");
        let mut fields = rest[..end].split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii_end);
        assert!(fields.next().is_some_and(|line| line.starts_with(b"Content-Type: ")));
        let value = fields.next().and_then(|line| line.strip_prefix(b"Content-Range: "));
        assert_eq!(parse_content_range(value, content.len() as u64), range);
        assert_eq!(fields.next(), None);
        rest = rest[end + 4..].strip_prefix(stretch(content, range)).expect("the bytes of the part");
    }
    assert_eq!(rest.strip_prefix(delimiter.as_slice()), Some(b"--\r\n".as_slice()));
}

fn stretch(content: &[u8], range: ByteRange) -> &[u8] {
    &content[range.first as usize..=range.last as usize]
}

/// RFC 9110 section 14.4: `bytes FIRST-LAST/SIZE`.
fn parse_content_range(value: Option<&[u8]>, size: u64) -> ByteRange {
    let text = value.and_then(|value| value.strip_prefix(b"bytes ")).expect("Content-Range");
    let (hyphen, slash) = (find(text, b"-").expect("a hyphen"), find(text, b"/").expect("a slash"));
    assert_eq!(decimal(&text[slash + 1..]), size);
    ByteRange { first: decimal(&text[..hyphen]), last: decimal(&text[hyphen + 1..slash]) }
}
