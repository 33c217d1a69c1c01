//! What only builds for tests have (feature `test-switches`): transports that do less at a time than the kernel, one without any
//! socket, a handler that reads bodies, one that starts programs, and a plugin that watches descriptors.

pub mod beat;
pub mod loopback;
pub mod probe;
pub mod spawn;
pub mod transport;
