//! cheetah: the admin shell, on a local socket or on the server's own terminal. docs/plugins/CHEETAH.md says what it can.
//!
//! It lives in the main thread, which accepts connections: nothing here waits for a client. Up to [`SESSIONS_MAX`] clients have
//! [`outbox::BYTES`] of answer each and one line; what does not fit is left out, and who does not read is cut off. Unlike what serves
//! requests it allocates: a command takes a few KB while it is answered.

pub mod client;
mod commands;
mod outbox;
mod protocol;
mod session;
mod sheet;
mod start;

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::log::{info, warn};

use self::commands::{Facts, Scene};
use self::outbox::Outbox;
use self::session::{Next, Session};
use self::start::{Standard, facts, listen, standard};
use crate::config::Config;
use crate::config::plugins::cheetah::Cheetah as Configured;
use crate::plugin::events::{Happened, Watch, WatchId, Watches};
use crate::plugin::hooks::{Needs, Plugin, Worker};
use crate::plugin::host::Host;
use crate::sys::Errno;
use crate::sys::pipe::{enlarge, pipe, read};
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

/// The shell.
pub struct Cheetah {
    configured: Option<Configured>,
    facts: Facts,
    /// Who is let in besides root.
    users: [u32; 2],
    listener: Option<LocalListener>,
    listener_watch: Option<WatchId>,
    standard: Option<Standard>,
    sessions: [Option<Box<Session>>; SESSIONS_MAX],
    report: Option<Report>,
}

/// What the workers tell of their connections.
struct Report {
    pipe: OwnedFd,
    watch: WatchId,
    /// A line that is not whole yet.
    line: Vec<u8>,
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
        let configured = config.plugins.cheetah.clone();
        let (mut listener, mut terminal, mut mode) = (None, None, String::new());
        match configured.as_ref().map(|configured| configured.place(config)) {
            None => {}
            Some(None) => {
                mode.push_str("STDIN");
                terminal = standard(config).map_err(|why| warn!("cheetah: no admin shell: {why}")).ok();
            }
            Some(Some(place)) => {
                mode = format!("SERVER @ {}", place.path.display());
                match listen(config, &place) {
                    Ok(bound) => listener = Some(bound),
                    Err(error) => warn!(
                        "cheetah: no admin shell: {}: {error}; name another path with Socket in [CHEETAH]",
                        place.path.display()
                    ),
                }
            }
        }
        let facts = if configured.is_some() { facts(config, mode) } else { Facts::default() };
        Ok(Cheetah {
            configured,
            facts,
            users: [user(); 2],
            listener,
            listener_watch: None,
            standard: terminal,
            sessions: [const { None }; SESSIONS_MAX],
            report: None,
        })
    }

    fn removes_in(&self) -> Option<BorrowedFd<'_>> {
        self.listener.as_ref().map(LocalListener::directory)
    }

    fn run(&mut self, host: &Arc<dyn Host>, watches: &mut Watches) -> io::Result<()> {
        self.users[1] = user();
        if let Some(listener) = &self.listener {
            match watches.add(listener.as_fd(), Watch::Read, LISTENER, 0) {
                Ok(watch) => self.listener_watch = Some(watch),
                Err(errno) => warn!("cheetah: no admin shell: {errno}"),
            }
            info!("cheetah: admin shell: {}", self.facts.mode);
        }
        if let Some(Standard { input, output, coloured }) = self.standard.take() {
            let session = Session::of_terminal(input, output, coloured, Outbox::new()?);
            self.begin(session, host, watches);
        }
        Ok(())
    }

    fn worker(&self, _: usize) -> io::Result<Nothing> {
        Ok(Nothing)
    }

    fn reconfigure(&mut self, live: &Live) -> io::Result<()> {
        if live.config().plugins.cheetah != self.configured {
            warn!("cheetah: the change of [CHEETAH] takes effect at the next start");
        }
        Ok(())
    }

    fn event(&mut self, key: u32, happened: Happened, host: &Arc<dyn Host>, watches: &mut Watches) {
        match key {
            LISTENER => self.accept(host, watches),
            REPORT => self.hear_report(happened == Happened::TimedOut, host, watches),
            _ => {
                let index = ((key - FIRST) / 2) as usize;
                let Some(Some(session)) = self.sessions.get_mut(index) else { return };
                let goes = match happened {
                    Happened::TimedOut => !session.timed_out(),
                    Happened::Failed => true,
                    _ => false,
                };
                self.pump(index, goes, host, watches);
                // Who has taken some has room for more.
                self.hear_report(false, host, watches);
            }
        }
    }

    fn stop(&mut self) {
        for session in self.sessions.iter_mut().flatten() {
            session.farewell("\nThe server stops.\n");
        }
        if let Some(listener) = self.listener.take() {
            listener.remove();
        }
    }
}

