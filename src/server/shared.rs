//! What the scheduler and the workers share.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::HEADROOM;
use crate::log::ring;
use crate::plugin::host::{Host, MemoryState, WorkerState};
use crate::plugin::stats::{Faults, Totals, WorkerStats};
use crate::server::addresses::Addresses;
use crate::server::budget::Budget;
use crate::server::connection::Connection;
use crate::server::progress::{Progress, Pulse};
use crate::storage::pool::Pool;
use crate::sys::clock::monotonic_us;
use crate::sys::epoll::{Epoll, Interest};
use crate::sys::process::Statm;
use crate::sys::signal::{Signal, send};
use crate::sys::slots::Slots;
use crate::sys::socket::Peer;
use crate::sys::wake::Wake;
use crate::vhost::live::Live;

/// What a special descriptor is registered with: the lower half of its epoll data is beyond any slot.
pub const SPECIAL: u64 = 0xffff_ff00;
/// The wake-up of a worker.
pub const WAKE: u64 = SPECIAL + 0xff;

/// What the plugins of a worker watch.
pub const WATCH: u64 = SPECIAL + 0xfe;

/// A worker as seen from outside: where its connections are registered and how it is called.
pub struct Gate {
    /// The worker's event queue.
    pub epoll: Arc<Epoll>,
    /// What it counts.
    pub stats: Arc<WorkerStats>,
    /// The id of its thread; 0 until it runs.
    pub task: AtomicU32,
    /// Wakes it for something that is no event of a connection.
    pub wake: Wake,
    /// Whether it comes round.
    pub pulse: Pulse,
    /// Connections it has, those on the way to it included.
    pub active: AtomicU32,
    /// Connections of it that could give way.
    pub idle: AtomicU32,
    /// Connections that shall give way.
    pub shed: AtomicU32,
}

impl Gate {
    /// A worker's gate, with its wake-up registered.
    pub fn new() -> io::Result<Gate> {
        let gate = Gate {
            epoll: Arc::new(Epoll::new()?),
            stats: Arc::default(),
            task: AtomicU32::new(0),
            wake: Wake::new()?,
            pulse: Pulse::new(),
            active: AtomicU32::new(0),
            idle: AtomicU32::new(0),
            shed: AtomicU32::new(0),
        };
        gate.epoll.add(gate.wake.as_fd(), Interest::Read, WAKE)?;
        Ok(gate)
    }
}

/// What all threads share.
pub struct Shared {
    /// The connection table.
    pub slots: Arc<Slots<Connection>>,
    /// The workers.
    pub gates: Vec<Gate>,
    /// Most connections at once.
    pub capacity: u32,
    /// Connections at this moment, over all workers.
    pub active: AtomicU32,
    /// Connections of each address, if they are counted.
    pub addresses: Option<Addresses>,
    /// What became of those who came.
    pub totals: Totals,
    /// What is wrong.
    pub faults: Faults,
    /// How often the operator asked for the state.
    pub asked: AtomicU32,
    /// Where workers tell of their connections, and how many of them have not yet.
    pub report: Mutex<Option<(OwnedFd, usize)>>,
    /// How often workers were asked to.
    pub reports: AtomicU32,
    /// Whether the workers come round.
    pub progress: Progress,
    /// How memory is divided.
    pub budget: Budget,
    /// Microseconds of the monotonic clock when the server began.
    started: u64,
    /// How much of it is resident.
    pub statm: Statm,
    /// Where it listens.
    listening: Mutex<Vec<SocketAddr>>,
    /// The server is stopping.
    pub stopping: AtomicBool,
    live: Mutex<Arc<Live>>,
    epoch: AtomicU32,
}

impl Shared {
    /// The state of a server about to start.
    pub fn new(
        slots: Arc<Slots<Connection>>,
        gates: Vec<Gate>,
        budget: Budget,
        addresses: Option<Addresses>,
        live: Arc<Live>,
        statm: Statm,
    ) -> Shared {
        Shared {
            slots,
            gates,
            capacity: budget.connections as u32,
            active: AtomicU32::new(0),
            addresses,
            totals: Totals::default(),
            faults: Faults::default(),
            asked: AtomicU32::new(0),
            report: Mutex::new(None),
            reports: AtomicU32::new(0),
            progress: Progress::new(),
            budget,
            started: monotonic_us(),
            statm,
            listening: Mutex::default(),
            stopping: AtomicBool::new(false),
            live: Mutex::new(live),
            epoch: AtomicU32::new(0),
        }
    }

    /// The number of the configuration in force; it changes with each reload.
    pub fn epoch(&self) -> u32 {
        self.epoch.load(Ordering::Acquire)
    }

