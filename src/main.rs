//! The `monkey` program: a few lines over the library.

use std::ffi::OsString;
use std::fmt;
use std::process::ExitCode;

use monkey::cli::{self, Command};
use monkey::config::{self, Diagnostic, Options};
use monkey::plugin::tool;
use monkey::server::start;
use monkey::sys::heap::Counted;
use monkey::sys::stderr;

#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: Counted<dlmalloc::GlobalDlmalloc> = Counted(dlmalloc::GlobalDlmalloc);

#[cfg(not(target_env = "musl"))]
#[global_allocator]
static HEAP: Counted<std::alloc::System> = Counted(std::alloc::System);

fn main() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some((program, arguments)) = cli::program(&words) {
        return program(arguments);
    }
    let command = match cli::parse(words.into_iter().skip(1)) {
        Ok(command) => command,
        Err(error) => return fail(&error),
    };
    match command {
        Command::Help => print(format_args!("{}", cli::HELP)),
        Command::Version => print(format_args!("{}\n", cli::VERSION)),
        Command::Build => print(format_args!("{}", cli::build_text())),
        Command::Check(options) => perform(options, true),
        Command::Serve(options) => perform(options, false),
    }
}

/// Reads the configuration, and serves by it unless it is only to be checked.
fn perform(options: Options, only_check: bool) -> ExitCode {
    let (config, warnings) = match config::load(&options) {
        Ok(loaded) => loaded,
        Err(report) => {
            tell(&report.diagnostics);
            return fail(&format_args!("{} in the configuration, nothing started", report.errors()));
        }
    };
    tell(&warnings);
    if only_check {
        if let Err(error) = start::check(&config) {
            return fail(&error);
        }
        return print(format_args!("{}: {} sites, no errors\n", config.dir.display(), config.sites.len()));
    }
    match start::run(config, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn tell(findings: &[Diagnostic]) {
    for finding in findings {
        say(format_args!("{finding}\n"));
    }
}

fn fail(what: &dyn fmt::Display) -> ExitCode {
    say(format_args!("monkey: {what}\n"));
    ExitCode::FAILURE
}

/// A line to stderr, in one write(2).
fn say(line: fmt::Arguments<'_>) {
    stderr::write(line.to_string().as_bytes());
}

/// The answer of the program, to stdout.
fn print(text: fmt::Arguments<'_>) -> ExitCode {
    match tool::print(text.to_string().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format_args!("cannot write to stdout: {error}")),
    }
}
