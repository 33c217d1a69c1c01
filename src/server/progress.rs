//! Whether every worker comes round: what is fed, and who is told that the server lives, hangs on it.
//!
//! Each worker is woken once and asked about later: one that has taken note of it has finished the turn it was in. Nothing is added to a
//! turn, and nobody is woken while nobody asks.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::server::shared::Shared;
use crate::sys::clock::monotonic_ms;

/// What a worker has at least to take note of a wake-up, milliseconds. No more than a third of the shortest time of a watchdog.
pub const GRACE_MS: u32 = 1_500;
/// No worker.
const NONE: u32 = u32::MAX;

/// What is known of the workers' progress.
pub struct Progress {
    /// When they were woken last, milliseconds.
    asked: AtomicU32,
    /// The first that had not taken note of it when they were looked at last, or [`NONE`].
    stuck: AtomicU32,
}

impl Progress {
    /// Workers that have not been asked.
    pub fn new() -> Progress {
        Progress { asked: AtomicU32::new(monotonic_ms().wrapping_sub(GRACE_MS)), stuck: AtomicU32::new(NONE) }
    }
}

/// A worker's part in it.
pub struct Pulse {
    /// How often it took note of a wake-up; only the worker writes it.
    pub beats: AtomicU32,
    /// What that was when it was looked at last.
    seen: AtomicU32,
}

impl Pulse {
    /// A worker that was not woken yet: it counts as one that has just taken note.
    pub fn new() -> Pulse {
        Pulse { beats: AtomicU32::new(0), seen: AtomicU32::new(u32::MAX) }
    }
}

impl Shared {
    /// The first worker that was woken [`GRACE_MS`] ago or longer and has not taken note of it. The others are woken again, at most once
    /// in that time however often this is called.
    pub fn stuck(&self) -> Option<usize> {
        self.look(monotonic_ms())
    }

    fn look(&self, now: u32) -> Option<usize> {
        let Progress { asked, stuck } = &self.progress;
        if now.wrapping_sub(asked.load(Ordering::Relaxed)) >= GRACE_MS {
            asked.store(now, Ordering::Relaxed);
            stuck.store(NONE, Ordering::Relaxed);
            for (number, gate) in self.gates.iter().enumerate().rev() {
                let beats = gate.pulse.beats.load(Ordering::Relaxed);
                if gate.pulse.seen.swap(beats, Ordering::Relaxed) == beats {
                    stuck.store(number as u32, Ordering::Relaxed);
                }
                gate.wake.wake();
            }
        }
        match stuck.load(Ordering::Relaxed) {
            NONE => None,
            number => Some(number as usize),
        }
    }
}
