//! monkey: a web server for embedded Linux.

pub mod config;
pub mod limits;
pub mod sys;
pub mod wire;
