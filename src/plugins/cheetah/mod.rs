//! cheetah: the admin shell, on a local socket or on the server's own terminal. docs/plugins/CHEETAH.md says what it can.
//!
//! It lives in the main thread, which accepts connections: nothing here waits for a client. Up to `SESSIONS_MAX` clients have
//! `outbox::BYTES` of answer each and one line; what does not fit is left out, and who does not read is cut off. Unlike what serves
//! requests it allocates: a command takes a few KB while it is answered.

pub mod client;
mod commands;
#[cfg(feature = "test-switches")]
pub mod fuzz;
mod outbox;
mod protocol;
mod session;
mod sheet;
mod start;

use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::log::Level::{self, Info, Warn};
use crate::log::say;

use self::commands::{Facts, Scene};
use self::outbox::Outbox;
use self::session::{Next, Session};
use self::sheet::{Form, part};
use self::start::{Standard, listen, runs_as, standard};
use crate::config::Config;
use crate::config::plugins::cheetah::Cheetah as Configured;
use crate::plugin::events::{Happened, Watch, WatchId, Watches};
use crate::plugin::hooks::{Needs, Plugin, Worker};
use crate::plugin::host::Host;
use crate::sys::Errno;
use crate::sys::pipe::{enlarge, pipe, read, write};
use crate::sys::unix::{LocalListener, user};
use crate::vhost::live::Live;

/// Clients at once. One more is told so and closed.
const SESSIONS_MAX: usize = 4;
/// Clients let in or turned away in a row before others have their turn.
const ACCEPTS_A_TURN: usize = 8;
/// How long workers have to tell of their connections, milliseconds.
const REPORT_MS: u32 = 5000;
/// Room asked for in the pipe that they tell through, bytes.
const REPORT_ROOM: usize = 1024 * 1024;
/// Bytes of that pipe that are read at once.
const READ_BYTES: usize = 2048;
/// Room that a client must have for them: JSON is longer than what the workers write.
const READ_ROOM: usize = 8 * READ_BYTES;
/// Heap that a command takes while it is answered, bytes.
const HEAP: usize = 8 * 1024;

/// What watched descriptors are called: the listener, the pipe, then the input and the output of each session.
const LISTENER: u32 = 0;
const REPORT: u32 = 1;
const FIRST: u32 = 2;

