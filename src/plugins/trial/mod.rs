//! What only builds for tests have (feature `test-switches`): transports that do less at a time than the kernel, one without any
//! socket, and a handler that reads bodies.

pub mod loopback;
pub mod probe;
pub mod transport;
