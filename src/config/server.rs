//! monkey.conf: the server as a whole.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::check::{Values, check};
use super::diagnostic::{Findings, Position};
use super::files::{Files, absolute};
use super::listen::{self, Listen};
use super::mime::check_media_type;
use super::raw::{RawConfig, RawEntry};
use super::site::is_unnormal;
use super::table::{File, Reload};
use super::text::same;
use super::{Chroot, Options};

/// What to do when every connection is in use and none is idle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OverCapacity {
    /// Accept no more until one is free.
    #[default]
    Resist,
    /// Accept and close.
    Drop,
    /// Answer 503 with `Retry-After`, and close.
    TooBusy,
}

/// Who accepts connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scheduler {
    /// One thread, which gives each to the least loaded worker.
    #[default]
    Fair,
    /// Each worker, on sockets of its own.
    ReusePort,
}

/// Where the server's own messages go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard error.
    #[default]
    Stderr,
    /// The system logger.
    Syslog,
}

/// What becomes of a request whose Host no site names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UnknownHost {
    /// The first site answers.
    #[default]
    Default,
    /// 421 Misdirected Request.
    Reject,
}

/// `[SERVER]`, with the command line applied. docs/CONFIGURATION.md says what each key does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Where to listen; never empty.
    pub listen: Vec<Listen>,
    /// Worker threads; 0 is one per CPU.
    pub workers: u32,
    /// Seconds allowed for a request's head.
    pub timeout: u32,
    /// Where to write the process id.
    pub pid_file: Option<PathBuf>,
    /// The directory in a user's home that `/~user/` serves; `None` is off.
    pub user_dir: Option<String>,
    /// File names tried in order for a directory.
    pub index_files: Vec<String>,
    /// Leave the version out of the `Server` field.
    pub hide_version: bool,
    /// Byte ranges.
    pub resume: bool,
    /// Whom to run as.
    pub user: Option<String>,
    /// Several requests on one connection.
    pub keep_alive: bool,
    /// Seconds of idleness allowed between two requests.
    pub keep_alive_timeout: u32,
    /// Bytes per second of a request's body below which its client is closed; 0 = any byte will do.
    pub min_body_rate: u32,
    /// Bytes per second that a client takes of an answer below which it is closed; 0 = any byte will do.
    pub min_send_rate: u32,
    /// Seconds over which both are judged.
    pub rate_window: u32,
    /// Requests answered on one connection.
    pub max_keep_alive_request: u32,
    /// KB held in memory for one request.
    pub max_request_size: u32,
    /// Follow symbolic links.
    pub symlink: bool,
    /// The media type of files that [`super::MimeTable`] does not know.
    pub default_mime_type: String,
    /// Share open files between the connections of a worker.
    pub fdt: bool,
    /// What to do when full.
    pub over_capacity: OverCapacity,
    /// Most file descriptors to use; `None` is what the connections need.
    pub fd_limit: Option<u32>,
    /// Who accepts.
    pub scheduler: Scheduler,
    /// Where messages go.
    pub log_target: LogTarget,
    /// KB of writable memory in all.
    pub memory_limit: u32,
    /// Seconds, for the `Retry-After` of a 503.
    pub retry_after: u32,
    /// Seconds of TCP_DEFER_ACCEPT; 0 is off.
    pub defer_accept: u32,
    /// Most connections of one client address; 0 is any number.
    pub max_connections_per_address: u32,
    /// Bytes of SO_SNDBUF; 0 is the kernel's choice.
    pub send_buffer: u32,
    /// Bytes of SO_RCVBUF; 0 is the kernel's choice.
    pub receive_buffer: u32,
    /// Bytes of TCP_NOTSENT_LOWAT; 0 is the kernel's choice.
    pub not_sent_lowat: u32,
    /// What becomes of a Host that no site names.
    pub unknown_host: UnknownHost,
    /// Allow only what the configuration names, as far as the kernel can (landlock). Off in a build without the feature.
    pub sandbox: bool,
    /// The directory that becomes the root directory.
    pub chroot: Option<Chroot>,
    /// The device that resets the board unless it is fed.
    pub watchdog: Option<PathBuf>,
    /// Seconds after which it does.
    pub watchdog_timeout: u32,
    /// Leave the terminal and run in the background (`-D`).
    pub daemon: bool,
    /// Be kept by a process that starts the server again when it dies (`--supervise`, `-D`).
    pub supervise: bool,
    /// Join listeners of another process by SO_REUSEPORT (`-T`).
    pub shared_sockets: bool,
}

