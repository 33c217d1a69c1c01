//! The master: holds the ports, keeps as many children waiting as the configuration says, hears signals. It reads nothing from the
//! network, so that no client reaches what holds the rights.

use std::fmt::{self, Write};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use crate::config::palm::{Handler, Palm, RUN_DIR, load};
use crate::log::{error, info, warn};
use crate::palm::child::Job;
use crate::palm::script::{GRACE_MS, STOP_MS};
use crate::palm::table::{Child, State, WORD, Word, tell_children};
use crate::palm::{now_ms, open_log};
use crate::sys::child::{End, fork, kill, reap, report_ends};
use crate::sys::credentials::{Identity, lookup_user};
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::fork::end_group;
use crate::sys::pipe::{self, pipe};
use crate::sys::process::{is_root, set_thread_name};
use crate::sys::signal::{Signal, SignalFd, block, ignore_pipe, send};
use crate::sys::socket::{Buffers, ListenOptions, listen, local_address};
use crate::sys::unix::{LocalListener, make_directory};
use crate::sys::{Errno, image};

/// The signals that are heard. SIGUSR2 does nothing: its default would end the process.
const SIGNALS: [Signal; 7] =
    [Signal::Term, Signal::Int, Signal::Quit, Signal::Hup, Signal::Usr1, Signal::Usr2, Signal::Child];
/// What an event is of.
const OF_SIGNALS: u64 = 0;
const OF_WORDS: u64 = 1;
const OF_STATUS: u64 = 2;

/// The pause before the second start in a row of a handler whose children die unused, milliseconds; each further one is twice as long.
const FIRST_PAUSE_MS: u64 = 100;
/// The longest of them.
const LONGEST_PAUSE_MS: u64 = 5_000;
/// How long a child must have lived for its death to be a first one again, milliseconds.
const LONG_LIFE_MS: u64 = 10_000;
/// What children get beyond the time that they give their scripts when the server is to end, milliseconds.
const END_MS: u64 = STOP_MS + GRACE_MS + 1_000;

/// Why the server does not start, or a reload is refused.
#[derive(Debug)]
pub(super) enum StartError {
    /// There is nothing to do.
    NoHandler,
    /// Scripts are to run as somebody who is not there.
    NoUser(String),
    /// A port can not be had.
    Listen(SocketAddr, io::Error),
    /// It has errors, which were told.
    Configuration,
    /// A key that only a start reads was changed.
    NeedsRestart(&'static str),
    /// The system refused.
    System(&'static str, io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::NoHandler => {
                f.write_str("no handler: write a section [NAME] with Port and Childs in palm.conf")
            }
            StartError::NoUser(name) => write!(f, "User {name}: no such user in /etc/passwd"),
            StartError::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            StartError::Configuration => f.write_str("errors in the configuration"),
            StartError::NeedsRestart(key) => write!(f, "needs restart: {key}"),
            StartError::System(what, error) => write!(f, "{what}: {error}"),
        }
    }
}

fn system(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |error| StartError::System(what, error)
}

/// A handler that serves.
struct Port {
    handler: Rc<Handler>,
    identity: Option<Rc<Identity>>,
    /// None once the server is to end.
    listener: Option<OwnedFd>,
    address: SocketAddr,
    requests: u64,
    /// Children that died of what they were doing.
    failed: u64,
    /// No child is started before.
    start_at: u64,
    /// The pause before the start after the next death.
    pause: u64,
}

impl Port {
    /// Whether a handler is to have this port.
    fn is_for(&self, handler: &Handler) -> bool {
        self.handler.address == handler.address && (handler.address.port() != 0 || self.handler.name == handler.name)
    }

    fn open(&mut self) -> io::Result<()> {
        let buffers = Buffers { defer_accept: 0, send_buffer: 0, receive_buffer: 0, not_sent_lowat: 0 };
        let listener = listen(self.address, &ListenOptions { dual_stack: false, reuse_port: false, buffers })?;
        self.address = local_address(listener.as_fd())?;
        info!("palm {} listening on {}: {} children", self.handler.name, self.address, self.handler.childs);
        self.listener = Some(listener);
        Ok(())
    }

