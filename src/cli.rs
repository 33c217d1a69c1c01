//! The command line: from arguments to a [`Command`]. Performs nothing.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::{self, Options, plugins};
use crate::limits::WORKERS_MAX;
use crate::plugin::tool::Program;
use crate::plugins::PROGRAMS;

/// The programs that are no plugin's.
const OWN: &[(&str, Program)] = &[
    #[cfg(feature = "palm-server")]
    ("palm", crate::palm::main),
];

/// What `--version` prints, without its end mark.
pub const VERSION: &str = concat!("Monkey HTTP Server v", env!("CARGO_PKG_VERSION"));

/// What the command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Run the server.
    Serve(Options),
    /// Read the whole configuration, tell what is wrong with it, exit 0 or 1.
    Check(Options),
    /// Print [`VERSION`].
    Version,
    /// Print [`build_text`].
    Build,
    /// Print [`HELP`].
    Help,
}

/// A command line that means nothing. The program says so and exits 1, as the original does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageError {
    what: String,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; `monkey --help` lists the options", self.what)
    }
}

impl std::error::Error for UsageError {}

/// What `--help` prints: lines of less than 80 columns.
pub const HELP: &str = "\
Usage: monkey [OPTION]...
       monkey cheetah [COMMAND]     ask a running server: its admin shell
       monkey passwd [OPTION...] FILE USER   make and edit a users file
       monkey palm [OPTION...]      the application server: runs scripts

Serves the sites of its configuration: /etc/monkey, or conf of the source
tree it was built in. In the foreground unless -D says otherwise.

What to do
  -o, --one-shot DIR         serve DIR, without any configuration
      --check                read the configuration, tell all errors, exit
  -b, --build                tell what is built in, exit
  -v, --version              print the version, exit
  -h, --help                 print this, exit

Instead of what the configuration says
  -p, --port PORT            listen on this port only (0: any free one)
  -w, --workers N            worker threads (0: one per CPU)
  -I, --pid-file FILE        write the process id to FILE
  -t, --transport NAME       transport plugin: liana
  -B, --balancing-mode       one thread accepts, for the least loaded worker
  -T, --allow-shared-sockets join a port in use (SO_REUSEPORT)
  -D, --daemon               run in the background, supervised
      --supervise            start the server again when it dies: a keeper
                             process holds its sockets meanwhile

Where the configuration is
  -c, --configdir DIR        the configuration directory
Relative to that directory:
  -s, --serverconf FILE      instead of monkey.conf
  -m, --mimes-conf-file FILE instead of monkey.mime
  -S, --sites-conf-dir DIR   instead of sites
  -P, --plugins-conf-dir DIR instead of plugins
  -l, --plugins-load-conf-file FILE
                             instead of plugins.load

Signals: TERM and INT end it when requests in flight are done, HUP reads
the configuration anew. With a keeper they are for the keeper.
";

/// What `--build` prints: the system, the features and the plugins.
pub fn build_text() -> String {
    let mut names = String::new();
    for name in plugins::built_in() {
        names.push(' ');
        names.push_str(name);
    }
    let names = if names.is_empty() { " none" } else { &names };
    let features = if cfg!(feature = "syslog") { "syslog" } else { "none" };
    format!(
        "{VERSION}\nSystem  : {} {}\nConfig  : {}\nPlugins :{names}\nFeatures: {features}\n",
        std::env::consts::OS,
        std::env::consts::ARCH,
        config::find::INSTALLED,
    )
}

