//! The one table of sections and keys. What the parser accepts, the defaults, what an unknown key is compared with,
//! what a reload may change and docs/CONFIGURATION.md all come from here.

use super::plugins::{PLUGINS, Plugin};
use crate::limits::WORKERS_MAX;

/// A text for docs/CONFIGURATION.md, which only a test writes: there is none in the shipped binary.
#[cfg(test)]
pub type Doc = &'static str;
/// A text for docs/CONFIGURATION.md, which only a test writes: there is none in the shipped binary.
#[cfg(not(test))]
pub type Doc = ();

#[cfg(test)]
macro_rules! page {
    ($text:literal) => {
        $text
    };
}
#[cfg(not(test))]
macro_rules! page {
    ($text:literal) => {
        ()
    };
}
#[allow(unused_imports)] // Plugins that are built in have sections of their own.
pub(super) use page;

/// The documentation of what is described elsewhere.
pub(super) const NO_DOC: Doc = page!("");

/// What a value must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Everything after the key; the text says what it is, for messages and the documentation.
    Text(&'static str),
    /// A whole number in decimal digits.
    Number {
        /// Smallest value accepted.
        min: u32,
        /// Largest value accepted.
        max: u32,
        /// What is counted, as `seconds`; may be empty.
        unit: &'static str,
    },
    /// `On` or `Off`, in any case.
    Switch,
    /// Words with spaces between; the text says what a word is.
    Words(&'static str),
    /// One of these words, in any case.
    Choice(&'static [&'static str]),
}

/// What a reload (SIGHUP) does with a changed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// It takes effect.
    InPlace,
    /// The reload is refused: the server must be started anew.
    Restart,
}

/// A key, or all keys of a section whose keys are free.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// The name, compared in any case. In [`Section::free`]: what the key is.
    pub name: &'static str,
    /// What its value must be.
    pub kind: Kind,
    /// What holds when the key is absent, as it would be written; empty when that is nothing.
    pub default: &'static str,
    /// Whether the key may be repeated. If not, the first one counts.
    pub many: bool,
    /// Whether the file is refused without it.
    pub required: bool,
    /// What a reload does with it.
    pub reload: Reload,
    /// The documentation.
    pub doc: Doc,
}

/// A section of a file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// The name between the brackets, compared in any case. Empty: any name that no section before it in the table has.
    pub name: &'static str,
    /// Its keys.
    pub keys: &'static [Key],
    /// What every other key is, when the keys are not a fixed set.
    pub free: Option<&'static Key>,
    /// Whether the file is refused without it.
    pub required: bool,
    /// Whether each section of this name is one of its own. If not, their keys are taken together.
    pub many: bool,
    /// The documentation.
    pub doc: Doc,
}

/// The kinds of configuration files.
#[derive(Clone, Copy, Debug)]
pub enum File {
    /// monkey.conf.
    Server,
    /// A file in sites/.
    Site,
    /// monkey.mime.
    Mime,
    /// plugins.load.
    PluginsLoad,
    /// The file of a plugin, which has these sections.
    Plugin(&'static [Section]),
}

impl File {
    /// The sections of such a file that do not belong to a plugin.
    pub fn sections(self) -> &'static [Section] {
        match self {
            File::Server => SERVER_FILE,
            File::Site => SITE_FILE,
            File::Mime => MIME_FILE,
            File::PluginsLoad => PLUGINS_LOAD_FILE,
            File::Plugin(sections) => sections,
        }
    }

    /// All sections of such a file that this build knows what to do with, those of plugins too.
    pub(super) fn known(self) -> impl Iterator<Item = &'static Section> {
        let plugins: &[Plugin] = if matches!(self, File::Site) { PLUGINS } else { &[] };
        let built_in = plugins.iter().filter(|plugin| plugin.built_in);
        self.sections().iter().chain(built_in.flat_map(|plugin| plugin.site))
    }
}

pub(super) const fn key(name: &'static str, kind: Kind, default: &'static str, reload: Reload, doc: Doc) -> Key {
    Key { name, kind, default, many: false, required: false, reload, doc }
}

pub(super) const fn number(min: u32, max: u32, unit: &'static str) -> Kind {
    Kind::Number { min, max, unit }
}

pub(super) const fn many(key: Key) -> Key {
    Key { many: true, ..key }
}

pub(super) const fn required(key: Key) -> Key {
    Key { required: true, ..key }
}