impl Server {
    /// The keys that differ in `new` and need a restart: a reload that has any is refused.
    pub fn needs_restart(&self, new: &Server) -> impl Iterator<Item = &'static str> {
        let changed = [
            ("Workers", self.workers != new.workers),
            ("PidFile", name_of(&self.pid_file) != name_of(&new.pid_file)),
            ("User", self.user != new.user),
            ("MaxRequestSize", self.max_request_size != new.max_request_size),
            ("FDT", self.fdt != new.fdt),
            ("FDLimit", self.fd_limit != new.fd_limit),
            ("Scheduler", self.scheduler != new.scheduler),
            ("MemoryLimit", self.memory_limit != new.memory_limit),
            ("Sandbox", self.sandbox != new.sandbox),
            ("Chroot", root_of(self) != root_of(new)),
            ("Watchdog", name_of(&self.watchdog) != name_of(&new.watchdog)),
            ("WatchdogTimeout", self.watchdog_timeout != new.watchdog_timeout),
            // The table is there from the start or not at all.
            (
                "MaxConnectionsPerAddress",
                (self.max_connections_per_address == 0) != (new.max_connections_per_address == 0),
            ),
        ];
        changed.into_iter().filter(|(_, changed)| *changed).map(|(key, _)| key)
    }
}

/// A path as text: comparing paths by their parts takes much code.
fn name_of(path: &Option<PathBuf>) -> Option<&OsStr> {
    path.as_deref().map(Path::as_os_str)
}

/// What `Chroot` is, as text.
fn root_of(server: &Server) -> Option<&OsStr> {
    server.chroot.as_ref().map(|chroot| chroot.dir().as_os_str())
}

const S: &str = "SERVER";

/// `dir` is the configuration directory: relative paths start there.
pub(super) fn resolve(
    raw: &RawConfig,
    dir: &Path,
    files: &dyn Files,
    options: &Options,
    whole: &Position<'_>,
    out: &mut Findings,
) -> Server {
    let values = check(raw, File::Server, whole, out);
    let v = &values;
    let mut server = Server {
        listen: listen::resolve(v.all(S, "Listen"), out),
        workers: v.number32(S, "Workers"),
        timeout: v.number32(S, "Timeout"),
        pid_file: v.entry(S, "PidFile").map(|entry| dir.join(entry.value)),
        user_dir: v.entry(S, "UserDir").and_then(|entry| user_dir(&entry, out)),
        index_files: index_files(v, out),
        hide_version: v.switch(S, "HideVersion"),
        resume: v.switch(S, "Resume"),
        user: v.entry(S, "User").and_then(|entry| user(&entry, out)),
        keep_alive: v.switch(S, "KeepAlive"),
        keep_alive_timeout: v.number32(S, "KeepAliveTimeout"),
        min_body_rate: v.number32(S, "MinBodyRate"),
        min_send_rate: v.number32(S, "MinSendRate"),
        rate_window: v.number32(S, "RateWindow"),
        max_keep_alive_request: v.number32(S, "MaxKeepAliveRequest"),
        max_request_size: v.number32(S, "MaxRequestSize"),
        symlink: v.switch(S, "SymLink"),
        default_mime_type: v.text(S, "DefaultMimeType").into(),
        fdt: v.switch(S, "FDT"),
        over_capacity: match () {
            () if v.is(S, "OverCapacity", "Drop") => OverCapacity::Drop,
            () if v.is(S, "OverCapacity", "TooBusy") => OverCapacity::TooBusy,
            () => OverCapacity::Resist,
        },
        fd_limit: v.entry(S, "FDLimit").map(|_| v.number32(S, "FDLimit")),
        scheduler: if v.is(S, "Scheduler", "ReusePort") { Scheduler::ReusePort } else { Scheduler::Fair },
        log_target: if v.is(S, "LogTarget", "syslog") { LogTarget::Syslog } else { LogTarget::Stderr },
        memory_limit: v.number32(S, "MemoryLimit"),
        retry_after: v.number32(S, "RetryAfter"),
        defer_accept: v.number32(S, "DeferAccept"),
        max_connections_per_address: v.number32(S, "MaxConnectionsPerAddress"),
        send_buffer: v.number32(S, "SendBuffer"),
        receive_buffer: v.number32(S, "ReceiveBuffer"),
        not_sent_lowat: v.number32(S, "NotSentLowat"),
        unknown_host: if v.is(S, "UnknownHost", "Reject") { UnknownHost::Reject } else { UnknownHost::Default },
        sandbox: sandbox(v, out),
        chroot: v
            .entry(S, "Chroot")
            .and_then(|entry| Chroot::resolve(&entry, dir, files, options.confined.is_some(), out)),
        watchdog: v.entry(S, "Watchdog").and_then(|entry| watchdog(&entry, out)),
        watchdog_timeout: v.number32(S, "WatchdogTimeout"),
        daemon: options.daemon,
        supervise: options.supervise || options.daemon,
        shared_sockets: options.shared_sockets,
    };
    if let Some(entry) = v.entry(S, "DefaultMimeType") {
        check_media_type(&entry, out);
    }
    if let (LogTarget::Syslog, false, Some(entry)) =
        (server.log_target, cfg!(feature = "syslog"), v.entry(S, "LogTarget"))
    {
        out.error(&entry.value_at, "syslog is not in this build: write stderr, or build with the feature syslog");
    }
    if let (None, Some(entry)) = (v.entry(S, "Watchdog"), v.entry(S, "WatchdogTimeout")) {
        out.warning(&entry.at, format_args!("WatchdogTimeout has no effect without Watchdog"));
    }
    if v.entry(S, "Listen").is_none() {
        let default = v.number(S, "Listen") as u16;
        server.listen.push(Listen::any(default, "default of Listen"));
    }
    apply(options, &mut server);
    server
}

