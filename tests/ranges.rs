use crate::util::{Answer, DATE, ETAG, MODIFIED, RANGES, SERVER, Server, Setup, pattern};

const SIZE: usize = 30_000;
const TYPE: &str = "Content-Type: application/octet-stream";

fn serve() -> Server {
    Setup::new().file("f.bin", pattern(SIZE)).file("small.txt", "0123456789").start()
}

#[test]
fn one_range() {
    let server = serve();
    let mut client = server.client();
    let content = pattern(SIZE);
    for (range, first, last) in [
        ("0-0", 0, 0),
        ("0-499", 0, 499),
        ("500-999", 500, 999),
        ("-1", SIZE - 1, SIZE - 1),
        ("-500", SIZE - 500, SIZE - 1),
        ("-999999", 0, SIZE - 1),
        ("0-", 0, SIZE - 1),
        ("29999-", SIZE - 1, SIZE - 1),
        ("20000-", 20_000, SIZE - 1),
        ("29990-99999", 29_990, SIZE - 1),
        ("0-99999999999999999999999", 0, SIZE - 1),
        (" 7-9 ", 7, 9),
        (",7-9,", 7, 9),
        // What touches or nearly touches becomes one.
        ("0-9,10-19", 0, 19),
        ("10-19,0-9", 0, 19),
        ("0-99,50-149", 0, 149),
        ("0-9,50-59", 0, 59),
        // What lies beyond the end is left out.
        ("30000-,1-2", 1, 2),
    ] {
        let answer = client.ask("GET /f.bin", &format!("Range: bytes={range}\r\n"));
        let place = format!("Content-Range: bytes {first}-{last}/{SIZE}");
        let length = format!("Content-Length: {}", last - first + 1);
        let start = ["HTTP/1.1 206 Partial Content", SERVER, DATE, MODIFIED, ETAG, TYPE, RANGES];
        assert_eq!(answer.status, 206, "{range}");
        answer.has_head(&[&start[..], &[&place, &length]].concat());
        assert!(answer.body == content[first..=last], "{range}");
    }
    // The same tag as the whole.
    let part = client.ask("GET /f.bin", "Range: bytes=0-0\r\n");
    assert_eq!(part.etag(), client.get("/f.bin").etag());
}

#[test]
fn ranges_that_no_byte_satisfies() {
    let server = serve();
    let mut client = server.client();
    for range in ["30000-", "30000-40000", "99999999999999999999-", "-0", "30000-,40000-50000"] {
        let answer = client.ask("GET /f.bin", &format!("Range: bytes={range}\r\n"));
        let length = format!("Content-Length: {}", answer.body.len());
        let html = "Content-Type: text/html; charset=utf-8";
        let place = "Content-Range: bytes */30000";
        let line = "HTTP/1.1 416 Requested Range Not Satisfiable";
        answer.has_head(&[line, SERVER, DATE, place, html, &length]);
    }
    client.get("/f.bin").is(200);
}

#[test]
fn fields_that_are_no_ranges_are_ignored() {
    let server = serve();
    let mut client = server.client();
    let many = (0..17).map(|n| format!("{}-{}", n * 1000, n * 1000)).collect::<Vec<_>>().join(",");
    for field in [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-9,5-4",
        "bytes=a-b",
        "bytes=0-9;1-2",
        "bytes=0x0-9",
        "bytes=+0-9",
        "bytes=0 - 9",
        "bytes 0-9",
        "lines=0-9",
        "bytes=0-9,lines",
        // More than anybody needs.
        &format!("bytes={many}"),
    ] {
        let answer = client.ask("GET /f.bin", &format!("Range: {field}\r\n"));
        let start = ["HTTP/1.1 200 OK", SERVER, DATE, MODIFIED, ETAG, TYPE, RANGES, "Content-Length: 30000"];
        assert_eq!(answer.status, 200, "{field}");
        answer.has_head(&start);
        assert!(answer.body == pattern(SIZE), "{field}");
    }
    // RFC 9110 section 14.2: only GET has ranges.
    client.ask("HEAD /f.bin", "Range: bytes=0-9\r\n").is(200);
    client.ask("POST /f.bin", "Range: bytes=0-9\r\nContent-Length: 0\r\n").is(200);
    client.ask("GET /nothing", "Range: bytes=0-9\r\n").is(404);
}

