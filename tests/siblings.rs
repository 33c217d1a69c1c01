use std::fs;

use crate::util::{DATE, ETAG, MODIFIED, RANGES, SERVER, Server, Setup, eventually, pattern, set_mtime};

const TYPE: &str = "Content-Type: text/javascript; charset=utf-8";
const VARY: &str = "Vary: Accept-Encoding";

fn serve() -> Server {
    let setup = Setup::new().file("a.js", "plain text").file("a.js.br", "brotli").file("a.js.gz", "gzipped");
    let setup = setup.file("g.js", "plain text").file("g.js.gz", "gzipped").file("none.js", "alone");
    setup.file("index.html", "<p>plain").file("index.html.gz", "gzipped").start()
}

#[test]
fn the_coding_the_client_wants_most() {
    let server = serve();
    let mut client = server.client();
    for (accepted, coding) in [
        ("", ""),
        ("br", "br"),
        ("gzip", "gzip"),
        ("GZip", "gzip"),
        ("x-gzip", "gzip"),
        ("gzip, deflate, br, zstd", "br"),
        ("br;q=0.5, gzip", "gzip"),
        ("br;q=0.5, gzip;q=0.6", "gzip"),
        ("br;q=0.001", "br"),
        ("br;q=0, gzip", "gzip"),
        ("br;q=0, gzip;q=0", ""),
        ("br;q=0.000", ""),
        ("*", "br"),
        ("*;q=0.1, br;q=0", "gzip"),
        ("identity", ""),
        ("identity, br;q=0.5", ""),
        ("identity;q=0.1, gzip;q=0.2", "gzip"),
        ("deflate", ""),
        ("brx, xgzip", ""),
        ("gzip;q=2", ""),
        ("gzip;q=0.5;x=y, br;q=bad", "gzip"),
    ] {
        let field = if accepted.is_empty() { String::new() } else { format!("Accept-Encoding: {accepted}\r\n") };
        let start = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, VARY, TYPE];
        let (body, line) = match coding {
            "br" => ("brotli", "Content-Encoding: br"),
            "gzip" => ("gzipped", "Content-Encoding: gzip"),
            _ => ("plain text", ""),
        };
        let length = format!("Content-Length: {}", body.len());
        let mut lines = start.to_vec();
        lines.extend([line, RANGES, &length].into_iter().filter(|line| !line.is_empty()));
        for _ in 0..2 {
            let answer = client.ask("GET /a.js", &field);
            assert_eq!(answer.text(), body, "{accepted}");
            answer.has_head(&lines);
        }
        client.ask("HEAD /a.js", &field).has_head(&lines);
    }
}

#[test]
fn vary_stands_wherever_another_client_might_get_another_coding() {
    let server = serve();
    let mut client = server.client();
    for accepted in ["br", "gzip", "identity", "deflate"] {
        let field = format!("Accept-Encoding: {accepted}\r\n");
        let answer = client.ask("GET /g.js", &field).is(200);
        assert_eq!(answer.field("Vary"), Some("Accept-Encoding"), "{accepted}");
        assert_eq!(answer.text(), if accepted == "gzip" { "gzipped" } else { "plain text" });
        assert_eq!(client.ask("GET /none.js", &field).is(200).field("Vary"), None, "{accepted}");
        let index = client.ask("GET /", &field).is(200);
        assert_eq!(index.field("Vary"), Some("Accept-Encoding"));
        assert_eq!(index.field("Content-Type"), Some("text/html; charset=utf-8"));
        assert_eq!(index.field("Content-Encoding").is_some(), accepted == "gzip");
    }
    // The sibling itself is a file like others.
    let sibling = client.get("/a.js.gz").is(200);
    assert_eq!((sibling.text(), sibling.field("Content-Encoding"), sibling.field("Vary")), ("gzipped", None, None));
}

