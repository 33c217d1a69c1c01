//! A script while it runs: how it is started, what it is given, how long it may take, what is answered when it says nothing.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Display, Path};

use crate::log::error;
use crate::palm::answer::{Refusal, refusal};
use crate::palm::child::{Service, TOO_LARGE, say};
use crate::palm::environment::passed_on;
use crate::palm::now_ms;
use crate::palm::table::Word;
use crate::sys::Errno;
use crate::sys::child::{End, reap};
use crate::sys::fork::{Program, Texts, Waited, end_group, search_path, wait, written};
use crate::sys::pipe::{self, pipe};
use crate::sys::signal::Signal;
use crate::sys::socket::receive;
use crate::wire::palm::PalmRequest;

/// How long a script may still run when the server is to end, milliseconds.
pub(super) const STOP_MS: u64 = 10_000;
/// Between SIGTERM and SIGKILL, milliseconds.
pub(super) const GRACE_MS: u64 = 2_000;
/// How often it is looked whether a script writes, milliseconds.
const LOOK_MS: u64 = 1_000;
/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &[u8] = b"/usr/local/bin:/usr/bin:/bin";

/// The system is full.
const NO_ROOM: Refusal = refusal("503 Service Unavailable", "There is no room for another process.");

/// A script that is to be run for a request.
pub(super) struct Call<'a, 's> {
    pub(super) service: &'a mut Service<'s>,
    /// Its path.
    pub(super) script: &'a [u8],
    pub(super) head: PalmRequest,
}

/// Why a script is made to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Reason {
    /// Its time is over.
    Time,
    /// The server is to end.
    Stop,
    /// The client has left.
    Left,
}

impl Call<'_, '_> {
    /// Runs it to its end. The buffer holds the head and what has come of the body by now, `come` bytes together. False =
    /// it has not ended by itself, so that its answer may be a part of one.
    pub(super) fn run(self, come: usize, buffer: &mut [u8], socket: &OwnedFd) -> Result<bool, Refusal> {
        let (input, stdin) = pipe().map_err(|_| NO_ROOM)?;
        let pid = self.start(buffer, &input, socket)?;
        drop(input);
        say(self.service.tell, Word::Runs(pid));
        let here = come.saturating_sub(self.head.end);
        let here = usize::try_from(self.head.length).map_or(here, |length| length.min(here));
        let mut watch = Watch {
            limit: u64::from(self.service.handler.timeout).saturating_mul(1000),
            pid,
            stdin: Some(stdin),
            at: self.head.end,
            end: self.head.end.saturating_add(here),
            left: self.head.length.saturating_sub(here as u64),
            moved: now_ms(),
            written: 0,
            ending: None,
        };
        let end = watch.run(self.service, buffer, socket);
        let reason = watch.ending.map(|(reason, _)| reason);
        let (name, path) = (&self.service.handler.name, shown(self.script));
        match reason {
            Some(Reason::Left) => return Ok(true),
            Some(Reason::Time) => error!("palm {name}: {path} took too long and was ended: process {pid}"),
            Some(Reason::Stop) => error!("palm {name}: {path} was ended with the server: process {pid}"),
            None if end != End::Exited(0) => error!("palm {name}: {path} ended with {end}: process {pid}"),
            None => {}
        }
        match reason {
            _ if written(socket.as_fd()) != Some(0) => Ok(reason.is_none() && matches!(end, End::Exited(_))),
            Some(Reason::Time) => Err(refusal("504 Gateway Timeout", "The script took too long.")),
            Some(Reason::Stop) => Err(refusal("503 Service Unavailable", "The server is being stopped.")),
            _ => Err(refusal("500 Internal Server Error", "The script has ended without an answer.")),
        }
    }

    /// Starts it; gives its process id.
    fn start(&self, buffer: &[u8], input: &OwnedFd, socket: &OwnedFd) -> Result<u32, Refusal> {
        let handler = self.service.handler;
        let variables = passed_on(self.head.variables(buffer)).ok_or(TOO_LARGE)?;
        let (mut arguments, mut environment) = (Texts::default(), Texts::default());
        environment.push(&[b"PATH=", search_path().as_deref().unwrap_or(DEFAULT_PATH)]);
        // What is run is what was looked at, whatever the client calls it.
        environment.push(&[b"SCRIPT_FILENAME=", self.script]);
        if !variables.iter().any(|(name, _)| *name == b"REDIRECT_STATUS") {
            // Without it php-cgi takes itself for a program that was called by its address.
            environment.push(&[b"REDIRECT_STATUS=200"]);
        }
        for (name, value) in variables {
            environment.push(&[name, b"=", value]);
        }
        let exec = handler.exec.as_bytes();
        arguments.push(&[if exec.is_empty() { self.script } else { exec }]);
        for word in handler.arguments.as_bytes().split(u8::is_ascii_whitespace) {
            if !word.is_empty() {
                arguments.push(&[word]);
            }
        }
        if !exec.is_empty() {
            arguments.push(&[self.script]);
        }
        let program = Program {
            arguments: &arguments,
            environment: &environment,
            beside: self.script,
            input: input.as_fd(),
            output: socket.as_fd(),
        };
        program.start().map_err(|errno| {
            error!("palm {}: {}: cannot be run: {errno}", handler.name, shown(self.script));
            match errno {
                Errno::AGAIN | Errno::NOMEM | Errno::MFILE | Errno::NFILE => NO_ROOM,
                Errno::ACCES if exec.is_empty() => refusal("403 Forbidden", "The script may not be executed."),
                _ => refusal("500 Internal Server Error", "The script can not be run."),
            }
        })
    }
}

