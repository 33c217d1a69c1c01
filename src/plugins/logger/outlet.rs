//! The far end of a log: the pipe that the workers write to, as the logger's thread empties it.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::log::{Level, aside, info, say};

use crate::http::output::{Sink, Text};
use crate::log::{ring, to_syslog};
use crate::plugin::stats::LOGS_STUCK;
use crate::plugins::logger::file::{LogFile, Rotation, Trouble};
use crate::plugins::logger::format::Time;
use crate::sys::Errno;
use crate::sys::clock::wall_seconds;
use crate::sys::memory::Region;
use crate::sys::{pipe, stderr};

/// Bytes from which a pipe is emptied before its time. It has sixteen places, and two writes that follow each other share one unless
/// they are more than a page together: with this much at least half of them are free, and with twelve of them taken it is reached.
const NEARLY_FULL: usize = 24 * 1024;
/// How soon it is tried again where somebody else has to make way, milliseconds.
const SOON: u32 = 50;

/// Where the lines go.
pub(super) enum Place {
    File(LogFile),
    Syslog(Lines),
    Stderr(Lines),
    Memory(Lines),
}

/// Lines on their way, where they are not moved by the kernel.
pub(super) struct Lines {
    room: Region,
    /// Bytes of a line whose rest is still in the pipe.
    kept: usize,
}

impl Lines {
    pub(super) fn new() -> io::Result<Lines> {
        Ok(Lines { room: Region::new(pipe::ATOMIC)?, kept: 0 })
    }

    /// Moves `len` bytes; `to` gets whole lines and says how many of them could not be written. `may` says whether it takes them.
    #[inline(never)] // Once, not for each place.
    fn pass(
        &mut self,
        from: BorrowedFd<'_>,
        mut len: usize,
        lost: &AtomicU32,
        may: fn() -> bool,
        to: fn(&[u8]) -> usize,
    ) -> Result<(), Errno> {
        while len > 0 {
            if !may() {
                return Err(Errno::AGAIN);
            }
            let room = self.room.get_mut(self.kept..).unwrap_or_default();
            let room_len = room.len().min(len);
            let count = pipe::read(from, room.get_mut(..room_len).unwrap_or_default())?;
            len = len.saturating_sub(count.max(1));
            let filled = self.kept + count;
            let bytes = self.room.get(..filled).unwrap_or_default();
            let mut end = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
            if end == 0 && filled == self.room.len() {
                end = filled;
            }
            lost.fetch_add(to(self.room.get(..end).unwrap_or_default()) as u32, Ordering::Relaxed);
            self.room.copy_within(end..filled, 0);
            self.kept = filled - end;
        }
        Ok(())
    }
}

/// The far end of one log.
pub(super) struct Outlet {
    /// What its events carry.
    pub(super) id: u64,
    pub(super) pipe: OwnedFd,
    /// Lines that found the pipe full, until that is told.
    lost: Arc<AtomicU32>,
    /// What tells of them is an object of JSON.
    pub(super) json: bool,
    /// What it is called in messages.
    name: PathBuf,
    /// It has the server's own messages: that it is in trouble would stay in it.
    pub(super) master: bool,
    place: Place,
    /// What is wrong and was told.
    told: Option<Trouble>,
    /// It is counted among those that cannot be written.
    stuck: bool,
    /// When the wait of what is in the pipe began, milliseconds.
    since: Option<u32>,
    /// How long it is, when that is not the usual time: the last attempt failed.
    wait: Option<u32>,
    /// Nobody can write any more.
    ended: bool,
}

impl Outlet {
    pub(super) fn new(id: u64, pipe: OwnedFd, lost: Arc<AtomicU32>, name: PathBuf, place: Place) -> Outlet {
        let (json, master, stuck) = (false, false, false);
        Outlet { id, pipe, lost, json, name, master, place, told: None, stuck, since: None, wait: None, ended: false }
    }

    /// Opens the file unless the one that is open is still the one with its name: that need not be possible any more, once
    /// rights are given up.
    pub(super) fn open(&mut self) {
        if let Place::File(file) = &mut self.place {
            match file.follow() {
                Err(trouble) => self.tell(Some(trouble)),
                Ok(()) if matches!(self.told, Some(Trouble::Open(_))) => self.tell(None),
                Ok(()) => {}
            }
            // What waits for another attempt has it now.
            self.wait = self.wait.map(|_| 0);
        }
    }

    /// Takes note of what an event says.
    pub(super) fn notice(&mut self, now: u32, ended: bool) {
        self.ended |= ended;
        self.since = self.since.or(Some(now));
    }

    /// Empties the pipe if it is time. Returns milliseconds until it will be; None = there is nothing to wait for.
    pub(super) fn turn(&mut self, now: u32, usual: u32, rotation: Rotation, at_once: bool) -> Option<u32> {
        let since = self.since?;
        let elapsed = now.wrapping_sub(since);
        let wait = self.wait.unwrap_or(usual);
        let waiting = pipe::waiting(self.pipe.as_fd());
        let early = self.wait.is_none() && (waiting >= NEARLY_FULL || self.ended);
        if elapsed < wait && !early && !at_once {
            return Some(wait - elapsed);
        }
        match self.flush(waiting, rotation) {
            Ok(()) => {
                (self.since, self.wait) = (None, None);
                None
            }
            Err(errno) => {
                let wait = if errno == Errno::AGAIN { SOON } else { usual };
                (self.since, self.wait) = (Some(now), Some(wait));
                Some(wait)
            }
        }
    }

