//! The running server: start-up order, the scheduler, the workers and the life of a connection.
//!
//! [`start::run`] is the way in. The threads share `shared::Shared`; a connection belongs to one worker from its
//! hand-over on.

mod acceptor;
pub mod budget;
pub mod confine;
pub mod connection;
mod io;
mod listeners;
mod queues;
mod reload;
mod requests;
#[cfg(feature = "test-switches")]
pub mod rig;
#[cfg(feature = "sandbox")]
mod sandbox;
mod scheduler;
mod sending;
mod shared;
pub mod start;
mod worker;
