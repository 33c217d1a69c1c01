//! palm.conf: the application server. A section a handler, in the indented form or as `Key = value` at column 1.

use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use super::LogTarget;
use super::check::{Values, check};
use super::diagnostic::{Diagnostic, Findings, Position, Report};
use super::files::{Disk, Files, Trouble, absolute, directory_of};
use super::find;
use super::raw::RawSection;
use super::read::{Form, read_form};
use super::table::Reload::{InPlace, Restart};
use super::table::{File, Key, Kind, Section, key, number, page, required, section};
use crate::limits::{PALM_CHILDS_MAX, PALM_RUNNING_MAX};

/// The name of the file in a configuration directory.
pub const PALM_CONF: &str = "palm.conf";

/// The directory of the status socket, unless it is said where that is.
pub const RUN_DIR: &str = "/run/monkey";

const S: &str = "SERVER";
/// The section of any other name.
const H: &str = "";

/// The sections of the file.
pub(super) const FILE: &[Section] = &[
    section(S, SERVER, page!("The application server as a whole. May be left out.")),
    Section {
        many: true,
        ..section(
            H,
            HANDLER,
            page!("A handler: who runs the scripts that come over its port. NAME is any name but SERVER."),
        )
    },
];

const SERVER: &[Key] = &[
    key(
        "Status",
        Kind::Text("a path"),
        "/run/monkey/palm.sock",
        Restart,
        page!("A local socket that tells the table of children to whoever connects: `monkey palm --status` does."),
    ),
    key("LogTarget", Kind::Choice(&["stderr", "syslog"]), "stderr", InPlace, page!("Where messages go.")),
];

const HANDLER: &[Key] = &[
    required(key("Port", number(0, 65_535, ""), "", InPlace, page!("The TCP port. 0 takes any free one."))),
    key(
        "Address",
        Kind::Text("an IPv4 or IPv6 address"),
        "127.0.0.1",
        InPlace,
        page!("Where to listen. Any other than a loopback address needs Root: the protocol knows no passwords."),
    ),
    key(
        "Exec",
        Kind::Text("a program"),
        "",
        InPlace,
        page!("The interpreter of the scripts. Unset: the script itself is executed."),
    ),
    key(
        "Arguments",
        Kind::Words("words"),
        "",
        InPlace,
        page!("What the interpreter is given before the script; a script that is executed itself is given it."),
    ),
    required(key(
        "Childs",
        number(1, PALM_CHILDS_MAX, "processes"),
        "",
        InPlace,
        page!("Processes that wait for requests. One that has taken a request is replaced at once."),
    )),
    key(
        "MaxRunning",
        number(1, PALM_RUNNING_MAX, "requests"),
        "",
        InPlace,
        page!("Requests under way at once; further connections wait. Four times Childs unless set."),
    ),
    key(
        "Root",
        Kind::Text("a directory"),
        "",
        InPlace,
        page!("Only scripts in it are run, wherever links and `..` lead. Unset: every script of the machine."),
    ),
    key(
        "Timeout",
        number(1, 86_400, "seconds"),
        "60",
        InPlace,
        page!(
            "A script that neither takes of the body nor writes of its answer for so long is ended: SIGTERM to its process group, SIGKILL 2 seconds later."
        ),
    ),
    key(
        "User",
        Kind::Text("a user name or number"),
        "",
        InPlace,
        page!("Whom the scripts run as, when the server was started by root."),
    ),
    key(
        "MaxBodySize",
        number(0, 1_073_741_824, "KB"),
        "0",
        InPlace,
        page!("Largest request body; a larger one is answered 413. 0 is no limit."),
    ),
];

/// What palm.conf says.
#[derive(Debug, PartialEq, Eq)]
pub struct Palm {
    /// The local socket that tells the table of children; absolute.
    pub status: PathBuf,
    /// Whether that is the place that was named.
    pub status_is_set: bool,
    /// Where messages go.
    pub log_target: LogTarget,
    /// In the order of the file.
    pub handlers: Vec<Handler>,
}

/// A handler: a section of palm.conf.
#[derive(Debug, PartialEq, Eq)]
pub struct Handler {
    /// The section's name.
    pub name: String,
    /// Where it listens.
    pub address: SocketAddr,
    /// The interpreter, absolute; empty = the script itself is executed.
    pub exec: OsString,
    /// What comes before the script: words with blanks between.
    pub arguments: String,
    /// Processes that wait for requests.
    pub childs: usize,
    /// Requests under way at once.
    pub max_running: usize,
    /// The directory outside of which nothing runs, absolute; empty = there is none.
    pub root: OsString,
    /// Seconds.
    pub timeout: u32,
    /// Whom the scripts run as; empty = nobody else.
    pub user: String,
    /// Bytes of the largest body; 0 = no limit.
    pub max_body_size: u64,
}

