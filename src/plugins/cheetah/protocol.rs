//! What the shell and its clients agree on.
//!
//! A connection is lines in and answers out. A client that says nothing for half a second gets a greeting and a prompt, as does one
//! whose first line is a command: `nc -U` is a client. One whose first line is a command with `--json` gets answers alone, a line of
//! JSON each. A client that knows better begins with a line of its own:
//!
//! | first line | then |
//! |---|---|
//! | [`HELLO`] `tty` | [`START`], a greeting, a prompt, and so on with ANSI colours |
//! | [`HELLO`] `plain` | the same without colours |
//! | [`HELLO`] `run COMMAND` | [`START`], the answer, [`END`], `0` or `1` (it could not be done), the end of the connection |
//!
//! None of the three bytes can occur in an answer. What comes before [`START`] is not meant for the client's output: a refusal, or a
//! greeting that was sent because the client took long.

/// Begins the first line of a client that says what it is (SOH).
pub(super) const HELLO: u8 = 0x01;
/// Begins what is meant for the client's output (STX).
pub(super) const START: u8 = 0x02;
/// Ends the answer of a client with one command (ETX).
pub(super) const END: u8 = 0x03;
/// Longest line with its end, bytes. A longer one is answered with an error.
pub(super) const LINE_MAX: usize = 1024;
/// How soon a client that has more to do than one turn allows has its next turn, milliseconds.
pub(super) const OFTEN: u32 = 1;
