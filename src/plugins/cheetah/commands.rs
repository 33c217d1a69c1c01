//! The commands of the shell, and the table they are looked up in.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::sheet::{Sheet, Value};
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

type Run = fn(&mut Sheet<'_>, &Scene<'_>, &str) -> Outcome;

/// Name, short form, what it may be followed by, what it does, and the function.
type Command = (&'static str, &'static str, &'static str, &'static str, Run);

const COMMANDS: &[Command] = &[
    ("?", "\\?", "", "list the commands", help),
    ("help", "\\h", "", "list the commands", help),
    ("config", "\\f", "", "the configuration of the server", config),
    ("plugins", "\\g", "", "plugins by what they take part in", plugins),
    ("status", "\\s", "", "what is running, as whom, where", status),
    ("uptime", "\\u", "", "how long the server has been running", uptime),
    ("vhosts", "\\v", "", "the sites and what is written in their files", vhosts),
    ("workers", "\\w", "", "the worker threads", workers),
    ("connections", "\\n", "", "every connection: worker, address, state, age, bytes", |_, _, _| Outcome::Connections),
    ("memory", "\\m", "", "how MemoryLimit is divided and what is used", memory),
    ("reload", "\\r", "", "read the configuration anew, as SIGHUP does", reload),
    ("loglevel", "\\l", "[error|warn|info|debug]", "show or set which messages are logged", loglevel),
    ("log", "\\t", "[LINES]", "the last lines of the log in memory", log),
    ("clear", "\\c", "", "clear the screen", clear),
    ("quit", "\\q", "", "leave", |_, _, _| Outcome::Quit),
];

/// Whether a line asks for JSON.
pub(super) fn wants_json(line: &str) -> bool {
    line.split_ascii_whitespace().any(|word| word == "--json")
}

/// Does what a line says, which is not empty.
pub(super) fn perform(line: &str, sheet: &mut Sheet<'_>, scene: &Scene<'_>) -> Outcome {
    let mut words = line.split_ascii_whitespace().filter(|word| *word != "--json");
    let name = words.next().unwrap_or_default();
    let Some((name, _, takes, _, run)) = COMMANDS.iter().find(|command| command.0 == name || command.1 == name) else {
        return fail(sheet, &"Invalid command, type 'help' for a list of available commands");
    };
    let argument = words.next().unwrap_or_default();
    if words.next().is_some() || (takes.is_empty() && !argument.is_empty()) {
        return fail(sheet, &format_args!("Too many words: write {name} {takes}"));
    }
    run(sheet, scene, argument)
}

/// Says why a command fails.
pub(super) fn fail(sheet: &mut Sheet<'_>, why: &dyn Display) -> Outcome {
    if sheet.is_json() {
        sheet.item("error", Value::Text(why));
    } else {
        sheet.line(format_args!("{why}"));
    }
    Outcome::Failed
}

fn help(sheet: &mut Sheet<'_>, _: &Scene<'_>, _: &str) -> Outcome {
    sheet.heading("command       shortcut  description");
    sheet.text(&["-----------------------------------------------------------------------\n"]);
    sheet.open("commands", "[");
    for (name, short, takes, what, _) in COMMANDS {
        sheet.line(format_args!("{name:<13} {short:<9} {what}{}{takes}", if takes.is_empty() { "" } else { ": " }));
        sheet.element(Value::Text(name));
    }
    sheet.close("]");
    sheet.text(&["\nWith --json behind it a command answers in one line of JSON.\n"]);
    Outcome::Done
}

