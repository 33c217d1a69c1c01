//! `[AUTH]`: which paths ask for a password, and where the users stand.

use std::path::PathBuf;

use super::super::check::Values;
use super::super::diagnostic::{Findings, Position};
use super::super::files::{Files, Trouble};
use super::super::raw::RawEntry;
use super::super::rules::check_text;
use super::super::site::Base;
use super::super::table::Reload::InPlace;
use super::super::table::{Key, Kind, Section, key, page, required, section};
use super::handlers::prefix;
use crate::limits::{REFUSAL_FIELDS_MAX, USERS_MAX, USERS_ROOM_MIN};

/// Its sections in a site.
pub(super) const SECTIONS: &[Section] = &[Section {
    many: true,
    ..section(
        "AUTH",
        AUTH,
        page!("Paths that only those may see who have a password (HTTP Basic). docs/plugins/AUTH.md explains it."),
    )
}];

const AUTH: &[Key] = &[
    required(key(
        "Location",
        Kind::Text("/PREFIX"),
        "",
        InPlace,
        page!(
            "Every path below PREFIX (whole segments, decoded) asks for a password. Of several, the longest that matches counts."
        ),
    )),
    key(
        "Title",
        Kind::Text("a text"),
        "Restricted",
        InPlace,
        page!("What the client shows when it asks for the password."),
    ),
    required(key(
        "Users",
        Kind::Text("a file"),
        "",
        InPlace,
        page!(
            "The users, made by `monkey passwd`. Against the configuration directory. Read again when it changes; while it can not be read nobody gets in."
        ),
    )),
];

/// A section `[AUTH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Protection {
    /// A prefix without a slash at its end; the empty one is every path.
    pub location: Box<str>,
    /// The field line that asks for credentials, with its line end (RFC 7617 section 2).
    pub challenge: String,
    /// The users file, absolute, as it is named from outside of a `Chroot`.
    pub users: PathBuf,
    /// Bytes that each worker has for its text.
    pub room: usize,
}

/// The protections of a site, each prefix once.
pub(super) fn protections(v: &Values<'_>, base: &Base<'_>, files: &dyn Files, out: &mut Findings) -> Vec<Protection> {
    let mut protections = Vec::new();
    let mut places: Vec<(&str, Position<'_>)> = Vec::new();
    for (_, v) in v.sections("AUTH") {
        let (Some(location), Some(users)) = (v.entry("AUTH", "Location"), v.entry("AUTH", "Users")) else { continue };
        let Some(prefix) = prefix(location.value, &location, out) else { continue };
        if let Some((_, first)) = places.iter().find(|(earlier, _)| *earlier == prefix) {
            let what = format_args!("{} already has an [AUTH] at {first}: this one has no effect", location.value);
            out.warning(&location.at, what);
            continue;
        }
        places.push((prefix, location.at));
        let challenge = challenge(v.text("AUTH", "Title"), v.entry("AUTH", "Title"), out);
        let path = base.dir.join(users.value);
        let (Some(challenge), Some(room)) = (challenge, room(&path, &users, files, out)) else { continue };
        protections.push(Protection { location: prefix.into(), challenge, users: path, room });
    }
    protections
}

/// RFC 7617 section 2: the realm as a quoted string, and that user names and passwords are taken as UTF-8.
fn challenge(title: &str, entry: Option<RawEntry<'_>>, out: &mut Findings) -> Option<String> {
    let mut line = String::from("WWW-Authenticate: Basic realm=\"");
    for c in title.chars() {
        if matches!(c, '"' | '\\') {
            line.push('\\');
        }
        line.push(c);
    }
    line.push_str("\", charset=\"UTF-8\"\r\n");
    if let Some(entry) = entry {
        check_text(title, &entry.value_at, out)?;
        if line.len() > REFUSAL_FIELDS_MAX {
            return out.refuse(&entry.value_at, "the title is too long: shorten it");
        }
    }
    Some(line)
}

/// Looks at a users file: how much room it is given. One that is missing may come later.
fn room(path: &std::path::Path, entry: &RawEntry<'_>, files: &dyn Files, out: &mut Findings) -> Option<usize> {
    files.keep_reading(path);
    let shown = path.display();
    let size = match files.read(path) {
        Ok(content) => content.len(),
        Err(Trouble::Missing) => {
            let what =
                format_args!("{shown} is not there: nobody gets in until `monkey passwd -c {shown} USER` made it");
            out.warning(&entry.value_at, what);
            0
        }
        Err(what) => return out.refuse(&entry.value_at, format_args!("{shown}: {what}")),
    };
    if size > USERS_MAX {
        return out.refuse(&entry.value_at, format_args!("{shown} is larger than {USERS_MAX} bytes: no users file"));
    }
    Some((size * 2).next_multiple_of(4096).clamp(USERS_ROOM_MIN, USERS_MAX))
}
