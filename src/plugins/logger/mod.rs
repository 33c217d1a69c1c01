//! logger: a line for every request, in access and error logs of each site.
//!
//! ```text
//! worker: served() -> 4 KB of lines -> one write -> pipe of the log
//!                                                     |  splice, once FlushTimeout is over or the pipe is nearly full
//! thread `monkey: logger`:                            +-> file, or line by line to stderr, the system log, the ring in memory
//! ```
//!
//! A disk that is slow or full stops nobody: the pipe fills, and then lines are lost, counted, and the log says how many. What
//! is in a pipe waits for the disk.

mod engine;
mod escape;
mod file;
mod format;
#[cfg(feature = "test-switches")]
pub mod fuzz;
mod outlet;
mod worker;

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::log::warn;

use crate::config::Config;
use crate::config::plugins::logger::{Destination, Format, SiteLogs, destinations};
use crate::limits::{LOG_BUFFER, LOGGER_STACK};
use crate::log::{redirect, ring};
use crate::plugin::events::Watches;
use crate::plugin::hooks::{Needs, Plugin};
use crate::plugin::host::Host;
use crate::plugins::logger::engine::Engine;
use crate::plugins::logger::file::LogFile;
use crate::plugins::logger::outlet::{Lines, Outlet, Place};
use crate::sys::pipe;
use crate::vhost::live::Live;

pub use worker::Worker;

/// The near end of one log: when the last of these is gone, so is the log.
struct Inlet {
    destination: Destination,
    pipe: Arc<OwnedFd>,
    /// Lines that found the pipe full, until that is told.
    lost: Arc<AtomicU32>,
}

/// The logs of one site, by their index.
struct Indices {
    format: Format,
    access: Option<usize>,
    error: Option<usize>,
}

/// The logs of one configuration.
#[derive(Default)]
struct Logs {
    inlets: Vec<Arc<Inlet>>,
    sites: Vec<Indices>,
    master: Option<usize>,
}

impl Logs {
    #[inline(never)]
    fn find(&self, to: &Destination) -> Option<usize> {
        self.inlets.iter().position(|inlet| inlet.destination == *to)
    }
}

/// What the main thread and the workers share.
#[derive(Default)]
struct Common {
    logs: Mutex<Arc<Logs>>,
    host: OnceLock<Arc<dyn Host>>,
}

