//! The floor: how cheap an answer over loopback can be at all. An edge-triggered epoll loop that sends a prebuilt reply without
//! looking at the request, three system calls a request. `scripts/bench` runs it beside the servers as the yardstick.
//!
//! Usage: `floor PORT SIZE WORKERS [close]` — replies carry SIZE bytes; `close` ends each connection after its first reply.
//! Port 0 lets the kernel choose; the address is printed to stderr as the server prints its own.
//!
//! The three calls are made by number: the C library's own look for a cancelled thread first, half of all instructions here.
//! A write to a closed connection raises no signal: the Rust runtime ignores SIGPIPE.
#![allow(unsafe_code)]

use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::{AsRawFd, RawFd};
use std::{env, io, process, ptr, thread};

/// Most connections a worker serves at a time; beyond it a connection is closed at accept. Indexed by file descriptor.
const CONNECTIONS: usize = 16 * 1024;
/// Bytes taken by one read. Longer than 16 pipelined requests, so that a short read means the socket is empty.
const READ_SIZE: usize = 16 * 1024;
/// Replies of one read leave in one write up to this many bytes; a larger reply is prebuilt once.
const BATCH_BYTES: usize = 64 * 1024;
/// Events taken by one epoll_wait.
const EVENTS: usize = 64;

/// What a connection still has to send.
#[derive(Clone, Copy, Default)]
struct Connection {
    /// Replies not yet sent to the end.
    replies: usize,
    /// Bytes of the first of them that were sent.
    sent: usize,
    /// The last byte read was a line feed: a head may end with the next one.
    line_feed: bool,
}

/// The prebuilt reply, repeated as often as one write may carry.
struct Reply {
    bytes: Vec<u8>,
    len: usize,
    close: bool,
}

impl Reply {
    fn new(size: usize, close: bool) -> Self {
        let mut one = format!(
            "HTTP/1.1 200 OK\r\nServer: floor\r\nContent-Type: application/octet-stream\r\nContent-Length: {size}\r\n{}\r\n",
            if close { "Connection: Close\r\n" } else { "" }
        )
        .into_bytes();
        one.resize(one.len() + size, b'x');
        let len = one.len();
        Self { bytes: one.repeat((BATCH_BYTES / len).max(1)), len, close }
    }
}

fn main() -> io::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let numbers: Vec<usize> = arguments.iter().map_while(|a| a.parse().ok()).collect();
    let [port, size, workers] = numbers[..] else {
        // `cargo bench` calls it so: there is nothing to measure without a client.
        println!("usage: floor PORT SIZE WORKERS [close]   (see scripts/bench)");
        return Ok(());
    };
    let port = u16::try_from(port).map_err(io::Error::other)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    eprintln!("Server listening on {}", listener.local_addr()?);
    let reply = Reply::new(size, arguments.iter().any(|a| a == "close"));
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                let error = serve(listener.as_raw_fd(), &reply);
                eprintln!("floor: {error}");
                process::exit(1);
            });
        }
    });
    Ok(())
}

/// One worker: never returns but for an error of epoll itself.
fn serve(listener: RawFd, reply: &Reply) -> io::Error {
    let mut connections = vec![Connection::default(); CONNECTIONS];
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; EVENTS];
    // SAFETY: no pointer is passed.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    // EXCLUSIVE: one worker wakes for one connection.
    if watch(epoll, listener, libc::EPOLLIN | libc::EPOLLEXCLUSIVE) < 0 {
        return io::Error::last_os_error();
    }
    loop {
        // SAFETY: `events` outlives the call and holds EVENTS entries.
        let ready = unsafe {
            libc::syscall(libc::SYS_epoll_pwait, epoll, events.as_mut_ptr(), EVENTS, -1, ptr::null::<u8>(), 8)
        };
        let Ok(ready) = usize::try_from(ready) else {
            match io::Error::last_os_error() {
                error if error.kind() == io::ErrorKind::Interrupted => continue,
                error => return error,
            }
        };
        for event in &events[..ready] {
            let fd = event.u64 as RawFd;
            if fd == listener {
                accept(epoll, listener, &mut connections);
            } else if let Some(connection) = connections.get_mut(fd as usize)
                && !turn(fd, connection, reply)
            {
                // SAFETY: the descriptor is this worker's own and is forgotten here.
                unsafe { libc::close(fd) };
            }
        }
    }
}

