use std::fs;

use crate::util::{ALLOW, DATE, SERVER, Setup, eventually, pattern};

const HTML: &str = "Content-Type: text/html; charset=utf-8";

#[test]
fn the_built_in_page() {
    let server = Setup::new().file("a.php", "x").start();
    let answer = server.get("/no/such%20page").is(404);
    let text = answer.text();
    assert!(text.starts_with("<!DOCTYPE html>\n") && text.contains("<title>404 Not Found</title>"), "{text}");
    assert!(text.contains("<code>/no/such page</code>"), "{text}");
    // What is echoed is cut, however long the path was.
    let long = server.get(&format!("/{}", "a".repeat(6000))).is(404);
    assert!(long.body.len() < 1000, "{}", long.text());
    assert!(server.get("/a.php").is(403).text().contains("<h1>403 Forbidden</h1>"));
}

#[test]
fn pages_of_the_site() {
    let pages = ["404 errors/404.html", "405 /errors/405.txt", "403 gone.html", "416 big.html", "412 big.html"];
    let big = pattern(300_000);
    let setup = Setup::new().section("ERROR_PAGES", &pages).file("errors/404.html", "<p>mine").file("a.txt", "alpha");
    let setup = setup.file("errors/405.txt", "not so").file("big.html", &big).file("sub/x", "");
    let server = setup.host("Fallback /nothing.html").start();
    let mut client = server.client();
    // Twice, for what is remembered, and in front of a request on the same connection.
    for path in ["/nothing", "/nothing", "/other"] {
        let answer = client.get(path);
        answer.has_head(&["HTTP/1.1 404 Not Found", SERVER, DATE, "Vary: Accept", HTML, "Content-Length: 7"]);
        assert_eq!(answer.text(), "<p>mine", "{path}");
        let head = client.ask("HEAD /nothing", "");
        head.has_head(&["HTTP/1.1 404 Not Found", SERVER, DATE, "Vary: Accept", HTML, "Content-Length: 7"]);
    }
    let answer = client.ask("PUT /a.txt", "Content-Length: 0\r\n");
    let text = "Content-Type: text/plain; charset=utf-8";
    answer.has_head(&["HTTP/1.1 405 Method Not Allowed", SERVER, DATE, ALLOW, text, "Content-Length: 6"]);
    assert_eq!(answer.text(), "not so");
    // The built-in page where the site's own is missing.
    let answer = client.get("/sub/").is(403);
    assert!(answer.text().contains("<h1>403 Forbidden</h1>"), "{}", answer.text());
    // Larger than what is kept in memory.
    let range = "Content-Range: bytes */5";
    let lines = ["HTTP/1.1 416 Requested Range Not Satisfiable", SERVER, DATE, range, HTML, "Content-Length: 300000"];
    for _ in 0..2 {
        let answer = client.ask("GET /a.txt", "Range: bytes=5-\r\n");
        answer.has_head(&lines);
        assert!(answer.body == big);
    }
    client.ask("HEAD /a.txt", "If-Match: \"x\"\r\n").is(412);
    assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
    // The pages are files like others.
    assert_eq!(client.get("/errors/404.html").is(200).text(), "<p>mine");
    // A fallback that is missing must not hide the error.
    client.ask("GET /nothing", "Accept: text/html\r\n").is(404);
}

#[test]
fn a_page_is_not_a_page_of_itself() {
    // Asking for the page of an error must not ask for its own.
    let setup = Setup::new().section("ERROR_PAGES", &["404 missing.html", "403 sub", "503 missing.html"]);
    let server = setup.file("sub/x", "").start();
    for path in ["/missing.html", "/other"] {
        assert!(server.get(path).is(404).text().contains("<h1>404 Not Found</h1>"), "{path}");
    }
    assert!(server.get("/sub/").is(403).text().contains("<h1>403 Forbidden</h1>"));
}

#[test]
fn a_page_that_changes_is_seen() {
    let server = Setup::new().section("ERROR_PAGES", &["404 e.html"]).file("e.html", "old").start();
    assert_eq!(server.get("/x").is(404).text(), "old");
    fs::write(server.root("e.html"), "newer").expect("the page");
    assert!(eventually(|| server.get("/x").is(404).text() == "newer"));
    fs::remove_file(server.root("e.html")).expect("the page");
    assert!(eventually(|| server.get("/x").is(404).text().contains("<h1>404")));
}

#[test]
fn requests_that_are_none_have_the_built_in_page() {
    let server = Setup::new().section("ERROR_PAGES", &["400 e.html", "431 e.html"]).file("e.html", "mine").start();
    let answer = String::from_utf8(server.exchange("nonsense\r\n\r\n")).expect("text");
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n") && answer.contains("<h1>400 "), "{answer}");
}
