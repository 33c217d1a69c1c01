use std::cell::RefCell;
use std::fmt::Write;

use monkey::config::{self, Options};
use monkey::plugins::trial::loopback::with;
use monkey::server::connection::Waiting;
use monkey::server::rig::{Held, Rig};
use monkey::sys::Errno;

use crate::util::{Dir, pattern, request};

/// ECONNRESET and EPIPE: the numbers are the same wherever Linux runs.
const GONE: [Errno; 2] = [Errno(104), Errno(32)];

/// EIO: what a worn flash chip or a broken file system gives.
const DISK: Errno = Errno(5);

const NOTHING: Held = Held { buffers: 0, pins: 0 };

thread_local! {
    /// One for all tests of a thread: its memory is that of a worker.
    static RIG: RefCell<Option<(Rig, Dir)>> = const { RefCell::new(None) };
}

fn with_rig(test: impl FnOnce(&mut Rig)) {
    RIG.with(|rig| {
        let mut rig = rig.borrow_mut();
        let (rig, _) = rig.get_or_insert_with(|| {
            let dir = Dir::new();
            dir.write("conf/monkey.conf", "[SERVER]\n    Listen 127.0.0.1:0\n    MemoryLimit 8000\n");
            dir.write(
                "conf/sites/default",
                "[HOST]\n    ServerName test\n    DocumentRoot ../root\n    MaxBodySize 64\n",
            );
            dir.write("conf/monkey.mime", "[MIMETYPES]\n    txt text/plain\n");
            dir.write("root/a.txt", "alpha");
            dir.write("root/middle.txt", pattern(12_000));
            dir.write("root/big.txt", pattern(50_000));
            let options = Options { config_dir: Some(dir.path("conf")), ..Options::default() };
            let (config, _) = config::load(&options).unwrap_or_else(|report| panic!("{:?}", report.diagnostics));
            (Rig::new(config), dir)
        });
        test(rig);
    });
}

/// A client's side of a connection, to its end.
fn exchanges() -> Vec<(&'static str, Vec<u8>)> {
    let chunks = "5\r\nhello\r\n6;x=\"y\"\r\n world\r\n0\r\nT: v\r\n\r\n";
    let get = |path: &str, fields: &str| request(&format!("GET {path}"), fields);
    let chunked = |path: &str| request(&format!("POST {path}"), "Transfer-Encoding: chunked\r\n") + chunks;
    let length = |path: &str| request(&format!("POST {path}"), "Content-Length: 11\r\n") + "hello world";
    let close = "Connection: close\r\n";
    [
        ("one small file", get("/a.txt", "")),
        ("the last request", get("/a.txt", close)),
        (
            "several in one go",
            get("/a.txt", "") + &get("/nothing", "") + &get("/middle.txt", "") + &get("/a.txt", close),
        ),
        ("a file by sendfile", get("/big.txt", "") + &get("/a.txt", "")),
        ("a range", get("/big.txt", "Range: bytes=100-40000\r\n")),
        ("several ranges", get("/big.txt", "Range: bytes=0-99,30000-45000\r\n") + &get("/a.txt", "")),
        ("not modified", get("/a.txt", "If-None-Match: *\r\n") + &get("/a.txt", close)),
        ("bodies that nobody reads", length("/a.txt") + &chunked("/a.txt") + &get("/a.txt", "")),
        ("bodies that are counted", length("/.probe/count") + &chunked("/.probe/count") + &get("/a.txt", "")),
        ("bodies taken slowly", length("/.probe/slow") + &chunked("/.probe/slow")),
        ("bodies that come back", length("/.probe/echo") + &get("/a.txt", "")),
        ("an answer before the end", length("/.probe/refuse") + &get("/a.txt", "")),
        ("a body over the limit", request("POST /a.txt", "Content-Length: 70000\r\n") + "x"),
        (
            "a chunked body over the limit",
            request("POST /.probe/count", "Transfer-Encoding: chunked\r\n") + "12000\r\n" + &"x".repeat(0x12000),
        ),
        ("no request", "nonsense\r\n\r\n".to_string() + &get("/a.txt", "")),
        (
            "a bad chunk",
            request("POST /a.txt", "Transfer-Encoding: chunked\r\n") + "5\r\nhelloX\r\n" + &get("/a.txt", ""),
        ),
        ("a head that does not end", "GET /a.txt HTTP/1.1\r\nHost: te".to_string()),
        ("a body that does not end", request("POST /a.txt", "Content-Length: 11\r\n") + "hello"),
    ]
    .map(|(name, text)| (name, text.into_bytes()))
    .into()
}

