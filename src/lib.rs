//! monkey: a web server for embedded Linux.

pub mod limits;
pub mod log;
pub mod sys;
