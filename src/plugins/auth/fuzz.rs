//! Credentials and users files. The input is the value of an `Authorization` field, a line end, and a users file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::passwd::{self, Task, edit};
use super::users::{Line, Secret, cut, find, line, lines};
use crate::limits::CREDENTIALS_MAX;
use crate::wire::base64;
use crate::wire::basic::{ROOM, parse};

/// Users of a file that are looked up.
const USERS: usize = 16;
const DIGEST: &[u8] = b"W6ph5Mm5Pz8GgiULbPgzG37mj9g=";

/// Checks that credentials mean one thing, that the first line of a name decides about it, and that a file which `monkey passwd` has
/// edited says what it should and otherwise what it said.
pub fn run(data: &[u8]) {
    let end = data.iter().position(|&byte| byte == b'\n').unwrap_or(data.len());
    let (value, text) = (&data[..end], &data[(end + 1).min(data.len())..]);
    credentials(value);
    let names: Vec<&[u8]> = lines(text).filter_map(|text| cut(text).map(|(name, _)| name)).take(USERS).collect();
    for name in &names {
        assert_eq!(find(text, name), said(text, name));
    }
    let mut room = [0; ROOM];
    let user = parse(value, &mut room).map_or(value, |(user, _)| user);
    editing(text, user, &names);
}

/// What a text says of a user, line by line.
fn said<'a>(text: &'a [u8], user: &[u8]) -> Option<Secret<'a>> {
    let its = lines(text).find(|text| cut(text).is_some_and(|(name, _)| name == user))?;
    match line(its) {
        Line::User(name, secret) => {
            assert_eq!(name, user);
            Some(secret)
        }
        Line::Broken(_) => None,
        Line::Nothing => panic!("a line with a name says nothing"),
    }
}

fn credentials(value: &[u8]) {
    let mut room = [0; ROOM];
    let mut digits = [0; CREDENTIALS_MAX];
    if let Some((user, password)) = parse(value, &mut room) {
        assert!(!user.contains(&b':'));
        // No other text means the same.
        let whole = [user, b":", password].concat();
        assert_eq!(base64::encode(&whole, &mut digits), value[5..].trim_ascii_start());
    }
    // The value as a user and a password.
    if value.len() <= ROOM {
        let sent = [b"Basic ", base64::encode(value, &mut digits)].concat();
        let meant = value.iter().position(|&byte| byte == b':').map(|colon| (&value[..colon], &value[colon + 1..]));
        assert_eq!(parse(&sent, &mut room), meant);
    }
}

fn editing(text: &[u8], user: &[u8], others: &[&[u8]]) {
    let words = ["file".into(), OsString::from_vec(user.into()), "password".into()];
    if passwd::parse(&words, &mut Task::default()).is_err() {
        return;
    }
    let line = [user, b":{SHA}", DIGEST].concat();
    let (new, was_there) = edit(text, user, Some(&line));
    assert_eq!(was_there, lines(text).any(|text| cut(text).is_some_and(|(name, _)| name == user)));
    assert_eq!(find(&new, user), Some(Secret::Sha(DIGEST)));
    let (gone, is_there) = edit(&new, user, None);
    assert!(is_there && !edit(&gone, user, None).1);
    assert_eq!(find(&gone, user), None);
    for other in others.iter().filter(|other| **other != user) {
        assert_eq!(find(&new, other), find(text, other));
        assert_eq!(find(&gone, other), find(text, other));
    }
}
