//! Who acts when the server makes no progress any more: the board's watchdog resets the board, the service manager starts the server
//! anew. Both are told again and again that it does, by whoever has them: the keeper, which the server tells, or the server itself.

use crate::log::{error, info, warn};

use crate::config::Server;
use crate::server::scheduler::Scheduler;
use crate::sys::clock::monotonic_ms;
use crate::sys::notify::{Notifier, manager_waits};
use crate::sys::watchdog::Watchdog;

use super::link::Word;

/// How often a watchdog is fed before its time is over: once may come late.
const FEEDS: u32 = 3;
/// The longest wait for the first sign of life, milliseconds. One that dies sooner than that has not been there.
const FIRST_MS: u32 = 1_000;
/// The longest time between two, milliseconds: moments are compared within 24 days.
const LONGEST_MS: u64 = 3_600_000;

/// Those who wait for signs of life.
#[derive(Debug, Default)]
pub(super) struct Guards {
    device: Option<Watchdog>,
    /// The service manager wants to be told.
    manager: bool,
    /// Milliseconds between two signs of life. None = nobody waits for any.
    period: Option<u32>,
}

impl Guards {
    /// Opens the watchdog of a configuration, and asks what the service manager wants. A device that can not be had is a warning.
    pub(super) fn new(server: &Server) -> Guards {
        let mut guards = Guards::default();
        if let Some(microseconds) = manager_waits() {
            guards.manager = true;
            guards.period = Some((microseconds / 2_000).clamp(1, LONGEST_MS) as u32);
            info!("the service manager waits {} ms for a sign of life", microseconds / 1000);
        }
        let Some(path) = &server.watchdog else { return guards };
        match Watchdog::open(path, server.watchdog_timeout) {
            Ok(device) => {
                let (path, timeout) = (path.display(), device.timeout());
                let other = if timeout == server.watchdog_timeout { "" } else { ", which is the device's own choice" };
                info!("watchdog {path}: resets the board {timeout} s after the last sign of life{other}");
                if device.has_reset() {
                    warn!("watchdog {path}: it has reset the board before this start");
                }
                if !device.stops() {
                    warn!("watchdog {path}: this device can not be stopped; once the server ends the board is reset");
                }
                let feed = timeout.saturating_mul(1000 / FEEDS).min(LONGEST_MS as u32);
                guards.period = Some(guards.period.map_or(feed, |period| period.min(feed)));
                guards.device = Some(device);
            }
            Err(error) => warn!("watchdog {}: {error}; serving without one", path.display()),
        }
        guards
    }

    /// Tells them that the server makes progress.
    pub(super) fn feed(&self, notifier: Option<&Notifier>) {
        if let Some(Err(error)) = self.device.as_ref().map(Watchdog::feed) {
            error!("the watchdog can not be fed: {error}; it resets the board");
        }
        if let Some(notifier) = notifier.filter(|_| self.manager) {
            let _ = notifier.alive();
        }
    }

    /// An orderly end has begun: nobody is to act.
    pub(super) fn dismiss(&mut self) {
        *self = Guards::default();
    }

    /// In a copy of the process that has them: they are told by way of that one.
    pub(super) fn leave(&mut self) {
        if let Some(device) = self.device.take() {
            device.leave();
        }
        self.manager = false;
    }
}

/// When the next sign of life is due.
pub(super) struct Signs {
    period: Option<u32>,
    next: u32,
    /// The worker that was found to make no progress.
    stuck: Option<usize>,
}

impl Signs {
    /// The signs that these wait for, from now on.
    pub(super) fn new(guards: &Guards) -> Signs {
        let first = guards.period.map_or(0, |period| period.min(FIRST_MS));
        Signs { period: guards.period, next: monotonic_ms().wrapping_add(first), stuck: None }
    }

    /// Milliseconds until one is due. None = never.
    pub(super) fn wait(&self) -> Option<u32> {
        self.period.map(|_| (self.next.wrapping_sub(monotonic_ms()) as i32).max(0) as u32)
    }
}

impl Scheduler {
    /// Gives a sign of life if one is due and every worker makes progress.
    pub(super) fn give_sign(&mut self) {
        let signs = &mut self.signs;
        let Some(period) = signs.period.filter(|_| signs.wait() == Some(0)) else { return };
        signs.next = monotonic_ms().wrapping_add(period);
        let stuck = self.shared.stuck();
        if stuck != signs.stuck {
            match stuck {
                Some(worker) => {
                    error!("worker {worker} makes no progress: no sign of life for the watchdog until it does")
                }
                None => info!("every worker makes progress again"),
            }
            signs.stuck = stuck;
        }
        match &self.keeper {
            _ if stuck.is_some() => {}
            Some(keeper) => keeper.say(Word::Alive),
            None => self.guards.feed(self.notifier.as_ref()),
        }
    }
}
