//! The running server: start-up order, the scheduler, the workers and the life of a connection.
//!
//! [`start::run`] is the way in: `boot` before anything of a server exists, `keeper` if there is one, then `start` again. The threads share `shared::Shared`; a connection belongs to one worker from its
//! hand-over on.

mod acceptor;
mod boot;
pub mod budget;
pub mod connection;
mod io;
mod keeper;
mod link;
mod listeners;
mod queues;
mod reload;
mod scheduler;
mod sending;
mod shared;
pub mod start;
mod worker;
