//! `monkey passwd`: makes and edits users files.

use std::ffi::OsString;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::process::ExitCode;

use crate::limits::USERS_MAX;
use crate::plugin::tool::print;
use crate::plugins::auth::users::cut;
use crate::sys::Errno;
use crate::sys::file::{Kind, meta, read_whole};
use crate::sys::pipe;
use crate::sys::replace::{New, open, path_of};
use crate::sys::stderr;
use crate::sys::terminal::{INTERRUPT, input, unseen};
use crate::wire::sha1::sha1;
use crate::wire::{base64, basic};

/// What `monkey passwd --help` prints.
pub const HELP: &str = "\
Usage: monkey passwd [-c] [-B] FILE USER [PASSWORD]
       monkey passwd -D FILE USER

Sets the password of USER in the users FILE of the plugin auth. Without
PASSWORD it asks for it twice, or reads one line if stdin is no terminal:
what stands on a command line other users can see.

  -c    make FILE (mode 0640)
  -D    delete USER
  -B    bcrypt instead of SHA-1, in a build with auth-bcrypt

The server has to be able to read FILE: chgrp it to the group of its User.
It sees a change within a second. Exit codes: 0 done, 1 could not be done,
2 the words mean nothing.
";

/// The cost of the bcrypt hashes that are made.
#[cfg(feature = "auth-bcrypt")]
const COST: u32 = 10;

/// Why it was not done.
#[derive(Clone, Copy)]
enum Trouble {
    /// What the system said to something about the file.
    System(Errno),
    /// A text of [`Task::told`].
    Says(&'static str),
}

impl From<Errno> for Trouble {
    fn from(errno: Errno) -> Trouble {
        Trouble::System(errno)
    }
}

use Trouble::Says;

/// The letters of the options, and the bit of each in [`Task::options`] by its place.
const OPTIONS: &[u8; 4] = b"cDBh";
const CREATE: u8 = 1;
const DELETE: u8 = 2;
const BCRYPT: u8 = 4;
const HELPED: u8 = 8;

/// What the words ask for.
#[derive(Default)]
pub(super) struct Task<'a> {
    options: u8,
    /// FILE, USER and PASSWORD.
    words: [&'a [u8]; 3],
    /// How many words there are.
    count: usize,
}

impl Task<'_> {
    fn has(&self, option: u8) -> bool {
        self.options & option != 0
    }

    /// A text with FILE in place of `%` and USER in place of `@`.
    fn told(&self, text: &str) -> Vec<u8> {
        let mut told = Vec::new();
        for byte in text.as_bytes() {
            push(
                &mut told,
                match byte {
                    b'%' => self.words[0],
                    b'@' => self.words[1],
                    byte => std::slice::from_ref(byte),
                },
            );
        }
        told
    }
}

/// The one place that makes a text longer.
#[inline(never)]
fn push(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(bytes);
}

/// `monkey passwd`.
pub fn main(arguments: &[OsString]) -> ExitCode {
    let (code, text) = perform(arguments);
    if code != 0 {
        stderr::write(&text);
    } else if print(&text).is_err() {
        return ExitCode::FAILURE;
    }
    ExitCode::from(code)
}

/// Does what the words behind `monkey passwd` say: the exit code, and what to print.
fn perform(arguments: &[OsString]) -> (u8, Vec<u8>) {
    let mut task = Task::default();
    let (code, trouble) = match parse(arguments, &mut task) {
        Err(what) => (2, Says(what)),
        Ok(()) if task.has(HELPED) => return (0, HELP.into()),
        Ok(()) => match run(&mut task) {
            Ok(done) => return (0, task.told(done)),
            Err(trouble) => (1, trouble),
        },
    };
    let mut text = b"monkey passwd: ".to_vec();
    match trouble {
        Says(what) => push(&mut text, &task.told(what)),
        Trouble::System(errno) => {
            push(&mut text, task.words[0]);
            push(&mut text, format!(": {errno}").as_bytes());
        }
    }
    push(&mut text, if code == 1 { b": nothing changed\n" } else { b"\n" });
    (code, text)
}

