//! fastcgi: servers that speak FastCGI. plugins/fastcgi/fastcgi.conf, as the original's releases have it, and what lines of `[HANDLERS]`
//! name.

use super::super::check::Values;
use super::super::diagnostic::Findings;
use super::super::raw::RawEntry;
use super::super::site::Base;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, Section, key, many, number, page, required, section};
use super::super::text::Words;
use super::With;
use super::backend::{Address, Balance, Limits};
use super::handlers::{Asks, Lines};
use super::targets::{
    ATTEMPTS, AUTHORIZATION, BALANCE, OFFLINE, QUEUE, REQUESTS, TIMEOUT, address, balance, count_servers, last, limits,
    local, milliseconds, part,
};

const F: &str = "FASTCGI";
const S: &str = "FASTCGI_SERVER";
const L: &str = "FASTCGI_LOCATION";

/// Connections to a server whose number is not said and of which none is kept: as many as there are requests.
const CONNECTIONS: u32 = u16::MAX as u32;

const KEEP_ALIVE: Key = key(
    "KeepAlive",
    Kind::Switch,
    "Off",
    InPlace,
    page!(
        "Whether connections are kept for further requests. Each kept one holds a process of the server: see MaxConnections."
    ),
);

/// The sections of its file.
pub(super) const FILE: &[Section] = &[
    Section { many: true, ..section(S, SERVER, page!("A FastCGI server, such as PHP-FPM.")) },
    Section {
        many: true,
        ..section(
            L,
            LOCATION,
            page!("Which requests go to which servers, in all sites, behind their own lines of `[HANDLERS]`."),
        )
    },
    section(
        F,
        OWN,
        page!(
            "What holds for all of it; KeepAlive and Balance for lines of `[HANDLERS]` that name servers or addresses."
        ),
    ),
];

const SERVER: &[Key] = &[
    required(key("ServerName", Kind::Text("a name"), "", InPlace, page!("What lines and locations call it."))),
    key(
        "ServerAddr",
        Kind::Text("ADDRESS:PORT"),
        "",
        InPlace,
        page!(
            "Where it listens: an IP address or `localhost`; other names are not looked up. Either this or ServerPath."
        ),
    ),
    key("ServerPath", Kind::Text("a path"), "", InPlace, page!("The local socket at which it listens.")),
    key(
        "MaxConnections",
        number(1, CONNECTIONS, "connections"),
        "",
        InPlace,
        page!(
            "Most connections to it at once, over all workers: no more than it has processes (`pm.max_children` of PHP-FPM), as one that is kept holds a process. Unset: 1 where connections are kept, else any number."
        ),
    ),
];

const LOCATION: &[Key] = &[
    required(key("LocationName", Kind::Text("a name"), "", InPlace, page!("What lines of `[HANDLERS]` call it."))),
    required(key(
        "ServerNames",
        Kind::Words("names of servers, or addresses"),
        "",
        InPlace,
        page!("Who is asked: several share the requests, and stand in for each other."),
    )),
    KEEP_ALIVE,
    BALANCE,
    many(key(
        "Match",
        Kind::Words("REGEX, or several"),
        "",
        InPlace,
        page!("As `Match REGEX fastcgi LOCATIONNAME` in every site."),
    )),
];

const OWN: &[Key] = &[
    TIMEOUT,
    QUEUE,
    REQUESTS,
    ATTEMPTS,
    OFFLINE,
    KEEP_ALIVE,
    BALANCE,
    AUTHORIZATION,
    key(
        "ChunkedBodies",
        Kind::Choice(&["Hold", "Stream"]),
        "Hold",
        InPlace,
        page!(
            "Bodies whose length is not announced (chunked). Hold: each is held until it is complete, so that programs are told CONTENT_LENGTH, without which PHP reads none of it; one that is longer than about 30 KB is answered 411. Stream: they are passed on as they come, for programs that read standard input to its end."
        ),
    ),
];

/// A FastCGI server.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Server {
    /// Its name in the configuration; the address where a line wrote that.
    pub name: Box<str>,
    /// Where it is.
    pub address: Address,
    /// Most connections to it at once, over all workers; at least 1.
    pub connections: u32,
}

/// What a line of `[HANDLERS]`, or one that follows from fastcgi.conf, leads to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// The numbers of its servers in [`FastCgi::servers`], in the order in which they are written; never empty.
    pub servers: Vec<u16>,
    /// Whether connections are kept for further requests.
    pub keep_alive: bool,
    /// Which server is asked.
    pub balance: Balance,
}

/// What is known of fastcgi.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FastCgi {
    /// What requests may take.
    pub limits: Limits,
    /// Failures in a row after which a server is left alone.
    pub attempts: u32,
    /// Milliseconds for which it is; 0 = it never is.
    pub offline: u32,
    /// Whether programs are told the credentials of `Authorization`.
    pub authorization: bool,
    /// Whether chunked bodies are passed on as they come, without CONTENT_LENGTH; else they are held.
    pub stream_chunked: bool,
    /// The servers, each once.
    pub servers: Vec<Server>,
    /// By [`HandlerLine::number`](super::handlers::HandlerLine::number).
    pub lines: Vec<Line>,
    names: Names,
}

