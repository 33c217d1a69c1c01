//! SIGUSR2: what the server is doing now, a line in the log for the whole and one for each worker.

use std::sync::atomic::Ordering;

use ::log::info;

use crate::plugin::transport::Transport;
use crate::server::addresses::Addresses;
use crate::server::connection::Waiting;
use crate::server::io::Io;
use crate::server::queues::Queues;
use crate::server::shared::{Gate, Shared};
use crate::sys::process::{Statm, open_descriptors};

/// Tells of the whole and asks the workers, each of which tells of itself at its next turn, which is now.
pub(super) fn tell(shared: &Shared, statm: &Statm) {
    let totals = &shared.totals;
    let total = |total: &std::sync::atomic::AtomicU32| total.load(Ordering::Relaxed);
    info!(
        "state: {} of {} connections, {} addresses, {} accepted, {} gave way, {} times full, turned away {} over capacity {} over address \
         {} without descriptor, {} pauses, {} descriptors, {} KB resident",
        total(&shared.active),
        shared.capacity,
        shared.addresses.as_ref().map_or(0, Addresses::len),
        total(&totals.accepted),
        total(&totals.gave_way),
        total(&totals.full),
        total(&totals.over_capacity),
        total(&totals.over_address),
        total(&totals.no_descriptor),
        total(&totals.pauses),
        open_descriptors(shared.slots.len()),
        statm.resident_kb(),
    );
    shared.asked.fetch_add(1, Ordering::Relaxed);
    shared.wake_workers();
}

/// Tells of one worker.
pub(super) fn tell_worker<T: Transport>(owner: u8, gate: &Gate, queues: &Queues, io: &Io<T>) {
    let (mut silent, mut heads, mut idle, mut bodies, mut busy, mut leaving) = (0, 0, 0, 0, 0, 0);
    for (waiting, count) in queues.counts() {
        match waiting {
            Waiting::Adoption => {}
            Waiting::Silent => silent += count,
            Waiting::Head => heads += count,
            Waiting::Idle => idle += count,
            Waiting::Body => bodies += count,
            Waiting::Send | Waiting::Turn => busy += count,
            Waiting::Farewell => leaving += count,
        }
    }
    let table = io.handler.table();
    info!(
        "state: worker {owner}: {} connections ({silent} silent, {heads} heads, {idle} idle, {bodies} bodies, {busy} busy, \
         {leaving} leaving), {} answered, buffers {} of {} ({} refused), files {} ({} in use)",
        gate.active.load(Ordering::Relaxed),
        io.answered,
        io.pool.lent(),
        io.pool.count(),
        io.pool.refused(),
        table.open(),
        table.pins(),
    );
}
