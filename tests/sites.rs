use std::fs;

use crate::util::{DATE, ETAG, MODIFIED, RANGES, SERVER, Server, Setup, pattern};

const TEXT: &str = "Content-Type: text/plain; charset=utf-8";
const HTML: &str = "Content-Type: text/html; charset=utf-8";

/// Three sites; each answers `/who` with its name.
fn sites(keys: &[&str]) -> Server {
    let setup = keys.iter().fold(Setup::new(), |setup, key| setup.server(key));
    let setup = setup.host("ServerName default.example").file("who", "default");
    let setup = setup.site("one", &["ServerName one.example www.ONE.example [2001:db8::1]"]);
    let setup = setup.site("two", &["ServerName two.example absolute.example. 192.0.2.7"]);
    setup.dir.write("one/who", "one");
    setup.dir.write("two/who", "two");
    setup.start()
}

fn who(server: &Server, target: &str, host: &str) -> (u16, String) {
    let mut client = server.client();
    let host = if host.is_empty() { String::new() } else { format!("Host: {host}\r\n") };
    let version = if host.is_empty() { "HTTP/1.0" } else { "HTTP/1.1" };
    client.send(format!("GET {target} {version}\r\n{host}\r\n"));
    let answer = client.answer(false);
    (answer.status, if answer.status == 200 { answer.text().to_string() } else { String::new() })
}

#[test]
fn the_host_chooses_the_site() {
    let server = sites(&[]);
    for (host, site) in [
        ("default.example", "default"),
        ("one.example", "one"),
        ("www.one.example", "one"),
        ("ONE.Example", "one"),
        ("one.example:80", "one"),
        ("one.example:", "one"),
        ("one.example.", "one"),
        ("One.Example.:8080", "one"),
        ("[2001:db8::1]", "one"),
        ("[2001:DB8::1]:81", "one"),
        ("two.example", "two"),
        ("absolute.example", "two"),
        ("absolute.example.", "two"),
        ("192.0.2.7:2001", "two"),
        ("unknown.example", "default"),
        ("xone.example", "default"),
        ("sub.two.example", "default"),
        ("192.0.2.8", "default"),
        ("[::1]", "default"),
        ("", "default"),
    ] {
        assert_eq!(who(&server, "/who", host), (200, site.into()), "{host}");
    }
}

#[test]
fn the_authority_of_an_absolute_target_replaces_the_host() {
    let server = sites(&[]);
    for (target, host, site) in [
        ("http://one.example/who", "two.example", "one"),
        ("HTTP://Two.Example:99/who", "one.example", "two"),
        ("https://one.example./who", "unknown", "one"),
        ("http://unknown/who", "one.example", "default"),
        ("http://one.example/x/../who?query", "two.example", "one"),
    ] {
        assert_eq!(who(&server, target, host), (200, site.into()), "{target} {host}");
    }
    let mut client = server.client();
    client.send("GET http://one.example HTTP/1.1\r\nHost: x\r\n\r\n").answer(false).is(403);
    client.send("OPTIONS http://one.example HTTP/1.1\r\nHost: x\r\n\r\n").answer(false).is(200);
}

#[test]
fn unknown_hosts_can_be_refused() {
    let server = sites(&["UnknownHost Reject"]);
    for (host, status) in [
        ("default.example", 200),
        ("one.example.", 200),
        ("unknown.example", 421),
        ("one.example.evil.example", 421),
        ("default", 421),
        // Nobody can point a name of theirs at an address: these are no rebinding.
        ("192.0.2.8", 200),
        ("[::1]:80", 200),
        ("", 200),
    ] {
        assert_eq!(who(&server, "/who", host).0, status, "{host}");
    }
    assert_eq!(who(&server, "http://unknown/who", "one.example").0, 421);
    let mut client = server.client();
    client.send("GET /who HTTP/1.1\r\nHost: unknown.example\r\n\r\n");
    let answer = client.answer(false);
    let length = format!("Content-Length: {}", answer.body.len());
    answer.has_head(&["HTTP/1.1 421 Misdirected Request", SERVER, DATE, HTML, &length]);
}

