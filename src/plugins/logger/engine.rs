//! The logger's thread: the only one that touches a log file. It sleeps until lines come, and then until they have waited for as long
//! as they may or their pipe is nearly full.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::plugins::logger::LoggerFile;
use crate::limits::LOGGER_STACK;
use crate::plugins::logger::file::Rotation;
use crate::plugins::logger::outlet::Outlet;
use crate::sys::clock::monotonic_ms;
use crate::sys::epoll::{Epoll, Events, Interest};
use crate::sys::process::set_thread_name;
use crate::sys::thread::{Thread, spawn};
use crate::sys::wake::Wake;

/// How long the end of the server waits for what is not written yet, milliseconds.
const STOP_MS: u32 = 2000;
/// What an event of the wake-up carries.
const WAKE: u64 = u64::MAX;

/// What the thread is told.
#[derive(Default)]
struct Told {
    added: Vec<Outlet>,
    flush_timeout: u32,
    rotation: Rotation,
    reopen: bool,
    stop: bool,
}

/// What both threads have.
struct Orders {
    told: Mutex<Told>,
    wake: Wake,
    done: Wake,
}

impl Orders {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The thread, as the main thread sees it.
pub(super) struct Engine {
    orders: Arc<Orders>,
    thread: Thread,
}

impl Engine {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Engine> {
        let orders = Arc::new(Orders { told: Mutex::default(), wake: Wake::new()?, done: Wake::new()? });
        let epoll = Epoll::new()?;
        epoll.add(orders.wake.as_fd(), Interest::Read, WAKE)?;
        let mut inside = Inside {
            epoll,
            orders: Arc::clone(&orders),
            outlets: Vec::new(),
            flush_timeout: 0,
            rotation: Rotation::default(),
        };
        let mut events = Events::with_capacity(16);
        let run = move || {
            set_thread_name("monkey: logger");
            inside.run(&mut events);
        };
        Ok(Engine { orders, thread: spawn(LOGGER_STACK, Box::new(run))? })
    }

    /// Changes what holds for all logs, and adds some.
    pub(super) fn configure(&self, settings: &LoggerFile, mut added: Vec<Outlet>) {
        let mut told = self.orders.told();
        told.flush_timeout = settings.flush_timeout;
        told.rotation = Rotation { max_size: settings.max_size, keep: settings.keep };
        told.added.append(&mut added);
        drop(told);
        self.orders.wake.wake();
    }

    /// Has every file opened anew.
    pub(super) fn reopen(&self) {
        self.orders.told().reopen = true;
        self.orders.wake.wake();
    }

    /// Has everything written and ends the thread. False = it did not within two seconds, and is left to itself.
    pub(super) fn stop(self) -> bool {
        let Engine { orders, thread } = self;
        orders.told().stop = true;
        orders.wake.wake();
        let done = orders.done.wait(STOP_MS + STOP_MS / 4);
        if done {
            thread.join();
        }
        done
    }
}

/// The thread's own.
struct Inside {
    epoll: Epoll,
    orders: Arc<Orders>,
    outlets: Vec<Outlet>,
    flush_timeout: u32,
    rotation: Rotation,
}

impl Inside {
    fn run(&mut self, events: &mut Events) {
        let mut wait = None;
        while self.epoll.wait(events, wait).is_ok() {
            let now = monotonic_ms();
            let mut stop = false;
            for index in 0..events.len() {
                let Some(event) = events.get(index) else { break };
                if event.data == WAKE {
                    self.orders.wake.clear();
                    stop = self.obey();
                } else if let Some(outlet) = self.outlets.iter_mut().find(|outlet| outlet.id == event.data) {
                    outlet.notice(now, event.ended());
                }
            }
            if stop {
                break;
            }
            wait = self.turn(now, false);
        }
        self.finish();
        self.orders.done.wake();
    }

    /// Does what was ordered since the last time. True = the end was.
    fn obey(&mut self) -> bool {
        let mut told = self.orders.told();
        (self.flush_timeout, self.rotation) = (told.flush_timeout, told.rotation);
        let added = std::mem::take(&mut told.added);
        let (reopen, stop) = (std::mem::take(&mut told.reopen), told.stop);
        drop(told);
        for outlet in added {
            if self.epoll.add(outlet.pipe.as_fd(), Interest::Connection, outlet.id).is_ok() {
                self.outlets.push(outlet);
                self.outlets.last_mut().map(Outlet::open);
            }
        }
        if reopen {
            self.outlets.iter_mut().for_each(Outlet::open);
        }
        stop
    }

    /// Writes what is due. Returns milliseconds until more is.
    fn turn(&mut self, now: u32, at_once: bool) -> Option<u32> {
        let mut wait = None;
        for outlet in &mut self.outlets {
            let own = outlet.turn(now, self.flush_timeout, self.rotation, at_once);
            wait = wait.min(own).or(wait).or(own);
        }
        self.outlets.retain(|outlet| !outlet.is_over());
        wait
    }

    /// Writes everything. What somebody else holds up is tried again for a while.
    fn finish(&mut self) {
        let begun = monotonic_ms();
        loop {
            let now = monotonic_ms();
            self.outlets.iter_mut().for_each(|outlet| outlet.notice(now, false));
            self.turn(now, true);
            if !self.outlets.iter().any(Outlet::is_held_up) || now.wrapping_sub(begun) >= STOP_MS {
                return;
            }
            // Nothing is to be told of here but time.
            self.orders.wake.clear();
            self.orders.wake.wait(20);
        }
    }
}
