//! The requests: every kind of answer, every way to be slow, and every table and pool filled until it is full.

use std::fs;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::{Duration, Instant};

use monkey::limits::OPEN_FILES_MAX;

use crate::client::{Connection, get, wire};
use crate::site::{BULKY, MANY, Site, TIMEOUT, sparse};

const FUTURE: &str = "Thu, 01 Jan 2060 00:00:00 GMT";
const PAST: &str = "Sat, 01 Jan 2000 00:00:00 GMT";

/// Request lines and fields after `Host: localhost`, and the status of the answer.
const CATALOGUE: &[(&str, &str, u16)] = &[
    ("GET /small.txt", "", 200),
    ("GET /sm%61ll.txt?query", "", 200),
    ("GET /empty.txt", "", 200),
    ("GET /mid.bin", "", 200),
    ("GET /large.bin", "", 200),
    ("HEAD /small.txt", "", 200),
    ("HEAD /large.bin", "", 200),
    ("HEAD /missing", "", 404),
    ("GET /dir/", "", 200),
    ("GET /dir", "", 301),
    ("GET /dir?query", "", 301),
    ("GET /alias/a.txt", "", 200),
    ("GET http://localhost/small.txt", "", 200),
    ("GET /small.txt", "If-None-Match: *\n", 304),
    ("GET /large.bin", "If-Modified-Since: FUTURE\n", 304),
    ("GET /small.txt", "If-Modified-Since: PAST\n", 200),
    ("GET /small.txt", "If-Match: \"other\"\n", 412),
    ("GET /small.txt", "If-Unmodified-Since: PAST\n", 412),
    ("GET /small.txt", "Range: bytes=0-9\n", 206),
    ("GET /small.txt", "Range: bytes=-5\n", 206),
    ("GET /large.bin", "Range: bytes=1000-250000\n", 206),
    ("GET /small.txt", "Range: bytes=0-1,5-6,100-120\n", 206),
    ("GET /large.bin", "Range: bytes=0-9999,50000-120000,-70000\n", 206),
    ("GET /small.txt", "Range: bytes=999999-\n", 416),
    ("GET /small.txt", "Range: bytes=0-9\nIf-Range: \"other\"\n", 200),
    ("GET /style.css", "", 200),
    ("GET /style.css", "Accept-Encoding: gzip\n", 200),
    ("GET /style.css", "Accept-Encoding: br;q=0.5, gzip, *;q=0\n", 200),
    ("HEAD /style.css", "Accept-Encoding: br\n", 200),
    ("GET /missing", "", 404),
    ("GET /%3Cmissing%3E", "Accept: text/html\n", 404),
    ("GET /../../secret", "", 403),
    ("GET /script.php", "", 403),
    ("GET /link.txt", "", 403),
    ("GET /~nobody/x", "", 404),
    ("DELETE /small.txt", "", 405),
    ("PUT /small.txt", "Content-Length: 4\n\nbody", 405),
    ("OPTIONS /small.txt", "", 200),
    ("OPTIONS *", "", 200),
    ("POST /small.txt", "Content-Length: 4\n\nbody", 200),
    ("POST /large.bin", "Content-Length: 10\n\n0123456789", 200),
    ("POST /small.txt", "Transfer-Encoding: chunked\n\n4;x=y\nbody\n0\nA: b\n\n", 200),
    ("PUT /small.txt", "Transfer-Encoding: chunked\n\n4\nbody\n0\n\n", 405),
    ("POST /small.txt", "Content-Length: 9000\nConnection: close\n", 413),
    ("GET /small.txt", "Expect: other\n", 417),
    ("POST /small.txt", "Expect: 100-continue\nContent-Length: 4\n", 200),
    ("GET /small.txt", "Connection: close\n", 200),
    ("GET /large.bin", "Connection: close\n", 200),
    ("GET /missing", "Connection: close\n", 404),
];