#[test]
fn a_name_that_two_sites_have_belongs_to_the_first() {
    let setup = Setup::new().host("ServerName first").file("who", "default").site("b", &["ServerName both"]);
    let setup = setup.site("c", &["ServerName both"]);
    setup.dir.write("b/who", "b");
    setup.dir.write("c/who", "c");
    let server = setup.start();
    assert_eq!(who(&server, "/who", "both"), (200, "b".into()));
    assert!(server.logged("both is already the name of the site at "), "a warning");
}

#[test]
fn files_that_are_no_sites() {
    let setup = Setup::new().file("a", "alpha");
    setup.dir.write("conf/sites/.hidden", "nonsense");
    setup.dir.write("conf/sites/old~", "nonsense");
    setup.start().get("/a").is(200);
}

#[test]
fn redirect() {
    let setup =
        Setup::new().file("who", "default").site("old", &["ServerName old", "Redirect https://new.example/x?y"]);
    let server = setup.site("away", &["ServerName away", "Redirect /moved"]).start();
    let mut client = server.client();
    for (host, location) in [("old", "Location: https://new.example/x?y"), ("away", "Location: /moved")] {
        let lines = ["HTTP/1.1 301 Moved Permanently", SERVER, DATE, location, "Content-Length: 0"];
        for (method, target) in
            [("GET", "/"), ("GET", "/any/thing?q"), ("HEAD", "/x"), ("DELETE", "/x"), ("OPTIONS", "/x")]
        {
            client.send(format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            client.answer(method == "HEAD").has_head(&lines);
        }
        client.send(format!("POST /x HTTP/1.1\r\nHost: {host}\r\nContent-Length: 4\r\n\r\nbody"));
        client.answer(false).has_head(&lines);
    }
    assert_eq!(client.get("/who").is(200).text(), "default");
}

#[test]
fn aliases() {
    let setup = Setup::new().file("fw/x", "shadowed").file("fwx/x", "root").host("Alias /fw ../one").file("a", "alpha");
    let setup = setup.host("Alias /fw/deep/er/ ../two").host("Alias /with%20space ../two");
    setup.dir.write("one/x", "one");
    setup.dir.write("one/index.html", "index of one");
    setup.dir.write("one/deep/x", "below one");
    setup.dir.write("two/x", "two");
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.get("/fw/x").is(200).text(), "one");
    assert_eq!(client.get("/fw/").is(200).text(), "index of one");
    assert_eq!(client.get("/fw?q").is(301).field("Location"), Some("/fw/?q"));
    assert_eq!(client.get("/fwx/x").is(200).text(), "root", "whole segments only");
    assert_eq!(client.get("/fw/deep/x").is(200).text(), "below one");
    assert_eq!(client.get("/fw/deep/er/x").is(200).text(), "two", "the longest counts");
    assert_eq!(client.get("/fw/deep/er").is(301).field("Location"), Some("/fw/deep/er/"));
    client.get("/fw/nothing").is(404);
    // Nothing leads from one directory into another.
    client.get("/fw/../two/x").is(404);
    assert_eq!(client.get("/fw/../a").is(200).text(), "alpha");
    client.get("/fw/%2e%2e/%2e%2e/two/x").is(403);
}

#[test]
fn fallback_for_pages_only() {
    let setup = Setup::new().host("Fallback /app.html").file("app.html", "<p>app").file("a.txt", "alpha");
    let server = setup.file("sub/x.php", "code").start();
    let mut client = server.client();
    let page = "Accept: text/html,application/xhtml+xml,*/*;q=0.8\r\n";
    let lines = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, "Vary: Accept", HTML, RANGES, "Content-Length: 6"];
    let plain = client.get("/app.html");
    plain.has_head(&lines);
    for path in ["/deep/link", "/deep/link/", "/x.js", "/a.txt/more"] {
        let answer = client.ask(&format!("GET {path}"), page);
        answer.has_head(&lines);
        assert_eq!((answer.text(), answer.etag()), ("<p>app", plain.etag()), "{path}");
        client.ask(&format!("HEAD {path}"), page).has_head(&lines);
        let condition = format!("{page}If-None-Match: {}\r\n", plain.etag());
        client.ask(&format!("GET {path}"), &condition).is(304);
        for (method, fields) in [
            ("GET", ""),
            ("GET", "Accept: */*\r\n"),
            ("GET", "Accept: application/json\r\n"),
            ("GET", "Accept: text/html;q=0\r\n"),
            ("POST", "Accept: text/html\r\nContent-Length: 0\r\n"),
        ] {
            let miss = client.ask(&format!("{method} {path}"), fields);
            assert_eq!((miss.status, miss.field("Vary")), (404, Some("Accept")), "{method} {path} {fields}");
        }
    }
    assert_eq!(client.ask("GET /a.txt", page).is(200).text(), "alpha");
    // Not in place of what is there and may not be seen.
    client.ask("GET /sub/", page).is(403);
    client.ask("GET /sub/x.php", page).is(403);
    client.ask("PUT /deep", "Accept: text/html\r\nContent-Length: 0\r\n").is(405);
    // A fallback that is not there is a miss.
    fs::remove_file(server.root("app.html")).expect("the page");
    assert!(crate::util::eventually(|| server.ask("GET /deep/link", page).status == 404));
}

