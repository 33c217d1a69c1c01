use super::*;
use crate::wire::head::{Head, parse_head};

/// The line about a request with these fields, answered with a status and a length.
fn line(format: Format, request: &str, status: u16, length: Option<u64>) -> String {
    let mut head = Head::new();
    let request = format!("{request}\r\n");
    parse_head(request.as_bytes(), &mut head).unwrap();
    let request = Request {
        head: &head,
        input: request.as_bytes(),
        path: b"/decoded",
        query: None,
        host: None,
        site: 0,
        persistent: true,
    };
    write(format, Some(&request), "192.0.2.7", Answer { status, length })
}

fn write(format: Format, request: Option<&Request<'_>>, address: &str, answer: Answer) -> String {
    let peer = Peer::from(std::net::SocketAddr::new(address.parse().unwrap(), 9));
    let mut opening = Opening::new();
    opening.set(1_795_321_396, &peer, format, answer);
    let mut room = [0; 4096];
    let mut line = Line::new(&mut room);
    Entry { opening: &opening, request, answer }.write(format, &mut line);
    let len = line.finish().unwrap();
    let text = String::from_utf8(room[..len].to_vec()).unwrap();
    assert_eq!(text.matches('\n').count(), 1, "{text}");
    text.strip_suffix('\n').unwrap().into()
}

const GET: &str = "GET /a%20b/?q=1 HTTP/1.1\r\nHost: me.example:81\r\nReferer: http://x/\"y\r\nUser-Agent: A (B) \\ é\r\n\
                   Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n";

#[test]
fn the_lines_of_the_original() {
    let of = |request: &str, status, length| line(Format::Monkey, request, status, length);
    let begin = "192.0.2.7 - [22/Nov/2026 04:23:16 +0000] ";
    assert_eq!(of(GET, 200, Some(5)), format!("{begin}GET /a%20b/ HTTP/1.1 200 5"));
    assert_eq!(of("HEAD / HTTP/1.0\r\n", 304, None), format!("{begin}HEAD / HTTP/1.0 304 -"));
    for (status, text) in [
        (400, "Bad Request"),
        (401, "(no description)"),
        (403, "Forbidden /a%20b/"),
        (404, "Not Found /a%20b/"),
        (405, "Method Not Allowed GET"),
        (408, "Request Timeout"),
        (411, "Length Required"),
        (413, "Request Entity Too Large"),
        (414, "(no description)"),
        (429, "(no description)"),
        (500, "Internal Server Error"),
        (501, "Not Implemented GET"),
        (503, "(no description)"),
        (505, "HTTP Version Not Supported"),
    ] {
        assert_eq!(of(GET, status, Some(9)), format!("{begin}[error {status}] {text}"));
    }
}

#[test]
fn common_and_combined() {
    let common = r#"192.0.2.7 - Aladdin [22/Nov/2026:04:23:16 +0000] "GET /a%20b/?q=1 HTTP/1.1" 404 17"#;
    assert_eq!(line(Format::Common, GET, 404, Some(17)), common);
    let combined = format!(r#"{common} "http://x/\x22y" "A (B) \x5c \xc3\xa9""#);
    assert_eq!(line(Format::Combined, GET, 404, Some(17)), combined);
    let bare = r#"192.0.2.7 - - [22/Nov/2026:04:23:16 +0000] "HEAD / HTTP/1.0" 200 - "-" "-""#;
    assert_eq!(line(Format::Combined, "HEAD / HTTP/1.0\r\n", 200, None), bare);
}

#[test]
fn json() {
    let text = r#"{"time":"2026-11-22T04:23:16Z","remote":"192.0.2.7","method":"GET","path":"/a%20b/","query":"q=1","status":206,"bytes":5,"referer":"http://x/\"y","agent":"A (B) \\ é","host":"me.example"}"#;
    assert_eq!(line(Format::Json, GET, 206, Some(5)), text);
}

#[test]
fn what_was_no_request() {
    let of = |format| write(format, None, "2001:db8::1", Answer { status: 400, length: Some(3) });
    assert_eq!(of(Format::Monkey), "2001:db8::1 - [22/Nov/2026 04:23:16 +0000] [error 400] Bad Request");
    assert_eq!(of(Format::Common), r#"2001:db8::1 - - [22/Nov/2026:04:23:16 +0000] "-" 400 3"#);
    assert!(of(Format::Json).contains(r#""method":"-","path":"-","query":"","status":400,"bytes":3,"#));
}

#[test]
fn the_longest_line_fits() {
    let long = "\u{1}".repeat(600);
    let request = format!(
        "{} /{}?{} HTTP/1.1\r\nHost: {}\r\nReferer: {long}\r\nUser-Agent: {long}\r\nAuthorization: Basic {}\r\n",
        "M".repeat(300),
        "p".repeat(3000),
        "q".repeat(3000),
        "h".repeat(250),
        "AQEB".repeat(1000),
    );
    let mut head = Head::new();
    // Control bytes are no field value; the tab is, and obs-text.
    let request = request.replace('\u{1}', "\t\u{ff}") + "\r\n";
    parse_head(request.as_bytes(), &mut head).unwrap();
    let request = Request {
        head: &head,
        input: request.as_bytes(),
        path: b"/",
        query: None,
        host: None,
        site: 0,
        persistent: true,
    };
    for format in [Format::Monkey, Format::Common, Format::Combined, Format::Json] {
        for status in [200, 404, 405] {
            let answer = Answer { status, length: Some(u64::MAX) };
            let text = write(format, Some(&request), "2001:db8:1111:2222:3333:4444:5555:6666", answer);
            assert!(text.len() < 2048, "{}", text.len());
            assert!(text.contains("..."), "{text}");
        }
    }
}

#[test]
fn users() {
    let of = |value: &str| {
        let mut name = Text::default();
        user(value.as_bytes(), &mut name);
        let user = String::from_utf8(name.bytes().to_vec()).unwrap();
        Some(user).filter(|user| !user.is_empty())
    };
    assert_eq!(of("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==").as_deref(), Some("Aladdin"));
    assert_eq!(of("basic  YTpi").as_deref(), Some("a"));
    for none in ["", "Basic", "Basic ", "Basic YQ==", "Basic Og==", "Basic YT!pi", "Bearer YTpi", "Basic \u{e9}"] {
        assert_eq!(of(none), None, "{none}");
    }
    // 63 bytes, and one more than there is room for.
    assert_eq!(of(&format!("Basic {}Ojpi", "YWFh".repeat(21))).unwrap().len(), 63);
    assert_eq!(of(&format!("Basic {}YWE6", "YWFh".repeat(21))), None);
}