    /// The configuration in force.
    pub fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Puts another configuration in force; workers take it up at their next turn.
    pub fn set_live(&self, live: Arc<Live>) {
        *self.live.lock().unwrap_or_else(PoisonError::into_inner) = live;
        self.epoch.fetch_add(1, Ordering::Release);
        self.wake_workers();
    }

    /// Takes note of where the server listens.
    pub fn set_listening(&self, addresses: Vec<SocketAddr>) {
        *self.listening.lock().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Wakes every worker.
    pub fn wake_workers(&self) {
        for gate in &self.gates {
            gate.wake.wake();
        }
    }

    /// Whether there is room for another connection.
    pub fn has_room(&self) -> bool {
        self.active.load(Ordering::Relaxed) < self.capacity
    }

    /// Whether there is room for few more connections, or for none.
    pub fn is_nearly_full(&self) -> bool {
        self.active.load(Ordering::Relaxed) >= self.capacity - self.capacity / 8
    }

    /// The worker with the most connections that could give way, without those that were asked to already. None = no worker
    /// has any, or there is no head-room for a client to be in until one has left.
    pub fn idlest(&self) -> Option<&Gate> {
        if self.active.load(Ordering::Relaxed) >= self.capacity.saturating_add(HEADROOM as u32) {
            return None;
        }
        let spare = |gate: &&Gate| gate.idle.load(Ordering::Relaxed).saturating_sub(gate.shed.load(Ordering::Relaxed));
        self.gates.iter().max_by_key(spare).filter(|gate| spare(gate) > 0)
    }

    /// Whether another connection can be taken in: there is room, or an idle one to make room.
    pub fn can_take(&self) -> bool {
        self.has_room() || self.idlest().is_some()
    }

    /// Counts connections off that worker `owner` had, once their descriptors are closed.
    pub fn closed(&self, owner: u8, connections: u32) {
        if let Some(gate) = self.gates.get(usize::from(owner)) {
            gate.active.fetch_sub(connections, Ordering::Relaxed);
        }
        self.active.fetch_sub(connections, Ordering::Relaxed);
    }

    /// Counts a connection of this peer off for its address.
    pub fn left(&self, peer: &Peer) {
        if let Some(addresses) = &self.addresses {
            addresses.leave(peer);
        }
    }
}

impl Host for Shared {
    fn live(&self) -> Arc<Live> {
        self.live()
    }

    fn capacity(&self) -> u32 {
        self.capacity
    }

    fn connections(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    fn totals(&self) -> &Totals {
        &self.totals
    }

    fn faults(&self) -> &Faults {
        &self.faults
    }

    fn workers(&self) -> usize {
        self.gates.len()
    }

    fn worker(&self, number: usize) -> Option<WorkerState<'_>> {
        let gate = self.gates.get(number)?;
        let connections = gate.active.load(Ordering::Relaxed);
        let buffers = self.budget.pool.iter().map(|class| u32::from(class.count)).sum();
        let task = gate.task.load(Ordering::Relaxed);
        Some(WorkerState { number, task, connections, buffers, stats: &gate.stats })
    }

    fn listening(&self) -> Vec<SocketAddr> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn memory(&self) -> MemoryState {
        let budget = &self.budget;
        let (cache, buffers) = (budget.arena, Pool::bytes(&budget.pool));
        MemoryState {
            limit: budget.limit / 1024,
            resident: self.statm.resident_kb(),
            fixed: budget.fixed / 1024,
            slots: budget.slots,
            slot: budget.slot,
            worker: (budget.worker + cache + buffers) / 1024,
            cache: cache / 1024,
            buffers: buffers / 1024,
            plugins: budget.plugins / 1024,
        }
    }

    fn uptime(&self) -> u64 {
        monotonic_us().saturating_sub(self.started) / 1_000_000
    }

    fn stuck(&self) -> Option<usize> {
        self.stuck()
    }

    fn wake(&self, worker: usize) {
        if let Some(gate) = self.gates.get(worker) {
            gate.wake.wake();
        }
    }

    fn reload(&self) {
        let _ = send(std::process::id(), Signal::Hup);
    }

    fn tell_connections(&self, pipe: OwnedFd) -> bool {
        let mut report = self.report.lock().unwrap_or_else(PoisonError::into_inner);
        if report.is_some() {
            return false;
        }
        *report = Some((pipe, self.gates.len()));
        drop(report);
        self.reports.fetch_add(1, Ordering::Release);
        self.wake_workers();
        true
    }

    fn recent_lines(&self, count: usize, most: usize, each: &mut dyn FnMut(&[u8])) -> bool {
        ring::last_lines(count, most, each)
    }
}
