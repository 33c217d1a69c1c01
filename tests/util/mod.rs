//! What every test stands on: a directory of its own, the real binary, a raw client, and a failure that prints everything.

mod answer;
mod client;
mod dir;
mod example;
mod process;
mod server;
mod setup;
mod state;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use answer::{ALLOW, Answer, DATE, ETAG, MODIFIED, RANGES, SERVER};
pub use client::{Client, chunked, request};
pub use dir::Dir;
pub use example::example;
pub use process::is_gone;
#[cfg(any(feature = "plugin-cgi", feature = "test-switches"))]
pub use process::{children, lives, spawner_below};
#[cfg(feature = "test-switches")]
pub use process::{parent, spawners};
pub use server::{Ended, Server, listening};
pub use setup::{Setup, moves_all, set_mtime};
pub use state::State;

/// How long anything may take before a test gives up on it: far beyond what a busy machine needs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Bytes of one message that a failure shows.
const SHOWN: usize = 2048;

/// What happened in one test, in order: shown when it fails.
#[derive(Clone, Default)]
pub struct Record(Arc<Mutex<String>>);

impl Record {
    /// Notes bytes that went over a connection, or anything else.
    pub fn note(&self, what: &str, bytes: &[u8]) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() > 64 * SHOWN {
            text.clear();
            text.push_str("... what came before is left out\n");
        }
        let (shown, more) = if bytes.len() > SHOWN { (&bytes[..SHOWN], " ...") } else { (bytes, "") };
        let _ = writeln!(text, "-- {what}, {} bytes\n{}{more}", bytes.len(), shown.escape_ascii());
    }

    /// Everything noted.
    pub fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).replace("\\r\\n", "\\r\\n\n")
    }
}

/// Tries `check` until it answers true. False when it never did within [`PATIENCE`].
pub fn eventually(mut check: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + PATIENCE;
    loop {
        if check() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Sends a signal by its name (`TERM`). The shell has kill(1) where nothing else does.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(status.is_ok_and(|status| status.success()), "cannot send {name} to {pid}");
}

/// Runs a program of the system that a test needs (`mkfifo`, `mknod`). False when it could not do it.
pub fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).status().is_ok_and(|status| status.success())
}

/// Whether the tests run as root.
pub fn is_root() -> bool {
    std::fs::read_to_string("/proc/self/status").is_ok_and(|status| status.contains("\nUid:\t0\t0\t0\t0\n"))
}

/// Says that a test cannot be done here, and why.
pub fn skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_string();
    // Not by a macro: what those print is kept back when a test passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: {why}");
}

/// A number of bytes in which every stretch is unlike the others, so that a wrong offset shows.
pub fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// The next datagram: waiting for it goes on over interruptions.
pub fn received(socket: &UnixDatagram, bytes: &mut [u8]) -> io::Result<usize> {
    loop {
        match socket.recv(bytes) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
