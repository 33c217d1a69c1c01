//! `monkey cheetah`: the client of the admin shell. Without a command it passes lines to and fro; with one it prints the answer and
//! exits with what became of it.

use std::ffi::{OsStr, OsString};
use std::fmt::Display;
use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::protocol::{END, HELLO, LINE_MAX, START};
use super::sheet::part;
use crate::config::{Options, load};
use crate::plugin::tool::print;
use crate::sys::Errno;
use crate::sys::pipe::{read, write_all};
use crate::sys::socket::shutdown_write;
use crate::sys::stderr;
use crate::sys::unix::{LocalError, connect, standard, wait_readable};

const HELP: &str = "\
Usage: monkey cheetah [-s SOCKET | -c DIR] [--json] [COMMAND [WORD]]

The admin shell of a running server: COMMAND is done and the program ends;
without one it reads commands, of which `help` gives a list.

  -s, --socket SOCKET  the socket of the server
  -c, --configdir DIR  the configuration directory that names the socket
      --json           answer in one line of JSON
  -h, --help           print this, exit

Only root and the user of the server may come in. Exit status: 0 done,
1 unknown or failed, 2 no server was reached.
";

/// How long a server may take to answer, milliseconds. It does while it reads its configuration or ends.
const PATIENCE_MS: u32 = 10_000;
/// No server was reached.
const UNREACHED: u8 = 2;

/// What the command line asks for.
#[derive(Default, Debug, PartialEq, Eq)]
struct Asked {
    socket: Option<PathBuf>,
    config_dir: Option<PathBuf>,
    command: String,
}

/// Runs the client with its arguments.
pub fn main(arguments: &[OsString]) -> ExitCode {
    end(run(arguments))
}

/// The exit status.
fn run(arguments: &[OsString]) -> u8 {
    let asked = match parse(arguments) {
        Ok(Some(asked)) => asked,
        Ok(None) => return u8::from(print(HELP.as_bytes()).is_err()),
        Err((what, word)) => {
            let word = Path::new(word).display();
            fail(1, &format_args!("{what}: '{word}'; `monkey cheetah --help` tells how it is called"));
        }
    };
    let path = match asked.socket {
        Some(path) => path,
        None => configured(asked.config_dir),
    };
    let shown = path.display();
    let socket = match connect(&path) {
        Ok(socket) => socket,
        Err(error) => {
            let check = match error {
                LocalError::System(Errno::NOENT) => "does the server run, and does its [CHEETAH] name this socket?",
                LocalError::System(Errno::CONNREFUSED) => "the server that made it has ended",
                LocalError::System(Errno::ACCES) => "only root and the user of the server may come in",
                _ => "is it the socket of a server?",
            };
            fail(UNREACHED, &format_args!("{shown}: {error}: {check}"));
        }
    };
    match talk(socket, &asked.command) {
        Ok(code) => code,
        Err(why) => fail(UNREACHED, &format_args!("{shown}: {why}")),
    }
}

/// None = help is asked for. An error names the word that it is about.
fn parse(arguments: &[OsString]) -> Result<Option<Asked>, (&'static str, &OsStr)> {
    let mut asked = Asked::default();
    let mut json = false;
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let text = word.to_str().unwrap_or_default();
        if text == "--json" {
            json = true;
            continue;
        }
        if !asked.command.is_empty() || !text.starts_with('-') {
            if text.is_empty() || text.bytes().any(|byte| byte < b' ') {
                return Err(("no word of a command", word));
            }
            if !asked.command.is_empty() {
                asked.command.push(' ');
            }
            asked.command.push_str(text);
            continue;
        }
        let place = match text {
            "-h" | "--help" => return Ok(None),
            "-s" | "--socket" => &mut asked.socket,
            "-c" | "--configdir" => &mut asked.config_dir,
            _ => return Err(("invalid option", word)),
        };
        match rest.next() {
            Some(value) if !value.is_empty() => *place = Some(value.into()),
            _ => return Err(("missing argument for option", word)),
        }
    }
    if json {
        if asked.command.is_empty() {
            return Err(("missing command for option", OsStr::new("--json")));
        }
        asked.command.push_str(" --json");
    }
    if asked.command.len() + "xrun \n".len() > LINE_MAX {
        return Err(("the command is too long", OsStr::new("")));
    }
    Ok(Some(asked))
}

