//! The plugins, each in a folder and behind a cargo feature of its own, and the two lists by which the server knows them. Nothing
//! outside of this file asks which of them are built in.

use crate::plugin::tool::Program;

#[cfg(feature = "plugin-auth")]
pub mod auth;
#[cfg(feature = "plugin-cgi")]
pub mod cgi;
#[cfg(feature = "plugin-cheetah")]
pub mod cheetah;
#[cfg(feature = "plugin-dirlisting")]
pub mod dirlisting;
#[cfg(feature = "plugin-fastcgi")]
pub mod fastcgi;
#[cfg(feature = "plugin-gpio")]
pub mod gpio;
#[cfg(feature = "plugin-hello")]
pub mod hello;
#[cfg(feature = "plugin-liana")]
pub mod liana;
mod list;
#[cfg(feature = "plugin-logger")]
pub mod logger;
#[cfg(feature = "plugin-mandril")]
pub mod mandril;
#[cfg(feature = "plugin-metrics")]
pub mod metrics;
#[cfg(feature = "plugin-palm")]
pub mod palm;
#[cfg(feature = "plugin-proxy")]
pub mod proxy;
#[cfg(feature = "test-switches")]
pub mod trial;

#[cfg(not(feature = "plugin-liana"))]
compile_error!("a server needs a transport: build with the feature plugin-liana");

/// The transport of this build.
#[cfg(all(feature = "plugin-liana", not(feature = "test-switches")))]
pub type DefaultTransport = liana::Liana;
/// The transport of a build for tests.
#[cfg(all(feature = "plugin-liana", feature = "test-switches"))]
pub type DefaultTransport = trial::transport::Chosen<liana::Liana>;

/// What is answered by a handler without a line in `[HANDLERS]`: paths below a prefix, and the handler's name.
#[cfg(not(feature = "test-switches"))]
pub const UNCONFIGURED: &[(&str, &str)] = &[];
/// What is answered by a handler without a line in `[HANDLERS]`: paths below a prefix, and the handler's name.
#[cfg(feature = "test-switches")]
pub const UNCONFIGURED: &[(&str, &str)] = &[("/.probe", "probe"), ("/.spawn", "spawn")];

/// The programs of this build besides the server, each by the name that it is called by.
pub const PROGRAMS: &[(&str, Program)] = &[
    #[cfg(feature = "plugin-cheetah")]
    ("cheetah", cheetah::client::main),
    #[cfg(feature = "plugin-auth")]
    ("passwd", auth::passwd::main),
];

/// A fuzz target: its name, and what it does with an input.
#[cfg(feature = "test-switches")]
pub type FuzzTarget = (&'static str, fn(&[u8]));

/// The fuzz targets of this build's plugins. What each is fed stands at the top of its file.
#[cfg(feature = "test-switches")]
pub const FUZZ: &[FuzzTarget] = &[
    #[cfg(feature = "plugin-auth")]
    ("auth", auth::fuzz::run),
    #[cfg(feature = "plugin-cheetah")]
    ("cheetah", cheetah::fuzz::run),
    #[cfg(feature = "plugin-dirlisting")]
    ("dirlisting", dirlisting::fuzz::run),
    #[cfg(feature = "plugin-logger")]
    ("logger", logger::fuzz::run),
    #[cfg(feature = "plugin-mandril")]
    ("mandril", mandril::fuzz::run),
    #[cfg(feature = "plugin-proxy")]
    ("proxy", proxy::fuzz::run),
];

list::plugins! {
    /// Those with hooks, in the order in which they are asked.
    hooks {
        "plugin-mandril" mandril: mandril::Mandril;
        "plugin-auth" auth: auth::Auth;
        "plugin-logger" logger: logger::Logger;
        "plugin-cheetah" cheetah: cheetah::Cheetah;
        "plugin-gpio" gpio: gpio::Gpio;
        "test-switches" beat: trial::beat::Beat;
        "test-switches" herald: trial::spawn::Herald;
    }
    /// Those that answer requests.
    handlers {
        "plugin-dirlisting" dirlisting: Dirlisting = dirlisting::Dirlisting;
        "plugin-metrics" metrics: Metrics = metrics::Metrics;
        "plugin-cgi" cgi: Cgi = cgi::Cgi;
        "plugin-fastcgi" fastcgi: FastCgi = fastcgi::FastCgi;
        "plugin-palm" palm: Palm = crate::plugin::backend::gateway::Gateway<palm::Palm>;
        "plugin-proxy" proxy: Proxy = proxy::Proxy;
        "plugin-hello" hello: Hello = hello::Hello;
        "test-switches" probe: Probe = trial::probe::Probes;
        "test-switches" spawn: Spawn = trial::spawn::Spawns;
    }
}
