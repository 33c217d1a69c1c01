use crate::util::{ALLOW, DATE, ETAG, MODIFIED, RANGES, SERVER, Server, Setup, request};

const HTML: &str = "Content-Type: text/html; charset=utf-8";

fn serve() -> Server {
    Setup::new().file("index.html", "<p>hello").file("a.txt", "alpha").start()
}

#[test]
fn get_head_and_post_of_a_file() {
    let server = serve();
    let mut client = server.client();
    let lines = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, HTML, RANGES, "Content-Length: 8"];
    let get = client.get("/index.html");
    get.has_head(&lines);
    assert_eq!(get.text(), "<p>hello");
    let head = client.ask("HEAD /index.html", "");
    head.has_head(&lines);
    assert_eq!((head.etag(), head.field("Last-Modified")), (get.etag(), get.field("Last-Modified")));
    let post = client.ask("POST /index.html", "Content-Length: 0\r\n");
    post.has_head(&lines);
    assert_eq!(post.text(), "<p>hello");
    assert_eq!(client.get("/").text(), "<p>hello");
}

#[test]
fn head_of_what_is_not_there_has_the_length_of_its_page() {
    let server = serve();
    let mut client = server.client();
    let get = client.get("/nothing");
    let length = format!("Content-Length: {}", get.body.len());
    let lines = ["HTTP/1.1 404 Not Found", SERVER, DATE, HTML, &length];
    get.has_head(&lines);
    client.ask("HEAD /nothing", "").has_head(&lines);
    client.get("/a.txt").is(200);
}

#[test]
fn options_of_a_path_and_of_the_server() {
    let server = serve();
    let mut client = server.client();
    let lines = ["HTTP/1.1 200 OK", SERVER, DATE, ALLOW, "Content-Length: 0"];
    client.ask("OPTIONS /a.txt", "").has_head(&lines);
    client.ask("OPTIONS *", "").has_head(&lines);
    assert_eq!(client.get("/a.txt").text(), "alpha");
    client.ask("GET *", "").is(400);
}

#[test]
fn methods_a_file_does_not_have() {
    let server = serve();
    let mut client = server.client();
    for line in ["PUT /a.txt", "DELETE /a.txt", "DELETE /nothing"] {
        let answer = client.send(request(line, "Content-Length: 4\r\n") + "body").answer(false);
        let length = format!("Content-Length: {}", answer.body.len());
        answer.has_head(&["HTTP/1.1 405 Method Not Allowed", SERVER, DATE, ALLOW, HTML, &length]);
    }
    assert_eq!(client.ask("DELETE /a.txt", "").status, 405);
    assert_eq!(client.get("/a.txt").text(), "alpha", "and they changed nothing");
}

#[test]
fn methods_the_server_does_not_have() {
    let server = serve();
    let mut client = server.client();
    for line in ["TRACE /a.txt", "CONNECT test:80", "PATCH /a.txt", "FROB /a.txt", "get /a.txt", "M-SEARCH *"] {
        let answer = client.ask(line, "");
        let length = format!("Content-Length: {}", answer.body.len());
        answer.has_head(&["HTTP/1.1 501 Not Implemented", SERVER, DATE, HTML, &length]);
    }
    let long = "X".repeat(4000);
    client.ask(&format!("{long} /a.txt"), "").is(501);
    client.send("PATCH /a.txt HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody");
    client.answer(false).is(501);
    assert_eq!(client.get("/a.txt").text(), "alpha");
}

#[test]
fn bodies_need_a_length() {
    let server = serve();
    for method in ["POST", "PUT"] {
        let mut client = server.client();
        let answer = client.ask(&format!("{method} /a.txt"), "");
        let length = format!("Content-Length: {}", answer.body.len());
        answer.has_head(&["HTTP/1.1 411 Length Required", SERVER, DATE, HTML, &length, "Connection: Close"]);
        client.half_close();
        client.is_closed();
    }
}

#[test]
fn the_versions_and_their_connections() {
    let server = serve();
    let text = "Content-Type: text/plain; charset=utf-8";
    let start = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, text, RANGES, "Content-Length: 5"];
    let with = |line: &'static str| [&start[..], &[line]].concat();

    // HTTP/1.0 needs no Host and closes.
    let mut client = server.client();
    client.send("GET /a.txt HTTP/1.0\r\n\r\n").answer(false).has_head(&with("Connection: Close"));
    client.is_closed();
    // Unless it asks for more, in any case and among others.
    let mut client = server.client();
    for field in ["keep-alive", "Keep-Alive", "x, KEEP-ALIVE"] {
        let request = format!("GET /a.txt HTTP/1.0\r\nConnection: {field}\r\n\r\n");
        client.send(request).answer(false).has_head(&with("Connection: Keep-Alive"));
    }
    client.send("GET /a.txt HTTP/1.0\r\n\r\n").answer(false).has_head(&with("Connection: Close"));
    client.is_closed();
    // HTTP/1.1 goes on, and says so by silence.
    let mut client = server.client();
    client.get("/a.txt").has_head(&start);
    client.ask("GET /a.txt", "Connection: keep-alive\r\n").has_head(&start);
    client.ask("GET /a.txt", "Connection: keep-alive, close\r\n").has_head(&with("Connection: Close"));
    client.is_closed();
    // The errors of a request are no reason to close.
    let mut client = server.client();
    assert!(!client.get("/nothing").closes());
    assert!(client.ask("GET /nothing", "Connection: close\r\n").closes());
    client.is_closed();
}

#[test]
fn empty_lines_before_a_request_are_passed_over() {
    let server = serve();
    let mut client = server.client();
    client.send("\r\n\r\n");
    assert_eq!(client.get("/a.txt").text(), "alpha");
    client.send("\r\n\r\n\r");
    client.send("\nGET /a.txt HTTP/1.1\r\nHost: test\r\n\r\n\r\n");
    assert_eq!(client.answer(false).text(), "alpha");
    assert_eq!(client.get("/a.txt").text(), "alpha");
}

#[test]
fn a_client_that_ends_its_side_gets_its_answers() {
    let server = serve();
    let mut client = server.client();
    client.send("GET /a.txt HTTP/1.1\r\nHost: test\r\n\r\nGET /index.html HTTP/1.1\r\nHost: test\r\n\r\n");
    client.half_close();
    assert_eq!(client.answer(false).text(), "alpha");
    assert_eq!(client.answer(false).text(), "<p>hello");
    client.is_closed();
    // Half a request is none.
    assert_eq!(server.exchange("GET /a.txt HTTP/1.1\r\nHost: te").len(), 0);
    assert_eq!(server.exchange("").len(), 0);
}