/// Requests that the rules of mandril are about, and the status of the answer. The site `limited` lets one request through a day.
const RULED: &[(&str, u16)] = &[
    ("GET / HTTP/1.1\nHost: guarded\n\n", 200),
    ("GET /private/x HTTP/1.1\nHost: guarded\n\n", 403),
    ("GET /%70rivate/ HTTP/1.1\nHost: guarded\n\n", 403),
    ("GET /my/secret HTTP/1.1\nHost: guarded\n\n", 403),
    ("GET / HTTP/1.1\nHost: guarded\nReferer: http://elsewhere/\n\n", 403),
    ("GET / HTTP/1.1\nHost: guarded\nReferer: http://GUARDED:80/\n\n", 200),
    ("DELETE / HTTP/1.1\nHost: guarded\n\n", 403),
    ("POST /forbidden HTTP/1.1\nHost: guarded\nContent-Length: 4\n\nbody", 403),
    ("GET / HTTP/1.1\nHost: limited\n\n", 429),
    ("HEAD / HTTP/1.1\nHost: limited\n\n", 429),
];
/// The same for listings, of more entries than are sorted at once.
#[cfg(feature = "plugin-dirlisting")]
const LISTINGS: &[(&str, &str, u16)] = &[
    ("GET /many/", "", 200),
    ("GET /many/?sort=size&order=desc", "", 200),
    ("GET /many/?sort=date", "Accept: application/json\n", 200),
    ("HEAD /many/", "", 200),
    ("GET /bulky/", "Connection: close\n", 200),
    ("GET /pages/../dir/../many/./", "", 200),
];
#[cfg(not(feature = "plugin-dirlisting"))]
const LISTINGS: &[(&str, &str, u16)] = &[];

/// The same for the numbers.
#[cfg(feature = "plugin-metrics")]
const METRICS: &[(&str, &str, u16)] = &[
    ("GET /metrics", "", 200),
    ("GET /metrics", "Accept: application/json\n", 200),
    ("HEAD /metrics", "", 200),
    ("POST /metrics", "Content-Length: 0\n", 405),
];
#[cfg(not(feature = "plugin-metrics"))]
const METRICS: &[(&str, &str, u16)] = &[];

/// The same for scripts that an application server runs.
#[cfg(feature = "plugin-palm")]
const SCRIPTS: &[(&str, &str, u16)] = &[
    ("GET /run.palm", "", 200),
    ("GET /run.palm/path/info", "Cookie: a=b\nCookie: c=d\n", 200),
    ("GET /run.palm?length", "", 200),
    ("HEAD /run.palm?length", "", 200),
    ("GET /run.palm?large", "", 200),
    ("GET /run.palm?pieces", "", 200),
    ("GET /run.palm?local", "", 200),
    ("GET /run.palm?redirect", "", 302),
    ("GET /run.palm?unchanged", "", 304),
    ("GET /run.palm?bad", "", 502),
    ("GET /run.palm?long", "", 502),
    ("GET /run.palm?nothing", "", 502),
    ("GET /run.palm/%0a", "", 400),
    ("POST /run.palm", "Content-Length: 4\n\nbody", 200),
    ("POST /run.palm?length", "Transfer-Encoding: chunked\n\n4\nbody\n0\n\n", 411),
];
#[cfg(not(feature = "plugin-palm"))]
const SCRIPTS: &[(&str, &str, u16)] = &[];

