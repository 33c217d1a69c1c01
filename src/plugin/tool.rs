//! What a plugin brings for the command line: another program, called by the first word.

use std::ffi::OsString;

/// Another program.
#[derive(Clone, Copy, Debug)]
pub struct Tool {
    /// The word it is called by.
    pub name: &'static str,
    /// Does it with the words that follow: what is to be printed at the end, with its line ends.
    pub run: fn(&[OsString]) -> Result<String, Failure>,
}

/// Why it did not come to a good end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// The exit code: 1 = it could not be done, 2 = the words mean nothing.
    pub code: u8,
    /// What to tell, without a line end.
    pub what: String,
}
