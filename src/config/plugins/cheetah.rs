//! plugins/cheetah/cheetah.conf: the admin shell.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::super::check::Values;
use super::super::files::directory_of;
use super::super::table::{Key, Kind, Reload, Section, key, page, section};
use crate::config::Config;

/// Where the socket is when nothing says otherwise and no PidFile is written.
const RUN_DIR: &str = "/run/monkey";
const SOCKET: &str = "cheetah.sock";
const C: &str = "CHEETAH";

/// The sections of the file.
pub(super) const FILE: &[Section] =
    &[section(C, CHEETAH, page!("The admin shell. It is off unless one of the keys is written."))];

const CHEETAH: &[Key] = &[
    key(
        "Listen",
        Kind::Choice(&["SERVER", "STDIN"]),
        "SERVER",
        Reload::Restart,
        page!("`SERVER`: on a local socket. `STDIN`: on the terminal, or the pipe, that the server was started from."),
    ),
    key(
        "Socket",
        Kind::Text("a path"),
        "",
        Reload::Restart,
        page!(
            "The local socket. Unless set: `cheetah.sock` beside PidFile if that is set, else `/run/monkey/cheetah.sock`. Its directory must be there, except for the last. A reload that changes either key of this section says that it takes effect at the next start."
        ),
    ),
];

/// Where the admin shell is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cheetah {
    /// Where the server was started.
    Stdin,
    /// A local socket; None = the place that follows from the rest of the configuration.
    Server(Option<OsString>),
}

/// A place for the socket.
#[derive(Clone, Debug)]
pub struct Place {
    /// The path, absolute.
    pub path: PathBuf,
    /// The directory, if it is to be made where it is not there.
    pub make: Option<&'static Path>,
}

impl Cheetah {
    /// The socket; None in STDIN mode.
    pub fn place(&self, config: &Config) -> Option<Place> {
        let Cheetah::Server(path) = self else { return None };
        let beside = config.server.pid_file.as_ref().map(|file| directory_of(file).join(SOCKET));
        Some(match path.clone().map(PathBuf::from).or(beside) {
            Some(path) => Place { path, make: None },
            None => Place { path: Path::new(RUN_DIR).join(SOCKET), make: Some(Path::new(RUN_DIR)) },
        })
    }
}

/// `dir` is the configuration directory. None = nothing is configured.
pub(super) fn resolve(v: &Values<'_>, dir: &Path) -> Option<Cheetah> {
    v.every(C).next()?;
    if v.is(C, "Listen", "STDIN") {
        return Some(Cheetah::Stdin);
    }
    Some(Cheetah::Server(v.entry(C, "Socket").map(|entry| dir.join(entry.value).into())))
}
