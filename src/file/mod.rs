//! The static file handler: what a path leads to, under which conditions, in which coding and which part of it.
//!
//! [`handler::Handler::answer`] is the way in. It writes heads and small bodies to the worker's output and returns what is
//! still to be sent behind them.

pub mod body;
mod conditional;
pub mod error;
mod fill;
pub mod handler;
mod parts;
mod resolve;
mod script;