/// An option: its letter ([`NONE`] if it has only a name), its name, and whether a value follows.
type Known = (u8, &'static str, bool);

/// In place of a letter.
const NONE: u8 = 0;
/// One of the options without a letter.
const CHECK: &str = "check";

/// Every option, by which they are known below: by letter, else by name.
const KNOWN: &[Known] = &[
    (b'h', "help", false),
    (b'v', "version", false),
    (b'b', "build", false),
    (NONE, CHECK, false),
    (NONE, "supervise", false),
    (b'c', "configdir", true),
    (b's', "serverconf", true),
    (b'D', "daemon", false),
    (b'I', "pid-file", true),
    (b'p', "port", true),
    (b'o', "one-shot", true),
    (b'w', "workers", true),
    (b'm', "mimes-conf-file", true),
    (b'l', "plugins-load-conf-file", true),
    (b'l', "plugin-load-conf-file", true),
    (b'S', "sites-conf-dir", true),
    (b'P', "plugins-conf-dir", true),
    (b't', "transport", true),
    (b'B', "balancing-mode", false),
    (b'T', "allow-shared-sockets", false),
];

/// The program that is asked for by the name of this one, or by its first argument, and the arguments behind; None = the server.
pub fn program(words: &[OsString]) -> Option<(Program, &[OsString])> {
    let (name, rest) = words.split_first()?;
    let find = |name: &OsStr| PROGRAMS.iter().chain(OWN).find(|(known, _)| *known == name).map(|(_, program)| *program);
    let base = name.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    if let Some(program) = find(OsStr::from_bytes(base)) {
        return Some((program, rest));
    }
    let (first, rest) = rest.split_first()?;
    find(first).map(|program| (program, rest))
}

/// Names that are taken for a build with TLS.
const TLS: &[&str] = &["https", "tls-cert", "tls-key", "tls-chain", "tls-dh"];

/// Understands the arguments, the program's name not among them, by the conventions of getopt_long(3): `-p80`, `-p 80`, `-p=80`,
/// `--port 80`, `--port=80`, `-BT`; after `--` come no options.
pub fn parse(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Command, UsageError> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let mut parser = Parser { rest: &arguments, options: Options::default(), check: false, command: None };
    while let Some((argument, rest)) = parser.rest.split_first() {
        parser.rest = rest;
        match argument.as_bytes() {
            b"--" => match rest.first() {
                Some(argument) => return unexpected(argument),
                None => break,
            },
            [b'-', b'-', name @ ..] => parser.long(name)?,
            [b'-', letters @ ..] if !letters.is_empty() => parser.short(letters)?,
            _ => return unexpected(argument),
        }
        if let Some(command) = parser.command {
            return Ok(command);
        }
    }
    parser.finish()
}

fn wrong<T>(what: fmt::Arguments<'_>) -> Result<T, UsageError> {
    Err(UsageError { what: what.to_string() })
}

fn unexpected<T>(argument: &OsStr) -> Result<T, UsageError> {
    wrong(format_args!("unexpected argument \"{}\"", Path::new(argument).display()))
}

struct Parser<'a> {
    /// The arguments not looked at yet.
    rest: &'a [OsString],
    options: Options,
    check: bool,
    /// What is to be done whatever else is asked for.
    command: Option<Command>,
}

impl<'a> Parser<'a> {
    /// `--NAME`, `--NAME VALUE` or `--NAME=VALUE`; given without the dashes.
    fn long(&mut self, argument: &'a [u8]) -> Result<(), UsageError> {
        let end = argument.iter().position(|byte| *byte == b'=').unwrap_or(argument.len());
        let (name, value) = argument.split_at_checked(end).unwrap_or((argument, b""));
        let shown = Path::new(OsStr::from_bytes(name)).display();
        if let Some(name) = TLS.iter().find(|known| known.as_bytes() == name) {
            return wrong(format_args!("--{name} is not in this build: it has no tls"));
        }
        let Some(known) = KNOWN.iter().find(|(_, known, _)| known.as_bytes() == name) else {
            return wrong(format_args!("invalid option '--{shown}'"));
        };
        self.option(known, value.strip_prefix(b"="), format_args!("--{shown}"))
    }

    /// Letters behind one dash. What follows the first that takes a value is the value.
    fn short(&mut self, mut letters: &'a [u8]) -> Result<(), UsageError> {
        while let [letter, rest @ ..] = letters {
            let shown = char::from(*letter);
            let known = KNOWN.iter().find(|(known, _, _)| known == letter && *letter != NONE);
            let Some(known) = known else { return wrong(format_args!("invalid option '-{shown}'")) };
            let assigned = rest.strip_prefix(b"=");
            let value = if known.2 && !rest.is_empty() { Some(assigned.unwrap_or(rest)) } else { assigned };
            self.option(known, value, format_args!("-{shown}"))?;
            letters = if value.is_some() { &[] } else { rest };
        }
        Ok(())
    }