/// Understands the words behind `monkey passwd`. The error is a text of [`Task::told`].
pub(super) fn parse<'a>(arguments: &'a [OsString], task: &mut Task<'a>) -> Result<(), &'static str> {
    let mut options = true;
    for argument in arguments {
        match argument.as_bytes() {
            b"--" if options => options = false,
            [b'-', b'-', b'h', ..] if options => task.options |= HELPED,
            [b'-', letters @ ..] if options && !letters.is_empty() => {
                for letter in letters {
                    let Some(place) = OPTIONS.iter().position(|known| known == letter) else {
                        task.words[1] = argument.as_bytes();
                        return Err("invalid option \"@\"; `monkey passwd --help` lists them");
                    };
                    task.options |= 1 << place;
                }
            }
            word => {
                // A password may begin with a dash, and so may a user.
                options = false;
                if let Some(place) = task.words.get_mut(task.count) {
                    *place = word;
                }
                task.count += 1;
            }
        }
    }
    if task.has(HELPED) {
        return Ok(());
    }
    if task.has(DELETE) && task.options != DELETE {
        return Err("-D goes with no other option");
    }
    if task.has(BCRYPT) && cfg!(not(feature = "auth-bcrypt")) {
        return Err("bcrypt is not in this build: leave -B out, or build with the feature auth-bcrypt");
    }
    if task.count != 2 && (task.count != 3 || task.has(DELETE)) {
        return Err("write FILE USER [PASSWORD]; `monkey passwd --help` explains it");
    }
    // What the file's form has no place for (RFC 7617 section 2).
    let name = task.words[1];
    if name.is_empty() || name.contains(&b':') || has_controls(name) || name[0] == b'#' || name.trim_ascii() != name {
        return Err(
            "a user name can not be empty, hold a colon or control characters, begin with # or a blank, nor end with a blank",
        );
    }
    Ok(())
}

fn has_controls(text: &[u8]) -> bool {
    text.iter().any(u8::is_ascii_control)
}

