//! Sockets: listeners with the options of a web server, and the few calls a connection needs.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use super::errno::{Errno, check, count};

/// Connections that may carry data in the SYN and wait for accept (TCP_FASTOPEN, RFC 7413).
const FASTOPEN_QUEUE: libc::c_int = 64;
/// Length of the accept queue asked for; the kernel caps it at net.core.somaxconn.
const BACKLOG: libc::c_int = 4096;

/// Which buffer sizes are fixed (socket(7)); the same number on every architecture built for.
const SO_BUF_LOCK: libc::c_int = 72;

/// How a listening socket is made. Accepted sockets inherit all of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ListenOptions {
    /// `[::]` takes IPv4 clients too (IPV6_V6ONLY off).
    pub dual_stack: bool,
    /// Several sockets may listen on the same address, one a worker (SO_REUSEPORT).
    pub reuse_port: bool,
    /// What can change later too.
    pub buffers: Buffers,
}

/// The options of a listening socket that can change while it listens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffers {
    /// Seconds a connection without data is kept from accept (TCP_DEFER_ACCEPT); 0 = off.
    pub defer_accept: u32,
    /// Bytes of SO_SNDBUF; 0 = the kernel's own tuning.
    pub send_buffer: u32,
    /// Bytes of SO_RCVBUF; 0 = the kernel's own tuning.
    pub receive_buffer: u32,
    /// Bytes of unsent data from which a socket counts as full (TCP_NOTSENT_LOWAT); 0 = no limit.
    pub not_sent_lowat: u32,
}

/// The other end of a connection, in 18 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    address: [u8; 16],
    port: u16,
}

impl Peer {
    /// The peer's address; an IPv4 client of a dual-stack listener has its IPv4 address.
    pub fn ip(&self) -> IpAddr {
        Ipv6Addr::from(self.address).to_canonical()
    }

    /// The peer's address as a number; that of an IPv4 client is the number of its IPv4-mapped address (RFC 4291 section 2.5.5.2).
    pub fn bits(&self) -> u128 {
        u128::from_be_bytes(self.address)
    }

    /// The network the peer is in, as a number that no other network has: an IPv4 address alone, the first 64 bits of an
    /// IPv6 address (RFC 6177: one site has at least those).
    pub fn network(&self) -> u64 {
        let whole = self.bits();
        match whole >> 32 {
            // In a range that is reserved (RFC 4291 section 4), so that it is no IPv6 network.
            0xffff => 0x00ff_ffff_0000_0000 | (whole as u64 & 0xffff_ffff),
            _ => (whole >> 64) as u64,
        }
    }

    /// The peer's port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Peer {
        let octets = match address.ip() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
            IpAddr::V6(v6) => v6.octets(),
        };
        Peer { address: octets, port: address.port() }
    }
}

fn set_option(fd: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: libc::c_int) -> Result<(), Errno> {
    // SAFETY: the value is an int that lives through the call, and its size is passed with it.
    check(unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            (&raw const value).cast(),
            std::mem::size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

fn to_int(value: u32) -> libc::c_int {
    libc::c_int::try_from(value).unwrap_or(libc::c_int::MAX)
}

/// A socket listening on `address`. An address that is not up yet is taken too (IP_FREEBIND): it serves once it is.
/// Options the kernel lacks (fast open, deferred accept) are left out in silence: they only save time.
pub fn listen(address: SocketAddr, options: &ListenOptions) -> io::Result<OwnedFd> {
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointer is passed.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let fd = socket.as_fd();
    set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEADDR, 1)?;
    if options.reuse_port {
        set_option(fd, libc::SOL_SOCKET, libc::SO_REUSEPORT, 1)?;
    }
    if address.is_ipv6() {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_V6ONLY, libc::c_int::from(!options.dual_stack))?;
    }
    let _ = set_option(fd, libc::IPPROTO_IP, libc::IP_FREEBIND, 1);
    configure(fd, &options.buffers)?;
    bind(fd, address)?;
    let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_FASTOPEN, FASTOPEN_QUEUE);
    // SAFETY: no pointer is passed.
    check(unsafe { libc::listen(fd.as_raw_fd(), BACKLOG) })?;
    Ok(socket)
}

/// The largest segment for a send buffer of this size: None = the path's own. A path like loopback takes 64 KB in one, which
/// a small buffer never fills; the kernel then holds the data back until a timer runs out, 40 to 200 ms each time.
fn segment(options: &Buffers) -> Option<libc::c_int> {
    (options.send_buffer > 0).then(|| to_int((options.send_buffer / 4).clamp(536, 16_384)))
}