fn config(sheet: &mut Sheet<'_>, scene: &Scene<'_>, _: &str) -> Outcome {
    use Value::{Nothing, Number, Switch, Text, Words};
    let live = scene.host.live();
    let server = &live.config().server;
    let number = |number: u32, unit: &'static str| Number(number.into(), unit);
    let pid_file = server.pid_file.as_ref().map(|path| path.display());
    let chroot = server.chroot.as_ref().map(|chroot| chroot.dir().display());
    let places: Vec<String> = server.listen.iter().map(|listen| place(listen.address, listen.port)).collect();
    fn or_none<T: Display>(value: &Option<T>) -> Value<'_> {
        value.as_ref().map_or(Nothing("not set"), |value| Text(value))
    }
    let ports: Vec<String> = scene.host.listening().iter().map(|address| address.port().to_string()).collect();
    let index_files = shown(&server.index_files);
    let basic = [
        ("Server Port", Words(&shown(&ports))),
        ("Listen", Words(&shown(&places))),
        ("Workers", Number(scene.host.workers() as u64, "threads")),
        ("Timeout", number(server.timeout, "seconds")),
        ("PidFile", or_none(&pid_file)),
        ("UserDir", or_none(&server.user_dir)),
        ("IndexFile", if index_files.is_empty() { Nothing("No index files defined") } else { Words(&index_files) }),
        ("HideVersion", Switch(server.hide_version)),
        ("Resume", Switch(server.resume)),
        ("User", or_none(&server.user)),
    ];
    let advanced = [
        ("KeepAlive", Switch(server.keep_alive)),
        ("MaxKeepAliveRequest", number(server.max_keep_alive_request, "req/connection")),
        ("KeepAliveTimeout", number(server.keep_alive_timeout, "seconds")),
        ("MaxRequestSize", number(server.max_request_size, "KB")),
        ("SymLink", Switch(server.symlink)),
        ("DefaultMimeType", Text(&server.default_mime_type)),
        ("FDT", Switch(server.fdt)),
        (
            "OverCapacity",
            Text(&match server.over_capacity {
                OverCapacity::Resist => "Resist",
                OverCapacity::Drop => "Drop",
                OverCapacity::TooBusy => "TooBusy",
            }),
        ),
        ("RetryAfter", number(server.retry_after, "seconds")),
        ("FDLimit", or_none(&server.fd_limit)),
        ("TransportLayer", Text(&DefaultTransport::NAME)),
        ("Scheduler", Text(if server.scheduler == Scheduler::Fair { &"Fair" } else { &"ReusePort" })),
        ("LogTarget", Text(if server.log_target == LogTarget::Stderr { &"stderr" } else { &"syslog" })),
        ("MemoryLimit", number(server.memory_limit, "KB")),
        ("MaxConnectionsPerAddress", number(server.max_connections_per_address, "")),
        ("DeferAccept", number(server.defer_accept, "seconds")),
        ("SendBuffer", number(server.send_buffer, "bytes")),
        ("ReceiveBuffer", number(server.receive_buffer, "bytes")),
        ("NotSentLowat", number(server.not_sent_lowat, "bytes")),
        ("UnknownHost", Text(if server.unknown_host == UnknownHost::Default { &"Default" } else { &"Reject" })),
        ("MinBodyRate", number(server.min_body_rate, "bytes/second")),
        ("MinSendRate", number(server.min_send_rate, "bytes/second")),
        ("RateWindow", number(server.rate_window, "seconds")),
        ("Sandbox", Switch(server.sandbox)),
        ("Chroot", or_none(&chroot)),
    ];
    sheet.width = 24;
    sheet.title("Basic configuration");
    basic.into_iter().for_each(|(key, value)| sheet.item(key, value));
    sheet.text(&["\n"]);
    sheet.title("Advanced configuration");
    advanced.into_iter().for_each(|(key, value)| sheet.item(key, value));
    Outcome::Done
}