#[test]
fn every_coding_has_a_tag_of_its_own() {
    let server = serve();
    let mut client = server.client();
    let mut tags = Vec::new();
    for coding in ["br", "gzip", "identity"] {
        let field = format!("Accept-Encoding: {coding}\r\n");
        let etag = client.ask("GET /a.js", &field).is(200).etag().to_string();
        let lines = ["HTTP/1.1 304 Not Modified", SERVER, DATE, MODIFIED, ETAG, VARY];
        let fields = format!("{field}If-None-Match: {etag}\r\n");
        let answer = client.ask("GET /a.js", &fields);
        answer.has_head(&lines);
        assert_eq!(answer.etag(), etag);
        assert!(!tags.contains(&etag), "{tags:?} {etag}");
        tags.push(etag);
    }
    // The tag of one coding says nothing about another.
    let fields = format!("Accept-Encoding: br\r\nIf-None-Match: {}\r\n", tags[1]);
    assert_eq!(client.ask("GET /a.js", &fields).is(200).text(), "brotli");
    let fields = format!("Accept-Encoding: br\r\nRange: bytes=0-1\r\nIf-Range: {}\r\n", tags[1]);
    assert_eq!(client.ask("GET /a.js", &fields).is(200).text(), "brotli");
}

#[test]
fn ranges_are_those_of_the_coding() {
    let setup = Setup::new().file("a.js", "plain text").file("a.js.gz", pattern(50_000));
    let server = setup.start();
    let answer = server.ask("GET /a.js", "Accept-Encoding: gzip\r\nRange: bytes=40000-40009\r\n");
    let coding = "Content-Encoding: gzip";
    let start = ["HTTP/1.1 206 Partial Content", SERVER, DATE, MODIFIED, ETAG, VARY, TYPE, coding, RANGES];
    let place = "Content-Range: bytes 40000-40009/50000";
    answer.has_head(&[&start[..], &[place, "Content-Length: 10"]].concat());
    assert!(answer.body == pattern(50_000)[40_000..40_010]);
    server.ask("GET /a.js", "Range: bytes=40000-40009\r\n").is(416);
    let parts = server.ask("GET /a.js", "Accept-Encoding: gzip\r\nRange: bytes=0-9,40000-40009\r\n").is(206);
    assert_eq!(parts.field("Content-Encoding"), Some("gzip"));
}

#[test]
fn a_sibling_older_than_its_file_was_forgotten() {
    let setup = Setup::new().file("a.js", "edited").file("a.js.br", "stale").file("a.js.gz", "fresh");
    let setup = setup.file("b.js", "edited").file("b.js.br", "stale");
    for (name, time) in [("a.js", 1_000_000_000), ("a.js.br", 999_999_999), ("a.js.gz", 1_000_000_000)] {
        set_mtime(&setup.root(name), time);
    }
    set_mtime(&setup.root("b.js"), 1_000_000_000);
    set_mtime(&setup.root("b.js.br"), 999_999_999);
    let server = setup.start();
    let answer = server.ask("GET /a.js", "Accept-Encoding: br, gzip\r\n").is(200);
    assert_eq!((answer.text(), answer.field("Content-Encoding")), ("fresh", Some("gzip")));
    assert_eq!(server.ask("GET /a.js", "Accept-Encoding: br\r\n").is(200).text(), "edited");
    let answer = server.ask("GET /b.js", "Accept-Encoding: br\r\n").is(200);
    assert_eq!((answer.text(), answer.field("Vary")), ("edited", None));
}

#[test]
fn siblings_that_come_and_go_are_seen() {
    let server = Setup::new().file("a.js", "plain text").start();
    let field = "Accept-Encoding: gzip\r\n";
    assert_eq!(server.ask("GET /a.js", field).is(200).field("Vary"), None);
    fs::write(server.root("a.js.gz"), "gzipped").expect("a sibling");
    assert!(eventually(|| server.ask("GET /a.js", field).is(200).text() == "gzipped"));
    assert!(eventually(|| server.get("/a.js").is(200).field("Vary").is_some()));
    fs::remove_file(server.root("a.js.gz")).expect("a sibling");
    assert!(eventually(|| server.ask("GET /a.js", field).is(200).text() == "plain text"));
}

#[test]
fn a_sibling_alone_is_not_the_file() {
    let server = Setup::new().file("a.js.gz", "gzipped").start();
    server.ask("GET /a.js", "Accept-Encoding: gzip\r\n").is(404);
}