/// How a connection behaves on the way.
#[derive(Clone, Copy, Debug, Default)]
struct Course {
    /// Most bytes one call moves; 0 = all.
    portion: usize,
    /// Bytes the client takes before it pauses; 0 = all.
    room: usize,
    /// Bytes that arrive before the rest does; 0 = all at once.
    cut: usize,
    /// The call that fails, and how.
    fault: Option<(u32, Errno)>,
}

/// What came of it: every byte the server wrote, and how many calls it made.
fn run(rig: &mut Rig, bytes: &[u8], course: Course) -> (Vec<u8>, u32) {
    let Course { portion, room, cut, fault } = course;
    rig.open();
    let broken = fault.is_some_and(|(_, errno)| GONE.contains(&errno));
    with(|wire| {
        (wire.portion, wire.fault, wire.broken) = (portion, fault, broken);
        if room > 0 {
            wire.room = room;
        }
        wire.sent.extend(&bytes[..if cut > 0 { cut } else { bytes.len() }]);
    });
    if cut > 0 {
        drive(rig, room);
        with(|wire| wire.sent.extend(&bytes[cut..]));
    }
    drive(rig, room);
    // The client has nothing more to say.
    with(|wire| wire.ended = true);
    drive(rig, room);
    assert!(rig.is_closed(), "still open: {:?}", rig.waiting());
    assert_eq!(rig.held(), NOTHING);
    with(|wire| (std::mem::take(&mut wire.got), wire.calls))
}

/// Drives until nothing moves any more. A call that would have blocked is reported ready again.
fn drive(rig: &mut Rig, room: usize) {
    let mut idle = 0;
    while idle < 2 && !rig.is_closed() {
        let before = with(|wire| (wire.read, wire.got.len()));
        rig.drive();
        let after = with(|wire| {
            if room > 0 {
                wire.room = room;
            }
            (wire.read, wire.got.len())
        });
        idle = if after == before { idle + 1 } else { 0 };
    }
}

/// The bytes without what no two answers share: the delimiter of parts.
fn plain(bytes: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"boundary=";
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(MARK.len()).position(|window| window == MARK) {
        let delimiter = bytes[at + MARK.len()..].iter().copied().take(16).collect::<Vec<u8>>();
        bytes[at] = b'B';
        let mut from = at;
        while let Some(next) = bytes[from..].windows(16).position(|window| !delimiter.is_empty() && window == delimiter)
        {
            bytes[from + next..][..16].fill(b'-');
            from += next + 16;
        }
        if delimiter.len() < 16 {
            // Broken off in the middle of it.
            let end = bytes.len();
            bytes[at + MARK.len()..end].fill(b'-');
        }
    }
    bytes
}

/// Runs every exchange over every one of these courses and compares with an undisturbed one.
fn compare(courses: impl Fn(u32, usize) -> Vec<Course>, judge: impl Fn(&[u8], &[u8]) -> bool) {
    with_rig(|rig| {
        let mut report = String::new();
        for (name, bytes) in exchanges() {
            let (whole, calls) = run(rig, &bytes, Course::default());
            let whole = plain(&whole);
            for course in courses(calls, bytes.len()) {
                let (got, _) = run(rig, &bytes, course);
                if !judge(&whole, &plain(&got)) {
                    let _ = writeln!(report, "{name}, {course:?}: {} bytes for {}", got.len(), whole.len());
                }
            }
        }
        assert!(report.is_empty(), "{report}");
    });
}

