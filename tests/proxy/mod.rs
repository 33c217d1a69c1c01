//! The plugin proxy: what servers behind this one get, and what comes of their answers.

mod backend;
mod bodies;
mod servers;
mod smuggling;
mod tunnel;

use std::fmt::Display;
use std::time::Duration;

use crate::util::{Answer, Server, Setup, eventually, example, request};
use backend::Backend;

/// A server with one worker, of which all requests below `/` go on to these servers.
pub fn in_front_of(servers: &[impl Display]) -> Setup {
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    // So that a reload may name another port.
    let setup = Setup::new().environment("MONKEY_TEST_NO_LANDLOCK", "1");
    setup.workers(1).section("HANDLERS", &[&format!("Location / proxy {}", servers.join(" "))])
}

/// The same with keys of `[PROXY]` in proxy.conf.
pub fn with(setup: Setup, keys: &[&str]) -> Setup {
    let keys: String = keys.iter().map(|key| format!("    {key}\n")).collect();
    setup.dir.write("conf/plugins/proxy/proxy.conf", format!("[PROXY]\n{keys}"));
    setup
}

/// What is told of the client in each request.
fn told(host: &str) -> String {
    format!(
        "X-Forwarded-For: 127.0.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: {host}\r\n\
         Forwarded: for=127.0.0.1;host={host};proto=http\r\nVia: 1.1 monkey\r\n"
    )
}

const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";

#[test]
fn what_a_backend_gets() {
    let backend = Backend::saying(OK);
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    client.ask("GET /a/./b%7e?c=%20", "Accept: x\r\nConnection: X-B\r\nX-B: 1\r\nX-Forwarded-For: 9.9.9.9\r\n").is(200);
    client.send(request("PUT /p", "Content-Length: 5\r\n") + "hello").answer(false).is(200);
    client.send(request("POST /c", "Transfer-Encoding: chunked\r\n") + "3\r\nhel\r\n2\r\nlo\r\n0\r\nX: y\r\n\r\n");
    client.answer(false).is(200);
    client.ask("HEAD /h", "").is(200);
    client.send("GET http://other/x HTTP/1.1\r\nHost: test\r\n\r\n").answer(false).is(200);
    let seen = backend.seen();
    let heads: Vec<&str> = seen.iter().map(|seen| seen.head.as_str()).collect();
    let told_test = told("test");
    assert_eq!(heads[0], format!("GET /a/b~?c=%20 HTTP/1.1\r\nHost: test\r\nAccept: x\r\n{told_test}\r\n"));
    assert_eq!(heads[1], format!("PUT /p HTTP/1.1\r\nHost: test\r\n{told_test}Content-Length: 5\r\n\r\n"));
    assert_eq!(heads[2], format!("POST /c HTTP/1.1\r\nHost: test\r\n{told_test}Transfer-Encoding: chunked\r\n\r\n"));
    assert_eq!(heads[3], format!("HEAD /h HTTP/1.1\r\nHost: test\r\n{told_test}\r\n"));
    assert_eq!(heads[4], format!("GET /x HTTP/1.1\r\nHost: other\r\n{}\r\n", told("other")));
    assert_eq!((seen[1].body.as_slice(), seen[2].body.as_slice()), (&b"hello"[..], &b"hello"[..]));
}

#[test]
fn the_name_of_the_server_instead_of_the_clients() {
    let backend = Backend::saying(OK);
    let server = with(in_front_of(&[backend.address]), &["Host Server", "KeepAlive 0"]).start();
    server.get("/").is(200);
    let head = &backend.seen()[0].head;
    let told = told("test");
    assert_eq!(*head, format!("GET / HTTP/1.1\r\nHost: {}\r\n{told}Connection: close\r\n\r\n", backend.address));
}

/// One answer, by HTTP/1.1.
fn answer_to(line: &str, answer: &'static str) -> Answer {
    let backend = Backend::saying(answer);
    in_front_of(&[backend.address]).start().ask(line, "")
}