fn watch(epoll: RawFd, fd: RawFd, events: i32) -> i32 {
    let mut event = libc::epoll_event { events: events as u32, u64: fd as u64 };
    // SAFETY: the kernel copies the event before it returns.
    unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &raw mut event) }
}

fn accept(epoll: RawFd, listener: RawFd, connections: &mut [Connection]) {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: a null address asks for none.
    let fd = unsafe { libc::accept4(listener, ptr::null_mut(), ptr::null_mut(), flags) };
    if fd < 0 {
        return;
    }
    let on: libc::c_int = 1;
    // SAFETY: the option's value is an int that outlives the call.
    unsafe { libc::setsockopt(fd, libc::IPPROTO_TCP, libc::TCP_NODELAY, (&raw const on).cast(), 4) };
    let known = connections.get_mut(fd as usize).map(|connection| *connection = Connection::default());
    // OUT is watched from the start: a blocked reply needs no further epoll_ctl.
    if known.is_none() || watch(epoll, fd, libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLET) < 0 {
        // SAFETY: the descriptor was just made and is known to nobody else.
        unsafe { libc::close(fd) };
    }
}

/// Reads what is there and answers it. False when the connection is over.
#[inline]
fn turn(fd: RawFd, connection: &mut Connection, reply: &Reply) -> bool {
    if connection.replies > 0 {
        match send(fd, connection, reply) {
            Some(true) => {}
            Some(false) => return true,
            None => return false,
        }
    }
    let mut buffer = [std::mem::MaybeUninit::<u8>::uninit(); READ_SIZE];
    loop {
        // SAFETY: the buffer has READ_SIZE bytes to write to.
        let read = unsafe { libc::syscall(libc::SYS_read, fd, buffer.as_mut_ptr(), READ_SIZE) };
        if read <= 0 {
            return read < 0 && io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock;
        }
        // SAFETY: the kernel has written that many bytes, at most READ_SIZE.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.as_ptr().cast::<u8>(), read as usize) };
        connection.replies += heads(bytes, &mut connection.line_feed);
        match send(fd, connection, reply) {
            Some(true) if reply.close => return false,
            Some(true) if bytes.len() < READ_SIZE => return true,
            Some(true) => {}
            Some(false) => return true,
            None => return false,
        }
    }
}

/// Heads that end in these bytes: an empty line is a line feed and a carriage return side by side.
#[inline]
fn heads(bytes: &[u8], line_feed: &mut bool) -> usize {
    let across = usize::from(*line_feed && bytes[0] == b'\r');
    *line_feed = bytes[bytes.len() - 1] == b'\n';
    // Sums of one byte each: the compiler makes vector code of them. Two hundred pairs cannot overflow one.
    let pairs = |(first, second): (&[u8], &[u8])| {
        let found: u8 = first.iter().zip(second).map(|(&a, &b)| u8::from((a == b'\n') & (b == b'\r'))).sum();
        usize::from(found)
    };
    across + bytes.chunks(200).zip(bytes[1..].chunks(200)).map(pairs).sum::<usize>()
}

/// Sends the replies owed. True when all are out, false when the socket is full, none when the peer is gone.
#[inline]
fn send(fd: RawFd, connection: &mut Connection, reply: &Reply) -> Option<bool> {
    while connection.replies > 0 {
        let end = (connection.replies * reply.len).min(reply.bytes.len());
        let rest = &reply.bytes[connection.sent..end];
        // SAFETY: the slice outlives the call.
        let sent = unsafe { libc::syscall(libc::SYS_write, fd, rest.as_ptr(), rest.len()) };
        if sent < 0 {
            return (io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock).then_some(false);
        }
        connection.sent += sent as usize;
        if connection.sent >= reply.len {
            connection.replies -= connection.sent / reply.len;
            connection.sent %= reply.len;
        }
    }
    Some(true)
}
