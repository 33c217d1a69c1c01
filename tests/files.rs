use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::thread;
use std::time::Duration;

use crate::util::{DATE, ETAG, MODIFIED, RANGES, SERVER, Setup, pattern, set_mtime};

#[test]
fn an_empty_file_is_a_file() {
    let server = Setup::new().file("empty.txt", "").file("index.html", "").start();
    let text = "Content-Type: text/plain; charset=utf-8";
    let lines = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, text, RANGES, "Content-Length: 0"];
    let mut client = server.client();
    client.get("/empty.txt").has_head(&lines);
    client.ask("HEAD /empty.txt", "").has_head(&lines);
    client.get("/").is(200);
    client.ask("GET /empty.txt", "Range: bytes=0-\r\n").is(416);
    client.ask("GET /empty.txt", "Range: bytes=-5\r\n").has_head(&lines);
}

#[test]
fn media_types_by_extension_in_any_case() {
    let html = "text/html; charset=utf-8";
    let files = [
        ("a.html", html),
        ("a.HTML", html),
        ("a.HtMl", html),
        ("a.b.html", html),
        (".html", html),
        ("dir.html/x.bin", "application/octet-stream"),
        ("a.unknown", "text/plain"),
        ("a.html.", "text/plain"),
        ("html", "text/plain"),
        ("dir.html/x", "text/plain"),
    ];
    let server = files.iter().fold(Setup::new(), |setup, (name, _)| setup.file(name, "x")).start();
    for (name, media_type) in files {
        assert_eq!(server.get(&format!("/{name}")).is(200).field("Content-Type"), Some(media_type), "{name}");
    }
}

#[test]
fn files_of_every_size_arrive_whole() {
    let sizes = [1, 100, 4095, 16_383, 16_384, 16_385, 17_000, 32_768, 65_536, 100_000, 1_048_576, 5_000_000];
    let make = || sizes.iter().fold(Setup::new(), |setup, &size| setup.file(&format!("{size}.bin"), pattern(size)));
    for setup in [make(), make().server("FDT Off"), make().server("Scheduler ReusePort")] {
        let server = setup.start();
        let mut client = server.client();
        for size in sizes {
            let answer = client.get(&format!("/{size}.bin")).is(200);
            assert_eq!(answer.length(), Some(size as u64));
            assert!(answer.body == pattern(size), "{size}");
            assert_eq!(client.ask(&format!("HEAD /{size}.bin"), "").is(200).length(), Some(size as u64));
            let (from, to) = (size / 3, size / 2);
            let answer = client.ask(&format!("GET /{size}.bin"), &format!("Range: bytes={from}-{to}\r\n")).is(206);
            assert!(answer.body == pattern(size)[from..=to], "{from}-{to} of {size}");
        }
    }
}

#[test]
fn more_files_than_any_table_holds() {
    let setup = Setup::new().server("MaxKeepAliveRequest 1000000");
    let setup = (0..400).fold(setup, |setup, n| setup.file(&format!("{n}.txt"), format!("file {n}")));
    let server = setup.start();
    let mut client = server.client();
    for round in 0..3 {
        for n in 0..400 {
            assert_eq!(client.get(&format!("/{n}.txt")).is(200).text(), format!("file {n}"), "round {round}");
            assert_eq!(client.get(&format!("/{n}.nothing")).status, 404);
        }
    }
    // Again all in one write.
    let text: String = (0..400).map(|n| crate::util::request(&format!("GET /{n}.txt"), "")).collect();
    client.send(text);
    for n in 0..400 {
        assert_eq!(client.answer(false).is(200).text(), format!("file {n}"));
    }
}