impl Cheetah {
    /// Takes in who waits, if they may come in and there is room.
    fn accept(&mut self, host: &Arc<dyn Host>, watches: &mut Watches) {
        for _ in 0..ACCEPTS_A_TURN {
            let Some(Ok((socket, peer))) = self.listener.as_ref().map(LocalListener::accept) else { return };
            let refusal = match self.sessions.iter().any(Option::is_none) {
                _ if peer.uid != 0 && !self.users.contains(&peer.uid) => {
                    info!("cheetah: user {} (process {}) was turned away", peer.uid, peer.pid);
                    "cheetah: only root and the user of the server may come in\n"
                }
                true => match Outbox::new() {
                    Ok(out) => {
                        self.begin(Session::new(socket, out), host, watches);
                        continue;
                    }
                    Err(_) => "cheetah: no memory\n",
                },
                false => "cheetah: there are four clients already\n",
            };
            let _ = crate::sys::pipe::write(socket.as_fd(), refusal.as_bytes());
        }
    }

    /// Gives a session its place, and does what there is to do for it.
    fn begin(&mut self, mut session: Session, host: &Arc<dyn Host>, watches: &mut Watches) {
        let Some(index) = self.sessions.iter().position(Option::is_none) else { return };
        let key = FIRST + 2 * index as u32;
        let watch = match watches.add(session.input(), Watch::Changes, key, 0) {
            Ok(watch) => watch,
            Err(errno) => return warn!("cheetah: a client can not be served: {errno}"),
        };
        // A file can not be watched, and never needs to be.
        let output = session.output().and_then(|output| watches.add(output, Watch::Changes, key + 1, 0).ok());
        session.watched(Some(watch), output);
        if let Some(place) = self.sessions.get_mut(index) {
            *place = Some(Box::new(session));
        }
        self.pump(index, false, host, watches);
    }

    fn pump(&mut self, index: usize, goes: bool, host: &Arc<dyn Host>, watches: &mut Watches) {
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
        if next == Next::Drop
            && let Some(session) = place.take()
        {
            session.end(watches);
        }
    }

    /// Passes on what the workers tell, to all who wait for it and as fast as they take it.
    fn hear_report(&mut self, late: bool, host: &Arc<dyn Host>, watches: &mut Watches) {
        let Some(mut report) = self.report.take() else { return };
        let mut over = late;
        while !over {
            self.pump_waiting(host, watches);
            if self.sessions.iter().flatten().any(|session| session.waits() && !session.has_room(READ_ROOM)) {
                break;
            }
            let mut bytes = [0; READ_BYTES];
            match read(report.pipe.as_fd(), &mut bytes) {
                Ok(0) => over = true,
                Ok(count) => {
                    report.line.extend_from_slice(bytes.get(..count).unwrap_or_default());
                    self.tell(&mut report.line);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                Err(_) => over = true,
            }
        }
        if !over {
            self.report = Some(report);
            return;
        }
        watches.remove(report.watch, report.pipe.as_fd());
        for index in 0..SESSIONS_MAX {
            if let Some(Some(session)) = self.sessions.get_mut(index)
                && session.waits()
            {
                session.told(host.connections());
                self.pump(index, false, host, watches);
            }
        }
    }

    /// Sends what there is to those who wait for the workers.
    fn pump_waiting(&mut self, host: &Arc<dyn Host>, watches: &mut Watches) {
        for index in 0..SESSIONS_MAX {
            if self.sessions.get(index).and_then(Option::as_ref).is_some_and(|session| session.waits()) {
                self.pump(index, false, host, watches);
            }
        }
    }

    /// Takes the whole lines.
    fn tell(&mut self, lines: &mut Vec<u8>) {
        let mut rest: &[u8] = lines;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, b""));
            let line = std::str::from_utf8(line).unwrap_or_default();
            self.sessions.iter_mut().flatten().for_each(|session| session.tell(line));
            rest = behind.get(1..).unwrap_or_default();
        }
        let used = lines.len() - rest.len();
        lines.drain(..used);
    }
}

/// Has the workers tell of their connections.
fn ask(report: &mut Option<Report>, host: &Arc<dyn Host>, watches: &mut Watches) -> Result<(), &'static str> {
    const BUSY: &str = "The workers are telling of their connections already: try again";
    if report.is_some() {
        return Err(BUSY);
    }
    let (reader, writer) = pipe().map_err(|_| "There is no descriptor for a pipe")?;
    enlarge(reader.as_fd(), REPORT_ROOM);
    let added = watches.add(reader.as_fd(), Watch::Changes, REPORT, REPORT_MS);
    let watch = added.map_err(|_| "The pipe can not be watched")?;
    if !host.tell_connections(writer) {
        watches.remove(watch, reader.as_fd());
        return Err(BUSY);
    }
    *report = Some(Report { pipe: reader, watch, line: Vec::new() });
    Ok(())
}
