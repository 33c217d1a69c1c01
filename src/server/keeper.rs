//! The keeper: a process above the server that holds the sockets, the PID file and the rights, and starts the server again when
//! it dies. Clients that come meanwhile wait at the sockets.
//!
//! It reads nothing from the network and has one thread. Its server is a copy of it (fork(2)) that goes on in [`super::start`];
//! signals go down to it, [`Word`]s come up. What a reload cannot change in a running server is changed by a second one, which
//! takes over the same sockets before the first lets go of them.

mod reload;

use std::io::{self, PipeReader, Read};
use std::os::fd::AsFd;

use crate::log::{error, info, warn};

use crate::plugins;
use crate::server::boot::{Boot, Plan};
use crate::server::link::{Link, Word};
use crate::server::reload::{listens_as, open_log};
use crate::server::start::{StartError, system};
use crate::sys::Errno;
use crate::sys::child::{End, fork, kill, reap, report_ends, wait_for};
use crate::sys::clock::monotonic_us;
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::image::release_pages;
use crate::sys::notify::Notifier;
use crate::sys::process::{Daemon, set_thread_name};
use crate::sys::signal::{Signal, SignalFd, block, send, unblock};

/// The signals the keeper hears.
const SIGNALS: [Signal; 7] =
    [Signal::Term, Signal::Int, Signal::Quit, Signal::Hup, Signal::Usr1, Signal::Usr2, Signal::Child];
/// The signals by epoll's name; words have the process id of who says them.
const SIGNALS_READY: u64 = u64::MAX;
/// How long a server must have lived for its death to be a first one again, milliseconds.
const LONG_LIFE_MS: u64 = 10_000;
/// The pause before the second start in a row, milliseconds; each further one is twice as long. The first is at once.
const FIRST_PAUSE_MS: u64 = 100;
/// The longest pause before a start, milliseconds.
const LONGEST_PAUSE_MS: u64 = 5_000;
/// What a server that is to end gets beyond its own `Timeout`, milliseconds.
const GRACE_MS: u64 = 3_000;

/// How long the next server waits for what plugins do after a death, milliseconds.
const AFTERMATH_MS: u32 = 1_000;

/// A server that was started.
struct Child {
    pid: u32,
    words: PipeReader,
    /// When it was started.
    since: u64,
}

/// A server that is to take over once it is up.
struct Next {
    child: Child,
    plan: Box<Plan>,
}

struct Keeper<'a> {
    /// What the server runs by, and what is kept from it.
    boot: &'a mut Boot,
    notifier: Option<Notifier>,
    signals: SignalFd,
    epoll: Epoll,
    /// The server that is in charge, up or not.
    server: Option<Child>,
    /// When to start one.
    start_at: Option<u64>,
    /// The pause before the start after the next death.
    pause: u64,
    /// What another server is to be started with.
    wanted: Option<Box<Plan>>,
    next: Option<Next>,
    /// Every process that was started and has not ended, those that are to end among them.
    running: Vec<u32>,
    /// Whether any server ever came up.
    came_up: bool,
    /// Whether the service manager waits for the end of a reload.
    reloading: bool,
    /// The end has begun; who has not ended by this time is killed.
    stop_at: Option<u64>,
    /// Why there is no server.
    failure: Option<StartError>,
    /// The last server died, and no other one was started since.
    after_death: bool,
    /// A process that does what plugins have to do when a server has died.
    aftermath: Option<u32>,
}

#[inline(never)]
fn now_ms() -> u64 {
    monotonic_us() / 1000
}

