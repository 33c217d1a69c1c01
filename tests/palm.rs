use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::palm_server::{PYTHON, Palm, SH, lives, pid_in};
use crate::util::{
    Client, PATIENCE, Server, Setup, eventually, example, is_root, moves_all, pattern, request, run, skipped,
};

/// What stands where an application server is to be, and does as a test says.
struct Backend {
    listener: TcpListener,
}

impl Backend {
    fn new() -> Backend {
        Backend { listener: TcpListener::bind("127.0.0.1:0").expect("a port") }
    }

    fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("an address")
    }

    /// The next request: its connection, and what has come of it up to the end mark.
    #[track_caller]
    fn next(&self) -> (TcpStream, String) {
        let mut stream = None;
        self.listener.set_nonblocking(true).expect("an option");
        let came = eventually(|| {
            stream = self.listener.accept().ok();
            stream.is_some()
        });
        assert!(came, "nobody has asked");
        let (mut stream, _) = stream.expect("a connection");
        stream.set_nonblocking(false).expect("an option");
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("more of a request");
            head.push(byte[0]);
        }
        (stream, String::from_utf8(head).expect("text"))
    }

    /// Answers the next request, and ends.
    #[track_caller]
    fn answer(&self, text: impl AsRef<[u8]>) -> String {
        let (mut stream, head) = self.next();
        stream.write_all(text.as_ref()).expect("the answer is taken");
        head
    }

    /// Asserts that nobody is asking.
    #[track_caller]
    fn is_not_asked(&self) {
        self.listener.set_nonblocking(true).expect("an option");
        assert!(self.listener.accept().is_err_and(|error| error.kind() == ErrorKind::WouldBlock));
    }
}

/// A configuration with room for what a build for tests takes besides.
fn fresh() -> Setup {
    Setup::new().server("MemoryLimit 7000")
}

/// palm.conf with what is asked where, and keys of its own.
fn palm_conf(keys: &[&str], address: SocketAddr) -> String {
    let limits: String = keys.iter().map(|key| format!("    {key}\n")).collect();
    let limits = if keys.is_empty() { limits } else { format!("[LIMITS]\n{limits}") };
    format!("Palm sh text/x-of-line {} {}\n{limits}", address.ip(), address.port())
}

/// Scripts that end in .sh, which a server runs.
fn setup(address: SocketAddr, keys: &[&str]) -> Setup {
    let setup = fresh().file("a.sh", "echo source");
    setup.dir.write("conf/plugins/palm/palm.conf", palm_conf(keys, address));
    setup
}

/// One worker, so that what is counted is counted once.
fn lonely(address: SocketAddr, keys: &[&str]) -> Setup {
    setup(address, keys).workers(1)
}

/// Closes with a reset.
fn reset(stream: TcpStream) {
    // What was not read has the kernel send one.
    let _ = stream.peek(&mut [0]);
    drop(stream);
}

/// Whether the other end is gone, or goes within the time a test may take.
fn is_left(mut stream: TcpStream) -> bool {
    let mut bytes = [0; 4096];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return error.kind() == ErrorKind::ConnectionReset,
        }
    }
}

/// The longest answer to a request on a connection of its own.
fn exchange(server: &Server, bytes: &[u8]) -> String {
    let mut client = server.client();
    client.send(bytes);
    String::from_utf8(client.rest()).expect("text")
}

fn sha256(bytes: &[u8], server: &Server) -> String {
    let file = server.dir.write("sum", bytes);
    let sum = Command::new("sha256sum").arg(file).output().expect("sha256sum").stdout;
    String::from_utf8(sum).expect("text").split(' ').next().expect("a sum").into()
}

const TEXT: &str = "Content-Type: text/plain\r\n\r\n";