    /// Has the next child started after the pause that is due; gives it, milliseconds.
    fn start_later(&mut self, now: u64) -> u64 {
        if self.start_at <= now {
            self.start_at = now + self.pause;
            self.pause = (self.pause * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
        }
        self.start_at - now
    }
}

pub(super) struct Master {
    status_path: PathBuf,
    /// The file that a reload reads.
    path: PathBuf,
    ports: Vec<Port>,
    children: Vec<Child>,
    signals: SignalFd,
    epoll: Epoll,
    /// What children say, and where they say it.
    words: OwnedFd,
    tell: OwnedFd,
    status: Option<LocalListener>,
    /// The end has begun; who is there at this time is killed.
    stop_at: Option<u64>,
}

/// Whether a configuration could be served by, as far as that can be told without doing it.
pub(super) fn check(palm: &Palm) -> Result<(), StartError> {
    for handler in &palm.handlers {
        identity(handler)?;
    }
    Ok(())
}

/// Whom the scripts of a handler run as: nobody else unless started by root.
fn identity(handler: &Handler) -> Result<Option<Rc<Identity>>, StartError> {
    if handler.user.is_empty() || !is_root() {
        return Ok(None);
    }
    match lookup_user(&handler.user) {
        Ok(Some(found)) => Ok(Some(Rc::new(found))),
        Ok(None) => Err(StartError::NoUser(handler.user.clone())),
        Err(error) => Err(StartError::System("cannot read /etc/passwd", error)),
    }
}

/// The ports of a configuration: those of `old` that it has too, the others are opened. And for each of `old` its new number.
fn open_ports(handlers: Vec<Handler>, old: &[Port]) -> Result<(Vec<Port>, Vec<Option<usize>>), StartError> {
    let (mut ports, mut numbers) = (Vec::new(), vec![None; old.len()]);
    for handler in handlers {
        let mut port = Port {
            address: handler.address,
            identity: identity(&handler)?,
            listener: None,
            requests: 0,
            failed: 0,
            start_at: 0,
            pause: 0,
            handler: Rc::new(handler),
        };
        for (old, new) in old.iter().zip(&mut numbers) {
            if old.is_for(&port.handler) {
                *new = Some(ports.len());
                (port.address, port.requests, port.failed) = (old.address, old.requests, old.failed);
                port.listener = old.listener.as_ref().and_then(|listener| listener.try_clone().ok());
            }
        }
        if port.listener.is_none() {
            port.open().map_err(|error| StartError::Listen(port.address, error))?;
        }
        ports.push(port);
    }
    if ports.is_empty() {
        return Err(StartError::NoHandler);
    }
    Ok((ports, numbers))
}

impl Master {
    pub(super) fn new(palm: Palm, path: PathBuf) -> Result<Master, StartError> {
        ignore_pipe()
            .and_then(|()| block(&SIGNALS))
            .and_then(|()| report_ends())
            .map_err(system("cannot take charge of signals"))?;
        set_thread_name("palm: master");
        let (ports, _) = open_ports(palm.handlers, &[])?;
        if is_root() && ports.iter().any(|port| port.identity.is_none()) {
            warn!("palm: scripts run as root: write User NAME in each section");
        }
        let status = open_status(&palm.status, palm.status_is_set);
        Master::watch(palm.status, path, ports, status).map_err(system("cannot watch events"))
    }

    fn watch(
        status_path: PathBuf,
        path: PathBuf,
        ports: Vec<Port>,
        status: Option<LocalListener>,
    ) -> io::Result<Master> {
        let (signals, (words, tell), epoll) = (SignalFd::open(&SIGNALS)?, pipe()?, Epoll::new()?);
        epoll.add(signals.as_fd(), Interest::Read, OF_SIGNALS)?;
        epoll.add(words.as_fd(), Interest::Read, OF_WORDS)?;
        if let Some(status) = &status {
            epoll.add(status.as_fd(), Interest::Read, OF_STATUS)?;
        }
        let children = Vec::new();
        Ok(Master { status_path, path, ports, children, signals, epoll, words, tell, status, stop_at: None })
    }

    /// Serves until a signal ends it. Returns in each child with what it is forked for, and at last in the master with nothing.
    pub(super) fn run(mut self) -> Option<Job> {
        let mut events = Events::with_capacity(4);
        let mut is_begun = false;
        let master = std::process::id();
        while self.stop_at.is_none() || !self.children.is_empty() {
            // One moment for both: what is not due for the one must not be over for the other.
            let now = now_ms();
            if let Some(number) = self.fill(now) {
                let port = self.ports.swap_remove(number);
                let (handler, identity, listener) = (port.handler, port.identity, port.listener?);
                return Some(Job { handler, identity, listener, tell: self.tell, master });
            }
            if !std::mem::replace(&mut is_begun, true) {
                info!("palm: process {}: {} handlers", std::process::id(), self.ports.len());
                // Nothing that was needed to get here is needed to wait.
                image::release_pages();
            }
            if let Err(errno) = self.epoll.wait(&mut events, self.patience(now)) {
                error!("palm: the event loop failed: {errno}");
                self.stop();
            }
            for event in (0..events.len()).filter_map(|index| events.get(index)) {
                match event.data {
                    OF_SIGNALS => self.take_signals(),
                    OF_WORDS => self.listen_to_children(),
                    _ => self.tell_status(),
                }
            }
            if self.stop_at.is_some_and(|at| at <= now_ms()) {
                self.kill_all();
            }
        }
        if let Some(status) = &self.status {
            status.remove();
        }
        info!("palm: ended");
        None
    }