/// Keeps a server until a signal ends both. Returns more than once: in each server, with `boot` as it is to be started with, and
/// at last in the keeper, with nothing. Fails if the first server does not come up.
pub(super) fn keep(boot: &mut Boot) -> Result<Option<Link>, StartError> {
    block(&SIGNALS).map_err(system("cannot block signals"))?;
    report_ends().map_err(system("cannot hear of the server's end"))?;
    set_thread_name("monkey: keeper");
    let signals = SignalFd::open(&SIGNALS).map_err(system("cannot watch signals"))?;
    let epoll = Epoll::new().map_err(system("cannot make an event queue"))?;
    let mut keeper = Keeper {
        boot,
        notifier: Notifier::from_env_or_warn(),
        signals,
        epoll,
        server: None,
        start_at: Some(now_ms()),
        pause: 0,
        wanted: None,
        next: None,
        running: Vec::new(),
        came_up: false,
        reloading: false,
        stop_at: None,
        failure: None,
        after_death: false,
        aftermath: None,
    };
    match keeper.run().map_err(|errno| StartError::System("the keeper's event loop failed", errno.into()))? {
        Some(link) => Ok(Some(link)),
        None => keeper.failure.take().map_or(Ok(None), Err),
    }
}

impl Keeper<'_> {
    /// The server's end of the link in each server, nothing when all is over.
    fn run(&mut self) -> Result<Option<Link>, Errno> {
        self.epoll.add(self.signals.as_fd(), Interest::Read, SIGNALS_READY)?;
        let mut events = Events::with_capacity(4);
        while self.has_work() {
            let wanted = self.wanted.take();
            if wanted.is_some() || self.start_at.is_some_and(|at| at <= now_ms()) {
                match self.start() {
                    Ok(Started::Here(link)) => {
                        self.boot.pid_file = None;
                        self.boot.guards.leave();
                        if let Some(plan) = wanted {
                            self.boot.plan = plan;
                            self.boot.plan.closed.clear();
                        }
                        return Ok(Some(link));
                    }
                    Ok(Started::Child(child)) => match wanted {
                        Some(plan) => self.next = Some(Next { child, plan }),
                        None => self.server = Some(child),
                    },
                    Err(error) => self.not_started(error, wanted.is_some()),
                }
                continue;
            }
            let patience = self.patience();
            // Nothing that was needed to get here is needed to wait.
            release_pages();
            self.epoll.wait(&mut events, patience)?;
            for index in 0..events.len() {
                match events.get(index) {
                    Some(event) if event.data == SIGNALS_READY => self.take_signals(),
                    Some(event) => self.listen_to(event.data),
                    None => {}
                }
            }
            if self.stop_at.is_some_and(|at| at <= now_ms()) {
                self.stop_at = Some(u64::MAX);
                warn!("not ended in time: the server is killed");
                self.running.iter().copied().for_each(kill);
            }
        }
        self.wait_for_aftermath();
        if plugins::has_aftermath(&self.boot.plan.config) {
            plugins::aftermath(&self.boot.plan.config, self.failure.is_some());
        }
        if let Some(pid_file) = self.boot.pid_file.take() {
            let _ = pid_file.remove();
        }
        Ok(None)
    }

    /// Whether there is a server, or is to be one.
    fn has_work(&self) -> bool {
        !self.running.is_empty() || (self.stop_at.is_none() && (self.start_at.is_some() || self.wanted.is_some()))
    }

    /// How long to wait, milliseconds; None = until something happens.
    fn patience(&self) -> Option<u32> {
        let at = self.start_at.into_iter().chain(self.stop_at).min().filter(|at| *at < u64::MAX)?;
        Some(u32::try_from(at.saturating_sub(now_ms())).unwrap_or(u32::MAX))
    }

    /// Starts a server; returns in it too.
    fn start(&mut self) -> io::Result<Started> {
        self.start_at = None;
        // What it does is not to come after what the next server does.
        self.wait_for_aftermath();
        let after_death = self.after_death;
        let (reader, words) = io::pipe()?;
        let keeper = std::process::id();
        let Some(pid) = fork()? else {
            let _ = unblock(&[Signal::Child]);
            return Ok(Started::Here(Link { keeper, words, after_death }));
        };
        self.after_death = false;
        self.running.push(pid);
        let child = Child { pid, words: reader, since: now_ms() };
        if let Err(errno) = self.epoll.add(child.words.as_fd(), Interest::Read, u64::from(pid)) {
            kill(pid);
            return Err(errno.into());
        }
        Ok(Started::Child(child))
    }

    fn not_started(&mut self, error: io::Error, by_reload: bool) {
        if !self.came_up {
            self.failure = Some(StartError::System("cannot start the server", error));
            self.stop_at = Some(now_ms());
        } else if by_reload {
            error!("reload refused: cannot start another server: {error}");
            self.reload_is_over(true);
            if self.server.is_none() {
                self.start_later();
            }
        } else {
            let pause = self.start_later();
            error!("cannot start the server: {error}; tried again in {pause} ms");
        }
    }

    /// Has a server started after the pause that is due; gives the pause, milliseconds.
    fn start_later(&mut self) -> u64 {
        let pause = self.pause;
        self.pause = (pause * 2).clamp(FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
        self.start_at = Some(now_ms() + pause);
        pause
    }

    fn take_signals(&mut self) {
        while let Some(signal) = self.signals.read() {
            match signal {
                Signal::Child => {
                    while let Some((pid, end)) = reap() {
                        self.ended(pid, end);
                    }
                }
                Signal::Term | Signal::Int | Signal::Quit => {
                    info!("signal {signal:?}: the server is to end");
                    self.stop();
                }
                Signal::Hup if self.stop_at.is_none() => self.reload(),
                Signal::Hup => {}
                Signal::Usr1 | Signal::Usr2 => {
                    if let Some(server) = &self.server {
                        let _ = send(server.pid, signal);
                    }
                }
            }
        }
    }

    /// Has every server end in order.
    fn stop(&mut self) {
        if self.stop_at.is_none() {
            self.boot.guards.dismiss();
            if let Some(notifier) = &self.notifier {
                let _ = notifier.stopping();
            }
            let timeout = u64::from(self.boot.plan.config.server.timeout) * 1000;
            self.stop_at = Some(now_ms() + timeout + GRACE_MS);
            self.start_at = None;
            self.wanted = None;
            // From now on clients are to be refused, not to wait.
            self.boot.plan.listeners.clear();
            for pid in &self.running {
                let _ = send(*pid, Signal::Term);
            }
        }
    }

    /// What is to be done when a process has ended.
    fn ended(&mut self, pid: u32, end: End) {
        self.running.retain(|running| *running != pid);
        if let Some(server) = self.server.take_if(|server| server.pid == pid) {
            match end {
                _ if self.stop_at.is_some() => {}
                End::Exited(0) => {
                    info!("server {pid} was told to end, and the keeper with it");
                    self.stop();
                }
                _ if !self.came_up => {
                    self.failure = Some(StartError::Server(end));
                    self.stop();
                }
                _ => self.died(&server, end),
            }
        } else if self.next.take_if(|next| next.child.pid == pid).is_some() && self.stop_at.is_none() {
            error!("reload refused: the new server did not come up: {end}");
            self.reload_is_over(true);
            if self.server.is_none() {
                self.begin_aftermath();
                self.start_later();
            }
        }
    }

    /// Has plugins do what they have to when a server has died: in a process of its own, for this one stays as small as it is.
    fn begin_aftermath(&mut self) {
        self.after_death = true;
        if !plugins::has_aftermath(&self.boot.plan.config) {
            return;
        }
        match fork() {
            Ok(Some(pid)) => self.aftermath = Some(pid),
            Ok(None) => {
                plugins::aftermath(&self.boot.plan.config, true);
                std::process::exit(0);
            }
            Err(error) => error!("what follows the death of a server is left undone: {error}"),
        }
    }

    fn wait_for_aftermath(&mut self) {
        if let Some(pid) = self.aftermath.take() {
            wait_for(pid, AFTERMATH_MS);
        }
    }

    fn died(&mut self, server: &Child, end: End) {
        // What the one that takes over has begun is not to be undone.
        if self.next.is_none() {
            self.begin_aftermath();
        }
        let lived = now_ms().saturating_sub(server.since);
        if lived >= LONG_LIFE_MS {
            self.pause = 0;
        }
        // One that was to take over is on its way already.
        let pause = if self.next.is_some() || self.wanted.is_some() { 0 } else { self.start_later() };
        error!("server {} died after {} s: {end}; another one starts in {pause} ms", server.pid, lived / 1000);
        if self.reloading && self.next.is_none() && self.wanted.is_none() {
            // It may have been the new configuration that it died of: that is not to be tried again unasked.
            error!("reload refused: the server died before it was done");
            self.reload_is_over(true);
        }
    }

    /// Hears what a server has to say.
    fn listen_to(&mut self, who: u64) {
        let is = |child: &Child| u64::from(child.pid) == who;
        let next = self.next.as_mut().map(|next| &mut next.child).filter(|child| is(child));
        let of_next = next.is_some();
        let Some(child) = next.or(self.server.as_mut().filter(|child| is(child))) else { return };
        let mut bytes = [0; 16];
        let count = child.words.read(&mut bytes).unwrap_or(0);
        if count == 0 {
            // It ends.
            let _ = self.epoll.remove(child.words.as_fd());
        }
        for word in bytes.iter().take(count).filter_map(|byte| Word::of(*byte)) {
            match word {
                Word::Up if of_next => self.hand_over(),
                Word::Up => self.is_up(),
                Word::HandOver => self.plan_another(),
                Word::Refused => self.reload_is_over(true),
                // One that is to take over is not in charge yet.
                Word::Alive if of_next => {}
                Word::Alive => self.boot.guards.feed(self.notifier.as_ref()),
                Word::Reloaded => {
                    // What the next server is started with, should this one die.
                    let server = &self.boot.plan.config.server;
                    // Files that changed once more since the server read them are for another reload.
                    if let Ok((config, _)) = crate::config::load(&self.boot.options)
                        && server.needs_restart(&config.server).next().is_none()
                        && listens_as(server, &config.server)
                    {
                        let _ = open_log(&config.server);
                        self.boot.plan.config = config;
                    }
                    self.reload_is_over(false);
                }
            }
        }
    }

    /// The server serves.
    fn is_up(&mut self) {
        let pid = self.server.as_ref().map_or(0, |server| server.pid);
        if self.came_up {
            return info!("server {pid} is up");
        }
        self.came_up = true;
        info!("process {}: the keeper of server {pid}", std::process::id());
        if let Some(Err(error)) = self.boot.daemon.take().map(Daemon::ready) {
            self.failure = Some(StartError::System("cannot go into the background", error));
            return self.stop();
        }
        if let Some(notifier) = &self.notifier {
            let _ = notifier.ready_as_main(false);
        }
    }
}

