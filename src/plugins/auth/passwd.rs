//! `monkey passwd`: makes and edits users files.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::limits::USERS_MAX;
use crate::plugin::tool::{Failure, end};
use crate::plugins::auth::credentials;
use crate::plugins::auth::users::{cut, lines};
use crate::sys::Errno;
use crate::sys::file;
use crate::sys::pipe;
use crate::sys::replace::{path_of, replace};
use crate::sys::stderr;
use crate::sys::terminal::{Unseen, input};
use crate::wire::base64;
use crate::wire::sha1::sha1;

/// What `monkey passwd --help` prints.
pub const HELP: &str = "\
Usage: monkey passwd [-c] [-B] FILE USER [PASSWORD]
       monkey passwd -D FILE USER

Sets the password of USER in the users FILE of the plugin auth. Without
PASSWORD it asks for it twice, or reads one line if stdin is no terminal:
what stands on a command line other users of the machine can see.

  -c    make FILE (mode 0640), which must not be there yet
  -D    delete USER
  -B    bcrypt instead of SHA-1, in a build with auth-bcrypt
  -h, --help

The server has to be able to read FILE: chgrp it to the group of its User.
A running server sees the change within a second.

Exit codes: 0 done, 1 could not be done, 2 the words mean nothing.
";

/// The cost of the bcrypt hashes that are made.
#[cfg(feature = "auth-bcrypt")]
const COST: u32 = 10;

/// The control codes of keys (ASCII) that mean something while a password is typed.
const INTERRUPT: u8 = 3;
const END: u8 = 4;
const BACKSPACE: u8 = 8;
const KILL: u8 = 21;
const DELETE: u8 = 127;

#[derive(Default)]
struct Task<'a> {
    create: bool,
    delete: bool,
    bcrypt: bool,
    help: bool,
    words: Vec<&'a [u8]>,
}

/// What it can not do, or is told that means nothing: the parts of a message.
#[inline(never)]
fn failure(code: u8, parts: &[&[u8]]) -> Failure {
    Failure { code, what: text(parts) }
}

fn text(parts: &[&[u8]]) -> String {
    String::from_utf8_lossy(&parts.concat()).into_owned()
}

/// What the system said to something about a file.
#[inline(never)]
fn trouble(path: &[u8], error: io::Error) -> Failure {
    failure(1, &[path, b": ", error.to_string().as_bytes()])
}

/// `monkey passwd`.
pub fn main(arguments: &[OsString]) -> ExitCode {
    end("passwd", run(arguments))
}

/// Does what the words behind `monkey passwd` say.
fn run(arguments: &[OsString]) -> Result<String, Failure> {
    let task = parse(arguments)?;
    if task.help {
        return Ok(HELP.into());
    }
    let (path, user, password) = match task.words[..] {
        [path, user] => (path, user, None),
        [path, user, password] if !task.delete => (path, user, Some(password)),
        _ => return Err(failure(2, &[b"write FILE USER [PASSWORD]; `monkey passwd --help` explains it"])),
    };
    check_name(user)?;
    let old = open(path, task.create)?;
    let mut content = Vec::new();
    let mut real = PathBuf::from(OsStr::from_bytes(path));
    if let Some(old) = &old {
        content.resize(USERS_MAX + 1, 0);
        let len = file::read_whole(old.as_fd(), &mut content).map_err(|errno| trouble(path, errno.into()))?;
        content.truncate(len);
        // Links stay links: it is the file they lead to that is replaced.
        real = path_of(old).map_err(|error| trouble(path, error))?;
    }
    let line = match task.delete {
        true => None,
        false => Some(line_of(&task, user, password)?),
    };
    let (content, was_there) = edit(&content, user, line.as_deref());
    if task.delete && !was_there {
        return Err(failure(1, &[path, b": there is no user ", user]));
    }
    if content.len() > USERS_MAX {
        return Err(failure(1, &[path, b": too large for a users file"]));
    }
    match replace(&real, &content, old.as_ref()) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let what = b".new is there: somebody else edits it, or was interrupted: then remove it";
            return Err(failure(1, &[real.as_os_str().as_bytes(), what]));
        }
        Err(error) => return Err(trouble(path, error)),
    }
    let done: &[u8] = match (task.delete, was_there) {
        (true, _) => b" deleted\n",
        (false, true) => b" changed\n",
        (false, false) => b" added\n",
    };
    Ok(text(&[path, b": ", user, done]))
}

fn parse(arguments: &[OsString]) -> Result<Task<'_>, Failure> {
    let mut task = Task::default();
    let mut options = true;
    for argument in arguments {
        match argument.as_bytes() {
            b"--" if options => options = false,
            b"--help" if options => task.help = true,
            [b'-', letters @ ..] if options && !letters.is_empty() => {
                for letter in letters {
                    *match letter {
                        b'c' => &mut task.create,
                        b'D' => &mut task.delete,
                        b'B' => &mut task.bcrypt,
                        b'h' => &mut task.help,
                        _ => {
                            let parts: [&[u8]; 3] =
                                [b"invalid option \"", argument.as_bytes(), b"\"; `monkey passwd --help` lists them"];
                            return Err(failure(2, &parts));
                        }
                    } = true;
                }
            }
            word => {
                // A password may begin with a dash, and so may a user.
                options = false;
                task.words.push(word);
            }
        }
    }
    if task.delete && (task.create || task.bcrypt) {
        return Err(failure(2, &[b"-D goes with no other option"]));
    }
    if task.bcrypt && cfg!(not(feature = "auth-bcrypt")) {
        let what = b"bcrypt is not in this build: leave -B out, or build with the feature auth-bcrypt";
        return Err(failure(2, &[what]));
    }
    Ok(task)
}

