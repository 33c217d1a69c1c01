//! The integration tests: one binary, one module a subject. Each test runs the real server in a directory of its own.

/// What the tests stand on: directories, the server's process, a raw client.
mod util;

/// The plugin auth, and `monkey passwd`.
#[cfg(feature = "plugin-auth")]
mod auth;
/// Requests that are refused, and what becomes of their connection.
mod bad_requests;
/// Request bodies: how they are framed, who reads them, when the answer comes.
mod bodies;
/// Connections beyond what there is room for.
mod capacity;
/// Programs that answer requests.
#[cfg(feature = "plugin-cgi")]
mod cgi;
/// Files and roots that change while they are served.
mod changes;
/// The admin shell and its client.
#[cfg(feature = "plugin-cheetah")]
mod cheetah;
/// Bodies in chunks, sound and not.
mod chunked;
/// Many connections, and what is left of them.
mod churn;
/// The command line: what is printed, what is refused, exit codes.
mod command_line;
/// Conditional requests.
mod conditions;
/// What a server gives up: rights, files outside of its root directory, whatever is not configured; and configurations that
/// anyone may write.
mod confinement;
/// Listings of directories: what is in them, in which order, in which form.
#[cfg(feature = "plugin-dirlisting")]
mod dirlisting;
/// What the documents name is there.
mod docs;
/// Error pages.
mod error_pages;

#[cfg(feature = "plugin-fastcgi")]
mod fastcgi;
/// Every call of a connection made to fail, to be short or to wait, over a transport without sockets.
#[cfg(feature = "test-switches")]
mod faults;
/// Whole files, small and large, to fast and slow clients.
mod files;
/// Heads and bodies whose framing is in doubt, and odd ones whose framing is not.
mod framing;
/// The plugin gpio: pins, LEDs and buttons.
#[cfg(feature = "plugin-gpio")]
mod gpio;
/// Which plugin answers which requests, and the plugins metrics and hello.
#[cfg(feature = "plugin-metrics")]
mod handlers;
/// Where the server listens.
mod listen;
/// Access and error logs.
#[cfg(feature = "plugin-logger")]
mod logger;
/// The plugin mandril: rules, and how often a client may ask.
#[cfg(feature = "plugin-mandril")]
mod mandril;
/// More clients than there is room for, in numbers, and what is left of them.
mod overload;
/// The plugin palm, which has scripts run by an application server.
#[cfg(all(feature = "plugin-palm", feature = "palm-server"))]
mod palm;
/// The application server, `monkey palm`.
#[cfg(feature = "palm-server")]
mod palm_server;
/// From a path to a file: directories, index files, escapes, links, files that are none.
mod paths;
/// Requests in one write and in many.
mod pipelining;
/// The end of the server, its background mode, its rights.
mod process;
/// The plugin proxy.
#[cfg(all(feature = "plugin-proxy", feature = "test-switches"))]
mod proxy;
/// Byte ranges.
mod ranges;
/// Reading the configuration anew.
mod reload;
/// Methods, bodies and persistent connections.
mod requests;
/// The keys of [SERVER], each by its effect.
mod server_keys;
/// Precompressed siblings.
mod siblings;
/// Which site a request belongs to, and the keys of a site.
mod sites;
/// The process that starts programs.
#[cfg(feature = "test-switches")]
mod spawner;
/// The keeper, and sockets of a service manager.
mod supervise;
/// What clients may take their time with, and what not.
mod time_limits;
/// Who waits for signs of life: the board's watchdog, the service manager.
mod watchdog;

/// The committed fuzz inputs, replayed without a fuzzer.
mod fuzz_corpus;
