//! A child: waits at its handler's port, takes one connection, and serves the one request that comes over it.

use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;
use std::rc::Rc;

use crate::config::palm::Handler;
use crate::limits::PALM_HEAD_MAX;
use crate::log::error;
use crate::palm::answer::{self, Refusal, refusal};
use crate::palm::now_ms;
use crate::palm::script::{Call, STOP_MS, shown};
use crate::palm::table::Word;
use crate::sys::Errno;
use crate::sys::child::end_with_parent;
use crate::sys::confine::forbid_new_rights;
use crate::sys::credentials::{Identity, drop_to};
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::file::{Kind, meta};
use crate::sys::fork::{Waited, wait};
use crate::sys::pipe;
use crate::sys::process::set_thread_name;
use crate::sys::replace::place;
use crate::sys::signal::{Signal, SignalFd};
use crate::sys::socket::{accept, receive, reset_on_close};
use crate::wire::palm::{PalmError, PalmRequest, Reader};

/// How long a client may take to send the head, milliseconds.
const HEAD_MS: u64 = 10_000;

/// Longer than a head may be, or with more variables.
pub(super) const TOO_LARGE: Refusal =
    refusal("431 Request Header Fields Too Large", "The path and the variables of the request are too long.");

/// What a child is forked for.
pub(super) struct Job {
    pub(super) handler: Rc<Handler>,
    /// Whom to become.
    pub(super) identity: Option<Rc<Identity>>,
    pub(super) listener: OwnedFd,
    /// Where the master hears of it.
    pub(super) tell: OwnedFd,
    /// The master's process id.
    pub(super) master: u32,
}

/// Serves one request.
pub(super) fn serve(job: Job) -> ExitCode {
    set_thread_name(&format!("palm {}", job.handler.name));
    let Some((socket, signals)) = wait_for_one(&job) else { return ExitCode::FAILURE };
    let Job { handler, listener, tell, .. } = job;
    say(&tell, Word::Taken);
    // Whoever comes next is for other children.
    drop(listener);
    Service { handler: &handler, tell: &tell, signals, stop_at: None }.serve(socket);
    ExitCode::SUCCESS
}

/// Tells the master something of this process. The pipe has room for more words than there can be processes.
pub(super) fn say(tell: &OwnedFd, word: Word) {
    let _ = pipe::write(tell.as_fd(), &word.encode(std::process::id()));
}

/// Gives up what is not needed and waits for a connection. SIGTERM and SIGUSR1 end it meanwhile, and only then: never between a connection and its
/// answer. None = it can not be done, which was told.
fn wait_for_one(job: &Job) -> Option<(OwnedFd, SignalFd)> {
    let told = |what, error: &dyn fmt::Display| error!("palm {}: {what}: {error}", job.handler.name);
    if let Some(identity) = &job.identity {
        drop_to(identity).map_err(|error| told("cannot become User", &error)).ok()?;
        forbid_new_rights().map_err(|error| told("cannot forbid new rights", &error)).ok()?;
    }
    let failed = |error| told("cannot begin", &error);
    end_with_parent(job.master).map_err(failed).ok()?;
    let signals = SignalFd::open(&[Signal::Term, Signal::Child]).map_err(failed).ok()?;
    let epoll = Epoll::new().map_err(failed).ok()?;
    let refused = |errno: Errno| told("cannot wait", &errno);
    // All that wait are woken. Were it one alone, and that one told to end right then, nobody would come for the connection.
    epoll.add(job.listener.as_fd(), Interest::Read, 0).map_err(refused).ok()?;
    let mut events = Events::with_capacity(1);
    loop {
        epoll.wait_for_signals(&mut events, &[Signal::Term, Signal::Usr1]).map_err(refused).ok()?;
        match accept(job.listener.as_fd()) {
            Ok((socket, _)) => return Some((socket, signals)),
            // Another child was faster, or the client is gone again.
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
            Err(errno) => {
                refused(errno);
                return None;
            }
        }
    }
}

/// One request, from its connection to its end.
pub(super) struct Service<'a> {
    pub(super) handler: &'a Handler,
    pub(super) tell: &'a OwnedFd,
    pub(super) signals: SignalFd,
    /// The server is to end: so has the script by this time.
    pub(super) stop_at: Option<u64>,
}