/// The socket that a configuration names.
fn configured(config_dir: Option<PathBuf>) -> PathBuf {
    let (config, _) = match load(&Options { config_dir, ..Options::default() }) {
        Ok(loaded) => loaded,
        Err(report) => {
            let Some(first) = report.diagnostics.first() else { end(UNREACHED) };
            fail(
                UNREACHED,
                &format_args!(
                    "cannot read the configuration: {first}; name its directory with -c DIR, or the socket with -s SOCKET"
                ),
            )
        }
    };
    if let Some(place) = config.plugins.cheetah.as_ref().and_then(|shell| shell.place(&config)) {
        // The program ends soon: to take it apart would only be code.
        std::mem::forget(config);
        return place.path;
    }
    fail(
        UNREACHED,
        &format_args!(
            "the admin shell is off: write Listen SERVER below [CHEETAH] in {}/plugins/cheetah/cheetah.conf, and \
             start the server anew",
            config.dir.display()
        ),
    )
}

/// Talks with the server; gives the exit status, or why there is none.
fn talk(socket: OwnedFd, command: &str) -> Result<u8, Errno> {
    let once = !command.is_empty();
    let socket = socket.as_fd();
    let stdin = standard(0);
    let hello = match once {
        true => "run ",
        false if stdin.is_terminal() && standard(1).is_terminal() => "tty",
        false => "plain",
    };
    let mut line = String::new();
    line.push(char::from(HELLO));
    line.push_str(hello);
    line.push_str(command);
    line.push('\n');
    // A server that turns us away may have closed already: why can be read all the same.
    let _ = write_all(socket, line.as_bytes());
    let mut at = At::Before;
    let mut said = Vec::new();
    let mut reads_stdin = !once;
    let mut bytes = [0; 4096];
    loop {
        // What is typed waits until the server has answered.
        let begun = at != At::Before;
        let own = (reads_stdin && begun).then_some(stdin);
        let limit = if begun && !once { None } else { Some(PATIENCE_MS) };
        let (typed, told) = wait_readable(own, socket, limit);
        if told {
            let count = match read(socket, &mut bytes) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                // The server closed with something of ours unread: what it had to say has come before.
                Err(_) => 0,
            };
            if count == 0 {
                if at == At::Answer && !once {
                    return Ok(0);
                }
                stderr::write(&said);
                return Err(Errno::PIPE);
            }
            let mut rest = bytes.get(..count).unwrap_or_default();
            if at == At::Before {
                let whole = rest.len();
                let before = part(&mut rest, START);
                said.extend_from_slice(before);
                if before.len() < whole {
                    at = At::Answer;
                }
            }
            if at == At::Answer {
                let whole = rest.len();
                let shown = part(&mut rest, END);
                if let Err(errno) = print(shown) {
                    fail(1, &format_args!("the answer can not be written: {errno}"));
                }
                if shown.len() < whole {
                    at = At::Status;
                }
            }
            if at == At::Status
                && let Some(digit) = rest.first()
            {
                return Ok(digit.wrapping_sub(b'0'));
            }
        } else if typed {
            match read(stdin, &mut bytes) {
                Ok(0) => {
                    reads_stdin = false;
                    let _ = shutdown_write(socket);
                }
                Ok(count) => write_all(socket, bytes.get(..count).unwrap_or_default())?,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        } else {
            return Err(Errno::TIMEDOUT);
        }
    }
}

/// How far what the server says has got.
#[derive(Clone, Copy, PartialEq, Eq)]
enum At {
    /// What is not meant for the output.
    Before,
    Answer,
    /// The digit that ends the answer to one command.
    Status,
}

/// Ends the program, which leaves nothing to be dropped.
fn end(code: u8) -> ! {
    std::process::exit(code.into())
}

#[inline(never)]
fn fail(code: u8, what: &dyn Display) -> ! {
    stderr::write(format!("monkey: cheetah: {what}\n").as_bytes());
    end(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Asked>, &'static str> {
        let words: Vec<_> = line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect();
        parse(&words).map_err(|(what, _)| what)
    }

    fn asked(socket: &str, dir: &str, command: &str) -> Asked {
        let path = |path: &str| (!path.is_empty()).then(|| PathBuf::from(path));
        Asked { socket: path(socket), config_dir: path(dir), command: command.into() }
    }

    #[test]
    fn the_command_line() {
        assert_eq!(parsed(""), Ok(Some(asked("", "", ""))));
        assert_eq!(parsed("-s a status"), Ok(Some(asked("a", "", "status"))));
        assert_eq!(parsed("--configdir d --json status"), Ok(Some(asked("", "d", "status --json"))));
        assert_eq!(parsed("loglevel debug --json"), Ok(Some(asked("", "", "loglevel debug --json"))));
        assert_eq!(parsed("-h"), Ok(None));
        for wrong in ["-x", "-s", "--json", "stat\u{1b}us"] {
            assert!(parsed(wrong).is_err(), "{wrong}");
        }
        assert!(parse(&["x".repeat(LINE_MAX).into()]).is_err());
        assert!(HELP.lines().all(|line| line.len() < 80));
    }
}