    /// An option with the value that is written together with it, if any, as it is `shown` in messages.
    fn option(&mut self, known: &Known, joined: Option<&'a [u8]>, shown: fmt::Arguments<'_>) -> Result<(), UsageError> {
        let (letter, name, takes_value) = *known;
        let value = match (joined, self.rest.split_first()) {
            (Some(value), _) if takes_value => OsStr::from_bytes(value),
            (Some(value), _) => {
                let value = Path::new(OsStr::from_bytes(value)).display();
                return wrong(format_args!("unexpected argument for option '{shown}': \"{value}\""));
            }
            (None, _) if !takes_value => OsStr::new(""),
            (None, Some((value, rest))) => {
                self.rest = rest;
                value
            }
            (None, None) => return wrong(format_args!("missing argument for option '{shown}'")),
        };
        let options = &mut self.options;
        let path = match letter {
            b'h' => return self.done(Command::Help),
            b'v' => return self.done(Command::Version),
            b'b' => return self.done(Command::Build),
            NONE => {
                *(if name == CHECK { &mut self.check } else { &mut options.supervise }) = true;
                return Ok(());
            }
            b'D' => {
                options.daemon = true;
                return Ok(());
            }
            b'B' => {
                options.balancing = true;
                return Ok(());
            }
            b'T' => {
                options.shared_sockets = true;
                return Ok(());
            }
            b'p' => {
                options.port = Some(number(value, "port", u16::MAX)?);
                return Ok(());
            }
            b'w' => {
                options.workers = Some(number(value, "number of workers", WORKERS_MAX as u16)?.into());
                return Ok(());
            }
            b't' => {
                options.transport = Some(Path::new(value).display().to_string());
                return Ok(());
            }
            b'c' => &mut options.config_dir,
            b's' => &mut options.server_conf,
            b'I' => &mut options.pid_file,
            b'o' => &mut options.one_shot,
            b'm' => &mut options.mime_file,
            b'l' => &mut options.plugins_load,
            b'S' => &mut options.sites_dir,
            _ => &mut options.plugins_dir,
        };
        if value.is_empty() {
            return wrong(format_args!("-{} needs a path, not nothing", char::from(letter)));
        }
        *path = Some(PathBuf::from(value));
        Ok(())
    }

    fn done(&mut self, command: Command) -> Result<(), UsageError> {
        self.command = Some(command);
        Ok(())
    }

    fn finish(self) -> Result<Command, UsageError> {
        let options = self.options;
        if options.one_shot.is_some() {
            let files = [
                ('c', &options.config_dir),
                ('s', &options.server_conf),
                ('m', &options.mime_file),
                ('l', &options.plugins_load),
                ('S', &options.sites_dir),
                ('P', &options.plugins_dir),
            ];
            if let Some((name, _)) = files.iter().find(|(_, path)| path.is_some()) {
                return wrong(format_args!("-o reads no configuration: leave out -{name} or -o"));
            }
        }
        Ok(if self.check { Command::Check(options) } else { Command::Serve(options) })
    }
}