/// What lines of sites are read with.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Names {
    /// How many servers have a name.
    servers: usize,
    /// Locations, and their places in the lines.
    locations: Vec<(Box<str>, u16)>,
    /// What else a line is that names servers.
    line: Line,
}

pub(super) fn of_file(v: &Values<'_>, base: &Base<'_>, lines: &mut Lines, out: &mut Findings) -> FastCgi {
    let mut own = FastCgi {
        limits: limits(v, F, "Requests"),
        attempts: v.number32(F, "Attempts"),
        offline: milliseconds(v, F, "OfflineTimeOut"),
        authorization: v.switch(F, "Authorization"),
        stream_chunked: v.is(F, "ChunkedBodies", "Stream"),
        ..FastCgi::default()
    };
    own.names.line = line(v, F);
    for (at, v) in v.sections(S) {
        let Some(name) = v.entry(S, "ServerName") else { continue };
        let address = match (v.entry(S, "ServerAddr"), v.entry(S, "ServerPath")) {
            (Some(entry), None) => address(&entry, base, out),
            (None, Some(entry)) => local(entry.value, &entry, base, out),
            _ => out.refuse(&at, format_args!("[{S}] needs ServerAddr or ServerPath, and not both")),
        };
        if own.server(name.value).is_some() {
            is_taken(&name, out);
        } else if let Some(address) = address {
            own.servers.push(Server { name: name.value.into(), address, connections: v.number32(S, "MaxConnections") });
        }
        own.names.servers = own.servers.len();
    }
    for (_, v) in v.sections(L) {
        let (Some(name), Some(servers)) = (v.entry(L, "LocationName"), v.entry(L, "ServerNames")) else { continue };
        if own.location(name.value).is_some() {
            is_taken(&name, out);
            continue;
        }
        let Some(number) = own.add(line(&v, L), &servers, servers.value, base, out) else { continue };
        own.names.locations.push((name.value.into(), number));
        for entry in v.all(L, "Match") {
            for regex in Words(entry.value) {
                lines.add("fastcgi", regex, number, &entry, out);
            }
        }
    }
    own
}

/// A line without its servers.
fn line(v: &Values<'_>, section: &'static str) -> Line {
    Line { servers: Vec::new(), keep_alive: v.switch(section, "KeepAlive"), balance: balance(v, section) }
}

fn is_taken(name: &RawEntry<'_>, out: &mut Findings) {
    out.warning(&name.value_at, format_args!("{} is there already: this one has no effect", name.value));
}

impl FastCgi {
    fn location(&self, name: &str) -> Option<u16> {
        self.names.locations.iter().find(|(known, _)| **known == *name).map(|(_, number)| *number)
    }

    /// The number of a server with a name.
    fn server(&self, name: &str) -> Option<usize> {
        self.servers.iter().take(self.names.servers).position(|server| *server.name == *name)
    }

    /// The number of a line that leads to the servers which are words of a value: names and addresses.
    fn add(
        &mut self,
        mut line: Line,
        entry: &RawEntry<'_>,
        words: &str,
        base: &Base<'_>,
        out: &mut Findings,
    ) -> Option<u16> {
        for word in Words(words) {
            let word = part(entry, word);
            let mut known = self.server(word.value);
            if known.is_none() {
                if !word.value.contains(':') && !word.value.contains('/') {
                    let what = format_args!(
                        "{} is not the name of a [{S}] in fastcgi.conf, nor, alone, of a [{L}], nor an ADDRESS:PORT or the /PATH of a socket",
                        word.value
                    );
                    return out.refuse(&word.value_at, what);
                }
                let address = address(&word, base, out)?;
                known = self.servers.iter().position(|server| server.address == address);
                if known.is_none() {
                    self.servers.push(Server { name: word.value.into(), address, connections: 0 });
                }
            }
            line.servers.push(known.map_or(last(self.servers.len()), |number| number as u16));
        }
        count_servers(&line.servers, entry, out);
        self.lines.push(line);
        Some(last(self.lines.len()))
    }

    /// All lines are read.
    pub(super) fn settle(&mut self) {
        self.names = Names::default();
        for (server, number) in self.servers.iter_mut().zip(0u16..) {
            if server.connections == 0 {
                let kept = self.lines.iter().any(|line| line.keep_alive && line.servers.contains(&number));
                server.connections = if kept { 1 } else { CONNECTIONS };
            }
        }
    }
}

pub(super) fn of_line(asks: &Asks<'_, '_>, with: &mut With<'_>, out: &mut Findings) -> Option<u16> {
    let Asks { entry, words, .. } = *asks;
    let own = &mut with.own.fastcgi;
    if let Some(number) = own.location(words) {
        return Some(number);
    }
    let mut line = own.names.line.clone();
    if words.is_empty() {
        if own.names.servers != 1 {
            let what = format_args!("name a server, as fastcgi.conf has not one [{S}] but {}", own.names.servers);
            return out.refuse(&entry.value_at, what);
        }
        line.servers.push(0);
    }
    own.add(line, entry, words, with.base, out)
}
