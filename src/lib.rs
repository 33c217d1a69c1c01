//! monkey: a web server for embedded Linux.

pub mod limits;
pub mod storage;
pub mod sys;
pub mod wire;