impl Service<'_> {
    fn serve(&mut self, socket: OwnedFd) {
        let mut buffer = vec![0; PALM_HEAD_MAX];
        let done = match self.read_head(&socket, &mut buffer) {
            Ok(Some((head, come))) => self.run(head, come, &mut buffer, &socket),
            Ok(None) => return,
            Err(refusal) => Err((refusal, Vec::new())),
        };
        match done {
            Ok(true) => {}
            // A part of an answer is not to be taken for the whole, which ends with the connection.
            Ok(false) => return reset_on_close(socket.as_fd()),
            Err((refusal, path)) => {
                self.log(&refusal, &path);
                answer::send(&socket, &refusal);
            }
        }
        answer::leave(socket, &mut buffer);
    }

    /// A refusal is also told to the operator.
    fn log(&self, refusal: &Refusal, path: &[u8]) {
        error!("palm {}: {}: {}: {}", self.handler.name, refusal.status, refusal.why, shown(path));
    }

    /// Notes that the server is to end, if it is. True = it is said now.
    pub(super) fn is_to_stop(&mut self) -> bool {
        if self.stop_at.is_none() {
            self.stop_at = Some(now_ms() + STOP_MS);
            return true;
        }
        false
    }

    /// The head and how many bytes have come; None = the client has said nothing at all.
    fn read_head(&mut self, socket: &OwnedFd, buffer: &mut [u8]) -> Result<Option<(PalmRequest, usize)>, Refusal> {
        let (mut reader, mut come) = (Reader::new(), 0);
        let end = now_ms() + HEAD_MS;
        loop {
            let left = end.min(self.stop_at.unwrap_or(end)).saturating_sub(now_ms());
            if left == 0 {
                let late = refusal("408 Request Timeout", "The request did not come in time.");
                return if come == 0 { Ok(None) } else { Err(late) };
            }
            let mut all = [
                Waited::input(socket.as_fd(), true),
                Waited::input(self.signals.as_fd(), self.stop_at.is_none()),
                Waited::nothing(),
            ];
            wait(&mut all, u32::try_from(left).unwrap_or(u32::MAX));
            let [socket_found, signals_found, _] = all.map(|waited| waited.is_ready() || waited.is_broken());
            if signals_found && self.signals.read() == Some(Signal::Term) {
                self.is_to_stop();
            }
            if !socket_found {
                continue;
            }
            match receive(socket.as_fd(), buffer.get_mut(come..).unwrap_or_default()) {
                Ok(0) if come == 0 => return Ok(None),
                Ok(0) => return Err(refusal("400 Bad Request", "The request ends before it is whole.")),
                Ok(count) => come += count,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(_) => return Ok(None),
            }
            match reader.next(buffer.get(..come).unwrap_or_default()) {
                Ok(Some(head)) => return Ok(Some((head, come))),
                Ok(None) => {}
                Err(PalmError::TooLarge) => return Err(TOO_LARGE),
                Err(PalmError::Malformed(why)) => return Err(refusal("400 Bad Request", why)),
            }
        }
    }

    fn run(
        &mut self,
        head: PalmRequest,
        come: usize,
        buffer: &mut [u8],
        socket: &OwnedFd,
    ) -> Result<bool, (Refusal, Vec<u8>)> {
        let path = head.path.of(buffer).to_vec();
        let limit = self.handler.max_body_size;
        let done = if limit > 0 && head.length > limit {
            Err(refusal("413 Request Entity Too Large", "The request body is too large."))
        } else {
            match self.find(&path) {
                Ok(script) => Call { service: self, script: &script, head }.run(come, buffer, socket),
                Err(refusal) => Err(refusal),
            }
        };
        done.map_err(|refusal| (refusal, path))
    }

    /// The script that a path leads to, without any link or `..` in its own.
    fn find(&self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        let (file, script) = place(path).map_err(|errno| match errno {
            Errno::ACCES => refusal("403 Forbidden", "The script is out of reach."),
            _ => refusal("404 Not Found", "There is no such script."),
        })?;
        let root = self.handler.root.as_bytes();
        if !root.is_empty() {
            let Ok((_, root)) = place(root) else {
                return Err(refusal("500 Internal Server Error", "The directory of the scripts is not there."));
            };
            if !is_below(&script, &root) {
                return Err(refusal("403 Forbidden", "The script is not where scripts are run."));
            }
        }
        match meta(file.as_fd()) {
            Ok(meta) if meta.kind == Kind::Regular => Ok(script),
            _ => Err(refusal("403 Forbidden", "This is no regular file.")),
        }
    }
}

/// Whether a path without links and dots is in a directory of the same kind.
fn is_below(path: &[u8], root: &[u8]) -> bool {
    path.strip_prefix(root).is_some_and(|rest| root == b"/" || rest.first() == Some(&b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_means_whole_names() {
        for (path, root, is) in [
            ("/srv/www/a", "/srv/www", true),
            ("/srv/www/a", "/", true),
            ("/srv/www2/a", "/srv/www", false),
            ("/srv/www", "/srv/www", false),
            ("/srv", "/srv/www", false),
        ] {
            assert_eq!(is_below(path.as_bytes(), root.as_bytes()), is, "{path} {root}");
        }
    }
}