/// Sets the options of a listening socket that connections accepted from now on inherit.
pub fn configure(fd: BorrowedFd<'_>, options: &Buffers) -> Result<(), Errno> {
    // What was fixed before goes back to the kernel's tuning (Linux 5.11; older ones keep the size until a restart).
    let _ = set_option(fd, libc::SOL_SOCKET, SO_BUF_LOCK, 0);
    for (name, bytes) in [(libc::SO_SNDBUF, options.send_buffer), (libc::SO_RCVBUF, options.receive_buffer)] {
        if bytes > 0 {
            // The kernel doubles what it is given (socket(7)); the configuration means the doubled figure.
            set_option(fd, libc::SOL_SOCKET, name, to_int(bytes / 2))?;
        }
    }
    set_option(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1)?;
    // 0 takes each of these back.
    let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, to_int(options.not_sent_lowat));
    let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_MAXSEG, segment(options).unwrap_or(0));
    let _ = set_option(fd, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, to_int(options.defer_accept));
    Ok(())
}

fn bind(fd: BorrowedFd<'_>, address: SocketAddr) -> Result<(), Errno> {
    with_address(address, |raw, len| {
        // SAFETY: `raw` is a socket address of the length passed, which lives through the call.
        unsafe { libc::bind(fd.as_raw_fd(), raw, len) }
    })
}

/// Calls with an address as the kernel wants it.
fn with_address(
    address: SocketAddr,
    call: impl FnOnce(*const libc::sockaddr, libc::socklen_t) -> libc::c_int,
) -> Result<(), Errno> {
    let ret = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: all-zero bytes are a valid sockaddr_in.
            let mut raw: libc::sockaddr_in = unsafe { std::mem::zeroed() };
            raw.sin_family = libc::AF_INET as libc::sa_family_t;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            call((&raw const raw).cast(), std::mem::size_of_val(&raw) as libc::socklen_t)
        }
        SocketAddr::V6(v6) => {
            // SAFETY: all-zero bytes are a valid sockaddr_in6.
            let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
            raw.sin6_family = libc::AF_INET6 as libc::sa_family_t;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_scope_id = v6.scope_id();
            call((&raw const raw).cast(), std::mem::size_of_val(&raw) as libc::socklen_t)
        }
    };
    check(ret)?;
    Ok(())
}

/// Begins a connection to a server; nothing on it blocks. It is there once it can be written to, or has failed: see [`trouble`].
/// `fast_open` has the first bytes that are sent go with the request for the connection, where kernel and server can do that
/// (TCP_FASTOPEN_CONNECT, tcp(7), Linux 4.11).
pub fn connect(address: SocketAddr, fast_open: bool) -> Result<OwnedFd, Errno> {
    let family = if address.is_ipv6() { libc::AF_INET6 } else { libc::AF_INET };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointer is passed.
    let fd = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    let _ = set_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
    if fast_open {
        let _ = set_option(socket.as_fd(), libc::IPPROTO_TCP, libc::TCP_FASTOPEN_CONNECT, 1);
    }
    let begun = with_address(address, |raw, len| {
        // SAFETY: `raw` is a socket address of the length passed, which lives through the call.
        unsafe { libc::connect(fd, raw, len) }
    });
    match begun {
        Ok(()) | Err(Errno(libc::EINPROGRESS)) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// What went wrong with a connection since this was asked last (SO_ERROR, socket(7)); None = nothing.
pub fn trouble(socket: BorrowedFd<'_>) -> Option<Errno> {
    let mut error: libc::c_int = 0;
    let mut len = std::mem::size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `error`, both of which outlive the call.
    let asked = check(unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut error).cast(), &mut len)
    });
    asked.err().or((error != 0).then_some(Errno(error)))
}

/// The address of a sockaddr the kernel filled.
fn decode(raw: &libc::sockaddr_in6) -> SocketAddr {
    if libc::c_int::from(raw.sin6_family) == libc::AF_INET {
        // SAFETY: the family says that the bytes are a sockaddr_in, which is smaller and no stricter in alignment.
        let v4: &libc::sockaddr_in = unsafe { &*(&raw const *raw).cast() };
        let ip = Ipv4Addr::from(v4.sin_addr.s_addr.to_ne_bytes());
        return SocketAddr::from((ip, u16::from_be(v4.sin_port)));
    }
    SocketAddr::from((Ipv6Addr::from(raw.sin6_addr.s6_addr), u16::from_be(raw.sin6_port)))
}

/// The address a socket is bound to, the port chosen by the kernel included.
pub fn local_address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    // SAFETY: all-zero bytes are a valid sockaddr_in6.
    let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    let mut len = std::mem::size_of_val(&raw) as libc::socklen_t;
    // SAFETY: the kernel writes at most `len` bytes into `raw`, which has room for both kinds of address.
    check(unsafe { libc::getsockname(socket.as_raw_fd(), (&raw mut raw).cast(), &mut len) })?;
    Ok(decode(&raw))
}

