//! How the memory ceiling is divided: every writable byte the server can come to use, decided before it starts.

use std::fmt;

use crate::config::{Config, Scheduler, Server};
use crate::limits::{
    ARENA_MIN, CONNECTIONS_MAX, CONNECTIONS_MIN, EXECUTABLE_KB, HEAD_BUFFER, HEAD_MAX, HEADROOM, HEAP_KB, INPUT_ROOM,
    MISS_BYTES, MISSES_MAX, OPEN_FILES_MAX, OTHER_FILES, OUTPUT_ROOM, PATH_ROOM, POOL_MIN, ROOTS_MAX, STACK_SIZE,
    WATCHES_MAX, WORKER_FILES, WORKERS_MAX,
};
use crate::plugin::events::Watches;
use crate::plugins::needs;
use crate::server::addresses::Addresses;
use crate::server::connection::Connection;
use crate::server::worker::EVENTS_A_TURN;
use crate::storage::pool::{Class, Pool};
use crate::sys::slots::Slots;
use crate::vhost::table::OpenFiles;

/// The division of memory, in bytes unless said otherwise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Budget {
    /// The ceiling.
    pub limit: usize,
    /// Number of workers.
    pub workers: usize,
    /// Most connections at once.
    pub connections: usize,
    /// Entries of the connection table: one a descriptor number.
    pub slots: usize,
    /// What each of them takes, with its share of the count of connections by address.
    pub slot: usize,
    /// What each worker takes however little it does: stack, scratch buffers, indexes.
    pub worker: usize,
    /// Each worker's cache of answers.
    pub arena: usize,
    /// Each worker's buffer pool: how many buffers of each size.
    pub pool: [Class; 4],
    /// Program, heap and the scheduler's stack.
    pub fixed: usize,
    /// Its part for the heap.
    pub heap: usize,
    /// What the plugins take, for the process and all workers.
    pub plugins: usize,
    /// Descriptors that the plugins of each worker can watch.
    pub watches: usize,
    /// Of each worker's pool the part that the plugins asked for.
    pub buffers: usize,
    /// Bytes of each worker's scratch area for plugins.
    pub scratch: usize,
}

/// Why the memory can not be divided.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum BudgetError {
    /// The ceiling is too low for what the configuration asks for.
    TooLittle {
        /// KB the ceiling would have to be.
        needed: usize,
        /// KB it is.
        limit: usize,
        /// Workers asked for.
        workers: usize,
        /// KB of it for the configuration.
        configuration: usize,
    },
    /// The process may not open enough descriptors.
    Descriptors {
        /// How many it may open.
        limit: u64,
        /// How many are needed at least.
        needed: usize,
    },
}

impl fmt::Display for BudgetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BudgetError::TooLittle { needed, limit, workers, configuration } => write!(
                f,
                "MemoryLimit {limit} KB is too little for {workers} workers and {configuration} KB of configuration: \
                 raise MemoryLimit to {needed}, lower Workers or configure less"
            ),
            BudgetError::Descriptors { limit, needed } => write!(
                f,
                "this process may open only {limit} files, and {needed} are needed at least: raise FDLimit or `ulimit -n`"
            ),
        }
    }
}

/// The share of the buffer pool that each class of buffers takes, in sixteenths, smallest class first. Heads of slow
/// clients are small; the largest class holds a whole gathered output.
const POOL_SHARES: [(usize, usize); 4] = [(HEAD_BUFFER, 3), (4096, 4), (INPUT_ROOM, 5), (OUTPUT_ROOM, 4)];

/// One buffer of each size, whatever the shares say, and the rest by shares: together never more than `bytes`, if that is
/// at least [`POOL_MIN`].
/// `more` bytes come on top, in buffers of the two smaller classes: for heads of requests that handlers have under way.
fn pool_classes(bytes: usize, more: usize) -> [Class; 4] {
    let rest = bytes.saturating_sub(POOL_MIN);
    POOL_SHARES.map(|(size, share)| {
        let heads = match size {
            HEAD_BUFFER => more / 3 * 2 / size,
            4096 => more / 3 / size,
            _ => 0,
        };
        Class { size: size as u32, count: (1 + rest * share / 16 / size + heads).min(usize::from(u16::MAX)) as u16 }
    })
}

/// Descriptors besides those of connections.
fn other_files(config: &Config, workers: usize) -> usize {
    let (server, needs) = (&config.server, needs(config, workers));
    let listeners = match server.scheduler {
        Scheduler::Fair => server.listen.len(),
        Scheduler::ReusePort => server.listen.len().saturating_mul(workers),
    };
    let own = usize::from(OPEN_FILES_MAX) + ROOTS_MAX + WORKER_FILES + needs.worker_files;
    workers.saturating_mul(own).saturating_add(listeners).saturating_add(OTHER_FILES + needs.process_files)
}

/// What an entry of the connection table takes.
fn slot_bytes(server: &Server) -> usize {
    let counted = if server.max_connections_per_address > 0 { Addresses::SLOT_BYTES } else { 0 };
    Slots::<Connection>::SLOT_SIZE + counted
}