pub(super) const fn section(name: &'static str, keys: &'static [Key], doc: Doc) -> Section {
    Section { name, keys, free: None, required: false, many: false, doc }
}

use Reload::{InPlace, Restart};

const SERVER_FILE: &[Section] =
    &[Section { required: true, ..section("SERVER", SERVER, page!("The server as a whole.")) }];

const SERVER: &[Key] = &[
    many(key(
        "Listen",
        Kind::Text("PORT, IPv4:PORT or [IPv6]:PORT"),
        "2001",
        InPlace,
        page!(
            "Where to listen; the address is 0.0.0.0 unless given. Port 0 takes any free port. `[::]:PORT` takes IPv4 too unless an IPv4 listener has the same port. The words `tls`, `h2`, `h2c` and `!http` may follow, and are refused with `not in this build`."
        ),
    )),
    key("Workers", number(0, WORKERS_MAX as u32, "threads"), "0", Restart, page!("Worker threads; 0 is one per CPU.")),
    key(
        "Timeout",
        number(1, 3600, "seconds"),
        "15",
        InPlace,
        page!(
            "Time allowed for the head of a request: from accept for the first one, from its first byte for a later one."
        ),
    ),
    key(
        "PidFile",
        Kind::Text("a file"),
        "",
        Restart,
        page!("Where to write the process id. It stays locked while the server runs."),
    ),
    key(
        "UserDir",
        Kind::Text("a directory name"),
        "",
        InPlace,
        page!("`/~user/x` is served from this directory in the home of `user`. Off unless set."),
    ),
    key(
        "Indexfile",
        Kind::Words("file names"),
        "index.html index.htm index.php",
        InPlace,
        page!("Tried in order for a target that is a directory."),
    ),
    key("HideVersion", Kind::Switch, "Off", InPlace, page!("`Server: Monkey` without the version.")),
    key("Resume", Kind::Switch, "On", InPlace, page!("Byte ranges.")),
    key("User", Kind::Text("a user name or number"), "", Restart, page!("Whom to run as, when started by root.")),
    key("KeepAlive", Kind::Switch, "On", InPlace, page!("Several requests on one connection.")),
    key(
        "KeepAliveTimeout",
        number(1, 86400, "seconds"),
        "5",
        InPlace,
        page!("Idle time allowed between two requests."),
    ),
    key(
        "MaxKeepAliveRequest",
        number(1, 1_000_000_000, "requests"),
        "1000",
        InPlace,
        page!("Requests answered on one connection before it is closed."),
    ),
    key(
        "MaxRequestSize",
        number(1, 1_048_576, "KB"),
        "32",
        Restart,
        page!("What is held in memory for one request. It does not bound a streamed body: see MaxBodySize."),
    ),
    key(
        "SymLink",
        Kind::Switch,
        "Off",
        InPlace,
        page!("Follow symbolic links below the document root. Off: no link anywhere in a path."),
    ),
    key(
        "DefaultMimeType",
        Kind::Text("a media type"),
        "text/plain",
        InPlace,
        page!("For a file whose extension monkey.mime does not name."),
    ),
    key("FDT", Kind::Switch, "On", Restart, page!("A table of open files in each worker, shared by its connections.")),
    key(
        "OverCapacity",
        Kind::Choice(&["Resist", "Drop", "TooBusy"]),
        "Resist",
        InPlace,
        page!(
            "When every connection is in use, none is idle and none stalls (below MinBodyRate or MinSendRate for a second): `Resist` accepts no more until one is free, `Drop` accepts and closes, `TooBusy` answers 503."
        ),
    ),
    key(
        "FDLimit",
        number(32, 1_048_576, "file descriptors"),
        "",
        Restart,
        page!("Most file descriptors the server may use. Unset: what its connections need."),
    ),
    key("TransportLayer", Kind::Choice(&["liana"]), "liana", Restart, page!("The transport plugin.")),
    key(
        "Scheduler",
        Kind::Choice(&["Fair", "ReusePort"]),
        "Fair",
        Restart,
        page!(
            "`Fair`: one thread accepts and gives each connection to the least loaded worker. `ReusePort`: every worker accepts on sockets of its own."
        ),
    ),
    key(
        "LogTarget",
        Kind::Choice(&["stderr", "syslog"]),
        "stderr",
        InPlace,
        page!("Where the server's own messages go."),
    ),
    key(
        "MemoryLimit",
        number(512, 1_048_576, "KB"),
        "2500",
        Restart,
        page!("Every writable byte the server can come to use. The number of connections follows from it."),
    ),
    key(
        "MaxConnectionsPerAddress",
        number(0, 65_535, "connections"),
        "0",
        Restart,
        page!(
            "Most connections at once of one IPv4 address or one IPv6 network of 64 bits, over all workers; 0 is any number. One more is closed at once, with a 503 and `Retry-After` unless `OverCapacity` is `Drop`. All clients behind one proxy or NAT have one address. The count takes 12 bytes of `MemoryLimit` for each connection there can be. A reload may change the number, but not from or to 0."
        ),
    ),
    key("RetryAfter", number(1, 86400, "seconds"), "5", InPlace, page!("The `Retry-After` of a 503.")),
    key(
        "DeferAccept",
        number(0, 60, "seconds"),
        "1",
        InPlace,
        page!("TCP_DEFER_ACCEPT; 0 is off. Large values hide silent clients from every limit."),
    ),
    key(
        "SendBuffer",
        number(0, 16_777_216, "bytes"),
        "0",
        InPlace,
        page!("SO_SNDBUF of a connection; 0 leaves it to the kernel."),
    ),
    key(
        "ReceiveBuffer",
        number(0, 16_777_216, "bytes"),
        "65536",
        InPlace,
        page!("SO_RCVBUF of a connection; 0 leaves it to the kernel."),
    ),
    key(
        "NotSentLowat",
        number(0, 16_777_216, "bytes"),
        "16384",
        InPlace,
        page!("TCP_NOTSENT_LOWAT of a connection; 0 leaves it to the kernel."),
    ),
    key(
        "UnknownHost",
        Kind::Choice(&["Default", "Reject"]),
        "Default",
        InPlace,
        page!(
            "A Host that no site names: `Default` serves sites/default, `Reject` answers 421 (against DNS rebinding), except to an IP address, which cannot be rebound."
        ),
    ),
    key(
        "MinBodyRate",
        number(0, 1_073_741_824, "bytes per second"),
        "500",
        InPlace,
        page!(
            "A client that sends the body of a request slower than this, over RateWindow, is closed. 0: any byte within RateWindow will do."
        ),
    ),
    key(
        "MinSendRate",
        number(0, 1_073_741_824, "bytes per second"),
        "500",
        InPlace,
        page!(
            "A client that takes an answer slower than this, over RateWindow, is closed; what its side has acknowledged counts. 0: any byte within RateWindow will do."
        ),
    ),
    key(
        "RateWindow",
        number(1, 3600, "seconds"),
        "10",
        InPlace,
        page!(
            "How often MinBodyRate and MinSendRate are judged. The first window of an answer is only measured. It is also how long a client may pause."
        ),
    ),
    key(
        "Sandbox",
        Kind::Switch,
        "",
        Restart,
        page!(
            "Landlock: once it runs the server may read only what the configuration names, write nothing, connect to no other TCP ports than those of the servers behind it, and listen on its own ports only, as far as the kernel can hold it to that. On in a build with the feature `sandbox` unless set; in one without, `On` is refused with `not in this build`. See [CONFINEMENT.md](CONFINEMENT.md)."
        ),
    ),
    key(
        "Chroot",
        Kind::Text("a directory"),
        "",
        Restart,
        page!(
            "Becomes the root directory of the server once its listeners, PID file and log are open. Paths are written as they are seen from outside; every DocumentRoot and Alias must lie in it. Needs root or CAP_SYS_CHROOT at start. See [CONFINEMENT.md](CONFINEMENT.md)."
        ),
    ),
    key(
        "Watchdog",
        Kind::Text("a device"),
        "",
        Restart,
        page!(
            "The board's watchdog, such as /dev/watchdog. It is opened at start, before rights are given up, and fed for as long as every worker makes progress; when it is not fed for WatchdogTimeout it resets the board. An orderly stop stops it. A device that is missing or taken is a warning. Not to be set where another process has it (systemd's RuntimeWatchdogSec, BusyBox watchdog). See [OPERATING.md](OPERATING.md#the-watchdog)."
        ),
    ),
    key(
        "WatchdogTimeout",
        number(5, 3600, "seconds"),
        "15",
        Restart,
        page!(
            "What the watchdog is asked for; it is fed three times in it. What it takes is in the log: some take 15 at most."
        ),
    ),
];