/// The shell, if one is configured. It lives until the process ends, and so nothing needs to know how it is dropped.
pub struct Cheetah(Option<&'static mut Shell>);

struct Shell {
    configured: Configured,
    facts: Facts,
    /// Who is let in besides root.
    users: [u32; 2],
    listener: Option<LocalListener>,
    standard: Option<Standard>,
    sessions: [Option<Box<Session>>; SESSIONS_MAX],
    report: Option<Box<Report>>,
}

/// What the workers tell of their connections.
struct Report {
    pipe: OwnedFd,
    watch: WatchId,
    /// What was read, up to the end of a line that is not whole yet.
    bytes: [u8; READ_BYTES],
    filled: usize,
}

/// The workers have nothing of it.
pub struct Nothing;

impl Worker for Nothing {}

impl Plugin for Cheetah {
    const NAME: &'static str = "cheetah";
    type Worker = Nothing;

    fn needs(config: &Config, _: usize) -> Needs {
        let (sessions, files) = match &config.plugins.cheetah {
            None => return Needs::default(),
            Some(Configured::Stdin) => (1, 4),
            // Listener, its directory, a client that is turned away, the pipe.
            Some(Configured::Server(_)) => (SESSIONS_MAX, SESSIONS_MAX + 5),
        };
        let process = sessions * (outbox::BYTES + size_of::<Session>()) + HEAP;
        Needs { process, process_files: files, ..Needs::default() }
    }

    fn start(config: &Config, _: usize) -> io::Result<Cheetah> {
        let Some(configured) = &config.plugins.cheetah else { return Ok(Cheetah(None)) };
        let shell = Box::leak(Box::new(Shell {
            configured: configured.clone(),
            facts: Facts { mode: String::from("STDIN"), user: runs_as(config) },
            users: [user(); 2],
            listener: None,
            standard: None,
            sessions: [const { None }; SESSIONS_MAX],
            report: None,
        }));
        match configured.place(config) {
            None => match standard(config) {
                Ok(standard) => shell.standard = Some(standard),
                Err(why) => tell(Warn, &format_args!("no admin shell: {why}")),
            },
            Some(place) => {
                shell.facts.mode = String::from("SERVER @ ") + &place.path.to_string_lossy();
                match listen(config, &place) {
                    Ok(listener) => shell.listener = Some(listener),
                    Err(error) => {
                        let path = &shell.facts.mode;
                        tell(
                            Warn,
                            &format_args!(
                                "no admin shell: {path}: {error}; name another path with Socket in [CHEETAH]"
                            ),
                        );
                    }
                }
            }
        }
        Ok(Cheetah(Some(shell)))
    }

    fn removes_in(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref()?.listener.as_ref().map(LocalListener::directory)
    }

    fn run(&mut self, host: &Arc<dyn Host>, watches: &mut Watches) -> io::Result<()> {
        let Some(shell) = &mut self.0 else { return Ok(()) };
        shell.users[1] = user();
        if let Some(listener) = &shell.listener {
            // It is watched until the end.
            match watches.add(listener.as_fd(), Watch::Read, LISTENER, 0) {
                Ok(_) => tell(Info, &format_args!("admin shell: {}", shell.facts.mode)),
                Err(errno) => tell(Warn, &format_args!("no admin shell: {errno}")),
            }
        }
        if let Some(Standard { input, output, coloured }) = shell.standard.take() {
            let mut session = Session::new(input, Some(output), Outbox::new()?);
            session.greet(if coloured { Form::Coloured } else { Form::Plain });
            shell.begin(session, &**host, watches);
        }
        Ok(())
    }

    fn worker(&self, _: usize) -> io::Result<Nothing> {
        Ok(Nothing)
    }

    fn reconfigure(&mut self, live: &Live) -> io::Result<()> {
        if live.config().plugins.cheetah.as_ref() != self.0.as_ref().map(|shell| &shell.configured) {
            tell(Warn, &"the change of [CHEETAH] takes effect at the next start");
        }
        Ok(())
    }

    fn event(&mut self, key: u32, happened: Happened, host: &Arc<dyn Host>, watches: &mut Watches) {
        let Some(shell) = &mut self.0 else { return };
        let host = &**host;
        match key {
            LISTENER => shell.accept(host, watches),
            REPORT => shell.hear_report(happened == Happened::TimedOut, host, watches),
            _ => {
                let index = ((key - FIRST) / 2) as usize;
                let Some(Some(session)) = shell.sessions.get_mut(index) else { return };
                let goes = match happened {
                    Happened::TimedOut => !session.timed_out(),
                    Happened::Failed => true,
                    _ => false,
                };
                shell.pump(index, goes, host, watches);
                // Who has taken some has room for more.
                shell.hear_report(false, host, watches);
            }
        }
    }

    fn stop(&mut self) {
        let Some(shell) = &mut self.0 else { return };
        for session in shell.sessions.iter_mut().flatten() {
            session.farewell("\nThe server stops.\n");
        }
        if let Some(listener) = &shell.listener {
            listener.remove();
        }
    }
}

impl Shell {
    /// Takes in who waits, if they may come in and there is room.
    fn accept(&mut self, host: &dyn Host, watches: &mut Watches) {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(Ok((socket, peer))) = self.listener.as_ref().map(LocalListener::accept) else { return };
            let refusal = if peer.uid != 0 && !self.users.contains(&peer.uid) {
                tell(Info, &format_args!("user {} (process {}) was turned away", peer.uid, peer.pid));
                "cheetah: only root and the user of the server may come in\n"
            } else if self.sessions.iter().all(Option::is_some) {
                "cheetah: there are four clients already\n"
            } else if let Ok(out) = Outbox::new() {
                self.begin(Session::new(socket, None, out), host, watches);
                continue;
            } else {
                "cheetah: no memory\n"
            };
            let _ = write(socket.as_fd(), refusal.as_bytes());
        }
    }

    /// Gives a session its place, and does what there is to do for it.
    #[inline(never)]
    fn begin(&mut self, mut session: Box<Session>, host: &dyn Host, watches: &mut Watches) {
        let Some(index) = self.sessions.iter().position(Option::is_none) else { return };
        let key = FIRST + 2 * index as u32;
        let watch = match watches.add(session.input(), Watch::Changes, key, 0) {
            Ok(watch) => watch,
            Err(errno) => return tell(Warn, &format_args!("a client can not be served: {errno}")),
        };
        // A file can not be watched, and never needs to be.
        let output = session.output().and_then(|output| watches.add(output, Watch::Changes, key + 1, 0).ok());
        session.watched(Some(watch), output);
        if let Some(place) = self.sessions.get_mut(index) {
            *place = Some(session);
        }
        self.pump(index, false, host, watches);
    }

    #[inline(never)]
    fn pump(&mut self, index: usize, goes: bool, host: &dyn Host, watches: &mut Watches) {
        let Some(place) = self.sessions.get_mut(index) else { return };
        let Some(session) = place else { return };
        let scene = Scene { host, facts: &self.facts };
        let mut next = if goes { Next::Drop } else { session.pump(&scene, watches) };
        if next == Next::Connections
            && let Err(why) = ask(&mut self.report, host, watches)
        {
            session.not_told(why);
            next = session.pump(&scene, watches);
        }
        if next == Next::Drop {
            session.end(watches);
            *place = None;
        }
    }

    /// Passes on what the workers tell, to all who wait for it and as fast as they take it.
    #[inline(never)]
    fn hear_report(&mut self, late: bool, host: &dyn Host, watches: &mut Watches) {
        let Some(mut report) = self.report.take() else { return };
        let mut over = late;
        while !over {
            if self.pump_waiting(None, host, watches) {
                self.report = Some(report);
                return;
            }
            let room = report.bytes.get_mut(report.filled..).unwrap_or_default();
            match read(report.pipe.as_fd(), room) {
                Ok(0) => over = true,
                Ok(count) => {
                    report.filled += count;
                    self.tell(&mut report);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.report = Some(report);
                    return;
                }
                Err(_) => over = true,
            }
        }
        watches.remove(report.watch, report.pipe.as_fd());
        self.pump_waiting(Some(host.connections()), host, watches);
    }

    /// Sends what there is to those who wait for the workers; says whether one of them has no room for more. `told` = there is no
    /// more, of so many.
    #[inline(never)]
    fn pump_waiting(&mut self, told: Option<u32>, host: &dyn Host, watches: &mut Watches) -> bool {
        let mut full = false;
        for index in 0..SESSIONS_MAX {
            if let Some(Some(session)) = self.sessions.get_mut(index)
                && session.waits()
            {
                if let Some(connections) = told {
                    session.told(connections);
                }
                self.pump(index, false, host, watches);
            }
            if let Some(Some(session)) = self.sessions.get(index) {
                full |= session.waits() && !session.has_room(READ_ROOM);
            }
        }
        full
    }

    /// Takes the whole lines.
    fn tell(&mut self, report: &mut Report) {
        let read = report.bytes.get(..report.filled).unwrap_or_default();
        let Some(end) = read.iter().rposition(|byte| *byte == b'\n') else { return };
        let mut lines = read.get(..end).unwrap_or_default();
        while !lines.is_empty() {
            let line = part(&mut lines, b'\n');
            for session in self.sessions.iter_mut().flatten() {
                session.tell(line);
            }
        }
        report.bytes.copy_within(end + 1..report.filled, 0);
        report.filled -= end + 1;
    }
}

/// Logs a message.
#[inline(never)]
fn tell(level: Level, what: &dyn Display) {
    say(level, format_args!("cheetah: {what}"));
}

/// Has the workers tell of their connections.
fn ask(report: &mut Option<Box<Report>>, host: &dyn Host, watches: &mut Watches) -> Result<(), &'static str> {
    const BUSY: &str = "The workers are telling of their connections already: try again";
    const NONE: &str = "There is no descriptor for a pipe";
    if report.is_some() {
        return Err(BUSY);
    }
    let Ok((reader, writer)) = pipe() else { return Err(NONE) };
    enlarge(reader.as_fd(), REPORT_ROOM);
    let Ok(watch) = watches.add(reader.as_fd(), Watch::Changes, REPORT, REPORT_MS) else { return Err(NONE) };
    if !host.tell_connections(writer) {
        watches.remove(watch, reader.as_fd());
        return Err(BUSY);
    }
    *report = Some(Box::new(Report { pipe: reader, watch, bytes: [0; READ_BYTES], filled: 0 }));
    Ok(())
}