/// The same for what servers behind this one answer.
#[cfg(feature = "plugin-proxy")]
const PROXIED: &[(&str, &str, u16)] = &[
    ("GET /behind/length", "", 200),
    ("GET /behind/./length?query", "Cookie: a=b\nX-Forwarded-For: 1.2.3.4\nConnection: x\n", 200),
    ("HEAD /behind/length", "", 200),
    ("GET /behind/chunks", "", 200),
    ("GET /behind/end", "", 200),
    ("GET /behind/large", "", 200),
    ("GET /behind/pieces", "", 200),
    ("GET /behind/interim", "", 204),
    ("GET /behind/unchanged", "", 304),
    ("GET /behind/closed", "", 200),
    ("GET /behind/closed", "", 200),
    ("GET /behind/bad", "", 502),
    ("GET /behind/long", "", 502),
    ("GET /behind/nothing", "", 502),
    ("POST /behind/length", "Content-Length: 4\n\nbody", 200),
    ("POST /behind/length", "Transfer-Encoding: chunked\n\n4\nbody\n0\n\n", 200),
    ("POST /behind/nothing", "Content-Length: 4\n\nbody", 502),
    ("DELETE /behind/other", "", 404),
];
#[cfg(not(feature = "plugin-proxy"))]
const PROXIED: &[(&str, &str, u16)] = &[];

/// The same for programs that are run.
const PROGRAMS: &[(&str, &str, u16)] = &[
    ("GET /run.sh", "", 200),
    ("GET /run.sh/path/info", "Cookie: a=b\n", 200),
    ("GET /run.sh?length", "", 200),
    ("GET /run.sh?large", "", 200),
    ("GET /run.sh?local", "", 200),
    ("GET /run.sh?bad", "", 502),
    ("GET /run.sh?nothing", "", 502),
    ("GET /not.cgi", "", 403),
    ("POST /run.sh?echo", "Content-Length: 4\n\nbody", 200),
    ("POST /run.sh?echo", "Transfer-Encoding: chunked\n\n4\nbody\n0\n\n", 200),
];

/// Whole requests, and the status of the answer.
const ODD: &[(&str, u16)] = &[
    ("GET /no/such/page HTTP/1.1\nHost: app\nAccept: text/html\n\n", 200),
    ("GET /no/such/page HTTP/1.1\nHost: app\n\n", 404),
    ("GET /x HTTP/1.1\nHost: moved\n\n", 301),
    ("GET /x HTTP/1.1\nHost: gone\n\n", 503),
    ("GET /small.txt HTTP/1.1\nHost: unknown.example\n\n", 200),
    ("GET /small.txt HTTP/1.0\n\n", 200),
    ("GET /small.txt HTTP/1.0\nConnection: keep-alive\n\n", 200),
    ("\n\nGET /small.txt HTTP/1.1\nHost: localhost\n\n", 200),
    ("TRACE / HTTP/1.1\nHost: localhost\n\n", 501),
    ("PATCH / HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n", 501),
    ("FROB / HTTP/1.1\nHost: localhost\n\n", 501),
    ("nonsense\n\n", 400),
    ("GET / HTTP/1.1\n\n", 400),
    ("GET / HTTP/1.1\nHost: a\nHost: b\n\n", 400),
    ("GET /%zz HTTP/1.1\nHost: localhost\n\n", 400),
    ("GET / HTTP/3.0\nHost: localhost\n\n", 505),
    ("POST / HTTP/1.1\nHost: localhost\n\n", 411),
    ("POST / HTTP/1.1\nHost: localhost\nContent-Length: abc\n\n", 400),
    ("POST / HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n\nx\n", 400),
    ("POST / HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n\n2\nokay\n", 400),
    ("POST / HTTP/1.1\nHost: localhost\nContent-Length: 99999999999999999999\n\n", 413),
];

/// A client that keeps count of the answers.
pub struct Traffic<'a> {
    address: SocketAddr,
    capacity: usize,
    site: &'a Site,
    connection: Option<Connection>,
    rounds: usize,
    /// Answers read so far, and connections that the server ended without one where that is the right end.
    pub answered: usize,
}