/// Where a start returns.
enum Started {
    /// In the keeper.
    Child(Child),
    /// In the server.
    Here(Link),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Options, load};
    use crate::server::guards::Guards;
    use crate::sys::testing::Dir;

    #[test]
    fn a_fork_that_fails_is_never_the_end() {
        let dir = Dir::new();
        let options = Options { one_shot: Some(dir.path().to_path_buf()), port: Some(0), ..Options::default() };
        let plan = Plan::new(load(&options).unwrap().0, 0, &[]);
        let mut boot = Boot { plan: plan.unwrap(), options, daemon: None, pid_file: None, guards: Guards::default() };
        let mut keeper = Keeper {
            boot: &mut boot,
            notifier: None,
            signals: SignalFd::open(&SIGNALS).unwrap(),
            epoll: Epoll::new().unwrap(),
            server: None,
            start_at: None,
            pause: 0,
            wanted: None,
            next: None,
            running: Vec::new(),
            came_up: true,
            reloading: true,
            stop_at: None,
            failure: None,
            after_death: false,
            aftermath: None,
        };
        for by_reload in [false, true] {
            keeper.start_at = None;
            keeper.not_started(io::ErrorKind::WouldBlock.into(), by_reload);
            assert!(keeper.has_work(), "by a reload: {by_reload}");
        }
        assert!(!keeper.reloading, "the service manager waits for ever");
    }
}