fn is_same(whole: &[u8], got: &[u8]) -> bool {
    got == whole
}

#[test]
fn every_exchange_has_its_answers() {
    with_rig(|rig| {
        for (name, bytes) in exchanges() {
            let (got, _) = run(rig, &bytes, Course::default());
            let answers = got.windows(9).filter(|window| window == b"HTTP/1.1 ").count();
            let expected = match name {
                "several in one go" => 4,
                "a head that does not end" | "a body that does not end" => 0,
                "bodies that nobody reads" | "bodies that are counted" => 3,
                "a file by sendfile" | "several ranges" | "not modified" | "bodies taken slowly" => 2,
                "bodies that come back" => 2,
                _ => 1,
            };
            assert_eq!(answers, expected, "{name}: {}", got.escape_ascii());
        }
    });
}

#[test]
fn interruptions_and_waits_at_every_call_change_nothing() {
    let faults = |calls: u32, _| {
        let errors = [Errno::INTR, Errno::AGAIN];
        let courses = errors.into_iter().flat_map(|errno| (0..calls).map(move |call| Some((call, errno))));
        courses.map(|fault| Course { fault, ..Course::default() }).collect()
    };
    compare(faults, is_same);
    // And over a connection on which everything takes many calls. The last ones of a long exchange stand for all of them.
    let faults = |calls: u32, _| {
        let courses = (0..calls.saturating_mul(20).min(400)).map(|call| Some((call, Errno::AGAIN)));
        courses.map(|fault| Course { portion: 137, fault, ..Course::default() }).collect()
    };
    compare(faults, is_same);
}

#[test]
fn a_connection_that_breaks_at_any_call_is_let_go() {
    let faults = |calls: u32, _| {
        let courses = GONE.into_iter().flat_map(|errno| (0..calls).map(move |call| Some((call, errno))));
        courses.map(|fault| Course { fault, ..Course::default() }).collect()
    };
    compare(faults, |whole, got| whole.starts_with(got));
    let faults = |calls: u32, _| {
        let courses = (0..calls.saturating_mul(20).min(400)).map(|call| Some((call, GONE[0])));
        courses.map(|fault| Course { portion: 137, fault, ..Course::default() }).collect()
    };
    compare(faults, |whole, got| whole.starts_with(got));
}

/// The head is sent and says how long the answer is: all that is left is to end it, so that the client sees that it is cut.
#[test]
fn an_error_of_the_disk_ends_the_connection() {
    let faults = |calls: u32, _| {
        let courses = (0..calls).map(|call| Some((call, DISK)));
        courses.map(|fault| Course { portion: 4096, fault, ..Course::default() }).collect()
    };
    compare(faults, |whole, got| whole.starts_with(got));
}

#[test]
fn a_client_is_heard_out_for_thirty_seconds_and_no_longer() {
    with_rig(|rig| {
        rig.open();
        with(|wire| wire.sent.extend(b"nonsense\r\n\r\n"));
        rig.drive();
        assert!(with(|wire| wire.finished && wire.got.starts_with(b"HTTP/1.1 400 ")));
        let more = |rig: &mut Rig, milliseconds| {
            rig.pass(milliseconds);
            with(|wire| wire.sent.extend(request("GET /a.txt", "").bytes()));
            rig.drive();
            rig.waiting()
        };
        for second in 1..30 {
            assert_eq!(more(rig, 1000), Some(Waiting::Farewell), "after {second} s");
        }
        assert_eq!(more(rig, 999), Some(Waiting::Farewell));
        assert_eq!(more(rig, 1), None, "after 30 s");
        assert_eq!(rig.held(), NOTHING);
        let answers = with(|wire| wire.got.windows(9).filter(|window| window == b"HTTP/1.1 ").count());
        assert_eq!(answers, 1, "what is heard out is no request");
    });
}

#[test]
fn short_reads_and_writes_of_every_size_change_nothing() {
    let courses = |_, _| {
        let sizes = (1..64).chain([100, 1000, 1460, 4096, 16_384, 20_000]);
        sizes.map(|portion| Course { portion, ..Course::default() }).collect()
    };
    compare(courses, is_same);
}

