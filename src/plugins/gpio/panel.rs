//! What is shown, on which lines, and when anything of it is due: the whole of it but for clock, timer and what buttons do.

use std::fmt;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::button::Button;
use super::claim::Lines;
use super::line::Line;
use super::pattern::{Player, earlier, is_due};
use super::traffic::{Sight, Traffic};
use crate::config::plugins::gpio::{Gpio, Output, Pattern, Place, Role};
use crate::config::{Config, Scheduler};
use crate::log::warn;
use crate::plugin::host::Host;
use crate::plugin::stats::LOGS_STUCK;

/// How often inputs are looked at, milliseconds.
const POLL: u32 = 20;
/// How often the server is asked whether it makes progress, milliseconds: a beat.
const BEAT: u32 = 1000;
/// How often it is asked whether all workers run, until they do, milliseconds.
const BEGIN: u32 = 20;
/// How long activity that is not shown by pulses goes on behind the last answer, milliseconds.
const ACTIVE: u32 = 500;
/// How long it counts that the server before this one died, seconds.
const AFTER_DEATH: u64 = 60;
/// How long the workers get to answer whether they make progress, milliseconds: after that their code is not needed until the next time.
const ANSWER: u32 = 100;
/// How long a reload may be under way until lines that another server may have set are set again, milliseconds.
const ANEW: u32 = 5000;

/// The numbers of errors, as docs/plugins/GPIO.md has them.
mod error {
    /// A directory that is served is not there.
    pub(super) const ROOT: u16 = 1 << 1;
    /// The last reload was refused.
    pub(super) const RELOAD: u16 = 1 << 2;
    /// A log cannot be written.
    pub(super) const LOG: u16 = 1 << 3;
    /// The server died and was started again.
    pub(super) const DEATH: u16 = 1 << 4;
    /// A worker makes no progress.
    pub(super) const STUCK: u16 = 1 << 5;
    /// No programs are started.
    pub(super) const SPAWNER: u16 = 1 << 6;
}

/// An output and what is on it.
struct Shown {
    line: Option<Box<dyn Line>>,
    place: Place,
    role: Role,
    active_low: bool,
    safe_high: bool,
    player: Player,
    /// The level it has. None = it is set again.
    high: Option<bool>,
}

impl Shown {
    fn set(&mut self, high: bool) {
        if self.high == Some(high) {
            return;
        }
        self.high = Some(high);
        if let Some(Err(error)) = self.line.as_mut().map(|line| line.set(high)) {
            warn!("gpio: {} cannot be set: {error}; it is left alone until the next start", self.place);
            self.line = None;
        }
    }
}

/// Pins and LEDs while a server runs.
pub(super) struct Panel {
    outputs: Vec<Shown>,
    /// Inputs that are there, by their number in the configuration.
    inputs: Vec<(usize, Box<dyn Line>, Button)>,
    hold: u32,
    check: u32,
    /// Every worker has begun.
    ready: bool,
    stuck: bool,
    /// A directory that is served is not there.
    rootless: bool,
    /// A reload was refused or is under way.
    reloading: bool,
    errors: u16,
    traffic: Option<Traffic>,
    active_until: Option<u32>,
    busy_until: Option<u32>,
    begin_at: Option<u32>,
    beat_at: Option<u32>,
    check_at: Option<u32>,
    poll_at: Option<u32>,
    anew_at: Option<u32>,
    /// Nothing is to be done but to come by: see [`Turn::rests`].
    rest_at: Option<u32>,
}

/// What a turn came to.
pub(super) struct Turn {
    /// The next moment that something is due.
    pub(super) next: Option<u32>,
    /// More was done than to look at inputs, and no client is there: the code for it is not needed for a while.
    pub(super) rests: bool,
}

impl Panel {
    /// What was taken, set as it is now.
    pub(super) fn new(gpio: &Gpio, lines: Lines, now: u32) -> Panel {
        let shown = |(output, line): (&Output, _)| Shown {
            line,
            place: output.place.clone(),
            role: output.role,
            active_low: output.active_low,
            safe_high: output.safe_high,
            player: Player::new(output.pattern),
            high: Some(output.active_low),
        };
        let mut inputs = Vec::new();
        for (number, (input, line)) in gpio.inputs.iter().zip(lines.inputs).enumerate() {
            let Some(line) = line else { continue };
            let button = Button::new(input.rising, input.debounce, line.is_high());
            inputs.push((number, line, button));
        }
        let mut panel = Panel {
            outputs: gpio.outputs.iter().zip(lines.outputs).map(shown).collect(),
            poll_at: (!inputs.is_empty()).then_some(now),
            inputs,
            hold: gpio.hold,
            check: gpio.check,
            ready: false,
            stuck: false,
            rootless: false,
            reloading: false,
            errors: 0,
            traffic: None,
            active_until: None,
            busy_until: None,
            begin_at: Some(now),
            beat_at: None,
            check_at: None,
            anew_at: None,
            rest_at: None,
        };
        panel.plan(now);
        panel
    }

