//! The operating system: the only room with `unsafe` and the only one that names `libc`.
//!
//! Owned descriptors in and out, `Result<_, Errno>` on paths that run per request (an [`Errno`] never allocates),
//! `std::io::Result` at start-up.
#![allow(unsafe_code)]

pub mod activation;
pub mod child;
pub mod clock;
pub mod confine;
pub mod credentials;
pub mod directory;
pub mod environment;
pub mod epoll;
pub mod errno;
pub mod fault;
mod fd;
pub mod file;
#[cfg(feature = "palm-server")]
pub mod fork;
pub mod heap;
pub mod image;
pub mod lockfile;
pub mod logfile;
pub mod memory;
pub mod notify;
pub mod packet;
pub mod passwd;
pub mod pipe;
pub mod process;
pub mod replace;
pub mod signal;
pub mod slots;
pub mod socket;
pub mod spawn;
pub mod stderr;
pub mod terminal;
#[cfg(test)]
pub(crate) mod testing;
pub mod thread;
pub mod timer;
pub mod unix;
pub mod wake;
mod walk;
pub mod watchdog;

pub use errno::Errno;
