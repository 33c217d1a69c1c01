//! The commands of the shell, and the table they are looked up in.

use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::sheet::{Sheet, cut, parts};
use crate::config::{LogTarget, OverCapacity, Scheduler, UnknownHost};
use crate::http::output::Sink;
use crate::log::{LevelFilter, set_level};
use crate::plugin::host::Host;
use crate::plugin::transport::Transport;
use crate::plugins::{DefaultTransport, LISTED};
use crate::sys::file::walks;

/// Lines of `log` unless a number says otherwise.
const LOG_LINES: usize = 20;

/// What is known from the start and may be out of reach later.
#[derive(Default)]
pub(super) struct Facts {
    /// `STDIN`, or `SERVER @ PATH`.
    pub(super) mode: String,
    /// Whom the server runs as.
    pub(super) user: String,
    /// The kernel's release.
    pub(super) kernel: String,
}

/// What a command looks at.
pub(super) struct Scene<'a> {
    pub(super) host: &'a Arc<dyn Host>,
    pub(super) facts: &'a Facts,
}

/// What became of a command.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// It is answered.
    Done,
    /// It is unknown, or could not be done; the answer says why.
    Failed,
    /// The client takes its leave.
    Quit,
    /// The workers are to be asked for their connections.
    Connections,
}

/// A line for each command: name, short form, what may follow it, what it does. [`perform`] knows them by their place.
const COMMANDS: &str = r"?|\?||list the commands
help|\h||list the commands
config|\f||the configuration of the server
plugins|\g||plugins by what they take part in
status|\s||what is running, as whom, where
uptime|\u||how long the server has been running
vhosts|\v||the sites and what is written in their files
workers|\w||the worker threads
connections|\n||every connection: worker, address, state, age, bytes
memory|\m||how MemoryLimit is divided and what is used
reload|\r||read the configuration anew, as SIGHUP does
loglevel|\l|[error/warn/info/debug]|show or set which messages are logged
log|\t|[LINES]|the last lines of the log in memory
clear|\c||clear the screen
quit|\q||leave";

/// Whether a line asks for JSON.
pub(super) fn wants_json(line: &str) -> bool {
    parts(line, b' ').any(|word| word == "--json")
}

