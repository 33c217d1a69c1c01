//! The commands of the shell, and the table they are looked up in.

use std::fmt::{Display, Write};
use std::net::SocketAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::outbox::ROOM;
use super::sheet::{Sheet, part};
use crate::config::{Config, LogTarget, OverCapacity, Scheduler, UnknownHost};
use crate::http::output::Sink;
use crate::log::{LevelFilter, set_level};
use crate::plugin::host::Host;
use crate::plugin::transport::Transport;
use crate::plugins::{DefaultTransport, LISTED};
use crate::sys::file::walks;
use crate::sys::process::kernel_release;

/// Lines of `log` unless a number says otherwise.
const LOG_LINES: usize = 20;

/// What is known from the start and may be out of reach later.
pub(super) struct Facts {
    /// `STDIN`, or `SERVER @ PATH`.
    pub(super) mode: String,
    /// Whom the server runs as.
    pub(super) user: String,
}

/// What a command looks at.
pub(super) struct Scene<'a> {
    pub(super) host: &'a dyn Host,
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
const COMMANDS: &[u8] = br"?|\?||list the commands
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
pub(super) fn wants_json(mut line: &[u8]) -> bool {
    while !line.is_empty() {
        if part(&mut line, b' ') == b"--json" {
            return true;
        }
    }
    false
}

