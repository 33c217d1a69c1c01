//! The application server, `monkey palm`: runs the scripts that the plugin palm of a web server asks for over TCP.
//!
//! ```text
//!   master (no rights are given up; reads nothing from the network)
//!     |  signals, ends of children, words of children, the status socket
//!     |
//!     +-- child: waits at the port of its handler          N of each handler
//!     +-- child: has taken a request ---> script           MaxRunning of each handler
//!            reads the head, starts the script with the socket as its stdout, passes the body to its stdin,
//!            keeps its time limit, answers itself if the script has written nothing, ends
//! ```
//!
//! A child serves one request, and the master forks another as soon as it is told that one was taken. It has one thread, as have its
//! children, so that each fork is whole.

mod answer;
mod child;
mod environment;
mod master;
mod script;
mod table;

use std::ffi::OsString;
use std::fmt;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::config::palm::{Palm, file, load};
use crate::config::{Diagnostic, LogTarget};
use crate::log::{self, DEFAULT_LEVEL, Target};
use crate::palm::master::Master;
use crate::plugin::tool::print;
use crate::sys::clock::monotonic_us;
use crate::sys::{fault, fork, pipe, stderr, unix};

/// What `monkey palm --help` prints.
pub const HELP: &str = "\
Usage: monkey palm [-c FILE|DIR] [--check | --status]

The application server: runs PHP, Perl and other scripts for web servers
that ask for it over the Palm protocol. Reads /etc/monkey/palm.conf, or
palm.conf in conf of the source tree it was built in.

  -c, --config FILE|DIR  another palm.conf, or the directory it is in
      --check            read the configuration, tell all errors, exit
      --status           ask a running one for its table of children
  -v, --version          print the version, exit
  -h, --help             print this, exit

Signals: TERM, INT and QUIT end it when requests in flight are done, after
10 seconds at most; HUP reads the configuration anew; USR1 writes the table
of children to the log.
";

/// What `monkey palm --version` prints, without its end mark.
pub const VERSION: &str = concat!("Monkey Palm Server v", env!("CARGO_PKG_VERSION"));

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    Serve,
    Check,
    Status,
    Version,
    Help,
}

/// `monkey palm`.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let (task, path) = match parse(arguments) {
        Ok(parsed) => parsed,
        Err((what, word)) => {
            let word = Path::new(word).display();
            return fail(format_args!("{what} '{word}'; `monkey palm --help` lists the options"));
        }
    };
    match task {
        Task::Help => return told(format_args!("{HELP}")),
        Task::Version => return told(format_args!("{VERSION}\n")),
        _ => {}
    }
    let path = file(path.as_deref());
    let (palm, findings) = match load(&path) {
        Ok(loaded) => loaded,
        Err(report) => {
            tell(&report.diagnostics);
            return fail(format_args!("{} in the configuration, nothing started", report.errors()));
        }
    };
    if task == Task::Status {
        return status(&palm);
    }
    tell(&findings);
    if let Err(error) = master::check(&palm) {
        return fail(format_args!("{}: {error}", path.display()));
    }
    if task == Task::Check {
        return told(format_args!("{}: {} handlers, no errors\n", path.display(), palm.handlers.len()));
    }
    match serve(palm, path) {
        Ok(code) => code,
        Err(error) => fail(format_args!("{error}")),
    }
}

/// Serves until a signal ends it. Returns in every child too.
fn serve(palm: Palm, path: PathBuf) -> Result<ExitCode, master::StartError> {
    open_log(palm.log_target);
    fork::keep_descriptors();
    let _ = fault::install();
    match Master::new(palm, path)?.run() {
        Some(job) => Ok(child::serve(job)),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Milliseconds of the clock that never jumps.
fn now_ms() -> u64 {
    monotonic_us() / 1000
}

/// Messages go where the configuration says.
fn open_log(target: LogTarget) {
    let target = if target == LogTarget::Syslog { Target::Syslog } else { Target::Stderr };
    if let Err(error) = log::init(target, DEFAULT_LEVEL) {
        stderr::write(format!("monkey palm: {error}\n").as_bytes());
    }
}

/// What the arguments ask for, and what `-c` names; or what is wrong, and with which word.
fn parse(arguments: &[OsString]) -> Result<(Task, Option<PathBuf>), (&'static str, &OsString)> {
    let (mut task, mut path) = (Task::Serve, None);
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        match word.as_bytes() {
            b"-h" | b"--help" => return Ok((Task::Help, None)),
            b"-v" | b"--version" => return Ok((Task::Version, None)),
            b"--check" => task = Task::Check,
            b"--status" => task = Task::Status,
            b"-c" | b"--config" | b"--configdir" => {
                path = Some(rest.next().ok_or(("missing argument for option", word))?.into());
            }
            [b'-', ..] => return Err(("invalid option", word)),
            _ => return Err(("unexpected argument", word)),
        }
    }
    Ok((task, path))
}

/// Prints what a running server tells.
fn status(palm: &Palm) -> ExitCode {
    let path = palm.status.display();
    let socket = match unix::connect(&palm.status) {
        Ok(socket) => socket,
        Err(error) => return fail(format_args!("no server answers at {path}: {error}")),
    };
    let mut buffer = vec![0; 4096];
    loop {
        match pipe::read(socket.as_fd(), &mut buffer) {
            Ok(0) => return ExitCode::SUCCESS,
            Ok(count) => {
                if let Err(error) = print(buffer.get(..count).unwrap_or_default()) {
                    return fail(format_args!("cannot write to stdout: {error}"));
                }
            }
            Err(error) => return fail(format_args!("{path}: {error}")),
        }
    }
}

fn tell(findings: &[Diagnostic]) {
    for finding in findings {
        stderr::write(format!("{finding}\n").as_bytes());
    }
}

#[inline(never)]
fn fail(what: fmt::Arguments<'_>) -> ExitCode {
    stderr::write(format!("monkey palm: {what}\n").as_bytes());
    ExitCode::FAILURE
}

#[inline(never)]
fn told(text: fmt::Arguments<'_>) -> ExitCode {
    match print(text.to_string().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(format_args!("cannot write to stdout: {error}")),
    }
}
