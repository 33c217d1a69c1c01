//! monkey: a web server for embedded Linux, with a fixed memory ceiling and no allocation once it serves.
//!
//! # The life of a request
//!
//! 1. [`sys::epoll`] wakes a worker ([`server`]); the clock is read once a turn.
//! 2. A [`plugin::transport::Transport`] reads into the worker's scratch buffer. The connection is a slot in a table indexed by
//!    descriptor ([`sys::slots`]); an event of an earlier connection on the same number is dropped by its generation.
//! 3. [`http::session`] finds the end of the head and has [`wire::head`] parse it once, into spans of that buffer. Only an
//!    unfinished head is kept for its connection, in a buffer of [`storage::pool`]. A body that follows is a stream: a
//!    [`plugin::handler::Handler`] takes it as it comes, or it is passed over before the answer; [`wire::chunked`] decodes.
//! 4. [`vhost::request`] finds the site by Host and decodes the path, once.
//!    The plugins are asked whether it may be answered ([`plugin::hooks::Worker::request`], stage 20).
//! 5. A handler that `[HANDLERS]` names answers (stage 30), else [`file::handler`]. What a path led to in the last second stands in [`vhost::table`], its answer written already;
//!    otherwise the path is resolved beneath the document root ([`sys::file`]) and its answer is written there.
//! 6. The answers to everything that was read leave together from [`http::output`]; large files by sendfile.
//! 7. What the client did not take yet waits in the slot as a [`file::body::Body`] or a pooled buffer. A connection that is done
//!    stands in the idle queue ([`storage::queue`]) and holds nothing else.
//!
//! Everything it needs is sized before the first connection: [`limits`] has the fixed sizes, [`server::budget`] divides the rest.
//!
//! # The public face
//!
//! The binary is a few lines over this: [`cli::parse`] understands the arguments, [`config::load`] reads and checks the
//! configuration, [`server::start::run`] serves until a signal ends it. A program that embeds the server calls the last two. It
//! takes over process-wide things: signals, the logger, the limit of open files.
//!
//! Imports run downward through the rooms, `main cli` > `server palm` > `plugins file` > `plugin` > `vhost` > `http` > `config` >
//! `log` > `wire` > `storage` > `sys` > `limits`; ARCHITECTURE.md says what each promises.

// Nightly only, as is all of the tuned path: elsewhere the attribute is not there.
#![cfg_attr(tuned, feature(optimize_attribute))]

/// The bodies of fuzz targets call the crate by its name, and unit tests include some.
#[cfg(test)]
extern crate self as monkey;

pub mod cli;
pub mod config;
pub mod file;
pub mod http;
pub mod limits;
pub mod log;
#[cfg(feature = "palm-server")]
pub mod palm;
pub mod plugin;
pub mod plugins;
pub mod server;
pub mod storage;
pub mod sys;
pub mod vhost;
pub mod wire;
