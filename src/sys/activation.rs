//! Sockets that the service manager has opened: the protocol of sd_listen_fds(3), without its library.

use super::environment::{take_out, variable};
use super::errno::{Errno, check};
use super::passwd;
use super::socket::local_address;
use std::fmt;
use std::net::SocketAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// The first descriptor passed (SD_LISTEN_FDS_START).
const FIRST: RawFd = 3;

/// Why sockets that were passed cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActivationError {
    /// The variable holds no number.
    Number,
    /// This descriptor is not open.
    NotOpen(RawFd),
    /// This descriptor is no stream socket of IPv4 or IPv6 that listens.
    NotListening(RawFd),
}

impl fmt::Display for ActivationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ActivationError::Number => f.write_str("LISTEN_FDS: not a number: pass how many sockets there are"),
            ActivationError::NotOpen(fd) => {
                write!(f, "LISTEN_FDS: descriptor {fd} is not open: pass as many sockets as are announced")
            }
            ActivationError::NotListening(fd) => write!(
                f,
                "LISTEN_FDS: descriptor {fd} is not a listening TCP socket: pass sockets of ListenStream=PORT or \
                 ADDRESS:PORT alone"
            ),
        }
    }
}

impl std::error::Error for ActivationError {}

/// The listening sockets that were passed to this process, with their addresses, made non-blocking and closed on exec; none
/// if `$LISTEN_PID` is another process. The variables are taken out of the environment.
///
/// Called once, before any thread exists and before the process is copied: the process id is what tells whom they are for.
pub fn listen_fds() -> Result<Vec<(OwnedFd, SocketAddr)>, ActivationError> {
    let number = |name| variable(name).map(|text| passwd::id(&text));
    let ours = number(c"LISTEN_PID") == Some(Some(std::process::id()));
    let count = number(c"LISTEN_FDS");
    for name in [c"LISTEN_PID", c"LISTEN_FDS", c"LISTEN_FDNAMES"] {
        // SAFETY: there is one thread, so that nobody reads the environment meanwhile.
        unsafe { take_out(name) };
    }
    let count = match count {
        Some(count) if ours => count.ok_or(ActivationError::Number)?,
        _ => 0,
    };
    (0..count).map(|index| take(FIRST.saturating_add(RawFd::try_from(index).unwrap_or(RawFd::MAX)))).collect()
}

/// Takes one descriptor over, if it is what it should be.
fn take(fd: RawFd) -> Result<(OwnedFd, SocketAddr), ActivationError> {
    // SAFETY: fcntl takes integers here, and answers EBADF for a number that is not open.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) }).map_err(|_| ActivationError::NotOpen(fd))?;
    // SAFETY: it is open, and whoever started the process has said that it is for us: no other value here owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let is = |name, wanted: &[libc::c_int]| option(socket.as_fd(), name).is_ok_and(|value| wanted.contains(&value));
    let good = is(libc::SO_TYPE, &[libc::SOCK_STREAM])
        && is(libc::SO_ACCEPTCONN, &[1])
        && is(libc::SO_DOMAIN, &[libc::AF_INET, libc::AF_INET6]);
    // SAFETY: fcntl takes integers here. A socket has no other flags to keep but O_ASYNC, which is not wanted.
    let blocks = unsafe { libc::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK) } == -1;
    match local_address(socket.as_fd()) {
        Ok(address) if good && !blocks => Ok((socket, address)),
        _ => Err(ActivationError::NotListening(fd)),
    }
}

/// A number that getsockopt(2) tells of a socket.
fn option(socket: BorrowedFd<'_>, name: libc::c_int) -> Result<libc::c_int, Errno> {
    let (mut number, mut len): (libc::c_int, libc::socklen_t) = (0, 4);
    let (value, size) = ((&raw mut number).cast(), &raw mut len);
    // SAFETY: both point at locals of the size that is passed.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, name, value, size) })?;
    Ok(number)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::testing;
    use std::env;
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;
    use std::os::unix::process::CommandExt;

    const NAME: &str = "sys::activation::tests::passed_sockets";

    /// In a process of its own, which has descriptor 3 and the variables of a service manager.
    fn in_role(role: &str) -> ! {
        let set = |name, value: &str| {
            // SAFETY: no other thread of this process reads the environment at this moment.
            unsafe { env::set_var(name, value) };
        };
        let me = std::process::id();
        let (pid, count) = match role {
            "other" => (me + 1, "1"),
            "many" => (me, "many"),
            _ => (me, "1"),
        };
        set("LISTEN_PID", &pid.to_string());
        if role != "unset" {
            set("LISTEN_FDS", count);
        }
        let found = listen_fds();
        assert!(env::var_os("LISTEN_FDS").is_none() && env::var_os("LISTEN_PID").is_none());
        match role {
            "tcp" => {
                let all = found.unwrap();
                let [(socket, address)] = all.as_slice() else { panic!("{all:?}") };
                assert_eq!(socket.as_raw_fd(), 3);
                assert!(address.ip().is_loopback() && address.port() > 0);
                // SAFETY: fcntl takes integers here.
                let flags = unsafe { (libc::fcntl(3, libc::F_GETFL), libc::fcntl(3, libc::F_GETFD)) };
                assert!(flags.0 & libc::O_NONBLOCK != 0 && flags.1 == libc::FD_CLOEXEC, "{flags:?}");
                assert!(listen_fds().unwrap().is_empty(), "once");
            }
            "other" | "unset" => assert!(found.unwrap().is_empty()),
            "many" => assert_eq!(found.unwrap_err(), ActivationError::Number),
            _ => assert_eq!(found.unwrap_err(), ActivationError::NotListening(3), "{role}"),
        }
        testing::pass()
    }

    #[test]
    fn passed_sockets() {
        if let Some(role) = testing::role() {
            in_role(&role);
        }
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let dir = testing::Dir::new();
        let unix = UnixListener::bind(dir.join("socket")).unwrap();
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let connected = std::net::TcpStream::connect(tcp.local_addr().unwrap()).unwrap();
        for (role, fd) in [
            ("tcp", tcp.as_raw_fd()),
            ("other", tcp.as_raw_fd()),
            ("unset", tcp.as_raw_fd()),
            ("many", tcp.as_raw_fd()),
            ("unix", unix.as_raw_fd()),
            ("udp", datagrams.as_raw_fd()),
            ("connected", connected.as_raw_fd()),
        ] {
            let mut command = testing::command(NAME, role);
            // SAFETY: dup2 is async-signal-safe.
            unsafe {
                command.pre_exec(move || match libc::dup2(fd, 3) {
                    -1 => Err(std::io::Error::last_os_error()),
                    // The number it has already: dup2 leaves the flag then.
                    _ => check(libc::fcntl(3, libc::F_SETFD, 0)).map(|_| ()).map_err(Into::into),
                });
            }
            testing::run(&mut command).assert_pass();
        }
        assert_eq!(take(1000).unwrap_err(), ActivationError::NotOpen(1000));
    }
}