/// The parts of a `multipart/byteranges` answer (RFC 9110 section 14.6): field lines, and content.
fn parts(answer: &Answer) -> Vec<(String, Vec<u8>)> {
    let media_type = answer.field("Content-Type").expect("a type");
    let boundary = media_type.strip_prefix("multipart/byteranges; boundary=").expect("a boundary");
    assert!((1..=70).contains(&boundary.len()) && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let delimiter = format!("\r\n--{boundary}");
    let find = |from: usize| {
        let window = answer.body[from..].windows(delimiter.len());
        from + window.into_iter().position(|window| window == delimiter.as_bytes()).expect("a delimiter")
    };
    let mut parts = Vec::new();
    let mut at = find(0);
    assert_eq!(at, 0, "a preamble");
    loop {
        let start = at + delimiter.len();
        if &answer.body[start..] == b"--\r\n" {
            return parts;
        }
        assert_eq!(&answer.body[start..start + 2], b"\r\n");
        let head = start + 2;
        let end = head + answer.body[head..].windows(4).position(|end| end == b"\r\n\r\n").expect("a head");
        at = find(end);
        let text = String::from_utf8(answer.body[head..end].to_vec()).expect("text");
        parts.push((text, answer.body[end + 4..at].to_vec()));
    }
}

#[test]
fn several_ranges() {
    let server = serve();
    let mut client = server.client();
    let content = pattern(SIZE);
    let sixteen: Vec<(usize, usize)> = (0..16).map(|n| (n * 1500, n * 1500 + 700)).collect();
    for ranges in [
        vec![(0, 9), (20_000, 20_009)],
        vec![(20_000, 29_999), (0, 9_999)],
        vec![(500, 500), (100, 200), (29_999, 29_999)],
        sixteen,
    ] {
        let specs: Vec<String> = ranges.iter().map(|(first, last)| format!("{first}-{last}")).collect();
        let answer = client.ask("GET /f.bin", &format!("Range: bytes={}\r\n", specs.join(", ")));
        assert_eq!(answer.status, 206, "{specs:?}");
        let media_type = format!("Content-Type: {}", answer.field("Content-Type").expect("a type"));
        let length = format!("Content-Length: {}", answer.body.len());
        let start = ["HTTP/1.1 206 Partial Content", SERVER, DATE, MODIFIED, ETAG];
        answer.has_head(&[&start[..], &[&media_type, RANGES, &length]].concat());
        let parts = parts(&answer);
        assert_eq!(parts.len(), ranges.len());
        for ((head, body), (first, last)) in parts.iter().zip(&ranges) {
            assert_eq!(*head, format!("{TYPE}\r\nContent-Range: bytes {first}-{last}/{SIZE}"));
            assert!(*body == content[*first..=*last], "{first}-{last}");
        }
    }
    client.get("/small.txt").is(200);
}

#[test]
fn several_ranges_of_which_some_are_joined_or_beyond() {
    let server = serve();
    let mut client = server.client();
    let answer = client.ask("GET /f.bin", "Range: bytes=-10,40000-,0-9,5-19,100-\r\n").is(206);
    let places: Vec<String> = parts(&answer).into_iter().map(|(head, _)| head).collect();
    assert_eq!(places.len(), 2, "{places:?}");
    assert!(places[0].ends_with("Content-Range: bytes 100-29999/30000"), "{places:?}");
    assert!(places[1].ends_with("Content-Range: bytes 0-19/30000"), "{places:?}");
    // Two answers have two boundaries.
    let again = client.ask("GET /f.bin", "Range: bytes=-10,0-9\r\n").is(206);
    assert_ne!(answer.field("Content-Type"), again.field("Content-Type"));
}

#[test]
fn parts_for_a_slow_reader_and_pipelined_behind_each_other() {
    let setup =
        Setup::new().server("SendBuffer 131072").file("big.bin", pattern(3_000_000)).file("small.txt", "0123456789");
    let server = setup.start();
    let content = pattern(3_000_000);
    let mut client = server.client();
    let wanted = "Range: bytes=0-999999,1500000-2499999,2900000-\r\n";
    let request = crate::util::request("GET /big.bin", wanted);
    client.send(format!("{request}{request}{}", crate::util::request("GET /small.txt", "Range: bytes=-3\r\n")));
    std::thread::sleep(std::time::Duration::from_millis(300));
    for _ in 0..2 {
        let parts = parts(&client.answer(false).is(206));
        let ranges = [(0, 999_999), (1_500_000, 2_499_999), (2_900_000, 2_999_999)];
        assert_eq!(parts.len(), 3);
        for ((_, body), (first, last)) in parts.iter().zip(ranges) {
            assert!(*body == content[first..=last], "{first}-{last}");
        }
    }
    assert_eq!(client.answer(false).is(206).text(), "789");
}