    /// Another configuration for the same lines.
    pub(super) fn configure(&mut self, gpio: &Gpio, now: u32) {
        (self.hold, self.check) = (gpio.hold, gpio.check);
        for (shown, output) in self.outputs.iter_mut().zip(&gpio.outputs) {
            (shown.role, shown.active_low, shown.safe_high) = (output.role, output.active_low, output.safe_high);
            shown.player = Player::new(output.pattern);
        }
        for (number, _, button) in &mut self.inputs {
            if let Some(input) = gpio.inputs.get(*number) {
                button.configure(input.rising, input.debounce);
            }
        }
        (self.traffic, self.active_until, self.busy_until) = (None, None, None);
        (self.stuck, self.rootless) = (false, false);
        self.plan(now);
    }

    fn has(&self, role: Role) -> bool {
        self.outputs.iter().any(|shown| shown.role == role && shown.line.is_some())
    }

    /// What has to be looked at by itself.
    fn plan(&mut self, now: u32) {
        self.beat_at = self.has(Role::Heartbeat).then_some(now);
        self.check_at = (self.has(Role::Error) && self.check > 0).then_some(now);
    }

    /// How many outputs and inputs there are.
    pub(super) fn count(&self) -> (usize, usize) {
        (self.outputs.iter().filter(|shown| shown.line.is_some()).count(), self.inputs.len())
    }

    /// The numbers of what is wrong, as far as an output wants to know.
    pub(super) fn errors(&self) -> Numbers {
        Numbers(self.errors)
    }

    /// Does everything that is due, and tells of the inputs that act, by their numbers in the configuration.
    pub(super) fn turn(&mut self, host: &dyn Host, now: u32, act: &mut dyn FnMut(usize)) -> Turn {
        let due = |at: Option<u32>| at.is_some_and(|at| is_due(at, now));
        let rests = due(self.next(now, false)) && host.connections() == 0;
        if due(self.rest_at) {
            self.rest_at = None;
        }
        if due(self.beat_at) || due(self.check_at) {
            self.rest_at = Some(now.wrapping_add(ANSWER));
        }
        if due(self.begin_at) {
            self.ready = (0..host.workers()).all(|number| host.worker(number).is_some_and(|worker| worker.task != 0));
            self.begin_at = (!self.ready).then_some(now.wrapping_add(BEGIN));
        }
        self.look_at_traffic(host, now);
        if due(self.beat_at) {
            self.beat_at = self.has(Role::Heartbeat).then_some(now.wrapping_add(BEAT));
            self.stuck = host.stuck().is_some();
            if self.ready && !self.stuck {
                self.pulse(Role::Heartbeat, now);
            }
        }
        if due(self.check_at) {
            self.check_at = self.has(Role::Error).then_some(now.wrapping_add(self.check));
            self.stuck = host.stuck().is_some();
            self.rootless = is_rootless(host.live().config());
        }
        self.find_errors(host, now);
        if due(self.anew_at) {
            self.anew_at = None;
            self.outputs.iter_mut().for_each(|shown| shown.high = None);
        }
        if due(self.poll_at) {
            self.poll_at = Some(now.wrapping_add(POLL));
            for (number, line, button) in &mut self.inputs {
                if button.look(line.is_high(), now) {
                    act(*number);
                }
            }
        }
        self.show(now);
        Turn { next: self.next(now, true), rests }
    }

