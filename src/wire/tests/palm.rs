//! Palm: what its clients send, of all ages, at every split; what is refused; what our client sends.

use crate::limits::PALM_HEAD_MAX;
use crate::wire::cgi_env::variables;
use crate::wire::head::{Head, parse_head};
use crate::wire::palm::*;
use crate::wire::writer::Writer;

/// Path, variables, length of the body, and what follows the head.
type Got<'a> = (&'a str, Vec<(&'a str, &'a str)>, u64, &'a str);

/// Reads `text` in one piece, and in two at every split, and byte by byte.
fn read(text: &str) -> Result<Got<'_>, PalmError> {
    let buf = text.as_bytes();
    let whole = Reader::new().next(buf);
    for cut in 0..buf.len() {
        let mut reader = Reader::new();
        let part = reader.next(&buf[..cut]);
        match (part, whole) {
            (Ok(None), _) => assert_eq!(reader.next(buf), whole, "{text:?} cut at {cut}"),
            (Ok(Some(request)), Ok(Some(same))) => assert!(request == same && cut >= same.end, "{text:?} cut at {cut}"),
            (Err(part), Err(whole)) => assert_eq!(part, whole),
            (part, whole) => panic!("{text:?} cut at {cut}: {part:?}, then {whole:?}"),
        }
    }
    let mut reader = Reader::new();
    let slowly = (0..=buf.len()).map(|have| reader.next(&buf[..have])).find(|step| *step != Ok(None));
    assert_eq!(slowly.unwrap_or(Ok(None)), whole);
    let request = whole?.unwrap_or_else(|| panic!("{text:?} is not whole"));
    let of = |bytes| std::str::from_utf8(bytes).unwrap();
    let variables = request.variables(buf).map(|(name, value)| (of(name), of(value))).collect();
    Ok((of(request.path.of(buf)), variables, request.length, &text[request.end..]))
}

#[test]
fn requests_without_a_body() {
    assert_eq!(read("/a.php\r\n\r\n"), Ok(("/a.php", vec![], 0, "")));
    assert_eq!(read("/a.php\r\n\r\n\r\n\r\n"), Ok(("/a.php", vec![], 0, "\r\n\r\n")));
    let variables = vec![("REQUEST_METHOD", "GET"), ("QUERY_STRING", "a=b&c=d"), ("EMPTY", ""), ("HTTP_X", " y ")];
    let text = "/a.php\r\nREQUEST_METHOD=GET\r\nQUERY_STRING=a=b&c=d\r\nEMPTY=\r\nHTTP_X= y \r\n\r\n\r\n";
    assert_eq!(read(text), Ok(("/a.php", variables, 0, "\r\n")));
    assert_eq!(read("/a\r\nCONTENT_LENGTH=0\r\n\r\n"), Ok(("/a", vec![("CONTENT_LENGTH", "0")], 0, "")));
    assert_eq!(read("/a\r\nCONTENT_LENGTH=\r\n\r\n"), Ok(("/a", vec![("CONTENT_LENGTH", "")], 0, "")));
}

#[test]
fn lines_are_taken_as_they_are() {
    let text = "/a b=c \r\nno sign\r\nNAME = value \r\n=x\r\n/b=1\r\nA=1\r\nA=2\r\n\r\n";
    assert_eq!(read(text), Ok(("/a b=c ", vec![("NAME ", " value "), ("/b", "1"), ("A", "1"), ("A", "2")], 0, "")));
    // A path in a later line is none.
    assert_eq!(read("/a\r\n/b\r\n\r\n"), Ok(("/a", vec![], 0, "")));
}

#[test]
fn the_path_may_be_a_variable() {
    let text = "DOCUMENT_ROOT=/srv\r\nSCRIPT_FILENAME=/srv/a.php\r\nSCRIPT_FILENAME=/srv/b.php\r\n\r\n\r\n\r\n";
    let (path, variables, _, rest) = read(text).unwrap();
    assert_eq!((path, variables.len(), rest), ("/srv/a.php", 3, "\r\n\r\n"));
    assert_eq!(read("/a\r\nSCRIPT_FILENAME=/b\r\n\r\n").unwrap().0, "/a");
}