const SITE_FILE: &[Section] = &[
    Section { required: true, ..section("HOST", HOST, page!("The site.")) },
    Section {
        free: Some(&key(
            "STATUS",
            Kind::Text("a file below DocumentRoot"),
            "",
            InPlace,
            page!("The page sent with this status, 400 to 505."),
        )),
        ..section("ERROR_PAGES", &[], page!("Pages of your own for errors."))
    },
    section("HEADERS", HEADERS, page!("Fields added to responses. Every line that matches adds its field.")),
    section("CACHE", CACHE, page!("Cache-Control by path. The first line that matches counts.")),
    section(
        "HANDLERS",
        HANDLERS,
        page!(
            "Which plugin answers which requests. The lines are tried in order; where the plugin has nothing to say the next one is, and then the files. See [PLUGINS.md](PLUGINS.md)."
        ),
    ),
];

const HOST: &[Key] = &[
    required(key(
        "ServerName",
        Kind::Words("host names"),
        "",
        InPlace,
        page!(
            "The names of the site, each up to 63 characters, compared in any case. sites/default also takes every name that no site has."
        ),
    )),
    required(key(
        "DocumentRoot",
        Kind::Text("a directory"),
        "",
        InPlace,
        page!("The files served. If it is missing, requests are answered 503 until it appears."),
    )),
    key(
        "Redirect",
        Kind::Text("http://..., https://... or /PATH"),
        "",
        InPlace,
        page!("Every request is answered 301 to this place."),
    ),
    key(
        "MaxBodySize",
        number(0, 1_073_741_824, "KB"),
        "0",
        InPlace,
        page!("Largest request body; a larger one is answered 413. 0 is no limit."),
    ),
    key(
        "Fallback",
        Kind::Text("/PATH"),
        "",
        InPlace,
        page!(
            "A GET or HEAD that accepts text/html and finds no file gets this one with 200: for single-page applications."
        ),
    ),
    many(key(
        "Alias",
        Kind::Text("/PREFIX DIRECTORY"),
        "",
        InPlace,
        page!("Targets below PREFIX (whole segments) are served from DIRECTORY. The longest prefix counts."),
    )),
    key(
        "EtagSeed",
        Kind::Text("a text, or @FILE"),
        "",
        InPlace,
        page!(
            "Mixed into every ETag, so that two builds of one image differ: a text, or the content of a file such as the firmware's version."
        ),
    ),
    key(
        "ScriptExtensions",
        Kind::Words("file name extensions"),
        "php phtml phar",
        InPlace,
        page!(
            "Such files are never sent as they are: 403 unless a handler runs them. Added to them is what lines of cgi, fastcgi and palm run, where their REGEX is about all files of an extension: `\\.EXT$` or `\\.(EXT|EXT)$`, with or without `/.*` before it; at its end the `$` may be left out or be `(/|$)`."
        ),
    ),
];

