//! `monkey cheetah`: the client of the admin shell. Without a command it passes lines to and fro; with one it prints the answer and
//! exits with what became of it.

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use super::protocol::{END, HELLO, LINE_MAX, START};
use crate::config::{Options, load};
use crate::plugin::tool::print;
use crate::sys::socket::shutdown_write;
use crate::sys::stderr;
use crate::sys::unix::{connect, wait_readable};

const HELP: &str = "\
Usage: monkey cheetah [-s SOCKET | -c DIR] [--json] [COMMAND [WORD]]

The admin shell of a running server. Without COMMAND it reads commands;
`help` lists them. With one it prints the answer and exits.

  -s, --socket SOCKET  the socket of the server
  -c, --configdir DIR  the configuration directory that names it, instead
                       of the one the server uses by default
      --json           answer in one line of JSON
  -h, --help           print this, exit

The server makes the socket if plugins/cheetah/cheetah.conf in its
configuration directory says so. Only root and the user of the server
may come in.

Exit status: 0 the command is done, 1 it is unknown or failed, 2 no
server could be reached.
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
    let asked = match parse(arguments) {
        Ok(Some(asked)) => asked,
        Ok(None) => return print(HELP.as_bytes()).map_or_else(|_| ExitCode::FAILURE, |()| ExitCode::SUCCESS),
        Err(what) => return fail(1, &format_args!("{what}; `monkey cheetah --help` tells how it is called")),
    };
    let path = match asked.socket.map_or_else(|| configured(asked.config_dir), Ok) {
        Ok(path) => path,
        Err(why) => return fail(UNREACHED, &why),
    };
    let socket = match connect(&path) {
        Ok(socket) => socket,
        Err(error) => {
            let check = match error.kind() {
                io::ErrorKind::NotFound => "does the server run, and does its [CHEETAH] name this socket?",
                io::ErrorKind::ConnectionRefused => "the server that made it has ended",
                io::ErrorKind::PermissionDenied => "only root and the user of the server may come in",
                _ => "is it the socket of a server?",
            };
            return fail(UNREACHED, &format_args!("{}: {error}: {check}", path.display()));
        }
    };
    match talk(socket, &asked.command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => fail(UNREACHED, &format_args!("{}: {error}", path.display())),
    }
}

/// None = help is asked for.
fn parse(arguments: &[OsString]) -> Result<Option<Asked>, String> {
    let mut asked = Asked::default();
    let mut json = false;
    let mut rest = arguments.iter();
    while let Some(word) = rest.next() {
        let shown = Path::new(word).display();
        let begun = !asked.command.is_empty();
        let place = match word.to_str() {
            Some("-h" | "--help") if !begun => return Ok(None),
            Some("--json") => {
                json = true;
                continue;
            }
            Some("-s" | "--socket") if !begun => &mut asked.socket,
            Some("-c" | "--configdir") if !begun => &mut asked.config_dir,
            Some(word) if word.starts_with('-') && !begun => return Err(format!("invalid option '{shown}'")),
            Some(word) if !word.is_empty() && !word.contains(char::is_control) => {
                if begun {
                    asked.command.push(' ');
                }
                asked.command.push_str(word);
                continue;
            }
            _ => return Err(format!("'{shown}' is no word of a command")),
        };
        let value = rest.next().filter(|value| !value.is_empty());
        *place = Some(value.ok_or_else(|| format!("missing argument for option '{shown}'"))?.into());
    }
    if json && asked.command.is_empty() {
        return Err("--json needs a command".into());
    }
    if json {
        asked.command.push_str(" --json");
    }
    if asked.command.len() + "xrun \n".len() > LINE_MAX {
        return Err("the command is too long".into());
    }
    Ok(Some(asked))
}

/// The socket that a configuration names.
fn configured(config_dir: Option<PathBuf>) -> Result<PathBuf, String> {
    let options = Options { config_dir, ..Options::default() };
    let (config, _) = load(&options).map_err(|report| {
        let first = report.diagnostics.first().map(|first| first.to_string()).unwrap_or_default();
        format!("cannot read the configuration: {first}; name its directory with -c DIR, or the socket with -s SOCKET")
    })?;
    let place = config.plugins.cheetah.as_ref().and_then(|shell| shell.place(&config));
    place.map(|place| place.path).ok_or_else(|| {
        let file = config.dir.join("plugins/cheetah/cheetah.conf");
        format!(
            "the admin shell is off: write Listen SERVER below [CHEETAH] in {}, and start the server anew",
            file.display()
        )
    })
}

/// Talks with the server; gives the exit status.
fn talk(socket: OwnedFd, command: &str) -> io::Result<u8> {
    let once = !command.is_empty();
    let mut socket = File::from(socket);
    let stdin = io::stdin();
    let hello = match (stdin.is_terminal() && io::stdout().is_terminal(), once) {
        (_, true) => "run ",
        (true, _) => "tty",
        (false, _) => "plain",
    };
    // A server that turns us away may have closed already: why can be read all the same.
    let mut line = vec![HELLO];
    for part in [hello, command, "\n"] {
        line.extend_from_slice(part.as_bytes());
    }
    let _ = socket.write_all(&line);
    let mut at = At::Before;
    let mut before = Vec::new();
    let mut reads_stdin = !once;
    let mut bytes = [0; 4096];
    loop {
        // What is typed waits until the server has answered.
        let begun = at != At::Before;
        let own = (reads_stdin && begun).then_some(stdin.as_fd());
        let limit = if begun && !once { None } else { Some(PATIENCE_MS) };
        let (typed, told) = wait_readable(own, socket.as_fd(), limit);
        if told {
            let count = match socket.read(&mut bytes) {
                // The server closed with something of ours unread: what it had to say has come before.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => 0,
                count => count?,
            };
            let mut shown = Vec::new();
            for byte in bytes.get(..count).unwrap_or_default() {
                match (at, *byte) {
                    (At::Before, START) => at = At::Answer,
                    (At::Before, byte) => before.push(byte),
                    (At::Answer, END) => at = At::Status,
                    (At::Answer, byte) => shown.push(byte),
                    (At::Status, byte) => {
                        print(&shown)?;
                        return Ok(byte.wrapping_sub(b'0'));
                    }
                }
            }
            print(&shown)?;
            if count == 0 {
                break;
            }
        } else if typed {
            match File::from(stdin.as_fd().try_clone_to_owned()?).read(&mut bytes)? {
                0 => {
                    reads_stdin = false;
                    let _ = shutdown_write(socket.as_fd());
                }
                count => socket.write_all(bytes.get(..count).unwrap_or_default())?,
            }
        } else {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    if at == At::Answer && !once {
        return Ok(0);
    }
    stderr::write(&before);
    Err(io::ErrorKind::UnexpectedEof.into())
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

fn fail(code: u8, what: &dyn Display) -> ExitCode {
    stderr::write(format!("monkey: cheetah: {what}\n").as_bytes());
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Option<Asked>, String> {
        parse(&line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect::<Vec<_>>())
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
