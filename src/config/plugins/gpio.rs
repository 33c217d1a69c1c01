//! plugins/gpio/gpio.conf: what the server shows on pins and LEDs, and what buttons do.

use std::fmt;
use std::path::Path;

use super::super::check::{Values, number as digits};
use super::super::diagnostic::{Findings, Position};
use super::super::files::Files;
use super::super::raw::RawEntry;
use super::super::site::Base;
use super::super::table::Reload::{InPlace, Restart};
use super::super::table::{Key, Kind, Section, key, number, page, required, section};
use super::super::text::{first_word, same};
use crate::limits::GPIO_OUTPUTS_MAX;

const G: &str = "GPIO";
const O: &str = "OUTPUT";
const I: &str = "INPUT";

/// The highest BCM number on the header of a Raspberry Pi.
const PIN_MAX: u32 = 27;
/// The shortest pulse that is written, and the longest, milliseconds.
const PULSE_MS: (u64, u64) = (10, 10_000);
/// The slowest blinking and the fastest, in tenths of a period a second.
const BLINK_TENTHS: (u64, u64) = (1, 250);

/// The sections of the file.
pub(super) const FILE: &[Section] = &[
    section(
        G,
        GPIO,
        page!(
            "Pins and LEDs of the board, in a build with the feature `plugin-gpio`. See [plugins/GPIO.md](plugins/GPIO.md)."
        ),
    ),
    Section {
        many: true,
        ..section(O, OUTPUT, page!("A pin or an LED, and what it shows. Either Pin or Led is required."))
    },
    Section { many: true, ..section(I, INPUT, page!("A pin with a button or a contact, and what it does.")) },
];

const GPIO: &[Key] = &[
    key(
        "Check",
        number(0, 3600, "seconds"),
        "2",
        InPlace,
        page!("How often an output with the role `error` looks whether the document roots are there. 0: never."),
    ),
    key(
        "Hold",
        number(1, 3600, "seconds"),
        "3",
        InPlace,
        page!("How long an output with the role `busy` stays on after the last client that found no room."),
    ),
    key(
        "User",
        Kind::Text("a user name or number"),
        "",
        Restart,
        page!("Whom the programs of `Action run` run as, when the server was started by root. Unset: as the server."),
    ),
];

const PIN: Key = key("Pin", number(0, PIN_MAX, ""), "", Restart, page!("The pin's BCM number: 17 is GPIO17."));

const OUTPUT: &[Key] = &[
    required(key(
        "Role",
        Kind::Choice(&["ready", "activity", "error", "heartbeat", "busy"]),
        "",
        InPlace,
        page!(
            "What is shown. `ready`: the server serves. `activity`: requests are answered. `error`: something is wrong, see the table of error numbers. `heartbeat`: the server makes progress. `busy`: a client found no room within the last seconds."
        ),
    )),
    PIN,
    key("Led", Kind::Text("a name in /sys/class/leds"), "", Restart, page!("The LED, as `ACT`.")),
    key("ActiveLow", Kind::Switch, "Off", InPlace, page!("The LED is lit when the pin is low.")),
    key(
        "Pattern",
        Kind::Text("on, blink HZ, pulse MS or count"),
        "",
        InPlace,
        page!(
            "`on`: lit as long as it holds. `blink HZ`: 0.1 to 25 times a second, one decimal. `pulse MS`: lit for 10 to 10000 ms once it holds, again with each further request or beat. `count` (error only): blinks the number of the error. Unset: `on`; for `activity` `pulse 50`, for `error` `count`, for `heartbeat` `blink 1`."
        ),
    ),
    key(
        "Safe",
        Kind::Choice(&["off", "on", "low", "high"]),
        "off",
        InPlace,
        page!("What is left behind when the server stops: lit or not, or the level of the pin itself."),
    ),
];

const INPUT: &[Key] = &[
    required(PIN),
    key(
        "Pull",
        Kind::Choice(&["up", "down", "none"]),
        "up",
        Restart,
        page!("The resistor within the board that holds the pin while nothing else does."),
    ),
    key(
        "Edge",
        Kind::Choice(&["falling", "rising"]),
        "falling",
        InPlace,
        page!("Which change counts. A button to ground with a pull-up: falling."),
    ),
    key(
        "Debounce",
        number(0, 1000, "milliseconds"),
        "50",
        InPlace,
        page!("How long the pin must stay as it is to count as changed. It is looked at every 20 ms."),
    ),
    required(key(
        "Action",
        Kind::Text("reload, stop or run PROGRAM"),
        "",
        InPlace,
        page!(
            "`reload`: as SIGHUP. `stop`: as SIGTERM. `run PROGRAM`: a file that is executed, an absolute path, without arguments, below `Chroot` where there is one; `GPIO_PIN` in its environment is the pin. While it runs the button does nothing."
        ),
    )),
];

/// What is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The server serves.
    Ready,
    /// Requests are answered.
    Activity,
    /// Something is wrong.
    Error,
    /// The server makes progress.
    Heartbeat,
    /// Somebody found no room lately.
    Busy,
}

