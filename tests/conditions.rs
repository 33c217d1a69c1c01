use crate::util::{Client, DATE, ETAG, MODIFIED, SERVER, Server, Setup, set_mtime};

/// When the file was modified: Sun, 09 Sep 2001 01:46:40 GMT.
const TIME: u64 = 1_000_000_000;
const SAME: &str = "Sun, 09 Sep 2001 01:46:40 GMT";
const BEFORE: &str = "Sun, 09 Sep 2001 01:46:39 GMT";
const AFTER: &str = "Sun, 09 Sep 2001 01:46:41 GMT";

fn serve() -> (Server, String) {
    let setup = Setup::new().file("a.txt", "alpha").file("sub/x", "");
    set_mtime(&setup.root("a.txt"), TIME);
    let server = setup.start();
    let answer = server.get("/a.txt");
    assert_eq!(answer.field("Last-Modified"), Some(SAME));
    let etag = answer.etag().to_string();
    (server, etag)
}

/// Each condition by itself and together with others, and the status it leads to, for GET and for POST. `E` stands for
/// the file's tag, `=` `<` `>` for its time, a second before, a second after.
const TABLE: &[(&str, u16, u16)] = &[
    ("If-Match: E", 200, 200),
    ("If-Match: *", 200, 200),
    ("If-Match: \"x\", E", 200, 200),
    // RFC 9110 section 5.3: a list may come in several lines.
    ("If-Match: \"x\"\r\nIf-Match: E", 200, 200),
    ("If-Match: \"x\"\r\nIf-Match: W/E", 412, 412),
    ("If-Match: \"x\"", 412, 412),
    ("If-Match: W/E", 412, 412),
    ("If-Match: x", 412, 412),
    ("If-None-Match: \"x\"", 200, 200),
    ("If-None-Match: \"x\"\r\nIf-None-Match: E", 304, 412),
    ("If-None-Match: \"x\"\r\nIf-None-Match: \"y\"", 200, 200),
    ("If-None-Match: E", 304, 412),
    ("If-None-Match: W/E", 304, 412),
    ("If-None-Match: \"x\" , W/E", 304, 412),
    ("If-None-Match: *", 304, 412),
    ("If-None-Match: x", 200, 200),
    ("If-Modified-Since: =", 304, 200),
    ("If-Modified-Since: >", 304, 200),
    ("If-Modified-Since: <", 200, 200),
    ("If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT", 304, 200),
    ("If-Modified-Since: Sunday, 09-Sep-01 01:46:40 GMT", 304, 200),
    ("If-Modified-Since: Sun Sep  9 01:46:40 2001", 304, 200),
    ("If-Modified-Since: yesterday", 200, 200),
    ("If-Modified-Since: 1000000000", 200, 200),
    ("If-Unmodified-Since: =", 200, 200),
    ("If-Unmodified-Since: >", 200, 200),
    ("If-Unmodified-Since: <", 412, 412),
    ("If-Unmodified-Since: tomorrow", 200, 200),
    // RFC 9110 section 13.2.2: If-Match before If-Unmodified-Since, which does not count beside it.
    ("If-Match: E\r\nIf-Unmodified-Since: <", 200, 200),
    ("If-Match: \"x\"\r\nIf-Unmodified-Since: >", 412, 412),
    // If-None-Match before If-Modified-Since, which does not count beside it.
    ("If-None-Match: E\r\nIf-Modified-Since: <", 304, 412),
    ("If-None-Match: \"x\"\r\nIf-Modified-Since: >", 200, 200),
    // The demands first, then what the client has.
    ("If-Match: \"x\"\r\nIf-None-Match: E", 412, 412),
    ("If-Match: E\r\nIf-None-Match: E", 304, 412),
    ("If-Match: E\r\nIf-Modified-Since: =", 304, 200),
    ("If-Unmodified-Since: <\r\nIf-None-Match: E", 412, 412),
    ("If-Unmodified-Since: =\r\nIf-Modified-Since: =", 304, 200),
    ("If-Unmodified-Since: >\r\nIf-None-Match: \"x\"\r\nIf-Modified-Since: >", 200, 200),
];

