//! The text exposition format of Prometheus, version 0.0.4: a family of numbers, then its samples.

use std::sync::atomic::{AtomicU32, Ordering};

use crate::http::output::Sink;
use crate::plugin::host::{Host, WorkerState};
use crate::plugin::stats::Totals;

/// A family of numbers: its name, its kind, a line about it.
pub(super) struct Family {
    pub(super) name: &'static str,
    kind: &'static str,
    help: &'static str,
}

const fn gauge(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "gauge", help }
}

const fn counter(name: &'static str, help: &'static str) -> Family {
    Family { name, kind: "counter", help }
}

/// The numbers of the whole server.
pub(super) const WHOLE: [Family; 5] = [
    gauge("uptime_seconds", "Seconds since the start."),
    gauge("connections", "Connections now."),
    gauge("connections_max", "Most connections there can be."),
    gauge("resident_bytes", "Memory that is resident."),
    gauge("memory_limit_bytes", "MemoryLimit."),
];

/// The values of [`WHOLE`].
pub(super) fn of_whole(host: &dyn Host) -> [u64; 5] {
    let memory = host.memory();
    let kb = |kb: usize| kb as u64 * 1024;
    [host.uptime(), host.connections().into(), host.capacity().into(), kb(memory.resident), kb(memory.limit)]
}

const CLIENTS: Family = counter("clients_total", "Connections by what became of them.");

/// What becomes of those who come, by a name for it.
pub(super) const CAME: [&str; 7] =
    ["accepted", "over_capacity", "over_address", "no_descriptor", "refused", "gave_way", "pauses"];

/// The values of [`CAME`].
pub(super) fn of_totals(totals: &Totals) -> [u64; 7] {
    let Totals { accepted, over_capacity, over_address, no_descriptor, refused, gave_way, pauses, .. } = totals;
    [accepted, over_capacity, over_address, no_descriptor, refused, gave_way, pauses].map(read)
}

const ANSWERS: Family = counter("answers_total", "Requests answered, by the class of the status.");

/// The classes of answers.
pub(super) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The numbers of each worker.
pub(super) const EACH: [Family; 7] = [
    gauge("worker_connections", "Connections of the worker now."),
    counter("sent_bytes_total", "Bytes handed to the sockets."),
    gauge("buffers", "Buffers the worker has."),
    gauge("buffers_lent", "Buffers lent to connections now."),
    counter("buffers_refused_total", "Times that no buffer was free."),
    gauge("open_files", "Files open now."),
    counter("log_lines_lost_total", "Log lines lost because their pipe was full."),
];

/// The values of [`EACH`].
pub(super) fn of_worker(worker: &WorkerState<'_>) -> [u64; 7] {
    let stats = worker.stats;
    [
        worker.connections.into(),
        stats.sent.load(Ordering::Relaxed),
        worker.buffers.into(),
        read(&stats.lent),
        read(&stats.starved),
        read(&stats.files),
        read(&stats.lost),
    ]
}

pub(super) fn read(number: &AtomicU32) -> u64 {
    number.load(Ordering::Relaxed).into()
}

/// See [`super::Step`]. Part 0 is the whole, part 1 who came, part 2 the answers by class, the others each a number of the workers.
pub(super) fn step(out: &mut dyn Sink, host: &dyn Host, part: u8, worker: u8) -> Option<bool> {
    let index = usize::from(worker);
    match part {
        0 => {
            let family = WHOLE.get(index)?;
            push_family(out, family);
            push_sample(out, family.name, &[], *of_whole(host).get(index)?);
        }
        1 => {
            let result = CAME.get(index)?;
            if index == 0 {
                push_family(out, &CLIENTS);
            }
            push_sample(out, CLIENTS.name, &[("result", result)], *of_totals(host.totals()).get(index)?);
        }
        2 => {
            let state = host.worker(index)?;
            if index == 0 {
                push_family(out, &ANSWERS);
            }
            for (class, count) in CLASSES.into_iter().zip(&state.stats.answered) {
                let mut number = Digits::default();
                let labels = [("worker", digits(&mut number, worker)), ("class", class)];
                push_sample(out, ANSWERS.name, &labels, read(count));
            }
        }
        _ => {
            let place = usize::from(part) - 3;
            let Some(family) = EACH.get(place) else { return Some(false) };
            let state = host.worker(index)?;
            if index == 0 {
                push_family(out, family);
            }
            let mut number = Digits::default();
            let value = of_worker(&state).get(place).copied().unwrap_or(0);
            push_sample(out, family.name, &[("worker", digits(&mut number, worker))], value);
        }
    }
    Some(true)
}

type Digits = heapless::String<3>;

fn digits(text: &mut Digits, number: u8) -> &str {
    let _ = core::fmt::write(text, format_args!("{number}"));
    text
}

fn push_family(out: &mut dyn Sink, family: &Family) {
    let Family { name, kind, help } = *family;
    for part in ["# HELP monkey_", name, " ", help, "\n# TYPE monkey_", name, " ", kind, "\n"] {
        out.push(part.as_bytes());
    }
}

fn push_sample(out: &mut dyn Sink, name: &str, labels: &[(&str, &str)], value: u64) {
    out.push(b"monkey_");
    out.push(name.as_bytes());
    for (index, (label, text)) in labels.iter().enumerate() {
        for part in [if index == 0 { "{" } else { "," }, label, "=\"", text, "\""] {
            out.push(part.as_bytes());
        }
    }
    out.push(if labels.is_empty() { b" " } else { b"} " });
    out.push_decimal(value);
    out.push(b"\n");
}