    /// How long to wait, milliseconds; None = until something happens.
    fn patience(&self, now: u64) -> Option<u32> {
        let starts = self.ports.iter().map(|port| port.start_at).filter(|at| *at > now && self.stop_at.is_none());
        let at = starts.chain(self.stop_at).min().filter(|at| *at < u64::MAX)?;
        Some(u32::try_from(at.saturating_sub(now)).unwrap_or(u32::MAX).max(1))
    }

    /// Starts the children that are wanting. In one of them: the number of its port.
    fn fill(&mut self, now: u64) -> Option<usize> {
        if self.stop_at.is_some() {
            return None;
        }
        for number in 0..self.ports.len() {
            let (mut idle, running) = self.count(number);
            let Some(port) = self.ports.get_mut(number) else { break };
            let wanted = port.handler.childs.min(port.handler.max_running.saturating_sub(running));
            while idle < wanted && port.start_at <= now {
                match fork() {
                    Ok(None) => return Some(number),
                    Ok(Some(pid)) => {
                        self.children.push(Child { pid, handler: Some(number), state: State::Idle, since: now });
                        idle += 1;
                    }
                    Err(error) => {
                        port.pause = port.pause.max(FIRST_PAUSE_MS);
                        let pause = port.start_later(now);
                        error!("palm {}: cannot start a child: {error}; tried again in {pause} ms", port.handler.name);
                    }
                }
            }
        }
        None
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.read() {
            match signal {
                Signal::Child => {
                    while let Some((pid, end)) = reap() {
                        // What it has said before comes first.
                        self.listen_to_children();
                        self.ended(pid, end);
                    }
                }
                Signal::Term | Signal::Int | Signal::Quit => self.stop(),
                Signal::Hup if self.stop_at.is_none() => self.reload(),
                Signal::Usr1 => self.report(&mut |line| info!("palm: {line}")),
                Signal::Hup | Signal::Usr2 => {}
            }
        }
    }

    /// Has everything end in order; what is under way has its time. The second time it ends at once.
    fn stop(&mut self) {
        if self.stop_at.is_some() {
            return self.kill_all();
        }
        info!("palm: to end, {} requests under way", self.running());
        self.stop_at = Some(now_ms() + END_MS);
        for port in &mut self.ports {
            port.listener = None;
        }
        for child in &mut self.children {
            leave(child, Signal::Term);
        }
    }

    fn running(&self) -> usize {
        self.children.iter().filter(|child| matches!(child.state, State::Running(_))).count()
    }

    fn kill_all(&mut self) {
        warn!("palm: not ended in time: {} children are killed", self.children.len());
        self.stop_at = Some(u64::MAX);
        for child in &self.children {
            kill(child.pid);
            if let State::Running(Some(script)) = child.state {
                end_group(script, true);
            }
        }
    }

    /// Hears what children have to say.
    fn listen_to_children(&mut self) {
        let mut bytes = [0; 64 * WORD];
        while let Ok(count @ 1..) = pipe::read(self.words.as_fd(), &mut bytes) {
            for word in bytes.get(..count).unwrap_or_default().as_chunks().0 {
                let (pid, word) = Word::decode(*word);
                let Some(child) = self.children.iter_mut().find(|child| child.pid == pid) else { continue };
                let script = if let Word::Runs(script) = word { Some(script) } else { None };
                child.state = State::Running(script);
                if script.is_none() {
                    child.since = now_ms();
                    if let Some(port) = child.handler.and_then(|number| self.ports.get_mut(number)) {
                        port.requests += 1;
                        port.pause = 0;
                    }
                }
            }
        }
    }

