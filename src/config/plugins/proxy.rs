//! proxy: web servers behind this one. `[PROXY]` of sites, plugins/proxy/proxy.conf, and what lines of `[HANDLERS]` name.

use super::super::check::Values;
use super::super::diagnostic::Findings;
use super::super::raw::RawEntry;
use super::super::site::Base;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, Section, key, many, number, page, required, section};
use super::super::text::{Words, same};
use super::With;
use super::backend::{Address, Balance, Limits};
use super::handlers::{Asks, Lines};
use super::targets::{
    ATTEMPTS, BALANCE, OFFLINE, QUEUE, REQUESTS, TIMEOUT, address, balance, count_servers, last, limits, milliseconds,
    part,
};

const P: &str = "PROXY";
const D: &str = "PROXY_DEFAULTS";
const E: &str = "PROXY_ENTRY";

/// The sections of its file.
pub(super) const FILE: &[Section] = &[
    section(P, OWN, page!("What holds for all of it.")),
    section(D, DEFAULTS, page!("As in the original: what each `[PROXY_ENTRY]` is unless it says otherwise.")),
    Section {
        many: true,
        ..section(
            E,
            ENTRY,
            page!(
                "As in the original: which requests go to which servers, in all sites, behind their own lines of `[HANDLERS]`."
            ),
        )
    },
];

const KEEP_ALIVE: Key = key(
    "KeepAlive",
    number(0, 1024, "connections"),
    "4",
    InPlace,
    page!("How many idle connections each worker keeps to each server."),
);
const HOST: Key = key(
    "Host",
    Kind::Choice(&["Client", "Server"]),
    "Client",
    InPlace,
    page!(
        "Whose name the server is told in `Host`: the one that the client asked for, or its own address as it is written here."
    ),
);

const OWN: &[Key] = &[TIMEOUT, QUEUE, REQUESTS, ATTEMPTS, OFFLINE, BALANCE, KEEP_ALIVE, HOST];

const SERVER_LIST: Key = key(
    "ServerList",
    Kind::Words("ADDRESS:PORT, or several"),
    "",
    InPlace,
    page!(
        "Who is asked: IP addresses or `localhost`, or paths of local sockets. One that is written twice gets twice as many requests."
    ),
);
const LOAD_BALANCER: Key = key(
    "LoadBalancer",
    Kind::Choice(&["RoundRobin", "LeastConnections", "LockingRoundRobin", "Naive", "First-Alive", "SourceHash"]),
    "RoundRobin",
    InPlace,
    page!(
        "As Balance, where LockingRoundRobin is RoundRobin. The others are taken for the nearest of the two, with a warning."
    ),
);
const ATTEMPTS_COUNT: Key =
    key("AttemptsCount", number(0, 1000, "failures"), "", InPlace, page!("The same as Attempts in [PROXY]; 0 is 1."));
const OFFLINE_TIME_OUT: Key =
    key("OfflineTimeOut", number(0, 86_400, "seconds"), "", InPlace, page!("The same as in [PROXY]."));
const STATISTICS_URL: Key = key(
    "StatisticsURL",
    Kind::Text("/PATH"),
    "",
    InPlace,
    page!("Without effect: the plugin metrics has the numbers."),
);

const DEFAULTS: &[Key] = ENTRY.split_at(5).0;
const ENTRY: &[Key] = &[SERVER_LIST, LOAD_BALANCER, ATTEMPTS_COUNT, OFFLINE_TIME_OUT, STATISTICS_URL, required(MATCH)];
const MATCH: Key = many(key(
    "Match",
    Kind::Words("REGEX, or several"),
    "",
    InPlace,
    page!("As a line `Match REGEX proxy ADDRESS ...`."),
));

/// Its section in a site.
pub(super) const SITE: &[Section] = &[Section {
    many: true,
    ..section(
        P,
        SITE_KEYS,
        page!("Which requests go to which web servers behind this one, behind the lines of `[HANDLERS]`."),
    )
}];

const SITE_KEYS: &[Key] = &[
    required(MATCH),
    required(many(key(
        "Server",
        Kind::Words("ADDRESS:PORT, or several"),
        "",
        InPlace,
        page!("As ServerList of proxy.conf."),
    ))),
    Key { default: "", ..BALANCE },
    Key { default: "", ..KEEP_ALIVE },
    Key { default: "", ..HOST },
];

/// A web server behind this one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Where it is.
    pub address: Address,
    /// Its authority for `Host`, where the client's is not passed on: `localhost` for a socket with a name.
    pub host: Box<str>,
}

/// What a line of `[HANDLERS]`, or one that follows from a `[PROXY]` section, leads to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// The numbers of its servers in `Proxy::servers`, in the order in which they are written; never empty. One that is written
    /// several times is there as often: that is its weight.
    pub servers: Vec<u16>,
    /// Which server is asked.
    pub balance: Balance,
    /// Idle connections that each worker keeps to each server; 0 = none is kept.
    pub keep: u16,
    /// Whether the client's `Host` is passed on; if not it is that of the server.
    pub pass_host: bool,
}

/// What is known of proxy.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxy {
    /// What requests may take.
    pub limits: Limits,
    /// Failures in a row after which a server is left alone; at least 1.
    pub attempts: u32,
    /// Milliseconds for which it is; 0 = it never is.
    pub offline: u32,
    /// The servers, each once.
    pub servers: Vec<Server>,
    /// By [`HandlerLine::number`](super::handlers::HandlerLine::number).
    pub lines: Vec<Line>,
    /// What lines are that say nothing of it; without servers.
    line: Line,
}

