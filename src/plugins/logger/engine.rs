//! The logger's thread: the only one that touches a log file. It sleeps until lines come, and then until they have waited for as long
//! as they may or their pipe is nearly full.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

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
struct Orders {
    wake: Wake,
    done: Wake,
    added: Mutex<Vec<Outlet>>,
    reopen: AtomicBool,
    stop: AtomicBool,
    flush_timeout: AtomicU32,
    max_size: AtomicU64,
    keep: AtomicU32,
}

/// The thread, as the main thread sees it.
pub(super) struct Engine {
    orders: Arc<Orders>,
    thread: Thread,
}

impl Engine {
    /// Starts the thread.
    pub(super) fn start(settings: &LoggerFile) -> io::Result<Engine> {
        let orders = Arc::new(Orders {
            wake: Wake::new()?,
            done: Wake::new()?,
            added: Mutex::default(),
            reopen: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            flush_timeout: AtomicU32::new(0),
            max_size: AtomicU64::new(0),
            keep: AtomicU32::new(0),
        });
        orders.set(settings);
        let epoll = Epoll::new()?;
        epoll.add(orders.wake.as_fd(), Interest::Read, WAKE)?;
        let mut inside = Inside { epoll, orders: Arc::clone(&orders), outlets: Vec::new() };
        let mut events = Events::with_capacity(16);
        let run = move || {
            set_thread_name("monkey: logger");
            inside.run(&mut events);
        };
        Ok(Engine { orders, thread: spawn(LOGGER_STACK, Box::new(run))? })
    }

    /// Changes what holds for all logs, and adds some.
    pub(super) fn configure(&self, settings: &LoggerFile, mut added: Vec<Outlet>) {
        self.orders.set(settings);
        self.orders.added.lock().unwrap_or_else(PoisonError::into_inner).append(&mut added);
        self.orders.wake.wake();
    }

    /// Has every file opened anew.
    pub(super) fn reopen(&self) {
        self.orders.reopen.store(true, Ordering::Release);
        self.orders.wake.wake();
    }

    /// Has everything written and ends the thread. False = it did not within two seconds, and is left to itself.
    pub(super) fn stop(self) -> bool {
        let Engine { orders, thread } = self;
        orders.stop.store(true, Ordering::Release);
        orders.wake.wake();
        let mut events = Events::with_capacity(1);
        let waited = Epoll::new().is_ok_and(|epoll| {
            epoll.add(orders.done.as_fd(), Interest::Read, 0).is_ok()
                && epoll.wait(&mut events, Some(STOP_MS + STOP_MS / 4)).is_ok()
        });
        let done = waited && !events.is_empty();
        if done {
            thread.join();
        }
        done
    }
}

impl Orders {
    fn set(&self, settings: &LoggerFile) {
        self.flush_timeout.store(settings.flush_timeout, Ordering::Relaxed);
        self.max_size.store(settings.max_size, Ordering::Relaxed);
        self.keep.store(settings.keep, Ordering::Relaxed);
    }
}

/// The thread's own.
struct Inside {
    epoll: Epoll,
    orders: Arc<Orders>,
    outlets: Vec<Outlet>,
}

impl Inside {
    fn run(&mut self, events: &mut Events) {
        let mut wait = None;
        while self.epoll.wait(events, wait).is_ok() {
            let now = monotonic_ms();
            for index in 0..events.len() {
                let Some(event) = events.get(index) else { break };
                if event.data == WAKE {
                    self.orders.wake.clear();
                    self.obey();
                } else if let Some(outlet) = self.outlets.iter_mut().find(|outlet| outlet.id == event.data) {
                    outlet.notice(now, event.ended());
                }
            }
            if self.orders.stop.load(Ordering::Acquire) {
                break;
            }
            wait = self.turn(now, false);
        }
        self.finish();
        self.orders.done.wake();
    }

    /// Does what was ordered since the last time.
    fn obey(&mut self) {
        let added = std::mem::take(&mut *self.orders.added.lock().unwrap_or_else(PoisonError::into_inner));
        for mut outlet in added {
            outlet.open();
            if self.epoll.add(outlet.pipe.as_fd(), Interest::Connection, outlet.id).is_ok() {
                self.outlets.push(outlet);
            }
        }
        if self.orders.reopen.swap(false, Ordering::AcqRel) {
            self.outlets.iter_mut().for_each(Outlet::open);
        }
    }

    /// Writes what is due. Returns milliseconds until more is.
    fn turn(&mut self, now: u32, at_once: bool) -> Option<u32> {
        let usual = self.orders.flush_timeout.load(Ordering::Relaxed);
        let rotation = Rotation {
            max_size: self.orders.max_size.load(Ordering::Relaxed),
            keep: self.orders.keep.load(Ordering::Relaxed),
        };
        let mut wait: Option<u32> = None;
        for outlet in &mut self.outlets {
            if let Some(own) = outlet.turn(now, usual, rotation, at_once) {
                wait = Some(wait.map_or(own, |wait| wait.min(own)));
            }
        }
        self.outlets.retain(|outlet| !outlet.is_over());
        wait
    }

    /// Writes everything. What somebody else holds up is tried again for a while.
    fn finish(&mut self) {
        let begun = monotonic_ms();
        self.obey();
        let mut events = Events::with_capacity(1);
        loop {
            let now = monotonic_ms();
            self.outlets.iter_mut().for_each(|outlet| outlet.notice(now, false));
            self.turn(now, true);
            if !self.outlets.iter().any(Outlet::is_held_up) || now.wrapping_sub(begun) >= STOP_MS {
                return;
            }
            // Nothing is to be told of here but time.
            let _ = self.orders.wake.clear();
            let _ = self.epoll.remove(self.orders.wake.as_fd());
            let _ = self.epoll.wait(&mut events, Some(20));
        }
    }
}