/// How it is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pattern {
    /// Lit as long as it holds.
    On,
    /// Lit and dark in turn.
    Blink {
        /// Milliseconds of each.
        half: u32,
    },
    /// Lit for so long, once.
    Pulse {
        /// Milliseconds.
        lit: u32,
    },
    /// As many flashes as the number of the error, then a pause.
    Count,
}

/// Where an output is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// A pin, by its BCM number.
    Pin(u8),
    /// A name in /sys/class/leds, without a slash.
    Led(Box<str>),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Pin(pin) => write!(f, "pin {pin}"),
            Place::Led(name) => write!(f, "LED {name}"),
        }
    }
}

/// `[OUTPUT]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Output {
    /// What is shown.
    pub role: Role,
    /// Where.
    pub place: Place,
    /// Whether it is lit by a low level.
    pub active_low: bool,
    /// How.
    pub pattern: Pattern,
    /// Whether the level that is left behind is high.
    pub safe_high: bool,
}

/// What holds an input while nothing else does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pull {
    /// A resistor to 3.3 V.
    Up,
    /// A resistor to ground.
    Down,
    /// Nothing.
    None,
}

/// What an input does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// As SIGHUP.
    Reload,
    /// As SIGTERM.
    Stop,
    /// A program is run: an absolute path, as it is seen from outside of a `Chroot`.
    Run(Box<str>),
}

/// `[INPUT]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Input {
    /// The BCM number.
    pub pin: u8,
    /// What holds it.
    pub pull: Pull,
    /// Whether a rise counts, not a fall.
    pub rising: bool,
    /// Milliseconds for which it must stay as it is.
    pub debounce: u32,
    /// What it does.
    pub action: Action,
}

/// What is known of gpio.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Gpio {
    /// At most [`GPIO_OUTPUTS_MAX`]; no place twice.
    pub outputs: Vec<Output>,
    /// No pin twice, nor one of the outputs.
    pub inputs: Vec<Input>,
    /// Milliseconds between two looks at what may be wrong; 0 = there are none.
    pub check: u32,
    /// Milliseconds for which the server counts as busy.
    pub hold: u32,
    /// Whom programs run as; None = the server's own user.
    pub user: Option<Box<str>>,
}

impl Gpio {
    /// How many programs may run at once: one for each input that runs any.
    pub fn programs(&self) -> usize {
        self.inputs.iter().filter(|input| matches!(input.action, Action::Run(_))).count()
    }

    /// Whether this and that use the same pins and LEDs, in the same order.
    pub fn is_wired_as(&self, other: &Gpio) -> bool {
        let place = |output: &Output| output.place.clone();
        let input = |input: &Input| (input.pin, input.pull);
        self.outputs.iter().map(place).eq(other.outputs.iter().map(place))
            && self.inputs.iter().map(input).eq(other.inputs.iter().map(input))
    }
}

pub(super) fn of_file(v: &Values<'_>, base: &Base<'_>, files: &dyn Files, out: &mut Findings) -> Gpio {
    let seconds = |key| v.number32(G, key).saturating_mul(1000);
    let mut gpio = Gpio {
        check: seconds("Check"),
        hold: seconds("Hold"),
        user: v.entry(G, "User").map(|entry| entry.value.into()),
        ..Gpio::default()
    };
    for (at, v) in v.sections(O) {
        let (Some(place), Some(role)) = (place(&gpio, &at, &v, out), role(&v)) else { continue };
        let active_low = v.switch(O, "ActiveLow");
        let Some(pattern) = pattern(&v, role, out) else { continue };
        let safe_high = v.is(O, "Safe", "high") || (v.is(O, "Safe", "off") == active_low && !v.is(O, "Safe", "low"));
        if gpio.outputs.len() == GPIO_OUTPUTS_MAX {
            out.error(&at, format_args!("more than {GPIO_OUTPUTS_MAX} outputs: take some out"));
            break;
        }
        gpio.outputs.push(Output { role, place, active_low, pattern, safe_high });
    }
    for (_, v) in v.sections(I) {
        let Some(pin) = v.entry(I, "Pin").and_then(|entry| pin(&gpio, &entry, out)) else { continue };
        let Some(action) = v.entry(I, "Action").and_then(|entry| action(&entry, base, files, out)) else { continue };
        let pull = match v.text(I, "Pull") {
            text if same(text, "up") => Pull::Up,
            text if same(text, "down") => Pull::Down,
            _ => Pull::None,
        };
        let (rising, debounce) = (v.is(I, "Edge", "rising"), v.number32(I, "Debounce"));
        gpio.inputs.push(Input { pin, pull, rising, debounce, action });
    }
    if gpio.user.is_some() && gpio.programs() == 0 {
        gpio.user = None;
        if let Some(entry) = v.entry(G, "User") {
            out.warning(&entry.at, "User has no effect: no input runs a program");
        }
    }
    gpio
}

