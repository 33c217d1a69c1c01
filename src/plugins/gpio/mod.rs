//! gpio: the state of the server on pins and LEDs of the board, and buttons that act.
//!
//! ```text
//! timer (timerfd) --> main thread --> panel: what is due? --> counters and faults of the server -> patterns -> lines
//!                          ^                     |                                                     pin: rppal
//!      what else wakes it -+                     +--> inputs -> reload, stop, a program                LED: sysfs
//! ```
//!
//! All of it runs in the main thread, on one timer that is set for the next moment at which something is due, and for no other. Nothing is
//! added to a request: what is shown is read from counters. Lines are taken before rights are given up and are left as they are to
//! be when the server stops; when it dies its keeper does that.

mod button;
mod claim;
#[cfg(any(test, feature = "test-switches"))]
mod fake;
mod leds;
mod line;
mod panel;
mod pattern;
mod pi;
mod scripts;
mod traffic;

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use crate::config::Config;
use crate::config::plugins::gpio::{self as config, Action, Place};
use crate::log::{info, warn};
use crate::plugin::events::{Happened, Watch, Watches};
use crate::plugin::hooks::{Needs, Plugin, Worker};
use crate::plugin::host::Host;
use crate::sys::clock::monotonic_us;
use crate::sys::signal::{Signal, send};
use crate::sys::timer::Timer;
use crate::vhost::live::Live;
use claim::{Lines, claim, leave};
use panel::Panel;
use scripts::Scripts;

/// What the timer is called among what is watched.
const TIMER: u32 = 0;
/// The same of the spawner.
const SPAWNER: u32 = 1;

/// What the crate rppal takes as long as a pin is in use, bytes: mostly room for events that are not asked for here.
const PINS: usize = 176 * 1024;
/// Descriptors that it has open: the character device, an event queue.
const PIN_FILES: usize = 2;

/// Milliseconds of the precise clock: the coarse one may be behind the timer.
fn now() -> (u64, u32) {
    let ms = monotonic_us() / 1000;
    (ms, ms as u32)
}

/// The plugin in the process.
pub struct Gpio {
    config: config::Gpio,
    /// What was taken, until the main thread's loop begins.
    lines: Option<Lines>,
    panel: Option<Panel>,
    timer: Option<Timer>,
    /// What the timer is set for.
    armed: Option<u32>,
    /// How often it has woken the main thread.
    wakes: u64,
    scripts: Scripts,
}

/// The plugin in a worker: there is nothing of it.
pub struct InWorker;

impl Worker for InWorker {}

impl Gpio {
    /// Has the timer go off when the next thing is due.
    fn arm(&mut self, next: Option<u32>, (ms, now): (u64, u32)) {
        if next == self.armed {
            return;
        }
        let left = |at: u32| (at.wrapping_sub(now) as i32).max(0) as u64;
        let at = next.map(|at| (ms + left(at)) * 1000);
        if let Some(Err(error)) = self.timer.as_ref().map(|timer| timer.set(at)) {
            warn!("gpio: the timer cannot be set: {error}");
        }
        self.armed = next;
    }

    fn act(&mut self, number: usize, host: &dyn Host) {
        let Some(input) = self.config.inputs.get(number) else { return };
        match &input.action {
            Action::Reload => {
                info!("gpio: pin {}: reload", input.pin);
                host.reload();
            }
            Action::Stop => {
                info!("gpio: pin {}: stop", input.pin);
                let _ = send(std::process::id(), Signal::Term);
            }
            Action::Run(_) => self.scripts.run(number),
        }
    }
}

impl Plugin for Gpio {
    const NAME: &'static str = "gpio";
    type Worker = InWorker;