impl Common {
    fn logs(&self) -> Arc<Logs> {
        Arc::clone(&self.logs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The logger as it lives in the process.
pub struct Logger {
    common: Arc<Common>,
    /// None = nothing is logged.
    engine: Option<Engine>,
    /// Logs that the thread has not got yet.
    made: Vec<Outlet>,
    next_id: u64,
    workers: usize,
    /// Bytes that `MemoryLimit` was divided for.
    budget: usize,
}

impl Logger {
    /// Makes the logs of a configuration. Those there are already stay as they are. `serving` = rights are given up, and the root
    /// directory is the one that the server keeps.
    fn make(&mut self, config: &Config, serving: bool) -> io::Result<Logs> {
        let mut logs = Logs { inlets: Vec::new(), sites: Vec::with_capacity(config.sites.len()), master: None };
        for site in &config.sites {
            let SiteLogs { format, access, error, .. } = &site.plugins.logger;
            let access = self.index(&mut logs, config, access, *format, serving)?;
            let error = self.index(&mut logs, config, error, *format, serving)?;
            logs.sites.push(Indices { format: *format, access, error });
        }
        let master = &config.plugins.logger.master;
        logs.master = self.index(&mut logs, config, master, Format::Monkey, serving)?;
        let size = ring_size(config);
        if size > 0 {
            ring::open(size)?;
        }
        Ok(logs)
    }

    /// The index of a destination's log, which is made unless it is there.
    #[inline(never)]
    fn index(
        &mut self,
        logs: &mut Logs,
        config: &Config,
        to: &Option<Destination>,
        format: Format,
        serving: bool,
    ) -> io::Result<Option<usize>> {
        let Some(to) = to else { return Ok(None) };
        let mut index = logs.find(to);
        if index.is_none() {
            let old = self.common.logs();
            let known = old.find(to).and_then(|index| old.inlets.get(index));
            let inlet = match known {
                Some(inlet) => Arc::clone(inlet),
                None => self.log(config, to, format, serving)?,
            };
            index = Some(logs.inlets.len());
            logs.inlets.push(inlet);
        }
        Ok(index)
    }

    /// Makes one log.
    #[inline(never)]
    fn log(
        &mut self,
        config: &Config,
        destination: &Destination,
        format: Format,
        serving: bool,
    ) -> io::Result<Arc<Inlet>> {
        let (name, place) = match destination {
            Destination::File(path) => (path.as_path(), Place::File(log_file(config, path, serving))),
            other => {
                let lines = Lines::new()?;
                match other {
                    Destination::Syslog => (Path::new("syslog"), Place::Syslog(lines)),
                    Destination::Memory => (Path::new("memory"), Place::Memory(lines)),
                    Destination::Stderr | Destination::File(_) => (Path::new("stderr"), Place::Stderr(lines)),
                }
            }
        };
        let (far, near) = pipe::pipe()?;
        let lost = Arc::new(AtomicU32::new(0));
        self.next_id += 1;
        let mut outlet = Outlet::new(self.next_id, far, Arc::clone(&lost), name.into(), place);
        outlet.json = format == Format::Json;
        outlet.master = config.plugins.logger.master.as_ref() == Some(destination);
        if !serving {
            outlet.open();
        }
        self.made.push(outlet);
        Ok(Arc::new(Inlet { destination: destination.clone(), pipe: Arc::new(near), lost }))
    }

    /// Puts the logs that were made in force for the thread.
    fn hand_over(&mut self, config: &Config) -> io::Result<()> {
        let settings = &config.plugins.logger;
        let made = std::mem::take(&mut self.made);
        let engine = match &mut self.engine {
            None if made.is_empty() => return Ok(()),
            None => self.engine.insert(Engine::start()?),
            Some(engine) => engine,
        };
        engine.configure(settings, made);
        let logs = self.common.logs();
        let inlet = logs.master.and_then(|master| logs.inlets.get(master));
        redirect(inlet.map(|inlet| Arc::clone(&inlet.pipe)));
        Ok(())
    }

    fn put(&self, logs: Logs) {
        *self.common.logs.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(logs);
    }
}

/// A file to come. What can not be opened now is looked for again, so that a device serves without the disk its log is on.
fn log_file(config: &Config, path: &Path, serving: bool) -> LogFile {
    let path = path.as_os_str().as_bytes();
    let slash = path.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
    let (directory, name) = path.split_at_checked(slash + 1).unwrap_or_default();
    let outside = text(directory);
    let within = match &config.server.chroot {
        Some(chroot) => {
            chroot.inside(Path::new(OsStr::from_bytes(directory))).map(|within| text(within.as_os_str().as_bytes()))
        }
        None => Some(outside.clone()),
    };
    let now = if serving { within.as_deref() } else { Some(&*outside) };
    LogFile::new(now.unwrap_or_default(), within.clone(), text(name))
}

/// A path for the system. None that a configuration names has a NUL.
#[inline(never)]
fn text(path: &[u8]) -> CString {
    CString::new(path).unwrap_or_default()
}

/// Bytes of the ring in memory; 0 = there is none.
#[inline(never)]
fn ring_size(config: &Config) -> usize {
    config.sites.iter().map(|site| site.plugins.logger.ring).max().unwrap_or(0)
}

/// Bytes that the logs of a configuration take.
fn bytes(config: &Config, workers: usize) -> usize {
    let needs = Logger::needs(config, workers);
    needs.process + workers * needs.worker
}

impl Plugin for Logger {
    const NAME: &'static str = "logger";
    const STAGES: &'static [u8] = &[40];
    type Worker = Worker;

    fn needs(config: &Config, _: usize) -> Needs {
        let destinations = destinations(config);
        let count = destinations.len();
        if count == 0 {
            return Needs::default();
        }
        let files = destinations.iter().filter(|to| matches!(to, Destination::File(_))).count();
        Needs {
            // Beside the stack and the ring a page for each log that the kernel does not move for us.
            process: LOGGER_STACK + ring_size(config) + (count - files) * pipe::ATOMIC,
            worker: count * LOG_BUFFER,
            // Both ends of a pipe, a file and its directory; an event queue and two wake-ups.
            process_files: 4 * count + 3,
            ..Needs::default()
        }
    }

    fn start(config: &Config, workers: usize) -> io::Result<Logger> {
        let budget = bytes(config, workers);
        let mut logger = Logger { common: Arc::default(), engine: None, made: Vec::new(), next_id: 0, workers, budget };
        let logs = logger.make(config, false)?;
        logger.put(logs);
        Ok(logger)
    }

    fn run(&mut self, host: &Arc<dyn Host>, _: &mut Watches) -> io::Result<()> {
        let _ = self.common.host.set(Arc::clone(host));
        self.hand_over(host.live().config())
    }

    fn worker(&self, number: usize) -> io::Result<Worker> {
        Worker::new(Arc::clone(&self.common), number)
    }

    fn reconfigure(&mut self, live: &Live) -> io::Result<()> {
        let config = live.config();
        let more = bytes(config, self.workers).saturating_sub(self.budget) / 1024;
        if more > 0 {
            warn!("logs: {more} KB more than MemoryLimit was divided for: restart to have it divided anew");
        }
        let logs = self.make(config, true)?;
        self.put(logs);
        self.hand_over(config)
    }

    fn reopen(&mut self) {
        if let Some(engine) = &self.engine {
            engine.reopen();
        }
    }

    fn stop(&mut self) {
        let Some(engine) = self.engine.take() else { return };
        redirect(None);
        self.put(Logs::default());
        if !engine.stop() {
            warn!("logs: what could not be written within 2 seconds is lost");
        }
    }
}
