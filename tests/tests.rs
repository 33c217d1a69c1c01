//! The integration tests: one binary, one module a subject. Each test runs the real server in a directory of its own.

/// What the tests stand on: directories, the server's process, a raw client.
mod util;

/// The command line: what is printed, what is refused, exit codes.
mod command_line;
/// The keys of [SERVER], each by its effect.
mod server_keys;
/// Where the server listens.
mod listen;
/// Connections beyond what there is room for.
mod capacity;
/// What clients may take their time with, and what not.
mod time_limits;
/// Methods, bodies and persistent connections.
mod requests;
/// Requests in one write and in many.
mod pipelining;
/// Requests that are refused, and what becomes of their connection.
mod bad_requests;
/// Which site a request belongs to, and the keys of a site.
mod sites;
/// Error pages.
mod error_pages;
/// From a path to a file: directories, index files, escapes, links, files that are none.
mod paths;
/// Whole files, small and large, to fast and slow clients.
mod files;
/// Conditional requests.
mod conditions;
/// Byte ranges.
mod ranges;
/// Precompressed siblings.
mod siblings;
/// Files and roots that change while they are served.
mod changes;
/// The end of the server, its background mode, its rights.
mod process;
/// Reading the configuration anew.
mod reload;
/// Many connections, and what is left of them.
mod churn;

/// The committed fuzz inputs, replayed without a fuzzer.
mod fuzz_corpus;
