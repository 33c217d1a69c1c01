//! The operating system: the only room with `unsafe` and the only one that names `libc`.
//!
//! Owned descriptors in and out, `Result<_, Errno>` on paths that run per request (an [`Errno`] never allocates),
//! `std::io::Result` at start-up.
#![allow(unsafe_code)]

pub mod clock;
pub mod epoll;
pub mod errno;
pub mod file;
pub mod memory;
pub mod slots;
pub mod socket;
mod walk;

pub use errno::Errno;
