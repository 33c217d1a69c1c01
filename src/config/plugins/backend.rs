//! What the plugins share that have their answers made elsewhere: addresses of servers, how requests are spread over them, how many wait
//! and for how long.

use std::net::SocketAddr;
use std::path::PathBuf;

/// Where a server listens.
#[derive(Clone, Eq, Debug)]
pub enum Address {
    /// By TCP.
    Net(SocketAddr),
    /// At a socket with a name: its path as it is opened, which is in the chroot if there is one.
    Local(PathBuf),
}

impl PartialEq for Address {
    fn eq(&self, other: &Address) -> bool {
        match (self, other) {
            (Address::Net(one), Address::Net(other)) => one == other,
            // As they are written: component by component, as paths are compared, is a kilobyte of program.
            (Address::Local(one), Address::Local(other)) => one.as_os_str() == other.as_os_str(),
            _ => false,
        }
    }
}

/// What requests of one plugin may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Limits {
    /// Milliseconds without any progress, be it of the request or of its answer, after which a request is given up; 0 = any time.
    pub timeout: u32,
    /// Requests of each worker that may wait for their turn; one more is answered 503.
    pub queue: u16,
    /// Requests of each worker that may be under way at once; one more waits.
    pub requests: u16,
}

/// Which of several servers is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// The one with the fewest connections; of equal ones the first.
    LeastConnections,
}
