//! The scheduler: the main thread once the workers run. It accepts (in Fair mode), hears signals, reloads and stops.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::log::info;

use crate::config::Options;
use crate::plugin::events::{Happened, Watches};
use crate::plugin::hooks::Needs;
use crate::plugin::host::Host;
use crate::plugins::Plugins;
use crate::server::acceptor::{Acceptor, Burst, RETRY_MS};
use crate::server::confine::Confinement;
use crate::server::guards::{Guards, Signs};
use crate::server::link::{HANDED_OVER, Link};
use crate::server::listeners::{Listener, sockets};
use crate::server::shared::{SPECIAL, Shared, WATCH};
use crate::server::spawner::Spawner;
use crate::server::state;
use crate::sys::clock::monotonic_ms;
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::image::release_pages;
use crate::sys::notify::Notifier;
use crate::sys::signal::{Signal, SignalFd};

/// The signals by epoll's name.
const SIGNALS: u64 = SPECIAL - 1;
/// The spawner by epoll's name.
const SPAWNER: u64 = SPECIAL - 2;
/// How long nothing must happen after start until what was needed for it is let go of, milliseconds. What plugins watch does not count:
/// a plugin may have something to do all the time.
const SETTLE_MS: u32 = 100;

/// When that is over, milliseconds, if it begins now.
fn in_a_while() -> u32 {
    monotonic_ms().wrapping_add(SETTLE_MS)
}

/// Milliseconds until a moment that is not far.
fn left(at: u32) -> u32 {
    (at.wrapping_sub(monotonic_ms()) as i32).max(0) as u32
}

/// The scheduler.
pub(super) struct Scheduler {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Options,
    pub(super) confinement: Confinement,
    /// Bytes the heap may come to hold.
    pub(super) heap: usize,
    /// What the handlers were given at the start.
    pub(super) handlers: Needs,
    /// The listeners it accepts from; none in ReusePort mode, where each worker has its own.
    pub(super) listeners: Vec<Listener>,
    pub(super) acceptor: Acceptor,
    pub(super) signals: SignalFd,
    /// The service manager, unless that is the keeper's to tell.
    pub(super) notifier: Option<Notifier>,
    pub(super) keeper: Option<Link>,
    pub(super) spawner: Option<Spawner>,
    pub(super) guards: Guards,
    pub(super) signs: Signs,
    pub(super) epoll: Arc<Epoll>,
    pub(super) plugins: Plugins,
    pub(super) watches: Watches,
    pub(super) host: Arc<dyn Host>,
}

impl Scheduler {
    /// Runs until a signal ends the server. The workers finish what they have after it returns.
    pub(super) fn run(&mut self) -> io::Result<()> {
        self.epoll.add(self.signals.as_fd(), Interest::Read, SIGNALS)?;
        if let Some(spawner) = &self.spawner {
            self.epoll.add(spawner.fd(), Interest::Read, SPAWNER)?;
        }
        let mut watched = false;
        let mut events = Events::with_capacity(16);
        let mut starting = Some(in_a_while());
        let mut rests = false;
        loop {
            if !watched && self.acceptor.may_accept() {
                self.watch()?;
                watched = true;
            }
            rests |= starting.take_if(|at| left(*at) == 0).is_some();
            let mut patience = if watched { starting.map(left) } else { Some(RETRY_MS) };
            for limit in [self.watches.wait(monotonic_ms()), self.signs.wait()].into_iter().flatten() {
                patience = Some(patience.map_or(limit, |patience| patience.min(limit)));
            }
            if rests {
                // Start-up code and its tables are not needed again, now that the workers have begun too; nor what led here. As late as
                // can be: the kernel maps 64 KB around each page that is touched from now on.
                release_pages();
            }
            self.epoll.wait(&mut events, patience)?;
            self.give_sign();
            while let Some(told) = self.watches.expired(monotonic_ms()) {
                self.plugins.event(told, &self.host, &mut self.watches);
            }
            for index in 0..events.len() {
                let Some(event) = events.get(index) else { break };
                if starting.is_some() && event.data & u64::from(u32::MAX) != WATCH {
                    starting = Some(in_a_while());
                }
                if event.data == SIGNALS {
                    while let Some(signal) = self.signals.read() {
                        match signal {
                            Signal::Hup => {
                                self.unwatch();
                                watched = false;
                                self.reload();
                                starting = Some(in_a_while());
                            }
                            Signal::Usr1 => {
                                self.plugins.reopen();
                                info!("signal USR1: log files are opened anew");
                            }
                            Signal::Term | Signal::Int | Signal::Quit => {
                                self.stop(signal);
                                return Ok(());
                            }
                            Signal::Usr2 => {
                                state::tell(&self.shared);
                                self.plugins.tell();
                            }
                            Signal::Child => {}
                        }
                    }
                } else if event.data & u64::from(u32::MAX) == WATCH {
                    for happened in Happened::BY_EVENT {
                        if let Some(told) = self.watches.event(event, happened, monotonic_ms()) {
                            self.plugins.event(told, &self.host, &mut self.watches);
                        }
                    }
                } else if event.data == SPAWNER {
                    if let Some(spawner) = self.spawner.take() {
                        self.shared.faults.spawner.store(true, Ordering::Relaxed);
                        spawner.died(&self.epoll);
                    }
                } else if watched && self.take(event.data) == Burst::Starved {
                    self.unwatch();
                    watched = false;
                }
            }
            rests = self.plugins.turn(&self.host);
        }
    }

    fn watch(&self) -> io::Result<()> {
        for (number, socket) in sockets(&self.listeners).enumerate() {
            self.epoll.add(socket.as_fd(), Interest::Read, number as u64)?;
        }
        Ok(())
    }

    fn unwatch(&self) {
        for socket in sockets(&self.listeners) {
            let _ = self.epoll.remove(socket.as_fd());
        }
    }

    fn take(&mut self, number: u64) -> Burst {
        match sockets(&self.listeners).nth(number as usize) {
            Some(socket) => self.acceptor.accept(socket.as_fd()),
            None => Burst::Done,
        }
    }

    fn stop(&mut self, signal: Signal) {
        info!("signal {signal:?}: no new connections, finishing those there are");
        self.guards.dismiss();
        if let Some(notifier) = &self.notifier {
            let _ = notifier.stopping();
        }
        self.unwatch();
        // Closing a listener resets those who wait at it, their requests sent already.
        for socket in sockets(&self.listeners) {
            self.acceptor.accept(socket.as_fd());
        }
        self.listeners.clear();
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.wake_workers();
        self.plugins.stopping(self.keeper.is_some() && signal == HANDED_OVER);
    }
}
