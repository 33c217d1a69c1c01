//! Operations from bytes. Most bytes pick something valid, so that a fuzzer spends its time behind the head parser.
//!
//! The first byte chooses how many bytes one call moves, how much the client reads before it stops, and whether a call fails (then two
//! more bytes say which, and how). Then come operations:
//!
//! | byte | what |
//! |---|---|
//! | 0x00 to 0xBF | the client writes a piece: see [`pieces`](super::pieces) |
//! | 0xC0 to 0xC7 | it writes bytes of the input, 1 to 8 of them |
//! | 0xC8 to 0xCB | it writes a chunk, its size in the next byte, times 1, 16, 64, 97 |
//! | 0xCC to 0xCF | it writes data of such a size without a frame |
//! | 0xD0 to 0xE7 | all but the last 0 to 23 bytes that were written arrive |
//! | 0xE8 to 0xEB | everything written arrives a byte at a time |
//! | 0xEC to 0xF7 | the client reads 0 to 100,000 bytes |
//! | 0xF8 to 0xFB | time passes |
//! | 0xFC, 0xFD | the server's patience ends |
//! | 0xFE, 0xFF | the client ends its side; nothing more is sent |

use monkey::plugins::trial::loopback;
use monkey::server::rig::Rig;
use monkey::sys::Errno;

use super::pieces::pick;

/// Most bytes that are sent one at a time.
const DRIBBLE_MAX: usize = 100;
/// Most bytes the client writes: enough for a head over the limits.
const SENT_MAX: usize = 20_000;
/// Most bytes that the server reads in small portions: it looks at an unfinished head anew each time.
const SLOW_MAX: usize = 1000;

/// What happened beside sending and reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Course {
    /// A call failed in a way that may end the connection.
    pub is_broken: bool,
    /// The server lost its patience at least once.
    pub timed_out: bool,
    /// The client ended its side.
    pub ended_early: bool,
}

/// Bytes of the input; zero behind its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }
}

/// Sends what was written but not yet sent, except for its last `kept` bytes.
fn arrive(rig: &mut Rig, written: &mut Vec<u8>, kept: usize) {
    let count = written.len().saturating_sub(kept);
    loopback::with(|wire| wire.sent.extend(written.drain(..count)));
    drive(rig);
}

/// Lets the server work, and checks that it keeps silent after its last word.
fn drive(rig: &mut Rig) {
    let (over, before) = loopback::with(|wire| (wire.finished || rig.is_closed(), wire.got.len()));
    rig.drive();
    if over {
        assert_eq!(loopback::with(|wire| wire.got.len()), before, "it wrote after it had ended its side");
    }
}

/// Plays the operations in `data` on a new connection, then lets the client read to the end.
pub fn play(data: &[u8], rig: &mut Rig) -> Course {
    let mut bytes = Bytes(data);
    let mut course = Course::default();
    let mut written = Vec::new();
    rig.open();
    begin(&mut bytes, &mut course);
    while let Some(operation) = bytes.next() {
        let few = usize::from(operation & 3);
        match operation {
            0x00..=0xBF => written.extend_from_slice(pick(operation)),
            0xC0..=0xC7 => {
                for _ in 0..=operation & 7 {
                    written.extend(bytes.next());
                }
            }
            0xC8..=0xCF => {
                let len = usize::from(bytes.next().unwrap_or(1)) * [1, 16, 64, 97][few];
                let framed = operation < 0xCC && len > 0;
                if framed {
                    written.extend_from_slice(format!("{len:x}\r\n").as_bytes());
                }
                written.extend((0..len).map(|at| b'a' + (at % 23) as u8));
                if framed {
                    written.extend_from_slice(b"\r\n");
                }
            }
            0xD0..=0xE7 => arrive(rig, &mut written, usize::from(operation - 0xD0)),
            0xE8..=0xEB => {
                for kept in (0..written.len().min(DRIBBLE_MAX)).rev() {
                    arrive(rig, &mut written, kept);
                }
            }
            0xEC..=0xF7 => {
                let room =
                    [0, 1, 2, 10, 63, 100, 250, 1000, 5000, 16_384, 33_000, 100_000][usize::from(operation - 0xEC)];
                loopback::with(|wire| wire.room = wire.room.saturating_add(room));
                drive(rig);
            }
            0xF8..=0xFB => rig.pass([1, 300, 2000, 20_000][few]),
            0xFC | 0xFD => {
                course.timed_out = true;
                rig.time_out(10_000);
            }
            0xFE | 0xFF => {
                course.ended_early = true;
                break;
            }
        }
        let sent = loopback::with(|wire| {
            let sent = wire.sent.len() + written.len();
            if sent > SLOW_MAX && wire.portion > 0 {
                wire.portion = wire.portion.max(64);
            }
            sent
        });
        if sent > SENT_MAX {
            break;
        }
    }
    arrive(rig, &mut written, 0);
    if course.ended_early {
        loopback::with(|wire| wire.ended = true);
        drive(rig);
    }
    // A call that failed only for the moment is made again.
    loopback::with(|wire| wire.room = usize::MAX / 2);
    drive(rig);
    drive(rig);
    course
}

/// Sets up the wire from the first bytes.
fn begin(bytes: &mut Bytes<'_>, course: &mut Course) {
    let Some(first) = bytes.next() else {
        return;
    };
    let fault = if first >> 6 == 3 { bytes.next().zip(bytes.next()) } else { None };
    loopback::with(|wire| {
        wire.portion = [0, 0, 0, 0, 1, 7, 64, 1500][usize::from(first & 7)];
        wire.room =
            [usize::MAX / 2, usize::MAX / 2, usize::MAX / 2, 0, 1, 100, 5000, 20_000][usize::from(first >> 3 & 7)];
        let Some((call, how)) = fault else {
            return;
        };
        let (errno, passes) = match how & 3 {
            0 => (Errno::INTR, true),
            1 => (Errno::AGAIN, true),
            2 => (Errno::CONNABORTED, false),
            _ => (Errno::INVAL, false),
        };
        wire.fault = Some((u32::from(call), errno));
        wire.broken = !passes && how & 4 == 0;
        course.is_broken = !passes;
    });
}