/// What each worker takes besides its arena and pool.
fn worker_bytes() -> usize {
    let scratch = INPUT_ROOM + HEAD_MAX + 3 * PATH_ROOM + OUTPUT_ROOM + EVENTS_A_TURN * 16;
    let index = OpenFiles::index_bytes(OPEN_FILES_MAX) + OpenFiles::index_bytes(MISSES_MAX);
    STACK_SIZE + scratch + index + MISS_BYTES
}

/// What the heap may come to hold where the configuration takes so many bytes of it: twice the configuration, for a reload
/// holds the old one and the new one, a quarter for the gaps between, and half of the usual heap for everything else.
pub(super) fn heap_bytes(configuration: usize) -> usize {
    (HEAP_KB * 512 + configuration.saturating_mul(2) / 4 * 5).max(HEAP_KB * 1024)
}

impl Budget {
    /// Divides `MemoryLimit`. `cpus` is how many processors there are, for `Workers 0`; `descriptors` how many files the
    /// process may open; `configuration` how many bytes of heap the configuration takes.
    pub fn new(config: &Config, cpus: usize, descriptors: u64, configuration: usize) -> Result<Budget, BudgetError> {
        let server = &config.server;
        let limit = server.memory_limit as usize * 1024;
        let own = EXECUTABLE_KB * 1024 + heap_bytes(configuration) + STACK_SIZE;
        let plugins = |workers: usize| {
            let needs = needs(config, workers);
            let watches = Watches::bytes(WATCHES_MAX + needs.worker_files);
            needs.process + workers * (needs.worker + needs.worker_buffers + needs.worker_scratch + watches)
        };
        let slot = slot_bytes(server);
        let wanted = match server.workers {
            0 => cpus.clamp(1, WORKERS_MAX),
            workers => workers as usize,
        };
        let smallest = |workers: usize| {
            let others = other_files(config, workers);
            let table = (CONNECTIONS_MIN + HEADROOM + others) * slot;
            own + plugins(workers) + table + workers * (worker_bytes() + ARENA_MIN + POOL_MIN)
        };
        // One worker a processor is a wish, a number in the configuration an order.
        let mut workers = wanted;
        while server.workers == 0 && workers > 1 && smallest(workers) > limit {
            workers -= 1;
        }
        if smallest(workers) > limit {
            let needed = smallest(workers).div_ceil(1024);
            return Err(BudgetError::TooLittle {
                needed,
                limit: server.memory_limit as usize,
                workers,
                configuration: heap_bytes(configuration) / 1024,
            });
        }
        let others = other_files(config, workers);
        let (plugins, fixed) = (plugins(workers), own + plugins(workers));
        let free = limit - fixed - workers * worker_bytes();
        let affordable = (free - workers * (ARENA_MIN + POOL_MIN)) / slot;
        let allowed = usize::try_from(descriptors).unwrap_or(usize::MAX);
        let minimum = others + HEADROOM + 1;
        if allowed < minimum {
            return Err(BudgetError::Descriptors { limit: descriptors, needed: minimum });
        }
        let most = affordable.min(allowed) - HEADROOM - others;
        // Beyond the usual number, connections take no more than half of what is free.
        let usual = CONNECTIONS_MAX.max(free / 2 / slot);
        let connections = most.min(usual);
        let slots = connections + HEADROOM + others;
        let share = (free - slots * slot) / workers;
        let arena = (share * 2 / 5).min(share.saturating_sub(POOL_MIN)).max(ARENA_MIN);
        let needs = needs(config, workers);
        let pool = pool_classes(share - arena, needs.worker_buffers);
        Ok(Budget {
            limit,
            workers,
            connections,
            slots,
            slot,
            worker: worker_bytes(),
            arena,
            pool,
            fixed,
            heap: heap_bytes(configuration),
            plugins,
            watches: WATCHES_MAX + needs.worker_files,
            buffers: needs.worker_buffers,
            scratch: needs.worker_scratch,
        })
    }

    /// Descriptors that serve the most connections any ceiling of this size could pay for.
    pub fn descriptors_wanted(config: &Config, cpus: usize) -> u64 {
        let server = &config.server;
        let slot = slot_bytes(server);
        let workers = if server.workers == 0 { cpus } else { server.workers as usize };
        let others = other_files(config, workers);
        let paid = server.memory_limit as usize * 1024 / 2 / slot;
        (CONNECTIONS_MAX.max(paid) + HEADROOM + others) as u64
    }

    /// All of it together: never more than the ceiling.
    pub fn total(&self) -> usize {
        let table = self.slots * self.slot;
        self.fixed + table + self.workers * (self.worker + self.arena + Pool::bytes(&self.pool) - self.buffers)
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kb = |bytes: usize| bytes / 1024;
        write!(
            f,
            "memory: at most {} of {} KB: program, heap and plugins {}, {} connections {}, {} workers with {} each (cache {}, buffers {})",
            kb(self.total()),
            kb(self.limit),
            kb(self.fixed),
            self.connections,
            kb(self.slots * self.slot),
            self.workers,
            kb(self.worker + self.arena + Pool::bytes(&self.pool)),
            kb(self.arena),
            kb(Pool::bytes(&self.pool)),
        )
    }
}
