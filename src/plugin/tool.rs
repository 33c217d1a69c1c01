//! What a plugin brings for the command line: another program, called by its name or by the first word.

use std::ffi::OsString;
use std::process::ExitCode;

use crate::sys::Errno;
use crate::sys::pipe::write_all;
use crate::sys::unix::standard;

/// A program: does what its arguments say, its name not among them.
pub type Program = fn(&[OsString]) -> ExitCode;

/// Writes to stdout, past the buffer of the standard library, whose code is as long as all that uses it here.
pub fn print(bytes: &[u8]) -> Result<(), Errno> {
    write_all(standard(1), bytes)
}
