//! The same numbers as one JSON object.

use crate::http::output::Sink;
use crate::plugin::host::Host;
use crate::plugins::metrics::text::{CAME, CLASSES, EACH, WHOLE, of_totals, of_whole, of_worker, read};

/// See [`super::Step`]. Part 0 is the whole, part 1 the workers, part 2 the end.
pub(super) fn step(out: &mut dyn Sink, host: &dyn Host, part: u8, worker: u8) -> Option<bool> {
    match part {
        0 if worker == 0 => {
            out.push(b"{");
            push_members(out, WHOLE.iter().map(|family| family.name).zip(of_whole(host)));
            out.push(b", \"clients\": {");
            push_members(out, CAME.into_iter().zip(of_totals(host.totals())));
            out.push(b"}, \"workers\": [");
        }
        1 => {
            let state = host.worker(worker.into())?;
            out.push(if worker == 0 { b"\n  {\"answers\": {" } else { b",\n  {\"answers\": {" });
            push_members(out, CLASSES.into_iter().zip(state.stats.answered.iter().map(read)));
            out.push(b"}, ");
            push_members(out, EACH.iter().map(|family| family.name).zip(of_worker(&state)));
            out.push(b"}");
        }
        2 if worker == 0 => out.push(b"]}\n"),
        3.. => return Some(false),
        _ => return None,
    }
    Some(true)
}

fn push_members(out: &mut dyn Sink, members: impl Iterator<Item = (&'static str, u64)>) {
    for (index, (name, value)) in members.enumerate() {
        out.push(if index == 0 { b"\"" } else { b", \"" });
        out.push(name.as_bytes());
        out.push(b"\": ");
        out.push_decimal(value);
    }
}
