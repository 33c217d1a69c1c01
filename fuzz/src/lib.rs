//! What each fuzz target does with its input, apart from the fuzzer: the plain tests of the server include this file and run
//! the committed inputs through the same functions.
//!
//! Those that drive a whole connection need the server's feature `test-switches`.

#[cfg(feature = "test-switches")]
mod answer;
/// One module a target, each with a `run`.
pub mod chunked;
mod chunked_reference;
pub mod config;
pub mod head;
#[cfg(feature = "test-switches")]
pub mod multipart;
pub mod range;
#[cfg(feature = "test-switches")]
pub mod session;
#[cfg(feature = "test-switches")]
mod site;
pub mod target;

/// A fuzz target: its name, which is also the name of its folders, and its body.
pub type Target = (&'static str, fn(&[u8]));

const OWN: &[Target] = &[
    ("chunked", chunked::run),
    ("config", config::run),
    ("head", head::run),
    #[cfg(feature = "test-switches")]
    ("multipart", multipart::run),
    ("range", range::run),
    #[cfg(feature = "test-switches")]
    ("session", session::run),
    ("target", target::run),
];

/// Those of the plugins are beside what they try, in `src/plugins/NAME/fuzz.rs` of the server.
#[cfg(feature = "test-switches")]
const PLUGINS: &[Target] = monkey::plugins::FUZZ;
#[cfg(not(feature = "test-switches"))]
const PLUGINS: &[Target] = &[];

/// All targets of this build.
pub fn targets() -> impl Iterator<Item = Target> {
    OWN.iter().chain(PLUGINS).copied()
}

/// The targets that builds lack which are without `test-switches`, or without the plugin.
pub const SWITCHED: [&str; 7] = ["multipart", "session", "auth", "cheetah", "dirlisting", "logger", "mandril"];