#[test]
fn fields_by_path() {
    let rules = [
        "Match .* X-All: every answer",
        "Match \\.js$ X-Script: yes",
        "Match ^/sub/ X-Sub: 1",
        "Match ^/sub/ X-Sub-Two: a, b: c",
        "Match ^/sp\\sace$ X-Space: decoded",
    ];
    let setup = Setup::new().section("HEADERS", &rules).file("a.js", "1").file("sub/a.txt", "2").file("sp ace", "3");
    let server = setup.start();
    let mut client = server.client();
    let ok = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG];
    let all = "X-All: every answer";
    let script = "Content-Type: text/javascript; charset=utf-8";
    let end = [RANGES, "Content-Length: 1"];
    client.get("/a.js?x").has_head(&[&ok[..], &[all, "X-Script: yes", script], &end].concat());
    let subs = [all, "X-Sub: 1", "X-Sub-Two: a, b: c"];
    client.get("/sub/a.txt").has_head(&[&ok[..], &subs, &[TEXT], &end].concat());
    client.get("/sp%20ace").has_head(&[&ok[..], &[all, "X-Space: decoded", "Content-Type: text/plain"], &end].concat());
    // The query is not part of the path, and the path is the decoded one.
    assert_eq!(client.get("/nothing?/sub/").is(404).field("X-Sub"), None);
    assert_eq!(client.get("/x/../%73ub/a.txt").is(200).field("X-Sub"), Some("1"));
    // Errors, redirects, conditions and ranges carry them too.
    let etag = client.get("/sub/a.txt").etag().to_string();
    for (line, fields, status) in [
        ("GET /sub/nothing", String::new(), 404),
        ("GET /sub", String::new(), 301),
        ("PUT /sub/a.txt", "Content-Length: 0\r\n".into(), 405),
        ("OPTIONS /sub/a.txt", String::new(), 200),
        ("GET /sub/a.txt", format!("If-None-Match: {etag}\r\n"), 304),
        ("GET /sub/a.txt", "If-Match: \"x\"\r\n".into(), 412),
        ("GET /sub/a.txt", "Range: bytes=0-0\r\n".into(), 206),
        ("GET /sub/a.txt", "Range: bytes=7-\r\n".into(), 416),
    ] {
        let answer = client.ask(line, &fields);
        assert_eq!((answer.status, answer.field("X-All")), (status, Some("every answer")), "{line} {fields}");
        assert_eq!(answer.field("X-Sub").is_some(), line.contains("/sub/"), "{line} {fields}");
    }
}