fn fields(text: &str, etag: &str) -> String {
    let lines = text.split("\r\n").map(|line| {
        let (name, value) = line.split_once(": ").expect("a field");
        let value = match value {
            "=" => SAME.into(),
            "<" => BEFORE.into(),
            ">" => AFTER.into(),
            value => value.replace('E', etag),
        };
        format!("{name}: {value}\r\n")
    });
    lines.collect()
}

fn check(client: &mut Client, method: &str, text: &str, status: u16, etag: &str) {
    let more = if method == "POST" { "Content-Length: 0\r\n" } else { "" };
    let answer = client.ask(&format!("{method} /a.txt"), &format!("{}{more}", fields(text, etag)));
    assert_eq!(answer.status, status, "{method} {text}");
    match status {
        304 => answer.has_head(&["HTTP/1.1 304 Not Modified", SERVER, DATE, MODIFIED, ETAG]),
        412 => {
            let length = format!("Content-Length: {}", answer.length().expect("a length"));
            let html = "Content-Type: text/html; charset=utf-8";
            answer.has_head(&["HTTP/1.1 412 Precondition Failed", SERVER, DATE, html, &length]);
        }
        _ if method != "HEAD" => assert_eq!(answer.text(), "alpha", "{text}"),
        _ => {}
    }
    if status != 412 {
        assert_eq!((answer.etag(), answer.field("Last-Modified")), (etag, Some(SAME)), "{text}");
    }
}

#[test]
fn the_table_of_precedence() {
    let (server, etag) = serve();
    let mut client = server.client();
    for (text, reading, writing) in TABLE {
        check(&mut client, "GET", text, *reading, &etag);
        check(&mut client, "HEAD", text, *reading, &etag);
        check(&mut client, "POST", text, *writing, &etag);
    }
}

#[test]
fn conditions_mean_nothing_for_what_is_no_file() {
    let (server, _) = serve();
    let mut client = server.client();
    for fields in
        ["If-None-Match: *\r\n", "If-Match: \"x\"\r\n", "If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT\r\n"]
    {
        client.ask("GET /nothing", fields).is(404);
        client.ask("GET /sub", fields).is(301);
        client.ask("GET /sub/", fields).is(403);
        client.ask("OPTIONS *", fields).is(200);
        client.ask("DELETE /a.txt", fields).is(405);
    }
}

#[test]
fn conditions_and_ranges() {
    let (server, etag) = serve();
    let mut client = server.client();
    for (text, status) in [
        ("If-Range: E", 206),
        ("If-Range: \"x\"", 200),
        ("If-Range: W/E", 200),
        ("If-Range: =", 206),
        ("If-Range: <", 200),
        ("If-Range: >", 200),
        ("If-Range: *", 200),
        ("If-Range: nonsense", 200),
        ("If-Match: E", 206),
        ("If-Match: \"x\"", 412),
        ("If-None-Match: E", 304),
        ("If-None-Match: \"x\"", 206),
        ("If-Modified-Since: =", 304),
        ("If-Unmodified-Since: <", 412),
        ("If-Match: E\r\nIf-Range: \"x\"", 200),
        ("If-None-Match: E\r\nIf-Range: E", 304),
    ] {
        let answer = client.ask("GET /a.txt", &format!("Range: bytes=1-2\r\n{}", fields(text, &etag)));
        assert_eq!(answer.status, status, "{text}");
        match status {
            206 => assert_eq!(answer.text(), "lp", "{text}"),
            200 => assert_eq!(answer.text(), "alpha", "{text}"),
            _ => {}
        }
    }
    // Without Range it means nothing, and a range that no byte satisfies is none when If-Range fails.
    assert_eq!(client.ask("GET /a.txt", "If-Range: \"x\"\r\n").is(200).text(), "alpha");
    client.ask("GET /a.txt", "Range: bytes=9-\r\nIf-Range: \"x\"\r\n").is(200);
    client.ask("GET /a.txt", &format!("Range: bytes=9-\r\nIf-Range: {etag}\r\n")).is(416);
}
