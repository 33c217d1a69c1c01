//! HTTP/1.1 without I/O: bytes and the time in, events and answers out (RFC 9110, RFC 9112).

pub mod clock;
pub mod output;
pub mod page;
pub mod session;
pub mod status;
