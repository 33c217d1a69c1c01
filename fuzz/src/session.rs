//! A whole connection. The input is a list of operations, see [`script`]: what the client sends, in which pieces, how much it reads,
//! when time passes, which call fails.
//!
//! Checked against [`model`], which looks at all that was sent as one text: every answer is due, right, whole and in its place; nothing
//! follows a last answer; all input was read; nothing is held when the connection is closed.

mod model;
mod pieces;
mod script;

use std::sync::atomic::{AtomicU64, Ordering};

use monkey::plugins::trial::loopback::{self, Wire};

use super::answer::{Answer, parse};
use super::multipart;
use super::site::{self, Site};
use model::{End, Expected, Kind, Model};
use script::Course;

/// How many executions there were, and how many of them had a whole request answered, one with a body, and two.
struct Reach {
    executions: AtomicU64,
    request: AtomicU64,
    body: AtomicU64,
    second: AtomicU64,
}

static REACH: Reach = Reach {
    executions: AtomicU64::new(0),
    request: AtomicU64::new(0),
    body: AtomicU64::new(0),
    second: AtomicU64::new(0),
};

/// Executions after which the shares are printed when `MONKEY_FUZZ_REACH` is set.
const REPORT_EVERY: u64 = 1 << 14;

/// Plays one connection and checks what came of it.
pub fn run(data: &[u8]) {
    site::with(|site| {
        let course = script::play(data, &mut site.rig);
        loopback::with(|wire| {
            let model = Model::of(&wire.sent);
            let answered = check(site, wire, &model, course);
            if !course.is_broken && !course.ended_early && !site.rig.is_closed() {
                assert_eq!(wire.read, wire.sent.len(), "input is left, and the connection is open");
            }
            count(answered, &model);
        });
        site.rig.close();
        let held = site.rig.held();
        assert_eq!((held.buffers, held.pins), (0, 0), "something is still held");
    });
}

fn count(answered: usize, model: &Model) {
    let add = |counter: &AtomicU64, holds: bool| {
        if holds {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    };
    add(&REACH.request, answered > 0);
    add(&REACH.body, model.answers.iter().take(answered).any(|expected| expected.has_body));
    add(&REACH.second, answered > 1);
    let executions = REACH.executions.fetch_add(1, Ordering::Relaxed) + 1;
    if executions.is_multiple_of(REPORT_EVERY) && std::env::var_os("MONKEY_FUZZ_REACH").is_some() {
        eprintln!("{}", reach());
    }
}

/// The shares so far, as one line.
pub fn reach() -> String {
    let executions = REACH.executions.load(Ordering::Relaxed);
    let percent = |counter: &AtomicU64| counter.load(Ordering::Relaxed) * 100 / executions.max(1);
    format!(
        "reach: {executions} executions, a request {} %, a body {} %, a second request {} %",
        percent(&REACH.request),
        percent(&REACH.body),
        percent(&REACH.second)
    )
}

/// Compares what the server wrote with what the model expects; gives how many answers were whole.
fn check(site: &Site, wire: &Wire, model: &Model, course: Course) -> usize {
    let whole = !course.is_broken && !course.timed_out;
    let mut rest = wire.got.as_slice();
    for (n, expected) in model.answers.iter().enumerate() {
        let before = rest;
        let Some(answer) = next_answer(&mut rest, expected.to_head, expected.may_continue) else {
            assert!(!whole, "answer {n} is missing or cut short: {expected:?}");
            return n;
        };
        if course.timed_out && answer.status == 408 {
            // Its body comes even to HEAD, for the head was never whole.
            if let Some((answer, len)) = parse(before, false) {
                assert!(answer.closes && len == before.len(), "more after the last answer");
            }
            return n;
        }
        check_answer(site, &answer, expected);
    }
    let count = model.answers.len();
    let closed = site.rig.is_closed() || wire.finished;
    if model.may_continue
        && let Some(after) = rest.strip_prefix(CONTINUE)
    {
        rest = after;
    }
    match model.end {
        // In time-outs the last word may be 408.
        _ if course.timed_out && !rest.is_empty() => {
            if let Some(answer) = next_answer(&mut rest, false, false) {
                assert!(answer.closes && answer.status >= 400 && rest.is_empty(), "{answer:?}");
            }
        }
        End::Waits => {
            let cut_short = !whole && model.may_continue && CONTINUE.starts_with(rest);
            assert!(rest.is_empty() || cut_short, "more than is due: {}", rest.escape_ascii());
        }
        End::Closed => {
            assert!(rest.is_empty(), "more after the last answer: {}", rest.escape_ascii());
            assert!(!whole || closed, "open after the last answer");
        }
        End::Refused(status) => match next_answer(&mut rest, false, false) {
            Some(answer) => {
                assert!(answer.closes, "{} without Connection: Close", answer.status);
                assert!(
                    answer.status == status || (status == 400 && answer.status >= 400),
                    "{} for {status}",
                    answer.status
                );
                assert!(rest.is_empty(), "more after the last answer: {}", rest.escape_ascii());
                assert!(!whole || closed, "open after input that is no request");
            }
            None => assert!(!whole, "input that is no request was not answered"),
        },
        End::Partial => assert!(next_answer(&mut rest, false, false).is_none(), "whole before its body was"),
        End::BrokenOff => {
            assert!(next_answer(&mut rest, false, false).is_none(), "whole without its body");
            assert!(!whole || closed, "open after a body that is none");
        }
    }
    count
}

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The next answer of `bytes`, which moves behind it. `None` when it is not whole.
fn next_answer<'a>(bytes: &mut &'a [u8], to_head: bool, may_continue: bool) -> Option<Answer<'a>> {
    if may_continue && let Some(rest) = bytes.strip_prefix(CONTINUE) {
        *bytes = rest;
    }
    let (answer, len) = parse(bytes, to_head)?;
    *bytes = &bytes[len..];
    Some(answer)
}

fn check_answer(site: &Site, answer: &Answer<'_>, expected: &Expected) {
    let told = if expected.to_head { b"" } else { &*answer.body };
    match &expected.kind {
        Kind::File { index, range, conditional } => {
            let content = &site.contents[*index];
            match (answer.status, range) {
                (304 | 412, _) if *conditional => {}
                (200, _) if expected.to_head => {
                    assert_eq!(answer.field(b"Content-Length"), Some(content.len().to_string().as_bytes()));
                }
                (200, None) => assert!(*content == *told, "wrong content"),
                // If-Range may have told to ignore it.
                (200, Some(_)) if *conditional => assert!(*content == *told, "wrong content"),
                (_, Some(range)) => multipart::check(answer, content, range),
                (status, None) => panic!("{status} to a request for a file"),
            }
        }
        Kind::Status(status) => assert_eq!(answer.status, *status),
        Kind::Other => assert!(matches!(answer.status, 200 | 301 | 403 | 404), "{}", answer.status),
        Kind::Count { len, hash } => assert_eq!(told, format!("{len} {hash:016x}\n").as_bytes()),
        Kind::Echo(data) => assert!(answer.status == 200 && *data == *told, "a wrong echo"),
    }
    if let Some(closes) = expected.closes {
        assert_eq!(answer.closes, closes, "Connection: Close, {expected:?}");
    }
}