#[test]
fn the_wire_format_byte_by_byte() {
    let backend = Backend::new();
    let setup = setup(backend.address(), &[]).file("a b.sh", "");
    let root = setup.dir.path("root").display().to_string();
    let server = setup.host(&format!("DocumentRoot {root}")).start();
    let mut client = TcpStream::connect(server.address()).expect("a connection");
    let (port, own) = (client.local_addr().expect("an address").port(), server.address().port());
    let head = |method: &str, target: &str, info: &str, query: &str| {
        format!(
            "{root}/a b.sh\r\nGATEWAY_INTERFACE=CGI/1.1\r\nREDIRECT_STATUS=200\r\nSERVER_SOFTWARE=Monkey/{}\r\n\
             SERVER_PROTOCOL=HTTP/1.1\r\nREQUEST_METHOD={method}\r\nREQUEST_URI={target}\r\nQUERY_STRING={query}\r\n\
             SCRIPT_NAME=/a b.sh\r\n{info}SCRIPT_FILENAME={root}/a b.sh\r\nDOCUMENT_ROOT={root}\r\n\
             REMOTE_ADDR=127.0.0.1\r\nSERVER_ADDR=127.0.0.1\r\nSERVER_NAME=test\r\nREMOTE_PORT={port}\r\n\
             SERVER_PORT={own}\r\n",
            env!("CARGO_PKG_VERSION")
        )
    };
    let fields = "X-A: 1\r\nx-a: 2\r\nCookie: c=d\r\nAccept: */*\r\nProxy: no\r\nAuthorization: Basic no\r\n";
    client.write_all(request("GET /a%20b.sh?x=%20&y", fields).as_bytes()).expect("sent");
    let wanted = head("GET", "/a%20b.sh?x=%20&y", "", "x=%20&y")
        + "CONTENT_LENGTH=0\r\nHTTP_HOST=test\r\nHTTP_X_A=1, 2\r\nHTTP_COOKIE=c=d\r\nHTTP_ACCEPT=*/*\r\n\r\n\r\n";
    assert_eq!(backend.answer(format!("{TEXT}one")), wanted);
    client.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let mut answer = Vec::new();
    while !answer.ends_with(b"0\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
    assert!(String::from_utf8(answer).expect("text").contains("\r\nContent-Type: text/plain\r\n"));
    // With a body, of which every byte is one, and nothing behind it.
    let fields = "Content-Type: a/b\r\nContent-Length: 9\r\n";
    client.write_all((request("POST /a%20b.sh/in/fo", fields) + "\r\n\r\nx=1\r\n").as_bytes()).expect("sent");
    let wanted = head("POST", "/a%20b.sh/in/fo", "PATH_INFO=/in/fo\r\n", "")
        + "CONTENT_LENGTH=9\r\nCONTENT_TYPE=a/b\r\nHTTP_HOST=test\r\n\r\n\r\n";
    let (mut stream, got) = backend.next();
    assert_eq!(got, wanted);
    let mut body = [0; 9];
    stream.read_exact(&mut body).expect("a body");
    assert_eq!(&body, b"\r\n\r\nx=1\r\n");
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a limit");
    assert!(!matches!(stream.read(&mut [0]), Ok(1..)), "more than the body");
    stream.write_all(b"Content-Length: 3\r\n\r\ntwo and what is too much").expect("taken");
    drop(stream);
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\ntwo") {
        let mut byte = [0];
        client.read_exact(&mut byte).expect("an answer");
        answer.push(byte[0]);
    }
}

#[test]
fn a_path_adds_no_variable() {
    let backend = Backend::new();
    let server = setup(backend.address(), &[]).start();
    for end in ["%0d%0a", "%0a", "%0d"] {
        server.get(&format!("/a.sh/{end}SCRIPT_FILENAME=/etc/passwd")).is(400);
    }
    backend.is_not_asked();
}

