//! The server as a whole, as a plugin sees it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::plugin::stats::{Faults, Totals, WorkerStats};
use crate::vhost::live::Live;

/// A worker at this moment.
#[derive(Clone, Copy, Debug)]
pub struct WorkerState<'a> {
    /// Its number, from 0.
    pub number: usize,
    /// The id of its thread, as ps -L and top -H show it; 0 until it runs.
    pub task: u32,
    /// Connections it has.
    pub connections: u32,
    /// Buffers it has in all.
    pub buffers: u32,
    /// What it counts.
    pub stats: &'a WorkerStats,
}

/// How the memory ceiling is divided and how much of it is in use.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryState {
    /// KB of the ceiling.
    pub limit: usize,
    /// KB that are resident now.
    pub resident: usize,
    /// KB of program, heap and main thread.
    pub fixed: usize,
    /// Places for connections.
    pub slots: usize,
    /// Bytes of each.
    pub slot: usize,
    /// KB of each worker, its parts below included.
    pub worker: usize,
    /// KB of each worker's cache of answers.
    pub cache: usize,
    /// KB of each worker's buffers.
    pub buffers: usize,
    /// KB of the plugins, over all workers.
    pub plugins: usize,
}

/// The server as a whole. Any thread may ask.
pub trait Host: Send + Sync {
    /// The configuration in force.
    fn live(&self) -> Arc<Live>;
    /// Most connections at once.
    fn capacity(&self) -> u32;
    /// Connections at this moment.
    fn connections(&self) -> u32;
    /// What became of those who came.
    fn totals(&self) -> &Totals;
    /// What is wrong.
    fn faults(&self) -> &Faults;
    /// How many workers there are.
    fn workers(&self) -> usize;
    /// A worker.
    fn worker(&self, number: usize) -> Option<WorkerState<'_>>;
    /// Where it listens, a port that the kernel has chosen included.
    fn listening(&self) -> Vec<SocketAddr>;
    /// Memory.
    fn memory(&self) -> MemoryState;
    /// Seconds since the start.
    fn uptime(&self) -> u64;
    /// A worker that makes no progress: it was woken 1.5 seconds ago or longer and has not come round since. None = all do. Asking is
    /// what wakes them, each at most once in that time, so that who asks all the time sees it within twice that. Whoever does not ask costs nothing.
    fn stuck(&self) -> Option<usize>;
    /// Wakes a worker: requests that a plugin wanted to be asked about [`Later`](crate::plugin::hooks::Verdict::Later) are asked about
    /// again.
    fn wake(&self, worker: usize);
    /// Has the configuration read anew, as SIGHUP does.
    fn reload(&self);
    /// Has every worker write a line for each of its connections to a pipe, and let go of it: `worker address port state age bytes
    /// requests`, with blanks between, age in milliseconds. What the pipe has no room for is left out. False = such a report is
    /// under way already.
    fn tell_connections(&self, pipe: OwnedFd) -> bool;
    /// Gives the last `count` lines of the log that is kept in memory, oldest first, or as many as are not more than `most` bytes. False
    /// = none is.
    fn recent_lines(&self, count: usize, most: usize, each: &mut dyn FnMut(&[u8])) -> bool;
}
