//! The same numbers as one JSON object.

use crate::http::output::Sink;
use crate::plugin::host::Host;
use crate::plugins::metrics::numbers::Number;

/// See [`super::Step`]. Part 0 is the whole, part 1 the workers, part 2 the end.
pub(super) fn step(out: &mut dyn Sink, host: &dyn Host, part: u8, worker: u8) -> Option<bool> {
    match part {
        0 => {
            push_members(out, host, 0, worker, "{\"@\": $")?;
            push_members(out, host, 1, worker, ", \"clients\": {\"@\": $")?;
            out.push(b"}, \"workers\": [");
        }
        1 => {
            let first = if worker == 0 { "\n  {\"answers\": {\"@\": $" } else { ",\n  {\"answers\": {\"@\": $" };
            push_members(out, host, 2, worker, first)?;
            push_members(out, host, 3, worker, "}, \"@\": $")?;
            out.push(b"}");
        }
        2 if worker == 0 => out.push(b"]}\n"),
        3.. => return Some(false),
        _ => return None,
    }
    Some(true)
}

/// Writes a group, its first number in a form that begins what it is in. None = there is no such worker.
#[inline(never)]
fn push_members(out: &mut dyn Sink, host: &dyn Host, group: usize, worker: u8, first: &'static str) -> Option<()> {
    let mut place = 0;
    while let Some(number) = Number::find(host, group, place, worker) {
        number.push(out, if place == 0 { first } else { ", \"@\": $" });
        place += 1;
    }
    (place > 0).then_some(())
}
