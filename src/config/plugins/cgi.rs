//! cgi: programs that answer requests. `[CGI]` of sites, plugins/cgi/cgi.conf, and what lines of `[HANDLERS]` name.

use std::path::Path;

use super::super::check::Values;
use super::super::diagnostic::Findings;
use super::super::files::Files;
use super::super::mime::check_media_type;
use super::super::raw::RawEntry;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, Section, key, many, number, page, section};
use super::super::text::{Words, first_word, same};
use super::With;
use super::backend::Limits;
use super::handlers::{Asks, Lines};
use super::targets::{AUTHORIZATION, QUEUE, TIMEOUT, last, limits, milliseconds, part};
use crate::limits::{CGI_VARIABLES_MAX, CHILDREN_MAX};
use crate::sys::environment::variable;
use crate::sys::spawn;

const C: &str = "CGI";

/// Most variables that a site adds to the environment: with those of a request they fit in an order.
const VARIABLES_MAX: usize = 256;

const MATCH: Key = many(key(
    "Match",
    Kind::Text("REGEX [INTERPRETER] [MIMETYPE]"),
    "",
    InPlace,
    page!(
        "As `Match REGEX cgi [INTERPRETER] [MIMETYPE]` behind all lines of `[HANDLERS]`: the files are run, by INTERPRETER (an absolute path) or themselves. MIMETYPE is that of answers that name none."
    ),
));

/// The sections of its file.
pub(super) const FILE: &[Section] = &[section(C, FILE_KEYS, page!("Programs that answer requests, in all sites."))];

const FILE_KEYS: &[Key] = &[
    MATCH,
    TIMEOUT,
    QUEUE,
    key(
        "Children",
        number(1, CHILDREN_MAX as u32, "programs"),
        "8",
        InPlace,
        page!("How many programs may run at once, over all workers; further requests wait."),
    ),
    key(
        "KillAfter",
        number(0, 3600, "seconds"),
        "2",
        InPlace,
        page!(
            "A program that has to end, past Timeout or because its client has left, gets SIGTERM with all of its process group, and so much later SIGKILL."
        ),
    ),
    key(
        "User",
        Kind::Text("a user name or number"),
        "",
        InPlace,
        page!("Whom programs run as, when the server was started by root. Unset: as the server."),
    ),
    key(
        "Nice",
        number(0, 19, ""),
        "5",
        InPlace,
        page!("How much programs give way to the server and others, 19 most."),
    ),
    key("Memory", number(0, 1_073_741_824, "KB"), "0", InPlace, page!("Address space of a program. 0 is any.")),
    key("CPU", number(0, 86_400, "seconds"), "0", InPlace, page!("Processor time of a program. 0 is any.")),
    key(
        "Processes",
        number(0, 1_000_000, "processes"),
        "0",
        InPlace,
        page!(
            "Processes of the user that programs run as, those of others included. 0 is any; root is never held to it."
        ),
    ),
    key("OpenFiles", number(0, 1_048_576, "files"), "0", InPlace, page!("Open files of a program. 0 is 1024.")),
];

/// Its section in a site.
pub(super) const SITE: &[Section] = &[section(C, SITE_KEYS, page!("Programs that answer requests, in this site."))];

const SITE_KEYS: &[Key] = &[
    MATCH,
    many(key(
        "SetEnv",
        Kind::Text("NAME VALUE"),
        "",
        InPlace,
        page!(
            "A variable in the environment of programs, in place of one that the server sets itself. Of several with a name the first counts. Names that begin with `HTTP_` are refused."
        ),
    )),
    many(key(
        "PassEnv",
        Kind::Words("names of variables"),
        "",
        InPlace,
        page!("Variables that programs get as the server was started with them, if it was."),
    )),
    AUTHORIZATION,
];

/// What a line of `[HANDLERS]`, or one that follows from a `[CGI]` section, leads to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Line {
    /// The program of a `Location` line: an absolute path, as it is seen from outside of a `Chroot`. None = the files that a `Match` line
    /// covers are run.
    pub program: Option<Box<str>>,
    /// Who runs the files of a `Match` line: an absolute path, as above. None = they are executed themselves.
    pub interpreter: Option<Box<str>>,
    /// The media type of answers that name none.
    pub media_type: Option<Box<str>>,
}

/// What is known of cgi.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Cgi {
    /// What requests may take. `requests` is [`Cgi::children`]: a worker may have all of them.
    pub limits: Limits,
    /// Programs that may run at once, over all workers.
    pub children: u16,
    /// What each program may take.
    pub child: spawn::Limits,
    /// Whom programs run as; None = the server's own user. It is number 1 of [`child_users`](super::child_users).
    pub user: Option<Box<str>>,
    /// Milliseconds from SIGTERM to SIGKILL for a program that is to end.
    pub grace: u32,
    /// By [`HandlerLine::number`](super::handlers::HandlerLine::number). Empty = no program is ever started.
    pub lines: Vec<Line>,
}

/// What a site says of its programs.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OfSite {
    /// Variables added to the environment, in the order in which they are written: those of `SetEnv`, and those of `PassEnv` that the
    /// server was started with. No name is there twice; where it is that of a variable that the server sets, this one counts. Together with their equals signs and
    /// ends no more than [`CGI_VARIABLES_MAX`] bytes, and no more than 256 of them.
    pub variables: Vec<(Box<str>, Box<[u8]>)>,
    /// Whether programs are told the credentials of `Authorization`.
    pub authorization: bool,
}

