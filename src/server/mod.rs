//! The running server: start-up order, the scheduler, the workers and the life of a connection.
//!
//! [`start::run`] is the way in: `boot` before anything of a server exists, `keeper` if there is one, then `start` again. The threads share `shared::Shared`; a connection belongs to one worker from its
//! hand-over on.

mod acceptor;
mod addresses;
mod boot;
pub mod budget;
pub mod confine;
pub mod connection;
mod guards;
mod handling;
mod io;
mod keeper;
mod link;
mod listeners;
mod progress;
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
mod spawner;
pub mod start;
mod state;
mod tasks;
mod worker;