/// What a name may not be: the file's form has no place for it (RFC 7617 section 2).
fn check_name(name: &[u8]) -> Result<(), Failure> {
    let what: &[u8] = if name.is_empty() {
        b"be empty"
    } else if name.contains(&b':') {
        b"hold a colon"
    } else if name.iter().any(u8::is_ascii_control) {
        b"hold control characters"
    } else if name.first() == Some(&b'#') || name.trim_ascii().len() < name.len() {
        b"begin with # or a blank, nor end with a blank"
    } else {
        return Ok(());
    };
    Err(failure(2, &[b"a user name can not ", what]))
}

/// The file as it is, unless it is to be made.
fn open(path: &[u8], create: bool) -> Result<Option<File>, Failure> {
    match file::open(Path::new(OsStr::from_bytes(path))) {
        Ok(_) if create => Err(failure(1, &[path, b" is there already: leave -c out to change it"])),
        Ok(file) if file.metadata().is_ok_and(|about| about.is_file()) => Ok(Some(file)),
        Ok(_) => Err(failure(1, &[path, b": not a regular file"])),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match create {
            true => Ok(None),
            false => Err(failure(1, &[path, b" is not there: -c makes it"])),
        },
        Err(error) => Err(trouble(path, error)),
    }
}

/// The line of a user, without its end.
fn line_of(task: &Task<'_>, user: &[u8], password: Option<&[u8]>) -> Result<Vec<u8>, Failure> {
    let password = match password {
        Some(password) => password.to_vec(),
        None => ask()?,
    };
    let what: &[u8] = if password.is_empty() {
        b"an empty password would let everyone in"
    } else if password.iter().any(u8::is_ascii_control) {
        b"a password can not hold control characters"
    } else if user.len() + 1 + password.len() > credentials::ROOM {
        b"name and password are too long together"
    } else {
        let mut line = [user, b":"].concat();
        #[cfg(feature = "auth-bcrypt")]
        if task.bcrypt {
            use crate::plugins::auth::bcrypt::{PASSWORD_MAX, hash};
            if password.len() > PASSWORD_MAX {
                return Err(failure(1, &[b"bcrypt looks at 72 bytes of a password: write a shorter one"]));
            }
            // Of each run of the program its own.
            line.extend_from_slice(&hash(&password, COST, crate::sys::memory::secret()));
            return Ok(line);
        }
        let _ = task;
        line.extend_from_slice(b"{SHA}");
        line.extend_from_slice(base64::encode(&sha1(&[&password]), &mut [0; 28]));
        return Ok(line);
    };
    Err(failure(1, &[what, b": nothing changed"]))
}

/// The text with a user's line put in place of the one there is, or at the end, or taken out; further lines of the same user go. And
/// whether there was one.
fn edit(text: &[u8], user: &[u8], line: Option<&[u8]>) -> (Vec<u8>, bool) {
    let mut new = Vec::with_capacity(text.len() + 256);
    let mut was_there = false;
    let mut push = |line: &[u8]| {
        new.extend_from_slice(line);
        new.push(b'\n');
    };
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    for old in lines(body).filter(|_| !text.is_empty()) {
        match cut(old) {
            Some((name, _)) if name == user => {
                if let Some(line) = line.filter(|_| !was_there) {
                    push(line);
                }
                was_there = true;
            }
            _ => push(old),
        }
    }
    if let Some(line) = line.filter(|_| !was_there) {
        push(line);
    }
    (new, was_there)
}

/// Asks for a password: twice on a terminal, else one line is read.
fn ask() -> Result<Vec<u8>, Failure> {
    let Some(unseen) = Unseen::new(input()) else {
        return read_line(None);
    };
    stderr::write(b"New password: ");
    let first = read_line(Some(&unseen));
    stderr::write(b"\n");
    let first = first?;
    stderr::write(b"The same again: ");
    let second = read_line(Some(&unseen));
    stderr::write(b"\n");
    match second? == first {
        true => Ok(first),
        false => Err(failure(1, &[b"these were two passwords: nothing changed"])),
    }
}

/// One line, byte by byte: what comes behind it is not ours. On a terminal keys are given as they are pressed.
fn read_line(terminal: Option<&Unseen>) -> Result<Vec<u8>, Failure> {
    let mut line = Vec::new();
    let mut byte = [0];
    loop {
        match pipe::read(input(), &mut byte) {
            Ok(0) => break,
            Ok(_) => {}
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(trouble(b"the password", errno.into())),
        }
        match (byte[0], terminal) {
            (b'\n', _) => break,
            (b'\r' | END, Some(_)) => break,
            (INTERRUPT, Some(_)) => return Err(failure(1, &[b"interrupted: nothing changed"])),
            (BACKSPACE | DELETE, Some(_)) => _ = line.pop(),
            (KILL, Some(_)) => line.clear(),
            (byte, _) => line.push(byte),
        }
        if line.len() > credentials::ROOM {
            return Err(failure(1, &[b"the password is too long: nothing changed"]));
        }
    }
    if terminal.is_none() && line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_with(words: &[&str]) -> Result<String, Failure> {
        let words: Vec<OsString> = words.iter().map(|word| word.into()).collect();
        run(&words)
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
            (&["file", "a:l", "x"], "a user name can not hold a colon"),
            (&["file", "a\nl", "x"], "a user name can not hold control characters"),
            (&["file", "#al", "x"], "a user name can not begin with # or a blank"),
            (&["file", "al ", "x"], "a user name can not begin with # or a blank"),
        ] {
            let failure = run_with(words).unwrap_err();
            assert!(failure.code == 2 && failure.what.starts_with(what), "{words:?}: {failure:?}");
        }
        assert_eq!(run_with(&["--help"]).unwrap(), HELP);
        assert_eq!(run_with(&["-h", "x"]).unwrap(), HELP);
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