/// The next connection of a listener, non-blocking and closed on exec. `Errno::AGAIN` when none waits.
pub fn accept(listener: BorrowedFd<'_>) -> Result<(OwnedFd, Peer), Errno> {
    // SAFETY: all-zero bytes are a valid sockaddr_in6.
    let mut raw: libc::sockaddr_in6 = unsafe { std::mem::zeroed() };
    let mut len = std::mem::size_of_val(&raw) as libc::socklen_t;
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: the kernel writes at most `len` bytes into `raw`, which has room for both kinds of address.
    let fd = check(unsafe { libc::accept4(listener.as_raw_fd(), (&raw mut raw).cast(), &mut len, flags) })?;
    // SAFETY: the kernel just gave us this descriptor; nobody else owns it.
    Ok((unsafe { OwnedFd::from_raw_fd(fd) }, Peer::from(decode(&raw))))
}

/// Reads what has arrived, at most the buffer's length. 0 = the peer ended its side.
pub fn receive(socket: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize, Errno> {
    // SAFETY: the pointer and length are those of one live, writable slice.
    count(unsafe { libc::recv(socket.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// Sends what there is room for. `more` holds a part segment back for what follows at once (MSG_MORE).
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], more: bool) -> Result<usize, Errno> {
    let flags = libc::MSG_NOSIGNAL | if more { libc::MSG_MORE } else { 0 };
    // SAFETY: the pointer and length are those of one live slice.
    count(unsafe { libc::send(socket.as_raw_fd(), bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Sends a part segment that was held back for more (tcp(7), TCP_NODELAY flushes pending output). On a path with segments
/// longer than TCP_NOTSENT_LOWAT, such as loopback, the kernel otherwise keeps both sides waiting until a timer runs out: it
/// takes no more, for too much is unsent, and sends nothing, for more is announced.
pub fn push(socket: BorrowedFd<'_>) {
    let _ = set_option(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY, 1);
}

/// Bytes in the send queue that the peer has not acknowledged (SIOCOUTQ, tcp(7)). 0 when the kernel does not tell.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the kernel writes one int, which outlives the call.
    match check(unsafe { libc::ioctl(socket.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) }) {
        Ok(_) => usize::try_from(bytes).unwrap_or(0),
        Err(_) => 0,
    }
}

/// Has the connection reset when the socket is closed, and what was not sent forgotten (SO_LINGER, socket(7)): the other side learns that
/// nobody waits for what it does.
pub fn reset_on_close(socket: BorrowedFd<'_>) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the value is a linger that lives through the call, and its size is passed with it. A socket that can not be reset ends as
    // any other.
    let _ = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            std::mem::size_of::<libc::linger>() as libc::socklen_t,
        )
    };
}

/// Ends our side of a connection; what was sent before still arrives.
pub fn shutdown_write(socket: BorrowedFd<'_>) -> Result<(), Errno> {
    // SAFETY: no pointer is passed.
    check(unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_WR) })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::net::TcpStream;

    const OPTIONS: ListenOptions = ListenOptions {
        dual_stack: false,
        reuse_port: false,
        buffers: Buffers { defer_accept: 0, send_buffer: 0, receive_buffer: 0, not_sent_lowat: 0 },
    };

    /// A number that getsockopt(2) tells.
    fn option(socket: &OwnedFd, level: libc::c_int, name: libc::c_int) -> libc::c_int {
        let (mut number, mut len): (libc::c_int, libc::socklen_t) = (0, 4);
        let (value, size) = ((&raw mut number).cast(), &raw mut len);
        // SAFETY: both point at locals of the size that is passed.
        check(unsafe { libc::getsockopt(socket.as_raw_fd(), level, name, value, size) }).unwrap();
        number
    }

    fn wait_accept(listener: &OwnedFd) -> (OwnedFd, Peer) {
        loop {
            match accept(listener.as_fd()) {
                Ok(accepted) => return accepted,
                Err(Errno::AGAIN) => std::thread::yield_now(),
                Err(errno) => panic!("accept: {errno}"),
            }
        }
    }

    #[test]
    fn a_connection_is_accepted_with_its_peer_and_answered() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &OPTIONS).unwrap();
        let address = local_address(listener.as_fd()).unwrap();
        let mut client = TcpStream::connect(address).unwrap();
        let (socket, peer) = wait_accept(&listener);
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 1]));
        assert_eq!(peer.port(), client.local_addr().unwrap().port());
        assert_eq!(receive(socket.as_fd(), &mut [0; 8]), Err(Errno::AGAIN));
        assert_eq!(send(socket.as_fd(), b"hello", false), Ok(5));
        shutdown_write(socket.as_fd()).unwrap();
        let mut text = String::new();
        client.read_to_string(&mut text).unwrap();
        assert_eq!(text, "hello");
    }

    #[test]
    fn a_network_is_an_ipv4_address_or_the_half_of_an_ipv6_one() {
        let network = |text: &str| Peer::from(SocketAddr::new(text.parse().unwrap(), 7)).network();
        assert_eq!(network("192.0.2.7"), network("::ffff:192.0.2.7"));
        assert_ne!(network("192.0.2.7"), network("192.0.2.8"));
        assert_ne!(network("192.0.2.7"), network("::1"));
        assert_eq!(network("2001:db8:1:2::1"), network("2001:db8:1:2:ffff::9"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
    }

    #[test]
    fn segments_are_small_enough_for_the_buffer() {
        let buffers = Buffers { send_buffer: 16_384, ..OPTIONS.buffers };
        assert_eq!(segment(&buffers), Some(4_096));
        assert_eq!(segment(&OPTIONS.buffers), None);
        let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions { buffers, ..OPTIONS }).unwrap();
        let _client = TcpStream::connect(local_address(listener.as_fd()).unwrap()).unwrap();
        let (socket, _) = wait_accept(&listener);
        let bytes = option(&socket, libc::IPPROTO_TCP, libc::TCP_MAXSEG);
        assert!((1..=4_096).contains(&bytes), "{bytes}");
    }

    #[test]
    fn what_was_configured_can_be_taken_back() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), &OPTIONS).unwrap();
        let given = || {
            let told = |level, name| option(&listener, level, name);
            (told(libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT), told(libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT) > 0)
        };
        let before = given();
        let buffers = Buffers { defer_accept: 1, send_buffer: 32_768, receive_buffer: 32_768, not_sent_lowat: 8_192 };
        configure(listener.as_fd(), &buffers).unwrap();
        assert_eq!(given(), (8_192, true));
        assert_eq!(option(&listener, libc::SOL_SOCKET, libc::SO_SNDBUF), 32_768);
        configure(listener.as_fd(), &OPTIONS.buffers).unwrap();
        assert_eq!(given(), before);
        // Left alone by kernels before 5.11, which do not know the option.
        let (mut locked, mut len): (libc::c_int, libc::socklen_t) = (0, 4);
        let (value, size) = ((&raw mut locked).cast(), &raw mut len);
        // SAFETY: both point at locals of the size that is passed.
        let told = unsafe { libc::getsockopt(listener.as_raw_fd(), libc::SOL_SOCKET, SO_BUF_LOCK, value, size) };
        assert!(told == -1 || locked == 0, "{locked}");
    }

    #[test]
    fn a_listener_has_the_options_of_a_web_server() {
        let buffers = Buffers { defer_accept: 1, not_sent_lowat: 16_384, ..OPTIONS.buffers };
        let listener = listen("127.0.0.1:0".parse().unwrap(), &ListenOptions { buffers, ..OPTIONS }).unwrap();
        let get = |name: libc::c_int| {
            let (mut number, mut len): (libc::c_int, libc::socklen_t) = (0, 4);
            let (value, size) = ((&raw mut number).cast(), &raw mut len);
            // SAFETY: both point at locals of the size that is passed.
            check(unsafe { libc::getsockopt(listener.as_raw_fd(), libc::IPPROTO_TCP, name, value, size) }).unwrap();
            number
        };
        assert_eq!(get(libc::TCP_FASTOPEN), FASTOPEN_QUEUE);
        assert_eq!(get(libc::TCP_DEFER_ACCEPT), 1);
        assert_eq!(get(libc::TCP_NODELAY), 1);
        assert_eq!(get(libc::TCP_NOTSENT_LOWAT), 16_384);
    }

    #[test]
    fn the_dual_stack_listener_reports_ipv4_clients_as_ipv4() {
        let options = ListenOptions { dual_stack: true, ..OPTIONS };
        let listener = listen("[::]:0".parse().unwrap(), &options).unwrap();
        let port = local_address(listener.as_fd()).unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (_, peer) = wait_accept(&listener);
        assert_eq!(peer.ip(), IpAddr::from([127, 0, 0, 1]));
    }

    #[test]
    fn an_ipv6_only_listener_leaves_the_ipv4_port_free() {
        let listener = listen("[::]:0".parse().unwrap(), &OPTIONS).unwrap();
        let port = local_address(listener.as_fd()).unwrap().port();
        assert!(listen(SocketAddr::from(([0, 0, 0, 0], port)), &OPTIONS).is_ok());
    }

    #[test]
    fn an_address_that_is_not_up_yet_can_be_listened_on() {
        assert!(listen("192.0.2.1:0".parse().unwrap(), &OPTIONS).is_ok());
    }
}