fn sandbox(v: &Values<'_>, out: &mut Findings) -> bool {
    const BUILT_IN: bool = cfg!(feature = "sandbox");
    let Some(entry) = v.entry(S, "Sandbox") else { return BUILT_IN };
    let on = v.switch(S, "Sandbox");
    if on && !BUILT_IN {
        out.error(&entry.value_at, "the sandbox is not in this build: write Off, or build with the feature sandbox");
    }
    on
}

/// The command line overrides the file.
fn apply(options: &Options, server: &mut Server) {
    if let Some(port) = options.port {
        server.listen = vec![Listen::any(port, "command line --port")];
    }
    if let Some(listen) = &options.passed {
        server.listen.clone_from(listen);
    }
    if let Some(workers) = options.workers {
        server.workers = workers;
    }
    if let Some(path) = &options.pid_file {
        server.pid_file = Some(absolute(path));
    }
    if options.balancing {
        server.scheduler = Scheduler::Fair;
    }
}

fn index_files(v: &Values<'_>, out: &mut Findings) -> Vec<String> {
    let mut names = Vec::new();
    for name in v.words(S, "Indexfile") {
        match v.entry(S, "Indexfile") {
            Some(entry) if name.bytes().any(|byte| byte == b'/') || name == ".." || name == "." => {
                let what = format_args!("an index file cannot be \"{name}\": write file names without a slash");
                out.error(&entry.value_at, what);
            }
            _ => names.push(name.into()),
        }
    }
    names
}

fn user_dir(entry: &RawEntry<'_>, out: &mut Findings) -> Option<String> {
    let value = entry.value;
    if is_unnormal(value) {
        return out.refuse(
            &entry.value_at,
            format_args!("UserDir cannot be \"{value}\": write a directory below the user's home, such as public_html"),
        );
    }
    Some(value.into())
}

fn watchdog(entry: &RawEntry<'_>, out: &mut Findings) -> Option<PathBuf> {
    let value = entry.value;
    if !value.starts_with('/') {
        let what = format_args!("Watchdog cannot be \"{value}\": write the path of a device, such as /dev/watchdog");
        return out.refuse(&entry.value_at, what);
    }
    Some(value.into())
}

fn user(entry: &RawEntry<'_>, out: &mut Findings) -> Option<String> {
    let value = entry.value;
    if !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-$".contains(&byte)) {
        let what = format_args!("User cannot be \"{value}\": write one user name or number, such as www-data");
        return out.refuse(&entry.value_at, what);
    }
    Some(value.into())
}

/// Whether the table says that a change of this key needs a restart.
pub fn is_restart_key(name: &str) -> bool {
    let mut keys = File::Server.sections().iter().flat_map(|section| section.keys);
    keys.any(|key| same(key.name, name) && key.reload == Reload::Restart)
}
