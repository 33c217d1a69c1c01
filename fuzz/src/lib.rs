//! What each fuzz target does with its input, apart from the fuzzer: the plain tests of the server include this file and run
//! the committed inputs through the same functions.

/// One module a target, each with a `run`.
pub mod config;
pub mod head;
pub mod range;
pub mod target;

/// A fuzz target: its name, which is also the name of its folders, and its body.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 4] =
    [("config", config::run), ("head", head::run), ("range", range::run), ("target", target::run)];
