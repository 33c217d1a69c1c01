//! The text exposition format of Prometheus, version 0.0.4: a family of numbers, then its samples.

use crate::http::output::Sink;
use crate::plugin::host::Host;
use crate::plugins::metrics::numbers::Number;

/// What begins a number that is a family itself.
const FAMILY: &str = "# HELP monkey_@~\n# TYPE monkey_@ !\n";

/// For each group what begins a family, and a sample of it.
const FORMS: [(&str, &str); 4] = [
    (FAMILY, "monkey_@ $\n"),
    (
        "# HELP monkey_clients_total Connections by what became of them.\n# TYPE monkey_clients_total counter\n",
        "monkey_clients_total{result=\"@\"} $\n",
    ),
    (
        "# HELP monkey_answers_total Requests answered, by the class of the status.\n# TYPE monkey_answers_total counter\n",
        "monkey_answers_total{worker=\"&\",class=\"@\"} $\n",
    ),
    (FAMILY, "monkey_@{worker=\"&\"} $\n"),
];

/// See [`super::Step`]. Part 0 is the whole, part 1 who came, part 2 the answers by class, the others each a number of the workers.
pub(super) fn step(out: &mut dyn Sink, host: &dyn Host, part: u8, worker: u8) -> Option<bool> {
    let group = usize::from(part.min(3));
    let (family, sample) = FORMS.get(group)?;
    // A step is one sample of a family that the workers have each, else all samples.
    let start = usize::from(part) - group;
    let mut place = start;
    while let Some(number) = Number::find(host, group, place, worker) {
        if worker == 0 && (place == start || group == 0) {
            number.push(out, family);
        }
        number.push(out, sample);
        place += 1;
        if group == 3 {
            break;
        }
    }
    match (place > start, worker) {
        (true, _) => Some(true),
        // The first worker has every number there is.
        (false, 0) => Some(false),
        (false, _) => None,
    }
}