#[test]
fn cache_control_by_path() {
    let rules = ["Match \\.js$ max-age=3600", "Match ^/sub/ no-store", "Match .* no-cache"];
    let setup = Setup::new().section("CACHE", &rules).section("HEADERS", &["Match .* X-All: 1"]).file("a.js", "1");
    let server = setup.file("sub/b.js", "2").file("sub/a.txt", "3").file("c", "4").start();
    let mut client = server.client();
    for (path, control) in
        [("/a.js", "max-age=3600"), ("/sub/b.js", "max-age=3600"), ("/sub/a.txt", "no-store"), ("/c", "no-cache")]
    {
        let answer = client.get(path).is(200);
        assert_eq!(answer.field("Cache-Control"), Some(control), "{path}");
        // RFC 9110 section 15.4.5: a 304 repeats it.
        let fields = format!("If-None-Match: {}\r\n", answer.etag());
        let lines = ["HTTP/1.1 304 Not Modified", SERVER, DATE, MODIFIED, ETAG, &format!("Cache-Control: {control}")];
        client.ask(&format!("GET {path}"), &fields).has_head(&[&lines[..], &["X-All: 1"]].concat());
        assert_eq!(client.ask(&format!("GET {path}"), "Range: bytes=0-0\r\n").field("Cache-Control"), Some(control));
    }
    // What is not there is not kept by anyone.
    assert_eq!(client.get("/nothing.js").is(404).field("Cache-Control"), None);
}

#[test]
fn max_body_size() {
    let setup = Setup::new().host("MaxBodySize 2").file("a.txt", "alpha").site("big", &["ServerName big"]);
    setup.dir.write("big/a.txt", "big");
    let server = setup.start();
    let mut client = server.client();
    client.send("POST /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 2048\r\n\r\n").send(pattern(2048));
    client.answer(false).is(200);
    // One byte more: told before the body is read.
    for method in ["POST", "GET", "PUT"] {
        let mut client = server.client();
        client.send(format!("{method} /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 2049\r\n\r\n"));
        let answer = client.answer(false);
        assert!(answer.head.starts_with("HTTP/1.1 413 Request Entity Too Large\r\n"), "{}", answer.head);
    }
    // The limit is a site's own, and without one there is none.
    let mut client = server.client();
    client.send("POST /a.txt HTTP/1.1\r\nHost: big\r\nContent-Length: 300000\r\n\r\n").send(pattern(300_000));
    assert_eq!(client.answer(false).is(200).text(), "big");
    assert_eq!(client.get("/a.txt").is(200).text(), "alpha");
}

#[test]
fn scripts_are_never_sent() {
    let files = ["a.php", "a.PHP", "b.phtml", "c.phar", "sub/index.php", ".php"];
    let setup = files.iter().fold(Setup::new(), |setup, name| setup.file(name, "<?php secret"));
    let setup = setup.file("a.php.txt", "shown").file("php", "shown").file("own.lua", "shown");
    let server = setup.site("own", &["ServerName own", "ScriptExtensions .lua py"]).start();
    for path in ["/a.php", "/a.PHP", "/b.phtml", "/c.phar", "/sub/index.php", "/sub/", "/a.ph%70", "/a.php?x", "/.php"]
    {
        let answer = server.get(path);
        assert_eq!(answer.status, 403, "{path}");
        assert!(!answer.text().contains("secret"), "{path}");
    }
    for path in ["/a.php.txt", "/php", "/own.lua"] {
        assert_eq!(server.get(path).is(200).text(), "shown", "{path}");
    }
    server.get("/a.php/").is(404);
    for (name, status) in [("x.lua", 403), ("x.PY", 403), ("x.php", 200)] {
        server.dir.write(&format!("own/{name}"), "x");
        assert_eq!(who(&server, &format!("/{name}"), "own").0, status, "{name}");
    }
}

#[test]
fn etag_seed() {
    let path = |setup: &Setup| setup.root("a.txt");
    let with = |seed: &str| {
        let setup = Setup::new().file("a.txt", "alpha");
        let setup = if seed.is_empty() { setup } else { setup.host(&format!("EtagSeed {seed}")) };
        setup.dir.write("conf/version", "1.2.3\n");
        setup
    };
    // The same file, same inode: one directory, four servers one after another.
    let first = with("");
    let file = path(&first);
    let tags: Vec<String> = ["", "one", "two", "1.2.3", "@version"]
        .iter()
        .map(|seed| {
            let setup = with(seed).host(&format!("DocumentRoot {}", file.parent().expect("a root").display()));
            setup.start().get("/a.txt").is(200).etag().to_string()
        })
        .collect();
    assert_eq!(tags[3], tags[4], "a text, or the content of a file");
    for (n, tag) in tags[..4].iter().enumerate() {
        assert!(!tags[..n].contains(tag), "{tags:?}");
    }
}
