//! The scheduler: the main thread once the workers run. It accepts (in Fair mode), hears signals, reloads and stops.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ::log::{error, info, warn};

use crate::config::{Options, Scheduler as Mode};
use crate::server::acceptor::{Acceptor, Burst};
use crate::server::listeners::{Listener, reopen};
use crate::server::shared::{SPECIAL, Shared};
use crate::server::start::open_log;
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::notify::Notifier;
use crate::sys::signal::{Signal, SignalFd};
use crate::vhost::live::Live;

/// The signals by epoll's name.
const SIGNALS: u64 = SPECIAL - 1;
/// How often a server that is full looks for room again, milliseconds.
const RETRY_MS: u32 = 100;

/// The scheduler.
pub(super) struct Scheduler {
    pub(super) shared: Arc<Shared>,
    pub(super) options: Options,
    /// The listeners it accepts from; none in ReusePort mode, where each worker has its own.
    pub(super) listeners: Vec<Listener>,
    pub(super) acceptor: Acceptor,
    pub(super) signals: SignalFd,
    pub(super) notifier: Option<Notifier>,
    pub(super) epoll: Epoll,
}

impl Scheduler {
    /// Runs until a signal ends the server. The workers finish what they have after it returns.
    pub(super) fn run(&mut self) -> io::Result<()> {
        self.epoll.add(self.signals.as_fd(), Interest::Read, SIGNALS)?;
        let mut watched = false;
        let mut events = Events::with_capacity(16);
        loop {
            if !watched && self.acceptor.may_accept() {
                self.watch()?;
                watched = true;
            }
            let patience = (!watched).then_some(RETRY_MS);
            self.epoll.wait(&mut events, patience)?;
            for index in 0..events.len() {
                let Some(event) = events.get(index) else { break };
                if event.data == SIGNALS {
                    while let Some(signal) = self.signals.read() {
                        match signal {
                            Signal::Hup => {
                                self.unwatch();
                                watched = false;
                                self.reload();
                            }
                            Signal::Usr1 => info!("signal USR1: there is no log file to open anew"),
                            Signal::Term | Signal::Int | Signal::Quit => {
                                self.stop(signal);
                                return Ok(());
                            }
                            Signal::Usr2 | Signal::Child => {}
                        }
                    }
                } else if watched && self.take(event.data) == Burst::Starved {
                    self.unwatch();
                    watched = false;
                }
            }
        }
    }

    fn watch(&self) -> io::Result<()> {
        for (number, listener) in self.listeners.iter().enumerate() {
            self.epoll.add(listener.socket.as_fd(), Interest::Read, number as u64)?;
        }
        Ok(())
    }

    fn unwatch(&self) {
        for listener in &self.listeners {
            let _ = self.epoll.remove(listener.socket.as_fd());
        }
    }

    fn take(&mut self, number: u64) -> Burst {
        match self.listeners.get(number as usize) {
            Some(listener) => self.acceptor.accept(listener.socket.as_fd()),
            None => Burst::Done,
        }
    }

    /// SIGHUP: reads everything first; what is wrong, or can not change while the server runs, changes nothing.
    fn reload(&mut self) {
        if let Some(notifier) = &self.notifier {
            let _ = notifier.reloading(crate::sys::clock::monotonic_us());
        }
        self.try_reload();
        if let Some(notifier) = &self.notifier {
            let _ = notifier.ready();
        }
    }

    fn try_reload(&mut self) {
        let (config, warnings) = match crate::config::load(&self.options) {
            Ok(loaded) => loaded,
            Err(report) => {
                for diagnostic in &report.diagnostics {
                    error!("{diagnostic}");
                }
                return error!("reload refused: {} errors; the server goes on as it was", report.errors());
            }
        };
        for warning in &warnings {
            warn!("{warning}");
        }
        let old = self.shared.live();
        let mut refused: Vec<&str> = old.config().server.needs_restart(&config.server).collect();
        if config.server.scheduler == Mode::ReusePort && config.server.listen != old.config().server.listen {
            refused.push("Listen");
        }
        if !refused.is_empty() {
            return error!("reload refused: needs restart: {}", refused.join(", "));
        }
        if config.server.scheduler == Mode::Fair
            && let Err(error) = reopen(&config.server, &mut self.listeners)
        {
            return error!("reload refused: {error}");
        }
        self.acceptor.configure(&config.server);
        let live = Arc::new(Live::new(config));
        if let Err(error) = open_log(&live) {
            warn!("{error}");
        }
        self.shared.set_live(live);
        info!("configuration reloaded");
    }

    fn stop(&mut self, signal: Signal) {
        info!("signal {signal:?}: no new connections, finishing those there are");
        if let Some(notifier) = &self.notifier {
            let _ = notifier.stopping();
        }
        self.unwatch();
        self.listeners.clear();
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.wake_workers();
    }
}
