//! Programs that inputs run: ordered from the spawner, each input at most one at a time.

use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::config::plugins::child_users;
use crate::config::plugins::gpio::{Action, Input};
use crate::config::{Chroot, Config};
use crate::log::{info, warn};
use crate::plugin::events::{Watch, WatchId, Watches};
use crate::plugin::order::{About, Answer, Became, Limits, Order};
use crate::plugin::spawner::{Spawner, Streams};
use crate::sys::Errno;
use crate::sys::child::End;

/// Room for what an order has besides the path, which is in it twice.
const REST: usize = 256;
/// What programs have for PATH.
const PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// One that an input may run.
struct Script {
    pin: u8,
    program: Box<str>,
    /// What the spawner is told.
    order: Box<[u8]>,
}

/// The programs of a configuration.
#[derive(Default)]
pub(super) struct Scripts {
    spawner: Option<Spawner>,
    watched: Option<WatchId>,
    /// By the number of the input.
    scripts: Vec<Option<Script>>,
    /// Those that run, a bit for each input: there are fewer inputs than bits, as no pin is one twice.
    running: u32,
}

impl Scripts {
    /// Takes up what the inputs of a configuration run.
    pub(super) fn configure(&mut self, config: &Config) {
        let gpio = &config.plugins.gpio;
        let place = child_users(config).iter().position(|name| Some(*name) == gpio.user.as_deref());
        let user = place.map_or(0, |place| place as u8 + 1);
        let chroot = config.server.chroot.as_ref();
        let script = |(number, input)| script(number, input, user, chroot);
        self.scripts = (0..).zip(&gpio.inputs).map(script).collect();
    }

    /// Connects to the spawner, which knows this connection by `key`, if there is one and an input: a reload may give that a program
    /// to run where somebody else's are started already.
    pub(super) fn connect(&mut self, key: u32, watches: &mut Watches) -> io::Result<()> {
        if !self.scripts.is_empty()
            && let Some(spawner) = Spawner::connect()?
        {
            self.watched = Some(watches.add(spawner.as_fd(), Watch::Read, key, 0)?);
            self.spawner = Some(spawner);
        }
        Ok(())
    }

    /// Runs what an input does.
    pub(super) fn run(&mut self, number: usize) {
        let Some(Some(script)) = self.scripts.get(number) else { return };
        let Script { pin, program, order } = script;
        let bit = 1u32.checked_shl(number as u32).unwrap_or(0);
        if self.running & bit != 0 {
            return warn!("gpio: pin {pin}: {program} still runs");
        }
        let stderr = io::stderr();
        let streams = Streams { input: None, output: stderr.as_fd(), error: stderr.as_fd() };
        let started = self.spawner.as_ref().map_or(Err(Errno::PIPE), |spawner| spawner.start(order, streams));
        match started {
            Ok(()) => {
                self.running |= bit;
                info!("gpio: pin {pin}: {program}");
            }
            Err(errno) => warn!("gpio: pin {pin}: cannot run {program}: {}", io::Error::from(errno)),
        }
    }

    /// Takes what the spawner has to say.
    pub(super) fn hear(&mut self, watches: &mut Watches) {
        while let Some(spawner) = &self.spawner {
            match spawner.answer() {
                Ok(Some(answer)) => self.ended(answer),
                Ok(None) => return,
                Err(_) => {
                    if let Some(watched) = self.watched.take() {
                        watches.remove(watched, spawner.as_fd());
                    }
                    (self.spawner, self.running) = (None, 0);
                }
            }
        }
    }

    fn ended(&mut self, Answer { id, became }: Answer) {
        if matches!(became, Became::Started(_)) {
            return;
        }
        self.running &= !1u32.checked_shl(id).unwrap_or(0);
        let Some(Some(Script { pin, program, .. })) = self.scripts.get(id as usize) else { return };
        match became {
            Became::Ended(End::Exited(0)) => info!("gpio: pin {pin}: {program} is done"),
            Became::Ended(end) => warn!("gpio: pin {pin}: {program}: {end}"),
            Became::Failed(errno) => warn!("gpio: pin {pin}: cannot run {program}: {}", io::Error::from(errno)),
            Became::Started(_) => {}
        }
    }
}

fn script(number: u32, input: &Input, user: u8, chroot: Option<&Chroot>) -> Option<Script> {
    let Action::Run(program) = &input.action else { return None };
    // As the spawner sees it.
    let inside = chroot.and_then(|chroot| chroot.inside(Path::new(&**program)));
    let path = inside.as_ref().map_or(program.as_bytes(), |inside| inside.as_os_str().as_bytes());
    let mut room = vec![0; 2 * path.len() + REST];
    let about = About { id: number, user, limits: Limits::default(), program: path, directory: b"/" };
    let mut order = Order::new(&mut room, &about);
    order.argument(path);
    order.variable(b"PATH", PATH);
    order.variable(b"GPIO_PIN", input.pin.to_string().as_bytes());
    let order = order.finish()?.into();
    Some(Script { pin: input.pin, program: program.clone(), order })
}
