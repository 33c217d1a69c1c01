//! What is counted: the names of the numbers, what they are, and where they come from.

use std::slice::from_ref;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::http::output::Sink;
use crate::plugin::host::Host;
use crate::plugin::stats::Totals;

/// The numbers by groups, a line for each: its name, and what it is where that is told. The first two groups are of the whole
/// server, the others of each worker.
const GROUPS: [&str; 4] = [
    "uptime_seconds Seconds since the start.
connections Connections now.
connections_max Most connections there can be.
resident_bytes Memory that is resident.
memory_limit_bytes MemoryLimit.",
    "accepted
over_capacity
over_address
no_descriptor
refused
gave_way
pauses",
    "1xx
2xx
3xx
4xx
5xx",
    "worker_connections Connections of the worker now.
sent_bytes_total Bytes handed to the sockets.
buffers Buffers the worker has.
buffers_lent Buffers lent to connections now.
buffers_refused_total Times that no buffer was free.
open_files Files open now.
log_lines_lost_total Log lines lost because their pipe was full.",
];

/// One of them.
pub(super) struct Number {
    name: &'static [u8],
    /// With the blank before it.
    about: &'static [u8],
    worker: u8,
    value: u64,
}

impl Number {
    /// The number at a place of a group. None = there is no such number, or no such worker; the whole server is worker 0.
    #[inline(never)]
    pub(super) fn find(host: &dyn Host, group: usize, place: usize, worker: u8) -> Option<Number> {
        let line = GROUPS.get(group)?.as_bytes().split(|&byte| byte == b'\n').nth(place)?;
        let end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        let (name, about) = line.split_at_checked(end)?;
        Some(Number { name, about, worker, value: value(host, group, place, worker)? })
    }

    /// Writes a form, in which stand `@` for the name, `~` for a blank and what it is, `!` for its kind, `&` for the worker and `$` for
    /// the value.
    #[inline(never)]
    pub(super) fn push(&self, out: &mut dyn Sink, form: &'static str) {
        for byte in form.as_bytes() {
            out.push(match byte {
                b'@' => self.name,
                b'~' => self.about,
                b'!' if self.name.ends_with(b"_total") => b"counter",
                b'!' => b"gauge",
                b'&' => {
                    out.push_decimal(self.worker.into());
                    continue;
                }
                b'$' => {
                    out.push_decimal(self.value);
                    continue;
                }
                byte => from_ref(byte),
            });
        }
    }
}

fn value(host: &dyn Host, group: usize, place: usize, worker: u8) -> Option<u64> {
    let state = match group {
        0 | 1 if worker > 0 => return None,
        0 => {
            let memory = host.memory();
            return Some(match place {
                0 => host.uptime(),
                1 => host.connections().into(),
                2 => host.capacity().into(),
                3 => memory.resident as u64 * 1024,
                _ => memory.limit as u64 * 1024,
            });
        }
        1 => {
            let Totals { accepted, over_capacity, over_address, no_descriptor, refused, gave_way, pauses, .. } =
                host.totals();
            let all = [accepted, over_capacity, over_address, no_descriptor, refused, gave_way, pauses];
            return all.get(place).map(|number| read(number));
        }
        _ => host.worker(worker.into())?,
    };
    let stats = state.stats;
    if group == 2 {
        return stats.answered.get(place).map(read);
    }
    Some(match place {
        0 => state.connections.into(),
        1 => stats.sent.load(Ordering::Relaxed),
        2 => state.buffers.into(),
        3 => read(&stats.lent),
        4 => read(&stats.starved),
        5 => read(&stats.files),
        _ => read(&stats.lost),
    })
}

fn read(number: &AtomicU32) -> u64 {
    number.load(Ordering::Relaxed).into()
}
