//! What each fuzz target does with its input, apart from the fuzzer: the plain tests of the server include this file and run
//! the committed inputs through the same functions.
//!
//! Those that drive a whole connection need the server's feature `test-switches`.

#[cfg(feature = "test-switches")]
mod answer;
/// One module a target, each with a `run`.
pub mod cgi;
pub mod chunked;
mod chunked_reference;
pub mod config;
pub mod fastcgi;
mod fastcgi_reference;
pub mod head;
mod heads_reference;
#[cfg(feature = "test-switches")]
pub mod multipart;
pub mod palm;
mod palm_reference;
pub mod range;
pub mod response;
#[cfg(feature = "test-switches")]
pub mod session;
#[cfg(feature = "test-switches")]
mod site;
mod split;
pub mod target;

/// A fuzz target: its name, which is also the name of its folders, and its body.
pub type Target = (&'static str, fn(&[u8]));

const OWN: &[Target] = &[
    ("cgi", cgi::run),
    ("chunked", chunked::run),
    ("config", config::run),
    ("fastcgi", fastcgi::run),
    ("head", head::run),
    #[cfg(feature = "test-switches")]
    ("multipart", multipart::run),
    ("palm", palm::run),
    ("range", range::run),
    ("response", response::run),
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
pub const SWITCHED: [&str; 8] = ["multipart", "session", "auth", "cheetah", "dirlisting", "logger", "mandril", "proxy"];
