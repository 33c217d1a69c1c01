//! The listening sockets: opened from the configuration, told to the operator, changed by a reload.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use ::log::{info, warn};

use crate::config::{Listen, Scheduler, Server};
use crate::sys::socket::{Buffers, ListenOptions, configure, listen, local_address};

/// A listening socket and the configuration line it comes from.
pub(super) struct Listener {
    pub(super) listen: Listen,
    pub(super) socket: OwnedFd,
    pub(super) address: SocketAddr,
}

/// A place that can not be listened on.
#[derive(Debug)]
pub struct ListenError {
    listen: Listen,
    error: io::Error,
}

impl ListenError {
    /// Whether the process has lost the right to bind there.
    pub(super) fn needs_rights(&self) -> bool {
        self.error.kind() == io::ErrorKind::PermissionDenied
    }
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Listen { address, port, at, .. } = &self.listen;
        write!(f, "{at}: cannot listen on {}: {}", SocketAddr::new(*address, *port), self.error)?;
        match self.error.kind() {
            io::ErrorKind::AddrInUse => f.write_str("; stop the server that has it, or choose another port"),
            io::ErrorKind::PermissionDenied => {
                f.write_str("; ports below 1024 need root at start, with User to drop it")
            }
            _ => Ok(()),
        }
    }
}

fn options(server: &Server, listen: &Listen) -> ListenOptions {
    ListenOptions {
        dual_stack: listen.dual_stack,
        reuse_port: server.shared_sockets || server.scheduler == Scheduler::ReusePort,
        buffers: buffers(server),
    }
}

fn buffers(server: &Server) -> Buffers {
    Buffers {
        defer_accept: server.defer_accept,
        send_buffer: server.send_buffer,
        receive_buffer: server.receive_buffer,
        not_sent_lowat: server.not_sent_lowat,
    }
}

fn open_at(server: &Server, line: &Listen, address: SocketAddr) -> Result<Listener, ListenError> {
    let opened = listen(address, &options(server, line))
        .and_then(|socket| local_address(socket.as_fd()).map(|address| (socket, address)));
    match opened {
        Ok((socket, address)) => Ok(Listener { listen: line.clone(), socket, address }),
        Err(error) => Err(ListenError { listen: line.clone(), error }),
    }
}

/// Opens every listener once, and says where.
pub(super) fn open(server: &Server) -> Result<Vec<Listener>, ListenError> {
    server.listen.iter().map(|line| open_new(server, line)).collect()
}

fn open_new(server: &Server, line: &Listen) -> Result<Listener, ListenError> {
    let listener = open_at(server, line, SocketAddr::new(line.address, line.port))?;
    info!("Server listening on {}", listener.address);
    Ok(listener)
}

/// Opens every listener again, for another worker to accept from.
pub(super) fn open_again(server: &Server, listeners: &[Listener]) -> Result<Vec<OwnedFd>, ListenError> {
    let again = |listener: &Listener| open_at(server, &listener.listen, listener.address).map(|opened| opened.socket);
    listeners.iter().map(again).collect()
}

/// Gives a listener the socket options of a new configuration, for the connections to come.
pub(super) fn adjust(server: &Server, socket: BorrowedFd<'_>) {
    if let Err(error) = configure(socket, &buffers(server)) {
        warn!("cannot change the options of a listener: {error}");
    }
}

/// Brings the listeners to a new configuration: keeps those it has too, opens the new ones, closes the rest. An error
/// leaves everything as it was.
pub(super) fn reopen(server: &Server, listeners: &mut Vec<Listener>) -> Result<(), ListenError> {
    let mut opened = Vec::new();
    for line in &server.listen {
        if !listeners.iter().any(|listener| listener.listen.is_same_place(line)) {
            opened.push(open_new(server, line)?);
        }
    }
    listeners.retain(|listener| {
        let kept = server.listen.iter().any(|line| listener.listen.is_same_place(line));
        match kept {
            true => adjust(server, listener.socket.as_fd()),
            false => info!("no longer listening on {}", listener.address),
        }
        kept
    });
    listeners.append(&mut opened);
    Ok(())
}