#[test]
fn beyond_two_and_four_gigabytes() {
    const GB: u64 = 1 << 30;
    const SIZE: u64 = 5 * GB;
    let setup = Setup::new().file("huge.bin", "");
    let mut file = File::options().write(true).open(setup.root("huge.bin")).expect("the file");
    file.set_len(SIZE).expect("a sparse file");
    let marks = [0, 2 * GB - 4, 4 * GB - 4, SIZE - 8];
    for at in marks {
        file.seek(SeekFrom::Start(at)).and_then(|_| file.write_all(b"<-mark->")).expect("a mark");
    }
    let server = setup.start();
    let mut client = server.client();
    assert_eq!(client.ask("HEAD /huge.bin", "").is(200).length(), Some(SIZE));
    for at in marks {
        let answer = client.ask("GET /huge.bin", &format!("Range: bytes={at}-{}\r\n", at + 7)).is(206);
        assert_eq!(answer.text(), "<-mark->", "{at}");
        assert_eq!(answer.field("Content-Range"), Some(&*format!("bytes {at}-{}/{SIZE}", at + 7)));
    }
    assert_eq!(client.ask("GET /huge.bin", "Range: bytes=-8\r\n").is(206).text(), "<-mark->");
    let answer = client.ask("GET /huge.bin", &format!("Range: bytes={SIZE}-\r\n")).is(416);
    assert_eq!(answer.field("Content-Range"), Some(&*format!("bytes */{SIZE}")));
    // Across the line, more than one write of it.
    let (from, to) = (4 * GB - 1_000_000, 4 * GB + 1_000_000);
    let body = client.ask("GET /huge.bin", &format!("Range: bytes={from}-{to}\r\n")).is(206).body;
    let at = (4 * GB - 4 - from) as usize;
    assert!(body.len() == 2_000_001 && &body[at..at + 8] == b"<-mark->");
    assert!(body[..at].iter().chain(&body[at + 8..]).all(|&byte| byte == 0));
    // The whole of it begins right.
    client.send("GET /huge.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    let start = client.take(1000);
    let start = String::from_utf8_lossy(&start);
    assert!(start.contains("\r\nContent-Length: 5368709120\r\n") && start.contains("\r\n\r\n<-mark->\0"), "{start}");
}

#[test]
fn slow_readers_get_every_byte() {
    // Buffers as small as a device may have them.
    let server = Setup::new().server("SendBuffer 32768").file("big.bin", pattern(600_000)).start();
    let big = pattern(600_000);
    thread::scope(|scope| {
        for n in 0..8 {
            let (server, big) = (&server, &big);
            scope.spawn(move || {
                let mut client = server.client();
                let from = 1000 * n;
                client.send(format!(
                    "GET /big.bin HTTP/1.1\r\nHost: test\r\nRange: bytes={from}-\r\nConnection: close\r\n\r\n"
                ));
                let mut all = Vec::new();
                while all.len() < 400_000 {
                    all.extend(client.take(20_000));
                    thread::sleep(Duration::from_millis(10 + n as u64));
                }
                all.extend(client.rest());
                let at = all.windows(4).position(|window| window == b"\r\n\r\n").expect("a head") + 4;
                assert!(all[at..] == big[from..], "reader {n}");
            });
        }
    });
}

#[test]
fn a_file_that_is_cut_while_it_is_sent_ends_the_connection() {
    let server =
        Setup::new().server("SendBuffer 131072").file("big.bin", pattern(8_000_000)).file("a.txt", "alpha").start();
    let mut client = server.client();
    client.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    client.take(10_000);
    File::options().write(true).open(server.root("big.bin")).and_then(|file| file.set_len(20_000)).expect("a cut");
    assert!(client.rest().len() < 7_000_000, "less than was announced, and no more after it");
    assert_eq!(server.get("/a.txt").is(200).text(), "alpha");
}

/// Where sending stops between two pages it looks like a socket that is full: what the client does not get tells.
#[test]
fn a_file_that_is_cut_between_two_pages_ends_the_connection_too() {
    let setup = Setup::new().server("SendBuffer 131072").server("RateWindow 2").file("a.txt", "alpha");
    let server = setup.file("big.bin", pattern(8_000_000)).start();
    // What each has taken when the file is cut decides where its sending stops.
    let mut clients: Vec<_> = (1..=16).map(|n| (server.client(), n * 10_000)).collect();
    for (client, taken) in &mut clients {
        client.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
        client.head();
        client.take(*taken);
    }
    // Further than the socket has room for, so that the cut is met while it is sent.
    let cut = 1000 * 4096;
    File::options().write(true).open(server.root("big.bin")).and_then(|file| file.set_len(cut)).expect("a cut");
    let expected = &pattern(8_000_000)[..cut as usize];
    thread::scope(|scope| {
        for (client, taken) in &mut clients {
            scope.spawn(move || {
                let rest = client.rest();
                assert!(rest == expected[*taken..], "{} bytes came after {taken}", rest.len());
            });
        }
    });
    assert_eq!(server.get("/a.txt").is(200).text(), "alpha");
}

#[test]
fn a_file_that_grows_while_it_is_sent_is_as_long_as_was_announced() {
    let server =
        Setup::new().server("SendBuffer 131072").file("big.bin", pattern(4_000_000)).file("a.txt", "alpha").start();
    let mut client = server.client();
    client.send("GET /big.bin HTTP/1.1\r\nHost: test\r\n\r\n");
    let head = client.head();
    assert!(head.contains("\r\nContent-Length: 4000000\r\n"), "{head}");
    let mut file = File::options().append(true).open(server.root("big.bin")).expect("the file");
    file.write_all(&[b'!'; 1_000_000]).expect("more of it");
    assert!(client.take(4_000_000) == pattern(4_000_000));
    assert_eq!(client.get("/a.txt").is(200).text(), "alpha", "and then the next answer");
}

#[test]
fn a_file_that_is_deleted_or_replaced_while_it_is_sent_arrives_whole() {
    let setup = Setup::new().server("SendBuffer 131072");
    let server = setup.file("a.bin", pattern(4_000_000)).file("b.bin", pattern(4_000_000)).start();
    server.dir.write("new", "new");
    let mut clients = ["a.bin", "b.bin"].map(|name| {
        let mut client = server.client();
        client.send(format!("GET /{name} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"));
        client.take(1);
        client
    });
    fs::remove_file(server.root("a.bin")).expect("the file");
    fs::rename(server.dir.path("new"), server.root("b.bin")).expect("a rename");
    // Longer than the server trusts what it knows.
    thread::sleep(Duration::from_millis(1600));
    server.get("/a.bin").is(404);
    assert_eq!(server.get("/b.bin").is(200).text(), "new");
    for client in &mut clients {
        assert!(client.rest().ends_with(&pattern(4_000_000)));
    }
}

#[test]
fn dates_far_away() {
    let setup = Setup::new().file("2040.txt", "later").file("1971.txt", "earlier").file("2100.txt", "much later");
    for (name, seconds) in [("2040.txt", 2_208_988_800), ("1971.txt", 31_536_000), ("2100.txt", 4_102_444_800)] {
        set_mtime(&setup.root(name), seconds);
    }
    let server = setup.start();
    let mut client = server.client();
    let old = client.get("/1971.txt").is(200);
    assert_eq!(old.field("Last-Modified"), Some("Fri, 01 Jan 1971 00:00:00 GMT"));
    for (name, earlier) in [("2040", "Sat, 01 Jan 2039"), ("2100", "Thu, 01 Jan 2099")] {
        // RFC 9110 section 8.8.2.1: a time to come is told as the time of the answer.
        let later = client.get(&format!("/{name}.txt")).is(200);
        assert!(later.date("Last-Modified") <= later.date("Date"), "{}", later.head);
        let line = format!("GET /{name}.txt");
        client.ask(&line, &format!("If-Unmodified-Since: {earlier} 00:00:00 GMT\r\n")).is(412);
        client.ask(&line, &format!("If-Modified-Since: {earlier} 00:00:00 GMT\r\n")).is(200);
    }
    client.ask("GET /2040.txt", "If-Unmodified-Since: Sun, 01 Jan 2040 00:00:00 GMT\r\n").is(200);
    client.ask("GET /2040.txt", "If-Modified-Since: Sun, 01 Jan 2040 00:00:00 GMT\r\n").is(304);
    client.ask("GET /1971.txt", "If-Modified-Since: Fri, 01 Jan 1971 00:00:00 GMT\r\n").is(304);
    client.ask("GET /1971.txt", "If-Modified-Since: Thu, 31 Dec 1970 23:59:59 GMT\r\n").is(200);
}

#[test]
fn files_of_equal_time_and_size_have_tags_of_their_own() {
    let setup = Setup::new().file("a.txt", "alpha").file("b.txt", "bravo");
    for name in ["a.txt", "b.txt"] {
        set_mtime(&setup.root(name), 1_000_000_000);
    }
    let server = setup.start();
    let first = server.get("/a.txt").etag().to_string();
    assert_ne!(first, server.get("/b.txt").etag());
    assert_eq!(first, server.get("/a.txt").etag());
    assert_eq!(first, server.get("/x/../a.txt?query").etag());
}
