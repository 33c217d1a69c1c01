//! What the server counts. Each number has one thread that writes it, unless it says otherwise; any thread may read.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// What became of those who came, since the start; written by whoever accepts. Each starts again at 0 after 2^32.
#[derive(Default, Debug)]
pub struct Totals {
    /// Connections given to a worker.
    pub accepted: AtomicU32,
    /// Turned away because the server was full.
    pub over_capacity: AtomicU32,
    /// Turned away because no descriptor was left.
    pub no_descriptor: AtomicU32,
    /// Turned away because their address had as many connections as it may.
    pub over_address: AtomicU32,
    /// Turned away by a plugin.
    pub refused: AtomicU32,
    /// Connections asked to give way to another.
    pub gave_way: AtomicU32,
    /// Times that accepting was given up until there is room.
    pub full: AtomicU32,
    /// Times that accepting was given up for a while, for the system had no room.
    pub pauses: AtomicU32,
}

/// What is wrong with the server as a whole and known where it happened: each is there until it is mended.
#[derive(Default, Debug)]
pub struct Faults {
    /// The last reload was refused. With a keeper: or is with it, which may come to that.
    pub reload: AtomicBool,
    /// The spawner died: no programs are started.
    pub spawner: AtomicBool,
    /// The server before this one died.
    pub death: AtomicBool,
}

/// Logs that cannot be opened or written now.
pub static LOGS_STUCK: AtomicU32 = AtomicU32::new(0);

/// Adds one to a number that several threads write.
pub fn count(total: &AtomicU32) {
    total.fetch_add(1, Ordering::Relaxed);
}

/// What one worker counts. On a cache line of its own, so that workers do not slow each other down.
#[derive(Default, Debug)]
#[repr(align(64))]
pub struct WorkerStats {
    /// Requests answered, by the first digit of the status: 1 to 5.
    pub answered: [AtomicU32; 5],
    /// Bytes handed to the sockets.
    pub sent: AtomicU64,
    /// Buffers of the pool that are lent now.
    pub lent: AtomicU32,
    /// Times that no buffer was free.
    pub starved: AtomicU32,
    /// Files that are open now.
    pub files: AtomicU32,
    /// Lines of a log that were lost because its pipe was full.
    pub lost: AtomicU32,
}

impl WorkerStats {
    /// Counts an answer.
    #[inline]
    pub fn answer(&self, status: u16) {
        if let Some(class) = self.answered.get(usize::from(status / 100).wrapping_sub(1)) {
            raise(class, 1);
        }
    }

    /// Counts bytes sent.
    #[inline]
    pub fn send(&self, bytes: u64) {
        self.sent.store(self.sent.load(Ordering::Relaxed).wrapping_add(bytes), Ordering::Relaxed);
    }
}

/// Adds to a number that only this thread writes.
#[inline]
pub fn raise(number: &AtomicU32, by: u32) {
    number.store(number.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}