fn role(v: &Values<'_>) -> Option<Role> {
    let text = v.entry(O, "Role")?.value;
    Some(match () {
        _ if same(text, "ready") => Role::Ready,
        _ if same(text, "activity") => Role::Activity,
        _ if same(text, "error") => Role::Error,
        _ if same(text, "heartbeat") => Role::Heartbeat,
        _ => Role::Busy,
    })
}

fn place(gpio: &Gpio, at: &Position<'_>, v: &Values<'_>, out: &mut Findings) -> Option<Place> {
    match (v.entry(O, "Pin"), v.entry(O, "Led")) {
        (Some(entry), None) => pin(gpio, &entry, out).map(Place::Pin),
        (None, Some(entry)) => {
            let name = entry.value;
            if name.contains('/') || name.starts_with('.') {
                let what = format_args!("\"{name}\" is not the name of an LED: ls /sys/class/leds shows them");
                return out.refuse(&entry.value_at, what);
            }
            let place = Place::Led(name.into());
            if gpio.outputs.iter().any(|output| output.place == place) {
                return out.refuse(&entry.value_at, format_args!("LED {name} is in use already: name another"));
            }
            Some(place)
        }
        (Some(_), Some(entry)) => out.refuse(&entry.at, "an output has a Pin or a Led, not both: take one out"),
        // A pin that is none was told of.
        (None, None) if v.is_written(O, "Pin") => None,
        (None, None) => out.refuse(at, "[OUTPUT] needs Pin or Led: write Pin and a BCM number, or Led and a name"),
    }
}

fn pin(gpio: &Gpio, entry: &RawEntry<'_>, out: &mut Findings) -> Option<u8> {
    let pin = u8::try_from(digits(entry.value)?).ok()?;
    let is_output = gpio.outputs.iter().any(|output| output.place == Place::Pin(pin));
    if is_output || gpio.inputs.iter().any(|input| input.pin == pin) {
        return out.refuse(&entry.value_at, format_args!("pin {pin} is in use already: name another"));
    }
    Some(pin)
}

/// The number in a word, within limits.
fn within(word: &str, (least, most): (u64, u64)) -> Option<u32> {
    digits(word).filter(|number| (least..=most).contains(number)).and_then(|number| u32::try_from(number).ok())
}

/// What half a period of `HZ`, a number with at most one decimal, takes.
fn half_of(word: &str) -> Option<u32> {
    let (whole, tenth) = word.split_once('.').unwrap_or((word, "0"));
    // One digit: `0.05` would be read as half a period a second.
    let tenth = digits(tenth).filter(|_| tenth.len() == 1)?;
    let tenths = digits(whole)?.checked_mul(10)?.checked_add(tenth)?;
    let tenths = Some(tenths).filter(|tenths| (BLINK_TENTHS.0..=BLINK_TENTHS.1).contains(tenths))?;
    u32::try_from(5000 / tenths).ok()
}

fn pattern(v: &Values<'_>, role: Role, out: &mut Findings) -> Option<Pattern> {
    let Some(entry) = v.entry(O, "Pattern") else {
        return Some(match role {
            Role::Ready | Role::Busy => Pattern::On,
            Role::Activity => Pattern::Pulse { lit: 50 },
            Role::Heartbeat => Pattern::Blink { half: 500 },
            Role::Error => Pattern::Count,
        });
    };
    let (word, value) = first_word(entry.value);
    let found = match word {
        _ if same(word, "on") && value.is_empty() => Some(Pattern::On),
        _ if same(word, "count") && value.is_empty() && role != Role::Error => {
            return out.refuse(&entry.value_at, "count tells the number of an error: write it with Role error");
        }
        _ if same(word, "count") && value.is_empty() => Some(Pattern::Count),
        _ if same(word, "blink") => half_of(value).map(|half| Pattern::Blink { half }),
        _ if same(word, "pulse") => within(value, PULSE_MS).map(|lit| Pattern::Pulse { lit }),
        _ => None,
    };
    let wrong = || {
        let what = format_args!(
            "Pattern cannot be \"{}\": write on, blink HZ (0.1 to 25, one decimal), pulse MS (10 to 10000) or count",
            entry.value
        );
        out.refuse(&entry.value_at, what)
    };
    found.or_else(wrong)
}

fn action(entry: &RawEntry<'_>, base: &Base<'_>, files: &dyn Files, out: &mut Findings) -> Option<Action> {
    let (word, program) = first_word(entry.value);
    match word {
        _ if same(word, "reload") && program.is_empty() => Some(Action::Reload),
        _ if same(word, "stop") && program.is_empty() => Some(Action::Stop),
        _ if same(word, "run") && program.starts_with('/') => {
            let at = entry.value_at.of_part(entry.value, program);
            if let Err(what) = files.check_program(Path::new(program)) {
                return out.refuse(&at, format_args!("{program}: {what}: name a program that can be run"));
            }
            // The spawner sees it from within.
            base.served(program, &at, out);
            Some(Action::Run(program.into()))
        }
        _ => {
            let what = format_args!(
                "Action cannot be \"{}\": write reload, stop, or run and the absolute path of a program",
                entry.value
            );
            out.refuse(&entry.value_at, what)
        }
    }
}