pub(super) fn of_file(v: &Values<'_>, files: &dyn Files, lines: &mut Lines, out: &mut Findings) -> Cgi {
    let count = |key| v.number32(C, key);
    let limits = limits(v, C, "Children");
    let mut cgi = Cgi {
        limits,
        children: limits.requests,
        child: spawn::Limits {
            memory: count("Memory"),
            processor: count("CPU"),
            processes: count("Processes"),
            files: count("OpenFiles"),
            nice: count("Nice") as i8,
        },
        user: v.entry(C, "User").map(|entry| entry.value.into()),
        grace: milliseconds(v, C, "KillAfter"),
        lines: Vec::new(),
    };
    matches(v, &mut cgi, files, lines, out);
    cgi
}

pub(super) fn of_site(v: &Values<'_>, with: &mut With<'_>, lines: &mut Lines, out: &mut Findings) -> OfSite {
    matches(v, &mut with.own.cgi, with.files, lines, out);
    OfSite { variables: variables(v, out), authorization: v.switch(C, "Authorization") }
}

/// The lines that follow from a `[CGI]`.
fn matches(v: &Values<'_>, cgi: &mut Cgi, files: &dyn Files, lines: &mut Lines, out: &mut Findings) {
    for entry in v.all(C, "Match") {
        let (regex, words) = first_word(entry.value);
        if let Some(line) = scripts(&entry, words, files, out) {
            cgi.lines.push(line);
            lines.add("cgi", regex, last(cgi.lines.len()), &entry, out);
        }
    }
}

pub(super) fn of_line(asks: &Asks<'_, '_>, with: &mut With<'_>, out: &mut Findings) -> Option<u16> {
    let Asks { entry, words, is_match } = *asks;
    let line = if is_match {
        scripts(entry, words, with.files, out)?
    } else {
        let (program, more) = first_word(words);
        if program.is_empty() || !more.is_empty() {
            return out.refuse(&entry.value_at, "write /PREFIX cgi PROGRAM: one program, which gets no arguments");
        }
        let program = part(entry, program);
        is_absolute(&program, out)?;
        if let Err(what) = with.files.check_program(Path::new(program.value)) {
            let what = format_args!("{}: {what}: name a program that can be run", program.value);
            return out.refuse(&program.value_at, what);
        }
        Line { program: Some(program.value.into()), ..Line::default() }
    };
    let lines = &mut with.own.cgi.lines;
    lines.push(line);
    Some(last(lines.len()))
}

/// `[INTERPRETER] [MIMETYPE]`
fn scripts(entry: &RawEntry<'_>, words: &str, files: &dyn Files, out: &mut Findings) -> Option<Line> {
    let mut line = Line::default();
    let (first, mut rest) = first_word(words);
    let word = part(entry, first);
    if first.contains('/') && !first.starts_with('/') {
        rest = words;
    } else if !first.is_empty() {
        is_absolute(&word, out)?;
        if let Err(what) = files.check_program(Path::new(first)) {
            out.warning(&word.value_at, format_args!("{first}: {what}: until it can be run it is answered 500"));
        }
        line.interpreter = Some(first.into());
    }
    if !rest.is_empty() {
        let media_type = part(entry, rest);
        if !check_media_type(&media_type, out) {
            return None;
        }
        line.media_type = Some(rest.into());
    }
    Some(line)
}

fn is_absolute(program: &RawEntry<'_>, out: &mut Findings) -> Option<()> {
    if program.value.starts_with('/') {
        return Some(());
    }
    out.refuse(&program.value_at, format_args!("{} is not an absolute path: begin it with a slash", program.value))
}

/// The lines `SetEnv` and `PassEnv`.
fn variables(v: &Values<'_>, out: &mut Findings) -> Vec<(Box<str>, Box<[u8]>)> {
    let (mut variables, mut bytes) = (Vec::new(), 0);
    for entry in v.every(C) {
        let sets = same(entry.key, "SetEnv");
        if !sets && !same(entry.key, "PassEnv") {
            continue;
        }
        let (first, given) = first_word(entry.value);
        for name in Words(if sets { first } else { entry.value }) {
            let at = entry.value_at.of_part(entry.value, name);
            let good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if !name.bytes().all(good) || name.starts_with("HTTP_") || sets && given.is_empty() {
                let what = "write NAME VALUE, or the names to pass: letters, digits and _, but not HTTP_ before them";
                out.error(&at, what);
                continue;
            }
            let value = match std::ffi::CString::new(name) {
                Ok(name) if !sets => variable(&name),
                _ => Some(given.into()),
            };
            let Some(value) = value else { continue };
            bytes += name.len() + "=".len() + value.len() + 1;
            if bytes > CGI_VARIABLES_MAX || variables.len() == VARIABLES_MAX {
                let what = format_args!(
                    "a site adds at most {VARIABLES_MAX} variables, and {CGI_VARIABLES_MAX} bytes with their names: take some out"
                );
                out.error(&at, what);
                return variables;
            } else if variables.iter().all(|(known, _): &(Box<str>, _)| **known != *name) {
                variables.push((name.into(), value.into()));
            }
        }
    }
    variables
}