#[test]
fn bodies_follow_two_empty_lines() {
    let length = vec![("CONTENT_LENGTH", "5")];
    assert_eq!(read("/a\r\nCONTENT_LENGTH=5\r\n\r\n\r\nhello"), Ok(("/a", length.clone(), 5, "hello")));
    // Whatever the body begins with.
    assert_eq!(read("/a\r\nCONTENT_LENGTH=5\r\n\r\n\r\n\r\n\r\n\r"), Ok(("/a", length.clone(), 5, "\r\n\r\n\r")));
    assert_eq!(read("/a\r\nCONTENT_LENGTH=5\r\nCONTENT_LENGTH=5\r\n\r\n\r\n").unwrap().2, 5);
    assert_eq!(read("/a\r\nCONTENT_LENGTH=9223372036854775807\r\n\r\n\r\n").unwrap().2, i64::MAX as u64);
}

#[test]
fn bodies_may_be_a_variable() {
    let text = "/a\r\nCONTENT_LENGTH=6\r\nPOST_VARS=a=\r\n\r\n\r\n\r\n\r\n\r\n";
    assert_eq!(read(text), Ok(("/a", vec![("CONTENT_LENGTH", "6")], 6, "a=\r\n\r\n\r\n\r\n\r\n\r\n")));
    assert_eq!(read("/a\r\nPOST_VARS=\r\nB=c\r\n\r\n"), Ok(("/a", vec![("B", "c")], 0, "")));
    assert_eq!(read("/a\r\nCONTENT_LENGTH=6\r\nPOST_VARS2=x\r\n\r\n\r\n").unwrap().1.len(), 2);
}

#[test]
fn refused() {
    for text in [
        "\r\n",
        "\r\n\r\n/a\r\n",
        "a.php\r\n",
        "./a.php\r\n\r\n",
        "A=b\r\n\r\n",
        "SCRIPT_FILENAME=a.php\r\n\r\n",
        "SCRIPT_FILENAME=\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "/a\n",
        "/a\rb\r\n",
        "/a\r\r\n",
        "/a\0\r\n\r\n",
        "/a\r\nA=b\nC=d\r\n\r\n",
        "/a\r\nA=\0\r\n\r\n",
        "/a\r\n\n",
        "/a\r\nCONTENT_LENGTH=-1\r\n",
        "/a\r\nCONTENT_LENGTH= 5\r\n",
        "/a\r\nCONTENT_LENGTH=5x\r\n",
        "/a\r\nCONTENT_LENGTH=9223372036854775808\r\n",
        "/a\r\nCONTENT_LENGTH=5\r\nCONTENT_LENGTH=6\r\n",
        "/a\r\nCONTENT_LENGTH=5\r\n\r\nhello",
        "/a\r\nCONTENT_LENGTH=5\r\n\r\n\rhello",
        "/a\r\nPOST_VARS=hello\r\n\r\n\r\n",
        "/a\r\nCONTENT_LENGTH=0\r\nPOST_VARS=hello\r\n",
    ] {
        match read(text) {
            Err(error @ PalmError::Malformed(_)) => assert!(error.to_string().len() > 10),
            other => panic!("{text:?}: {other:?}"),
        }
    }
}

#[test]
fn limits() {
    let of = |len: usize| format!("/a\r\nA={}\r\n\r\n", "b".repeat(len - 10));
    let read = |text: &str| Reader::new().next(text.as_bytes());
    assert_eq!(read(&of(PALM_HEAD_MAX)).unwrap().unwrap().end, PALM_HEAD_MAX);
    assert_eq!(read(&of(PALM_HEAD_MAX + 1)), Err(PalmError::TooLarge));
    assert_eq!(read(&of(PALM_HEAD_MAX + 1)[..PALM_HEAD_MAX - 1]), Ok(None));
    assert_eq!(read(&of(PALM_HEAD_MAX + 1)[..PALM_HEAD_MAX]), Err(PalmError::TooLarge));
    assert_eq!(read(&of(200_000)), Err(PalmError::TooLarge));
    assert!(PalmError::TooLarge.to_string().contains("64 KB"));
    // A body is not counted.
    assert!(read(&format!("/a\r\nCONTENT_LENGTH=99999\r\n\r\n\r\n{}", "x".repeat(99_999))).unwrap().is_some());
    let end = |text: &str| read(text).map(|request| request.map(|request| request.end));
    let of = |len: usize| format!("/{}\r\nCONTENT_LENGTH=5\r\nPOST_VARS=hello", "a".repeat(len - 31));
    assert_eq!(end(&of(PALM_HEAD_MAX)), Ok(Some(PALM_HEAD_MAX)));
    assert_eq!(end(&of(PALM_HEAD_MAX + 1)), Err(PalmError::TooLarge));
}