#[test]
fn every_form_of_configuration() {
    let (one, two) = (Backend::new(), Backend::new());
    let sections = format!(
        "Palm   pl   text/perl   {}\n[PALM]\n    Extension sh\n    Mimetype application/x-sh\n    ServerAddr 127.0.0.1\n    \
         ServerPort {}\n[PALM]\n    Extension php\n    Mimetype application/x-httpd-php\n    ServerHost 127.0.0.1\n    \
         ServerPort {}\n",
        one.address().port(),
        one.address().port(),
        two.address().port()
    );
    let line = format!(r"Match /by-line/.*\.x palm {}", two.address());
    let setup = fresh().file("a.sh", "").file("a.php", "").file("a.pl", "").file("by-line/a.x", "").file("a.x", "x");
    setup.dir.write("conf/plugins/palm/palm.conf", sections);
    let server = setup.section("HANDLERS", &[&line]).start();
    for (path, backend) in [("/a.sh", &one), ("/a.php", &two), ("/a.pl", &one), ("/by-line/a.x", &two)] {
        let mut client = server.client();
        client.send(request(&format!("GET {path}"), ""));
        let head = backend.answer(format!("{TEXT}ran"));
        assert!(head.lines().next().is_some_and(|line| line.ends_with(path)), "{head}");
        assert_eq!(client.answer(false).is(200).text(), "ran");
    }
    assert_eq!(server.get("/a.x").is(200).text(), "x");
    server.get("/b.sh").is(404);
    one.is_not_asked();
}

#[test]
fn answers_of_all_kinds() {
    let backend = Backend::new();
    let server = setup(backend.address(), &[]).file("other.txt", "the other").start();
    let ask = |line: &str, answer: &str| {
        let mut client = server.client();
        client.send(request(line, ""));
        backend.answer(answer);
        client
    };
    let get = |answer: &str| ask("GET /a.sh", answer).answer(false);
    let answer = get("Status: 404 Not here\r\nX-Y: z\r\nContent-Type: text/html\r\n\r\nnone").is(404);
    answer.has_fields(&["X-Y: z", "Content-Type: text/html", "Transfer-Encoding: chunked"]);
    assert_eq!(answer.text(), "none");
    // Line ends of any kind.
    assert_eq!(get("Content-Type: text/plain\n\nran\n").is(200).text(), "ran\n");
    let answer = get("Content-Type: text/plain\r\nContent-Length: 3\r\n\r\nran").is(200);
    assert_eq!((answer.length(), answer.text()), (Some(3), "ran"));
    assert_eq!(get(TEXT).is(200).text(), "");
    // The media type of the line, where the script names none.
    get("X-Y: z\r\n\r\nran").is(200).has_fields(&["Content-Type: text/x-of-line"]);
    let head = ask("GET /a.sh", "Status: 204 Nothing\r\n\r\n").head();
    assert!(head.starts_with("HTTP/1.1 204 ") && !head.contains("Content-Type"), "{head}");
    // Redirects: of the client, and within the server.
    get("Location: http://example.org/\r\n\r\n").is(302).has_fields(&["Location: http://example.org/"]);
    get("Status: 301\r\nLocation: /x\r\n\r\n").is(301).has_fields(&["Location: /x"]);
    assert_eq!(get("Location: /other.txt\r\n\r\n").is(200).text(), "the other");
    let answer = get("Status: 304 Not Modified\r\nETag: \"x\"\r\n\r\nno body").is(304);
    assert_eq!(answer.etag(), "\"x\"");
    // Neither has one to HEAD, whatever the script says; what it announces stays.
    let mut client = ask("HEAD /a.sh", &format!("Content-Length: 5\r\n{TEXT}hello"));
    client.answer(true).is(200).has_fields(&["Content-Length: 5"]);
    client.send(request("HEAD /a.sh", ""));
    backend.answer(format!("{TEXT}hello"));
    assert!(client.head().starts_with("HTTP/1.1 200 OK\r\n"));
    assert_eq!(client.get("/other.txt").is(200).text(), "the other");
    // One of a client that knows no chunks.
    let mut client = server.client();
    client.send("GET /a.sh HTTP/1.0\r\n\r\n");
    backend.answer(format!("{TEXT}hello"));
    let answer = client.answer(false).is(200);
    assert!(answer.closes() && answer.text() == "hello" && answer.field("Transfer-Encoding").is_none());
    // What is no answer.
    for answer in ["", "no header\r\n\r\n", "Content-Type: text/plain\r\n", "Status: 99\r\n\r\n", "\r\n\r\nhello"] {
        get(answer).is(502);
    }
    get(&format!("X: {}\r\n\r\n", "x".repeat(20_000))).is(502);
}

