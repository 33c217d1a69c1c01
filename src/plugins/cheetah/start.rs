//! What the shell does while it has the rights of whoever started the server.

use std::fs;
use std::io::{self, IsTerminal};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, lchown};
use std::os::unix::process::parent_id;

use super::commands::Facts;
use crate::config::Config;
use crate::config::plugins::cheetah::Place;
use crate::sys::credentials::lookup_user;
use crate::sys::passwd::accounts;
use crate::sys::unix::{Credentials, LocalListener, ignore_terminal_stops, reopen_standard, user};

/// Standard input and output of the server, opened anew.
pub(super) struct Standard {
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) coloured: bool,
}

/// Opens them. They are the user's: what they are opened as changes nothing for others.
pub(super) fn standard(config: &Config) -> Result<Standard, String> {
    if config.server.daemon {
        return Err("Listen STDIN is for a server in the foreground: leave -D out, or write Listen SERVER".into());
    }
    let unfit = |_: io::Error| "Listen STDIN needs a terminal or a pipe as standard input: write Listen SERVER";
    let (input, output) = (reopen_standard(0).map_err(unfit)?, reopen_standard(1).map_err(unfit)?);
    let input = fs::File::from(input);
    let is_pipe = input.metadata().map_err(unfit)?.file_type().is_fifo();
    if !is_pipe && !input.is_terminal() {
        return Err(unfit(io::ErrorKind::Unsupported.into()).into());
    }
    ignore_terminal_stops();
    let coloured = input.is_terminal() && output.is_terminal();
    Ok(Standard { input: input.into(), output, coloured })
}

/// Makes the socket, for the user that the server will be.
pub(super) fn listen(config: &Config, place: &Place) -> io::Result<LocalListener> {
    let server = &config.server;
    let mut owner = None;
    if let Some(name) = server.user.as_deref().filter(|_| user() == 0) {
        owner = lookup_user(name)?.map(|identity| (identity.uid, identity.gid));
    }
    if let Some(dir) = place.make
        && fs::create_dir(dir).is_ok()
        && let Some((uid, gid)) = owner
    {
        lchown(dir, Some(uid), Some(gid))?;
    }
    // Two servers of one keeper: the one that begins takes over from the one that is to end.
    let sibling = |listener: Credentials| server.supervise && parent_of(listener.pid) == Some(parent_id());
    LocalListener::bind(&place.path, owner, &sibling)
}

/// The process that has started another (proc(5), stat).
fn parent_of(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // Behind the name, which may hold anything: state, parent.
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// What may be out of reach once the server is confined.
pub(super) fn facts(config: &Config, mode: String) -> Facts {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let name = config.server.user.clone().filter(|_| user() == 0);
    Facts { mode, user: name.unwrap_or_else(|| name_of(user())), kernel: release.trim().into() }
}

fn name_of(uid: u32) -> String {
    let passwd = fs::read("/etc/passwd").unwrap_or_default();
    let found = accounts(&passwd).find(|account| account.uid == uid);
    found.map_or_else(|| uid.to_string(), |account| String::from_utf8_lossy(account.name).into_owned())
}
