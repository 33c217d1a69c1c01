//! The command line: from arguments to a [`Command`]. Performs nothing.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

use lexopt::prelude::*;

use crate::config::{Options, plugins};

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

impl From<lexopt::Error> for UsageError {
    fn from(error: lexopt::Error) -> UsageError {
        UsageError { what: error.to_string() }
    }
}

/// What `--help` prints: lines of less than 80 columns.
pub const HELP: &str = "\
Usage: monkey [OPTION]...

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
  -D, --daemon               run in the background

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
the configuration anew.
";

/// What `--build` prints: the system, the features and the plugins.
pub fn build_text() -> String {
    let mut names: Vec<&str> = plugins::built_in().collect();
    if names.is_empty() {
        names.push("none");
    }
    let features = if cfg!(feature = "syslog") { "syslog" } else { "none" };
    format!(
        "{VERSION}\nSystem  : {} {}\nConfig  : {}\nPlugins : {}\nFeatures: {features}\n",
        std::env::consts::OS,
        std::env::consts::ARCH,
        crate::config::find::INSTALLED,
        names.join(" "),
    )
}

/// Understands the arguments, the program's name not among them.
pub fn parse(arguments: impl IntoIterator<Item = impl Into<OsString>>) -> Result<Command, UsageError> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut options = Options::default();
    let mut check = false;
    while let Some(argument) = parser.next()? {
        match argument {
            Short('h') | Long("help") => return Ok(Command::Help),
            Short('v') | Long("version") => return Ok(Command::Version),
            Short('b') | Long("build") => return Ok(Command::Build),
            Long("check") => check = true,
            Short('c') | Long("configdir") => options.config_dir = Some(path(&mut parser, "-c")?),
            Short('s') | Long("serverconf") => options.server_conf = Some(path(&mut parser, "-s")?),
            Short('D') | Long("daemon") => options.daemon = true,
            Short('I') | Long("pid-file") => options.pid_file = Some(path(&mut parser, "-I")?),
            Short('p') | Long("port") => options.port = Some(number(&mut parser, "port", u16::MAX)?),
            Short('o') | Long("one-shot") => options.one_shot = Some(path(&mut parser, "-o")?),
            Short('w') | Long("workers") => {
                options.workers = Some(number(&mut parser, "number of workers", 128)?.into())
            }
            Short('m') | Long("mimes-conf-file") => options.mime_file = Some(path(&mut parser, "-m")?),
            Short('l') | Long("plugins-load-conf-file" | "plugin-load-conf-file") => {
                options.plugins_load = Some(path(&mut parser, "-l")?);
            }
            Short('S') | Long("sites-conf-dir") => options.sites_dir = Some(path(&mut parser, "-S")?),
            Short('P') | Long("plugins-conf-dir") => options.plugins_dir = Some(path(&mut parser, "-P")?),
            Short('t') | Long("transport") => options.transport = Some(parser.value()?.to_string_lossy().into_owned()),
            Short('B') | Long("balancing-mode") => options.balancing = true,
            Short('T') | Long("allow-shared-sockets") => options.shared_sockets = true,
            Long(name @ ("https" | "tls-cert" | "tls-key" | "tls-chain" | "tls-dh")) => {
                return Err(UsageError { what: format!("--{name} is not in this build: it has no tls") });
            }
            other => return Err(other.unexpected().into()),
        }
    }
    if options.one_shot.is_some() {
        let files = [
            ("-c", &options.config_dir),
            ("-s", &options.server_conf),
            ("-m", &options.mime_file),
            ("-l", &options.plugins_load),
            ("-S", &options.sites_dir),
            ("-P", &options.plugins_dir),
        ];
        if let Some((name, _)) = files.iter().find(|(_, path)| path.is_some()) {
            return Err(UsageError { what: format!("-o reads no configuration: leave out {name} or -o") });
        }
    }
    Ok(if check { Command::Check(options) } else { Command::Serve(options) })
}

fn path(parser: &mut lexopt::Parser, option: &str) -> Result<PathBuf, UsageError> {
    let value = parser.value()?;
    if value.is_empty() {
        return Err(UsageError { what: format!("{option} needs a path, not nothing") });
    }
    Ok(value.into())
}

fn number(parser: &mut lexopt::Parser, what: &str, max: u16) -> Result<u16, UsageError> {
    let value = parser.value()?;
    let digits = value.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match digits.and_then(|digits| digits.parse::<u16>().ok()) {
        Some(number) if number <= max => Ok(number),
        _ => Err(UsageError { what: format!("{what} cannot be {value:?}: write a whole number from 0 to {max}") }),
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
        };
        let short = "-c c -s s -D -I i -p0 -w 3 -m m -l l -S S -P P -t liana -BT";
        let long = "--configdir c --serverconf=s --daemon --pid-file i --port 0 --workers 3 --mimes-conf-file m \
                    --plugins-load-conf-file l --sites-conf-dir S --plugins-conf-dir P --transport liana \
                    --balancing-mode --allow-shared-sockets";
        let old = long.replace("--plugins-load", "--plugin-load");
        for line in [short, long, &old] {
            assert_eq!(parse(line.split_whitespace()), Ok(Command::Serve(all.clone())), "{line}");
        }
        assert_eq!(parse(["-D", "--check"]), Ok(Command::Check(Options { daemon: true, ..Options::default() })));
        let one_shot = Options { one_shot: Some("d".into()), port: Some(80), ..Options::default() };
        for line in [["-o", "d", "-p", "80"], ["--one-shot", "d", "--port", "80"]] {
            assert_eq!(parse(line), Ok(Command::Serve(one_shot.clone())));
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
            (&["-c"], "missing argument for option '-c'"),
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
        assert_eq!(VERSION, "Monkey HTTP Server v0.1.0");
        assert!(build_text().starts_with("Monkey HTTP Server v0.1.0\nSystem  : linux "));
    }
}
