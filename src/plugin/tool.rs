//! What a plugin brings for the command line: another program, called by its name or by the first word.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::sys::pipe::write_all;
use crate::sys::unix::standard;
use crate::sys::{Errno, stderr};

/// A program: does what its arguments say, its name not among them.
pub type Program = fn(&[OsString]) -> ExitCode;

/// Why it did not come to a good end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The exit code: 1 = it could not be done, 2 = the words mean nothing.
    pub code: u8,
    /// What to tell, without a line end.
    pub what: String,
}

/// Ends a program: prints what it came to, or tells why it came to nothing.
pub fn end(name: &str, result: Result<String, Failure>) -> ExitCode {
    let failure = match result {
        Ok(text) => match print(text.as_bytes()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => Failure { code: 1, what: format!("cannot write to stdout: {error}") },
        },
        Err(failure) => failure,
    };
    stderr::write(format!("monkey {name}: {}\n", failure.what).as_bytes());
    ExitCode::from(failure.code)
}

/// Writes to stdout, past the buffer of the standard library, whose code is as long as all that uses it here.
pub fn print(bytes: &[u8]) -> Result<(), Errno> {
    write_all(standard(1), bytes)
}
