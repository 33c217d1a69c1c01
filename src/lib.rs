//! monkey: a web server for embedded Linux.

pub mod cli;
pub mod config;
pub mod file;
pub mod http;
pub mod limits;
pub mod log;
pub mod plugin;
pub mod plugins;
pub mod server;
pub mod storage;
pub mod sys;
pub mod vhost;
pub mod wire;
