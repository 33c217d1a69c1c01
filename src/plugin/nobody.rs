//! A host without a server, for tests and fuzzing of what asks one (feature `test-switches`).

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::config::{Options, load};
use crate::plugin::host::{Host, MemoryState, WorkerState};
use crate::plugin::stats::{Faults, Totals};
use crate::vhost::live::Live;

/// A configuration and nothing that runs by it.
pub struct Nobody(Arc<Live>, Totals, Faults);

impl Nobody {
    /// Nobody with a configuration.
    pub fn new(live: Arc<Live>) -> Nobody {
        Nobody(live, Totals::default(), Faults::default())
    }

    /// Nobody with the configuration of `-o /`. Panics when it can not be had: for tests.
    pub fn with_defaults() -> Nobody {
        let options = Options { one_shot: Some("/".into()), ..Options::default() };
        let (config, _) = load(&options).unwrap_or_else(|report| panic!("{:?}", report.diagnostics));
        Nobody::new(Arc::new(Live::new(config)))
    }
}

impl Host for Nobody {
    fn live(&self) -> Arc<Live> {
        Arc::clone(&self.0)
    }
    fn capacity(&self) -> u32 {
        1
    }
    fn connections(&self) -> u32 {
        1
    }
    fn totals(&self) -> &Totals {
        &self.1
    }
    fn faults(&self) -> &Faults {
        &self.2
    }
    fn workers(&self) -> usize {
        0
    }
    fn worker(&self, _: usize) -> Option<WorkerState<'_>> {
        None
    }
    fn listening(&self) -> Vec<SocketAddr> {
        Vec::new()
    }
    fn memory(&self) -> MemoryState {
        MemoryState::default()
    }
    fn uptime(&self) -> u64 {
        0
    }
    fn stuck(&self) -> Option<usize> {
        None
    }
    fn wake(&self, _: usize) {}
    fn reload(&self) {}
    fn tell_connections(&self, _: OwnedFd) -> bool {
        false
    }
    fn recent_lines(&self, _: usize, _: usize, _: &mut dyn FnMut(&[u8])) -> bool {
        false
    }
}