    /// Whether nothing more can come and everything that came is written.
    pub(super) fn is_over(&self) -> bool {
        self.ended && self.since.is_none()
    }

    /// Whether something waits that could be written if it were tried again.
    pub(super) fn is_held_up(&self) -> bool {
        self.since.is_some() && self.wait == Some(SOON)
    }

    fn flush(&mut self, len: usize, rotation: Rotation) -> Result<(), Errno> {
        if len == 0 && self.lost.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        let Outlet { pipe, lost, json, place, .. } = self;
        let from = pipe.as_fd();
        let passed = match place {
            Place::File(file) => {
                let written = file.write(from, len, rotation, lost, &mut |file| {
                    tell_lost(lost, *json, &mut |line| pipe::write(file, line).map(drop))
                });
                let (result, trouble) = match written {
                    Ok(trouble) => (Ok(()), trouble),
                    Err(Trouble::Write(Errno::AGAIN)) => return Err(Errno::AGAIN),
                    Err(trouble) => (Err(Errno::NOENT), Some(trouble)),
                };
                self.tell(trouble);
                return result;
            }
            Place::Stderr(lines) => lines.pass(from, len, lost, || stderr::wait_writable(0), to_stderr),
            Place::Memory(lines) => lines.pass(from, len, lost, || true, to_ring),
            Place::Syslog(lines) => lines.pass(from, len, lost, || true, each_to_syslog),
        };
        passed?;
        let told = tell_lost(lost, *json, &mut |line| {
            let missing = match place {
                Place::Stderr(_) if !stderr::wait_writable(0) => return Err(Errno::AGAIN),
                Place::Stderr(_) => to_stderr(line),
                Place::Syslog(_) => each_to_syslog(line),
                Place::Memory(_) | Place::File(_) => to_ring(line),
            };
            if missing > 0 { Err(Errno::PIPE) } else { Ok(()) }
        });
        self.tell(told.err().filter(|errno| *errno != Errno::AGAIN).map(Trouble::Write));
        told
    }

    /// Tells what is wrong when that begins, and when it is over.
    fn tell(&mut self, trouble: Option<Trouble>) {
        let name = self.name.display();
        match trouble {
            Some(trouble) if self.told == Some(trouble) => return,
            None if self.told.is_none() => return,
            None => info!("log {name}: written again"),
            Some(trouble) => {
                let (what, errno, then) = match trouble {
                    Trouble::Open(errno) => ("open", errno, "trying again"),
                    Trouble::Rename(errno) => ("rename", errno, "it grows beyond MaxSize"),
                    Trouble::Write(errno) => ("write", errno, "trying again"),
                };
                let warning = format_args!("log {name}: cannot {what} it: {}; {then}", Why(errno));
                if self.master {
                    aside(Level::Warn, warning);
                }
                say(Level::Warn, warning);
            }
        }
        self.told = trouble;
        self.count(matches!(trouble, Some(Trouble::Open(_) | Trouble::Write(_))));
    }

    /// Counts it among those that cannot be written, or no longer.
    fn count(&mut self, stuck: bool) {
        if std::mem::replace(&mut self.stuck, stuck) != stuck {
            LOGS_STUCK.fetch_add(if stuck { 1 } else { u32::MAX }, Ordering::Relaxed);
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.count(false);
    }
}

/// Writes lines; gives how many were lost.
fn to_stderr(lines: &[u8]) -> usize {
    if stderr::write(lines) { 0 } else { lines.iter().filter(|&&byte| byte == b'\n').count() }
}

/// The same.
fn to_ring(lines: &[u8]) -> usize {
    ring::push(lines);
    0
}

/// The same, a message each.
fn each_to_syslog(lines: &[u8]) -> usize {
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.filter(|line| !to_syslog(std::str::from_utf8(line).unwrap_or_default())).count()
}

/// What an error number means here, without allocating.
struct Why(Errno);

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self.0 {
            Errno::NOSPC => "no room is left on the device",
            Errno::ACCES => "permission denied: its directory must be writable by User",
            Errno::NOENT => "its directory is not there",
            Errno::ISDIR => "it is a directory",
            Errno::LOOP => "it is a symbolic link",
            Errno::NXIO => "nobody reads this fifo",
            Errno::PIPE => "nobody reads it",
            Errno::ROFS => "the file system is read-only",
            Errno(number) => return write!(f, "error {number}"),
        })
    }
}

/// Writes how many lines were lost, if any were. Those that could not be told are told later.
fn tell_lost(lost: &AtomicU32, json: bool, write: &mut dyn FnMut(&[u8]) -> Result<(), Errno>) -> Result<(), Errno> {
    let count = lost.swap(0, Ordering::Relaxed);
    if count == 0 {
        return Ok(());
    }
    let mut line = Text::<80>::default();
    if json {
        line.push(b"{\"lost\":");
        line.push_decimal(count.into());
        line.push(b"}\n");
    } else {
        let mut time = Time::new();
        time.set(wall_seconds());
        line.push(b"- - [");
        line.push(time.plain());
        line.push(b"] ");
        line.push_decimal(count.into());
        line.push(b" lines lost\n");
    }
    let written = write(line.bytes());
    if written.is_err() {
        lost.fetch_add(count, Ordering::Relaxed);
    }
    written
}
