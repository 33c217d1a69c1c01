//! Telling the service manager how the server is: the datagrams of sd_notify(3), without its library.

use super::environment::variable;
use std::fmt::Write;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

const SERVING: &str = "READY=1\nSTATUS=serving\n";
const REFUSED: &str = "READY=1\nSTATUS=serving; the last reload was refused, the log says why\n";

/// Where the state goes. Connected once, so that it works after a chroot and inside a sandbox.
#[derive(Debug)]
pub struct Notifier {
    socket: UnixDatagram,
}

impl Notifier {
    /// The notifier of `$NOTIFY_SOCKET`: a path, or `@` and an abstract name. `None` if the variable is not set: nobody
    /// waits for word. Other kinds of address (vsock) are an error.
    pub fn from_env() -> io::Result<Option<Notifier>> {
        match variable(c"NOTIFY_SOCKET") {
            Some(address) if !address.is_empty() => Notifier::connect(&address).map(Some),
            _ => Ok(None),
        }
    }

    /// As [`Notifier::from_env`]; an address that can not be reached is a warning.
    pub fn from_env_or_warn() -> Option<Notifier> {
        Notifier::from_env().unwrap_or_else(|error| {
            ::log::warn!("NOTIFY_SOCKET: {error}; the service manager is not told");
            None
        })
    }

    fn connect(address: &[u8]) -> io::Result<Notifier> {
        let address = match address.split_first() {
            Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
            Some((b'/', _)) => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(address))?,
            _ => return Err(io::ErrorKind::Unsupported.into()),
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // A manager that does not read must not hold the server up, nor may word be lost because it is busy for a moment.
        socket.set_write_timeout(Some(Duration::from_secs(1)))?;
        Ok(Notifier { socket })
    }

    /// The server is up, or a reload is complete; `refused`: without having changed anything, which the manager shows as the status.
    pub fn ready(&self, refused: bool) -> io::Result<()> {
        self.send(if refused { REFUSED } else { SERVING })
    }

    /// As [`Notifier::ready`], from the keeper of a server: it is the process to be watched and signalled, whichever it started
    /// meanwhile.
    pub fn ready_as_main(&self, refused: bool) -> io::Result<()> {
        let mut state = heapless::String::<128>::new();
        // At most 75 bytes, 9 bytes and 10 digits always fit.
        let _ = writeln!(state, "{}MAINPID={}", if refused { REFUSED } else { SERVING }, std::process::id());
        self.send(&state)
    }

    /// A reload begins; [`Notifier::ready`] ends it. `monotonic_usec` is CLOCK_MONOTONIC now, in microseconds: the manager
    /// tells a late message by it (`Type=notify-reload`).
    pub fn reloading(&self, monotonic_usec: u64) -> io::Result<()> {
        let mut state = heapless::String::<64>::new();
        // 28 bytes and at most 20 digits always fit.
        let _ = writeln!(state, "RELOADING=1\nMONOTONIC_USEC={monotonic_usec}");
        self.send(&state)
    }

    /// The orderly exit begins.
    pub fn stopping(&self) -> io::Result<()> {
        self.send("STOPPING=1\n")
    }

    /// The server makes progress: the manager, which [`manager_waits`], waits for the next time.
    pub fn alive(&self) -> io::Result<()> {
        self.send("WATCHDOG=1\n")
    }

    fn send(&self, state: &str) -> io::Result<()> {
        self.socket.send(state.as_bytes()).map(|_| ())
    }
}

/// Microseconds within which the service manager wants a sign of life ([`Notifier::alive`]) again and again, if it does: it acts when none
/// comes (sd_watchdog_enabled(3)). What it has said to another process does not count.
pub fn manager_waits() -> Option<u64> {
    let number = |name| std::str::from_utf8(&variable(name)?).ok()?.parse::<u64>().ok();
    let ours = variable(c"WATCHDOG_PID").is_none() || number(c"WATCHDOG_PID") == Some(u64::from(std::process::id()));
    number(c"WATCHDOG_USEC").filter(|microseconds| ours && *microseconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing::{self, Dir};

    const NAME: &str = "sys::notify::tests::states_arrive_by_path_and_by_abstract_name";

    fn receive(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let size = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..size].to_vec()).unwrap()
    }

    #[test]
    fn states_arrive_by_path_and_by_abstract_name() {
        if let Some(role) = testing::role() {
            let notifier = Notifier::from_env().unwrap();
            assert_eq!(notifier.is_some(), role == "told");
            if let Some(notifier) = notifier {
                notifier.ready(false).unwrap();
                notifier.ready(true).unwrap();
                notifier.alive().unwrap();
                notifier.reloading(u64::MAX).unwrap();
                notifier.ready_as_main(false).unwrap();
                notifier.stopping().unwrap();
            }
            testing::pass();
        }
        let dir = Dir::new();
        let path = dir.join("notify");
        let name = format!("monkey-test-notify-{}", std::process::id());
        let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
        for (variable, socket) in [
            (path.to_str().unwrap().to_owned(), UnixDatagram::bind(&path).unwrap()),
            (format!("@{name}"), UnixDatagram::bind_addr(&abstract_name).unwrap()),
        ] {
            socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
            testing::run(testing::command(NAME, "told").env("NOTIFY_SOCKET", variable)).assert_pass();
            assert_eq!(receive(&socket), SERVING);
            assert_eq!(receive(&socket), REFUSED);
            assert_eq!(receive(&socket), "WATCHDOG=1\n");
            assert_eq!(receive(&socket), "RELOADING=1\nMONOTONIC_USEC=18446744073709551615\n");
            let main = receive(&socket);
            let pid = main
                .strip_prefix(SERVING)
                .and_then(|rest| rest.strip_prefix("MAINPID="))
                .and_then(|rest| rest.strip_suffix('\n'));
            assert!(pid.is_some_and(|pid| pid.parse::<u32>().is_ok()), "{main:?}");
            assert_eq!(receive(&socket), "STOPPING=1\n");
        }
        testing::run(testing::command(NAME, "alone").env_remove("NOTIFY_SOCKET")).assert_pass();
        testing::run(testing::command(NAME, "alone").env("NOTIFY_SOCKET", "")).assert_pass();
    }

    #[test]
    fn the_manager_waits_for_the_process_it_means() {
        const NAME: &str = "sys::notify::tests::the_manager_waits_for_the_process_it_means";
        if let Some(role) = testing::role() {
            let wanted = role.parse::<u64>().ok();
            assert_eq!(manager_waits(), wanted.filter(|wanted| *wanted > 0));
            testing::pass();
        }
        for (role, interval, process) in
            [("5000000", "5000000", None), ("0", "5000000", Some("1")), ("0", "0", None), ("0", "soon", None)]
        {
            let mut command = testing::command(NAME, role);
            command.env("WATCHDOG_USEC", interval).env_remove("WATCHDOG_PID");
            process.map(|process| command.env("WATCHDOG_PID", process));
            testing::run(&mut command).assert_pass();
        }
        testing::run(testing::command(NAME, "0").env_remove("WATCHDOG_USEC")).assert_pass();
    }

    #[test]
    fn odd_addresses_are_errors() {
        assert_eq!(Notifier::connect(b"vsock:2:1234").unwrap_err().kind(), io::ErrorKind::Unsupported);
        assert_eq!(Notifier::connect(b"/nonexistent/notify").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(Notifier::connect(&[b'/'; 200]).is_err());
    }
}
