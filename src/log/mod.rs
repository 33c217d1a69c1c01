//! Start-up and error messages: the back end of the `log` facade, to stderr or to the system log.
//!
//! One message is one line and one write, rendered in a fixed buffer: logging never allocates, and control characters
//! are escaped, so that what a request contains cannot pass for a line of ours. Nor does it block: a reader of stderr or a system log
//! that stops reading costs messages, which are counted and reported when it reads again.
//!
//! Access logs are not made here; they belong to the logger plugin.

mod line;
pub mod ring;
#[cfg(feature = "syslog")]
mod syslog;

pub use ::log::{Level, LevelFilter};
use ::log::{Log, Metadata, Record};
use line::Line;
use std::fmt::{self, Arguments};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::sys::clock::wall_seconds;
use crate::sys::{pipe, stderr};
use crate::wire::date::{ISO_DATE_LEN, write_iso_date};

/// The name the server goes by in messages.
const NAME: &str = "monkey";

/// The level in force unless something else is asked for.
pub const DEFAULT_LEVEL: LevelFilter = LevelFilter::Info;

/// How long the first message waits for a reader of stderr that does not keep up, milliseconds. Once one has been lost none
/// waits until a message goes through.
const PATIENCE: u32 = 100;

/// Where messages go: the key `LogTarget`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Target {
    /// `monkey[PID] LEVEL: message`, a line each.
    Stderr,
    /// The local system log, facility daemon. While it cannot be reached, stderr.
    Syslog,
}

impl Target {
    /// Refuses a target that this build does not have: asked when the configuration is checked.
    pub fn available(self) -> Result<(), LogError> {
        match self {
            Target::Syslog if cfg!(not(feature = "syslog")) => Err(LogError::NotInThisBuild),
            _ => Ok(()),
        }
    }
}

/// Why messages cannot go where they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogError {
    /// The target is `syslog` and the feature was left out.
    NotInThisBuild,
    /// Another back end was installed first, by a program that embeds the server.
    Taken,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            LogError::NotInThisBuild => {
                "LogTarget syslog: not in this build; use stderr, or build with the feature `syslog`"
            }
            LogError::Taken => "another logger was installed before the server's",
        })
    }
}

impl std::error::Error for LogError {}

/// Hands a message to the facade, in the name of the server: what the macros below do. Those of the facade pass the module and the
/// line too, which no message shows, and the code for it at each of them.
#[inline(never)]
pub fn say(level: Level, message: Arguments<'_>) {
    if level <= ::log::max_level() {
        ::log::logger().log(&Record::builder().level(level).target(NAME).args(message).build());
    }
}

/// As [`say`], but where the configuration says even while messages go into a pipe: for what is wrong with that.
pub fn aside(level: Level, message: Arguments<'_>) {
    if level <= ::log::max_level() {
        LOGGER.to_target(level, message);
    }
}

/// A message that something failed.
macro_rules! error_of_server {
    ($($what:tt)+) => { $crate::log::say($crate::log::Level::Error, format_args!($($what)+)) };
}
/// A message that something may not be as it was meant.
macro_rules! warn_of_server {
    ($($what:tt)+) => { $crate::log::say($crate::log::Level::Warn, format_args!($($what)+)) };
}
/// A message of the ordinary course of things.
macro_rules! info_of_server {
    ($($what:tt)+) => { $crate::log::say($crate::log::Level::Info, format_args!($($what)+)) };
}
pub(crate) use {error_of_server as error, info_of_server as info, warn_of_server as warn};

struct Logger {
    target: AtomicU8,
    installed: AtomicU8,
    /// Messages that stderr did not take since the last that it took.
    lost: AtomicU32,
}

static LOGGER: Logger =
    Logger { target: AtomicU8::new(Target::Stderr as u8), installed: AtomicU8::new(0), lost: AtomicU32::new(0) };

/// Sends messages up to `level` to `target` from now on. May be called again, by a reload.
pub fn init(target: Target, level: LevelFilter) -> Result<(), LogError> {
    target.available()?;
    if ::log::set_logger(&LOGGER).is_err() && LOGGER.installed.load(Ordering::Relaxed) == 0 {
        return Err(LogError::Taken);
    }
    LOGGER.installed.store(1, Ordering::Relaxed);
    LOGGER.target.store(target as u8, Ordering::Relaxed);
    set_level(level);
    Ok(())
}

/// Messages go into this pipe, a line each with its time, for as long as there is room in it; else, and with None, to the target.
pub fn redirect(to: Option<Arc<OwnedFd>>) {
    *PIPE.lock().unwrap_or_else(PoisonError::into_inner) = to;
}

static PIPE: Mutex<Option<Arc<OwnedFd>>> = Mutex::new(None);

/// Writes to the pipe, if there is one. False = the message is still to be told.
fn to_pipe(level: ::log::Level, message: Arguments<'_>) -> bool {
    let to = PIPE.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(to) = &*to else { return false };
    let mut time = [0; ISO_DATE_LEN];
    write_iso_date(wall_seconds(), &mut time);
    let time = std::str::from_utf8(&time).unwrap_or_default();
    let pid = std::process::id();
    let line = Line::render(format_args!("{time} {NAME}[{pid}] {level}: "), message);
    pipe::write(to.as_fd(), line.with_end()).is_ok()
}

/// Sends a line that is no message of the server's to the system log, facility daemon, severity informational. False = it can not be
/// reached, or is not in this build.
pub fn to_syslog(line: &str) -> bool {
    #[cfg(feature = "syslog")]
    return syslog::SINK.send(::log::Level::Info, format_args!("{line}"));
    #[cfg(not(feature = "syslog"))]
    {
        let _ = line;
        false
    }
}

/// Changes the level alone.
pub fn set_level(level: LevelFilter) {
    ::log::set_max_level(level);
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= ::log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        if !to_pipe(record.level(), *record.args()) {
            self.to_target(record.level(), *record.args());
        }
    }

    fn flush(&self) {}
}

impl Logger {
    fn to_target(&self, level: ::log::Level, message: Arguments<'_>) {
        #[cfg(feature = "syslog")]
        if self.target.load(Ordering::Relaxed) == Target::Syslog as u8 && syslog::SINK.send(level, message) {
            return;
        }
        self.to_stderr(level, message);
    }

    fn to_stderr(&self, level: ::log::Level, message: Arguments<'_>) {
        let patience = match self.lost.load(Ordering::Relaxed) {
            0 => PATIENCE,
            _ => 0,
        };
        if !stderr::wait_writable(patience) {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            write_line(::log::Level::Warn, format_args!("{lost} messages lost: stderr was not being read"));
        }
        write_line(level, message);
    }
}

fn write_line(level: ::log::Level, message: Arguments<'_>) {
    let pid = std::process::id();
    let line = Line::render(format_args!("{NAME}[{pid}] {level}: "), message);
    // Nobody is left to tell where stderr is closed.
    stderr::write(line.with_end());
}

#[cfg(test)]
mod tests;
