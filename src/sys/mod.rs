//! The operating system: the only room with `unsafe` and the only one that names `libc`.
#![allow(unsafe_code)]