#[test]
fn what_our_client_sends() {
    let text = b"GET / HTTP/1.1\r\nHost: a\r\nX-Y: 1\r\nx-y: 2\r\n\r\n";
    let mut head = Head::new();
    parse_head(text, &mut head).unwrap();
    let send = |room: &mut [u8]| {
        let mut out = Writer::new(room);
        push_path(&mut out, b"/srv/a=b.php").unwrap();
        push_variable(&mut out, b"CONTENT_LENGTH", b"5").unwrap();
        push_variable(&mut out, b"QUERY_STRING", b"a=b").unwrap();
        variables(&head, text, false).for_each(|variable| push_field(&mut out, &variable));
        push_end(&mut out);
        (!out.overflowed()).then(|| String::from_utf8(out.bytes().to_vec()).unwrap())
    };
    let mut room = [0; 200];
    let sent = send(&mut room).unwrap();
    assert_eq!(
        sent,
        "/srv/a=b.php\r\nCONTENT_LENGTH=5\r\nQUERY_STRING=a=b\r\nHTTP_HOST=a\r\nHTTP_X_Y=1, 2\r\n\r\n\r\n"
    );
    let variables = vec![("CONTENT_LENGTH", "5"), ("QUERY_STRING", "a=b"), ("HTTP_HOST", "a"), ("HTTP_X_Y", "1, 2")];
    assert_eq!(read(&format!("{sent}hello")), Ok(("/srv/a=b.php", variables, 5, "hello")));
    for len in 0..sent.len() {
        assert_eq!(send(&mut vec![0; len]), None, "{len}");
    }
}

/// The bytes that are drawn in docs/PALM.md.
#[test]
fn what_the_page_draws() {
    let (_, rest) = include_str!("../../../docs/PALM.md").split_once("```hexdump\n").expect("a drawing");
    let (drawn, _) = rest.split_once("```").expect("its end");
    let drawn = drawn.lines().flat_map(|line| line.get(..49).unwrap_or(line).split_whitespace());
    let drawn: Vec<u8> = drawn.filter_map(|word| u8::from_str_radix(word, 16).ok()).collect();
    let mut room = [0; 200];
    let mut out = Writer::new(&mut room);
    push_path(&mut out, b"/srv/www/a.php").unwrap();
    for (name, value) in [("REQUEST_METHOD", "POST"), ("QUERY_STRING", "a=b"), ("CONTENT_LENGTH", "11")] {
        push_variable(&mut out, name.as_bytes(), value.as_bytes()).unwrap();
    }
    push_end(&mut out);
    out.push(b"name=Alice&");
    assert_eq!(drawn.escape_ascii().to_string(), out.bytes().escape_ascii().to_string());
}

#[test]
fn what_cannot_be_sent() {
    let mut room = [0; 64];
    let mut out = Writer::new(&mut room);
    for path in ["", "a", "/a\r", "/a\nb", "/\0"] {
        assert_eq!(push_path(&mut out, path.as_bytes()), Err(Unsendable));
    }
    for (name, value) in [("", "a"), ("A=", "b"), ("A\r", "b"), ("A", "\r"), ("A", "b\nC=d"), ("A", "\0"), ("A\0", "")]
    {
        assert_eq!(push_variable(&mut out, name.as_bytes(), value.as_bytes()), Err(Unsendable), "{name:?} {value:?}");
    }
    assert!(out.is_empty() && !out.overflowed());
    assert!(Unsendable.to_string().len() > 10);
}