fn number(value: &OsStr, what: &str, max: u16) -> Result<u16, UsageError> {
    let number = value.to_str().and_then(config::number).and_then(|number| u16::try_from(number).ok());
    match number {
        Some(number) if number <= max => Ok(number),
        _ => {
            let value = Path::new(value).display();
            wrong(format_args!("{what} cannot be \"{value}\": write a whole number from 0 to {max}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(arguments: &[&str]) -> String {
        parse(arguments.iter().copied()).unwrap_err().to_string()
    }

    #[test]
    fn long_and_short_forms_mean_the_same() {
        let all = Options {
            config_dir: Some("c".into()),
            server_conf: Some("s".into()),
            daemon: true,
            pid_file: Some("i".into()),
            port: Some(0),
            one_shot: None,
            workers: Some(3),
            mime_file: Some("m".into()),
            plugins_load: Some("l".into()),
            sites_dir: Some("S".into()),
            plugins_dir: Some("P".into()),
            transport: Some("liana".into()),
            balancing: true,
            shared_sockets: true,
            confined: None,
            supervise: true,
            passed: None,
        };
        let short = "-c c --supervise -s s -D -I i -p0 -w 3 -m m -l l -S S -P P -t liana -BT";
        let long = "--configdir c --serverconf=s --daemon --pid-file i --port 0 --workers 3 --mimes-conf-file m \
                    --plugins-load-conf-file l --sites-conf-dir S --plugins-conf-dir P --transport liana \
                    --balancing-mode --allow-shared-sockets --supervise";
        let old = long.replace("--plugins-load", "--plugin-load");
        for line in [short, long, &old] {
            assert_eq!(parse(line.split_whitespace()), Ok(Command::Serve(all.clone())), "{line}");
        }
        assert_eq!(parse(["-D", "--check"]), Ok(Command::Check(Options { daemon: true, ..Options::default() })));
        let one_shot = Options { one_shot: Some("d".into()), port: Some(80), ..Options::default() };
        for line in ["-o d -p 80", "--one-shot d --port 80", "-od -p=80 --", "-o=d --port=80"] {
            assert_eq!(parse(line.split(' ')), Ok(Command::Serve(one_shot.clone())), "{line}");
        }
        let equal = Options { config_dir: Some("a=b".into()), server_conf: Some("-D".into()), ..Options::default() };
        for line in ["-c a=b -s -D", "-ca=b -s=-D", "--configdir=a=b --serverconf -D"] {
            assert_eq!(parse(line.split(' ')), Ok(Command::Serve(equal.clone())), "{line}");
        }
        assert_eq!(parse([""; 0]), Ok(Command::Serve(Options::default())));
        for (arguments, command) in [
            (["-h", "--help"], Command::Help),
            (["-v", "--version"], Command::Version),
            (["-b", "--build"], Command::Build),
        ] {
            for argument in arguments {
                assert_eq!(parse([argument]), Ok(command.clone()), "{argument}");
            }
        }
    }

    #[test]
    fn errors_are_one_line_with_a_hint() {
        let hint = "; `monkey --help` lists the options";
        for (arguments, what) in [
            (&["-x"][..], "invalid option '-x'"),
            (&["--frob"], "invalid option '--frob'"),
            (&["stray"], "unexpected argument \"stray\""),
            (&["-"], "unexpected argument \"-\""),
            (&["--", "-h"], "unexpected argument \"-h\""),
            (&["-Bx"], "invalid option '-x'"),
            (&["-B="], "unexpected argument for option '-B': \"\""),
            (&["--daemon=x"], "unexpected argument for option '--daemon': \"x\""),
            (&["--frob=x"], "invalid option '--frob'"),
            (&["-c"], "missing argument for option '-c'"),
            (&["--configdir"], "missing argument for option '--configdir'"),
            (&["--configdir="], "-c needs a path, not nothing"),
            (&["-c", ""], "-c needs a path, not nothing"),
            (&["-p", "65536"], "port cannot be \"65536\": write a whole number from 0 to 65535"),
            (&["-p", "+1"], "port cannot be \"+1\": write a whole number from 0 to 65535"),
            (&["-w", "129"], "number of workers cannot be \"129\": write a whole number from 0 to 128"),
            (&["--https"], "--https is not in this build: it has no tls"),
            (&["--tls-cert", "x"], "--tls-cert is not in this build: it has no tls"),
            (&["--tls-key", "x"], "--tls-key is not in this build: it has no tls"),
            (&["--tls-chain", "x"], "--tls-chain is not in this build: it has no tls"),
            (&["--tls-dh", "x"], "--tls-dh is not in this build: it has no tls"),
            (&["-o", "d", "-c", "c"], "-o reads no configuration: leave out -c or -o"),
        ] {
            assert_eq!(error(arguments), format!("{what}{hint}"));
        }
    }

    #[test]
    fn help_fits_a_serial_console_and_names_every_option() {
        for line in HELP.lines() {
            assert!(line.len() < 80 && line.is_ascii(), "{line}");
        }
        for option in "c s D I p o w m l S P t B T b v h".split(' ') {
            assert!(HELP.contains(&format!("  -{option}, --")), "-{option}");
        }
        for option in ["check", "supervise"] {
            assert!(HELP.contains(&format!("      --{option} ")), "--{option}");
        }
        assert_eq!(VERSION, "Monkey HTTP Server v0.1.0");
        assert!(build_text().starts_with("Monkey HTTP Server v0.1.0\nSystem  : linux "));
    }
}
