//! Taking the lines of a configuration: all that can be had, and one warning for the others.

use std::fmt::Write;
use std::path::PathBuf;

use super::line::{Line, Pins, Refused, Taken};
use super::{leds, pi};
use crate::config::plugins::gpio::{Gpio, Output, Place, Role};
use crate::log::warn;

/// The lines of a configuration in its order. None = it cannot be had.
pub(super) struct Lines {
    pub(super) outputs: Vec<Option<Box<dyn Line>>>,
    pub(super) inputs: Vec<Option<Box<dyn Line>>>,
}

impl Lines {
    /// Whether there is any.
    pub(super) fn any(&self) -> bool {
        self.outputs.iter().chain(&self.inputs).any(Option::is_some)
    }
}

/// Where LEDs and pins are.
fn places() -> (PathBuf, Box<dyn Pins>) {
    #[cfg(feature = "test-switches")]
    if let Some(dir) = std::env::var_os("MONKEY_TEST_GPIO").map(PathBuf::from) {
        return (dir.join("leds"), Box::new(super::fake::Files(dir.join("pins"))));
    }
    (leds::LEDS.into(), Box::<pi::Board>::default())
}

/// What cannot be had, and why: neighbours with one reason share it.
#[derive(Default)]
struct Missing {
    text: String,
    why: Option<Refused>,
}

impl Missing {
    fn add(&mut self, place: &Place, why: Refused) {
        match &self.why {
            Some(before) if *before == why => self.text.push_str(", "),
            Some(before) => _ = write!(self.text, ": {before}. Nor "),
            None => {}
        }
        let _ = write!(self.text, "{place}");
        self.why = Some(why);
    }

    fn tell(&self) {
        if let Some(why) = &self.why {
            warn!("gpio: serving without {}: {why}", self.text);
        }
    }
}

/// Takes the outputs, each with the level that `level` gives it, and the inputs if they are wanted.
pub(super) fn claim(gpio: &Gpio, level: impl Fn(&Output) -> bool, inputs: bool) -> Lines {
    let (leds, mut pins) = places();
    claim_from(gpio, &mut |name, high| leds::take(&leds, name, high), &mut *pins, level, inputs)
}

fn claim_from(
    gpio: &Gpio,
    led: &mut dyn FnMut(&str, bool) -> Taken,
    pins: &mut dyn Pins,
    level: impl Fn(&Output) -> bool,
    inputs: bool,
) -> Lines {
    let mut missing = Missing::default();
    let mut lines = Lines { outputs: Vec::new(), inputs: Vec::new() };
    for output in &gpio.outputs {
        let taken = match &output.place {
            Place::Pin(pin) => pins.output(*pin, level(output)),
            Place::Led(name) => led(name, level(output)),
        };
        lines.outputs.push(taken.map_err(|why| missing.add(&output.place, why)).ok());
    }
    for input in gpio.inputs.iter().filter(|_| inputs) {
        let taken = pins.input(input.pin, input.pull);
        lines.inputs.push(taken.map_err(|why| missing.add(&Place::Pin(input.pin), why)).ok());
    }
    missing.tell();
    lines
}

/// Leaves what is to be seen while there is no server: errors lit if it died, everything else as it is safe.
pub(super) fn leave(gpio: &Gpio, died: bool) {
    claim(gpio, |output| if died && output.role == Role::Error { !output.active_low } else { output.safe_high }, false);
}

#[cfg(test)]
mod tests {
    use super::super::fake::Files;
    use super::*;
    use crate::config::plugins::gpio::{Action, Input, Pattern, Pull};
    use crate::sys::testing::Dir;

    fn output(place: Place, active_low: bool) -> Output {
        Output { role: Role::Ready, place, active_low, pattern: Pattern::On, safe_high: false }
    }

    #[test]
    fn what_is_there_is_taken_and_starts_dark() {
        let dir = Dir::new();
        for pin in ["4", "5", "6"] {
            std::fs::write(dir.path().join(pin), "").unwrap();
        }
        let outputs = [(4, false), (5, true), (7, false)].map(|(pin, low)| output(Place::Pin(pin), low)).into();
        let input = |pin| Input { pin, pull: Pull::Down, rising: false, debounce: 0, action: Action::Reload };
        let gpio = Gpio { outputs, inputs: vec![input(6), input(8)], ..Gpio::default() };
        let mut pins = Files(dir.path().to_path_buf());
        let led = &mut |_: &str, _| Err(Refused::Forbidden);
        let lines = claim_from(&gpio, led, &mut pins, |output| output.active_low, true);
        let had = |lines: &[Option<_>]| lines.iter().map(Option::is_some).collect::<Vec<_>>();
        assert_eq!((had(&lines.outputs), had(&lines.inputs)), (vec![true, true, false], vec![true, false]));
        assert!(lines.any());
        let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
        assert_eq!((&*read("4"), &*read("5"), &*read("6.pull")), ("0\n", "1\n", "Down\n"));
        let without = claim_from(&gpio, led, &mut pins, |output| output.active_low, false);
        assert!(without.inputs.is_empty());
    }

    #[test]
    fn neighbours_share_a_reason() {
        let mut missing = Missing::default();
        missing.add(&Place::Pin(17), Refused::Board);
        missing.add(&Place::Pin(22), Refused::Board);
        missing.add(&Place::Led("ACT".into()), Refused::Led(2));
        let text = "pin 17, pin 22: not a Raspberry Pi that is known; write Led in place of Pin. Nor LED ACT";
        assert_eq!((missing.text.as_str(), missing.why), (text, Some(Refused::Led(2))));
    }
}
