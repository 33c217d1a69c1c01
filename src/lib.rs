//! monkey: a web server for embedded Linux.

pub mod cli;
pub mod config;
pub mod limits;
pub mod sys;
pub mod wire;
