//! SIGUSR2: what the server is doing now, a line in the log for the whole and one for each worker.

use std::fmt::{self, Write};
use std::os::fd::AsFd;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use crate::log::info;

use crate::http::output::{Sink, Text};
use crate::plugin::transport::Transport;
use crate::server::addresses::Addresses;
use crate::server::connection::{Connection, Waiting};
use crate::server::io::Io;
use crate::server::queues::Queues;
use crate::server::shared::{Gate, Shared};
use crate::sys::pipe::write;
use crate::sys::process::open_descriptors;
use crate::sys::slots::View;

/// Tells of the whole and asks the workers, each of which tells of itself at its next turn, which is now.
pub(super) fn tell(shared: &Shared) {
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
        shared.statm.resident_kb(),
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
            Waiting::Send | Waiting::Turn | Waiting::Late | Waiting::Verdict | Waiting::Backend => busy += count,
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

/// A line under construction.
struct Line<'a>(&'a mut Text<128>);

impl Write for Line<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.push(text.as_bytes());
        Ok(())
    }
}

/// A worker tells of each of its connections to whoever asked, as far as the pipe has room.
pub(super) fn tell_connections(shared: &Shared, view: &mut View<Connection>, now: u32) {
    let mut report = shared.report.lock().unwrap_or_else(PoisonError::into_inner);
    let Some((pipe, left)) = &mut *report else { return };
    for index in 0..shared.slots.len() {
        let owner = view.owner();
        let Some(connection) = view.get(index) else { continue };
        let mut line = Text::<128>::default();
        let age = now.wrapping_sub(connection.accepted);
        let state = connection.waiting.name();
        let (address, port) = (connection.peer.ip(), connection.peer.port());
        let (sent, requests) = (connection.total, connection.requests);
        let _ = writeln!(Line(&mut line), "{owner} {address} {port} {state} {age} {sent} {requests}");
        // A pipe that is full has been told enough.
        if write(pipe.as_fd(), line.bytes()).is_err() {
            break;
        }
    }
    *left = left.saturating_sub(1);
    if *left == 0 {
        *report = None;
    }
}
