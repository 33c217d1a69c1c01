//! The plugins, each in a folder and behind a cargo feature of its own.

#[cfg(feature = "plugin-liana")]
pub mod liana;

#[cfg(not(feature = "plugin-liana"))]
compile_error!("a server needs a transport: build with the feature plugin-liana");

/// The transport of this build.
#[cfg(feature = "plugin-liana")]
pub type DefaultTransport = liana::Liana;