    fn needs(config: &Config, _: usize) -> Needs {
        let gpio = &config.plugins.gpio;
        let is_pin = |output: &config::Output| matches!(output.place, Place::Pin(_));
        let pins = !gpio.inputs.is_empty() || gpio.outputs.iter().any(is_pin);
        if !pins && gpio.outputs.is_empty() {
            return Needs::default();
        }
        Needs {
            process: if pins { PINS } else { 0 } + 4096,
            // The timer, the spawner, and each LED.
            process_files: gpio.outputs.len() + 2 + if pins { PIN_FILES } else { 0 },
            ..Needs::default()
        }
    }

    fn children(config: &Config, _: usize) -> usize {
        config.plugins.gpio.programs()
    }

    fn start(config: &Config, _: usize) -> io::Result<Gpio> {
        let config = config.plugins.gpio.clone();
        let wanted = !config.outputs.is_empty() || !config.inputs.is_empty();
        // Dark, however it is wired.
        let lines = wanted.then(|| claim(&config, |output| output.active_low, true)).filter(Lines::any);
        let timer = if lines.is_some() { Some(Timer::new()?) } else { None };
        let scripts = Scripts::default();
        Ok(Gpio { config, lines, panel: None, timer, armed: None, wakes: 0, scripts })
    }

    fn run(&mut self, host: &Arc<dyn Host>, watches: &mut Watches) -> io::Result<()> {
        let (Some(lines), Some(timer)) = (self.lines.take(), &self.timer) else { return Ok(()) };
        watches.add(timer.as_fd(), Watch::Read, TIMER, 0)?;
        self.scripts.configure(host.live().config());
        self.scripts.connect(SPAWNER, watches)?;
        let now = now();
        self.panel = Some(Panel::new(&self.config, lines, now.1));
        // Not before the loop has begun: what is ready then serves.
        self.arm(Some(now.1), now);
        Ok(())
    }

    fn worker(&self, _: usize) -> io::Result<InWorker> {
        Ok(InWorker)
    }

    fn needs_restart(&self, config: &Config) -> Option<&'static str> {
        let same = self.config.is_wired_as(&config.plugins.gpio);
        if same { None } else { Some("Pin, Led or Pull in gpio.conf") }
    }

    fn reconfigure(&mut self, live: &Live) -> io::Result<()> {
        self.config = live.config().plugins.gpio.clone();
        if let Some(panel) = &mut self.panel {
            panel.configure(&self.config, now().1);
            self.scripts.configure(live.config());
        }
        Ok(())
    }

    fn event(&mut self, key: u32, _: Happened, _: &Arc<dyn Host>, watches: &mut Watches) {
        match &self.timer {
            Some(timer) if key == TIMER => {
                if timer.clear() {
                    self.armed = None;
                    self.wakes += 1;
                }
            }
            _ => self.scripts.hear(watches),
        }
    }

    fn turn(&mut self, host: &Arc<dyn Host>) -> bool {
        let Some(panel) = &mut self.panel else { return false };
        let now = now();
        let mut pressed = 0u32;
        let turn = panel.turn(&**host, now.1, &mut |number| pressed |= 1u32.checked_shl(number as u32).unwrap_or(0));
        self.arm(turn.next, now);
        while pressed != 0 {
            self.act(pressed.trailing_zeros() as usize, &**host);
            pressed &= pressed - 1;
        }
        // A server that shows how it is does not stay as large as one that serves.
        turn.rests
    }

    fn tell(&self) {
        let Some(panel) = &self.panel else { return };
        let (outputs, inputs) = panel.count();
        info!("gpio: {outputs} outputs, {inputs} inputs, {} wake-ups, errors{}", self.wakes, panel.errors());
    }

    fn stopping(&mut self, handed_over: bool) {
        match &mut self.panel {
            // They are another server's now.
            Some(_) if handed_over => self.panel = None,
            Some(panel) => panel.darken(),
            None => {}
        }
    }

    fn stop(&mut self) {
        if let Some(panel) = self.panel.take() {
            panel.leave();
        }
    }

    fn has_aftermath(config: &Config) -> bool {
        !config.plugins.gpio.outputs.is_empty()
    }

    fn aftermath(config: &Config, died: bool) {
        leave(&config.plugins.gpio, died);
    }
}
