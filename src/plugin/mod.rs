//! The plugin API: what a plugin can be, and what it is given to work with.
//!
//! A plugin is a folder of `plugins/` behind a cargo feature of its own. It takes part by implementing [`hooks::Plugin`] for the
//! process and [`hooks::Worker`] for each worker; a hook that it leaves out costs nothing. One that answers requests implements
//! [`handler::Handler`] as well, one that moves bytes [`transport::Transport`]. `plugins/mod.rs` is the list of them: nothing else
//! names a plugin. docs/PLUGINS.md shows how one is written.
//!
//! | category | hooks |
//! |---|---|
//! | context | [`hooks::Plugin::start`] in the process, [`hooks::Plugin::worker`] for each worker, [`hooks::Plugin::reconfigure`], [`hooks::Plugin::stop`], [`hooks::Plugin::aftermath`] |
//! | events | [`events::Watches::add`]; then `event` of the side that watches: what is watched became readable or writable, failed, was closed, or its time is over |
//! | stages | 10 [`hooks::Plugin::accept`], 20 [`hooks::Worker::request`], 30 [`handler::Handler::handle`], 40 [`hooks::Worker::served`], 50 [`hooks::Worker::closed`] |
//! | programs | [`spawner::Spawner`] starts them, from an [`order::Order`] |
//! | networking | [`transport::Transport`] |

pub mod backend;
pub mod events;
pub mod handler;
pub mod hooks;
pub mod host;
#[cfg(feature = "test-switches")]
pub mod nobody;
pub mod order;
pub mod scene;
pub mod spawner;
pub mod stats;
pub mod tool;
pub mod transport;