impl Proxy {
    /// Adds the servers that are the words of a value, from `words` on.
    fn servers(&mut self, line: &mut Line, words: &str, entry: &RawEntry<'_>, base: &Base<'_>, out: &mut Findings) {
        for word in Words(words) {
            let word = part(entry, word);
            let Some(address) = address(&word, base, out) else { continue };
            let host = if matches!(address, Address::Net(_)) { word.value } else { "localhost" };
            let same = |server: &Server| server.address == address && *server.host == *host;
            let known = self.servers.iter().position(same);
            if known.is_none() {
                self.servers.push(Server { address, host: host.into() });
            }
            line.servers.push(known.map_or(last(self.servers.len()), |number| number as u16));
        }
        count_servers(&line.servers, entry, out);
    }
}

pub(super) fn of_file(v: &Values<'_>, base: &Base<'_>, lines: &mut Lines, out: &mut Findings) -> Proxy {
    // Those of the original count where they are written.
    let or = |old: &'static str, new: &'static str| match v.entry(D, old) {
        Some(_) => (D, old),
        None => (P, new),
    };
    let (attempts, offline) = (or("AttemptsCount", "Attempts"), or("OfflineTimeOut", "OfflineTimeOut"));
    let mut own = Proxy {
        limits: limits(v, P, "Requests"),
        attempts: v.number32(attempts.0, attempts.1).max(1),
        offline: milliseconds(v, offline.0, offline.1),
        line: over(v, Line::default()),
        ..Proxy::default()
    };
    for entry in v.all(D, "StatisticsURL").chain(v.all(E, "StatisticsURL")) {
        out.warning(&entry.at, "no effect: the plugin metrics has the numbers");
    }
    for entry in v.all(E, "AttemptsCount").chain(v.all(E, "OfflineTimeOut")) {
        out.warning(&entry.at, format_args!("no effect here: write it in [{D}], for all servers"));
    }
    entries(v, E, Some(v), &mut own, base, lines, out);
    own
}

/// The lines that follow from all sections of a name: entries of the original, which `defaults` has the rest of, or `[PROXY]` of a site.
fn entries(
    v: &Values<'_>,
    section: &'static str,
    defaults: Option<&Values<'_>>,
    own: &mut Proxy,
    base: &Base<'_>,
    lines: &mut Lines,
    out: &mut Findings,
) {
    for (at, v) in v.sections(section) {
        let mut line = own.line.clone();
        if let Some(defaults) = defaults {
            let or = |key| v.entry(E, key).or_else(|| defaults.entry(D, key));
            if let Some(balancer) = or("LoadBalancer") {
                line.balance = load_balancer(&balancer, out);
            }
            match or("ServerList") {
                Some(list) => own.servers(&mut line, list.value, &list, base, out),
                None => out.error(&at, format_args!("[{E}] needs ServerList, or [{D}] has to have one")),
            }
        } else {
            line = over(&v, line);
            for entry in v.all(P, "Server") {
                own.servers(&mut line, entry.value, &entry, base, out);
            }
        }
        if line.servers.is_empty() {
            continue;
        }
        own.lines.push(line);
        let number = last(own.lines.len());
        for entry in v.all(section, "Match") {
            for regex in Words(entry.value) {
                lines.add("proxy", regex, number, &entry, out);
            }
        }
    }
}

/// The nearest to a balancer of the original.
fn load_balancer(entry: &RawEntry<'_>, out: &mut Findings) -> Balance {
    let is = |name: &str| same(entry.value, name);
    // Of servers that are equally busy the first is asked: the first alone, then, while it keeps up.
    let least = is("LeastConnections") || is("First-Alive");
    let (balance, name) =
        if least { (Balance::LeastConnections, "LeastConnections") } else { (Balance::RoundRobin, "RoundRobin") };
    if is("Naive") || is("First-Alive") || is("SourceHash") {
        out.warning(&entry.value_at, format_args!("{} is taken for {name}, the nearest there is", entry.value));
    }
    balance
}

/// What a `[PROXY]` says of its lines, the rest as in `line`.
fn over(v: &Values<'_>, mut line: Line) -> Line {
    if !v.text(P, "Balance").is_empty() {
        line.balance = balance(v, P);
    }
    if !v.text(P, "KeepAlive").is_empty() {
        line.keep = v.number32(P, "KeepAlive") as u16;
    }
    if !v.text(P, "Host").is_empty() {
        line.pass_host = v.is(P, "Host", "Client");
    }
    line
}

pub(super) fn of_site(v: &Values<'_>, with: &mut With<'_>, lines: &mut Lines, out: &mut Findings) {
    entries(v, P, None, &mut with.own.proxy, with.base, lines, out);
}

pub(super) fn of_line(asks: &Asks<'_, '_>, with: &mut With<'_>, out: &mut Findings) -> Option<u16> {
    let Asks { entry, words, .. } = *asks;
    let own = &mut with.own.proxy;
    let mut line = own.line.clone();
    own.servers(&mut line, words, entry, with.base, out);
    if words.is_empty() {
        return out.refuse(&entry.value_at, "name who is asked: ADDRESS:PORT, or the /PATH of a socket");
    }
    if line.servers.is_empty() {
        return None;
    }
    own.lines.push(line);
    Some(last(own.lines.len()))
}