/// Does what a line says, which is not empty.
pub(super) fn perform(line: &str, sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Outcome {
    let mut words = parts(line, b' ').filter(|word| !word.is_empty() && *word != "--json");
    let (name, argument) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (mut place, mut takes) = (usize::MAX, "");
    for (index, command) in parts(COMMANDS, b'\n').enumerate() {
        let (long, rest) = cut(command, b'|');
        let (short, rest) = cut(rest, b'|');
        if name == long || name == short {
            (place, takes) = (index, cut(rest, b'|').0);
        }
    }
    if words.next().is_some() || (place != usize::MAX && takes.is_empty() && !argument.is_empty()) {
        return fail(sheet, "Too many words, type 'help' for what each command takes");
    }
    match place {
        0 | 1 => help(sheet),
        2 => config(sheet, scene),
        3 => plugins(sheet),
        4 => status(sheet, scene),
        5 => uptime(sheet, scene),
        6 => vhosts(sheet, scene),
        7 => workers(sheet, scene),
        8 => return Outcome::Connections,
        9 => memory(sheet, scene),
        10 => {
            scene.host.reload();
            sheet.text("The configuration is read anew. What comes of it stands in the server's log.\n");
            sheet.member("reload", "asked", true);
        }
        11 => return loglevel(sheet, argument),
        12 => return log(sheet, scene, argument),
        13 => sheet.text("\x1b[2J\x1b[1;1H"),
        14 => return Outcome::Quit,
        _ => return fail(sheet, "Invalid command, type 'help' for a list of available commands"),
    }
    Outcome::Done
}

/// Says why a command fails.
pub(super) fn fail(sheet: &mut Sheet<'_>, why: &str) -> Outcome {
    sheet.named("", why, "\n");
    sheet.member("error", why, true);
    Outcome::Failed
}

fn help(sheet: &mut Sheet<'_>) {
    sheet.heading("command       shortcut  description");
    sheet.text("-----------------------------------------------------------------------\n");
    sheet.open("commands", "[");
    for command in parts(COMMANDS, b'\n') {
        let (name, rest) = cut(command, b'|');
        let (short, rest) = cut(rest, b'|');
        let (takes, what) = cut(rest, b'|');
        sheet.column(name, 14);
        sheet.column(short, 10);
        sheet.text(what);
        sheet.named(if takes.is_empty() { "" } else { ": " }, takes, "\n");
        sheet.element(name);
    }
    sheet.close("]");
    sheet.text("\nWith --json behind it a command answers in one line of JSON.\n");
}

/// What a value shows of itself.
#[inline(never)]
fn shown(value: &dyn Display) -> String {
    let mut text = String::new();
    let _ = write!(text, "{value}");
    text
}

/// Several of them with blanks between.
fn all(values: impl Iterator<Item = impl Display>) -> String {
    let mut all = String::new();
    for value in values {
        all.push_str(if all.is_empty() { "" } else { " " });
        all.push_str(&shown(&value));
    }
    all
}

fn path(path: Option<&Path>) -> String {
    path.map(|path| shown(&path.display())).unwrap_or_default()
}

const CONFIG: &str = "Basic configuration
Server Port|w
Listen|w
Workers|nthreads
Timeout|nseconds
PidFile|tnot set
UserDir|tnot set
IndexFile|wNo index files defined
HideVersion|b
Resume|b
User|tnot set
";

const ADVANCED: &str = "Advanced configuration
KeepAlive|b
MaxKeepAliveRequest|nreq/connection
KeepAliveTimeout|nseconds
MaxRequestSize|nKB
SymLink|b
DefaultMimeType|t
FDT|b
OverCapacity|t
RetryAfter|nseconds
FDLimit|tnot set
TransportLayer|t
Scheduler|t
LogTarget|t
MemoryLimit|nKB
MaxConnectionsPerAddress|n
DeferAccept|nseconds
SendBuffer|nbytes
ReceiveBuffer|nbytes
NotSentLowat|nbytes
UnknownHost|t
MinBodyRate|nbytes/second
MinSendRate|nbytes/second
RateWindow|nseconds
Sandbox|b
Chroot|tnot set
";

fn config(sheet: &mut Sheet<'_>, scene: &Scene<'_>) {
    let live = scene.host.live();
    let server = &live.config().server;
    let listening = scene.host.listening();
    let ports = all(listening.iter().map(SocketAddr::port));
    let listen = all(server.listen.iter().map(|listen| SocketAddr::new(listen.address, listen.port)));
    sheet.width = 24;
    sheet.rows(
        CONFIG,
        &[scene.host.workers() as u64, server.timeout.into(), server.hide_version.into(), server.resume.into()],
        &[
            &ports,
            &listen,
            &path(server.pid_file.as_deref()),
            server.user_dir.as_deref().unwrap_or_default(),
            &all(server.index_files.iter()),
            server.user.as_deref().unwrap_or_default(),
        ],
    );
    sheet.text("\n");
    let numbers: [u64; 17] = [
        server.keep_alive.into(),
        server.max_keep_alive_request.into(),
        server.keep_alive_timeout.into(),
        server.max_request_size.into(),
        server.symlink.into(),
        server.fdt.into(),
        server.retry_after.into(),
        server.memory_limit.into(),
        server.max_connections_per_address.into(),
        server.defer_accept.into(),
        server.send_buffer.into(),
        server.receive_buffer.into(),
        server.not_sent_lowat.into(),
        server.min_body_rate.into(),
        server.min_send_rate.into(),
        server.rate_window.into(),
        server.sandbox.into(),
    ];
    sheet.rows(
        ADVANCED,
        &numbers,
        &[
            &server.default_mime_type,
            match server.over_capacity {
                OverCapacity::Resist => "Resist",
                OverCapacity::Drop => "Drop",
                OverCapacity::TooBusy => "TooBusy",
            },
            &server.fd_limit.map(|limit| shown(&limit)).unwrap_or_default(),
            DefaultTransport::NAME,
            if server.scheduler == Scheduler::Fair { "Fair" } else { "ReusePort" },
            if server.log_target == LogTarget::Stderr { "stderr" } else { "syslog" },
            if server.unknown_host == UnknownHost::Default { "Default" } else { "Reject" },
            &path(server.chroot.as_ref().map(|chroot| chroot.dir())),
        ],
    );
}

fn plugins(sheet: &mut Sheet<'_>) {
    sheet.rows("List of plugins and hooks associated", &[], &[]);
    let groups = "CORE PROCESS CONTEXT|CORE THREAD CONTEXT|STAGE_10|STAGE_20|STAGE_30|STAGE_40|STAGE_50|NETWORK I/O";
    for (index, title) in parts(groups, b'|').enumerate() {
        sheet.named("\n[", title, "]\n");
        sheet.open(title, "[");
        for listed in LISTED {
            let is_in = match index {
                0 => listed.process,
                1 => true,
                _ => listed.stages.iter().any(|stage| usize::from(*stage) == (index - 1) * 10),
            };
            if is_in {
                plugin(sheet, listed.name);
            }
        }
        if index == 7 {
            plugin(sheet, DefaultTransport::NAME);
        }
        sheet.close("]");
    }
}

fn plugin(sheet: &mut Sheet<'_>, name: &str) {
    sheet.named("  [", name, concat!("] v", env!("CARGO_PKG_VERSION"), " built in\n"));
    sheet.element(name);
}

const STATUS: &str = "Monkey Version|t
Configuration path|t
Cheetah! mode|t
Process ID|n
Process User|t
Supervised|b
Server Port|w
";

const STATUS_END: &str = "Connections|n
Most connections|n
Memory Allocator|t
Kernel Features|t
Events backend|t
";

fn status(sheet: &mut Sheet<'_>, scene: &Scene<'_>) {
    let (live, host, facts) = (scene.host.live(), scene.host, scene.facts);
    let config = live.config();
    let (workers, per) = (host.workers(), config.server.workers);
    sheet.width = 18;
    let texts =
        [env!("CARGO_PKG_VERSION"), &path(Some(&config.dir)), &facts.mode, &facts.user, &all(host.listening().iter())];
    sheet.rows(STATUS, &[std::process::id().into(), config.server.supervise.into()], &texts);
    match sheet.is_json() {
        true => sheet.rows("Worker Threads|n\nPer configuration|n", &[workers as u64, per.into()], &[]),
        false => sheet.rows("Worker Threads|t", &[], &[&shown(&format_args!("{workers} (per configuration: {per})"))]),
    }
    let mut kernel = String::from("Linux ");
    kernel.push_str(&facts.kernel);
    kernel.push_str(if walks() { ", without openat2" } else { ", openat2" });
    let allocator = if cfg!(target_env = "musl") { "dlmalloc" } else { "system" };
    let numbers = [host.connections().into(), host.capacity().into()];
    sheet.rows(STATUS_END, &numbers, &[allocator, &kernel, "epoll"]);
}

fn uptime(sheet: &mut Sheet<'_>, scene: &Scene<'_>) {
    let seconds = scene.host.uptime();
    if sheet.is_json() {
        return sheet.rows("seconds|n", &[seconds], &[]);
    }
    sheet.text("Server has been running: ");
    for (number, unit, after) in [
        (seconds / 86_400, " day", ", "),
        (seconds / 3600 % 24, " hour", ", "),
        (seconds / 60 % 60, " minute", " and "),
        (seconds % 60, " second", "\n"),
    ] {
        sheet.out.push_decimal(number);
        [unit, if number == 1 { "" } else { "s" }, after].into_iter().for_each(|part| sheet.text(part));
    }
}

fn vhosts(sheet: &mut Sheet<'_>, scene: &Scene<'_>) {
    let live = scene.host.live();
    sheet.open("vhosts", "[");
    for site in &live.config().sites {
        sheet.open("", "{");
        sheet.named("[VHost '", site.names.first().map_or("", |name| name), "']\n");
        (sheet.indent, sheet.width) = ("  - ", 13);
        let texts = [&*all(site.names.iter()), &path(Some(&site.document_root)), file_of(&site.at)];
        sheet.rows("Names|w\nDocument root|t\nConfig file|t", &[], &texts);
        sheet.open("sections", "[");
        let mut close = "]}";
        for line in parts(&site.written, b'\n') {
            if let Some(name) = line.strip_prefix('[') {
                if close.len() > 2 {
                    sheet.close("]}");
                }
                close = "]}]}";
                sheet.named("  + ", line, "\n");
                sheet.open("", "{");
                sheet.member("section", name.strip_suffix(']').unwrap_or(name), true);
                sheet.open("entries", "[");
            } else {
                let (key, value) = cut(line, b' ');
                sheet.named("      - ", key, "");
                sheet.named(" : ", value, "\n");
                sheet.open("", "{");
                sheet.member("key", key, true);
                sheet.member("value", value, true);
                sheet.close("}");
            }
        }
        sheet.close(close);
        sheet.text("\n");
    }
    sheet.close("]");
}

/// The file of a place in it, `FILE:LINE:COLUMN`.
fn file_of(at: &str) -> &str {
    let mut file = at;
    for _ in 0..2 {
        let digits = file.bytes().rev().take_while(u8::is_ascii_digit).count();
        let before = file.get(..file.len() - digits).and_then(|before| before.strip_suffix(':'));
        file = before.unwrap_or(file);
    }
    file
}

fn workers(sheet: &mut Sheet<'_>, scene: &Scene<'_>) {
    let layout = "Task ID|n\nActive Connections|n\nAnswers|n\nSent|nbytes\nOpen Files|n\nLog Lines Lost|n";
    sheet.open("workers", "[");
    for number in 0..scene.host.workers() {
        let Some(worker) = scene.host.worker(number) else { continue };
        let stats = worker.stats;
        let answered = stats.answered.iter().map(|class| u64::from(class.load(Ordering::Relaxed))).sum();
        let numbers = [
            worker.task.into(),
            worker.connections.into(),
            answered,
            stats.sent.load(Ordering::Relaxed),
            stats.files.load(Ordering::Relaxed).into(),
            stats.lost.load(Ordering::Relaxed).into(),
        ];
        of_worker(sheet, number, layout, &numbers);
    }
    sheet.close("]");
}

/// The rows of a worker.
fn of_worker(sheet: &mut Sheet<'_>, number: usize, layout: &str, numbers: &[u64]) {
    let name = shown(&number);
    sheet.named("* Worker ", &name, "\n");
    sheet.open("", "{");
    sheet.member("worker", &name, false);
    (sheet.indent, sheet.width) = ("    - ", 18);
    sheet.rows(layout, numbers, &[]);
    sheet.close("}");
}

const MEMORY: &str = "Ceiling|nKB
Resident|nKB
Program and plugins|nKB
Plugins|nKB
Slots|n
Slot|nbytes
Connections|n
Most connections|n
Each worker|nKB
Its cache|nKB
Its buffers|nKB
";

fn memory(sheet: &mut Sheet<'_>, scene: &Scene<'_>) {
    let (host, memory) = (scene.host, scene.host.memory());
    sheet.width = 19;
    let numbers = [
        memory.limit,
        memory.resident,
        memory.fixed,
        memory.plugins,
        memory.slots,
        memory.slot,
        host.connections() as usize,
        host.capacity() as usize,
        memory.worker,
        memory.cache,
        memory.buffers,
    ];
    sheet.rows(MEMORY, &numbers.map(|number| number as u64), &[]);
    sheet.open("pools", "[");
    for number in 0..host.workers() {
        let Some(worker) = host.worker(number) else { continue };
        let (lent, starved) = (&worker.stats.lent, &worker.stats.starved);
        let numbers = [worker.buffers, lent.load(Ordering::Relaxed), starved.load(Ordering::Relaxed)];
        of_worker(sheet, number, "Buffers|n\nLent|n\nTimes without|n", &numbers.map(u64::from));
    }
    sheet.close("]");
}

const LEVELS: [(&str, LevelFilter); 4] = [
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
];

fn loglevel(sheet: &mut Sheet<'_>, argument: &str) -> Outcome {
    let mut name = "other";
    for (known, level) in LEVELS {
        if known == argument {
            set_level(level);
        }
        if level == ::log::max_level() {
            name = known;
        }
    }
    if !argument.is_empty() && argument != name {
        return fail(sheet, "There is no such level: write error, warn, info or debug");
    }
    sheet.rows("Log level|t", &[], &[name]);
    if !argument.is_empty() {
        sheet.text("Until the next reload or start.\n");
    }
    Outcome::Done
}

fn log(sheet: &mut Sheet<'_>, scene: &Scene<'_>, argument: &str) -> Outcome {
    let count = if argument.is_empty() { Some(LOG_LINES) } else { argument.parse().ok() };
    let Some(count) = count else {
        return fail(sheet, "The number of lines is a whole number");
    };
    sheet.open("lines", "[");
    let there_is = scene.host.recent_lines(count, &mut |line| {
        let line = std::str::from_utf8(line).unwrap_or("(a line that is not UTF-8)");
        sheet.named("", line, "\n");
        sheet.element(line);
    });
    sheet.close("]");
    if there_is { Outcome::Done } else { fail(sheet, "no memory log is configured") }
}