/// The file that `-c` names, or the one of the configuration directory when it does not; absolute.
pub fn file(named: Option<&Path>) -> PathBuf {
    match named {
        Some(path) if path.is_dir() => absolute(path).join(PALM_CONF),
        Some(path) => absolute(path),
        None => find::directory().unwrap_or(find::INSTALLED.into()).join(PALM_CONF),
    }
}

/// Reads palm.conf. Answers with the warnings, or, when there is any error, with all of them.
pub fn load(path: &Path) -> Result<(Palm, Vec<Diagnostic>), Report> {
    let mut out = Findings::default();
    let disk = Disk {
        confined: None,
        #[cfg(feature = "sandbox")]
        sources: Default::default(),
    };
    let palm = load_from(&disk, path, &mut out);
    out.finish(palm)
}

fn load_from(files: &dyn Files, path: &Path, out: &mut Findings) -> Option<Palm> {
    let whole = Position::of_file(path);
    let content = match files.check_directory(directory_of(path)).and_then(|()| files.read(path)) {
        Ok(content) => content,
        Err(what @ Trouble::Missing) => {
            return out.refuse(&whole, format_args!("{what}: name another file or directory with -c"));
        }
        Err(what) => return out.refuse(&whole, what),
    };
    let raw = read_form(files, path, content.into(), Form::Assignments, out);
    let v = check(&raw, File::Plugin(FILE), &whole, out);
    let dir = directory_of(path);
    let mut palm = Palm {
        status: dir.join(v.text(S, "Status")),
        status_is_set: v.entry(S, "Status").is_some(),
        log_target: if v.is(S, "LogTarget", "syslog") { LogTarget::Syslog } else { LogTarget::Stderr },
        handlers: Vec::new(),
    };
    for section in raw.sections() {
        if super::text::same(section.name, S) {
            continue;
        }
        let Some(handler) = handler(&section, &v.of_section(&section), files, dir, out) else { continue };
        if section.name.trim_ascii().is_empty() {
            out.error(&section.at, "a handler needs a name: [NAME]");
        }
        for other in &palm.handlers {
            if other.name == handler.name {
                out.error(&section.at, "a handler of this name is there already: give it another one");
            } else if other.address == handler.address && handler.address.port() != 0 {
                let what = format_args!("[{}] listens on {} already: write another Port", other.name, other.address);
                out.error(&section.at, what);
            }
        }
        palm.handlers.push(handler);
    }
    Some(palm)
}

fn handler(
    section: &RawSection<'_>,
    v: &Values<'_>,
    files: &dyn Files,
    dir: &Path,
    out: &mut Findings,
) -> Option<Handler> {
    let address = v.text(H, "Address");
    let Ok(ip) = address.parse::<IpAddr>() else {
        let at = v.entry(H, "Address")?.value_at;
        let what = format_args!("Address cannot be \"{address}\": write an IPv4 or IPv6 address");
        return out.refuse(&at, what);
    };
    let mut paths = [OsString::new(), OsString::new()];
    for (key, path) in ["Exec", "Root"].into_iter().zip(&mut paths) {
        let Some(entry) = v.entry(H, key) else { continue };
        let whole = dir.join(entry.value);
        if files.identity(&whole).is_none() {
            let what = format_args!("{} is not there: no script runs until it is", whole.display());
            out.warning(&entry.value_at, what);
        }
        *path = whole.into();
    }
    let [exec, root] = paths;
    if root.is_empty() {
        if ip.to_canonical().is_loopback() {
            let what = format_args!(
                "[{}] has no Root: every process here can have any script run: write Root DIR",
                section.name
            );
            out.warning(&section.at, what);
        } else {
            let at = v.entry(H, "Address")?.value_at;
            out.error(&at, "not a loopback address, and who reaches it can have any script run: write Root DIR, too");
        }
    }
    let port = u16::try_from(v.number(H, "Port")).ok().filter(|_| v.entry(H, "Port").is_some())?;
    let childs = v.number32(H, "Childs") as usize;
    let limit = v.number32(H, "MaxRunning") as usize;
    Some(Handler {
        name: section.name.into(),
        address: SocketAddr::new(ip, port),
        exec,
        arguments: v.text(H, "Arguments").into(),
        childs,
        max_running: if limit > 0 { limit } else { childs * 4 },
        root,
        timeout: v.number32(H, "Timeout"),
        user: v.text(H, "User").into(),
        max_body_size: v.number(H, "MaxBodySize").saturating_mul(1024),
    })
}