#[test]
fn a_client_that_takes_little_at_a_time_gets_the_same() {
    let courses = |_, _| {
        let sizes = (1..40).chain([100, 333, 1000, 1460, 4096, 16_384, 20_000]);
        sizes.map(|room| Course { room, ..Course::default() }).collect()
    };
    compare(courses, is_same);
}

#[test]
fn input_cut_at_any_byte_is_the_same() {
    let courses = |_, len: usize| {
        let step = (len / 1000).max(1);
        (1..len).step_by(step).map(|cut| Course { cut, ..Course::default() }).collect()
    };
    compare(courses, is_same);
}

/// What the socket takes at once is progress too, not only what was held for it.
#[test]
fn a_client_that_takes_many_small_answers_is_not_slow() {
    with_rig(|rig| {
        let ask = |rig: &mut Rig, times: usize, room: usize| {
            rig.open();
            let bytes = request("GET /middle.txt", "").repeat(times);
            with(|wire| (wire.sent, wire.room) = (bytes.into_bytes(), room));
            rig.drive();
        };
        ask(rig, 4, usize::MAX / 2);
        let four = with(|wire| wire.got.len());
        assert!(four > 48_000);
        // Each time nearly all is sent as it is written; ten bytes are left to be held.
        ask(rig, 100, four - 10);
        assert_eq!((rig.waiting(), with(|wire| wire.got.len())), (Some(Waiting::Send), four - 10));
        for window in 1..5 {
            rig.time_out(10_000);
            assert!(!rig.is_closed(), "after {window} windows");
            with(|wire| wire.room += four);
            rig.drive();
            assert_eq!(with(|wire| wire.got.len()), four * (window + 1) - 10);
        }
        rig.time_out(10_000);
        assert!(!rig.is_closed());
        // What it took ahead lasts for some windows more.
        (0..4).for_each(|_| rig.time_out(10_000));
        assert!(rig.is_closed(), "one that takes nothing");
        assert_eq!(rig.held(), NOTHING);
    });
}

/// Requests that are on their way when the server ends a connection must not meet a closed socket: that would destroy the answers
/// that are on theirs.
#[test]
fn a_client_that_may_have_asked_for_more_is_heard_out() {
    with_rig(|rig| {
        let ask = |rig: &mut Rig, requests: String| {
            with(|wire| wire.sent.extend(requests.into_bytes()));
            rig.drive();
        };
        rig.open();
        // As many as a connection may have.
        ask(rig, request("GET /a.txt", "").repeat(1000));
        let got = with(|wire| wire.got.len());
        assert_eq!((rig.requests(), rig.waiting()), (1000, Some(Waiting::Farewell)));
        assert!(with(|wire| wire.finished));
        ask(rig, request("GET /a.txt", ""));
        assert_eq!((rig.requests(), with(|wire| wire.got.len())), (1000, got));
        rig.time_out(2000);
        assert!(rig.is_closed());
        assert_eq!(rig.held(), NOTHING);
    });
}

/// A client above the floor whose side acknowledges in lumps is not cut, and one that takes nothing is.
#[test]
fn lumps_are_evened_out() {
    with_rig(|rig| {
        rig.open();
        with(|wire| {
            wire.room = 20_000;
            wire.sent.extend(request("GET /big.txt", "").bytes());
        });
        rig.drive();
        // The first window is only measured. In the second 20 KB go at once, of which 16 KB count on: at 500 bytes a second
        // for ten seconds a window they last for three more.
        rig.time_out(10_000);
        with(|wire| wire.room += 21_500);
        rig.drive();
        for window in 0..4 {
            rig.time_out(10_000);
            assert!(!rig.is_closed(), "{window}");
        }
        rig.time_out(10_000);
        assert!(rig.is_closed(), "nothing was taken for longer than the lump lasts");
        assert_eq!(rig.held(), NOTHING);
    });
}
