//! palm, the client: plugins/palm/palm.conf, and what lines of `[HANDLERS]` name.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::super::check::Values;
use super::super::diagnostic::Findings;
use super::super::mime::check_media_type;
use super::super::raw::RawEntry;
use super::super::site::Base;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, Section, key, number, page, section};
use super::super::text::first_word;
use super::With;
use super::backend::{Address, Limits};
use super::handlers::{Asks, Lines};
use super::targets::{AUTHORIZATION, NAMES, QUEUE, REQUESTS, TIMEOUT, address, host, last, limits, part, port};

const P: &str = "PALM";
const M: &str = "LIMITS";

/// The sections of its file.
pub(super) const FILE: &[Section] = &[
    Section {
        many: true,
        ..section(
            P,
            PALM,
            page!(
                "Files of an extension, in all sites, behind their own lines of `[HANDLERS]`, and the application server that runs them. `Palm php application/x-httpd-php 127.0.0.1 2010` at column 1 is a whole section."
            ),
        )
    },
    section(M, &[TIMEOUT, QUEUE, REQUESTS, AUTHORIZATION], page!("What holds for all of them.")),
];

const PALM: &[Key] = &[
    key("Extension", Kind::Text("a file name extension"), "", InPlace, page!("The files that are run. Required.")),
    key("Mimetype", Kind::Text("a media type"), "", InPlace, page!("That of answers that name none.")),
    key(
        "ServerAddr",
        Kind::Text("an IP address"),
        "127.0.0.1",
        InPlace,
        page!("Where the application server is: an IP address or `localhost`; other names are not looked up."),
    ),
    key("ServerHost", Kind::Text("an IP address"), "", InPlace, page!("The same as ServerAddr.")),
    key("ServerPort", number(1, 65_535, ""), "", InPlace, page!("Its port. Required.")),
    key(
        "Palm",
        Kind::Text("EXTENSION MIMETYPE [ADDRESS] PORT"),
        "",
        InPlace,
        page!("All of them in one line, instead."),
    ),
];

/// What a line of `[HANDLERS]`, or one that follows from palm.conf, leads to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// Where the application server listens.
    pub address: Address,
    /// The media type of answers that name none; may be empty.
    pub media_type: Box<str>,
}

/// What is known of palm.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PalmClient {
    /// What requests may take.
    pub limits: Limits,
    /// Whether programs are told the credentials of `Authorization`.
    pub authorization: bool,
    /// By [`HandlerLine::number`](super::handlers::HandlerLine::number).
    pub lines: Vec<Line>,
}

pub(super) fn of_file(v: &Values<'_>, base: &Base<'_>, lines: &mut Lines, out: &mut Findings) -> PalmClient {
    let mut own =
        PalmClient { limits: limits(v, M, "Requests"), authorization: v.switch(M, "Authorization"), lines: Vec::new() };
    for (at, v) in v.sections(P) {
        let (extension, media_type, address) = match v.entry(P, "Palm") {
            Some(entry) => {
                let (extension, rest) = first_word(entry.value);
                let (media_type, rest) = first_word(rest);
                let Some((address, rest)) = target(rest, &entry, base, out) else { continue };
                if let Some(more) = v.every(P).nth(1) {
                    out.error(&more.at, "a line Palm is a whole section: write [PALM] above this");
                } else if !rest.is_empty() {
                    out.error(&part(&entry, rest).value_at, "nothing stands behind the PORT: take it out");
                }
                (part(&entry, extension), Some(part(&entry, media_type)), Some(address))
            }
            None => {
                let (Some(extension), Some(port)) = (v.entry(P, "Extension"), v.entry(P, "ServerPort")) else {
                    out.error(&at, format_args!("[{P}] needs Extension and ServerPort"));
                    continue;
                };
                let named = v.entry(P, "ServerAddr").or_else(|| v.entry(P, "ServerHost"));
                let ip = named.map_or(Some(Ipv4Addr::LOCALHOST.into()), |named| ip(&named, out));
                (extension, v.entry(P, "Mimetype"), ip.and_then(|ip| at_port(ip, port.value)))
            }
        };
        let value = extension.value.strip_prefix('.').unwrap_or(extension.value);
        if value.is_empty() || !value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
            out.error(&extension.value_at, format_args!("\"{value}\" is not an extension: write a word such as php"));
        } else if media_type.as_ref().is_none_or(|media_type| check_media_type(media_type, out))
            && let Some(address) = address
        {
            own.lines.push(Line { address, media_type: media_type.map_or("", |media_type| media_type.value).into() });
            let mut regex = String::from("\\.");
            regex.push_str(value);
            regex.push_str("(/|$)");
            lines.add("palm", &regex, last(own.lines.len()), &extension, out);
        }
    }
    own
}

fn at_port(ip: IpAddr, digits: &str) -> Option<Address> {
    Some(Address::Net(SocketAddr::new(ip, port(digits)?)))
}

fn ip(entry: &RawEntry<'_>, out: &mut Findings) -> Option<IpAddr> {
    let found = host(entry.value);
    if found.is_none() {
        let what = format_args!("\"{}\" is not an IP address: write one, or localhost; {NAMES}", entry.value);
        out.error(&entry.value_at, what);
    }
    found
}

/// `PORT`, `ADDRESS PORT`, `ADDRESS:PORT` or the path of a socket, and what stands behind it.
fn target<'a>(words: &'a str, entry: &RawEntry<'a>, base: &Base<'_>, out: &mut Findings) -> Option<(Address, &'a str)> {
    let (first, rest) = first_word(words);
    let (second, behind) = first_word(rest);
    if first.is_empty() {
        return out.refuse(&entry.value_at, "name the application server: [ADDRESS] PORT");
    }
    if let Some(address) = at_port(Ipv4Addr::LOCALHOST.into(), first) {
        return Some((address, rest));
    }
    if port(second).is_some() {
        let ip = ip(&part(entry, first), out)?;
        return Some((at_port(ip, second)?, behind));
    }
    Some((address(&part(entry, first), base, out)?, rest))
}

pub(super) fn of_line(asks: &Asks<'_, '_>, with: &mut With<'_>, out: &mut Findings) -> Option<u16> {
    let Asks { entry, words, is_match } = *asks;
    if !is_match {
        return out.refuse(&entry.value_at, "palm runs files: write Match REGEX palm [ADDRESS] PORT [MIMETYPE]");
    }
    let (address, media_type) = target(words, entry, with.base, out)?;
    if !media_type.is_empty() && !check_media_type(&part(entry, media_type), out) {
        return None;
    }
    let lines = &mut with.own.palm.lines;
    lines.push(Line { address, media_type: media_type.into() });
    Some(last(lines.len()))
}
