//! What a plugin brings for the command line: another program, called by its name or by the first word.

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use crate::sys::pipe;
use crate::sys::terminal;

/// A program: does what its arguments say, its name not among them.
pub type Program = fn(&[OsString]) -> ExitCode;

/// Writes to stdout, past the buffer of the standard library, whose code is as long as all that uses it here.
pub fn print(bytes: &[u8]) -> io::Result<()> {
    Ok(pipe::write_all(terminal::output(), bytes)?)
}