#[test]
fn answers_of_each_form() {
    let answer =
        answer_to("GET /", "HTTP/1.1 404 What\nServer: x\nDate: y\nX-A: b\nContent-Length: 5\n\nhello").is(404);
    answer.has_head(&["HTTP/1.1 404 Not Found", crate::util::SERVER, crate::util::DATE, "X-A: b", "Content-Length: 5"]);
    assert_eq!(answer.text(), "hello");
    let chunked = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3;x=y\nhel\n2\nlo\n0\nT: 1\n\n";
    let answer = answer_to("GET /", chunked).is(200);
    answer.has_fields(&["Transfer-Encoding: chunked"]);
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer_to("GET /", "HTTP/1.0 200 OK\n\nhello").text(), "hello");
    assert_eq!(
        answer_to("GET /", "HTTP/1.1 100 Go\n\nHTTP/1.1 103 x\nLink: y\n\nHTTP/1.1 200 OK\n\nhello").text(),
        "hello"
    );
    assert_eq!(answer_to("HEAD /", "HTTP/1.1 200 OK\nContent-Length: 5\n\n").is(200).length(), Some(5));
    answer_to("GET /", "HTTP/1.1 304 x\nETag: \"a\"\nContent-Length: 5\n\n").is(304).has_fields(&["ETag: \"a\""]);
}

#[test]
fn answers_to_a_client_of_http_1_0() {
    for answer in [
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nhel\n2\nlo\n0\n\n",
        "HTTP/1.1 200 OK\n\nhello",
        "HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    ] {
        let backend = Backend::saying(answer);
        let server = in_front_of(&[backend.address]).start();
        let text = String::from_utf8(server.client().send("GET / HTTP/1.0\r\n\r\n").rest()).expect("text");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains("Connection: Close") && !head.contains("chunked"), "{head}");
        assert_eq!(body, "hello");
        assert_eq!(backend.seen()[0].field("Host"), Some(backend.address.to_string().as_str()));
    }
}

#[test]
fn what_is_no_answer_is_502() {
    for answer in [
        "HTTP/1.1 200 OK\nContent-Length: 5\nContent-Length: 6\n\nhello",
        "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n",
        "HTTP/1.1 200 OK\nX: a\n b\nContent-Length: 5\n\nhello",
        "HTTP/1.1 101 OK\nConnection: upgrade\nUpgrade: websocket\n\n",
        "hello",
        "HTTP/1.1 200 OK\nX: ",
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\nx\n",
        "",
    ] {
        let backend = Backend::saying(answer);
        let server = in_front_of(&[backend.address]).start();
        let mut client = server.client();
        client.get("/").is(502);
        // The client's connection is none the worse for it.
        client.get("/").is(502);
        backend.is_left();
    }
}

#[test]
fn an_answer_that_is_cut_ends_the_connection_in_the_middle() {
    for answer in
        ["HTTP/1.1 200 OK\nContent-Length: 50\n\nhello", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n"]
    {
        // It says that it has a length, and goes all the same.
        let backend = Backend::new(move |peer| {
            peer.request();
            peer.send(answer.replace('\n', "\r\n"));
        });
        let server = in_front_of(&[backend.address]).start();
        let text = String::from_utf8(server.client().send(request("GET /", "")).rest()).expect("text");
        let (_, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(body.contains("hello") && !body.ends_with("0\r\n\r\n"), "{body:?}");
        backend.is_left();
    }
}

#[test]
fn requests_that_follow_each_other_are_answered_in_their_order() {
    let backend = Backend::answering(|seen| {
        let path = seen.head.split(' ').nth(1).unwrap_or_default().to_string();
        format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}", path.len()).into_bytes()
    });
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    let all: String = (0..20).map(|number| request(&format!("GET /{number}"), "")).collect();
    client.send(all);
    for number in 0..20 {
        assert_eq!(client.answer(false).is(200).text(), format!("/{number}"));
    }
    assert_eq!(backend.accepted(), 1, "one connection carries them all");
}

#[test]
fn what_the_client_expects_is_done_here() {
    let backend = Backend::saying(OK);
    let server = in_front_of(&[backend.address]).start();
    let mut client = server.client();
    client.send(request("PUT /", "Content-Length: 5\r\nExpect: 100-continue\r\n"));
    assert!(client.head().starts_with("HTTP/1.1 100 "));
    client.send("hello").answer(false).is(200);
    assert_eq!(backend.seen()[0].field("Expect"), None);
}

#[test]
fn a_client_that_leaves_takes_its_backend_with_it() {
    let backend = Backend::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
        // Until the other side closes.
        while peer.fill() {}
    });
    let server = in_front_of(&[backend.address]).start();
    let before = server.descriptors();
    let mut client = server.client();
    client.send(request("GET /", ""));
    client.head();
    drop(client);
    backend.is_left();
    // While nothing of an answer has come.
    let silent = Backend::new(|peer| {
        peer.request();
        while peer.fill() {}
    });
    server.dir.write(
        "conf/sites/default",
        format!(
            "[HOST]\n    ServerName test\n    DocumentRoot ../root\n[HANDLERS]\n    Location / proxy {}\n",
            silent.address
        ),
    );
    server.reload();
    let mut client = server.client();
    client.send(request("GET /", ""));
    assert!(eventually(|| silent.open() == 1));
    drop(client);
    silent.is_left();
    assert!(eventually(|| server.descriptors() == before), "{} descriptors, {before} before", server.descriptors());
}