fn place(address: std::net::IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

fn shown(texts: &[String]) -> Vec<&dyn Display> {
    texts.iter().map(|text| text as &dyn Display).collect()
}

fn plugins(sheet: &mut Sheet<'_>, _: &Scene<'_>, _: &str) -> Outcome {
    sheet.title("List of plugins and hooks associated");
    let mut group = |title: &'static str, names: &mut dyn Iterator<Item = &'static str>| {
        sheet.text(&["\n["]);
        sheet.text(&[title, "]\n"]);
        sheet.open(title, "[");
        for name in names {
            sheet.line(format_args!("  [{name}] v{} built in", env!("CARGO_PKG_VERSION")));
            sheet.element(Value::Text(&name));
        }
        sheet.close("]");
    };
    let name = |listed: &crate::plugins::Listed| listed.name;
    group("CORE PROCESS CONTEXT", &mut LISTED.iter().filter(|listed| listed.process).map(name));
    group("CORE THREAD CONTEXT", &mut LISTED.iter().map(name));
    for (title, stage) in [("STAGE_10", 10), ("STAGE_20", 20), ("STAGE_30", 30), ("STAGE_40", 40), ("STAGE_50", 50)] {
        group(title, &mut LISTED.iter().filter(|listed| listed.stages.contains(&stage)).map(name));
    }
    group("NETWORK I/O", &mut std::iter::once(DefaultTransport::NAME));
    Outcome::Done
}

fn status(sheet: &mut Sheet<'_>, scene: &Scene<'_>, _: &str) -> Outcome {
    use Value::{Number, Switch, Text, Words};
    let (live, host) = (scene.host.live(), scene.host);
    let config = live.config();
    let addresses: Vec<String> = host.listening().iter().map(|address| address.to_string()).collect();
    let workers = host.workers();
    sheet.width = 18;
    sheet.item("Monkey Version", Text(&env!("CARGO_PKG_VERSION")));
    sheet.item("Configuration path", Text(&config.dir.display()));
    sheet.item("Cheetah! mode", Text(&scene.facts.mode));
    sheet.item("Process ID", Number(std::process::id().into(), ""));
    sheet.item("Process User", Text(&scene.facts.user));
    sheet.item("Supervised", Switch(config.server.supervise));
    sheet.item("Server Port", Words(&shown(&addresses)));
    if sheet.is_json() {
        sheet.item("Worker Threads", Number(workers as u64, ""));
        sheet.item("Per Configuration", Number(config.server.workers.into(), ""));
    } else {
        let per = config.server.workers;
        sheet.item("Worker Threads", Text(&format_args!("{workers} (per configuration: {per})")));
    }
    sheet.item("Connections", Number(host.connections().into(), ""));
    sheet.item("Most Connections", Number(host.capacity().into(), ""));
    let allocator = if cfg!(target_env = "musl") { "dlmalloc" } else { "system" };
    sheet.item("Memory Allocator", Text(&allocator));
    let look_up = if walks() { "without openat2" } else { "openat2" };
    sheet.item("Kernel Features", Text(&format_args!("Linux {}, {look_up}", scene.facts.kernel)));
    sheet.item("Events backend", Text(&"epoll"));
    Outcome::Done
}

fn uptime(sheet: &mut Sheet<'_>, scene: &Scene<'_>, _: &str) -> Outcome {
    let seconds = scene.host.uptime();
    if sheet.is_json() {
        sheet.item("seconds", Value::Number(seconds, ""));
        return Outcome::Done;
    }
    sheet.text(&["Server has been running: "]);
    let parts = [
        (seconds / 86_400, " day", ", "),
        (seconds / 3600 % 24, " hour", ", "),
        (seconds / 60 % 60, " minute", " and "),
        (seconds % 60, " second", "\n"),
    ];
    for (number, unit, after) in parts {
        sheet.out.push_decimal(number);
        sheet.text(&[unit, if number == 1 { "" } else { "s" }, after]);
    }
    Outcome::Done
}

fn vhosts(sheet: &mut Sheet<'_>, scene: &Scene<'_>, _: &str) -> Outcome {
    use Value::{Text, Words};
    let live = scene.host.live();
    sheet.open("vhosts", "[");
    for site in &live.config().sites {
        sheet.open("", "{");
        let name: &str = site.names.first().map_or("", |name| name);
        sheet.line(format_args!("[VHost '{name}']"));
        (sheet.indent, sheet.width) = ("  - ", 13);
        sheet.item("Names", Words(&shown(&site.names)));
        sheet.item("Document root", Text(&site.document_root.display()));
        sheet.item("Config file", Text(&file_of(&site.at)));
        sheet.open("sections", "[");
        let mut sections = 0;
        for line in site.written.lines() {
            if line.starts_with('[') {
                if sections > 0 {
                    sheet.close("]}");
                }
                sections += 1;
                sheet.line(format_args!("  + {line}"));
                sheet.open("", "{");
                sheet.item_of_json("section", Text(&line.trim_matches(['[', ']'])));
                sheet.open("entries", "[");
            } else if let Some((key, value)) = line.split_once(' ') {
                sheet.line(format_args!("      - {key} : {value}"));
                sheet.open("", "{");
                sheet.item_of_json("key", Text(&key));
                sheet.item_of_json("value", Text(&value));
                sheet.close("}");
            }
        }
        sheet.close(if sections > 0 { "]}]}" } else { "]}" });
        sheet.text(&["\n"]);
    }
    sheet.close("]");
    Outcome::Done
}

/// The file of a place in it, `FILE:LINE:COLUMN`.
fn file_of(at: &str) -> &str {
    let without = |at| match str::rsplit_once(at, ':') {
        Some((file, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => file,
        _ => at,
    };
    without(without(at))
}

fn workers(sheet: &mut Sheet<'_>, scene: &Scene<'_>, _: &str) -> Outcome {
    let count = |number: &std::sync::atomic::AtomicU32| Value::Number(number.load(Ordering::Relaxed).into(), "");
    (sheet.indent, sheet.width) = ("    - ", 18);
    sheet.open("workers", "[");
    for number in 0..scene.host.workers() {
        let Some(worker) = scene.host.worker(number) else { continue };
        sheet.line(format_args!("* Worker {number}"));
        sheet.open("", "{");
        sheet.item_of_json("worker", Value::Number(number as u64, ""));
        sheet.item("Task ID", Value::Number(worker.task.into(), ""));
        sheet.item("Active Connections", Value::Number(worker.connections.into(), ""));
        let answered = worker.stats.answered.iter().map(|class| u64::from(class.load(Ordering::Relaxed))).sum();
        sheet.item("Answers", Value::Number(answered, ""));
        sheet.item("Sent", Value::Number(worker.stats.sent.load(Ordering::Relaxed), "bytes"));
        sheet.item("Open Files", count(&worker.stats.files));
        sheet.item("Log Lines Lost", count(&worker.stats.lost));
        sheet.close("}");
    }
    sheet.close("]");
    Outcome::Done
}

fn memory(sheet: &mut Sheet<'_>, scene: &Scene<'_>, _: &str) -> Outcome {
    let (host, memory) = (scene.host, scene.host.memory());
    let number = |number: usize, unit| Value::Number(number as u64, unit);
    sheet.width = 19;
    for (label, value) in [
        ("Ceiling", number(memory.limit, "KB")),
        ("Resident", number(memory.resident, "KB")),
        ("Program and plugins", number(memory.fixed, "KB")),
        ("Plugins", number(memory.plugins, "KB")),
        ("Slots", number(memory.slots, "")),
        ("Slot", number(memory.slot, "bytes")),
        ("Connections", Value::Number(host.connections().into(), "")),
        ("Most connections", Value::Number(host.capacity().into(), "")),
        ("Each worker", number(memory.worker, "KB")),
        ("Its cache", number(memory.cache, "KB")),
        ("Its buffers", number(memory.buffers, "KB")),
    ] {
        sheet.item(label, value);
    }
    sheet.open("pools", "[");
    (sheet.indent, sheet.width) = ("    - ", 13);
    for number in 0..host.workers() {
        let Some(worker) = host.worker(number) else { continue };
        sheet.line(format_args!("* Worker {number}"));
        sheet.open("", "{");
        sheet.item_of_json("worker", Value::Number(number as u64, ""));
        sheet.item("Buffers", Value::Number(worker.buffers.into(), ""));
        sheet.item("Lent", Value::Number(worker.stats.lent.load(Ordering::Relaxed).into(), ""));
        sheet.item("Times without", Value::Number(worker.stats.starved.load(Ordering::Relaxed).into(), ""));
        sheet.close("}");
    }
    sheet.close("]");
    Outcome::Done
}

fn reload(sheet: &mut Sheet<'_>, scene: &Scene<'_>, _: &str) -> Outcome {
    scene.host.reload();
    sheet.text(&["The configuration is read anew. What comes of it stands in the server's log.\n"]);
    sheet.item_of_json("reload", Value::Text(&"asked"));
    Outcome::Done
}

const LEVELS: [(&str, LevelFilter); 4] = [
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
];

fn loglevel(sheet: &mut Sheet<'_>, _: &Scene<'_>, argument: &str) -> Outcome {
    if !argument.is_empty() {
        let Some((_, level)) = LEVELS.iter().find(|(name, _)| *name == argument) else {
            return fail(sheet, &"There is no such level: write error, warn, info or debug");
        };
        set_level(*level);
    }
    let now = ::log::max_level();
    let name = LEVELS.iter().find(|(_, level)| *level == now).map_or("other", |(name, _)| name);
    sheet.item("Log level", Value::Text(&name));
    if !argument.is_empty() {
        sheet.text(&["Until the next reload or start.\n"]);
    }
    Outcome::Done
}

fn log(sheet: &mut Sheet<'_>, scene: &Scene<'_>, argument: &str) -> Outcome {
    let count = if argument.is_empty() { Some(LOG_LINES) } else { argument.parse().ok() };
    let Some(count) = count else {
        return fail(sheet, &"The number of lines is a whole number");
    };
    sheet.open("lines", "[");
    let there_is = scene.host.recent_lines(count, &mut |line| {
        let line = String::from_utf8_lossy(line);
        sheet.line(format_args!("{line}"));
        sheet.element(Value::Text(&line));
    });
    sheet.close("]");
    if there_is { Outcome::Done } else { fail(sheet, &"no memory log is configured") }
}

fn clear(sheet: &mut Sheet<'_>, _: &Scene<'_>, _: &str) -> Outcome {
    sheet.text(&["\x1b[2J\x1b[1;1H"]);
    Outcome::Done
}