#[cfg(test)]
mod tests {
    use super::super::files::tests::Memory;
    use super::*;

    fn load(text: &str) -> (Option<Palm>, Vec<String>) {
        let mut out = Findings::default();
        let palm = load_from(&Memory::with(&[("/c/palm.conf", text)]), Path::new("/c/palm.conf"), &mut out);
        (palm, out.list.iter().map(|found| found.to_string()).collect())
    }

    #[test]
    fn both_forms_say_the_same() {
        let first = "[PHP]\nPort = 2010\nExec = /usr/bin/php-cgi\nArguments=-f  -q\nChilds = 5\nRoot = ../www\n\n[BIN]\nPort=2012\nChilds=2\n";
        let second = "[PHP]\n    Port 2010\n    Exec /usr/bin/php-cgi\n    Arguments -f  -q\n    Childs 5\n    Root ../www\n[BIN]\n    Port 2012\n    Childs 2\n";
        let (palm, found) = load(first);
        let palm = palm.unwrap();
        assert_eq!(Some(&palm), load(second).0.as_ref());
        let php = &palm.handlers[0];
        assert_eq!((php.name.as_str(), php.address), ("PHP", "127.0.0.1:2010".parse().unwrap()));
        assert_eq!((php.exec.to_str(), php.arguments.as_str()), (Some("/usr/bin/php-cgi"), "-f  -q"));
        assert_eq!((php.childs, php.max_running, php.timeout, php.max_body_size), (5, 20, 60, 0));
        assert_eq!(php.root.to_str(), Some("/c/../www"));
        assert_eq!((palm.handlers.len(), palm.handlers[1].exec.len()), (2, 0));
        assert_eq!(palm.status, Path::new("/run/monkey/palm.sock"));
        let wanted = [
            "/c/palm.conf:3:8: /usr/bin/php-cgi is",
            "/c/palm.conf:6:8: /c/../www is",
            "/c/palm.conf:8:1: [BIN] has no Root",
        ];
        for line in wanted {
            assert!(found.iter().any(|found| found.starts_with(line)), "{line}: {found:?}");
        }
        assert_eq!(found.len(), wanted.len(), "{found:?}");
    }

    #[test]
    fn errors_stand_where_they_are() {
        for (text, what) in [
            ("[A]\nPort = x\nChilds = 1\n", "2:8: Port cannot be \"x\": write a whole number from 0 to 65535"),
            ("[A]\nPort = 1\n", "1:1: [A] needs Childs: write a whole number of processes from 1 to"),
            ("[A]\nPort = 1\nChilds = 0\n", "3:10: Childs cannot be \"0\""),
            ("[A]\nPort = 1\nChilds = 1\nChlds = 1\n", "4:1: unknown key Chlds in [A]: did you mean Childs?"),
            ("[A]\nPort = 1\nChilds =\n", "3:1: key has an empty value"),
            ("[A]\nPort 1\nChilds = 1\n", "2:1: neither KEY = VALUE nor an indented key"),
            ("[A]\n= 1\n", "2:1: a key stands before the equals sign"),
            ("Port = 1\n[A]\n", "1:1: key before any section"),
            ("[A\n", "1:1: bad header definition"),
            ("[A]\nPort = 1\nChilds = 1\nAddress = all\n", "4:11: Address cannot be \"all\""),
            ("[A]\nPort = 1\nChilds = 1\nAddress = 0.0.0.0\n", "4:11: not a loopback address"),
            ("[A]\nPort = 1\nChilds = 1\n[A]\nPort = 2\nChilds = 1\n", "4:1: a handler of this name is there already"),
            ("[A]\nPort = 1\nChilds = 1\n[B]\nPort = 1\nChilds = 1\n", "4:1: [A] listens on 127.0.0.1:1 already"),
            ("[SERVER]\n    Log stderr\n", "2:5: unknown key Log in [SERVER]"),
        ] {
            let (_, found) = load(text);
            let what = format!("/c/palm.conf:{what}");
            assert!(found.iter().any(|found| found.starts_with(&what)), "{what}: {found:?}");
        }
        let (palm, found) = load("[A]\nPort = 1\nChilds = 1\nRoot = /\nAddress = 127.8.0.1\n");
        assert_eq!(palm.unwrap().handlers[0].address, "127.8.0.1:1".parse().unwrap());
        assert!(found.iter().all(|found| !found.contains("loopback")), "{found:?}");
    }
}
