//! The configuration, in three steps: text to [`RawConfig`], which knows the place of every entry; that against the one
//! [`table`] of keys; and what passed to [`Config`], which is resolved and does not change. Nothing downstream sees text.
//!
//! The format is the original's. Everything wrong is told in one go, as `file:line:column: what, and what would be right`.
//! docs/CONFIGURATION.md is written from the table: `UPDATE_DOCS=1 cargo test --lib configuration_page` renews it.

mod check;
mod chroot;
mod diagnostic;
#[cfg(test)]
mod doc;
mod files;
pub mod find;
mod fuzz;
mod listen;
mod load;
mod mime;
#[cfg(feature = "palm-server")]
pub mod palm;
pub mod plugins;
mod raw;
mod read;
mod rules;
mod server;
mod site;
pub mod table;
#[cfg(test)]
mod tests;
mod text;

use std::path::PathBuf;

pub(crate) use check::number;
pub use chroot::Chroot;
pub use diagnostic::{Diagnostic, ErrorCount, Position, Report, Severity};
pub use files::FILE_MAX;
pub use fuzz::{run as fuzz, site as fuzz_site};
pub use listen::Listen;
pub use load::load;
pub use mime::{ENTRIES_MAX, EXTENSION_MAX, MEDIA_TYPE_MAX, MimeTable};
pub use raw::{RawConfig, RawEntry, RawSection};
pub use read::LINE_MAX;
pub use rules::{CacheRule, FIELD_LINE_MAX, HeaderRule};
pub use server::{LogTarget, OverCapacity, Scheduler, Server, UnknownHost, is_restart_key};
pub use site::{Alias, SERVER_NAME_MAX, Site};

/// What the command line says. Paths are as typed: those of `config_dir`, `pid_file` and `one_shot` are against the
/// working directory, the others name things in the configuration directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `-c`: the configuration directory; searched for ([`find::directory`]) unless given.
    pub config_dir: Option<PathBuf>,
    /// `-s`: the file read instead of monkey.conf.
    pub server_conf: Option<PathBuf>,
    /// `-D`: run in the background, with a keeper.
    pub daemon: bool,
    /// `--supervise`: a keeper starts the server again when it dies.
    pub supervise: bool,
    /// `-I`: where to write the process id.
    pub pid_file: Option<PathBuf>,
    /// `-p`: listen on this port of every IPv4 address, and nowhere else.
    pub port: Option<u16>,
    /// `-o`: serve this directory without any configuration.
    pub one_shot: Option<PathBuf>,
    /// `-w`: worker threads.
    pub workers: Option<u32>,
    /// `-m`: the file read instead of monkey.mime.
    pub mime_file: Option<PathBuf>,
    /// `-l`: the file read instead of plugins.load.
    pub plugins_load: Option<PathBuf>,
    /// `-S`: the directory read instead of sites.
    pub sites_dir: Option<PathBuf>,
    /// `-P`: the directory read instead of plugins.
    pub plugins_dir: Option<PathBuf>,
    /// `-t`: the transport plugin.
    pub transport: Option<String>,
    /// `-B`: one thread accepts and gives each connection to the least loaded worker.
    pub balancing: bool,
    /// `-T`: join listeners of another process by SO_REUSEPORT.
    pub shared_sockets: bool,
    /// Not on the command line: the root directory that this process has become confined to. Files are still named as they
    /// are seen from outside.
    pub confined: Option<Chroot>,
    /// Where the sockets listen that a service manager has passed: they stand in for every `Listen` line and for `-p`. Not from
    /// the command line.
    pub passed: Option<Vec<Listen>>,
}

impl Options {
    /// Leaves nothing in them that is against the working directory, which changes when a server goes into the
    /// background. `config` is what they led to: a reload reads the same files again.
    pub fn anchor(&mut self, config: &Config) {
        let dir = Some(config.dir.clone());
        match self.one_shot {
            Some(_) => (self.config_dir, self.one_shot) = (None, dir),
            None => self.config_dir = dir,
        }
        if self.pid_file.is_some() {
            self.pid_file = config.server.pid_file.clone();
        }
    }
}

/// A whole configuration: resolved, checked, unchanging.
#[derive(Clone, Debug)]
pub struct Config {
    /// The configuration directory, absolute; with `-o` the directory served.
    pub dir: PathBuf,
    /// monkey.conf and the command line.
    pub server: Server,
    /// The sites; never empty. The first is sites/default, which answers for unknown names.
    pub sites: Vec<Site>,
    /// monkey.mime.
    pub mime: MimeTable,
    /// What the plugins read in files of their own.
    pub plugins: plugins::OfServer,
    /// What was read, for a sandbox to allow: the directories that were listed, and the files.
    #[cfg(feature = "sandbox")]
    pub sources: Vec<PathBuf>,
}
