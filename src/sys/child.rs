//! Child processes: starting one, learning how one ended, and ending with one's parent.
//!
//! Sources: fork(2), waitpid(2), prctl(2) PR_SET_PDEATHSIG, signal(7).

use super::fd::{check, refused};
use std::fmt;
use std::io;

/// Starts a copy of this process: its id in the one that called, `None` in the copy. The copy has the caller's memory,
/// descriptors and blocked signals, and none of its pending signals. Fails with EAGAIN or ENOMEM when there is no room for
/// another process.
///
/// Called while the process has one thread: no other lives on in the copy, and a lock it held would stay locked there.
pub fn fork() -> io::Result<Option<u32>> {
    // SAFETY: the caller has one thread, so that the copy is whole and no lock in it is held by a thread that is not there.
    let pid = check(unsafe { libc::fork() })?;
    Ok(u32::try_from(pid).ok().filter(|pid| *pid > 0))
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// It returned this status.
    Exited(i32),
    /// A signal of this number ended it.
    Killed(i32),
}

/// The signals by which a process is likely to be ended, under the numbers they have on every architecture built for.
const NAMES: [(i32, &str); 9] = [
    (libc::SIGILL, "SIGILL"),
    (libc::SIGTRAP, "SIGTRAP"),
    (libc::SIGABRT, "SIGABRT"),
    (libc::SIGBUS, "SIGBUS"),
    (libc::SIGFPE, "SIGFPE"),
    (libc::SIGKILL, "SIGKILL"),
    (libc::SIGSEGV, "SIGSEGV"),
    (libc::SIGTERM, "SIGTERM"),
    (libc::SIGSYS, "SIGSYS"),
];

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Exited(status) => write!(f, "exit status {status}"),
            End::Killed(signal) => {
                let name = NAMES.iter().find(|(number, _)| number == signal).map_or("another", |(_, name)| name);
                write!(f, "signal {signal} ({name})")
            }
        }
    }
}

/// A child that has ended and has not been asked about yet, and how it ended; `None` when there is none now. Children that
/// were adopted (by process 1 of a container) are among them.
pub fn reap() -> Option<(u32, End)> {
    ended(-1)
}

/// Waits until a child has ended, at most so many milliseconds. None = it has not, or is none of ours.
pub fn wait_for(pid: u32, milliseconds: u32) -> Option<End> {
    let pid = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0)?;
    for _ in 0..=milliseconds {
        if let Some((_, end)) = ended(pid) {
            return Some(end);
        }
        if super::Errno::last().0 == libc::ECHILD {
            return None;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    None
}

/// Whether any child (-1) or a certain one has ended.
fn ended(pid: libc::pid_t) -> Option<(u32, End)> {
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let pid = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) };
    let pid = u32::try_from(pid).ok().filter(|pid| *pid > 0)?;
    let end = match libc::WIFSIGNALED(status) {
        true => End::Killed(libc::WTERMSIG(status)),
        false => End::Exited(libc::WEXITSTATUS(status)),
    };
    Some((pid, end))
}

/// Has the ends of children reported. They are not where whoever started this process ignores SIGCHLD.
pub fn report_ends() -> io::Result<()> {
    // SAFETY: the default disposition runs no code of ours.
    if unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) } == libc::SIG_ERR {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Ends a process at once (SIGKILL). One that is gone already is none of ours any more: nothing happens.
pub fn kill(pid: u32) {
    if let Some(pid) = libc::pid_t::try_from(pid).ok().filter(|pid| *pid > 0) {
        // SAFETY: kill takes two integers and touches no memory of ours.
        unsafe { libc::kill(pid, libc::SIGKILL) };
    }
}

/// Has the kernel send this process SIGTERM when `parent` ends, however it ends. The kernel forgets it with every change of
/// identity (prctl(2)): call it again after one. Fails when the parent has ended already.
pub fn end_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: prctl takes integers here; getppid takes nothing and cannot fail.
    let now = unsafe {
        check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong, 0, 0, 0))?;
        libc::getppid()
    };
    // One that ended before the call sends nothing.
    if u32::try_from(now) != Ok(parent) {
        return Err(refused("the process that started it has ended"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::signal::{self, Signal};
    use crate::sys::testing;
    use std::io::{Read, Write};
    use std::time::{Duration, Instant};

    fn wait() -> (u32, End) {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            match reap() {
                Some(ended) => return ended,
                None => assert!(Instant::now() < end, "no child ended"),
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Children of the test runner are not to be reaped here, and its threads not to be lost in a fork: a process of its own.
    #[test]
    fn how_children_end() {
        if testing::role().is_some() {
            report_ends().unwrap();
            assert_eq!(reap(), None);
            match fork().unwrap() {
                None => std::process::exit(3),
                Some(pid) => assert_eq!(wait(), (pid, End::Exited(3))),
            }
            let Some(pid) = fork().unwrap() else {
                std::thread::sleep(Duration::from_secs(60));
                std::process::exit(0)
            };
            kill(pid);
            assert_eq!(wait(), (pid, End::Killed(9)));
            assert_eq!(reap(), None);
            testing::pass();
        }
        testing::run_self("sys::child::tests::how_children_end", "x").assert_pass();
        assert_eq!(End::Exited(3).to_string(), "exit status 3");
        assert_eq!(End::Killed(9).to_string(), "signal 9 (SIGKILL)");
        assert_eq!(End::Killed(64).to_string(), "signal 64 (another)");
        // Neither a process group nor all there is.
        kill(0);
        kill(u32::MAX);
    }

    #[test]
    fn a_child_ends_with_its_parent() {
        if testing::role().is_some() {
            let (mut reader, mut writer) = io::pipe().unwrap();
            let me = std::process::id();
            let Some(parent) = fork().unwrap() else {
                let parent = std::process::id();
                if fork().unwrap().is_none() {
                    assert!(end_with_parent(me).is_err(), "not its parent");
                    end_with_parent(parent).unwrap();
                    writer.write_all(b"u").unwrap();
                    std::thread::sleep(Duration::from_secs(60));
                }
                std::thread::sleep(Duration::from_secs(60));
                std::process::exit(0)
            };
            drop(writer);
            reader.read_exact(&mut [0]).unwrap();
            kill(parent);
            // The end of the pipe: both are gone.
            assert_eq!(reader.read(&mut [0]).unwrap(), 0);
            testing::pass();
        }
        testing::run_self("sys::child::tests::a_child_ends_with_its_parent", "x").assert_pass();
    }

    #[test]
    fn a_signal_to_the_dead_is_an_error() {
        if testing::role().is_some() {
            let Some(pid) = fork().unwrap() else { std::process::exit(0) };
            assert_eq!(wait(), (pid, End::Exited(0)));
            assert!(signal::send(pid, Signal::Term).is_err());
            testing::pass();
        }
        testing::run_self("sys::child::tests::a_signal_to_the_dead_is_an_error", "x").assert_pass();
    }
}
