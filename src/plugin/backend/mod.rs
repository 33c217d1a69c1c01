//! What the plugins share that have their answers made elsewhere, by a program or by a server behind this one: how a request is told,
//! how an answer comes back, and who waits for what.

pub mod channel;
pub mod complaints;
pub mod environment;
mod exchange;
pub mod gateway;
pub mod protocol;
pub mod relay;
pub mod servers;
pub mod table;
#[cfg(all(test, feature = "test-switches"))]
pub mod trial;
pub mod unfinished;
pub mod upstream;

/// Bytes read from a backend at once. With the longest head of an answer before them they fit in the output.
pub const PIECE: usize = 8 * 1024;
