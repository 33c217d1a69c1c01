//! The system log: `<PRI>monkey[PID]: message` as a datagram to /dev/log (RFC 3164 section 4.1 without the time, which the
//! daemon stamps on arrival, in its own zone).
//!
//! The crate's own formats allocate for every message, and its connecting functions whenever they fail: both are replaced here.

use super::NAME;
use super::line::Line;
use ::log::Level;
use std::fmt::Arguments;
use std::io::{self, ErrorKind, Write};
use std::os::unix::net::UnixDatagram;
use std::sync::{Mutex, PoisonError};
use syslog::{Facility, LogFormat, Logger, Severity};

/// The sink of the process. The daemon's socket is named by its path each time it is reached for, so that inside a chroot
/// a daemon that restarts is found again only if its socket is there too.
pub(super) static SINK: Sink = Sink::new("/dev/log");

struct Format;

impl LogFormat<Arguments<'_>> for Format {
    fn format<W: Write>(&self, w: &mut W, severity: Severity, message: Arguments<'_>) -> syslog::Result<()> {
        let priority = Facility::LOG_DAEMON as u8 | severity as u8;
        let pid = std::process::id();
        let line = Line::render(format_args!("<{priority}>{NAME}[{pid}]: "), message);
        // One write is one datagram.
        w.write_all(line.without_end()).map_err(syslog::Error::Write)
    }
}

/// The crate's own back end would bring streams and their buffers.
struct Socket(UnixDatagram);

impl Write for Socket {
    fn write(&mut self, datagram: &[u8]) -> io::Result<usize> {
        self.0.send(datagram)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct State {
    logger: Option<Logger<Socket, Format>>,
    lost: u32,
}

/// A connection to the system log that is made when it is first needed and again after the daemon has restarted.
pub(super) struct Sink {
    path: &'static str,
    state: Mutex<State>,
}

impl Sink {
    const fn new(path: &'static str) -> Sink {
        let state = State { logger: None, lost: 0 };
        Sink { path, state: Mutex::new(state) }
    }

    /// Sends a message; false if there is no daemon to take it. One that is there but does not keep up loses the message,
    /// and is told how many when it takes one again.
    pub(super) fn send(&self, level: Level, message: Arguments<'_>) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..2 {
            match state.try_send(self.path, level, message) {
                Ok(()) => return true,
                Err(ErrorKind::WouldBlock) => {
                    state.lost = state.lost.saturating_add(1);
                    return true;
                }
                // A daemon that restarted has a new socket behind the path.
                Err(_) => state.logger = None,
            }
        }
        false
    }
}

impl State {
    fn try_send(&mut self, path: &str, level: Level, message: Arguments<'_>) -> Result<(), ErrorKind> {
        let logger = match &mut self.logger {
            Some(logger) => logger,
            none => none.insert(connect(path).map_err(|error| error.kind())?),
        };
        if self.lost > 0 {
            let lost = self.lost;
            kind(logger.warning(format_args!("{lost} messages lost: the system log did not keep up")))?;
            self.lost = 0;
        }
        kind(match level {
            Level::Error => logger.err(message),
            Level::Warn => logger.warning(message),
            Level::Info => logger.info(message),
            Level::Debug | Level::Trace => logger.debug(message),
        })
    }
}

fn kind(result: syslog::Result<()>) -> Result<(), ErrorKind> {
    match result {
        Ok(()) => Ok(()),
        Err(syslog::Error::Write(error) | syslog::Error::Io(error)) => Err(error.kind()),
        Err(syslog::Error::Initialization(_)) => Err(ErrorKind::Other),
    }
}

fn connect(path: &str) -> io::Result<Logger<Socket, Format>> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    // A daemon that hangs must not hang the server.
    socket.set_nonblocking(true)?;
    Ok(Logger::new(Socket(socket), Format))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::Dir;
    use std::time::Duration;

    fn daemon(path: &str) -> UnixDatagram {
        let socket = UnixDatagram::bind(path).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        socket
    }

    fn receive(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 4096];
        let size = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..size].to_vec()).unwrap()
    }

    fn sink(dir: &Dir) -> Sink {
        Sink::new(dir.join("log").into_os_string().into_string().unwrap().leak())
    }

    #[test]
    fn messages_have_priority_name_and_pid() {
        let dir = Dir::new();
        let sink = sink(&dir);
        let log = daemon(sink.path);
        let pid = std::process::id();
        // Facility daemon is 3, times 8; the severities are RFC 3164's.
        for (level, priority) in
            [(Level::Error, 27), (Level::Warn, 28), (Level::Info, 30), (Level::Debug, 31), (Level::Trace, 31)]
        {
            assert!(sink.send(level, format_args!("a\n{level} b")));
            assert_eq!(receive(&log), format!("<{priority}>monkey[{pid}]: a\\n{level} b"));
        }
    }

    #[test]
    fn a_restarted_daemon_is_found_again() {
        let dir = Dir::new();
        let sink = sink(&dir);
        assert!(!sink.send(Level::Info, format_args!("nobody yet")));
        let first = daemon(sink.path);
        assert!(sink.send(Level::Info, format_args!("one")));
        assert!(receive(&first).ends_with("]: one"));
        drop(first);
        std::fs::remove_file(sink.path).unwrap();
        assert!(!sink.send(Level::Info, format_args!("nobody now")));
        let second = daemon(sink.path);
        assert!(sink.send(Level::Info, format_args!("two")));
        assert!(receive(&second).ends_with("]: two"));
        // Without a message in between, too.
        drop(second);
        std::fs::remove_file(sink.path).unwrap();
        let third = daemon(sink.path);
        assert!(sink.send(Level::Info, format_args!("three")));
        assert!(receive(&third).ends_with("]: three"));
    }

    #[test]
    fn a_daemon_that_hangs_costs_messages_only() {
        let dir = Dir::new();
        let sink = sink(&dir);
        let log = daemon(sink.path);
        const SENT: u32 = 5000;
        for number in 0..SENT {
            assert!(sink.send(Level::Info, format_args!("message {number}")));
        }
        let lost = sink.state.lock().unwrap().lost;
        assert!(lost > 0 && lost < SENT, "{lost}");
        for number in 0..SENT - lost {
            assert!(receive(&log).ends_with(&format!("]: message {number}")));
        }
        assert!(sink.send(Level::Info, format_args!("again")));
        assert!(receive(&log).ends_with(&format!("]: {lost} messages lost: the system log did not keep up")));
        assert!(receive(&log).ends_with("]: again"));
        assert_eq!(sink.state.lock().unwrap().lost, 0);
    }
}
