//! Test support: run the test executable again as a process of its own, private folders, and polling an fd.
//!
//! What changes a whole process (signals, identity, stdio, a crash) cannot be tested inside the test runner. Such a test
//! starts itself again with a role in the environment, and does its deed when it finds one.

use std::fs;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

const ROLE: &str = "MONKEY_TEST_ROLE";
const PASS: i32 = 77;

/// The role this process was started in by [`command`], if it was.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Ends a process in a role with the status that says that it came to its end.
pub(crate) fn pass() -> ! {
    std::process::exit(PASS)
}

/// A command that runs only the test of that full name, in that role. The test runner gives it a thread beside the main one,
/// whatever the options.
pub(crate) fn command(test: &str, role: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(ROLE, role).stdin(Stdio::null());
    command
}

/// What a process in a role left behind.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    pub(crate) fn assert_pass(&self) {
        assert_eq!(self.status.code(), Some(PASS), "{self:#?}");
    }
}

/// Runs a test in a role and waits for its end.
pub(crate) fn run_self(test: &str, role: &str) -> Run {
    run(&mut command(test, role))
}

/// Runs a prepared command and waits for its end.
pub(crate) fn run(command: &mut Command) -> Run {
    let output = command.output().unwrap();
    Run {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A folder of the test's own, gone when it ends.
#[derive(Debug)]
pub(crate) struct Dir(PathBuf);

impl Dir {
    pub(crate) fn new() -> Dir {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("monkey-test-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Dir(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// True if `fd` becomes readable within `milliseconds`.
pub(crate) fn readable(fd: BorrowedFd<'_>, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one initialised pollfd that outlives the call.
    unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 }
}

/// True when root runs the tests; otherwise says which part is left out.
pub(crate) fn root_or_skip(what: &str) -> bool {
    let root = super::process::is_root();
    if !root {
        println!("SKIPPED: {what}: needs root");
    }
    root
}
