//! The operating system: the only room with `unsafe` and the only one that names `libc`.
#![allow(unsafe_code)]

pub mod credentials;
pub mod fault;
mod fd;
pub mod image;
pub mod lockfile;
pub mod notify;
pub mod passwd;
pub mod process;
pub mod signal;
pub mod stderr;
#[cfg(test)]
pub(crate) mod testing;
pub mod timer;
pub mod wake;
