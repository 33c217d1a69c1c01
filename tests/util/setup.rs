//! The configuration of one test, and how the binary is run with it.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use super::server::run_to_end;
use super::{Dir, Ended, Record, Server};

/// The media types of the tests: few enough to know by heart.
const MIME: &str = "[MIMETYPES]\n    html text/html; charset=utf-8\n    txt text/plain; charset=utf-8\n    \
                    js text/javascript; charset=utf-8\n    bin application/octet-stream\n";

/// A configuration directory, a document root, and the words on the command line.
pub struct Setup {
    pub dir: Dir,
    listen: Vec<String>,
    server: Vec<String>,
    host: Vec<String>,
    sections: String,
    arguments: Vec<OsString>,
    environment: Vec<(&'static str, OsString)>,
    workers: u32,
}

impl Setup {
    /// An empty document root, one listener on any port of 127.0.0.1, two workers.
    pub fn new() -> Setup {
        let dir = Dir::new();
        fs::create_dir(dir.path("root")).expect("a document root");
        dir.write("conf/monkey.mime", MIME);
        Setup {
            dir,
            listen: Vec::new(),
            server: Vec::new(),
            host: Vec::new(),
            sections: String::new(),
            arguments: Vec::new(),
            environment: Vec::new(),
            workers: 2,
        }
    }

    /// A `Listen` line; the first replaces the one there is otherwise.
    pub fn listen(mut self, place: &str) -> Setup {
        self.listen.push(place.into());
        self
    }

    /// A key of [SERVER].
    pub fn server(mut self, key: &str) -> Setup {
        self.server.push(key.into());
        self
    }

    /// How many workers.
    pub fn workers(mut self, workers: u32) -> Setup {
        self.workers = workers;
        self
    }

    /// A key of [HOST] of sites/default.
    pub fn host(mut self, key: &str) -> Setup {
        self.host.push(key.into());
        self
    }

    /// Another section of sites/default: its name and its lines.
    pub fn section(mut self, name: &str, lines: &[&str]) -> Setup {
        self.sections.push_str(&format!("[{name}]\n"));
        for line in lines {
            self.sections.push_str(&format!("    {line}\n"));
        }
        self
    }

    /// More sections of sites/default, as they stand in a file.
    #[allow(dead_code)] // Where no plugin has an example.
    pub fn text(mut self, sections: &str) -> Setup {
        self.sections.push_str(sections);
        self
    }

    /// Another site, with a document root `name` beside the first one's.
    pub fn site(self, name: &str, keys: &[&str]) -> Setup {
        let _ = fs::create_dir(self.dir.path(name));
        let keys: String = keys.iter().map(|key| format!("    {key}\n")).collect();
        self.dir.write(&format!("conf/sites/{name}"), format!("[HOST]\n{keys}    DocumentRoot ../{name}\n"));
        self
    }

    /// A file below the document root.
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Setup {
        self.dir.write(&format!("root/{name}"), content);
        self
    }

    /// A word for the command line.
    pub fn argument(mut self, word: impl Into<OsString>) -> Setup {
        self.arguments.push(word.into());
        self
    }

    /// An environment variable.
    pub fn environment(mut self, name: &'static str, value: impl Into<OsString>) -> Setup {
        self.environment.push((name, value.into()));
        self
    }

    /// A path below the document root.
    pub fn root(&self, name: &str) -> PathBuf {
        self.dir.path("root").join(name)
    }

    /// Writes monkey.conf and sites/default.
    pub fn write(&self) {
        let mut text = String::from("[SERVER]\n");
        let default = ["127.0.0.1:0".to_string()];
        let listen = if self.listen.is_empty() { &default[..] } else { &self.listen };
        for place in listen {
            text.push_str(&format!("    Listen {place}\n"));
        }
        text.push_str(&format!("    Workers {}\n", self.workers));
        for key in &self.server {
            text.push_str(&format!("    {key}\n"));
        }
        // Where bytes come one by one each client has a request under way for longer, and waits longer while another is served.
        if !moves_all() {
            for (key, default) in [("MemoryLimit", "7000"), ("RateWindow", "60")] {
                if !self.server.iter().any(|line| line.starts_with(key)) {
                    text.push_str(&format!("    {key} {default}\n"));
                }
            }
        }
        self.dir.write("conf/monkey.conf", text);
        let mut text = String::from("[HOST]\n");
        for (key, default) in [("ServerName", "test"), ("DocumentRoot", "../root")] {
            if !self.host.iter().any(|line| line.starts_with(key)) {
                text.push_str(&format!("    {key} {default}\n"));
            }
        }
        for key in &self.host {
            text.push_str(&format!("    {key}\n"));
        }
        text.push_str(&self.sections);
        self.dir.write("conf/sites/default", text);
    }

    /// The command that runs the binary with this configuration.
    pub fn command(&self) -> Command {
        self.write();
        self.command_as_is(&["-c".into(), self.dir.path("conf").into()])
    }

    /// The command without the files being written, and with other words first.
    pub fn command_as_is(&self, words: &[OsString]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_monkey"));
        command.args(words).args(&self.arguments).current_dir(self.dir.path(""));
        command.env_remove("NOTIFY_SOCKET").env_remove("MONKEY_TEST_WALK").env_remove("MONKEY_TEST_NO_LANDLOCK");
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        command
    }

    /// Starts the server and waits until it serves.
    #[track_caller]
    pub fn start(self) -> Server {
        let command = self.command();
        Server::start(self.dir, command, Record::default())
    }

    /// Starts the server by a shell script that ends in `exec "$@"`, in a mount namespace of its own.
    #[track_caller]
    pub fn start_among_mounts(self, script: &str) -> Server {
        let command = self.command();
        let mut outer = Command::new("unshare");
        outer.args(["--mount", "sh", "-ec", script, "sh"]).arg(command.get_program()).args(command.get_args());
        outer.current_dir(self.dir.path("")).env_remove("NOTIFY_SOCKET");
        Server::start(self.dir, outer, Record::default())
    }

    /// Runs a server that is to refuse to start, or to do something else that ends.
    pub fn run(&self) -> Ended {
        run_to_end(self.command())
    }
}

/// Whether the server moves as many bytes in one call as it can: not when MONKEY_TEST_TRANSPORT names another transport for it.
pub fn moves_all() -> bool {
    std::env::var_os("MONKEY_TEST_TRANSPORT").is_none()
}

/// Sets when a file was last modified, seconds since 1970.
pub fn set_mtime(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    file.set_modified(time).expect("a modification time");
}