    fn look_at_traffic(&mut self, host: &dyn Host, now: u32) {
        // Seldom asked: what counts is counted elsewhere, and its code would stay resident for every look at an input.
        let later = self.traffic.as_ref().and_then(Traffic::next).is_some_and(|at| !is_due(at, now));
        if !self.has(Role::Activity) && !self.has(Role::Busy) {
            // The last of them may have been an LED that has gone.
            self.traffic = None;
        } else if !later {
            let sight = Sight::of(host);
            let always = || host.live().config().server.scheduler == Scheduler::ReusePort;
            let seen = self.traffic.get_or_insert_with(|| Traffic::new(always(), sight, now)).look(sight, now);
            if seen.active {
                self.pulse(Role::Activity, now);
                self.active_until = Some(now.wrapping_add(ACTIVE));
            }
            if seen.full {
                self.busy_until = Some(now.wrapping_add(self.hold));
            }
        }
        self.active_until = self.active_until.filter(|at| !is_due(*at, now));
        self.busy_until = self.busy_until.filter(|at| !is_due(*at, now));
    }

    /// Something that outputs of a role show by a pulse each.
    fn pulse(&mut self, role: Role, now: u32) {
        self.outputs.iter_mut().filter(|shown| shown.role == role).for_each(|shown| shown.player.pulse(now));
    }

    fn find_errors(&mut self, host: &dyn Host, now: u32) {
        let faults = host.faults();
        let reloading = faults.reload.load(Ordering::Relaxed);
        if reloading && !std::mem::replace(&mut self.reloading, reloading) {
            // The server that was to take over has taken these lines, and if it does not come up leaves them dark.
            self.anew_at = Some(now.wrapping_add(ANEW));
        }
        self.reloading = reloading;
        self.errors = 0;
        if !self.has(Role::Error) {
            return;
        }
        let died = faults.death.load(Ordering::Relaxed) && host.uptime() < AFTER_DEATH;
        for (is, number) in [
            (self.rootless, error::ROOT),
            (reloading, error::RELOAD),
            (LOGS_STUCK.load(Ordering::Relaxed) > 0, error::LOG),
            (died, error::DEATH),
            (self.stuck, error::STUCK),
            (faults.spawner.load(Ordering::Relaxed), error::SPAWNER),
        ] {
            self.errors |= if is { number } else { 0 };
        }
    }

    fn show(&mut self, now: u32) {
        let serves = u16::from(self.ready && !self.stuck);
        let (active, busy) = (u16::from(self.active_until.is_some()), u16::from(self.busy_until.is_some()));
        let errors = self.errors;
        for shown in &mut self.outputs {
            let held = match (shown.role, shown.player.pattern()) {
                (Role::Ready, _) => serves,
                // Each beat, each look that found something, is a pulse of its own.
                (Role::Heartbeat | Role::Activity, Pattern::Pulse { .. }) => 0,
                (Role::Heartbeat, _) => serves,
                (Role::Activity, _) => active,
                (Role::Busy, _) => busy,
                (Role::Error, _) => errors,
            };
            shown.player.hold(held, now);
            let lit = shown.player.step(now);
            shown.set(lit != shown.active_low);
        }
    }

    /// The next moment that something is due; that inputs are to be looked at only if `polls`.
    fn next(&self, now: u32, polls: bool) -> Option<u32> {
        let own = [
            self.begin_at,
            self.traffic.as_ref().and_then(Traffic::next),
            self.active_until,
            self.busy_until,
            self.beat_at,
            self.check_at,
            self.poll_at.filter(|_| polls),
            self.anew_at,
            self.rest_at,
        ];
        let players = self.outputs.iter().filter(|shown| shown.line.is_some()).map(|shown| shown.player.next());
        own.into_iter().chain(players).fold(None, |next, at| earlier(next, at, now))
    }

    /// The end has begun: nothing is shown any more.
    pub(super) fn darken(&mut self) {
        self.outputs.iter_mut().for_each(|shown| shown.set(shown.active_low));
    }

    /// What is left behind.
    pub(super) fn leave(mut self) {
        self.outputs.iter_mut().for_each(|shown| shown.set(shown.safe_high));
    }
}

/// Numbers of errors: bit N is number N.
pub(super) struct Numbers(u16);

impl fmt::Display for Numbers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str(" none");
        }
        (0..u16::BITS).filter(|number| self.0 & 1 << number != 0).try_for_each(|number| write!(f, " {number}"))
    }
}

/// Whether a directory that is served is not there.
fn is_rootless(config: &Config) -> bool {
    let mut served = config.sites.iter().filter(|site| site.redirect.is_none());
    served.any(|site| {
        let mut dirs = std::iter::once(&site.document_root).chain(site.aliases.iter().map(|alias| &alias.dir));
        dirs.any(|dir| !Path::new(dir).is_dir())
    })
}
