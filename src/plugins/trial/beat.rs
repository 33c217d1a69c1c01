//! A plugin that watches a pipe, in the main thread and in every worker: it shows what the events are. `MONKEY_TEST_BEAT` turns it on.
//!
//! After 50 ms without anything it writes to its pipe, then reads what it wrote and closes the end that it writes to, and when it is
//! told of that watches no longer. Each event is logged.

use std::env::var_os;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use crate::config::Config;
use crate::plugin::events::{Happened, Watch, WatchId, Watches};
use crate::plugin::hooks::{Plugin, Worker};
use crate::plugin::host::Host;
use crate::sys::clock::monotonic_ms;
use crate::sys::pipe::{pipe, read, write};

/// Milliseconds without anything.
const QUIET: u32 = 50;
/// How much of it the loop's clock, which is read once a turn, may be ahead.
const AHEAD: u32 = 5;

/// The plugin in the process.
pub struct Beat(Pulse);

/// The plugin in a worker.
pub struct InWorker(Pulse);

#[derive(Default)]
struct Pulse {
    out: Option<OwnedFd>,
    into: Option<OwnedFd>,
    watched: Option<WatchId>,
    since: u32,
}

impl Pulse {
    fn new() -> io::Result<Pulse> {
        if var_os("MONKEY_TEST_BEAT").is_none() {
            return Ok(Pulse::default());
        }
        let (out, into) = pipe()?;
        Ok(Pulse { out: Some(out), into: Some(into), watched: None, since: 0 })
    }

    fn watch(&mut self, key: u32, watches: &mut Watches) {
        self.since = monotonic_ms();
        let watched = self.out.as_ref().map(|out| watches.add(out.as_fd(), Watch::Read, key, QUIET));
        self.watched = watched.and_then(Result::ok);
    }

    fn told(&mut self, key: u32, happened: Happened, watches: &mut Watches) {
        let early = happened == Happened::TimedOut && monotonic_ms().wrapping_sub(self.since) < QUIET - AHEAD;
        crate::log::info!("beat {key}: {happened:?}{}", if early { " too early" } else { "" });
        match (happened, &self.out, &self.into) {
            (Happened::TimedOut, _, Some(into)) => drop(write(into.as_fd(), b"x")),
            (Happened::Readable, Some(out), Some(_)) => {
                let _ = read(out.as_fd(), &mut [0; 8]);
                self.into = None;
            }
            (Happened::Closed, Some(out), None) => {
                if let Some(watched) = self.watched.take() {
                    watches.remove(watched, out.as_fd());
                }
            }
            _ => {}
        }
    }
}

impl Plugin for Beat {
    const NAME: &'static str = "beat";
    type Worker = InWorker;

    fn start(_: &Config, _: usize) -> io::Result<Beat> {
        Pulse::new().map(Beat)
    }

    fn run(&mut self, _: &Arc<dyn Host>, watches: &mut Watches) -> io::Result<()> {
        self.0.watch(1, watches);
        Ok(())
    }

    fn worker(&self, _: usize) -> io::Result<InWorker> {
        Pulse::new().map(InWorker)
    }

    fn event(&mut self, key: u32, happened: Happened, _: &Arc<dyn Host>, watches: &mut Watches) {
        self.0.told(key, happened, watches);
    }
}

impl Worker for InWorker {
    fn run(&mut self, watches: &mut Watches) {
        self.0.watch(2, watches);
    }

    fn event(&mut self, key: u32, happened: Happened, watches: &mut Watches) {
        self.0.told(key, happened, watches);
    }
}
