//! What a plugin can be. In this version one kind: the transport, which moves the bytes of a connection.

pub mod transport;