const HEADERS: &[Key] = &[many(key(
    "Match",
    Kind::Text("REGEX Name: value"),
    "",
    InPlace,
    page!(
        "REGEX (no spaces; write \\s) is searched in the decoded path without query. Fields the server writes itself, such as Content-Length, are refused."
    ),
))];

const CACHE: &[Key] = &[many(key(
    "Match",
    Kind::Text("REGEX VALUE"),
    "",
    InPlace,
    page!("REGEX as in [HEADERS]; VALUE is the whole of Cache-Control."),
))];

const HANDLERS: &[Key] = &[
    many(key(
        "Match",
        Kind::Text("REGEX PLUGIN [PARAMETER ...]"),
        "",
        InPlace,
        page!("REGEX as in [HEADERS]; PLUGIN is one that answers requests."),
    )),
    many(key(
        "Location",
        Kind::Text("/PREFIX PLUGIN [PARAMETER ...]"),
        "",
        InPlace,
        page!("The same for every path below PREFIX (whole segments)."),
    )),
];

const MIME_FILE: &[Section] = &[Section {
    required: true,
    free: Some(&key(
        "EXTENSION",
        Kind::Text("a media type"),
        "",
        InPlace,
        page!("The Content-Type of files with this extension, compared in any case; everything after the first space."),
    )),
    ..section("MIMETYPES", &[], page!("File name extensions and their media types."))
}];

const PLUGINS_LOAD_FILE: &[Section] = &[section(
    "PLUGINS",
    PLUGINS_LOAD,
    page!("Which plugins to load, in the original. Here what is built in is loaded."),
)];

const PLUGINS_LOAD: &[Key] = &[many(key(
    "Load",
    Kind::Text("a path ending in monkey-NAME.so"),
    "",
    InPlace,
    page!("Accepted for old files, without effect."),
))];