/// One written as the first one was: it reads until what it has ends in two line ends, and knows no body.
#[test]
fn an_application_server_of_2010() {
    let backend = Backend::new();
    let server = setup(backend.address(), &[]).start();
    std::thread::scope(|scope| {
        let client = scope.spawn(|| server.get("/a.sh?x=1"));
        let (mut stream, _) = backend.listener.accept().expect("a connection");
        let mut all = Vec::new();
        while !all.ends_with(b"\r\n\r\n") {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).expect("a request");
            assert!(count > 0, "the end of the request is not seen");
            all.extend_from_slice(&bytes[..count]);
        }
        let text = String::from_utf8(all).expect("text");
        let mut lines = text.split("\r\n");
        let script = lines.next().expect("a path");
        assert!(script.starts_with('/') && script.ends_with("/a.sh"), "{text}");
        let variables: Vec<_> = lines.filter(|line| !line.is_empty()).filter_map(|line| line.split_once('=')).collect();
        assert!(variables.contains(&("QUERY_STRING", "x=1")) && variables.contains(&("REQUEST_METHOD", "GET")));
        stream.write_all(b"Content-type: text/html\n\nold").expect("taken");
        drop(stream);
        let answer = client.join().expect("an answer");
        assert_eq!((answer.status, answer.text()), (200, "old"));
    });
}

