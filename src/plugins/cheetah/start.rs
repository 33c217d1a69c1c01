//! What the shell does while it has the rights of whoever started the server.

use std::io::IsTerminal;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::parent_id;

use crate::config::Config;
use crate::config::plugins::cheetah::Place;
use crate::sys::credentials::lookup_user;
use crate::sys::process::parent_of;
use crate::sys::unix::{
    Credentials, LocalError, LocalListener, ignore_terminal_stops, is_pipe, make_directory, reopen_standard, user,
};

/// Standard input and output of the server, opened anew.
pub(super) struct Standard {
    pub(super) input: OwnedFd,
    pub(super) output: OwnedFd,
    pub(super) coloured: bool,
}

/// Opens them. They are the user's: what they are opened as changes nothing for others.
pub(super) fn standard(config: &Config) -> Result<Standard, &'static str> {
    if config.server.daemon {
        return Err("Listen STDIN is for a server in the foreground: leave -D out, or write Listen SERVER");
    }
    let unfit = "Listen STDIN needs a terminal or a pipe as standard input: write Listen SERVER";
    let (Ok(input), Ok(output)) = (reopen_standard(0), reopen_standard(1)) else { return Err(unfit) };
    if !is_pipe(input.as_fd()) && !input.is_terminal() {
        return Err(unfit);
    }
    ignore_terminal_stops();
    let coloured = input.is_terminal() && output.is_terminal();
    Ok(Standard { input, output, coloured })
}

/// Makes the socket, for the user that the server will be.
pub(super) fn listen(config: &Config, place: &Place) -> Result<LocalListener, LocalError> {
    let server = &config.server;
    let mut owner = None;
    if let Some(name) = server.user.as_deref().filter(|_| user() == 0) {
        // One that can not be looked up is told of when the server is to become it.
        owner = lookup_user(name).ok().flatten().map(|identity| (identity.uid, identity.gid));
    }
    if let Some(dir) = place.make {
        make_directory(dir, owner)?;
    }
    // Two servers of one keeper: the one that begins takes over from the one that is to end.
    let sibling = |listener: Credentials| server.supervise && parent_of(listener.pid) == Some(parent_id());
    LocalListener::bind(&place.path, owner, &sibling)
}

/// Whom the server will run as: a name, or the number of an account that nobody has named here.
pub(super) fn runs_as(config: &Config) -> String {
    match (user(), &config.server.user) {
        (0, Some(name)) => name.clone(),
        (0, None) => String::from("root"),
        (number, _) => number.to_string(),
    }
}
