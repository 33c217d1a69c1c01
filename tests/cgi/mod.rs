/// What becomes of programs: time limits, clients that leave, how many there are, what is left of them.
mod life;
/// The page about cgi.
mod page;
/// Requests and answers.
mod talk;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::util::{Server, Setup, children, eventually, spawner_below};

/// Shell scripts below /sh/, run by a shell; what is below /run/ is run itself, and so are files called `.cgi`.
pub fn setup() -> Setup {
    let lines = ["Match ^/sh/.*\\.sh cgi /bin/sh", "Match ^/run/ cgi", "Match \\.cgi$ cgi text/x-cgi"];
    Setup::new().server("MemoryLimit 9000").section("HANDLERS", &lines).file("a.txt", "alpha")
}

/// The keys of plugins/cgi/cgi.conf.
pub fn configure(setup: &Setup, keys: &[&str]) {
    let keys: String = keys.iter().map(|key| format!("    {key}\n")).collect();
    setup.dir.write("conf/plugins/cgi/cgi.conf", format!("[CGI]\n{keys}"));
}

/// A script of the shell that can be executed.
pub fn program(setup: &Setup, name: &str, script: &str) {
    let path = setup.dir.write(&format!("root/{name}"), format!("#!/bin/sh\n{script}\n"));
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("a mode");
}

/// Head of an answer in plain text.
pub const TEXT: &str = "printf 'Content-Type: text/plain\\n\\n'";

/// The spawner and what it has started.
pub struct Programs(u32);

impl Programs {
    #[track_caller]
    pub fn of(server: &Server) -> Programs {
        Programs(spawner_below(server.pid()))
    }

    /// Those that are there, ended or not.
    pub fn all(&self) -> Vec<u32> {
        children(self.0)
    }

    /// Waits until there are so many.
    #[track_caller]
    pub fn are(&self, count: usize) {
        assert!(eventually(|| self.all().len() == count), "{} programs, not {count}", self.all().len());
    }

    /// Descriptors of the spawner.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.0)).map_or(0, Iterator::count)
    }
}