impl<'a> Traffic<'a> {
    /// Nothing asked yet.
    pub fn new(address: SocketAddr, capacity: usize, site: &'a Site) -> Traffic<'a> {
        Traffic { address, capacity, site, connection: None, rounds: 0, answered: 0 }
    }

    fn open(&self) -> Connection {
        Connection::open(self.address).expect("the server accepts")
    }

    /// Asks on the connection that is kept, and demands a status.
    fn expect(&mut self, request: &[u8], status: u16) {
        let what = String::from_utf8_lossy(&request[..request.len().min(200)]).into_owned();
        let head = request.starts_with(b"HEAD");
        let mut connection = self.connection.take().unwrap_or_else(|| self.open());
        connection.send(request).unwrap_or_else(|error| panic!("{what:?}: {error}"));
        let answer = connection.answer(head).unwrap_or_else(|error| panic!("{what:?}: {error}"));
        assert_eq!(answer.status, status, "the answer to {what:?}");
        self.answered += 1;
        if !answer.closes {
            self.connection = Some(connection);
        } else {
            assert!(connection.closed(), "the server closes after {what:?}");
        }
    }

    /// One of everything, and some more of what there are many of.
    pub fn round(&mut self) {
        self.connection = None;
        let programs = if self.site.has_programs() { PROGRAMS } else { &[] };
        let all = CATALOGUE.iter().chain(LISTINGS).chain(METRICS).chain(SCRIPTS).chain(PROXIED).chain(programs);
        for &(line, rest, status) in all {
            let end = if rest.contains("\n\n") { "" } else { "\n" };
            let text = format!("{line} HTTP/1.1\nHost: localhost\n{rest}{end}");
            self.expect(&wire(&text.replace("FUTURE", FUTURE).replace("PAST", PAST)), status);
        }
        for &(text, status) in ODD {
            self.expect(&wire(text), status);
            if text.contains("HTTP/1.0\n\n") {
                self.connection = None;
            }
        }
        if cfg!(feature = "plugin-mandril") {
            if self.rounds == 0 {
                self.expect(&wire("GET / HTTP/1.1\nHost: limited\n\n"), 200);
            }
            for &(text, status) in RULED {
                self.expect(&wire(text), status);
            }
        }
        self.expect(&get(&format!("/{}", "x".repeat(600))), 404);
        self.expect(&get(&format!("/{}", "x/".repeat(3000))), 404);
        self.expect(&get(&format!("/{}", "x".repeat(9000))), 414);
        self.expect(&wire(&format!("GET / HTTP/1.1\nHost: localhost\nX: {}\n\n", "x".repeat(16500))), 431);
        self.expect(&wire(&format!("GET / HTTP/1.1\nHost: localhost\n{}\n", "X: x\n".repeat(70))), 431);
        for number in 0..10 {
            let number = self.rounds * 10 + number;
            self.expect(&get(&format!("/many/{}.txt", number % MANY)), 200);
            self.expect(&get(&format!("/scan/{number}.cgi")), 404);
        }
        if cfg!(feature = "plugin-auth") {
            self.guarded();
        }
        self.pipelined();
        self.changed();
        self.rounds += 1;
    }

    /// What needs a password, by users files that change, are broken, or too large.
    fn guarded(&mut self) {
        let more = match self.rounds % 4 {
            0 => String::new(),
            1 => "bo:broken\n".repeat(20),
            2 => "bo:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n".repeat(1000),
            _ => "# comment\n".into(),
        };
        self.site.write_users(&more);
        let with = |token: &str| wire(&format!("GET /index.html HTTP/1.1\nHost: secret\n{token}\n"));
        self.expect(&with(""), 401);
        self.expect(&with("Authorization: Basic nonsense\n"), 401);
        self.expect(&with("Authorization: Basic YWw6cGFzc3dvcmQ=\n"), 200);
        if self.rounds.is_multiple_of(16) {
            // Held back for a second.
            self.expect(&with("Authorization: Basic YWw6UGFzc3dvcmQ=\n"), 401);
        }
    }

    /// Sixteen requests at once, a large file and an error among them, answered in order.
    fn pipelined(&mut self) {
        let mut connection = self.open();
        let targets = ["/small.txt", "/mid.bin", "/large.bin", "/missing"];
        let requests: Vec<u8> = (0..16).flat_map(|number| get(targets[number % 4])).collect();
        connection.send(&requests).unwrap();
        for number in 0..16 {
            let answer = connection.answer(false).expect("every pipelined request is answered");
            assert_eq!(answer.status, [200, 200, 200, 404][number % 4]);
            self.answered += 1;
        }
    }

    /// A file that is written over, replaced, or taken away, between requests.
    fn changed(&mut self) {
        let file = self.site.file("changed.txt");
        match self.rounds % 3 {
            0 => fs::write(&file, vec![b'x'; 100 + self.rounds * 300 % 40_000]).unwrap(),
            1 => {
                let new = self.site.file("changed.new");
                fs::write(&new, vec![b'y'; 50]).unwrap();
                fs::rename(new, &file).unwrap();
            }
            // Known for another second, or already missed.
            _ => fs::write(&file, b"").unwrap(),
        }
        self.expect(&get("/changed.txt"), 200);
    }

    /// What takes time, and what fills the server up.
    pub fn extremes(&mut self) {
        self.connection = None;
        if cfg!(feature = "plugin-palm") {
            self.elsewhere("/run.palm?");
        }
        #[cfg(feature = "plugin-proxy")]
        {
            self.elsewhere("/behind/");
            self.websockets();
        }
        if self.site.has_programs() {
            self.elsewhere("/run.sh?");
        }
        self.slow_heads();
        self.full_pool();
        self.slow_readers();
        self.cut_short();
        self.full_table();
        self.idle_give_way();
        self.over_capacity();
        self.time_outs();
    }

    /// Scripts and servers that are slow, that stop half-way, whose clients leave, and more of them than may be under way or wait.
    fn elsewhere(&mut self, place: &str) {
        let of = |what: &str| get(&format!("{place}{what}"));
        let mut slow = self.open();
        slow.send(&of("slow")).unwrap();
        assert_eq!(slow.answer(false).unwrap().status, 504);
        let mut half = self.open();
        half.send(&of("half")).unwrap();
        assert!(half.answer(false).is_err() && half.closed());
        let mut left: Vec<Connection> = (0..20).map(|_| self.open()).collect();
        left.iter_mut().for_each(|connection| connection.send(&of("busy")).unwrap());
        // Who ends its side together with the request may well wait for the answer.
        sleep(Duration::from_millis(30));
        drop(left);
        sleep(Duration::from_millis(30));
        let mut all: Vec<Connection> = (0..40).map(|_| self.open()).collect();
        all.iter_mut().for_each(|connection| connection.send(&of("busy")).unwrap());
        let statuses: Vec<u16> = all.iter_mut().filter_map(|one| Some(one.answer(false).ok()?.status)).collect();
        assert_eq!(statuses.len(), all.len());
        assert!(statuses.contains(&200) && statuses.contains(&503), "{statuses:?}");
        self.answered += 2 + statuses.len();
    }

    /// Connections that become ones of another protocol, and say much that they read late, or never.
    #[cfg(feature = "plugin-proxy")]
    fn websockets(&mut self) {
        let ask = "GET /behind/socket HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\n\n";
        for leaves in [false, true, false] {
            let mut connection = self.open();
            connection.send(&wire(ask)).unwrap();
            assert_eq!(connection.status().unwrap(), 101);
            connection.send(&[b'x'; 200_000]).unwrap();
            if !leaves {
                connection.skip(200_000).expect("an echo");
            }
            self.answered += 1;
        }
    }

    /// Heads of every size of buffer that come in pieces, byte by byte at the end.
    fn slow_heads(&mut self) {
        for padding in [1, 700, 3_000, 12_000] {
            let text = format!("GET /small.txt HTTP/1.1\nHost: localhost\nX: {}\n\n", "x".repeat(padding));
            let request = wire(&text);
            let mut connections: Vec<Connection> = (0..4).map(|_| self.open()).collect();
            let (first, last) = request.split_at(request.len() - 6);
            for piece in std::iter::once(first).chain(last.chunks(1)) {
                for connection in &mut connections {
                    connection.send(piece).unwrap();
                }
                sleep(Duration::from_millis(3));
            }
            for connection in &mut connections {
                assert_eq!(connection.answer(false).unwrap().status, 200);
                self.answered += 1;
            }
        }
    }

    /// More unfinished heads than there are buffers: the oldest give way, the others are answered.
    fn full_pool(&mut self) {
        let request = wire(&format!("GET /small.txt HTTP/1.1\nHost: localhost\nX: {}\n\n", "x".repeat(9_000)));
        let (first, last) = request.split_at(request.len() - 1);
        let mut connections: Vec<Connection> = (0..150).map(|_| self.open()).collect();
        for connection in &mut connections {
            connection.send(first).unwrap();
        }
        sleep(Duration::from_millis(100));
        let answers = connections.iter_mut().map(|connection| {
            // A connection that gave way may refuse the byte.
            let _ = connection.send(last);
            connection.answer(false).map(|answer| answer.status)
        });
        let answers: Vec<_> = answers.collect();
        let good = answers.iter().filter(|answer| matches!(answer, Ok(200))).count();
        assert!(good > 0 && good < answers.len(), "{good} of {} unfinished heads were kept", answers.len());
        assert!(answers.iter().all(|answer| !matches!(answer, Ok(status) if *status != 200)), "{answers:?}");
        self.answered += answers.len();
    }

    /// Clients that do not read for a while, with answers waiting in files, in buffers and as requests.
    fn slow_readers(&mut self) {
        let mut connections: Vec<Connection> = (0..20).map(|_| self.open()).collect();
        let requests: Vec<u8> = [get("/slow.bin"), get("/mid.bin").repeat(60), get("/missing")].concat();
        for (number, connection) in connections.iter_mut().enumerate() {
            let from = if number % 2 == 0 { 0 } else { get("/slow.bin").len() };
            connection.send(&requests[from..]).unwrap();
        }
        sleep(Duration::from_millis(200));
        let whole = connections.iter_mut().enumerate().filter_map(|(number, connection)| {
            let answers = if number % 2 == 0 { 62 } else { 61 };
            (0..answers).all(|_| connection.answer(false).is_ok()).then_some(answers)
        });
        let whole: Vec<usize> = whole.collect();
        // One that finds no buffer for what it does not take is closed.
        assert!(whole.len() >= 4, "{} of {} slow readers were answered in the end", whole.len(), connections.len());
        self.answered += whole.iter().sum::<usize>();
    }

    /// A file that loses its end while it is sent: the connection ends, for its length was announced.
    fn cut_short(&mut self) {
        let file = self.site.file("cut.bin");
        sparse(&file, 4 << 20);
        let mut connection = self.open();
        connection.send(&get("/cut.bin")).unwrap();
        sleep(Duration::from_millis(100));
        sparse(&file, 10);
        assert!(connection.answer(false).is_err());
        assert!(connection.closed());
        self.answered += 1;
    }

    /// Answers under way from more files than may be open at once: 503 for the rest.
    fn full_table(&mut self) {
        let mut connections: Vec<Connection> = (0..BULKY).map(|_| self.open()).collect();
        for (number, connection) in connections.iter_mut().enumerate() {
            connection.send(&get(&format!("/bulky/{number}.bin"))).unwrap();
        }
        let statuses: Vec<u16> = connections.iter_mut().filter_map(|connection| connection.status().ok()).collect();
        let refused = statuses.iter().filter(|&&status| status == 503).count();
        assert_eq!(statuses.len(), BULKY);
        assert!(refused >= BULKY - 2 * OPEN_FILES_MAX as usize, "{refused} of {BULKY} files were one too many");
        drop(connections);
        self.answered += BULKY;
        self.recover();
    }

    /// Waits until the server has seen that its clients are gone.
    fn recover(&mut self) {
        let begun = Instant::now();
        loop {
            let mut connection = self.open();
            let answer = connection.send(&get("/small.txt")).and_then(|()| connection.answer(false));
            if matches!(answer, Ok(answer) if answer.status == 200) {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(10), "{answer:?} long after the others have gone");
            sleep(Duration::from_millis(10));
        }
    }

    /// More clients than there is room for, all idle: the oldest make room for the new.
    fn idle_give_way(&mut self) {
        let mut connections = Vec::new();
        for _ in 0..self.capacity + 50 {
            let mut connection = self.open();
            connection.send(&get("/small.txt")).unwrap();
            assert_eq!(connection.answer(false).expect("a new client finds room").status, 200);
            self.answered += 1;
            connections.push(connection);
        }
        // A worker that was asked for one more than the others has closed one more.
        let gone = connections.drain(..40).filter_map(|mut connection| connection.closed().then_some(())).count();
        assert!(gone > 30, "{gone} of the 40 oldest gave way");
        drop(connections);
        self.recover();
    }

    /// More clients than there is room for, none idle: 503.
    fn over_capacity(&mut self) {
        let mut connections: Vec<Connection> = Vec::new();
        // Some more, in place of those before that the server still had to close.
        for _ in 0..self.capacity + 20 {
            let mut connection = self.open();
            let _ = connection.send(&get("/slow.bin"));
            connections.push(connection);
        }
        let begun = Instant::now();
        let mut turned_away = 0;
        while turned_away < 30 {
            sleep(Duration::from_millis(5));
            let mut connection = self.open();
            let answer = connection.send(&get("/small.txt")).and_then(|()| connection.status());
            if answer.as_ref().ok() == Some(&503) {
                turned_away += 1;
                self.answered += 1;
            } else {
                // A connection from before was closed only now: one more fills its place.
                assert!(begun.elapsed() < Duration::from_secs(10), "{answer:?} from a server that should be full");
                let mut filler = self.open();
                let _ = filler.send(&get("/slow.bin"));
                connections.push(filler);
            }
        }
        drop(connections);
        self.recover();
    }

    /// Everybody who only waits is sent away: in a head with 408, else without a word.
    fn time_outs(&mut self) {
        let begun = Instant::now();
        let mut half_a_head: Vec<Connection> = (0..10).map(|_| self.open()).collect();
        let mut others: Vec<Connection> = (0..50).map(|_| self.open()).collect();
        for connection in &mut half_a_head {
            connection.send(b"GET /small.txt HTTP/1.1\r\nHo").unwrap();
        }
        for (number, connection) in others.iter_mut().enumerate() {
            let half_a_body = "POST /small.txt HTTP/1.1\nHost: localhost\nContent-Length: 100\n\nhalf";
            let (request, answered) = match number % 5 {
                0 => (Vec::new(), false),
                1 => (get("/small.txt"), true),
                2 => (wire(half_a_body), false),
                3 => (wire("nonsense\n\n"), true),
                _ => (get("/slow.bin"), false),
            };
            connection.send(&request).unwrap();
            if answered {
                connection.answer(false).unwrap();
                self.answered += 1;
            }
        }
        for connection in &mut half_a_head {
            assert_eq!(connection.answer(false).expect("an answer to half a head").status, 408);
            assert!(connection.closed());
            self.answered += 1;
        }
        // Whoever does not read has an answer in the way of the end.
        for (number, connection) in others.iter_mut().enumerate() {
            if number % 5 == 4 {
                sleep((begun + Duration::from_secs(TIMEOUT + 1)).saturating_duration_since(Instant::now()));
            }
            assert!(connection.closed(), "kind {} was not sent away", number % 5);
            self.answered += 1;
        }
        assert!(begun.elapsed() < Duration::from_secs(2 * TIMEOUT + 5));
    }
}