    /// What is to be done when a child has ended.
    fn ended(&mut self, pid: u32, end: End) {
        let Some(at) = self.children.iter().position(|child| child.pid == pid) else { return };
        let child = self.children.swap_remove(at);
        let now = now_ms();
        let port = child.handler.and_then(|number| self.ports.get_mut(number));
        let name = port.as_ref().map_or("-", |port| port.handler.name.as_str());
        match child.state {
            State::Running(script) if end != End::Exited(0) => {
                error!("palm {name}: child {pid} died with a request: {end}");
                // Its script has lost who looks after it.
                if let Some(script) = script {
                    end_group(script, true);
                }
                if let Some(port) = port {
                    port.failed += 1;
                }
            }
            State::Idle if self.stop_at.is_none() => {
                let Some(port) = port else { return };
                if now.saturating_sub(child.since) >= LONG_LIFE_MS {
                    port.pause = 0;
                }
                let pause = port.start_later(now);
                error!("palm {}: child {pid} died: {end}; another one starts in {pause} ms", port.handler.name);
            }
            _ => {}
        }
    }

    /// Reads the configuration anew. What is wrong with it is told, and changes nothing.
    fn reload(&mut self) {
        match self.try_reload() {
            Ok(()) => info!("palm: configuration reloaded: {} handlers", self.ports.len()),
            Err(error) => error!("palm: reload refused: {error}"),
        }
    }

    fn try_reload(&mut self) -> Result<(), StartError> {
        let (palm, findings) = load(&self.path).map_err(|report| {
            for found in &report.diagnostics {
                error!("{found}");
            }
            StartError::Configuration
        })?;
        for found in &findings {
            warn!("{found}");
        }
        if palm.status.as_os_str() != self.status_path.as_os_str() {
            return Err(StartError::NeedsRestart("Status"));
        }
        let (ports, numbers) = open_ports(palm.handlers, &self.ports)?;
        open_log(palm.log_target);
        self.ports = ports;
        for child in &mut self.children {
            child.handler = child.handler.and_then(|before| numbers.get(before).copied().flatten());
            // One that waits goes by what it was forked with: another one takes its place. One that has just taken a request, and
            // has yet to say so, is not to hurry: it is deaf to this signal by then.
            if child.state == State::Idle {
                leave(child, Signal::Usr1);
            }
        }
        Ok(())
    }

    /// Tells the lines of the table: one a handler, one a child.
    fn report(&self, tell: &mut dyn FnMut(fmt::Arguments<'_>)) {
        for (number, port) in self.ports.iter().enumerate() {
            let (idle, running) = self.count(number);
            let Port { address, requests, failed, .. } = port;
            let name = &port.handler.name;
            tell(format_args!(
                "handler {name} {address} idle {idle} running {running} requests {requests} failed {failed}"
            ));
        }
        let name_of = |number| self.ports.get(number).map(|port: &Port| port.handler.name.as_str());
        tell_children(&self.children, &name_of, now_ms(), tell);
    }

    /// The children of a handler that wait, and those with a request.
    fn count(&self, handler: usize) -> (usize, usize) {
        let (mut idle, mut running) = (0, 0);
        for child in &self.children {
            match child.state {
                _ if child.handler != Some(handler) => {}
                State::Idle => idle += 1,
                State::Running(_) => running += 1,
                State::Leaving => {}
            }
        }
        (idle, running)
    }

    /// Answers whoever has connected to the status socket. Who does not read gets what there is room for.
    fn tell_status(&mut self) {
        let Some(status) = &self.status else { return };
        loop {
            match status.accept() {
                Ok((socket, _)) => {
                    let mut text = String::new();
                    self.report(&mut |line| _ = writeln!(text, "{line}"));
                    let _ = pipe::write(socket.as_fd(), text.as_bytes());
                }
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => {
                    warn!("palm: no more answers at {}: {errno}", self.status_path.display());
                    self.status = None;
                    return;
                }
            }
        }
    }
}

/// Tells a child to end. By SIGTERM one that has a request gets its script to an end first.
fn leave(child: &mut Child, signal: Signal) {
    if child.state == State::Idle {
        child.state = State::Leaving;
    }
    let _ = send(child.pid, signal);
}

/// A socket that can not be had is no reason not to serve.
fn open_status(path: &Path, is_set: bool) -> Option<LocalListener> {
    if !is_set {
        let _ = make_directory(Path::new(RUN_DIR), None);
    }
    match LocalListener::bind(path, None, &|_| false) {
        Ok(listener) => Some(listener),
        Err(error) => {
            warn!("palm: --status will not answer: {}: {error}", path.display());
            None
        }
    }
}