/// A path for a message.
pub(super) fn shown(path: &[u8]) -> Display<'_> {
    Path::new(OsStr::from_bytes(path)).display()
}

/// A script that runs, and the body on its way to it.
struct Watch {
    /// Milliseconds without a move after which it is ended.
    limit: u64,
    pid: u32,
    /// Its stdin; None once all of the body is there, or it wants no more.
    stdin: Option<OwnedFd>,
    /// What waits in the buffer for room in the pipe.
    at: usize,
    end: usize,
    /// Bytes of the body that have not come yet.
    left: u64,
    /// When it took of the body, or wrote, last.
    moved: u64,
    /// What it had written then.
    written: u64,
    /// It was told to end: why, and when it is killed.
    ending: Option<(Reason, u64)>,
}

impl Watch {
    /// Returns when it has ended.
    fn run(&mut self, service: &mut Service<'_>, buffer: &mut [u8], socket: &OwnedFd) -> End {
        loop {
            self.pass_on(buffer);
            let now = now_ms();
            self.look_at_time(now, service.stop_at, socket);
            let wants = self.stdin.is_some() && self.at == self.end && self.left > 0;
            let mut all = [
                Waited::input(service.signals.as_fd(), true),
                // Of a client that has left there is nothing more to learn.
                if self.ending.is_none() { Waited::input(socket.as_fd(), wants) } else { Waited::nothing() },
                match &self.stdin {
                    Some(stdin) => Waited::output(stdin.as_fd(), self.at < self.end),
                    None => Waited::nothing(),
                },
            ];
            let until = match self.ending {
                Some((_, at)) => at.saturating_sub(now),
                None => self.moved.saturating_add(self.limit).saturating_sub(now).min(LOOK_MS),
            };
            wait(&mut all, u32::try_from(until).unwrap_or(u32::MAX).max(1));
            let [signals, from_client, to_script] = &all;
            let (has_input, is_gone, closed) = (from_client.is_ready(), from_client.is_broken(), to_script.is_broken());
            if signals.is_ready() {
                while let Some(signal) = service.signals.read() {
                    if signal == Signal::Term {
                        service.is_to_stop();
                    }
                }
                while let Some((pid, end)) = reap() {
                    if pid == self.pid {
                        if self.ending.is_some() {
                            // Whatever it has started.
                            end_group(pid, true);
                        }
                        return end;
                    }
                }
            }
            if closed {
                self.stdin = None;
            }
            if is_gone {
                self.end(Reason::Left);
            } else if has_input {
                self.take(buffer, socket);
            }
        }
    }

    /// Reads of the body.
    fn take(&mut self, buffer: &mut [u8], socket: &OwnedFd) {
        let room = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        match receive(socket.as_fd(), buffer.get_mut(..room).unwrap_or_default()) {
            // A part of a body is not to be taken for the whole.
            Ok(0) => self.end(Reason::Left),
            Ok(count) => {
                (self.at, self.end) = (0, count);
                self.left = self.left.saturating_sub(count as u64);
                self.moved = now_ms();
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.end(Reason::Left),
        }
    }

    /// Writes what there is room for, and closes the pipe behind the last of the body.
    fn pass_on(&mut self, buffer: &[u8]) {
        let Some(stdin) = &self.stdin else { return };
        let waiting = buffer.get(self.at..self.end).unwrap_or_default();
        if !waiting.is_empty() {
            match pipe::write(stdin.as_fd(), waiting) {
                Ok(count) => {
                    self.at += count;
                    self.moved = now_ms();
                }
                Err(Errno::AGAIN | Errno::INTR) => {}
                // It wants no more.
                Err(_) => self.stdin = None,
            }
        }
        if self.at >= self.end && self.left == 0 {
            self.stdin = None;
        }
    }

    /// Ends it when its time, or that of the server, is over.
    fn look_at_time(&mut self, now: u64, stop_at: Option<u64>, socket: &OwnedFd) {
        if let Some((reason, at)) = self.ending {
            if at <= now {
                end_group(self.pid, true);
                self.ending = Some((reason, now.saturating_add(GRACE_MS)));
            }
            return;
        }
        // One that writes to a client that reads slowly is at work.
        let written = written(socket.as_fd()).unwrap_or(0);
        if written != self.written {
            (self.written, self.moved) = (written, now);
        }
        if stop_at.is_some_and(|at| at <= now) {
            self.end(Reason::Stop);
        } else if self.moved.saturating_add(self.limit) <= now {
            self.end(Reason::Time);
        }
    }

    /// Tells it to end. Its stdin stays open meanwhile: the end of it would be taken for the end of the body.
    fn end(&mut self, reason: Reason) {
        if self.ending.is_none() {
            self.ending = Some((reason, now_ms() + GRACE_MS));
            end_group(self.pid, false);
        }
    }
}