/// Does what a line says.
pub(super) fn perform(mut line: &[u8], sheet: &mut Sheet, scene: &Scene<'_>) -> Outcome {
    let mut words = [&b""[..]; 3];
    let mut count = 0;
    while !line.is_empty() {
        let word = part(&mut line, b' ');
        if !word.is_empty()
            && word != b"--json"
            && let Some(place) = words.get_mut(count)
        {
            *place = word;
            count += 1;
        }
    }
    let [name, argument, _] = words;
    let (mut place, mut known, mut takes) = (0, usize::MAX, &b""[..]);
    let mut commands = COMMANDS;
    while !commands.is_empty() {
        let (long, short) = (part(&mut commands, b'|'), part(&mut commands, b'|'));
        let takes_it = part(&mut commands, b'|');
        part(&mut commands, b'\n');
        if name == long || name == short {
            (known, takes) = (place, takes_it);
        }
        place += 1;
    }
    if count > 2 || (count == 2 && known < place && takes.is_empty()) {
        return fail(sheet, "Too many words, type 'help' for what each command takes");
    }
    let live = scene.host.live();
    let config = live.config();
    match known {
        0 | 1 => help(sheet),
        2 => configuration(sheet, scene, config),
        3 => plugins(sheet),
        4 => status(sheet, scene, config),
        5 => uptime(sheet, scene),
        6 => vhosts(sheet, config),
        7 => workers(sheet, scene),
        8 => return Outcome::Connections,
        9 => memory(sheet, scene),
        10 => {
            scene.host.reload();
            sheet.text("The configuration is read anew. What comes of it stands in the server's log.\n");
            sheet.member(b"reload", b"asked", true);
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
#[inline(never)]
pub(super) fn fail(sheet: &mut Sheet, why: &str) -> Outcome {
    sheet.text(why);
    sheet.text("\n");
    sheet.member(b"error", why.as_bytes(), true);
    Outcome::Failed
}

fn help(sheet: &mut Sheet) {
    sheet.heading("command       shortcut  description");
    sheet.text("-----------------------------------------------------------------------\n");
    sheet.open(b"commands", "[");
    let mut commands = COMMANDS;
    while !commands.is_empty() {
        let name = part(&mut commands, b'|');
        sheet.column(name, 14);
        sheet.column(part(&mut commands, b'|'), 10);
        let (takes, what) = (part(&mut commands, b'|'), part(&mut commands, b'\n'));
        sheet.named("", what, if takes.is_empty() { "" } else { ": " });
        sheet.named("", takes, "\n");
        sheet.element(name);
    }
    sheet.close("]");
    sheet.text("\nWith --json behind it a command answers in one line of JSON.\n");
}

/// Adds to words with blanks between what a value shows of itself.
#[inline(never)]
fn add(words: &mut String, value: &dyn Display) {
    let _ = write!(words, "{}{value}", if words.is_empty() { "" } else { " " });
}

fn path(path: Option<&Path>) -> &[u8] {
    path.map_or(b"", |path| path.as_os_str().as_bytes())
}

fn text(text: Option<&str>) -> &[u8] {
    text.unwrap_or_default().as_bytes()
}

const CONFIG: &str = "Server Port|w
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

const ADVANCED: &str = "KeepAlive|b
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

fn configuration(sheet: &mut Sheet, scene: &Scene<'_>, config: &Config) {
    let server = &config.server;
    let mut words = String::new();
    sheet.title("Basic configuration");
    sheet.rows("", 24, CONFIG);
    for address in scene.host.listening() {
        add(&mut words, &address.port());
    }
    sheet.value(words.as_bytes());
    words.clear();
    for listen in &server.listen {
        add(&mut words, &SocketAddr::new(listen.address, listen.port));
    }
    sheet.value(words.as_bytes());
    sheet.number(scene.host.workers() as u64);
    sheet.number(server.timeout.into());
    sheet.value(path(server.pid_file.as_deref()));
    sheet.value(text(server.user_dir.as_deref()));
    words.clear();
    for name in &server.index_files {
        add(&mut words, name);
    }
    sheet.value(words.as_bytes());
    sheet.number(server.hide_version.into());
    sheet.number(server.resume.into());
    sheet.value(text(server.user.as_deref()));
    sheet.text("\n");
    sheet.title("Advanced configuration");
    sheet.rows("", 24, ADVANCED);
    sheet.number(server.keep_alive.into());
    sheet.number(server.max_keep_alive_request.into());
    sheet.number(server.keep_alive_timeout.into());
    sheet.number(server.max_request_size.into());
    sheet.number(server.symlink.into());
    sheet.value(server.default_mime_type.as_bytes());
    sheet.number(server.fdt.into());
    sheet.value(match server.over_capacity {
        OverCapacity::Resist => b"Resist",
        OverCapacity::Drop => b"Drop",
        OverCapacity::TooBusy => b"TooBusy",
    });
    sheet.number(server.retry_after.into());
    words.clear();
    if let Some(limit) = server.fd_limit {
        add(&mut words, &limit);
    }
    sheet.value(words.as_bytes());
    sheet.value(DefaultTransport::NAME.as_bytes());
    sheet.value(if server.scheduler == Scheduler::Fair { b"Fair" } else { b"ReusePort" });
    sheet.value(if server.log_target == LogTarget::Stderr { b"stderr" } else { b"syslog" });
    sheet.number(server.memory_limit.into());
    sheet.number(server.max_connections_per_address.into());
    sheet.number(server.defer_accept.into());
    sheet.number(server.send_buffer.into());
    sheet.number(server.receive_buffer.into());
    sheet.number(server.not_sent_lowat.into());
    sheet.value(if server.unknown_host == UnknownHost::Default { b"Default" } else { b"Reject" });
    sheet.number(server.min_body_rate.into());
    sheet.number(server.min_send_rate.into());
    sheet.number(server.rate_window.into());
    sheet.number(server.sandbox.into());
    sheet.value(path(server.chroot.as_ref().map(|chroot| chroot.dir())));
}

fn plugins(sheet: &mut Sheet) {
    sheet.title("List of plugins and hooks associated");
    let mut groups: &[u8] =
        b"CORE PROCESS CONTEXT|CORE THREAD CONTEXT|STAGE_10|STAGE_20|STAGE_30|STAGE_40|STAGE_50|NETWORK I/O";
    let mut stage = 0;
    while !groups.is_empty() {
        let title = part(&mut groups, b'|');
        sheet.named("\n[", title, "]\n");
        sheet.open(title, "[");
        for listed in LISTED {
            let is_in = match stage {
                0 => listed.process,
                1 => true,
                _ => listed.stages.contains(&(stage * 10 - 10)),
            };
            if is_in {
                plugin(sheet, listed.name);
            }
        }
        stage += 1;
        if groups.is_empty() {
            plugin(sheet, DefaultTransport::NAME);
        }
        sheet.close("]");
    }
}

#[inline(never)]
fn plugin(sheet: &mut Sheet, name: &str) {
    sheet.named("  [", name.as_bytes(), concat!("] v", env!("CARGO_PKG_VERSION"), " built in\n"));
    sheet.element(name.as_bytes());
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

fn status(sheet: &mut Sheet, scene: &Scene<'_>, config: &Config) {
    let Scene { host, facts } = scene;
    let (workers, per) = (host.workers(), config.server.workers);
    let mut words = String::new();
    sheet.rows("", 18, STATUS);
    sheet.value(env!("CARGO_PKG_VERSION").as_bytes());
    sheet.value(path(Some(&config.dir)));
    sheet.value(facts.mode.as_bytes());
    sheet.number(std::process::id().into());
    sheet.value(facts.user.as_bytes());
    sheet.number(config.server.supervise.into());
    for address in host.listening() {
        add(&mut words, &address);
    }
    sheet.value(words.as_bytes());
    words.clear();
    if sheet.is_json() {
        sheet.rows("", 0, "Worker Threads|n\nPer configuration|n");
        sheet.number(workers as u64);
        sheet.number(per.into());
    } else {
        add(&mut words, &format_args!("{workers} (per configuration: {per})"));
        sheet.rows("", 18, "Worker Threads|t");
        sheet.value(words.as_bytes());
        words.clear();
    }
    sheet.rows("", 18, STATUS_END);
    sheet.number(host.connections().into());
    sheet.number(host.capacity().into());
    sheet.value(if cfg!(target_env = "musl") { b"dlmalloc" } else { b"system" });
    kernel_release(&mut |release| {
        let also = if walks() { ", without openat2" } else { ", openat2" };
        add(&mut words, &format_args!("Linux {release}{also}"));
    });
    sheet.value(words.as_bytes());
    sheet.value(b"epoll");
}

static UNITS: [(u32, &str, &str); 4] =
    [(86_400, " day", ", "), (3600, " hour", ", "), (60, " minute", " and "), (1, " second", "\n")];

fn uptime(sheet: &mut Sheet, scene: &Scene<'_>) {
    let seconds = scene.host.uptime();
    if sheet.is_json() {
        sheet.rows("", 0, "seconds|n");
        return sheet.number(seconds);
    }
    sheet.text("Server has been running: ");
    let mut rest = seconds as u32;
    for (size, unit, after) in &UNITS {
        let number = rest / size;
        rest %= size;
        sheet.out.push_decimal(number.into());
        sheet.text(unit);
        sheet.text(if number == 1 { "" } else { "s" });
        sheet.text(after);
    }
}

fn vhosts(sheet: &mut Sheet, config: &Config) {
    sheet.open(b"vhosts", "[");
    for site in &config.sites {
        let mut names = String::new();
        for name in &site.names {
            add(&mut names, name);
        }
        let names = names.as_bytes();
        sheet.open(b"", "{");
        sheet.named("[VHost '", part(&mut &*names, b' '), "']\n");
        sheet.rows("  - ", 13, "Names|w\nDocument root|t\nConfig file|t");
        sheet.value(names);
        sheet.value(path(Some(&site.document_root)));
        sheet.value(file_of(site.at.as_bytes()));
        sheet.open(b"sections", "[");
        let mut close = "]}";
        let mut lines = &*site.written;
        while !lines.is_empty() {
            let mut line = part(&mut lines, b'\n');
            if line.first() == Some(&b'[') {
                if close.len() > 2 {
                    sheet.close("]}");
                }
                close = "]}]}";
                sheet.named("  + ", line, "\n");
                sheet.open(b"", "{");
                part(&mut line, b'[');
                sheet.member(b"section", part(&mut line, b']'), true);
                sheet.open(b"entries", "[");
            } else {
                let key = part(&mut line, b' ');
                sheet.named("      - ", key, " : ");
                sheet.named("", line, "\n");
                sheet.open(b"", "{");
                sheet.member(b"key", key, true);
                sheet.member(b"value", line, true);
                sheet.close("}");
            }
        }
        sheet.close(close);
        sheet.text("\n");
    }
    sheet.close("]");
}

/// The file of a place in it, `FILE:LINE:COLUMN`.
fn file_of(at: &[u8]) -> &[u8] {
    let mut file = at;
    for _ in 0..2 {
        if let Some(colon) = file.iter().rposition(|byte| !byte.is_ascii_digit())
            && let Some((before, [b':', ..])) = file.split_at_checked(colon)
        {
            file = before;
        }
    }
    file
}

fn workers(sheet: &mut Sheet, scene: &Scene<'_>) {
    let layout = "Task ID|n\nActive Connections|n\nAnswers|n\nSent|nbytes\nOpen Files|n\nLog Lines Lost|n";
    sheet.open(b"workers", "[");
    for number in 0..scene.host.workers() {
        let Some(worker) = scene.host.worker(number) else { continue };
        let stats = worker.stats;
        let mut answered = 0;
        for class in &stats.answered {
            answered += u64::from(class.load(Ordering::Relaxed));
        }
        of_worker(sheet, number, layout);
        sheet.number(worker.task.into());
        sheet.number(worker.connections.into());
        sheet.number(answered);
        sheet.number(stats.sent.load(Ordering::Relaxed));
        count(sheet, &stats.files);
        count(sheet, &stats.lost);
        sheet.close("}");
    }
    sheet.close("]");
}

/// The next row, of a worker's counter.
#[inline(never)]
fn count(sheet: &mut Sheet, counter: &AtomicU32) {
    sheet.number(counter.load(Ordering::Relaxed).into());
}

/// The rows of a worker begin.
#[inline(never)]
fn of_worker(sheet: &mut Sheet, number: usize, layout: &'static str) {
    sheet.open(b"", "{");
    if sheet.is_json() {
        sheet.rows("", 0, "worker|n");
        sheet.number(number as u64);
    } else {
        sheet.text("* Worker ");
        sheet.out.push_decimal(number as u64);
        sheet.text("\n");
    }
    sheet.rows("    - ", 18, layout);
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

fn memory(sheet: &mut Sheet, scene: &Scene<'_>) {
    let (host, memory) = (scene.host, scene.host.memory());
    sheet.rows("", 19, MEMORY);
    sheet.number(memory.limit as u64);
    sheet.number(memory.resident as u64);
    sheet.number(memory.fixed as u64);
    sheet.number(memory.plugins as u64);
    sheet.number(memory.slots as u64);
    sheet.number(memory.slot as u64);
    sheet.number(host.connections().into());
    sheet.number(host.capacity().into());
    sheet.number(memory.worker as u64);
    sheet.number(memory.cache as u64);
    sheet.number(memory.buffers as u64);
    sheet.open(b"pools", "[");
    for number in 0..host.workers() {
        let Some(worker) = host.worker(number) else { continue };
        of_worker(sheet, number, "Buffers|n\nLent|n\nTimes without|n");
        sheet.number(worker.buffers.into());
        count(sheet, &worker.stats.lent);
        count(sheet, &worker.stats.starved);
        sheet.close("}");
    }
    sheet.close("]");
}

static LEVELS: [(&str, LevelFilter); 4] = [
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
];

fn loglevel(sheet: &mut Sheet, argument: &[u8]) -> Outcome {
    let mut name: &[u8] = b"other";
    for (known, level) in &LEVELS {
        let known = known.as_bytes();
        if known == argument {
            set_level(*level);
        }
        if *level == ::log::max_level() {
            name = known;
        }
    }
    if !argument.is_empty() && argument != name {
        return fail(sheet, "There is no such level: write error, warn, info or debug");
    }
    sheet.rows("", 0, "Log level|t");
    sheet.value(name);
    if !argument.is_empty() {
        sheet.text("Until the next reload or start.\n");
    }
    Outcome::Done
}

fn log(sheet: &mut Sheet, scene: &Scene<'_>, argument: &[u8]) -> Outcome {
    let mut count = if argument.is_empty() { LOG_LINES } else { 0 };
    for digit in argument {
        if !digit.is_ascii_digit() {
            return fail(sheet, "The number of lines is a whole number");
        }
        count = count.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    }
    // The newest are what is asked for. Quotes and backslashes are two bytes in JSON.
    let room = ROOM.saturating_sub(sheet.out.len() + 64);
    let most = if sheet.is_json() { room / 5 * 2 } else { room };
    sheet.open(b"lines", "[");
    let there_is = scene.host.recent_lines(count, most, &mut |line| {
        sheet.named("", line, "\n");
        sheet.element(line);
    });
    sheet.close("]");
    if there_is { Outcome::Done } else { fail(sheet, "no memory log is configured") }
}