#[test]
fn a_reload_leaves_what_is_under_way_alone() {
    let slow = Backend::new(|peer| {
        peer.request();
        peer.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        std::thread::sleep(Duration::from_millis(600));
        peer.send("world");
    });
    let other = Backend::saying(OK);
    let server = in_front_of(&[slow.address]).start();
    let mut client = server.client();
    client.send(request("GET /", ""));
    assert!(eventually(|| slow.seen().len() == 1));
    server.dir.write(
        "conf/sites/default",
        format!(
            "[HOST]\n    ServerName test\n    DocumentRoot ../root\n[HANDLERS]\n    Location / proxy {}\n",
            other.address
        ),
    );
    server.reload();
    assert_eq!(server.get("/").is(200).text(), "ok");
    assert_eq!(client.answer(false).is(200).text(), "helloworld");
    assert_eq!((slow.accepted(), other.accepted()), (1, 1));
    assert_eq!(client.get("/").text(), "ok");
    server.dir.write("conf/sites/default", "[HOST]\n    ServerName test\n    DocumentRoot ../root\n");
    server.reload();
    client.get("/x").is(404);
    other.is_left();
}

#[test]
fn lines_before_it_and_paths_beside_it_are_not_its_business() {
    let backend = Backend::saying(OK);
    let line = format!("Location /app proxy {}", backend.address);
    let server = Setup::new().workers(1).file("a.txt", "alpha").section("HANDLERS", &[&line]).start();
    assert_eq!(server.get("/a.txt").is(200).text(), "alpha");
    assert_eq!(server.get("/app").is(200).text(), "ok");
    assert_eq!(server.get("/app/x").is(200).text(), "ok");
    server.get("/application").is(404);
    server.get("/app/../a.txt").is(200);
    let paths: Vec<String> =
        backend.seen().iter().map(|seen| seen.head.split(' ').nth(1).unwrap_or_default().to_string()).collect();
    assert_eq!(paths, ["/app", "/app/x"]);
}

/// A server with an example of its page, whose ports are those of two backends.
fn example_server(name: &str, backends: &[&Backend]) -> Server {
    let mut text = example("plugins/PROXY.md", name);
    for (place, backend) in backends.iter().enumerate() {
        let port = format!("127.0.0.1:300{place}");
        assert!(text.contains(&port), "{name} has no {port}");
        text = text.replace(&port, &backend.address.to_string());
    }
    Setup::new().workers(1).file("index.html", "home").text(&text).start()
}

#[test]
fn the_example_of_the_page() {
    let (one, two) = (Backend::saying(OK), Backend::saying(OK));
    let server = example_server("proxy", &[&one, &two]);
    assert_eq!(server.get("/").is(200).text(), "home");
    for _ in 0..4 {
        assert_eq!(server.get("/app/x").is(200).text(), "ok");
    }
    assert_eq!((one.seen().len(), two.seen().len()), (2, 2));
    let (one, two) = (Backend::saying(OK), Backend::saying(OK));
    let server = example_server("section", &[&one, &two]);
    for _ in 0..4 {
        assert_eq!(server.get("/app/x").is(200).text(), "ok");
    }
    // One after the other, each time the first that is free.
    assert_eq!((one.seen().len(), two.seen().len()), (4, 0));
    server.get("/application").is(404);
}
