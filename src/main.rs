//! The `monkey` program: a few lines over the library.

use std::process::ExitCode;

use monkey::cli::{self, Command};
use monkey::config::{self, Options, Report};
use monkey::server::start;

#[cfg(target_env = "musl")]
#[global_allocator]
static HEAP: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

fn main() -> ExitCode {
    let command = match cli::parse(std::env::args_os().skip(1)) {
        Ok(command) => command,
        Err(error) => {
            eprintln!("monkey: {error}");
            return ExitCode::FAILURE;
        }
    };
    match command {
        Command::Help => print!("{}", cli::HELP),
        Command::Version => println!("{}", cli::VERSION),
        Command::Build => print!("{}", cli::build_text()),
        Command::Check(options) => return check(&options),
        Command::Serve(options) => return serve(options),
    }
    ExitCode::SUCCESS
}

fn tell(report: &Report) -> ExitCode {
    for diagnostic in &report.diagnostics {
        eprintln!("{diagnostic}");
    }
    eprintln!("monkey: {} errors in the configuration, nothing started", report.errors());
    ExitCode::FAILURE
}

fn check(options: &Options) -> ExitCode {
    match config::load(options) {
        Ok((config, warnings)) => {
            for warning in &warnings {
                eprintln!("{warning}");
            }
            println!("{}: {} sites, no errors", config.dir.display(), config.sites.len());
            ExitCode::SUCCESS
        }
        Err(report) => tell(&report),
    }
}

fn serve(options: Options) -> ExitCode {
    let (config, warnings) = match config::load(&options) {
        Ok(loaded) => loaded,
        Err(report) => return tell(&report),
    };
    for warning in &warnings {
        eprintln!("{warning}");
    }
    match start::run(config, options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("monkey: {error}");
            ExitCode::FAILURE
        }
    }
}