/// Edits the file; says what was done. The texts that it makes are not freed: the program ends with it.
fn run(task: &mut Task<'_>) -> Result<&'static str, Trouble> {
    let [mut path, user, _] = task.words;
    if let Some(old) = open_old(task, path)? {
        // Links stay links: it is the file they lead to that is replaced.
        path = path_of(old.as_fd())?.leak();
    }
    let line = if task.has(DELETE) { None } else { Some(line_of(task)?) };
    let place = match New::beside(path) {
        Err(Errno::EXIST) => {
            task.words[0] = path;
            return Err(Says("%.new is there: somebody else edits it, or was interrupted: then remove it"));
        }
        place => place?,
    };
    // Only now, when nobody else can be changing it.
    let old = open_old(task, path)?;
    let old = old.as_ref().map(|file| file.as_fd());
    let text = vec![0; USERS_MAX + 1].leak();
    let mut len = 0;
    if let Some(old) = old {
        len = read_whole(old, text)?;
    }
    let (new, was_there) = edit(text.get(..len).unwrap_or_default(), user, line);
    if line.is_none() && !was_there {
        return Err(Says("%: there is no user @"));
    }
    if len.max(new.len()) > USERS_MAX {
        return Err(Says("%: too large for a users file"));
    }
    place.replace(&new, old)?;
    Ok(if line.is_none() {
        "%: @ deleted\n"
    } else if was_there {
        "%: @ changed\n"
    } else {
        "%: @ added\n"
    })
}

/// Opens the file as it is; None = it is to be made.
#[inline(never)]
fn open_old(task: &Task<'_>, path: &[u8]) -> Result<Option<OwnedFd>, Trouble> {
    match open(path) {
        Ok(_) if task.has(CREATE) => Err(Says("% is there already: leave -c out to change it")),
        Err(Errno::NOENT) if task.has(CREATE) => Ok(None),
        Err(Errno::NOENT) => Err(Says("% is not there: -c makes it")),
        Err(errno) => Err(errno.into()),
        Ok(file) if meta(file.as_fd())?.kind != Kind::Regular => Err(Says("%: not a regular file")),
        Ok(file) => Ok(Some(file)),
    }
}

/// The line of a user, without its end.
fn line_of(task: &Task<'_>) -> Result<&'static [u8], Trouble> {
    let [_, user, mut password] = task.words;
    if task.count < 3 {
        password = ask()?;
    }
    if password.is_empty() {
        return Err(Says("an empty password would let everyone in"));
    }
    if has_controls(password) {
        return Err(Says("a password can not hold control characters"));
    }
    if user.len() + 1 + password.len() > basic::ROOM {
        return Err(Says("name and password are too long together"));
    }
    #[cfg(feature = "auth-bcrypt")]
    if task.has(BCRYPT) {
        use crate::plugins::auth::bcrypt::{PASSWORD_MAX, hash};
        if password.len() > PASSWORD_MAX {
            return Err(Says("bcrypt looks at 72 bytes of a password, write a shorter one"));
        }
        // Of each run of the program its own.
        let hash = hash(password, COST, crate::sys::memory::secret());
        return Ok([user, b":", &hash].concat().leak());
    }
    Ok([user, b":{SHA}", base64::encode(&sha1(&[password]), &mut [0; 28])].concat().leak())
}

/// The text with a user's line put in place of the one there is, or at the end, or taken out; further lines of the same user go. And
/// whether there was one.
pub(super) fn edit(text: &[u8], user: &[u8], mut line: Option<&[u8]>) -> (Vec<u8>, bool) {
    let mut new = Vec::new();
    let mut was_there = false;
    // Once more than there are lines, for one that is added.
    let mut rest = text.split_inclusive(|&byte| byte == b'\n');
    loop {
        let old = rest.next().map(<[u8]>::trim_ascii_end);
        let is_its = old.is_none_or(|old| cut(old).is_some_and(|(name, _)| name == user));
        was_there |= is_its && old.is_some();
        if let Some(line) = if is_its { line.take() } else { old } {
            push(&mut new, line);
            push(&mut new, b"\n");
        }
        if old.is_none() {
            return (new, was_there);
        }
    }
}

/// Asks for a password: twice on a terminal, else one line is read.
fn ask() -> Result<&'static [u8], Trouble> {
    let asked = unseen(input(), || {
        let first = read_line("New password: ")?;
        if read_line("The same again: ")? == first { Ok(first) } else { Err("these were two passwords") }
    });
    asked.unwrap_or_else(|| read_line("")).map_err(Says)
}

/// One line, byte by byte: what comes behind it is not ours. On a terminal there is a question before it.
#[inline(never)]
fn read_line(question: &str) -> Result<&'static [u8], &'static str> {
    stderr::write(question.as_bytes());
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        if pipe::read(input(), &mut byte) != Ok(1) || byte[0] == b'\n' {
            break;
        }
        push(&mut line, &byte);
        if byte[0] == INTERRUPT || line.len() > basic::ROOM {
            break;
        }
    }
    let line = line.leak();
    if !question.is_empty() {
        stderr::write(b"\n");
    }
    match line {
        [.., INTERRUPT] => Err("interrupted"),
        line if line.len() > basic::ROOM => Err("the password is too long"),
        [line @ .., b'\r'] => Ok(line),
        line => Ok(line),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(words: &[&str]) -> (u8, String) {
        let words: Vec<OsString> = words.iter().map(|word| word.into()).collect();
        let (code, text) = perform(&words);
        (code, String::from_utf8(text).unwrap())
    }

    #[test]
    fn words_that_mean_nothing() {
        for (words, what) in [
            (&[][..], "write FILE USER [PASSWORD]"),
            (&["file"], "write FILE USER [PASSWORD]"),
            (&["file", "al", "x", "y"], "write FILE USER [PASSWORD]"),
            (&["-D", "file", "al", "x"], "write FILE USER [PASSWORD]"),
            (&["-x", "file", "al"], "invalid option \"-x\""),
            (&["--create", "file", "al"], "invalid option \"--create\""),
            (&["-cD", "file", "al"], "-D goes with no other option"),
            (&["file", "", "x"], "a user name can not be empty"),
            (&["file", "a:l", "x"], "a user name can not "),
            (&["file", "a\nl", "x"], "a user name can not "),
            (&["file", "#al", "x"], "a user name can not "),
            (&["file", "al ", "x"], "a user name can not "),
        ] {
            let (code, text) = run_with(words);
            assert!(code == 2 && text.starts_with(&format!("monkey passwd: {what}")), "{words:?}: {text}");
        }
        assert_eq!(run_with(&["--help"]), (0, HELP.to_string()));
        assert_eq!(run_with(&["-h", "x"]), (0, HELP.to_string()));
        assert!(HELP.lines().all(|line| line.len() < 80 && line.is_ascii()));
    }

    #[test]
    fn texts_are_edited() {
        let text = b"# al: keep\nal:1\n\nbo:2\r\nal:3\n  odd line";
        let edited = |user: &str, line: Option<&[u8]>| {
            let (text, was_there) = edit(text, user.as_bytes(), line);
            (String::from_utf8(text).unwrap(), was_there)
        };
        let of = |text: &str, was_there| (text.to_string(), was_there);
        assert_eq!(edited("al", Some(b"al:new")), of("# al: keep\nal:new\n\nbo:2\n  odd line\n", true));
        assert_eq!(edited("al", None), of("# al: keep\n\nbo:2\n  odd line\n", true));
        assert_eq!(edited("cy", Some(b"cy:4")), of("# al: keep\nal:1\n\nbo:2\nal:3\n  odd line\ncy:4\n", false));
        assert!(!edited("cy", None).1);
        assert_eq!(edit(b"", b"al", Some(b"al:1")), (b"al:1\n".to_vec(), false));
        assert_eq!(edit(b"al:1\n", b"al", None), (Vec::new(), true));
    }
}
