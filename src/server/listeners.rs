//! The listening sockets: opened from the configuration or taken from a service manager, told to the operator, changed by a
//! reload, shared out between workers.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use crate::log::{info, warn};

use crate::config::{Listen, Scheduler, Server};
use crate::sys::activation::{ActivationError, listen_fds};
use crate::sys::socket::{Buffers, ListenOptions, configure, listen, local_address};

/// A place that is listened on: its configuration line and the sockets there, one, or one a worker. Copies share the sockets,
/// which close with the last of them.
#[derive(Clone, Debug)]
pub(super) struct Listener {
    pub(super) listen: Listen,
    pub(super) address: SocketAddr,
    pub(super) sockets: Vec<Arc<OwnedFd>>,
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

fn open_socket(server: &Server, line: &Listen, address: SocketAddr) -> Result<(Arc<OwnedFd>, SocketAddr), ListenError> {
    let opened = listen(address, &options(server, line))
        .and_then(|socket| local_address(socket.as_fd()).map(|address| (Arc::new(socket), address)));
    opened.map_err(|error| ListenError { listen: line.clone(), error })
}

/// Opens `count` sockets at the place of a line, and says where.
fn open_place(server: &Server, line: &Listen, count: usize) -> Result<Listener, ListenError> {
    let (first, address) = open_socket(server, line, SocketAddr::new(line.address, line.port))?;
    let mut sockets = vec![first];
    for _ in 1..count {
        // Port 0 has become the one that the first socket was given.
        sockets.push(open_socket(server, line, address)?.0);
    }
    info!("Server listening on {address}");
    Ok(Listener { listen: line.clone(), address, sockets })
}

/// The listeners of a configuration: those of `old` that it has too, whatever their number of sockets, and new ones with one
/// socket in Fair mode, one for each of `workers` in ReusePort mode. An error opens nothing. Gives those of `old` that it does
/// not have as well.
pub(super) fn renew(
    server: &Server,
    workers: usize,
    old: &[Listener],
) -> Result<(Vec<Listener>, Vec<Listener>), ListenError> {
    let count = if server.scheduler == Scheduler::ReusePort { workers } else { 1 };
    let mut left = old.to_vec();
    let mut listeners = Vec::with_capacity(server.listen.len());
    for line in &server.listen {
        listeners.push(match left.iter().position(|listener| listener.listen.is_same_place(line)) {
            Some(at) => left.remove(at),
            None => open_place(server, line, count)?,
        });
    }
    Ok((listeners, left))
}

/// Says which listeners are given up.
pub(super) fn tell_closed(listeners: &[Listener]) {
    for Listener { address, .. } in listeners {
        info!("no longer listening on {address}");
    }
}

/// Brings the listeners of a Fair server to a new configuration. An error leaves everything as it was.
pub(super) fn reopen(server: &Server, listeners: &mut Vec<Listener>) -> Result<(), ListenError> {
    let (new, closed) = renew(server, 1, listeners)?;
    tell_closed(&closed);
    *listeners = new;
    adjust_all(server, listeners);
    Ok(())
}

/// The sockets that the service manager has passed, if any: they stand in for the `Listen` lines.
pub(super) fn passed() -> Result<Vec<Listener>, ActivationError> {
    let mut listeners = Vec::new();
    for (socket, address) in listen_fds()? {
        listeners.push(Listener { listen: Listen::passed(address), address, sockets: vec![Arc::new(socket)] });
    }
    Ok(listeners)
}

/// Says where the sockets listen that were passed, and gives them the socket options of the configuration.
pub(super) fn tell_passed(server: &Server, listeners: &[Listener]) {
    let Some(first) = listeners.first() else { return };
    let mut all = first.address.to_string();
    for Listener { address, .. } in listeners.iter().skip(1) {
        all.push_str(", ");
        all.push_str(&address.to_string());
    }
    info!("LISTEN_FDS: taking the sockets of the service manager, instead of the Listen lines: {all}");
    for Listener { address, .. } in listeners {
        info!("Server listening on {address}");
    }
    adjust_all(server, listeners);
}

/// Gives a listener the socket options of a new configuration, for the connections to come.
pub(super) fn adjust(server: &Server, socket: BorrowedFd<'_>) {
    if let Err(error) = configure(socket, &buffers(server)) {
        warn!("cannot change the options of a listener: {error}");
    }
}

/// As [`adjust`], for all sockets of listeners.
pub(super) fn adjust_all(server: &Server, listeners: &[Listener]) {
    sockets(listeners).for_each(|socket| adjust(server, socket.as_fd()));
}

/// Where listeners are, in order.
pub(super) fn addresses_of(listeners: &[Listener]) -> Vec<SocketAddr> {
    listeners.iter().map(|listener| listener.address).collect()
}

/// All sockets of listeners, in order.
pub(super) fn sockets(listeners: &[Listener]) -> impl Iterator<Item = &Arc<OwnedFd>> {
    listeners.iter().flat_map(|listener| &listener.sockets)
}

/// Shares the sockets out between the workers of ReusePort mode. None is left out, for connections wait at each; where a place
/// has fewer sockets than there are workers, some share one. Taken whole, so that a socket closes with the last worker that has it.
pub(super) fn share_out(listeners: Vec<Listener>, workers: usize) -> Vec<Vec<Arc<OwnedFd>>> {
    let mut shares = vec![Vec::new(); workers];
    for Listener { sockets, .. } in &listeners {
        for turn in 0..sockets.len().max(workers) {
            let (worker, socket) = (turn % workers.max(1), turn % sockets.len().max(1));
            if let (Some(share), Some(socket)) = (shares.get_mut(worker), sockets.get(socket)) {
                share.push(Arc::clone(socket));
            }
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn listener(sockets: usize) -> Listener {
        let address = SocketAddr::from(([127, 0, 0, 1], 80));
        let socket = || Arc::new(OwnedFd::from(File::open("/dev/null").unwrap()));
        Listener { listen: Listen::passed(address), address, sockets: (0..sockets).map(|_| socket()).collect() }
    }

    #[test]
    fn every_worker_has_each_place_and_no_socket_is_left_out() {
        for (sockets, workers) in [(1, 1), (1, 3), (2, 3), (3, 2), (4, 1), (5, 5)] {
            let places = vec![listener(sockets), listener(1)];
            let shares = share_out(places.clone(), workers);
            assert_eq!(shares.len(), workers);
            for place in &places {
                let has = |share: &Vec<Arc<OwnedFd>>, socket| share.iter().any(|own| Arc::ptr_eq(own, socket));
                for share in &shares {
                    assert!(place.sockets.iter().any(|socket| has(share, socket)), "{sockets} for {workers}");
                }
                for socket in &place.sockets {
                    let count = shares.iter().filter(|share| has(share, socket)).count();
                    assert!(count >= 1 && (count == 1 || place.sockets.len() < workers), "{sockets} for {workers}");
                }
                for share in &shares {
                    let mut seen: Vec<_> = share.iter().map(Arc::as_ptr).collect();
                    seen.sort_unstable();
                    seen.dedup();
                    assert_eq!(seen.len(), share.len(), "none twice in one event queue");
                }
            }
        }
    }
}