#[test]
fn what_has_no_length_is_not_sent() {
    let backend = Backend::new();
    let server = setup(backend.address(), &[]).start();
    let text = exchange(
        &server,
        (request("POST /a.sh", "Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n").as_bytes(),
    );
    assert!(text.starts_with("HTTP/1.1 411 Length Required\r\n"), "{text}");
    backend.is_not_asked();
}

#[test]
fn a_server_that_is_down() {
    let down = Backend::new().address();
    let server = setup(down, &[]).file("index.sh", "echo secret source").server("IndexFile index.sh").start();
    let mut client = server.client();
    for (line, fields, body) in [
        ("GET /a.sh", "", ""),
        ("GET /a.sh?x", "Range: bytes=0-3\r\n", ""),
        ("POST /a.sh", "Content-Length: 5\r\n", "hello"),
        ("GET /", "", ""),
        ("GET /index.sh", "", ""),
        ("GET //index.sh/", "", ""),
    ] {
        client.send(request(line, fields) + body);
        let answer = client.answer(false);
        assert!(answer.status == 502, "{line}: {}", answer.head);
        assert!(!answer.text().contains("source"), "{line}");
        if answer.closes() {
            client = server.client();
        }
    }
    server.ask("HEAD /a.sh", "").is(502);
    assert!(server.logged(&format!("WARN: palm: {down}: ")), "nothing is said of it");
    // Once it is there it is asked.
    let backend = Backend { listener: TcpListener::bind(down).expect("the port again") };
    let mut client = server.client();
    client.send(request("GET /a.sh", ""));
    backend.answer(format!("{TEXT}back"));
    assert_eq!(client.answer(false).is(200).text(), "back");
}

#[test]
fn servers_that_take_their_time() {
    let backend = Backend::new();
    let server = setup(backend.address(), &["Timeout 1"]).start();
    let begun = Instant::now();
    let mut client = server.client();
    client.send(request("GET /a.sh", ""));
    let (stream, _) = backend.next();
    client.answer(false).is(504);
    assert!(begun.elapsed() >= Duration::from_millis(900) && begun.elapsed() < Duration::from_secs(8));
    assert!(is_left(stream));
    // In the middle of an answer: the client learns that it is not whole.
    let mut client = server.client();
    client.send(request("GET /a.sh", ""));
    let (mut stream, _) = backend.next();
    stream.write_all(format!("{TEXT}begun").as_bytes()).expect("taken");
    let text = String::from_utf8(client.rest()).expect("text");
    assert!(text.ends_with("5\r\nbegun\r\n"), "{text}");
    assert!(is_left(stream));
    // One that is slow all the time, and never silent for so long.
    let mut client = server.client();
    client.send(request("GET /a.sh", ""));
    let (mut stream, _) = backend.next();
    for part in [TEXT, "1", "2", "3", "4"] {
        stream.write_all(part.as_bytes()).expect("taken");
        std::thread::sleep(Duration::from_millis(600));
    }
    drop(stream);
    assert_eq!(client.answer(false).is(200).text(), "1234");
}

#[test]
fn half_an_answer() {
    let backend = Backend::new();
    let server = setup(backend.address(), &[]).start();
    let mut client = server.client();
    client.send(request("GET /a.sh", ""));
    backend.answer("Content-Length: 10\r\n\r\nhalf");
    let text = String::from_utf8(client.rest()).expect("text");
    assert!(text.contains("\r\nContent-Length: 10\r\n") && text.ends_with("\r\n\r\nhalf"), "{text}");
    // Without a length the end of the connection ends it; a reset does not.
    let mut client = server.client();
    client.send(request("POST /a.sh", "Content-Length: 4\r\n") + "body");
    let (mut stream, _) = backend.next();
    stream.write_all(format!("{TEXT}half").as_bytes()).expect("taken");
    std::thread::sleep(Duration::from_millis(100));
    reset(stream);
    let text = String::from_utf8(client.rest()).expect("text");
    assert!(text.ends_with("4\r\nhalf\r\n"), "{text}");
    // Before anything of an answer.
    let mut client = server.client();
    client.send(request("POST /a.sh", "Content-Length: 4\r\n") + "body");
    reset(backend.next().0);
    client.answer(false).is(502);
}

#[test]
fn a_client_that_leaves() {
    let backend = Backend::new();
    let server = lonely(backend.address(), &[]).start();
    server.get("/none.txt").is(404);
    let descriptors = server.descriptors();
    // While it waits for an answer, in the middle of one, and in the middle of its body.
    for (line, fields, answer) in [
        ("GET /a.sh", "", ""),
        ("GET /a.sh", "", "Content-Type: text/plain\r\n\r\npart"),
        ("POST /a.sh", "Content-Length: 100\r\n\r\nsome of it", ""),
    ] {
        let mut client = server.client();
        client.send(request(line, fields));
        let (mut stream, _) = backend.next();
        stream.write_all(answer.as_bytes()).expect("taken");
        drop(client);
        assert!(is_left(stream), "{line} {fields:?} {answer:?}");
    }
    assert!(eventually(|| server.descriptors() <= descriptors), "{} were {descriptors}", server.descriptors());
}

#[test]
fn no_more_at_once_than_there_may_be() {
    let backend = Backend::new();
    let server = lonely(backend.address(), &["Requests 2", "Queue 2"]).start();
    server.get("/none.txt").is(404);
    let descriptors = server.descriptors();
    let ask = |_| {
        let mut client = server.client();
        client.send(request("GET /a.sh", ""));
        client
    };
    let mut running: Vec<Client> = (0..2).map(ask).collect();
    let mut streams: Vec<TcpStream> = (0..2).map(|_| backend.next().0).collect();
    let mut waiting: Vec<Client> = (0..2).map(ask).collect();
    // They are taken in in their order, and one after the other.
    std::thread::sleep(Duration::from_millis(100));
    let answer = server.get("/a.sh").is(503);
    assert!(answer.field("Retry-After").is_some(), "{}", answer.head);
    backend.is_not_asked();
    assert_eq!(server.get("/none.txt").status, 404, "files are served meanwhile");
    for (mut client, mut stream) in running.drain(..).zip(streams.drain(..)) {
        stream.write_all(format!("{TEXT}first").as_bytes()).expect("taken");
        drop(stream);
        assert_eq!(client.answer(false).is(200).text(), "first");
        backend.answer(format!("{TEXT}second"));
    }
    // Their answers come whichever of them was first.
    for client in &mut waiting {
        assert_eq!(client.answer(false).is(200).text(), "second");
    }
    drop(waiting);
    // One that leaves while it waits gives its place to the next.
    let mut held = (ask(0), ask(1));
    let streams = (backend.next().0, backend.next().0);
    let leaves = ask(2);
    std::thread::sleep(Duration::from_millis(100));
    drop(leaves);
    std::thread::sleep(Duration::from_millis(100));
    let mut rest: Vec<Client> = (0..2).map(ask).collect();
    std::thread::sleep(Duration::from_millis(100));
    drop(streams);
    held.0.answer(false).is(502);
    held.1.answer(false).is(502);
    for _ in 0..2 {
        backend.answer(format!("{TEXT}third"));
    }
    for client in &mut rest {
        assert_eq!(client.answer(false).is(200).text(), "third");
    }
    drop((held, rest));
    assert!(eventually(|| server.descriptors() <= descriptors), "{} were {descriptors}", server.descriptors());
}

#[test]
fn requests_that_wait_over_a_reload() {
    let (old, new) = (Backend::new(), Backend::new());
    // Both are known before and after: where a sandbox holds the server to what its configuration names, no other can be asked.
    let palm_conf = |first: &Backend, second: &Backend| {
        let (first, second) = (first.address().port(), second.address().port());
        format!("Palm sh text/plain {first}\nPalm other text/plain {second}\n[LIMITS]\n    Requests 1\n    Queue 3\n")
    };
    let setup = lonely(old.address(), &[]);
    setup.dir.write("conf/plugins/palm/palm.conf", palm_conf(&old, &new));
    let server = setup.start();
    let mut running = server.client();
    running.send(request("GET /a.sh", ""));
    let (mut stream, _) = old.next();
    let mut waiting = server.client();
    waiting.send(request("POST /a.sh?waiting", "Content-Length: 300000\r\n") + &"b".repeat(100_000));
    std::thread::sleep(Duration::from_millis(100));
    server.dir.write("conf/plugins/palm/palm.conf", palm_conf(&new, &old));
    server.reload();
    assert!(server.logged("configuration reloaded"));
    stream.write_all(format!("{TEXT}first").as_bytes()).expect("taken");
    drop(stream);
    assert_eq!(running.answer(false).is(200).text(), "first");
    // The body is read on when its turn has come, and goes where the request was to go.
    let (mut stream, head) = old.next();
    assert!(head.contains("\r\nQUERY_STRING=waiting\r\n"), "{head}");
    waiting.send("b".repeat(200_000));
    let mut body = vec![0; 300_000];
    stream.read_exact(&mut body).expect("a body");
    assert!(body.iter().all(|byte| *byte == b'b'));
    stream.write_all(b"\r\n").expect("taken");
    drop(stream);
    waiting.answer(false).is(502);
    let mut later = server.client();
    later.send(request("GET /a.sh", ""));
    new.answer(format!("{TEXT}new"));
    assert_eq!(later.answer(false).is(200).text(), "new");
    old.is_not_asked();
}

/// A web server and an application server with the same directory of scripts.
fn both(handlers: &str, extension: &str, handler: &str, scripts: &[(&str, &str)]) -> (Palm, Server) {
    let palm = Palm::start(handlers, scripts);
    let www = palm.script("").trim_end_matches('/').to_string();
    let setup = fresh().host(&format!("DocumentRoot {www}"));
    let address = palm.address(handler);
    let line = format!("Palm {extension} text/plain {} {}\n", address.ip(), address.port());
    setup.dir.write("conf/plugins/palm/palm.conf", line);
    (palm, setup.server("IndexFile index.html index.sh").start())
}

#[test]
fn together_with_the_application_server() {
    let scripts = [
        (
            "a.sh",
            "printf 'Content-Type: text/plain\\r\\n\\r\\n'; echo $REQUEST_METHOD $SCRIPT_NAME $PATH_INFO $QUERY_STRING; cat",
        ),
        ("sub/index.sh", "echo 'X-Index: yes'; echo; echo $SCRIPT_NAME"),
        ("gone.sh", "printf 'Status: 410 Gone\\nContent-Type: text/plain\\n\\ngone'"),
        ("fails.sh", "exit 1"),
    ];
    let (mut palm, server) = both(SH, "sh", "SH", &scripts);
    let mut client = server.client();
    assert_eq!(client.get("/a.sh?q=1").is(200).text(), "GET /a.sh q=1\n");
    assert_eq!(client.get("/a.sh/more?q=1").is(200).text(), "GET /a.sh /more q=1\n");
    client.send(request("POST /a.sh", "Content-Length: 8\r\n") + "\r\n\r\nbody");
    assert_eq!(client.answer(false).is(200).text(), "POST /a.sh\n\r\n\r\nbody");
    let answer = client.get("/sub/").is(200);
    answer.has_fields(&["X-Index: yes", "Content-Type: text/plain"]);
    assert_eq!(answer.text(), "/sub/index.sh\n");
    assert_eq!(client.get("/gone.sh").is(410).text(), "gone");
    // What the application server answers itself.
    let answer = client.get("/fails.sh").is(500);
    answer.has_fields(&["Content-Type: text/html; charset=utf-8"]);
    assert!(answer.text().contains("<h1>500 Internal Server Error</h1>"));
    client.get("/none.sh").is(404);
    // Many at once.
    let (count, descriptors) = (AtomicUsize::new(0), server.descriptors());
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| {
                let mut client = server.client();
                for n in 0..5 {
                    assert_eq!(client.get(&format!("/a.sh?{n}")).is(200).text(), format!("GET /a.sh {n}\n"));
                    count.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(count.load(Ordering::Relaxed), 100);
    assert!(eventually(|| server.descriptors() <= descriptors), "{} were {descriptors}", server.descriptors());
    // Without it no source is told.
    palm.signal("TERM");
    assert_eq!(palm.ended(), Some(0));
    for path in ["/a.sh", "/sub/", "/sub/index.sh"] {
        let answer = client.get(path).is(502);
        assert!(!answer.text().contains("echo"), "{path}");
        if answer.closes() {
            client = server.client();
        }
    }
}

/// Runs the server and an application server where nobody else is and Fast Open is on both ways, asks ten times, and prints how many
/// connections began with data, as who connects and who is connected to have counted.
const FAST: &str = r#"
import fcntl, socket, struct, subprocess, sys, time, urllib.error, urllib.request
SIOCSIFFLAGS, UP = 0x8914, 1
fcntl.ioctl(socket.socket(), SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", UP))
with open("/proc/sys/net/ipv4/tcp_fastopen", "w") as file:
    file.write("3")
program, configuration = sys.argv[1:]
running = [subprocess.Popen([program, *words]) for words in (["palm", "-c", "palm.conf"], ["-c", configuration])]
good = 0
for _ in range(500):
    try:
        good += urllib.request.urlopen("http://127.0.0.1:2001/a.sh", timeout=10).read() == b"hello\n"
    except urllib.error.URLError:
        time.sleep(0.05)
    if good == 10:
        break
for process in reversed(running):
    process.terminate()
    process.wait()
with open("/proc/net/netstat") as file:
    names, numbers = [line.split() for line in file if line.startswith("TcpExt:")]
count = dict(zip(names, numbers))
print(good, count["TCPFastOpenActive"], count["TCPFastOpenPassive"])
"#;

#[test]
fn a_request_goes_with_that_for_the_connection() {
    if !is_root() || !run("unshare", &["--net", "true"]) {
        return skipped("this user may not have a network of its own");
    }
    let setup = fresh().listen("127.0.0.1:2001").file("a.sh", "printf 'Content-Type: text/plain\n\n'; echo hello");
    setup.dir.write("palm.conf", SH.replace("Port = 0", "Port = 2013").replace("Root = www", "Root = root"));
    setup.dir.write("conf/plugins/palm/palm.conf", "Palm sh text/plain 127.0.0.1 2013\n");
    setup.write();
    let mut command = Command::new("unshare");
    command.args(["--net", "python3", "-c", FAST, env!("CARGO_BIN_EXE_monkey")]).arg(setup.dir.path("conf"));
    command.current_dir(setup.dir.path(""));
    let ended = Server::run_to_end(command);
    let counts: Vec<u32> = ended.out.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    // The first one fetches the cookie.
    let all = matches!(counts[..], [10, active, passive] if active >= 9 && passive == active);
    assert!(all, "{}{}", ended.out, ended.log);
}

#[test]
fn a_script_ends_with_whom_it_runs_for() {
    let script = "cat > /dev/null; echo $$ > pid; exec sleep 60";
    let (palm, server) = both(SH, "sh", "SH", &[("a.sh", script)]);
    for (fields, body) in [("Content-Length: 0\r\n", ""), ("Content-Length: 4\r\n", "body")] {
        let pid = palm.dir.path("www/pid");
        let _ = std::fs::remove_file(&pid);
        let mut client = server.client();
        client.send(request("POST /a.sh", fields) + body);
        let pid = pid_in(&pid);
        assert!(lives(pid));
        drop(client);
        assert!(eventually(|| !lives(pid)), "{fields}");
    }
}

#[test]
fn bodies_of_any_size_both_ways() {
    let hash = "import sys, hashlib\nbody = sys.stdin.buffer.read()\nprint('Content-Type: text/plain\\n\\n%d %s' % (len(body), hashlib.sha256(body).hexdigest()))\n";
    let echo = "import sys\nprint('Content-Type: a/b\\n', flush=True)\nwhile data := sys.stdin.buffer.read(100000):\n    sys.stdout.buffer.write(data)\n";
    let (_palm, server) = both(PYTHON, "py", "PY", &[("hash.py", hash), ("echo.py", echo)]);
    // Byte by byte it takes a while.
    let size = if moves_all() { 20 << 20 } else { 200 << 10 };
    let mut large = pattern(size);
    // Pieces that look like an end.
    for at in (100_000..size).step_by(100_000) {
        large[at - 4..at].copy_from_slice(b"\r\n\r\n");
    }
    let sum = sha256(&large, &server);
    let head = |path: &str| request(&format!("POST {path}"), &format!("Content-Length: {}\r\n", large.len()));
    let mut client = server.client();
    client.send(head("/hash.py"));
    for piece in large.chunks(1 << 20) {
        client.send(piece);
    }
    assert_eq!(client.answer(false).is(200).text(), format!("{} {sum}\n", large.len()));
    // Both at once, with a client that reads while it sends.
    let stream = TcpStream::connect(server.address()).expect("a connection");
    let mut sender = stream.try_clone().expect("a descriptor");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sender.write_all(head("/echo.py").replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").as_bytes())?;
            sender.write_all(&large)
        });
        stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
        let mut all = Vec::new();
        (&stream).read_to_end(&mut all).expect("an answer");
        let at = all.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
        assert!(all.starts_with(b"HTTP/1.1 200 OK\r\n") && all.ends_with(b"\r\n0\r\n\r\n"));
        assert_eq!(sha256(&unchunked(&all[at..]), &server), sum);
    });
    let _ = stream.shutdown(Shutdown::Both);
}

/// The body in chunks without extensions.
fn unchunked(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n").expect("a size");
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).expect("digits"), 16).expect("a size");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&bytes[end + 2..][..size]);
        bytes = &bytes[end + 2 + size + 2..];
    }
}

/// Both files of the page, as they stand there but for ports and directories.
#[test]
fn the_example_of_the_page() {
    let script = "printf 'Content-Type: text/plain\\r\\n\\r\\n'; echo hello $REMOTE_ADDR";
    let palm = Palm::start(SH, &[("hello.sh", script)]);
    let www = palm.script("").trim_end_matches('/').to_string();
    palm.reload(&example("PALM.md", "palm").replace("/srv/www", &www).replace("Port 2013", "Port 0"));
    let port = palm.address("SHELL").port().to_string();
    let setup = fresh().host(&format!("DocumentRoot {www}"));
    let client = example("PALM.md", "client");
    assert!(client.contains(" 2013"), "{client}");
    setup.dir.write("conf/plugins/palm/palm.conf", client.replace("2013", &port));
    let server = setup.start();
    assert_eq!(server.get("/hello.sh").is(200).text(), "hello 127.0.0.1\n");
}
